"""The gateway's face with what can go wrong on it: no answer, devices that refuse, a clock and a meter that lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hil.direct_face import DirectFace
from hil.scenarios.cabinet import TroubledCabinet
from streams.gateways.face import Block, Fault, Readback, ReadFault, Refused, SiteStatus, Unreachable, WriteFault
from streams.gateways.registers import DeviceState, RejectReason

REGISTER_STEP_KW = 0.1
CUT = Unreachable("the link to the site controller is cut")


@dataclass(frozen=True)
class MeterReading:
    """What becomes of the grid meter's value on its way to the gateway."""

    frozen: bool = False
    times: float = 1.0
    restless: bool = False
    """A frozen value that differs by a register's step from look to look: nobody can tell that it stands still."""


class FaultyFace:
    """A `DirectFace` in trouble; `cut` and `meter` are set from outside, the rest the cabinet knows."""

    def __init__(self, cabinet: TroubledCabinet) -> None:
        self._cabinet = cabinet
        self._face = DirectFace(cabinet)
        self._written: dict[str, Block] = {}
        self._last_kw: float | None = None
        self.cut = False
        self.meter = MeterReading()

    def read_site(self) -> SiteStatus | Fault:
        if self.cut:
            return CUT
        status = self._face.read_site()
        if not self.meter.frozen:
            self._last_kw = None if status.net_import_kw is None else self.meter.times * status.net_import_kw
        elif self.meter.restless and self._last_kw is not None:
            self._last_kw += REGISTER_STEP_KW if status.heartbeat % 2 else -REGISTER_STEP_KW
        return replace(status, clock=status.clock + self._cabinet.clock_ahead, net_import_kw=self._last_kw)

    def beat(self, count: int) -> Fault | None:
        if self.cut:
            return CUT
        self._face.beat(count)
        return None

    def write(self, device: str, block: Block) -> WriteFault | None:
        if self.cut:
            return CUT
        if self._cabinet.is_lost(device):
            return Refused("device fault")
        ahead = self._cabinet.clock_ahead
        true = replace(block, valid_from=block.valid_from - ahead, valid_until=block.valid_until - ahead)
        fault = self._face.write(device, true)
        if fault is None:
            self._written[device] = block
        return fault

    def adjust(self, device: str, power_kw: float | None) -> WriteFault | None:
        if self.cut:
            return CUT
        self._face.adjust(device, power_kw)
        return None

    def follow(self, now: object) -> None:
        """The controller keeps the times by itself."""

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        asked = tuple(devices)
        if self.cut:
            return dict.fromkeys(asked, CUT)
        return {device: self._read(device, read) for device, read in self._face.read(asked).items()}

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, device: str, read: Readback | ReadFault) -> Readback | ReadFault:
        if not isinstance(read, Readback):
            return read
        read = replace(read, block=self._written.get(device))
        if self._cabinet.is_lost(device):
            return replace(read, state=DeviceState.REJECTED, reject_reason=RejectReason.FAULT)
        return read
