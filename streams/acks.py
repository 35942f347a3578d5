"""Taking in acknowledgements: written to the ledger in batches, committed only after that."""

from __future__ import annotations

from streams.dead_letters import DeadLetterDesk
from streams.intake import PartitionIntake
from streams.messages import Acknowledgement, BadMessageError
from streams.offsets import OffsetBook
from streams.records import LedgerStore
from streams.topics import ACKS


class AckIntake(PartitionIntake):
    """Puts what became of each setpoint beside it in the ledger."""

    topic = ACKS.name

    def __init__(self, ledger: LedgerStore, dead_letters: DeadLetterDesk) -> None:
        super().__init__(dead_letters)
        self._ledger = ledger
        self._waiting: list[tuple[OffsetBook, int, Acknowledgement]] = []

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    def flush(self) -> None:
        """Writes all that waits to the ledger in one transaction."""
        waiting, self._waiting = self._waiting, []
        self._ledger.add_acks([ack for _, _, ack in waiting])
        for book, offset, _ in waiting:
            book.release(offset)

    def _take(self, book: OffsetBook, offset: int, message: object) -> None:
        if not isinstance(message, Acknowledgement):
            raise BadMessageError(f"{type(message).__name__} on the topic of acknowledgements")
        if not self._ledger.knows_setpoint(message.cmd_id):
            raise BadMessageError(f"acknowledges {message.cmd_id}, a setpoint that the ledger does not hold")
        book.hold(offset, offset)
        self._waiting.append((book, offset, message))
