"""Local days: which day and slot an interval belongs to, and what kind of day that is.

The room keeps no calendar. The site's calendar comes in as a function from local date to a name; only two things about
it matter here: whether people work that day, and whether it is an ordinary day or one that needs an effect of its own.
Inside, an interval is a step number: whole steps since 1970-01-01 UTC. Lags are then plain subtraction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DayType = Callable[[date], str]
"""Local date -> `workday`, `rest_day`, `holiday`, `makeup_day`, `closure` ..."""

WORKING_TYPES = frozenset({"workday", "makeup_day"})
ORDINARY_TYPES = frozenset({"workday", "rest_day"})
EPOCH = date(1970, 1, 1)
YEARS_OF_ZONES = 130
"""Clock changes are looked up from 1970 to 2100."""


@dataclass(frozen=True)
class LocalClock:
    """Step numbers, UTC times and local days of one site."""

    zone: ZoneInfo
    step_minutes: int

    def __post_init__(self) -> None:
        if self.step_minutes < 1 or 1440 % self.step_minutes:
            raise ValueError(f"a day cannot be divided into steps of {self.step_minutes} min")

    @property
    def steps_per_day(self) -> int:
        return 1440 // self.step_minutes

    def steps_in(self, hours: float) -> int:
        return round(hours * 60 / self.step_minutes)

    def closed_steps(self, at: datetime) -> int:
        """Number of the first step that is not over at `at`: only steps below it may have been measured."""
        return int(_utc(at).timestamp() // (self.step_minutes * 60))

    def first_step(self, at: datetime) -> int:
        """Number of the first step that starts at `at` or later."""
        return -int(-_utc(at).timestamp() // (self.step_minutes * 60))

    def step_numbers(self, index: pd.DatetimeIndex) -> Ints:
        """(n,) step that each time falls into."""
        return index.as_unit("s").asi8 // (self.step_minutes * 60)

    def start_of(self, step: int) -> datetime:
        return datetime.fromtimestamp(step * self.step_minutes * 60, UTC)

    def index(self, steps: Ints) -> pd.DatetimeIndex:
        return pd.DatetimeIndex((steps * (self.step_minutes * 60)).astype("datetime64[s]")).tz_localize("UTC")

    def local_times(self, steps: Ints) -> pd.DatetimeIndex:
        """(n,) wall-clock times at the site, without zone."""
        return self.index(steps).tz_convert(self.zone).tz_localize(None)

    def days_and_slots(self, steps: Ints) -> tuple[Ints, Ints]:
        """(n,) local day, counted from 1970-01-01, and (n,) slot within it."""
        minutes = np.asarray(steps) * self.step_minutes
        changes, offsets = _offsets(self.zone)
        minutes = minutes + offsets[np.searchsorted(changes, minutes, side="right")]
        return minutes // 1440, minutes % 1440 // self.step_minutes


@dataclass(frozen=True)
class DayTable:
    """The day types of a span of local days, looked up once, so that a fitted model needs no calendar function."""

    first: int
    """Number of the first day, counted from 1970-01-01."""
    names: tuple[str, ...]
    off: Bools
    """(n,) True where people do not work."""
    special: Bools
    """(n,) True where a day is neither an ordinary workday nor an ordinary rest day."""

    @classmethod
    def over(cls, day_type: DayType, first: int, last: int) -> DayTable:
        """Day types of the days `first` to `last`, both included."""
        names = tuple(day_type(EPOCH + timedelta(days=day)) for day in range(first, last + 1))
        off = np.array([name not in WORKING_TYPES for name in names])
        return cls(first, names, off, np.array([name not in ORDINARY_TYPES for name in names]))

    @property
    def last(self) -> int:
        return self.first + len(self.names) - 1

    def is_off(self, days: Ints) -> Bools:
        """(n,) whether each day is a day off.

        Raises:
            ValueError: a day lies outside the table.
        """
        return self.off[self._places(days)]

    def is_special(self, days: Ints) -> Bools:
        """(n,) whether each day is a holiday, a make-up day or a closure; raises as `is_off`."""
        return self.special[self._places(days)]

    def _places(self, days: Ints) -> Ints:
        places = np.asarray(days) - self.first
        if places.size and (places.min() < 0 or places.max() >= len(self.names)):
            span = [EPOCH + timedelta(days=day) for day in (self.first, self.last)]
            raise ValueError(
                f"day types are known from {span[0]} to {span[1]} only: fit again with a later horizon_end"
            )
        return places

    def special_days(self) -> list[tuple[date, str]]:
        """Days that are neither ordinary workdays nor ordinary rest days, with their type."""
        days = enumerate(self.names)
        return [
            (EPOCH + timedelta(days=self.first + place), name) for place, name in days if name not in ORDINARY_TYPES
        ]


@cache
def _offsets(zone: ZoneInfo) -> tuple[Ints, Ints]:
    """(k,) minutes since 1970 UTC at which the zone's clock changes, and (k + 1,) minutes ahead of UTC between them.

    A lookup here takes microseconds where a conversion by the library takes most of a forecast's time.
    """
    daily = pd.date_range(EPOCH, periods=YEARS_OF_ZONES * 366, freq="D", unit="s")
    local = daily.tz_localize(UTC).tz_convert(zone).tz_localize(None)
    known = (local.asi8 - daily.asi8) // 60
    before = np.flatnonzero(np.diff(known))
    changes = [int(day) * 1440 + _change_within(zone, int(day), int(known[day])) for day in before]
    return np.array(changes, dtype=np.int64), np.concatenate([known[:1], known[before + 1]])


def _change_within(zone: ZoneInfo, day: int, before: int) -> int:
    """First minute of a UTC day at which the zone is no longer `before` minutes ahead."""
    midnight = datetime.combine(EPOCH + timedelta(days=day), time(), UTC)

    def changed(minute: int) -> bool:
        return (midnight + timedelta(minutes=minute)).astimezone(zone).utcoffset() != timedelta(minutes=before)

    return bisect_left(range(1440), True, key=changed)


def spaced_origins(first: int, last: int, spacing: int, clock: LocalClock) -> Ints:
    """Steps from `first` to before `last`, `spacing` or a little more apart: each slot of the day comes in turn."""
    while np.gcd(spacing, clock.steps_per_day) > 1:
        spacing += 1
    return np.arange(first, max(first, last), spacing, dtype=np.int64)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"time {at} has no zone: give UTC")
    return at.astimezone(UTC)
