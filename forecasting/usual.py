"""What a series usually does: its course over the day in the weeks around, and traits by which dirt stands out.

Dirt is judged against the series itself: against the median of the same slot on days of the same type, against how far
single values usually stand out from their neighbours, how long equal values usually last, and how high a day goes.
All are medians or quantiles, so that some dirt in the history does not hide more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from forecasting.day_types import Bools, DayTable, Ints, LocalClock
from forecasting.forecast import Array

DAYS_AROUND = (61, 25)
"""Workdays and days off in the rolling median: twelve weeks each, so that two wrong weeks at the end stand out."""
NEIGHBOUR_HOURS = 1.0
"""Neighbours of a value: so many hours on either side, two steps at least."""
NATURAL_ZEROS = 0.01
"""Share of zeros in a slot from which on they belong to the series [-]."""
LONG_ZEROS_HOURS = 36.0
RARE_EVERY_DAYS = 30.0
"""Zeros over a longer time say nothing on whether zero is usual, if they are rarer than this."""
NOTHING = 0.02
"""Up to this share of what is usual a value is next to nothing [-]."""
CHANCE = 0.01
"""Accepted probability of finding one run of equal values too many in a clean history [-]."""
FEWEST_EQUAL = 12
SHORTEST_FROZEN_HOURS = 4.0


class Places(NamedTuple):
    """Where each step lies: (n,) day, slot of the day, and whether it is a day off."""

    days: Ints
    slots: Ints
    off: Bools


def people_places(steps: Ints, clock: LocalClock, days: DayTable) -> Places:
    """By the site's local days and their types: for what people do."""
    local_days, slots = clock.days_and_slots(steps)
    return Places(local_days, slots, days.is_off(local_days))


def sun_places(steps: Ints, clock: LocalClock) -> Places:
    """By UTC days, all of one type: for what the sun does."""
    per_day = clock.steps_per_day
    return Places(steps // per_day, steps % per_day, np.zeros(len(steps), dtype=bool))


@dataclass(frozen=True)
class Traits:
    """What single values of a series are measured by, in its unit."""

    jump: float
    """99 % quantile of the distance of a value to the median of its neighbours, their usual course taken off."""
    late_jump: float
    """The same for the neighbours before it only."""
    equal_steps: int
    """Equal values over more steps than this are no chance."""
    natural_zero: Bools
    """(2, slots) whether zero is a usual value, on workdays and days off."""
    bottom: float
    top: float
    """What a day's lowest positive and highest value exceed on one day in twenty only."""


@dataclass(frozen=True)
class Usual:
    """As known at the end of a history."""

    course: Array
    """(2, slots) median of the last weeks on workdays and days off."""
    traits: Traits

    def at(self, places: Places) -> Array:
        course: Array = self.course[places.off.astype(np.int64), places.slots]
        return course


def usual_course(values: Array, places: Places, per_day: int) -> tuple[Array, Array]:
    """(n,) median of the same slot over days of the same type around each, and (2, slots) its last state."""
    rows = places.days - places.days[0]
    matrix = np.full((int(rows[-1]) + 1, per_day), np.nan)
    matrix[rows, places.slots] = values
    off = np.zeros(len(matrix), dtype=bool)
    off[rows] = places.off
    smooth, last = np.empty_like(matrix), np.empty((2, per_day))
    for kind in (0, 1):
        of_kind = np.flatnonzero(off == bool(kind))
        known = np.isfinite(matrix[of_kind]).any(axis=1).sum()
        picked = of_kind if known >= 3 else np.arange(len(matrix))
        medians = pd.DataFrame(matrix[picked]).rolling(DAYS_AROUND[kind], center=True, min_periods=1).median()
        filled = medians.bfill().ffill().to_numpy()
        smooth[of_kind] = filled[np.searchsorted(picked, of_kind)]
        last[kind] = filled[-1]
    return smooth[rows, places.slots], last


def learn_traits(values: Array, course: Array, places: Places, clock: LocalClock, frozen_hours: float) -> Traits:
    """Traits of a history; `frozen_hours` is the least time over which equal values are suspect."""
    bottom, top = _day_range(values, places)
    both_sides, before = standing_out(values, course, clock)
    return Traits(
        jump=_quantile(np.abs(both_sides)),
        late_jump=_quantile(np.abs(before)),
        equal_steps=max(FEWEST_EQUAL, clock.steps_in(frozen_hours), _longest_by_chance(values, places, clock)),
        natural_zero=_natural_zero(values, course, places, clock),
        bottom=bottom,
        top=top,
    )


def standing_out(values: Array, course: Array, clock: LocalClock) -> tuple[Array, Array]:
    """(n,) value minus the median of its neighbours on both sides, and minus that of those before it and itself.

    The usual course is taken off first. NaN where less than half of the neighbours are known, and near the end of the
    series on both sides.
    """
    reach = neighbours(clock)
    apart = values - course
    padded = np.concatenate([np.full(2 * reach, np.nan), apart, np.full(reach, np.nan)])
    ending = _median_of_rows(sliding_window_view(padded, 2 * reach + 1), reach + 1)
    centred = np.where(np.arange(len(apart)) < len(apart) - reach, ending[reach:], np.nan)
    return apart - centred, apart - ending[: len(apart)]


def neighbours(clock: LocalClock) -> int:
    """How many steps on either side a value is compared with."""
    return max(2, clock.steps_in(NEIGHBOUR_HOURS))


def _median_of_rows(rows: Array, fewest: int) -> Array:
    """(n,) median of the finite values of each row; NaN for rows with fewer than `fewest`."""
    ordered = np.sort(rows, axis=1)
    known = np.isfinite(rows).sum(axis=1)
    at = np.arange(len(rows))
    middle = (ordered[at, np.maximum(known - 1, 0) // 2] + ordered[at, np.minimum(known // 2, rows.shape[1] - 1)]) / 2
    return np.where(known >= fewest, middle, np.nan)


def runs_of(mask: Bools) -> tuple[Ints, Ints]:
    """Starts and ends (exclusive) of the runs of True."""
    if not mask.any():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def sun_clock(clock: LocalClock) -> LocalClock:
    return LocalClock(ZoneInfo(str(UTC)), clock.step_minutes)


def _quantile(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, 0.99)) if len(known) else np.inf


def _longest_by_chance(values: Array, places: Places, clock: LocalClock) -> int:
    """Run of equal values that a clean history of this length holds with probability `CHANCE`.

    The chance that a value repeats is taken per slot (nights repeat more than days); the worst hour of the day counts.
    """
    equal = (values[1:] == values[:-1]) & (values[1:] != 0)
    seen = np.isfinite(values[1:])
    counts = np.bincount(places.slots[1:][seen], minlength=clock.steps_per_day)
    repeats = np.bincount(places.slots[1:][equal & seen], minlength=clock.steps_per_day)
    hour = np.ones(max(1, clock.steps_in(1.0)))
    share = np.convolve(repeats, hour, mode="valid") / np.maximum(np.convolve(counts, hour, mode="valid"), 1)
    worst = float(np.clip(share.max(), 0.0, 0.98))
    return int(np.ceil(np.log(CHANCE / max(len(values), 1)) / np.log(worst))) if worst > 0 else 0


def next_to_nothing(values: Array, course: Array) -> Bools:
    """(n,) whether a value is zero, or hardly more, where the usual course is well above zero."""
    high = course > 0.1 * (float(np.median(course[course > 0])) if np.any(course > 0) else np.inf)
    nothing: Bools = high & (values >= 0) & (values <= NOTHING * course)
    return nothing


def _natural_zero(values: Array, course: Array, places: Places, clock: LocalClock) -> Bools:
    """(2, slots): zeros (or next to nothing) outside long runs are frequent in the slot or beside it."""
    per_day = clock.steps_per_day
    zero = (values == 0) | next_to_nothing(values, course)
    long = [(a, b) for a, b in zip(*runs_of(zero), strict=True) if b - a >= clock.steps_in(LONG_ZEROS_HOURS)]
    if len(long) < len(values) / per_day / RARE_EVERY_DAYS:
        for start, end in long:
            zero[start:end] = False
    key = places.off * per_day + places.slots
    seen = np.isfinite(values)
    counts = np.bincount(key[seen], minlength=2 * per_day).reshape(2, per_day)
    zeros = np.bincount(key[zero], minlength=2 * per_day).reshape(2, per_day)
    natural: Bools = zeros > NATURAL_ZEROS * counts + 1
    return natural | np.roll(natural, 1, axis=1) | np.roll(natural, -1, axis=1)


def _day_range(values: Array, places: Places) -> tuple[float, float]:
    """5 % quantile of the days' lowest positive and 95 % quantile of their highest values."""
    known = np.isfinite(values) & (values > 0)
    if not known.any():
        return 0.0, np.inf
    by_day = pd.Series(values[known]).groupby(places.days[known])
    return float(by_day.min().quantile(0.05)), float(by_day.max().quantile(0.95))
