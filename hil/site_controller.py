"""The cabinet on site: the plant and its setpoints, shared by the bench that runs it and the face that serves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Condition

from hil.kernels import HELD, VALID_FROM
from hil.plant import DeviceView, HeldSetpoint, Plant, PlantState, Records, adjust, offer, range_kw, run_minutes, view
from streams.gateways.registers import RejectReason


@dataclass(frozen=True)
class DeviceReading:
    """What the controller says of one device when it is read."""

    view: DeviceView
    measured_kw: float
    """Mean of the last minute; > 0 feeds the bus."""
    answer: RejectReason
    """To the last setpoint offered."""
    range_kw: tuple[float, float] | None
    """What it could do in the minute that comes; None where it does not say so."""


class SiteController:
    """Thread-safe: the plant stands still while it is read or written."""

    def __init__(self, plant: Plant, state: PlantState) -> None:
        self.plant = plant
        self._state = state
        self._answers: dict[str, RejectReason] = {}
        self._measured: Mapping[str, float] = dict.fromkeys(plant.slots, 0.0)
        self._net_import_kw: float | None = None
        self._unread: set[str] = set()
        self._changed = Condition()

    @property
    def clock(self) -> datetime:
        """The site's own time: that of the simulated plant."""
        return self.state.at

    @property
    def state(self) -> PlantState:
        with self._changed:
            return self._state

    def run(self, minutes: int) -> Records:
        """Lets the plant run; what is written meanwhile takes force after it."""
        with self._changed:
            self._state, records = self._advance(minutes)
            self._measured = last_minute_kw(self.plant, records)
            self._net_import_kw = float(records.get("meter.import_kw")[-1] - records.get("meter.export_kw")[-1])
            return records

    def _advance(self, minutes: int) -> tuple[PlantState, Records]:
        return run_minutes(self.plant, self._state, minutes)

    def write(self, device: str, setpoint: HeldSetpoint) -> RejectReason:
        with self._changed:
            self._state, answers = offer(self.plant, self._state, {device: setpoint})
            self._answers[device] = answers[device]
            self._unread.add(device)
            self._changed.notify_all()
            return answers[device]

    def read(self, device: str) -> DeviceReading:
        with self._changed:
            self._unread.discard(device)
            self._changed.notify_all()
            answer = self._answers.get(device, RejectReason.NONE)
            seen, able = view(self.plant, self._state, device), range_kw(self.plant, self._state, device)
            return DeviceReading(seen, self._measured[device], answer, able)

    def adjust(self, device: str, power_kw: float | None) -> None:
        """Another power for the setpoint in force; None goes back to its target."""
        with self._changed:
            self._state = adjust(self.plant, self._state, device, power_kw)

    @property
    def net_import_kw(self) -> float | None:
        """Mean of the last minute, < 0 exports; None before the first, and where the cabinet keeps the limits itself:
        then it leaves the gateway's loop nothing to do."""
        return None if self.plant.truth.guards else self._net_import_kw

    def wait_for_setpoints(self, interval: datetime, timeout_s: float) -> bool:
        """Waits until every controlled device holds a setpoint from `interval` on; False when the time was up."""
        with self._changed:
            return self._changed.wait_for(lambda: self._told_from(interval) == len(self.plant.controlled), timeout_s)

    def wait_for_read_back(self, timeout_s: float) -> bool:
        """Waits until every setpoint written has been read back; False when the time was up first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unread, timeout_s)

    def told_from(self, interval: datetime) -> int:
        """How many devices hold a setpoint valid from `interval` on."""
        with self._changed:
            return self._told_from(interval)

    def _told_from(self, interval: datetime) -> int:
        slots = [self.plant.slots[device] for device in self.plant.controlled]
        return int((self._state.arrays.held[slots, HELD, VALID_FROM] >= interval.timestamp()).sum())


def last_minute_kw(plant: Plant, records: Records) -> dict[str, float]:
    """Power of each controlled device in the last minute [kW], signed as its setpoint."""
    last = {}
    for device in plant.devices:
        names = [f"{device.id}.{name}" for name in ("discharge_kw", "used_kw", "cold_kw", "heat_kw")]
        fed = sum(float(records.get(name)[-1]) for name in names if name in records.columns)
        taken = float(records.get(f"{device.id}.charge_kw")[-1]) if f"{device.id}.charge_kw" in records.columns else 0.0
        last[device.id] = fed - taken
    return last
