"""Plans in a row: each starts where the last one ended, at the same cost as a start from nothing."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import Situation
from optimizer.solver import Linear
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


def test_the_start_saves_most_of_the_way() -> None:
    planner = Planner("park", park(), FEEDERS).in_a_row()
    planned(planner, quarters(1))
    later = quarters(2)[1]
    model = planner.model_for(later.shape)
    inputs = {d.id: d.inputs(later, d.conditions(later)) for d in park()}
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    assert planner._trail is not None
    cold, warm = Linear(program), Linear(program, planner._trail.ahead(model))
    assert warm.solve(60.0).objective == pytest.approx(cold.solve(60.0).objective, rel=1e-9)
    assert warm._highs.getInfo().simplex_iteration_count < cold._highs.getInfo().simplex_iteration_count / 2


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
