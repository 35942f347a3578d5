"""Messages that could not be used: kept in the ledger and sent to the dead-letter topic with the reason."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Awaitable, Callable

from streams.desk import Desk
from streams.messages import DeadLetter
from streams.offsets import OffsetBook
from streams.records import LedgerStore
from streams.topics import DEAD_LETTERS

Send = Callable[[str, bytes, bytes], Awaitable[None]]
"""Sends key and value to a topic; returns when the broker has taken it."""

LARGEST_RAW = 500_000
"""Bytes of the message that are kept: with base64 and the frame it stays below the broker's usual limit of 1 MB."""
_BATCH = 200


class DeadLetterDesk(Desk):
    """Takes bad messages without waiting; `run` writes them down and sends them."""

    def __init__(self, ledger: LedgerStore, send: Send) -> None:
        super().__init__()
        self._ledger = ledger
        self._send = send
        self._waiting: deque[tuple[OffsetBook, DeadLetter]] = deque()
        self.sent = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def bury(self, book: OffsetBook, topic: str, offset: int, reason: str, raw: bytes | None) -> None:
        """Puts a message aside; its offset is held until it has been sent."""
        kept = (raw or b"")[:LARGEST_RAW]
        if raw is not None and len(raw) > LARGEST_RAW:
            reason = f"{reason} (the first {LARGEST_RAW} of {len(raw)} bytes are kept)"
        letter = DeadLetter(
            topic=topic,
            partition=book.partition,
            offset=offset,
            reason=reason,
            raw_base64=base64.b64encode(kept).decode(),
        )
        book.hold(letter.key, offset)
        self._waiting.append((book, letter))
        self._wake.set()

    async def work_off(self) -> None:
        """Writes down and sends what waits, in batches; only what has been sent stops waiting."""
        while self._waiting:
            await self._work_off_batch()

    async def _work_off_batch(self) -> None:
        batch = list(self._waiting)[:_BATCH]
        fresh = [letter for _, letter in batch if not self._ledger.dead_letter_sent(letter)]
        self._ledger.add_dead_letters(fresh)
        await asyncio.gather(*(self._send(DEAD_LETTERS.name, letter.key, letter.encode()) for letter in fresh))
        self._ledger.mark_dead_letters_sent(fresh)
        self.sent += len(fresh)
        for book, letter in batch:
            book.release(letter.key)
            self._waiting.popleft()
