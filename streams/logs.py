"""Logs with site and cycle: what is said while a cycle is answered names it, also by parts that know nothing of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple


class Cycle(NamedTuple):
    """The cycle that is being answered."""

    site: str
    cycle: str
    """Id of the interval, e.g. `jiashan_park:20260826T0800Z`."""


_CYCLE: ContextVar[Cycle | None] = ContextVar("cycle", default=None)
TEXT = "%(asctime)sZ %(levelname)s %(name)s: %(message)s"


@contextmanager
def in_cycle(site: str, at: datetime) -> Iterator[None]:
    """What is logged within names the site and the cycle that begins at `at`."""
    token = _CYCLE.set(Cycle(site, f"{site}:{at.astimezone(UTC):%Y%m%dT%H%MZ}"))
    try:
        yield
    finally:
        _CYCLE.reset(token)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message; site, cycle and error where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        cycle = _CYCLE.get()
        if cycle is not None:
            line |= cycle._asdict()
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """For a person: times are UTC, a log is read beside messages and ledger."""

    def __init__(self) -> None:
        super().__init__(TEXT, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        cycle = _CYCLE.get()
        said = super().format(record)
        return said if cycle is None else f"{said} [{cycle.cycle}]"
