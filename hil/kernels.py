"""One minute of a whole site, compiled: the devices' own physical steps between site controller and balances.

Arrays are laid out by slot: batteries first, then thermal stores, chargers, machines (what makes heat or cold), engines
(CHP and backup generators), flexible loads, PV. A slot's setpoint is signed as in messages: > 0 feeds the bus.
Everything here is plain arithmetic on arrays of one site.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hil.compiling import borrowing, callable_from_python, compiled, kept
from hil.physics import cells, layers, part_load
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
    pv,
    storage,
    v2g_charger,
    waste_heat,
)
from optimizer.time_grid import Array
from streams import guard

MINUTE_HOURS = 1.0 / 60.0
WINDOW_MINUTES = 15
"""Demand is billed as the highest mean over this time, the window sliding minute by minute (RULES 1.3)."""
ARRIVED_KW = 1e-3
"""A lag that has come this near to its target has reached it."""
BALANCED_KW = 1e-9
"""Heat within this of what is wanted is as much as is wanted."""
HEAT, COLD, POWER, GAS = range(4)
"""Places of the carriers in arrays by carrier."""
CHILLER, HEAT_PUMP, WASTE_HEAT, GAS_BOILER, ABSORPTION_CHILLER, CHP, BACKUP, OTHER = range(8)
"""Kinds of machines and engines."""

SEQ, TARGET, SAFE, VALID_FROM, VALID_UNTIL, GRID_LIMIT, SUPPLY_LEAST, SUPPLY_MOST, ADJUSTED = range(9)
"""Places in a held setpoint: numbers, kW, seconds since 1970; a limit of NaN is none, a seq of -1 no setpoint. Between
SUPPLY_LEAST and SUPPLY_MOST the device keeps the connection at zero; NaN: it keeps to its target. ADJUSTED is the power
that a fast loop asks for in place of the target; NaN for none."""
SETPOINT_SIZE = 9
HELD, NEXT = 0, 1
"""A device holds the setpoint in force and the one that comes after it."""
NOT_GUARDED = -1
"""Role of devices that the guard leaves alone: those of heat and cold."""
IDLE, ACTIVE, EXPIRED = 0, 1, 2
"""States of a device's setpoint, as the register map numbers them."""

OUT_KW, IN_KW, ENERGY_KWH, TARGET_KW, BESIDE_KW, OFF_HOURS = range(6)
"""Places in a slot's record: taken from the bus, fed to the bus (means), energy and target at the end of the minute,
power that a store takes beside what it stores. Machines take power in OUT_KW, give heat or cold in IN_KW and take gas
or heat in BESIDE_KW; engines burn gas in OUT_KW, feed power in IN_KW, heat in BESIDE_KW, and have their hours on in
ENERGY_KWH; flexible loads are served in BESIDE_KW, with what they add and put off in OUT_KW and IN_KW."""
SLOT_RECORD_SIZE = 6
IMPORT_KW, EXPORT_KW, UNSERVED_KW, UNSERVED_HEAT_KW, UNSERVED_COLD_KW, LIMIT_KW, SUPPLY_KW, UNSERVED_GAS_KW = range(8)
"""Places in the site's record."""
SITE_RECORD_SIZE = 8

CAPACITY, CHARGE_LIMIT, DISCHARGE_LIMIT, CHARGE_EFFICIENCY, DISCHARGE_EFFICIENCY, LOSS, STANDING, PER_CHARGE = range(8)
"""Places in the parameters of stores and chargers; PV has its rating in CAPACITY. STANDING [kW] and PER_CHARGE [kW/kW]
are the power that a store takes beside what it stores."""
FACTOR, PUMPS, LEAST_OUTPUT = 1, 2, 3
"""Places in the parameters of machines, after CAPACITY: efficiency of a boiler or COP of an absorption chiller, the
power of its pumps per cooling power, and the least steady output of chillers and heat pumps [kW]."""
LEAST, FULL, GAS_WHILE_ON, GAS_PER_POWER, HEAT_PER_GAS, HAS_COOLER, MIN_DOWN_HOURS, RAMP = range(8)
"""Places in the parameters of engines: powers, fuel, heat, hours and change of power within a minute."""
CUT_SHARE = 0
"""Place in the parameters of flexible loads: the share of the demand that can be given up."""
POWER_BEFORE, ON_HOURS, STOOD_HOURS = range(3)
"""Places in what engines carry over."""
CHARGING, DISCHARGING = 0, 1
"""Places in a slot's limit lines."""
SHARE, STAY, BROUGHT_KWH, FULL_KWH, FLOOR_KWH, TWO_WAY, TAPER_FROM_KWH, TAPER_PER_KWH, NEEDED_KWH, LEAST_KW = range(10)
CAR_CONDITIONS = 10
"""Places in a car's conditions; NEEDED_KWH is what it must hold at the end of the minute to be ready in time, LEAST_KW
the charger's least charging power. TAPER_PER_KWH is 0 where it is not known when the car draws less."""


RESISTANCE, KWH_PER_K, COOLING, ROOM_C = range(4)
"""Places in the physics of batteries: of the cells (0: the plan's battery), then heat capacity [kWh/K], cooling [kW/K]
and temperature of their room [°C]."""
CURVE_0, CURVE_1, CURVE_2, LEAST_LOAD, START_MINUTES = range(5)
"""Places in the physics of machines: power by part load as `part_load.input_share` takes it, and how long one that was
off takes until it gives anything."""
KEPT = 4
"""Place in the physics of stores: the share of their energy that is left after a minute."""
RAMP_KW = 5
"""Place in the physics of every slot: largest change of power within a minute."""
PHYSICS_SIZE = 6
TEMPERATURE_C, HEALTH, DAMAGE = range(3)
"""Places in what batteries carry over beside their energy; health is the share of the capacity that is left."""
MINUTES_ON = 0
"""Place of the time for which a machine has been called."""
OWN_SIZE = 3
BEFORE, AFTER = 0, 1
"""A tank's profile, and room for what a step would make of it."""


class TankShape(NamedTuple):
    """How thermal stores are layered."""

    layered: bool
    useful_fill: float
    mixing_per_hour: float


class Layout(NamedTuple):
    """What does not change while the plant runs."""

    batteries: int
    stores: int
    chargers: int
    machines: int
    engines: int
    flexibles: int
    pvs: int
    absorbs: bool
    """Whether a machine makes cold from heat."""
    kind: NDArray[np.int64]
    """(slots,) CHILLER to BACKUP of machines and engines."""
    parameters: Array
    """(slots, 8)."""
    limit_lines: Array
    """(slots, 2, lines, 2) share at a fill of 0 and slope of the lines under which charging and discharging stay; full
    limits (1, 0) where a store has fewer."""
    carrier: NDArray[np.int64]
    """(slots,) what stores hold, machines give and flexible loads use: HEAT to GAS."""
    physics: Array
    """(slots, 6) what the plan does not know of a slot: see RESISTANCE to RAMP_KW."""
    tanks: TankShape
    pull: Array
    """(slots,) share of the way to the target that a device goes in a minute."""
    reserve_kwh: Array
    """(slots,) energy below which the peak guard does not discharge."""
    safe_kw: Array
    """(slots,) value of the setpoint as long as none was ever held."""
    delay_minutes: int
    import_limit_kw: float
    export_limit_kw: float
    gas_limit_kw: float
    guards: bool
    """Whether the cabinet keeps the limits by a fast loop of its own."""
    exports_generation_only: bool
    """Whether stored energy must not reach the grid."""


class Surroundings(NamedTuple):
    """What the surroundings offer in each minute, from the start of the drivers on."""

    demand_kw: Array
    """(minutes, 4) of loads by carrier."""
    pv_available_kw: Array
    """(minutes, pvs)."""
    machine: Array
    """(minutes, machines) COP of chillers and heat pumps, heat that a process gives off [kW]."""
    allowed: Array
    """(minutes, engines) 1 where an engine may run."""
    flexible: Array
    """(minutes, flexibles, 5) demand, most added and put off [kW], most owed and used ahead [kWh]."""
    car: Array
    """(minutes, chargers, 10): see SHARE to LEAST_KW."""


class PlantArrays(NamedTuple):
    """What changes; the kernel works on a copy of its own."""

    clock_s: Array
    """(1,) seconds since 1970."""
    energy_kwh: Array
    """(slots,) of batteries, stores and cars; what flexible loads used ahead of their demand."""
    own: Array
    """(slots, 3) what else a slot carries over: see TEMPERATURE_C to MINUTES_ON."""
    layers: Array
    """(stores, 2, layers) fills, BEFORE and AFTER."""
    held: Array
    """(slots, 2, 9) setpoints HELD and NEXT."""
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


class Scratch(NamedTuple):
    """Room for what is worked out within a minute."""

    feeds_kw: Array
    """(slots,) what each slot is to feed."""
    wish_kw: Array
    """(slots,) what PV, batteries and cars would feed."""
    could_kw: Array
    """(slots,)."""
    asked_kw: Array
    """(engines,)."""
    demand_kw: Array
    missing_kw: Array
    """(4,) each, by carrier."""


store_step = compiled(storage.step)
exchange = compiled(storage.exchange)
cells_step = compiled(cells.step)
warmed = compiled(cells.warmed)
layers_step = compiled(layers.step)
input_share = compiled(part_load.input_share)
charger_step = compiled(v2g_charger.step)
chiller_step = compiled(chiller.step)
heat_pump_step = compiled(heat_pump.step)
waste_heat_step = compiled(waste_heat.step)
boiler_step = compiled(gas_boiler.step)
absorption_step = compiled(absorption_chiller.step)
chp_step = compiled(chp.step)
backup_step = compiled(backup_generator.step)
flexible_step = compiled(give_way)
pv_step = compiled(pv.step)
gas_step = compiled(gas_supply.step)
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


@borrowing
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
        moved_kw = layout.pull[i] * way_kw if abs(way_kw) > ARRIVED_KW else way_kw
        now.reached_kw[i] += min(max(moved_kw, 0.0 - layout.physics[i, RAMP_KW]), layout.physics[i, RAMP_KW])


@borrowing
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


@borrowing
def follow_at_once(now: PlantArrays, i: int, adjusted_kw: float) -> None:
    """A fast loop speaks to the device itself: no delay, only its lag."""
    now.status[i] = ACTIVE
    now.wanted_kw[i] = now.acting_kw[i] = adjusted_kw
    now.countdown[i] = 0


@borrowing
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


@borrowing
def storage_step(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, feed_kw: float
) -> tuple[float, float, float]:
    """The physical step of the battery, store or car in slot `i` when asked to feed `feed_kw` (< 0: to charge)."""
    p, energy = layout.parameters[i], now.energy_kwh[i]
    charge, discharge = max(0.0 - feed_kw, 0.0), max(feed_kw, 0.0)
    if i < layout.batteries and layout.physics[i, RESISTANCE] > 0.0:
        charge, discharge, energy, _ = battery_step(layout, now, i, charge, discharge)
        return charge, discharge, energy
    if layout.batteries <= i < layout.batteries + layout.stores and layout.tanks.layered:
        fills, after = now.layers[i - layout.batteries, BEFORE], now.layers[i - layout.batteries, AFTER]
        return layers_step(
            fills, charge, discharge, MINUTE_HOURS, p[0], p[1], p[2], p[3], p[4], p[5],
            layout.tanks.useful_fill, layout.tanks.mixing_per_hour, after,
        )  # fmt: skip
    if i < layout.batteries + layout.stores:
        capacity = p[CAPACITY] * now.own[i, HEALTH] if i < layout.batteries else p[CAPACITY]
        if layout.limit_lines.shape[2] == 0:
            kept = energy * layout.physics[i, KEPT]
            return exchange(kept, charge, discharge, MINUTE_HOURS, capacity, p[1], p[2], p[3], p[4])
        return store_step(
            energy, charge, discharge, MINUTE_HOURS, capacity, p[1], p[2], p[3], p[4], p[5],
            layout.limit_lines[i, CHARGING], layout.limit_lines[i, DISCHARGING],
        )  # fmt: skip
    car = around.car[row, i - layout.batteries - layout.stores]
    return car_step(p, car, energy, now.reached_kw[i], now.acting_kw[i], feed_kw)


@borrowing
def car_step(
    p: Array, car: Array, energy_kwh: float, reached_kw: float, acting_kw: float, feed_kw: float
) -> tuple[float, float, float]:
    """The physical step of the car at a charger with parameters `p`; few arguments, for there are many cars."""
    return charger_step(
        energy_kwh * car[STAY] + car[BROUGHT_KWH], max(0.0 - feed_kw, 0.0), max(feed_kw, 0.0), MINUTE_HOURS,
        car[FULL_KWH], car[FLOOR_KWH], p[CHARGE_LIMIT] * car[SHARE], p[DISCHARGE_LIMIT] * car[SHARE] * car[TWO_WAY],
        least_charge_kw(reached_kw, acting_kw, car[LEAST_KW]), car[TAPER_FROM_KWH], car[TAPER_PER_KWH],
        p[CHARGE_EFFICIENCY], p[DISCHARGE_EFFICIENCY],
    )  # fmt: skip


@borrowing
def has_slack(layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int) -> bool:
    """Whether the car in slot `i` is ready in time without charging in this minute."""
    car = around.car[row, i - layout.batteries - layout.stores]
    return bool(now.energy_kwh[i] * car[STAY] + car[BROUGHT_KWH] >= car[NEEDED_KWH])


@borrowing
def battery_step(
    layout: Layout, now: PlantArrays, i: int, charge_kw: float, discharge_kw: float
) -> tuple[float, float, float, float]:
    """The step of a battery with cells: charge, discharge [kW], energy after it [kWh], heat in the cells [kW]."""
    p = layout.parameters[i]
    return cells_step(
        now.energy_kwh[i], charge_kw, discharge_kw, MINUTE_HOURS, p[0] * now.own[i, HEALTH], p[1], p[2], p[3], p[4],
        p[5], layout.physics[i, RESISTANCE], now.own[i, TEMPERATURE_C],
    )  # fmt: skip


@borrowing
def least_charge_kw(reached_kw: float, acting_kw: float, least_kw: float) -> float:
    """The power below which a charger is off; on the way to a target above it the lag may pass below."""
    return float(min(least_kw, max(0.0 - reached_kw, 0.0)) if 0.0 - acting_kw >= least_kw else least_kw)


@borrowing
def delivered(layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, feed_kw: float) -> float:
    """What the storage in slot `i` would feed if asked for `feed_kw`; nothing is changed."""
    charge, discharge, _ = storage_step(layout, now, around, row, i, feed_kw)
    return discharge - charge


@borrowing
def commit(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, feed_kw: float, out: Array
) -> float:
    """Runs the storage in slot `i` for the minute, writes its record, and tells what it fed [kW]."""
    charge, discharge, energy = storage_step(layout, now, around, row, i, feed_kw)
    if i < layout.batteries:
        warm_cells(layout, now, i, feed_kw)
    elif i < layout.batteries + layout.stores and layout.tanks.layered:
        for k in range(now.layers.shape[2]):
            now.layers[i - layout.batteries, BEFORE, k] = now.layers[i - layout.batteries, AFTER, k]
    now.energy_kwh[i] = energy
    out[i, OUT_KW], out[i, IN_KW], out[i, ENERGY_KWH] = charge, discharge, energy
    out[i, BESIDE_KW] = layout.parameters[i, STANDING] + layout.parameters[i, PER_CHARGE] * charge
    return discharge - charge


@borrowing
def warm_cells(layout: Layout, now: PlantArrays, i: int, feed_kw: float) -> None:
    """The cells' temperature at the end of the minute; must be told before the energy is changed."""
    cell = layout.physics[i]
    if cell[RESISTANCE] > 0.0:
        _, _, _, heat = battery_step(layout, now, i, max(0.0 - feed_kw, 0.0), max(feed_kw, 0.0))
        before = now.own[i, TEMPERATURE_C]
        now.own[i, TEMPERATURE_C] = warmed(before, heat, MINUTE_HOURS, cell[ROOM_C], cell[KWH_PER_K], cell[COOLING])


@borrowing
def give_way_all(layout: Layout, now: PlantArrays, around: Surroundings, row: int, demand: Array, out: Array) -> None:
    """Runs the flexible loads for the minute and adds what they use to the demand."""
    first = layout.batteries + layout.stores + layout.chargers + layout.machines + layout.engines
    for i in range(first, first + layout.flexibles):
        c = around.flexible[row, i - first]
        served, added, put_off, shifted = flexible_step(
            now.energy_kwh[i], now.reached_kw[i], MINUTE_HOURS, c[0], c[1], c[2], c[3], c[4],
            layout.parameters[i, CUT_SHARE],
        )  # fmt: skip
        now.energy_kwh[i] = shifted
        out[i, BESIDE_KW], out[i, OUT_KW], out[i, IN_KW], out[i, ENERGY_KWH] = served, added, put_off, shifted
        demand[layout.carrier[i]] += served + added - put_off


@borrowing
def engine_step(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, asked_kw: float
) -> tuple[float, float, float, float, float]:
    """Power, gas and heat [kW] of the engine in slot `i` when asked for so much power, hours on and off after it; its
    cooler is left out."""
    g = i - layout.batteries - layout.stores - layout.chargers - layout.machines
    p, state = layout.parameters[i], now.own[i]
    if layout.kind[i] == BACKUP:
        power = backup_step(asked_kw, around.allowed[row, g], 1.0, p[LEAST], p[FULL])
        return power, 0.0, 0.0, 0.0, 0.0
    return chp_step(
        asked_kw, 0.0, np.inf, 1.0, MINUTE_HOURS, state[POWER_BEFORE], state[ON_HOURS], state[STOOD_HOURS],
        p[LEAST], p[FULL], p[GAS_WHILE_ON], p[GAS_PER_POWER], p[HEAT_PER_GAS], False, p[MIN_DOWN_HOURS], p[RAMP],
    )  # fmt: skip


@borrowing
def ask_engines(layout: Layout, now: PlantArrays, around: Surroundings, row: int, demand: Array, asked: Array) -> None:
    """What the engines are asked for: their setpoints, as far as power and gas find room; else they are tripped."""
    first = layout.batteries + layout.stores + layout.chargers + layout.machines
    room, gas = demand[POWER] + layout.export_limit_kw, layout.gas_limit_kw - demand[GAS]
    for i in range(layout.batteries):
        room += layout.parameters[i, STANDING] - delivered(layout, now, around, row, i, -np.inf)
    for i in range(first, first + layout.engines):
        asked[i - first] = max(now.reached_kw[i], 0.0)
        power, burnt, _, _, _ = engine_step(layout, now, around, row, i, asked[i - first])
        if power > room or burnt > gas:
            p = layout.parameters[i]
            at_most = min(room, (gas - p[GAS_WHILE_ON]) / p[GAS_PER_POWER]) if layout.kind[i] == CHP else room
            asked[i - first] = asked_at_most(layout, now, i, at_most)
            power, burnt, _, _, _ = engine_step(layout, now, around, row, i, asked[i - first])
        room, gas = room - power, gas - burnt


@borrowing
def asked_at_most(layout: Layout, now: PlantArrays, i: int, power_kw: float) -> float:
    """What to ask of an engine that must not give more: nothing, if it cannot go down so far."""
    lowest = layout.parameters[i, LEAST]
    if now.own[i, ON_HOURS] > 0.0:
        lowest = max(lowest, now.own[i, POWER_BEFORE] - layout.parameters[i, RAMP])
    return float(power_kw if power_kw >= lowest else 0.0)


@borrowing
def lower_engines(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, surplus_kw: float, trip: bool, asked: Array
) -> None:
    """Takes the heat that finds no place off the engines without a cooler: by less power, or by a trip."""
    first = layout.batteries + layout.stores + layout.chargers + layout.machines
    for i in range(first, first + layout.engines):
        p = layout.parameters[i]
        _, _, heat, _, _ = engine_step(layout, now, around, row, i, asked[i - first])
        if surplus_kw <= BALANCED_KW or heat == 0.0 or p[HAS_COOLER] > 0.5:
            continue
        left = max(heat - surplus_kw, 0.0)
        power = (left / p[HEAT_PER_GAS] - p[GAS_WHILE_ON]) / p[GAS_PER_POWER]
        asked[i - first] = 0.0 if trip else asked_at_most(layout, now, i, power)
        surplus_kw -= heat - left


@borrowing
def serve_thermal(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, scratch: Scratch, out: Array
) -> None:
    """Serves heat and cold for the minute; what stayed unserved goes into the scratch.

    Where the engines' heat finds no place they are asked for less, and where that does not help, tripped.
    """
    demand, asked, feeds, missing = scratch.demand_kw, scratch.asked_kw, scratch.feeds_kw, scratch.missing_kw
    for attempt in range(4):
        if attempt > 0:
            surplus = -missing[HEAT] if attempt < 3 else np.inf
            lower_engines(layout, now, around, row, surplus, attempt > 1, asked)
        given, from_cooled, gas = 0.0, 0.0, 0.0
        if layout.engines > 0:
            given, from_cooled, gas = engine_heat(layout, now, around, row, asked)
        gas_left = layout.gas_limit_kw - demand[GAS] - gas
        spare, absorbed = 0.0, 0.0
        if layout.absorbs:
            could = spare_heat_kw(layout, now, around, row, gas_left, scratch.could_kw)
            spare = could + given + from_cooled - demand[HEAT]
        missing[COLD], _ = settle(layout, now, around, row, COLD, demand[COLD], 0.0, spare, gas_left, feeds)
        if layout.absorbs:
            absorbed = absorbed_heat_kw(layout, feeds)
        wanted = demand[HEAT] + absorbed - given
        missing[HEAT], cooled = settle(layout, now, around, row, HEAT, wanted, from_cooled, spare, gas_left, feeds)
        if missing[HEAT] >= 0.0 - BALANCED_KW or given == 0.0:
            break
    missing[HEAT], missing[COLD] = max(missing[HEAT], 0.0), max(missing[COLD], 0.0)
    if layout.engines > 0:
        commit_engines(layout, now, around, row, asked, cooled / from_cooled if from_cooled > 0.0 else 0.0, out)
    if layout.guards and layout.stores > 0:
        relieve_machines(layout, now, around, row, scratch, out)
    commit_thermal(layout, now, around, row, feeds, missing, out)


@borrowing
def relieve_machines(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, scratch: Scratch, out: Array
) -> None:
    """Lets stores take over from chillers and heat pumps as much as the import would exceed its limit with every
    battery that charges, and every car that can wait, already put off."""
    first_machine, feeds = layout.batteries + layout.stores + layout.chargers, scratch.feeds_kw
    excess = scratch.demand_kw[POWER] - allowed_import_kw(grid_limit_kw(layout, now), now.window_kw)
    for i in range(layout.batteries + layout.stores):
        charge = max(0.0 - feeds[i], 0.0) if i >= layout.batteries else 0.0
        excess += layout.parameters[i, STANDING] + layout.parameters[i, PER_CHARGE] * charge
    for i in range(first_machine, first_machine + layout.machines):
        excess += machine_step(layout, around, row, i, feeds[i])[1]
    if excess > 0.0:
        excess -= unhurried(layout, now, around, row, scratch.wish_kw, out)
    for i in range(first_machine, first_machine + layout.machines):
        above_least = feeds[i] - layout.parameters[i, LEAST_OUTPUT]
        electric = layout.kind[i] == CHILLER or layout.kind[i] == HEAT_PUMP
        if excess > 0.0 and electric and above_least > 0.0:
            per_output = machine_step(layout, around, row, i, feeds[i])[1] / feeds[i]
            excess -= per_output * taken_over(layout, now, around, row, i, min(excess / per_output, above_least), feeds)


@borrowing
def unhurried(layout: Layout, now: PlantArrays, around: Surroundings, row: int, wish: Array, out: Array) -> float:
    """What PV, batteries and cars feed, without the charging that can be put off [kW]."""
    first_car, total = layout.batteries + layout.stores, wished(layout, now, around, row, wish, out)
    for i in range(layout.batteries):
        total -= min(wish[i], 0.0)
    for i in range(first_car, first_car + layout.chargers):
        total -= min(wish[i], 0.0) if has_slack(layout, now, around, row, i) else 0.0
    return total


@borrowing
def taken_over(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, wanted_kw: float, feeds: Array
) -> float:
    """Moves the output `wanted_kw` of the machine in slot `i` to the stores of its carrier; what they could take."""
    moved = 0.0
    for k in range(layout.batteries, layout.batteries + layout.stores):
        if layout.carrier[k] == layout.carrier[i]:
            given = delivered(layout, now, around, row, k, feeds[k] + wanted_kw - moved) - feeds[k]
            feeds[k] += max(given, 0.0)
            moved += max(given, 0.0)
    feeds[i] -= moved
    return moved


@borrowing
def engine_heat(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, asked: Array
) -> tuple[float, float, float]:
    """Heat that engines without a cooler give, that those with one can give, and the gas of all [kW]."""
    first = layout.batteries + layout.stores + layout.chargers + layout.machines
    given, from_cooled, gas = 0.0, 0.0, 0.0
    for i in range(first, first + layout.engines):
        _, burnt, heat, _, _ = engine_step(layout, now, around, row, i, asked[i - first])
        gas += burnt
        if layout.parameters[i, HAS_COOLER] > 0.5:
            from_cooled += heat
        else:
            given += heat
    return given, from_cooled, gas


@borrowing
def spare_heat_kw(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, gas_left_kw: float, could: Array
) -> float:
    """Heat that machines and stores could give in this minute."""
    first_store, first_machine = layout.batteries, layout.batteries + layout.stores + layout.chargers
    could[:] = 0.0
    total = 0.0
    for i in range(first_store, first_store + layout.stores):
        if layout.carrier[i] == HEAT:
            total += delivered(layout, now, around, row, i, np.inf)
    for i in range(first_machine, first_machine + layout.machines):
        if layout.carrier[i] == HEAT:
            could[i] = most_kw(layout, now, around, row, i, 0.0, gas_left_kw, could)
            total += could[i]
    return total


@borrowing
def absorbed_heat_kw(layout: Layout, feeds: Array) -> float:
    """Heat that the absorption chillers take for the cold they feed."""
    first, total = layout.batteries + layout.stores + layout.chargers, 0.0
    for i in range(first, first + layout.machines):
        if layout.kind[i] == ABSORPTION_CHILLER:
            total += feeds[i] / layout.parameters[i, FACTOR]
    return total


@borrowing
def most_kw(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, spare_heat_kw: float, gas_left_kw: float,
    feeds: Array,
) -> float:  # fmt: skip
    """What the machine in slot `i` could give, when those of its kind before it feed what they do."""
    p, kind = layout.parameters[i], layout.kind[i]
    first, others = layout.batteries + layout.stores + layout.chargers, 0.0
    if now.own[i, MINUTES_ON] < layout.physics[i, START_MINUTES]:
        return 0.0
    if kind == WASTE_HEAT:
        return float(waste_heat_step(p[CAPACITY], around.machine[row, i - first]))
    if kind not in (GAS_BOILER, ABSORPTION_CHILLER):
        return float(p[CAPACITY])
    for k in range(first, first + layout.machines):
        if k != i and layout.kind[k] == kind:
            others += feeds[k] / layout.parameters[k, FACTOR]
    left = (gas_left_kw if kind == GAS_BOILER else spare_heat_kw) - others
    return float(min(p[CAPACITY], max(left, 0.0) * p[FACTOR]))


@borrowing
def settle(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, carrier: int, demand_kw: float,
    from_cooled_kw: float, spare_kw: float, gas_kw: float, feeds: Array,
) -> tuple[float, float]:  # fmt: skip
    """Feeds of a carrier's machines and stores for the minute; what is missing (< 0: too much), and the heat that is
    used of engines with a cooler [kW].

    Machines and stores go where their setpoints say, engines with a cooler give what is still wanted. What is then
    missing or too much, the local thermostat settles: first machines without a valid setpoint, then the stores, then
    all machines.
    """
    first_store, first_machine = layout.batteries, layout.batteries + layout.stores + layout.chargers
    stores = range(first_store, first_store + layout.stores)
    machines = range(first_machine, first_machine + layout.machines)
    missing = demand_kw
    for i in machines:
        if layout.carrier[i] == carrier:
            feeds[i] = 0.0
    for i in machines:
        if layout.carrier[i] == carrier and now.status[i] == ACTIVE:
            most = most_kw(layout, now, around, row, i, spare_kw, gas_kw, feeds)
            feeds[i] = min(max(now.reached_kw[i], 0.0), most)
            missing -= feeds[i]
    for i in stores:
        if layout.carrier[i] == carrier:
            feeds[i] = delivered(layout, now, around, row, i, now.reached_kw[i])
            missing -= feeds[i]
    cooled = min(max(missing, 0.0), from_cooled_kw)
    missing -= cooled
    for i in machines:
        if layout.carrier[i] == carrier and now.status[i] != ACTIVE:
            missing -= trim_machine(layout, now, around, row, i, missing, spare_kw, gas_kw, feeds)
    for i in stores:
        if layout.carrier[i] == carrier:
            settled = delivered(layout, now, around, row, i, feeds[i] + missing)
            missing -= settled - feeds[i]
            feeds[i] = settled
    for i in machines:
        if layout.carrier[i] == carrier:
            missing -= trim_machine(layout, now, around, row, i, missing, spare_kw, gas_kw, feeds)
    more = min(max(missing, -cooled), from_cooled_kw - cooled)
    return missing - more, cooled + more


@borrowing
def trim_machine(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, i: int, missing_kw: float, spare_kw: float,
    gas_kw: float, feeds: Array,
) -> float:  # fmt: skip
    """Moves a machine's output by what is missing (< 0: too much) within its range; tells by how much it moved."""
    before = feeds[i]
    feeds[i] = min(max(before + missing_kw, 0.0), most_kw(layout, now, around, row, i, spare_kw, gas_kw, feeds))
    return float(feeds[i] - before)


@borrowing
def commit_thermal(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, feeds: Array, missing: Array, out: Array
) -> None:
    """Runs machines and thermal stores with these feeds for the minute and writes their records."""
    first_store, first_machine = layout.batteries, layout.batteries + layout.stores + layout.chargers
    for i in range(first_store, first_store + layout.stores):
        commit(layout, now, around, row, i, feeds[i], out)
    for i in range(first_machine, first_machine + layout.machines):
        output, power, beside = machine_step(layout, around, row, i, feeds[i])
        out[i, OUT_KW], out[i, IN_KW], out[i, BESIDE_KW] = power, output, beside
        told = now.status[i] == ACTIVE and now.reached_kw[i] > 0.0
        called = told or output > 0.0 or missing[layout.carrier[i]] > BALANCED_KW
        now.own[i, MINUTES_ON] = now.own[i, MINUTES_ON] + 1.0 if called else 0.0
        if called and output == 0.0:
            out[i, OUT_KW] = starting_kw(layout, around, row, i)
        if now.status[i] != ACTIVE:
            now.reached_kw[i] = output


@borrowing
def starting_kw(layout: Layout, around: Surroundings, row: int, i: int) -> float:
    """Power of a chiller or heat pump on its way to its least part load; none where a start takes no time."""
    kind, condition = layout.kind[i], around.machine[row, i - layout.batteries - layout.stores - layout.chargers]
    if layout.physics[i, START_MINUTES] == 0.0 or kind not in (CHILLER, HEAT_PUMP):
        return 0.0
    c = layout.physics[i]
    share = input_share(c[LEAST_LOAD], c[CURVE_0], c[CURVE_1], c[CURVE_2], c[LEAST_LOAD])
    return float(layout.parameters[i, CAPACITY] / condition * share)


@borrowing
def machine_step(
    layout: Layout, around: Surroundings, row: int, i: int, output_kw: float
) -> tuple[float, float, float]:
    """Heat or cold given, power taken, gas or heat taken [kW] by the machine in slot `i`."""
    p, kind = layout.parameters[i], layout.kind[i]
    condition = around.machine[row, i - layout.batteries - layout.stores - layout.chargers]
    power, beside = 0.0, 0.0
    if kind == CHILLER:
        output, power = chiller_step(output_kw, condition, p[CAPACITY])
    elif kind == HEAT_PUMP:
        output, power = heat_pump_step(output_kw, condition, p[CAPACITY])
    elif kind == WASTE_HEAT:
        output = waste_heat_step(output_kw, condition)
    elif kind == GAS_BOILER:
        output, beside = boiler_step(output_kw, p[CAPACITY], p[FACTOR])
    else:
        beside, power, output = absorption_step(output_kw, p[FACTOR], p[PUMPS], p[CAPACITY])
    if kind in (CHILLER, HEAT_PUMP):
        load, c = output / p[CAPACITY], layout.physics[i]
        power *= input_share(load, c[CURVE_0], c[CURVE_1], c[CURVE_2], c[LEAST_LOAD]) / load if load > 0.0 else 1.0
    return output, power, beside


@borrowing
def commit_engines(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, asked: Array, used_share: float, out: Array
) -> None:
    """Runs the engines for the minute and writes their records; those with a cooler use this share of their heat."""
    first = layout.batteries + layout.stores + layout.chargers + layout.machines
    for i in range(first, first + layout.engines):
        power, gas, heat, on_hours, off_hours = engine_step(layout, now, around, row, i, asked[i - first])
        state = now.own[i]
        state[POWER_BEFORE], state[ON_HOURS], state[STOOD_HOURS] = power, on_hours, off_hours
        used = heat * used_share if layout.parameters[i, HAS_COOLER] > 0.5 else heat
        out[i, OUT_KW], out[i, IN_KW], out[i, BESIDE_KW] = gas, power, used
        out[i, ENERGY_KWH], out[i, OFF_HOURS] = on_hours, off_hours


@borrowing
def allowed_export_kw(layout: Layout, feeds: Array) -> float:
    """What may reach the grid: no stored energy where the connection says so."""
    if not layout.exports_generation_only:
        return layout.export_limit_kw
    first_engine = layout.batteries + layout.stores + layout.chargers + layout.machines
    generation = 0.0
    for i in range(first_engine, first_engine + layout.engines):
        generation += feeds[i] if layout.kind[i] == CHP else 0.0
    for i in range(first_engine + layout.engines + layout.flexibles, len(feeds)):
        generation += feeds[i]
    return float(min(layout.export_limit_kw, generation))


@borrowing
def self_supplied(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, feeds: Array, net_kw: float
) -> float:
    """Lets batteries keep the connection at zero as far as their setpoints say so; the net import that is left [kW]."""
    for i in range(layout.batteries):
        setpoint = now.held[i, HELD]
        if now.status[i] == ACTIVE and not np.isnan(setpoint[SUPPLY_LEAST]):
            least, most = min(setpoint[SUPPLY_LEAST], feeds[i]), max(setpoint[SUPPLY_MOST], feeds[i])
            fed = delivered(layout, now, around, row, i, min(max(feeds[i] + net_kw, least), most))
            net_kw -= fed - feeds[i]
            feeds[i] = fed
    return net_kw


@compiled
def guarded(
    layout: Layout, now: PlantArrays, around: Surroundings, row: int, feeds: Array, net_kw: float, limit_kw: float
) -> None:
    """Changes the feeds so that import and export keep their limits, as far as the devices can.

    Within the limits the guard would bring nothing back that follows its setpoint as it is.
    """
    allowed_import, allowed_export = allowed_import_kw(limit_kw, now.window_kw), allowed_export_kw(layout, feeds)
    if not (net_kw > allowed_import or -net_kw > allowed_export):
        return
    first_car, first_machine = layout.batteries + layout.stores, layout.batteries + layout.stores + layout.chargers
    first_pv = first_machine + layout.machines + layout.engines + layout.flexibles
    roles = np.full(len(feeds), NOT_GUARDED)
    least, greatest = feeds.copy(), feeds.copy()
    for i in range(layout.batteries):
        roles[i] = guard.BATTERY
        least[i] = delivered(layout, now, around, row, i, -layout.parameters[i, CHARGE_LIMIT])
        spare_kwh = max(now.energy_kwh[i] - layout.reserve_kwh[i], 0.0)
        most_kw = spare_kwh * layout.parameters[i, DISCHARGE_EFFICIENCY] / MINUTE_HOURS
        greatest[i] = min(most_kw, delivered(layout, now, around, row, i, layout.parameters[i, DISCHARGE_LIMIT]))
    for i in range(first_car, first_machine):
        slack = has_slack(layout, now, around, row, i)
        roles[i] = guard.CAR_WITH_SLACK if slack else guard.CAR_DUE
        least[i] = min(feeds[i], 0.0)
        greatest[i] = max(feeds[i], 0.0) if slack else feeds[i]
    for i in range(first_pv, len(feeds)):
        roles[i] = guard.PV
        least[i] = 0.0
    feeds[:] = guard_step(net_kw, allowed_import, allowed_export, 0.0, roles, feeds, feeds, least, greatest)


@borrowing
def wished(layout: Layout, now: PlantArrays, around: Surroundings, row: int, feeds: Array, slots: Array) -> float:
    """What PV, batteries and cars feed if all follow their setpoints, and engines feed, into `feeds`; the sum [kW]."""
    first_car, first_machine = layout.batteries + layout.stores, layout.batteries + layout.stores + layout.chargers
    first_engine = first_machine + layout.machines
    first_pv = first_engine + layout.engines + layout.flexibles
    total = 0.0
    for i in range(len(feeds)):
        if i >= first_pv:
            sun = around.pv_available_kw[row, i - first_pv]
            feeds[i] = pv_step(now.reached_kw[i], sun, layout.parameters[i, CAPACITY])
        elif first_car <= i < first_machine:
            p, car, reached = layout.parameters[i], around.car[row, i - first_car], now.reached_kw[i]
            charge, discharge, _ = car_step(p, car, now.energy_kwh[i], reached, now.acting_kw[i], reached)
            feeds[i] = discharge - charge
        elif i < layout.batteries:
            feeds[i] = delivered(layout, now, around, row, i, now.reached_kw[i])
        elif first_engine <= i < first_engine + layout.engines:
            feeds[i] = slots[i, IN_KW]
        else:
            continue
        total += feeds[i]
    return total


@borrowing
def settled(layout: Layout, now: PlantArrays, around: Surroundings, row: int, feeds: Array, slots: Array) -> float:
    """Runs PV, batteries and cars with these feeds for the minute and writes their records; what they and the engines
    fed [kW]."""
    first_car, first_machine = layout.batteries + layout.stores, layout.batteries + layout.stores + layout.chargers
    first_engine = first_machine + layout.machines
    total = 0.0
    for i in range(len(feeds)):
        if i >= first_engine + layout.engines + layout.flexibles:
            slots[i, IN_KW] = feeds[i]
            total += feeds[i]
        elif first_car <= i < first_machine:
            p, car, reached = layout.parameters[i], around.car[row, i - first_car], now.reached_kw[i]
            charge, discharge, energy = car_step(p, car, now.energy_kwh[i], reached, now.acting_kw[i], feeds[i])
            now.energy_kwh[i] = energy
            slots[i, OUT_KW], slots[i, IN_KW], slots[i, ENERGY_KWH] = charge, discharge, energy
            total += discharge - charge
        elif i < layout.batteries:
            total += commit(layout, now, around, row, i, feeds[i], slots)
        elif first_engine <= i < first_engine + layout.engines:
            total += slots[i, IN_KW]
        slots[i, TARGET_KW] = now.wanted_kw[i]
    return total


@borrowing
def metered(layout: Layout, now: PlantArrays, net_kw: float, site: Array) -> None:
    """The minute at the grid connection: import or export within its limits, and the meter's window moved on."""
    taken, fed = grid_step(max(net_kw, 0.0), max(0.0 - net_kw, 0.0), layout.import_limit_kw, layout.export_limit_kw)
    site[IMPORT_KW], site[EXPORT_KW], site[UNSERVED_KW] = taken, fed, max(net_kw - taken, 0.0)
    for m in range(len(now.window_kw) - 1):
        now.window_kw[m] = now.window_kw[m + 1]
    now.window_kw[-1] = taken


@borrowing
def gas_taken(layout: Layout, demand: Array, slots: Array, site: Array) -> None:
    """The minute at the gas connection: what loads, boilers and engines draw, within its limit."""
    first_machine = layout.batteries + layout.stores + layout.chargers
    first_engine, drawn = first_machine + layout.machines, demand[GAS]
    for i in range(first_machine, first_engine):
        drawn += slots[i, BESIDE_KW] if layout.kind[i] == GAS_BOILER else 0.0
    for i in range(first_engine, first_engine + layout.engines):
        drawn += slots[i, OUT_KW]
    site[SUPPLY_KW] = gas_step(drawn, layout.gas_limit_kw)
    site[UNSERVED_GAS_KW] = max(drawn - site[SUPPLY_KW], 0.0)


@borrowing
def bought(layout: Layout, needed: Array, slots: Array) -> float:
    """Power that loads, machines and what stores take beside need in the minute [kW]."""
    first_car, first_machine = layout.batteries + layout.stores, layout.batteries + layout.stores + layout.chargers
    demand = needed[POWER]
    for i in range(first_car):
        demand += slots[i, BESIDE_KW] if i >= layout.batteries else layout.parameters[i, STANDING]
    for i in range(first_machine, first_machine + layout.machines):
        demand += slots[i, OUT_KW]
    return float(demand)


@kept
def run(layout: Layout, now: PlantArrays, around: Surroundings, first: int, slots: Array, site: Array) -> None:
    """Minutes from row `first` of the surroundings on, as many as `slots` (n, slots, 6) and `site` (n, 8) hold; both
    take the record. The whole minute stands here: Numba optimises once more for every level of calls."""
    n = len(layout.kind)
    scratch = Scratch(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(layout.engines), np.zeros(4), np.zeros(4))
    feeds, needed = scratch.feeds_kw, scratch.demand_kw
    for m in range(len(slots)):
        row, out, record = first + m, slots[m], site[m]
        take_setpoints(layout, now)
        for carrier in range(len(needed)):
            needed[carrier] = around.demand_kw[row, carrier]
        if layout.flexibles > 0:
            give_way_all(layout, now, around, row, needed, out)
        if layout.engines > 0:
            ask_engines(layout, now, around, row, needed, scratch.asked_kw)
        serve_thermal(layout, now, around, row, scratch, out)
        record[UNSERVED_HEAT_KW], record[UNSERVED_COLD_KW] = scratch.missing_kw[HEAT], scratch.missing_kw[COLD]
        gas_taken(layout, needed, out, record)
        demand = bought(layout, needed, out)
        record[LIMIT_KW] = grid_limit_kw(layout, now)
        net = demand - wished(layout, now, around, row, feeds, out)
        if layout.guards:
            net = self_supplied(layout, now, around, row, feeds, net)
            guarded(layout, now, around, row, feeds, net, record[LIMIT_KW])
        metered(layout, now, demand - settled(layout, now, around, row, feeds, out), record)
        now.clock_s[0] += 60.0
