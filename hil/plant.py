"""The simulated site: a plant with the truth's parameters, minute by minute, and the controller in its cabinet.

`run_minutes` is a plain function without I/O: the same state and surroundings give the same minutes. Setpoints come in
by `offer`, which accepts or refuses them as the site controller's firmware would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from hil import assembly, kernels
from hil.assembly import Kind, of_type
from hil.drivers import Drivers
from hil.kernels import ADJUSTED, HELD, NEXT, SEQ, VALID_FROM, VALID_UNTIL, PlantArrays
from hil.truth import Truth
from optimizer.devices import AnyDevice
from optimizer.devices.absorption_chiller import AbsorptionChiller
from optimizer.devices.backup_generator import BackupGenerator
from optimizer.devices.base import Carrier
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.chp import Chp
from optimizer.devices.flexible_load import FlexibleLoad
from optimizer.devices.gas_boiler import GasBoiler
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.devices.waste_heat import WasteHeat
from optimizer.time_grid import Array
from streams.gateways.registers import DeviceState, RejectReason

UNSERVED: Mapping[Carrier, int] = {
    "power": kernels.UNSERVED_KW,
    "heat": kernels.UNSERVED_HEAT_KW,
    "cold": kernels.UNSERVED_COLD_KW,
    "gas": kernels.UNSERVED_GAS_KW,
}


ENGINE_STATE = ("power_kw", "on_hours", "off_hours")
"""State of an engine in the kernels' order."""


@dataclass(frozen=True)
class HeldSetpoint:
    """What a device of the site controller is told: `target_kw` > 0 feeds the bus."""

    seq: int
    target_kw: float
    safe_value_kw: float
    valid_from: datetime
    valid_until: datetime
    grid_limit_kw: float | None = None
    self_supply_kw: tuple[float, float] | None = None
    """Least and greatest power within which it keeps the connection at zero in place of its target."""

    def row(self) -> Array:
        limit = np.nan if self.grid_limit_kw is None else self.grid_limit_kw
        times = (self.valid_from.timestamp(), self.valid_until.timestamp())
        own = (np.nan, np.nan) if self.self_supply_kw is None else self.self_supply_kw
        return np.array([self.seq, self.target_kw, self.safe_value_kw, *times, limit, *own, np.nan])


@dataclass(frozen=True)
class DeviceView:
    """What the site controller says of one device."""

    state: DeviceState
    seq: int
    """Of the setpoint in force, or of the last one; 0 before the first."""
    next_seq: int
    """Of the setpoint that waits for its time; 0 without one."""
    target_kw: float
    """Setpoint in force [kW], or the safe value."""
    adjusted_kw: float | None = None
    """Power asked for in its place."""


@dataclass(frozen=True)
class PlantState:
    """The plant at one moment, as a value."""

    arrays: PlantArrays

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(float(self.arrays.clock_s[0]), UTC)

    def copy(self) -> PlantState:
        return PlantState(PlantArrays._make(array.copy() for array in self.arrays))


@dataclass(frozen=True)
class Records:
    """What happened in each minute, true values: powers are means, energies and targets stand at the minute's end."""

    start: datetime
    columns: tuple[str, ...]
    """Series names: `<device>.<quantity>`."""
    values: Array
    """(minutes, columns)."""

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.columns)}

    def get(self, name: str) -> Array:
        """(minutes,) one series; raises KeyError when the plant has none of this name."""
        return self.values[:, self._places[name]]

    def frame(self) -> pd.DataFrame:
        index = pd.date_range(self.start, periods=len(self.values), freq="1min", name="time")
        return pd.DataFrame(self.values, index=index, columns=list(self.columns))

    @staticmethod
    def joined(parts: Iterable[Records]) -> Records:
        """Records that follow one another as one."""
        pieces = list(parts)
        return Records(pieces[0].start, pieces[0].columns, np.concatenate([piece.values for piece in pieces]))


class Plant:
    """A site of known devices with the truth's parameters and its surroundings; nothing here changes while it runs."""

    def __init__(self, truth: Truth, drivers: Drivers) -> None:
        self.truth = truth
        self.drivers = drivers
        self.devices = assembly.in_slot_order(truth.devices)
        self.slots: Mapping[str, int] = {device.id: slot for slot, device in enumerate(self.devices)}
        self.controlled = tuple(device.id for device in self.devices if device.target_kw({}) is not None)
        """Devices that follow setpoints."""
        self.conditions = assembly.minute_conditions(truth, drivers)
        self.layout = assembly.layout(truth)
        self.surroundings = assembly.surroundings(truth, drivers, self.conditions)
        self.columns = self._columns()

    def start(self, states: Mapping[str, Mapping[str, float]] | None = None) -> PlantState:
        """The plant at the start of the drivers; `states` gives energies by device, else those of the site file."""
        at_start = assembly.situation(self.truth, self.drivers, states or {})
        n, safe = len(self.devices), self.layout.safe_kw
        held = np.full((n, 2, kernels.SETPOINT_SIZE), np.nan)
        held[:, :, SEQ] = -1.0
        own = [device.start(at_start) for device in self.devices]
        return PlantState(
            PlantArrays(
                own=self._own_at_start(own),
                layers=self._layers_at_start(own),
                clock_s=np.array([self.drivers.start.timestamp()]),
                energy_kwh=np.array([state.get("energy_kwh", state.get("shifted_kwh", 0.0)) for state in own]),
                held=held,
                wanted_kw=safe.copy(),
                acting_kw=safe.copy(),
                countdown=np.zeros(n, dtype=np.int64),
                reached_kw=safe.copy(),
                status=np.zeros(n, dtype=np.int64),
                window_kw=np.zeros(kernels.WINDOW_MINUTES - 1),
            )
        )

    def _own_at_start(self, states: Sequence[Mapping[str, float]]) -> Array:
        """(slots, 3) new cells at the temperature of their room, machines that are warm, engines as they are."""
        own = np.zeros((len(self.devices), kernels.OWN_SIZE))
        for slot, device in enumerate(self.devices):
            if isinstance(device, Battery):
                own[slot] = (self.layout.physics[slot, kernels.ROOM_C], 1.0, 0.0)
            elif isinstance(device, assembly.ENGINES):
                own[slot] = [states[slot].get(name, 0.0) for name in ENGINE_STATE]
            elif isinstance(device, assembly.MACHINES):
                own[slot, kernels.MINUTES_ON] = np.inf
        return own

    def _layers_at_start(self, states: Sequence[Mapping[str, float]]) -> Array:
        """(stores, 2, layers)."""
        tanks, first = self.truth.physics.tanks, self.layout.batteries
        stores = range(first, first + self.layout.stores)
        fills = [states[i]["energy_kwh"] / self.layout.parameters[i, kernels.CAPACITY] for i in stores]
        count = tanks.layers if tanks else 1
        profiles = np.array([assembly.layers_at(fill, count) for fill in fills]).reshape(len(fills), count)
        return np.stack([profiles, profiles], axis=1)

    def of_type(self, *kinds: type[Kind]) -> list[Kind]:
        """The devices of these classes, as they really are, in the order of the site file."""
        return of_type(self.truth.devices, *kinds)

    def _columns(self) -> tuple[str, ...]:
        slots = [f"{device.id}.{name}" for device in self.devices for name in _recorded(device)]
        site = ["meter.import_kw", "meter.export_kw", "meter.limit_kw"]
        site += [f"{gas.id}.supply_kw" for gas in self.of_type(GasSupply)[:1]]
        loads = [f"{load.id}.{name}" for load in self.of_type(Load) for name in ("served_kw", "unserved_kw")]
        own = (*slots, *site, *loads)
        return (*own, *(name for name in self.drivers.series if name not in own))

    def record(self, first: int, slots: Array, site: Array) -> Records:
        """Names the kernel's arrays and puts the surroundings of the same minutes beside them."""
        n = len(slots)
        parts = [
            slots[:, slot, place] for slot, device in enumerate(self.devices) for place in _recorded(device).values()
        ]
        parts += [site[:, kernels.IMPORT_KW], site[:, kernels.EXPORT_KW], site[:, kernels.LIMIT_KW]]
        parts += [site[:, kernels.SUPPLY_KW] for _ in self.of_type(GasSupply)[:1]]
        for load in self.of_type(Load):
            demand = self.conditions[load.id]["demand_kw"][first : first + n]
            missing = self._missing_of(load, first, site)
            parts += [demand - missing, missing]
        parts += [self.drivers.get(name, first, n) for name in self.columns[len(parts) :]]
        start = self.drivers.start + timedelta(minutes=first)
        return Records(start, self.columns, np.stack(parts, axis=1))

    def _missing_of(self, load: Load, first: int, site: Array) -> Array:
        """(n,) the load's part of what its carrier left unserved, by its demand [kW]."""
        rows = slice(first, first + len(site))
        own = self.conditions[load.id]["demand_kw"][rows]
        total = assembly.demand_kw(self.truth.devices, self.conditions, load.carrier, self.drivers.minutes)[rows]
        missing = site[:, UNSERVED[load.carrier]]
        return np.where(total > 0, missing * own / np.where(total > 0, total, 1.0), 0.0)


def run_minutes(plant: Plant, state: PlantState, n: int) -> tuple[PlantState, Records]:
    """Runs the plant for `n` minutes from `state`, whose setpoints stand in it. No I/O, no clock, no randomness.

    Raises:
        ValueError: the drivers do not cover the span.
    """
    first = plant.drivers.offset(state.at)
    if first + n > plant.drivers.minutes:
        raise ValueError(
            f"{n} minutes from {state.at} asked, the drivers end {plant.drivers.minutes - first} minutes on"
        )
    after = state.copy()
    slots, site = np.zeros((n, len(plant.devices), kernels.SLOT_RECORD_SIZE)), np.zeros((n, kernels.SITE_RECORD_SIZE))
    kernels.run(plant.layout, after.arrays, plant.surroundings, first, slots, site)
    return after, plant.record(first, slots, site)


def offer(
    plant: Plant, state: PlantState, setpoints: Mapping[str, HeldSetpoint]
) -> tuple[PlantState, dict[str, RejectReason]]:
    """The state in which the site controller has taken the setpoints, and its answer to each.

    A setpoint is refused when a later one was seen, when its validity is over, or when it is outside the device's
    range. A newer one replaces the one that waits; one that is valid already takes force at once. The same setpoint
    again changes nothing.
    """
    after, answers = state.copy(), {}
    for device_id, setpoint in setpoints.items():
        held = after.arrays.held[plant.slots[device_id]]
        if _is_repeat(held, setpoint):
            answers[device_id] = RejectReason.NONE
            continue
        answers[device_id] = _refusal(plant, after, device_id, setpoint)
        if answers[device_id] is RejectReason.NONE:
            _hold(held, setpoint, due=setpoint.valid_from <= state.at)
    return after, answers


def adjust(plant: Plant, state: PlantState, device_id: str, power_kw: float | None) -> PlantState:
    """The state in which the setpoint in force of a device is followed at another power; None goes back to its target.

    The power is held to the device's own range; without a valid setpoint it changes nothing.
    """
    after = state.copy()
    least, greatest = plant.devices[plant.slots[device_id]].bounds_kw()
    asked = np.nan if power_kw is None else min(max(power_kw, least), greatest)
    after.arrays.held[plant.slots[device_id], HELD, ADJUSTED] = asked
    return after


def range_kw(plant: Plant, state: PlantState, device_id: str) -> tuple[float, float] | None:
    """Least and greatest power that a battery, a charger or PV could have in the minute that comes; None of others."""
    device = plant.devices[plant.slots[device_id]]
    if not isinstance(device, Battery | V2gCharger | Pv):
        return None
    row = min(plant.drivers.offset(state.at), plant.drivers.minutes - 1)
    here = {name: float(values[row]) for name, values in plant.conditions[device_id].items()}
    now = states_of(plant, state, device)
    least, greatest = (
        device.target_kw(device.step(device.asked(kw), now, here, kernels.MINUTE_HOURS).flows)
        for kw in device.bounds_kw()
    )
    assert least is not None
    assert greatest is not None
    return least, greatest


def _is_repeat(held: Array, setpoint: HeldSetpoint) -> bool:
    told = setpoint.row()[:ADJUSTED]
    return any(np.array_equal(row[:ADJUSTED], told, equal_nan=True) for row in held)


def _hold(held: Array, setpoint: HeldSetpoint, *, due: bool) -> None:
    held[NEXT, SEQ] = -1.0
    held[HELD if due else NEXT] = setpoint.row()


def states_of(plant: Plant, state: PlantState, device: AnyDevice) -> dict[str, float]:
    """A device's physical state as its own `step` names it; empty where it carries nothing over."""
    slot = plant.slots[device.id]
    if isinstance(device, Battery | ThermalStore | V2gCharger):
        return {"energy_kwh": float(state.arrays.energy_kwh[slot])}
    if isinstance(device, FlexibleLoad):
        return {"shifted_kwh": float(state.arrays.energy_kwh[slot])}
    if isinstance(device, Chp):
        return dict(zip(ENGINE_STATE, map(float, state.arrays.own[slot]), strict=True))
    return {}


def view(plant: Plant, state: PlantState, device_id: str) -> DeviceView:
    """What the site controller would show of a device now."""
    held = state.arrays.held[plant.slots[device_id]]
    clock = float(state.arrays.clock_s[0])
    given = held[HELD, SEQ] >= 0
    active = given and held[HELD, VALID_FROM] <= clock < held[HELD, VALID_UNTIL]
    adjusted = float(held[HELD, ADJUSTED])
    safe = float(held[HELD, kernels.SAFE]) if given else float(plant.layout.safe_kw[plant.slots[device_id]])
    return DeviceView(
        state=DeviceState.ACTIVE if active else DeviceState.EXPIRED if given else DeviceState.IDLE,
        seq=max(0, int(held[HELD, SEQ])),
        next_seq=max(0, int(held[NEXT, SEQ])),
        target_kw=float(held[HELD, kernels.TARGET]) if active else safe,
        adjusted_kw=None if np.isnan(adjusted) else adjusted,
    )


def _refusal(plant: Plant, state: PlantState, device_id: str, setpoint: HeldSetpoint) -> RejectReason:
    slot = plant.slots[device_id]
    if setpoint.seq <= state.arrays.held[slot, :, SEQ].max():
        return RejectReason.OLD_SEQ
    if setpoint.valid_until <= state.at:
        return RejectReason.EXPIRED
    least, greatest = plant.devices[slot].bounds_kw()
    if not least - 0.1 <= setpoint.target_kw <= greatest + 0.1:
        return RejectReason.OUT_OF_RANGE
    return RejectReason.NONE


def _recorded(device: AnyDevice) -> dict[str, int]:
    """What is recorded of a device, by quantity: its place in the slot's record."""
    return {**_flow_places(device), "target_kw": kernels.TARGET_KW}


def _flow_places(device: AnyDevice) -> dict[str, int]:
    taken, given, beside = kernels.OUT_KW, kernels.IN_KW, kernels.BESIDE_KW
    match device:
        case Pv():
            return {"used_kw": given}
        case Chiller():
            return {"power_kw": taken, "cold_kw": given}
        case HeatPump():
            return {"power_kw": taken, "heat_kw": given}
        case WasteHeat():
            return {"heat_kw": given}
        case GasBoiler():
            return {"gas_kw": beside, "heat_kw": given}
        case AbsorptionChiller():
            return {"heat_kw": beside, "power_kw": taken, "cold_kw": given}
        case BackupGenerator():
            return {"power_kw": given}
        case Chp():
            hours = {"on_hours": kernels.ENERGY_KWH, "off_hours": kernels.OFF_HOURS}
            return {"gas_kw": taken, "power_kw": given, "heat_kw": beside, **hours}
        case FlexibleLoad():
            moved = {"added_kw": taken, "put_off_kw": given, "shifted_kwh": kernels.ENERGY_KWH}
            return {"served_kw": beside, **moved}
    flows = {"charge_kw": taken, "discharge_kw": given}
    return {**flows, **dict.fromkeys(device.buses().keys() - flows.keys(), beside), "energy_kwh": kernels.ENERGY_KWH}
