"""One site behind several protocols: a site controller, and devices that are reached in another way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from streams.gateways.face import Block, Face, Fault, Readback, ReadFault, SiteStatus, WriteFault


class JointFace:
    """The controller's face, with some devices at faces of their own."""

    def __init__(self, controller: Face, others: Mapping[str, Face]) -> None:
        self._controller = controller
        self._others = dict(others)

    def read_site(self) -> SiteStatus | Fault:
        return self._controller.read_site()

    def beat(self, count: int) -> Fault | None:
        faults = [face.beat(count) for face in self._faces()]
        return faults[0]

    def write(self, device: str, block: Block) -> WriteFault | None:
        return self._face(device).write(device, block)

    def adjust(self, device: str, power_kw: float | None) -> WriteFault | None:
        return self._face(device).adjust(device, power_kw)

    def follow(self, now: datetime) -> None:
        for face in self._faces():
            face.follow(now)

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        asked = tuple(devices)
        answers: dict[str, Readback | ReadFault] = {}
        for face in self._faces():
            own = [device for device in asked if self._face(device) is face]
            answers |= face.read(own) if own else {}
        return answers

    def close(self) -> None:
        for face in self._faces():
            face.close()

    def _face(self, device: str) -> Face:
        return self._others.get(device, self._controller)

    def _faces(self) -> tuple[Face, ...]:
        """Each once, the controller's first."""
        return tuple({id(face): face for face in (self._controller, *self._others.values())}.values())
