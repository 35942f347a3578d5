"""From a truth and its surroundings to the kernels' arrays: which device stands in which slot, with what parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypeVar

import numpy as np

from hil import kernels
from hil.drivers import Drivers
from hil.kernels import Layout, Surroundings
from hil.physics.car_cells import taper
from hil.truth import Cells, Dynamics, Machines, Tanks, Truth
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
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.devices.waste_heat import WasteHeat
from optimizer.situation import Prices, Session, Situation
from optimizer.time_grid import Array, TimeGrid

STRAIGHT = (0.0, 1.0, 0.0, 0.0)
"""Power in proportion to the part load, as the plan has it."""
Kind = TypeVar("Kind", bound=AnyDevice)
Conditions = Mapping[str, Mapping[str, Array]]
"""By device and condition: (minutes,) values, from the device's own `conditions`."""

MACHINES = (Chiller, HeatPump, WasteHeat, GasBoiler, AbsorptionChiller)
"""What makes heat or cold, in the order of the kernels' codes."""
ENGINES = (Chp, BackupGenerator)
SLOT_ORDER: tuple[tuple[type[AnyDevice], ...], ...] = (
    (Battery,),
    (ThermalStore,),
    (V2gCharger,),
    MACHINES,
    ENGINES,
    (FlexibleLoad,),
    (Pv,),
)
"""Slots stand in this order, and within each group in the order of the site file; machines and engines as the rules use
them, so that the local thermostat takes waste heat before a boiler. Loads, connections and expected cars have no slot:
demand from outside, meters, and cars of which only plans speak."""
KIND_CODES = dict(zip((*MACHINES, *ENGINES), range(kernels.OTHER), strict=True))
CARRIER_CODES: Mapping[Carrier, int] = {
    "heat": kernels.HEAT,
    "cold": kernels.COLD,
    "power": kernels.POWER,
    "gas": kernels.GAS,
}
FLEXIBLE_CONDITIONS = ("demand_kw", "added_max_kw", "put_off_max_kw", "owed_kwh", "ahead_kwh")
"""A flexible load's conditions in the kernels' order."""
CAR_CONDITIONS = ("share", "stay", "arrive_kwh", "full_kwh", "floor_kwh", "two_way")
"""The first of a car's conditions in the kernels' order."""


def of_type(devices: Iterable[AnyDevice], *kinds: type[Kind]) -> list[Kind]:
    return [device for device in devices if isinstance(device, kinds)]


def in_slot_order(devices: tuple[AnyDevice, ...]) -> tuple[AnyDevice, ...]:
    return tuple(device for group in SLOT_ORDER for device in _in_group(devices, group))


def _in_group(devices: Iterable[AnyDevice], group: tuple[type[AnyDevice], ...]) -> list[AnyDevice]:
    found = of_type(devices, *group)
    return sorted(found, key=lambda d: (d.rule_order, d.rule_rank)) if group in (MACHINES, ENGINES) else found


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
    batteries, stores, chargers, machines, engines, flexibles, pvs = (len(of_type(devices, *g)) for g in SLOT_ORDER)
    grid = of_type(truth.devices, GridConnection)[0]
    return Layout(
        batteries=batteries,
        stores=stores,
        chargers=chargers,
        machines=machines,
        engines=engines,
        flexibles=flexibles,
        pvs=pvs,
        absorbs=bool(of_type(devices, AbsorptionChiller)),
        kind=np.array([KIND_CODES.get(type(device), kernels.OTHER) for device in devices], dtype=np.int64),
        parameters=np.array([_parameters(d, truth.physics.cells) for d in devices], dtype=float).reshape(-1, 8),
        limit_lines=_limit_lines(devices),
        carrier=np.array([CARRIER_CODES[_carrier(device)] for device in devices], dtype=np.int64),
        physics=np.array([_physics(device, truth) for device in devices], dtype=float).reshape(
            -1, kernels.PHYSICS_SIZE
        ),
        tanks=_tanks(truth.physics.tanks),
        pull=np.array([_pull(device, dynamics) for device in devices], dtype=float),
        reserve_kwh=np.array([_reserve_kwh(device) for device in devices], dtype=float),
        safe_kw=np.array([device.safe_kw() for device in devices], dtype=float),
        delay_minutes=dynamics.delay_minutes,
        import_limit_kw=grid.bounds_kw()[1],
        guards=truth.guards,
        export_limit_kw=-grid.bounds_kw()[0],
        gas_limit_kw=sum(gas.supply_limit_kw for gas in of_type(truth.devices, GasSupply)),
        exports_generation_only=grid.export_source == "generation",
    )


def surroundings(truth: Truth, drivers: Drivers, conditions: Conditions) -> Surroundings:
    devices, minutes = in_slot_order(truth.devices), drivers.minutes
    cars = [_car(charger, truth, drivers, conditions) for charger in of_type(devices, V2gCharger)]
    flexibles = [
        _side_by_side([conditions[load.id][name] for name in FLEXIBLE_CONDITIONS], minutes)
        for load in of_type(devices, FlexibleLoad)
    ]
    return Surroundings(
        demand_kw=_side_by_side([demand_kw(truth.devices, conditions, c, minutes) for c in CARRIER_CODES], minutes),
        pv_available_kw=_side_by_side([conditions[pv.id]["available_kw"] for pv in of_type(devices, Pv)], minutes),
        machine=_side_by_side([_machine(conditions[m.id], minutes) for m in of_type(devices, *MACHINES)], minutes),
        allowed=_side_by_side([_allowed(conditions[e.id], minutes) for e in of_type(devices, *ENGINES)], minutes),
        flexible=np.stack(flexibles, axis=1) if flexibles else np.zeros((minutes, 0, len(FLEXIBLE_CONDITIONS))),
        car=np.stack(cars, axis=1) if cars else np.zeros((minutes, 0, kernels.CAR_CONDITIONS)),
    )


def _machine(given: Mapping[str, Array], minutes: int) -> Array:
    """(minutes,) what the surroundings decide of a machine: its COP, or the heat that a process gives off [kW]."""
    return given.get("cop", given.get("heat_available_kw", np.zeros(minutes)))


def _allowed(given: Mapping[str, Array], minutes: int) -> Array:
    return given.get("allowed", np.ones(minutes))


def _car(charger: V2gCharger, truth: Truth, drivers: Drivers, conditions: Conditions) -> Array:
    """(minutes, 10) conditions of the cars at one charger, in the kernels' order."""
    given = conditions[charger.id]
    gain_kwh = charger.charge_limit_kw * charger.charge_efficiency * kernels.MINUTE_HOURS
    needed = kernels.needed_by(given["target_kwh"], given["stay"], given["share"], gain_kwh)
    least = np.full(drivers.minutes, charger.min_charge_kw)
    tapers = _taper(charger, truth, drivers, given)
    return np.stack([*(given[name] for name in CAR_CONDITIONS), *tapers, needed, least], axis=1)


def _taper(charger: V2gCharger, truth: Truth, drivers: Drivers, given: Mapping[str, Array]) -> tuple[Array, Array]:
    """(minutes,) energy from which the car draws less, and by what share of its power per kWh: as the site file has it,
    else by the plant's own dynamics or cells."""
    dynamics, by_cells = truth.dynamics, truth.physics.cars_by_cells
    if charger.taper_from_soc < 1.0 or (dynamics.taper_from >= 1.0 and not by_cells):
        return given["taper_from_kwh"], given["taper_per_kwh"]
    known, full = _content_is_known(drivers.sessions.get(charger.id, ()), drivers), given["full_kwh"]
    start, least = dynamics.taper_from, dynamics.taper_least
    if by_cells:
        sizes, which = np.unique(full, return_inverse=True)
        laws = np.array([taper(charger.charge_limit_kw, size) if size > 0.0 else (1.0, 1.0) for size in sizes])
        start, least = laws[which].T
    width_kwh = (1.0 - start) * full
    per_kwh = np.divide(1.0 - least, width_kwh, out=np.zeros(len(known)), where=known * width_kwh > 0)
    return start * full, per_kwh


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


def _parameters(device: AnyDevice, cells: Cells | None) -> tuple[float, ...]:
    """Eight numbers, at the places that the kernels name for the kind of slot."""
    given = _own_parameters(device)
    if cells is not None and isinstance(device, Battery):
        given = (*given[:3], cells.converter_efficiency, cells.converter_efficiency, *given[5:])
    return (*given, *(0.0,) * (8 - len(given)))


def _own_parameters(device: AnyDevice) -> tuple[float, ...]:
    match device:
        case Battery():
            return (*device.numbers()[:6], device.auxiliary_kw, 0.0)
        case ThermalStore():
            return (*device.numbers()[:6], 0.0, device.charging_power_per_kw)
        case V2gCharger():
            limits = (0.0, device.charge_limit_kw, device.discharge_limit_kw)
            return (*limits, device.charge_efficiency, device.discharge_efficiency)
        case Chp():
            fuel = (device.gas_while_on_kw, device.gas_per_power, device.thermal_efficiency, float(device.heat_dump))
            pace = (device.min_down_hours, device.ramp_kw(kernels.MINUTE_HOURS))
            return (device.least_kw, device.power_limit_kw, *fuel, *pace)
        case BackupGenerator():
            return (device.least_kw, device.power_limit_kw)
        case FlexibleLoad():
            return (cut_share(device),)
        case Chiller() | HeatPump():
            most = device.bounds_kw()[1]
            return (most, 0.0, 0.0, device.min_part_load * most)
        case GasBoiler():
            return (device.heat_limit_kw, device.efficiency)
        case AbsorptionChiller():
            return (device.cooling_limit_kw, device.cop, device.auxiliary_kw_per_kw)
    return (device.bounds_kw()[1],)


def _physics(device: AnyDevice, truth: Truth) -> tuple[float, ...]:
    """Six numbers, at the places that the kernels name for the kind of slot."""
    cells, machines = truth.physics.cells, truth.physics.machines
    own: tuple[float, ...] = ()
    if isinstance(device, Battery) and cells is not None:
        size = device.capacity_kwh
        own = (cells.resistance, size * cells.heat_capacity_kwh_per_k, size * cells.cooling_kw_per_k, cells.room_c)
    elif isinstance(device, MACHINES):
        own = (*_curve(device, machines), _start_minutes(device, machines))
    own = (*own, *(0.0,) * (kernels.RAMP_KW - len(own)))
    if isinstance(device, Battery | ThermalStore):
        own = (*own[: kernels.KEPT], float(device.numbers().keep(np.array(kernels.MINUTE_HOURS))))
    return (*own, _ramp_kw(device, truth.dynamics))


def _tanks(tanks: Tanks | None) -> kernels.TankShape:
    if tanks is None:
        return kernels.TankShape(layered=False, useful_fill=0.0, mixing_per_hour=0.0)
    return kernels.TankShape(True, tanks.useful_fill, tanks.mixing_per_hour)


def layers_at(share: float, layers: int) -> Array:
    """(layers,) fills of a tank that holds this share of its capacity, warm above cold with a sharp border."""
    return np.clip(share * layers - np.arange(layers), 0.0, 1.0)


def _curve(device: AnyDevice, machines: Machines | None) -> tuple[float, float, float, float]:
    if machines is None or not isinstance(device, Chiller | HeatPump):
        return STRAIGHT
    return (*machines.input_by_part_load, device.min_part_load)


def _start_minutes(device: AnyDevice, machines: Machines | None) -> float:
    if machines is None:
        return 0.0
    if isinstance(device, AbsorptionChiller):
        return machines.absorption_start_minutes
    return machines.start_minutes if isinstance(device, Chiller | HeatPump) else 0.0


def _ramp_kw(device: AnyDevice, dynamics: Dynamics) -> float:
    electronic = isinstance(device, Battery | V2gCharger | Pv)
    return dynamics.converter_ramp_per_minute * max(map(abs, device.bounds_kw())) if electronic else np.inf


def cut_share(load: FlexibleLoad) -> float:
    """Share of the demand that can be given up [-]."""
    return load.curtailable_share if load.interruption_price_per_kwh is None else 1.0


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


def _carrier(device: AnyDevice) -> Carrier:
    """What a store holds, a machine gives, a flexible load uses."""
    if isinstance(device, ThermalStore | FlexibleLoad):
        return device.carrier
    return device.buses()[device.main_quantity][0] if device.main_quantity else "power"


def _pull(device: AnyDevice, dynamics: Dynamics) -> float:
    electronic = isinstance(device, Battery | V2gCharger | Pv)
    lag = dynamics.converter_lag_minutes if electronic else dynamics.machine_lag_minutes
    return 1.0 - float(np.exp(-1.0 / lag)) if lag > 0 else 1.0


def _reserve_kwh(device: AnyDevice) -> float:
    return device.min_soc * device.capacity_kwh if isinstance(device, Battery) else 0.0
