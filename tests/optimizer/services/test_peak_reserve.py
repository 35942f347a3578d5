"""Peak reserve: worked by hand, and where it does not apply."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.model import build
from optimizer.plan import Plan
from optimizer.room import with_room
from optimizer.services.peak_reserve import PeakReserve
from optimizer.services.usual import usual_reserves
from optimizer.situation import Situation
from optimizer.solver import Status, solve
from optimizer.time_grid import Array
from tests.optimizer.services.small_site import (
    battery,
    devices,
    planned,
    situation,
    with_days_left,
    with_peak,
    without,
)

DEAR_BETWEEN = np.array([0.3] * 2 + [1.5] * 4 + [0.3] * 2)
RESERVE = PeakReserve(id="peak", devices=("battery1",))


def evening(margin_kw: float, **given: float) -> Situation:
    """150 kWh in the battery before a dear hour and half a cheap one; the month has had 300 kW, as the load draws."""
    return with_peak(situation(battery_kwh=150.0, price=DEAR_BETWEEN), margin_kw, **given)


def lowest_kwh(plan: Plan) -> float:
    return float(plan.states["battery1"]["energy_kwh"].min())


def later(plan: Plan, price: Array) -> float:
    """What charging and giving count for being late; by hand, in quarter hours."""
    late = np.minimum(plan.flow("battery1", "discharge_kw"), 0.5 * plan.flow("grid", "import_kw"))
    return float(3e-4 * price.mean() / 16 * np.arange(8) @ (plan.flow("battery1", "charge_kw") - late))


def short_kw(plan: Plan, margin_kw: float, hours: float = 0.5) -> float:
    """What a spike of the margin would take above 300 kW, were the battery to carry it for so long; by hand."""
    energy, flow = plan.states["battery1"]["energy_kwh"][:-1], plan.flow
    power = flow("battery1", "discharge_kw") - flow("battery1", "charge_kw")
    carried = np.minimum(100.0, (energy - 20.0) * 0.8 / hours) - power
    return float((flow("grid", "import_kw") + margin_kw - 300.0 - carried).max())


@pytest.mark.parametrize("hours", [0.25, 0.5, 1.0])
def test_a_spike_could_be_carried_at_every_step(hours: float) -> None:
    parts = devices(discharge_efficiency=0.8, min_soc=0.1)
    kept = planned(parts, [RESERVE.model_copy(update={"hours": hours})], evening(60.0))
    beyond_power = 40.0 / 150 * (2 * 60.0 - 100.0)  # of twice the margin, in the first window
    assert kept.cost["peak_reserve"] == pytest.approx(beyond_power + later(kept, DEAR_BETWEEN), abs=1e-6)
    assert short_kw(kept, 60.0, hours) <= 1e-6
    free = planned(parts, [], evening(60.0))
    assert short_kw(free, 60.0, hours) > 10.0
    assert kept.total_cost < free.total_cost + 40.0 * short_kw(free, 60.0, hours)


def test_what_cannot_be_held_costs_a_share_of_what_it_would_be_billed_and_does_not_raise_the_peak() -> None:
    """The battery has 100 kW against 150 in three windows and 300 in the first: 50 and 200 kW x 40 would be billed."""
    plan = planned(devices(), [RESERVE], evening(150.0))
    billed = 40.0 * (3 / 30 * 50.0 + 200.0 / 150)
    assert plan.cost["peak_reserve"] == pytest.approx(billed + later(plan, DEAR_BETWEEN))
    assert plan.grid_limit_kw == pytest.approx(300.0)
    assert plan.cost["demand"] == pytest.approx(0.0, abs=1e-6)


def test_what_is_kept_for_the_last_day_of_a_bill_is_sold_on_its_first() -> None:
    """A kW that is carried takes half a kWh, which earns 0.6 between 0.3 and 1.5; a rise of the peak is billed with a
    chance of 0.1 on the last day, and of 0.1 · 0.9^29 when it may be made on 29 others anyhow."""
    first, last = (
        planned(devices(discharge_efficiency=0.8, min_soc=0.1), [RESERVE], with_days_left(evening(60.0), days))
        for days in (30.0, 0.5)
    )
    assert short_kw(last, 60.0) <= 1e-6
    assert short_kw(first, 60.0) > 10.0
    assert first.cost["energy"] < last.cost["energy"]


def test_charging_that_can_be_put_off_counts() -> None:
    """Charging is worth it at 0.1 before 2.0; put off and turned round it gives 200 kW, and the verifier agrees."""
    price = np.array([0.1] * 4 + [2.0] * 4)
    moment = with_peak(situation(battery_kwh=80.0, price=price), 260.0, so_far_kw=420.0)
    plan = planned(devices(), [RESERVE], moment)
    assert plan.flow("battery1", "charge_kw").max() > 50.0
    above = 40.0 * (3 / 30 * (560.0 - 520.0) + (820.0 - 520.0) / 150)
    assert plan.cost["peak_reserve"] == pytest.approx(above + later(plan, price))


def test_an_empty_battery_may_charge_below_the_peak() -> None:
    """What charges is put off when the load comes, and needs nothing stored for that."""
    price = np.array([0.1] * 4 + [2.0] * 4)
    moment = with_peak(situation(battery_kwh=0.0, price=price), 60.0, so_far_kw=400.0)
    kept, free = planned(devices(), [RESERVE], moment), planned(devices(), [], moment)
    first = slice(0, 4)
    assert free.flow("battery1", "charge_kw")[first].sum() > 100.0
    assert kept.flow("battery1", "charge_kw")[first].sum() == pytest.approx(
        free.flow("battery1", "charge_kw")[first].sum()
    )


def test_of_hours_of_one_price_the_first_is_charged_in() -> None:
    """What stands loses a little, so that money alone would charge in the last; the bill is the same to 0.01."""
    price = np.array([0.3] * 4 + [1.5] * 4)
    parts = devices(capacity_kwh=50.0, standing_loss_per_hour=0.00004)
    moment = with_peak(situation(battery_kwh=0.0, price=price), 10.0, so_far_kw=500.0)
    kept, free = planned(parts, [RESERVE], moment), planned(parts, [], moment)
    assert kept.flow("battery1", "charge_kw") == pytest.approx([100.0] * 2 + [0.0] * 6, abs=0.01)
    assert free.flow("battery1", "charge_kw")[:2] == pytest.approx([0.0] * 2, abs=0.01)
    assert kept.cost["energy"] == pytest.approx(free.cost["energy"], abs=0.01)


def test_of_hours_of_one_price_the_last_are_given_in_but_never_all_that_is_drawn() -> None:
    """50 kWh for six dear quarter hours of 135 kW: a third of each from the last one on."""
    price = np.array([1.5] * 6 + [0.3] * 2)
    moment = with_peak(situation(battery_kwh=50.0, price=price, load_kw=135.0), 10.0, so_far_kw=500.0)
    kept = planned(devices(), [RESERVE], moment)
    assert kept.flow("battery1", "discharge_kw") == pytest.approx([0.0, 20.0, *[45.0] * 4, 0.0, 0.0], abs=1e-6)


def test_charging_and_discharging_at_once_carries_nothing() -> None:
    """With little stored and much to be carried the linear answer, which may do both, still does one of them."""
    parts = devices(charge_efficiency=0.95, discharge_efficiency=0.95)
    moment = with_peak(situation(battery_kwh=20.0, price=np.linspace(0.7, 0.9, 8)), 150.0)
    model = build(parts, (), moment.shape, services=(RESERVE,))
    inputs = {device.id: device.inputs(moment, device.conditions(moment)) for device in parts}
    inputs[RESERVE.id] = RESERVE.inputs(moment, {device.id: device for device in parts})
    linear = solve(model.compiled.program(model.compiled.parameters.values(inputs)))
    assert linear.status is Status.OPTIMAL
    assert model.choices.broken(linear.x) == ()


def test_a_peak_that_was_higher_needs_no_reserve() -> None:
    free = planned(devices(), [], evening(60.0, so_far_kw=360.0))
    kept = planned(devices(), [RESERVE], evening(60.0, so_far_kw=360.0))
    assert kept.cost["peak_reserve"] == pytest.approx(later(kept, DEAR_BETWEEN))
    assert kept.total_cost - kept.cost["peak_reserve"] == pytest.approx(free.total_cost)
    assert lowest_kwh(kept) == pytest.approx(lowest_kwh(free))


@pytest.mark.parametrize("what", ["demand", "margin", "one line"])
def test_where_nothing_is_known_or_two_lines_apply_the_plan_is_as_without_it(what: str) -> None:
    moment = without(evening(60.0), what)
    kept, free = planned(devices(), [RESERVE], moment), planned(devices(), [], moment)
    assert kept.total_cost == pytest.approx(free.total_cost)
    assert kept.states["battery1"]["energy_kwh"] == pytest.approx(free.states["battery1"]["energy_kwh"])


def test_the_local_loop_may_use_what_is_kept() -> None:
    moment = evening(60.0)
    plan = with_room(planned(devices(), [RESERVE], moment), devices(), [RESERVE], moment)
    rooms = {setpoint.device: setpoint.room_kw for setpoint in plan.setpoints}
    assert rooms["battery1"] == pytest.approx((-100.0, 100.0))


def test_the_usual_reserve_is_of_all_batteries_that_can_promise_power() -> None:
    tapered = battery().model_copy(update={"id": "tapered", "discharge_limit_by_soc": ((0.2, 0.5), (1.0, 1.0))})
    found, _ = usual_reserves((*devices(), tapered))
    assert found.devices == ("battery1",)
    assert usual_reserves(devices()[:2]) == ()
