"""The verifier passes every valid plan and refuses every plan that was tampered with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.devices import FlexibleLoad
from optimizer.plan import FlowSeries, Plan
from optimizer.planner import Planner
from optimizer.situation import Situation
from optimizer.verify import Violation, verify
from tests.optimizer.park import FEEDERS, park, park_situation


@cache
def _valid() -> tuple[Situation, Plan]:
    situation = park_situation()
    plan = Planner("park", park(), FEEDERS).plan(situation)
    assert isinstance(plan, Plan)
    return situation, plan


def _verify(plan: Plan) -> tuple[Violation, ...]:
    return verify(park(), FEEDERS, _valid()[0], plan)


def _with_flow(plan: Plan, number: int, kw: np.ndarray) -> Plan:
    flows = list(plan.flows)
    flows[number] = replace(flows[number], kw=kw)
    return replace(plan, flows=tuple(flows))


def test_a_valid_plan_passes() -> None:
    assert _verify(_valid()[1]) == ()


@settings(max_examples=300, deadline=None)
@given(
    number=st.integers(0, len(_valid()[1].flows) - 1),
    step=st.integers(0, 95),
    change=st.floats(0.01, 500.0) | st.sampled_from([np.nan, np.inf, -1.0]),
    down=st.booleans(),
)
def test_any_flow_changed_in_any_step_is_caught(number: int, step: int, change: float, down: bool) -> None:
    plan = _valid()[1]
    kw = plan.flows[number].kw.copy()
    kw[step] += -change if down else change
    assert _verify(_with_flow(plan, number, kw))


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(0, 96), st.floats(0.01, 300.0) | st.just(float("nan")))
def test_any_state_changed_in_any_step_is_caught(data: st.DataObject, step: int, change: float) -> None:
    plan = _valid()[1]
    device = data.draw(st.sampled_from(sorted(plan.states)))
    values = plan.states[device]["energy_kwh"].copy()
    values[step] += change
    assert _verify(replace(plan, states={**plan.states, device: {"energy_kwh": values}}))


@settings(max_examples=60, deadline=None)
@given(step=st.integers(0, 95), extra=st.floats(0.1, 50.0))
def test_balanced_pairs_that_physics_cannot_do_are_caught(step: int, extra: float) -> None:
    """More import and more battery charging together still balance; the stored energy gives it away."""
    plan = _valid()[1]
    by_name = {(f.device, f.quantity): n for n, f in enumerate(plan.flows)}
    for device, quantity in (("grid", "import_kw"), ("battery1", "charge_kw")):
        number = by_name[device, quantity]
        kw = plan.flows[number].kw.copy()
        kw[step] += extra
        plan = _with_flow(plan, number, kw)
    assert _verify(plan)


def test_both_directions_at_once_are_caught_though_they_balance() -> None:
    plan = _valid()[1]
    for number, flow in enumerate(plan.flows):
        if flow.device == "grid":
            plan = _with_flow(plan, number, flow.kw + 5.0)
    assert any("cannot do" in str(violation) for violation in _verify(plan))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda p: replace(p, flows=p.flows[1:]),
        lambda p: replace(p, flows=(*p.flows, p.flows[0])),
        lambda p: replace(p, flows=(*p.flows, FlowSeries("ghost", "power", "in", "gift_kw", np.zeros(96)))),
        lambda p: replace(p, flows=tuple(replace(f, kw=f.kw[:-1]) for f in p.flows)),
        lambda p: replace(p, flows=(replace(p.flows[0], direction="out"), *p.flows[1:])),
        lambda p: replace(p, flows=(replace(p.flows[0], carrier="cold"), *p.flows[1:])),
        lambda p: replace(p, states={d: s for d, s in p.states.items() if d != "battery1"}),
        lambda p: replace(p, states={**p.states, "battery1": {"energy_kwh": np.zeros(4)}}),
        lambda p: replace(p, grid=replace(p.grid, start=p.grid.start + timedelta(minutes=15))),
    ],
)
def test_a_plan_of_the_wrong_shape_is_caught(tamper) -> None:  # type: ignore[no-untyped-def]
    assert _verify(tamper(_valid()[1]))


def test_limits_tightened_after_planning_are_caught() -> None:
    situation, plan = _valid()
    assert plan.flow("grid", "import_kw").max() > 300
    assert verify(park(import_limit_kw=300.0), FEEDERS, situation, plan)
    tighter = tuple(replace(feeder, limit_kw=1.0) for feeder in FEEDERS)
    assert verify(park(), tighter, situation, plan)
    smaller = tuple(d.model_copy(update={"capacity_kwh": 200.0}) if d.id == "battery1" else d for d in park())
    assert verify(smaller, FEEDERS, situation, plan)


def _setpoint(plan: Plan, **changes: object) -> Plan:
    """The plan with another first setpoint."""
    return replace(plan, setpoints=(replace(plan.setpoints[0], **changes), *plan.setpoints[1:]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        (lambda p: _setpoint(p, target_kw=p.setpoints[0].target_kw + 0.01), "not the planned"),
        (lambda p: _setpoint(p, target_kw=float("nan")), "not the planned"),
        (lambda p: _setpoint(p, safe_value_kw=-3.0), "safe value"),
        (lambda p: _setpoint(p, valid_until=p.setpoints[0].valid_from), "not valid for"),
        (lambda p: _setpoint(p, valid_from=p.setpoints[0].valid_from + timedelta(minutes=15)), "not valid for"),
        (lambda p: _setpoint(p, device="load"), "unknown or repeated"),
        (lambda p: replace(p, setpoints=(*p.setpoints, p.setpoints[0])), "unknown or repeated"),
        (lambda p: replace(p, setpoints=p.setpoints[1:]), "has no setpoint"),
        (lambda p: replace(p, grid_limit_kw=float("nan")), "grid limit"),
        (lambda p: replace(p, grid_limit_kw=p.flow("grid", "import_kw")[0] - 1.0), "grid limit"),
        (lambda p: replace(p, grid_limit_kw=901.0), "grid limit"),
        (lambda p: replace(p, cost={**p.cost, "wear": float("nan")}), "cost"),
        (lambda p: replace(p, cost={**p.cost, "energy": p.cost["energy"] - 0.02}), "energy in the cost table"),
        (lambda p: replace(p, import_per_kwh=p.import_per_kwh + 0.1), "import prices"),
        (lambda p: replace(p, shadow_prices={"power": np.full(96, np.inf)}), "shadow price"),
        (lambda p: replace(p, site="elsewhere"), "another site"),
        (lambda p: replace(p, issued_at=p.issued_at - timedelta(minutes=15)), "another site or moment"),
        (lambda p: replace(p, grid=replace(p.grid, step_minutes=5)), "other steps"),
        (lambda p: replace(p, states={**p.states, "ghost": {"energy_kwh": np.zeros(97)}}), "not there"),
    ],
)
def test_what_leaves_with_a_plan_is_looked_at(tamper, what: str) -> None:  # type: ignore[no-untyped-def]
    assert any(what in str(violation) for violation in _verify(tamper(_valid()[1])))


def test_energy_owed_beyond_its_window_is_caught() -> None:
    """0.2 of 50 kW may wait for half an hour: at most 5 kWh are owed at a time, whatever the steps deliver."""
    load = FlexibleLoad(id="flexible", power_limit_kw=80, shift_hours=0.5, shiftable_share=0.2)
    situation = park_situation()
    series = {**situation.series, "flexible.demand_kw": np.full(situation.shape.steps, 50.0)}
    situation = replace(situation, series=series)
    devices = (*park(), load)
    plan = Planner("park", devices, FEEDERS).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(devices, FEEDERS, situation, plan) == ()
    for owed_kwh, outside in ((4.9, False), (5.1, True)):
        owed = np.zeros(97)
        owed[40:45] = -owed_kwh
        late = replace(plan, states={**plan.states, "flexible": {"shifted_kwh": owed}})
        found = [v for v in verify(devices, FEEDERS, situation, late) if v.device == "flexible"]
        assert any("leaves its window" in v.what for v in found) == outside
