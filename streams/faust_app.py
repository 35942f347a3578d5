"""The engine's face to Kafka, in Faust: it takes in, sends, and commits the lowest offset still needed; nothing else.

Faust acknowledges nothing by itself here (`acks=False`), has no table, and waits for no plan. Acknowledgements come by
a second agent of the same app: one consumer, one group, and the same care with offsets as for telemetry.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import faust
import pandas as pd
from faust.types import TP

from optimizer.situation import Session
from site_configs.history import read_history
from site_configs.site import Site
from streams import faust_private
from streams.acks import AckIntake
from streams.admin import ensure_topics, is_embedded, wait_for_broker
from streams.commands import CommandDesk
from streams.dead_letters import DeadLetterDesk
from streams.engine import Engine
from streams.ledger import Ledger
from streams.news_intake import NewsIntake
from streams.outbox import Outbox
from streams.planning import FittedModels, PlanningDesk, PlanningHandler
from streams.site_forecasts import published_rows
from streams.site_runtime import SiteRuntime, at_step
from streams.topics import GRID_EVENTS, TARIFF, WEATHER
from streams.watchdog import Positions, Todo, Watchdog
from streams.workers import WorkerPool

log = logging.getLogger(__name__)

GROUP = "quartet-engine"
COMMIT_EVERY_S = 0.5
REVOKE_LIMIT_S = 3.0
EMBEDDED_FETCH_WAIT_MS = 20
"""The embedded broker answers a fetch only when its wait is over, even if messages come meanwhile."""
FULL = 500
"""Work that may wait before taking in pauses."""
SEND_AGAIN_S = 0.5
SESSION_S, HEARTBEAT_S = 6.0, 1.0
"""A dead worker's sites are taken over after the session; Faust's own default is a minute."""
EXIT_FATAL, EXIT_INTERRUPTED = 70, 130


class Intake(Protocol):
    """A topic that is taken in with its offsets kept."""

    topic: str
    progress: int

    @property
    def backlog(self) -> int: ...
    def assign(self, partition: int) -> None: ...
    def revoke(self, partition: int) -> None: ...
    def ingest(
        self, partition: int, offset: int, key: bytes | None, value: bytes | None, expected: int | None = None
    ) -> None: ...
    def flush(self) -> None: ...
    def next_offsets(self) -> dict[int, int | None]: ...
    def safe_offsets(self) -> dict[int, int]: ...


def run_engine(
    sites: Sequence[Site],
    broker: str,
    ledger_path: Path,
    history: Mapping[str, Path],
    *,
    workers: int = 1,
    deadline_s: float = 10.0,
    fit_wait_s: float = 180.0,
    worker_id: str = "engine-0",
    stop_s: float = 10.0,
    stall_s: float = 60.0,
) -> None:
    """Runs the sites until SIGTERM, and returns within `stop_s` of it.

    May be killed at any time: a new process with the same ledger goes on where it was. With an SQLite ledger only one
    may run.

    Args:
        history: by site id: the folder of its recorded past; a site without one starts with what it measures.
        workers: planning processes.
        deadline_s: wall-clock limit of one plan; later the fallback answers.
        fit_wait_s: how long a site's first cycle waits for its forecasters to be fitted.
        worker_id: fixed name of this process in the consumer group.
        stall_s: when nothing moved for so long although there is something to read, the process ends with code 70.

    Raises:
        InputError: the ledger or a history folder cannot be read.
        MissingPartError: no broker answers.
        KeyboardInterrupt: it was stopped by Ctrl-C.
    """
    wait_for_broker(broker)
    ensure_topics(broker)
    past = {site.id: _recorded(site, history.get(site.id)) for site in sites}
    with Ledger(ledger_path) as ledger:
        asyncio.run(_serve(sites, past, broker, ledger, workers, deadline_s, fit_wait_s, worker_id, stop_s, stall_s))


Past = tuple[pd.DataFrame, tuple[Session, ...], pd.DataFrame | None]
"""The recorded past at the site's step, the stays of cars in it, and what was announced ahead."""


def _recorded(site: Site, folder: Path | None) -> Past:
    if folder is None:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time")), (), None
    history = read_history(folder, zone=site.timezone)
    published = published_rows(site, history.frame, history.weather_forecast)
    return at_step(history.frame, site.step_minutes), history.sessions, published


async def _serve(
    sites: Sequence[Site],
    past: Mapping[str, Past],
    broker: str,
    ledger: Ledger,
    workers: int,
    deadline_s: float,
    fit_wait_s: float,
    worker_id: str,
    stop_s: float,
    stall_s: float,
) -> None:
    stop = Stop(stop_s)
    app = _app(broker, worker_id)
    send = Sender(app).send
    models = FittedModels(ledger, fit_wait_s)
    async with WorkerPool(workers, PlanningHandler()) as pool:
        dead_letters = DeadLetterDesk(ledger, send)
        restore = {site.id: partial(SiteRuntime.restore, site, ledger, *past[site.id]) for site in sites}
        engine = Engine(restore, ledger, PlanningDesk(pool, models, deadline_s), send, dead_letters, _fatal)
        by_id = {site.id: site for site in sites}
        commands = CommandDesk(by_id, ledger, dead_letters, send)
        alarms = Outbox(send)
        news = (NewsIntake(topic, by_id, ledger, dead_letters) for topic in (WEATHER, TARIFF, GRID_EVENTS))
        face = Face(app, (engine, AckIntake(ledger, dead_letters, alarms), commands, *news))
        watchdog = Watchdog(broker, lambda: (face.progress, engine.deciding), lambda: face.todo, _fatal, stall_s)
        tasks = [
            asyncio.create_task(_guarded(work))
            for work in (dead_letters.run, commands.run, alarms.run, face.keep_committing)
        ]
        await app.start()
        if is_embedded(broker):
            faust_private.set_fetch_wait(app, EMBEDDED_FETCH_WAIT_MS)
        watchdog.start()
        await _stopped_or_crashed(app, stop.asked)
        watchdog.end()
        await engine.stop()
        models.close()
        await face.commit()
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(app.stop(), stop_s)
    stop.finish()


class Sender:
    """Sends until the broker has it: the first await only queues, the second is the broker's answer."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._topics: dict[str, Any] = {}

    async def send(self, topic: str, key: bytes, value: bytes) -> None:
        if topic not in self._topics:
            self._topics[topic] = _raw_topic(self._app, topic)
        while True:
            try:
                await (await self._topics[topic].send(key=key, value=value, force=True))
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("sending to %s failed, trying again: %r", topic, error)
                await asyncio.sleep(SEND_AGAIN_S)


class Face:
    """Ties the intakes to Faust: agents, assignment, commits."""

    def __init__(self, app: Any, intakes: Iterable[Intake]) -> None:
        self._app = app
        self._intakes = {intake.topic: intake for intake in intakes}
        self._earliest: dict[TP, int] = {}
        self._committed: dict[tuple[str, int], int] = {}
        self._read_up_to: Positions = {}
        app.on_partitions_assigned.connect(self._assigned)
        app.on_partitions_revoked.connect(self._revoked)
        for intake in self._intakes.values():
            app.agent(_raw_topic(app, intake.topic, acks=False), name=intake.topic, concurrency=1)(self._agent(intake))

    @property
    def progress(self) -> Hashable:
        return tuple(intake.progress for intake in self._intakes.values())

    @property
    def todo(self) -> Todo:
        """For the watchdog, which asks from another thread: how far each partition was read, and what waits."""
        return Todo(self._read_up_to, sum(intake.backlog for intake in self._intakes.values()))

    def _agent(self, intake: Intake) -> Callable[[Any], Any]:
        async def take_in(stream: Any) -> None:
            async for event in stream.events():
                message = event.message
                self._ingest(intake, message)
                while intake.backlog > FULL:
                    await asyncio.sleep(0.02)

        return take_in

    def _ingest(self, intake: Intake, message: Any) -> None:
        try:
            intake.ingest(message.partition, message.offset, message.key, message.value, self._begins_at(message.tp))
        except BaseException as error:  # anything else but a bad message: end before Faust goes on
            _fatal(error)

    def _begins_at(self, partition: TP) -> int | None:
        committed = faust_private.committed_offset(self._app, partition)
        return None if committed is None else max(committed, self._earliest.get(partition, 0))

    async def _assigned(self, app: Any, assigned: Iterable[TP], **_: Any) -> None:
        ours = [tp for tp in assigned if tp.topic in self._intakes]
        earliest = await self._app.consumer.earliest_offsets(*ours)
        self._earliest = {TP(tp.topic, tp.partition): offset for tp, offset in earliest.items()}
        for tp in ours:
            self._committed.pop((tp.topic, tp.partition), None)
            self._intakes[tp.topic].assign(tp.partition)
        log.info("assigned %s", ", ".join(sorted(f"{tp.topic}[{tp.partition}]" for tp in ours)))

    async def _revoked(self, app: Any, revoked: Iterable[TP], **_: Any) -> None:
        try:
            await asyncio.wait_for(self.commit(), REVOKE_LIMIT_S)
        except TimeoutError:
            log.warning("no commit on revocation: what was finished since the last one is read again")
        for tp in revoked:
            if tp.topic in self._intakes:
                self._intakes[tp.topic].revoke(tp.partition)

    def _positions(self) -> Positions:
        places = [
            (TP(topic, partition), offset)
            for topic, intake in self._intakes.items()
            for partition, offset in intake.next_offsets().items()
        ]
        return {
            (tp.topic, tp.partition): self._begins_at(tp) or self._earliest.get(tp, 0) if offset is None else offset
            for tp, offset in places
        }

    async def keep_committing(self) -> None:
        """Works for ever."""
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            if not self._app.rebalancing:
                await self.commit()

    async def commit(self) -> None:
        """Flushes, then commits the lowest offset still needed of each partition where it has moved."""
        for intake in self._intakes.values():
            intake.flush()
        safe = {
            (topic, partition): offset
            for topic, intake in self._intakes.items()
            for partition, offset in intake.safe_offsets().items()
        }
        self._read_up_to = self._positions() or self._read_up_to
        moved = {place: offset for place, offset in safe.items() if self._committed.get(place) != offset}
        if moved and await faust_private.commit(self._app, {TP(*place): offset for place, offset in moved.items()}):
            self._committed.update(moved)


def _app(broker: str, worker_id: str) -> Any:
    return faust.App(
        GROUP,
        broker=[f"kafka://{address}" for address in broker.split(",")],
        store="memory://",
        datadir=Path(tempfile.gettempdir()) / "quartet-faust",  # it makes empty folders even without a store
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_group_instance_id=worker_id,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
    )


def _raw_topic(app: Any, name: str, acks: bool = True) -> Any:
    return app.topic(name, acks=acks, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


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
