"""Faults, short: the accounts of `benchmarks/faults.py` on a real Kafka, and ten thousand bad messages without one."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable

import faults
import pytest
from stream_parks import Sender, Worker, WorkerCommand, account, feed, park, real_kafka, tick, wait_until, workers

from optimizer.errors import MissingPartError
from streams.admin import ensure_topics, wait_for_broker
from streams.engine import Engine
from tests.streams.story import Story, at, light_park, quarter
from tests.streams.story import tick as story_tick


def counted(fault: Callable[[], faults.Account]) -> faults.Account:
    """The account of a fault; skips where a part is missing, which is a failure with CI=true."""
    try:
        return fault()
    except MissingPartError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.mark.kafka
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "fault",
    [
        lambda: faults.takeover(quarters=6),
        lambda: faults.worker_killed(kills=2, quarters=8),
        lambda: faults.bad_messages(count=400, quarters=3),
        lambda: faults.disk_full(quarters=6),
    ],
    ids=["takeover", "worker_killed", "bad_messages", "disk_full"],
)
def test_nothing_is_lost_wrong_or_told_in_two_ways(fault):
    found = counted(fault)
    assert found.faults == 0, found
    assert found.answered == found.wanted


@pytest.mark.kafka
@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", ["ssl", "sasl_ssl"])
def test_the_engine_over_tls(tmp_path, monkeypatch, protocol):
    """With a client's certificate, and with name and password; every client library takes part."""
    monkeypatch.setenv("TRIAL_PASSWORD", "trial")
    with real_kafka(tls=True) as (plain, folder):
        port = int(plain.rsplit(":", 1)[1])
        files = folder / "tls"
        words = {
            "ssl": f"ssl://127.0.0.1:{port + 200}?ca={files / 'ca.pem'}"
            f"&certificate={files / 'client.pem'}&key={files / 'client.key'}",
            "sasl_ssl": f"sasl_ssl://quartet@127.0.0.1:{port + 300}?ca={files / 'ca.pem'}"
            "&mechanism=PLAIN&password_variable=TRIAL_PASSWORD",
        }
        broker, ledger = words[protocol], str(tmp_path / "ledger.db")
        wait_for_broker(broker)
        ensure_topics(broker)
        with workers(Worker(WorkerCommand(broker, ledger, 2), tmp_path / "log")):
            sender = Sender(broker)
            sender.send(tick(number, 0) for number in range(2))
            feed(sender, range(2), 0, random.Random(1))
            sender.flush()
            wait_until(lambda: faults.answered(ledger, range(2)) >= 4, "four answers")
            wait_until(lambda: account(broker, ledger, range(2), 1).unsent == 0, "all sent", every_s=1.0)
        found = account(broker, ledger, range(2), 1)
        assert (found.answered, found.faults) == (4, 0)


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_a_broker_with_tls_is_not_talked_to_without_trust(tmp_path):
    with real_kafka(tls=True) as (plain, _):
        port = int(plain.rsplit(":", 1)[1])
        with pytest.raises(MissingPartError, match="no Kafka broker answers"):
            wait_for_broker(f"ssl://127.0.0.1:{port + 200}", timeout_s=3)


def test_ten_thousand_bad_messages_are_all_buried_and_the_good_ones_count(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db", sites=(park(0),))
        story.tell(tick(0, 0))
        for number, (key, value) in enumerate(faults.fuzz(10_000, random.Random(5))):
            story.raw(key, value)
            if number % 2_000 == 0:
                await story.settle()
        story.tell(*faults.readings(0, 0), tick(0, 1))
        await story.settle()
        assert story.ledger.counts()["dead_letters"] == len(story.buried) == 10_000
        assert story.ledger.answered_intervals("park_000") == [at(0), at(1)]
        assert story.ledger.recent("park_000", at(0))["load.demand_kw"].tolist() == [400.0]
        assert story.engine.safe_offsets() == {0: story.offset}

    asyncio.run(run())


def test_two_workers_on_one_ledger_tell_the_same(tmp_path):
    """A worker that was thought dead goes on beside the one that took over."""

    async def run():
        first = Story(tmp_path / "l.db")
        second = Story(tmp_path / "l.db")
        told = [story_tick(0), *quarter(0), *quarter(1)]
        for story in (first, second):
            story.tell(*told)
        await asyncio.gather(first.settle(), second.settle())
        assert first.ledger.answered_intervals("light_park") == [at(n) for n in range(3)]
        assert first.ledger.changed() == []
        contents: dict[str, set[bytes]] = {}
        for story in (first, second):
            for setpoint in story.setpoints:
                contents.setdefault(setpoint.cmd_id, set()).add(setpoint.encode())
        assert all(len(one) == 1 for one in contents.values())
        assert len(contents) == 3 * len({one.device for one in first.setpoints})

    asyncio.run(run())


def test_a_ledger_that_cannot_be_written_ends_the_process_with_nothing_told(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db", sites=(light_park(),))
        story.tell(story_tick(0))
        await story.settle()
        before, engine = len(story.sent), story.engine
        assert isinstance(engine, Engine)

        def full(answer):
            raise OSError("disk is full")

        story.ledger.record = full
        story.tell(*quarter(0))
        while not story.fatal:
            await asyncio.sleep(0)
        assert "disk is full" in str(story.fatal[0])
        assert len(story.sent) == before
        assert engine.safe_offsets()[0] < story.offset

    asyncio.run(run())
