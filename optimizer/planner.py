"""The planner: one model per site, built once, updated as arrays, solved as a linear program, exact by checking.

    build      Pyomo, once per site and grid shape (a rebuild is counted with its reason)
    update     parameters -> arrays, a few sparse products
    solve      HiGHS; either-or conditions that the answer breaks are added as binaries and it is solved again
    read       flows, states, costs by term, shadow prices, limits that gave way, setpoints

The plan does not depend on earlier calls: the same situation gives the same plan.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
import pyomo.environ as pyo

from optimizer import reasons
from optimizer.balance import BusFlow, FeederLimit, add_balances, add_feeder_limits, add_generation_limits, bus_flows
from optimizer.compiled import CompiledModel, ParameterVector, Program
from optimizer.devices.base import ON_OFF_EXACT_STEPS, Carrier, Cost, Device, Ports
from optimizer.plan import SETPOINT_LIFE_STEPS, FlowSeries, GivenWay, Plan, Setpoint, Text
from optimizer.situation import Situation
from optimizer.solver import MIP_GAP, Choice, OneOf, Solution, Status, WholeNumber, ZeroOrAtLeast, is_kept, solve
from optimizer.stability import nearest
from optimizer.time_grid import Array, GridShape

GAVE_WAY_ABOVE = 1e-4


WHOLE_FAMILY_FROM_SOLVE = {ZeroOrAtLeast: 1, WholeNumber: 2, OneOf: 2}
"""After this many solves a device that broke a condition has it enforced in all its steps. Part loads move to the next
step when one is forbidden, so all of them at once."""


@dataclass(frozen=True)
class Exactness:
    """In how many steps from now discrete conditions are exact; later they are relaxed, and never executed so."""

    part_load_steps: int = 8
    """Least part loads of machines that may cycle."""
    on_off_steps: int = ON_OFF_EXACT_STEPS
    """On/off decisions."""


@dataclass(frozen=True)
class NoPlan:
    """There is no plan, and why: the caller goes on to the next-best answer."""

    reason: str


@dataclass(frozen=True)
class Model:
    """A built site: the Pyomo model, its arrays, and where to find everything in an answer."""

    shape: GridShape
    pyomo: Any
    ports: Mapping[str, Ports]
    flows: tuple[BusFlow, ...]
    balances: Mapping[Carrier, Any]
    costs: tuple[Cost, ...]
    compiled: CompiledModel
    choices: tuple[Choice, ...]


def build(
    devices: Sequence[Device], feeders: Sequence[FeederLimit], shape: GridShape, exactness: Exactness | None = None
) -> Model:
    """The whole site as rows: devices offer flows, balances add them up."""
    model = pyo.ConcreteModel()
    model.device = pyo.Block([device.id for device in devices])
    ports: dict[str, Ports] = {}
    for device in devices:
        ports[device.id] = device.add_to(model.device[device.id], shape)
    flows = bus_flows(devices, ports)
    model.site = pyo.Block(concrete=True)
    balances = add_balances(model.site, flows, shape)
    add_generation_limits(model.site, flows, shape)
    add_feeder_limits(model.site, flows, feeders, shape)
    costs = tuple(cost for port in ports.values() for cost in port.costs)
    parameters = ParameterVector({device.id: model.device[device.id] for device in devices})
    compiled = CompiledModel(parameters, model, costs)
    choices = _choices(ports, compiled, shape, exactness or Exactness())
    return Model(shape, model, ports, flows, balances, costs, compiled, choices)


def _choices(
    ports: Mapping[str, Ports], compiled: CompiledModel, shape: GridShape, exactness: Exactness
) -> tuple[Choice, ...]:
    """Either-or conditions: one direction at a time in every near step, least part loads in the first hours."""
    found: list[Choice] = []
    exact = range(min(shape.near, exactness.part_load_steps))
    near_decisions = range(min(shape.near, exactness.on_off_steps))
    for device, port in ports.items():
        for a, b in port.exclusive:
            family = f"{device}.direction"
            found += [OneOf(compiled.column(a[t]), compiled.column(b[t]), family) for t in range(shape.near)]
        for part in port.semicontinuous:
            family = f"{device}.part_load"
            found += [ZeroOrAtLeast(compiled.column(part.variable[t]), part.minimum, family) for t in exact]
        for decision in port.decisions:
            family = f"{device}.on_off"
            found += [WholeNumber(compiled.column(decision[t]), family) for t in near_decisions]
    return tuple(found)


@dataclass(frozen=True)
class Answer:
    """A solved program with what it took to get there."""

    solution: Solution
    solves: int
    enforced: tuple[Choice, ...] = ()
    """The either-or conditions that had to be enforced."""
    cycling: bool = False
    """True when machines have to run below their least part load, because nothing else is feasible."""


def solve_exactly(program: Program, choices: tuple[Choice, ...], deadline_s: float, gap: float = MIP_GAP) -> Answer:
    """Linear first; either-or conditions that the answer breaks are enforced, until none is broken.

    Where minimum part loads leave no answer at all, they are given up (machines then cycle) before anything else.
    """
    until = time.perf_counter() + deadline_s
    answer = _enforce(program, choices, until, gap)
    strict = tuple(choice for choice in choices if not isinstance(choice, ZeroOrAtLeast))
    if answer.solution.status is not Status.INFEASIBLE or len(strict) == len(choices):
        return answer
    loose = _enforce(program, strict, until, gap)
    return replace(loose, solves=answer.solves + loose.solves, cycling=True)


def _enforce(program: Program, choices: tuple[Choice, ...], until: float, gap: float) -> Answer:
    """Adds what the last answer broke: the broken steps alone at first, later whole families, so that it ends soon."""
    enforced: tuple[Choice, ...] = ()
    for solves in count(1):
        solution = solve(program, enforced, time_limit_s=max(0.05, until - time.perf_counter()), gap=gap)
        if not solution.usable:
            return Answer(solution, solves, enforced)
        broken = tuple(choice for choice in choices if not is_kept(choice, solution.x))
        if not broken:
            return Answer(solution, solves, enforced)
        missing = set(broken) - set(enforced)
        if not missing:
            return Answer(replace(solution, status=Status.NO_ANSWER, detail=f"{len(broken)} conditions broken"), solves)
        families = {choice.family for choice in missing if solves >= WHOLE_FAMILY_FROM_SOLVE[type(choice)]}
        wanted = missing | set(enforced)
        enforced = tuple(choice for choice in choices if choice in wanted or choice.family in families)
    raise AssertionError("unreachable: every round adds a family or returns")


class Planner:
    """Plans one site. Keeps the built model between calls, and nothing else that could change an answer."""

    def __init__(self, site: str, devices: Sequence[Device], feeders: Sequence[FeederLimit] = ()) -> None:
        self.site = site
        self.devices = tuple(devices)
        self.feeders = tuple(feeders)
        self.rebuilds: list[str] = []
        """Why the model was built, each time it was."""
        self._model: Model | None = None

    def plan(self, situation: Situation, deadline_s: float = 10.0, *, last_plan: Plan | None = None) -> Plan | NoPlan:
        """The best plan for the situation, or why there is none; of equally good ones the nearest to the last plan.

        Raises:
            ValueError: a series is missing, of wrong length or not finite (named).
        """
        began = time.perf_counter()
        model = self.model_for(situation.shape)
        conditions = {device.id: device.conditions(situation) for device in self.devices}
        inputs = {device.id: device.inputs(situation, conditions[device.id]) for device in self.devices}
        parameters = model.compiled.parameters.values(inputs)
        program = model.compiled.program(parameters)
        updated = time.perf_counter()
        answer = solve_exactly(program, model.choices, deadline_s)
        if not answer.solution.usable:
            return NoPlan(f"{answer.solution.status.value}: {answer.solution.detail}")
        left_s = max(0.05, deadline_s - (time.perf_counter() - updated))
        wanted = _of_last_plan(model, situation, last_plan)
        choices = answer.enforced if answer.cycling else model.choices
        answer = replace(answer, solution=nearest(program, choices, answer.solution, wanted, left_s))
        solved = time.perf_counter()
        reading = _Reading(self.devices, model, situation, conditions, parameters, answer)
        took = {"update": (updated - began) * 1e3, "solve": (solved - updated) * 1e3}
        return replace(reading.plan(), time_ms=took)

    def model_for(self, shape: GridShape) -> Model:
        """The built model for this number of steps; built now when there is none."""
        if self._model is None or self._model.shape != shape:
            why = "first plan" if self._model is None else f"{self._model.shape} became {shape}"
            self.rebuilds.append(why)
            self._model = build(self.devices, self.feeders, shape)
        return self._model


def _of_last_plan(model: Model, situation: Situation, last: Plan | None) -> dict[int, float]:
    """What the last plan had for the flows of the stores, by column; empty where it does not reach."""
    offset = None if last is None else last.steps_until(situation.grid)
    if last is None or offset is None:
        return {}
    steps = range(min(situation.grid.near, last.grid.near - offset))
    planned = {(flow.device, flow.quantity): flow.kw for flow in last.flows}
    return {
        model.compiled.column(flow.variable[t]): float(planned[flow.device, flow.quantity][t + offset])
        for flow in model.flows
        if model.ports[flow.device].stored_value is not None and (flow.device, flow.quantity) in planned
        for t in steps
    }


@dataclass(frozen=True)
class _Reading:
    """Turns a solved program into a plan."""

    devices: tuple[Device, ...]
    model: Model
    situation: Situation
    conditions: Mapping[str, Mapping[str, Array]]
    parameters: Array
    answer: Answer

    def plan(self) -> Plan:
        situation, near = self.situation, self.situation.grid.near
        flows = tuple(
            FlowSeries(f.device, f.carrier, f.direction, f.quantity, np.maximum(self._values(f.variable, near), 0.0))
            for f in self.model.flows
        )
        states = {device.id: found for device in self.devices if (found := self._states(device, flows))}
        shadow_prices = self._shadow_prices()
        return Plan(
            site=situation.site,
            issued_at=situation.issued_at,
            grid=situation.grid,
            status="optimal" if self.answer.solution.status is Status.OPTIMAL else "feasible",
            flows=flows,
            states=states,
            import_per_kwh=situation.prices.import_per_kwh[:near],
            export_per_kwh=situation.prices.export_per_kwh[:near],
            cost=self._cost_table(),
            setpoints=tuple(self._setpoints(flows, shadow_prices)),
            shadow_prices=shadow_prices,
            limits_given_way=tuple(self._limits_given_way()),
            grid_limit_kw=self._grid_limit(),
            gap=self.answer.solution.gap,
            solves=self.answer.solves,
        )

    def _states(self, device: Device, flows: tuple[FlowSeries, ...]) -> dict[str, Array]:
        """(near + 1,) values by name: variables as solved, the others as the physical step leaves them."""
        near, state = self.situation.grid.near, device.start(self.situation)
        planned = self.model.ports[device.id].states
        found = {name: self._values(variable, near + 1) for name, variable in planned.items()}
        derived = {name: np.full(near + 1, value) for name, value in state.items() if name not in planned}
        if not derived:
            return found
        own = {flow.quantity: flow.kw for flow in flows if flow.device == device.id}
        for t in range(near):
            asked = {quantity: float(kw[t]) for quantity, kw in own.items()}
            here = {name: float(values[t]) for name, values in self.conditions[device.id].items()}
            state = device.step(asked, state, here, self.situation.grid.step_hours).state
            for name in derived:
                derived[name][t + 1] = state[name]
        return found | derived

    def _values(self, variable: Any, count: int) -> Array:
        columns = [self.model.compiled.column(variable[t]) for t in range(count)]
        return self.answer.solution.x[columns]

    def _dual(self, row: Any, step: int) -> float:
        return float(self.answer.solution.row_dual[self.model.compiled.rows[id(row[step])]])

    def _shadow_prices(self) -> dict[str, Array]:
        hours = self.situation.grid.step_hours
        near = range(self.situation.grid.near)
        return {
            carrier: np.asarray([self._dual(row, t) / hours for t in near])
            for carrier, row in self.model.balances.items()
        }

    def _cost_table(self) -> dict[str, float]:
        values = self.model.compiled.cost_values(self.parameters, self.answer.solution.x)
        table: dict[str, float] = {}
        for cost, value in zip(self.model.costs, values, strict=True):
            in_tail = cost.step is not None and cost.step >= self.situation.grid.near
            term = "tail" if in_tail else cost.term
            table[term] = table.get(term, 0.0) + float(value)
        return table

    def _grid_limit(self) -> float | None:
        """The least planned peak of the demand lines that apply now: import below it costs no demand charge.

        Where a demand is the mean of several steps, the first step's own import may be above the peak.
        """
        applying = {f"peak_kw.{d.id}" for d in self.situation.prices.demand if d.price_per_kw > 0 and d.inside[0] > 0}
        peaks = [v for port in self.model.ports.values() for name, v in port.scalars.items() if name in applying]
        if not peaks:
            return None
        least = min(float(self.answer.solution.x[self.model.compiled.column(peak)]) for peak in peaks)
        imports = [flow.variable for flow in self.model.flows if flow.quantity == "import_kw"]
        return max(least, sum(float(self._values(variable, 1)[0]) for variable in imports))

    def _limits_given_way(self) -> list[GivenWay]:
        found = []
        times = self.situation.grid.near_times
        for device, port in self.model.ports.items():
            for slack in port.slacks:
                values = self._values(slack.variable, self.situation.grid.near)
                worst = int(np.argmax(values))
                if values[worst] > GAVE_WAY_ABOVE:
                    first = times[int(np.argmax(values > GAVE_WAY_ABOVE))]
                    found.append(GivenWay(device, slack.limit, float(values[worst]), slack.unit, first))
        if self.answer.cycling:
            found.append(GivenWay("site", "min_part_load", 0.0, "kW", times[0]))
        return found

    def _setpoints(self, flows: tuple[FlowSeries, ...], shadow_prices: Mapping[str, Array]) -> list[Setpoint]:
        grid = self.situation.grid
        until = grid.start + timedelta(minutes=grid.step_minutes * SETPOINT_LIFE_STEPS)
        found = []
        for device in self.devices:
            asked = {f.quantity: float(f.kw[0]) for f in flows if f.device == device.id}
            here = {name: float(values[0]) for name, values in self.conditions[device.id].items()}
            target = device.setpoint_kw(asked, here)
            if target is None:
                continue
            why = self._reason(device, asked, here, target, shadow_prices)
            found.append(Setpoint(device.id, target, device.safe_kw(), grid.start, until, why))
        return found

    def _reason(
        self,
        device: Device,
        asked: Mapping[str, float],
        here: Mapping[str, float],
        target: float,
        shadow_prices: Mapping[str, Array],
    ) -> Text:
        idle = device.why_idle(here)
        if idle is not None:
            return Text(zh=idle[0], en=idle[1])
        carrier = device.buses()[device.main_quantity or ""][0]
        price = float(shadow_prices[carrier][0])
        power = device.target_kw(asked) or 0.0
        stored = self.model.ports[device.id].stored_value
        if stored is not None:
            return reasons.store_reason(power, price, -self._dual(stored, 0))
        if target < device.bounds_kw()[1] and "available_kw" in here:
            return reasons.curtailed_reason(target)
        return reasons.flow_reason(power, carrier, price)
