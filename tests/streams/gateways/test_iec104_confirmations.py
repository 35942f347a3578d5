"""What a station says to a command, in whatever order it is heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from streams.gateways.iec104_confirmations import CONFIRMED, TERMINATED, Confirmations

ADDRESS = 100


class Connection:
    """Hands over messages as the library does."""

    def on_receive_raw(self, callable: Callable[..., None]) -> None:
        self._callable = callable

    def hear(self, cause: int, negative: bool = False, address: int = ADDRESS, kind: int = 50) -> None:
        asdu = bytes([kind, 1, cause | (0x40 if negative else 0), 0, 1, 0]) + address.to_bytes(3, "little") + bytes(5)
        self._callable(self, bytes([0x68, len(asdu) + 4, 0, 0, 0, 0]) + asdu)

    def hear_bytes(self, *data: int) -> None:
        self._callable(self, bytes(data))


@pytest.fixture
def connection() -> Any:
    return Connection()


@pytest.mark.parametrize(
    ("heard", "selected", "answer"),
    [
        ([(CONFIRMED, False)], False, True),
        ([(CONFIRMED, True)], False, False),
        ([], False, None),
        ([(CONFIRMED, False)], True, None),
        ([(CONFIRMED, False), (CONFIRMED, False)], True, None),
        ([(CONFIRMED, False), (CONFIRMED, False), (TERMINATED, False)], True, True),
        ([(CONFIRMED, False), (CONFIRMED, True), (TERMINATED, False)], True, False),
        ([(CONFIRMED, True)], True, False),
    ],
)
def test_what_was_heard_and_what_it_means(
    connection: Any, heard: list[tuple[int, bool]], selected: bool, answer: bool | None
) -> None:
    confirmations = Confirmations(connection)
    confirmations.forget(ADDRESS)
    for cause, negative in heard:
        connection.hear(cause, negative)
    assert confirmations.answer(ADDRESS, selected, time.monotonic()) is answer


def test_other_objects_other_messages_and_the_past_are_left_out(connection: Any) -> None:
    confirmations = Confirmations(connection)
    connection.hear(CONFIRMED)
    confirmations.forget(ADDRESS)
    connection.hear(CONFIRMED, address=ADDRESS + 1)
    connection.hear(CONFIRMED, kind=13)
    connection.hear_bytes(0x68, 4, 1, 0, 2, 0)
    assert confirmations.answer(ADDRESS, False, time.monotonic()) is None
    connection.hear(CONFIRMED)
    assert confirmations.answer(ADDRESS, False, time.monotonic()) is True
