"""What others announce ahead: weather forecasts, day-ahead prices. Each value carries the moment it became known.

A value can be read only together with a moment, and then only what was issued before it: a later forecast of the same
interval, or a price not yet out, cannot be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd

from forecasting.day_types import Ints, LocalClock
from forecasting.forecast import Array

ISSUED, TIME = "issued_at", "time"
SECONDS_RANGE = 1 << 34
"""Above any issue time [s since 1970]: step and issue time together make one sortable number."""


@dataclass(frozen=True)
class Announced:
    """All values of one series, whenever issued: sorted by step, then by issue time."""

    keys: Ints
    """(n,) step · `SECONDS_RANGE` + issue time [s since 1970]."""
    values: Array
    held: int = 1
    """Steps that one value stands for, counted from a whole multiple of them."""

    @classmethod
    def nothing(cls) -> Announced:
        return cls(np.empty(0, dtype=np.int64), np.empty(0))

    @property
    def last_step(self) -> int:
        """The furthest step of which something was said; -1 of none."""
        return int(self.keys[-1] // SECONDS_RANGE) if len(self.keys) else -1

    def at(self, steps: Ints, before_s: Ints | int) -> Array:
        """The value issued last before `before_s` (both broadcast); NaN where none was."""
        steps, before = np.broadcast_arrays(np.asarray(steps, dtype=np.int64), np.asarray(before_s, dtype=np.int64))
        place = np.searchsorted(self.keys, steps * SECONDS_RANGE + before) - 1
        held = np.maximum(place, 0)
        known = (place >= 0) & (self.keys[held] // SECONDS_RANGE == steps) if len(self.keys) else np.zeros(0, bool)
        return np.where(known, self.values[held], np.nan) if len(self.keys) else np.full(steps.shape, np.nan)


@dataclass(frozen=True)
class Published:
    """By series name: what was announced of it."""

    series: dict[str, Announced] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: pd.DataFrame | None, clock: LocalClock, before: datetime) -> Published:
        """From columns `issued_at`, `time` (UTC) and values; rows issued at `before` or later are dropped.

        A value that stands for an interval longer than the clock's step holds for all steps in it.
        """
        if rows is None or rows.empty:
            return cls()
        known = rows[rows[ISSUED] < pd.Timestamp(before)]
        names = [str(name) for name in known.columns if name not in (ISSUED, TIME)]
        return cls({name: _announced(known[[ISSUED, TIME, name]].dropna(), name, clock) for name in names})

    def of_series(self, name: str) -> Announced:
        return self.series.get(name, Announced.nothing())


def _announced(rows: pd.DataFrame, name: str, clock: LocalClock) -> Announced:
    issued = pd.DatetimeIndex(rows[ISSUED]).as_unit("s").asi8
    held = np.arange(_steps_held(rows, clock), dtype=np.int64)
    steps = clock.step_numbers(pd.DatetimeIndex(rows[TIME]))[:, None] + held
    keys = (steps * SECONDS_RANGE + issued[:, None]).ravel()
    values = np.repeat(rows[name].to_numpy(dtype=float), len(held))
    order = np.argsort(keys, kind="stable")
    return Announced(keys[order], values[order], len(held))


def _steps_held(rows: pd.DataFrame, clock: LocalClock) -> int:
    """How many steps one value stands for: the spacing of the times of one issue."""
    times = pd.DatetimeIndex(rows[TIME]).as_unit("s").asi8
    issued = pd.DatetimeIndex(rows[ISSUED]).as_unit("s").asi8
    order = np.lexsort((times, issued))
    apart = np.diff(times[order])[np.diff(issued[order]) == 0]
    return max(1, round(float(np.median(apart)) / (clock.step_minutes * 60))) if len(apart) else 1
