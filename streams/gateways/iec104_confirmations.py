"""What an IEC 60870-5-104 station says to commands, read from its messages themselves.

c104 2.2 tells of a command only whether it succeeded, and is wrong at times: a confirmation that comes before it is
waited for is overlooked (about one of twelve), and a termination after a negative confirmation makes a success of it.

The annotations of the callback are objects, not strings, since the library checks them.
"""

import threading
import time
from typing import NamedTuple

import c104

CONFIRMED, TERMINATED = 7, 10
"""Causes of transmission: activation confirmed, activation terminated (IEC 60870-5-101, 7.2.3)."""
NEGATIVE, CAUSE = 0x40, 0x3F
TYPE, COT, ADDRESS = 6, 8, slice(12, 15)
"""Places in a message: 6 bytes of control, then type, number of objects, cause (2), station (2) and object (3)."""
FIRST_COMMAND, LAST_COMMAND = 45, 64
"""Type identifications of process commands."""


class _Heard(NamedTuple):
    cause: int
    negative: bool


class Confirmations:
    """Answers to the commands sent on a connection, by object."""

    def __init__(self, connection: c104.Connection) -> None:
        self._heard: dict[int, list[_Heard]] = {}
        self._news = threading.Condition()
        connection.on_receive_raw(callable=self._take)

    def forget(self, address: int) -> None:
        """Begins anew with an object: what comes next answers the next command."""
        with self._news:
            self._heard[address] = []

    def answer(self, address: int, selected: bool, until: float) -> bool | None:
        """Whether a command was carried out; None where that is not known at `until` (monotonic seconds).

        A command that was `selected` first is confirmed twice, and then terminated; another one is confirmed.
        """
        with self._news:
            self._news.wait_for(lambda: self._known(address, selected) is not None, max(until - time.monotonic(), 0.0))
            return self._known(address, selected)

    def _known(self, address: int, selected: bool) -> bool | None:
        heard = self._heard.get(address, [])
        if any(one.negative for one in heard):
            return False
        causes = [one.cause for one in heard]
        confirmed = causes.count(CONFIRMED) >= (2 if selected else 1)
        return True if confirmed and (not selected or TERMINATED in causes) else None

    def _take(self, connection: c104.Connection, data: bytes) -> None:
        if len(data) < ADDRESS.stop or data[2] & 1 or not FIRST_COMMAND <= data[TYPE] <= LAST_COMMAND:
            return
        heard = _Heard(data[COT] & CAUSE, bool(data[COT] & NEGATIVE))
        with self._news:
            self._heard.setdefault(int.from_bytes(data[ADDRESS], "little"), []).append(heard)
            self._news.notify_all()
