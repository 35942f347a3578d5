"""IEC 60870-5-104 face: setpoints as C_SE_NC_1, selected and executed, read back as measured values (C_RD_NA_1).

The station knows a value per device, neither sequence nor validity: both stay here (`HeldBlocks`), the value due is
sent when its time comes, the safe value when validity ends. The gateway sets the station's clock by the system's own
(C_CS_NA_1), so that the clock of the site is the clock given.

Seen with c104 2.2: a connection opens muted and is not always started by itself, so it is started here; a read is
confirmed before its value is in, so the value is waited for (`iec104_value`); what it says of a command is not always
true, so the station's own answers are read (`iec104_confirmations`). A command that has no answer is sent again: that
is harmless, it carries a value and not a step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import c104
from pydantic import BaseModel, ConfigDict, Field

from optimizer.devices.base import Device
from streams.gateways.decisions import near_enough
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
from streams.gateways.held_blocks import HeldBlocks
from streams.gateways.iec104_confirmations import Confirmations
from streams.gateways.iec104_value import MonitoredValue
from streams.gateways.profile_file import read_profile
from streams.gateways.registers import DeviceState, RejectReason

_STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
Address = Annotated[int, Field(ge=1, le=0xFFFFFF)]
Offset = Annotated[int, Field(ge=0, le=0xFFFF)]
TICK_MS = 50
"""Least that the library takes."""
WAIT_S = 0.005
LATE_S = 0.05
"""For an answer that came at the end of the library's own wait."""
ATTEMPTS = 3
"""To send a command, while no confirmation comes."""


class SiteObjects(BaseModel):
    """Addresses of the station's own objects; None where it has none."""

    model_config = _STRICT
    remote: Address | None = None
    net_import: Address | None = None
    heartbeat: Address | None = None


class DeviceObjects(BaseModel):
    """Offsets of a device's objects from its first address; None where it has none."""

    model_config = _STRICT
    setpoint: Offset
    in_force: Offset
    measured: Offset | None = None
    local: Offset | None = None
    least_now: Offset | None = None
    greatest_now: Offset | None = None


class Iec104Profile(BaseModel):
    """The objects of one make of station."""

    model_config = _STRICT
    name: str
    select_before_operate: bool = True
    """Whether a setpoint is selected before it is executed."""
    site: SiteObjects
    first_device: Address
    stride: Annotated[int, Field(ge=1)]
    device: DeviceObjects
    kinds: tuple[str, ...]
    """Kinds of device that have objects."""

    def places(self, devices: Iterable[Device]) -> dict[str, int]:
        """First address by device, in the order of the site file."""
        listed = [device.id for device in devices if getattr(device, "kind", "") in self.kinds]
        return {name: self.first_device + n * self.stride for n, name in enumerate(listed)}


def load_iec104_profile(name_or_path: str | Path) -> Iec104Profile:
    """Raises InputError: no such profile, or every field of it that is wrong."""
    return read_profile(Iec104Profile, name_or_path)


@dataclass(frozen=True)
class _DevicePoints:
    setpoint: c104.Point
    in_force: MonitoredValue
    measured: MonitoredValue | None
    local: MonitoredValue | None
    range_kw: tuple[MonitoredValue, MonitoredValue] | None


class Iec104Face:
    """One connection to one controlled station."""

    def __init__(
        self,
        host: str,
        port: int,
        common_address: int,
        profile: Iec104Profile,
        places: Mapping[str, int],
        clock: Callable[[], datetime],
        timeout_s: float = 0.5,
    ) -> None:
        """`places`: first object address by device; `clock` is the site's, UTC."""
        self._clock = clock
        self._timeout_s = timeout_s
        self._client = c104.Client(tick_rate_ms=TICK_MS, command_timeout_ms=round(timeout_s * 1000))
        connection = self._client.add_connection(ip=host, port=port, init=c104.Init.NONE)
        assert connection is not None
        self._connection = connection
        self._confirmations = Confirmations(connection)
        station = connection.add_station(common_address=common_address)
        assert station is not None
        self._common_address = common_address
        self._select = profile.select_before_operate
        self._remote = _monitored(station, profile.site.remote, c104.Type.M_SP_NA_1)
        self._net_import = _monitored(station, profile.site.net_import, c104.Type.M_ME_NC_1)
        beat = profile.site.heartbeat
        self._heartbeat = None if beat is None else _point(station, beat, c104.Type.C_SE_NB_1)
        self._points = {name: self._device(station, profile.device, first) for name, first in places.items()}
        self._held = dict.fromkeys(places, HeldBlocks())
        self._sent: dict[str, float] = {}
        self._is_synchronised = False
        self._client.start()

    def read_site(self) -> SiteStatus | Fault:
        fault = self._reach()
        if fault is not None:
            return fault
        if not self._is_synchronised:
            self._is_synchronised = self._connection.clock_sync(common_address=self._common_address)
        remote = self._fresh(self._remote)
        net = self._fresh(self._net_import)
        for value in (remote, net):
            if isinstance(value, Unreachable):
                return value
        return SiteStatus(
            clock=self._clock(),
            remote=remote is None or bool(remote),
            heartbeat=0,
            net_import_kw=None if net is None else _number(net),
        )

    def beat(self, count: int) -> Fault | None:
        if self._heartbeat is None:
            return self._reach()
        self._heartbeat.value = c104.Int16(count & 0x7FFF)
        return self._command(self._heartbeat)

    def write(self, device: str, block: Block) -> WriteFault | None:
        now = self._clock()
        held = self._held[device].at(now).with_block(block, now)
        if block.valid_from <= now:
            fault = self._send(device, block.target_kw)
            if fault is not None:
                return fault
        self._held[device] = held
        return None

    def adjust(self, device: str, power_kw: float | None) -> WriteFault | None:
        now = self._clock()
        held = replace(self._held[device].at(now), adjusted_kw=power_kw)
        due = held.due_kw(now)
        fault = None if due is None else self._send(device, due)
        if fault is None:
            self._held[device] = held
        return fault

    def follow(self, now: datetime) -> None:
        for device, held in self._held.items():
            due = held.due_kw(now)
            self._held[device] = held.at(now)
            if due is not None and self._sent.get(device) != due:
                self._send(device, due)

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        now = self._clock()
        return {device: self._read(device, now) for device in devices}

    def close(self) -> None:
        self._client.stop()

    def _device(self, station: c104.Station, offsets: DeviceObjects, first: int) -> _DevicePoints:
        def at(offset: int | None, kind: c104.Type) -> MonitoredValue | None:
            return _monitored(station, None if offset is None else first + offset, kind)

        measured = c104.Type.M_ME_NC_1
        setpoint = _point(station, first + offsets.setpoint, c104.Type.C_SE_NC_1)
        if self._select:
            setpoint.command_mode = c104.CommandMode.SELECT_AND_EXECUTE
        in_force = at(offsets.in_force, measured)
        assert in_force is not None
        least, greatest = at(offsets.least_now, measured), at(offsets.greatest_now, measured)
        local = at(offsets.local, c104.Type.M_SP_NA_1)
        span = None if least is None or greatest is None else (least, greatest)
        return _DevicePoints(setpoint, in_force, at(offsets.measured, measured), local, span)

    def _reach(self) -> Unreachable | None:
        """Starts the data transfer where it is not running; None when it runs."""
        end = time.monotonic() + self._timeout_s
        while self._connection.state != c104.ConnectionState.OPEN:
            self._is_synchronised = False
            if self._connection.state == c104.ConnectionState.OPEN_MUTED:
                self._connection.unmute()
            elif self._connection.state != c104.ConnectionState.CLOSED_AWAIT_OPEN:
                self._connection.connect()
            if time.monotonic() > end:
                return Unreachable(f"{self._connection.ip}:{self._connection.port} is {self._connection.state.name}")
            time.sleep(WAIT_S)
        return None

    def _send(self, device: str, power_kw: float) -> Fault | None:
        self._points[device].setpoint.value = float(power_kw)
        fault = self._command(self._points[device].setpoint)
        if fault is None:
            self._sent[device] = power_kw
        elif isinstance(fault, Unreachable):
            self._sent.pop(device, None)
        return fault

    def _command(self, point: c104.Point) -> Fault | None:
        for _ in range(ATTEMPTS):
            fault = self._reach()
            if fault is not None:
                return fault
            self._confirmations.forget(point.io_address)
            until = time.monotonic() + self._timeout_s + LATE_S
            point.transmit(cause=c104.Cot.ACTIVATION)
            selected = point.command_mode == c104.CommandMode.SELECT_AND_EXECUTE
            done = self._confirmations.answer(point.io_address, selected, until)
            if done:
                return None
            if done is not None:
                return Refused(f"object {point.io_address} was confirmed negatively")
        return Unreachable(f"no confirmation of object {point.io_address} in {ATTEMPTS} times {self._timeout_s:g} s")

    def _fresh(self, monitored: MonitoredValue | None) -> object:
        """The value of a monitored object, asked for now; None where the station has none."""
        return None if monitored is None else monitored.ask(self._connection, ATTEMPTS, self._timeout_s)

    def _read(self, device: str, now: datetime) -> Readback | ReadFault:
        fault = self._reach()
        if fault is not None:
            return fault
        points, held = self._points[device], self._held[device].at(now)
        asked = (points.in_force, points.measured, points.local, *(points.range_kw or (None, None)))
        values = [self._fresh(point) for point in asked]
        for value in values:
            if isinstance(value, Unreachable):
                return value
        in_force, measured, local, least, greatest = (None if value is None else _number(value) for value in values)
        assert in_force is not None
        sent = self._sent.get(device)
        if sent is not None and not near_enough(sent, in_force):
            return Mismatch("target", sent, in_force)
        newest, running = held.following or held.running, held.running
        return Readback(
            block=newest,
            applied_seq=running.seq if running is not None and sent is not None else 0,
            applied_target_kw=in_force if held.adjusted_kw is None or running is None else running.target_kw,
            measured_kw=in_force if measured is None else measured,
            state=DeviceState.LOCAL if local else held.state(now),
            reject_reason=RejectReason.NONE,
            range_kw=None if least is None or greatest is None else (least, greatest),
        )


def _point(station: c104.Station, address: int, kind: c104.Type) -> c104.Point:
    point = station.add_point(io_address=address, type=kind)
    assert point is not None
    return point


def _monitored(station: c104.Station, address: int | None, kind: c104.Type) -> MonitoredValue | None:
    return None if address is None else MonitoredValue(_point(station, address, kind))


def _number(value: object) -> float:
    """c104 gives floats for short values and booleans for single points."""
    assert isinstance(value, float | int | bool)
    return round(float(value), 6)
