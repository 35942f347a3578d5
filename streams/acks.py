"""Taking in acknowledgements: written to the ledger in batches, committed only after that."""

from __future__ import annotations

from streams.dead_letters import DeadLetterDesk
from streams.messages import Acknowledgement, BadMessageError, decode
from streams.offsets import Books, OffsetBook
from streams.records import LedgerStore
from streams.topics import ACKS


class AckIntake:
    """Puts what became of each setpoint beside it in the ledger."""

    topic = ACKS.name

    def __init__(self, ledger: LedgerStore, dead_letters: DeadLetterDesk) -> None:
        self._ledger = ledger
        self._dead_letters = dead_letters
        self._books = Books()
        self._waiting: list[tuple[OffsetBook, int, Acknowledgement]] = []
        self.progress = 0

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    def assign(self, partition: int) -> None:
        self._books.open(partition)

    def revoke(self, partition: int) -> None:
        self._books.close(partition)

    def ingest(
        self, partition: int, offset: int, key: bytes | None, value: bytes | None, expected: int | None = None
    ) -> None:
        """Takes in one message; it waits for the next `flush`.

        Raises:
            GapError: messages before it are missing.
        """
        book = self._books.get(partition)
        if book is None or not book.is_new(offset, expected):
            return
        try:
            self._keep(book, offset, decode(key, value))
        except BadMessageError as error:
            self._dead_letters.bury(book, self.topic, offset, error.reason, value)
        book.advance()
        self.progress += 1

    def flush(self) -> None:
        """Writes all that waits to the ledger in one transaction."""
        waiting, self._waiting = self._waiting, []
        self._ledger.add_acks([ack for _, _, ack in waiting])
        for book, offset, _ in waiting:
            book.release(offset)

    def next_offsets(self) -> dict[int, int | None]:
        """By partition: the offset that is read next; None before the first message."""
        return self._books.next_offsets()

    def safe_offsets(self) -> dict[int, int]:
        return self._books.safe_offsets()

    def _keep(self, book: OffsetBook, offset: int, message: object) -> None:
        if not isinstance(message, Acknowledgement):
            raise BadMessageError(f"{type(message).__name__} on the topic of acknowledgements")
        if not self._ledger.knows_setpoint(message.cmd_id):
            raise BadMessageError(f"acknowledges {message.cmd_id}, a setpoint that the ledger does not hold")
        book.hold(offset, offset)
        self._waiting.append((book, offset, message))
