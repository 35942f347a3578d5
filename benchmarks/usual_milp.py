"""The reference park as most tools write it: a new Pyomo model for every plan, a binary for every condition and step.

The same physics and the same money as the devices of `optimizer`, written again by hand and straight: numbers instead
of parameters, a binary for every either-or condition of the whole horizon. `dispatch.py` checks that its optimum is
that of the product's model before it measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.contrib.appsi.solvers import Highs

from optimizer.devices import (
    AbsorptionChiller,
    AnyDevice,
    Battery,
    Chiller,
    Chp,
    GasBoiler,
    GasSupply,
    GridConnection,
    HeatPump,
    Load,
    Pv,
    ThermalStore,
    V2gCharger,
)
from optimizer.situation import Situation

GAP = 1e-4
Flows = dict[tuple[str, str], list[float]]
"""Values of each step by device and quantity."""


class UsualModel:
    """One plan's model: written, solved, thrown away."""

    def __init__(self, devices: Sequence[AnyDevice], situation: Situation) -> None:
        self.situation = situation
        self.steps = range(situation.grid.near)
        self.hours = situation.grid.step_hours
        self.m = pyo.ConcreteModel()
        self.m.row = pyo.ConstraintList()
        self.cost: list[Any] = []
        self.flows: dict[tuple[str, str], Any] = {}
        self.bus: dict[str, list[tuple[int, Any]]] = {"power": [], "heat": [], "cold": [], "gas": []}
        self.devices = sorted(devices, key=lambda device: isinstance(device, GridConnection))
        for device in self.devices:
            _WRITERS[type(device)](self, device)
        for flows in self.bus.values():
            for t in self.steps:
                self.add(sum(sign * flow[t] for sign, flow in flows) == 0)
        self.m.total = pyo.Objective(expr=sum(self.cost))

    def solve(self, gap: float = GAP) -> tuple[float, Flows]:
        """The objective and the flows."""
        solver = Highs()
        solver.highs_options = {"mip_rel_gap": gap, "parallel": "off"}
        found = solver.solve(self.m).best_feasible_objective
        return float(found), {
            name: [max(0.0, pyo.value(flow[t])) for t in self.steps] for name, flow in self.flows.items()
        }

    def add(self, row: Any) -> None:
        self.m.row.add(row)

    def var(self, name: str, **given: Any) -> Any:
        steps = given.pop("steps", self.steps)
        self.m.add_component(name, pyo.Var(steps, **given))
        return self.m.component(name)

    def flow(self, device: AnyDevice, quantity: str, upper: Any = None) -> Any:
        """A flow from 0 to a number or to (n,) numbers, put on the bus that the device names."""
        carrier, direction = device.buses()[quantity]
        most = np.broadcast_to(np.inf if upper is None else upper, len(self.steps))
        limits = [(0.0, None if np.isinf(value) else float(value)) for value in most]
        flow = self.var(f"{device.id}_{quantity}", bounds=lambda _m, t: limits[t])
        self.bus[carrier].append((1 if direction == "in" else -1, flow))
        self.flows[device.id, quantity] = flow
        return flow

    def one_of(self, name: str, a: Any, b: Any, most_a: Any, most_b: Any) -> None:
        u = self.var(f"{name}_u", domain=pyo.Binary)
        high_a, high_b = (np.broadcast_to(most, len(self.steps)) for most in (most_a, most_b))
        for t in self.steps:
            self.add(a[t] <= float(high_a[t]) * u[t])
            self.add(b[t] <= float(high_b[t]) * (1 - u[t]))

    def zero_or_at_least(self, name: str, flow: Any, least: float, most: float) -> None:
        if least > 0:
            u = self.var(f"{name}_u", domain=pyo.Binary)
            for t in self.steps:
                self.add(flow[t] <= most * u[t])
                self.add(flow[t] >= least * u[t])

    def pay(self, prices: Any, flow: Any) -> None:
        values = np.broadcast_to(prices, len(self.steps))
        self.cost.append(self.hours * sum(float(values[t]) * flow[t] for t in self.steps))


def _grid(park: UsualModel, device: GridConnection) -> None:
    prices = park.situation.prices
    bought = park.flow(device, "import_kw", device.import_limit_kw)
    sold = park.flow(device, "export_kw", device.export_limit_kw)
    park.one_of(device.id, bought, sold, device.import_limit_kw, device.export_limit_kw)
    generated = [park.flows[d.id, name] for d in park.devices for name in d.generated()]
    park.pay(prices.import_per_kwh, bought)
    park.pay(-prices.export_per_kwh, sold)
    for t in park.steps:
        park.add(sold[t] <= sum(flow[t] for flow in generated))
    (line,) = prices.demand
    least = max(park.situation.peak_so_far_kw(device.id, line.id), line.free_kw)
    park.m.peak_kw = pyo.Var(bounds=(least, None))
    for t in park.steps[line.averaged_steps - 1 :]:
        park.add(sum(bought[t - k] for k in range(line.averaged_steps)) / line.averaged_steps <= park.m.peak_kw)
    park.cost.append(line.price_per_kw * (park.m.peak_kw - least))


def _gas(park: UsualModel, device: GasSupply) -> None:
    park.pay(device.price_per_kwh, park.flow(device, "supply_kw", device.supply_limit_kw))


def _load(park: UsualModel, device: Load) -> None:
    demand = park.situation.need(f"{device.id}.demand_kw")
    served = park.flow(device, "served_kw", demand)
    for t in park.steps:
        park.add(served[t] == float(demand[t]))


def _pv(park: UsualModel, device: Pv) -> None:
    park.flow(device, "used_kw", np.minimum(park.situation.need(f"{device.id}.available_kw"), device.capacity_kw))


def _store(park: UsualModel, device: Battery | ThermalStore, loss: float, low: float, high: float) -> Any:
    charge = park.flow(device, "charge_kw", device.charge_limit_kw)
    discharge = park.flow(device, "discharge_kw", device.discharge_limit_kw)
    park.one_of(device.id, charge, discharge, device.charge_limit_kw, device.discharge_limit_kw)
    energy = park.var(f"{device.id}_energy", bounds=(low, high), steps=range(len(park.steps) + 1))
    energy[0].setlb(0.0)
    energy[0].fix(device.start(park.situation)["energy_kwh"])
    keep = (1.0 - loss) ** park.hours
    for t in park.steps:
        gained = device.charge_efficiency * charge[t] - discharge[t] / device.discharge_efficiency
        park.add(energy[t + 1] == keep * energy[t] + park.hours * gained)
    return energy


def _battery(park: UsualModel, device: Battery) -> None:
    low, high = device.min_soc * device.capacity_kwh, device.max_soc * device.capacity_kwh
    energy = _store(park, device, device.standing_loss_per_hour, low, high)
    park.pay(device.wear_cost_per_kwh, park.flows[device.id, "discharge_kw"])
    left = device.discharge_efficiency * float(park.situation.prices.import_per_kwh.min())
    park.cost.append(-left * energy[len(park.steps)])


def _thermal_store(park: UsualModel, device: ThermalStore) -> None:
    energy = _store(park, device, device.loss_per_hour, 0.0, device.capacity_kwh)
    park.cost.append(-device.left_value_per_kwh * energy[len(park.steps)])


def _charger(park: UsualModel, device: V2gCharger) -> None:
    here = device.conditions(park.situation)
    most_in = here["share"] * device.charge_limit_kw
    most_out = here["share"] * here["two_way"] * device.discharge_limit_kw
    charge, discharge = park.flow(device, "charge_kw", most_in), park.flow(device, "discharge_kw", most_out)
    park.one_of(device.id, charge, discharge, most_in, most_out)
    energy = park.var(f"{device.id}_energy", bounds=(0, None), steps=range(len(park.steps) + 1))
    energy[0].fix(device.start(park.situation)["energy_kwh"])
    missed = park.var(f"{device.id}_missed", bounds=lambda _m, t: (0, float(here["target_kwh"][t])))
    for t in park.steps:
        gained = device.charge_efficiency * charge[t] - discharge[t] / device.discharge_efficiency
        brought = float(here["arrive_kwh"][t])
        park.add(energy[t + 1] == float(here["stay"][t]) * energy[t] + brought + park.hours * gained)
        park.add(energy[t + 1] >= float(here["floor_kwh"][t]))
        park.add(energy[t + 1] <= float(here["full_kwh"][t]))
        park.add(energy[t + 1] + missed[t] >= float(here["target_kwh"][t]))
    park.pay(device.wear_cost_per_kwh, discharge)
    park.cost.append(device.missed_price_per_kwh * sum(missed[t] for t in park.steps))


def _boiler(park: UsualModel, device: GasBoiler) -> None:
    heat, gas = park.flow(device, "heat_kw", device.heat_limit_kw), park.flow(device, "gas_kw")
    park.zero_or_at_least(device.id, heat, device.min_part_load * device.heat_limit_kw, device.heat_limit_kw)
    for t in park.steps:
        park.add(device.efficiency * gas[t] == heat[t])


def _heat_pump(park: UsualModel, device: HeatPump) -> None:
    heat, power = park.flow(device, "heat_kw", device.heat_limit_kw), park.flow(device, "power_kw")
    park.zero_or_at_least(device.id, heat, device.min_part_load * device.heat_limit_kw, device.heat_limit_kw)
    cop = device.conditions(park.situation)["cop"]
    for t in park.steps:
        park.add(float(cop[t]) * power[t] == heat[t])


def _chiller(park: UsualModel, device: Chiller) -> None:
    cold, power = park.flow(device, "cold_kw", device.cooling_limit_kw), park.flow(device, "power_kw")
    park.zero_or_at_least(device.id, cold, device.min_part_load * device.cooling_limit_kw, device.cooling_limit_kw)
    cop = device.conditions(park.situation)["cop"]
    for t in park.steps:
        park.add(float(cop[t]) * power[t] == cold[t])


def _absorption_chiller(park: UsualModel, device: AbsorptionChiller) -> None:
    cold = park.flow(device, "cold_kw", device.cooling_limit_kw)
    heat, power = park.flow(device, "heat_kw"), park.flow(device, "power_kw")
    park.zero_or_at_least(device.id, cold, device.min_part_load * device.cooling_limit_kw, device.cooling_limit_kw)
    for t in park.steps:
        park.add(device.cop * heat[t] == cold[t])
        park.add(power[t] == device.auxiliary_kw_per_kw * cold[t])


def _chp(park: UsualModel, device: Chp) -> None:
    """On/off with minimum up and down times; ramps are free and no heat is dumped in the reference park."""
    power, gas, heat = (park.flow(device, name) for name in ("power_kw", "gas_kw", "heat_kw"))
    on, starts, stops = (park.var(f"{device.id}_{name}", domain=pyo.Binary) for name in ("on", "starts", "stops"))
    state = device.start(park.situation)
    was_on = state["on_hours"] > 0
    up, down = round(device.min_up_hours / park.hours), round(device.min_down_hours / park.hours)
    for t in park.steps:
        park.add(on[t] - (on[t - 1] if t else float(was_on)) == starts[t] - stops[t])
        park.add(power[t] >= device.least_kw * on[t])
        park.add(power[t] <= device.power_limit_kw * on[t])
        park.add(gas[t] == device.gas_while_on_kw * on[t] + device.gas_per_power * power[t])
        park.add(heat[t] == device.thermal_efficiency * gas[t])
        park.add(sum(starts[i] for i in range(max(0, t - up + 1), t + 1)) <= on[t])
        park.add(sum(stops[i] for i in range(max(0, t - down + 1), t + 1)) <= 1 - on[t])
        if was_on and state["on_hours"] + t * park.hours < device.min_up_hours - 1e-6:
            on[t].fix(1)
        if not was_on and state["off_hours"] + t * park.hours < device.min_down_hours - 1e-6:
            on[t].fix(0)
    park.cost.append(device.start_cost * sum(starts[t] for t in park.steps))


_WRITERS: dict[type, Any] = {
    GridConnection: _grid,
    GasSupply: _gas,
    Load: _load,
    Pv: _pv,
    Battery: _battery,
    ThermalStore: _thermal_store,
    V2gCharger: _charger,
    GasBoiler: _boiler,
    HeatPump: _heat_pump,
    Chiller: _chiller,
    AbsorptionChiller: _absorption_chiller,
    Chp: _chp,
}
