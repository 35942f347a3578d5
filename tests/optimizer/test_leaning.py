"""Decisions taken as the linear answer leans cost no more than the proven gap above the full search."""

from __future__ import annotations

import pytest

from optimizer.exact import solve_exactly
from optimizer.model import build
from optimizer.solver import MIP_GAP, Status, solve
from tests.optimizer.park import FEEDERS, park, park_situation


@pytest.mark.parametrize("price_of", [(0.28, 0.70, 1.295, 1.435), (-0.2, -0.1, 0.9, 1.1), (0.3, 0.3, 0.3, 0.3)])
@pytest.mark.parametrize("export_per_kwh", [0.4153, 1.5])
def test_the_answer_is_that_of_all_decisions_at_once(price_of: tuple[float, ...], export_per_kwh: float) -> None:
    situation = park_situation(near=16, tail_hours=(2.0,) * 3, price_of=price_of, export_per_kwh=export_per_kwh)
    model = build(park(), FEEDERS, situation.shape)
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in park()}
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    answer = solve_exactly(program, model.choices, 60.0)
    whole = solve(program, model.choices, time_limit_s=60.0, gap=0.0)
    assert answer.solution.status is whole.status is Status.OPTIMAL
    assert model.choices.broken(answer.solution.x) == ()
    extra = (answer.solution.objective - whole.objective) / max(1.0, abs(whole.objective))
    assert -1e-9 <= extra <= answer.solution.gap + MIP_GAP
