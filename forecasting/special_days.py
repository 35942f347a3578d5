"""What a load does on a holiday or closure day that it does not do on another day off.

    effect[d, slot] = Σ_s w[d, s]·(measured[s, slot] - P[s, slot]) / (Σ_s w[d, s] + 1)             (1)
    w[d, s] = u[d, s]·2^(-|d - s|/180 days)                                                        (2)
    u[d, s] = 1 where s lies within two weeks of d in whatever year, 0.1 else

s are the special days off that were measured, but d itself; P is the profile of ordinary days off as known on s. A
library open on Sundays is dark on the fourth of July, a plant that rests at the weekend may run through May Day: so
models learn and forecast the load without its effects, and what they forecast is moved by the effect of the day. The 1
in (1) is for doubt: a single day says half of what it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.boosted import YEAR_DAYS
from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.known import mean_of_known
from forecasting.measured import Measured
from forecasting.profile import TypeProfiles, day_matrix

NEAR_DAYS = 14
"""Holidays that follow the moon move by so much from year to year."""
OTHERS = 0.1
"""Weight of special days at another time of the year."""
HALF_LIFE_DAYS = 180.0
DOUBT = 1.0
SMOOTHED_HOURS = 1.0
"""Effects are averaged over so much on either side of a slot [h]."""


@dataclass(frozen=True)
class SpecialDays:
    """Effects of special days off, past and to come."""

    clock: LocalClock
    days: Ints
    """(n,) ascending numbers of the days."""
    effects: Array
    """(n, slots) [unit of the series]."""

    @classmethod
    def of(cls, past: Measured, clock: LocalClock, days: DayTable) -> SpecialDays:
        """What the measured special days say of all those that the table knows."""
        wanted = days.first + np.flatnonzero(days.off & days.special)
        seen, beyond = _beyond_profile(past, clock, days, wanted)
        smooth = _smoothed(beyond, clock.steps_in(SMOOTHED_HOURS))
        known = np.isfinite(smooth)
        weights = _weights(wanted, seen)
        effects = weights @ np.where(known, smooth, 0.0) / (weights @ known + DOUBT)
        return cls(clock, wanted, effects)

    def at(self, steps: Ints) -> Array:
        """(n,) effect at each step; 0 on ordinary days."""
        local_days, slots = self.clock.days_and_slots(steps)
        if not len(self.days):
            return np.zeros(len(steps))
        places = np.minimum(np.searchsorted(self.days, local_days), len(self.days) - 1)
        return np.where(self.days[places] == local_days, self.effects[places, slots], 0.0)

    def removed_from(self, past: Measured) -> Measured:
        """The series as if its special days had been ordinary days off."""
        return Measured(past.first, past.values - self.at(past.steps))


def _beyond_profile(past: Measured, clock: LocalClock, days: DayTable, special: Ints) -> tuple[Ints, Array]:
    """Special days that were measured, and (days, slots) what they had beyond the profile of ordinary days off."""
    local_days, _ = clock.days_and_slots(past.steps)
    ordinary = Measured(past.first, np.where(np.isin(local_days, special), np.nan, past.values))
    first, matrix = day_matrix(past, clock)
    seen = special[(special >= first) & (special < first + len(matrix))]
    profiles = TypeProfiles.of(ordinary, clock, days, seen)
    beyond = matrix[seen - first] - profiles.table[:, 1]
    measured = np.isfinite(beyond).any(axis=1)
    return seen[measured], beyond[measured]


def _smoothed(rows: Array, reach: int) -> Array:
    """Means of the known values up to `reach` slots away, within each row."""
    padded = np.pad(rows, ((0, 0), (reach, reach)), constant_values=np.nan)
    width = 2 * reach + 1
    return mean_of_known(np.stack([padded[:, k : k + rows.shape[1]] for k in range(width)], axis=-1))


def _weights(wanted: Ints, seen: Ints) -> Array:
    """(wanted, seen) w of (2); 0 for the day itself."""
    apart = np.abs(wanted[:, None] - seen[None, :])
    round_the_year = np.abs((apart + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2)
    weights = np.where(round_the_year <= NEAR_DAYS, 1.0, OTHERS) * 0.5 ** (apart / HALF_LIFE_DAYS)
    return np.where(apart == 0, 0.0, weights)
