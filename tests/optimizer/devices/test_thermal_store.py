"""Hot water, chilled water and ice: RULES 4 (TV-16), tanks by volume and temperature, what ice costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from optimizer.devices import ThermalStore
from optimizer.devices.thermal_store import WaterTank
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, Example, situation_of

HOT = {"volume_m3": 50, "upper_temperature_c": 65, "lower_temperature_c": 40}


def store(carrier: str = "heat", **more: Any) -> ThermalStore:
    return ThermalStore.model_validate(
        {"id": "store", "carrier": carrier, "charge_limit_kw": 60, "discharge_limit_kw": 60, **more}
    )


def reported(situation: Situation, **state: float) -> Situation:
    return replace(situation, state={**situation.state, "store": state})


def planned(example: Example, situation: Situation) -> Plan:
    plan = Planner("tiny", example.devices).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(example.devices, (), situation, plan) == ()
    return plan


@pytest.mark.parametrize(("loss", "quarter", "day"), [(0.01, 0.9974906, 0.2143), (0.003, None, 0.0696)])
def test_standing_loss_compounds(loss: float, quarter: float | None, day: float) -> None:
    """TV-16, in steps of a quarter hour and in one of a day."""
    device = store(capacity_kwh=1000.0, loss_per_hour=loss)
    state = {"energy_kwh": 1000.0}
    for _ in range(96):
        state = device.step({}, state, {}, 0.25).state
    assert 1 - state["energy_kwh"] / 1000 == pytest.approx(day, abs=5e-5)
    assert device.step({}, {"energy_kwh": 1000.0}, {}, 24.0).state == pytest.approx(state)
    if quarter is not None:
        assert float(device.numbers().keep(np.array(0.25))) == pytest.approx(quarter, abs=5e-8)


def test_chilled_water_holds_what_the_rules_say_per_cubic_metre() -> None:
    """RULES 4: 8 to 11 K are 9.3 to 12.8 kWh/m³."""
    for kelvin, kwh in ((8, 9.3), (11, 12.8)):
        tank = WaterTank(volume_m3=1, upper_temperature_c=5 + kelvin, lower_temperature_c=5)
        assert tank.capacity_kwh == pytest.approx(kwh, abs=0.05)


def test_a_tank_is_the_same_store_by_energy() -> None:
    device = store(tank=HOT)
    assert device.capacity_kwh == pytest.approx(50 * 25 * 4.186 / 3.6)
    assert ThermalStore.model_validate(device.model_dump()) == device
    situation = situation_of(EXAMPLES["thermal_store_hot_tank"])
    example = EXAMPLES["thermal_store_hot_tank"]
    by_energy = store(capacity_kwh=example.device.capacity_kwh)  # type: ignore[union-attr]
    same = replace(example, device=by_energy)
    assert planned(same, situation).total_cost == pytest.approx(planned(example, situation).total_cost)


@pytest.mark.parametrize(
    ("carrier", "temperature", "fill"),
    [("heat", 52.5, 0.5), ("heat", 65, 1), ("heat", 70, 1), ("heat", 30, 0), ("cold", 40, 1), ("cold", 60, 0.2)],
)
def test_a_reported_temperature_becomes_energy(carrier: str, temperature: float, fill: float) -> None:
    device, situation = store(carrier, tank=HOT), situation_of(EXAMPLES["thermal_store"])
    energy = device.start(reported(situation, temperature_c=temperature))["energy_kwh"]
    assert energy == pytest.approx(fill * device.capacity_kwh)


def test_a_reported_energy_comes_before_a_temperature_and_an_assumption_last() -> None:
    device, situation = store(tank=HOT, initial_fill=0.25), situation_of(EXAMPLES["thermal_store"])
    assert device.start(reported(situation, energy_kwh=7.0, temperature_c=60.0)) == {"energy_kwh": 7.0}
    assert device.start(situation)["energy_kwh"] == pytest.approx(0.25 * device.capacity_kwh)
    plain = store(capacity_kwh=100.0)
    assert plain.start(reported(situation, temperature_c=60.0)) == {"energy_kwh": 50.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give capacity_kwh, or a tank"),
        ({"capacity_kwh": 500, "tank": HOT}, "temperatures give 1453.47 kWh: remove one"),
        ({"tank": {**HOT, "lower_temperature_c": 65}}, "upper_temperature_c must be above"),
        ({"capacity_kwh": -1}, "greater than 0"),
        ({"capacity_kwh": 100, "charge_limit_by_fill": [[0, 0.2], [0.5, 0.3], [1, 1]]}, "must be concave"),
    ],
)
def test_a_store_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        store(**given)
    assert refused.value.error_count() == 1


def test_ice_costs_power_beside_the_cold_and_is_made_only_where_that_pays() -> None:
    """COP 3.5 instead of 5.2 is 0.14 kW more per kW; at 0.1 kWh saved per kWh it no longer pays to make any."""
    example = EXAMPLES["thermal_store_ice"]
    situation = situation_of(example)
    plan = planned(example, situation)
    charge = plan.flow("store", "charge_kw")
    assert charge.sum() > 0
    assert plan.flow("store", "power_kw") == pytest.approx(0.09 * charge, abs=1e-9)
    taken = plan.flow("load", "served_kw") + plan.flow("chiller1", "power_kw") + plan.flow("store", "power_kw")
    assert plan.flow("grid", "import_kw") == pytest.approx(taken, abs=1e-6)
    dear = replace(example, device=example.device.model_copy(update={"charging_power_per_kw": 2.0}))
    assert planned(dear, situation).flow("store", "charge_kw").max() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("fill", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("name", ["thermal_store_ice", "thermal_store_hot_tank"])
def test_any_start_has_a_plan_and_rules_that_can_be_executed(name: str, fill: float) -> None:
    example = EXAMPLES[name]
    full = example.device.capacity_kwh  # type: ignore[union-attr]
    situation = reported(situation_of(example), energy_kwh=fill * full)
    planned(example, situation)
    assert verify(example.devices, (), situation, rule_plan(example.devices, situation)) == ()


def test_ice_melts_slower_the_less_is_left() -> None:
    """By rules in the dear hour 90 kW are wanted: 60 kW from a good fill, less once a quarter is left."""
    example = EXAMPLES["thermal_store_ice"]
    situation = reported(situation_of(example), energy_kwh=120.0)
    given = rule_plan(example.devices, situation).flow("store", "discharge_kw")
    states = rule_plan(example.devices, situation).states["store"]["energy_kwh"] / 300
    for t in np.flatnonzero(given > 1e-6):
        limit = 60 * np.interp(min(states[t], states[t + 1]), [0, 0.25], [0.2, 1.0])
        assert given[t] <= limit + 1e-6
    assert given.max() > 0
