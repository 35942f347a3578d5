"""Trees on the change from the last value, taught by all origins and leads alike.

    ŷ[o+h] = y[o-1] + s·F(x[o, h]/s, slot, weekday, day types around, h)                       (1)
    x = distances from y[o-1] of (the two values before, means of 1, 4, 24 h,
        same slot 1, 2, 7, 14 days before, profile)  and the change over the same time
        1, 2, 7 days before and in the profile                                                 (2)

s is the median absolute change. What the next minutes bring is a question of its own: machines that start at the same
minute every day are in no anomaly of the day, and a few thousand origins, enough for the linear model, are too few to
learn each of them. So the rows are drawn from every step of the history, each with a lead of its own: neighbouring
leads of one origin tell the same twice. The first hour, what follows it, and the rest of the day have a forest each, or
the many leads of the last would leave too few rows for the few of the first. Far from the last value the forest errs in
another way than those that begin at the profile, which the blend is better by.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from forecasting.boosted import Forest, grown, rows_drawn, scale_of
from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.known import window_mean
from forecasting.measured import Measured
from forecasting.profile import TypeProfiles

GROUP_ENDS_HOURS = (1.0, 6.0, 24.0)
"""Last lead of each forest [h]: as far as the same slot a day before is known."""
TREES, LEARNING_RATE = 180, 0.1
MOST_ROWS = 60_000
FIRST_ORIGIN_DAYS = 15
LAG_DAYS = (1, 2, 7, 14)
CHANGE_DAYS = (1, 2, 7)
WINDOW_HOURS = (1.0, 4.0, 24.0)
SEED = 1


@dataclass(frozen=True)
class Group:
    """F and s of (1) for neighbouring leads."""

    leads: Ints
    forest: Forest
    scale: float


@dataclass(frozen=True)
class FromLastValue:
    """A forest for each group of leads, one after the other from the first step on."""

    groups: tuple[Group, ...]

    def forecast(
        self, past: Measured, origins: Ints, profiles: TypeProfiles, clock: LocalClock, days: DayTable
    ) -> Array:
        """(n, leads) for ascending origins, whose days `profiles` holds; NaN where the last value is missing."""
        leads = np.concatenate([group.leads for group in self.groups])
        places = np.repeat(origins, len(leads)), np.tile(leads, len(origins))
        seen = [part.reshape(len(origins), len(leads), -1) for part in _features(past, *places, profiles, clock, days)]
        changes = [_change(group, *(part[:, group.leads] for part in seen)) for group in self.groups]
        return past.at(origins - 1)[:, None] + np.concatenate(changes, axis=1)


def fit_from_last_value(past: Measured, clock: LocalClock, days: DayTable) -> FromLastValue:
    """Trees on `past`.

    Raises:
        ValueError: nothing was measured where it is needed.
    """
    ends = np.unique([0, *(max(1, clock.steps_in(hours)) for hours in GROUP_ENDS_HOURS)])
    groups = (np.arange(first, end, dtype=np.int64) for first, end in pairwise(ends))
    profiles = TypeProfiles.of(past, clock, days, np.unique(clock.days_and_slots(past.steps)[0]))
    return FromLastValue(tuple(_fit_group(past, leads, profiles, clock, days) for leads in groups))


def _fit_group(past: Measured, leads: Ints, profiles: TypeProfiles, clock: LocalClock, days: DayTable) -> Group:
    origins, ahead = _drawn(past, leads, clock)
    change = past.at(origins + ahead) - past.at(origins - 1)
    known = np.isfinite(change)
    if not known.any():
        raise ValueError("no change from one value to the next was measured")
    scale = scale_of(change)
    distances, calendar = _features(past, origins[known], ahead[known], profiles, clock, days)
    rows = np.concatenate([distances / scale, calendar], axis=1)
    return Group(leads, grown(rows, change[known] / scale, TREES, LEARNING_RATE), scale)


def _drawn(past: Measured, leads: Ints, clock: LocalClock) -> tuple[Ints, Ints]:
    """(n,) origins, ascending, and (n,) leads: all pairs that `past` has, or so many of them by chance."""
    first, last = past.first + FIRST_ORIGIN_DAYS * clock.steps_per_day, past.end - int(leads[-1]) - 1
    steps = max(0, last - first)
    pairs, rows = steps * len(leads), rows_drawn(steps, clock, MOST_ROWS)
    drawn = np.arange(pairs, dtype=np.int64)
    if pairs > rows:
        drawn = np.sort(np.random.default_rng(SEED).choice(pairs, rows, replace=False, shuffle=False))
    return first + drawn // len(leads), leads[drawn % len(leads)]


def _change(group: Group, distances: Array, calendar: Array) -> Array:
    """(n, leads of the group) expected change from the last value."""
    rows = np.concatenate([distances / group.scale, calendar], axis=2)
    change = group.forest.predict(rows.reshape(-1, rows.shape[2]))
    return group.scale * change.reshape(rows.shape[:2])


def _features(
    past: Measured, origins: Ints, leads: Ints, profiles: TypeProfiles, clock: LocalClock, days: DayTable
) -> tuple[Array, Array]:
    """(n, features) of (2) for (n,) origins and leads, where a distance that was not measured counts as 0, and of the
    calendar."""
    day = clock.steps_per_day
    targets, last = origins + leads, past.at(origins - 1)
    local_days, slots = clock.days_and_slots(targets)
    profile, before = (profiles.at(profiles.table, origins, steps, clock, days) for steps in (targets, origins - 1))
    windows = [window_mean(past.values, origins - past.first, clock.steps_in(hours) or 1) for hours in WINDOW_HOURS]
    distances = [
        past.at(origins - 2) - last,
        past.at(origins - 3) - last,
        *(mean - last for mean in windows),
        *(past.at(targets - back * day) - last for back in LAG_DAYS),
        profile - last,
        *(past.at(targets - back * day) - past.at(origins - 1 - back * day) for back in CHANGE_DAYS),
        profile - before,
    ]
    calendar = [slots, (local_days + 3) % 7, *(days.is_off(local_days + shift) for shift in (-1, 0, 1)), leads]
    return np.nan_to_num(np.column_stack(distances)), np.column_stack(calendar)
