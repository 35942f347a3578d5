"""A course of flows costs the same to the devices that price it as to the model that planned it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.devices import AnyDevice, FlexibleLoad
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.pricing import cost_table
from optimizer.rules import rule_plan
from optimizer.situation import DemandLine, Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, GRID, HOURLY_PRICE, LOAD, situation_of
from tests.optimizer.park import FEEDERS, park, park_situation

KINDS = sorted(EXAMPLES)
WHOLE_HORIZON_TERMS = {"tail", "terminal", "demand"}


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner("park", park(), FEEDERS)


def optimal(devices: tuple[AnyDevice, ...], situation: Situation) -> Plan:
    plan = Planner(situation.site, devices).plan(situation)
    assert isinstance(plan, Plan)
    return plan


def priced(devices: tuple[AnyDevice, ...], situation: Situation, plan: Plan) -> dict[str, float]:
    return cost_table(devices, situation, plan.flows, plan.states)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("peak_kw", [0.0, 400.0])
def test_an_optimal_plan_has_the_price_it_was_found_at(kind: str, peak_kw: float) -> None:
    example = EXAMPLES[kind]
    situation = situation_of(example, peak_kw=peak_kw)
    plan = optimal(example.devices, situation)
    assert priced(example.devices, situation, plan) == pytest.approx(plan.cost, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_so_it_has_where_limits_give_way(kind: str) -> None:
    """A connection too small, a battery out of its band, load owed since long, cars that leave too early."""
    example = EXAMPLES[kind]
    small = GRID.model_copy(update={"import_limit_kw": 40.0})
    devices = tuple(small if device.id == "grid" else device for device in example.devices)
    state = {"battery1": {"energy_kwh": 4.0}, "flexible": {"shifted_kwh": -45.0}, "chp1": {"power_kw": 30.0}}
    situation = replace(situation_of(example), state={**situation_of(example).state, **state})
    plan = optimal(devices, situation)
    assert sum(plan.cost.get(term, 0.0) for term in ("unserved", "limits", "curtailment")) > 1.0
    assert priced(devices, situation, plan) == pytest.approx(plan.cost, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(("curtail", "interrupt"), [(1.0, 3.0), (3.0, 1.0)])
def test_the_cheaper_way_to_give_up_load_comes_first(curtail: float, interrupt: float) -> None:
    flexible = FlexibleLoad(
        id="flexible",
        power_limit_kw=80,
        curtailable_share=0.2,
        curtailment_price_per_kwh=curtail,
        interruption_price_per_kwh=interrupt,
    )
    devices = (flexible, GRID.model_copy(update={"import_limit_kw": 100.0}), LOAD)
    situation = situation_of(EXAMPLES["flexible_load"])
    plan = optimal(devices, situation)
    assert plan.cost["curtailment"] > 1.0
    assert priced(devices, situation, plan) == pytest.approx(plan.cost, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("block", [None, tuple(np.arange(96) // 2)])
@pytest.mark.parametrize("month_end", [None, 40])
def test_demand_of_the_park_by_line_and_month(block: tuple[int, ...] | None, month_end: int | None) -> None:
    """Two lines, one of half hours (sliding or by the clock) in a window, and the end of the month on the way."""
    situation = park_situation(tail_hours=(), billing_end_step=month_end, peak_kw=300.0)
    hour = (np.arange(96) / 4 + 8) % 24
    lines = (
        DemandLine("all", 10.0, 12.0, np.ones(96)),
        DemandLine("evening", 8.0, 0.0, ((hour >= 16) & (hour < 21)).astype(float), 350.0, 2, block),
    )
    situation = replace(situation, prices=replace(situation.prices, demand=lines))
    plan = optimal(park(), situation)
    assert plan.cost["demand.all"] + plan.cost["demand.evening"] > 100.0
    assert priced(park(), situation, plan) == pytest.approx(plan.cost, abs=1e-6)


def test_before_a_tail_the_costs_of_the_near_steps_agree() -> None:
    situation = park_situation()
    plan = optimal(park(), situation)
    table = priced(park(), situation, plan)
    of_steps = {term: cost for term, cost in plan.cost.items() if term not in WHOLE_HORIZON_TERMS}
    assert {term: table[term] for term in of_steps} == pytest.approx(of_steps, abs=1e-6)
    assert set(table) == set(plan.cost) - {"tail"}


@pytest.mark.parametrize("kind", KINDS)
def test_rules_cost_no_less_than_the_optimum_and_name_the_same_terms(kind: str) -> None:
    example = EXAMPLES[kind]
    situation = situation_of(example)
    plan, rules = optimal(example.devices, situation), rule_plan(example.devices, situation)
    assert set(rules.cost) == set(plan.cost)
    assert rules.total_cost >= plan.total_cost - 1e-6


@pytest.mark.parametrize("hours", range(0, 24, 6))
@pytest.mark.parametrize("storing", [True, False])
def test_rules_of_the_park_cost_no_less_than_the_optimum(planner: Planner, hours: int, storing: bool) -> None:
    situation = park_situation(tail_hours=(), shift=timedelta(hours=hours))
    plan = planner.plan(situation)
    assert isinstance(plan, Plan)
    rules = rule_plan(park(), situation, FEEDERS, storing=storing)
    assert set(rules.cost) == set(plan.cost)
    assert rules.total_cost >= plan.total_cost - 1e-6


def test_a_rule_plan_by_hand() -> None:
    """A gas boiler alone: heat of 330 kWh at 0.92 of gas at 3.77 per 10.814 kWh, and the power at its hourly price."""
    example = EXAMPLES["gas_boiler"]
    cost = rule_plan(example.devices, situation_of(example)).cost
    assert cost["gas"] == pytest.approx(330.0 / 0.92 / 10.814 * 3.77)
    assert cost["energy"] == pytest.approx(
        sum(p * kw for p, kw in zip(HOURLY_PRICE, (100, 80, 120, 150, 130, 90), strict=True))
    )
    assert cost["carbon"] == cost["demand"] == cost["unserved"] == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_plan_of_every_example_passes_the_verifier(kind: str) -> None:
    example = EXAMPLES[kind]
    situation = situation_of(example)
    assert verify(example.devices, (), situation, rule_plan(example.devices, situation)) == ()
