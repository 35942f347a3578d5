"""One warm cycle of the reference park (update, solve, read, verify) beside the other ways to the same plan.

The park is planned every quarter hour of a recorded day, the stores going where each plan leads. Some of these moments
are also given to HiGHS alone on the very same arrays, to the model as most tools write it, and to linopy. Ratios are of
times taken one after the other at the same moment; the median over the moments is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import highspy
import numpy as np
from figures import Figure, median, percentile
from linopy_model import solve_linopy
from numpy.typing import NDArray
from reference_park import START, Record, devices
from usual_milp import UsualModel

from optimizer.choices import Choices
from optimizer.exact import solve_exactly
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.program import Program
from optimizer.situation import Situation
from optimizer.solver import MIP_GAP, QuietHighs, pass_program, solve
from optimizer.verify import verify

CYCLES = 96
EVERY_ALONE, EVERY_OTHER = 4, 12
QUARTER = timedelta(minutes=15)
SAME_OPTIMUM = 1e-6


class HighsAlone:
    """HiGHS on given arrays with its own defaults: from its last basis, cold with presolve, by interior point."""

    def __init__(self) -> None:
        self._basis: highspy.HighsBasis | None = None

    def ways_s(self, program: Program) -> dict[str, float]:
        """Seconds to pass, solve and read a linear program, by way."""
        cold, self._basis = _timed(program, {})
        interior, _ = _timed(program, {"solver": "ipm"})
        return {"cold": cold, "interior point": interior}

    def from_last_basis_s(self, program: Program) -> float | None:
        """Seconds from the basis of the cycle before; None for the first."""
        return None if self._basis is None else _timed(program, {}, self._basis)[0]


def _timed(
    program: Program,
    options: Mapping[str, object],
    basis: highspy.HighsBasis | None = None,
    whole: NDArray[np.bool_] | None = None,
) -> tuple[float, highspy.HighsBasis]:
    """Seconds to pass, solve and read, and the basis it ended with."""
    highs = QuietHighs()
    for name, value in {"parallel": "off", **options}.items():
        highs.setOptionValue(name, value)
    began = time.perf_counter()
    pass_program(highs, program, np.zeros(len(program.cost), dtype=bool) if whole is None else whole)
    if basis is not None:
        highs.setBasis(basis)
    highs.run()
    np.asarray(highs.getSolution().col_value)
    return time.perf_counter() - began, highs.getBasis()


def same_milp_s(program: Program, enforced: Choices) -> float:
    """Seconds for HiGHS alone on the same conditions to the same gap: with its defaults or our options, the faster."""
    ours = _seconds(lambda: solve(program, enforced))
    extended, whole = enforced.as_binaries(program)
    return min(ours, _timed(extended, {"mip_rel_gap": MIP_GAP}, whole=whole)[0])


@dataclass
class Moments:
    """What was measured over the day, in seconds."""

    ours: list[float] = field(default_factory=list)
    parts_ms: dict[str, list[float]] = field(default_factory=dict)
    over_alone: list[float] = field(default_factory=list)
    by_way: dict[str, list[float]] = field(default_factory=dict)
    usual_over: list[float] = field(default_factory=list)
    linopy_over: list[float] = field(default_factory=list)


def measure(on_off: bool) -> Moments:
    """The day planned with the built model; the others at some of its moments."""
    record, park = Record.read(), devices(on_off=on_off)
    planner, alone, found = Planner("reference_park", park), HighsAlone(), Moments()
    state: dict[str, dict[str, float]] = {}
    last: Plan | None = None
    for cycle in range(CYCLES):
        situation = record.situation(START + cycle * QUARTER, state)
        took, plan = _warm(planner, situation, last)
        state = plan.states_at(1)
        program, enforced = ended_with(planner, situation)
        if cycle == 0:
            _require_same_optimum(situation)
        elif cycle % EVERY_ALONE == 0:
            found.over_alone.append(took / _alone_s(alone, program, enforced, found))
        if cycle and cycle % EVERY_OTHER == 0:
            found.usual_over.append(_seconds(lambda s=situation: UsualModel(park, s).solve()) / took)
            if not on_off:
                found.linopy_over.append(_seconds(lambda s=situation: solve_linopy(park, s)) / took)
        if last is not None:
            found.ours.append(took)
            for part, ms in plan.time_ms.items():
                found.parts_ms.setdefault(part, []).append(ms)
        last = plan
    return found


def _warm(planner: Planner, situation: Situation, last: Plan | None) -> tuple[float, Plan]:
    began = time.perf_counter()
    plan = planner.plan(situation, 600.0, last_plan=last)
    if not isinstance(plan, Plan):
        raise RuntimeError(f"no plan at {situation.issued_at}: {plan.reason}")
    if violations := verify(planner.devices, planner.feeders, situation, plan):
        raise RuntimeError(f"the plan at {situation.issued_at} is refused: {violations[0]}")
    return time.perf_counter() - began, plan


def ended_with(planner: Planner, situation: Situation) -> tuple[Program, Choices]:
    """The program of a plan and the conditions that its answer had to have enforced."""
    model = planner.model_for(situation.shape)
    inputs = planner.inputs(situation, {device.id: device.conditions(situation) for device in planner.devices})
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    return program, Choices(solve_exactly(program, model.choices, 600.0).enforced)


def _alone_s(alone: HighsAlone, program: Program, enforced: Choices, found: Moments) -> float:
    if len(enforced):
        return same_milp_s(program, enforced)
    warm = alone.from_last_basis_s(program)
    ways = {**alone.ways_s(program), **({} if warm is None else {"last basis": warm})}
    for way, seconds in ways.items():
        found.by_way.setdefault(way, []).append(seconds)
    return min(ways.values())


def _require_same_optimum(situation: Situation) -> None:
    """The usual model and ours are one problem: without on/off machines, where ours is exact, their optima agree."""
    linear = devices(on_off=False)
    plan = Planner("reference_park", linear).plan(situation, 600.0)
    usual, _ = UsualModel(linear, situation).solve(gap=1e-7)
    if not isinstance(plan, Plan) or abs(plan.total_cost - usual) > SAME_OPTIMUM * abs(usual):
        raise RuntimeError(f"the usual model costs {usual}, ours {plan}: they are not the same problem")


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def figures() -> list[Figure]:
    """The park without on/off machines, then the full one."""
    linear, full = measure(on_off=False), measure(on_off=True)
    alone = f"whole cycle over HiGHS alone on the same arrays, {len(linear.over_alone)} moments of a day"
    usual = f"all binaries, new Pyomo model each time, gap 1e-4, over our warm cycle; {len(linear.usual_over)} moments"
    found = [
        Figure("warm_plan_over_highs_alone", median(linear.over_alone), "ratio", f"{alone}, fastest way each time"),
        Figure("warm_full_park_over_highs_alone", median(full.over_alone), "ratio", f"{alone}; the same MILP and gap"),
        Figure("usual_milp_over_warm_plan", median(linear.usual_over), "ratio", f"no on/off machines: {usual}"),
        Figure("usual_milp_over_warm_plan_full_park", median(full.usual_over), "ratio", usual),
        Figure("linopy_over_warm_plan", median(linear.linopy_over), "ratio", "linopy builds and solves the same LP"),
    ]
    for name, moments in (("warm_plan", linear), ("warm_full_park", full)):
        how = f"{len(moments.ours)} plans of 96 quarter hours: update, solve, read, verify"
        found.append(Figure(f"{name}_ms_p50", 1e3 * median(moments.ours), "ms", how))
        found.append(Figure(f"{name}_ms_p99", 1e3 * percentile(moments.ours, 0.99), "ms", how))
    for way, seconds in linear.by_way.items():
        found.append(Figure(f"highs_alone_{way.replace(' ', '_')}_ms", 1e3 * median(seconds), "ms", "median"))
    return found
