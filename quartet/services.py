"""The commands that go on until they are told to stop: log to standard error, end on SIGTERM and Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from quartet.arguments import data_folder
from site_configs.history import sample_folder
from site_configs.loader import shipped_sites
from site_configs.site import Site
from streams.logs import JsonLines, TextLines


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


def histories(names: Sequence[str], parks: Sequence[Site], data: Path | None) -> dict[str, Path]:
    """By site id: its history folder. Of one site `data` is it, of several it holds one named by each site's id; where
    it is absent, shipped sites have their sample.

    Raises:
        InputError: a folder is not there.
    """
    if data is None:
        return {
            park.id: sample_folder(name) for name, park in zip(names, parks, strict=True) if name in shipped_sites()
        }
    if len(parks) == 1:
        return {parks[0].id: data_folder(names[0], data)}
    return {park.id: data_folder(name, data / park.id) for name, park in zip(names, parks, strict=True)}


def log_to_stderr(as_json: bool = False) -> None:
    """Lines for a person, or JSON objects, one a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("kafka", "pymodbus", "ocpp", "websockets", "cmdstanpy", "prophet"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    for chatty in ("aiokafka", "faust", "mode"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
