"""Back-tests from a history folder: what the user asked for becomes records, kinds of series and origins.

The work is done in blocks of one fit each, spread over processes; the answer does not depend on how many there are.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing import active_children, get_context
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
from rich.console import Console
from rich.progress import track

from forecasting.backtest import (
    BackTest,
    Block,
    Record,
    Schedule,
    blocks,
    day_table,
    joined,
    rolling_origins,
    run_block,
)
from forecasting.day_types import DayType
from forecasting.demand import Demand
from forecasting.ev_expected import ExpectedCars
from forecasting.kinds import PastSession, SeriesKind
from forecasting.market import Market
from forecasting.pv import Pv
from forecasting.weather import Temperature
from optimizer.errors import InputError, MissingPartError, Problem
from quartet.arguments import parse_edge, parse_zone, read_dates, refuse, require_on_step
from site_configs.calendar import Calendar, CalendarKind
from site_configs.history import History, read_history
from site_configs.recorded.columns import limits_of
from site_configs.site import Site
from streams.site_forecasts import day_type_on, published_rows, series_kinds

SHORTEST_DAYS = 8
"""Measured history needed before the first origin [days]: a week to look back on, and a day."""
LONGEST_HORIZON = timedelta(days=62)
"""Two months: no plan looks further than the end of the next billing period."""
LONGEST_END_S = 5.0
"""Time that a process has to end [s]."""
CALENDARS: tuple[CalendarKind, ...] = ("CN", "US", "GB", "none")


@dataclass(frozen=True)
class Place:
    """Where the series come from: a clock, a calendar, and the site where there is one."""

    zone: ZoneInfo
    day_type: DayType
    site: Site | None = None


@dataclass(frozen=True)
class Window:
    """When to issue forecasts and how far they reach, as the user said it."""

    first: str
    end: str
    every: timedelta
    horizon: timedelta


@dataclass(frozen=True, eq=False)
class BackTests:
    """Back-tests of several series over the same origins."""

    place: Place
    history: History
    schedule: Schedule
    every: timedelta
    found: dict[str, BackTest]
    """By series, in the order asked for."""
    notes: tuple[str, ...] = ()


def place_of(site: Site | None, zone: str | None, holidays: str | None, closures: Path | None) -> Place:
    """The place that site and options together describe; an option goes before the site's own.

    Raises:
        InputError: without a site zone or calendar are missing, or a value is not known; all at once.
    """
    needed = {"--zone": zone, "--holidays": holidays}
    advice = {"--zone": "an IANA name such as Asia/Shanghai", "--holidays": f"one of {', '.join(CALENDARS)}"}
    missing = [option for option, value in needed.items() if site is None and value is None]
    if missing:
        raise InputError(
            [
                Problem("command line", option, "nothing", f"is required without SITE: give {advice[option]}")
                for option in missing
            ]
        )
    kind = next((known for known in CALENDARS if known == holidays), None)
    if holidays is not None and kind is None:
        refuse("--holidays", holidays, f"must be {advice['--holidays']}")
    days_off = () if closures is None else read_dates(closures)
    own = site.closures if site else ()
    calendar = Calendar(kind or (site.holidays if site else "none"), (*own, *days_off))
    return Place(parse_zone(zone) if zone else site.zone if site else ZoneInfo("UTC"), day_type_on(calendar), site)


def run_backtests(place: Place, folder: Path, series: Sequence[str], window: Window) -> BackTests:
    """Fits, forecasts and yardsticks of all series; shows on standard error how far it is.

    Raises:
        InputError: the history does not serve; every problem of every series at once.
        MissingPartError: a process ended by itself.
    """
    history = read_history(folder, zone=place.zone.key, bridged=False)
    schedule, notes = _schedule(history, place.zone, window)
    record, kinds = _prepared(history, place, list(dict.fromkeys(series)), schedule.origins[0])
    days = day_table(record, place.day_type, place.zone, schedule)
    parts = [block for name, kind in kinds.items() for block in blocks(record, name, kind, days, place.zone, schedule)]
    results = _run_all(parts)
    found = {name: joined(part for part in results if part.series == name) for name in kinds}
    return BackTests(place, history, schedule, window.every, found, notes)


def _schedule(history: History, zone: ZoneInfo, window: Window) -> tuple[Schedule, tuple[str, ...]]:
    first, end = parse_edge(window.first, zone, "--from"), parse_edge(window.end, zone, "--to")
    if end <= first:
        refuse("--to", window.end, f"must be after --from {window.first}")
    step = timedelta(minutes=history.step_minutes)
    for option, length in (("--every", window.every), ("--horizon", window.horizon)):
        if length % step:
            refuse(option, length, f"must be a multiple of the history's step of {history.step_minutes} min")
    if window.horizon > LONGEST_HORIZON:
        refuse("--horizon", window.horizon, f"must be at most {LONGEST_HORIZON.days} days")
    require_on_step(first, history.step_minutes, "--from")
    start, last = history.frame.index[0], history.end
    if not start < first < last:
        span = f"{start:%Y-%m-%dT%H:%MZ} to {last:%Y-%m-%dT%H:%MZ}"
        refuse("--from", window.first, f"must lie inside the history, which holds {span}: choose a time in it")
    origins = rolling_origins(first, min(end, last.to_pydatetime()), window.every, zone)
    cut = f"the history ends at {last:%Y-%m-%dT%H:%MZ}, before --to {window.end}: no origin lies after it"
    return Schedule(origins, window.horizon), (cut,) if last < end else ()


def _prepared(
    history: History, place: Place, series: list[str], first: datetime
) -> tuple[Record, dict[str, SeriesKind]]:
    """The record with every series asked for, and what kind each is."""
    known = series_kinds(place.site) if place.site else {}
    frame = history.frame.copy()
    for name in series:
        if isinstance(kind := known.get(name), ExpectedCars) and name not in frame:
            frame[name] = _arriving(kind, name, history)
    problems = list(_unfit(history.source, frame, series, first, history.step_minutes))
    if problems:
        raise InputError(problems)
    past = frame.loc[: first - timedelta(minutes=history.step_minutes)]
    kinds = {name: known.get(name) or _kind_by_name(name, past[name]) for name in series}
    sessions = tuple(PastSession(s.arrive, s.depart, s.energy_needed_kwh, s.charger) for s in history.sessions)
    foretold = history.weather_forecast
    published = published_rows(place.site, history.frame, foretold) if place.site else foretold
    return Record(frame, history.step_minutes, sessions, published), kinds


def _unfit(source: str, frame: pd.DataFrame, series: list[str], first: datetime, step: int) -> Iterator[Problem]:
    for name in series:
        if name not in frame:
            yield Problem(source, "--series", name, f"must be a column of the history: {', '.join(frame.columns)}")
            continue
        known = frame[name].notna()
        days = known.loc[: first - timedelta(minutes=step)].sum() * step / 1440
        if days < SHORTEST_DAYS:
            message = f"needs {SHORTEST_DAYS} days of measurements before --from: choose a later --from"
            yield Problem(source, name, f"{days:.1f} days", message)
        if not known.loc[first:].any():
            yield Problem(source, name, "nothing", "has no value from --from on: choose an earlier --from")


def _kind_by_name(name: str, past: pd.Series[float]) -> SeriesKind:
    """How a series is forecast of which only the name is known; `past` ends before the first origin."""
    quantity = name.split(".")[1]
    if quantity == "available_kw":
        return Pv(float(past.max()))
    if name == "weather.temperature_c":
        return Temperature()
    if quantity.endswith("_per_kwh"):
        return Market(name, *limits_of(name))
    return Demand(*limits_of(name))


def _arriving(cars: ExpectedCars, name: str, history: History) -> pd.Series[float]:
    """Energy need that came with the cars of each interval, as power [kW]; NaN outside the recorded sessions.

    Raises:
        InputError: what a series counts depends on when it is asked.
    """
    if cars.quantity != "arriving_kw":
        message = "counts only cars that come after each forecast: back-test the arrivals (`arriving_kw`) instead"
        raise InputError([Problem(history.source, "--series", name, message)])
    stays = [stay for stay in history.sessions if stay.charger in cars.chargers]
    step = f"{history.step_minutes}min"
    starts = pd.DatetimeIndex([stay.arrive for stay in stays], tz="UTC").floor(step)
    energy = pd.Series([stay.energy_needed_kwh for stay in stays], index=starts, dtype=float).groupby(level=0).sum()
    power = energy.reindex(history.frame.index, fill_value=0.0) * 60 / history.step_minutes
    inside = (power.index >= starts.min()) & (power.index <= starts.max())
    return power.where(inside)


def _run_all(parts: list[Block]) -> list[BackTest]:
    """Results in the order of the parts."""
    workers = min(os.cpu_count() or 1, len(parts))
    if workers == 1:
        return _shown(map(run_block, parts), len(parts))
    with _pool(workers) as pool:
        return _shown(pool.map(run_block, parts), len(parts))


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, as threads and locks of this one do not survive a fork; none outlives the block.

    An interrupt is this process's to answer: the others ignore it and are ended by it.
    """
    others = active_children()
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise MissingPartError(
            "a process of the back-test ended by itself, perhaps for lack of memory: ask for fewer series at once"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()).difference(others):
            child.terminate()
            child.join(LONGEST_END_S)


def _shown(results: Iterable[BackTest], total: int) -> list[BackTest]:
    """The results as a list; how many there are is shown on standard error while they come."""
    console = Console(stderr=True)
    return list(track(results, "fits and forecasts", total=total, console=console, transient=True))
