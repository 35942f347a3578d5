"""The year model against one linear program over the year, against grids of sizes, and by its own bounds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from year_lp import solve_year

from sizing.blocks import best_by_blocks, merged_steps
from sizing.cuts import CUT_SIZE
from sizing.master import Point
from sizing.park_year import Offer, Offers, ParkYear, PeakBilling, annuity
from sizing.value_function import YearPasses, best_by_value_functions, improvements
from sizing.year_model import best_sizes
from tests.sizing.years import fixed, small_offers, small_year

SHAPES = {
    "plain": small_year(1),
    "quarters": small_year(2, hours=0.25, months=2),
    "no export": small_year(3, export=0.0, export_limit_kw=0.0),
    "export limit": small_year(4, export=0.28, export_limit_kw=15.0),
    "import limit": small_year(5, import_limit_kw=95.0),
    "no demand price": small_year(6, demand_price=0.0),
    "contract demand": small_year(7, contract=True),
    "demand window": small_year(8, uncounted=True),
    "one month": small_year(10, months=1, days=6),
    "free demand": replace(small_year(9), peaks=replace(small_year(9).peaks, free_kw=70.0)),
}


def truth(year: ParkYear, offers: Offers) -> float:
    return solve_year(year, offers, "simplex").cost


@pytest.mark.parametrize("shape", SHAPES)
def test_one_store_reaches_the_optimum_of_the_whole_year(shape: str) -> None:
    year, offers = SHAPES[shape], small_offers()
    answer, optimum = best_by_value_functions(year, offers, 1e-6), truth(year, offers)
    assert answer.gap <= 1e-6
    assert answer.bound <= optimum * (1 + 1e-9)
    assert answer.cost >= optimum * (1 - 1e-9)


def test_the_battery_keeps_to_its_greatest_rate() -> None:
    year, offers = SHAPES["plain"], small_offers(rate=0.1)
    answer = best_by_value_functions(year, offers, 1e-6)
    assert answer.sizes[1] <= 0.1 * answer.sizes[0] + 1e-6
    assert answer.cost == pytest.approx(truth(year, offers), rel=1e-6)
    assert answer.cost > best_by_value_functions(year, small_offers(), 1e-6).cost * (1 + 1e-5)


def test_no_size_of_a_grid_is_better() -> None:
    """Brute force: every size of a grid judged by the year LP with that size."""
    year, offers = small_year(11), small_offers()
    answer = best_by_value_functions(year, offers, 1e-6)
    axes = [
        np.minimum(np.linspace(0.5, 1.5, 3) * size, most)
        for size, most in zip(answer.sizes[:3], offers.greatest, strict=False)
    ]
    judged = {
        sizes: solve_year(year, offers, "simplex", np.array([*sizes, 0.0, 0.0])).cost
        for sizes in itertools.product(*axes)
    }
    assert judged[tuple(answer.sizes[:3])] == pytest.approx(answer.cost, rel=1e-6)
    assert answer.cost <= min(judged.values()) * (1 + 1e-6)
    assert max(judged.values()) > answer.cost * (1 + 1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), price=st.sampled_from([0.0, 3.0, 12.0]), export=st.sampled_from([0.0, 0.2, 0.29]))
def test_the_truth_lies_between_the_bounds_after_every_pass(seed: int, price: float, export: float) -> None:
    year, offers = small_year(seed, months=2, demand_price=price, export=export), small_offers()
    optimum = truth(year, offers)
    for answer in itertools.islice(improvements(year, offers), 8):
        assert answer.bound <= optimum + 1e-7 * abs(optimum)
        assert answer.cost >= optimum - 1e-7 * abs(optimum)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_bounds_of_two_stores_hold_after_every_pass(seed: int) -> None:
    year, offers = small_year(seed, months=2, heat=True), small_offers(heat=True)
    optimum = truth(year, offers)
    for answer in itertools.islice(improvements(year, offers), 8):
        assert answer.bound <= optimum + 1e-7 * abs(optimum)
        assert answer.cost >= optimum - 1e-7 * abs(optimum)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_cuts_are_below_the_cost_of_any_other_point(seed: int, data: st.DataObject) -> None:
    """A cut made at one point bounds the cost of dispatch at another one, whatever the two are."""
    year, offers = small_year(seed, months=2), small_offers()
    work = YearPasses(year, offers)
    here, there = (_point(year, data) for _ in range(2))
    _, cuts = work.run(work.at_least(here))
    place = np.array([*there.sizes, 0.0, 0.0, 0.0, 0.0, 0.0])
    course, _ = work.run(work.at_least(there))
    cost, _ = work.cost(there, course)
    place[5] = np.inf
    bounded = sum(_value(cut, there, peak) for cut, peak in zip(cuts, there.peaks_kw, strict=True))
    paid = float(offers.cost @ there.sizes) + float(year.peaks.price_per_kw @ there.peaks_kw)
    above = np.maximum.reduceat(np.maximum(course.net_kw, 0.0), year.first_steps)
    if (above <= there.peaks_kw + 1e-6).all():
        assert bounded <= cost - paid + float(year.peaks.price_per_kw @ (there.peaks_kw - above)) + 1e-6


def _point(year: ParkYear, data: st.DataObject) -> Point:
    size = st.floats(1.0, 100.0)
    sizes = np.array([*(data.draw(size) for _ in range(3)), 0.0, 0.0])
    peaks = np.array([data.draw(st.floats(60.0, 400.0)) for _ in range(year.months)])
    return Point(sizes, peaks, np.zeros(year.months), np.zeros(year.months))


def _value(cut: np.ndarray, point: Point, peak_kw: float) -> float:
    """A month's cut with empty stores at its ends."""
    assert len(cut) == CUT_SIZE
    return float(cut[0] + cut[1:6] @ point.sizes + cut[6] * peak_kw)


def test_the_course_can_be_run_and_costs_what_is_said() -> None:
    year, offers = small_year(21), small_offers()
    answer = best_by_value_functions(year, offers, 1e-6)
    course, battery = answer.course, year.battery
    charged, discharged = np.maximum(course.battery_kw, 0.0), np.maximum(-course.battery_kw, 0.0)
    moved = battery.charge_efficiency * charged - discharged / battery.discharge_efficiency
    assert np.diff(course.battery_kwh) == pytest.approx(moved * year.hours, abs=1e-7)
    assert course.battery_kwh.min() >= -1e-7
    assert course.battery_kwh.max() <= answer.sizes[0] + 1e-7
    assert np.abs(course.battery_kw).max() <= answer.sizes[1] + 1e-7
    assert course.battery_kwh[0] == pytest.approx(course.battery_kwh[-1])
    net = year.load_kw - answer.sizes[2] * year.sun + course.battery_kw
    assert course.net_kw == pytest.approx(net)
    energy = np.where(net > 0, year.import_price, year.export_price) @ net + battery.wear_per_kwh * discharged.sum()
    peaks = np.maximum.reduceat(np.maximum(net, 0.0), year.first_steps)
    paid = offers.cost @ answer.sizes + energy * year.hours + year.peaks.price_per_kw @ peaks
    assert answer.cost == pytest.approx(paid)


def test_two_stores_come_near_the_optimum() -> None:
    year, offers = small_year(31, heat=True), small_offers(heat=True)
    answer, optimum = best_sizes(year, offers), truth(year, offers)
    with_these = solve_year(year, offers, "simplex", answer.sizes).cost
    assert answer.method == "value functions in turn"
    assert answer.bound <= optimum <= answer.cost * (1 + 1e-9)
    assert with_these / optimum - 1 < 2e-3


@pytest.mark.parametrize("heat", [False, True])
def test_blocks_prove_the_optimum(heat: bool) -> None:
    year, offers = small_year(41, heat=heat), small_offers(heat)
    answer, optimum = best_by_blocks(year, offers, 1e-5), truth(year, offers)
    assert answer.method == "blocks"
    assert answer.proven
    assert answer.gap <= 1e-5
    assert answer.bound <= optimum * (1 + 1e-8)
    assert answer.cost >= optimum * (1 - 1e-8)


def test_a_proof_for_two_stores_is_made_by_blocks() -> None:
    year, offers = small_year(42, heat=True), small_offers(heat=True)
    answer = best_sizes(year, offers, gap=1e-5, prove=True)
    assert answer.gap <= 1e-5
    assert answer.cost == pytest.approx(truth(year, offers), rel=2e-5)


def test_merged_steps_keep_energy_and_peak_days() -> None:
    year = small_year(51, hours=0.25, days=6)
    merged = merged_steps(year)
    assert len(merged.hours) < year.steps
    assert merged.hours.sum() == pytest.approx(year.steps * year.hours)
    assert merged.hours @ merged.load_kw == pytest.approx(year.load_kw.sum() * year.hours)
    assert merged.load_kw.max() == pytest.approx(year.load_kw.max())


def test_two_stores_within_one_month_come_near_the_optimum() -> None:
    year, offers = small_year(6, months=1, days=6, heat=True), small_offers(heat=True)
    answer, optimum = best_sizes(year, offers), truth(year, offers)
    assert answer.bound <= optimum * (1 + 1e-9)
    assert answer.cost <= optimum * 1.002
    assert answer.gap < 0.05


def test_where_export_pays_more_blocks_are_taken_and_say_what_no_plant_can_do() -> None:
    year = small_year(61, export=0.5, demand_price=0.0, import_limit_kw=200.0, export_limit_kw=50.0)
    answer = best_sizes(year, small_offers(), prove=True)
    assert "export pays more than import costs" in year.why_not_convex()[0]
    assert answer.method == "blocks"
    assert answer.both_ways_steps > 0
    assert not answer.proven
    with pytest.raises(ValueError, match="export pays more"):
        best_by_value_functions(year, small_offers(), 1e-4)


def test_where_import_is_paid_for_the_bound_of_blocks_holds() -> None:
    plain = small_year(62, import_limit_kw=200.0, export_limit_kw=0.0, export=0.0)
    year = replace(plain, import_price=np.where(np.arange(plain.steps) % 24 == 13, -0.05, plain.import_price))
    answer = best_sizes(year, small_offers(), prove=True)
    assert answer.method == "blocks"
    assert answer.gap <= 1e-4


def test_nothing_offered_costs_what_the_load_costs() -> None:
    year = small_year(71)
    answer = best_sizes(year, Offers())
    peaks = np.maximum.reduceat(year.load_kw, year.first_steps)
    assert answer.cost == pytest.approx(year.import_price @ year.load_kw + year.peaks.price_per_kw @ peaks)


def test_what_is_there_already_keeps_its_size() -> None:
    year, offers = small_year(72), fixed(small_offers(), (100.0, 40.0, 30.0, 0.0, 0.0))
    answer = best_sizes(year, offers)
    assert answer.sizes == pytest.approx([100.0, 40.0, 30.0, 0.0, 0.0])
    assert answer.cost == pytest.approx(truth(year, offers), rel=1e-4)


def test_the_contract_demand_is_the_cheapest_for_the_peaks() -> None:
    billing = PeakBilling(np.array([40.0, 40.0, 40.0]), np.ones(3, dtype=bool), contract=True, contract_floor_kw=50.0)
    peaks = np.array([100.0, 210.0, 105.0])
    costs = {kw: billing._contract_cost(kw, peaks) for kw in np.arange(50.0, 260.0, 0.5)}
    assert billing.cost(peaks) <= min(costs.values()) + 1e-9
    assert billing.best_contract_kw(np.zeros(3)) == 50.0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sun", np.zeros(3), "sun has 3 values"),
        ("load_kw", np.full(144, np.nan), "load_kw is not finite in step 0"),
        ("month", np.zeros(144, dtype=np.int64), "peaks.price_per_kw has 3 values for 1 months"),
    ],
)
def test_a_year_that_does_not_fit_together_is_refused(field: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(small_year(1), **{field: value})


def test_an_offer_is_a_range() -> None:
    with pytest.raises(ValueError, match="least <= greatest"):
        Offer(1.0, 2.0, 3.0)


def test_annuity_of_a_loan() -> None:
    assert annuity(0.08, 12) == pytest.approx(0.132695, abs=1e-6)
    assert annuity(0.0, 10) == 0.1
