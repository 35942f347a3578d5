"""The cabinet of a site in trouble: breaker, shed relays and devices that are lost or derated, minute by minute.

While the breaker is open the batteries carry the grid: those under a setpoint share what the site needs and does not
make by what they hold (droop), and the first makes up for the rest of the balance; then cars and sun give way, and at
last relays open in the order of the shed list, in the same minute (in reality within tenths of a second). An opened
relay stays open until the breaker has closed again, then one closes each minute. The plant is in a steady state in
every minute: frequency and voltage count as held while power balances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from hil.kernels import ADJUSTED, HELD, VALID_FROM, VALID_UNTIL
from hil.plant import HeldSetpoint, Plant, PlantState, Records, run_minutes
from hil.site_controller import SiteController
from hil.truth import Truth
from optimizer.devices import AnyDevice
from optimizer.devices.battery import Battery
from optimizer.devices.flexible_load import FlexibleLoad
from optimizer.devices.grid_connection import GridConnection
from site_configs.shedding import shed_list
from streams.gateways.registers import RejectReason

CLOSES_AFTER_MINUTES = 5
"""How long voltage and frequency of the grid are watched before the breaker closes (RULES 8: 20 s to 5 min)."""
UNBALANCED_KW = 0.01
GONE = 1e-9
"""Stands for a limit of 0 where the physics divide by it."""
LIMITS: Mapping[str, tuple[str, ...]] = {
    "grid_connection": ("import_limit_kw", "export_limit_kw"),
    "battery": ("charge_limit_kw", "discharge_limit_kw"),
    "v2g_charger": ("charge_limit_kw", "discharge_limit_kw"),
    "thermal_store": ("charge_limit_kw", "discharge_limit_kw"),
    "pv": ("capacity_kw",),
    "chiller": ("cooling_limit_kw",),
    "heat_pump": ("heat_limit_kw",),
}
"""By kind: the fields of a device that trouble lowers."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the site's machines in one minute."""

    grid_away: bool = False
    shares: tuple[tuple[str, float], ...] = ()
    """By device: share of its limits that is left; 0 for one that is lost."""

    def share(self, device: str) -> float:
        return dict(self.shares).get(device, 1.0)


class TroubledCabinet(SiteController):
    """A site controller whose plant changes with its trouble; `trouble` counts from the next minute on."""

    def __init__(self, plant: Plant, state: PlantState) -> None:
        super().__init__(plant, state)
        self._sound = plant
        self._plants: dict[tuple[bool, tuple[tuple[str, float], ...], frozenset[str]], Plant] = {}
        self._list = shed_list(plant.truth.site)
        self._closes_in = 0
        self.open_relays: frozenset[str] = frozenset()
        self.trouble = Trouble()
        self.clock_ahead = timedelta(0)

    @property
    def islanded(self) -> bool:
        """Whether the breaker is open."""
        return self.trouble.grid_away or self._closes_in > 0

    def _advance(self, minutes: int) -> tuple[PlantState, Records]:
        """One minute after the other; raises ValueError for anything but 1."""
        if minutes != 1:
            raise ValueError(f"trouble is looked at minute by minute, got {minutes}")
        self._switch()
        return self._minute()

    def write(self, device: str, setpoint: HeldSetpoint) -> RejectReason:
        """Judged by the device's own range: what trouble has left of it only limits what is delivered."""
        with self._changed:
            troubled, self.plant = self.plant, self._sound
            try:
                return super().write(device, setpoint)
            finally:
                self.plant = troubled

    def set_clock(self, ahead: timedelta) -> None:
        """The cabinet's clock is now so much ahead of the true time: what is held begins and ends by it."""
        with self._changed:
            shift = (ahead - self.clock_ahead).total_seconds()
            self.clock_ahead = ahead
            held = self._state.copy()
            held.arrays.held[:, :, [VALID_FROM, VALID_UNTIL]] -= shift
            self._state = held

    def able_kw(self) -> dict[str, dict[str, float]]:
        """What the site reports that troubled devices can do now, by device and limit (`optimizer.reported`)."""
        connection = next(device for device in self._sound.truth.site.devices if isinstance(device, GridConnection))
        share = 0.0 if self.islanded else 1.0
        limits = {connection.id: {name: share * getattr(connection, name) for name in LIMITS[connection.kind]}}
        for device in self._sound.truth.site.devices:
            if device.kind in ("battery", "v2g_charger", "thermal_store"):
                share = self.trouble.share(device.id)
                limits[device.id] = {name: share * getattr(device, name) for name in LIMITS[device.kind]}
        return limits

    def is_lost(self, device: str) -> bool:
        return self.trouble.share(device) == 0.0

    def _switch(self) -> None:
        """Breaker and relays at the start of a minute."""
        was = self.islanded
        if self.trouble.grid_away:
            self._closes_in = CLOSES_AFTER_MINUTES + 1
        elif self._closes_in:
            self._closes_in -= 1
        elif self.open_relays:
            last = max(self.open_relays, key=self._list.index)
            self.open_relays = self.open_relays - {last}
        if self.islanded and not was:
            self._state = _with_empty_window(self._state)
        if was and not self.islanded:
            self._state = _as_told(self._state)

    def _minute(self) -> tuple[PlantState, Records]:
        """The minute with as many relays open as it needs."""
        if self.islanded:
            self._state = self._shared()
        while True:
            self.plant = self._plant()
            after, records = run_minutes(self.plant, self._state, 1)
            closed = [load for load in self._list if load not in self.open_relays]
            if not self.islanded or not closed or _missing_kw(self.plant, records) <= UNBALANCED_KW:
                return after, records
            self.open_relays = self.open_relays | {closed[0]}

    def _shared(self) -> PlantState:
        """The state in which batteries under a setpoint follow their part of what all of them had to give just now."""
        shared = self._state.copy()
        batteries = self._sound.of_type(Battery)
        slots = [self._sound.slots[battery.id] for battery in batteries]
        held = [max(shared.arrays.energy_kwh[i] - self._sound.layout.reserve_kwh[i], 0.0) for i in slots]
        asked = sum(self._measured[battery.id] for battery in batteries) + (self._net_import_kw or 0.0)
        for slot, battery, kwh in zip(slots, batteries, held, strict=True):
            part = asked * kwh / sum(held) if sum(held) > 0 and asked > 0 else asked / len(slots)
            shared.arrays.held[slot, HELD, ADJUSTED] = min(max(part, battery.bounds_kw()[0]), battery.bounds_kw()[1])
        return shared

    def _plant(self) -> Plant:
        key = (self.islanded, self.trouble.shares, self.open_relays)
        if key not in self._plants:
            self._plants[key] = _in_trouble(self._sound, self.islanded, self.trouble, self.open_relays)
        return self._plants[key]


def _in_trouble(sound: Plant, islanded: bool, trouble: Trouble, open_relays: frozenset[str]) -> Plant:
    shares = {device.id: trouble.share(device.id) for device in sound.truth.devices}
    if islanded:
        shares |= {device.id: 0.0 for device in sound.truth.devices if isinstance(device, GridConnection)}
    devices = tuple(_with_share(device, shares[device.id]) for device in sound.truth.devices)
    truth: Truth = replace(sound.truth, devices=devices, guards=islanded or sound.truth.guards)
    plant = Plant(truth, sound.drivers)
    flexible = [load.id for load in plant.devices if isinstance(load, FlexibleLoad)]
    around = plant.surroundings.flexible.copy()
    around[:, [flexible.index(load) for load in open_relays], :] = 0.0
    plant.surroundings = plant.surroundings._replace(flexible=around)
    return plant


def _with_share(device: AnyDevice, share: float) -> AnyDevice:
    if share == 1.0:
        return device
    least = 0.0 if device.kind == "grid_connection" else GONE
    return device.model_copy(update={name: max(share * getattr(device, name), least) for name in LIMITS[device.kind]})


def _with_empty_window(state: PlantState) -> PlantState:
    """No demand is metered in an island: minutes before it must not be made up for."""
    empty = state.copy()
    empty.arrays.window_kw[:] = 0.0
    return empty


def _as_told(state: PlantState) -> PlantState:
    """Every device goes back to its setpoint."""
    told = state.copy()
    told.arrays.held[:, HELD, ADJUSTED] = np.nan
    return told


def _missing_kw(plant: Plant, records: Records) -> float:
    loads = [name for name in records.columns if name.endswith(".unserved_kw")]
    power = {load.id for load in plant.truth.devices if load.kind == "load" and load.carrier == "power"}
    return sum(float(records.get(name)[-1]) for name in loads if name.split(".", 1)[0] in power)
