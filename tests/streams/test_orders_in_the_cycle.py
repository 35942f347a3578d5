"""Orders in the control cycle: planned around, sent as ordered, named in the reason, and kept with the inputs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from optimizer.orders import steps_under
from optimizer.plan import Plan, Setpoint
from optimizer.planner import NoPlan, Planner
from optimizer.situation import FixedPower, ImportCap, Situation
from site_configs.site import Site
from streams.control_cycle import CycleResult, control_cycle, fallback_cycle, planner_for
from streams.frozen import freeze_situation, thaw_situation
from tests.optimizer.park import park, park_situation

FREE = park_situation()
WHY = "override by Li, until noon: test"


@pytest.fixture(scope="module")
def site() -> Site:
    return Site.model_validate(
        {
            "id": "park", "name_zh": "园区", "name_en": "park", "timezone": "Asia/Shanghai",
            "latitude": 30.8, "longitude": 120.9,
            "tariff": {"area": "zhejiang", "class": "two_part_1_10kv", "transformer_kva": 1000},
            "carbon": {"region": "zhejiang"},
            "devices": [device.model_dump() for device in park()],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def planner(site: Site) -> Planner:
    return planner_for(site)


def end(steps: int) -> datetime:
    return FREE.grid.start + timedelta(minutes=FREE.grid.step_minutes * steps)


def under(*orders: FixedPower | ImportCap) -> Situation:
    return replace(FREE, orders=orders)


def setpoint_of(result: CycleResult, device: str) -> Setpoint:
    return next(setpoint for setpoint in result.plan.setpoints if setpoint.device == device)


@pytest.fixture(scope="module")
def store(site: Site) -> str:
    return next(device.id for device in site.devices if device.kind == "battery")


def test_an_override_is_planned_around_and_sent(site: Site, planner: Planner, store: str) -> None:
    result = control_cycle(site, planner, under(FixedPower(store, -20.0, end(3), WHY)), None)
    assert result.plan.status == "optimal"
    assert result.attempts == ()
    assert result.plan.flow(store, "charge_kw")[:3] == pytest.approx([20.0] * 3)
    told = setpoint_of(result, store)
    assert told.target_kw == -20.0
    assert told.room_kw is None
    assert told.reason.en == f"ordered by the operator: {WHY}"
    assert "运行人员" in told.reason.zh
    others = [setpoint for setpoint in result.plan.setpoints if setpoint.device != store]
    assert not any("operator" in setpoint.reason.en for setpoint in others)


def test_a_disabled_device_stands_still_and_the_plan_does_without_it(site: Site, planner: Planner, store: str) -> None:
    near = FREE.grid.near
    result = control_cycle(site, planner, under(FixedPower(store, 0.0, end(near), WHY)), None)
    free = control_cycle(site, planner, FREE, None)
    assert result.plan.status == "optimal"
    for quantity in ("charge_kw", "discharge_kw"):
        assert np.abs(result.plan.flow(store, quantity)).max() == 0.0
    assert result.plan.total_cost >= free.plan.total_cost - 1e-6


def test_an_order_beyond_what_is_stored_is_planned_as_far_as_it_goes(site: Site, planner: Planner, store: str) -> None:
    device = next(device for device in site.devices if device.id == store)
    most = device.bounds_kw()[1]
    result = control_cycle(site, planner, under(FixedPower(store, 5 * most, end(FREE.grid.near), WHY)), None)
    assert result.plan.status == "optimal"
    low = device.band(device.start(FREE))["energy_kwh"][0]
    assert result.plan.states[store]["energy_kwh"].min() >= low - 1e-6
    assert result.plan.flow(store, "discharge_kw")[-1] == pytest.approx(0.0, abs=1e-3)
    assert setpoint_of(result, store).target_kw == most


def test_a_cap_holds_in_the_plan_and_in_the_grid_limit(site: Site, planner: Planner) -> None:
    free = control_cycle(site, planner, FREE, None).plan
    cap = 0.9 * float(free.flow("grid", "import_kw").max())
    result = control_cycle(site, planner, under(ImportCap(cap, end(FREE.grid.near), WHY)), None)
    assert result.plan.status == "optimal"
    assert result.plan.flow("grid", "import_kw").max() <= cap + 1e-6
    assert result.plan.grid_limit_kw is not None
    assert result.plan.grid_limit_kw <= cap


class OnlyFree(Planner):
    """Finds no plan around orders."""

    def plan(self, situation: Situation, deadline_s: float = 10.0, *, last_plan: Plan | None = None) -> Plan | NoPlan:
        if situation.orders:
            return NoPlan("infeasible")
        return super().plan(situation, deadline_s, last_plan=last_plan)


def test_what_cannot_be_planned_around_is_sent_all_the_same(site: Site, store: str) -> None:
    planner = OnlyFree(site.id, site.devices)
    result = control_cycle(site, planner, under(FixedPower(store, 15.0, end(2), WHY)), None)
    assert result.plan.status == "optimal"
    assert result.plan.note == "orders are sent without being planned around: infeasible"
    assert setpoint_of(result, store).target_kw == 15.0


def test_fallbacks_send_orders_too(site: Site, store: str) -> None:
    orders = FixedPower(store, 15.0, end(2), WHY), ImportCap(50.0, end(2), WHY)
    result = fallback_cycle(site, under(*orders), None, "worker killed")
    assert result.plan.status == "rules"
    assert setpoint_of(result, store).target_kw == 15.0
    assert result.plan.grid_limit_kw == 50.0


def test_orders_are_kept_with_the_inputs_of_the_plan() -> None:
    orders = FixedPower("battery", -20.0, end(3), WHY), ImportCap(50.0, end(1), WHY)
    assert thaw_situation(freeze_situation(under(*orders))).orders == orders
    assert "orders" not in freeze_situation(FREE)


def test_steps_in_which_an_order_holds() -> None:
    times = [end(0), end(1) - timedelta(minutes=1), end(1), end(1) + timedelta(seconds=1), end(10_000)]
    counts = [steps_under(ImportCap(1.0, until, WHY), FREE.grid) for until in times]
    assert counts == [0, 1, 1, 2, FREE.grid.near]
