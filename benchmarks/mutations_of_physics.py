"""Mutations that no device, cable or connection could follow; most keep every balance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tampering import BIG_KW, Case, Rng, one, steps

from optimizer.time_grid import Array


def both_directions_of_a_battery(case: Case, rng: Rng) -> Case | None:
    """Lossless or not, a converter has one direction; the stored energy follows the physics of the two."""
    battery, step = one(rng, case.of_kind("battery")), int(rng.integers(0, case.near))
    if battery is None:
        return None
    kw = float(rng.uniform(0.5, 20))
    stored = (battery.charge_efficiency - 1.0 / battery.discharge_efficiency) * kw * case.hours
    both = case.add_kw(battery.id, "charge_kw", step, kw).add_kw(battery.id, "discharge_kw", step, kw)
    return both.with_energy_from(battery.id, step, stored)


def import_and_export_at_once(case: Case, rng: Rng) -> Case | None:
    step, kw = int(rng.integers(0, case.near)), float(rng.uniform(0.5, 20))
    return case.add_kw("grid", "import_kw", step, kw).add_kw("grid", "export_kw", step, kw)


def _moved(case: Case, rng: Rng, device: Any, charge_kw: float) -> Case:
    """A store that takes `charge_kw` more in one step in which it charges or stands, paid for by import."""
    free = case.kw(device.id, "discharge_kw") <= 0
    step = steps(rng, free) if free.any() else 0
    assert step is not None
    stored = device.charge_efficiency * charge_kw * case.hours
    more = case.add_kw(device.id, "charge_kw", step, charge_kw).with_energy_from(device.id, step, stored)
    return more.bought(step, charge_kw)


def battery_above_its_rating(case: Case, rng: Rng) -> Case | None:
    battery = one(rng, case.of_kind("battery"))
    return None if battery is None else _moved(case, rng, battery, battery.charge_limit_kw + 1.0)


def battery_smaller_than_planned(case: Case, rng: Rng) -> Case | None:
    found = [
        (b.id, quantity, limit)
        for b in case.of_kind("battery")
        for quantity, limit in (("charge_kw", "charge_limit_kw"), ("discharge_kw", "discharge_limit_kw"))
        if case.kw(b.id, quantity).max() > BIG_KW
    ]
    if not found:
        return None
    device, quantity, limit = one(rng, found)
    return case.with_device(device, **{limit: 0.9 * float(case.kw(device, quantity).max())})


def energy_above_the_band(case: Case, rng: Rng) -> Case | None:
    battery = one(rng, [b for b in case.of_kind("battery") if np.ptp(case.energy(b.id)) > BIG_KW])
    if battery is None:
        return None
    energy = case.energy(battery.id)
    if energy.max() - energy[0] < 0.5:
        return None
    between = (energy.max() + energy[0]) / 2
    return case.with_device(battery.id, max_soc=float(between / battery.capacity_kwh), min_soc=0.0)


def energy_below_the_band(case: Case, rng: Rng) -> Case | None:
    battery = one(rng, [b for b in case.of_kind("battery") if np.ptp(case.energy(b.id)) > BIG_KW])
    if battery is None:
        return None
    energy = case.energy(battery.id)
    if energy[0] - energy.min() < 0.05 * battery.capacity_kwh:
        return None
    between = (energy.min() + energy[0]) / 2
    return case.with_device(battery.id, min_soc=float(between / battery.capacity_kwh), max_soc=1.0)


def losses_forgotten(case: Case, rng: Rng) -> Case | None:
    store = one(rng, [s for s in case.of_kind("battery") if case.kw(s.id, "charge_kw").max() > BIG_KW])
    return None if store is None else case.with_device(store.id, charge_efficiency=0.95 * store.charge_efficiency)


def standing_loss_forgotten(case: Case, rng: Rng) -> Case | None:
    store = one(rng, [s for s in case.of_kind("thermal_store") if case.energy(s.id)[:-1].max() > 10.0])
    return None if store is None else case.with_device(store.id, loss_per_hour=store.loss_per_hour + 0.05)


def tank_smaller_than_planned(case: Case, rng: Rng) -> Case | None:
    store = one(rng, [s for s in case.of_kind("thermal_store") if case.energy(s.id).max() > BIG_KW])
    return None if store is None else case.with_device(store.id, capacity_kwh=0.9 * float(case.energy(store.id).max()))


def import_above_the_connection(case: Case, rng: Rng) -> Case | None:
    highest = float(case.kw("grid", "import_kw").max())
    return case.with_device("grid", import_limit_kw=0.9 * highest) if highest > BIG_KW else None


def export_above_the_connection(case: Case, rng: Rng) -> Case | None:
    highest = float(case.kw("grid", "export_kw").max())
    return case.with_device("grid", export_limit_kw=0.9 * highest) if highest > BIG_KW else None


def export_of_what_is_not_generated(case: Case, rng: Rng) -> Case | None:
    """More is exported than is generated in the step; a served load that gives way keeps the balance."""
    grid = case.of_kind("grid_connection")[0]
    sources = [(d.id, q) for d in case.devices for q in d.generated()]
    generated = sum((case.kw(*source) for source in sources), np.zeros(case.near))
    taken, given = case.kw("grid", "import_kw"), case.kw("grid", "export_kw")
    needed = taken + generated - given + 1.0
    step = steps(rng, case.kw("load", "served_kw") >= needed)
    if step is None or grid.export_source != "generation":
        return None
    less = case.add_kw("load", "served_kw", step, -float(needed[step])).set_kw("grid", "import_kw", step, 0.0)
    return less.set_kw("grid", "export_kw", step, float(generated[step]) + 1.0)


def feeder_over_its_limit(case: Case, rng: Rng) -> Case | None:
    feeder = one(rng, case.feeders)
    if feeder is None:
        return None
    flows = [f for f in case.plan.flows if f.device in feeder.members and f.carrier == "power"]
    net = sum((f.kw if f.direction == "in" else -f.kw for f in flows), np.zeros(case.near))
    highest = float(np.abs(net).max())
    if highest <= BIG_KW:
        return None
    tighter = replace(feeder, limit_kw=0.9 * highest)
    return replace(case, feeders=tuple(tighter if f is feeder else f for f in case.feeders))


def sun_above_what_shines(case: Case, rng: Rng) -> Case | None:
    pv, step = one(rng, case.of_kind("pv")), int(rng.integers(0, case.near))
    if pv is None:
        return None
    kw = float(case.conditions[pv.id]["available_kw"][step] - case.kw(pv.id, "used_kw")[step]) + 0.5
    return case.add_kw(pv.id, "used_kw", step, kw).bought(step, -kw)


def sun_curtailed_that_cannot_be(case: Case, rng: Rng) -> Case | None:
    """More than the plan says of a plant that cannot follow a limit."""
    pv = one(rng, [pv for pv in case.of_kind("pv") if not pv.curtailable])
    if pv is None:
        return None
    kw = 0.5 + sum(given.amount for given in case.plan.limits_given_way if given.device == pv.id)
    step = steps(rng, case.kw(pv.id, "used_kw") > kw + BIG_KW)
    return None if step is None else case.add_kw(pv.id, "used_kw", step, -kw).bought(step, kw)


def load_above_its_demand(case: Case, rng: Rng) -> Case | None:
    step = int(rng.integers(0, case.near))
    kw = float(case.conditions["load"]["demand_kw"][step] - case.kw("load", "served_kw")[step]) + 0.5
    return case.add_kw("load", "served_kw", step, kw).bought(step, kw)


def flexible_energy_lost(case: Case, rng: Rng) -> Case | None:
    """Less is used, and nothing is owed for it."""
    load = one(rng, [load for load in case.of_kind("flexible_load") if load.carrier == "power"])
    step = None if load is None else steps(rng, case.kw(load.id, "served_kw") > 2.0)
    return None if step is None else case.add_kw(load.id, "put_off_kw", step, 1.0).bought(step, -1.0)


def flexible_energy_owed_at_the_end(case: Case, rng: Rng) -> Case | None:
    load = one(rng, [load for load in case.of_kind("flexible_load") if load.carrier == "power"])
    if load is None:
        return None
    last = case.near - 1
    owing = case.add_kw(load.id, "put_off_kw", last, 1.0).bought(last, -1.0)
    return owing.with_energy_from(load.id, last, -case.hours, "shifted_kwh")


def waste_heat_above_what_comes(case: Case, rng: Rng) -> Case | None:
    """The heat load uses less of the other sources' heat: a tank takes it up, or another source gives less."""
    source = one(rng, case.of_kind("waste_heat"))
    others = [f for f in case.plan.flows if f.carrier == "heat" and f.direction == "in"]
    others = [f for f in others if source is not None and f.device != source.id and f.kw.max() > 120.0]
    if source is None or not others:
        return None
    other = one(rng, others)
    step = int(np.argmax(other.kw))
    more = float(case.conditions[source.id]["heat_available_kw"][step] - case.kw(source.id, "heat_kw")[step]) + 0.5
    return case.add_kw(source.id, "heat_kw", step, more).add_kw(other.device, other.quantity, step, -more)


def cold_for_too_little_power(case: Case, rng: Rng) -> Case | None:
    return _cheaper(case, rng, "chiller", "power_kw")


def heat_for_too_little_power(case: Case, rng: Rng) -> Case | None:
    return _cheaper(case, rng, "heat_pump", "power_kw")


def pumps_without_power(case: Case, rng: Rng) -> Case | None:
    return _cheaper(case, rng, "absorption_chiller", "power_kw")


def _cheaper(case: Case, rng: Rng, kind: str, quantity: str) -> Case | None:
    machine = one(rng, case.of_kind(kind))
    step = None if machine is None else steps(rng, case.kw(machine.id, quantity) > 0.01)
    if step is None:
        return None
    saved = 0.5 * float(case.kw(machine.id, quantity)[step])
    return case.add_kw(machine.id, quantity, step, -saved).bought(step, -saved)


def machine_above_its_rating(case: Case, rng: Rng) -> Case | None:
    limits = {"chiller": "cooling_limit_kw", "heat_pump": "heat_limit_kw", "gas_boiler": "heat_limit_kw"}
    found = [(d, limits[d.kind]) for d in case.devices if d.kind in limits]
    found = [(d, limit) for d, limit in found if case.kw(d.id, d.main_quantity or "").max() > BIG_KW]
    if not found:
        return None
    machine, limit = one(rng, found)
    return case.with_device(machine.id, **{limit: 0.9 * float(case.kw(machine.id, machine.main_quantity or "").max())})


def heat_without_its_gas(case: Case, rng: Rng) -> Case | None:
    return _less_gas(case, rng, "gas_boiler")


def chp_without_its_gas(case: Case, rng: Rng) -> Case | None:
    return _less_gas(case, rng, "chp")


def _less_gas(case: Case, rng: Rng, kind: str) -> Case | None:
    burner = one(rng, case.of_kind(kind))
    step = None if burner is None else steps(rng, case.kw(burner.id, "gas_kw") > BIG_KW)
    if step is None:
        return None
    return case.add_kw(burner.id, "gas_kw", step, -0.5).add_kw("gas", "supply_kw", step, -0.5)


def gas_above_its_supply(case: Case, rng: Rng) -> Case | None:
    supply = one(rng, case.of_kind("gas_supply"))
    if supply is None or case.kw(supply.id, "supply_kw").max() <= BIG_KW:
        return None
    return case.with_device(supply.id, supply_limit_kw=0.9 * float(case.kw(supply.id, "supply_kw").max()))


def _running(case: Case, rng: Rng) -> tuple[Any, Array]:
    """A CHP unit, and in which steps it runs: all is exact in a horizon this short."""
    chp = one(rng, case.of_kind("chp"))
    return chp, np.zeros(0) if chp is None else case.kw(chp.id, "power_kw") > 0.5 * chp.least_kw


def chp_below_its_least_load(case: Case, rng: Rng) -> Case | None:
    chp, running = _running(case, rng)
    step = None if chp is None else steps(rng, running)
    if step is None:
        return None
    kw = float(rng.uniform(0.55, 0.95)) * chp.least_kw - float(case.kw(chp.id, "power_kw")[step])
    values = case.energy(chp.id, "power_kw").copy()
    values[step + 1] += kw
    return case.add_kw(chp.id, "power_kw", step, kw).bought(step, -kw).with_state(chp.id, "power_kw", values)


def chp_stopped_before_its_time(case: Case, rng: Rng) -> Case | None:
    chp, running = _running(case, rng)
    if chp is None:
        return None
    before = np.append(case.energy(chp.id, "on_hours")[0] > 0, running[:-1])
    return case.with_device(chp.id, min_up_hours=100.0) if (before & ~running).any() else None


def chp_started_before_its_time(case: Case, rng: Rng) -> Case | None:
    chp, running = _running(case, rng)
    if chp is None:
        return None
    before = np.append(case.energy(chp.id, "on_hours")[0] > 0, running[:-1])
    return case.with_device(chp.id, min_down_hours=100.0) if (~before & running).any() else None


def chp_faster_than_its_ramp(case: Case, rng: Rng) -> Case | None:
    chp, running = _running(case, rng)
    if chp is None:
        return None
    jump = np.abs(np.diff(case.kw(chp.id, "power_kw")))[running[1:] & running[:-1]]
    if jump.size == 0 or jump.max() <= BIG_KW:
        return None
    return case.with_device(chp.id, ramp_kw_per_min=0.5 * float(jump.max()) / (60 * case.hours))


def generator_where_it_is_forbidden(case: Case, rng: Rng) -> Case | None:
    generator = one(rng, case.of_kind("backup_generator"))
    step = None if generator is None else steps(rng, case.conditions[generator.id]["allowed"] < 0.5)
    if step is None:
        return None
    kw = generator.power_limit_kw
    return case.add_kw(generator.id, "power_kw", step, kw).bought(step, -kw)


def generator_below_its_least_load(case: Case, rng: Rng) -> Case | None:
    generator = one(rng, case.of_kind("backup_generator"))
    step = None if generator is None else steps(rng, case.conditions[generator.id]["allowed"] > 0.5)
    if step is None:
        return None
    kw = float(rng.uniform(0.1, 0.9)) * generator.least_kw - float(case.kw(generator.id, "power_kw")[step])
    return case.add_kw(generator.id, "power_kw", step, kw).bought(step, -kw)


def _charger(case: Case, rng: Rng, condition: Callable[[Any, Mapping[str, Array]], Array]) -> tuple[Any, int] | None:
    found = [
        (c, step)
        for c in case.of_kind("v2g_charger")
        if (step := steps(rng, condition(c, case.conditions[c.id]))) is not None
    ]
    return one(rng, found)


def car_below_its_floor(case: Case, rng: Rng) -> Case | None:
    found = _charger(case, rng, lambda c, here: (here["two_way"] > 0) & (here["share"] >= 1.0) & (here["stay"] > 0))
    if found is None:
        return None
    charger, step = found
    here = case.conditions[charger.id]
    left = float(case.energy(charger.id)[step] - here["floor_kwh"][step]) + 0.5
    kw = left * charger.discharge_efficiency / case.hours
    taken = case.set_kw(charger.id, "charge_kw", step, 0.0).set_kw(charger.id, "discharge_kw", step, kw)
    was = float(case.kw(charger.id, "charge_kw")[step] - case.kw(charger.id, "discharge_kw")[step])
    values = case.energy(charger.id).copy()
    values[step + 1] = here["floor_kwh"][step] - 0.5
    return taken.bought(step, -kw - was).with_state(charger.id, "energy_kwh", values)


def car_discharged_that_cannot_be(case: Case, rng: Rng) -> Case | None:
    found = _charger(case, rng, lambda c, here: (here["two_way"] == 0) & (here["share"] > 0))
    if found is None:
        return None
    charger, step = found
    was = float(case.kw(charger.id, "charge_kw")[step])
    changed = case.set_kw(charger.id, "charge_kw", step, 0.0).set_kw(charger.id, "discharge_kw", step, 1.0)
    lost = (charger.charge_efficiency * was + 1.0 / charger.discharge_efficiency) * case.hours
    return changed.bought(step, -was - 1.0).with_energy_from(charger.id, step, -lost)


def car_charged_after_it_left(case: Case, rng: Rng) -> Case | None:
    found = _charger(case, rng, lambda c, here: here["share"] <= 0)
    if found is None:
        return None
    charger, step = found
    values = case.energy(charger.id).copy()
    values[step + 1] += charger.charge_efficiency * case.hours
    return (
        case.add_kw(charger.id, "charge_kw", step, 1.0).bought(step, 1.0).with_state(charger.id, "energy_kwh", values)
    )


def car_fuller_than_full(case: Case, rng: Rng) -> Case | None:
    found = _charger(case, rng, lambda c, here: (here["share"] > 0) & (here["stay"] > 0))
    if found is None:
        return None
    charger, step = found
    room = float(case.conditions[charger.id]["full_kwh"][step] - case.energy(charger.id)[step]) + 0.5
    kw = room / (charger.charge_efficiency * case.hours)
    was = float(case.kw(charger.id, "charge_kw")[step] - case.kw(charger.id, "discharge_kw")[step])
    changed = case.set_kw(charger.id, "charge_kw", step, kw).set_kw(charger.id, "discharge_kw", step, 0.0)
    values = case.energy(charger.id).copy()
    values[step + 1] = values[step] + room
    return changed.bought(step, kw - was).with_state(charger.id, "energy_kwh", values)


def charger_weaker_than_planned(case: Case, rng: Rng) -> Case | None:
    found = [c for c in case.of_kind("v2g_charger") if case.kw(c.id, "charge_kw").max() > BIG_KW]
    charger = one(rng, found)
    return charger and case.with_device(charger.id, charge_limit_kw=0.9 * float(case.kw(charger.id, "charge_kw").max()))


def cars_charged_before_they_come(case: Case, rng: Rng) -> Case | None:
    cars = one(rng, case.of_kind("expected_cars"))
    if cars is None:
        return None
    earlier = case.with_energy_from(cars.id, 0, -cars.charge_efficiency * case.hours, "backlog_kwh")
    return earlier.add_kw(cars.id, "charge_kw", 0, 1.0).bought(0, 1.0)
