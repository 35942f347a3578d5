"""A month as its meters have it: what was measured, and by which rule each missing value was substituted (RULES 6.1).

    coverage = measured intervals / intervals of the month, of each meter                                  (1)
    up to 60 minutes missing:  a straight line between the neighbours (by the reader of the history)       (2)
    longer:  mean of the same time of day on the four nearest days of the same kind (worked or not)        (3)

Whether a month may be settled depends on the lowest coverage of its meters:

    >= 99 % final,  >= 95 % an estimate and flagged as one,  below that no statement                       (4)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from optimizer.errors import InputError, Problem
from optimizer.time_grid import Array
from settlement.money import quantity
from site_configs.calendar import Calendar
from site_configs.history import History
from site_configs.recorded.findings import stamp
from site_configs.site import Site
from site_configs.tariff import calendar_of

FINAL_COVERAGE, LEAST_COVERAGE = 0.99, 0.95
LIKE_DAYS = 4
SAMPLED_EVERY = 29
"""Intervals between those on which the substitution is tried: no whole part of a day, so that all hours come."""
NAMED_GAPS = 12
"""Gaps that a refusal names one by one."""

Rule = Literal["interpolated", "like_days"]
Grade = Literal["final", "flagged", "refused"]


@dataclass(frozen=True)
class Gap:
    """A run of intervals without a measured value."""

    column: str
    start: datetime
    end: datetime
    intervals: int
    rule: Rule | None
    """How it was filled; None where no like day was measured."""


@dataclass(frozen=True)
class ColumnQuality:
    """How complete one meter's month is."""

    column: str
    intervals: int
    gaps: tuple[Gap, ...]
    substitution_rmse_kw: float
    """How far rule (3) is off where the truth is known; 0 where nothing is missing."""

    @property
    def missing(self) -> int:
        """Intervals without a measured value."""
        return sum(gap.intervals for gap in self.gaps)

    @property
    def coverage(self) -> float:
        """Share of the intervals that were measured (1)."""
        return (self.intervals - self.missing) / self.intervals


@dataclass(frozen=True, eq=False)
class MeteredMonth:
    """All meters of a month, complete."""

    start: datetime
    end: datetime
    step_minutes: int
    frame: pd.DataFrame
    """By column of the history; UTC index of interval starts, no value missing."""
    quality: tuple[ColumnQuality, ...]

    @property
    def period(self) -> tuple[datetime, datetime]:
        return self.start, self.end

    @property
    def coverage(self) -> float:
        """The lowest of the meters."""
        return min((column.coverage for column in self.quality), default=1.0)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return tuple(gap for column in self.quality for gap in column.gaps)

    def energy_kwh(self, column: str) -> Decimal | None:
        """What a meter of power counted; None for other columns."""
        if not column.endswith("_kw"):
            return None
        return quantity(float(self.frame[column].sum()) * self.step_minutes / 60)

    def grade(self, final: float = FINAL_COVERAGE, least: float = LEAST_COVERAGE) -> Grade:
        """Whether the month may be settled (4)."""
        if self.coverage >= final:
            return "final"
        return "flagged" if self.coverage >= least else "refused"


def metered_month(
    history: History,
    site: Site,
    period: tuple[datetime, datetime],
    needed: Iterable[str],
    optional: Iterable[str] = (),
    least_coverage: float = LEAST_COVERAGE,
    spare: Iterable[str] = (),
) -> MeteredMonth:
    """The meters `needed`, and those of `optional` that the history has, over a period of whole intervals; those of
    `spare`, on which no money stands, only where they are complete enough.

    Raises:
        InputError: a meter is not in the history, or too little of it was measured; all such meters at once.
    """
    start, end = period
    _require_on_grid(history, start)
    wanted = list(dict.fromkeys([*needed, *(name for name in optional if name in history.frame)]))
    if lacking := [_lacking(history, name) for name in wanted if name not in history.frame]:
        raise InputError(lacking)
    index = pd.date_range(start, end, freq=f"{history.step_minutes}min", inclusive="left", name="time")
    rows = history.frame.reindex(index)
    like = _LikeDays(index, site, calendar_of(site))
    columns, quality = {}, []
    checks = [name for name in dict.fromkeys(spare) if name in history.frame and name not in wanted]
    for name in (*wanted, *checks):
        values, found = _completed(rows[name].to_numpy(dtype=float), name, history, index, like)
        if name in wanted or _is_enough(found, least_coverage):
            columns[name] = values
            quality.append(found)
    month = MeteredMonth(start, end, history.step_minutes, pd.DataFrame(columns, index=index), tuple(quality))
    if refused := list(_refusals(history, month, least_coverage)):
        raise InputError(refused)
    return month


class _LikeDays:
    """The intervals of a period by time of day and kind of day."""

    def __init__(self, index: pd.DatetimeIndex, site: Site, calendar: Calendar) -> None:
        local = index.tz_convert(site.zone)
        dates = [stamped.date() for stamped in local]
        working: Mapping[date, bool] = {day: calendar.is_working(day) for day in set(dates)}
        self._day = np.array([day.toordinal() for day in dates])
        self._kind = np.array([working[day] for day in dates])
        self._minute = np.asarray(local.hour * 60 + local.minute)

    def mean(self, values: Array, place: int) -> float:
        """Rule (3) for one interval; NaN where no like day was measured."""
        like = (self._minute == self._minute[place]) & (self._kind == self._kind[place]) & np.isfinite(values)
        found = np.flatnonzero(like)
        nearest = found[np.argsort(np.abs(self._day[found] - self._day[place]), kind="stable")][:LIKE_DAYS]
        return float(values[nearest].mean()) if len(nearest) else float("nan")

    def rmse(self, values: Array) -> float:
        """Error of rule (3) over a sample of measured intervals, each left out itself."""
        errors = []
        for place in np.flatnonzero(np.isfinite(values))[::SAMPLED_EVERY]:
            others = values.copy()
            others[place] = np.nan
            errors.append(self.mean(others, int(place)) - values[place])
        known = np.array([error for error in errors if np.isfinite(error)])
        return float(np.sqrt(np.mean(known**2))) if len(known) else 0.0


def _completed(
    values: Array, name: str, history: History, index: pd.DatetimeIndex, like: _LikeDays
) -> tuple[Array, ColumnQuality]:
    bridged = np.asarray(index.isin(history.interpolated.get(name, pd.DatetimeIndex([], tz="UTC"))))
    measured = np.where(bridged, np.nan, values)
    empty = ~np.isfinite(values)
    filled = values.copy()
    for place in np.flatnonzero(empty):
        filled[place] = like.mean(measured, int(place))
    step = pd.Timedelta(minutes=history.step_minutes)
    gaps = (
        Gap(name, index[first].to_pydatetime(), (index[last - 1] + step).to_pydatetime(), last - first, rule)
        for missing, rule in _runs(bridged, empty, np.isfinite(filled))
        for first, last in [missing]
    )
    ordered = tuple(sorted(gaps, key=lambda gap: gap.start))
    return filled, ColumnQuality(name, len(index), ordered, like.rmse(measured) if ordered else 0.0)


def _runs(
    bridged: npt.NDArray[np.bool_], empty: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]
) -> Iterator[tuple[tuple[int, int], Rule | None]]:
    """(first, after last) of every run filled by one rule, with the rule."""
    rules: tuple[tuple[Any, Rule | None], ...] = (
        (bridged, "interpolated"), (empty & found, "like_days"), (empty & ~found, None),
    )  # fmt: skip
    for mask, rule in rules:
        edges = np.diff(np.concatenate(([0], mask.astype(np.int8), [0])))
        for first, last in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            yield (int(first), int(last)), rule


def _require_on_grid(history: History, start: datetime) -> None:
    """Raises InputError when no row can begin where the month does."""
    step = pd.Timedelta(minutes=history.step_minutes)
    first = history.frame.index[0]
    if (first - pd.Timestamp(start)) % step != pd.Timedelta(0):
        message = (
            f"rows of {history.step_minutes} min begin beside the month, which begins at {stamp(start)}: "
            "bring rows that begin on its intervals"
        )
        raise InputError([Problem(history.source, "time", stamp(first), message)])


def _lacking(history: History, name: str) -> Problem:
    have = ", ".join(map(str, history.frame.columns))
    message = "is needed to settle the month: add the meter's column, or simulate it with --simulate rules"
    return Problem(history.source, name, f"only {have}", message)


def _is_enough(column: ColumnQuality, least: float) -> bool:
    return column.coverage >= least and all(gap.rule is not None for gap in column.gaps)


def _refusals(history: History, month: MeteredMonth, least: float) -> Iterator[Problem]:
    for column in month.quality:
        if _is_enough(column, least):
            continue
        unfilled = [gap for gap in column.gaps if gap.rule is None]
        gaps = sorted(unfilled or column.gaps, key=lambda gap: -gap.intervals)
        shown = "; ".join(f"{stamp(gap.start)} to {stamp(gap.end)}" for gap in gaps[:NAMED_GAPS])
        rest = f" and {len(gaps) - NAMED_GAPS} more" if len(gaps) > NAMED_GAPS else ""
        message = f"too little was measured (at least {least:.0%} is needed): bring the values of {shown}{rest}"
        yield Problem(history.source, column.column, f"{column.coverage:.2%} of {column.intervals} intervals", message)
