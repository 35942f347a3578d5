"""The simulated site: a plant with the truth's parameters, minute by minute, and the controller in its cabinet.

`run_minutes` is a plain function without I/O: the same state and surroundings give the same minutes. Setpoints come in
by `offer`, which accepts or refuses them as the site controller's firmware would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from hil import kernels
from hil.drivers import Drivers
from hil.kernels import HELD, NEXT, SEQ, VALID_FROM, VALID_UNTIL, Layout, PlantArrays, Surroundings
from hil.truth import Dynamics, Truth
from optimizer.devices import AnyDevice
from optimizer.situation import Prices, Situation
from optimizer.time_grid import Array, TimeGrid
from streams.gateways.registers import DeviceState, RejectReason

ELECTRONIC = ("battery", "v2g_charger", "pv")
_ORDER = ("battery", "thermal_store", "v2g_charger", "machine", "pv")
_MACHINES = ("chiller", "heat_pump")


@dataclass(frozen=True)
class HeldSetpoint:
    """What a device of the site controller is told: `target_kw` > 0 feeds the bus."""

    seq: int
    target_kw: float
    safe_value_kw: float
    valid_from: datetime
    valid_until: datetime
    grid_limit_kw: float | None = None

    def row(self) -> Array:
        limit = np.nan if self.grid_limit_kw is None else self.grid_limit_kw
        times = (self.valid_from.timestamp(), self.valid_until.timestamp())
        return np.array([self.seq, self.target_kw, self.safe_value_kw, *times, limit])


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


@dataclass(frozen=True)
class PlantState:
    """The plant at one moment, as a value."""

    arrays: PlantArrays

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(float(self.arrays.clock_s[0]), UTC)

    def copy(self) -> PlantState:
        return PlantState(PlantArrays(*(array.copy() for array in self.arrays)))


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
    """A site of known devices with the truth's parameters and its surroundings; everything here is fixed at the start."""

    def __init__(self, truth: Truth, drivers: Drivers) -> None:
        self.truth = truth
        self.drivers = drivers
        self.devices = _in_slot_order(truth.devices)
        self.slots: Mapping[str, int] = {device.id: slot for slot, device in enumerate(self.devices)}
        self.conditions = _minute_conditions(truth, drivers)
        self.layout = _layout(truth, self.devices)
        self.surroundings = _surroundings(self)
        self.columns = self._columns()

    def start(self, states: Mapping[str, Mapping[str, float]] | None = None) -> PlantState:
        """The plant at the start of the drivers; `states` gives energies by device, else the site file's initial ones."""
        situation = _situation(self.truth, self.drivers, states or {})
        n = len(self.devices)
        safe = self.layout.safe_kw
        held = np.full((n, 2, 6), np.nan)
        held[:, :, SEQ] = -1.0
        energy = np.array([device.start(situation).get("energy_kwh", 0.0) for device in self.devices])
        return PlantState(
            PlantArrays(
                clock_s=np.array([self.drivers.start.timestamp()]),
                energy_kwh=energy,
                held=held,
                wanted_kw=safe.copy(),
                acting_kw=safe.copy(),
                countdown=np.zeros(n, dtype=np.int64),
                reached_kw=safe.copy(),
                status=np.zeros(n, dtype=np.int64),
                quarter_kwh=np.zeros(1),
            )
        )

    def of_kind(self, *kinds: str) -> list[AnyDevice]:
        return [device for device in self.devices if device.kind in kinds]

    def loads(self, *carriers: str) -> list[AnyDevice]:
        return [d for d in self.truth.devices if d.kind == "load" and d.carrier in carriers]

    def _columns(self) -> tuple[str, ...]:
        slots = [f"{device.id}.{name}" for device in self.devices for name in _record_names(device)]
        site = ["meter.import_kw", "meter.export_kw", "meter.limit_kw"]
        loads = [f"{load.id}.{name}" for load in self.loads("power", "heat", "cold") for name in ("served_kw", "unserved_kw")]
        own = (*slots, *site, *loads)
        return (*own, *(name for name in self.drivers.series if name not in own))

    def record(self, first: int, slots: Array, site: Array) -> Records:
        """Names the kernel's arrays and puts the surroundings of the same minutes beside them."""
        n = len(slots)
        parts = [slots[:, slot, place] for slot, device in enumerate(self.devices) for place in _record_places(device)]
        parts += [site[:, kernels.IMPORT_KW], site[:, kernels.EXPORT_KW], site[:, kernels.LIMIT_KW]]
        unserved = {"power": kernels.UNSERVED_KW, "heat": kernels.UNSERVED_HEAT_KW, "cold": kernels.UNSERVED_COLD_KW}
        for load in self.loads("power", "heat", "cold"):
            demand = self.conditions[load.id]["demand_kw"][first : first + n]
            missing = _shared_out(site[:, unserved[load.carrier]], demand, self._demand(load.carrier)[first : first + n])
            parts += [demand - missing, missing]
        parts += [self.drivers.get(name, first, n) for name in self.columns[len(parts) :]]
        start = self.drivers.start + timedelta(minutes=first)
        return Records(start, self.columns, np.column_stack(parts))

    def _demand(self, *carriers: str) -> Array:
        return sum(
            (self.conditions[load.id]["demand_kw"] for load in self.loads(*carriers)), np.zeros(self.drivers.minutes)
        )


def run_minutes(plant: Plant, state: PlantState, n: int) -> tuple[PlantState, Records]:
    """Runs the plant for `n` minutes from `state`, whose setpoints stand in it. No I/O, no clock, no randomness.

    Raises:
        ValueError: the drivers do not cover the span.
    """
    first = plant.drivers.offset(state.at)
    if first + n > plant.drivers.minutes:
        raise ValueError(f"{n} minutes from {state.at} asked, the drivers end {plant.drivers.minutes - first} minutes on")
    after = state.copy()
    slots, site = np.zeros((n, len(plant.devices), 4)), np.zeros((n, 6))
    kernels.run(plant.layout, after.arrays, plant.surroundings, first, slots, site)
    return after, plant.record(first, slots, site)


def offer(plant: Plant, state: PlantState, setpoints: Mapping[str, HeldSetpoint]) -> tuple[PlantState, dict[str, RejectReason]]:
    """The state in which the site controller has taken the setpoints, and its answer to each.

    A setpoint is refused when a later one was seen, when its validity is over, or when it is outside the device's
    range. A newer one replaces the one that waits; one that is valid already takes force at once.
    """
    after, answers = state.copy(), {}
    for device_id, setpoint in setpoints.items():
        answers[device_id] = _refusal(plant, after, device_id, setpoint)
        if answers[device_id] is RejectReason.NONE:
            _hold(after.arrays.held[plant.slots[device_id]], setpoint, due=setpoint.valid_from <= state.at)
    return after, answers


def _hold(held: Array, setpoint: HeldSetpoint, *, due: bool) -> None:
    held[NEXT, SEQ] = -1.0
    held[HELD if due else NEXT] = setpoint.row()


def view(plant: Plant, state: PlantState, device_id: str) -> DeviceView:
    """What the site controller would show of a device now."""
    held = state.arrays.held[plant.slots[device_id]]
    clock = float(state.arrays.clock_s[0])
    given = held[HELD, SEQ] >= 0
    active = given and held[HELD, VALID_FROM] <= clock < held[HELD, VALID_UNTIL]
    safe = float(held[HELD, kernels.SAFE]) if given else float(plant.layout.safe_kw[plant.slots[device_id]])
    return DeviceView(
        state=DeviceState.ACTIVE if active else DeviceState.EXPIRED if given else DeviceState.IDLE,
        seq=max(0, int(held[HELD, SEQ])),
        next_seq=max(0, int(held[NEXT, SEQ])),
        target_kw=float(held[HELD, kernels.TARGET]) if active else safe,
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


def _slot_kind(device: AnyDevice) -> str:
    return "machine" if device.kind in _MACHINES else device.kind


def _in_slot_order(devices: Iterable[AnyDevice]) -> tuple[AnyDevice, ...]:
    known = [device for device in devices if _slot_kind(device) in _ORDER]
    return tuple(sorted(known, key=lambda device: _ORDER.index(_slot_kind(device))))


def _record_names(device: AnyDevice) -> tuple[str, ...]:
    if device.kind == "pv":
        return ("used_kw", "target_kw")
    if device.kind in _MACHINES:
        return ("power_kw", "heat_kw" if device.kind == "heat_pump" else "cold_kw", "target_kw")
    return ("charge_kw", "discharge_kw", "energy_kwh", "target_kw")


def _record_places(device: AnyDevice) -> tuple[int, ...]:
    if device.kind == "pv":
        return (kernels.IN_KW, kernels.TARGET_KW)
    if device.kind in _MACHINES:
        return (kernels.OUT_KW, kernels.IN_KW, kernels.TARGET_KW)
    return (kernels.OUT_KW, kernels.IN_KW, kernels.ENERGY_KWH, kernels.TARGET_KW)


def _shared_out(missing: Array, demand: Array, total: Array) -> Array:
    """Each load's part of what was not served, by its demand."""
    return np.where(total > 0, missing * demand / np.where(total > 0, total, 1.0), 0.0)


def _situation(truth: Truth, drivers: Drivers, states: Mapping[str, Mapping[str, float]]) -> Situation:
    """The surroundings in the devices' own terms: minutes as steps, prices left out (0)."""
    n = drivers.minutes
    none = np.zeros(n)
    prices = Prices(none, none, ("flat",) * n, 0.0, (0,) * n, none)
    grid = TimeGrid(drivers.start, 1, n)
    return Situation(truth.site.id, drivers.start, grid, states, drivers.series, prices, drivers.sessions)


def _minute_conditions(truth: Truth, drivers: Drivers) -> dict[str, dict[str, Array]]:
    situation = _situation(truth, drivers, {})
    return {device.id: device.conditions(situation) for device in truth.devices}


def _parameters(device: AnyDevice) -> tuple[float, ...]:
    if device.kind == "battery":
        own = (device.capacity_kwh, device.charge_limit_kw, device.discharge_limit_kw)
        return (*own, device.charge_efficiency, device.discharge_efficiency, device.standing_loss_per_hour)
    if device.kind == "thermal_store":
        own = (device.capacity_kwh, device.charge_limit_kw, device.discharge_limit_kw)
        return (*own, device.charge_efficiency, device.discharge_efficiency, device.loss_per_hour)
    if device.kind == "v2g_charger":
        own = (0.0, device.charge_limit_kw, device.discharge_limit_kw)
        return (*own, device.charge_efficiency, device.discharge_efficiency, 0.0)
    return (device.bounds_kw()[1], 0.0, 0.0, 1.0, 1.0, 0.0)


def _thermal_carrier(device: AnyDevice) -> int:
    if device.kind == "thermal_store":
        return kernels.HEAT if device.carrier == "heat" else kernels.COLD
    return kernels.HEAT if device.kind == "heat_pump" else kernels.COLD


def _pull(device: AnyDevice, dynamics: Dynamics) -> float:
    lag = dynamics.converter_lag_minutes if device.kind in ELECTRONIC else dynamics.machine_lag_minutes
    return 1.0 - float(np.exp(-1.0 / lag)) if lag > 0 else 1.0


def _layout(truth: Truth, devices: tuple[AnyDevice, ...]) -> Layout:
    count = {kind: sum(_slot_kind(device) == kind for device in devices) for kind in _ORDER}
    grid = next(device for device in truth.devices if device.kind == "grid_connection")
    dynamics = truth.dynamics
    return Layout(
        batteries=count["battery"],
        stores=count["thermal_store"],
        chargers=count["v2g_charger"],
        machines=count["machine"],
        pvs=count["pv"],
        parameters=np.array([_parameters(device) for device in devices], dtype=float).reshape(len(devices), 6),
        carrier=np.array([_thermal_carrier(device) for device in devices], dtype=np.int64),
        pull=np.array([_pull(device, dynamics) for device in devices], dtype=float),
        safe_kw=np.array([device.safe_kw() for device in devices], dtype=float),
        delay_minutes=dynamics.delay_minutes,
        taper_from=dynamics.taper_from,
        taper_least=dynamics.taper_least,
        import_limit_kw=grid.import_limit_kw,
        export_limit_kw=grid.export_limit_kw,
    )


def _columns_of(plant: Plant, kinds: tuple[str, ...], name: str) -> Array:
    parts = [plant.conditions[device.id][name] for device in plant.of_kind(*kinds)]
    return np.column_stack(parts) if parts else np.zeros((plant.drivers.minutes, 0))


def _surroundings(plant: Plant) -> Surroundings:
    chargers = plant.of_kind("v2g_charger")
    cars = np.zeros((plant.drivers.minutes, len(chargers), 7))
    for place, charger in enumerate(chargers):
        given = plant.conditions[charger.id]
        names = ("share", "stay", "arrive_kwh", "full_kwh", "floor_kwh", "two_way")
        gain = charger.charge_limit_kw * charger.charge_efficiency * kernels.MINUTE_HOURS
        needed = kernels.needed_by(given["target_kwh"], given["stay"], given["share"], gain)
        cars[:, place, :] = np.column_stack([*(given[name] for name in names), needed])
    return Surroundings(
        power_demand_kw=plant._demand("power"),
        thermal_demand_kw=np.ascontiguousarray(np.column_stack([plant._demand("heat"), plant._demand("cold")])),
        pv_available_kw=_columns_of(plant, ("pv",), "available_kw"),
        cop=_columns_of(plant, _MACHINES, "cop"),
        car=cars,
    )
