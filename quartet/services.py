"""The commands that go on until they are told to stop: log to standard error, end on SIGTERM and Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType


class Stop(threading.Event):
    """Set when the process is asked to end."""

    interrupted = False
    """By Ctrl-C, and not in the ordinary way."""

    def wait_long(self) -> None:
        """Returns when set; unlike `wait()` without a limit it lets signals in on every system."""
        while not self.wait(3600):
            pass


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """An event that SIGTERM and SIGINT set.

    Raises:
        KeyboardInterrupt: when the block is left, if it was Ctrl-C: the command then ends with 130.
    """
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.interrupted = number == signal.SIGINT
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.interrupted:
        raise KeyboardInterrupt


def log_to_stderr() -> None:
    """Times are UTC: a log is read beside messages and ledger."""
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("kafka", "pymodbus", "ocpp", "websockets", "cmdstanpy", "prophet"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    for chatty in ("aiokafka", "faust", "mode"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
