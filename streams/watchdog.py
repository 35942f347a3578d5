"""A watchdog in its own thread: ends a process that has stopped moving although there is something to read.

Consumers are known to stall silently after failed heartbeats and rebalances. Ending the process is safe, because all
that is unfinished is read again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.kafka_access import kafka_access

Positions = Mapping[tuple[str, int], int]
"""By topic and partition: the offset that is read next."""


class Todo(NamedTuple):
    """What there is to do."""

    positions: Positions
    waiting: int
    """Messages and cycles that were taken in and are not finished."""


class StallError(Exception):
    """Nothing moved although there was something to do."""


class StallClock:
    """Tells how long a value has not changed; the time is passed in [s]."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._value: Hashable = None
        self._since: float | None = None

    def stalled(self, value: Hashable, now_s: float) -> bool:
        """Whether `value` has been the same for longer than the limit."""
        if self._since is None or value != self._value:
            self._value, self._since = value, now_s
        return now_s - self._since > self.limit_s

    def restart(self, now_s: float) -> None:
        self._since = now_s


class Watchdog(threading.Thread):
    """Looks at `progress` a few times per limit; asks the broker only when nothing has moved."""

    def __init__(
        self,
        broker: str,
        progress: Callable[[], Hashable],
        todo: Callable[[], Todo],
        fatal: Callable[[BaseException], None],
        limit_s: float,
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._client = kafka_access(broker).confluent()
        self._progress = progress
        self._todo = todo
        self._fatal = fatal
        self._clock = StallClock(limit_s)
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.wait(self._clock.limit_s / 8):
            if not self._clock.stalled(self._progress(), time.monotonic()):
                continue
            behind = self._behind()
            if behind:
                limit = self._clock.limit_s
                self._fatal(StallError(f"nothing has moved for {limit:g} s, yet there is more: {', '.join(behind)}"))
                return
            self._clock.restart(time.monotonic())

    def _behind(self) -> list[str]:
        """What there is to do; nothing when the broker cannot be asked."""
        positions, waiting = self._todo()
        consumer = Consumer({**self._client, "group.id": "quartet-watchdog"})
        try:
            unread = [
                f"messages in {topic}[{partition}]"
                for (topic, partition), offset in positions.items()
                if consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=2)[1] > offset
            ]
            return [*unread, f"{waiting} unfinished"] if waiting else unread
        except KafkaException:
            return []
        finally:
            consumer.close()
