"""The engine killed in mid-run goes on from its ledger: every interval answered once, none lost, none settled twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from streams.broker import EmbeddedBroker
from streams.interval import close_interval
from streams.ledger import Ledger
from streams.messages import Acknowledgement, Reading
from streams.records import SetpointTrace
from streams.topics import ACKS, DEAD_LETTERS, SETPOINTS, TELEMETRY
from tests.streams.engine_process import (
    SITE,
    START,
    STEP,
    EngineProcess,
    Post,
    all_of,
    answered,
    quarter,
    recorded,
    running_engine,
    setpoints_on,
    wait_until,
)
from tests.streams.test_engine import POISON

QUARTERS = 18
AHEAD = 3
"""Quarters that are sent before the first of them is answered."""


def feed_and_kill(
    broker: str, ledger: str, engine: EngineProcess, kills: dict[int, Callable[[], None]], seed: int = 7
) -> None:
    """Sends the day quarter by quarter, poison in between; does what `kills` says when so many are answered."""
    rng = random.Random(seed)
    post, frame, left = Post(broker), recorded(), dict(kills)
    for number in range(QUARTERS):
        wait_until(partial(_answered_at_least, ledger, number - AHEAD), engine)
        *readings, tick = quarter(frame, number)
        rng.shuffle(readings)
        post.send(TELEMETRY.name, readings[::2])
        if number < len(POISON):
            post.send_raw(TELEMETRY.name, *POISON[number][:2])
        post.send(TELEMETRY.name, [*readings[1::2], tick])
        for count in [count for count in left if answered(ledger) >= count]:
            time.sleep(rng.uniform(0, 0.5))
            left.pop(count)()
    assert not left
    wait_until(partial(_answered_at_least, ledger, QUARTERS), engine)
    wait_until(lambda: not _unsent(ledger), engine)


def acknowledge_all(broker: str, path: str, engine: EngineProcess) -> None:
    """Tells the engine that every setpoint was taken and read back, as a gateway does."""
    with Ledger(path) as ledger:
        traces = ledger.setpoint_trace(SITE)
        Post(broker).send(ACKS.name, [ack for trace in traces for ack in _acks(trace)])
        wait_until(lambda: all(trace.state == "applied" for trace in ledger.setpoint_trace(SITE)), engine)


def _acks(trace: SetpointTrace) -> Iterator[Acknowledgement]:
    for state, readback_kw in (("accepted", None), ("applied", trace.target_kw)):
        yield Acknowledgement(
            site=SITE,
            cmd_id=trace.cmd_id,
            device=trace.device,
            seq=trace.seq,
            state=state,
            at=trace.interval,
            readback_kw=readback_kw,
        )


def kill_and_start(engine: EngineProcess) -> None:
    engine.kill()
    engine.start()


def stop_and_start(engine: EngineProcess) -> None:
    assert engine.terminate() == 0
    engine.start()


def _answered_at_least(ledger: str, count: int) -> bool:
    return answered(ledger) >= count


def _unsent(path: str) -> bool:
    with Ledger(path) as ledger:
        return bool(ledger.unsent(SITE))


def check(broker: str, path: str) -> dict[str, int]:
    """Compares what came out with what went in; gives the counts."""
    with Ledger(path) as ledger:
        assert ledger.answered_intervals(SITE) == [START + n * STEP for n in range(1, QUARTERS + 1)]
        traces = ledger.setpoint_trace(SITE)
        assert all(trace.sent and trace.plan_hash and trace.forecast_issued_at == trace.interval for trace in traces)
        assert all(trace.readback_kw == trace.target_kw and len(trace.acks) == 2 for trace in traces)
        frame = recorded()
        for number in range(QUARTERS):
            start = START + number * STEP
            readings = [message for message in quarter(frame, number) if isinstance(message, Reading)]
            wanted = close_interval(start, 15, readings).signals
            row = ledger.recent(SITE, start).iloc[0]
            assert {name: row[name] for name in row.dropna().index} == {n: s.value for n, s in wanted.items()}
        statuses = {trace.plan_id: trace.plan_status for trace in traces}
        counts = ledger.counts()
    sent = setpoints_on(broker, SETPOINTS.name)
    assert set(sent) == {trace.cmd_id for trace in traces}
    return {
        "answered": counts["plans"],
        "optimal": sum(status == "optimal" for status in statuses.values()),
        "setpoints": len(sent),
        "repeated": sum(count - 1 for count in sent.values()),
        "dead letters": counts["dead_letters"],
        "dead letters sent": len({key for key, _ in all_of(broker, DEAD_LETTERS.name)}),
    }


def check_counts(counts: dict[str, int]) -> None:
    poison = min(len(POISON), QUARTERS)
    assert counts["dead letters"] == counts["dead letters sent"] == poison
    assert counts["answered"] == counts["optimal"] == QUARTERS
    assert counts["setpoints"] > QUARTERS


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_killed_and_stopped_in_mid_run_it_answers_every_interval_once(tmp_path):
    path = str(tmp_path / "ledger.db")
    with EmbeddedBroker() as broker, running_engine(broker, path, tmp_path / "engine.log") as engine:
        feed_and_kill(broker, path, engine, {2: partial(kill_and_start, engine), 10: partial(stop_and_start, engine)})
        acknowledge_all(broker, path, engine)
        assert engine.terminate() == 0
        check_counts(check(broker, path))


@pytest.mark.kafka
@pytest.mark.timeout(900)
def test_on_a_real_kafka_and_postgresql_with_engine_and_broker_killed(tmp_path, own_kafka, postgres):
    path = postgres.fresh_database()
    with running_engine(own_kafka.address, path, tmp_path / "engine.log") as engine:
        kill = partial(kill_and_start, engine)
        feed_and_kill(own_kafka.address, path, engine, {2: kill, 6: own_kafka.restart, 12: kill})
        acknowledge_all(own_kafka.address, path, engine)
        assert engine.terminate() == 0
        check_counts(check(own_kafka.address, path))
