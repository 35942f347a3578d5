"""Backup generator: only when allowed, at least load or not at all, with its fuel and carbon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.devices import BackupGenerator, GridConnection, Load
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, situation_of

GENERATOR = BackupGenerator(id="generator1", power_limit_kw=100, fuel_cost_per_kwh=2.4, carbon_price_per_kg=0.075)


def with_load(kw: float, allowed: list[float] | None) -> Situation:
    situation = situation_of(EXAMPLES["load"])
    series = {"load.demand_kw": np.full(24, kw)}
    if allowed is not None:
        series["generator1.allowed"] = np.repeat(allowed, 4)
    return replace(situation, series=series)


def plan_of(situation: Situation, import_limit_kw: float = 50.0) -> Plan:
    devices = (GENERATOR, GridConnection(id="grid", import_limit_kw=import_limit_kw), Load(id="load"))
    plan = Planner("tiny", devices).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(devices, (), situation, plan) == ()
    return plan


def test_without_permission_it_stands_though_load_is_shed() -> None:
    plan = plan_of(with_load(90.0, None))
    assert not plan.flow("generator1", "power_kw").any()
    assert plan.limits_given_way[0].amount == pytest.approx(40.0)
    (setpoint,) = (s for s in plan.setpoints if s.device == "generator1")
    assert setpoint.target_kw == 0.0
    assert setpoint.reason.en == "not allowed to run"


def test_where_allowed_it_serves_what_the_grid_cannot_and_is_paid_for() -> None:
    plan = plan_of(with_load(90.0, [0, 1, 1, 1, 0, 0]))
    assert plan.flow("generator1", "power_kw") == pytest.approx(np.repeat([0, 40, 40, 40, 0, 0], 4), abs=1e-6)
    assert plan.cost["fuel"] == pytest.approx(120.0 * 2.4)
    assert plan.cost["carbon"] == pytest.approx(120.0 * 0.762 * 0.075)


def test_it_runs_at_least_load_or_not_at_all() -> None:
    """10 kW are missing: 30 kW is the least it can give, so the grid gives 20 kW less."""
    plan = plan_of(with_load(60.0, [1] * 6))
    assert plan.flow("generator1", "power_kw") == pytest.approx(np.full(24, 30.0))
    assert plan.flow("grid", "import_kw") == pytest.approx(np.full(24, 30.0))


def test_the_step_and_the_rule_obey_the_permission() -> None:
    here = {"allowed": 0.0, "whole": 1.0}
    assert GENERATOR.step({"power_kw": 80.0}, {}, here, 0.25).flows["power_kw"] == 0.0
    allowed = {**here, "allowed": 1.0}
    assert GENERATOR.step({"power_kw": 80.0}, {}, allowed, 0.25).flows["power_kw"] == 80.0
    assert GENERATOR.step({"power_kw": 20.0}, {}, allowed, 0.25).flows["power_kw"] == 30.0
    assert GENERATOR.step({"power_kw": 10.0}, {}, allowed, 0.25).flows["power_kw"] == 0.0
    devices = (GENERATOR, GridConnection(id="grid", import_limit_kw=50.0), Load(id="load"))
    plan = rule_plan(devices, with_load(90.0, [0, 1, 0, 0, 0, 0]))
    assert plan.flow("generator1", "power_kw") == pytest.approx(np.repeat([0, 90, 0, 0, 0, 0], 4))
