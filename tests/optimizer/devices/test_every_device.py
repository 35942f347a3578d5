"""One suite of promises for every device."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.devices import DEVICES
from optimizer.devices.base import Device, RuleView
from optimizer.model import build
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, Example, situation_of

EXPECTED = Path(__file__).parent / "expected"
KINDS = sorted(EXAMPLES)
SIGNED_STATES = ("shifted_kwh",)
"""Energy ahead of the demand, below 0 when it is owed."""


def _plan(example: Example, step_minutes: int = 15) -> Plan:
    plan = Planner("tiny", example.devices).plan(situation_of(example, step_minutes))
    assert isinstance(plan, Plan)
    return plan


def _conditions_at(device: Device, example: Example, step: int) -> dict[str, float]:
    return {name: float(v[step]) for name, v in device.conditions(situation_of(example)).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_two_steps_have_the_expected_rows(kind: str, tmp_path: Path) -> None:
    """The rows as an LP file: a changed coefficient is a changed line in review. To renew: QUARTET_RENEW_LP=1."""
    example = EXAMPLES[kind]
    situation = situation_of(example, step_minutes=60, hours=2)
    device = example.device
    model = pyo.ConcreteModel()
    model.device = pyo.Block([device.id])
    block = model.device[device.id]
    ports = device.add_to(block, situation.shape)
    for name, value in device.inputs(situation, device.conditions(situation)).items():
        parameter = block.component(name)
        for key, one in zip(parameter.keys(), np.broadcast_to(value, (len(parameter),)), strict=True):
            parameter[key] = float(one)
    flows = sum(ports.flows[q][t] * 0 for q in ports.flows for t in ports.flows[q])
    model.cost = pyo.Objective(expr=sum(cost.expression for cost in ports.costs) + flows)
    written = tmp_path / f"{kind}.lp"
    model.write(str(written), io_options={"symbolic_solver_labels": True})
    if os.environ.get("QUARTET_RENEW_LP"):
        (EXPECTED / f"{kind}.lp").write_text(written.read_text())
    assert written.read_text() == (EXPECTED / f"{kind}.lp").read_text()


def test_every_device_has_expected_rows() -> None:
    assert sorted(path.stem for path in EXPECTED.glob("*.lp")) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_for_it_is_optimal_and_passes_the_verifier(kind: str) -> None:
    example = EXAMPLES[kind]
    plan = _plan(example)
    assert plan.status == "optimal"
    assert verify(example.devices, (), situation_of(example), plan) == ()
    assert plan.limits_given_way == ()


@pytest.mark.parametrize("kind", KINDS)
def test_the_physical_step_follows_the_plan(kind: str) -> None:
    example = EXAMPLES[kind]
    plan, situation, device = _plan(example), situation_of(example), example.device
    conditions, state = device.conditions(situation), device.start(situation)
    for t in range(situation.grid.near):
        here = {name: float(values[t]) for name, values in conditions.items()}
        asked = plan.asked_at(device.id, t)
        response = device.step(asked, state, here, situation.grid.step_hours)
        assert response.flows == pytest.approx(asked, abs=1e-6)
        planned = {name: float(values[t + 1]) for name, values in plan.states.get(device.id, {}).items()}
        assert response.state == pytest.approx(planned, abs=1e-6)
        state = response.state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step_minutes", [5, 60])
def test_other_step_lengths_give_the_same_answer(kind: str, step_minutes: int) -> None:
    """Surroundings are constant over each hour, so 5, 15 and 60 minutes have the same least cost."""
    quarter, other = _plan(EXAMPLES[kind]), _plan(EXAMPLES[kind], step_minutes)
    assert other.total_cost == pytest.approx(quarter.total_cost, rel=EXAMPLES[kind].agrees_within)
    per_hour, per_other = 4, 60 // step_minutes
    for flow in quarter.flows:
        if flow.quantity == "served_kw":
            hourly = flow.kw.reshape(-1, per_hour).mean(axis=1)
            again = other.flow(flow.device, flow.quantity).reshape(-1, per_other).mean(axis=1)
            assert again == pytest.approx(hourly, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_fill_exactly_the_parameters(kind: str) -> None:
    example = EXAMPLES[kind]
    situation = situation_of(example)
    model = build(example.devices, (), situation.shape)
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in example.devices}
    vector = model.compiled.parameters.values(inputs)
    assert np.isfinite(vector).all()
    if inputs.pop(example.device.id):
        with pytest.raises(ValueError, match="missing"):
            model.compiled.parameters.values(inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_setpoints_and_flows_convert_both_ways(kind: str) -> None:
    device = EXAMPLES[kind].device
    low, high = device.bounds_kw()
    assert low <= high
    for target in (low, 0.0, high):
        flows = device.asked(target)
        if flows:
            assert device.target_kw(flows) == pytest.approx(target)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_wish_moves_a_device_beyond_its_limits(kind: str, data: st.DataObject) -> None:
    example = EXAMPLES[kind]
    device, situation = example.device, situation_of(example)
    wish = st.floats(-1e4, 1e4)
    state = device.start(situation)
    for t in range(situation.grid.near):
        asked = {quantity: data.draw(wish) for quantity in device.buses()}
        response = device.step(asked, state, _conditions_at(device, example, t), situation.grid.step_hours)
        assert set(response.flows) == set(device.buses())
        assert all(np.isfinite(kw) and kw >= 0 for kw in response.flows.values())
        target = device.target_kw(response.flows)
        low, high = device.bounds_kw()
        if target is not None:
            assert low - 1e-9 <= target <= high + 1e-9
        assert all(np.isfinite(value) for value in response.state.values())
        assert all(value >= 0 for name, value in response.state.items() if name not in SIGNED_STATES)
        state = response.state


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_asks_only_for_what_can_be_done(kind: str) -> None:
    example = EXAMPLES[kind]
    device, situation = example.device, situation_of(example)
    state, here = device.start(situation), _conditions_at(device, example, 0)
    for price in ("cheap", "normal", "dear"):
        deficit = dict.fromkeys(("power", "heat", "cold", "gas"), 40.0)
        view = RuleView(0.25, price, deficit, {"cold": 100.0, "heat": 100.0}, 200.0, True, True)
        asked = device.rule(view, state, here)
        delivered = device.step(asked, state, here, 0.25).flows
        assert delivered == pytest.approx({q: asked.get(q, 0.0) for q in delivered}, abs=1e-9)


@pytest.mark.parametrize("kind", DEVICES, ids=lambda kind: kind.__name__)
def test_every_field_says_what_it_is(kind: type[Device]) -> None:
    for name, info in kind.model_fields.items():
        if name != "kind":
            assert info.description, f"{kind.__name__}.{name} has no docstring"
    assert kind.__doc__
