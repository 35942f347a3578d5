"""The planner: one model per site, built once, updated as arrays, solved as a linear program, exact by checking.

    build      Pyomo, once per site and grid shape (a rebuild is counted with its reason)
    update     parameters -> arrays, a few sparse products
    solve      HiGHS; either-or conditions that the answer breaks are added as binaries and it is solved again
    read       flows, states, costs by term, shadow prices, limits that gave way, setpoints

With an `uncertainty` the program holds a copy of the site for each scenario (`optimizer.scenarios`); the plan shows the
central one. The plan does not depend on earlier calls, except `in_a_row`: the same situation gives the same plan.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.choices import Choices
from optimizer.devices.base import Device
from optimizer.exact import Answer, solve_exactly
from optimizer.holding import Holding
from optimizer.model import Model, build
from optimizer.orders import ordered_program
from optimizer.plan import Plan
from optimizer.program import Program
from optimizer.reading import Reading
from optimizer.reasons import Reasons
from optimizer.reported import within_reported
from optimizer.scenarios import Stack, first_step_columns, scenario_situations, stack
from optimizer.self_supply import with_self_supply
from optimizer.services.base import Service
from optimizer.situation import Situation
from optimizer.solver import Linear
from optimizer.stability import Wish, nearest
from optimizer.time_grid import Array, GridShape
from optimizer.trail import Trail

SCENARIO_SHARE = 0.6
"""Share of the deadline for a plan over several scenarios; the rest is kept for one over the central course alone."""
UNSERVED_ABOVE_KW = 1e-3


@dataclass(frozen=True)
class NoPlan:
    """There is no plan, and why: the caller goes on to the next-best answer."""

    reason: str


@dataclass(frozen=True)
class _Prepared:
    """One situation as numbers for the model."""

    conditions: Mapping[str, Mapping[str, Array]]
    parameters: Array
    program: Program


@dataclass
class _Built:
    """The model a planner and its plans in a row share."""

    model: Model | None = None


class Planner:
    """Plans one site. Keeps the built model between calls, and nothing else that could change an answer."""

    def __init__(
        self,
        site: str,
        devices: Sequence[Device],
        feeders: Sequence[FeederLimit] = (),
        services: Sequence[Service] = (),
        zone: tzinfo = UTC,
    ) -> None:
        self.site = site
        self.zone = zone
        """In which hours are named in reasons."""
        self.devices = tuple(devices)
        self.feeders = tuple(feeders)
        self.services = tuple(services)
        self.rebuilds: list[str] = []
        """Why the model was built, each time it was."""
        self._built = _Built()
        self._trail: Trail | None = None

    def in_a_row(self) -> Planner:
        """This planner for plans that follow one another, each of which starts where the last one ended.

        Quicker, at the same cost; among equally good plans it may find another than the planner itself would, so a row
        is repeated exactly only from its beginning.
        """
        row = copy(self)
        row._trail = Trail()
        return row

    def plan(self, situation: Situation, deadline_s: float = 10.0, *, last_plan: Plan | None = None) -> Plan | NoPlan:
        """The best plan for the situation, or why there is none; of equally good ones the nearest to the last plan.

        Raises:
            ValueError: a series is missing, of wrong length or not finite (named).
        """
        if situation.uncertainty is None:
            return self._plan(situation, deadline_s, last_plan)
        began = time.perf_counter()
        plan = self._plan(situation, SCENARIO_SHARE * deadline_s, last_plan)
        if isinstance(plan, Plan):
            return plan
        left_s = max(0.05, deadline_s - (time.perf_counter() - began))
        central = self._plan(replace(situation, uncertainty=None), left_s, last_plan)
        note = f"scenarios: {plan.reason}; planned for the central forecast alone"
        return central if isinstance(central, NoPlan) else replace(central, note=note)

    def _plan(self, situation: Situation, deadline_s: float, last_plan: Plan | None) -> Plan | NoPlan:
        began = time.perf_counter()
        model = self.model_for(situation.shape)
        prepared = [self._prepared(model, one) for one in scenario_situations(self.devices, situation)]
        central = prepared[0]
        either_or = model.choices_at(central.parameters)
        shared = first_step_columns(self.devices, model) if situation.uncertainty else frozenset[int]()
        whole = stack([one.program for one in prepared], either_or, shared, situation.uncertainty)
        updated = time.perf_counter()
        answer = self._answer(model, whole, deadline_s)
        if not answer.solution.usable:
            return NoPlan(f"{answer.solution.status.value}: {answer.solution.detail}")
        left_s = max(0.05, deadline_s - (time.perf_counter() - updated))
        answer = _cycling_before_shedding(model, whole.program, whole.choices, answer, left_s)
        left_s = max(0.05, deadline_s - (time.perf_counter() - updated))
        wish = _of_last_plan(model, situation, last_plan)
        choices = whole.choices.never_given_up() if answer.cycling else whole.choices
        steady = nearest(whole.program, choices, answer.solution, wish, left_s)
        solved = time.perf_counter()
        carried_out = whole.central(steady)
        step_hours = situation.grid.step_hours
        holding = Holding(model, central.program, whole.central(answer.solution), carried_out.x, step_hours)
        reasons = Reasons({device.id: device for device in self.devices}, situation, holding, self.zone)
        answer = replace(answer, solution=carried_out)
        reading = Reading(
            self.devices, model, situation, central.conditions, central.parameters, answer, reasons, self.services
        )
        took = {"update": (updated - began) * 1e3, "solve": (solved - updated) * 1e3}
        plan = with_self_supply(reading.plan(), self.devices, holding, situation.prices)
        return replace(plan, time_ms=took, scenarios=whole.outcome(steady))

    def _answer(self, model: Model, whole: Stack, deadline_s: float) -> Answer:
        if self._trail is None or whole.risk is not None:
            return solve_exactly(whole.program, whole.choices, deadline_s)
        held = Linear(whole.program, self._trail.ahead(model))
        answer = solve_exactly(whole.program, whole.choices, deadline_s, held=held)
        self._trail.leave(model, held.basis())
        return answer

    def _prepared(self, model: Model, situation: Situation) -> _Prepared:
        conditions = {device.id: device.conditions(situation) for device in self.devices}
        parameters = model.compiled.parameters.values(self.inputs(situation, conditions))
        program = ordered_program(model.compiled.program(parameters), model, self.devices, conditions, situation)
        return _Prepared(conditions, parameters, within_reported(program, model, situation))

    def inputs(
        self, situation: Situation, conditions: Mapping[str, Mapping[str, Array]]
    ) -> dict[str, dict[str, Array | float]]:
        """By device and service: what the model's parameters are in this situation; `conditions` by device."""
        by_id = {device.id: device for device in self.devices}
        return {
            **{name: device.inputs(situation, conditions[name]) for name, device in by_id.items()},
            **{service.id: service.inputs(situation, by_id) for service in self.services},
        }

    def model_for(self, shape: GridShape) -> Model:
        """The built model for this number of steps; built now when there is none."""
        built = self._built.model
        if built is None or built.shape != shape:
            why = "first plan" if built is None else f"{built.shape} became {shape}"
            self.rebuilds.append(why)
            built = self._built.model = build(self.devices, self.feeders, shape, services=self.services)
        return built


def _cycling_before_shedding(model: Model, program: Program, choices: Choices, answer: Answer, left_s: float) -> Answer:
    """Where least part loads leave demand unserved, machines cycle instead: the answer without part loads, if it
    serves more."""
    unserved = _unserved_kw(model, answer.solution.x)
    if answer.cycling or unserved <= UNSERVED_ABOVE_KW:
        return answer
    strict = choices.never_given_up()
    if len(strict) == len(choices):
        return answer
    loose = solve_exactly(program, strict, left_s)
    if not loose.solution.usable or _unserved_kw(model, loose.solution.x) > unserved - UNSERVED_ABOVE_KW:
        return answer
    return replace(loose, solves=answer.solves + loose.solves, cycling=True)


def _unserved_kw(model: Model, x: Array) -> float:
    """Demand left unserved, summed over the near steps."""
    slacks = [slack.variable for port in model.ports.values() for slack in port.slacks if slack.limit == "demand"]
    return float(sum(x[model.compiled.columns_of(variable)[: model.shape.near]].sum() for variable in slacks))


def _of_last_plan(model: Model, situation: Situation, last: Plan | None) -> Wish:
    """What the last plan had for the flows of the stores; empty where it does not reach."""
    offset = None if last is None else last.steps_until(situation.grid)
    nothing = np.empty(0, dtype=np.intp)
    if last is None or offset is None:
        return Wish(nothing, np.empty(0), nothing)
    count = min(situation.grid.near, last.grid.near - offset)
    stored = [
        (
            model.compiled.columns_of(flow.variable)[:count],
            last.flow(flow.device, flow.quantity)[offset : offset + count],
        )
        for flow in model.flows
        if model.ports[flow.device].stored_value is not None and flow.quantity in last.by_device.get(flow.device, {})
    ]
    columns, values = zip(*stored, strict=True) if stored else ((), ())
    coarse = np.flatnonzero(model.compiled.steps >= situation.grid.near)
    return Wish(np.concatenate([nothing, *columns]), np.concatenate([np.empty(0), *values]), coarse)
