"""Taking in acknowledgements: written to the ledger in batches, committed only after that."""

from __future__ import annotations

from streams.dead_letters import DeadLetterDesk
from streams.intake import PartitionIntake
from streams.messages import Acknowledgement, BadMessageError
from streams.offsets import OffsetBook
from streams.outbox import Outbox
from streams.records import LedgerStore
from streams.reports import rejection_alarm
from streams.topics import ACKS, ALARMS


class AckIntake(PartitionIntake):
    """Puts what became of each setpoint beside it in the ledger; a refusal raises an alarm."""

    topic = ACKS.name

    def __init__(self, ledger: LedgerStore, dead_letters: DeadLetterDesk, outbox: Outbox) -> None:
        super().__init__(dead_letters)
        self._ledger = ledger
        self._outbox = outbox
        self._waiting: list[tuple[OffsetBook, int, Acknowledgement]] = []

    @property
    def backlog(self) -> int:
        return len(self._waiting) + len(self._outbox)

    def flush(self) -> None:
        """Writes all that waits to the ledger in one transaction."""
        waiting, self._waiting = self._waiting, []
        self._ledger.add_acks([ack for _, _, ack in waiting])
        for book, offset, ack in waiting:
            if ack.state == "rejected":
                self._outbox.put(book, offset, ALARMS.name, rejection_alarm(ack))
            book.release(offset)

    def _take(self, book: OffsetBook, offset: int, message: object) -> None:
        if not isinstance(message, Acknowledgement):
            raise BadMessageError(f"{type(message).__name__} on the topic of acknowledgements")
        if not self._ledger.knows_setpoint(message.cmd_id):
            raise BadMessageError(f"acknowledges {message.cmd_id}, a setpoint that the ledger does not hold")
        book.hold(offset, offset)
        self._waiting.append((book, offset, message))
