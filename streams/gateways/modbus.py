"""Modbus TCP face: a device's setpoint in one FC 16 request, read-back with FC 03.

A plain blocking client: a controller answers one request after the other, the Kafka client beside it blocks as well,
and one thread without an event loop adds the least delay. After a time-out the connection is dropped, because a late
answer must not be taken for the next one; the next request connects again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

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
from streams.gateways.registers import (
    DeviceState,
    MappedBlock,
    OutOfRange,
    RegisterMap,
    Registers,
    RejectReason,
    Value,
)

READ_LIMIT = 125
"""Registers that one FC 03 request may ask for."""
EXCEPTIONS = {1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", 6: "device busy"}


class ModbusFace:
    """One connection to one site controller."""

    def __init__(self, host: str, port: int, registers: RegisterMap, timeout_s: float = 0.5) -> None:
        self._client = ModbusTcpClient(host, port=port, timeout=timeout_s, retries=0)
        self._map = registers
        self._written: dict[str, Registers] = {}

    def read_site(self) -> SiteStatus | Fault:
        words = self._read(self._map.site.address, self._map.site.size)
        if not isinstance(words, list):
            return words
        values = self._map.site.decode(words)
        return SiteStatus(
            clock=_time(values["site_clock"]),
            remote=bool(values["remote"]),
            heartbeat=_whole(values["device_heartbeat"]),
            net_import_kw=values.get("net_import"),
        )

    def beat(self, count: int) -> Fault | None:
        return self._write(_must_fit(self._map.site.encode({"heartbeat": count & 0xFFFF})))

    def write(self, device: str, block: Block) -> WriteFault | None:
        registers = self._map.devices[device].encode(_values(block))
        if isinstance(registers, OutOfRange):
            return registers
        fault = self._write(registers)
        if fault is None:
            self._written[device] = registers
        elif isinstance(fault, Unreachable):
            self._written.pop(device, None)
        return fault

    def adjust(self, device: str, power_kw: float | None) -> WriteFault | None:
        block = self._map.devices[device]
        if "adjusted" not in block.layout.points:
            return Refused("the register map has no point `adjusted`")
        registers = block.encode_point("adjusted", power_kw)
        return registers if isinstance(registers, OutOfRange) else self._write(registers)

    def follow(self, now: datetime) -> None:
        """The controller keeps the times of every block by itself."""

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        answers: dict[str, Readback | ReadFault] = {}
        for run in _neighbours({device: self._map.devices[device] for device in devices}):
            first = self._map.devices[run[0]]
            words = self._read(first.address, sum(self._map.devices[device].size for device in run))
            for device in run:
                answers[device] = self._readback(device, words, first.address)
        return answers

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    def _readback(self, device: str, words: list[int] | Fault, start: int) -> Readback | ReadFault:
        if not isinstance(words, list):
            return words
        block = self._map.devices[device]
        own = words[block.address - start :][: block.size]
        return self._mismatch(device, own) or _readback(block.decode(own))

    def _mismatch(self, device: str, words: list[int]) -> Mismatch | None:
        written = self._written.get(device)
        if written is None:
            return None
        block = self._map.devices[device]
        at = written.address - block.address
        held = [*words[:at], *written.words, *words[at + len(written.words) :]]
        asked, read = block.decode(held), block.decode(words)
        differing = [Mismatch(name, asked[name], read[name]) for name in asked if asked[name] != read[name]]
        return differing[0] if differing else None

    def _read(self, address: int, count: int) -> list[int] | Fault:
        try:
            answer = self._client.read_holding_registers(address, count=count, device_id=self._map.unit_id)
        except (ModbusException, OSError) as error:
            return self._lost(error)
        if answer.isError():
            return _refused(answer)
        if len(answer.registers) != count:
            return Refused(f"{len(answer.registers)} registers instead of {count} from {address}")
        return list(answer.registers)

    def _write(self, registers: Registers) -> Fault | None:
        try:
            answer = self._client.write_registers(registers.address, list(registers.words), device_id=self._map.unit_id)
        except (ModbusException, OSError) as error:
            return self._lost(error)
        return _refused(answer) if answer.isError() else None

    def _lost(self, error: Exception) -> Unreachable:
        self._client.close()  # type: ignore[no-untyped-call]
        return Unreachable(str(error).removeprefix("Modbus Error: "))


def _neighbours(blocks: Mapping[str, MappedBlock]) -> list[list[str]]:
    """Devices whose blocks lie side by side, in groups that one request can read."""
    groups: list[list[str]] = []
    start = end = -1
    for device, block in sorted(blocks.items(), key=lambda item: item[1].address):
        if block.address == end and end + block.size - start <= READ_LIMIT:
            groups[-1].append(device)
        else:
            groups.append([device])
            start = block.address
        end = block.address + block.size
    return groups


def _values(block: Block) -> dict[str, Value]:
    return {
        "seq": block.seq,
        "target": block.target_kw,
        "safe_value": block.safe_value_kw,
        "grid_limit": block.grid_limit_kw,
        "valid_from": block.valid_from.timestamp(),
        "valid_until": block.valid_until.timestamp(),
    }


def _readback(values: Mapping[str, Value]) -> Readback:
    return Readback(
        block=_block(values) if values["valid_until"] else None,
        applied_seq=_whole(values["applied_seq"]),
        applied_target_kw=_number(values["applied_target"]),
        measured_kw=_number(values["measured_kw"]),
        state=_state(_whole(values["state"])),
        reject_reason=_reject_reason(_whole(values["reject_reason"])),
        range_kw=_range(values),
    )


def _range(values: Mapping[str, Value]) -> tuple[float, float] | None:
    least, greatest = values.get("least_now"), values.get("greatest_now")
    return None if least is None or greatest is None else (least, greatest)


def _block(values: Mapping[str, Value]) -> Block:
    return Block(
        seq=_whole(values["seq"]),
        target_kw=_number(values["target"]),
        safe_value_kw=_number(values["safe_value"]),
        grid_limit_kw=values["grid_limit"],
        valid_from=_time(values["valid_from"]),
        valid_until=_time(values["valid_until"]),
    )


def _state(code: int) -> DeviceState:
    """A code that the profile does not name says nothing about the setpoint."""
    return next((state for state in DeviceState if state == code), DeviceState.IDLE)


def _reject_reason(code: int) -> RejectReason:
    return next((reason for reason in RejectReason if reason == code), RejectReason.FAULT)


def _number(value: Value) -> float:
    return 0.0 if value is None else value


def _whole(value: Value) -> int:
    return int(_number(value))


def _time(value: Value) -> datetime:
    return datetime.fromtimestamp(_number(value), UTC)


def _must_fit(registers: Registers | OutOfRange) -> Registers:
    assert isinstance(registers, Registers)
    return registers


def _refused(answer: ModbusPDU) -> Refused:
    code = answer.exception_code
    return Refused(f"{EXCEPTIONS.get(code, 'exception')} (Modbus exception {code})")
