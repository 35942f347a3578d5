"""Which kind of day a local date is: workday, rest day, public holiday, make-up workday (调休); RULES 9, TV-32.

The published lists of the State Council come from the package `chinesecalendar`; `calendars/cn.yaml` adds years the
package lacks. A holiday is named by its published BLOCK of days off, not by the package's label of the single day:
2025-10-06 is the sixth day of the national_day block although the package calls it "Mid-autumn Festival".

Federal holidays (US) and bank holidays of England and Wales (GB) follow from laws, so the package `holidays` can tell
them for years to come. It is never asked about China, where it guesses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from typing import Literal

import chinese_calendar
from pydantic import BaseModel, ConfigDict, Field, model_validator

from optimizer.errors import InputError, Problem
from site_configs.yaml_text import package_text, parse_yaml

CalendarKind = Literal["CN", "US", "GB", "none"]
DayKind = Literal["workday", "rest_day", "holiday", "makeup_day"]
Block = Literal[
    "new_years_day",
    "spring_festival",
    "tomb_sweeping_day",
    "labour_day",
    "dragon_boat_festival",
    "mid_autumn_festival",
    "national_day",
    "anti_fascist_70th_day",
]

OVERRIDE_FILE = "site_configs/calendars/cn.yaml"
SATURDAY = 5
_STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HolidayBlock(BaseModel):
    """One published block of days off, first and last day included."""

    model_config = _STRICT
    block: Block
    """Name of the feast."""
    first: date
    """First day off."""
    last: date
    """Last day off."""

    @model_validator(mode="after")
    def _in_order(self) -> HolidayBlock:
        if self.last < self.first:
            raise ValueError(f"block {self.block} ends {self.last} before it starts {self.first}")
        return self

    def days(self) -> tuple[date, ...]:
        return tuple(self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))


class PublishedYear(BaseModel):
    """The State Council's list for one year."""

    model_config = _STRICT
    document: str
    """Number of the notice."""
    holidays: tuple[HolidayBlock, ...] = Field(min_length=1)
    """Blocks of days off."""
    makeup_days: tuple[date, ...] = ()
    """Weekend days that are worked."""


class CalendarOverrides(BaseModel):
    """Content of a file in `site_configs/calendars/`."""

    model_config = _STRICT
    years: dict[int, PublishedYear] = {}
    """By year: the complete list of that year, in place of the package's."""


@dataclass(frozen=True)
class Day:
    """What one local date is."""

    kind: DayKind
    block: str | None = None
    """Name of the holiday block; None outside holidays."""
    ordinal: int = 0
    """Place of the day in its block, 1 for the first day; 0 outside holidays."""
    closed: bool = False
    """The site's own day off. The tariff does not look at it."""

    @property
    def working(self) -> bool:
        """Whether people work at the site."""
        return self.kind in ("workday", "makeup_day") and not self.closed


@dataclass(frozen=True)
class _Published:
    holidays: Mapping[date, Day]
    makeup_days: frozenset[date]
    years: frozenset[int]


@dataclass(frozen=True)
class Calendar:
    """Kinds of local dates: `CN` follows the published lists, `US` and `GB` the laws, `none` knows weekends only."""

    kind: CalendarKind = "CN"
    closures: Iterable[date] = ()
    """The site's own days off, local dates."""
    overrides: CalendarOverrides | None = None
    """Published years to use in place of the package's; None: those shipped in `calendars/cn.yaml`."""
    _days: dict[date, Day] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "closures", frozenset(self.closures))

    def day(self, local_date: date) -> Day:
        """The kind of a local date.

        Raises:
            InputError: no list is known for its year; the message names the file to extend.
        """
        known = self._days.get(local_date)
        if known is None:
            known = self._days[local_date] = self._find(local_date)
        return known

    def is_working(self, local_date: date) -> bool:
        """Whether people work at the site on this date."""
        return self.day(local_date).working

    def _find(self, local_date: date) -> Day:
        closed = local_date in frozenset(self.closures)
        weekend = local_date.weekday() >= SATURDAY
        if self.kind == "CN":
            published = _shipped() if self.overrides is None else _published(self.overrides)
            _require_year(local_date, published.years)
            if local_date in published.holidays:
                holiday = published.holidays[local_date]
                return Day("holiday", holiday.block, holiday.ordinal, closed)
            if local_date in published.makeup_days:
                return Day("makeup_day", closed=closed)
        if self.kind in ("US", "GB") and local_date in (ruled := _ruled(self.kind, local_date)):
            return replace(ruled[local_date], closed=closed)
        return Day("rest_day" if weekend else "workday", closed=closed)


def read_overrides(text: str, file: str = OVERRIDE_FILE) -> CalendarOverrides:
    """The published years in a YAML text of the form described in `calendars/cn.yaml`."""
    return CalendarOverrides.model_validate(parse_yaml(text, file))


def _require_year(local_date: date, years: frozenset[int]) -> None:
    if local_date.year not in years:
        message = "no published list of holidays and make-up workdays for this year: add the State Council's list there"
        raise InputError([Problem(OVERRIDE_FILE, f"years.{local_date.year}", local_date.isoformat(), message)])


def _ruled(country: str, local_date: date) -> Mapping[date, Day]:
    """The days off by law in the year of a date; days once proclaimed are among them as far as the package has them."""
    from holidays import country_holidays  # slow to import, and few sites need it

    subdivision = "ENG" if country == "GB" else None  # without one, only what the whole kingdom shares
    known = country_holidays(country, subdiv=subdivision)
    if not known.start_year <= local_date.year <= known.end_year:
        span = f"the package `holidays` knows {country} from {known.start_year} to {known.end_year}"
        message = f"{span}: choose `none` and list the days off under closures"
        raise InputError([Problem("calendar", f"holidays {country}", local_date.isoformat(), message)])
    return _ruled_year(country, subdivision, local_date.year)


@cache
def _ruled_year(country: str, subdivision: str | None, year: int) -> Mapping[date, Day]:
    from holidays import country_holidays

    labels = country_holidays(country, subdiv=subdivision, years=year)
    blocks = {d: label.removesuffix(" (observed)") for d, label in sorted(labels.items())}
    days: dict[date, Day] = {}
    for d, block in blocks.items():
        before = days.get(d - timedelta(days=1))
        name = re.sub(r"[^a-z0-9]+", "_", block.lower().replace("'", "")).strip("_")
        days[d] = Day("holiday", name, before.ordinal + 1 if before and before.block == name else 1)
    return days


@cache
def _shipped() -> _Published:
    return _published(read_overrides(package_text("calendars", "cn.yaml")))


def _published(overrides: CalendarOverrides) -> _Published:
    years = overrides.years
    holidays = {d: label for d, label in chinese_calendar.holidays.items() if d.year not in years}
    makeup_days = {d for d in chinese_calendar.workdays if d.year not in years}
    days = _package_days(holidays)
    for year in years.values():
        makeup_days.update(year.makeup_days)
        for block in year.holidays:
            days.update({d: Day("holiday", block.block, n) for n, d in enumerate(block.days(), start=1)})
    known = {d.year for d in chinese_calendar.holidays} | set(years)
    return _Published(days, frozenset(makeup_days), frozenset(known))


def _package_days(labels: Mapping[date, str]) -> dict[date, Day]:
    """Days off grouped into runs of consecutive dates; a run is named by its most frequent label."""
    names = {holiday.value: holiday.name for holiday in chinese_calendar.Holiday}
    days: dict[date, Day] = {}
    for run in _runs(sorted(labels)):
        block = Counter(names[labels[d]] for d in run).most_common(1)[0][0]
        days.update({d: Day("holiday", block, n) for n, d in enumerate(run, start=1)})
    return days


def _runs(dates: list[date]) -> list[list[date]]:
    runs: list[list[date]] = []
    for d in dates:
        if runs and d - runs[-1][-1] == timedelta(days=1):
            runs[-1].append(d)
        else:
            runs.append([d])
    return runs
