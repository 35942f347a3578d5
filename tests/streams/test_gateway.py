"""The gateway against a Modbus TCP server and a Kafka broker on loopback: each way a device can fail has its answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from optimizer.devices.battery import Battery
from optimizer.plan import Text
from site_configs.control import ChargingPlace, OcppControl
from site_configs.loader import load_site
from streams.broker import EmbeddedBroker
from streams.gateways.face import Block, Mismatch, Readback, Refused, SiteStatus, Unreachable
from streams.gateways.gateway import run_gateway
from streams.gateways.modbus import ModbusFace
from streams.gateways.registers import (
    DeviceState,
    OutOfRange,
    RegisterMap,
    RejectReason,
    load_profile,
    map_registers,
    site_registers,
)
from streams.gateways.site_setpoints import SiteSetpoints
from streams.messages import Acknowledgement, DeadLetter, SetpointMessage, decode
from streams.topics import ACKS, DEAD_LETTERS, SETPOINTS
from tests.streams.gateways.device_model import ControllerModel
from tests.streams.gateways.rigs import SimulatedStation

SITE = load_site("jiashan_park")
COMMAND = Path(sys.executable).with_name("quartet")
START = datetime(2026, 8, 26, 2, 0, tzinfo=UTC)
BATTERIES = (
    Battery(id="b1", capacity_kwh=1000, charge_limit_kw=500, discharge_limit_kw=500),
    Battery(id="b2", capacity_kwh=430, charge_limit_kw=200, discharge_limit_kw=200),
)


def setpoint(
    device: str, seq: int, target_kw: float = 100.0, start: datetime = START, site: str = "park"
) -> SetpointMessage:
    return SetpointMessage(
        site=site,
        cmd_id=f"{site}:{device}:{seq}",
        device=device,
        seq=seq,
        issued_at=start,
        valid_from=start,
        valid_until=start + timedelta(minutes=20),
        target_kw=target_kw,
        safe_value_kw=0.0,
        grid_limit_kw=900.0,
        answer="optimal",
        reason=Text(zh="放电", en="discharge"),
        plan_id="p",
        plan_hash="h",
        forecast_id="f",
    )


@dataclass
class SiteController:
    """A site controller on Modbus TCP that can be made to misbehave; applies what is written at once."""

    places: RegisterMap
    port: int = 0
    clock: datetime = START
    remote: bool = True
    slow_s: float = 0.0
    refuses: bool = False
    lies: bool = False
    lazy: bool = False
    """Takes setpoints, and never applies them."""
    beats: list[int] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    """Number of registers in each write."""
    memory: dict[int, int] = field(default_factory=dict)

    @contextmanager
    def serving(self) -> Iterator[SiteController]:
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(self._start())
        thread = threading.Thread(target=loop.run_until_complete, args=(server.serving,))
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(server.shutdown(), loop).result(5)
            thread.join(5)
            loop.close()

    async def _start(self) -> ModbusTcpServer:
        blocks = [self.places.site, *self.places.devices.values()]
        data = [SimData(b.address, count=b.size, values=0, datatype=DataType.REGISTERS) for b in blocks]
        device = SimDevice(self.places.unit_id, simdata=data, action=self._serve)
        server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await server.serve_forever(background=True)
        assert isinstance(server.transport, asyncio.Server)
        self.port = server.transport.sockets[0].getsockname()[1]
        return server

    async def _serve(
        self,
        code: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        words: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        await asyncio.sleep(self.slow_s)
        if words:
            return self._take(address, [int(word) for word in words])
        self._set_site()
        for register in range(address, address + count):
            registers[register - start] = self.memory.get(register, 0)
        return None

    def _set_site(self) -> None:
        self._put(self.places.site.encode_point("site_clock", self.clock.timestamp()))
        self._put(self.places.site.encode_point("remote", float(self.remote)))

    def _take(self, address: int, words: list[int]) -> ExcCodes | None:
        self.memory.update(enumerate(words, address))
        if address == self.places.site.address:
            self.beats += words
            return None
        if self.refuses:
            return ExcCodes.ILLEGAL_VALUE
        self.writes.append(len(words))
        block = next(block for block in self.places.devices.values() if block.address == address)
        if self.lies:
            self._put(block.encode_point("target", 1.0))
        if not self.lazy:
            told = block.decode([self.memory.get(address + offset, 0) for offset in range(block.size)])
            self._put(block.encode_point("applied_seq", told["seq"]))
            self._put(block.encode_point("applied_target", told["target"]))
            self._put(block.encode_point("state", DeviceState.ACTIVE))
        return None

    def _put(self, registers: object) -> None:
        assert not isinstance(registers, OutOfRange)
        self.memory.update(enumerate(registers.words, registers.address))  # type: ignore[attr-defined]

    def state(self, device: str, state: DeviceState, reason: RejectReason = RejectReason.NONE) -> None:
        self._put(self.places.devices[device].encode_point("state", state))
        self._put(self.places.devices[device].encode_point("reject_reason", reason))


@dataclass
class Bench:
    """A gateway with two batteries on a controller; seconds pass when told."""

    controller: SiteController
    face: ModbusFace
    acks: list[Acknowledgement] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.gateway = self.new_gateway()

    def new_gateway(self) -> SiteSetpoints:
        return SiteSetpoints("park", BATTERIES, self.face, self.acks.append, lambda: self.seconds)

    def states(self, device: str, seq: int) -> list[str]:
        return [ack.state for ack in self.acks if ack.device == device and ack.seq == seq]

    def wait(self, seconds: float = 1.0) -> None:
        self.seconds += seconds
        self.gateway.turn()


@pytest.fixture
def bench() -> Iterator[Bench]:
    controller = SiteController(map_registers(load_profile("site_controller"), BATTERIES))
    with controller.serving():
        face = ModbusFace("127.0.0.1", controller.port, controller.places, timeout_s=0.2)
        yield Bench(controller, face)
        face.close()


def test_a_setpoint_is_written_in_one_request_read_back_and_acknowledged(bench: Bench) -> None:
    bench.gateway.handle([setpoint("b1", 1, 120.5), setpoint("b2", 1, -30.0)])
    assert bench.controller.writes == [12, 12]
    assert bench.states("b1", 1) == ["accepted", "applied"]
    applied = next(ack for ack in bench.acks if ack.device == "b1" and ack.state == "applied")
    assert applied.readback_kw == 120.5
    assert applied.at == START
    read = bench.face.read(["b1"])["b1"]
    assert isinstance(read, Readback)
    assert read.block == Block(1, 120.5, 0.0, 900.0, START, START + timedelta(minutes=20))


def test_the_heartbeat_rises_once_a_second(bench: Bench) -> None:
    bench.wait(0.0)
    for _ in range(6):
        bench.wait(0.5)
    assert bench.controller.beats == [1, 2, 3] or bench.controller.beats == [2, 3, 4]


def test_validity_ends_on_the_clock_of_the_site(bench: Bench) -> None:
    bench.gateway.handle([setpoint("b1", 1)])
    bench.controller.clock = START + timedelta(minutes=20)
    bench.wait()
    assert bench.states("b1", 1) == ["accepted", "applied", "expired"]
    bench.gateway.handle([setpoint("b1", 2)])
    assert bench.acks[-1].state == "rejected"
    assert "expired" in bench.acks[-1].reason


def test_device_refusing(bench: Bench) -> None:
    bench.controller.refuses = True
    bench.gateway.handle([setpoint("b1", 1)])
    assert bench.states("b1", 1) == ["rejected"]
    assert bench.acks[-1].reason == "refused: illegal value (Modbus exception 3)"


def test_device_lying_in_its_read_back(bench: Bench) -> None:
    bench.controller.lies = True
    bench.gateway.handle([setpoint("b1", 1, 100.0)])
    assert bench.states("b1", 1) == ["accepted", "rejected"]
    assert bench.acks[-1].reason == "read-back differs: target was written as 100.0, the device holds 1.0"
    assert bench.face.read(["b1"])["b1"] == Mismatch("target", 100.0, 1.0)


def test_device_that_never_applies(bench: Bench) -> None:
    bench.controller.lazy = True
    bench.gateway.handle([setpoint("b1", 1)])
    assert bench.gateway.settling
    bench.wait(3.0)
    assert not bench.gateway.settling
    bench.controller.clock = START + timedelta(minutes=20)
    bench.wait()
    assert bench.states("b1", 1) == ["accepted", "expired"]


def test_device_that_applies_late(bench: Bench) -> None:
    bench.controller.lazy = True
    bench.gateway.handle([setpoint("b1", 1)])
    for name, value in (("applied_seq", 1.0), ("applied_target", 100.0)):
        bench.controller._put(bench.controller.places.devices["b1"].encode_point(name, value))
    bench.wait(0.1)
    assert bench.states("b1", 1) == ["accepted", "applied"]


def test_device_slow_is_tried_again_and_not_written_twice(bench: Bench) -> None:
    bench.wait()
    bench.controller.slow_s = 0.5
    bench.gateway.handle([setpoint("b1", 1)])
    assert bench.states("b1", 1) == ["rejected"]
    assert bench.acks[-1].reason.startswith("unreachable")
    bench.controller.slow_s = 0.0
    time.sleep(0.7)
    bench.wait()
    bench.wait()
    assert bench.states("b1", 1) == ["rejected", "accepted", "applied"]


def test_a_write_whose_answer_was_lost_is_found_in_the_device(bench: Bench) -> None:
    bench.wait()
    message = setpoint("b1", 1)
    places = bench.controller.places.devices["b1"]
    bench.controller.slow_s = 0.5
    bench.gateway.handle([message])
    bench.controller.slow_s = 0.0
    lost = places.encode(
        {"seq": 1, "target": 100.0, "safe_value": 0.0, "grid_limit": 900.0}
        | {"valid_from": START.timestamp(), "valid_until": message.valid_until.timestamp()}
    )
    assert not isinstance(lost, OutOfRange)
    bench.controller._take(lost.address, list(lost.words))
    writes = len(bench.controller.writes)
    time.sleep(0.7)
    bench.wait()
    bench.wait()
    assert bench.states("b1", 1) == ["rejected", "accepted", "applied"]
    assert len(bench.controller.writes) == writes


def test_device_gone_and_back() -> None:
    controller = SiteController(map_registers(load_profile("site_controller"), BATTERIES))
    with controller.serving():
        face = ModbusFace("127.0.0.1", controller.port, controller.places, timeout_s=0.2)
        bench = Bench(controller, face)
        bench.gateway.handle([setpoint("b1", 1)])
    for seq in (2, 3):
        bench.gateway.handle([setpoint("b1", seq)])
        assert bench.states("b1", seq) == ["rejected"]
        assert bench.acks[-1].reason.startswith("unreachable")
    bench.wait()
    with controller.serving():
        bench.wait()
        assert bench.states("b1", 2) == ["rejected"]
        assert bench.states("b1", 3) == ["rejected", "accepted", "applied"]
        assert bench.states("b1", 1) == ["accepted", "applied", "superseded"]
    face.close()


def test_a_setpoint_that_waits_too_long_is_not_written(bench: Bench) -> None:
    bench.wait()
    bench.controller.slow_s = 0.5
    bench.gateway.handle([setpoint("b1", 1)])
    bench.controller.slow_s = 0.0
    bench.controller.clock = START + timedelta(minutes=20)
    time.sleep(0.7)
    written = len(bench.controller.writes)
    for _ in range(3):
        bench.wait()
    assert bench.acks[-1].state == "rejected"
    assert "expired" in bench.acks[-1].reason
    assert len(bench.controller.writes) == written


def test_local_switch_of_the_site_and_of_a_device(bench: Bench) -> None:
    bench.controller.remote = False
    bench.gateway.handle([setpoint("b1", 1)])
    assert bench.acks[-1].reason == "local: a person on site has taken over"
    bench.controller.remote = True
    bench.controller.state("b1", DeviceState.LOCAL)
    bench.wait()
    bench.gateway.handle([setpoint("b1", 2), setpoint("b2", 2)])
    assert bench.states("b1", 2) == ["rejected"]
    assert bench.states("b2", 2) == ["accepted", "applied"]


def test_a_refusal_in_the_status_registers_is_named(bench: Bench) -> None:
    bench.controller.lazy = True
    bench.controller.state("b1", DeviceState.REJECTED, RejectReason.FAULT)
    bench.gateway.handle([setpoint("b1", 1)])
    assert bench.states("b1", 1) == ["accepted", "rejected"]
    assert bench.acks[-1].reason == "refused by the device: fault"


def test_a_new_gateway_takes_the_last_sequence_from_the_device(bench: Bench) -> None:
    bench.gateway.handle([setpoint("b1", 5)])
    bench.acks.clear()
    bench.gateway = bench.new_gateway()
    bench.gateway.handle([setpoint("b1", 4), setpoint("b1", 5), setpoint("b1", 6)])
    assert bench.states("b1", 4) == ["rejected"]
    assert bench.states("b1", 5) == ["accepted", "superseded"]
    assert bench.states("b1", 6) == ["accepted", "applied"]
    assert len(bench.controller.writes) == 2


def test_a_value_that_does_not_fit_the_register_is_refused(bench: Bench) -> None:
    bench.gateway.handle([setpoint("b1", 1).model_copy(update={"grid_limit_kw": -5.0})])
    assert bench.acks[-1].state == "rejected"
    assert bench.acks[-1].reason.startswith("grid_limit: -5.0 does not fit its register")


def test_faults_are_values() -> None:
    places = map_registers(load_profile("site_controller"), BATTERIES)
    face = ModbusFace("127.0.0.1", 1, places, timeout_s=0.2)
    assert isinstance(face.read_site(), Unreachable)
    assert isinstance(face.beat(1), Unreachable)
    assert isinstance(face.read(["b1"])["b1"], Unreachable)


def test_a_register_that_is_not_there_is_refused(bench: Bench) -> None:
    others = map_registers(load_profile("site_controller").model_copy(update={"first_device": 900}), BATTERIES)
    face = ModbusFace("127.0.0.1", bench.controller.port, others, timeout_s=0.2)
    assert isinstance(face.read_site(), SiteStatus)
    assert face.read(["b1"])["b1"] == Refused("illegal address (Modbus exception 2)")
    face.close()


def test_a_controller_without_a_place_for_adjustments_refuses_them(bench: Bench) -> None:
    profile = load_profile("site_controller")
    block = profile.blocks["setpoint"]
    older = {name: point for name, point in block.points.items() if point.access != "adjust"}
    blocks = {"setpoint": block.model_copy(update={"points": older})}
    places = map_registers(profile.model_copy(update={"blocks": blocks}), BATTERIES)
    face = ModbusFace("127.0.0.1", bench.controller.port, places, timeout_s=0.2)
    assert face.adjust("b1", 5.0) == Refused("the register map has no point `adjusted`")
    face.close()


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with EmbeddedBroker() as address:
        yield address


@dataclass
class Reader:
    """Reads a topic from its beginning."""

    consumer: Consumer
    got: list[tuple[bytes, bytes]] = field(default_factory=list)

    def until(self, enough: Callable[[list[tuple[bytes, bytes]]], bool], timeout_s: float = 20.0) -> None:
        end = time.monotonic() + timeout_s
        while not enough(self.got):
            assert time.monotonic() < end, f"only {len(self.got)} messages came"
            message = self.consumer.poll(0.05)
            if message is not None and message.error() is None:
                self.got.append((message.key(), message.value()))


@contextmanager
def reading(broker: str, topic: str) -> Iterator[Reader]:
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": f"test {time.time_ns()}", "auto.offset.reset": "earliest"}
        | {"fetch.wait.max.ms": 5, "log_level": 0}
    )
    consumer.subscribe([topic])
    yield Reader(consumer)
    consumer.close()


def send(broker: str, *messages: tuple[bytes, bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    for key, value in messages:
        producer.produce(SETPOINTS.name, key=key, value=value)
    assert producer.flush(10) == 0


@contextmanager
def gateway_running(broker: str, port: int) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run_gateway, args=(SITE, broker, stop), kwargs={"port": port})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def park() -> Iterator[SiteController]:
    with SiteController(site_registers(SITE)).serving() as controller:
        yield controller


def acks_of(got: list[tuple[bytes, bytes]], seq: int) -> list[Acknowledgement]:
    acks = [decode(key, value) for key, value in got]
    return [ack for ack in acks if isinstance(ack, Acknowledgement) and ack.seq == seq]


def test_from_kafka_to_modbus_and_back_through_a_restart(broker: str, park: SiteController) -> None:
    devices = list(park.places.devices)
    own = [setpoint(device, 1, 5.0, site=SITE.id) for device in devices]
    bad = b'{"version": "1.0", "type": "setpoint", "target_kw": NaN}'
    with reading(broker, ACKS.name) as acks, reading(broker, DEAD_LETTERS.name) as letters:
        send(broker, (SITE.id.encode(), bad), (b"elsewhere", setpoint("b1", 1, site="elsewhere").encode()))
        send(broker, *((message.key, message.encode()) for message in own))
        with gateway_running(broker, park.port):
            acks.until(lambda got: len(acks_of(got, 1)) == 2 * len(devices))
            letters.until(lambda got: len(got) == 1)
        states = {device: [a.state for a in acks_of(acks.got, 1) if a.device == device] for device in devices}
        assert states == {device: ["accepted", "applied"] for device in devices}
        assert DeadLetter.model_validate_json(letters.got[0][1]).reason == "not finite: NaN"
        later = setpoint(devices[0], 2, 4.0, site=SITE.id)
        send(broker, (later.key, later.encode()))
        with gateway_running(broker, park.port):
            acks.until(lambda got: len(acks_of(got, 2)) == 2)
        assert len(acks_of(acks.got, 1)) == 2 * len(devices)
        assert park.writes == [12] * (len(devices) + 1)


def test_a_setpoint_from_kafka_reaches_a_charging_station(broker: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    control = OcppControl(port=port, places={"ev01": ChargingPlace(station="CS-ev01")})
    site = SITE.model_copy(update={"control": control, "id": "charging_park"})
    now = datetime.now(UTC).replace(microsecond=0)
    message = setpoint("ev01", 1, -7.4, start=now, site=site.id)
    stop = threading.Event()
    thread = threading.Thread(target=run_gateway, args=(site, broker, stop))
    thread.start()
    try:
        with reading(broker, ACKS.name) as acks, station_connected(port, "CS-ev01") as station:
            send(broker, (message.key, message.encode()))
            acks.until(lambda got: [a.state for a in acks_of(got, 1) if a.site == site.id] == ["accepted", "applied"])
            assert station.followed_w() == 7400.0
    finally:
        stop.set()
        thread.join(10)


@contextmanager
def station_connected(port: int, name: str) -> Iterator[SimulatedStation]:
    """A simulated charging station that connects as soon as the gateway listens."""
    model, loop, ready = ControllerModel(clock=datetime.now(UTC)), asyncio.new_event_loop(), threading.Event()
    stations: list[SimulatedStation] = []

    async def run() -> None:
        while True:
            with contextlib.suppress(OSError):
                async with connect(f"ws://127.0.0.1:{port}/{name}", subprotocols=["ocpp2.1"]) as connection:  # type: ignore[list-item]
                    stations.append(SimulatedStation(name, connection, model))
                    ready.set()
                    with contextlib.suppress(ConnectionClosed):
                        await stations[0].start()
                    return
            await asyncio.sleep(0.05)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    running = asyncio.run_coroutine_threadsafe(run(), loop)
    assert ready.wait(10)
    try:
        yield stations[0]
    finally:
        asyncio.run_coroutine_threadsafe(stations[0]._connection.close(), loop).result(5)
        running.result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def test_the_process_ends_at_once_on_sigterm(broker: str, park: SiteController) -> None:
    command = [COMMAND, "gateway", SITE.id, "--broker", broker, "--port", str(park.port)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "error"})
    try:
        end = time.monotonic() + 120
        while not park.beats:
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
