"""Rules and shifted plans: always possible, never a solver."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan, shifted_plan
from optimizer.verify import verify
from tests.optimizer.park import FEEDERS, park, park_situation


@pytest.mark.parametrize("hours", range(0, 24, 3))
@pytest.mark.parametrize("storing", [True, False])
def test_a_rule_plan_passes_the_verifier_at_every_hour(hours: int, storing: bool) -> None:
    situation = park_situation(shift=timedelta(hours=hours))
    plan = rule_plan(park(), situation, FEEDERS, storing=storing)
    assert plan.status == "rules"
    assert verify(park(), FEEDERS, situation, plan) == ()
    assert {s.device for s in plan.setpoints} == {"pv1", "battery1", "store", "chiller1", "ev01", "ev02"}


def test_rules_store_while_cheap_and_serve_while_dear() -> None:
    situation = park_situation()
    plan = rule_plan(park(), situation, FEEDERS)
    price = situation.prices.import_per_kwh[:96]
    charge, discharge = plan.flow("battery1", "charge_kw"), plan.flow("battery1", "discharge_kw")
    assert charge[price < 0.3].sum() > 0
    assert discharge[price > 1.2].sum() > 0
    assert discharge[price < 0.3].sum() == 0


def test_the_idle_baseline_leaves_stores_alone_and_charges_cars_at_once() -> None:
    situation = park_situation()
    plan = rule_plan(park(), situation, storing=False)
    for device in ("battery1", "store"):
        assert plan.flow(device, "charge_kw").max() == plan.flow(device, "discharge_kw").max() == 0.0
    arrival = 36
    assert plan.flow("ev02", "charge_kw")[arrival + 1] == pytest.approx(20.0)
    limited = rule_plan(park(), situation, FEEDERS, storing=False)
    together = limited.flow("ev01", "charge_kw") + limited.flow("ev02", "charge_kw")
    assert together.max() == pytest.approx(30.0)


def test_the_plan_costs_less_than_the_rules() -> None:
    situation = park_situation(tail_hours=())
    plan = Planner("park", park(), FEEDERS).plan(situation)
    assert isinstance(plan, Plan)
    rules = rule_plan(park(), situation, FEEDERS)
    wear = 0.1 * rules.flow("battery1", "discharge_kw").sum() * 0.25
    peak = max(500.0, rules.flow("grid", "import_kw").max()) - 500.0
    assert plan.cost["energy"] + plan.cost["wear"] + plan.cost["demand"] < rules.cost["energy"] + wear + 48.0 * peak


def test_a_shifted_plan_follows_the_last_one_from_where_it_stands() -> None:
    planner = Planner("park", park(), FEEDERS)
    last = planner.plan(park_situation())
    assert isinstance(last, Plan)
    later = park_situation(shift=timedelta(minutes=30))
    reached = {d: {"energy_kwh": float(s["energy_kwh"][2])} for d, s in last.states.items()}
    later = replace(later, state={**later.state, **reached})
    shifted = shifted_plan(park(), later, last, FEEDERS)
    assert shifted is not None
    assert shifted.status == "shifted"
    assert verify(park(), FEEDERS, later, shifted) == ()
    planned = last.flow("battery1", "charge_kw")[2:]
    assert shifted.flow("battery1", "charge_kw")[:94] == pytest.approx(planned, abs=1e-6)


def test_a_plan_that_does_not_reach_here_is_not_shifted() -> None:
    last = Planner("park", park()).plan(park_situation(near=8, tail_hours=()))
    assert isinstance(last, Plan)
    assert shifted_plan(park(), park_situation(shift=timedelta(hours=2)), last) is None
    assert shifted_plan(park(), park_situation(shift=-timedelta(hours=1)), last) is None
    assert shifted_plan(park(), park_situation(), None) is None


def test_rules_keep_import_under_the_running_peak_where_the_battery_can() -> None:
    situation = park_situation(peak_kw=520.0)
    plan = rule_plan(park(), situation, FEEDERS)
    idle = rule_plan(park(), situation, FEEDERS, storing=False)
    assert plan.flow("grid", "import_kw").max() <= max(520.0, idle.flow("grid", "import_kw").max()) + 1e-6
    assert np.isfinite(plan.total_cost)
