"""A week of the full reference park in closed loop: our planner against the model as most tools write it.

Both plan every two hours for the next 24 hours with everything known and execute the next eight quarter hours on the
devices' physical steps. What is compared is what was executed: energy, gas, wear, starts, cars short, the demand above
the peak at the start, less the value of what the stores hold in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from reference_park import PEAK_KW, START, Record, devices
from usual_milp import UsualModel

from optimizer.devices import AnyDevice
from optimizer.devices.base import PhysicalState
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import Situation

DAYS = 7
EXECUTED = 8
CYCLE = EXECUTED * timedelta(minutes=15)

Flows = Mapping[tuple[str, str], list[float]]
Controller = Callable[[Situation], Flows]


@dataclass
class Week:
    """The park as it is moved by a controller, and what that costs."""

    park: tuple[AnyDevice, ...]
    state: dict[str, PhysicalState] = field(default_factory=dict)
    peak_kw: float = PEAK_KW
    cost: float = 0.0

    def execute(self, situation: Situation, flows: Flows) -> None:
        prices, hours = situation.prices, situation.grid.step_hours
        conditions = {device.id: device.conditions(situation) for device in self.park}
        self.state = {device.id: device.start(situation) for device in self.park}
        for t in range(EXECUTED):
            for device in self.park:
                here = {name: float(values[t]) for name, values in conditions[device.id].items()}
                asked = {quantity: flows[device.id, quantity][t] for quantity in device.buses()}
                before = self.state[device.id]
                done = device.step(asked, before, here, hours)
                self.state[device.id] = done.state
                price = prices.import_per_kwh[t], prices.export_per_kwh[t]
                self.cost += hours * _variable_cost(device, done.flows, *price)
                self.cost += _event_cost(device, before, done.state, here)
                self.peak_kw = max(self.peak_kw, done.flows.get("import_kw", 0.0))

    def total(self, situation: Situation) -> float:
        (line,) = situation.prices.demand
        lowest = float(situation.prices.import_per_kwh.min())
        held = sum(_left_value(device, lowest) * self.state[device.id].get("energy_kwh", 0.0) for device in self.park)
        return self.cost + line.price_per_kw * (self.peak_kw - PEAK_KW) - held


def _variable_cost(device: AnyDevice, flows: Mapping[str, float], import_price: float, export_price: float) -> float:
    if device.kind == "grid_connection":
        return flows["import_kw"] * import_price - flows["export_kw"] * export_price
    if device.kind == "gas_supply":
        return flows["supply_kw"] * device.price_per_kwh
    if device.kind in ("battery", "v2g_charger"):
        return flows["discharge_kw"] * device.wear_cost_per_kwh
    return 0.0


def _event_cost(device: AnyDevice, before: PhysicalState, after: PhysicalState, here: Mapping[str, float]) -> float:
    if device.kind == "chp":
        return device.start_cost if after["on_hours"] > 0 >= before["on_hours"] else 0.0
    if device.kind == "v2g_charger":
        return device.missed_price_per_kwh * max(0.0, here["target_kwh"] - after["energy_kwh"])
    return 0.0


def _left_value(device: AnyDevice, lowest_price: float) -> float:
    if device.kind == "battery":
        return device.discharge_efficiency * lowest_price
    return device.left_value_per_kwh if device.kind == "thermal_store" else 0.0


def ours(park: tuple[AnyDevice, ...]) -> Controller:
    planner = Planner("reference_park", park)
    last: list[Plan] = []

    def plan(situation: Situation) -> Flows:
        found = planner.plan(situation, 600.0, last_plan=last[-1] if last else None)
        if not isinstance(found, Plan):
            raise RuntimeError(f"no plan at {situation.issued_at}: {found.reason}")
        last[:] = [found]
        return {(flow.device, flow.quantity): flow.kw.tolist() for flow in found.flows}

    return plan


def usual(park: tuple[AnyDevice, ...]) -> Controller:
    return lambda situation: UsualModel(park, situation).solve()[1]


CONTROLLERS = {"ours": ours, "usual": usual}


def week_cost(controller: str) -> float:
    """Executed cost of the week [CNY]."""
    record, park = Record.read(), devices()
    week, decide = Week(park), CONTROLLERS[controller](park)
    situation = record.situation(START)
    for cycle in range(96 * DAYS // EXECUTED):
        situation = record.situation(START + cycle * CYCLE, week.state, peak_kw=week.peak_kw)
        week.execute(situation, decide(situation))
    return week.total(situation)
