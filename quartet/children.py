"""Processes that a command starts: each with a log file, watched, and always ended with the command."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from optimizer.errors import MissingPartError

STOP_SECONDS = 8.0
"""Time a child has to end by itself before it is killed."""
TAIL_LINES = 15


@dataclass
class Child:
    """One process and where it writes what it says."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def require_alive(self) -> None:
        """Raises MissingPartError with the end of the log when the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise MissingPartError(
                f"the {self.name} ended with code {code}; its last lines ({self.log}):\n{self.tail()}"
            )

    def tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:])

    def stop(self) -> None:
        """Asks the process to end, and kills it when it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start_quartet(name: str, arguments: Sequence[str], log: Path) -> Child:
    """Starts `quartet ARGUMENTS` with this Python; all it says goes to `log`.

    The child has a session of its own, so that Ctrl-C reaches only the command, which then ends the child in order.
    """
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "quartet.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(name, log, process)


@dataclass
class Children:
    """The processes started so far. An interrupt that comes while one is being started waits until it is listed."""

    started: list[Child] = field(default_factory=list)
    _starting: bool = False
    _interrupted: bool = False

    def start(self, name: str, arguments: Sequence[str], log: Path) -> None:
        """Starts `quartet ARGUMENTS` and looks after it from now on."""
        self._starting = True
        try:
            self.started.append(start_quartet(name, arguments, log))
        finally:
            self._starting = False
        if self._interrupted:
            raise KeyboardInterrupt

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        if not self._starting:
            raise KeyboardInterrupt

    def look_after(self, number: int, frame: FrameType | None) -> None:
        for child in self.started:
            child.require_alive()


@contextlib.contextmanager
def children() -> Iterator[Children]:
    """Starts children; all of them are ended when the block is left, whatever the reason.

    A child that ends by itself leaves the block at once, as SIGTERM and Ctrl-C do.

    Raises:
        MissingPartError: a child has ended; with the end of its log.
    """
    family = Children()
    before = {number: signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, family.interrupt)
    signal.signal(signal.SIGINT, family.interrupt)
    signal.signal(signal.SIGCHLD, family.look_after)
    try:
        yield family
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN if number != signal.SIGCHLD else signal.SIG_DFL)
        for child in reversed(family.started):
            child.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
