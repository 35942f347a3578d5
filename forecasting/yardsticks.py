"""Simple forecasts: what every model is judged by, and what stands in when a model fails.

All take the measured series, (n,) origins (number of the first step not yet measured) and (m,) leads (0 is the origin's
own step), and give (n, m) values, NaN where the needed measurement is missing. Nothing from the origin on is used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured
from forecasting.profile import TypeProfiles


def persistence(past: Measured, origins: Ints, leads: Ints) -> Array:
    """The last value stays."""
    return np.repeat(past.at(origins - 1)[:, None], len(leads), axis=1)


def same_local_slot(past: Measured, origins: Ints, leads: Ints, clock: LocalClock, days: int) -> Array:
    """The last measured value at the target's time of the local clock, a whole number of times `days` days before it.

    For a time that the clock skipped that day stands the hour after it.
    """
    cycle = days * clock.steps_per_day
    targets, times = origins[:, None] + leads[None, :], leads // cycle + 1
    last, before = (_local_steps_back(targets, count * cycle, clock) for count in (times, times + 1))
    return past.at(np.where(last < origins[:, None], last, before))


def _local_steps_back(steps: Ints, count: Ints, clock: LocalClock) -> Ints:
    """Steps that lie `count` steps of the local clock before others."""
    there = steps - count
    return np.asarray(there + _local(steps, clock) - _local(there, clock) - count, dtype=np.int64)


def _local(steps: Ints, clock: LocalClock) -> Ints:
    """Steps of the local clock since 1970-01-01."""
    days, slots = clock.days_and_slots(steps)
    return days * clock.steps_per_day + slots


def same_type_mean(past: Measured, origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> Array:
    """The slot's mean over the last four days of the target day's type before the origin's day."""
    origin_days, _ = clock.days_and_slots(origins)
    profiles = TypeProfiles.of(past, clock, days, np.unique(origin_days))
    return profiles.at_steps(profiles.table, origins, leads, clock, days)


def stand_in(past: Measured, origin: int, leads: Ints, clock: LocalClock, days: DayTable) -> tuple[Array, str]:
    """The first yardstick that can speak for every lead, and its name; zeros where nothing was ever measured."""
    origins = np.array([origin], dtype=np.int64)
    day = clock.steps_per_day
    candidates: tuple[tuple[str, int, Callable[[], Array]], ...] = (
        ("same-type-day mean", 5 * day, lambda: same_type_mean(past, origins, leads, clock, days)),
        ("same slot last week", 7 * day, lambda: same_local_slot(past, origins, leads, clock, 7)),
        ("same slot yesterday", day, lambda: same_local_slot(past, origins, leads, clock, 1)),
        ("persistence", 1, lambda: persistence(past, origins, leads)),
    )
    for name, needed, forecast in candidates:
        if past.known >= needed and np.all(np.isfinite(values := forecast()[0])):
            return values, name
    known = past.values[np.isfinite(past.values)]
    if known.size:
        return np.full(len(leads), float(known[-1])), "last known value"
    return np.zeros(len(leads)), "zero, never measured"
