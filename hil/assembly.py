"""From a truth and its surroundings to the kernels' arrays: which device stands in which slot, with what parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypeVar

import numpy as np

from hil import kernels
from hil.drivers import Drivers
from hil.kernels import Layout, Surroundings
from hil.truth import Dynamics, Truth
from optimizer.devices import AnyDevice
from optimizer.devices.base import Carrier
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.errors import InputError, Problem
from optimizer.situation import Prices, Session, Situation
from optimizer.time_grid import Array, TimeGrid

Kind = TypeVar("Kind", bound=AnyDevice)
Conditions = Mapping[str, Mapping[str, Array]]
"""By device and condition: (minutes,) values, from the device's own `conditions`."""

SLOT_ORDER: tuple[tuple[type[AnyDevice], ...], ...] = (
    (Battery,),
    (ThermalStore,),
    (V2gCharger,),
    (Chiller, HeatPump),
    (Pv,),
)
"""Slots stand in this order, and within each group in the order of the site file."""
MACHINES = (Chiller, HeatPump)
WITHOUT_SLOT: tuple[type[AnyDevice], ...] = (Load, GridConnection, ExpectedCars)
"""What the plant knows without a setpoint: demand from outside, the meter, and cars of which only plans speak."""
CAR_CONDITIONS = ("share", "stay", "arrive_kwh", "full_kwh", "floor_kwh", "two_way")
"""The first of a car's conditions in the kernels' order."""


def of_type(devices: Iterable[AnyDevice], *kinds: type[Kind]) -> list[Kind]:
    return [device for device in devices if isinstance(device, kinds)]


def in_slot_order(devices: tuple[AnyDevice, ...]) -> tuple[AnyDevice, ...]:
    return tuple(device for group in SLOT_ORDER for device in of_type(devices, *group))


def refuse_unknown(truth: Truth) -> None:
    """Refuses a site with devices that the simulated plant has no physics for.

    Raises:
        InputError: names every such device.
    """
    known = {kind for group in (*SLOT_ORDER, WITHOUT_SLOT) for kind in group}
    message = "the simulated plant has no such device: simulate a site without it"
    problems = [
        Problem(truth.site.id, f"devices.{place} ({device.id})", device.kind, message)
        for place, device in enumerate(truth.devices)
        if type(device) not in known
    ]
    if problems:
        raise InputError(problems)


def situation(truth: Truth, drivers: Drivers, states: Mapping[str, Mapping[str, float]]) -> Situation:
    """The surroundings in the devices' own terms: minutes as steps, prices left out (0)."""
    n = drivers.minutes
    none = np.zeros(n)
    prices = Prices(none, none, ("flat",) * n, (), (0,) * n, none)
    grid = TimeGrid(drivers.start, 1, n)
    return Situation(truth.site.id, drivers.start, grid, states, drivers.series, prices, drivers.sessions)


def minute_conditions(truth: Truth, drivers: Drivers) -> Conditions:
    here = situation(truth, drivers, {})
    return {device.id: device.conditions(here) for device in truth.devices}


def demand_kw(devices: Iterable[AnyDevice], conditions: Conditions, carrier: Carrier, minutes: int) -> Array:
    """(minutes,) demand of all loads of a carrier."""
    loads = [load for load in of_type(devices, Load) if load.carrier == carrier]
    return sum((conditions[load.id]["demand_kw"] for load in loads), np.zeros(minutes))


def layout(truth: Truth) -> Layout:
    devices, dynamics = in_slot_order(truth.devices), truth.dynamics
    batteries, stores, chargers, machines, pvs = (len(of_type(devices, *group)) for group in SLOT_ORDER)
    grid = of_type(truth.devices, GridConnection)[0]
    return Layout(
        batteries=batteries,
        stores=stores,
        chargers=chargers,
        machines=machines,
        pvs=pvs,
        parameters=np.array([_parameters(device) for device in devices], dtype=float).reshape(len(devices), 8),
        limit_lines=_limit_lines(devices),
        carrier=np.array([_thermal_carrier(device) for device in devices], dtype=np.int64),
        pull=np.array([_pull(device, dynamics) for device in devices], dtype=float),
        reserve_kwh=np.array([_reserve_kwh(device) for device in devices], dtype=float),
        safe_kw=np.array([device.safe_kw() for device in devices], dtype=float),
        delay_minutes=dynamics.delay_minutes,
        import_limit_kw=grid.bounds_kw()[1],
        guards=truth.guards,
        export_limit_kw=-grid.bounds_kw()[0],
        exports_generation_only=grid.export_source == "generation",
    )


def surroundings(truth: Truth, drivers: Drivers, conditions: Conditions) -> Surroundings:
    devices, minutes = truth.devices, drivers.minutes
    cars = [_car(charger, truth.dynamics, drivers, conditions) for charger in of_type(devices, V2gCharger)]
    heat, cold = (demand_kw(devices, conditions, carrier, minutes) for carrier in ("heat", "cold"))
    return Surroundings(
        power_demand_kw=demand_kw(devices, conditions, "power", minutes),
        thermal_demand_kw=np.stack([heat, cold], axis=1),
        pv_available_kw=_side_by_side([conditions[pv.id]["available_kw"] for pv in of_type(devices, Pv)], minutes),
        cop=_side_by_side([conditions[machine.id]["cop"] for machine in of_type(devices, *MACHINES)], minutes),
        car=np.stack(cars, axis=1) if cars else np.zeros((minutes, 0, kernels.CAR_CONDITIONS)),
    )


def _car(charger: V2gCharger, dynamics: Dynamics, drivers: Drivers, conditions: Conditions) -> Array:
    """(minutes, 10) conditions of the cars at one charger, in the kernels' order."""
    given = conditions[charger.id]
    gain_kwh = charger.charge_limit_kw * charger.charge_efficiency * kernels.MINUTE_HOURS
    needed = kernels.needed_by(given["target_kwh"], given["stay"], given["share"], gain_kwh)
    least = np.full(drivers.minutes, charger.min_charge_kw)
    taper = _taper(charger, dynamics, drivers, given)
    return np.stack([*(given[name] for name in CAR_CONDITIONS), *taper, needed, least], axis=1)


def _taper(
    charger: V2gCharger, dynamics: Dynamics, drivers: Drivers, given: Mapping[str, Array]
) -> tuple[Array, Array]:
    """(minutes,) energy from which the car draws less, and by what share of its power per kWh: as the site file has it,
    else by the plant's own dynamics."""
    if charger.taper_from_soc < 1.0 or dynamics.taper_from >= 1.0:
        return given["taper_from_kwh"], given["taper_per_kwh"]
    known = _content_is_known(drivers.sessions.get(charger.id, ()), drivers)
    width_kwh = (1.0 - dynamics.taper_from) * given["full_kwh"]
    per_kwh = np.divide(1.0 - dynamics.taper_least, width_kwh, out=np.zeros(len(known)), where=known * width_kwh > 0)
    return dynamics.taper_from * given["full_kwh"], per_kwh


def _content_is_known(sessions: Iterable[Session], drivers: Drivers) -> Array:
    """(minutes,) 1 while a car stands there whose capacity and content on arrival are known."""
    known, minute = np.zeros(drivers.minutes), timedelta(minutes=1)
    for session in sessions:
        if session.capacity_kwh is not None and session.energy_on_arrival_kwh is not None:
            first, last = (session.arrive - drivers.start) // minute, -((drivers.start - session.depart) // minute)
            known[max(first, 0) : max(last, 0)] = 1.0
    return known


def _side_by_side(columns: list[Array], minutes: int) -> Array:
    return np.stack(columns, axis=1) if columns else np.zeros((minutes, 0))


def _parameters(device: AnyDevice) -> tuple[float, ...]:
    if isinstance(device, Battery):
        return (*device.numbers()[:6], device.auxiliary_kw, 0.0)
    if isinstance(device, ThermalStore):
        return (*device.numbers()[:6], 0.0, device.charging_power_per_kw)
    if isinstance(device, V2gCharger):
        own = (0.0, device.charge_limit_kw, device.discharge_limit_kw)
        return (*own, device.charge_efficiency, device.discharge_efficiency, 0.0, 0.0, 0.0)
    return (device.bounds_kw()[1], 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0)


def _limit_lines(devices: tuple[AnyDevice, ...]) -> Array:
    """(slots, 2, lines, 2) as `Layout.limit_lines` says; as many lines as the device with most of them has."""
    none = np.zeros((0, 2))
    own = [device.numbers()[6:] if isinstance(device, Battery | ThermalStore) else (none, none) for device in devices]
    most = max((len(lines) for pair in own for lines in pair), default=0)
    full = np.tile([1.0, 0.0], (len(devices), 2, most, 1))
    for slot, pair in enumerate(own):
        for direction, lines in enumerate(pair):
            full[slot, direction, : len(lines)] = lines
    return full


def _thermal_carrier(device: AnyDevice) -> int:
    if isinstance(device, ThermalStore):
        return kernels.HEAT if device.carrier == "heat" else kernels.COLD
    return kernels.HEAT if isinstance(device, HeatPump) else kernels.COLD


def _pull(device: AnyDevice, dynamics: Dynamics) -> float:
    electronic = isinstance(device, Battery | V2gCharger | Pv)
    lag = dynamics.converter_lag_minutes if electronic else dynamics.machine_lag_minutes
    return 1.0 - float(np.exp(-1.0 / lag)) if lag > 0 else 1.0


def _reserve_kwh(device: AnyDevice) -> float:
    return device.min_soc * device.capacity_kwh if isinstance(device, Battery) else 0.0
