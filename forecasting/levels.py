"""Lasting changes of level in a history: another unit, which is converted, or another meter or user, which is kept.

A day's level is the median of the logarithm of its values over what is usual in their slot. It changes where the
median of the days before and of those after differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from forecasting.checks import FACTOR_TOLERANCE, FACTORS, Remedy, as_factor
from forecasting.day_types import Bools, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.usual import Places

UNIT_DAYS = 5
"""Days on either side of a change of unit, at least."""
UNIT_CHANGE = np.log(3.0)
SHARP_DAYS = 2
"""A unit, a meter and a user change from one day to the next; seasons take longer."""
SHARP = 0.6
"""Share of the change between the two days before and after; the day of the change may be half and half."""
AT_ONCE_HOURS = 6.0
AT_ONCE = 0.75
"""Share of a change of unit between the hours before and after one step."""
UNUSUAL = 8.0
"""Times the usual change from two days to the next two, so that loads that follow the weather need more."""
LEVEL_DAYS = 21
LEVEL_CHANGE = np.log(1.5)
NEW_BY = np.log(1.15)
"""A level is new when it lies so far beyond all earlier ones: seasons come again, a new user does not."""
LEARN_DAYS = 60
"""After a change of level the days before it are left out as soon as so many days stand after it."""
EARLIER_DAYS = 60
"""What has been seen for a shorter time is no level that could change."""
USUAL_SPREADS = 3.0
"""Times the robust deviation of the days before that a new level lies away."""
SHAPE_DAYS = 30
SAME_SHAPE = 0.4
"""Of the logarithm: the range that holds the change of four fifths of the slots."""


@dataclass(frozen=True)
class LevelChange:
    """From step `place` of the history on, `factor` times as much."""

    place: int
    factor: float
    learn_from_here: bool


@dataclass(frozen=True)
class DailyLevels:
    """Logarithmic levels of the days that have one, so that days without values do not hide a change."""

    days: Ints
    """Their numbers, from the first day of the series."""
    levels: Array

    def change(self, count: int) -> Array:
        """(days,) median of the `count` days from each day on, less that of the `count` days before it."""
        series, fewest = pd.Series(self.levels), (count + 1) // 2
        before = series.rolling(count, min_periods=fewest).median().shift(1)
        after = series[::-1].rolling(count, min_periods=fewest).median()[::-1]
        change: Array = (after - before).fillna(0.0).to_numpy(dtype=float)
        return change

    def sharp(self, change: Array) -> Bools:
        """(days,) whether a change of that size happened overnight, and is far beyond what happens every week."""
        overnight = self.change(SHARP_DAYS)
        usual = float(np.median(np.abs(overnight))) if len(overnight) else 0.0
        same_way = np.sign(overnight) == np.sign(change)
        sharp: Bools = same_way & (np.abs(overnight) > np.maximum(SHARP * np.abs(change), UNUSUAL * usual))
        return sharp


def units_aligned(values: Array, places: Places, clock: LocalClock) -> Remedy:
    """Stretches in another unit than the longest one converted to it."""
    changes = _unit_changes(values, places, clock)
    if not changes:
        return Remedy(np.zeros(len(values), dtype=bool), values)
    edges = [0, *(place for place, _ in changes), len(values)]
    logs = np.concatenate([[0.0], np.cumsum([np.log(factor) for _, factor in changes])])
    lengths = [np.count_nonzero(np.isfinite(values[a:b])) for a, b in pairwise(edges)]
    longest = int(np.argmax(lengths))
    pieces = [_median_log(values[a:b]) for a, b in pairwise(edges)]
    logs = np.array(
        [
            log if _nearer(piece - pieces[longest], log) else 0.0
            for piece, log in zip(pieces, logs - logs[longest], strict=True)
        ]
    )
    factors = np.exp(np.repeat(logs, np.diff(edges)))
    marked = (factors != 1.0) & np.isfinite(values)
    notes = dict.fromkeys(as_factor(factor) for factor in factors[marked].tolist())
    return Remedy(marked, np.where(marked, values / factors, values), ", ".join(notes))


def _nearer(apart: float, log: float) -> bool:
    """Whether a conversion brings two stretches together: half of what lies between them at least."""
    return bool(log != 0.0 and abs(apart - log) < 0.5 * abs(apart))


def _median_log(values: Array) -> float:
    positive = values[values > 0]
    return float(np.log(np.median(positive))) if len(positive) else 0.0


def level_change(values: Array, places: Places, clock: LocalClock) -> LevelChange | None:
    """The last lasting change to a level that the series has not had before; None when there is none."""
    daily = _daily_levels(values, places, clock.steps_per_day)
    change = daily.change(LEVEL_DAYS)
    lasting = (np.abs(change) > LEVEL_CHANGE) & daily.sharp(change)
    for day in _peaks(np.where(lasting, np.abs(change), 0.0), LEVEL_DAYS)[::-1]:
        if day >= EARLIER_DAYS and _is_new(daily.levels, int(day), float(change[day])):
            number = int(daily.days[day])
            place = int(np.flatnonzero(places.days - places.days[0] >= number)[0])
            learn = int(places.days[-1] - places.days[0]) - number >= LEARN_DAYS
            return LevelChange(place, float(np.exp(change[day])), learn)
    return None


def _is_new(levels: Array, day: int, change: float) -> bool:
    """Whether the level from `day` on lies beyond all three-week levels before it, and far from most days."""
    earlier = pd.Series(levels[:day]).rolling(LEVEL_DAYS, min_periods=LEVEL_DAYS // 2).median().dropna()
    after = float(np.median(levels[day : day + LEVEL_DAYS]))
    beyond = after - float(earlier.max()) if change > 0 else float(earlier.min()) - after
    spread = 1.4826 * float(np.median(np.abs(levels[:day] - np.median(levels[:day]))))
    return beyond > NEW_BY and abs(change) > USUAL_SPREADS * spread


def _unit_changes(values: Array, places: Places, clock: LocalClock) -> list[tuple[int, float]]:
    """Step and factor of every change of unit, in order."""
    daily = _daily_levels(values, places, clock.steps_per_day)
    change = daily.change(UNIT_DAYS)
    large = (np.abs(change) > UNIT_CHANGE) & daily.sharp(change)
    changes = []
    for day in _peaks(np.where(large, np.abs(change), 0.0), UNIT_DAYS):
        factor = known_factor(float(change[day]))
        number = int(daily.days[day])
        if factor is None or not _same_shape(values, places, number, clock.steps_per_day):
            continue
        place = _step_of_change(values, places, number, np.log(factor), clock.steps_in(AT_ONCE_HOURS))
        if place is not None:
            changes.append((place, factor))
    return changes


def _step_of_change(values: Array, places: Places, day: int, change: float, hours: int) -> int | None:
    """The step near a day's beginning at which the values jump most; None when they do not change there for good."""
    number = places.days - places.days[0]
    relative = _relative_logs(values, places)
    near = np.flatnonzero((number >= day - 1) & (number <= day + 1) & np.isfinite(relative))
    before = np.flatnonzero((number < day - 1) & np.isfinite(relative))[-hours:]
    at = np.concatenate([before, near])
    logs = np.sign(change) * relative[at]
    if len(logs) < 2 * hours:
        return None
    jump = int(np.argmax(np.diff(logs)[hours - 1 : len(logs) - hours])) + hours
    gained = float(np.median(logs[jump : jump + hours]) - np.median(logs[jump - hours : jump]))
    return int(at[jump]) if gained > AT_ONCE * abs(change) else None


def known_factor(change: float) -> float | None:
    """The factor between units that a change of the logarithm is, if it is near one."""
    known = np.array([*FACTORS, *(1 / factor for factor in FACTORS)])
    nearest = float(known[np.argmin(np.abs(np.log(known) - change))])
    return nearest if abs(np.log(nearest) - change) < FACTOR_TOLERANCE else None


def _relative_logs(values: Array, places: Places) -> Array:
    """(n,) logarithm of the values over the median of their slot; NaN where there is none."""
    logs = pd.Series(np.log(np.where(values > 0, values, np.nan)))
    relative: Array = (logs - logs.groupby(places.slots).transform("median")).to_numpy(dtype=float)
    return relative


def _daily_levels(values: Array, places: Places, per_day: int) -> DailyLevels:
    """Median logarithm of a day's values over the median of their slot, of days with at least half of them.

    What days off differ by from the two weeks around them is taken off.
    """
    frame = pd.DataFrame({"log": _relative_logs(values, places), "off": places.off})
    by_day = frame.groupby(places.days - places.days[0])
    enough = by_day["log"].count() >= per_day / 2
    levels, off = by_day["log"].median()[enough], by_day["off"].first()[enough]
    apart = levels - levels.rolling(15, center=True, min_periods=1).median()
    levels -= apart.groupby(off).transform("median")
    return DailyLevels(levels.index.to_numpy(), levels.to_numpy())


def _peaks(height: Array, reach: int) -> Ints:
    """Places higher than all others within `reach`, the first of equal ones; zero is no height."""
    heights = pd.Series(height)
    highest = heights.rolling(2 * reach + 1, center=True, min_periods=1).max().to_numpy()
    at = np.flatnonzero((height == highest) & (highest > 0))
    return at[np.diff(at, prepend=-reach - 1) > reach]


def _same_shape(values: Array, places: Places, day: int, per_day: int) -> bool:
    """Whether nearly all slots changed by about the same factor."""
    number = places.days - places.days[0]
    before, after = (
        _shape(values, places, (number >= first) & (number < first + SHAPE_DAYS), per_day)
        for first in (day - SHAPE_DAYS, day)
    )
    both = (before > 0) & (after > 0)
    change = np.log(after[both] / before[both])
    return len(change) >= per_day // 2 and float(np.subtract(*np.quantile(change, [0.9, 0.1]))) < SAME_SHAPE


def _shape(values: Array, places: Places, inside: Bools, per_day: int) -> Array:
    """(slots,) median by slot, of the positive values."""
    positive = inside & (values > 0)
    medians = pd.Series(values[positive]).groupby(places.slots[positive]).median()
    return np.asarray(medians.reindex(range(per_day)), dtype=np.float64)
