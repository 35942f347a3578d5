"""Commands that go on until they are stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.admin import wait_for_broker
from streams.broker import EmbeddedBroker

COMMAND = Path(sys.executable).with_name("quartet")


@pytest.mark.e2e
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_broker_serves_until_it_is_stopped(number, code):
    with subprocess.Popen([COMMAND, "broker"], stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            wait_for_broker(address, 5)
            process.send_signal(number)
            assert process.wait(10) == code
        finally:
            process.kill()


@pytest.mark.e2e
@pytest.mark.parametrize("service", ["gateway", "run"])
def test_service_without_a_broker_ends_with_3(quartet, monkeypatch, service, tmp_path):
    monkeypatch.setattr("quartet.cli.BROKER_WAIT_S", 0.2)
    ran = quartet(
        service,
        "jiashan_park",
        "--broker",
        "127.0.0.1:1",
        *(["--ledger", str(tmp_path / "l.db")] if service == "run" else []),
    )
    assert (ran.code, ran.out) == (3, "")
    assert "no Kafka broker answers at 127.0.0.1:1" in ran.err
    assert not (tmp_path / "l.db").exists()


@pytest.mark.e2e
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_engine_runs_until_it_is_stopped(tmp_path, number, code):
    with EmbeddedBroker() as address, (tmp_path / "log").open("w+") as log:
        command = [COMMAND, "run", "jiashan_park", "--broker", address, "--ledger", tmp_path / "ledger.db"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
            try:
                end = time.monotonic() + 60
                while "assigned" not in (tmp_path / "log").read_text() and time.monotonic() < end:
                    time.sleep(0.1)
                process.send_signal(number)
                out, _ = process.communicate(timeout=30)
                assert (process.returncode, out) == (code, b"")
            finally:
                process.kill()
