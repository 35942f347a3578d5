"""A plan over several scenarios: off it is not there, its first step holds in all, its risk is as asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linprog

import optimizer.planner
from optimizer.devices import AnyDevice, Battery, GridConnection, Load
from optimizer.exact import Answer, solve_exactly
from optimizer.model import build
from optimizer.plan import Plan, ScenarioOutcome
from optimizer.planner import Planner
from optimizer.scenarios import first_step_columns, scenario_situations, settled_series, stack
from optimizer.situation import DemandLine, Prices, Situation, Uncertainty
from optimizer.solver import Solution, Status
from optimizer.time_grid import Array, TimeGrid
from optimizer.verify import verify
from tests.optimizer.park import FEEDERS, park, park_situation

NEAR = 24


def small_situation() -> Situation:
    """Six hours of the evening peak and a short tail, without cars."""
    situation = park_situation(near=NEAR, tail_hours=(2.0,) * 3)
    return replace(situation, sessions={})


def uncertain(situation: Situation, pairs: int = 2, weight: float = 0.0, level: float = 0.5) -> Situation:
    """The situation with loads and sun that wander by some 15 %, in pairs around the central course."""
    rng = np.random.default_rng(3)
    steps = situation.grid.shape.steps
    paths: list[dict[str, Array]] = []
    for _ in range(pairs):
        wander = {name: np.cumsum(rng.normal(0, 0.04, steps)) for name in ("load", "cold_load", "pv1", "weather")}
        paths += [_off(situation, wander, sign) for sign in (1.0, -1.0)]
    return replace(situation, uncertainty=Uncertainty(tuple(paths), weight, level))


def _off(situation: Situation, wander: dict[str, Array], sign: float) -> dict[str, Array]:
    return {
        name: np.maximum(values * (1 + sign * wander[name.split(".")[0]]), 0.0)
        for name, values in situation.series.items()
    }


def plan_of(situation: Situation, planner: Planner | None = None) -> Plan:
    plan = (planner or Planner("park", park(), FEEDERS)).plan(situation, 60.0)
    assert isinstance(plan, Plan)
    assert verify(park(), FEEDERS, situation, plan) == ()
    return plan


def outcome_of(plan: Plan) -> ScenarioOutcome:
    assert plan.scenarios is not None
    return plan.scenarios


def test_without_uncertainty_nothing_is_changed() -> None:
    situation, planner = small_situation(), Planner("park", park(), FEEDERS)
    before = plan_of(situation, planner)
    assert before.scenarios is None
    assert before.document().scenarios is None
    plan_of(uncertain(situation), planner)
    after = plan_of(situation, planner)
    assert after.content_hash == before.content_hash
    assert all(np.array_equal(a.kw, b.kw) for a, b in zip(after.flows, before.flows, strict=True))
    model = planner.model_for(situation.shape)
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in park()}
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    alone = stack([program], model.choices, first_step_columns(park(), model), None)
    assert alone.program is program
    assert alone.choices is model.choices


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_the_same_course_several_times_costs_what_it_costs_once(weight: float) -> None:
    situation = small_situation()
    again = Uncertainty((dict(situation.series),) * 3, weight, 0.7)
    once, several = plan_of(situation), plan_of(replace(situation, uncertainty=again))
    assert several.total_cost == pytest.approx(once.total_cost, rel=1e-9)
    assert outcome_of(several).costs == pytest.approx((once.total_cost,) * 4, rel=1e-9)
    assert outcome_of(several).cvar == pytest.approx(once.total_cost, rel=1e-9)
    first = {price: float(values[0]) for price, values in once.shadow_prices.items()}
    assert {price: float(values[0]) for price, values in several.shadow_prices.items()} == pytest.approx(first)


def test_a_heavier_risk_never_raises_the_cvar_nor_lowers_the_expected_cost() -> None:
    planner = Planner("park", park(), FEEDERS)
    found = [outcome_of(plan_of(uncertain(small_situation(), weight=w), planner)) for w in (0.0, 0.3, 0.9)]
    for lighter, heavier in pairwise(found):
        assert heavier.cvar <= lighter.cvar + 1e-6 * abs(lighter.cvar)
        assert heavier.expected_cost >= lighter.expected_cost - 1e-6 * abs(lighter.expected_cost)


def test_where_caution_pays_a_heavier_risk_buys_it() -> None:
    plans = [Planner("tiny", tiny_park()).plan(tiny_situation(weight)) for weight in (0.0, 0.3, 0.5, 0.9)]
    found = [outcome_of(plan) for plan in plans if isinstance(plan, Plan)]
    assert len(found) == 4
    assert all(b.cvar < a.cvar - 1.0 for a, b in pairwise(found))
    assert all(b.expected_cost > a.expected_cost + 1.0 for a, b in pairwise(found))


def test_every_device_can_do_the_first_step_in_every_scenario() -> None:
    situation = uncertain(park_situation(near=NEAR, tail_hours=(2.0,) * 3))
    plan = plan_of(situation)
    told = [device for device in park() if device.main_quantity is not None]
    for one in scenario_situations(park(), situation):
        for device in told:
            here = {name: float(values[0]) for name, values in device.conditions(one).items()}
            asked = plan.asked_at(device.id, 0)
            done = device.step(asked, device.start(one), here, one.grid.step_hours)
            assert done.flows == pytest.approx(asked, abs=1e-5)
        served = plan.asked_at("load", 0)["served_kw"]
        net = plan.flow("grid", "import_kw")[0] - plan.flow("grid", "export_kw")[0]
        assert -400 <= net + one.need("load.demand_kw")[0] - served <= 900


def test_only_what_the_grid_connection_takes_up_differs_in_the_first_step() -> None:
    situation = uncertain(small_situation())
    assert settled_series(park()) == {"cold_load.demand_kw", "pv1.available_kw", "weather.temperature_c"}
    central, *others = scenario_situations(park(), situation)
    for other in others:
        same = {name for name, values in other.series.items() if values[0] == central.series[name][0]}
        assert same == settled_series(park())
        assert all(not np.array_equal(other.series[name][1:], central.series[name][1:]) for name in situation.series)
    assert central.series is situation.series


def test_without_an_answer_in_time_the_central_course_is_planned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    situation = small_situation()
    columns = len(Planner("park", park(), FEEDERS).model_for(situation.shape).compiled.columns)

    def too_slow_for_many(program, choices, deadline_s):  # type: ignore[no-untyped-def]
        if len(program.cost) > columns:
            nothing = np.empty(0)
            return Answer(
                Solution(Status.NO_ANSWER, nothing, nothing, nothing, np.nan, np.nan, "Time limit reached"), 1
            )
        return solve_exactly(program, choices, deadline_s)

    monkeypatch.setattr(optimizer.planner, "solve_exactly", too_slow_for_many)
    plan, alone = plan_of(uncertain(situation)), plan_of(situation)
    assert plan.note == "scenarios: no answer: Time limit reached; planned for the central forecast alone"
    assert replace(plan, note="").content_hash == alone.content_hash


def test_either_or_conditions_hold_in_every_copy() -> None:
    """Prices below zero: without the conditions the battery would charge and discharge at once, in every scenario."""
    situation = uncertain(park_situation(near=8, tail_hours=(2.0,), price_of=(-0.2, -0.1, 0.9, 1.1)))
    model = build(park(), FEEDERS, situation.shape)
    programs = []
    for one in scenario_situations(park(), situation):
        inputs = {d.id: d.inputs(one, d.conditions(one)) for d in park()}
        programs.append(model.compiled.program(model.compiled.parameters.values(inputs)))
    whole = stack(programs, model.choices, first_step_columns(park(), model), situation.uncertainty)
    solution = solve_exactly(whole.program, whole.choices, 60.0).solution
    assert solution.status is Status.OPTIMAL
    battery = model.pyomo.device["battery1"]
    for at in whole.columns:
        for t in range(8):
            charge, discharge = (
                solution.x[at[model.compiled.column(v[t])]] for v in (battery.charge_kw, battery.discharge_kw)
            )
            assert min(charge, discharge) <= 1e-6


@pytest.mark.parametrize(
    ("costs", "level", "expected"),
    [
        ((1.0, 2.0, 3.0, 4.0), 0.5, 3.5),
        ((1.0, 2.0, 3.0, 4.0), 0.0, 2.5),
        ((4.0, 1.0, 3.0, 2.0), 0.75, 4.0),
        ((1.0, 2.0, 3.0, 4.0), 0.6, (4.0 * 0.25 + 3.0 * 0.15) / 0.4),
        ((-5.0, 7.0), 0.9, 7.0),
    ],
)
def test_cvar_is_the_mean_of_the_dearest(costs: tuple[float, ...], level: float, expected: float) -> None:
    assert ScenarioOutcome(costs, 0.5, level).cvar == pytest.approx(expected)


def test_uncertainty_refuses_what_means_nothing() -> None:
    path = {"load.demand_kw": np.ones(3)}
    for wrong in (((), 0.0, 0.9), ((path,), 1.0, 0.9), ((path,), -0.1, 0.9), ((path,), 0.0, 1.0)):
        with pytest.raises(ValueError, match="uncertainty needs"):
            Uncertainty(*wrong)


# A battery, a load and a demand charge over four hours: small enough to be written a second time.

LOADS = np.array([[60.0, 60.0, 60.0, 60.0], [70.0, 60.0, 140.0, 140.0]])
PRICE = np.array([0.5, 0.9, 0.6, 0.6])
PEAK_PRICE, WEAR, EFFICIENCY, POWER = 6.0, 0.05, 0.9, 50.0
START, LEAST, MOST = 30.0, 10.0, 95.0


def tiny_park() -> tuple[AnyDevice, ...]:
    battery = Battery(
        id="battery1", capacity_kwh=100, charge_limit_kw=POWER, discharge_limit_kw=POWER,
        charge_efficiency=EFFICIENCY, discharge_efficiency=EFFICIENCY, standing_loss_per_hour=0.0,
        min_soc=0.1, max_soc=0.95, wear_cost_per_kwh=WEAR,
    )  # fmt: skip
    return (GridConnection(id="grid", import_limit_kw=500), Load(id="load"), battery)


def tiny_situation(weight: float) -> Situation:
    grid = TimeGrid(datetime(2026, 8, 26, tzinfo=UTC), 60, 4)
    line = DemandLine("demand", PEAK_PRICE, PEAK_PRICE, inside=np.ones(4))
    prices = Prices(PRICE, np.zeros(4), ("flat",) * 4, (line,), (0,) * 4, np.zeros(4))
    state = {"grid": {"peak_kw.demand": 0.0}, "battery1": {"energy_kwh": START}}
    central, other = ({"load.demand_kw": load} for load in LOADS)
    uncertain = Uncertainty((other,), weight, 0.5)
    return Situation("tiny", grid.start, grid, state, central, prices, uncertainty=uncertain)


def explicit(weight: float, first_kw: float | None = None) -> tuple[float, Array]:
    """The two scenarios as one linear program written out by hand: objective, and (2,) costs.

    Columns of a scenario: 4 charge, 4 discharge, 4 import, 4 energy, peak; then η, ξ_0, ξ_1. `first_kw` fixes the
    battery's first step (discharge > 0).
    """
    size = 2 * 17 + 3
    equal, equals, below, limits = [], [], [], []

    def row(**at: float) -> Array:
        line = np.zeros(size)
        for place, value in at.items():
            line[int(place[1:])] = value
        return line

    cost = np.zeros((2, size))
    for s in range(2):
        base = 17 * s
        charge, discharge, bought, energy, peak = base, base + 4, base + 8, base + 12, base + 16
        cost[s, bought : bought + 4] = PRICE
        cost[s, discharge : discharge + 4] = WEAR
        cost[s, energy + 3] = -EFFICIENCY * PRICE.min()
        cost[s, peak] = PEAK_PRICE
        for t in range(4):
            equal.append(row(**{f"c{bought + t}": 1.0, f"c{discharge + t}": 1.0, f"c{charge + t}": -1.0}))
            equals.append(LOADS[s, t])
            change = {f"c{energy + t}": 1.0, f"c{charge + t}": -EFFICIENCY, f"c{discharge + t}": 1 / EFFICIENCY}
            equal.append(row(**change) - (row(**{f"c{energy + t - 1}": 1.0}) if t else 0.0))
            equals.append(0.0 if t else START)
            below.append(row(**{f"c{bought + t}": 1.0, f"c{peak}": -1.0}))
            limits.append(0.0)
        eta, xi = 34, 35 + s
        below.append(cost[s] + row(**{f"c{eta}": -1.0, f"c{xi}": -1.0}))
        limits.append(0.0)
    for first in (0, 4):
        equal.append(row(**{f"c{first}": 1.0, f"c{17 + first}": -1.0}))
        equals.append(0.0)
    if first_kw is not None:
        equal.append(row(c4=1.0, c0=-1.0))
        equals.append(first_kw)
    objective = (1 - weight) * cost.mean(axis=0) + weight * row(c34=1.0, c35=1.0, c36=1.0)  # 1 / (2 · (1 - 0.5)) = 1
    bounds = [*[(0, POWER)] * 8, *[(0, 500)] * 4, *[(LEAST, MOST)] * 4, (0, None)] * 2 + [
        (None, None),
        (0, None),
        (0, None),
    ]
    found = linprog(objective, np.array(below), limits, np.array(equal), equals, bounds, method="highs")
    return float(found.fun), cost @ found.x if found.success else np.full(2, np.inf)


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.9])
def test_two_scenarios_of_a_tiny_park_cost_what_the_program_written_out_costs(weight: float) -> None:
    plan = Planner("tiny", tiny_park()).plan(tiny_situation(weight))
    assert isinstance(plan, Plan)
    outcome, (objective, _) = outcome_of(plan), explicit(weight)
    reached = (1 - weight) * outcome.expected_cost + weight * outcome.cvar
    assert reached == pytest.approx(objective, rel=1e-7)
    first = float(plan.flow("battery1", "discharge_kw")[0] - plan.flow("battery1", "charge_kw")[0])
    assert explicit(weight, first)[0] == pytest.approx(objective, rel=1e-7)


def test_no_other_first_step_is_better_and_the_central_one_alone_is_worse() -> None:
    """Brute force over the battery's first step: charging for the peak that may come is worth its price."""
    best = min(explicit(0.5, kw)[0] for kw in np.linspace(-POWER, 18.0, 137))
    plan = Planner("tiny", tiny_park()).plan(tiny_situation(0.5))
    alone = Planner("tiny", tiny_park()).plan(replace(tiny_situation(0.5), uncertainty=None))
    assert isinstance(plan, Plan)
    assert isinstance(alone, Plan)
    outcome = outcome_of(plan)
    assert (outcome.expected_cost + outcome.cvar) / 2 == pytest.approx(best, rel=1e-3)
    assert (outcome.expected_cost + outcome.cvar) / 2 <= best + 1e-6
    first = float(alone.flow("battery1", "discharge_kw")[0] - alone.flow("battery1", "charge_kw")[0])
    assert explicit(0.5, first)[0] > best + 1.0
