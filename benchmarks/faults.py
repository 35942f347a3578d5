"""What a run of small parks loses when things break: what went in and what came out, counted on a real Kafka.

    .venv/bin/python benchmarks/faults.py [--only NAME ...] [--json]

Nothing may be missing, wrong or told in two ways. A setpoint may stand on its topic twice with the same content (a
crash between sending and marking): gateways drop it. The usual way of using Faust (`usual_faust.py`) stands beside it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from figures import Figure, main
from stream_parks import (
    KAFKA,
    STEP,
    Account,
    Sender,
    Worker,
    WorkerCommand,
    account,
    answered,
    at,
    environment,
    everything,
    feed,
    free_port,
    program,
    readings,
    real_kafka,
    tick,
    wait_until,
    workers,
)

from optimizer.errors import MissingPartError
from streams.admin import ensure_topics
from streams.kafka_access import kafka_access
from streams.messages import Tick

PARKS = range(6)
QUARTERS = 24
SEED = 11
BAD = 10_000
CUT_S = 60.0
DISK_MB = 6
SILENCE_S = 120.0
"""Nothing more is waited for after this."""


@dataclass
class Run:
    """One run of the parks with what breaks meanwhile."""

    broker: str
    kafka: Path
    folder: Path
    rng: random.Random
    ledger: str = ""

    def __post_init__(self) -> None:
        self.ledger = self.ledger or str(self.folder / "ledger.db")

    def worker(self, name: str = "engine-0", **more: object) -> Worker:
        command = WorkerCommand(self.broker, self.ledger, len(PARKS), name)
        return Worker(replace(command, **more), self.folder / f"{name}.log")  # type: ignore[arg-type]

    def begin(self, sender: Sender) -> None:
        """The first ticks; returns when all parks have been answered once."""
        sender.send(tick(number, 0) for number in PARKS)
        sender.flush()
        self.wait_for(len(PARKS))

    def tell(self, sender: Sender, quarters: Sequence[int], ahead: int = 3) -> None:
        """Quarter by quarter, some ahead of the answers."""
        for quarter in quarters:
            self.wait_for(len(PARKS) * max(0, quarter - ahead))
            feed(sender, PARKS, quarter, self.rng)
            sender.flush()

    def wait_for(self, count: int) -> None:
        wait_until(lambda: answered(self.ledger, PARKS) >= count, f"{count} answers")

    def end(self, quarters: int = QUARTERS) -> Account:
        """Waits for the last answers to be sent, and counts."""
        self.wait_for(len(PARKS) * (quarters + 1))
        wait_until(lambda: account(self.broker, self.ledger, PARKS, quarters).unsent == 0, "all sent", every_s=1.0)
        return account(self.broker, self.ledger, PARKS, quarters)


@contextmanager
def fresh_run(brokers: int = 1, seed: int = SEED, host: str = "127.0.0.1") -> Iterator[Run]:
    with ExitStack() as stack:
        broker, kafka = stack.enter_context(real_kafka(brokers, host=host))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="quartet-faults-"))
        servers = [f"{host}:{int(broker.rsplit(':', 1)[1]) + n}" for n in range(brokers)]
        ensure_topics(broker)
        yield Run(",".join(servers), kafka, Path(folder), random.Random(seed))


def worker_killed(kills: int = 10, quarters: int = QUARTERS) -> Account:
    """SIGKILL at random moments of work, and started again."""
    with fresh_run() as run, workers(worker := run.worker()):
        sender = Sender(run.broker)
        run.begin(sender)
        feeding = threading.Thread(target=run.tell, args=(sender, range(quarters)))
        feeding.start()
        for _ in range(kills):
            run.wait_for(min(answered(run.ledger, PARKS) + 1, len(PARKS) * quarters))
            time.sleep(run.rng.uniform(0.0, 2.0))
            worker.kill()
            worker.start()
        feeding.join()
        return run.end(quarters)


def takeover(quarters: int = QUARTERS) -> Account:
    """Two workers; one is killed, the other serves its parks; it comes back and is given parks again."""
    with fresh_run() as run:
        observe = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        one, two = (run.worker(f"engine-{n}", observe=place) for n, place in enumerate(observe))
        with workers(one, two):
            sender = Sender(run.broker)
            run.begin(sender)
            third = quarters // 3
            run.tell(sender, range(third))
            one.kill()
            run.tell(sender, range(third, 2 * third))
            run.wait_for(len(PARKS) * (2 * third + 1))
            one.start()
            wait_until(lambda: bool(one.metric("quartet_lag_messages")), "the worker is given partitions again")
            run.tell(sender, range(2 * third, quarters))
            found = run.end(quarters)
            assert one.taken_in() > 0, "the worker that came back has taken in nothing"
            return found


def rebalanced(quarters: int = QUARTERS) -> Account:
    """A second worker comes and goes in order, three times, while the parks talk."""
    with fresh_run() as run:
        one, two = run.worker("engine-0"), run.worker("engine-1")
        with workers(one):
            sender = Sender(run.broker)
            run.begin(sender)
            feeding = threading.Thread(target=run.tell, args=(sender, range(quarters)))
            feeding.start()
            for _ in range(3):
                two.start()
                time.sleep(run.rng.uniform(8.0, 14.0))
                assert two.stop() == 0
                time.sleep(run.rng.uniform(1.0, 4.0))
            feeding.join()
            return run.end(quarters)


def frozen(quarters: int = QUARTERS) -> Account:
    """One of two workers stands still for 13 s, twice: its parks move on, and what it does when it wakes is void."""
    with fresh_run() as run, workers(one := run.worker("engine-0"), run.worker("engine-1")):
        sender = Sender(run.broker)
        run.begin(sender)
        feeding = threading.Thread(target=run.tell, args=(sender, range(quarters)))
        feeding.start()
        for _ in range(2):
            time.sleep(run.rng.uniform(2.0, 5.0))
            one.freeze(13.0)
            if not one.alive:
                one.start()
        feeding.join()
        return run.end(quarters)


def broker_killed(quarters: int = QUARTERS) -> Account:
    """The only broker is killed in mid-cycle and started again, twice."""
    with fresh_run() as run, workers(run.worker()):
        return _broken_broker(run, quarters, node=1, times=2)


def one_of_three_brokers(quarters: int = QUARTERS) -> Account:
    """Three brokers, three copies; one is killed in mid-cycle and started again."""
    with fresh_run(brokers=3) as run, workers(run.worker()):
        return _broken_broker(run, quarters, node=2, times=1)


def _broken_broker(run: Run, quarters: int, node: int, times: int) -> Account:
    sender = Sender(run.broker)
    run.begin(sender)
    feeding = threading.Thread(target=run.tell, args=(sender, range(quarters)))
    feeding.start()
    for _ in range(times):
        time.sleep(run.rng.uniform(2.0, 5.0))
        subprocess.run([KAFKA, "restart", run.kafka, str(node)], check=True, capture_output=True, timeout=180)
    feeding.join()
    return run.end(quarters)


def bad_messages(count: int = BAD, quarters: int = 12) -> Account:
    """Ten thousand messages that cannot be used among good ones: each a dead letter, all else answered."""
    with fresh_run() as run, workers(run.worker()):
        sender = Sender(run.broker)
        run.begin(sender)
        for quarter in range(quarters):
            for key, value in fuzz(count // quarters + (quarter < count % quarters), run.rng):
                sender.send_raw(key, value)
            run.tell(sender, [quarter])
        found = run.end(quarters)
        wait_until(lambda: account(run.broker, run.ledger, PARKS, quarters).dead_letters >= count, "dead letters")
        found = account(run.broker, run.ledger, PARKS, quarters)
        if found.dead_letters != count:
            raise AssertionError(f"{count} bad messages, {found.dead_letters} dead letters")
        return found


def fuzz(count: int, rng: random.Random) -> Iterator[tuple[bytes, bytes]]:
    """Messages that cannot be used, made from good ones: cut, twisted, mistyped, huge, not UTF-8, not finite."""
    good = tick(0, 1).encode(), *(reading.encode() for reading in readings(0, 0))
    for _ in range(count):
        whole = rng.choice(good)
        key = str(json.loads(whole)["site"]).encode()
        yield rng.choice(_BREAKAGES)(key, whole, rng)


Broken = tuple[bytes, bytes]


def _cut(key: bytes, whole: bytes, rng: random.Random) -> Broken:
    return key, whole[: rng.randrange(len(whole) - 1)]


def _not_utf8(key: bytes, whole: bytes, rng: random.Random) -> Broken:
    place = rng.randrange(1, len(whole) - 1)
    return key, whole[:place] + b"\xff\xfe" + whole[place:]


def _changed(**fields: object) -> Callable[[bytes, bytes, random.Random], Broken]:
    def change(key: bytes, whole: bytes, rng: random.Random) -> Broken:
        document = json.loads(whole) | fields
        return key, json.dumps(document).encode()

    return change


def _huge(key: bytes, whole: bytes, rng: random.Random) -> Broken:
    return key, b"[" * rng.randrange(1_000, 60_000)


def _noise(key: bytes, whole: bytes, rng: random.Random) -> Broken:
    return key, b"\x00" + rng.randbytes(rng.randrange(1, 300))


def _other_key(key: bytes, whole: bytes, rng: random.Random) -> Broken:
    return key + b"x", whole


_BREAKAGES: tuple[Callable[[bytes, bytes, random.Random], Broken], ...] = (
    _cut,
    _not_utf8,
    _changed(version="2.0"),
    _changed(type="unheard"),
    _changed(site="elsewhere"),
    _changed(time="yesterday"),
    _changed(time="2026-08-25T16:00:00"),
    _changed(time=float("nan")),
    _changed(values={"demand_kw": float("nan")}, type="reading", device="load", seconds=60),
    _changed(values={"demand_kw": float("inf")}, type="reading", device="load", seconds=60),
    _changed(values={"demand_kw": "much"}, type="reading", device="load", seconds=60),
    _changed(values={}, type="reading", device="nobody", seconds=60),
    _changed(values={}, type="reading", device="load", seconds=-5),
    _changed(values={}, type="reading", device="load", seconds=60, time="2031-01-01T00:00:00Z"),
    _huge,
    _noise,
    _other_key,
)


def clock_jumps(quarters: int = 12) -> Account:
    """Every clock jumps two hours ahead, back again, and ahead once more: nothing is answered twice or left out."""
    with fresh_run() as run, workers(run.worker()):
        sender = Sender(run.broker)
        run.begin(sender)
        run.tell(sender, range(2))
        sender.send(Tick(site=tick(n, 0).site, time=at(2) + timedelta(minutes=40)) for n in PARKS)
        sender.send(Tick(site=tick(n, 0).site, time=at(2) - 3 * STEP) for n in PARKS)
        sender.send(tick(number, 10) for number in PARKS)
        sender.send(tick(number, 4) for number in PARKS)
        sender.flush()
        run.wait_for(len(PARKS) * 11)
        run.tell(sender, range(10, quarters))
        found = run.end(quarters)
        skipped = 8 * len(PARKS)  # quarters that nobody measured have no sums
        return replace(found, wrong=found.wrong - skipped)


def disk_full(quarters: int = 12) -> Account:
    """The ledger's disk (a small tmpfs) is full: the worker ends with 70; there is room again: it goes on."""
    _require_root("mounting a small disk")
    with fresh_run() as run, ExitStack() as stack:
        disk = run.folder / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", disk], check=True)
        stack.callback(subprocess.run, ["umount", "-l", disk], check=True)
        run.ledger = str(disk / "ledger.db")
        worker = run.worker()
        with workers(worker):
            sender = Sender(run.broker)
            run.begin(sender)
            run.tell(sender, range(2))
            run.wait_for(3 * len(PARKS))
            filler = disk / "filler"
            _fill(filler)
            for quarter in range(2, quarters):
                feed(sender, PARKS, quarter, run.rng)
            sender.flush()
            if worker.wait(120) != 70:
                raise AssertionError(f"the worker ended with {worker.ended[-1]} on a full disk, 70 is right")
            filler.unlink()
            subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
            worker.start()
            return run.end(quarters)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as sink, suppress(OSError):
        while sink.write(b"\0" * 4096):
            pass


def network_cut(quarters: int = QUARTERS, cut_s: float = CUT_S) -> Account:
    """The worker lives in a network of its own; its cable to the broker is cut for a minute in mid-run."""
    _require_root("a network namespace")
    with own_network() as (ours, prefix, cut), fresh_run(host=ours) as run:
        worker = replace(run.worker(stall_s=300.0), prefix=prefix)
        with workers(worker):
            sender = Sender(run.broker)
            run.begin(sender)
            feeding = threading.Thread(target=run.tell, args=(sender, range(quarters)))
            feeding.start()
            time.sleep(3.0)
            cut(True)
            time.sleep(cut_s)
            cut(False)
            wait_until(lambda: _revived(worker, feeding), "the parks are answered again")
            feeding.join()
            return run.end(quarters)


def _revived(worker: Worker, feeding: threading.Thread) -> bool:
    """A worker that ended over the cut is started again, as its service manager would."""
    if not worker.alive:
        worker.start()
    return not feeding.is_alive()


@contextmanager
def own_network() -> Iterator[tuple[str, tuple[str, ...], Callable[[bool], None]]]:
    """Our address on a cable to a network namespace, the words that run a program in it, and how the cable is cut."""
    name, ours, theirs = f"qtt{os.getpid() % 10_000}", "10.231.77.1", "10.231.77.2"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    ip("netns", "add", name)
    try:
        ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
        ip("link", "set", f"{name}b", "netns", name)
        ip("addr", "add", f"{ours}/30", "dev", f"{name}a")
        ip("link", "set", f"{name}a", "up")
        for words in (("addr", "add", f"{theirs}/30", "dev", f"{name}b"), ("link", "set", f"{name}b", "up")):
            ip("-n", name, *words)
        ip("-n", name, "link", "set", "lo", "up")
        yield ours, ("ip", "netns", "exec", name), lambda off: ip("link", "set", f"{name}a", "down" if off else "up")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise MissingPartError(f"{what} needs root")


@dataclass(frozen=True)
class UsualAccount:
    """What the usual way made of the same parks."""

    wanted: int
    missing: int
    wrong: int
    repeated: int


def usual_way(kills: int = 10, quarters: int = QUARTERS) -> UsualAccount:
    """The same parks, the same kills, by an agent with a Table."""
    with fresh_run() as run:
        topic, answers = "usual-told", "usual-answers"
        admin = AdminClient(kafka_access(run.broker).confluent())
        for done in admin.create_topics([NewTopic(name, 6, 1) for name in (topic, answers)]).values():
            done.result()
        words = {"broker": run.broker, "topic": topic, "answers": answers, "partitions": 6}
        worker = _UsualWorker(json.dumps(words), run.folder / "usual.log")
        producer = Producer({**kafka_access(run.broker).confluent(), "partitioner": "murmur2_random"})
        with worker:
            feeding = threading.Thread(target=_tell_usual, args=(producer, topic, quarters, 1.5))
            feeding.start()
            for _ in range(kills):
                _wait_for_more(run.broker, answers, len(PARKS) * quarters)
                time.sleep(run.rng.uniform(0.0, 2.0))
                worker.kill()
                worker.start()
            feeding.join()
            while _wait_for_more(run.broker, answers, len(PARKS) * quarters):
                pass
            return _account_usual(run.broker, answers, quarters)


def _wait_for_more(broker: str, answers: str, wanted: int) -> bool:
    """Waits for another answer; False when all are there, or none comes for long."""
    before = sum(1 for _ in everything(broker, answers))
    end = time.monotonic() + SILENCE_S
    while before < wanted and time.monotonic() < end:
        time.sleep(0.2)
        if sum(1 for _ in everything(broker, answers)) > before:
            return True
    return False


@dataclass
class _UsualWorker:
    words: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _UsualWorker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [*program("usual_faust"), self.words]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def _tell_usual(producer: Producer, topic: str, quarters: int, pause_s: float) -> None:
    for quarter in range(quarters):
        for number in PARKS:
            site = f"park_{number:03d}"
            told = [{"type": "reading", "site": site, "value": float(n)} for n in range(9)]
            for message in [*told, {"type": "tick", "site": site, "quarter": quarter}]:
                producer.produce(topic, json.dumps(message).encode(), site.encode())
        producer.flush(60)
        time.sleep(pause_s)


def _account_usual(broker: str, answers: str, quarters: int) -> UsualAccount:
    found: Counter[tuple[str, int]] = Counter()
    wrong = set()
    for _, value in everything(broker, answers):
        said = json.loads(value)
        place = said["site"], said["quarter"]
        found[place] += 1
        if said["sum"] != float(sum(range(9))):
            wrong.add(place)
    wanted = len(PARKS) * quarters
    repeated = sum(count - 1 for count in found.values())
    return UsualAccount(wanted, wanted - len(found), len(wrong), repeated)


FAULTS: dict[str, Callable[[], Account]] = {
    "worker_killed": worker_killed,
    "takeover": takeover,
    "rebalanced": rebalanced,
    "frozen": frozen,
    "broker_killed": broker_killed,
    "one_of_three_brokers": one_of_three_brokers,
    "bad_messages": bad_messages,
    "clock_jumps": clock_jumps,
    "disk_full": disk_full,
    "network_cut": network_cut,
}


def figures_of(name: str, fault: Callable[[], Account]) -> list[Figure]:
    """The account as figures; a part that is missing here is said and left out."""
    what = " ".join((fault.__doc__ or "").split())
    try:
        found = fault()
    except MissingPartError as error:
        return [Figure(f"{name}_not_run", 1.0, "-", str(error))]
    counts = asdict(found) | {"faults": found.faults}
    return [Figure(f"{name}_{key}", float(value), "count", what) for key, value in counts.items()]


def usual_figures() -> list[Figure]:
    what = "the usual agent with a Table, killed ten times"
    try:
        found = usual_way()
    except MissingPartError as error:
        return [Figure("usual_way_not_run", 1.0, "-", str(error))]
    return [Figure(f"usual_{key}", float(value), "count", what) for key, value in asdict(found).items()]


if __name__ == "__main__":
    parts: dict[str, Callable[[], Sequence[Figure]]] = {
        name: (lambda name=name, fault=fault: figures_of(name, fault)) for name, fault in FAULTS.items()
    }
    main("faults", (__doc__ or "").split("\n", 1)[0], {**parts, "usual_way": usual_figures})
