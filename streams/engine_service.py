"""One worker of the engine as a process: its parts put together, served until it is asked to stop, ended when it is not
well. Several workers share the sites: Kafka deals out the partitions, and one ledger says what is done.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from prometheus_client import CollectorRegistry

from optimizer.situation import Session
from site_configs.history import read_site_history
from site_configs.site import Site
from streams import faust_private
from streams.acks import AckIntake
from streams.admin import ensure_topics, is_embedded, wait_for_broker
from streams.commands import CommandDesk
from streams.dead_letters import DeadLetterDesk
from streams.engine import Engine
from streams.faust_app import Face, Intake, Sender, engine_app
from streams.kafka_access import kafka_access
from streams.ledger import Ledger
from streams.news_intake import NewsIntake
from streams.observation import CycleTimes, Figures, observed
from streams.outbox import Outbox
from streams.planning import FittedModels, PlanningDesk, PlanningHandler
from streams.site_forecasts import published_rows
from streams.site_runtime import SiteRuntime, at_step
from streams.topics import GRID_EVENTS, TARIFF, WEATHER
from streams.watchdog import Watchdog
from streams.workers import WorkerPool

log = logging.getLogger(__name__)

EMBEDDED_FETCH_WAIT_MS = 20
"""The embedded broker answers a fetch only when its wait is over, even if messages come meanwhile."""
LOOK_S = 10.0
"""Longest wait of a look from outside for a turn of the engine."""
EXIT_FATAL, EXIT_INTERRUPTED = 70, 130


@dataclass(frozen=True)
class EngineSettings:
    """How one worker runs."""

    broker: str
    """As `streams.kafka_access` reads it."""
    ledger: Path | str
    """File, or URL of PostgreSQL; the same for all workers."""
    history: Mapping[str, Path] = field(default_factory=dict)
    """By site id: the folder of its recorded past; a site without one starts with what it measures."""
    worker_id: str = "engine-0"
    """Name of this worker in the consumer group; it must be its own, and the same after a restart."""
    planners: int = 1
    """Planning processes."""
    deadline_s: float = 10.0
    """Wall-clock limit of one plan; later the fallback answers."""
    fit_wait_s: float = 180.0
    """How long a site's first cycle waits for its forecasters to be fitted."""
    stop_s: float = 10.0
    """Time to end in order after SIGTERM."""
    stall_s: float = 60.0
    """When nothing moves for so long although there is something to do, the process ends with code 70."""
    observe: str | None = None
    """host:port of metrics and health."""


def run_engine(sites: Sequence[Site], settings: EngineSettings) -> None:
    """Runs the sites until SIGTERM, and returns soon after it.

    May be killed at any time: a new process with the same ledger, or another worker, goes on where it was.

    Raises:
        InputError: the ledger, a history folder or the address of the broker cannot be read.
        MissingPartError: no broker answers, or nothing can listen at `observe`.
        KeyboardInterrupt: it was stopped by Ctrl-C.
    """
    wait_for_broker(settings.broker)
    ensure_topics(settings.broker)
    past = {site.id: _recorded(site, settings.history.get(site.id)) for site in sites}
    with Ledger(settings.ledger) as ledger:
        asyncio.run(_Worker(sites, past, ledger, settings).serve())


Past = tuple[pd.DataFrame, tuple[Session, ...], pd.DataFrame | None]
"""The recorded past at the site's step, the stays of cars in it, and what was announced ahead."""


def _recorded(site: Site, folder: Path | None) -> Past:
    if folder is None:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time")), (), None
    history = read_site_history(site, folder)
    published = published_rows(site, history.frame, history.weather_forecast)
    return at_step(history.frame, site.step_minutes), history.sessions, published


class _Worker:
    """The parts of one worker, tied together. Must be made within a running loop."""

    def __init__(
        self, sites: Sequence[Site], past: Mapping[str, Past], ledger: Ledger, settings: EngineSettings
    ) -> None:
        self._sites = {site.id: site for site in sites}
        self._past = past
        self._ledger = ledger
        self._settings = settings

    async def serve(self) -> None:
        """Until it is asked to stop."""
        settings = self._settings
        stop = Stop(settings.stop_s)
        registry = CollectorRegistry()
        app = engine_app(kafka_access(settings.broker), settings.worker_id)
        models = FittedModels(self._ledger, settings.fit_wait_s)
        async with WorkerPool(settings.planners, PlanningHandler()) as pool:
            planning = PlanningDesk(pool, models, settings.deadline_s)
            parts = self._parts(Sender(app).send, planning, CycleTimes(registry))
            face = Face(app, parts.intakes, _fatal)
            loop = asyncio.get_running_loop()
            with observed(settings.observe, registry, partial(_ask, loop, partial(parts.figures, face))):
                await self._run(app, face, parts, stop.asked)
                await parts.engine.stop()
                models.close()
                await face.commit()
            for task in parts.tasks:
                task.cancel()
            await asyncio.wait_for(app.stop(), settings.stop_s)
        stop.finish()

    def _parts(self, send: Callable[..., Any], planning: PlanningDesk, times: CycleTimes) -> _Parts:
        ledger, sites = self._ledger, self._sites
        dead_letters, outbox = DeadLetterDesk(ledger, send), Outbox(send)
        restore = {name: partial(SiteRuntime.restore, site, ledger, *self._past[name]) for name, site in sites.items()}
        engine = Engine(restore, ledger, planning, send, dead_letters, _fatal, times)
        commands = CommandDesk(sites, ledger, dead_letters, send)
        acks = AckIntake(ledger, dead_letters, outbox)
        news = tuple(NewsIntake(topic, sites, ledger, dead_letters) for topic in (WEATHER, TARIFF, GRID_EVENTS))
        return _Parts(engine, dead_letters, (acks, commands, *news), (dead_letters.run, commands.run, outbox.run))

    async def _run(self, app: Any, face: Face, parts: _Parts, asked: asyncio.Event) -> None:
        settings = self._settings
        parts.start(face.keep_committing)
        await app.start()
        if is_embedded(settings.broker):
            faust_private.set_fetch_wait(app, EMBEDDED_FETCH_WAIT_MS)
        watchdog = Watchdog(
            settings.broker,
            lambda: (face.progress, parts.engine.deciding),
            lambda: face.todo,
            _fatal,
            settings.stall_s,
        )
        watchdog.start()
        await _stopped_or_crashed(app, asked)
        watchdog.end()


@dataclass
class _Parts:
    """What works in one worker."""

    engine: Engine
    dead_letters: DeadLetterDesk
    others: tuple[Intake, ...]
    """Intakes beside the engine."""
    work: tuple[Callable[[], Any], ...]
    """What goes on for ever beside taking in."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def intakes(self) -> tuple[Intake, ...]:
        return (self.engine, *self.others)

    def start(self, *more: Callable[[], Any]) -> None:
        self.tasks += [asyncio.create_task(_guarded(work)) for work in (*self.work, *more)]

    async def figures(self, face: Face) -> Figures:
        """What is seen from outside, at one turn of the loop."""
        engine = self.engine
        return Figures(face.figures(), self.dead_letters.sent, engine.ages_s(), engine.clocks(), engine.oldest_wait_s)


def _ask(loop: asyncio.AbstractEventLoop, figures: Callable[[], Any]) -> Figures:
    """From another thread: the loop's own answer, so that it is whole, and missing when the loop hangs."""
    answer: Figures = asyncio.run_coroutine_threadsafe(figures(), loop).result(LOOK_S)
    return answer


class Stop:
    """Asked for by SIGTERM and SIGINT; whatever hangs, the process ends within `limit_s` of it."""

    def __init__(self, limit_s: float) -> None:
        self.asked = asyncio.Event()
        self._limit_s = limit_s
        self._interrupted = False
        self._timer: threading.Timer | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._ask, number)

    def finish(self) -> None:
        """All is closed in order: the time limit falls away."""
        if self._timer is not None:
            self._timer.cancel()
        if self._interrupted:
            raise KeyboardInterrupt

    def _ask(self, number: int) -> None:
        if self._timer is None:
            self._interrupted = number == signal.SIGINT
            self._timer = threading.Timer(self._limit_s, os._exit, args=(EXIT_INTERRUPTED if self._interrupted else 0,))
            self._timer.daemon = True
            self._timer.start()
        self.asked.set()


async def _stopped_or_crashed(app: Any, stop: asyncio.Event) -> None:
    while not stop.is_set():
        if app.crashed:
            _fatal(RuntimeError(f"the Kafka client crashed: {app.crash_reason!r}"))
        try:
            await asyncio.wait_for(stop.wait(), 0.5)
        except TimeoutError:
            continue


async def _guarded(work: Callable[[], Any]) -> None:
    try:
        await work()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        _fatal(error)


def _fatal(error: BaseException) -> None:
    """Ends the process at once; safe, because everything unfinished is read again."""
    log.critical("the engine ends: %r", error, exc_info=error)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_FATAL)
