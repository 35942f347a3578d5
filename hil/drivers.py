"""What the surroundings do to the plant, minute by minute: recorded means with a seeded flutter inside each of them.

Within one recorded interval the value is held and a flutter of zero mean is laid on it, so that the energy of every
recorded interval stays what was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from optimizer.situation import Session
from optimizer.time_grid import Array

SMOOTHING_MINUTES = 3
"""Minutes over which the flutter is smoothed, so that neighbouring minutes are alike."""


@dataclass(frozen=True)
class Flutter:
    """How much one series moves within a recorded interval."""

    share: float
    """Standard deviation as a share of the recorded mean [-]."""
    ceiling: float = float("inf")
    """Value the series cannot exceed unless it was recorded so, e.g. the capacity of a PV plant."""


@dataclass(frozen=True)
class Drivers:
    """Minute values of the series and the cars that come, from `start` on."""

    start: datetime
    series: Mapping[str, Array]
    """By series name: (minutes,) means over each minute."""
    sessions: Mapping[str, tuple[Session, ...]]
    """By charger: cars in order of arrival."""
    minutes: int
    said: Mapping[str, Session] = field(default_factory=dict)
    """By session: what was announced of a car that does something else."""

    def as_said(self, car: Session) -> Session:
        """What the site is told of a car that stands there."""
        return self.said.get(car.session_id, car)

    def offset(self, at: datetime) -> int:
        """Row of the minute that starts at `at`; raises ValueError outside the drivers."""
        row = round((at - self.start) / timedelta(minutes=1))
        if not 0 <= row <= self.minutes:
            raise ValueError(f"{at} is outside the drivers, which cover {self.minutes} minutes from {self.start}")
        return row

    def get(self, name: str, first: int, n: int, default: float = 0.0) -> Array:
        """(n,) minutes of one series from row `first`; `default` everywhere when it is not recorded."""
        if first + n > self.minutes:
            raise ValueError(f"{n} minutes from row {first} asked, the drivers hold {self.minutes}")
        if name not in self.series:
            return np.full(n, default)
        return self.series[name][first : first + n]


def flutter_around(means: Array, minutes: int, flutter: Flutter, rng: np.random.Generator) -> Array:
    """(len(means)·minutes,) minute values whose mean over each recorded interval is that interval's value.

    Values stay at or above 0 and at or below the ceiling (or the recorded mean, whichever is higher).
    """
    noise = rng.standard_normal((len(means), minutes + SMOOTHING_MINUTES - 1))
    window = np.ones(SMOOTHING_MINUTES) / np.sqrt(SMOOTHING_MINUTES)
    smooth = np.apply_along_axis(np.convolve, 1, noise, window, "valid")
    wave = (smooth - smooth.mean(axis=1, keepdims=True)) * flutter.share * means[:, None]
    down = np.minimum(1.0, means / np.maximum(-wave.min(axis=1), 1e-12))
    up = np.minimum(1.0, np.maximum(flutter.ceiling - means, 0.0) / np.maximum(wave.max(axis=1), 1e-12))
    values: Array = (means[:, None] + wave * np.minimum(down, up)[:, None]).ravel()
    return values


def minute_drivers(
    frame: pd.DataFrame,
    sessions: Mapping[str, tuple[Session, ...]],
    start: datetime,
    quarters: int,
    flutters: Mapping[str, Flutter],
    rng: np.random.Generator,
) -> Drivers:
    """Minute drivers of `quarters` quarter hours from `start`, out of a recorded frame with a regular UTC index.

    Series without an entry in `flutters` are held.

    Raises:
        ValueError: the frame does not cover the span or has gaps in it.
    """
    start = start.astimezone(UTC)
    step = int((frame.index[1] - frame.index[0]).total_seconds() // 60)
    end = start + timedelta(minutes=15 * quarters)
    begin = pd.Timestamp(start).floor(f"{step}min")
    covered = frame.loc[(frame.index >= begin) & (frame.index < end)]
    if len(covered) == 0 or covered.index[0] != begin or covered.index[-1] + timedelta(minutes=step) < end:
        raise ValueError(f"the record covers {frame.index[0]} to {frame.index[-1]}, the run needs {start} to {end}")
    skip, minutes = int((pd.Timestamp(start) - begin).total_seconds() // 60), 15 * quarters
    series = {}
    for name in covered.columns:
        means = covered[name].to_numpy(dtype=float)
        if not np.all(np.isfinite(means)):
            raise ValueError(f"{name} has {means[~np.isfinite(means)][0]} between {start} and {end}")
        values = flutter_around(means, step, flutters[name], rng) if name in flutters else np.repeat(means, step)
        series[name] = values[skip : skip + minutes]
    return Drivers(start, series, sessions, minutes)
