"""There is an answer to every situation, and it says which limit gave way, by how much and when first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from optimizer import exact, solver
from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice, Battery, Chiller, GasBoiler, GasSupply, GridConnection, Pv, V2gCharger
from optimizer.plan import GivenWay, Plan
from optimizer.planner import NoPlan, Planner
from optimizer.rules import rule_plan
from optimizer.situation import Situation
from optimizer.solver import Solution, Status
from optimizer.verify import verify
from tests.optimizer.test_reasons import COLD, GRID, HEAT, LOAD, START, battery, car, chp, situation_of, soc, with_chp

HOUR = timedelta(hours=1)


def both(devices: Sequence[AnyDevice], situation: Situation, feeders: Sequence[FeederLimit] = ()) -> tuple[Plan, Plan]:
    """The optimal plan and the rules' plan; both can be carried out and report what gives way."""
    plan = Planner("tiny", devices, feeders).plan(situation)
    assert isinstance(plan, Plan), plan
    rules = rule_plan(devices, situation, feeders)
    for answer in (plan, rules):
        assert verify(devices, feeders, situation, answer) == ()
        if answer.limits_given_way:
            silent = replace(answer, limits_given_way=())
            assert "does not report" in str(verify(devices, feeders, situation, silent)) or _is_soft_store(answer)
    return plan, rules


def _is_soft_store(plan: Plan) -> bool:
    return {given.limit for given in plan.limits_given_way} <= {"min_soc", "max_soc"}


def the_only(plan: Plan) -> GivenWay:
    (given,) = plan.limits_given_way
    return given


def test_a_battery_far_below_its_band_comes_back_as_fast_as_it_can() -> None:
    low = battery(charge_limit_kw=20, min_soc=0.5)
    plan = Planner("tiny", (GRID, LOAD, low)).plan(situation_of(["sharp"] * 3, state=soc(10)))
    assert isinstance(plan, Plan)
    assert plan.states["battery1"]["energy_kwh"] == pytest.approx([10, 29, 48, 50])
    given = the_only(plan)
    assert (given.device, given.limit, given.unit, given.first) == ("battery1", "min_soc", "kWh", START)
    assert given.amount == pytest.approx(21.0)


@pytest.mark.parametrize("reported_kwh", [-5.0, 130.0])
def test_a_state_no_battery_can_have_is_taken_as_the_nearest_it_can(reported_kwh: float) -> None:
    plan, rules = both((GRID, LOAD, battery()), situation_of(["flat"] * 2, state=soc(reported_kwh)))
    nearest = min(max(reported_kwh, 0.0), 100.0)
    assert plan.states["battery1"]["energy_kwh"][0] == rules.states["battery1"]["energy_kwh"][0] == nearest


def test_a_car_that_cannot_be_filled_is_named_by_plan_and_rules() -> None:
    ev = V2gCharger(id="ev01", charge_limit_kw=20, departure_margin_minutes=0)
    for answer in both((GRID, LOAD, ev), situation_of(["sharp", "flat", "valley"], cars=[car(2, 40.0)])):
        given = the_only(answer)
        assert (given.device, given.limit, given.unit) == ("ev01", "energy_at_departure", "kWh")
        assert given.amount == pytest.approx(40.0 - 2 * 20 * 0.95)
        assert given.first == START + HOUR


def test_load_above_the_import_limit_is_shed_and_named() -> None:
    grid = GRID.model_copy(update={"import_limit_kw": 70.0})
    for answer in both((grid, LOAD), situation_of(["flat"] * 3, load__demand_kw=[60.0, 100.0, 90.0])):
        given = the_only(answer)
        assert (given.device, given.limit, given.unit, given.first) == ("load", "demand", "kW", START + HOUR)
        assert given.amount == pytest.approx(30.0)
        assert answer.flow("grid", "import_kw") == pytest.approx([60.0, 70.0, 70.0])


def test_cars_give_way_to_the_load_under_a_tight_import_limit() -> None:
    grid, ev = GRID.model_copy(update={"import_limit_kw": 110.0}), V2gCharger(id="ev01", charge_limit_kw=20)
    for answer in both((grid, LOAD, ev), situation_of(["flat"] * 2, cars=[car(2, 30.0)])):
        assert answer.flow("load", "served_kw") == pytest.approx([100.0, 100.0])
        assert answer.flow("ev01", "charge_kw") == pytest.approx([10.0, 10.0])
        assert {given.device for given in answer.limits_given_way} == {"ev01"}


def test_sun_that_cannot_be_curtailed_and_has_no_place_trips_its_inverters() -> None:
    devices = (GRID, LOAD, Pv(id="pv1", capacity_kw=400, curtailable=False))
    for answer in both(devices, situation_of(["flat"] * 2, pv1__available_kw=[90.0, 250.0])):
        given = the_only(answer)
        assert (given.device, given.limit, given.unit, given.first) == ("pv1", "not_curtailable", "kW", START + HOUR)
        assert given.amount == pytest.approx(150.0)


def test_sun_beyond_the_export_limit_is_curtailed_by_rules_too() -> None:
    devices = (GRID.model_copy(update={"export_limit_kw": 50.0}), LOAD, Pv(id="pv1", capacity_kw=400))
    for answer in both(devices, situation_of(["flat"], pv1__available_kw=250.0)):
        assert answer.flow("pv1", "used_kw") == pytest.approx([150.0])
        assert answer.limits_given_way == ()


def test_gas_that_does_not_suffice_leaves_heat_unserved_and_named() -> None:
    """60 kW of gas make 55.2 kW of heat; 80 are wanted."""
    gas = GasSupply(id="gas", supply_limit_kw=60, price_per_nm3=3.77)
    devices = (GRID, LOAD, HEAT, gas, GasBoiler(id="boiler1", heat_limit_kw=200, efficiency=0.92, min_part_load=0.0))
    for answer in both(devices, situation_of(["flat"], heat_load__demand_kw=80.0)):
        given = the_only(answer)
        assert (given.device, given.limit) == ("heat_load", "demand")
        assert given.amount == pytest.approx(80.0 - 55.2, abs=1e-5)


def test_a_machine_below_its_least_part_load_says_by_how_much() -> None:
    chiller = Chiller(id="chiller1", cooling_limit_kw=300, min_part_load=0.3)
    store_free = (GRID, LOAD, COLD, chiller)
    situation = situation_of(["flat"] * 2, cold_load__demand_kw=[120.0, 20.0])
    plan = Planner("tiny", store_free).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(store_free, (), situation, plan) == ()
    given = the_only(plan)
    assert (given.device, given.limit, given.unit, given.first) == ("chiller1", "min_part_load", "kW", START + HOUR)
    assert given.amount == pytest.approx(70.0)


YOUNG = {"power_kw": 100.0, "on_hours": 1.0, "off_hours": 0.0}


def test_power_that_may_not_be_exported_stops_an_engine_early() -> None:
    """Least load is 50 kW, the site needs 20 and may not export."""
    grid, boiler = GridConnection(id="grid", import_limit_kw=900), GasBoiler(id="boiler1", heat_limit_kw=400)
    gas = GasSupply(id="gas", supply_limit_kw=900, price_per_nm3=3.77)
    situation = situation_of(["flat"] * 3, state={"chp1": YOUNG}, load__demand_kw=20.0, heat_load__demand_kw=150.0)
    for answer in both((grid, LOAD, HEAT, gas, boiler, chp()), situation):
        given = the_only(answer)
        assert (given.device, given.limit) == ("chp1", "min_up_time")
        assert given.amount == pytest.approx(1.0, abs=1e-5)


def hard() -> tuple[tuple[AnyDevice, ...], Situation]:
    """A CHP whose linear answer runs for a part of the time, and a chiller below its least part load."""
    chiller = Chiller(id="chiller1", cooling_limit_kw=300, min_part_load=0.3)
    prices = ["valley", "flat", "peak", "flat", "sharp", "valley"] * 2
    situation = situation_of(
        prices, heat_load__demand_kw=[40, 120, 30, 90, 60, 50] * 2, load__demand_kw=150.0, cold_load__demand_kw=120.0
    )
    return (*with_chp(heat_dump=True, start_cost=60.0), COLD, chiller), situation


def nothing_decided(*_: object) -> None:
    """Leaves every broken condition to the solver's own search."""


def test_at_the_deadline_broken_decisions_are_settled_and_the_answer_is_called_feasible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No program with binaries gets an answer: what is left is the linear one, decided."""
    devices, situation = hard()
    best = Planner("tiny", devices).plan(situation)
    assert isinstance(best, Plan)
    assert best.solves > 1, "the linear answer must break something"
    real = exact.solve

    def too_late(program: object, choices: tuple[object, ...] = (), **limits: float) -> Solution:
        if choices:
            return Solution(Status.NO_ANSWER, np.empty(0), np.empty(0), np.nan, np.nan, "Time limit reached")
        return real(program, **limits)

    monkeypatch.setattr(exact, "solve", too_late)
    monkeypatch.setattr(exact, "_decided", nothing_decided)
    plan = Planner("tiny", devices).plan(situation)
    assert isinstance(plan, Plan)
    assert plan.status == "feasible"
    assert verify(devices, (), situation, plan) == ()
    assert plan.gap is not None
    assert best.total_cost - 1e-6 <= plan.total_cost <= best.total_cost + (plan.gap + 1e-4) * abs(plan.total_cost)
    assert all(setpoint.reason.en and setpoint.reason.zh for setpoint in plan.setpoints)


def test_an_incumbent_of_the_solver_is_used_with_its_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    devices, situation = hard()
    real = exact.solve

    def stopped(program: object, choices: tuple[object, ...] = (), **limits: float) -> Solution:
        found = real(program, choices, **limits)
        return replace(found, status=Status.FEASIBLE, gap=0.03) if choices else found

    monkeypatch.setattr(exact, "solve", stopped)
    monkeypatch.setattr(exact, "_decided", nothing_decided)
    plan = Planner("tiny", devices).plan(situation)
    assert isinstance(plan, Plan)
    assert (plan.status, plan.gap) == ("feasible", 0.03)
    assert verify(devices, (), situation, plan) == ()


def test_prices_that_were_not_found_in_time_are_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    devices, situation = hard()
    real = exact.solve

    def unpriced(program: object, choices: tuple[object, ...] = (), **limits: float) -> Solution:
        found = real(program, choices, **limits)
        return replace(found, row_dual=0.0 * found.row_dual, col_dual=np.empty(0))

    monkeypatch.setattr(exact, "solve", unpriced)
    monkeypatch.setattr(exact, "_decided", nothing_decided)
    plan = Planner("tiny", devices).plan(situation)
    assert isinstance(plan, Plan)
    assert {s.reason.en for s in plan.setpoints} == {"the best found by the deadline; its prices are not known"}


def test_numbers_that_are_none_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        solver.QuietHighs,
        "getSolution",
        lambda self: SimpleNamespace(col_value=[np.nan] * 4, row_dual=[0.0], col_dual=[0.0] * 4),
        raising=False,
    )
    outcome = Planner("tiny", (GRID, LOAD)).plan(situation_of(["flat"]))
    assert isinstance(outcome, NoPlan)
    assert "not a number" in outcome.reason


def test_batteries_give_way_to_nothing_they_need_not() -> None:
    plan, rules = both((GRID, LOAD, Battery(id="battery1", capacity_kwh=100, charge_limit_kw=50,
                                            discharge_limit_kw=50)), situation_of(["flat"] * 3))  # fmt: skip
    assert plan.limits_given_way == rules.limits_given_way == ()
