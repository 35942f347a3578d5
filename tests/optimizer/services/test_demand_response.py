"""Demand response in the plan: what it pays, exactly, and what it says when it cannot keep a bid."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest

from optimizer.compiled import Program
from optimizer.devices import GridConnection, Load
from optimizer.events import DemandResponseEvent
from optimizer.model import build
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.services import DemandResponse
from optimizer.services.demand_response import PAY_RULES, PayRule
from optimizer.situation import Situation
from optimizer.solver import Status, solve
from optimizer.time_grid import TimeGrid
from optimizer.verify import verify
from settlement.demand_response import settle
from tests.optimizer.services.small_site import START, call, devices, planned, situation, without_events

Commitment = Literal["energy", "power"]
RULES = ("zhejiang", "sichuan", "guangdong")


def service(rule: str | PayRule = "zhejiang", commitment: Commitment = "energy", **given: float) -> DemandResponse:
    return DemandResponse(id="response", rule=rule, commitment=commitment, **given)


def imports_of(plan: Plan) -> pd.Series:
    return pd.Series(plan.flow("grid", "import_kw"), pd.DatetimeIndex(plan.grid.near_times))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("commitment", ["energy", "power"])
@pytest.mark.parametrize("battery_kwh", [20.0, 60.0, 150.0])
def test_the_terms_of_the_plan_are_what_is_settled(rule: str, commitment: Commitment, battery_kwh: float) -> None:
    moment = situation(battery_kwh=battery_kwh, price=np.linspace(0.3, 0.9, 8), events=[call(80.0)])
    plan = planned(devices(), [service(rule, commitment)], moment)
    statement = settle(call(80.0), imports_of(plan), PAY_RULES[rule], commitment)
    assert plan.cost["demand_response"] == pytest.approx(-float(statement.paid), abs=0.01)
    assert plan.cost.get("demand_response_penalty", 0.0) == pytest.approx(float(statement.penalty), abs=0.01)


def test_a_bid_within_reach_is_served_and_paid() -> None:
    """80 kW for an hour out of 100 kWh, at 3.00: the battery goes beyond, to the 120 % that are paid."""
    plan = planned(devices(), [service()], situation(events=[call(80.0)]))
    assert plan.flow("grid", "import_kw")[4:].mean() == pytest.approx(204.0)  # 300 - 96
    assert plan.cost["demand_response"] == pytest.approx(-288.0)
    assert plan.limits_given_way == ()


def test_a_floor_out_of_reach_pays_nothing_and_the_plan_says_so() -> None:
    """The battery gives 100 kW at most: of a bid of 200 kW the floor is 160 kW. So there is nothing to gain."""
    moment = situation(events=[call(200.0)])
    plan = planned(devices(), [service()], moment)
    idle = planned(devices(), [service()], without_events(moment))
    assert plan.cost["demand_response"] == pytest.approx(0.0)
    assert plan.total_cost == pytest.approx(idle.total_cost, abs=1e-6)
    (given,) = plan.limits_given_way
    assert (given.device, given.limit, given.unit) == ("response", "bid call1", "kW")
    assert given.amount == pytest.approx(200.0 - (300.0 - plan.flow("grid", "import_kw")[4:].mean()))


def test_more_load_than_the_baseline_is_no_response_and_not_infeasible() -> None:
    """450 kW against a baseline of 300 kW: with 100 kW from the battery the response is still below 0."""
    plan = planned(devices(), [service("sichuan")], situation(load_kw=450.0, events=[call(80.0)]))
    assert plan.cost["demand_response"] == pytest.approx(0.0, abs=1e-9)
    assert plan.cost["demand_response_penalty"] == pytest.approx(0.9 * 80.0 * 1.1 * 3.0)


def test_a_valley_fill_takes_more() -> None:
    fill = call(60.0, direction="fill")
    plan = planned(devices(), [service()], situation(battery_kwh=50.0, events=[fill]))
    assert plan.flow("grid", "import_kw")[4:].mean() == pytest.approx(372.0)  # 300 + 1.2 x 60
    assert plan.cost["demand_response"] == pytest.approx(-216.0)


def test_a_commitment_in_power_holds_every_step() -> None:
    """The load moves within the hour: the mean would do with less from the battery than every step does."""
    load = np.array([300.0] * 4 + [260.0, 340.0, 260.0, 340.0])
    moment = situation(load_kw=load, battery_kwh=70.0, price=2.9, events=[call(60.0)])
    by_mean = planned(devices(), [service(commitment="energy")], moment).flow("grid", "import_kw")[4:]
    by_step = planned(devices(), [service(commitment="power", shortfall_price_per_kwh=50.0)], moment)
    assert by_mean.max() > 240.0 + 1e-6
    assert by_step.flow("grid", "import_kw")[4:] == pytest.approx([240.0] * 4, abs=15.0)
    assert by_step.flow("grid", "import_kw")[4:].max() <= 240.0 + 1e-6
    assert by_step.cost["demand_response_shortfall"] == pytest.approx(0.0, abs=1e-9)


def test_a_price_on_the_bid_makes_it_a_soft_limit() -> None:
    """At 0.1 a kWh no response pays (wear and the energy left count more); a price of 5 a kWh keeps the bid."""
    moment = situation(events=[call(50.0, price=0.1)])
    free = planned(devices(wear_cost_per_kwh=1.0), [service()], moment)
    kept = planned(devices(wear_cost_per_kwh=1.0), [service(shortfall_price_per_kwh=5.0)], moment)
    assert free.flow("grid", "import_kw")[4:].mean() == pytest.approx(300.0)
    assert kept.flow("grid", "import_kw")[4:].mean() == pytest.approx(250.0)
    assert kept.limits_given_way == ()


def test_an_event_under_way_counts_what_was_responded_before() -> None:
    """Half an hour is over with 96 kWh of response; 80 kW would be 80 kWh in all, 96 are paid: nothing more to gain."""
    begun = DemandResponseEvent(
        "call1", "response", START - timedelta(minutes=30), START + timedelta(minutes=30), 80.0, 3.0,
        (300.0,) * 4, responded_kwh=96.0,
    )  # fmt: skip
    plan = planned(devices(wear_cost_per_kwh=1.0), [service()], situation(events=[begun]))
    assert plan.flow("grid", "import_kw")[:2] == pytest.approx(300.0)
    assert plan.cost["demand_response"] == pytest.approx(-288.0)


@pytest.mark.parametrize("commitment", ["energy", "power"])
def test_cycle_after_cycle_the_event_brings_what_the_first_plan_said(commitment: Commitment) -> None:
    """Ten quarter hours in closed loop, each plan seeing three hours; the event lies in the second hour."""
    quarter, event, one = timedelta(minutes=15), call(80.0), service(commitment=commitment)
    planner = Planner("small", devices(), (), [one])
    energy, imported, promised = 60.0, [], None
    for n in range(10):
        now = START + n * quarter
        responded = sum(300.0 - kw for kw in imported[4:8]) * 0.25
        known = [replace(event, responded_kwh=responded)] if now < event.end else []
        moment = situation(steps=12, load_kw=310.0, battery_kwh=energy, events=known)
        plan = planner.plan(replace(moment, issued_at=now, grid=TimeGrid(now, 15, 12)))
        assert isinstance(plan, Plan)
        promised = plan.cost["demand_response"] if promised is None else promised
        imported.append(float(plan.flow("grid", "import_kw")[0]))
        energy = float(plan.states["battery1"]["energy_kwh"][1])
    series = pd.Series(imported, pd.DatetimeIndex([START + n * quarter for n in range(10)]))
    statement = settle(event, series, one.pay, commitment)
    assert float(statement.paid) == pytest.approx(-promised, abs=0.05)
    assert float(statement.paid) == pytest.approx(270.0, abs=0.05)  # 310 - 100 kW from the battery are 90 kW less
    assert planner.rebuilds == ["first plan"]


def test_the_part_of_an_event_beyond_the_plan_is_taken_as_bid() -> None:
    moment = situation(battery_kwh=0.0, events=[call(80.0, end=12)])
    plan = planned(devices(wear_cost_per_kwh=20.0), [service("sichuan")], moment)
    assert plan.cost["demand_response"] == pytest.approx(-80.0 * 1.0 * 3.0)  # 80 kW in the second of two hours


def test_of_events_that_overlap_only_the_first_is_planned_and_the_plan_says_so() -> None:
    second = replace(call(50.0, begin=6), id="call2")
    plan = planned(devices(), [service()], situation(events=[second, call(80.0)]))
    assert [(g.limit, g.amount) for g in plan.limits_given_way] == [("event_not_planned", 50.0)]
    assert plan.cost["demand_response"] == pytest.approx(-288.0)


def test_events_come_and_go_without_a_new_model() -> None:
    planner = Planner(
        "small",
        devices(),
        (),
        [
            service(),
        ],
    )
    for events in ([], [call(80.0)], [call(60.0, begin=1, end=3), call(80.0)], []):
        moment = situation(events=events)
        again = planner.plan(moment)
        fresh = Planner("small", devices(), (), [service()]).plan(moment)
        assert isinstance(again, Plan)
        assert isinstance(fresh, Plan)
        assert again.content_hash == fresh.content_hash
    assert planner.rebuilds == ["first plan"]


@pytest.mark.parametrize("commitment", ["energy", "power"])
@pytest.mark.parametrize("seed", range(6))
def test_the_floor_is_exact_against_every_way_to_decide(commitment: Commitment, seed: int) -> None:
    """All combinations of paid or not, counted or below the baseline, each as a plain linear program."""
    rng = np.random.default_rng(seed)
    share = (float(rng.choice([0.0, 0.5])), float(rng.choice([0.0, 0.6])))
    rule = PayRule(floor=0.8, cap=1.2, beyond=share[0], penalty_below=share[1], penalty_price=0.5)
    moment = situation(
        steps=6, load_kw=rng.uniform(230, 330, 6), price=rng.uniform(0.2, 1.0, 6),
        battery_kwh=float(rng.uniform(20, 60)),
        events=[call(float(rng.uniform(40, 110)), float(rng.uniform(0.3, 1.5)), begin=2, end=6)],
    )  # fmt: skip
    one = service(rule, commitment)
    plan = planned(devices(), [one], moment)
    assert plan.total_cost == pytest.approx(_best_of_all(one, moment), abs=1e-5)
    statement = settle(moment.events[0], imports_of(plan), rule, commitment)
    assert plan.cost["demand_response"] == pytest.approx(-float(statement.paid), abs=0.01 * len(statement.lines))


def _best_of_all(one: DemandResponse, moment: Situation) -> float:
    parts = devices()
    model = build(parts, (), moment.shape, services=[one])
    inputs = {d.id: d.inputs(moment, d.conditions(moment)) for d in parts}
    inputs["response"] = one.inputs(moment, {d.id: d for d in parts})
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    block, column = model.pyomo.service["response"], model.compiled.column
    units = [u for u in block.counted if inputs["response"]["called"][u] > 0]
    found = []
    for ways in product(("none", "counted", "paid"), repeat=len(units)):
        lower, upper = program.lower.copy(), program.upper.copy()
        for u, way in zip(units, ways, strict=True):
            if way == "none":
                upper[column(block.counted[u])] = 0.0
            else:
                upper[column(block.below_kw[u])] = 0.0
            if way == "paid":
                lower[column(block.full[u])] = one.pay.floor
            else:
                upper[column(block.full[u])] = upper[column(block.beyond[u])] = 0.0
        found.append(solve(_bounded(program, lower, upper)))
    return min(solution.objective for solution in found if solution.status is Status.OPTIMAL)


def _bounded(program: Program, lower: np.ndarray, upper: np.ndarray) -> Program:
    if (lower > upper).any():
        lower = np.minimum(lower, program.upper + 1.0)
    return replace(program, lower=lower, upper=upper)


def test_the_optimum_is_found_by_trying_every_charge_as_well() -> None:
    """A battery in steps of 20 kW over three quarter hours, all 11^3 ways, settled by the bill: none is cheaper."""
    moment = situation(steps=3, load_kw=250.0, price=np.array([0.4, 0.9, 0.6]), battery_kwh=30.0,
                       events=[call(70.0, 1.2, begin=1, end=3)])  # fmt: skip
    plan = planned(devices(), [service()], moment)
    worth = 0.4  # of a kWh left in the battery: the lowest price
    best = np.inf
    for power in product(range(-100, 101, 20), repeat=3):
        energy = 30.0 - 0.25 * np.cumsum(power)
        if energy.min() < 0 or energy.max() > 200:
            continue
        kw = 250.0 - np.array(power, dtype=float)
        wear = 0.1 * 0.25 * np.maximum(power, 0.0).sum()
        paid = settle(call(70.0, 1.2, begin=1, end=3), pd.Series(kw, pd.DatetimeIndex(moment.grid.near_times)),
                      PAY_RULES["zhejiang"]).paid  # fmt: skip
        cost = 0.25 * float(kw @ moment.prices.import_per_kwh) + wear - worth * energy[-1] - float(paid)
        best = min(best, cost)
    assert plan.total_cost <= best + 1e-6
    assert plan.total_cost >= best - 3.0  # steps of 20 kW are coarse


@pytest.mark.parametrize("tampered", ["money", "report"])
def test_the_verifier_refuses_claims_that_the_flows_do_not_show(tampered: str) -> None:
    moment = situation(events=[call(200.0)])
    plan = planned(devices(), [service("sichuan")], moment)
    changed = {
        "money": replace(plan, cost={**plan.cost, "demand_response": plan.cost["demand_response"] - 1.0}),
        "report": replace(plan, limits_given_way=()),
    }[tampered]
    assert verify(devices(), (), moment, changed, [service("sichuan")])


def test_a_site_without_services_has_the_model_it_had() -> None:
    parts = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"))
    model = build(parts, (), situation().shape)
    assert all(v.name.startswith("device[") for v in model.pyomo.component_data_objects(pyo.Var))
    assert len(model.compiled.columns) == 4 * situation().grid.near
    assert tuple(model.choices) == tuple(build(parts, (), situation().shape, services=()).choices)
