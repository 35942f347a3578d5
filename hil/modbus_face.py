"""The site controller on Modbus TCP: the register map of the profile, served from the plant on loopback.

Reads show the controller as it is at that moment; a setpoint is taken as a whole, in one write request, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event, Thread
from types import TracebackType

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from hil.plant import HeldSetpoint
from hil.site_controller import SiteController
from optimizer.errors import MissingPartError
from streams.gateways.registers import (
    DeviceState,
    MappedBlock,
    OutOfRange,
    RegisterMap,
    RejectReason,
    Value,
    site_registers,
)

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0


class ModbusFace:
    """`with ModbusFace(controller) as face:` serves on `face.port` from a thread of its own."""

    def __init__(self, controller: SiteController, port: int = 0) -> None:
        site = controller.plant.truth.site
        self._controller = controller
        self._map = site_registers(site)
        self._asked_port = port
        self._beats = 0
        self._ready = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: ModbusTcpServer | None = None
        self._failure = ""
        self._thread = Thread(target=self._serve, name="modbus-face", daemon=True)
        self.port = 0

    def __enter__(self) -> ModbusFace:
        self._thread.start()
        self._ready.wait(START_TIMEOUT_S)
        if not self.port:
            raise MissingPartError(
                f"the plant cannot listen on {HOST}:{self._asked_port}: {self._failure or 'no answer'}; "
                "free the port or choose another one in control.port"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._server is not None:
            asyncio.run_coroutine_threadsafe(_shut_down(self._server), self._loop)
        self._thread.join(START_TIMEOUT_S)

    def _serve(self) -> None:
        try:
            asyncio.run(self._serve_until_shut_down())
        except (OSError, RuntimeError) as error:
            self._failure = str(error)
        finally:
            self._ready.set()

    async def _serve_until_shut_down(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = ModbusTcpServer(_memory(self._map, self), address=(HOST, self._asked_port))
        await self._server.serve_forever(background=True)
        transport = self._server.transport
        assert isinstance(transport, asyncio.Server)
        self.port = transport.sockets[0].getsockname()[1]
        self._ready.set()
        await self._server.serving

    async def serve_request(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called for each request before it is answered: `registers` is the memory from `start` on."""
        if written:
            return self._take(address, [int(word) for word in written], registers, start)
        self._show(address, count, registers, start)
        return None

    def _show(self, address: int, count: int, registers: list[int], start: int) -> None:
        if address < self._map.site.address + self._map.site.size:
            self._beats += 1
            _put(registers, start, self._map.site, self._site_values())
        for device, block in self._map.devices.items():
            if block.address < address + count and address < block.address + block.size:
                _put(registers, start, block, self._device_values(device))

    def _site_values(self) -> dict[str, Value]:
        return {
            "device_heartbeat": float(self._beats & 0xFFFF),
            "site_clock": float(int(self._controller.clock.timestamp())),
            "remote": 1.0,
            "net_import": self._controller.net_import_kw,
        }

    def _device_values(self, device: str) -> dict[str, Value]:
        reading = self._controller.read(device)
        refused = reading.answer is not RejectReason.NONE
        least, greatest = reading.range_kw or (None, None)
        return {
            "applied_seq": float(reading.view.seq),
            "applied_target": reading.view.target_kw,
            "measured_kw": reading.measured_kw,
            "state": float(DeviceState.REJECTED if refused else reading.view.state),
            "reject_reason": float(reading.answer),
            "adjusted": reading.view.adjusted_kw,
            "least_now": least,
            "greatest_now": greatest,
        }

    def _take(self, address: int, words: list[int], registers: list[int], start: int) -> ExcCodes | None:
        site = self._map.site
        if address == site.address and len(words) == _written_size(site):
            return None
        for device, block in self._map.devices.items():
            if address == block.address and len(words) == _written_size(block):
                own = registers[block.address - start :][: block.size]
                self._controller.write(device, _setpoint(block.decode([*words, *own[len(words) :]])))
                return None
            adjusted = block.layout.points.get("adjusted")
            if adjusted and address == block.address + adjusted.offset and len(words) == adjusted.size:
                self._controller.adjust(device, block.decode_point("adjusted", words))
                return None
        return ExcCodes.ILLEGAL_ADDRESS


async def _shut_down(server: ModbusTcpServer) -> None:
    await server.shutdown()  # type: ignore[no-untyped-call]


def _memory(places: RegisterMap, face: ModbusFace) -> SimDevice:
    blocks = [places.site, *places.devices.values()]
    data = [SimData(block.address, count=block.size, values=0, datatype=DataType.REGISTERS) for block in blocks]
    return SimDevice(places.unit_id, simdata=data, action=face.serve_request)


def _put(registers: list[int], start: int, block: MappedBlock, values: Mapping[str, Value]) -> None:
    for name in values.keys() & block.layout.points.keys():
        encoded = block.encode_point(name, values[name])
        assert not isinstance(encoded, OutOfRange), str(encoded)
        place = encoded.address - start
        registers[place : place + len(encoded.words)] = encoded.words


def _written_size(block: MappedBlock) -> int:
    return sum(point.size for point in block.layout.written.values())


def _setpoint(values: Mapping[str, Value]) -> HeldSetpoint:
    number = {name: 0.0 if value is None else value for name, value in values.items()}
    return HeldSetpoint(
        seq=int(number["seq"]),
        target_kw=number["target"],
        safe_value_kw=number["safe_value"],
        valid_from=datetime.fromtimestamp(number["valid_from"], UTC),
        valid_until=datetime.fromtimestamp(number["valid_until"], UTC),
        grid_limit_kw=values["grid_limit"],
    )
