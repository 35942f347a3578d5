"""A real Kafka of their own for tests that kill it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kafka.sh"
MISSING_PART = 3


@dataclass(frozen=True)
class OwnKafka:
    """One broker of Apache Kafka on loopback."""

    folder: Path
    address: str

    def restart(self) -> None:
        """Kills the broker without warning and starts it again."""
        subprocess.run([SCRIPT, "restart", self.folder], check=True, timeout=120)


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnKafka]:
    """Skips where Java or Maven is missing; with CI=true that is a failure."""
    folder = tmp_path_factory.mktemp("kafka")
    up = subprocess.run([SCRIPT, "up", folder, "1", str(free_port())], capture_output=True, text=True, timeout=400)
    if up.returncode == MISSING_PART and os.environ.get("CI") != "true":
        pytest.skip(up.stderr.strip().splitlines()[-1])
    assert up.returncode == 0, up.stderr
    try:
        yield OwnKafka(folder, up.stdout.strip())
    finally:
        subprocess.run([SCRIPT, "down", folder], check=True, timeout=60)


def free_port() -> int:
    """A port that is free, and so is the one a hundred and one above, which the controller takes."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 101))
            except (OSError, OverflowError):
                continue
            return port
