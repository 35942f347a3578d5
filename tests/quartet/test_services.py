"""Commands that go on until they are stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.admin import wait_for_broker

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
