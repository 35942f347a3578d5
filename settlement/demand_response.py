"""Demand response: the baseline of an event, what was responded, and what is paid for it (RULES 3).

    baseline[b] = mean over the chosen days of the import in the same block of the day                        (1)
    response = mean(baseline - import) over the event, or of each interval by itself; never below 0            (2)
    paid = price·hours·(part up to the cap + share·part beyond it), nothing below the floor                    (3)
    penalty = price·share·hours·what is missing below a share of the bid                                       (4)

Chosen are normal production working days before the event: no weekends and holidays, no days of earlier events or
outages, no days of which too little was measured. A sample that is missing in the event is taken as the baseline: as
no response, never as no load. The import should be that without an event: where a battery would have shaved the hours
of the event on every day anyway, its planned power belongs to the baseline, and it does by (1).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from optimizer.events import DemandResponseEvent
from optimizer.services.demand_response import PayRule
from optimizer.time_grid import Array, TimeGrid
from settlement.money import cents, quantity
from site_configs.calendar import Calendar
from site_configs.tariff import local_midnight

LEAST_COVERAGE = 0.9
"""Share of a day's samples that must have been measured for the day to count."""
LONGEST_LOOK_BACK_DAYS = 60
"""Days before the event among which normal ones are looked for."""


@dataclass(frozen=True)
class Baseline:
    """The import that would have been, block by block of the event, and the days it is taken from."""

    kw: tuple[float, ...]
    minutes: int
    """Length of a block [min]."""
    days: tuple[date, ...] = ()
    """Latest first; empty where it is taken from the hours before."""
    skipped: tuple[tuple[date, str], ...] = ()
    """Days that were passed over, with the reason."""

    def given_to(self, event: DemandResponseEvent) -> DemandResponseEvent:
        """The event with this baseline, as the plan needs it."""
        return replace(event, baseline_kw=self.kw, baseline_minutes=self.minutes)


@dataclass(frozen=True)
class Days:
    """Which days of a site count as normal production working days."""

    calendar: Calendar
    zone: ZoneInfo
    event_days: Collection[date] = ()
    """Days of earlier events, local dates."""
    outages: Collection[date] = ()
    """Declared outages, local dates."""

    def choose(
        self, imports: pd.Series[float], day: date, count: int, days_back: int = 1
    ) -> tuple[tuple[date, ...], tuple[tuple[date, str], ...]]:
        """The latest `count` normal days, from `days_back` before `day` on; and the days passed over, with the reason.

        Raises:
            ValueError: there are not so many among the days before.
        """
        chosen: list[date] = []
        skipped: list[tuple[date, str]] = []
        for back in range(days_back, LONGEST_LOOK_BACK_DAYS + 1):
            candidate = day - timedelta(days=back)
            why_not = self._why_not(imports, candidate)
            if why_not:
                skipped.append((candidate, why_not))
            else:
                chosen.append(candidate)
            if len(chosen) == count:
                return tuple(chosen), tuple(skipped)
        passed = ", ".join(f"{day} {why}" for day, why in skipped)
        raise ValueError(f"{len(chosen)} of {count} normal days before the event, passed over: {passed}")

    def _why_not(self, imports: pd.Series[float], day: date) -> str:
        if not self.calendar.is_working(day):
            return "no working day"
        if day in self.event_days:
            return "day of an event"
        if day in self.outages:
            return "outage"
        start, end = local_midnight(day, self.zone), local_midnight(day + timedelta(days=1), self.zone)
        measured = len(imports.loc[start : end - timedelta(seconds=1)].dropna())
        share = measured * _step(imports) / (end - start)
        return "" if share >= LEAST_COVERAGE else f"only {share:.0%} measured"


def last_normal_days(imports: pd.Series[float], start: datetime, end: datetime, days: Days, count: int = 5) -> Baseline:
    """Mean of the same blocks on the last normal production working days before the event (Jiangsu, contracted)."""
    chosen, skipped = days.choose(imports, start.astimezone(days.zone).date(), count)
    by_day = np.array([_same_blocks(imports, start, end, day, days.zone) for day in chosen])
    return Baseline(_mean_of_days(by_day, start), _minutes(imports), chosen, skipped)


def highest_of_days(
    imports: pd.Series[float], start: datetime, end: datetime, days: Days, count: int = 10, highest: int = 5
) -> Baseline:
    """Mean of the days with the highest import in the hours of the event, of the last normal ones from the day before
    yesterday on (Beijing 2015: 5 of 10)."""
    chosen, skipped = days.choose(imports, start.astimezone(days.zone).date(), count, days_back=2)
    by_day = np.array([_same_blocks(imports, start, end, day, days.zone) for day in chosen])
    order = np.argsort(-np.nanmean(by_day, axis=1), kind="stable")[:highest]
    kept = tuple(chosen[place] for place in sorted(order))
    return Baseline(_mean_of_days(by_day[order], start), _minutes(imports), kept, skipped)


def just_before(imports: pd.Series[float], start: datetime, end: datetime, minutes: int = 15) -> Baseline:
    """Mean of the minutes before the event, for all of it (Jiangsu, real time).

    Raises:
        ValueError: nothing was measured in them.
    """
    before = imports.loc[start - timedelta(minutes=minutes) : start - timedelta(seconds=1)].dropna()
    if before.empty:
        raise ValueError(f"no import was measured in the {minutes} min before {start}: no baseline")
    blocks = -(-(end - start) // _step(imports))
    return Baseline((float(before.mean()),) * blocks, _minutes(imports))


@dataclass(frozen=True)
class ResponseLine:
    """What is measured by itself: an event, or an interval of it."""

    start: datetime
    hours: Decimal
    response_kw: Decimal
    """Never below 0."""
    paid_kw: Decimal
    """What of it is paid, in kW at the full price."""
    paid: Decimal
    penalty: Decimal


@dataclass(frozen=True)
class ResponseStatement:
    """What one event was worth."""

    event: str
    lines: tuple[ResponseLine, ...]
    imputed: int
    """Samples that were missing and taken as the baseline."""

    @property
    def paid(self) -> Decimal:
        return sum((line.paid for line in self.lines), Decimal(0))

    @property
    def penalty(self) -> Decimal:
        return sum((line.penalty for line in self.lines), Decimal(0))

    @property
    def net(self) -> Decimal:
        """What the site receives."""
        return self.paid - self.penalty


def settle(
    event: DemandResponseEvent,
    imports: pd.Series[float],
    rule: PayRule,
    commitment: Literal["energy", "power"] = "energy",
) -> ResponseStatement:
    """The statement of an event for the metered import by start of the interval, UTC; rows may be missing."""
    step = _step(imports)
    grid = TimeGrid(event.start, step // timedelta(minutes=1), -(-(event.end - event.start) // step))
    measured = imports.reindex(pd.DatetimeIndex(grid.near_times)).to_numpy(dtype=float)
    baseline = event.baseline_on(grid)
    missing = ~np.isfinite(measured)
    response = event.sign * (baseline - np.where(missing, baseline, measured))
    ends = [min(at + step, event.end) for at in grid.near_times]
    hours = np.array([(end - at) / timedelta(hours=1) for at, end in zip(grid.near_times, ends, strict=True)])
    if commitment == "energy":
        mean = float((response * hours).sum() / hours.sum())
        lines = [_line(event, rule, event.start, mean, float(hours.sum()))]
    else:
        lines = [
            _line(event, rule, at, float(kw), float(h))
            for at, kw, h in zip(grid.near_times, response, hours, strict=True)
        ]
    return ResponseStatement(event.id, tuple(lines), int(missing.sum()))


def _line(event: DemandResponseEvent, rule: PayRule, start: datetime, response_kw: float, hours: float) -> ResponseLine:
    response, bid = max(Decimal(0), quantity(response_kw)), quantity(event.bid_kw)
    price, length = Decimal(str(event.price_per_kwh)), quantity(hours)
    paid_kw, missing_kw = paid_and_missing_kw(rule, bid, response)
    penalty = cents(missing_kw * length * _decimal(rule.penalty_price) * price)
    return ResponseLine(start, length, response, paid_kw, cents(paid_kw * length * price), penalty)


def paid_and_missing_kw(rule: PayRule, bid_kw: Decimal, response_kw: Decimal) -> tuple[Decimal, Decimal]:
    """Response in kW at the full price, and what is missing of what the rule asks."""
    cap = _decimal(rule.cap) * bid_kw
    full = min(response_kw, cap) if response_kw >= _decimal(rule.floor) * bid_kw else Decimal(0)
    beyond = _decimal(rule.beyond) * max(Decimal(0), response_kw - cap)
    return full + beyond, max(Decimal(0), _decimal(rule.penalty_below) * bid_kw - response_kw)


def _decimal(value: float) -> Decimal:
    return Decimal(str(value))


def _same_blocks(imports: pd.Series[float], start: datetime, end: datetime, day: date, zone: ZoneInfo) -> Array:
    """(blocks,) the import of a day at the event's time of day; NaN where nothing was measured."""
    local = start.astimezone(zone)
    first = datetime.combine(day, local.time(), zone).astimezone(UTC)
    blocks = -(-(end - start) // _step(imports))
    times = pd.DatetimeIndex([first + n * _step(imports) for n in range(blocks)])
    return np.asarray(imports.reindex(times).to_numpy(dtype=float), dtype=np.float64)


def _mean_of_days(by_day: Array, start: datetime) -> tuple[float, ...]:
    """Mean of each block over the days that have it."""
    nowhere = np.flatnonzero(~np.isfinite(by_day).any(axis=0))
    if len(nowhere):
        raise ValueError(f"block {nowhere[0]} of the event at {start} was measured on none of the chosen days")
    return tuple(float(kw) for kw in np.nanmean(by_day, axis=0))


def _step(imports: pd.Series[float]) -> timedelta:
    """Length of an interval; rows may be missing, so it is the shortest distance between two."""
    index = pd.DatetimeIndex(imports.index)
    if len(index) < 2:
        raise ValueError(f"an import series of {len(index)} row(s) has no step: give at least two")
    seconds = int(np.diff(index.as_unit("s").asi8).min())
    if seconds < 60 or seconds % 60:
        raise ValueError(f"an import series needs a step of whole minutes, not {seconds} s")
    return timedelta(seconds=seconds)


def _minutes(imports: pd.Series[float]) -> int:
    return _step(imports) // timedelta(minutes=1)
