"""Taking in the messages of one topic: book-keeping by partition, bad messages to the dead letters, never a wait."""

from __future__ import annotations

from abc import ABC, abstractmethod

from streams.dead_letters import DeadLetterDesk
from streams.messages import BadMessageError, decode
from streams.offsets import Books, OffsetBook


class PartitionIntake(ABC):
    """Knows of each assigned partition what was read and what is still needed; the kinds say what a message means."""

    topic: str

    def __init__(self, dead_letters: DeadLetterDesk) -> None:
        self._dead_letters = dead_letters
        self._books = Books()
        self.progress = 0
        """Rises with everything done; a watchdog looks at it."""
        self.taken = 0
        """Messages taken in, bad ones too."""

    def assign(self, partition: int) -> None:
        """Starts afresh with a partition: what is unfinished will be read again."""
        self._books.open(partition)

    def revoke(self, partition: int) -> None:
        """Forgets a partition; work begun for it ends without being written."""
        self._books.close(partition)

    def ingest(
        self, partition: int, offset: int, key: bytes | None, value: bytes | None, expected: int | None = None
    ) -> None:
        """Takes in one message. `expected` is the offset at which the assignment must begin.

        Raises:
            GapError: messages before it are missing; the process must end and read again.
        """
        book = self._books.get(partition)
        if book is None or not book.is_new(offset, expected):
            return
        try:
            self._take(book, offset, decode(key, value))
        except BadMessageError as error:
            self._dead_letters.bury(book, self.topic, offset, error.reason, value)
        book.advance()
        self.progress += 1
        self.taken += 1

    def next_offsets(self) -> dict[int, int | None]:
        """By partition: the offset that is read next; None before the first message."""
        return self._books.next_offsets()

    def safe_offsets(self) -> dict[int, int]:
        """By partition: the offset to commit."""
        return self._books.safe_offsets()

    @abstractmethod
    def _take(self, book: OffsetBook, offset: int, message: object) -> None:
        """What becomes of a readable message; holds the offset in the book for as long as it is needed.

        Raises:
            BadMessageError: it is none for this topic, or says what cannot be.
        """
