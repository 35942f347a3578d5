"""A real Kafka of their own for tests that kill it, and a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kafka.sh"
POSTGRES = SCRIPT.with_name("postgres.sh")
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


@dataclass
class OwnPostgres:
    """A PostgreSQL server on loopback."""

    url: str
    made: int = 0

    def fresh_database(self) -> str:
        """URL of a new, empty database."""
        self.made += 1
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE fresh_{self.made}".encode())
        return f"{self.url.rsplit('/', 1)[0]}/fresh_{self.made}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[OwnPostgres]:
    """Skips where PostgreSQL is not installed; with CI=true that is a failure."""
    folder = Path(tempfile.mkdtemp(prefix="quartet-postgres-"))  # its user must be able to enter it
    folder.chmod(0o755)
    up = subprocess.run([POSTGRES, "up", folder, str(free_port())], capture_output=True, text=True, timeout=120)
    if up.returncode == MISSING_PART and os.environ.get("CI") != "true":
        pytest.skip(up.stderr.strip().splitlines()[-1])
    assert up.returncode == 0, up.stderr
    try:
        yield OwnPostgres(up.stdout.strip())
    finally:
        subprocess.run([POSTGRES, "down", folder], check=True, timeout=60)
        shutil.rmtree(folder)


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
