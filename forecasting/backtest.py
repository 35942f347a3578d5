"""Rolling-origin back-tests: forecasts as they would have been issued, what then came, and what simple ways had said.

From the first origin on a model is fitted now and then, and each origin in between is served by the last fit. A fit and
its origins are a block: blocks know nothing of one another, so that they may run in processes of their own and in any
order. Everything a fit or a forecast is given is cut at its origin first (`Record.known_at`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from time import perf_counter
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from forecasting.day_types import EPOCH, DayTable, DayType, Ints, LocalClock
from forecasting.findings import Finding
from forecasting.forecast import Array, Forecast
from forecasting.kinds import PastSession, SeriesKind
from forecasting.measured import Measured, measured
from forecasting.peer import fit_peer, why_no_peer
from forecasting.scores import seasonal_mae
from forecasting.site_forecaster import FittedSite, SiteForecaster
from forecasting.yardsticks import persistence, same_local_slot, same_type_mean

PEER = "peer"
REFIT = timedelta(days=7)
RECENT_DAYS = 10
"""Measurements that an update is given at least [days], as the engine does."""
SLACK_DAYS = 17
"""Day types looked up beside the record's span [days]: lags point before it, holidays reach around it."""


@dataclass(frozen=True, eq=False)
class Record:
    """What was recorded at a site."""

    frame: pd.DataFrame
    """UTC index of interval starts in order, a column for each series; NaN where nothing was measured."""
    step_minutes: int
    sessions: tuple[PastSession, ...] = ()
    published: pd.DataFrame | None = None
    """What others announced, such as weather forecasts: columns `issued_at`, `time` and values, in order of issue."""

    def known_at(self, at: datetime) -> Record:
        """What was known at `at`: intervals that were over, stays that were over, what was announced before."""
        over = self.frame.index.searchsorted(pd.Timestamp(at) - pd.Timedelta(minutes=self.step_minutes), side="right")
        published = self.published
        if published is not None:
            published = published.iloc[: published["issued_at"].searchsorted(pd.Timestamp(at))]
        sessions = tuple(session for session in self.sessions if session.depart <= at)
        return replace(self, frame=self.frame.iloc[:over], sessions=sessions, published=published)

    def announced_since(self, since: datetime) -> pd.DataFrame | None:
        """What was announced from then on."""
        if self.published is None:
            return None
        return self.published.iloc[self.published["issued_at"].searchsorted(pd.Timestamp(since)) :]


@dataclass(frozen=True)
class Schedule:
    """When forecasts are issued, how far they reach, how often models are fitted."""

    origins: tuple[datetime, ...]
    """UTC, ascending, each the start of an interval."""
    horizon: timedelta
    refit: timedelta = REFIT
    """A fit serves the origins up to this long after it."""

    def blocks(self) -> Iterator[tuple[datetime, ...]]:
        """Origins that share a fit, made at the first of them."""
        block: list[datetime] = []
        for origin in self.origins:
            if block and origin - block[0] >= self.refit:
                yield tuple(block)
                block = []
            block.append(origin)
        if block:
            yield tuple(block)


@dataclass(frozen=True, eq=False)
class Block:
    """One fit of one series and the origins it serves; picklable where its kind is."""

    record: Record
    series: str
    kind: SeriesKind
    days: DayTable
    zone: ZoneInfo
    origins: tuple[datetime, ...]
    horizon: timedelta
    peer: bool = True
    """Whether the other library is fitted, too: it takes longer than all the rest."""
    timer: Callable[[], float] = perf_counter
    """Seconds, for the measured times only."""

    @property
    def clock(self) -> LocalClock:
        return LocalClock(self.zone, self.record.step_minutes)

    @property
    def leads(self) -> Ints:
        """(m,) leads in steps; 0 is the origin's own step."""
        return np.arange(self.clock.steps_in(self.horizon / timedelta(hours=1)), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class BackTest:
    """What was forecast and what came, for n origins and m leads: every score can be computed from it."""

    series: str
    clock: LocalClock
    origins: Ints
    """(n,) number of the first step forecast."""
    actual: Array
    """(n, m) measured, NaN where nothing was."""
    quantiles: Mapping[float, Array]
    """By level: (n, m) forecasts."""
    yardsticks: Mapping[str, Array]
    """By name: (n, m) forecasts of the simple ways and of the other library, NaN where they had none."""
    absent: Mapping[str, str]
    """By yardstick that is missing, wholly or in part: why."""
    methods: tuple[str, ...]
    """(n,) what made each forecast."""
    history_rows: int
    """Measured values before the first origin."""
    scale: float
    """Mean absolute error of "same slot yesterday" before the first origin, for MASE; NaN where there is none."""
    fit_ms: tuple[float, ...]
    """Time of each fit of the forecaster, without the yardsticks."""
    update_ms: tuple[float, ...]
    """(n,) time of each forecast."""
    findings: tuple[Finding, ...] = ()
    """What was wrong in the measurements before the last origin, and what was done about it."""

    @property
    def median(self) -> Array:
        return self.quantiles[0.5]

    @property
    def leads_minutes(self) -> Ints:
        """(m,) time from the origin to the end of each interval forecast."""
        return (np.arange(self.actual.shape[1], dtype=np.int64) + 1) * self.clock.step_minutes


def rolling_origins(first: datetime, end: datetime, every: timedelta, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Origins from `first` on, before `end`; UTC.

    Whole days are counted on the clock of `zone`, so that local midnights stay local midnights.
    """
    by_day = every % timedelta(days=1) == timedelta(0)
    counted = first.astimezone(zone).replace(tzinfo=None) if by_day else first.astimezone(UTC)
    found = []
    while (at := (counted.replace(tzinfo=zone) if by_day else counted).astimezone(UTC)) < end:
        found.append(at)
        counted += every
    return tuple(found)


def day_table(record: Record, day_type: DayType, zone: ZoneInfo, schedule: Schedule) -> DayTable:
    """The day types that a back-test may ask for; a day that the calendar does not know raises its own error."""
    first = record.frame.index[0].astimezone(zone).date()
    last = (schedule.origins[-1] + schedule.horizon).astimezone(zone).date()
    return DayTable.over(day_type, (first - EPOCH).days - SLACK_DAYS, (last - EPOCH).days + SLACK_DAYS)


def backtest(
    record: Record,
    series: str,
    kind: SeriesKind,
    day_type: DayType,
    zone: ZoneInfo,
    schedule: Schedule,
    peer: bool = True,
    run: Callable[[Callable[[Block], BackTest], Iterable[Block]], Iterable[BackTest]] = map,
) -> BackTest:
    """The back-test of one series; `run` may be the `map` of a pool of processes.

    A model that fails is replaced by a yardstick, as in operation; `methods` says so.

    Raises:
        ValueError: no origin.
    """
    if not schedule.origins:
        raise ValueError(f"back-test of {series}: no origin")
    days = day_table(record, day_type, zone, schedule)
    return joined(run(run_block, blocks(record, series, kind, days, zone, schedule, peer)))


def blocks(
    record: Record,
    series: str,
    kind: SeriesKind,
    days: DayTable,
    zone: ZoneInfo,
    schedule: Schedule,
    peer: bool = True,
) -> list[Block]:
    """The parts of a back-test; `joined` puts their results together again."""
    return [Block(record, series, kind, days, zone, origins, schedule.horizon, peer) for origins in schedule.blocks()]


def run_block(block: Block) -> BackTest:
    """Fits once, forecasts from every origin of the block, and asks the yardsticks."""
    clock = block.clock
    began = block.timer()
    site = _fit(block)
    fit_ms = 1000 * (block.timer() - began)
    forecasts, update_ms = _issue_all(site, block)
    origins = np.array([clock.first_step(at) for at in block.origins], dtype=np.int64)
    whole = _measured(block, int(origins[-1]) + len(block.leads))
    past = whole.between(whole.first, int(origins[0])) if whole.known else whole
    yardsticks, absent = _yardsticks(block, whole.between(whole.first, int(origins[-1])), origins)
    return BackTest(
        series=block.series,
        clock=clock,
        origins=origins,
        actual=whole.at(origins[:, None] + block.leads),
        quantiles={
            level: np.stack([forecast.quantiles[level] for forecast in forecasts]) for level in forecasts[0].quantiles
        },
        yardsticks=yardsticks,
        absent=absent,
        methods=tuple(forecast.method for forecast in forecasts),
        history_rows=past.known,
        scale=seasonal_mae(past.values, clock.steps_per_day),
        fit_ms=(fit_ms,),
        update_ms=tuple(update_ms),
        findings=(*site.provenance.findings[block.series], *forecasts[-1].findings),
    )


def joined(parts: Iterable[BackTest]) -> BackTest:
    """Blocks of one series, in order of time, as one back-test."""
    parts = list(parts)
    first = parts[0]
    names = list(dict.fromkeys(name for part in parts for name in part.yardsticks))
    return replace(
        first,
        origins=np.concatenate([part.origins for part in parts]),
        actual=np.concatenate([part.actual for part in parts]),
        quantiles={level: np.concatenate([part.quantiles[level] for part in parts]) for level in first.quantiles},
        yardsticks={name: np.concatenate([_or_nothing(part, name) for part in parts]) for name in names},
        absent={name: reason for part in parts for name, reason in part.absent.items()},
        methods=tuple(method for part in parts for method in part.methods),
        fit_ms=tuple(ms for part in parts for ms in part.fit_ms),
        update_ms=tuple(ms for part in parts for ms in part.update_ms),
        findings=parts[-1].findings,
    )


def _or_nothing(part: BackTest, name: str) -> Array:
    return part.yardsticks.get(name, np.full(part.actual.shape, np.nan))


def _fit(block: Block) -> FittedSite:
    at = block.origins[0]
    known = block.record.known_at(at)
    forecaster = SiteForecaster(
        {block.series: block.kind}, partial(_name_of, block.days), block.zone, block.record.step_minutes
    )
    return forecaster.fit(known.frame, at, block.origins[-1] + block.horizon, known.sessions, known.published)


def _name_of(days: DayTable, local_date: date) -> str:
    return days.names[(local_date - EPOCH).days - days.first]


def _issue_all(site: FittedSite, block: Block) -> tuple[list[Forecast], list[float]]:
    """The forecasts from all origins, and the time of each [ms]; as in operation what is recent is handed over."""
    forecasts, times = [], []
    for at in block.origins:
        since = min(block.origins[0], at - timedelta(days=RECENT_DAYS))
        known = block.record.known_at(at)
        recent = known.frame.loc[since:]
        announced = known.announced_since(since)
        began = block.timer()
        forecasts.append(site.issue(recent, at, at + block.horizon, announced)[block.series])
        times.append(1000 * (block.timer() - began))
    return forecasts, times


def _measured(block: Block, end: int) -> Measured:
    if block.series not in block.record.frame:
        return Measured(end, np.empty(0))
    return measured(block.record.frame[block.series], block.clock, end)


def _yardsticks(block: Block, past: Measured, origins: Ints) -> tuple[dict[str, Array], dict[str, str]]:
    clock, leads = block.clock, block.leads
    found = {
        "persistence": persistence(past, origins, leads),
        "same_slot_yesterday": same_local_slot(past, origins, leads, clock, 1),
        "same_slot_last_week": same_local_slot(past, origins, leads, clock, 7),
        "same_type_days": same_type_mean(past, origins, leads, clock, block.days),
    }
    if not block.peer:
        return found, {PEER: "not asked for"}
    reason = why_no_peer()
    if reason:
        return found, {PEER: reason}
    try:
        peer = fit_peer(past.between(past.first, int(origins[0])), len(leads), clock, block.days)
    except ValueError as error:
        return found, {PEER: str(error)}
    return {**found, PEER: peer.forecast(past, origins, leads)}, {}
