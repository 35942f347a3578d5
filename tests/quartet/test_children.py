"""Children always end with the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from optimizer.errors import MissingPartError
from quartet.children import Child, children, start_quartet


def sleeper(tmp_path, code="import time; time.sleep(60)"):
    log = tmp_path / "sleeper.log"
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=sink, stderr=subprocess.STDOUT)
    return Child("sleeper", log, process)


def test_a_child_ends_with_the_block(tmp_path):
    with children() as family:
        family.started.append(sleeper(tmp_path))
        family.started[0].require_alive()
    assert family.started[0].process.poll() == -signal.SIGTERM


def test_a_child_ends_when_the_command_is_interrupted(tmp_path):
    child = sleeper(tmp_path)

    def interrupted() -> None:
        with children() as family:
            family.started.append(child)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert child.process.poll() == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_child_being_started_when_the_interrupt_comes_ends_too(tmp_path, monkeypatch, number):
    child = sleeper(tmp_path)

    def start_slowly(*_: object) -> Child:
        os.kill(os.getpid(), number)
        return child

    monkeypatch.setattr("quartet.children.start_quartet", start_slowly)

    def interrupted() -> None:
        with children() as family:
            family.start("sleeper", [], tmp_path / "sleeper.log")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert child.process.poll() == -signal.SIGTERM


def test_a_child_that_ends_by_itself_is_reported_with_its_last_lines(tmp_path):
    child = sleeper(tmp_path, "print('first'); raise SystemExit('no broker there')")
    child.process.wait()
    with pytest.raises(MissingPartError, match=r"the sleeper ended with code 1(.|\n)*no broker there"):
        child.require_alive()


def test_a_quartet_child_writes_to_its_log(tmp_path):
    child = start_quartet("lister", ["schema"], tmp_path / "lister.log")
    assert child.process.wait() == 0
    assert "operator-command" in child.tail()
