"""The engine: readings and ticks in, one answer per site and interval out. It knows nothing of Faust.

Taking in is synchronous: between the receipt of a message and its book-keeping nothing else runs. Planning is apart: a
tick queues cycles, each site works its own off in order. What may be committed is the lowest offset still needed, so a
crash makes all unfinished work be read again, and the ledger says what is finished.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from optimizer.plan import Plan
from streams.dead_letters import DeadLetterDesk, Send
from streams.decision import Decision
from streams.intake import PartitionIntake
from streams.interval import ClosedInterval, close_interval, floor_time
from streams.logs import in_cycle
from streams.messages import BadMessageError, Reading, Tick
from streams.observation import CycleTimes
from streams.offsets import OffsetBook
from streams.records import Answer, LateReading, LedgerStore, StoredAnswer
from streams.reports import reports_of
from streams.site_runtime import SiteRuntime
from streams.topics import SETPOINTS, TELEMETRY

log = logging.getLogger(__name__)

OTHER_SOURCES = frozenset({"weather", "meter", "market"})
"""What sends readings besides the site's devices."""
LONGEST_CATCH_UP = timedelta(days=1)
"""Older intervals that got no answer are left without one: their setpoints could not be followed any more."""
AHEAD_OF_CLOCK = timedelta(days=1)
"""A reading further ahead of the site's clock than this has a wrong time; it would hold up commits for ever."""


class Planning(Protocol):
    """Makes the decision of one cycle; always gives one."""

    async def decide(self, runtime: SiteRuntime, at: datetime) -> Decision: ...


@dataclass
class OpenInterval:
    """Readings of an interval that no tick has closed yet."""

    first_offset: int
    readings: dict[tuple[str, datetime], Reading] = field(default_factory=dict)


@dataclass(frozen=True)
class Cycle:
    """One interval waiting for its answer; without `closed` it has one, which has only to be sent again."""

    at: datetime
    tick_offset: int
    queued_s: float
    """Moment at which it was queued, on a clock that only rises."""
    closed: tuple[ClosedInterval, ...] = ()


@dataclass
class SiteDesk:
    """What is in hand for one site under one assignment of its partition."""

    runtime: SiteRuntime
    book: OffsetBook
    clock: datetime | None
    """All intervals before it are closed, and all up to it have an answer or a queued cycle."""
    open: dict[datetime, OpenInterval] = field(default_factory=dict)
    queue: deque[Cycle] = field(default_factory=deque)
    worker: asyncio.Task[None] | None = None

    @property
    def site(self) -> str:
        return self.runtime.site.id

    @property
    def minutes(self) -> int:
        return self.runtime.site.step_minutes

    def close_before(self, at: datetime) -> tuple[ClosedInterval, ...]:
        """Closes the open intervals before `at`, oldest first."""
        starts = sorted(start for start in self.open if start < at)
        return tuple(
            close_interval(start, self.minutes, self.open.pop(start).readings.values(), self.runtime.chargers)
            for start in starts
        )


class Engine(PartitionIntake):
    """State of all sites whose partitions are assigned to this process."""

    topic = TELEMETRY.name

    def __init__(
        self,
        restore: Mapping[str, Callable[[], SiteRuntime]],
        ledger: LedgerStore,
        planning: Planning,
        send: Send,
        dead_letters: DeadLetterDesk,
        fatal: Callable[[BaseException], None],
        times: CycleTimes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`restore`: by site, how its running knowledge is rebuilt; `fatal` ends the process; `times` is told how long
        the parts of a cycle take."""
        super().__init__(dead_letters)
        self._restore = restore
        self._ledger = ledger
        self._planning = planning
        self._send = send
        self._fatal = fatal
        self._times = times
        self._monotonic = monotonic
        self._desks: dict[str, SiteDesk] = {}
        self._late: list[tuple[OffsetBook, int, LateReading]] = []
        self._decisions = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = 0

    @property
    def backlog(self) -> int:
        """Cycles and messages that wait; taking in pauses above a limit."""
        return sum(len(desk.queue) for desk in self._desks.values()) + len(self._late) + self._dead_letters.waiting

    @property
    def deciding(self) -> int:
        """Changes with every flush while a decision, which has a time limit of its own, is in hand; else it stands."""
        return self._turn if self._decisions else -1

    @property
    def oldest_wait_s(self) -> float:
        """How long the cycle that waits longest has waited for its answer."""
        queued = [desk.queue[0].queued_s for desk in self._desks.values() if desk.queue]
        return self._monotonic() - min(queued) if queued else 0.0

    def clocks(self) -> dict[str, datetime]:
        """By site in hand that has told the time: its clock."""
        return {site: desk.clock for site, desk in self._desks.items() if desk.clock is not None}

    def ages_s(self) -> dict[tuple[str, str], float]:
        """By site and signal: how long the newest value's interval has been over, by the site's clock."""
        return {
            (site, signal): (desk.clock - end).total_seconds()
            for site, desk in self._desks.items()
            if desk.clock is not None
            for signal, end in desk.runtime.last_ends().items()
        }

    def assign(self, partition: int) -> None:
        self.revoke(partition)
        super().assign(partition)

    def revoke(self, partition: int) -> None:
        super().revoke(partition)
        self._desks = {site: desk for site, desk in self._desks.items() if desk.book.partition != partition}

    def flush(self) -> None:
        """Writes the late readings to the ledger in one transaction."""
        self._turn += 1
        late, self._late = self._late, []
        self._ledger.add_late([item for _, _, item in late])
        for book, offset, _ in late:
            book.release(("late", offset))

    async def stop(self) -> None:
        """Gives up what is being answered; it will be read again."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _take(self, book: OffsetBook, offset: int, message: object) -> None:
        if isinstance(message, Reading):
            self._take_reading(self._desk(book, offset, message.site), offset, message)
        elif isinstance(message, Tick):
            self._take_tick(self._desk(book, offset, message.site), offset, message)
        else:
            raise BadMessageError(f"{type(message).__name__} on the topic of telemetry")

    def _desk(self, book: OffsetBook, offset: int, site: str) -> SiteDesk:
        if site not in self._restore:
            raise BadMessageError(f"unknown site {site}: this engine runs {', '.join(sorted(self._restore))}")
        desk = self._desks.get(site)
        if desk is None:
            desk = self._desks[site] = SiteDesk(self._restore[site](), book, self._ledger.last_answered(site))
            for stored in self._ledger.unsent(site):
                self._queue(desk, Cycle(stored.interval, offset, self._monotonic()), offset)
        elif desk.book is not book:
            raise BadMessageError(
                f"site {site} comes on partition {book.partition} and on {desk.book.partition}: "
                "all its messages must be sent with the key and the default (murmur2) partitioner"
            )
        return desk

    def _take_reading(self, desk: SiteDesk, offset: int, reading: Reading) -> None:
        known = {device.id for device in desk.runtime.site.devices} | OTHER_SOURCES
        if reading.device not in known:
            raise BadMessageError(f"unknown device {reading.device} of site {reading.site}")
        start = floor_time(reading.time, desk.minutes)
        if desk.clock is not None and start > desk.clock + AHEAD_OF_CLOCK:
            raise BadMessageError(f"time {reading.time} is more than a day ahead of the site's clock {desk.clock}")
        if desk.clock is not None and start < desk.clock:
            self._take_late(desk, offset, reading, start)
            return
        interval = desk.open.setdefault(start, OpenInterval(offset))
        interval.readings[reading.device, reading.time] = reading
        desk.book.hold(("open", desk.site, start), offset)

    def _take_late(self, desk: SiteDesk, offset: int, reading: Reading, start: datetime) -> None:
        """A reading of an interval already closed: one read again, which counted then, or one that came late."""
        end = start + timedelta(minutes=desk.minutes)
        closed_by = self._ledger.closing_offset(desk.site, end)
        if closed_by is None or offset > closed_by:
            self._put_late(desk, offset, LateReading(reading, start, "came after its interval was closed"))

    def _put_late(self, desk: SiteDesk, offset: int, late: LateReading) -> None:
        desk.book.hold(("late", offset), offset)
        self._late.append((desk.book, offset, late))

    def _take_tick(self, desk: SiteDesk, offset: int, tick: Tick) -> None:
        now = floor_time(tick.time, desk.minutes)
        if desk.clock is not None and now <= desk.clock:
            return
        if desk.clock is None:
            self._drop_ahead(desk, offset, now)
        for at in self._due(desk, now):
            needed = [interval.first_offset for start, interval in desk.open.items() if start < at]
            closed = desk.close_before(at)
            self._queue(desk, Cycle(at, offset, self._monotonic(), closed), min([offset, *needed]))
            for interval in closed:
                desk.book.release(("open", desk.site, interval.start))
        desk.clock = now

    def _due(self, desk: SiteDesk, now: datetime) -> list[datetime]:
        step = timedelta(minutes=desk.minutes)
        if desk.clock is None:
            return [now]
        first = desk.clock + step
        if now - first >= LONGEST_CATCH_UP:
            first = now - LONGEST_CATCH_UP + step
            log.warning(
                "%s: the clock jumped from %s to %s; only the last day's intervals, from %s on, are answered",
                desk.site,
                desk.clock,
                now,
                first,
            )
        return [first + i * step for i in range((now - first) // step + 1)]

    def _drop_ahead(self, desk: SiteDesk, offset: int, now: datetime) -> None:
        """Readings taken in before the first tick told the time, with a time that cannot be."""
        for start in [start for start in desk.open if start > now + AHEAD_OF_CLOCK]:
            for reading in desk.open.pop(start).readings.values():
                self._put_late(desk, offset, LateReading(reading, start, f"more than a day ahead of the clock {now}"))
            desk.book.release(("open", desk.site, start))

    def _queue(self, desk: SiteDesk, cycle: Cycle, needed_offset: int) -> None:
        desk.book.hold(("cycle", desk.site, cycle.at), needed_offset)
        desk.queue.append(cycle)
        if desk.worker is None or desk.worker.done():
            desk.worker = asyncio.get_running_loop().create_task(self._work(desk))
            self._tasks.add(desk.worker)
            desk.worker.add_done_callback(self._tasks.discard)

    async def _work(self, desk: SiteDesk) -> None:
        try:
            while desk.queue and self._books.owns(desk.book):
                cycle = desk.queue[0]
                with in_cycle(desk.site, cycle.at):
                    if await self._answer(desk, cycle):
                        desk.book.release(("cycle", desk.site, cycle.at))
                        self.progress += 1
                desk.queue.popleft()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fatal(error)

    async def _answer(self, desk: SiteDesk, cycle: Cycle) -> bool:
        """Plans, writes, reads back, sends; False when the partition was lost on the way and nothing was written."""
        self._times.note("queue", self._monotonic() - cycle.queued_s)
        stored = self._ledger.answer(desk.site, cycle.at)
        if stored is None:
            desk.runtime.begin(cycle.at)
            for closed in cycle.closed:
                desk.runtime.absorb(closed)
            with self._times.timed("decide"):
                decision = await self._decide(desk.runtime, cycle.at)
            if not self._books.owns(desk.book):
                return False
            with self._times.timed("write"):
                stored = self._ledger.record(answer_of(desk, cycle, decision))
            _keep_plan(desk.runtime, stored, decision)
            self._times.answered(stored.status)
        if not stored.sent:
            with self._times.timed("send"):
                await self._publish(stored)
            took_s = self._monotonic() - cycle.queued_s
            log.info("answered: %s, %d setpoints, %.3f s", stored.status, len(stored.setpoints), took_s)
        return True

    async def _decide(self, runtime: SiteRuntime, at: datetime) -> Decision:
        self._decisions += 1
        try:
            return await self._planning.decide(runtime, at)
        finally:
            self._decisions -= 1

    async def _publish(self, stored: StoredAnswer) -> None:
        """Setpoints first: a gateway waits for them, and nobody for the rest."""
        key = stored.site.encode()
        await asyncio.gather(*(self._send(SETPOINTS.name, key, message.encode()) for message in stored.setpoints))
        reports = reports_of(stored, self._ledger.forecast_document(stored.forecast_id) or "[]")
        await asyncio.gather(*(self._send(topic, key, message.encode()) for topic, message in reports))
        self._ledger.mark_sent(stored.plan_id)


def answer_of(desk: SiteDesk, cycle: Cycle, decision: Decision) -> Answer:
    """What the ledger keeps of a cycle."""
    plan: Plan = decision.plan
    return Answer(
        site=desk.site,
        interval=cycle.at,
        closed=cycle.closed,
        forecast_id=decision.forecast_id,
        forecasts=decision.forecasts,
        plan_id=plan.plan_id,
        status=plan.status,
        plan_hash=decision.plan_hash,
        plan=decision.plan_document,
        situation=decision.situation,
        setpoints=decision.setpoints,
        partition=desk.book.partition,
        tick_offset=cycle.tick_offset,
    )


def _keep_plan(runtime: SiteRuntime, stored: StoredAnswer, decision: Decision) -> None:
    if stored.plan == decision.plan_document:
        runtime.last_plan = decision.plan
    else:
        runtime.adopt(stored)
