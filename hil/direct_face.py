"""The site controller without a protocol: the gateway's face in the process of the plant, for closed loops in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from hil.plant import HeldSetpoint
from hil.site_controller import SiteController
from streams.gateways.face import Block, Readback, ReadFault, Refused, SiteStatus, WriteFault
from streams.gateways.registers import DeviceState, RejectReason


class DirectFace:
    """Speaks to a `SiteController` as a protocol's face does."""

    def __init__(self, controller: SiteController) -> None:
        self._controller = controller
        self._beats = 0
        self._told: dict[str, Block] = {}

    def read_site(self) -> SiteStatus:
        controller = self._controller
        return SiteStatus(controller.clock, remote=True, heartbeat=self._beats, net_import_kw=controller.net_import_kw)

    def beat(self, count: int) -> None:
        self._beats = count

    def write(self, device: str, block: Block) -> WriteFault | None:
        told = HeldSetpoint(
            block.seq,
            block.target_kw,
            block.safe_value_kw,
            block.valid_from,
            block.valid_until,
            block.grid_limit_kw,
        )
        answer = self._controller.write(device, told)
        if answer is not RejectReason.NONE:
            return Refused(answer.name.lower())
        self._told[device] = block
        return None

    def adjust(self, device: str, power_kw: float | None) -> None:
        self._controller.adjust(device, power_kw)

    def follow(self, now: datetime) -> None:
        """The controller keeps the times by itself."""

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        return {device: self._read(device) for device in devices}

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, device: str) -> Readback:
        reading = self._controller.read(device)
        refused = reading.answer is not RejectReason.NONE
        return Readback(
            block=self._told.get(device),
            applied_seq=reading.view.seq,
            applied_target_kw=reading.view.target_kw,
            measured_kw=reading.measured_kw,
            state=DeviceState.REJECTED if refused else reading.view.state,
            reject_reason=reading.answer,
            range_kw=reading.range_kw,
        )
