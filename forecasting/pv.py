"""PV: what the plant could feed in, from the last two weeks and from today's sky.

    ŷ[t] = q[slot(t)]·(1 + (r - 1)·f(lead))                                                   (1)

q are quantiles per slot over the last 14 days, r is measured over usual power of the last half hour, f fades from 1 to
0. Slots are counted in UTC: the sun knows no summer time. A slot that never produced is night and stays zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.day_types import LocalClock
from forecasting.forecast import LEVELS, Array
from forecasting.kinds import FitContext, Outcome
from forecasting.measured import Measured

WINDOW_DAYS = 14
SKY_HOURS = 0.5
FADE_HOURS = 6.0
RATIO_BOUNDS = (0.1, 2.0)
NIGHT_SHARE = 0.002
"""Power below this share of the capacity is none [-]: inverters idle a little above zero."""


@dataclass(frozen=True)
class Pv:
    """Available power of a PV plant [kW]."""

    capacity_kw: float
    measured: bool = True
    lowest: float = 0.0

    @property
    def highest(self) -> float:
        return self.capacity_kw

    def fit(self, past: Measured, context: FitContext) -> FittedPv:
        """Keeps the last two weeks."""
        clock = context.clock
        return FittedPv(clock, past.between(past.end - WINDOW_DAYS * clock.steps_per_day, past.end), self.capacity_kw)


@dataclass(frozen=True)
class FittedPv:
    clock: LocalClock
    kept: Measured
    capacity_kw: float

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        day = self.clock.steps_per_day
        past = self.kept.overlaid(recent, origin).between(origin - WINDOW_DAYS * day, origin)
        if past.known < day:
            return Outcome({level: np.zeros(end - origin) for level in LEVELS}, "zero (less than a day measured)")
        by_slot = np.clip(past.values.reshape(WINDOW_DAYS, day), 0.0, self.capacity_kw)  # column 0 is the origin's slot
        usual, most = _quantiles_by_slot(by_slot, NIGHT_SHARE * self.capacity_kw)
        lead = np.arange(end - origin)
        sky = 1 + (self._sky(past, usual[1]) - 1) * self._fade(lead)
        paths = np.minimum(usual[:, lead % day] * sky, most[lead % day])
        return Outcome({level: paths[i] for i, level in enumerate(LEVELS)}, "recent quantiles+intraday ratio")

    def _sky(self, past: Measured, median: Array) -> float:
        """Measured over usual power of the last half hour; 1 where there is too little sun or measurement to say."""
        count = self.clock.steps_in(SKY_HOURS) or 1
        seen, expected = past.values[-count:], median[-count:]
        known = np.isfinite(seen)
        if expected[known].sum() < 0.05 * self.capacity_kw * count:
            return 1.0
        return float(np.clip(seen[known].sum() / expected[known].sum(), *RATIO_BOUNDS))

    def _fade(self, lead: np.ndarray) -> Array:
        return np.clip(1 - lead * self.clock.step_minutes / 60 / FADE_HOURS, 0.0, 1.0)


def _quantiles_by_slot(by_slot: Array, night_kw: float) -> tuple[Array, Array]:
    """(3, slots) quantiles over the days, neighbouring slots taken in, and (slots,) the most each slot has given."""
    most = np.max(np.nan_to_num(by_slot), axis=0)
    night = most <= night_kw
    pooled = np.concatenate([np.roll(by_slot, shift, axis=1) for shift in (-1, 0, 1)])
    pooled[:, ~np.isfinite(pooled).any(axis=0)] = 0.0
    usual = np.nanquantile(pooled, LEVELS, axis=0)
    neighbours = np.max([np.roll(most, shift) for shift in (-1, 0, 1)], axis=0)
    return np.where(night, 0.0, usual), np.where(night, 0.0, neighbours)
