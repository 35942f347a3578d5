"""Work that is put aside to be done later, without a wait for whoever brings it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod


class Desk(ABC):
    """Woken when work comes; `run` works off what lies there, for ever."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Works for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.work_off()

    @abstractmethod
    async def work_off(self) -> None:
        """Does all that waits; what ends on the way waits on."""
