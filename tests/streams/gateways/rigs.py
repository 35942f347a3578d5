"""Each protocol's face with a simulated controller on its other side, all to be used alike."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as paho
from ocpp.routing import on
from ocpp.v21 import ChargePoint, call, call_result
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from websockets.asyncio.client import connect

from optimizer.devices.v2g_charger import V2gCharger
from site_configs.control import ChargingPlace
from streams.gateways.face import Face
from streams.gateways.modbus import ModbusFace
from streams.gateways.mqtt import (
    AdjustPayload,
    BlockPayload,
    HeartbeatPayload,
    MqttFace,
    StatePayload,
    StatusPayload,
)
from streams.gateways.ocpp_stations import OcppFace
from streams.gateways.registers import OutOfRange, RejectReason, load_profile, map_registers
from tests.streams.gateways.device_model import DEVICES, ControllerModel
from tests.tools import tool

CHARGERS = tuple(V2gCharger(id=name, charge_limit_kw=500, discharge_limit_kw=500) for name in DEVICES)


class Rig(Protocol):
    """One protocol: the gateway's face, and the controller that it speaks to."""

    face: Face
    model: ControllerModel
    beats_are_seen: bool
    """Whether the protocol carries the gateway's heartbeat."""
    refusal: str
    """What the reason of a refused setpoint begins with."""

    def gone(self) -> AbstractContextManager[None]:
        """The controller is away while the block runs."""
        ...


class ModbusRig:
    beats_are_seen = True
    refusal = "refused: illegal value"

    def __init__(self) -> None:
        self.model = ControllerModel()
        self._map = map_registers(load_profile("site_controller"), CHARGERS)
        self._memory: dict[int, int] = {}
        self.port = 0
        self._serving = contextlib.ExitStack()
        self._serving.enter_context(self._served())
        self.face: Face = ModbusFace("127.0.0.1", self.port, self._map, timeout_s=0.3)

    def close(self) -> None:
        self.face.close()
        self._serving.close()

    @contextmanager
    def gone(self) -> Iterator[None]:
        self._serving.close()
        yield
        self._serving.enter_context(self._served())

    @contextmanager
    def _served(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(self._start())
        thread = threading.Thread(target=loop.run_until_complete, args=(server.serving,))
        thread.start()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(server.shutdown(), loop).result(5)
            thread.join(5)
            loop.close()

    async def _start(self) -> ModbusTcpServer:
        blocks = [self._map.site, *self._map.devices.values()]
        data = [SimData(b.address, count=b.size, values=0, datatype=DataType.REGISTERS) for b in blocks]
        device = SimDevice(self._map.unit_id, simdata=data, action=self._serve)
        server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await server.serve_forever(background=True)
        assert isinstance(server.transport, asyncio.Server)
        self.port = server.transport.sockets[0].getsockname()[1]
        return server

    async def _serve(self, code: int, start: int, address: int, count: int, registers: list[int], words: Any) -> Any:
        if words:
            return self._take(address, [int(word) for word in words])
        self._show()
        for register in range(address, address + count):
            registers[register - start] = self._memory.get(register, 0)
        return None

    def _take(self, address: int, words: list[int]) -> ExcCodes | None:
        if address == self._map.site.address:
            self.model.beats += words
            return None
        for name, places in self._map.devices.items():
            if address == places.address:
                values = places.decode([*words, *[0] * (places.size - len(words))])
                if not self.model.take(name, _block(values)):
                    return ExcCodes.ILLEGAL_VALUE
                self._memory.update(enumerate(words, address))
            elif address == places.address + places.layout.points["adjusted"].offset:
                self.model.adjust(name, places.decode_point("adjusted", words))
        return None

    def _show(self) -> None:
        model = self.model
        self._put(self._map.site.encode_point("site_clock", model.clock.timestamp()))
        self._put(self._map.site.encode_point("remote", float(model.remote)))
        self._put(self._map.site.encode_point("net_import", model.net_import_kw))
        for name, places in self._map.devices.items():
            values = {
                "applied_seq": model.applied_seq(name),
                "applied_target": model.shown_target_kw(name),
                "measured_kw": model.followed_kw(name),
                "state": model.state(name),
                "reject_reason": model.reject.get(name, RejectReason.NONE),
                "least_now": None,
                "greatest_now": None,
            }
            if model.lies:
                values["target"] = 1.0
            for point, value in values.items():
                self._put(places.encode_point(point, value))

    def _put(self, registers: Any) -> None:
        assert not isinstance(registers, OutOfRange)
        self._memory.update(enumerate(registers.words, registers.address))


def _block(values: Any) -> Any:
    payload = {
        "seq": int(values["seq"]),
        "target_kw": values["target"],
        "safe_value_kw": values["safe_value"],
        "grid_limit_kw": values["grid_limit"],
        "valid_from": datetime.fromtimestamp(values["valid_from"], UTC),
        "valid_until": datetime.fromtimestamp(values["valid_until"], UTC),
    }
    return BlockPayload.model_validate(payload).block()


class MqttRig:
    """Against a real broker: mosquitto."""

    beats_are_seen = True
    refusal = "refused: out of range"

    def __init__(self, broker: int) -> None:
        self.model = ControllerModel()
        self._topic = f"site/{time.time_ns()}"
        self._there = True
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", broker)
        self._client.subscribe([(f"{self._topic}/{name}", 1) for name in ("heartbeat", "+/setpoint", "+/adjust")])
        self._client.loop_start()
        assert self._subscribed.wait(5)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell)
        self._thread.start()
        self.seconds = 0.0
        self.face: Face = MqttFace(
            "127.0.0.1", broker, self._topic, DEVICES, timeout_s=0.5, monotonic=lambda: time.monotonic() + self.seconds
        )
        self._await(lambda: self.face.read_site())

    def close(self) -> None:
        self.face.close()
        self._ended.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    @contextmanager
    def gone(self) -> Iterator[None]:
        self._there = False
        time.sleep(0.05)
        self.seconds += 60.0
        yield
        self._there = True
        self._await(lambda: self.face.read_site())

    def settle(self) -> None:
        """Waits until what the controller tells has come through the broker."""
        if self._there:
            end = time.monotonic() + 5
            while getattr(self.face.read_site(), "clock", None) != self.model.clock:
                assert time.monotonic() < end
                time.sleep(0.002)

    def _await(self, ready: Callable[[], object]) -> None:
        end = time.monotonic() + 5
        while type(ready()).__name__ == "Unreachable":
            assert time.monotonic() < end
            time.sleep(0.01)

    def _tell(self) -> None:
        """As a controller tells its state again and again; here quicker than every second."""
        while not self._ended.wait(0.01):
            if self._there:
                self._show()

    def _show(self) -> None:
        model = self.model
        status = StatusPayload(clock=model.clock, remote=model.remote, net_import_kw=model.net_import_kw)
        for name in DEVICES:
            block = model.block(name)
            held = None if block is None else BlockPayload.of(block)
            if held is not None and model.lies:
                held = held.model_copy(update={"target_kw": 1.0})
            state = StatePayload(
                answered_seq=model.answered.get(name),
                reject_reason=model.reject.get(name, RejectReason.NONE).name.lower(),
                held=held,
                applied_seq=model.applied_seq(name),
                applied_target_kw=model.shown_target_kw(name),
                measured_kw=model.followed_kw(name),
                state=model.state(name).name.lower(),
            )
            self._client.publish(f"{self._topic}/{name}/state", state.model_dump_json(), qos=1)
        self._client.publish(f"{self._topic}/status", status.model_dump_json(), qos=1)

    def _take(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        if not self._there:
            return
        name = message.topic.removeprefix(f"{self._topic}/")
        device = name.split("/")[0]
        if name == "heartbeat":
            self.model.beats.append(HeartbeatPayload.model_validate_json(message.payload).count)
        elif name.endswith("setpoint"):
            self.model.take(device, BlockPayload.model_validate_json(message.payload).block())
        else:
            self.model.adjust(device, AdjustPayload.model_validate_json(message.payload).power_kw)


class SimulatedStation(ChargePoint):
    """A charging station by OCPP 2.1 with one place: keeps profiles by id, follows the highest that is valid."""

    def __init__(self, name: str, connection: Any, model: ControllerModel) -> None:
        super().__init__(name, connection)
        self.model = model
        self.profiles: dict[int, dict[str, Any]] = {}

    @on("SetChargingProfile")
    def on_set(self, evse_id: int, charging_profile: dict[str, Any], **_: Any) -> Any:
        if self.model.refuses:
            return call_result.SetChargingProfile(status="Rejected", status_info={"reasonCode": "OutOfRange"})
        self.model.taken += charging_profile["stack_level"] == 1
        self.profiles[charging_profile["id"]] = charging_profile
        return call_result.SetChargingProfile(status="Accepted")

    @on("ClearChargingProfile")
    def on_clear(self, charging_profile_id: int, **_: Any) -> Any:
        known = self.profiles.pop(charging_profile_id, None)
        return call_result.ClearChargingProfile(status="Accepted" if known else "Unknown")

    @on("GetCompositeSchedule")
    def on_composite(self, duration: int, evse_id: int, **_: Any) -> Any:
        period = {"startPeriod": 0, "setpoint": self.followed_w(), "operationMode": "CentralSetpoint"}
        schedule = {
            "evseId": evse_id,
            "duration": duration,
            "scheduleStart": self.model.clock.isoformat(),
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [period],
        }
        return call_result.GetCompositeSchedule(status="Accepted", schedule=schedule)

    def followed_w(self) -> float:
        """> 0 charges, as OCPP has it."""
        if self.model.lies:
            return -1000.0
        valid = [profile for profile in self.profiles.values() if self._is_valid(profile)]
        if not valid:
            return 0.0
        highest = max(valid, key=lambda profile: profile["stack_level"])
        schedule = highest["charging_schedule"][0]
        passed = (self.model.clock - datetime.fromisoformat(schedule["start_schedule"])).total_seconds()
        begun = [period for period in schedule["charging_schedule_period"] if period["start_period"] <= passed]
        return float(begun[-1]["setpoint"])

    def _is_valid(self, profile: dict[str, Any]) -> bool:
        begin, end = (profile.get(name) for name in ("valid_from", "valid_to"))
        clock = self.model.clock
        return (begin is None or datetime.fromisoformat(begin) <= clock) and (
            end is None or clock < datetime.fromisoformat(end)
        )


class OcppRig:
    """Simulated stations that connect by a real websocket, one for each charger."""

    beats_are_seen = False
    refusal = "refused: charging profile rejected: OutOfRange"

    def __init__(self) -> None:
        self.model = ControllerModel()
        places = {name: ChargingPlace(station=f"CS-{name}") for name in DEVICES}
        self.ocpp = OcppFace("127.0.0.1", 0, places, lambda: self.model.clock, timeout_s=1.0)
        self.face: Face = self.ocpp
        self.stations: dict[str, SimulatedStation] = {}
        self.times: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._running: list[Any] = []
        self._connect()

    def close(self) -> None:
        self._disconnect()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.face.close()

    @contextmanager
    def gone(self) -> Iterator[None]:
        self._disconnect()
        yield
        self._connect()

    def measure(self, device: str, measurand: str, watts: float) -> None:
        value = {"value": watts, "measurand": measurand, "unitOfMeasure": {"unit": "W"}}
        meter = [{"timestamp": self.model.clock.isoformat(), "sampledValue": [value]}]
        asyncio.run_coroutine_threadsafe(
            self.stations[device].call(call.MeterValues(evse_id=1, meter_value=meter)), self._loop
        ).result(5)

    def _connect(self) -> None:
        ready = {name: threading.Event() for name in DEVICES}
        self._running = [asyncio.run_coroutine_threadsafe(self._run(name, ready[name]), self._loop) for name in DEVICES]
        assert all(event.wait(5) for event in ready.values())

    def disconnect(self, name: str) -> None:
        """One station leaves; returns when the gateway has seen it."""
        asyncio.run_coroutine_threadsafe(self.stations[name]._connection.close(), self._loop).result(5)
        end = time.monotonic() + 5
        while f"CS-{name}" in self.ocpp._stations:
            assert time.monotonic() < end
            time.sleep(0.005)

    def _disconnect(self) -> None:
        for name in self.stations:
            self.disconnect(name)
        for running in self._running:
            running.result(5)

    async def _run(self, name: str, ready: threading.Event) -> None:
        address = f"ws://127.0.0.1:{self.ocpp.port}/ocpp/CS-{name}"
        async with connect(address, subprotocols=["ocpp2.1"]) as connection:
            before = self.stations.get(name)
            station = self.stations[name] = SimulatedStation(f"CS-{name}", connection, self.model)
            station.profiles = before.profiles if before else {}
            listening = asyncio.ensure_future(station.start())
            boot = call.BootNotification(charging_station={"model": "sim", "vendor_name": "test"}, reason="PowerUp")
            answer = await station.call(boot)
            assert answer.status == "Accepted"
            self.times.append((await station.call(call.Heartbeat())).current_time)
            ready.set()
            with contextlib.suppress(Exception):
                await listening

    def followed_kw(self, device: str) -> float:
        return -self.stations[device].followed_w() / 1000.0 + 0.0


def followed_kw(rig: Any, device: str) -> float:
    """What the device really does, whatever it says."""
    own = getattr(rig, "followed_kw", None)
    return float(own(device) if own else rig.model.followed_kw(device))


@contextmanager
def mosquitto(folder: Path, port: int) -> Iterator[int]:
    """A real MQTT broker on loopback."""
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = subprocess.Popen(
        [tool("mosquitto"), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)
