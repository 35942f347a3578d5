"""The first hours: trees on the change from the last value, taught by far more origins than the day ahead needs.

    ŷ[o+h] = y[o-1] + s·F(x[o, h]/s, slot, weekday, day types around, h)                       (1)
    x = distances from y[o-1] of (the two values before, means of 1, 4, 24 h,
        same slot 1, 2, 7, 14 days before, profile)  and the change over the same time
        1, 2, 7 days before and in the profile                                                 (2)

s is the median absolute change at the longest lead. What the next minutes bring is a question of its own: machines that
start at the same minute every day are in no anomaly of the day, and a few thousand origins, enough for the day ahead,
are too few to learn each of them. The first hour and what follows it have a forest each, or the many leads of the
second would leave too few rows for the few of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from forecasting.boosted import Forest, grown, scale_of
from forecasting.day_types import DayTable, Ints, LocalClock, spaced_origins
from forecasting.forecast import Array
from forecasting.known import window_mean
from forecasting.measured import Measured
from forecasting.profile import TypeProfiles

GROUP_ENDS_HOURS = (1.0, 6.0)
"""Last lead of each forest [h]."""
TREES, LEARNING_RATE = 180, 0.1
MOST_ROWS = 60_000
FIRST_ORIGIN_DAYS = 15
LAG_DAYS = (1, 2, 7, 14)
CHANGE_DAYS = (1, 2, 7)
WINDOW_HOURS = (1.0, 4.0, 24.0)


@dataclass(frozen=True)
class Group:
    """F and s of (1) for neighbouring leads."""

    leads: Ints
    forest: Forest
    scale: float


@dataclass(frozen=True)
class FirstHours:
    """A forest for each group of leads, one after the other from the first step on."""

    groups: tuple[Group, ...]

    def forecast(self, past: Measured, origins: Ints, clock: LocalClock, days: DayTable) -> Array:
        """(n, leads of the hours) for ascending origins; NaN where the last value is missing."""
        leads = np.concatenate([group.leads for group in self.groups])
        seen = _features(past, origins, leads, clock, days)
        changes = [_change(group, *(part[:, group.leads] for part in seen)) for group in self.groups]
        return past.at(origins - 1)[:, None] + np.concatenate(changes, axis=1)


def fit_first_hours(past: Measured, clock: LocalClock, days: DayTable) -> FirstHours:
    """Trees on the origins of `past`, thinned evenly where there are more than it takes.

    Raises:
        ValueError: nothing was measured where it is needed.
    """
    ends = np.unique([0, *(max(1, clock.steps_in(hours)) for hours in GROUP_ENDS_HOURS)])
    groups = (np.arange(first, end, dtype=np.int64) for first, end in pairwise(ends))
    return FirstHours(tuple(_fit_group(past, leads, clock, days) for leads in groups))


def _fit_group(past: Measured, leads: Ints, clock: LocalClock, days: DayTable) -> Group:
    origins = _origins(past, leads, clock)
    change = past.at(origins[:, None] + leads) - past.at(origins - 1)[:, None]
    known = np.isfinite(change)
    if not known.any():
        raise ValueError("no change from one value to the next was measured")
    scale = scale_of(change[:, -1])
    rows = _rows(scale, *_features(past, origins, leads, clock, days))
    return Group(leads, grown(rows[known], change[known] / scale, TREES, LEARNING_RATE), scale)


def _change(group: Group, distances: Array, calendar: Array) -> Array:
    """(n, leads of the group) expected change from the last value."""
    rows = _rows(group.scale, distances, calendar)
    change = group.forest.predict(rows.reshape(-1, rows.shape[2]))[:, -1]
    return group.scale * change.reshape(rows.shape[:2])


def _rows(scale: float, distances: Array, calendar: Array) -> Array:
    """(n, leads, features) of (1)."""
    return np.concatenate([distances / scale, calendar], axis=2)


def _origins(past: Measured, leads: Ints, clock: LocalClock) -> Ints:
    first, last = past.first + FIRST_ORIGIN_DAYS * clock.steps_per_day, past.end - int(leads[-1]) - 1
    return spaced_origins(first, last, max(1, -(-(last - first) * len(leads) // MOST_ROWS)), clock)


def _features(past: Measured, origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> tuple[Array, Array]:
    """(n, leads, features) of (2), where a distance that was not measured counts as 0, and of the calendar."""
    day = clock.steps_per_day
    targets, last = origins[:, None] + leads, past.at(origins - 1)[:, None]
    local_days, slots = (part.reshape(targets.shape) for part in clock.days_and_slots(targets.ravel()))
    profile, before = _profiles(past, origins, leads, clock, days)
    present = [past.at(origins - 2), past.at(origins - 3)]
    present += [window_mean(past.values, origins - past.first, clock.steps_in(h) or 1) for h in WINDOW_HOURS]
    distances = [
        *(np.broadcast_to(value[:, None], targets.shape) - last for value in present),
        *(past.at(targets - back * day) - last for back in LAG_DAYS),
        profile - last,
        *(past.at(targets - back * day) - past.at(origins - 1 - back * day)[:, None] for back in CHANGE_DAYS),
        profile - before,
    ]
    calendar = [slots, (local_days + 3) % 7, *(days.is_off(local_days + shift) for shift in (-1, 0, 1))]
    calendar += [np.broadcast_to(leads, targets.shape)]
    return np.nan_to_num(np.stack(distances, axis=2)), np.stack(calendar, axis=2)


def _profiles(past: Measured, origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> tuple[Array, Array]:
    """(n, leads) profile of the targets and (n, 1) of the last value, as known on the origin's day."""
    known_on, _ = clock.days_and_slots(origins)
    profiles = TypeProfiles.of(past, clock, days, np.unique(known_on))
    both = profiles.at_steps(profiles.table, origins, np.concatenate([[-1], leads]), clock, days)
    return both[:, 1:], both[:, :1]
