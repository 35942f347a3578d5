"""Which offsets of a partition are still needed: what may be committed is the lowest of them.

Committing that one, instead of the last one read, makes reading again after a crash rebuild all that was unfinished.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


class GapError(Exception):
    """An offset came that is not the next one: going on would lose messages."""


@dataclass
class OffsetBook:
    """Book-keeping of one assigned partition."""

    partition: int
    epoch: int
    """Number of the assignment; work begun under an earlier one is void."""
    next_offset: int | None = None
    _held: dict[Hashable, int] = field(default_factory=dict)

    def is_new(self, offset: int, expected: int | None) -> bool:
        """Whether the offset is the next one; False when it was seen already.

        Args:
            offset: of the message at hand.
            expected: where the group's committed offset says the first message of the assignment must be.

        Raises:
            GapError: messages between are missing.
        """
        due = self.next_offset if self.next_offset is not None else expected
        if due is not None and offset > due:
            raise GapError(f"partition {self.partition}: offset {offset} came where {due} was due")
        if due is not None and offset < due:
            return False
        self.next_offset = offset
        return True

    def advance(self) -> None:
        """The message at `next_offset` has been taken in."""
        if self.next_offset is None:
            raise ValueError("no message has been taken in")
        self.next_offset += 1

    def hold(self, token: Hashable, offset: int) -> None:
        """Keeps `offset` and all after it from being committed until the token is released."""
        self._held[token] = min(offset, self._held.get(token, offset))

    def release(self, token: Hashable) -> None:
        self._held.pop(token, None)

    @property
    def safe(self) -> int | None:
        """The offset to commit: nothing before it is unfinished. None before the first message."""
        return None if self.next_offset is None else min([self.next_offset, *self._held.values()])


class Books:
    """The books of all partitions of one topic that are assigned to this process."""

    def __init__(self) -> None:
        self._books: dict[int, OffsetBook] = {}
        self._epoch = 0

    def open(self, partition: int) -> OffsetBook:
        self._epoch += 1
        self._books[partition] = OffsetBook(partition, self._epoch)
        return self._books[partition]

    def close(self, partition: int) -> None:
        self._books.pop(partition, None)

    def get(self, partition: int) -> OffsetBook | None:
        return self._books.get(partition)

    def owns(self, book: OffsetBook) -> bool:
        """Whether the assignment that the book belongs to still holds."""
        return self._books.get(book.partition) is book

    def next_offsets(self) -> dict[int, int | None]:
        """By partition: the offset that is read next; None before the first message."""
        return {number: book.next_offset for number, book in self._books.items()}

    def safe_offsets(self) -> dict[int, int]:
        return {number: book.safe for number, book in self._books.items() if book.safe is not None}
