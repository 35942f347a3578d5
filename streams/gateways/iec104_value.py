"""A monitored object of an IEC 60870-5-104 station, with the value that came last.

c104 2.2 replaces a point's value in its own thread, without a lock and empty for a moment; whoever reads the point at
that moment ends the process (seen on 2026-11-26). So the value is taken only where the library hands it over, in that
thread, and no attribute of the point that comes from its value is read elsewhere.

The annotations of the callback are objects, not strings, since the library checks them.
"""

import threading

import c104

from streams.gateways.face import Unreachable


class MonitoredValue:
    """One object, asked for and waited for."""

    def __init__(self, point: c104.Point) -> None:
        self._point = point
        self._arrived = threading.Event()
        self._value: object = None
        point.on_receive(callable=self._take)

    def ask(self, connection: c104.Connection, attempts: int, timeout_s: float) -> object:
        """The value that comes after now; Unreachable where none comes within the timeout, `attempts` times."""
        for _ in range(attempts):
            self._arrived.clear()
            if not self._point.read() and connection.state != c104.ConnectionState.OPEN:
                break
            if self._arrived.wait(timeout_s):
                return self._value
        return Unreachable(f"object {self._point.io_address} is not answered")

    def _take(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        self._value = point.value
        self._arrived.set()
        return c104.ResponseState.SUCCESS
