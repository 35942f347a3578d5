"""An engine in a process of its own, and a recorded day as messages for it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from confluent_kafka import Consumer, Producer, TopicPartition

from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site
from streams.ledger import Ledger
from streams.messages import Message, Reading, SetpointMessage, Tick

PROJECT = Path(__file__).parents[2]
SITE = "jiashan_park"
START = datetime(2026, 8, 25, 16, 0, tzinfo=UTC)
STEP = timedelta(minutes=15)


def recorded() -> pd.DataFrame:
    return read_history(sample_folder(SITE), zone="Asia/Shanghai").frame


def quarter(frame: pd.DataFrame, number: int) -> list[Message]:
    """What the park's meters say in one quarter hour of the story, in readings of five minutes, and its tick."""
    start = START + number * STEP
    values: dict[str, dict[str, float]] = {"battery1": {"energy_kwh": 500.0 + number}, "meter": {"import_kw": 800.0}}
    for name, value in frame.loc[start].dropna().items():
        device, quantity = str(name).split(".", 1)
        values.setdefault(device, {})[quantity] = float(value)
    readings = [
        Reading(site=SITE, device=device, time=start + part * STEP / 3, seconds=300, values=of_device)
        for part in range(3)
        for device, of_device in values.items()
    ]
    return [*readings, Tick(site=SITE, time=start + STEP)]


class Post:
    """Sends telemetry as a site does: the key decides the partition."""

    def __init__(self, broker: str) -> None:
        self._producer = Producer(
            {"bootstrap.servers": broker, "partitioner": "murmur2_random", "enable.idempotence": True, "log_level": 0}
        )

    def send(self, topic: str, messages: list[Message]) -> None:
        for message in messages:
            self.send_raw(topic, message.key, message.encode())
        assert self._producer.flush(30) == 0

    def send_raw(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self._producer.produce(topic, value, key)


def all_of(broker: str, topic: str) -> list[tuple[bytes, bytes]]:
    """Keys and values of everything on a topic."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "look", "enable.auto.commit": False, "log_level": 0})
    places = [
        TopicPartition(topic, number, 0) for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ]
    wanted = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    consumer.assign(places)
    found: list[tuple[bytes, bytes]] = []
    while len(found) < wanted:
        found += [
            (message.key(), message.value()) for message in consumer.consume(1000, 1.0) if message.error() is None
        ]
    consumer.close()
    return found


def setpoints_on(broker: str, topic: str) -> Counter[str]:
    """How often each command stands on the topic; two of one name must be the same."""
    contents: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    for _, value in all_of(broker, topic):
        cmd_id = SetpointMessage.model_validate_json(value).cmd_id
        assert contents.setdefault(cmd_id, value) == value
        counts[cmd_id] += 1
    return counts


class EngineProcess:
    """The engine as a child that can be killed and started again."""

    def __init__(self, broker: str, ledger: str, log: Path) -> None:
        self._command = [sys.executable, "-m", "tests.streams.engine_process", broker, ledger]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=PROJECT, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(30)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def require_alive(self) -> None:
        assert self.process.poll() is None, self._log.read_text()[-4000:]


@contextmanager
def running_engine(broker: str, ledger: str, log: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess(broker, ledger, log)
    engine.start()
    try:
        yield engine
    finally:
        if engine.process.poll() is None:
            engine.kill()


def wait_until(true: Callable[[], bool], engine: EngineProcess, limit_s: float = 240) -> None:
    end = time.monotonic() + limit_s
    while not true():
        engine.require_alive()
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)


def answered(ledger: str) -> int:
    """How many intervals the ledger has answered; 0 before its file is there."""
    if not ledger.startswith("postgresql") and not Path(ledger).exists():
        return 0
    with Ledger(ledger) as opened:
        return len(opened.answered_intervals(SITE))


def main(broker: str, ledger: str) -> None:
    from streams.engine_service import EngineSettings, run_engine

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    logging.getLogger("streams").setLevel(logging.INFO)
    run_engine([load_site(SITE)], EngineSettings(broker, ledger, {SITE: sample_folder(SITE)}, deadline_s=20))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(*sys.argv[1:])
