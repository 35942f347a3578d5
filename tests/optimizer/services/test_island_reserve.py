"""Island reserve: worked by hand, soft, and what the verifier makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.devices import BackupGenerator
from optimizer.services import IslandReserve
from optimizer.time_grid import TimeGrid
from optimizer.verify import verify
from tests.optimizer.services.small_site import START, battery, devices, planned, situation

DEAR_LATER = np.array([0.3] * 4 + [2.0] * 4)


def reserve(**given: object) -> IslandReserve:
    return IslandReserve(id="island", **{"hours": 2.0, "critical_kw": 40.0, "devices": ("battery1",), **given})


def test_what_two_hours_of_forty_kilowatts_need_stays_in_the_battery() -> None:
    """40 kW x 2 h / 0.8 = 100 kWh above the minimum of 20 kWh: of 180 kWh only 60 may be sold at 2.00."""
    parts = devices(discharge_efficiency=0.8, min_soc=0.1)
    moment = situation(battery_kwh=180.0, price=DEAR_LATER)
    plan = planned(parts, [reserve()], moment)
    assert plan.states["battery1"]["energy_kwh"].min() == pytest.approx(120.0)
    assert plan.cost["island_reserve"] == pytest.approx(0.0, abs=1e-9)
    free = planned(parts, [], moment)
    assert free.states["battery1"]["energy_kwh"].min() == pytest.approx(55.0)  # 100 kW at 0.8


def test_power_limits_the_reserve_where_energy_would_do() -> None:
    """150 kW are critical, the battery gives 100 kW: 50 kW are missing at every step, whatever is stored."""
    plan = planned(devices(), [reserve(critical_kw=150.0, hours=0.5)], situation(battery_kwh=200.0))
    (given,) = plan.limits_given_way
    assert (given.device, given.limit, given.unit) == ("island", "island_reserve", "kW")
    assert given.amount == pytest.approx(50.0)
    assert plan.cost["island_reserve"] == pytest.approx(50.0 * 2.0 * 20.0)


def test_a_backup_generator_carries_its_part() -> None:
    generator = BackupGenerator(id="diesel", power_limit_kw=30.0, fuel_cost_per_kwh=3.0)
    parts = (*devices(), generator)
    plan = planned(parts, [reserve(devices=("battery1", "diesel"))], situation(battery_kwh=180.0, price=DEAR_LATER))
    assert plan.states["battery1"]["energy_kwh"].min() >= 80.0 - 1e-6  # 100 kW for the hour is all it can sell
    more = planned(
        parts,
        [reserve(devices=("battery1", "diesel"), critical_kw=80.0)],
        situation(battery_kwh=180.0, price=DEAR_LATER),
    )
    assert more.states["battery1"]["energy_kwh"][1:].min() == pytest.approx(100.0)  # (80 - 30) kW x 2 h


def test_two_batteries_are_counted_each_by_its_own_limits() -> None:
    """One has power and no energy, the other energy and 10 kW: together they do not carry 40 kW for two hours."""
    weak = battery(capacity_kwh=500.0, discharge_limit_kw=10.0, charge_limit_kw=10.0).model_copy(update={"id": "weak"})
    parts = (*devices(charge_limit_kw=0.001), weak)
    moment = replace(situation(), state={"battery1": {"energy_kwh": 20.0}, "weak": {"energy_kwh": 400.0}})
    plan = planned(parts, [reserve(devices=("battery1", "weak"))], moment)
    (given,) = plan.limits_given_way
    assert given.amount == pytest.approx(40.0 - 10.0 - 10.0, abs=0.01)


def test_a_share_of_a_load_is_taken_at_its_highest_ahead() -> None:
    """30 % of 400 kW in the second hour: 120 kW are to be carried for an hour already while 100 kW are used now."""
    load = np.array([100.0] * 4 + [400.0] * 4)
    parts = devices(discharge_limit_kw=150.0)
    one = reserve(hours=1.0, critical_kw=0.0, critical_shares={"load": 0.3})
    moment = situation(load_kw=load, battery_kwh=190.0, price=np.array([2.0] * 4 + [0.3] * 4))
    plan = planned(parts, [one], moment)
    assert plan.states["battery1"]["energy_kwh"][1:].min() == pytest.approx(120.0)


def test_the_reserve_holds_in_the_coarse_steps_as_well() -> None:
    """80 kWh stay for good: not sold at 3.00 after the near steps, but worth 0.30 at the end, and not worn at 0.10."""
    near = situation(battery_kwh=180.0, price=DEAR_LATER)
    grid = TimeGrid(START, 15, 8, (2.0, 2.0))
    moment = replace(
        near,
        grid=grid,
        series={"load.demand_kw": np.full(10, 300.0)},
        prices=replace(
            near.prices,
            import_per_kwh=np.append(DEAR_LATER, [3.0, 3.0]),
            export_per_kwh=np.zeros(10),
            band=("flat",) * 10,
            billing_period=(0,) * 10,
            carbon_kg_per_kwh=np.full(10, 0.5),
        ),
    )
    held, free = planned(devices(), [reserve()], moment), planned(devices(), [], moment)
    assert held.total_cost - free.total_cost == pytest.approx(80.0 * (3.0 - 0.1 - 0.3))


def test_a_start_below_the_reserve_is_reported_and_made_good() -> None:
    plan = planned(devices(), [reserve()], situation(battery_kwh=0.0))
    assert plan.states["battery1"]["energy_kwh"][4:].min() >= 80.0 - 1e-6
    (given,) = plan.limits_given_way
    assert given.amount == pytest.approx(40.0 - 25.0 / 2.0)  # a quarter hour at 100 kW is 25 kWh
    assert given.first == START


def test_the_verifier_finds_a_reserve_that_is_not_there() -> None:
    moment, out_of_reach = situation(battery_kwh=180.0, price=DEAR_LATER), reserve(critical_kw=150.0)
    short = planned(devices(), [out_of_reach], moment)
    assert verify(devices(), (), moment, replace(short, limits_given_way=()), [out_of_reach])
    selling = planned(devices(), [], moment)
    claimed = replace(selling, cost={**selling.cost, "island_reserve": 0.0})
    assert verify(devices(), (), moment, claimed, [reserve(critical_kw=60.0)])
