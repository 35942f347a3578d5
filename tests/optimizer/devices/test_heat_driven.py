"""Cold from heat, and heat that is there anyway: hand-calculated hours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.devices import AbsorptionChiller, AnyDevice, Chiller, GridConnection, HeatPump, Load, WasteHeat
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, situation_of, spread

GRID = GridConnection(id="grid", import_limit_kw=600.0)
COLD_LOAD = Load(id="cold_load", carrier="cold")
HEAT_LOAD = Load(id="heat_load", carrier="heat")
FURNACE = WasteHeat(id="furnace", heat_limit_kw=140)
SINGLE = AbsorptionChiller(id="absorber", cooling_limit_kw=60, cop=0.7, auxiliary_kw_per_kw=0.05)
DOUBLE = AbsorptionChiller(id="absorber", cooling_limit_kw=60, cop=1.3)


def surroundings(**hourly: tuple[float, ...]) -> Situation:
    situation = situation_of(EXAMPLES["load"])
    given = {name.replace("__", "."): spread(values, 15) for name, values in hourly.items()}
    return replace(situation, series={**situation.series, **given})


def planned(situation: Situation, *devices: AnyDevice) -> Plan:
    plan = Planner("tiny", devices).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(devices, (), situation, plan) == ()
    return plan


def hourly(plan: Plan, device: str, quantity: str) -> np.ndarray:
    return plan.flow(device, quantity).reshape(-1, 4).mean(axis=1)


@pytest.mark.parametrize(("machine", "heat_kw"), [(SINGLE, 50 / 0.7), (DOUBLE, 50 / 1.3)])
def test_cold_takes_heat_by_the_cop_and_power_for_pumps(machine: AbsorptionChiller, heat_kw: float) -> None:
    situation = surroundings(cold_load__demand_kw=(50.0,) * 6, furnace__available_kw=(140.0,) * 6)
    plan = planned(situation, machine, GRID, COLD_LOAD, FURNACE)
    assert hourly(plan, "absorber", "heat_kw") == pytest.approx(np.full(6, heat_kw))
    assert hourly(plan, "furnace", "heat_kw") == pytest.approx(np.full(6, heat_kw))
    assert hourly(plan, "grid", "import_kw") == pytest.approx(np.full(6, 2.5))


def test_heat_that_is_free_comes_before_power_and_no_more_than_there_is() -> None:
    """35 kW of heat give 24.5 kW of cold; the compression chiller makes the rest."""
    situation = surroundings(
        cold_load__demand_kw=(50.0,) * 6, furnace__available_kw=(35.0, 0.0, 140.0, 35.0, 35.0, 35.0)
    )
    chiller = Chiller(id="chiller1", cooling_limit_kw=160, min_part_load=0)
    plan = planned(situation, SINGLE, GRID, COLD_LOAD, FURNACE, chiller)
    assert hourly(plan, "absorber", "cold_kw") == pytest.approx([24.5, 0.0, 50.0, 24.5, 24.5, 24.5])
    assert hourly(plan, "chiller1", "cold_kw") == pytest.approx([25.5, 50.0, 0.0, 25.5, 25.5, 25.5])


def test_it_stands_still_below_its_least_load() -> None:
    """10 kW of cold are less than a quarter of 60 kW: the chiller that may run so low does it."""
    situation = surroundings(cold_load__demand_kw=(10.0,) * 6, furnace__available_kw=(140.0,) * 6)
    chiller = Chiller(id="chiller1", cooling_limit_kw=160, min_part_load=0)
    plan = planned(situation, SINGLE, GRID, COLD_LOAD, FURNACE, chiller)
    assert plan.flow("absorber", "cold_kw")[:8] == pytest.approx(np.zeros(8))


def test_waste_heat_is_taken_first_and_left_when_nobody_wants_it() -> None:
    situation = surroundings(
        heat_load__demand_kw=(50.0, 60.0, 70.0, 160.0, 50.0, 0.0),
        furnace__available_kw=(20.0, 90.0, 70.0, 500.0, 0.0, 80.0),
    )
    pump = HeatPump(id="heat_pump1", heat_limit_kw=100, min_part_load=0)
    plan = planned(situation, FURNACE, GRID, HEAT_LOAD, pump)
    assert hourly(plan, "furnace", "heat_kw") == pytest.approx([20, 60, 70, 140, 0, 0])  # 140 kW: the exchanger
    assert hourly(plan, "heat_pump1", "heat_kw") == pytest.approx([30, 0, 0, 20, 50, 0])


def test_the_valve_is_open_unless_heat_is_left_over() -> None:
    here = {"heat_available_kw": 60.0}
    assert FURNACE.setpoint_kw({"heat_kw": 60.0}, here) == 140.0
    assert FURNACE.setpoint_kw({"heat_kw": 25.0}, here) == 25.0
    assert FURNACE.why_idle({"heat_available_kw": 0.0}) == ("无余热", "no waste heat")


def test_rules_drive_the_absorption_chiller_with_spare_heat() -> None:
    situation = surroundings(
        cold_load__demand_kw=(50.0,) * 6, heat_load__demand_kw=(105.0,) * 6, furnace__available_kw=(140.0,) * 6
    )
    chiller = Chiller(id="chiller1", cooling_limit_kw=160)
    devices = (SINGLE, GRID, COLD_LOAD, HEAT_LOAD, FURNACE, chiller)
    plan = rule_plan(devices, situation)
    assert verify(devices, (), situation, plan) == ()
    assert plan.flow("absorber", "cold_kw") == pytest.approx(np.full(24, 24.5))
