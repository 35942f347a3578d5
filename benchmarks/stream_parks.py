"""Many small parks on a real Kafka: what they say, workers of the engine that can be killed, and the account of a run.

The account compares what went in with what came out: each interval of each park is to have one answer in the ledger, on
the readings that were sent, and its setpoints on the topic; two of one name must be the same.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from confluent_kafka import Consumer, Producer, TopicPartition

from optimizer.errors import MissingPartError
from site_configs.site import Site
from streams.kafka_access import kafka_access
from streams.ledger import Ledger
from streams.messages import Message, Reading, SetpointMessage, Tick
from streams.topics import DEAD_LETTERS, SETPOINTS, TELEMETRY

PROJECT = Path(__file__).resolve().parents[1]
KAFKA = PROJECT / "scripts" / "kafka.sh"
START = datetime(2026, 8, 25, 16, 0, tzinfo=UTC)
STEP = timedelta(minutes=15)
MINUTES, SECONDS = 15, 300
MISSING = 3
LATEST_S = 600.0


def park(number: int) -> Site:
    """Grid, load, PV and a battery; plans of four hours and a coarse tail."""
    return Site.model_validate(
        {
            "id": f"park_{number:03d}",
            "name_zh": f"园区{number}",
            "name_en": f"park {number}",
            "timezone": "Asia/Shanghai",
            "latitude": 30.84,
            "longitude": 120.92,
            "horizon_hours": 4,
            "tail_step_hours": 24,
            "tariff": {"area": "zhejiang", "class": "two_part_1_10kv", "transformer_kva": 2000},
            "carbon": {"region": "zhejiang"},
            "devices": [
                {"id": "grid", "kind": "grid_connection", "import_limit_kw": 1800, "export_limit_kw": 1200},
                {"id": "load", "kind": "load", "carrier": "power"},
                {"id": "pv1", "kind": "pv", "capacity_kw": 500},
                {"id": "battery1", "kind": "battery", "capacity_kwh": 1000}
                | {"charge_limit_kw": 500, "discharge_limit_kw": 500, "wear_cost_per_kwh": 0.15},
            ],
        }
    )


def site_id(number: int) -> str:
    return f"park_{number:03d}"


def at(quarters: int) -> datetime:
    return START + quarters * STEP


def tick(number: int, quarters: int) -> Tick:
    return Tick(site=site_id(number), time=at(quarters))


def readings(number: int, quarter: int, start: datetime | None = None) -> list[Reading]:
    """Three readings of load, meter and battery in one quarter hour of a park."""
    begins = at(quarter) if start is None else start
    values: Mapping[str, Mapping[str, float]] = {
        "load": {"demand_kw": load_kw(number, quarter) - 1.0},
        "meter": {"import_kw": 300.0 + quarter % 7},
        "battery1": {"energy_kwh": 500.0 + quarter % 50},
    }
    return [
        Reading(
            site=site_id(number),
            device=device,
            time=begins + part * timedelta(seconds=SECONDS),
            seconds=SECONDS,
            values={name: value + (part if name == "demand_kw" else 0) for name, value in quantities.items()},
        )
        for part in range(MINUTES * 60 // SECONDS)
        for device, quantities in values.items()
    ]


def load_kw(number: int, quarter: int) -> float:
    """Mean load of a quarter hour, by which a wrong sum is known."""
    return 400.0 + 7.0 * (quarter % 13) + number % 17


class Sender:
    """Sends as the sites do: the key decides the partition, nothing is lost on the way."""

    def __init__(self, broker: str) -> None:
        own = {"partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 5}
        limits = {"queue.buffering.max.messages": 1_000_000, "delivery.timeout.ms": 300_000}
        self._producer = Producer({**kafka_access(broker).confluent(), **own, **limits})
        self.sent = 0

    def send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.send_raw(message.key, message.encode())

    def send_raw(self, key: bytes | None, value: bytes | None) -> None:
        self._producer.produce(TELEMETRY.name, value, key)
        self._producer.poll(0)
        self.sent += 1

    def flush(self, limit_s: float = LATEST_S) -> None:
        left = self._producer.flush(limit_s)
        if left:
            raise MissingPartError(f"the broker has not taken {left} messages after {limit_s:g} s")


@dataclass
class WorkerCommand:
    """What a worker process is told."""

    broker: str
    ledger: str
    parks: int
    name: str = "engine-0"
    planners: int = 1
    observe: str | None = None
    stall_s: float = 60.0
    deadline_s: float = 20.0


@dataclass
class Worker:
    """The engine as a process that can be killed, frozen and started again."""

    command: WorkerCommand
    log: Path
    prefix: tuple[str, ...] = ()
    """What runs it, e.g. in a network of its own."""
    process: subprocess.Popen[bytes] | None = None
    ended: list[int] = field(default_factory=list)
    """Exit codes so far."""

    def start(self) -> None:
        words = [*self.prefix, *program(__name__), json.dumps(asdict(self.command))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, cwd=PROJECT, stdout=log, stderr=log, env=environment())

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self.wait()

    def freeze(self, seconds: float) -> None:
        self._signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._signal(signal.SIGCONT)

    def stop(self, limit_s: float = 20) -> int:
        self._signal(signal.SIGTERM)
        return self.wait(limit_s)

    def wait(self, limit_s: float = 30) -> int:
        assert self.process is not None
        self.ended.append(self.process.wait(limit_s))
        return self.ended[-1]

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def metric(self, name: str) -> dict[str, float]:
        """By labels: the values of a metric; nothing while the worker does not answer."""
        with suppress(URLError, OSError), urlopen(f"http://{self.command.observe}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
            return {
                line[len(name) : line.rindex(" ")]: float(line.rsplit(" ", 1)[1])
                for line in lines
                if line.startswith((f"{name}{{", f"{name} "))
            }
        return {}

    def taken_in(self) -> float:
        return self.metric("quartet_messages_total").get(f'{{topic="{TELEMETRY.name}"}}', 0.0)

    def cpu_s(self) -> float:
        """Processor time of the process so far, without its planning processes."""
        assert self.process is not None
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def memory_gb(self) -> float:
        """Resident memory of the process and its children."""
        assert self.process is not None
        return sum(_resident_gb(pid) for pid in _family(self.process.pid))

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(_python_of(self.process.pid) if self.prefix else self.process.pid, number)


@contextmanager
def workers(*some: Worker) -> Iterator[None]:
    """Started together; none outlives the block."""
    try:
        for worker in some:
            worker.start()
        yield
    finally:
        for worker in some:
            if worker.alive:
                worker.kill()


@dataclass(frozen=True)
class Account:
    """What went in and what came out of a run."""

    wanted: int
    """Intervals of all parks that must have an answer."""
    answered: int
    missing: int
    wrong: int
    """Answered on other sums than were sent."""
    setpoints: int
    repeated: int
    """Setpoints that stand on the topic more than once, with the same content."""
    differing: int
    """Setpoints of one name with two contents: never allowed."""
    unsent: int
    """Setpoints in the ledger and not on the topic, or the other way round."""
    dead_letters: int
    broken_links: int

    @property
    def faults(self) -> int:
        """What must be 0."""
        return self.missing + self.wrong + self.differing + self.unsent + self.broken_links


def account(broker: str, ledger: str, parks: Sequence[int], quarters: int, first: int = 0) -> Account:
    """The account of parks that told quarters `first` to `quarters` and the tick after each."""
    expected = [at(n) for n in range(first, quarters + 1)]
    contents: dict[str, set[bytes]] = {}
    counts: Counter[str] = Counter()
    for _, value in everything(broker, SETPOINTS.name):
        cmd_id = SetpointMessage.model_validate_json(value).cmd_id
        contents.setdefault(cmd_id, set()).add(value)
        counts[cmd_id] += 1
    answered, missing, wrong, traced = 0, 0, 0, set[str]()
    with Ledger(ledger) as opened:
        for number in parks:
            found = set(opened.answered_intervals(site_id(number)))
            answered += len(found)
            missing += sum(start not in found for start in expected)
            wrong += _wrong(opened, number, first, quarters)
            traced |= {trace.cmd_id for trace in opened.setpoint_trace(site_id(number))}
        broken = len(opened.changed())
    return Account(
        wanted=len(expected) * len(parks),
        answered=answered,
        missing=missing,
        wrong=wrong,
        setpoints=len(contents),
        repeated=sum(count - 1 for count in counts.values()),
        differing=sum(len(one) > 1 for one in contents.values()),
        unsent=len(traced ^ set(contents)),
        dead_letters=len({key for key, _ in everything(broker, DEAD_LETTERS.name)}),
        broken_links=broken,
    )


def answered(ledger: str, parks: Sequence[int]) -> int:
    """How many intervals have an answer; 0 before the ledger is there."""
    if not ledger.startswith("postgresql") and not Path(ledger).exists():
        return 0
    with Ledger(ledger) as opened:
        return sum(len(opened.answered_intervals(site_id(number))) for number in parks)


def everything(broker: str, topic: str) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of all that stands on a topic."""
    client = {**kafka_access(broker).confluent(), "group.id": "account", "enable.auto.commit": False}
    consumer = Consumer(client)
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    places = [TopicPartition(topic, number, 0) for number in partitions]
    left = sum(consumer.get_watermark_offsets(place, timeout=30)[1] for place in places)
    consumer.assign(places)
    while left > 0:
        for message in consumer.consume(1000, 1.0):
            if message.error() is None:
                left -= 1
                yield message.key(), message.value()
    consumer.close()


def wait_until(true: Callable[[], bool], what: str, limit_s: float = LATEST_S, every_s: float = 0.1) -> float:
    """Seconds until it was true; raises when that takes too long."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > limit_s:
            raise MissingPartError(f"{what}: not after {limit_s:g} s")
        time.sleep(every_s)
    return time.monotonic() - began


def feed(sender: Sender, parks: Sequence[int], quarter: int, rng: random.Random) -> None:
    """A quarter hour of all parks as a bad network brings it: out of order, some readings twice; then the ticks."""
    for number in parks:
        told = readings(number, quarter)
        rng.shuffle(told)
        sender.send([*told, *told[:2], tick(number, quarter + 1)])


@contextmanager
def real_kafka(brokers: int = 1, tls: bool = False, host: str = "127.0.0.1") -> Iterator[tuple[str, Path]]:
    """Address and folder of a real Kafka of our own.

    Raises:
        MissingPartError: Java or Maven is missing.
    """
    folder = Path(tempfile.mkdtemp(prefix="quartet-kafka-"))
    words = [KAFKA, "up", folder, str(brokers), str(free_port(brokers)), *(["tls"] if tls else [])]
    environment = {**os.environ, "KAFKA_HOST": host}
    up = subprocess.run(words, capture_output=True, text=True, timeout=400, env=environment)
    if up.returncode:
        raise MissingPartError((up.stderr.strip().splitlines() or ["Kafka did not start"])[-1])
    try:
        yield up.stdout.strip(), folder
    finally:
        subprocess.run([KAFKA, "down", folder], check=True, timeout=120)


def free_port(brokers: int = 1) -> int:
    """A port such that it and the others that `scripts/kafka.sh` takes are free."""
    wanted = [base + n for base in (0, 200, 300) for n in range(brokers)] + [101 + n for n in range(brokers)]
    while True:
        port = random.randrange(20_000, 32_000)
        if all(_is_free(port + more) for more in wanted):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _wrong(ledger: Ledger, number: int, first: int, quarters: int) -> int:
    frame = ledger.recent(site_id(number), at(first))
    if "load.demand_kw" not in frame:
        return quarters - first
    told = frame["load.demand_kw"]
    return sum(abs(told.get(at(n), float("nan")) - load_kw(number, n)) > 1e-9 or at(n) not in told.index
               for n in range(first, quarters))  # fmt: skip


def program(module: str) -> tuple[str, ...]:
    """Words that run `main` of a module of this folder with what follows; to be given `environment()`."""
    return sys.executable, "-c", f"import sys; from {module} import main; main(sys.argv[1])"


def environment() -> dict[str, str]:
    """Rooms first, then this folder."""
    places = os.pathsep.join((str(PROJECT), str(PROJECT / "benchmarks")))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": places}


def _family(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    below = [int(word) for word in path.read_text().split()] if path.exists() else []
    return [pid, *(one for child in below for one in _family(child))]


def _python_of(pid: int) -> int:
    """The worker itself behind what runs it."""
    return next(one for one in _family(pid) if b"python" in Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")[0])


def _resident_gb(pid: int) -> float:
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e9
    return 0.0


def main(words: str) -> None:
    """A worker."""
    from streams.engine_service import EngineSettings, run_engine

    command = WorkerCommand(**json.loads(words))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    settings = EngineSettings(
        command.broker,
        command.ledger,
        worker_id=command.name,
        planners=command.planners,
        deadline_s=command.deadline_s,
        fit_wait_s=0.0,
        stall_s=command.stall_s,
        observe=command.observe,
    )
    run_engine([park(number) for number in range(command.parks)], settings)
