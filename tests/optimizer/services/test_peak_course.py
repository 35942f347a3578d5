"""Peak course: what a day above its forecast would take, worked by hand, and where it does not apply."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.plan import Plan
from optimizer.services.peak_course import MARGINS, WEIGHT, PeakCourse
from tests.optimizer.services.small_site import devices, planned, situation, with_days_left, with_peak, without

COURSE = PeakCourse(id="course", devices=("battery1",))
STEPS = 24
HALF = STEPS // 2
"""Where the third window ends: what the fourth asks for is more than the battery has."""


def evening(margin_kw: float, battery_kwh: float = 150.0, **given: float):
    """Six hours of which the first four have one dear price; the load draws the 300 kW that the month has had."""
    price = np.array([1.5] * 16 + [0.3] * 8)
    return with_peak(situation(steps=STEPS, battery_kwh=battery_kwh, price=price), margin_kw, **given)


def energy_kwh(plan: Plan) -> np.ndarray:
    return plan.states["battery1"]["energy_kwh"]


def lacking_kwh(plan: Plan, margin_kw: float) -> float:
    """What the battery would lack on a day that draws the margin more from the second quarter hour on; by hand, of
    the first half, where the plan never charges."""
    beyond_peak = plan.flow("grid", "import_kw") + MARGINS * margin_kw - 300.0
    taken = np.cumsum(np.maximum(beyond_peak[1:HALF], 0.0)) / 4
    return float((taken - energy_kwh(plan)[2 : HALF + 1]).max())


def test_a_battery_is_sold_no_faster_than_a_day_above_the_forecast_allows() -> None:
    """Sold early or late earns the same; 39 kW more for hours would take most of what is stored."""
    kept = planned(devices(), [COURSE], evening(60.0))
    assert kept.flow("battery1", "charge_kw").max() < 1e-6
    assert lacking_kwh(kept, 60.0) <= 1e-6
    assert energy_kwh(kept)[16] == pytest.approx(0.0, abs=1e-6)  # all is sold while it is dear
    early = planned(devices(standing_loss_per_hour=0.001), [], evening(60.0))
    assert lacking_kwh(early, 60.0) > 20.0


def test_what_cannot_be_borne_costs_a_small_share_and_does_not_raise_the_peak() -> None:
    """195 kW more in every step, and the battery has 100: 95 kW x 40 would be billed."""
    plan = planned(devices(), [COURSE], evening(300.0, battery_kwh=200.0))
    least_kw = MARGINS * 300.0 - 100.0
    assert plan.cost["peak_course"] >= 40.0 * WEIGHT / 30 * least_kw - 1e-9
    assert plan.grid_limit_kw == pytest.approx(300.0)
    assert plan.cost["demand"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("left", "times"), [(30.0, 1.0), (12.0, 1.0), (0.5, 3.0)])
def test_it_counts_for_more_when_the_bill_is_about_to_close_and_never_for_less(left: float, times: float) -> None:
    moment = evening(300.0, battery_kwh=200.0)
    costs = [planned(devices(), [COURSE], with_days_left(moment, days)).cost["peak_course"] for days in (None, left)]
    assert costs[1] == pytest.approx(times * costs[0])


def test_it_gives_way_where_holding_costs_more_than_it_may_save() -> None:
    """An hour at ten times the price is sold into, whatever the day may bring."""
    moment = evening(60.0)
    dear = np.array([15.0] * 4 + [1.5] * 12 + [0.3] * 8)
    plan = planned(devices(), [COURSE], replace(moment, prices=replace(moment.prices, import_per_kwh=dear)))
    assert plan.flow("battery1", "discharge_kw")[:4] == pytest.approx([100.0] * 4)
    assert plan.cost["peak_course"] > 0.0


@pytest.mark.parametrize("seed", range(12))
def test_the_account_finds_the_height_that_the_model_found(seed: int) -> None:
    """Random loads, prices, margins and two batteries; `planned` holds the account against the model's cost."""
    rng = np.random.default_rng(seed)
    loads = rng.uniform(150, 400, STEPS)
    moment = situation(steps=STEPS, load_kw=loads, price=rng.uniform(0.2, 1.6, STEPS), battery_kwh=rng.uniform(0, 200))
    moment = with_peak(moment, 0.0, so_far_kw=rng.uniform(200, 350))
    moment = replace(moment, series={**moment.series, "grid.import_margin_kw": rng.uniform(0, 150, STEPS)})
    first = devices(discharge_efficiency=0.9, charge_efficiency=0.92, min_soc=0.1)
    second = first[2].model_copy(update={"id": "battery2", "capacity_kwh": 90.0, "discharge_limit_kw": 40.0})
    plan = planned((*first, second), [PeakCourse(id="course", devices=("battery1", "battery2"))], moment)
    assert plan.cost["peak_course"] >= 0.0


@pytest.mark.parametrize("what", ["demand", "margin", "one line"])
def test_where_nothing_is_known_or_two_lines_apply_the_plan_is_as_without_it(what: str) -> None:
    moment = without(evening(60.0), what)
    kept, free = planned(devices(), [COURSE], moment), planned(devices(), [], moment)
    assert kept.total_cost == pytest.approx(free.total_cost)


def test_a_plan_of_a_single_step_has_no_course() -> None:
    moment = with_peak(situation(steps=1), 60.0)
    assert planned(devices(), [COURSE], moment).cost["peak_course"] == 0.0
