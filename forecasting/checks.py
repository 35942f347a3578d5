"""The checks of measured series: each finds one kind of dirt and says what stands in its place.

All take a `View` and give a `Remedy`: which steps are marked, and the values to go on with (NaN: left out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from forecasting.day_types import Bools, LocalClock
from forecasting.forecast import Array
from forecasting.measured import values_at
from forecasting.usual import (
    LONG_ZEROS_HOURS,
    NOTHING,
    Places,
    Traits,
    neighbours,
    next_to_nothing,
    runs_of,
    standing_out,
)

JUMPS = 8.0
"""A single value stands out when it is so many times as far from its neighbours as 99 % of all values are; on 25 clean
recorded loads of five kinds the furthest was 7 times as far."""
JUMPS_BEYOND = 4.0
"""The same for values that also lie well beyond the usual range of a day."""
BEYOND = 1.25
LONGEST_SPIKE_HOURS = 1.0
STAND_BY = 0.01
"""Up to this share of the usual top a negative value is a meter's or inverter's stand-by; limits floor it [-]."""
IMPLAUSIBLE = 2.0
"""Times the usual top of a day that a value may reach."""
FACTORS = (1000.0, 100.0, 60.0, 35.315, 10.0, 4.0)
"""Of units mixed up: kW and W or MW, percent, per minute, cubic feet, a decimal point, a quarter hour's energy."""
FACTOR_TOLERANCE = 0.16
"""Of the logarithm."""
NEAR_FACTOR = 0.35
"""Of the logarithm of a single value."""
COPY_DAYS = 14
COPY_HOURS = 12.0
COPY_DISTINCT = 8
COPIED_MOST = 0.2
"""Share of copied values from which on the series is made of standard days, and they are no dirt [-]."""
SHIFT_EVIDENCE = 15.0
"""Logarithm of how much likelier a shift must be than none; on 25 clean recorded loads of a year or more the highest
was 14 where the next conditions held, too."""
SHIFT_EVIDENCE_PER_DAY = 6.0
"""One odd day is no wrong clock: at least three days must speak for it."""
SHIFT_SHARE = 0.15
"""What a lag does to a clean day, relative to the day's usual distance from its course: less cannot be seen [-]."""
NEARER_BY_HOURS, NEARER_BY_A_STEP = 1.2, 1.04
"""How many times nearer to its usual course the stretch must come."""
LONGEST_SHIFT_DAYS = 28
FEWEST_SHIFT_DAYS = 7
MOST_STRETCHES = 4


@dataclass(frozen=True)
class View:
    """A series as the checks see it."""

    values: Array
    """(n,) so far; NaN where nothing was measured or something was left out."""
    course: Array
    """(n,) what is usual at each step."""
    places: Places
    traits: Traits
    clock: LocalClock
    lowest: float
    highest: float


class Remedy(NamedTuple):
    """What a check found."""

    marked: Bools
    values: Array
    note: str = ""


def left_out(view: View, marked: Bools) -> Remedy:
    return Remedy(marked, np.where(marked, np.nan, view.values))


def limit(view: View) -> Remedy:
    """Values that the series cannot physically have, but for what stand-by draws."""
    stand_by = STAND_BY * view.traits.top if view.lowest == 0 else 0.0
    return left_out(view, (view.values > view.highest) | (view.values < view.lowest - stand_by))


def implausible(view: View) -> Remedy:
    """Values far above anything usual, where nothing else explains them."""
    return left_out(view, view.values > IMPLAUSIBLE * view.traits.top)


def sign_flip(view: View) -> Remedy:
    """Stretches of negative values whose mirror image is usual: the meter is connected the wrong way round."""
    marked = np.zeros(len(view.values), dtype=bool)
    for start, end in _long_runs(_negative(view), max(2, view.clock.steps_in(1.0))):
        likely = np.abs(view.values[start:end] / np.where(view.course[start:end] > 0, view.course[start:end], np.nan))
        if np.mean((likely > 0.4) & (likely < 2.5)) >= 0.5:
            marked[start:end] = True
    return Remedy(marked, np.where(marked, -view.values, view.values))


def negative(view: View) -> Remedy:
    """Negative values of a series that has none."""
    return left_out(view, _negative(view))


def scale(view: View) -> Remedy:
    """A day or more that is a known factor above or below the usual by day and by night, and suddenly: another unit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(np.where(view.values > 0, view.values / view.course, np.nan))
    marked, values, notes = np.zeros(len(ratio), dtype=bool), view.values.copy(), []
    for factor in (*FACTORS, *(1 / factor for factor in FACTORS)):
        near = np.abs(ratio - np.log(factor)) < NEAR_FACTOR
        for start, end in _long_runs(_closed(near & ~marked, view.clock.steps_in(2.0)), view.clock.steps_per_day):
            if _sudden(ratio, start, end, np.log(factor)):
                marked[start:end] = np.isfinite(values[start:end])
                values[start:end] /= factor
                notes.append(as_factor(factor))
    return Remedy(marked, values, ", ".join(dict.fromkeys(notes)))


def as_factor(factor: float) -> str:
    return f"{factor:.4g} times" if factor >= 1 else f"1/{1 / factor:.4g}"


def copied(view: View) -> Remedy:
    """Half a day or more that repeats an earlier day to the last digit."""
    values, per_day = view.values, view.clock.steps_per_day
    marked = np.zeros(len(values), dtype=bool)
    for lag in range(per_day, min(COPY_DAYS * per_day, len(values) - 1) + 1, per_day):
        same = np.concatenate([np.zeros(lag, dtype=bool), values[lag:] == values[:-lag]])
        for start, end in _long_runs(same, view.clock.steps_in(COPY_HOURS)):
            part = values[start:end]
            if len(np.unique(part[part != 0])) >= COPY_DISTINCT:
                marked[start:end] = True
    by_nature = marked.sum() > COPIED_MOST * np.isfinite(values).sum()
    return left_out(view, marked & (not by_nature))


def frozen(view: View) -> Remedy:
    """Runs of equal values too long for chance; the first of each was measured. Zeros are another matter."""
    marked = np.zeros(len(view.values), dtype=bool)
    for start, end in _long_runs(_equal(view.values) & (view.values != 0), view.traits.equal_steps):
        marked[start:end] = True
    return left_out(view, marked)


def frozen_or_zero(view: View) -> Remedy:
    """As `frozen`, for series to which zero is a value as any other."""
    marked = np.zeros(len(view.values), dtype=bool)
    for start, end in _long_runs(_equal(view.values), view.traits.equal_steps):
        marked[start:end] = True
    return left_out(view, marked)


def dropout(view: View) -> Remedy:
    """Zeros (or next to nothing) where zero is not usual: the meter or the line was off, not the load."""
    natural = view.traits.natural_zero[view.places.off.astype(np.int64), view.places.slots]
    marked = next_to_nothing(view.values, view.course) & ~natural
    for start, end in _long_runs(view.values == 0, view.clock.steps_in(LONG_ZEROS_HOURS)):
        marked[start:end] = natural[start:end].mean() < 0.25
    return left_out(view, marked)


def dark_day(view: View) -> Remedy:
    """Whole days of sun without power: the inverter or its meter was off."""
    day = view.places.days - view.places.days[0]
    known = np.isfinite(view.values)
    got = np.bincount(day, weights=np.where(known, view.values, 0.0))
    usual = np.bincount(day, weights=np.where(known, view.course, 0.0))
    dark = (got <= NOTHING * usual) & (usual > 0.25 * np.median(usual)) & (np.bincount(day, weights=known) > 0)
    return left_out(view, dark[day] & (view.course > 0) & known)


def shifted_hours(view: View) -> Remedy:
    """Stretches of days whose course comes whole hours too early or too late: daylight saving, a wrong zone."""
    hour = max(1, view.clock.steps_in(1.0))
    lags = [sign * hours * hour for hours in range(1, 13) for sign in (1, -1)]
    return _put_back(view, lags, NEARER_BY_HOURS)


def clock_offset(view: View) -> Remedy:
    """Stretches of days whose course comes a step too early or too late."""
    if view.clock.steps_in(1.0) <= 1:
        return Remedy(np.zeros(len(view.values), dtype=bool), view.values)
    return _put_back(view, [1, -1], NEARER_BY_A_STEP)


def spike(view: View) -> Remedy:
    """Values that stand out above their neighbours as no value of the series does."""
    return left_out(view, _standing_out(view, 1.0))


def dip(view: View) -> Remedy:
    """Values that stand out below their neighbours as no value of the series does."""
    return left_out(view, _standing_out(view, -1.0))


def _standing_out(view: View, sign: float) -> Bools:
    """Runs of at most `LONGEST_SPIKE_HOURS`; the last values, whose neighbours are still to come, by those before."""
    beyond = view.values > BEYOND * view.traits.top if sign > 0 else view.values < view.traits.bottom / BEYOND
    limit = np.where(beyond, JUMPS_BEYOND, JUMPS)
    both_sides, before = standing_out(view.values, view.course, view.clock)
    far = sign * both_sides > limit * view.traits.jump
    tail = slice(max(0, len(far) - neighbours(view.clock)), len(far))
    far[tail] = (sign * before > limit * view.traits.late_jump)[tail]
    longest = max(1, view.clock.steps_in(LONGEST_SPIKE_HOURS))
    marked = np.zeros(len(far), dtype=bool)
    for start, end in _long_runs(far, 1):
        marked[start:end] = end - start <= longest
    return marked


def _sudden(ratio: Array, start: int, end: int, change: float) -> bool:
    """Whether a stretch is centred on the change, which came from one step to the next at both ends that are known."""
    inside = np.nanmedian(ratio[start:end])
    steps = [ratio[start] - ratio[start - 1]] if start else []
    steps += [ratio[end - 1] - ratio[end]] if end < len(ratio) else []
    known = [step * np.sign(change) > 0.75 * abs(change) for step in steps if np.isfinite(step)]
    return bool(abs(inside - change) < FACTOR_TOLERANCE and all(known))


def _negative(view: View) -> Bools:
    negative: Bools = view.values < -STAND_BY * min(view.traits.top, view.highest)
    return negative


def _equal(values: Array) -> Bools:
    """(n,) whether a value equals the one before it."""
    return np.concatenate([[False], values[1:] == values[:-1]])


def _long_runs(mask: Bools, shortest: int) -> list[tuple[int, int]]:
    starts, ends = runs_of(mask)
    long = ends - starts >= shortest
    return list(zip(starts[long].tolist(), ends[long].tolist(), strict=True))


def _closed(mask: Bools, longest: int) -> Bools:
    """The mask with holes of at most `longest` steps between two runs filled."""
    starts, ends = runs_of(mask)
    filled = mask.copy()
    for end, start in zip(ends[:-1], starts[1:], strict=True):
        if start - end <= longest:
            filled[end:start] = True
    return filled


def _put_back(view: View, lags: list[int], nearer: float) -> Remedy:
    """The stretch for which one lag speaks most, moved back by it; several stretches one after the other."""
    values, marked, notes = view.values.copy(), np.zeros(len(view.values), dtype=bool), []
    day = view.places.days - view.places.days[0]
    for _ in range(MOST_STRETCHES):
        found = _likeliest(_misses(values, view, lags), lags, nearer)
        if found is None:
            break
        lag, first, end = found
        inside = (day >= first) & (day < end)
        steps = np.flatnonzero(inside)
        marked[inside] = np.isfinite(values[inside])
        values[inside] = values_at(values[inside], steps - steps[0] + lag)
        notes.append(f"{-lag * view.clock.step_minutes:+d} min")
    return Remedy(marked, values, ", ".join(dict.fromkeys(notes)))


def _misses(values: Array, view: View, lags: list[int]) -> Array:
    """(1 + lags, days) mean distance of each day's hourly changes to the usual ones, as it is and moved by each lag.

    Changes and not values, because a day may be higher or lower than usual as a whole.
    """
    hour = max(1, view.clock.steps_in(1.0))
    day = view.places.days - view.places.days[0]
    change, usual = _change(values, hour), _change(view.course, hour)
    known = np.isfinite(change) & np.isfinite(usual)
    counts = np.bincount(day, weights=known)
    at = np.arange(len(values))
    apart = [np.abs(change - values_at(usual, at - lag)) for lag in (0, *lags)]
    sums = np.stack([np.bincount(day, weights=np.where(known, np.nan_to_num(row), 0.0)) for row in apart])
    enough = counts >= 0.8 * view.clock.steps_per_day
    return np.where(enough, sums / np.maximum(counts, 1), np.nan)


def _change(values: Array, steps: int) -> Array:
    return np.concatenate([np.full(min(steps, len(values)), np.nan), values[steps:] - values[:-steps]])


def _likeliest(misses: Array, lags: list[int], nearer: float) -> tuple[int, int, int] | None:
    """Lag, first day and end of the stretch that most likely is shifted; None when no stretch is.

    The gain of a lag is how much nearer the day comes to its usual course. On clean days it is -m on the mean, with
    spread s; on shifted ones +m. The sum of 2·m·gain/s² over a stretch is the log-likelihood ratio of the two.
    """
    best: tuple[int, int, int] | None = None
    as_they_are = misses[0][np.isfinite(misses[0])]
    if len(as_they_are) < FEWEST_SHIFT_DAYS:
        return None
    least = SHIFT_SHARE * float(np.median(as_they_are))
    for lag, moved in zip(lags, misses[1:], strict=True):
        gain = misses[0] - moved
        known = gain[np.isfinite(gain)]
        mean = -float(np.median(known))
        if mean <= least:
            continue
        spread = 1.4826 * float(np.median(np.abs(known + mean))) + 1e-9
        evidence = np.nan_to_num(np.clip(2 * mean * gain / spread**2, -SHIFT_EVIDENCE_PER_DAY, SHIFT_EVIDENCE_PER_DAY))
        start, end, total = _largest_sum(evidence)
        as_is, put_back = float(np.nansum(misses[0][start:end])), float(np.nansum(moved[start:end]))
        likely = total > SHIFT_EVIDENCE and end - start <= LONGEST_SHIFT_DAYS
        if likely and as_is > nearer * put_back > 0:
            best, nearer = (lag, start, end), as_is / put_back
    return best


def _largest_sum(values: Array) -> tuple[int, int, float]:
    """Start, end (exclusive) and sum of the run with the largest sum (Kadane)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    lows = np.minimum.accumulate(sums)
    end = int(np.argmax(sums - lows))
    start = int(np.argmin(sums[: end + 1]))
    return start, end, float(sums[end] - sums[start])
