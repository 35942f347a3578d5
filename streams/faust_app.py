"""The engine's face to Kafka, in Faust: it takes in, sends, and commits the lowest offset still needed; nothing else.

Faust acknowledges nothing by itself here (`acks=False`), has no table, and waits for no plan. Each topic that is taken
in has an agent of the same app: one consumer, one group, and the same care with offsets for all.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, Protocol

import faust
from faust.types import TP

from streams import faust_private
from streams.kafka_access import KafkaAccess
from streams.observation import TopicFigures
from streams.watchdog import Positions, Todo

log = logging.getLogger(__name__)

GROUP = "quartet-engine"
COMMIT_EVERY_S = 0.5
REVOKE_LIMIT_S = 3.0
FULL = 500
"""Work that may wait before taking in pauses."""
SEND_AGAIN_S = 0.5
SESSION_S, HEARTBEAT_S = 6.0, 1.0
"""A dead worker's sites are taken over after the session; Faust's own default is a minute."""


class Intake(Protocol):
    """A topic that is taken in with its offsets kept."""

    topic: str
    progress: int
    taken: int

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

    def __init__(self, app: Any, intakes: Iterable[Intake], fatal: Callable[[BaseException], None]) -> None:
        self._app = app
        self._fatal = fatal
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

    def figures(self) -> dict[str, TopicFigures]:
        """By topic: what was taken in, what waits, and how far each assigned partition is behind."""
        positions = self._positions()
        return {
            topic: TopicFigures(
                intake.taken,
                intake.backlog,
                {tp.partition: self._lag(tp, at) for tp, at in positions.items() if tp.topic == topic},
            )
            for topic, intake in self._intakes.items()
        }

    def _lag(self, partition: TP, position: int) -> int:
        return max(0, (self._app.consumer.highwater(partition) or 0) - position)

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
            self._fatal(error)

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

    def _positions(self) -> dict[TP, int]:
        places = [
            (TP(topic, partition), offset)
            for topic, intake in self._intakes.items()
            for partition, offset in intake.next_offsets().items()
        ]
        return {tp: self._begins_at(tp) or self._earliest.get(tp, 0) if at is None else at for tp, at in places}

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
        self._read_up_to = {(tp.topic, tp.partition): at for tp, at in self._positions().items()} or self._read_up_to
        moved = {place: offset for place, offset in safe.items() if self._committed.get(place) != offset}
        if moved and await faust_private.commit(self._app, {TP(*place): offset for place, offset in moved.items()}):
            self._committed.update(moved)


def engine_app(access: KafkaAccess, worker_id: str) -> Any:
    """The Faust app of one worker."""
    return faust.App(
        GROUP,
        broker=[f"kafka://{address}" for address in access.servers.split(",")],
        broker_credentials=_credentials(access),
        store="memory://",
        datadir=Path(tempfile.gettempdir()) / "quartet-faust",  # it makes empty folders even without a store
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_group_instance_id=worker_id,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
    )


def _credentials(access: KafkaAccess) -> Any:
    context = access.ssl_context() if access.tls else None
    if access.sasl:
        return faust.SASLCredentials(
            username=access.username, password=access.password, ssl_context=context, mechanism=access.mechanism
        )
    return None if context is None else faust.SSLCredentials(context)


def _raw_topic(app: Any, name: str, acks: bool = True) -> Any:
    return app.topic(name, acks=acks, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
