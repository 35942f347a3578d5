"""Outdoor temperature: a weather forecast where one was issued and proved better, else yesterday's course; either
moved by how today differs so far.

    ŷ[o+h] = base[o+h] + (y[o-1] - y[o-1-24 h])·exp(-h/6 h)                                    (1)

base is the same slot of the last day measured, and goes over to the mean of the last seven days between one and three
days ahead, where yesterday no longer says more than any other day. A weather forecast takes the place of base.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from forecasting.cleaning import Nature
from forecasting.day_types import Ints, LocalClock
from forecasting.forecast import Array
from forecasting.kinds import FitContext, Outcome
from forecasting.measured import Measured
from forecasting.published import SECONDS_RANGE, Announced, Published
from forecasting.spread import around, error_quantiles

FADE_HOURS = 6.0
WEEK_DAYS = 7
ERROR_DAYS = 28
ERROR_LEADS_HOURS = 72
ERROR_EVERY_HOURS = 1.75
TEMPERATURE = "weather.temperature_c"
FEWEST_FORETOLD = 1000
"""Below so many pairs of origin and target a weather forecast is not yet believed."""


@dataclass(frozen=True)
class Temperature:
    """Outdoor air temperature [°C]."""

    lowest: float = -60.0
    highest: float = 60.0
    measured: bool = True
    nature: Nature = "temperature"

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
        told = context.published.of_series(TEMPERATURE)
        missed = past.at(origins[:, None] + leads) - _foretold(past, told, origins, leads, clock)
        believed = error_quantiles(missed) if _is_better(missed, errors) else None
        return FittedTemperature(clock, kept, error_quantiles(errors), believed, (self.lowest, self.highest))


def _is_better(missed: Array, own: Array) -> bool:
    """Whether a weather forecast came nearer, where both can be judged."""
    both = np.isfinite(missed) & np.isfinite(own)
    return bool(both.sum() >= FEWEST_FORETOLD and np.abs(missed[both]).mean() < np.abs(own[both]).mean())


@dataclass(frozen=True)
class FittedTemperature:
    clock: LocalClock
    kept: Measured
    errors: Array
    """(levels, leads up to 72 h) error quantiles; later leads have those of the last one."""
    foretold_errors: Array | None
    """The same of the weather forecast; None where it is not better, or too little of it is known."""
    limits: tuple[float, float]
    published: Published = field(default_factory=Published)

    def told(self, published: Published) -> FittedTemperature:
        """Knowing what was announced before the issue time."""
        return replace(self, published=published)

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        past = self.kept.overlaid(recent, origin).bridged(self.clock.steps_in(1))
        leads = np.arange(end - origin, dtype=np.int64)
        origins, row = np.array([origin], dtype=np.int64), np.minimum(leads, self.errors.shape[1] - 1)
        median, errors = _course(past, origins, leads, self.clock)[0], self.errors[:, row]
        if self.foretold_errors is None:
            return Outcome(around(median, errors, *self.limits), "yesterday+fading anomaly")
        announced = self.published.of_series(TEMPERATURE)
        foretold = _foretold(past, announced, origins, leads, self.clock, SECONDS_RANGE - 1)[0]
        known = np.isfinite(foretold)
        median, errors = np.where(known, foretold, median), np.where(known, self.foretold_errors[:, row], errors)
        method = "weather forecast+fading anomaly" if known.any() else "yesterday+fading anomaly"
        return Outcome(around(median, errors, *self.limits), method)


def _foretold(
    past: Measured, announced: Announced, origins: Ints, leads: Ints, clock: LocalClock, before_s: int | None = None
) -> Array:
    """(n, m) (1) with the weather forecast issued last before each origin, or before a moment; NaN where none was."""
    before = origins * clock.step_minutes * 60 if before_s is None else np.full(len(origins), before_s)
    foretold = announced.at(origins[:, None] + leads, before[:, None])
    anomaly = np.nan_to_num(past.at(origins - 1) - announced.at(origins - 1, before))
    return foretold + anomaly[:, None] * _fading(leads, clock)


def _fading(leads: Ints, clock: LocalClock) -> Array:
    return np.exp(-leads * clock.step_minutes / 60 / FADE_HOURS)


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
    return base + anomaly[:, None] * _fading(leads, clock)


def _mean_of_known(stacked: Array) -> Array:
    counts = np.isfinite(stacked).sum(axis=0)
    return np.where(counts > 0, np.nan_to_num(stacked).sum(axis=0) / np.maximum(counts, 1), np.nan)
