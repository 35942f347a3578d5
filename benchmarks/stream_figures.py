"""The engine on a real Kafka: readings per second, the way from a reading to a setpoint, and many parks on one worker.

    .venv/bin/python benchmarks/streams.py [--only NAME ...] [--json]

Readings lie on the broker before the workers start, so that no sender takes their cores. What is lost when things
break is counted by `faults.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from figures import Figure, main, median, percentile
from stream_parks import (
    MISSING,
    Sender,
    Worker,
    WorkerCommand,
    at,
    feed,
    free_port,
    readings,
    real_kafka,
    tick,
    wait_until,
    workers,
)

from hil.bench import Cycle, open_bench
from hil.closed_loop import peak_before
from optimizer.errors import MissingPartError
from quartet.planning import METER_IMPORT, known_before
from site_configs.history import read_history, sample_folder, write_history
from site_configs.loader import load_site
from site_configs.tariff import local_midnight
from streams.admin import ensure_topics
from streams.gateways.gateway import run_gateway
from streams.topics import TELEMETRY

PARKS = 12
PARTITIONS = 6
READINGS = 90_000
"""On the broker before the workers start."""
LOOK_S = 0.1
SITE, DAY, SEED = "jiashan_park", date(2026, 8, 26), 3
QUARTERS = 40
"""Of the way from a reading to a setpoint."""
FIRST_S, CYCLE_S = 600.0, 60.0
GROWTH = (10, 50, 200)
MANY_S = 1_800.0


@contextmanager
def fresh_kafka() -> Iterator[tuple[str, Path]]:
    """A real Kafka with the topics, and a folder."""
    with real_kafka() as (broker, _), tempfile.TemporaryDirectory(prefix="quartet-streams-") as folder:
        ensure_topics(broker)
        yield broker, Path(folder)


def told(broker: str, count: int) -> int:
    """Puts readings of half a day's quarters on the broker, a second apart each; how many there are."""
    sender = Sender(broker)
    quarter = 0
    while sender.sent < count:
        for number in range(PARKS):
            for second in range(50):
                sender.send(readings(number, quarter, at(quarter) + timedelta(seconds=second)))
        quarter += 1
    sender.flush()
    return sender.sent


def worker_of(broker: str, folder: Path, name: str, parks: int = PARKS, planners: int = 1) -> Worker:
    place = f"127.0.0.1:{free_port()}"
    command = WorkerCommand(broker, str(folder / "ledger.db"), parks, name, planners, observe=place)
    return Worker(command, folder / f"{name}.log")


def throughput() -> list[Figure]:
    """One worker, two, and a bare consumer, one after the other on the same messages."""
    with fresh_kafka() as (broker, folder):
        count = told(broker, READINGS)
        bare, bare_cpu = bare_rate(broker, count)
        one, one_cpu = rate(count, worker_of(broker, folder, "engine-0"))
    with fresh_kafka() as (broker, folder):
        count = told(broker, READINGS)
        two, _ = rate(count, *(worker_of(broker, folder, f"engine-{n}") for n in range(2)))
    how = f"{count} readings of {PARKS} parks on 6 partitions"
    return [
        Figure("readings_per_s_1_worker", one, "1/s", f"{how}: decoded, checked, booked; one worker"),
        Figure("readings_per_s_2_workers", two, "1/s", f"{how}; two workers while both read, broker on the same cores"),
        Figure("bare_aiokafka_per_s", bare, "1/s", f"{how}; aiokafka's consumer alone, nothing decoded"),
        Figure("readings_per_cpu_s", one_cpu, "1/s", "one worker, by a second of its processor time"),
        Figure("bare_aiokafka_per_cpu_s", bare_cpu, "1/s", "aiokafka's consumer alone, by a second of processor time"),
        Figure("bare_over_1_worker", bare_cpu / one_cpu, "-", "processor time: decoding, checks, book-keeping, Faust"),
        Figure("workers_2_over_1", two / one, "-", f"on {os.cpu_count()} cores that broker and others share"),
    ]


def rate(count: int, *some: Worker) -> tuple[float, float]:
    """Readings by second, and by second of processor time, from the moment all read until one has no more to read."""
    with workers(*some):
        _wait_until_all_read(some)
        samples = [_sample(some)]
        while not any(_has_read_all(worker) for worker in some):
            time.sleep(LOOK_S)
            samples.append(_sample(some))
    (began, before, used), (ended, after, spent) = samples[0], samples[-2 if len(samples) > 2 else -1]
    if ended <= began or spent <= used:
        raise MissingPartError(f"{count} readings were read before two looks: raise READINGS")
    return (after - before) / (ended - began), (after - before) / (spent - used)


def _sample(some: Sequence[Worker]) -> tuple[float, float, float]:
    """Time, readings taken in and processor time of all workers."""
    taken = sum(worker.taken_in() for worker in some)
    return time.monotonic(), taken, sum(worker.cpu_s() for worker in some)


def _wait_until_all_read(some: Sequence[Worker]) -> None:
    """A worker that joins makes all of them begin anew."""

    def reading() -> bool:
        return all(worker.taken_in() > 0 and not _has_read_all(worker) for worker in some)

    wait_until(reading, "all workers read", every_s=LOOK_S)


def _has_read_all(worker: Worker) -> bool:
    lag = [value for labels, value in worker.metric("quartet_lag_messages").items() if f'"{TELEMETRY.name}"' in labels]
    return bool(lag) and sum(lag) == 0 and worker.taken_in() > 0


def bare_rate(broker: str, count: int) -> tuple[float, float]:
    """The same messages by a consumer that does nothing with them: by second, and by second of processor time."""

    async def consume() -> tuple[float, float]:
        consumer = AIOKafkaConsumer(bootstrap_servers=broker)
        await consumer.start()
        try:
            places = [TopicPartition(TELEMETRY.name, number) for number in range(PARTITIONS)]
            began, used, got = time.monotonic(), time.process_time(), 0
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while got < count:
                batch = await consumer.getmany(timeout_ms=1000)
                got += sum(len(records) for records in batch.values())
            return got / (time.monotonic() - began), got / (time.process_time() - used)
        finally:
            await consumer.stop()

    return asyncio.run(consume())


def reading_to_setpoint() -> list[Figure]:
    """The shipped park on a recorded day: engine, gateway and Modbus as in the demo, on a real Kafka."""
    site, history = load_site(SITE), read_history(sample_folder(SITE))
    start = local_midnight(DAY, site.zone).astimezone(UTC)
    with fresh_kafka() as (broker, folder), open_bench(site, history, start, QUARTERS, seed=SEED, port=0) as bench:
        past = known_before(history, start)
        frame = past.frame.copy()
        frame.loc[frame.index[-2], METER_IMPORT] = max(peak_before(site, history, start).values())
        write_history(folder / "history", frame, past.sessions)
        stop = threading.Event()
        gateway = threading.Thread(target=run_gateway, args=(site, broker, stop), kwargs={"port": bench.port})
        gateway.start()
        worker = _quartet(broker, folder)
        try:
            cycles = bench.run(broker, QUARTERS, wait_s=CYCLE_S, first_wait_s=FIRST_S).cycles
        finally:
            stop.set()
            worker()
            gateway.join()
    return _latencies(cycles)


def _quartet(broker: str, folder: Path) -> Callable[[], None]:
    """Starts `quartet run` on the recorded past; what ends it."""
    from quartet.children import start_quartet

    words = ["run", SITE, "--broker", broker, "--ledger", str(folder / "ledger.db"), "--data", str(folder / "history")]
    return start_quartet("engine", words, folder / "engine.log").stop


def _latencies(cycles: Sequence[Cycle]) -> list[Figure]:
    warm = [cycle for cycle in cycles[1:] if cycle.answered]
    took = [cycle.latency_ms for cycle in warm]
    how = (
        f"{SITE}, {len(warm)} of {len(cycles) - 1} warm cycles: readings sent to the last setpoint written over Modbus"
    )
    return [
        Figure("reading_to_setpoint_p50_ms", median(took), "ms", how),
        Figure("reading_to_setpoint_p99_ms", percentile(took, 0.99), "ms", how),
        Figure("first_cycle_s", cycles[0].latency_ms / 1e3, "s", "with fits and the building of the model"),
    ]


def many_parks() -> list[Figure]:
    """10, 50 and 200 small parks on one worker with two planning processes."""
    figures = []
    for parks in GROWTH:
        seconds, memory, first = quarter_of(parks)
        how = f"{parks} parks, one worker, 2 planning processes: first tick sent to the last answer in the ledger"
        figures += [
            Figure(f"sites_{parks}_quarter_s", seconds, "s", how),
            Figure(f"sites_{parks}_first_s", first, "s", "the first cycle, in which every model is built"),
            Figure(f"sites_{parks}_memory_gb", memory, "GB", "of the worker and its planning processes"),
        ]
    by_name = {figure.name: figure.value for figure in figures}
    few, many = GROWTH[0], GROWTH[-1]
    growth = (by_name[f"sites_{many}_quarter_s"] / by_name[f"sites_{few}_quarter_s"]) / (many / few)
    figures.append(Figure("growth_per_site", growth, "-", f"time of a park among {many} over one among {few}"))
    return figures


def quarter_of(parks: int) -> tuple[float, float, float]:
    """Seconds of a warm quarter, memory [GB], seconds of the first cycle."""
    numbers, rng = range(parks), random.Random(SEED)
    with fresh_kafka() as (broker, folder):
        worker = worker_of(broker, folder, "engine-0", parks, planners=2)
        with workers(worker):
            sender = Sender(broker)
            wait_until(lambda: bool(worker.metric("quartet_lag_messages")), "the worker is ready")

            def told_to(quarters: int) -> float:
                def done() -> bool:
                    return sum(worker.metric("quartet_answers_total").values()) >= parks * (quarters + 1)

                return wait_until(done, f"{parks} parks answered", MANY_S, every_s=0.2)

            sender.send(tick(number, 0) for number in numbers)
            sender.flush()
            first = told_to(0)
            took: list[float] = []
            for quarter in range(3):
                feed(sender, numbers, quarter, rng)
                sender.flush()
                took.append(told_to(quarter + 1))
            return median(took), worker.memory_gb(), first


PARTS: dict[str, Callable[[], Sequence[Any]]] = {
    "throughput": throughput,
    "reading_to_setpoint": reading_to_setpoint,
    "many_parks": many_parks,
}


def run() -> None:
    """The benchmark as a program."""
    try:
        main("streams", (__doc__ or "").split("\n", 1)[0], PARTS)
    except MissingPartError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(MISSING)
