"""MQTT face: setpoints and states as JSON on the topics of one site, each setpoint answered by the controller.

A broker that takes a message says nothing about the controller behind it, so a write counts when the controller has
answered it in the device's state, and the controller counts as there while its own status is fresh.

    <site>/status            controller: clock, remote, net_import_kw, heartbeat (every second)
    <site>/heartbeat         gateway: its counter
    <site>/<device>/setpoint gateway: the block
    <site>/<device>/adjust   gateway: another power for the block in force, null for none
    <site>/<device>/state    controller: answer to the last block, what it holds and does (on change, every second)
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Annotated

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.gateways.face import (
    Block,
    Fault,
    Mismatch,
    Readback,
    ReadFault,
    Refused,
    SiteStatus,
    Unreachable,
    WriteFault,
)
from streams.gateways.registers import DeviceState, RejectReason
from streams.messages import Time

QOS = 1
"""Delivered at least once: a block that comes twice has the same sequence and changes nothing."""
FRESH_S = 5.0
"""A controller whose status is older counts as gone."""

log = logging.getLogger(__name__)


class Payload(BaseModel):
    """What is common to all messages of the site."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True)


class StatusPayload(Payload):
    """`<site>/status`."""

    clock: Time
    remote: bool = True
    net_import_kw: float | None = None
    heartbeat: int = 0


class BlockPayload(Payload):
    """`<site>/<device>/setpoint`; powers in kW, > 0 feeds the bus."""

    seq: Annotated[int, Field(ge=0)]
    target_kw: float
    safe_value_kw: float
    grid_limit_kw: float | None = None
    valid_from: Time
    valid_until: Time

    @classmethod
    def of(cls, block: Block) -> BlockPayload:
        return cls(**vars(block))

    def block(self) -> Block:
        return Block(**self.model_dump())


class AdjustPayload(Payload):
    """`<site>/<device>/adjust`; it counts for the block of this sequence number only."""

    seq: int
    power_kw: float | None


class HeartbeatPayload(Payload):
    """`<site>/heartbeat`."""

    count: int


class StatePayload(Payload):
    """`<site>/<device>/state`."""

    answered_seq: int | None = None
    """Sequence number of the last block that came, taken or not."""
    reject_reason: str = "none"
    """Why that block was refused: none, old_seq, expired, out_of_range, local, fault."""
    held: BlockPayload | None = None
    """The last block that was taken."""
    applied_seq: int = 0
    applied_target_kw: float = 0.0
    measured_kw: float = 0.0
    state: str = "idle"
    """idle, active, expired, rejected, local."""
    range_kw: tuple[float, float] | None = None


class MqttFace:
    """One site on one broker; a thread of the client's own takes in what comes."""

    def __init__(
        self,
        host: str,
        port: int,
        topic: str,
        devices: Iterable[str],
        *,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        timeout_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic, self._devices, self._timeout_s, self._monotonic = topic, tuple(devices), timeout_s, monotonic
        self._changed = threading.Condition()
        self._status: tuple[float, StatusPayload] | None = None
        self._states: dict[str, StatePayload] = {}
        self._written: dict[str, Block] = {}
        self._where = f"{host}:{port}"
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"quartet-gateway-{topic}".replace("/", "-"))
        self._client.on_connect, self._client.on_message = self._connected, self._take
        if username is not None:
            self._client.username_pw_set(username, password)
        if tls:
            self._client.tls_set()
        self._client.reconnect_delay_set(1, 5)
        self._client.connect_async(host, port, keepalive=10)
        self._client.loop_start()

    def read_site(self) -> SiteStatus | Fault:
        with self._changed:
            self._changed.wait_for(lambda: self._here() is not None, self._timeout_s)
            status = self._here()
        if status is None:
            return self._gone()
        return SiteStatus(status.clock, status.remote, status.heartbeat, status.net_import_kw)

    def beat(self, count: int) -> Fault | None:
        return self._publish("heartbeat", HeartbeatPayload(count=count))

    def write(self, device: str, block: Block) -> WriteFault | None:
        with self._changed:
            if self._here() is None:
                return self._gone()
            before = self._states.get(device)
            fault = self._publish(f"{device}/setpoint", BlockPayload.of(block))
            if fault is not None:
                return fault
            self._changed.wait_for(lambda: self._answer(device, block, before) is not None, self._timeout_s)
            answer = self._answer(device, block, before)
        if answer is None:
            return Unreachable(f"{device} gave no answer on {self._topic} in {self._timeout_s:g} s")
        if answer.reject_reason != "none":
            return Refused(answer.reject_reason.replace("_", " "))
        self._written[device] = block
        return None

    def adjust(self, device: str, power_kw: float | None) -> WriteFault | None:
        with self._changed:
            state = self._states.get(device)
        if state is None:
            return self._gone()
        return self._publish(f"{device}/adjust", AdjustPayload(seq=state.applied_seq, power_kw=power_kw))

    def follow(self, now: datetime) -> None:
        """The controller keeps the times of every block by itself."""

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        with self._changed:
            here, states = self._here() is not None, dict(self._states)
        return {device: self._readback(device, states.get(device) if here else None) for device in devices}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(
        self, client: paho.Client, userdata: object, flags: object, code: object, properties: object
    ) -> None:
        client.subscribe([(f"{self._topic}/status", QOS), *((f"{self._topic}/{d}/state", QOS) for d in self._devices)])

    def _take(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        """Keeps what the controller says; what cannot be read is logged and left."""
        name = message.topic.removeprefix(f"{self._topic}/")
        try:
            with self._changed:
                if name == "status" and not message.retain:
                    self._status = self._monotonic(), StatusPayload.model_validate_json(message.payload)
                elif name.endswith("/state"):
                    self._states[name.removesuffix("/state")] = StatePayload.model_validate_json(message.payload)
                self._changed.notify_all()
        except ValidationError as error:
            log.warning("%s: cannot be read: %s", message.topic, error.errors()[0]["msg"])

    def _here(self) -> StatusPayload | None:
        """The controller's status while it is fresh."""
        if self._status is None or self._monotonic() - self._status[0] > FRESH_S:
            return None
        return self._status[1]

    def _gone(self) -> Unreachable:
        if not self._client.is_connected():
            return Unreachable(f"no MQTT broker at {self._where}")
        return Unreachable(f"no fresh status on {self._topic}/status at {self._where}")

    def _publish(self, name: str, payload: Payload) -> Fault | None:
        if not self._client.is_connected():
            return self._gone()
        sent = self._client.publish(f"{self._topic}/{name}", payload.model_dump_json(), qos=QOS)
        return None if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else self._gone()

    def _answer(self, device: str, block: Block, before: StatePayload | None) -> StatePayload | None:
        """The state that answers a block: a new one that names its sequence number."""
        state = self._states.get(device)
        return state if state is not before and state is not None and state.answered_seq == block.seq else None

    def _readback(self, device: str, state: StatePayload | None) -> Readback | ReadFault:
        if state is None:
            return self._gone()
        held, written = state.held, self._written.get(device)
        if written is not None and (held is None or held.block() != written):
            return _mismatch(written, held)
        return Readback(
            block=None if held is None else held.block(),
            applied_seq=state.applied_seq,
            applied_target_kw=state.applied_target_kw,
            measured_kw=state.measured_kw,
            state=DeviceState.__members__.get(state.state.upper(), DeviceState.IDLE),
            reject_reason=RejectReason.__members__.get(state.reject_reason.upper(), RejectReason.FAULT),
            range_kw=state.range_kw,
        )


def _mismatch(written: Block, held: BlockPayload | None) -> Mismatch:
    if held is None:
        return Mismatch("seq", written.seq, None)
    read = held.block()
    if read.target_kw != written.target_kw:
        return Mismatch("target", written.target_kw, read.target_kw)
    return Mismatch("seq", written.seq, read.seq)
