"""The same-type-day profile: what a slot usually is on a workday, and on a day off.

For each day on which a forecast may be issued: the last days of each type that were over before it began. The mean of
four of them, per slot, is the profile; deviations from it (anomalies) are what the near model forecasts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecasting.day_types import Bools, DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured

DAYS_IN_MEAN = 4
DAYS_HELD = 8
FAR_DAYS = 99
KINDS = (False, True)
"""Workdays, days off."""


@dataclass(frozen=True)
class TypeProfiles:
    """What is known on day `days[i]` about a slot of a workday (0) or a day off (1): tables `[i, off, slot]`."""

    days: Ints
    table: Array
    """The profile: mean of the last four days of the type."""
    latest: Array
    """The last day of the type."""
    longer: Array
    """Mean of the last eight days of the type."""
    measured: Array
    """(all days + 1, slots) what was measured; the last row stands for a day that there is not, and is NaN."""
    rows: Ints
    """`[i, off, k]` row of `measured` with the last but k day of the type."""

    @classmethod
    def of(cls, past: Measured, clock: LocalClock, days: DayTable, known_on: Ints) -> TypeProfiles:
        """Profiles as known on the given (ascending) local days."""
        first, matrix = day_matrix(past, clock)
        off = days.is_off(first + np.arange(len(matrix)))
        usable = np.isfinite(matrix).mean(axis=1) >= 0.5 if len(matrix) else np.empty(0, dtype=bool)
        known_on = np.asarray(known_on, dtype=np.int64)
        rows = _last_rows(usable, off, known_on - first)
        measured = np.concatenate([matrix, np.full((1, clock.steps_per_day), np.nan)])
        back = measured[rows]
        table = _mean_of_known(back[:, :, :DAYS_IN_MEAN])
        latest = np.where(np.isfinite(back[:, :, 0]), back[:, :, 0], table)
        return cls(known_on, table, latest, _mean_of_known(back), measured, rows)

    @classmethod
    def known_at(cls, past: Measured, origin: int, clock: LocalClock, days: DayTable) -> TypeProfiles:
        """Profiles as known on the local day of one origin."""
        known_on, _ = clock.days_and_slots(np.array([origin], dtype=np.int64))
        return cls.of(past.between(past.first, origin), clock, days, known_on)

    def at_steps(self, table: Array, origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> Array:
        """(n origins, m leads) values of one table for each target as known on its origin's day."""
        return self.at(table, origins[:, None], origins[:, None] + leads, clock, days)

    def at(self, table: Array, origins: Ints, targets: Ints, clock: LocalClock, days: DayTable) -> Array:
        """The same for any targets, in the shape of both."""
        places = np.searchsorted(self.days, clock.days_and_slots(origins)[0])
        target_days, slots = clock.days_and_slots(targets)
        values: Array = table[places, days.is_off(target_days).astype(np.int64), slots]
        return values

    def single_days(self, known_on: Ints, off: Bools, slots: Ints) -> tuple[Array, Ints]:
        """(8, n) values of a slot on each of the last eight days of a type as known on a day, and how old they are.

        Ages are in days, from the first of the type on; days that there are not count as far away.
        """
        places = np.searchsorted(self.days, known_on)
        rows = self.rows[places, off.astype(np.int64)].T
        latest = self.rows[places].max(axis=(1, 2))
        return self.measured[rows, slots], np.where(rows >= 0, latest - rows, FAR_DAYS)


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
    held = np.isin(clock.days_and_slots(past.steps)[0], profiles.days)
    steps = past.steps[held]
    out = np.full(len(past.values), np.nan)
    out[held] = past.values[held] - profiles.at(profiles.table, steps, steps, clock, days)
    return out


def _last_rows(usable: Bools, off: Bools, known_on: Ints) -> NDArray[np.int64]:
    """(days, 2, 8) rows of the last usable days of each type before each day, latest first; -1 where there is none.

    Where one type has never been seen, the other stands for it.
    """
    rows = np.stack([_before(np.flatnonzero(usable & (off == kind)), known_on) for kind in KINDS], axis=1)
    every = _before(np.flatnonzero(usable), known_on)
    unseen = (rows[:, :, 0] < 0).any(axis=1)
    rows[unseen] = every[unseen, None]
    return rows


def _before(candidates: Ints, known_on: Ints) -> NDArray[np.int64]:
    """(days, 8) the last of the ascending candidates below each day, latest first; -1 where there is none."""
    places = np.searchsorted(candidates, known_on)[:, None] - 1 - np.arange(DAYS_HELD)
    if len(candidates) == 0:
        return np.full(places.shape, -1, dtype=np.int64)
    return np.where(places >= 0, candidates[np.maximum(places, 0)], -1)


def _mean_of_known(days: Array) -> Array:
    """Mean over axis 2 (days) of the finite values; NaN where there is none."""
    finite = np.isfinite(days)
    counts = finite.sum(axis=2)
    sums = np.where(finite, days, 0.0).sum(axis=2)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
