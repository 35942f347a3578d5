"""The steps of many sites at once: one kernel for each kind of device, time-major, vectorised over sites.

Arrays end in the sites, so that neighbouring sites lie side by side and a loop over them is one vector loop:

    targets     (steps, rows, sites)               setpoints as in messages: > 0 feeds the bus [kW]
    around      (steps, rows, conditions, sites)   what the surroundings allow
    parameters  (rows, parameters, sites)
    states      (rows, states, sites)              changed in place
    records     (steps, rows, quantities, sites)   flows [kW], then the states at the end of the step
                (1, ...)                           where they are not kept: `keep` 0 writes every step to the same place
    missing     (steps, 4, sites)                  by carrier: taken from the bus less fed into it [kW]

A row is one device of every site. Devices meet only in `missing`; `close` then settles it at the connections.

A `row` below is one step of one device of one site, the device's own `step` between target and `missing`. `over_sites`
lays it over sites, `kernel_of` over rows and steps. Each array is cut into one-dimensional rows first, which do not
overlap: with those LLVM vectorises.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.compiling import callable_from_python, inlined, on_apart_arrays
from hil.physics import meters
from hil.physics.giving_way import give_way
from optimizer.devices import (
    absorption_chiller,
    backup_generator,
    chiller,
    chp,
    gas_boiler,
    gas_supply,
    grid_connection,
    heat_pump,
    load,
    pv,
    storage,
    v2g_charger,
    waste_heat,
)
from optimizer.devices.base import Carrier
from optimizer.time_grid import Array

CARRIERS: tuple[Carrier, ...] = ("power", "heat", "cold", "gas")
POWER, HEAT, COLD, GAS = range(4)
WHOLE = 1.0
"""A machine that is really there runs or stands; only plans know means of both."""

Row = Callable[..., None]
Kernel = Callable[..., None]

exchange = inlined(storage.exchange)
store_step = inlined(storage.step)
charger_step = inlined(v2g_charger.step)
pv_step = inlined(pv.step)
load_step = inlined(load.step)
waste_heat_step = inlined(waste_heat.step)
backup_step = inlined(backup_generator.step)
chiller_step = inlined(chiller.step)
heat_pump_step = inlined(heat_pump.step)
boiler_step = inlined(gas_boiler.step)
absorption_step = inlined(absorption_chiller.step)
chp_step = inlined(chp.step)
flexible_step = inlined(give_way)
grid_step = inlined(grid_connection.step)
gas_step = inlined(gas_supply.step)
reading = inlined(meters.reading)


@cache
def _cut(count: int) -> Callable[[Array, int, int], tuple[Array, ...]]:
    """Compiled: the first `count` rows of a (rows, sites) array, each from site `first` to before `end`."""
    if count == 0:

        def none(array: Array, first: int, end: int) -> tuple[()]:
            return ()

        return inlined(none)
    before = _cut(count - 1)

    def rows(array: Array, first: int, end: int) -> tuple[Array, ...]:
        return before(array, first, end) + (array[count - 1, first:end],)  # noqa: RUF005 - Numba adds tuples only so

    return inlined(rows)


def over_sites(row: Row) -> Callable[..., None]:
    """Compiled: one step of one device at all sites of the rows."""

    def step_sites(target: Array, c: Any, p: Any, x: Any, record: Any, bus: Any, hours: float) -> None:
        for s in range(len(target)):
            row(s, target, c, p, x, record, bus, hours)

    return on_apart_arrays(step_sites)


def kernel_of(row: Row, parameters: int, conditions: int, states: int, quantities: int) -> Kernel:
    """Compiled: `row` over all rows, steps and the sites from `first` to before `end`."""
    of_parameters, of_conditions, of_states = _cut(parameters), _cut(conditions), _cut(states)
    of_records, of_missing = _cut(quantities + states), _cut(len(CARRIERS))
    step_sites = over_sites(row)

    def kernel(
        targets: Array, around: Array, parameters: Array, states: Array, records: Array, missing: Array,
        keep: int, hours: float, first: int, end: int,
    ) -> None:  # fmt: skip
        for d in range(targets.shape[1]):
            p, x = of_parameters(parameters[d], first, end), of_states(states[d], first, end)
            for t in range(len(targets)):
                target, c = targets[t, d, first:end], of_conditions(around[t, d], first, end)
                record, bus = of_records(records[keep * t, d], first, end), of_missing(missing[t], first, end)
                step_sites(target, c, p, x, record, bus, hours)

    return callable_from_python(kernel)


def store_row(carrier: int) -> Row:
    """Batteries and thermal stores. Parameters: see `fleet.store_parameters`; quantities: charge, discharge, beside."""

    def row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
        charge, discharge, energy = exchange(
            x[0][s] * p[0][s], max(0.0 - target[s], 0.0), max(target[s], 0.0), hours,
            p[1][s], p[2][s], p[3][s], p[4][s], p[5][s],
        )  # fmt: skip
        beside = p[6][s] + p[7][s] * charge
        x[0][s] = energy
        record[0][s], record[1][s], record[2][s], record[3][s] = charge, discharge, beside, energy
        missing[carrier][s] += charge - discharge
        missing[POWER][s] += beside

    return inlined(row)


def demand_row(carrier: int) -> Row:
    """Loads. Condition: demand; quantity: served."""

    def row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
        served = load_step(c[0][s], c[0][s])
        record[0][s] = served
        missing[carrier][s] += served

    return inlined(row)


def flexible_row(carrier: int) -> Row:
    """Flexible loads. Parameter: the share that may be given up; conditions: demand, most added, most put off, owed,
    ahead; quantities: served, added, put off."""

    def row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
        served, added, put_off, shifted = flexible_step(
            x[0][s], target[s], hours, c[0][s], c[1][s], c[2][s], c[3][s], c[4][s], p[0][s]
        )
        x[0][s] = shifted
        record[0][s], record[1][s], record[2][s], record[3][s] = served, added, put_off, shifted
        missing[carrier][s] += served + added - put_off

    return inlined(row)


@inlined
def pv_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """PV plants. Condition: what the sun offers; parameter: the inverters' rating; quantity: used."""
    used = pv_step(target[s], c[0][s], p[0][s])
    record[0][s] = used
    missing[POWER][s] -= used


@inlined
def waste_heat_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """Waste heat. Condition: what the process gives; quantity: heat."""
    heat = waste_heat_step(target[s], c[0][s])
    record[0][s] = heat
    missing[HEAT][s] -= heat


@inlined
def backup_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """Backup generators. Condition: whether they may run; parameters: least and largest power; quantity: power."""
    power = backup_step(target[s], c[0][s], WHOLE, p[0][s], p[1][s])
    record[0][s] = power
    missing[POWER][s] -= power


@inlined
def chiller_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """Compression chillers. Condition: COP; parameter: largest cooling power; quantities: power, cold."""
    cold, power = chiller_step(target[s], c[0][s], p[0][s])
    record[0][s], record[1][s] = power, cold
    missing[POWER][s] += power
    missing[COLD][s] -= cold


@inlined
def heat_pump_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """Heat pumps. Condition: COP; parameter: largest heating power; quantities: power, heat."""
    heat, power = heat_pump_step(target[s], c[0][s], p[0][s])
    record[0][s], record[1][s] = power, heat
    missing[POWER][s] += power
    missing[HEAT][s] -= heat


@inlined
def boiler_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """Gas boilers. Parameters: largest heating power, efficiency; quantities: gas, heat."""
    heat, gas = boiler_step(target[s], p[0][s], p[1][s])
    record[0][s], record[1][s] = gas, heat
    missing[GAS][s] += gas
    missing[HEAT][s] -= heat


@inlined
def absorption_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """Absorption chillers. Parameters: COP, pumps per cold, largest cooling power; quantities: heat, power, cold."""
    heat, power, cold = absorption_step(target[s], p[0][s], p[1][s], p[2][s])
    record[0][s], record[1][s], record[2][s] = heat, power, cold
    missing[HEAT][s] += heat
    missing[POWER][s] += power
    missing[COLD][s] -= cold


@inlined
def chp_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """Gas engines. Parameters: least and full power, gas while on, gas per power, thermal efficiency, whether a cooler
    is there, least time off, ramp within the step; quantities: gas, power, heat. A cooler takes nothing here: heat that
    nobody uses is left over in `missing`."""
    power, gas, heat, on_hours, off_hours = chp_step(
        target[s], 0.0, np.inf, WHOLE, hours, x[0][s], x[1][s], x[2][s],
        p[0][s], p[1][s], p[2][s], p[3][s], p[4][s], p[5][s] > 0.5, p[6][s], p[7][s],
    )  # fmt: skip
    x[0][s], x[1][s], x[2][s] = power, on_hours, off_hours
    record[0][s], record[1][s], record[2][s] = gas, power, heat
    record[3][s], record[4][s], record[5][s] = power, on_hours, off_hours
    missing[GAS][s] += gas
    missing[POWER][s] -= power
    missing[HEAT][s] -= heat


SHARE, FULL_KWH, FLOOR_KWH, TWO_WAY, TAPER_FROM_KWH, TAPER_PER_KWH = range(6)
CAR_SIZE = 6
"""Places in what stands at a charger now."""


@inlined
def charger_row(s: int, target: Any, c: Any, p: Any, x: Any, record: Any, missing: Any, hours: float) -> None:
    """Chargers. Parameters: largest charge and discharge power, both efficiencies, least charging power; quantities:
    charge, discharge."""
    share = c[SHARE][s]
    charge, discharge, energy = charger_step(
        x[0][s], max(0.0 - target[s], 0.0), max(target[s], 0.0), hours, c[FULL_KWH][s], c[FLOOR_KWH][s],
        share * p[0][s], share * c[TWO_WAY][s] * p[1][s], share * p[4][s],
        c[TAPER_FROM_KWH][s], c[TAPER_PER_KWH][s], p[2][s], p[3][s],
    )  # fmt: skip
    x[0][s] = energy
    record[0][s], record[1][s], record[2][s] = charge, discharge, energy
    missing[POWER][s] += charge - discharge


def charger_kernel() -> Kernel:
    """As `kernel_of`, but what stands at a charger changes only now and then: `changes` say when, by row in order of
    time, and `around` (rows, 6, sites) holds what is there now. Between changes nothing of it is read from memory."""
    of_five, of_car, of_one, of_three, of_missing = _cut(5), _cut(CAR_SIZE), _cut(1), _cut(3), _cut(len(CARRIERS))
    step_sites = over_sites(charger_row)

    def kernel(
        targets: Array, around: Array, parameters: Array, states: Array, records: Array, missing: Array,
        keep: int, hours: float, first: int, end: int,
        first_change: NDArray[np.int64], steps: NDArray[np.int64], sites: NDArray[np.int64], cars: Array,
        offset: int,
    ) -> None:  # fmt: skip
        for d in range(targets.shape[1]):
            p, x = of_five(parameters[d], first, end), of_one(states[d], first, end)
            car = of_car(around[d], first, end)
            change, last = first_change[d], first_change[d + 1]
            while change < last and steps[change] < offset:
                change += 1
            for t in range(len(targets)):
                while change < last and steps[change] == offset + t:
                    if first <= sites[change] < end:
                        change_car(around[d], states[d], sites[change], cars[change])
                    change += 1
                record, bus = of_three(records[keep * t, d], first, end), of_missing(missing[t], first, end)
                step_sites(targets[t, d, first:end], car, p, x, record, bus, hours)

    return callable_from_python(kernel)


@inlined
def change_car(around: Array, state: Array, s: int, car: Array) -> None:
    """Puts what stands at a charger from now on; the last two places are the share of the energy that stays, and the
    energy that a car brings."""
    for place in range(CAR_SIZE):
        around[place, s] = car[place]
    state[0, s] = state[0, s] * car[CAR_SIZE] + car[CAR_SIZE + 1]


def limited_store_kernel(carrier: int) -> Kernel:
    """Stores whose limits depend on their fill: `lines` (rows, sites, 2, lines, 2) as `storage.step` takes them, the
    loss per hour in the place of what is kept. Not vectorised."""

    def kernel(
        targets: Array, parameters: Array, states: Array, records: Array, missing: Array,
        keep: int, hours: float, first: int, end: int, lines: Array,
    ) -> None:  # fmt: skip
        for d in range(targets.shape[1]):
            p = parameters[d]
            for t in range(len(targets)):
                for s in range(first, end):
                    charge, discharge, energy = store_step(
                        states[d, 0, s], max(0.0 - targets[t, d, s], 0.0), max(targets[t, d, s], 0.0), hours,
                        p[1, s], p[2, s], p[3, s], p[4, s], p[5, s], p[0, s], lines[d, s, 0], lines[d, s, 1],
                    )  # fmt: skip
                    beside = p[6, s] + p[7, s] * charge
                    states[d, 0, s] = energy
                    records[keep * t, d, 0, s], records[keep * t, d, 1, s] = charge, discharge
                    records[keep * t, d, 2, s], records[keep * t, d, 3, s] = beside, energy
                    missing[t, carrier, s] += charge - discharge
                    missing[t, POWER, s] += beside

    return callable_from_python(kernel)


IMPORT_KW, EXPORT_KW, SUPPLY_KW, UNSERVED_POWER_KW, UNSERVED_HEAT_KW, UNSERVED_COLD_KW, UNSERVED_GAS_KW = range(7)
SURPLUS_POWER_KW, SURPLUS_HEAT_KW, SURPLUS_COLD_KW, DEMAND_KW = range(7, 11)
SITE_SIZE = 11
"""Places in a site's record: connections, what they could not serve, what found no place, and the mean import over the
demand window that ends with the step."""


_of_limits, _of_missing, _of_site = _cut(3), _cut(len(CARRIERS)), _cut(SITE_SIZE)


@inlined
def _settle(s: int, bus: Any, imports: Array, exports: Array, supplies: Array, record: Any, latest: Array) -> None:
    power, heat, cold, gas = bus[POWER][s], bus[HEAT][s], bus[COLD][s], bus[GAS][s]
    taken, fed = grid_step(max(power, 0.0), max(0.0 - power, 0.0), imports[s], exports[s])
    supply = gas_step(gas, supplies[s])
    latest[s] = taken
    record[IMPORT_KW][s], record[EXPORT_KW][s], record[SUPPLY_KW][s] = taken, fed, supply
    record[UNSERVED_POWER_KW][s], record[SURPLUS_POWER_KW][s] = max(power - taken, 0.0), max(0.0 - power - fed, 0.0)
    record[UNSERVED_HEAT_KW][s], record[SURPLUS_HEAT_KW][s] = max(heat, 0.0), max(0.0 - heat, 0.0)
    record[UNSERVED_COLD_KW][s], record[SURPLUS_COLD_KW][s] = max(cold, 0.0), max(0.0 - cold, 0.0)
    record[UNSERVED_GAS_KW][s] = max(gas - supply, 0.0)


@on_apart_arrays
def _settle_sites(bus: Any, imports: Array, exports: Array, supplies: Array, record: Any, latest: Array) -> None:
    for s in range(len(latest)):
        _settle(s, bus, imports, exports, supplies, record, latest)


@callable_from_python
def close(missing: Array, limits: Array, window: Array, sites: Array, offset: int, first: int, end: int) -> None:
    """Settles the buses at the connections: `limits` (3, sites) of import, export and gas [kW]; `window` (n, sites)
    holds the imports of the last n steps, changed in place; `sites` (steps, 11, sites) takes the record."""
    imports, exports, supplies = _of_limits(limits, first, end)
    for t in range(len(missing)):
        bus, record = _of_missing(missing[t], first, end), _of_site(sites[t], first, end)
        latest = window[(offset + t) % len(window), first:end]
        _settle_sites(bus, imports, exports, supplies, record, latest)
        demand = record[DEMAND_KW]
        demand[:] = 0.0
        for n in range(len(window)):
            before = window[n, first:end]
            for s in range(end - first):
                demand[s] += before[s] / len(window)


@callable_from_python
def show(
    sites: Array, shown: Array, places: NDArray[np.int64], noise_share: float, quantum_kw: float, seed: int,
    offset: int, first: int, end: int,
) -> None:  # fmt: skip
    """What the meters of the `places` of the sites' records show, into `shown` (steps, places, sites)."""
    for t in range(len(sites)):
        for n in range(len(places)):
            for s in range(first, end):
                meter = (seed * SITE_SIZE + places[n]) * 1_000_003 + s
                shown[t, n, s] = reading(sites[t, places[n], s], noise_share, quantum_kw, meter, offset + t)
