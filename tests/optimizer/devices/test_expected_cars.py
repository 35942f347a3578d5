"""Cars expected: hand-calculated days, and what they do to the plan before they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.devices import AnyDevice, Battery, ExpectedCars, GridConnection, Load, V2gCharger
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan, shifted_plan
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, Example, car, situation_of, spread

CARS = ExpectedCars(id="ev", chargers=("ev01", "ev02"), charge_limit_kw=40, charge_efficiency=0.8)
GRID = GridConnection(id="grid", import_limit_kw=600.0)
EXAMPLE = Example(CARS, (GRID, Load(id="load")), {})
PLANNER = Planner("tiny", EXAMPLE.devices)


def day(
    arriving: tuple[float, ...], leaving: tuple[float, ...], occupied: tuple[float, ...], peak_kw: float = 400.0
) -> Situation:
    """Six hours with these hourly values."""
    situation = situation_of(EXAMPLE, peak_kw=peak_kw)
    hourly = {"ev.arriving_kw": arriving, "ev.leaving_kw": leaving, "ev.occupied_pct": occupied}
    return replace(situation, series={**situation.series, **{name: spread(v, 15) for name, v in hourly.items()}})


def planned(situation: Situation, *devices: AnyDevice) -> Plan:
    site = devices or EXAMPLE.devices
    plan = (Planner("tiny", site) if devices else PLANNER).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(site, (), situation, plan) == ()
    return plan


def hourly(plan: Plan) -> list[float]:
    means: list[float] = plan.flow("ev", "charge_kw").reshape(-1, 4).mean(axis=1).round(6).tolist()
    return means


def test_need_waits_for_the_cheapest_hour_of_the_stay() -> None:
    """8 kWh come in hour 1 (0.28) and leave in hour 4: 10 kWh from the grid in hour 1, not at 0.70, 1.435 or 0.70."""
    plan = planned(day((0, 8, 0, 0, 0, 0), (0, 0, 0, 0, 8, 0), (0, 100, 100, 100, 100, 0)))
    assert hourly(plan) == [0, 10, 0, 0, 0, 0]
    later = planned(day((0, 0, 8, 0, 0, 0), (0, 0, 0, 0, 0, 8), (0, 0, 100, 100, 100, 100)))
    assert hourly(later) == [0, 0, 0, 0, 0, 10]  # 0.28 again in the last hour


def test_power_is_that_of_the_chargers_taken() -> None:
    """A quarter of the chargers: 10 kW. 16 kWh need 20 kWh: two hours of it, the two cheaper of three."""
    plan = planned(day((0, 0, 16, 0, 0, 0), (0, 0, 0, 0, 16, 0), (0, 0, 25, 25, 25, 0)))
    assert hourly(plan) == pytest.approx([0, 0, 10, 0, 10, 0])


def test_need_beyond_full_power_is_not_asked_for_in_time() -> None:
    """16 kWh in one hour at 10 kW: 8 kWh of them stay open, no limit gives way and the rest of the plan stands."""
    plan = planned(day((0, 0, 16, 0, 0, 0), (0, 0, 16, 0, 0, 0), (0, 0, 25, 0, 0, 0)))
    assert hourly(plan) == pytest.approx([0, 0, 10, 0, 0, 0])
    assert plan.limits_given_way == ()
    assert plan.states["ev"]["backlog_kwh"][-1] == pytest.approx(8.0)


def test_a_limit_shared_with_others_sends_them_off_with_less_and_is_named() -> None:
    situation = day((0, 0, 0, 16, 0, 0), (0, 0, 0, 16, 0, 0), (0, 0, 0, 100, 100, 0))
    tight = GridConnection(id="grid", import_limit_kw=155.0)  # the load takes 150 in this hour
    plan = planned(situation, CARS, tight, Load(id="load"))
    assert hourly(plan) == pytest.approx([0, 0, 0, 5, 0, 0])
    assert plan.flow("load", "served_kw")[12] == pytest.approx(150.0)
    assert plan.cost["unserved"] == pytest.approx(12.0 * CARS.missed_price_per_kwh)
    assert [(w.device, w.limit) for w in plan.limits_given_way] == [("ev", "energy_at_departure")]


def test_cars_that_are_not_here_are_not_charged_now() -> None:
    plan = planned(day((8, 0, 0, 0, 0, 0), (0, 8, 0, 0, 0, 0), (100, 100, 0, 0, 0, 0)))
    assert plan.flow("ev", "charge_kw")[0] == 0.0
    assert hourly(plan)[0] + hourly(plan)[1] == pytest.approx(10.0)
    assert [setpoint.device for setpoint in plan.setpoints] == []


def test_without_the_series_nobody_is_expected() -> None:
    situation = day((0, 8, 0, 0, 0, 0), (0, 0, 0, 0, 8, 0), (0, 100, 100, 100, 100, 0))
    bare = replace(situation, series={"load.demand_kw": situation.series["load.demand_kw"]})
    assert not planned(bare).flow("ev", "charge_kw").any()


def test_expected_cars_raise_the_planned_peak_before_they_come() -> None:
    """At 40 kW from hour 3 to 4 beside 150 kW of load, the peak to plan for is 190 kW from the beginning on."""
    come = day((0, 0, 0, 32, 0, 0), (0, 0, 0, 32, 0, 0), (0, 0, 0, 100, 0, 0), peak_kw=0.0)
    none = day((0,) * 6, (0,) * 6, (0,) * 6, peak_kw=0.0)
    assert planned(come).grid_limit_kw == pytest.approx(190.0)
    assert planned(none).grid_limit_kw == pytest.approx(150.0)


def test_a_battery_is_kept_for_them() -> None:
    battery = Battery(id="battery1", capacity_kwh=40, charge_limit_kw=40, discharge_limit_kw=40, initial_soc=0.9)
    site = (CARS, GRID, Load(id="load"), battery)
    come = day((0, 0, 0, 0, 24, 0), (0, 0, 0, 0, 24, 0), (0, 0, 0, 0, 100, 0), peak_kw=150.0)
    none = day((0,) * 6, (0,) * 6, (0,) * 6, peak_kw=150.0)
    kept, spent = (planned(situation, *site).states["battery1"]["energy_kwh"][16] for situation in (come, none))
    assert kept > spent + 5.0


def test_a_car_that_stands_here_is_its_chargers_alone() -> None:
    charger = V2gCharger(id="ev01", charge_limit_kw=20, departure_margin_minutes=0)
    situation = replace(day((0,) * 6, (0,) * 6, (0,) * 6), sessions={"ev01": (car("ev01", -1, 3, 19, known=False),)})
    plan = planned(situation, CARS, GRID, Load(id="load"), charger)
    assert plan.flow("ev01", "charge_kw").sum() / 4 * 0.95 == pytest.approx(19.0)
    assert not plan.flow("ev", "charge_kw").any()


def test_a_tail_of_coarse_steps_goes_on_with_what_is_open() -> None:
    fine = day((0, 0, 8, 0, 0, 0), (0, 0, 0, 0, 8, 0), (0, 0, 50, 50, 50, 0))
    near, tail = 12, (1.0, 2.0, 0.0)
    grid = replace(fine.grid, near=near, tail_hours=tail)
    weights = np.repeat(np.arange(near + 2), [*(1,) * near, 4, 8])

    def coarse(values: np.ndarray) -> np.ndarray:
        return np.append(np.bincount(weights, values) / np.bincount(weights), 0.0)

    prices = replace(
        fine.prices,
        import_per_kwh=coarse(fine.prices.import_per_kwh),
        export_per_kwh=coarse(fine.prices.export_per_kwh),
        carbon_kg_per_kwh=coarse(fine.prices.carbon_kg_per_kwh),
        band=("flat",) * (near + 3),
        demand=(),
        billing_period=(0,) * (near + 3),
    )
    series = {name: coarse(values) for name, values in fine.series.items()}
    plan = planned(replace(fine, grid=grid, prices=prices, series=series))
    backlog = plan.states["ev"]["backlog_kwh"]
    assert backlog[-1] == pytest.approx(8.0)  # 0.49 on the mean of the last two hours is less than 0.70 now
    assert plan.cost["unserved"] == pytest.approx(0.0)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_energy_is_conserved_and_nothing_is_owed_to_the_plan(data: st.DataObject) -> None:
    rate = st.lists(st.floats(0, 30), min_size=6, max_size=6)
    arriving = np.asarray(data.draw(rate))
    leaving = np.minimum(np.cumsum(arriving), np.cumsum(np.roll(arriving, 1) * [0, 1, 1, 1, 1, 1]))
    occupied = tuple(data.draw(st.lists(st.floats(0, 100), min_size=6, max_size=6)))
    plan = planned(day(tuple(arriving), tuple(np.diff(leaving, prepend=0.0)), occupied))
    backlog, charge = plan.states["ev"]["backlog_kwh"], plan.flow("ev", "charge_kw")
    assert backlog.min() >= -1e-9
    assert backlog[-1] == pytest.approx(arriving.sum() - 0.8 * charge.sum() / 4, abs=1e-6)
    assert plan.limits_given_way == ()


def test_the_fallbacks_take_them_as_they_come() -> None:
    example = EXAMPLES["expected_cars"]
    situation = situation_of(example)
    rules = rule_plan(example.devices, situation)
    assert verify(example.devices, (), situation, rules) == ()
    assert rules.flow("ev", "charge_kw").sum() / 4 == pytest.approx(40.0 / 0.95)
    moved = shifted_plan(example.devices, situation, planned(situation, *example.devices))
    assert moved is not None
    assert verify(example.devices, (), situation, moved) == ()
