"""Carbon in the plan: a limit of the day that can give way, and a price that steers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.devices import GasBoiler, GasSupply, GridConnection, HeatPump, Load
from optimizer.plan import Plan
from optimizer.services import CarbonLimit
from optimizer.services.carbon_price import CarbonPrice
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.services.small_site import devices, planned, situation

FACTOR = np.array([0.3] * 4 + [0.7] * 4)
GAS = GasSupply(id="gas", supply_limit_kw=500.0, price_per_nm3=3.77)
HEAT = (
    GridConnection(id="grid", import_limit_kw=1000),
    Load(id="load"),
    Load(id="heat_load", carrier="heat"),
    GAS,
    GasBoiler(id="boiler", heat_limit_kw=300.0, min_part_load=0.0),
    HeatPump(id="pump", heat_limit_kw=300.0),
)


def moving_factor(**given: object) -> Situation:
    moment = situation(**given)
    return replace(moment, prices=replace(moment.prices, carbon_kg_per_kwh=FACTOR))


def kg_of(moment: Situation, import_kw: np.ndarray) -> float:
    return float(moment.prices.carbon_kg_per_kwh @ import_kw) * 0.25


def test_a_carbon_price_moves_import_to_cleaner_hours_and_is_a_named_term() -> None:
    """At a flat price nothing is stored; 1 yuan/kg makes the clean hour 0.40 a kWh cheaper than the dirty one."""
    moment = moving_factor(battery_kwh=0.0)
    plain = planned(devices(), [], moment)
    priced = planned(devices(), [CarbonPrice(id="carbon_price", price_per_kg=1.0)], moment)
    assert plain.flow("battery1", "charge_kw").max() == pytest.approx(0.0, abs=1e-6)
    assert priced.flow("battery1", "charge_kw")[:4] == pytest.approx(100.0)
    assert priced.cost["carbon"] == pytest.approx(kg_of(moment, priced.flow("grid", "import_kw")))
    assert "carbon" not in plain.cost


def test_a_carbon_price_of_nothing_changes_no_flow() -> None:
    moment = moving_factor(price=np.linspace(0.3, 0.9, 8))
    plain = planned(devices(), [], moment)
    priced = planned(devices(), [CarbonPrice(id="carbon_price", price_per_kg=0.0)], moment)
    assert priced.total_cost == pytest.approx(plain.total_cost)


def heat_situation() -> Situation:
    moment = situation(load_kw=100.0)
    series = {**moment.series, "heat_load.demand_kw": np.full(8, 200.0), "weather.temperature_c": np.full(8, 5.0)}
    return replace(moment, series=series)


def test_gas_is_priced_once_where_it_enters() -> None:
    moment = heat_situation()
    plan = planned(HEAT, [CarbonPrice(id="carbon_price", price_per_kg=0.5)], moment)
    gas_kg = plan.flow("gas", "supply_kw").sum() * 0.25 * 2.1622 / 10.814
    assert plan.cost["carbon"] == pytest.approx(0.5 * (kg_of(moment, plan.flow("grid", "import_kw")) + gas_kg))


def test_a_limit_within_reach_is_kept() -> None:
    """300 kW x 2 h at 0.3 and 0.7 are 300 kg; moving 50 kWh saves 20 kg."""
    moment = moving_factor(battery_kwh=0.0)
    plan = planned(devices(), [CarbonLimit(id="cap", kg_per_day=280.0)], moment)
    assert kg_of(moment, plan.flow("grid", "import_kw")) == pytest.approx(280.0)
    assert plan.cost["carbon_limit"] == pytest.approx(0.0, abs=1e-6)
    assert plan.limits_given_way == ()


def test_a_limit_out_of_reach_gives_way_by_what_is_reported_and_paid() -> None:
    """All 100 kWh that the battery can move in an hour save 40 kg; 12.5 kg were emitted before."""
    moment = moving_factor(battery_kwh=0.0)
    moment = replace(moment, state={**moment.state, "cap": {"today_kg": 12.5}})
    cap = CarbonLimit(id="cap", kg_per_day=250.0, price_per_kg=2.0)
    plan = planned(devices(), [cap], moment)
    (given,) = plan.limits_given_way
    assert (given.device, given.limit, given.unit) == ("cap", "kg_per_day 0", "kg")
    assert given.amount == pytest.approx(300.0 + 12.5 - 40.0 - 250.0)
    assert plan.cost["carbon_limit"] == pytest.approx(2.0 * given.amount)
    assert verify(devices(), (), moment, replace(plan, limits_given_way=()), [cap])


def test_each_local_day_has_a_limit_of_its_own() -> None:
    """90 kg before midnight and 210 kg after; moving 100 kWh makes it 120 and 140 kg, each over a limit of 100 kg."""
    moment = replace(moving_factor(battery_kwh=0.0), local_day=(0,) * 4 + (1,) * 4)
    plan = planned(devices(), [CarbonLimit(id="cap", kg_per_day=100.0)], moment)
    today, tomorrow = plan.limits_given_way
    assert (today.limit, tomorrow.limit) == ("kg_per_day 0", "kg_per_day 1")
    assert (today.amount, tomorrow.amount) == pytest.approx((20.0, 40.0))
    assert tomorrow.first == moment.grid.near_times[4]


def test_the_limit_counts_gas_as_well() -> None:
    moment = heat_situation()
    free = planned(HEAT, [], moment)
    cap = planned(HEAT, [CarbonLimit(id="cap", kg_per_day=0.0, price_per_kg=100.0)], moment)

    def kg(plan: Plan) -> float:
        gas = plan.flow("gas", "supply_kw").sum() * 0.25 * 2.1622 / 10.814
        return kg_of(moment, plan.flow("grid", "import_kw")) + gas

    assert kg(cap) <= kg(free) + 1e-6
    assert cap.cost["carbon_limit"] == pytest.approx(100.0 * kg(cap))
