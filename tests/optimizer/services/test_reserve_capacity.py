"""Reserve capacity: what is held can be delivered, and what cannot be delivered is found out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice, GridConnection, Load, V2gCharger
from optimizer.events import ReserveOffer
from optimizer.plan import HeldReserve, Plan
from optimizer.services import ReserveCapacity
from optimizer.services.reserve_capacity import deliver, held_kw
from optimizer.situation import Session, Situation
from optimizer.verify import verify
from tests.optimizer.services.small_site import START, battery, devices, planned, situation

QUARTER = timedelta(minutes=15)
DEAR_IN_WINDOW = np.array([0.3] * 4 + [2.0] * 4)


def service(**given: object) -> ReserveCapacity:
    return ReserveCapacity(id="reserve", **{"devices": ("battery1",), "call_steps": 4, **given})


def offer(*, up: float = 0.0, down: float = 0.0, price: float = 1.0, begin: int = 4, end: int = 8) -> ReserveOffer:
    return ReserveOffer("offer1", "reserve", START + begin * QUARTER, START + end * QUARTER, price, up, down)


def called(
    parts: Sequence[AnyDevice], moment: Situation, plan: Plan, way: str, first: int, steps: int, kw: float
) -> bool:
    by_id = {device.id: device for device in parts}
    return deliver(by_id, (), moment, plan, "reserve", way, START + first * QUARTER, steps, kw).delivered


def test_energy_is_kept_for_the_longest_call() -> None:
    """60 kW for an hour at an efficiency of 0.8 are 75 kWh; the minimum is 20 kWh: 95 of 130 kWh are left."""
    parts = devices(discharge_efficiency=0.8, min_soc=0.1)
    moment = situation(battery_kwh=130.0, price=DEAR_IN_WINDOW, events=[offer(up=60.0, price=5.0)])
    plan = planned(parts, [service()], moment)
    assert held_kw(plan, "reserve", "up")[4:] == pytest.approx(60.0)
    assert plan.states["battery1"]["energy_kwh"][-1] == pytest.approx(95.0)
    assert plan.flow("battery1", "discharge_kw")[4:].max() <= 40.0 + 1e-6
    assert plan.cost["reserve"] == pytest.approx(-60.0 * 5.0 * 1.0)
    assert called(parts, moment, plan, "up", 4, 4, 60.0)


def test_what_is_not_worth_holding_is_not_held_and_reported() -> None:
    moment = situation(battery_kwh=180.0, price=DEAR_IN_WINDOW, events=[offer(up=60.0, price=0.01)])
    plan = planned(devices(), [service()], moment)
    assert held_kw(plan, "reserve", "up").max() < 60.0
    (given,) = plan.limits_given_way
    assert (given.device, given.limit) == ("reserve", "up_kw")
    kept = planned(devices(), [service(shortfall_price_per_kw_h=10.0)], moment)
    assert held_kw(kept, "reserve", "up")[4:] == pytest.approx(60.0)
    assert kept.cost["reserve_shortfall"] == pytest.approx(0.0, abs=1e-6)


def test_more_than_the_battery_can_is_short_and_costs() -> None:
    """A battery of 100 kW that charges can add 200 kW at most: of 230 kW, 30 are short for an hour at 2 a kW."""
    moment = situation(battery_kwh=200.0, events=[offer(up=230.0, price=3.0)])
    plan = planned(devices(), [service(shortfall_price_per_kw_h=2.0)], moment)
    assert plan.cost["reserve_shortfall"] == pytest.approx(60.0)
    assert plan.cost["reserve"] == pytest.approx(-600.0)
    (given,) = plan.limits_given_way
    assert given.amount == pytest.approx(30.0)


def test_reserve_to_take_keeps_room() -> None:
    """80 kW for an hour: 80 kWh of the 200 stay free, though power is cheap before and dear after the window."""
    moment = situation(battery_kwh=150.0, price=np.array([0.5] * 4 + [0.2] * 4), events=[offer(down=80.0, price=5.0)])
    plan = planned(devices(), [service()], moment)
    assert plan.states["battery1"]["energy_kwh"][5:].max() <= 120.0 + 1e-6
    assert called(devices(), moment, plan, "down", 4, 4, 80.0)
    assert called(devices(), moment, plan, "down", 6, 2, 80.0)


def test_up_reserve_is_bounded_by_the_import_where_nothing_stored_may_be_exported() -> None:
    moment = situation(load_kw=50.0, battery_kwh=140.0, events=[offer(up=90.0, price=5.0)])
    plan = planned(devices(), [service()], moment)
    assert (held_kw(plan, "reserve", "up") <= plan.flow("grid", "import_kw") + 1e-6).all()
    assert plan.flow("battery1", "charge_kw")[4:] == pytest.approx(40.0)  # so that there is import to take away
    free = (GridConnection(id="grid", import_limit_kw=1000, export_limit_kw=100, export_source="any"), *devices()[1:])
    plan = planned(free, [service()], moment)
    assert plan.flow("battery1", "charge_kw")[4:].max() == pytest.approx(0.0, abs=1e-6)
    assert held_kw(plan, "reserve", "up")[4:] == pytest.approx(90.0)


def test_a_call_beyond_what_is_held_is_not_delivered() -> None:
    """Longer than agreed, or more than is held: the battery runs out, and the execution says in which step."""
    parts = devices()
    moment = situation(battery_kwh=60.0, price=0.7, events=[offer(up=60.0, price=5.0, end=6)])
    plan = planned(parts, [service(call_steps=2)], moment)
    assert held_kw(plan, "reserve", "up")[4:6] == pytest.approx(60.0)
    by_id = {device.id: device for device in parts}
    ok = deliver(by_id, (), moment, plan, "reserve", "up", START + 4 * QUARTER, 2, 60.0)
    assert ok.delivered
    assert ok.given_kw == pytest.approx([60.0, 60.0])
    more = deliver(by_id, (), moment, plan, "reserve", "up", START + 4 * QUARTER, 2, 130.0)
    assert not more.delivered
    assert more.given_kw.max() <= 100.0 + 1e-6
    with pytest.raises(ValueError, match="does not lie in the plan"):
        deliver(by_id, (), moment, plan, "reserve", "up", START + 7 * QUARTER, 4, 60.0)


def test_a_promise_that_the_devices_cannot_keep_is_refused_by_the_verifier() -> None:
    """The plan of a site that sells everything at 2.00, with a reserve written into it."""
    moment = situation(battery_kwh=100.0, price=DEAR_IN_WINDOW, events=[offer(up=60.0, price=0.0)])
    one = service()
    plan = planned(devices(), [one], replace(moment, events=()))
    promise = HeldReserve("reserve", "battery1", "up", np.array([0.0] * 4 + [60.0] * 4))
    lying = replace(plan, held=(promise,), cost={**plan.cost, "reserve": 0.0})
    violations = verify(devices(), (), moment, lying, [one])
    assert any("up reserve cannot be delivered" in str(violation) for violation in violations)


def test_a_plan_that_hides_its_shortfall_is_refused() -> None:
    moment = situation(battery_kwh=200.0, events=[offer(up=230.0, price=3.0)])
    plan = planned(devices(), [service()], moment)
    assert verify(devices(), (), moment, replace(plan, limits_given_way=()), [service()])
    paid_more = replace(plan, cost={**plan.cost, "reserve": plan.cost["reserve"] - 90.0})
    assert verify(devices(), (), moment, paid_more, [service()])


@pytest.mark.parametrize(
    "held",
    [
        HeldReserve("reserve", "nobody", "up", np.zeros(8)),
        HeldReserve("other", "battery1", "up", np.zeros(8)),
        HeldReserve("reserve", "battery1", "up", np.zeros(3)),
        HeldReserve("reserve", "battery1", "up", np.full(8, np.nan)),
        HeldReserve("reserve", "battery1", "up", np.full(8, -1.0)),
    ],
    ids=["unknown device", "unknown service", "wrong length", "not a number", "negative"],
)
def test_a_reserve_that_makes_no_sense_is_refused(held: HeldReserve) -> None:
    moment = situation()
    plan = planned(devices(), [service()], moment)
    assert verify(devices(), (), moment, replace(plan, held=(*plan.held, held)), [service()])


def cars() -> tuple[tuple[AnyDevice, ...], Situation]:
    chargers = tuple(
        V2gCharger(
            id=f"ev{n}", charge_limit_kw=20, discharge_limit_kw=20, charge_efficiency=1.0, discharge_efficiency=1.0,
            v2g_floor_soc=0.4, departure_margin_minutes=0,
        )
        for n in (1, 2)
    )  # fmt: skip
    moment = situation(events=[offer(up=30.0, price=5.0)])
    stays = {
        "ev1": (Session("a", "ev1", START, START + timedelta(hours=2), 10.0, 40.0, 60.0),),
        "ev2": (Session("b", "ev2", START, START + timedelta(hours=5), 0.0, 50.0, 60.0),),
    }
    return (GridConnection(id="grid", import_limit_kw=1000), Load(id="load"), *chargers), replace(
        moment, sessions=stays
    )


def test_cars_hold_reserve_and_still_leave_as_promised() -> None:
    """Each has 20 kW; the one that leaves with the window must be full by then and holds what that allows."""
    parts, moment = cars()
    one = service(devices=("ev1", "ev2"), call_steps=2)
    plan = planned(parts, [one], moment)
    assert plan.states["ev1"]["energy_kwh"][8] >= 50.0 - 1e-6
    assert held_kw(plan, "reserve", "up")[4:].max() > 20.0
    for first in range(4, 7):
        held = float(held_kw(plan, "reserve", "up")[first : first + 2].min())
        assert called(parts, moment, plan, "up", first, 2, held)


def test_a_feeder_bounds_what_the_cars_behind_it_hold() -> None:
    """Behind a cable of 15 kW the cars feed back at most 15 kW when called."""
    parts, moment = cars()
    feeder = FeederLimit("car_park", 15.0, ("ev1", "ev2"))
    one = service(devices=("ev1", "ev2"), call_steps=2)
    plan = planned(parts, [one], moment, (feeder,))
    net = sum(plan.flow(ev, "discharge_kw") - plan.flow(ev, "charge_kw") for ev in ("ev1", "ev2"))
    assert (net + held_kw(plan, "reserve", "up")).max() <= 15.0 + 1e-6
    assert verify(parts, (FeederLimit("car_park", 8.0, ("ev1", "ev2")),), moment, plan, [one])


@pytest.mark.parametrize("seed", range(4))
def test_every_call_of_a_random_window_is_delivered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = devices(discharge_efficiency=0.93, charge_efficiency=0.95, min_soc=0.1, max_soc=0.9,
                    standing_loss_per_hour=0.01)  # fmt: skip
    window = offer(up=float(rng.uniform(10, 90)), down=float(rng.uniform(10, 90)), price=2.0, begin=5, end=14)
    moment = situation(
        steps=16, load_kw=rng.uniform(100, 400, 16), price=rng.uniform(0.1, 1.5, 16),
        battery_kwh=float(rng.uniform(30, 170)), events=[window],
    )  # fmt: skip
    plan = planned(parts, [service(call_steps=3)], moment)
    for way in ("up", "down"):
        held = held_kw(plan, "reserve", way)
        assert held[5:14].max() > 0
        for first in range(5, 12):
            assert called(parts, moment, plan, way, first, 3, float(held[first : first + 3].min()))


def test_two_batteries_share_a_call_that_neither_could_answer() -> None:
    second = battery(capacity_kwh=100.0).model_copy(update={"id": "battery2"})
    parts = (*devices(), second)
    moment = situation(battery_kwh=100.0, events=[offer(up=150.0, price=5.0)])
    moment = replace(moment, state={**moment.state, "battery2": {"energy_kwh": 60.0}})
    plan = planned(parts, [service(devices=("battery1", "battery2"))], moment)
    assert held_kw(plan, "reserve", "up")[4:].min() > 100.0
    assert called(parts, moment, plan, "up", 4, 4, float(held_kw(plan, "reserve", "up")[4:].min()))
