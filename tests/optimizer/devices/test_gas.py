"""Gas supply and gas boiler: heating value, money and carbon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.devices import AnyDevice, GasBoiler, GasSupply, Load
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, HEAT_LOAD, situation_of


def test_tv_30_carbon_and_heating_value() -> None:
    """RULES TV-30: 389.31 GJ/1e4 Nm3 x 15.3e-3 tC/GJ x 0.99 x 44/12 = 21.6219 t per 1e4 Nm3."""
    gas = GasSupply(id="gas", supply_limit_kw=100, price_per_nm3=3.77)
    per_10000_nm3 = 389.31 * 15.3e-3 * 0.99 * 44 / 12
    assert per_10000_nm3 == pytest.approx(21.6219, abs=5e-5)
    assert gas.carbon_kg_per_nm3 == pytest.approx(per_10000_nm3 / 10, abs=5e-5)
    assert gas.heating_value_kwh_per_nm3 == pytest.approx(38.931 / 3.6, abs=5e-4)
    assert gas.carbon_kg_per_kwh == pytest.approx(2.1622 / 10.814)
    assert gas.price_per_kwh == pytest.approx(0.34862, abs=5e-6)


def plan_of(*devices: AnyDevice, heat_kw: float = 46.0) -> Plan:
    situation = situation_of(EXAMPLES["gas_boiler"])
    steps = situation.grid.shape.steps
    situation = replace(situation, series={**situation.series, "heat_load.demand_kw": np.full(steps, heat_kw)})
    plan = Planner("tiny", devices).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(devices, (), situation, plan) == ()
    return plan


def test_a_day_of_heat_costs_its_gas_and_its_carbon() -> None:
    """46 kW of heat for 6 h from 50 kW of gas: 300 kWh are 27.742 Nm3 and 59.98 kg of CO2."""
    gas = GasSupply(id="gas", supply_limit_kw=100, price_per_nm3=3.77, carbon_price_per_kg=0.075)
    plan = plan_of(gas, GasBoiler(id="boiler1", heat_limit_kw=100), HEAT_LOAD)
    assert plan.flow("gas", "supply_kw") == pytest.approx(np.full(24, 50.0))
    assert plan.cost["gas"] == pytest.approx(300.0 / 10.814 * 3.77)
    assert plan.cost["carbon"] == pytest.approx(300.0 / 10.814 * 2.1622 * 0.075)
    assert plan.total_cost == pytest.approx(plan.cost["gas"] + plan.cost["carbon"])


def test_carbon_without_a_price_costs_nothing() -> None:
    gas = GasSupply(id="gas", supply_limit_kw=100, price_per_nm3=3.77)
    assert plan_of(gas, GasBoiler(id="boiler1", heat_limit_kw=100), HEAT_LOAD).cost["carbon"] == 0.0


def test_a_short_supply_leaves_heat_unserved_and_says_so() -> None:
    gas = GasSupply(id="gas", supply_limit_kw=25, price_per_nm3=3.77)
    plan = plan_of(gas, GasBoiler(id="boiler1", heat_limit_kw=100), Load(id="heat_load", carrier="heat"))
    assert plan.flow("heat_load", "served_kw") == pytest.approx(np.full(24, 23.0))
    (given,) = plan.limits_given_way
    assert (given.device, given.limit, given.amount) == ("heat_load", "demand", pytest.approx(23.0))


def test_a_boiler_keeps_its_least_part_load_where_another_can_help() -> None:
    """14 kW are below 20 % of 100 kW; the small boiler takes them though it needs more gas."""
    gas = GasSupply(id="gas", supply_limit_kw=200, price_per_nm3=3.77)
    small = GasBoiler(id="boiler2", heat_limit_kw=30, efficiency=0.80)
    plan = plan_of(gas, GasBoiler(id="boiler1", heat_limit_kw=100), small, HEAT_LOAD, heat_kw=14.0)
    assert plan.flow("boiler2", "heat_kw")[:8] == pytest.approx(np.full(8, 14.0))
    assert plan.flow("boiler1", "heat_kw")[:8] == pytest.approx(np.zeros(8))
