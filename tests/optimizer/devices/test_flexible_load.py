"""Flexible load: what moves, how far, and what is given up at which price."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.devices import FlexibleLoad, GridConnection
from optimizer.devices.flexible_load import step
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import Example, situation_of

GRID = GridConnection(id="grid", import_limit_kw=600.0)
FLAT = (40.0,) * 6
"""Prices of the hours are 0.28, 0.28, 0.70, 1.435, 0.70, 0.28."""


def surroundings(demand: tuple[float, ...] = FLAT, shifted_kwh: float = 0.0, peak_kw: float = 400.0) -> Situation:
    situation = situation_of(Example(GRID, (), {}), peak_kw=peak_kw)
    state = {**situation.state, "flexible": {"shifted_kwh": shifted_kwh}}
    return replace(situation, state=state, series={"flexible.demand_kw": np.repeat(demand, 4)})


def planned(situation: Situation, grid: GridConnection = GRID, **fields: Any) -> Plan:
    devices = (FlexibleLoad(id="flexible", **{"power_limit_kw": 80.0, **fields}), grid)
    plan = Planner("tiny", devices).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(devices, (), situation, plan) == ()
    return plan


def used(plan: Plan) -> np.ndarray:
    return plan.flow("grid", "import_kw").reshape(-1, 4).mean(axis=1)


def test_without_freedom_it_is_a_load() -> None:
    assert used(planned(surroundings())) == pytest.approx(FLAT)


def test_one_hour_either_way() -> None:
    """The dear hour's 40 kWh go to its neighbours, and the neighbours' own to 0.28 beside them: 80 kW at most."""
    plan = planned(surroundings(), shift_hours=1.0)
    assert used(plan)[[3, 5]] == pytest.approx([0, 80])
    assert used(plan)[:2].sum() == pytest.approx(120)  # what hour 2 wants, or an hour's worth of it and of hour 3
    assert plan.total_cost == pytest.approx(40 * 0.28 + 80 * 0.28 + 40 * 0.70 + 80 * 0.28)


def test_two_hours_reach_the_cheap_ends() -> None:
    assert used(planned(surroundings(), shift_hours=2.0, power_limit_kw=200.0)) == pytest.approx([40, 80, 0, 0, 0, 120])


def test_only_the_shiftable_share_moves() -> None:
    plan = planned(surroundings(), shift_hours=1.0, shiftable_share=0.25)
    assert used(plan)[[3, 5]] == pytest.approx([30, 50])
    assert used(plan)[[0, 1]].sum() == pytest.approx(90)


def test_curtailment_where_it_pays() -> None:
    """1.00 lies below the dear hour's 1.435 and above all others."""
    plan = planned(surroundings(), curtailable_share=0.2, curtailment_price_per_kwh=1.0)
    assert used(plan) == pytest.approx([40, 40, 40, 32, 40, 40])
    assert plan.cost["curtailment"] == pytest.approx(8.0)


def test_interruption_has_its_own_price() -> None:
    both = {"curtailable_share": 0.2, "curtailment_price_per_kwh": 0.5}
    plan = planned(surroundings(), **both, interruption_price_per_kwh=1.2)
    assert used(plan) == pytest.approx([40, 40, 32, 0, 32, 40])
    assert plan.cost["curtailment"] == pytest.approx(3 * 8 * 0.5 + 32 * 1.2)
    assert plan.limits_given_way == ()


def test_what_may_not_be_interrupted_and_cannot_be_served_is_named() -> None:
    plan = planned(surroundings(), GridConnection(id="grid", import_limit_kw=30.0))
    assert [(given.device, given.limit, given.amount) for given in plan.limits_given_way] == [
        ("flexible", "demand", pytest.approx(10.0))
    ]


def test_what_is_owed_is_given_back_in_time() -> None:
    """30 kWh owed are no more than the hour before has wanted; 100 kWh are, and the way back is named."""
    plan = planned(surroundings(shifted_kwh=-30.0), shift_hours=1.0)
    assert used(plan).sum() == pytest.approx(6 * 40.0 + 30.0)
    assert plan.states["flexible"]["shifted_kwh"][4] >= -40.0
    late = planned(surroundings(shifted_kwh=-100.0), shift_hours=1.0)
    assert [given.limit for given in late.limits_given_way] == ["shift_window"]
    assert used(late).sum() == pytest.approx(6 * 40.0 + 100.0)


def test_the_setpoint_is_relative_to_the_demand() -> None:
    load = FlexibleLoad(id="flexible", power_limit_kw=80.0)
    assert load.setpoint_kw({"served_kw": 32.0, "put_off_kw": 12.0, "added_kw": 0.0}, {"demand_kw": 40.0}) == 20.0
    assert load.safe_kw() == 0.0


def test_nothing_moves_further_out_of_the_window() -> None:
    wish = {"hours": 0.5, "demand_kw": 40.0, "added_max_kw": 40.0, "put_off_max_kw": 40.0}
    assert step(0.0, 40.0, 0.0, 40.0, owed_kwh=10.0, ahead_kwh=10.0, **wish) == pytest.approx((40.0, 0.0, 20.0, -10.0))
    assert step(0.0, 40.0, 40.0, 0.0, owed_kwh=10.0, ahead_kwh=10.0, **wish) == pytest.approx((40.0, 20.0, 0.0, 10.0))
    assert step(-15.0, 40.0, 0.0, 9.0, owed_kwh=10.0, ahead_kwh=0.0, **wish) == pytest.approx((40.0, 0.0, 0.0, -15.0))


def test_rules_run_it_as_it_would_and_give_back_what_is_owed() -> None:
    devices = (FlexibleLoad(id="flexible", power_limit_kw=80.0, shift_hours=1.0), GRID)
    situation = surroundings((40.0, 20.0, 20.0, 20.0, 20.0, 20.0), shifted_kwh=-30.0)
    plan = rule_plan(devices, situation)
    assert plan.states["flexible"]["shifted_kwh"][8] == pytest.approx(-20.0)  # an hour's worth
    assert verify(devices, (), situation, plan) == ()


@settings(max_examples=10, deadline=None)
@given(demand=st.lists(st.floats(0, 60), min_size=6, max_size=6), shift=st.sampled_from([0.5, 1.0, 3.0]))
def test_energy_only_moves_and_no_further_than_it_may(demand: list[float], shift: float) -> None:
    situation = surroundings(tuple(demand))
    plan = planned(situation, shift_hours=shift)
    wanted = np.concatenate([[0.0], np.cumsum(np.repeat(demand, 4)) / 4])
    taken = np.concatenate([[0.0], np.cumsum(plan.flow("grid", "import_kw")) / 4])
    steps = round(shift * 4)
    assert taken[-1] == pytest.approx(wanted[-1], abs=1e-6)
    assert np.all(taken[steps:] >= wanted[: len(wanted) - steps] - 1e-6)
    assert np.all(taken[: len(wanted) - steps] <= wanted[steps:] + 1e-6)
