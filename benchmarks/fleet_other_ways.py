"""The steps of `fleet_case.py` written by hand in three other ways: a Numba loop without layers, NumPy, plain Python.

All take the fleet's own arrays and give its records, which `plant.py` checks before it measures. Like the fleet's
kernels they keep the flows of every step or, with `keep` 0, of the last one alone.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from fleet_case import Case

from hil.fleet import kernels
from hil.fleet.fleet import FleetRecords
from hil.fleet.groups import Group
from optimizer.devices import Battery, HeatPump, Load, Pv, ThermalStore, V2gCharger, v2g_charger
from optimizer.devices.v2g_charger import UNNOTICED_KW
from optimizer.time_grid import Array

BATTERY, HEAT_STORE, CARS = Group(Battery), Group(ThermalStore, "heat"), Group(V2gCharger)
PV, PUMP, POWER_LOAD, HEAT_LOAD = Group(Pv), Group(HeatPump), Group(Load, "power"), Group(Load, "heat")
POWER, HEAT = kernels.POWER, kernels.HEAT
jit: Any = numba.njit(error_model="numpy", nogil=True)


@jit
def bare_store(
    target: Array,
    p: Array,
    energy: Array,
    out: tuple[Array, ...],
    bus: Array,
    beside: Array,
    hours: float,
    keep_all: int,
) -> None:
    """Steps of one store of every site; `beside` must not be `bus`, or LLVM does not vectorise."""
    keep, capacity, charge_limit, discharge_limit = p[0], p[1], p[2], p[3]
    charge_eff, discharge_eff, standing, per_charge = p[4], p[5], p[6], p[7]
    for t in range(len(target)):
        wish = target[t]
        out_c, out_d, out_b, out_e = (
            out[0][keep_all * t],
            out[1][keep_all * t],
            out[2][keep_all * t],
            out[3][keep_all * t],
        )
        main, power = bus[t], beside[t]
        for s in range(len(wish)):
            kept = energy[s] * keep[s]
            room = max(0.0, capacity[s] - kept) / (charge_eff[s] * hours)
            charge = min(max(0.0 - wish[s], 0.0), charge_limit[s], room)
            discharge = min(max(wish[s], 0.0), discharge_limit[s], kept * discharge_eff[s] / hours)
            after = kept + (charge_eff[s] * charge - discharge / discharge_eff[s]) * hours
            energy[s] = min(max(after, 0.0), capacity[s])
            out_c[s], out_d[s], out_b[s] = charge, discharge, standing[s] + per_charge[s] * charge
            out_e[s] = energy[s]
            main[s] += charge - discharge
            power[s] += standing[s] + per_charge[s] * charge


@jit
def bare_cars(
    target: Array, p: Array, energy: Array, car: Array, out: tuple[Array, ...], bus: Array, hours: float, keep_all: int,
    steps: Array, sites: Array, cars: Array,
) -> None:  # fmt: skip
    charge_limit, discharge_limit, charge_eff, discharge_eff, least_kw = p[0], p[1], p[2], p[3], p[4]
    share, full, floor, two_way, taper_from, per_kwh = car[0], car[1], car[2], car[3], car[4], car[5]
    n = 0
    for t in range(len(target)):
        while n < len(steps) and steps[n] == t:
            s = sites[n]
            for place in range(6):
                car[place, s] = cars[n, place]
            energy[s] = energy[s] * cars[n, 6] + cars[n, 7]
            n += 1
        wish, main = target[t], bus[t]
        out_c, out_d, out_e = out[0][keep_all * t], out[1][keep_all * t], out[2][keep_all * t]
        for s in range(len(wish)):
            limit, gain = share[s] * charge_limit[s], charge_eff[s] * hours
            tapered = limit * (1.0 - per_kwh[s] * (energy[s] - taper_from[s])) / (1.0 + limit * per_kwh[s] * gain)
            can_take = min(max(0.0, full[s] - energy[s]) / gain, tapered)
            asked = min(max(0.0 - wish[s], 0.0), limit)
            given = min(max(wish[s], 0.0), share[s] * two_way[s] * discharge_limit[s])
            least = min(share[s] * least_kw[s], can_take) - UNNOTICED_KW
            charge = min(asked, can_take) if asked >= given and asked >= least else 0.0
            room = max(0.0, energy[s] - floor[s]) * discharge_eff[s] / hours
            discharge = min(given, room) if given > asked else 0.0
            energy[s] = max(energy[s] + (charge_eff[s] * charge - discharge / discharge_eff[s]) * hours, 0.0)
            out_c[s], out_d[s], out_e[s] = charge, discharge, energy[s]
            main[s] += charge - discharge


@jit
def bare_rest(
    sun: Array, pv_wish: Array, rating: Array, pv_out: Array, cop: Array, heat_wish: Array, heat_limit: Array,
    pump_out: tuple[Array, ...], demand: Array, load_out: Array, heat_demand: Array, heat_load_out: Array,
    power: Array, heat: Array, keep_all: int,
) -> None:  # fmt: skip
    for t in range(len(sun)):
        sun_t, pv_t, used_t, bus, warm = sun[t], pv_wish[t], pv_out[keep_all * t], power[t], heat[t]
        cop_t, wish_t, taken_t, given_t = cop[t], heat_wish[t], pump_out[0][keep_all * t], pump_out[1][keep_all * t]
        demand_t, served_t = demand[t], load_out[keep_all * t]
        heat_demand_t, heat_served_t = heat_demand[t], heat_load_out[keep_all * t]
        for s in range(len(sun_t)):
            used_t[s] = min(max(pv_t[s], 0.0), sun_t[s], rating[s])
            given_t[s] = min(max(wish_t[s], 0.0), heat_limit[s])
            taken_t[s] = given_t[s] / cop_t[s]
            served_t[s], heat_served_t[s] = max(demand_t[s], 0.0), max(heat_demand_t[s], 0.0)
            bus[s] += taken_t[s] + served_t[s] - used_t[s]
            warm[s] += heat_served_t[s] - given_t[s]


@jit
def bare_meter(buses: Array, limits: Array, window: Array, out: tuple[Array, ...]) -> None:
    import_limit, export_limit, gas_limit = limits[0], limits[1], limits[2]
    for t in range(buses.shape[1]):
        p, h, c, g, latest = buses[0, t], buses[1, t], buses[2, t], buses[3, t], window[t % len(window)]
        r0, r1, r2, r3, r4, r5 = out[0][t], out[1][t], out[2][t], out[3][t], out[4][t], out[5][t]
        r6, r7, r8, r9, demand = out[6][t], out[7][t], out[8][t], out[9][t], out[10][t]
        for s in range(len(p)):
            net = max(p[s], 0.0) - max(0.0 - p[s], 0.0)
            latest[s] = min(max(net, 0.0), import_limit[s])
            r0[s], r1[s] = latest[s], min(max(-net, 0.0), export_limit[s])
            r2[s] = min(max(g[s], 0.0), gas_limit[s])
            r3[s], r7[s] = max(p[s] - r0[s], 0.0), max(0.0 - p[s] - r1[s], 0.0)
            r4[s], r8[s] = max(h[s], 0.0), max(0.0 - h[s], 0.0)
            r5[s], r9[s] = max(c[s], 0.0), max(0.0 - c[s], 0.0)
            r6[s] = max(g[s] - r2[s], 0.0)
            demand[s] = 0.0
        for n in range(len(window)):
            before = window[n]
            for s in range(len(p)):
                demand[s] += before[s] / len(window)


class Bare:
    """The hand-written loop over all steps, with an array of its own for every quantity; `run` fills them anew."""

    def __init__(self, case: Case, keep: bool) -> None:
        self._case, self._keep = case, int(keep)
        fleet, shape = case.fleet, (case.steps, len(case.fleet.sites))
        kept = (case.steps if keep else 1, shape[1])
        self._buses, self._unused = np.zeros((4, *shape)), np.zeros(shape)
        self._targets = {g: np.ascontiguousarray(v.transpose(1, 0, 2)) for g, v in case.targets.items()}
        self._around = {g: v[:, 0, 0].copy() for g, v in case.surroundings.around.items() if v.size}
        sizes = {group: values.shape[2] for group, values in fleet.empty_records(1).devices.items()}
        self.rows = {
            group: [tuple(np.empty(kept) for _ in range(sizes[group])) for _ in range(rows)]
            for group, rows in fleet.rows.items()
        }
        self.sites = tuple(np.empty(shape) for _ in range(kernels.SITE_SIZE))

    def run(self) -> None:
        fleet, hours, state = self._case.fleet, self._case.fleet.hours, self._case.start.copy()
        self._buses[:] = 0.0
        power, heat = self._buses[POWER], self._buses[HEAT]
        for group, bus, beside in ((BATTERY, power, self._unused), (HEAT_STORE, heat, power)):
            p, out = fleet.parameters[group][0], self.rows[group][0]
            bare_store(self._targets[group][0], p, state.states[group][0, 0], out, bus, beside, hours, self._keep)
        cars = self._case.surroundings.cars
        for row in range(fleet.rows[CARS]):
            part = slice(cars.first_change[row], cars.first_change[row + 1])
            bare_cars(
                self._targets[CARS][row], fleet.parameters[CARS][row], state.states[CARS][row, 0],
                state.standing[row], self.rows[CARS][row], power, hours, self._keep,
                cars.steps[part], cars.sites[part], cars.cars[part],
            )  # fmt: skip
        a, t, r = self._around, self._targets, self.rows
        bare_rest(
            a[PV], t[PV][0], fleet.parameters[PV][0, 0], r[PV][0][0],
            a[PUMP], t[PUMP][0], fleet.parameters[PUMP][0, 0], r[PUMP][0],
            a[POWER_LOAD], r[POWER_LOAD][0][0], a[HEAT_LOAD], r[HEAT_LOAD][0][0], power, heat, self._keep,
        )  # fmt: skip
        bare_meter(self._buses, fleet.limits, state.window_kw, self.sites)


class InNumpy:
    """The same in NumPy over all sites, and over all chargers of them, step by step."""

    def __init__(self, case: Case, keep: bool) -> None:
        self._case, self._keep = case, int(keep)
        self.records: FleetRecords = case.fleet.empty_records(case.steps, of_devices=keep)

    def run(self) -> None:
        case, state = self._case, self._case.start.copy()
        changes = case.surroundings.cars
        rows = np.repeat(np.arange(case.fleet.rows[CARS]), np.diff(changes.first_change))
        order = np.argsort(changes.steps, kind="stable")
        edges = np.searchsorted(changes.steps[order], np.arange(case.steps + 1))
        for t in range(case.steps):
            now = order[edges[t] : edges[t + 1]]
            row, site, car = rows[now], changes.sites[now], changes.cars[now]
            state.standing[row, :, site] = car[:, :6]
            energy = state.states[CARS][:, 0]
            energy[row, site] = energy[row, site] * car[:, 6] + car[:, 7]
            power = self._stores(t, BATTERY, state.states[BATTERY])
            heat = self._stores(t, HEAT_STORE, state.states[HEAT_STORE])
            power += self._cars(t, state.states[CARS], state.standing)
            self._close(t, power + self._rest(t, heat), heat, state.window_kw)

    def _stores(self, t: int, group: Group, states: Array) -> Array:
        """(sites,) taken from the stores' bus; these have no power beside."""
        case, record = self._case, self.records.devices[group][self._keep * t]
        wish, hours = case.targets[group][t], case.fleet.hours
        keep, capacity, charge_limit, discharge_limit, charge_eff, discharge_eff, standing, per_charge = (
            case.fleet.parameters[group].transpose(1, 0, 2)
        )
        kept = states[:, 0] * keep
        room = np.maximum(capacity - kept, 0.0) / (charge_eff * hours)
        charge = np.minimum(np.minimum(np.maximum(-wish, 0.0), charge_limit), room)
        discharge = np.minimum(np.minimum(np.maximum(wish, 0.0), discharge_limit), kept * discharge_eff / hours)
        after = kept + (charge_eff * charge - discharge / discharge_eff) * hours
        states[:, 0] = np.minimum(np.maximum(after, 0.0), capacity)
        record[:, 0], record[:, 1], record[:, 2] = charge, discharge, standing + per_charge * charge
        record[:, 3] = states[:, 0]
        return np.sum(charge - discharge, axis=0)

    def _cars(self, t: int, states: Array, standing: Array) -> Array:
        case, record = self._case, self.records.devices[CARS][self._keep * t]
        wish, hours = case.targets[CARS][t], case.fleet.hours
        share, full, floor, two_way, taper_from, per_kwh = standing.transpose(1, 0, 2)
        charge_limit, discharge_limit, charge_eff, discharge_eff, least = case.fleet.parameters[CARS].transpose(1, 0, 2)
        energy = states[:, 0]
        limit, gain = share * charge_limit, charge_eff * hours
        tapered = limit * (1.0 - per_kwh * (energy - taper_from)) / (1.0 + limit * per_kwh * gain)
        can_take = np.minimum(np.maximum(full - energy, 0.0) / gain, tapered)
        asked = np.minimum(np.maximum(-wish, 0.0), limit)
        given = np.minimum(np.maximum(wish, 0.0), share * two_way * discharge_limit)
        runs = (asked >= given) & (asked >= np.minimum(share * least, can_take) - UNNOTICED_KW)
        charge = np.where(runs, np.minimum(asked, can_take), 0.0)
        room = np.maximum(energy - floor, 0.0) * discharge_eff / hours
        discharge = np.where(given > asked, np.minimum(given, room), 0.0)
        states[:, 0] = np.maximum(energy + (charge_eff * charge - discharge / discharge_eff) * hours, 0.0)
        record[:, 0], record[:, 1], record[:, 2] = charge, discharge, states[:, 0]
        return np.sum(charge - discharge, axis=0)

    def _rest(self, t: int, heat: Array) -> Array:
        """(sites,) power taken by loads and heat pumps less PV; heat is balanced in place."""
        case, out, kept = self._case, self.records.devices, self._keep * t
        around = {g: case.surroundings.around[g][t, 0, 0] for g in (PV, PUMP, POWER_LOAD, HEAT_LOAD)}
        used = np.minimum(
            np.minimum(np.maximum(case.targets[PV][t, 0], 0.0), around[PV]), case.fleet.parameters[PV][0, 0]
        )
        warm = np.minimum(np.maximum(case.targets[PUMP][t, 0], 0.0), case.fleet.parameters[PUMP][0, 0])
        taken = warm / around[PUMP]
        out[PV][kept, 0, 0], out[PUMP][kept, 0, 0], out[PUMP][kept, 0, 1] = used, taken, warm
        out[POWER_LOAD][kept, 0, 0] = np.maximum(around[POWER_LOAD], 0.0)
        out[HEAT_LOAD][kept, 0, 0] = np.maximum(around[HEAT_LOAD], 0.0)
        heat += out[HEAT_LOAD][kept, 0, 0] - warm
        return taken + out[POWER_LOAD][kept, 0, 0] - used

    def _close(self, t: int, power: Array, heat: Array, window: Array) -> None:
        record, (import_limit, export_limit, _) = self.records.sites[t], self._case.fleet.limits
        taken = np.minimum(np.maximum(power, 0.0), import_limit)
        fed = np.minimum(np.maximum(-power, 0.0), export_limit)
        window[t % len(window)] = taken
        record[:] = 0.0
        record[kernels.IMPORT_KW], record[kernels.EXPORT_KW] = taken, fed
        record[kernels.UNSERVED_POWER_KW] = np.maximum(power - taken, 0.0)
        record[kernels.SURPLUS_POWER_KW] = np.maximum(-power - fed, 0.0)
        record[kernels.UNSERVED_HEAT_KW] = np.maximum(heat, 0.0)
        record[kernels.SURPLUS_HEAT_KW] = np.maximum(-heat, 0.0)
        record[kernels.DEMAND_KW] = np.mean(window, axis=0)


def python_charger_steps(count: int) -> float:
    """Energy of a car after so many of the charger's own steps in plain Python."""
    energy = 20.0
    for n in range(count):
        wish = 20.0 if n % 40 < 20 else -20.0
        _, _, energy = v2g_charger.step(
            energy, max(wish, 0.0), max(-wish, 0.0), 0.25, 60.0, 12.0, 20.0, 20.0, 0.0, 48.0, 0.05, 0.95, 0.95
        )
    return energy
