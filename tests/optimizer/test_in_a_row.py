"""Plans in a row: each starts where the last one ended, at the same cost as a start from nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer import solver
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.program import Program
from optimizer.situation import Situation
from optimizer.solver import Basis, Linear, QuietHighs, Solution, Status
from tests.optimizer.park import FEEDERS, park, park_situation

QUARTER = timedelta(minutes=15)


def quarters(count: int = 6) -> list[Situation]:
    return [park_situation(shift=n * QUARTER) for n in range(count)]


def planned(planner: Planner, situations: list[Situation]) -> list[Plan]:
    plans: list[Plan] = []
    for situation in situations:
        plan = planner.plan(situation, last_plan=plans[-1] if plans else None)
        assert isinstance(plan, Plan)
        plans.append(plan)
    return plans


def courses(plan: Plan) -> list[list[float]]:
    return [flow.kw.tolist() for flow in plan.flows]


def test_each_plan_costs_what_it_costs_without_the_row() -> None:
    planner = Planner("park", park(), FEEDERS)
    alone, row = planned(planner, quarters()), planned(planner.in_a_row(), quarters())
    for one, other in zip(alone, row, strict=True):
        assert other.total_cost == pytest.approx(one.total_cost, rel=1e-9)


def test_a_row_from_its_beginning_is_the_same_again() -> None:
    planner = Planner("park", park(), FEEDERS)
    first = planned(planner.in_a_row(), quarters())
    planned(planner.in_a_row(), quarters()[3:])
    again = planned(planner.in_a_row(), quarters())
    assert [courses(plan) for plan in first] == [courses(plan) for plan in again]
    assert planner.rebuilds == ["first plan"]


def test_the_planner_itself_forgets() -> None:
    planner = Planner("park", park(), FEEDERS)
    (before,) = planned(planner, quarters(1))
    planned(planner.in_a_row(), quarters())
    (after,) = planned(planner, quarters(1))
    assert courses(before) == courses(after)


def second_program() -> tuple[Program, Basis | None]:
    """That of the second quarter hour, and the start that the first one left."""
    planner = Planner("park", park(), FEEDERS).in_a_row()
    planned(planner, quarters(1))
    later = quarters(2)[1]
    model = planner.model_for(later.shape)
    inputs = {d.id: d.inputs(later, d.conditions(later)) for d in park()}
    assert planner._trail is not None
    return model.compiled.program(model.compiled.parameters.values(inputs)), planner._trail.ahead(model)


def test_the_start_saves_most_of_the_way() -> None:
    program, start = second_program()
    cold, warm = Linear(program), Linear(program, start)
    assert warm.solve(60.0).objective == pytest.approx(cold.solve(60.0).objective, rel=1e-9)
    assert warm._highs.getInfo().simplex_iteration_count < cold._highs.getInfo().simplex_iteration_count / 2


@pytest.mark.parametrize("ended", ["beside its rows", "nowhere"])
def test_what_went_wrong_from_a_basis_is_solved_again_from_nothing(ended: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS has ended "optimal" 0.0015 kW beside a balance, and with the status "Unknown"."""
    program, start = second_program()
    runs: list[Solution] = []

    def first_wrong(highs: QuietHighs, time_limit_s: float, *, is_mip: bool) -> Solution:
        found = timed_run(highs, time_limit_s, is_mip=is_mip)
        runs.append(found)
        wrong = {"beside its rows": {"x": found.x + 1e-3}, "nowhere": {"status": Status.NO_ANSWER}}
        return replace(found, **wrong[ended]) if len(runs) == 1 else found

    timed_run = solver._timed_run
    expected = Linear(program).solve(60.0).objective
    monkeypatch.setattr(solver, "_timed_run", first_wrong)
    answer = Linear(program, start).solve(60.0)
    assert len(runs) == 2
    assert answer.objective == pytest.approx(expected, rel=1e-9)
    activity = program.matrix @ answer.x
    assert float(np.maximum(program.row_lower - activity, activity - program.row_upper).max()) < 1e-7


def test_moved_on_is_the_same_thing_one_step_later() -> None:
    situation = park_situation()
    model = Planner("park", park(), FEEDERS).model_for(situation.shape)
    near = situation.grid.near
    columns, rows = model.compiled.moved_on(near)
    for port in model.ports.values():
        for variable in port.flows.values():
            own = model.compiled.columns_of(variable)
            np.testing.assert_array_equal(columns[own[: near - 1]], own[1:near])
            np.testing.assert_array_equal(columns[own[near - 1 :]], own[near - 1 :])
    for balance in model.balances.values():
        own = model.compiled.rows_of(balance)
        np.testing.assert_array_equal(rows[own[: near - 1]], own[1:near])
        np.testing.assert_array_equal(rows[own[near - 1 :]], own[near - 1 :])
