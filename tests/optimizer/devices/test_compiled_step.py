"""Numba compiles every device's physical step as it stands, and the compiled step follows the plan."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from hil.compiling import callable_from_python
from optimizer.devices.base import Device
from optimizer.plan import Plan
from optimizer.planner import Planner
from tests.optimizer.devices.examples import EXAMPLES, situation_of


@cache
def compiled(module: ModuleType) -> Any:
    return callable_from_python(module.step)


def module_of(device: Device) -> ModuleType:
    return import_module(type(device).__module__)


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
@pytest.mark.parametrize("step_minutes", [5, 15, 60])
def test_the_compiled_step_fed_with_the_plan_follows_it(
    kind: str, step_minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flows and states to 1e-6, from the start on by the step's own states: nothing is set right on the way."""
    example = EXAMPLES[kind]
    situation, device = situation_of(example, step_minutes), example.device
    plan = Planner("tiny", example.devices).plan(situation)
    assert isinstance(plan, Plan)
    step = compiled(module_of(device))
    monkeypatch.setattr(module_of(device), "step", step)
    conditions, state = device.conditions(situation), device.start(situation)
    for t in range(situation.grid.near):
        here = {name: float(values[t]) for name, values in conditions.items()}
        response = device.step(plan.asked_at(device.id, t), state, here, situation.grid.step_hours)
        assert response.flows == pytest.approx(plan.asked_at(device.id, t), abs=1e-6)
        planned = {name: float(values[t + 1]) for name, values in plan.states.get(device.id, {}).items()}
        assert response.state == pytest.approx(planned, abs=1e-6)
        state = response.state
    assert len(step.signatures) == 1, "one type for each argument: a plant compiles it once"
