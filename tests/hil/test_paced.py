"""The plant on the wall clock: minutes when they are due, a clock that runs between them, telemetry in order."""

from datetime import timedelta
from threading import Event

import pytest
from confluent_kafka import Consumer

from hil.paced import PacedController, open_paced_bench
from site_configs.history import History
from streams.broker import EmbeddedBroker
from streams.gateways.face import Block, SiteStatus
from streams.gateways.modbus import ModbusFace
from streams.gateways.registers import site_registers
from streams.messages import Reading, Tick, decode
from streams.topics import TELEMETRY

SPEED = 600.0
MINUTES = 20


def test_the_clock_runs_between_minutes_and_never_ahead_of_the_next(park):
    wall = [0.0]
    plant = park.exact_plant(4)
    controller = PacedController(plant, plant.start(), 10.0, lambda: wall[0])
    wall[0] = 100.0
    assert controller.clock == park.START  # nothing passes before it is started
    controller.start()
    seen = []
    for wall[0] in (100.0, 102.5, 105.9, 108.0):
        seen.append((controller.clock - park.START) / timedelta(seconds=1))
    assert seen == [0.0, 25.0, 59.0, 59.0]
    controller.run(1)
    assert controller.clock == park.START + timedelta(minutes=1)


def messages_of(broker, count):
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([TELEMETRY.name])
    found = []
    while len(found) < count:
        record = consumer.poll(5.0)
        assert record is not None, f"{len(found)} of {count} messages came"
        found.append(decode(record.key(), record.value()))
    consumer.close()
    return found


def test_minutes_come_when_they_are_due_and_setpoints_are_followed_meanwhile(park):
    history = History("test", park.frame(3, park.START - timedelta(minutes=15)), 15)
    pauses, written = [], []
    with (
        EmbeddedBroker() as broker,
        open_paced_bench(park.PARK, history, park.START, 2, SPEED, seed=1, port=0) as bench,
    ):
        face = ModbusFace("127.0.0.1", bench.port, site_registers(park.PARK))

        def wait(seconds):
            pauses.append(seconds)
            if len(pauses) == 3:
                now = face.read_site().clock
                written.append(face.write("battery1", Block(1, 60.0, 0.0, None, now, now + timedelta(hours=1))))
            return Event().wait(seconds)

        done = bench.run(broker, MINUTES, wait)
        told = messages_of(broker, done.messages)
        status = face.read_site()
        face.close()
    assert len(done.records) == MINUTES == len(pauses)
    assert max(pauses) <= 60.0 / SPEED
    assert written == [None]
    discharge = done.records.get("battery1.discharge_kw")
    assert discharge[:2].max() == 0.0
    assert discharge[-1] == pytest.approx(60.0, rel=1e-3)
    ticks = [message.time for message in told if isinstance(message, Tick)]
    assert ticks == [park.START, park.START + timedelta(minutes=15)]
    times = [message.time for message in told if isinstance(message, Reading) and message.device == "meter"]
    assert times == [park.START + timedelta(minutes=n) for n in range(-15, MINUTES, 5)]
    assert isinstance(status, SiteStatus)
    assert status.clock >= park.START + timedelta(minutes=MINUTES)


def test_it_ends_when_it_is_asked_to(park):
    history = History("test", park.frame(3, park.START - timedelta(minutes=15)), 15)
    with (
        EmbeddedBroker() as broker,
        open_paced_bench(park.PARK, history, park.START, 2, SPEED, seed=1, port=0) as bench,
    ):
        done = bench.run(broker, MINUTES, lambda seconds: True)
    assert len(done.records) == 1
    assert done.most_behind_s == pytest.approx(0.0, abs=60.0 / SPEED)
