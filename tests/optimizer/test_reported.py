"""What a site reports that it can do now bounds the plan, for some hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.reported import TAKEN_TO_LAST, reported_kw, steps_reported
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.park import FEEDERS, park, park_situation

STEPS = 16


def reporting(**limits: Mapping[str, float]) -> Situation:
    situation = park_situation(battery_kwh=500.0)
    state = {name: {**situation.state.get(name, {}), **values} for name, values in limits.items()}
    return replace(situation, state={**situation.state, **state})


def planned(situation: Situation) -> Plan:
    plan = Planner("park", park(), FEEDERS).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(park(), FEEDERS, situation, plan) == ()
    return plan


def test_a_limit_counts_for_the_hours_it_is_taken_to_last() -> None:
    assert STEPS == steps_reported(park_situation().grid) == TAKEN_TO_LAST.seconds // 900
    plan = planned(reporting(battery1={"charge_limit_kw": 40.0, "discharge_limit_kw": 25.0}))
    charge, discharge = plan.flow("battery1", "charge_kw"), plan.flow("battery1", "discharge_kw")
    assert charge[:STEPS].max() <= 40.0 + 1e-6
    assert discharge[:STEPS].max() <= 25.0 + 1e-6
    assert max(charge[STEPS:].max(), discharge[STEPS:].max()) > 100.0


def test_a_device_that_is_lost_stands_still_and_the_rest_is_planned_without_it() -> None:
    plan = planned(reporting(battery1={"charge_limit_kw": 0.0, "discharge_limit_kw": 0.0}))
    assert plan.flow("battery1", "charge_kw")[:STEPS].max() == pytest.approx(0.0, abs=1e-9)
    (told,) = [setpoint.target_kw for setpoint in plan.setpoints if setpoint.device == "battery1"]
    assert told == pytest.approx(0.0, abs=1e-9)


def test_in_an_island_nothing_is_exchanged_and_what_cannot_be_served_is_named() -> None:
    plan = planned(reporting(grid={"import_limit_kw": 0.0, "export_limit_kw": 0.0}))
    exchanged = plan.flow("grid", "import_kw") + plan.flow("grid", "export_kw")
    assert np.abs(exchanged[:STEPS]).max() == pytest.approx(0.0, abs=1e-9)
    assert exchanged[STEPS:].max() > 0.0
    assert {gave.device for gave in plan.limits_given_way} >= {"load"}


def test_a_report_of_the_full_limit_changes_nothing() -> None:
    situation = reporting(battery1={"charge_limit_kw": 250.0, "discharge_limit_kw": 250.0})
    assert reported_kw(situation, "battery1", "charge_kw") == 250.0
    assert reported_kw(situation, "store", "charge_kw") == np.inf
    assert planned(situation).content_hash == planned(park_situation(battery_kwh=500.0)).content_hash
