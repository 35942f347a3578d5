"""A battery supplies the site itself between two plans where that is the cheaper course, and only there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.devices import Battery, GridConnection, Load, Pv
from optimizer.orders import ordered_setpoints
from optimizer.plan import Plan, Setpoint
from optimizer.planner import Planner
from optimizer.room import with_room
from optimizer.situation import FixedPower, Situation
from tests.optimizer.park import park_situation

BATTERY = Battery(id="battery1", capacity_kwh=600, charge_limit_kw=250, discharge_limit_kw=250)
DEVICES = (
    GridConnection(id="grid", import_limit_kw=900.0, export_limit_kw=400.0),
    Load(id="load", carrier="power"),
    Pv(id="pv1", capacity_kw=400),
    BATTERY,
)


def moment(hour: float, load_kw: float, battery_kwh: float, **more: float) -> Situation:
    """The park's day from an hour on without cars, cold and demand charge; the load is even."""
    here = park_situation(
        near=24, tail_hours=(), shift=timedelta(hours=hour), battery_kwh=battery_kwh, demand_per_kw=0.0, **more
    )
    series = {**here.series, "load.demand_kw": np.full(24, load_kw)}
    return replace(here, series=series, sessions={}, prices=replace(here.prices, demand=()))


def planned(here: Situation) -> Plan:
    plan = Planner("park", DEVICES).plan(here)
    assert isinstance(plan, Plan)
    return plan


def told(plan: Plan) -> Setpoint:
    return next(setpoint for setpoint in plan.setpoints if setpoint.device == "battery1")


def range_of(here: Situation) -> tuple[float | None, float | None]:
    """Where it ends below and above the target; None where it ends at it."""
    setpoint = told(planned(here))
    least, most = setpoint.self_supply_kw or (setpoint.target_kw,) * 2
    return (None if least == setpoint.target_kw else least, None if most == setpoint.target_kw else most)


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (moment(19, 60.0, 560.0, export_per_kwh=0.1), (-250.0, 250.0)),
        (moment(19, 60.0, 560.0), (None, 250.0)),
        (moment(8, 60.0, 400.0), (None, 250.0)),
        (moment(19, 200.0, 80.0), (-250.0, None)),
        (moment(19, 200.0, 60.0), (-250.0, None)),
        (moment(3, 60.0, 100.0), (None, None)),
        (moment(12, 60.0, 300.0, export_per_kwh=0.5), (None, None)),
    ],
    ids=[
        "it lasts through the dear hours",
        "export pays more than charging at night",
        "the sun's surplus is sold",
        "it is sold out in the dear hours",
        "it is empty",
        "it charges at night",
        "export pays more than import",
    ],
)
def test_when_it_does(here: Situation, expected: tuple[float | None, float | None]) -> None:
    assert range_of(here) == expected


@pytest.mark.parametrize("net_kw", [8.0, -8.0], ids=["import", "export"])
@pytest.mark.parametrize("hour", [7.25, 8, 9.5, 10, 12, 15, 16.5, 17, 18, 19, 20, 21])
def test_it_is_the_cheaper_course(hour: float, net_kw: float) -> None:
    """With the battery at its target 8 kW would be imported or exported: it takes them over, or the grid has them."""
    here = moment(hour, 120.0, 330.0)
    plan = planned(here)
    setpoint = told(plan)
    least, most = setpoint.self_supply_kw or (setpoint.target_kw,) * 2
    load = here.series["load.demand_kw"].copy()
    load[0] += net_kw - float(plan.flow("grid", "import_kw")[0] - plan.flow("grid", "export_kw")[0])
    follows = setpoint.target_kw + net_kw
    if load[0] < 0.0 or abs(follows) > 250.0:
        pytest.skip("the day has no such moment")
    came = replace(here, series={**here.series, "load.demand_kw": load})
    gain = _cost(came, setpoint.target_kw) - _cost(came, follows)
    if least <= follows <= most:
        assert gain > 0.0
    elif gain < np.inf:
        assert gain <= 0.02 * 8.0 * 0.25 * float(here.prices.import_per_kwh[0]) + 1e-9


def _cost(here: Situation, battery_kw: float) -> float:
    order = FixedPower("battery1", battery_kw, here.grid.start + timedelta(minutes=15), "test")
    plan = Planner("park", DEVICES).plan(replace(here, orders=(order,)))
    return plan.total_cost if isinstance(plan, Plan) else np.inf  # stored energy must not reach the grid


def test_it_ends_where_the_room_does_and_with_it() -> None:
    here = moment(19, 60.0, 560.0, export_per_kwh=0.1)
    plan = planned(here)
    setpoint = told(with_room(plan, DEVICES, (), here))
    assert setpoint.room_kw is not None
    assert setpoint.self_supply_kw == setpoint.room_kw  # almost full: less than 250 kW of charging for a quarter hour
    assert setpoint.room_kw[0] > -250.0
    order = FixedPower("battery1", 10.0, here.grid.start + timedelta(hours=1), "test")
    ordered = ordered_setpoints(with_room(plan, DEVICES, (), here), DEVICES, replace(here, orders=(order,)))
    assert (told(ordered).room_kw, told(ordered).self_supply_kw) == (None, None)
