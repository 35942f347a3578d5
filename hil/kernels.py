"""One minute of a whole site, compiled: the devices' own physical steps between site controller and balances.

Arrays are laid out by slot: batteries first, then thermal stores, chargers, machines (chillers and heat pumps), PV. A
slot's setpoint is signed as in messages: > 0 feeds the bus. Everything here is plain arithmetic on arrays of one site.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from optimizer.devices import chiller, grid_connection, heat_pump, pv, storage, v2g_charger
from optimizer.time_grid import Array
from streams import guard

Function = TypeVar("Function", bound=Callable[..., Any])

MINUTE_HOURS = 1.0 / 60.0
WINDOW_MINUTES = 15
"""Demand is billed as the highest mean over this time, the window sliding minute by minute (RULES 1.3)."""
ARRIVED_KW = 1e-3
"""A lag that has come this near to its target has reached it."""
HEAT, COLD = 0, 1
"""Places of the thermal carriers in arrays by carrier."""

SEQ, TARGET, SAFE, VALID_FROM, VALID_UNTIL, GRID_LIMIT, ADJUSTED = range(7)
"""Places in a held setpoint: numbers, kW, seconds since 1970; a limit of NaN is none, a seq of -1 no setpoint. ADJUSTED
is the power that a fast loop asks for in place of the target; NaN for none."""
SETPOINT_SIZE = 7
HELD, NEXT = 0, 1
"""A device holds the setpoint in force and the one that comes after it."""
NOT_GUARDED = -1
"""Role of devices that the guard leaves alone: those of heat and cold."""
IDLE, ACTIVE, EXPIRED = 0, 1, 2
"""States of a device's setpoint, as the register map numbers them."""

OUT_KW, IN_KW, ENERGY_KWH, TARGET_KW, BESIDE_KW = range(5)
"""Places in a slot's record: taken from the bus, fed to the bus (means), energy and target at the end of the minute,
power that a store takes beside what it stores. Machines take power in OUT_KW and give heat or cold in IN_KW."""
SLOT_RECORD_SIZE = 5
IMPORT_KW, EXPORT_KW, UNSERVED_KW, UNSERVED_HEAT_KW, UNSERVED_COLD_KW, LIMIT_KW = range(6)
"""Places in the site's record."""

CAPACITY, CHARGE_LIMIT, DISCHARGE_LIMIT, CHARGE_EFFICIENCY, DISCHARGE_EFFICIENCY, LOSS, STANDING, PER_CHARGE = range(8)
"""Places in a slot's parameters; machines and PV have their largest output in CAPACITY. STANDING [kW] and PER_CHARGE
[kW/kW] are the power that a store takes beside what it stores."""
CHARGING, DISCHARGING = 0, 1
"""Places in a slot's limit lines."""
SHARE, STAY, BROUGHT_KWH, FULL_KWH, FLOOR_KWH, TWO_WAY, TAPER_FROM_KWH, TAPER_PER_KWH, NEEDED_KWH, LEAST_KW = range(10)
CAR_CONDITIONS = 10
"""Places in a car's conditions; NEEDED_KWH is what it must hold at the end of the minute to be ready in time, LEAST_KW
the charger's least charging power. TAPER_PER_KWH is 0 where it is not known when the car draws less."""


class Layout(NamedTuple):
    """What does not change while the plant runs."""

    batteries: int
    stores: int
    chargers: int
    machines: int
    pvs: int
    parameters: Array
    """(slots, 8)."""
    limit_lines: Array
    """(slots, 2, lines, 2) share at a fill of 0 and slope of the lines under which charging and discharging stay; full
    limits (1, 0) where a store has fewer."""
    carrier: NDArray[np.int64]
    """(slots,) HEAT or COLD of stores and machines."""
    pull: Array
    """(slots,) share of the way to the target that a device goes in a minute."""
    reserve_kwh: Array
    """(slots,) energy below which the peak guard does not discharge."""
    safe_kw: Array
    """(slots,) value of the setpoint as long as none was ever held."""
    delay_minutes: int
    import_limit_kw: float
    export_limit_kw: float
    guards: bool
    """Whether the cabinet keeps the limits by a fast loop of its own."""
    exports_generation_only: bool
    """Whether stored energy must not reach the grid."""


class Surroundings(NamedTuple):
    """What the surroundings offer in each minute, from the start of the drivers on."""

    power_demand_kw: Array
    thermal_demand_kw: Array
    """(minutes, 2) by thermal carrier."""
    pv_available_kw: Array
    """(minutes, pvs)."""
    cop: Array
    """(minutes, machines)."""
    car: Array
    """(minutes, chargers, 10): see SHARE to LEAST_KW."""


class PlantArrays(NamedTuple):
    """What changes; the kernel works on a copy of its own."""

    clock_s: Array
    """(1,) seconds since 1970."""
    energy_kwh: Array
    """(slots,) of batteries, stores and cars."""
    held: Array
    """(slots, 2, 7) setpoints HELD and NEXT."""
    wanted_kw: Array
    """(slots,) target of the setpoint in force."""
    acting_kw: Array
    """(slots,) target that the device follows, after the delay."""
    countdown: NDArray[np.int64]
    """(slots,) minutes until `wanted_kw` acts."""
    reached_kw: Array
    """(slots,) where the lag has come to on the way to `acting_kw`."""
    status: NDArray[np.int64]
    """(slots,) IDLE, ACTIVE or EXPIRED."""
    window_kw: Array
    """(14,) import of the last minutes, oldest first: with the running one they make the meter's window."""


def compiled(function: Function) -> Function:
    """`function` compiled by Numba for use inside other compiled ones, still typed as what it was."""
    jit: Any = numba.njit  # its stubs do not know the option
    result: Function = jit(no_cpython_wrapper=True)(function)
    return result


def callable_from_python(function: Function) -> Function:
    """As `compiled`, and callable from Python too, which costs compile time."""
    result: Function = numba.njit(function)
    return result


store_step = compiled(storage.step)
charger_step = compiled(v2g_charger.step)
chiller_step = compiled(chiller.step)
heat_pump_step = compiled(heat_pump.step)
pv_step = compiled(pv.step)
grid_step = compiled(grid_connection.step)
guard_step = compiled(guard.guard)
allowed_import_kw = compiled(guard.allowed_import_kw)


@callable_from_python
def needed_by(target_kwh: Array, stay: Array, share: Array, gain_kwh: float) -> Array:
    """(n,) least energy at the end of each minute from which a car that gains `gain_kwh` a minute is ready in time."""
    needed = target_kwh.copy()
    for m in range(len(needed) - 2, -1, -1):
        if stay[m + 1] > 0.0:
            needed[m] = max(needed[m], needed[m + 1] - gain_kwh * share[m + 1])
    return needed


@compiled
def take_setpoints(layout: Layout, now: PlantArrays) -> None:
    """Brings each device's target to what its setpoints say at this minute; past validity it is the safe value."""
    clock = now.clock_s[0]
    for i in range(len(now.held)):
        if now.held[i, NEXT, SEQ] >= 0.0 and now.held[i, NEXT, VALID_FROM] <= clock:
            for place in range(SETPOINT_SIZE):
                now.held[i, HELD, place] = now.held[i, NEXT, place]
            now.held[i, NEXT, SEQ] = -1.0
        setpoint = now.held[i, HELD]
        if setpoint[SEQ] >= 0.0 and clock < setpoint[VALID_UNTIL]:
            if np.isnan(setpoint[ADJUSTED]):
                follow(layout, now, i, setpoint[TARGET])
            else:
                follow_at_once(now, i, setpoint[ADJUSTED])
        else:
            rest_kw = setpoint[SAFE] if setpoint[SEQ] >= 0.0 else layout.safe_kw[i]
            now.status[i] = EXPIRED if setpoint[SEQ] >= 0.0 else IDLE
            now.wanted_kw[i] = now.acting_kw[i] = rest_kw
            now.countdown[i] = 0
        way_kw = now.acting_kw[i] - now.reached_kw[i]
        now.reached_kw[i] += layout.pull[i] * way_kw if abs(way_kw) > ARRIVED_KW else way_kw


@compiled
def follow(layout: Layout, now: PlantArrays, i: int, target_kw: float) -> None:
    """A valid setpoint acts after the delay."""
    now.status[i] = ACTIVE
    if target_kw != now.wanted_kw[i]:
        now.wanted_kw[i] = target_kw
        now.countdown[i] = layout.delay_minutes
    if now.countdown[i] == 0:
        now.acting_kw[i] = target_kw
    else:
        now.countdown[i] -= 1


@compiled
def follow_at_once(now: PlantArrays, i: int, adjusted_kw: float) -> None:
    """A fast loop speaks to the device itself: no delay, only its lag."""
    now.status[i] = ACTIVE
    now.wanted_kw[i] = now.acting_kw[i] = adjusted_kw
    now.countdown[i] = 0


@compiled
def grid_limit_kw(layout: Layout, now: PlantArrays) -> float:
    """Import limit of the latest interval that any device was told; it outlives its setpoints, as a peak guard."""
    latest, limit = -1.0, np.inf
    for i in range(len(now.held)):
        setpoint = now.held[i, HELD]
        if setpoint[SEQ] < 0.0 or setpoint[VALID_FROM] < latest:
            continue
        told = np.inf if np.isnan(setpoint[GRID_LIMIT]) else setpoint[GRID_LIMIT]
        limit = told if setpoint[VALID_FROM] > latest else min(limit, told)
        latest = setpoint[VALID_FROM]
    return min(limit, layout.import_limit_kw)


@compiled
def storage_step(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, feed_kw: float
) -> tuple[float, float, float]:
    """The physical step of the battery, store or car in slot `i` when asked to feed `feed_kw` (< 0: to charge)."""
    p, energy = layout.parameters[i], now.energy_kwh[i]
    charge, discharge = max(0.0 - feed_kw, 0.0), max(feed_kw, 0.0)
    if i < layout.batteries + layout.stores:
        return store_step(
            energy, charge, discharge, MINUTE_HOURS, p[0], p[1], p[2], p[3], p[4], p[5],
            layout.limit_lines[i, CHARGING], layout.limit_lines[i, DISCHARGING],
        )  # fmt: skip
    car = around.car[row, i - layout.batteries - layout.stores]
    before = energy * car[STAY] + car[BROUGHT_KWH]
    return charger_step(
        before, charge, discharge, MINUTE_HOURS, car[FULL_KWH], car[FLOOR_KWH],
        p[CHARGE_LIMIT] * car[SHARE], p[DISCHARGE_LIMIT] * car[SHARE] * car[TWO_WAY],
        least_charge_kw(now, i, car[LEAST_KW]), car[TAPER_FROM_KWH], car[TAPER_PER_KWH],
        p[CHARGE_EFFICIENCY], p[DISCHARGE_EFFICIENCY],
    )  # fmt: skip


@compiled
def least_charge_kw(now: PlantArrays, i: int, least_kw: float) -> float:
    """The power below which the charger in slot `i` is off; on the way to a target above it the lag may pass below."""
    return float(min(least_kw, max(0.0 - now.reached_kw[i], 0.0)) if 0.0 - now.acting_kw[i] >= least_kw else least_kw)


@compiled
def delivered(layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, feed_kw: float) -> float:
    """What the storage in slot `i` would feed if asked for `feed_kw`; nothing is changed."""
    charge, discharge, _ = storage_step(layout, now, around, row, i, feed_kw)
    return discharge - charge


@compiled
def commit(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, feed_kw: float, out: Array
) -> float:
    """Runs the storage in slot `i` for the minute, writes its record, and tells what it fed [kW]."""
    charge, discharge, energy = storage_step(layout, now, around, row, i, feed_kw)
    now.energy_kwh[i] = energy
    out[i, OUT_KW], out[i, IN_KW], out[i, ENERGY_KWH] = charge, discharge, energy
    out[i, BESIDE_KW] = layout.parameters[i, STANDING] + layout.parameters[i, PER_CHARGE] * charge
    return discharge - charge


@compiled
def serve_thermal(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, carrier: int, feeds: Array, out: Array
) -> float:
    """Serves heat or cold for the minute and tells what stayed unserved [kW].

    Machines and stores go where their setpoints say. What is then missing or too much, the local thermostat settles:
    first machines without a valid setpoint, then the stores, then all machines.
    """
    first_store, first_machine = layout.batteries, layout.batteries + layout.stores + layout.chargers
    stores = range(first_store, first_store + layout.stores)
    machines = range(first_machine, first_machine + layout.machines)
    missing = around.thermal_demand_kw[row, carrier]
    for i in machines:
        if layout.carrier[i] == carrier:
            told = now.status[i] == ACTIVE
            feeds[i] = min(max(now.reached_kw[i], 0.0), layout.parameters[i, CAPACITY]) if told else 0.0
            missing -= feeds[i]
    for i in stores:
        if layout.carrier[i] == carrier:
            feeds[i] = delivered(layout, now, around, row, i, now.reached_kw[i])
            missing -= feeds[i]
    for i in machines:
        if layout.carrier[i] == carrier and now.status[i] != ACTIVE:
            missing -= trim_machine(layout, i, missing, feeds)
            now.reached_kw[i] = feeds[i]
    for i in stores:
        if layout.carrier[i] == carrier:
            settled = delivered(layout, now, around, row, i, feeds[i] + missing)
            missing -= settled - feeds[i]
            feeds[i] = settled
    for i in machines:
        if layout.carrier[i] == carrier:
            missing -= trim_machine(layout, i, missing, feeds)
            run_machine(layout, around, row, i, feeds[i], out)
    for i in stores:
        if layout.carrier[i] == carrier:
            commit(layout, now, around, row, i, feeds[i], out)
    return float(max(missing, 0.0))


@compiled
def trim_machine(layout: Layout, i: int, missing_kw: float, feeds: Array) -> float:
    """Moves a machine's output by what is missing (< 0: too much) within its range; tells by how much it moved."""
    before = feeds[i]
    feeds[i] = min(max(before + missing_kw, 0.0), layout.parameters[i, CAPACITY])
    return float(feeds[i] - before)


@compiled
def run_machine(layout: Layout, around: Surroundings, row: int, i: int, output_kw: float, out: Array) -> None:
    cop = around.cop[row, i - layout.batteries - layout.stores - layout.chargers]
    if layout.carrier[i] == HEAT:
        output, power = heat_pump_step(output_kw, cop, layout.parameters[i, CAPACITY])
    else:
        output, power = chiller_step(output_kw, cop, layout.parameters[i, CAPACITY])
    out[i, OUT_KW], out[i, IN_KW] = power, output


@compiled
def guarded(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, feeds: Array, net_kw: float, limit_kw: float
) -> Array:
    """(slots,) feeds with which import and export keep their limits, as far as the devices can."""
    first_car, first_machine = layout.batteries + layout.stores, layout.batteries + layout.stores + layout.chargers
    first_pv = first_machine + layout.machines
    roles = np.full(len(feeds), NOT_GUARDED)
    least, greatest = feeds.copy(), feeds.copy()
    for i in range(layout.batteries):
        roles[i] = guard.BATTERY
        least[i] = delivered(layout, now, around, row, i, -layout.parameters[i, CHARGE_LIMIT])
        spare_kwh = max(now.energy_kwh[i] - layout.reserve_kwh[i], 0.0)
        most_kw = spare_kwh * layout.parameters[i, DISCHARGE_EFFICIENCY] / MINUTE_HOURS
        greatest[i] = min(most_kw, delivered(layout, now, around, row, i, layout.parameters[i, DISCHARGE_LIMIT]))
    for i in range(first_car, first_machine):
        car = around.car[row, i - first_car]
        has_slack = now.energy_kwh[i] * car[STAY] + car[BROUGHT_KWH] >= car[NEEDED_KWH]
        roles[i] = guard.CAR_WITH_SLACK if has_slack else guard.CAR_DUE
        least[i] = min(feeds[i], 0.0)
        greatest[i] = max(feeds[i], 0.0) if has_slack else feeds[i]
    for i in range(first_pv, len(feeds)):
        roles[i] = guard.PV
        least[i] = 0.0
    allowed_import = allowed_import_kw(limit_kw, now.window_kw)
    allowed_export = layout.export_limit_kw
    if layout.exports_generation_only:
        generation = 0.0
        for i in range(first_pv, len(feeds)):
            generation += feeds[i]
        allowed_export = min(allowed_export, generation)
    return guard_step(net_kw, allowed_import, allowed_export, 0.0, roles, feeds, feeds, least, greatest)


@compiled
def wished(layout: Layout, now: PlantArrays, around: Surroundings, row: int, feeds: Array) -> float:
    """What PV, batteries and cars feed if all follow their setpoints, into `feeds`; the sum of it [kW]."""
    first_car, first_machine = layout.batteries + layout.stores, layout.batteries + layout.stores + layout.chargers
    first_pv = first_machine + layout.machines
    total = 0.0
    for i in range(len(feeds)):
        if i >= first_pv:
            sun = around.pv_available_kw[row, i - first_pv]
            feeds[i] = pv_step(now.reached_kw[i], sun, layout.parameters[i, CAPACITY])
        elif i < layout.batteries or first_car <= i < first_machine:
            feeds[i] = delivered(layout, now, around, row, i, now.reached_kw[i])
        else:
            continue
        total += feeds[i]
    return total


@compiled
def settled(layout: Layout, now: PlantArrays, around: Surroundings, row: int, feeds: Array, slots: Array) -> float:
    """Runs PV, batteries and cars with these feeds for the minute and writes their records; what they fed [kW]."""
    first_car, first_machine = layout.batteries + layout.stores, layout.batteries + layout.stores + layout.chargers
    total = 0.0
    for i in range(len(feeds)):
        if i >= first_machine + layout.machines:
            slots[i, IN_KW] = feeds[i]
            total += feeds[i]
        elif i < layout.batteries or first_car <= i < first_machine:
            total += commit(layout, now, around, row, i, feeds[i], slots)
        slots[i, TARGET_KW] = now.wanted_kw[i]
    return total


@compiled
def metered(layout: Layout, now: PlantArrays, net_kw: float, site: Array) -> None:
    """The minute at the grid connection: import or export within its limits, and the meter's window moved on."""
    taken, fed = grid_step(max(net_kw, 0.0), max(0.0 - net_kw, 0.0), layout.import_limit_kw, layout.export_limit_kw)
    site[IMPORT_KW], site[EXPORT_KW], site[UNSERVED_KW] = taken, fed, max(net_kw - taken, 0.0)
    for m in range(len(now.window_kw) - 1):
        now.window_kw[m] = now.window_kw[m + 1]
    now.window_kw[-1] = taken


@compiled
def minute(layout: Layout, now: PlantArrays, around: Surroundings, row: int, slots: Array, site: Array) -> None:
    """One minute of the whole site; `slots` and `site` take its record."""
    take_setpoints(layout, now)
    feeds = np.zeros(len(now.held))
    site[UNSERVED_HEAT_KW] = serve_thermal(layout, now, around, row, HEAT, feeds, slots)
    site[UNSERVED_COLD_KW] = serve_thermal(layout, now, around, row, COLD, feeds, slots)
    first_car, first_machine = layout.batteries + layout.stores, layout.batteries + layout.stores + layout.chargers
    demand = around.power_demand_kw[row]
    for i in range(first_car):
        demand += slots[i, BESIDE_KW] if i >= layout.batteries else layout.parameters[i, STANDING]
    for i in range(first_machine, first_machine + layout.machines):
        demand += slots[i, OUT_KW]
    site[LIMIT_KW] = grid_limit_kw(layout, now)
    net = demand - wished(layout, now, around, row, feeds)
    if layout.guards:
        feeds = guarded(layout, now, around, row, feeds, net, site[LIMIT_KW])
    metered(layout, now, demand - settled(layout, now, around, row, feeds, slots), site)
    now.clock_s[0] += 60.0


@callable_from_python
def run(layout: Layout, now: PlantArrays, around: Surroundings, first: int, slots: Array, site: Array) -> None:
    """Minutes from row `first` of the surroundings on, as many as `slots` (n, slots, 5) and `site` (n, 6) hold."""
    for m in range(len(slots)):
        minute(layout, now, around, first + m, slots[m], site[m])
