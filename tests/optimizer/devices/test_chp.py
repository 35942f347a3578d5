"""CHP: fuel and heat, switching that respects what was begun before the plan, ramps, and the optimum itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby, pairwise, product

import numpy as np
import pytest
from pydantic import ValidationError

from optimizer.devices import AnyDevice, Chp, GasBoiler, GasSupply, GridConnection, Load
from optimizer.devices.base import ON_OFF_EXACT_STEPS, RuleView
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan, shifted_plan
from optimizer.situation import Prices, Situation
from optimizer.time_grid import TimeGrid
from optimizer.verify import verify
from tests.optimizer.devices.examples import START

GAS_PRICE = 3.77 / 10.814
BOILER_EFFICIENCY = 0.92
EXPORT_PRICE = 0.2
OFF = {"on_hours": 0.0, "off_hours": 9.0, "power_kw": 0.0}


def engine(**more: float | bool) -> Chp:
    own = {"power_limit_kw": 100.0, "min_up_hours": 2.0, "min_down_hours": 1.0, "start_cost": 20.0, **more}
    return Chp.model_validate({"id": "chp1", **own})


def site(chp: Chp) -> tuple[AnyDevice, ...]:
    return (
        GridConnection(id="grid", import_limit_kw=900, export_limit_kw=900),
        GasSupply(id="gas", supply_limit_kw=900, price_per_nm3=3.77),
        Load(id="load"),
        Load(id="heat_load", carrier="heat"),
        GasBoiler(id="boiler1", heat_limit_kw=400, efficiency=BOILER_EFFICIENCY, min_part_load=0.0),
        chp,
    )


def situation_of(
    price: Sequence[float],
    *,
    step_minutes: int = 60,
    heat_kw: float | Sequence[float] = 150.0,
    power_kw: float = 120.0,
    state: Mapping[str, float] = OFF,
    tail_hours: tuple[float, ...] = (),
) -> Situation:
    """`price` by near step; the tail has its mean."""
    near = len(price)
    grid = TimeGrid(START, step_minutes, near, tail_hours)
    n = grid.shape.steps
    prices = np.concatenate([price, np.full(n - near, np.mean(price))])
    return Situation(
        site="tiny",
        issued_at=START,
        grid=grid,
        state={"chp1": state},
        series={"load.demand_kw": np.full(n, power_kw), "heat_load.demand_kw": np.broadcast_to(heat_kw, n)},
        prices=Prices(
            prices, np.full(n, EXPORT_PRICE), ("flat",) * n, (), (0,) * n, carbon_kg_per_kwh=np.full(n, 0.4974)
        ),
    )


def plan_of(chp: Chp, situation: Situation) -> Plan:
    plan = Planner("tiny", site(chp)).plan(situation)
    assert isinstance(plan, Plan), plan
    assert verify(site(chp), (), situation, plan) == ()
    return plan


def is_on(plan: Plan) -> list[bool]:
    return (plan.flow("chp1", "power_kw") > 1.0).tolist()


def test_tv_15_fuel_heat_money_and_carbon() -> None:
    """RULES TV-15: 1000 kW of gas give 400 kW of power and 420 kW of heat, from 92.47 Nm3/h."""
    chp, gas = Chp(id="chp1", power_limit_kw=400), GasSupply(id="gas", supply_limit_kw=2000, price_per_nm3=3.77)
    flows = chp.step({"power_kw": 400.0}, chp.start(situation_of([0.7])), {"whole": 1.0}, 1.0).flows
    assert flows == pytest.approx({"power_kw": 400.0, "gas_kw": 1000.0, "heat_kw": 420.0})
    assert flows["gas_kw"] / gas.heating_value_kwh_per_nm3 == pytest.approx(92.47, abs=0.005)
    gross = flows["gas_kw"] * gas.price_per_kwh / 400.0
    credit = flows["heat_kw"] / BOILER_EFFICIENCY * gas.price_per_kwh / 400.0
    assert gross == pytest.approx(0.8716, abs=5e-5)
    assert gross - credit == pytest.approx(0.4737, abs=1e-4)
    assert flows["gas_kw"] * gas.carbon_kg_per_kwh / 400.0 == pytest.approx(0.4999, abs=1e-4)


def test_fuel_goes_through_both_ends_of_its_curve() -> None:
    chp = engine(min_load=0.5, electric_efficiency=0.40, electric_efficiency_at_min_load=0.36)
    for power, gas in ((50.0, 50.0 / 0.36), (100.0, 100.0 / 0.40)):
        assert chp.gas_while_on_kw + chp.gas_per_power * power == pytest.approx(gas)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"thermal_efficiency": 0.7}, "together must not be above 1"),
        ({"min_load": 0.9, "electric_efficiency_at_min_load": 0.3}, "must burn more gas than least load"),
        ({"min_load": 0.0}, "greater than 0"),
        ({"min_load": 1.0}, "less than 1"),
    ],
)
def test_parameters_that_no_engine_has_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        engine(**wrong)


def test_the_step_refuses_what_the_engine_cannot_do() -> None:
    chp, here = engine(ramp_kw_per_min=1.0), {"whole": 1.0}

    def power(wish: float, state: Mapping[str, float]) -> float:
        return chp.step({"power_kw": wish}, dict(state), here, 0.25).flows["power_kw"]

    assert power(10.0, OFF) == 0.0, "far below least load it stands"
    assert power(40.0, OFF) == 50.0, "it cannot run below least load"
    assert power(100.0, OFF) == 50.0, "it starts at least load, the ramp is slower"
    assert power(100.0, {**OFF, "off_hours": 0.5}) == 0.0, "too soon after the stop"
    assert power(0.0, {"power_kw": 50.0, "on_hours": 2.0, "off_hours": 0.0}) == 0.0
    assert power(50.0, {"power_kw": 90.0, "on_hours": 5.0, "off_hours": 0.0}) == 75.0, "down the ramp"
    assert power(0.0, {"power_kw": 90.0, "on_hours": 0.5, "off_hours": 0.0}) == 0.0, "told to stand it stands"
    assert power(100.0, {"power_kw": 60.0, "on_hours": 5.0, "off_hours": 0.0}) == 75.0


def test_heat_that_nobody_needs_stops_an_engine_without_a_cooler() -> None:
    dear = [1.4] * 6
    heat_at_least_load = 0.42 * 50.0 / 0.36
    assert not any(is_on(plan_of(engine(), situation_of(dear, heat_kw=heat_at_least_load - 5.0))))
    cooled = plan_of(engine(heat_dump=True), situation_of(dear, heat_kw=heat_at_least_load - 5.0))
    assert all(is_on(cooled))
    assert cooled.flow("chp1", "heat_kw") == pytest.approx(np.full(6, heat_at_least_load - 5.0))
    assert cooled.flow("chp1", "gas_kw") == pytest.approx(np.full(6, 250.0)), "all heat above the need is dumped"
    loaded = plan_of(engine(), situation_of(dear, heat_kw=80.0))
    assert loaded.flow("chp1", "heat_kw") == pytest.approx(np.full(6, 80.0)), "held down by the heat, not switched off"


def test_gas_is_bought_and_paid_for() -> None:
    plan = plan_of(engine(), situation_of([0.3, 0.3, 1.2, 1.2, 1.2, 0.3]))
    burnt = plan.flow("chp1", "gas_kw") + plan.flow("boiler1", "gas_kw")
    assert plan.flow("gas", "supply_kw") == pytest.approx(burnt, abs=1e-6)
    assert plan.cost["gas"] == pytest.approx(GAS_PRICE * burnt.sum())
    assert plan.cost["start"] == pytest.approx(20.0)
    assert plan.shadow_prices["gas"] == pytest.approx(np.full(6, GAS_PRICE))
    assert "chp1" in {setpoint.device for setpoint in plan.setpoints}


def test_every_start_is_paid_and_a_dear_start_is_avoided() -> None:
    """Two dear hours with a cheap one between: cheap starts are made twice, dear ones bridge the gap."""
    price = [0.3, 1.2, 1.2, 0.38, 1.2, 1.2]
    cheap = plan_of(engine(start_cost=1.0), situation_of(price))
    dear = plan_of(engine(start_cost=30.0), situation_of(price))
    assert is_on(cheap) == [False, True, True, False, True, True]
    assert cheap.cost["start"] == pytest.approx(2.0)
    assert is_on(dear) == [False, True, True, True, True, True]
    assert dear.cost["start"] == pytest.approx(30.0)
    running = {"power_kw": 100.0, "on_hours": 5.0, "off_hours": 0.0}
    assert plan_of(engine(), situation_of([1.2] * 6, state=running)).cost["start"] == 0.0


def test_the_ramp_holds_from_the_power_it_runs_at() -> None:
    chp = engine(ramp_kw_per_min=1.0)
    running = {"power_kw": 55.0, "on_hours": 3.0, "off_hours": 0.0}
    rising = plan_of(chp, situation_of([1.3] * 5, step_minutes=15, state=running))
    assert rising.flow("chp1", "power_kw") == pytest.approx([70.0, 85.0, 100.0, 100.0, 100.0])
    full = {**running, "power_kw": 100.0}
    falling = plan_of(chp, situation_of([0.1] * 6, step_minutes=15, state=full))
    assert falling.flow("chp1", "power_kw") == pytest.approx([85.0, 70.0, 55.0, 50.0, 0.0, 0.0])
    started = plan_of(chp, situation_of([1.3] * 5, step_minutes=15))
    assert started.flow("chp1", "power_kw") == pytest.approx([50.0, 65.0, 80.0, 95.0, 100.0])


def test_what_began_before_the_plan_binds_it() -> None:
    started = {"power_kw": 100.0, "on_hours": 0.5, "off_hours": 0.0}
    plan = plan_of(engine(), situation_of([0.1] * 12, step_minutes=15, state=started))
    assert is_on(plan) == [True] * 6 + [False] * 6
    assert plan.states["chp1"]["on_hours"][:7] == pytest.approx([0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0])
    stopped = {"power_kw": 0.0, "on_hours": 0.0, "off_hours": 0.25}
    plan = plan_of(engine(), situation_of([1.4] * 12, step_minutes=15, state=stopped))
    assert is_on(plan) == [False] * 3 + [True] * 9
    assert plan.states["chp1"]["off_hours"][:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_hours_nobody_reports_are_enough_and_power_tells_that_it_runs() -> None:
    chp = engine(start_cost=0.0)
    assert is_on(plan_of(chp, situation_of([1.4, 0.1], state={})))[0]
    assert not is_on(plan_of(chp, situation_of([0.1, 0.1], state={"power_kw": 80.0})))[0]
    assert chp.start(situation_of([0.1], state={"power_kw": 80.0})) == {
        "power_kw": 80.0,
        "on_hours": 2.0,
        "off_hours": 0.0,
    }


def runs(on: Sequence[bool]) -> Iterator[tuple[bool, int]]:
    for value, group in groupby(on):
        yield value, len(list(group))


@pytest.mark.parametrize("seed", range(3))
def test_minimum_times_are_kept_from_cycle_to_cycle(seed: int) -> None:
    """Each cycle sees other prices and executes its first step only; what was really run keeps the minimum times."""
    rng = np.random.default_rng(seed)
    chp = engine(start_cost=2.0, ramp_kw_per_min=4.0)
    planner = Planner("tiny", site(chp))
    state, done = dict(OFF), []
    for _ in range(40):
        now = situation_of([float(rng.choice([0.1, 1.4]))] * 10, step_minutes=15, state=state)
        plan = planner.plan(now)
        assert isinstance(plan, Plan)
        assert verify(site(chp), (), now, plan) == ()
        response = chp.step(plan.asked_at("chp1", 0), state, {"whole": 1.0}, 0.25)
        assert response.flows == pytest.approx(plan.asked_at("chp1", 0), abs=1e-6)
        assert response.state == pytest.approx({k: float(v[1]) for k, v in plan.states["chp1"].items()}, abs=1e-6)
        state = response.state
        done.append(state["on_hours"] > 0)
    inner = list(runs(done))[1:-1]
    assert len(inner) > 3
    assert all(steps >= (8 if on else 4) for on, steps in inner)


def least_cost(chp: Chp, situation: Situation, t: int, on: bool) -> float:
    """Cheapest hour with the engine on or off, by hand: convex and piecewise linear in its power."""
    price, heat = situation.prices.import_per_kwh[t], situation.series["heat_load.demand_kw"][t]
    demand = situation.series["load.demand_kw"][t]
    follows_heat = (heat / chp.thermal_efficiency - chp.gas_while_on_kw) / chp.gas_per_power
    corners = [chp.least_kw, chp.power_limit_kw, demand, follows_heat] if on else [0.0]
    costs = [float("inf")]
    for power in corners:
        gas = chp.gas_while_on_kw + chp.gas_per_power * power if on else 0.0
        left = heat - chp.thermal_efficiency * gas
        possible = not on or chp.least_kw - 1e-9 <= power <= chp.power_limit_kw + 1e-9
        if possible and (left >= -1e-9 or chp.heat_dump):
            bought = max(0.0, demand - power) * price - max(0.0, power - demand) * EXPORT_PRICE
            costs.append(bought + GAS_PRICE * (gas + max(0.0, left) / BOILER_EFFICIENCY))
    return min(costs)


def allowed(chp: Chp, sequence: Sequence[bool], state: Mapping[str, float]) -> bool:
    was_on = state["on_hours"] > 0
    hours = state["on_hours"] if was_on else state["off_hours"]
    for on in sequence:
        if on != was_on and hours < (chp.min_up_hours if was_on else chp.min_down_hours):
            return False
        hours, was_on = (hours + 1.0, on) if on == was_on else (1.0, on)
    return True


@pytest.mark.parametrize("seed", range(12))
def test_the_plan_is_the_best_of_all_switchings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chp = engine(
        min_up_hours=float(rng.integers(0, 4)),
        min_down_hours=float(rng.integers(0, 4)),
        start_cost=float(rng.choice([0.0, 5.0, 25.0])),
        heat_dump=bool(rng.integers(0, 2)),
    )
    state = OFF | {"off_hours": float(rng.integers(1, 3))}
    if rng.integers(0, 2):
        state = {"power_kw": 60.0, "on_hours": float(rng.integers(1, 3)), "off_hours": 0.0}
    situation = situation_of(
        rng.uniform(0.1, 1.2, 6).tolist(), heat_kw=rng.uniform(59.0, 160.0, 6).tolist(), power_kw=80.0, state=state
    )
    was_on = state["on_hours"] > 0
    best = min(
        sum(least_cost(chp, situation, t, on) for t, on in enumerate(sequence))
        + chp.start_cost * sum(b and not a for a, b in pairwise((was_on, *sequence)))
        for sequence in product([False, True], repeat=6)
        if allowed(chp, sequence, state)
    )
    assert plan_of(chp, situation).total_cost == pytest.approx(best, rel=2e-5)


def test_beyond_the_exact_steps_a_plan_is_a_mean_that_the_step_can_follow() -> None:
    """Heat for less than least load is taken by running for a part of the time, later on; the first steps are whole."""
    situation = situation_of(
        [0.9] * 96, step_minutes=15, heat_kw=40.0, tail_hours=(2.0,) * 6 + (0.0,), state={**OFF, "off_hours": 0.25}
    )
    power = plan_of(engine(start_cost=0.0), situation).flow("chp1", "power_kw")
    assert not power[:ON_OFF_EXACT_STEPS].any()
    assert ((power[ON_OFF_EXACT_STEPS:] > 1.0) & (power[ON_OFF_EXACT_STEPS:] < 50.0)).all()


def test_the_verifier_refuses_switchings_the_engine_cannot_make() -> None:
    """Each tampered plan still balances on every bus and burns the right gas."""
    chp = engine()
    started = {"power_kw": 100.0, "on_hours": 0.5, "off_hours": 0.0}
    situation = situation_of([1.2] * 12, step_minutes=15, state=started)
    plan = plan_of(chp, situation)
    for step, power in ((3, 0.0), (3, 30.0), (11, 30.0)):
        found = verify(site(chp), (), situation, with_power(plan, chp, step, power))
        assert any(v.device == "chp1" and v.step == step for v in found), (step, power)
    assert verify(site(chp), (), situation, with_power(plan, chp, 11, 0.0, states=False)), "states say it ran"
    after_its_time = verify(site(chp), (), situation, with_power(plan, chp, 11, 0.0))
    assert not any(v.device == "chp1" for v in after_its_time), "then it may stop"


def with_power(plan: Plan, chp: Chp, step: int, power: float, states: bool = True) -> Plan:
    """The plan with another power in one step, made up for by grid and boiler; states as the flows imply."""
    gas = chp.gas_while_on_kw + chp.gas_per_power * power if power else 0.0
    kw = {(f.device, f.quantity): f.kw.copy() for f in plan.flows}
    less = kw["chp1", "power_kw"][step] - power
    colder = kw["chp1", "heat_kw"][step] - chp.thermal_efficiency * gas
    kw["chp1", "power_kw"][step], kw["chp1", "gas_kw"][step] = power, gas
    kw["chp1", "heat_kw"][step] = chp.thermal_efficiency * gas
    kw["grid", "import_kw"][step] += less
    kw["boiler1", "heat_kw"][step] += colder
    kw["boiler1", "gas_kw"][step] += colder / BOILER_EFFICIENCY
    kw["gas", "supply_kw"] = kw["chp1", "gas_kw"] + kw["boiler1", "gas_kw"]
    told = {name: values.copy() for name, values in plan.states["chp1"].items()}
    if states:
        told["power_kw"][step + 1] = power
        if not power:
            told["on_hours"][step + 1], told["off_hours"][step + 1] = 0.0, 0.25
    flows = tuple(replace(f, kw=kw[f.device, f.quantity]) for f in plan.flows)
    return replace(plan, flows=flows, states={**plan.states, "chp1": told})


def test_an_engine_whose_heat_has_no_place_is_stopped_early_and_that_is_named() -> None:
    """A quarter hour of two has passed, and heat for 10 kW is all that is needed."""
    started = {"power_kw": 50.0, "on_hours": 0.25, "off_hours": 0.0}
    situation = situation_of([0.3] * 4, heat_kw=10.0, state=started)
    for plan in (plan_of(engine(), situation), rule_plan(site(engine()), situation)):
        assert not any(is_on(plan))
        assert verify(site(engine()), (), situation, plan) == ()
        (given,) = plan.limits_given_way
        assert (given.device, given.limit, given.unit, given.first) == ("chp1", "min_up_time", "h", START)
        assert given.amount == pytest.approx(1.75, abs=1e-5)
        silent = replace(plan, limits_given_way=())
        assert any("breaks min_up_time" in str(v) for v in verify(site(engine()), (), situation, silent))


def test_it_is_stopped_as_late_as_its_heat_allows() -> None:
    """Heat for least load in the first two hours of three that are left: stopped when it ends, an hour early."""
    chp, started = engine(min_up_hours=4.0), {"power_kw": 50.0, "on_hours": 1.0, "off_hours": 0.0}
    plan = plan_of(chp, situation_of([0.3] * 4, heat_kw=[80.0, 80.0, 10.0, 10.0], state=started))
    assert is_on(plan) == [True, True, False, False]
    (given,) = plan.limits_given_way
    assert (given.limit, given.first) == ("min_up_time", START + timedelta(hours=2))
    assert given.amount == pytest.approx(1.0, abs=1e-5)


def test_a_ramp_gives_way_only_in_a_stop() -> None:
    """From 100 kW a ramp of 15 kW per quarter hour needs four steps to the stop; the heat is gone at once."""
    chp, running = engine(ramp_kw_per_min=1.0), {"power_kw": 100.0, "on_hours": 9.0, "off_hours": 0.0}
    situation = situation_of([0.3] * 4, step_minutes=15, heat_kw=0.0, state=running)
    for plan in (plan_of(chp, situation), rule_plan(site(chp), situation)):
        assert not any(is_on(plan))
        assert verify(site(chp), (), situation, plan) == ()
        assert [(g.limit, g.unit) for g in plan.limits_given_way] == [("ramp", "kW")]
        assert plan.limits_given_way[0].amount == pytest.approx(50.0)


def view(heat_kw: float, power_kw: float = 500.0, export: bool = True) -> RuleView:
    return RuleView(0.25, "normal", {"heat": heat_kw, "power": power_kw}, {}, 200.0, export, True)


def test_rules_follow_the_heat() -> None:
    chp, here = engine(), {"whole": 1.0}
    ready = dict(OFF)
    assert chp.rule(view(80.0), ready, here)["heat_kw"] == pytest.approx(80.0)
    assert chp.rule(view(30.0), ready, here)["power_kw"] == 0.0, "too little heat for least load"
    assert chp.rule(view(500.0), ready, here)["power_kw"] == 100.0
    assert chp.rule(view(500.0, power_kw=70.0, export=False), ready, here)["power_kw"] == pytest.approx(70.0)
    assert chp.rule(view(500.0), {**ready, "off_hours": 0.5}, here)["power_kw"] == 0.0
    busy = {"power_kw": 80.0, "on_hours": 0.5, "off_hours": 0.0}
    assert engine(heat_dump=True).rule(view(0.0), busy, here)["power_kw"] == 50.0, "it may not stop yet"
    assert chp.rule(view(0.0), busy, here)["power_kw"] == 0.0, "unless its heat has no place"


def test_rule_and_shifted_plans_pass_the_verifier() -> None:
    chp = engine(heat_dump=True, ramp_kw_per_min=3.0)
    price = [0.3] * 30 + [1.2] * 66
    heat = (90.0 + 60.0 * np.sin(np.arange(96) / 8.0)).tolist()
    situation = situation_of(price, step_minutes=15, heat_kw=heat)
    rules = rule_plan(site(chp), situation)
    assert verify(site(chp), (), situation, rules) == ()
    assert any(is_on(rules))
    assert not all(is_on(rules))
    assert all(steps >= (8 if on else 4) for on, steps in list(runs(is_on(rules)))[1:-1])
    last = plan_of(chp, situation)
    shifted = shifted_plan(site(chp), situation, last)
    assert shifted is not None
    assert verify(site(chp), (), situation, shifted) == ()


def test_heat_comes_from_chp_before_the_boiler_by_rules() -> None:
    plan = rule_plan(site(engine()), situation_of([0.7] * 4, heat_kw=150.0))
    assert plan.flow("chp1", "heat_kw") == pytest.approx(np.full(4, 105.0))
    assert plan.flow("boiler1", "heat_kw") == pytest.approx(np.full(4, 45.0))
    assert plan.flow("gas", "supply_kw") == pytest.approx(np.full(4, 250.0 + 45.0 / 0.92))
