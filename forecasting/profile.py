"""The same-type-day profile: what a slot usually is on a workday, and on a day off.

For each day on which a forecast may be issued: the mean, per slot, of the last four days of each type that were over
before it began. Deviations from it (anomalies) are what the near model forecasts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.day_types import Bools, DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured

DAYS_IN_MEAN = 4


@dataclass(frozen=True)
class TypeProfiles:
    """`table[i, off, slot]`: the profile known on day `days[i]`, for a workday (0) or a day off (1)."""

    days: Ints
    table: Array

    @classmethod
    def of(cls, past: Measured, clock: LocalClock, days: DayTable, known_on: Ints) -> TypeProfiles:
        """Profiles as known on the given (ascending) local days."""
        first, matrix = day_matrix(past, clock)
        off = days.is_off(first + np.arange(len(matrix)))
        usable = np.isfinite(matrix).mean(axis=1) >= 0.5 if len(matrix) else np.empty(0, dtype=bool)
        table = np.stack([_means(matrix, off, usable, int(day) - first) for day in known_on])
        return cls(np.asarray(known_on), table)

    def at(self, known_on: Ints, off: Bools, slots: Ints) -> Array:
        """Profile values as known on some days, for slots of workdays or days off; all broadcast together."""
        return self.table[np.searchsorted(self.days, known_on), off.astype(np.int64), slots]

    def at_steps(self, origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> Array:
        """(n origins, m leads) profile of each target as known on its origin's day."""
        origin_days, _ = clock.days_and_slots(origins)
        targets = origins[:, None] + leads[None, :]
        target_days, slots = clock.days_and_slots(targets.ravel())
        off = days.is_off(target_days)
        return self.at(origin_days[:, None], off.reshape(targets.shape), slots.reshape(targets.shape))


def day_matrix(past: Measured, clock: LocalClock) -> tuple[int, Array]:
    """Number of the first local day and (days, slots) the measured values by local day and slot."""
    if len(past.values) == 0:
        return 0, np.empty((0, clock.steps_per_day))
    days, slots = clock.days_and_slots(past.steps)
    matrix = np.full((int(days[-1] - days[0]) + 1, clock.steps_per_day), np.nan)
    matrix[days - days[0], slots] = past.values
    return int(days[0]), matrix


def anomalies(past: Measured, profiles: TypeProfiles, clock: LocalClock, days: DayTable) -> Array:
    """(n,) measured minus the profile known on the measurement's own day; NaN on days that `profiles` does not hold."""
    local_days, slots = clock.days_and_slots(past.steps)
    held = np.isin(local_days, profiles.days)
    out = np.full(len(past.values), np.nan)
    out[held] = past.values[held] - profiles.at(local_days[held], days.is_off(local_days[held]), slots[held])
    return out


def _means(matrix: Array, off: Bools, usable: Bools, row: int) -> Array:
    """(2, slots) means over the last four usable days of each type above `row`; of the other type if there is none."""
    before = slice(0, max(row, 0))
    picks = [np.flatnonzero(usable[before] & (off[before] == kind))[-DAYS_IN_MEAN:] for kind in (False, True)]
    work, free = (picks[0], picks[1]) if len(picks[0]) and len(picks[1]) else (np.concatenate(picks),) * 2
    return np.stack([_mean_of_known(matrix[work]), _mean_of_known(matrix[free])])


def _mean_of_known(rows: Array) -> Array:
    """(slots,) mean over rows, of the finite values; NaN where there is none."""
    finite = np.isfinite(rows)
    counts = finite.sum(axis=0)
    sums = np.where(finite, rows, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
