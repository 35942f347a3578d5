"""The bench over an embedded broker and Modbus, with a stand-in for engine and gateway."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

import pytest
from confluent_kafka import Consumer

from hil.bench import open_bench
from site_configs.history import History
from streams.broker import EmbeddedBroker
from streams.gateways.face import Block
from streams.gateways.modbus import ModbusFace as GatewayFace
from streams.gateways.registers import load_profile, map_registers
from streams.messages import Reading, Tick, decode
from streams.topics import TELEMETRY

QUARTERS = 4


@pytest.fixture
def history(park):
    frame = park.frame(QUARTERS + 1, park.START - timedelta(minutes=15))
    return History("test", frame, 15, tuple(car for cars in park.sessions().values() for car in cars))


@contextmanager
def stand_in(broker, port, site, seen, answers) -> Iterator[None]:
    """Answers each tick for which `answers` says so: the battery is to discharge with 60 kW, the rest to rest."""
    over = Event()

    def work():
        places = map_registers(load_profile("site_controller"), site.devices)
        gateway = GatewayFace("127.0.0.1", port, places)
        consumer = Consumer({"bootstrap.servers": broker, "group.id": "stand-in", "auto.offset.reset": "earliest"})
        consumer.subscribe([TELEMETRY.name])
        while not over.is_set():
            record = consumer.poll(0.05)
            if record is None or record.error():
                continue
            message = decode(record.key(), record.value())
            seen.append(message)
            if isinstance(message, Tick) and answers(message.time):
                for name in places.devices:
                    target = 60.0 if name == "battery1" else 0.0
                    until = message.time + timedelta(minutes=20)
                    block = Block(int(message.time.timestamp()) // 60, target, 0.0, 800.0, message.time, until)
                    assert gateway.write(name, block) is None
                gateway.read(places.devices)
        gateway.close()
        consumer.close()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_quarters_run_through_kafka_and_modbus_and_an_engine_that_is_away_is_not_waited_for(park, history):
    seen, cycles = [], []
    away = park.START + timedelta(minutes=30)
    with (
        EmbeddedBroker() as broker,
        open_bench(park.PARK, history, park.START, QUARTERS, seed=3, port=0) as bench,
        stand_in(broker, bench.port, park.PARK, seen, lambda at: at < away),
    ):
        record = bench.run(broker, QUARTERS, wait_s=1.0, on_cycle=cycles.append)
    assert [cycle.answered for cycle in record.cycles] == [True, True, False, False]
    assert [cycle.told for cycle in record.cycles] == [len(record.plant.slots)] * 2 + [0, 0]
    assert cycles == list(record.cycles)
    assert record.records.start == park.START
    discharge = record.records.get("battery1.discharge_kw")
    assert discharge[5:35] == pytest.approx(60.0, rel=1e-6)
    assert discharge[39:].max() == 0  # the second interval's setpoint ends 20 minutes after 00:15, then the lag
    ticks = [message.time for message in seen if isinstance(message, Tick)]
    assert ticks == [park.START + timedelta(minutes=15 * q) for q in range(QUARTERS)]
    first = next(message for message in seen if isinstance(message, Reading))
    assert first.time == park.START - timedelta(minutes=15)
    assert record.messages >= len(seen)
