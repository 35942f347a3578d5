"""How far fast local control may move a device: energy limits, cars that are due, services that hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from optimizer.devices.base import Device
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.plan import Plan, Setpoint, Text
from optimizer.room import with_room
from optimizer.services.reserve_capacity import ReserveCapacity
from optimizer.situation import Prices, Session, Situation
from optimizer.time_grid import TimeGrid

START = datetime(2026, 8, 26, tzinfo=UTC)
N = 8
BATTERY = Battery(id="b", capacity_kwh=100, charge_limit_kw=50, discharge_limit_kw=40, min_soc=0.1, max_soc=0.9)
CHARGER = V2gCharger(id="c", charge_limit_kw=20, discharge_limit_kw=10, departure_margin_minutes=0)


def situation(energy_kwh: float = 50.0, **cars: Session) -> Situation:
    none = np.zeros(N)
    return Situation(
        site="park",
        issued_at=START,
        grid=TimeGrid(START, 15, N),
        state={"b": {"energy_kwh": energy_kwh}, "c": {"energy_kwh": energy_kwh}},
        series={"p.available_kw": np.full(N, 30.0)},
        prices=Prices(none, none, ("flat",) * N, (), (0,) * N, none),
        sessions={charger: (car,) for charger, car in cars.items()},
    )


def car(hours: float, needed_kwh: float) -> Session:
    return Session("s", "c", START - timedelta(hours=1), START + timedelta(hours=hours), needed_kwh, 40.0, 80.0)


def room(device: Device, here: Situation) -> tuple[float, float] | None:
    return device.room_kw(here, device.conditions(here))


@pytest.mark.parametrize("energy_kwh", [10.0, 15.0, 50.0, 88.0, 90.0])
def test_a_battery_stays_in_its_band_for_the_whole_step(energy_kwh: float) -> None:
    here = situation(energy_kwh)
    span = room(BATTERY, here)
    assert span is not None
    for kw in span:
        after = BATTERY.step(BATTERY.asked(kw), {"energy_kwh": energy_kwh}, {}, 0.25)
        assert BATTERY.target_kw(after.flows) == pytest.approx(kw)
        assert 10.0 - 1e-3 <= after.state["energy_kwh"] <= 90.0 + 1e-9  # standing loss aside
    assert room(BATTERY, situation(50.0)) == (-50.0, 40.0)


def test_a_car_with_slack_may_be_put_off_and_a_due_one_may_not() -> None:
    assert room(CHARGER, situation(42.0, c=car(2.0, 5.0))) == (-20.0, 10.0)
    due = room(CHARGER, situation(42.0, c=car(1.0, 20.0)))
    assert due is not None
    gain = 20.0 * CHARGER.charge_efficiency
    missing = 60.0 - 42.0 - 0.75 * gain
    assert due[1] == pytest.approx(-missing / CHARGER.charge_efficiency / 0.25)
    assert due[0] == -20.0
    assert room(CHARGER, situation(42.0, c=car(1.0, 30.0))) == (-20.0, -20.0)
    assert room(CHARGER, situation()) == (0.0, 0.0)


def test_what_is_stored_for_the_driver_is_not_discharged() -> None:
    span = room(CHARGER, situation(61.0, c=car(0.25, 20.0)))
    assert span is not None
    assert span[1] == pytest.approx(1.0 * CHARGER.discharge_efficiency / 0.25)


def told_room(
    here: Situation, devices: tuple[Device, ...], **target_kw: float
) -> dict[str, tuple[float, float] | None]:
    text = Text(zh="", en="")
    setpoints = tuple(Setpoint(name, kw, 0.0, START, START, text) for name, kw in target_kw.items())
    plan = Plan("park", START, here.grid, "optimal", (), {}, np.zeros(N), np.zeros(N), {}, setpoints)
    return {s.device: s.room_kw for s in with_room(plan, devices, (), here).setpoints}


@pytest.mark.parametrize(
    ("stored_kwh", "rooms"),
    [
        (1000.0, {"c1": (20.0, 90.0), "c2": (70.0, 80.0), "c3": (10.0, 10.0), "i": None}),
        (0.0, {"c1": (90.0, 90.0), "c2": (80.0, 80.0), "c3": (10.0, 10.0), "i": None}),
    ],
    ids=["80 kW more from the store", "an empty one"],
)
def test_a_chiller_may_give_less_where_the_store_has_the_rest(
    stored_kwh: float, rooms: dict[str, tuple[float, float] | None]
) -> None:
    """Down to the least part load of 20 kW, and together by no more than what the store can add for the whole step."""
    limits = {"charge_limit_kw": 100, "discharge_limit_kw": 100}
    ice = ThermalStore(id="i", carrier="cold", capacity_kwh=1000, **limits)
    chillers = tuple(Chiller(id=name, cooling_limit_kw=100) for name in ("c1", "c2", "c3"))
    here = replace(situation(), state={"i": {"energy_kwh": stored_kwh}})
    here = replace(here, series={**here.series, "weather.temperature_c": np.full(N, 30.0)})
    assert told_room(here, (*chillers, ice), c1=90.0, c2=80.0, c3=10.0, i=20.0) == rooms
    assert told_room(here, chillers, c1=90.0) == {"c1": None}


def test_a_plan_tells_the_room_and_leaves_alone_what_holds_for_a_service() -> None:
    text = Text(zh="", en="")
    setpoints = tuple(Setpoint(name, kw, 0.0, START, START, text) for name, kw in (("b", -45.0), ("p", 30.0)))
    here = situation()
    plan = Plan("park", START, here.grid, "optimal", (), {}, np.zeros(N), np.zeros(N), {}, setpoints)
    devices = (BATTERY, Pv(id="p", capacity_kw=60))
    assert [s.room_kw for s in with_room(plan, devices, (), here).setpoints] == [(-50.0, 40.0), (0.0, 60.0)]
    reserve = ReserveCapacity(id="r", devices=("b",))
    assert [s.room_kw for s in with_room(plan, devices, (reserve,), here).setpoints] == [None, (0.0, 60.0)]
