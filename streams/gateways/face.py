"""What every protocol offers the gateway: the site's clock, blocks written and read back, faults as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from streams.gateways.registers import DeviceState, OutOfRange, RejectReason


@dataclass(frozen=True)
class Refused:
    """The site controller answered, and said no."""

    detail: str

    def __str__(self) -> str:
        return f"refused: {self.detail}"


@dataclass(frozen=True)
class Unreachable:
    """No answer: not connected, connection lost, or too slow. Whether a write arrived is not known."""

    detail: str

    def __str__(self) -> str:
        return f"unreachable: {self.detail}"


@dataclass(frozen=True)
class Mismatch:
    """The controller said yes, but holds another value than was written."""

    point: str
    written: float | None
    read: float | None

    def __str__(self) -> str:
        return f"read-back differs: {self.point} was written as {self.written}, the device holds {self.read}"


Fault = Refused | Unreachable
WriteFault = Refused | Unreachable | OutOfRange
ReadFault = Refused | Unreachable | Mismatch


@dataclass(frozen=True)
class SiteStatus:
    """The site controller itself."""

    clock: datetime
    remote: bool
    """False when a person on site has taken over."""
    heartbeat: int
    """The controller's own counter."""
    net_import_kw: float | None = None
    """Power at the grid connection now, < 0 exports; None where the controller does not measure it."""


@dataclass(frozen=True)
class Block:
    """What a device is told in one write. Times are whole seconds; powers in kW, > 0 feeds the bus."""

    seq: int
    target_kw: float
    safe_value_kw: float
    grid_limit_kw: float | None
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True)
class Readback:
    """A device's block as the controller holds it."""

    block: Block | None
    """The last setpoint written; None when there was none since the controller started."""
    applied_seq: int
    applied_target_kw: float
    measured_kw: float
    state: DeviceState
    reject_reason: RejectReason
    range_kw: tuple[float, float] | None = None
    """Least and greatest power of the device as it is now (a battery management system's limits, the sun's offer);
    None where it does not say so."""


class Face(Protocol):
    """One protocol to one site controller."""

    def read_site(self) -> SiteStatus | Fault: ...

    def beat(self, count: int) -> Fault | None:
        """Tells the controller that the gateway lives."""
        ...

    def write(self, device: str, block: Block) -> WriteFault | None:
        """Writes a device's setpoint as a whole or not at all."""
        ...

    def adjust(self, device: str, power_kw: float | None) -> WriteFault | None:
        """Another power for the setpoint in force; None goes back to its target. The next setpoint ends it as well."""
        ...

    def follow(self, now: datetime) -> None:
        """Does what is due at `now` where a controller knows no times of validity; nothing where it knows them."""
        ...

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        """Reads devices back and compares with what was written to them last."""
        ...

    def close(self) -> None: ...
