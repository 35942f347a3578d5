"""The compiled arrays say the same as the Pyomo model they came from."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyomo.environ as pyo
import pytest

from optimizer.compiled import CompiledModel, ParameterVector
from optimizer.devices.base import Cost
from optimizer.model import Model, build
from optimizer.planner import Planner
from optimizer.situation import Situation
from optimizer.solver import solve
from tests.optimizer.park import park, park_situation


def _into_pyomo(model: Model, situation: Situation) -> None:
    for device in park():
        values = device.inputs(situation, device.conditions(situation))
        for name, value in values.items():
            parameter = model.pyomo.device[device.id].component(name)
            for key, one in zip(parameter.keys(), np.broadcast_to(value, (len(parameter),)), strict=True):
                parameter[key] = float(one)


def test_the_arrays_give_the_optimum_that_pyomo_finds() -> None:
    """Pyomo's own HiGHS interface on the same model, with every either-or condition left out on both sides."""
    situation = park_situation()
    model = build(park(), (), situation.shape)
    _into_pyomo(model, situation)
    model.pyomo.total = pyo.Objective(expr=sum(cost.expression for cost in model.costs))
    solved = pyo.SolverFactory("appsi_highs").solve(model.pyomo)
    assert str(solved.solver.termination_condition) == "optimal"
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in park()}
    ours = solve(model.compiled.program(model.compiled.parameters.values(inputs)))
    assert ours.objective == pytest.approx(pyo.value(model.pyomo.total), rel=1e-8)


def test_an_updated_model_answers_as_a_fresh_one() -> None:
    planner = Planner("park", park())
    for hours in (0, 5, 30):
        situation = park_situation(shift=timedelta(hours=hours))
        again, fresh = planner.plan(situation), Planner("park", park()).plan(situation)
        assert again.content_hash == fresh.content_hash  # type: ignore[union-attr]
    assert planner.rebuilds == ["first plan"]


def test_products_of_parameters_are_refused() -> None:
    model = pyo.ConcreteModel()
    model.a = pyo.Param(mutable=True, initialize=1.0)
    model.b = pyo.Param(mutable=True, initialize=1.0)
    model.x = pyo.Var(bounds=(0, None))
    model.row = pyo.Constraint(expr=model.a * model.b * model.x <= 1)
    with pytest.raises(ValueError, match="not affine"):
        CompiledModel(ParameterVector({"m": model}), model, ())


def test_products_of_variables_are_refused() -> None:
    model = pyo.ConcreteModel()
    model.x = pyo.Var()
    with pytest.raises(ValueError, match="cost energy is not linear"):
        CompiledModel(ParameterVector({"m": model}), model, (Cost("energy", model.x * model.x),))


def test_affine_entries_follow_their_parameters() -> None:
    model = pyo.ConcreteModel()
    model.a = pyo.Param(mutable=True, initialize=3.0)
    model.b = pyo.Param(range(2), mutable=True, initialize=1.0)
    model.x = pyo.Var(bounds=(0, 2 * model.a))
    model.row = pyo.Constraint(expr=(1 - model.a) * model.x + 5 * model.b[1] <= model.b[0])
    compiled = CompiledModel(ParameterVector({"m": model}), model, (Cost("c", model.b[0] * model.x + model.a),))
    program = compiled.program(compiled.parameters.values({"m": {"a": 4.0, "b": np.array([7.0, 2.0])}}))
    assert program.upper[0] == 8.0
    assert program.value[0] == -3.0
    assert program.row_upper[0] == 7.0 - 10.0
    assert program.row_lower[0] == -np.inf
    assert program.cost[0] == 7.0
    assert program.offset == 4.0
    assert model.a.value == 3.0, "compiling must leave the model as it was"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": 1.0}, "missing"),
        ({"a": 1.0, "b": np.ones(3)}, "shape"),
        ({"a": np.nan, "b": np.ones(2)}, "not finite"),
        ({"a": 1.0, "b": np.ones(2), "c": 1.0}, "unknown"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(inputs: dict[str, object], message: str) -> None:
    model = pyo.ConcreteModel()
    model.a = pyo.Param(mutable=True, initialize=3.0)
    model.b = pyo.Param(range(2), mutable=True, initialize=1.0)
    with pytest.raises(ValueError, match=message):
        ParameterVector({"m": model}).values({"m": inputs})
