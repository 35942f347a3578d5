"""Messages that are sent apart from taking in; the offset that each comes from is held until the broker has it."""

from __future__ import annotations

from collections import deque

from streams.dead_letters import Send
from streams.desk import Desk
from streams.messages import Message
from streams.offsets import OffsetBook


class Outbox(Desk):
    """Takes messages without waiting; `run` sends them in order. One sent twice after a crash is the same one."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._waiting: deque[tuple[OffsetBook, int, str, Message]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, book: OffsetBook, offset: int, topic: str, message: Message) -> None:
        book.hold(("outbox", offset), offset)
        self._waiting.append((book, offset, topic, message))
        self._wake.set()

    async def work_off(self) -> None:
        """Sends all that waits."""
        while self._waiting:
            book, offset, topic, message = self._waiting[0]
            await self._send(topic, message.key, message.encode())
            book.release(("outbox", offset))
            self._waiting.popleft()
