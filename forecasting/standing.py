"""Whether a model is still better than the yardstick, judged by what both said and what was then measured.

Every forecast carries a rival beside the path in use: the yardstick's course over the first day, or, while the
yardstick is in use, the model's. So the ledger holds what both said at the time, and nothing has to be reconstructed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from forecasting.day_types import LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured

SCORE_DAYS = 7
"""Forecasts of so many days are judged: a week, so that every kind of day is among them."""
FEWEST_ISSUES = 20
WORSE = 1.10
"""The model goes when its mean absolute error is more than this many times the yardstick's."""
BETTER = 0.95
"""It comes back when it is less: between the two nothing changes, so that chance does not switch to and fro."""
SCORED_HOURS = 24.0

Side = Literal["model", "yardstick"]


@dataclass(frozen=True)
class Issued:
    """What was said once of one series over the first day."""

    issued_at: datetime
    start: datetime
    """Start of the first interval."""
    in_use: Side
    model: Array
    yardstick: Array
    """(n,) both over the same intervals."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Issued | None:
        """From a forecast document; None when it has no rival."""
        rival = document.get("rival")
        if rival is None:
            return None
        other = np.asarray(rival["median"], dtype=float)
        used = np.asarray(document["quantiles"]["0.5"][: len(other)], dtype=float)
        in_use: Side = "model" if rival["of"] == "yardstick" else "yardstick"
        model, yardstick = (used, other) if in_use == "model" else (other, used)
        issued_at, start = (datetime.fromisoformat(document[key]) for key in ("issued_at", "start"))
        return cls(issued_at, start, in_use, model, yardstick)


@dataclass(frozen=True)
class Standing:
    """Which of the two is to be used from now on."""

    use: Side = "model"
    model_mae: float = 0.0
    yardstick_mae: float = 0.0
    issues: int = 0

    @property
    def reason(self) -> str:
        """Why the yardstick is used."""
        return (
            f"mean error {self.model_mae:.4g} against {self.yardstick_mae:.4g} in {self.issues} forecasts "
            f"of {SCORE_DAYS} days"
        )


def standing(issued: Sequence[Issued], actual: Measured, clock: LocalClock, at: datetime) -> Standing:
    """The verdict at `at` on forecasts of the last `SCORE_DAYS` and what was measured since; ignores all older ones."""
    recent = [one for one in issued if at - timedelta(days=SCORE_DAYS) <= one.issued_at < at]
    if not recent:
        return Standing()
    before = max(recent, key=lambda one: one.issued_at).in_use
    errors = [pair for one in recent if (pair := _errors(one, actual, clock)) is not None]
    if len(errors) < FEWEST_ISSUES:
        return Standing(use=before, issues=len(errors))
    model, yardstick = (float(value) for value in np.mean(errors, axis=0))
    limit = WORSE if before == "model" else BETTER
    return Standing("yardstick" if model > limit * yardstick else "model", model, yardstick, len(errors))


def _errors(one: Issued, actual: Measured, clock: LocalClock) -> tuple[float, float] | None:
    """Mean absolute errors of model and yardstick; None when less than half of the day was measured."""
    first = clock.first_step(one.start)
    measured = actual.at(np.arange(first, first + len(one.model), dtype=np.int64))
    known = np.isfinite(measured)
    if not len(known) or known.mean() < 0.5:
        return None
    return tuple(float(np.abs(path - measured)[known].mean()) for path in (one.model, one.yardstick))  # type: ignore[return-value]
