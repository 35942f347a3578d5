"""Outdoor temperature without a weather service: yesterday's course, moved by how today differs so far.

    ŷ[o+h] = base[o+h] + (y[o-1] - y[o-1-24 h])·exp(-h/6 h)                                    (1)

base is the same slot of the last day measured, and goes over to the mean of the last seven days between one and three
days ahead, where yesterday no longer says more than any other day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.day_types import Ints, LocalClock
from forecasting.forecast import Array
from forecasting.kinds import FitContext, Outcome
from forecasting.measured import Measured
from forecasting.spread import around, error_quantiles

FADE_HOURS = 6.0
WEEK_DAYS = 7
ERROR_DAYS = 28
ERROR_LEADS_HOURS = 72
ERROR_EVERY_HOURS = 1.75


@dataclass(frozen=True)
class Temperature:
    """Outdoor air temperature [°C]."""

    lowest: float = -60.0
    highest: float = 60.0
    measured: bool = True

    def fit(self, past: Measured, context: FitContext) -> FittedTemperature:
        """Measures the errors of the recipe over the last four weeks.

        Raises:
            ValueError: less than nine days of measurements.
        """
        clock = context.clock
        past = past.bridged(clock.steps_in(1))
        needed = (WEEK_DAYS + 2) * clock.steps_per_day
        if past.known < needed:
            raise ValueError(f"{past.known / clock.steps_per_day:.1f} days of history, {WEEK_DAYS + 2} needed")
        first = max(past.first + needed - clock.steps_per_day, past.end - ERROR_DAYS * clock.steps_per_day)
        origins = np.arange(first, past.end, clock.steps_in(ERROR_EVERY_HOURS) or 1, dtype=np.int64)
        leads = np.arange(clock.steps_in(ERROR_LEADS_HOURS), dtype=np.int64)
        errors = past.at(origins[:, None] + leads) - _course(past, origins, leads, clock)
        kept = past.between(past.end - (WEEK_DAYS + 1) * clock.steps_per_day, past.end)
        return FittedTemperature(clock, kept, error_quantiles(errors), (self.lowest, self.highest))


@dataclass(frozen=True)
class FittedTemperature:
    clock: LocalClock
    kept: Measured
    errors: Array
    """(levels, leads up to 72 h) error quantiles; later leads have those of the last one."""
    limits: tuple[float, float]

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        past = self.kept.overlaid(recent, origin).bridged(self.clock.steps_in(1))
        leads = np.arange(end - origin, dtype=np.int64)
        median = _course(past, np.array([origin], dtype=np.int64), leads, self.clock)[0]
        errors = self.errors[:, np.minimum(leads, self.errors.shape[1] - 1)]
        return Outcome(around(median, errors, *self.limits), "yesterday+fading anomaly")


def _course(past: Measured, origins: Ints, leads: Ints, clock: LocalClock) -> Array:
    """(n, m) the recipe (1)."""
    day = clock.steps_per_day
    back = day * (leads // day + 1)
    slot = origins[:, None] + (leads - back)[None, :]
    yesterday = past.at(slot)
    week = _mean_of_known(np.stack([past.at(slot - day * k) for k in range(WEEK_DAYS)]))
    later = np.clip((leads / day - 1) / 2, 0.0, 1.0)
    base = (1 - later) * np.where(np.isfinite(yesterday), yesterday, week) + later * week
    anomaly = np.nan_to_num(past.at(origins - 1) - past.at(origins - 1 - day))
    return base + anomaly[:, None] * np.exp(-leads * clock.step_minutes / 60 / FADE_HOURS)


def _mean_of_known(stacked: Array) -> Array:
    counts = np.isfinite(stacked).sum(axis=0)
    return np.where(counts > 0, np.nan_to_num(stacked).sum(axis=0) / np.maximum(counts, 1), np.nan)
