"""Feeders as a tree: the limit of every level holds, in the plan, in the rules and in the verifier's eyes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.balance import FeederLimit, devices_behind
from optimizer.devices import AnyDevice, Battery, ExpectedCars, GridConnection, Load, Pv, V2gCharger
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan, shifted_plan
from optimizer.situation import Session, Situation
from optimizer.time_grid import Array
from optimizer.verify import verify
from tests.optimizer.devices.examples import HOURLY, spread
from tests.optimizer.park import START, park_situation

NEAR = 24
CARS = ("ev01", "ev02", "ev03")
LEVELS = {"row": ("ev01", "ev02"), "car_park": ("ev01", "ev02", "ev03", "ev"), "main": (*CARS, "ev", "pv1", "battery1")}
"""What is behind each feeder in the end."""


def tree(row_kw: float = 18.0, car_park_kw: float = 30.0, main_kw: float = 110.0) -> tuple[FeederLimit, ...]:
    """Chargers in a row, rows in a car park, and the car park with PV and a battery behind one transformer."""
    return (
        FeederLimit("main", main_kw, ("car_park", "pv1", "battery1")),
        FeederLimit("row", row_kw, ("ev01", "ev02")),
        FeederLimit("car_park", car_park_kw, ("row", "ev03", "ev")),
    )


def site() -> tuple[AnyDevice, ...]:
    v2g = {"discharge_limit_kw": 20.0, "v2g_floor_soc": 0.1, "wear_cost_per_kwh": 0.1, "departure_margin_minutes": 0.0}
    chargers = (V2gCharger(id=name, charge_limit_kw=20, **v2g) for name in CARS)
    return (
        GridConnection(id="grid", import_limit_kw=600, export_limit_kw=300, export_source="any"),
        Load(id="load"),
        Pv(id="pv1", capacity_kw=150),
        Battery(id="battery1", capacity_kwh=100, charge_limit_kw=60, discharge_limit_kw=60),
        *chargers,
        ExpectedCars(id="ev", chargers=CARS, charge_limit_kw=60),
    )


def situation() -> Situation:
    """Six hours with sun, cars that stand there, cars to come, and a price that rewards full power both ways."""
    base = park_situation(near=NEAR, tail_hours=(), peak_kw=599.0)
    series = {name: spread(values, 15) for name, values in HOURLY.items()}
    price = np.repeat((0.28, 1.435, 0.28, 1.435, 0.28, 0.28), 4)
    prices = replace(base.prices, import_per_kwh=price, export_per_kwh=0.8 * price)
    begin, end = START - timedelta(hours=1), START + timedelta(hours=6)
    cars = {name: (Session(name, name, begin, end, 15.0, 30.0, 60.0),) for name in CARS}
    return replace(base, series=series, prices=prices, sessions=cars)


def net(plan: Plan, feeder: str) -> Array:
    """(near,) power that the devices behind a feeder feed, less what they take."""
    flows = [f for f in plan.flows if f.device in LEVELS[feeder] and f.carrier == "power"]
    return np.asarray(sum(f.kw if f.direction == "in" else -f.kw for f in flows))


def test_a_feeder_carries_what_is_behind_its_feeders() -> None:
    feeders = tree()
    assert {feeder.id: devices_behind(feeder, feeders) for feeder in feeders} == {
        name: frozenset(devices) for name, devices in LEVELS.items()
    }
    flat = FeederLimit("flat", 10.0, ("ev01", "ev02"))
    assert devices_behind(flat, (flat,)) == {"ev01", "ev02"}


def test_every_level_holds_in_both_directions_and_costs_what_it_takes_away() -> None:
    plans = {}
    wide = tree(main_kw=300.0)
    for name, feeders in (("none", ()), ("flat", tree()[1:2]), ("wide", wide), ("tree", tree())):
        plan = Planner("tree", site(), feeders).plan(situation())
        assert isinstance(plan, Plan)
        assert verify(site(), feeders, situation(), plan) == ()
        plans[name] = plan
    for feeder in tree():
        flow = net(plans["tree"], feeder.id)
        assert np.abs(flow).max() <= feeder.limit_kw + 1e-6
        assert np.abs(net(plans["none"], feeder.id)).max() > feeder.limit_kw + 1.0
    for name, limit in (("row", 18.0), ("car_park", 30.0)):
        assert net(plans["wide"], name).max() == pytest.approx(limit)  # V2G
        assert net(plans["wide"], name).min() == pytest.approx(-limit)
    assert net(plans["tree"], "main").max() == pytest.approx(110.0)  # sun, battery and cars
    assert np.abs(net(plans["flat"], "car_park")).max() > 30.0 + 1.0
    assert plans["none"].total_cost < plans["wide"].total_cost - 0.1 < plans["tree"].total_cost - 0.2


def test_the_verifier_looks_at_every_level() -> None:
    plan = Planner("tree", site()).plan(situation())
    assert isinstance(plan, Plan)
    found = verify(site(), tree(), situation(), plan)
    assert {violation.device for violation in found} == {"row", "car_park", "main"}


@settings(max_examples=12, deadline=None)
@given(row=st.floats(1, 40), car_park=st.floats(1, 60), main=st.floats(1, 200), storing=st.booleans())
def test_rules_and_shifted_plans_keep_every_level(row: float, car_park: float, main: float, storing: bool) -> None:
    feeders = tree(row, car_park, main)
    rules = rule_plan(site(), situation(), feeders, storing=storing)
    assert verify(site(), feeders, situation(), rules) == ()
    free = Planner("park", site()).plan(situation())
    assert isinstance(free, Plan)
    shifted = shifted_plan(site(), situation(), free, feeders)
    assert shifted is not None
    assert verify(site(), feeders, situation(), shifted) == ()


def test_a_cable_is_not_kept_by_a_car_that_may_leave() -> None:
    """Two cars want 38 kW for an hour; a full one beside them could feed what is above the cable's 30, and go."""
    hour, end = START + timedelta(hours=1), START + timedelta(hours=6)
    cars = {name: (Session(name, name, START, hour, 18.0, 10.0, 60.0),) for name in CARS[1:]}
    cars["ev01"] = (Session("ev01", "ev01", START, end, 0.0, 60.0, 60.0),)
    feeders = tree(row_kw=40.0)[1:]
    plan = Planner("tree", site(), feeders).plan(replace(situation(), sessions=cars))
    assert isinstance(plan, Plan)
    drawn = sum(plan.flow(name, "charge_kw") for name in CARS)
    assert drawn.max() == pytest.approx(30.0)
    assert plan.limits_given_way != ()  # 6 kW for an hour are missing


def test_expected_cars_share_the_tree_with_those_that_are_here() -> None:
    """20 kWh are expected in hour 2 and leave within it, two cars stand there until then: 30 kW for all of them."""
    base = situation()
    hourly = {
        "ev.arriving_kw": (0, 0, 20, 0, 0, 0),
        "ev.leaving_kw": (0, 0, 20, 0, 0, 0),
        "ev.occupied_pct": (0, 0, 100, 0, 0, 0),
    }
    series = {**base.series, **{name: spread(values, 15) for name, values in hourly.items()}}
    begin, end = START - timedelta(hours=1), START + timedelta(hours=3)
    cars = {name: (Session(name, name, begin, end, 19.0),) for name in ("ev01", "ev03")}
    price = np.repeat((0.7, 0.7, 0.28, 0.7, 0.7, 0.7), 4)
    busy = replace(base, series=series, sessions=cars, prices=replace(base.prices, import_per_kwh=price))
    feeders = tree(row_kw=12.0)
    plan = Planner("tree", site(), feeders).plan(busy)
    assert isinstance(plan, Plan)
    assert verify(site(), feeders, busy, plan) == ()
    assert plan.limits_given_way == ()
    expected, row = plan.flow("ev", "charge_kw"), plan.flow("ev01", "charge_kw")
    assert expected.sum() / 4 * 0.95 == pytest.approx(20.0)  # they leave: the others have to give way in the cheap hour
    assert row.max() <= 12.0 + 1e-6
    assert net(plan, "car_park").min() == pytest.approx(-30.0)
    cheap = slice(8, 12)
    assert (row + plan.flow("ev03", "charge_kw"))[cheap].sum() / 4 == pytest.approx(30.0 - 20.0 / 0.95)


def test_a_limit_below_the_expected_need_is_named() -> None:
    base = situation()
    alone = replace(base, sessions={})
    plan = Planner("tree", site(), tree(car_park_kw=5.0)).plan(alone)
    assert isinstance(plan, Plan)
    assert {(way.device, way.limit) for way in plan.limits_given_way} == {("ev", "energy_at_departure")}
    assert plan.flow("ev", "charge_kw").max() <= 5.0 + 1e-6


def test_a_transformer_limits_the_connection_by_its_rating_and_power_factor() -> None:
    """200 kVA at 0.9 are 180 kW both ways; a larger transformer changes nothing."""
    grid = GridConnection(id="grid", import_limit_kw=600, export_limit_kw=300, transformer_kva=200, power_factor=0.9)
    assert grid.bounds_kw() == (-180.0, 180.0)
    assert grid.model_copy(update={"transformer_kva": 1000.0}).bounds_kw() == (-300.0, 600.0)
    assert grid.step({"import_kw": 500.0}, {}, {}, 0.25).flows == {"import_kw": 180.0, "export_kw": 0.0}
    base = park_situation(near=8, tail_hours=(), peak_kw=599.0)
    heavy = replace(base, series={**base.series, "load.demand_kw": np.full(8, 230.0)})
    plan = Planner("kva", (grid, Load(id="load"))).plan(heavy)
    assert isinstance(plan, Plan)
    assert plan.flow("grid", "import_kw") == pytest.approx([180.0] * 8)
    assert [(way.device, way.limit, way.amount) for way in plan.limits_given_way] == [
        ("load", "demand", pytest.approx(50.0))
    ]
