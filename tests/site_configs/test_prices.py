"""Prices on the planner's grid, and the grid itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.time_grid import TimeGrid
from site_configs.loader import load_site
from site_configs.prices import EXPORT_PRICE, GRID_CARBON, IMPORT_PRICE, grid_for, prices_for, tail_hours
from site_configs.site import Site
from site_configs.tariff import Tariff, billing_month, load_tariff

SITE = load_site("jiashan_park")
TARIFF: Tariff = load_tariff(SITE)
TAIL_STEPS = 31 * 12 + 2


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SITE.zone).astimezone(UTC)


def test_quarter_hours_of_the_demo_day_have_the_band_and_price_of_the_tariff() -> None:
    grid = grid_for(SITE, local("2026-08-26 00:00"), tail=False)
    prices = prices_for(SITE, TARIFF, grid)
    assert grid.shape.steps == 96
    assert [band for i, band in enumerate(prices.band) if i % 4 == 0] == (
        ["valley"] * 7
        + ["flat"] * 4
        + ["valley"] * 3
        + ["flat"] * 2
        + ["peak"] * 2
        + ["sharp"] * 4
        + ["peak"]
        + ["flat"]
    )
    for time, price in zip(grid.times, prices.import_per_kwh, strict=True):
        assert price == float(TARIFF.at(time).total)
    assert set(prices.export_per_kwh) == {0.4153}
    assert set(prices.carbon_kg_per_kwh) == {0.4974}
    (line,) = prices.demand
    assert (line.id, line.price_per_kw, line.next_price_per_kw, line.free_kw) == ("demand", 48.0, 48.0, 0.0)
    assert (set(line.inside), line.averaged_steps, line.block) == ({1.0}, 1, None)
    assert set(prices.billing_period) == {0}


def test_a_coarse_step_gets_the_time_weighted_mean() -> None:
    grid = TimeGrid(local("2026-08-26 05:45"), 15, 1, (2.0, 0.5, 0.0))  # 06:00-08:00: an hour each of valley and flat
    prices = prices_for(SITE, TARIFF, grid)
    valley, flat = 0.39952, 0.7
    np.testing.assert_allclose(prices.import_per_kwh, [valley, (valley + flat) / 2, flat, flat], rtol=0, atol=1e-9)
    assert prices.band == ("valley", "valley", "flat", "flat")


@settings(deadline=None, max_examples=50)
@given(start=st.integers(0, 4 * 24 * 90), hours=st.lists(st.floats(0.0, 30.0), min_size=1, max_size=5))
def test_mean_prices_keep_the_cost_of_constant_power(start: int, hours: list[float]) -> None:
    grid = TimeGrid(local("2026-06-10 00:00") + start * timedelta(minutes=15), 15, 4, tuple(round(h, 2) for h in hours))
    cost = float(np.sum(prices_for(SITE, TARIFF, grid).import_per_kwh * grid.hours))
    expected = sum(segment.hours * float(segment.price.total) for segment in TARIFF.segments(grid.start, grid.end))
    assert cost == pytest.approx(expected, abs=1e-6)


def test_the_price_follows_the_new_version_from_local_midnight() -> None:
    prices = prices_for(SITE, TARIFF, grid_for(SITE, local("2026-06-30 23:45"), horizon_hours=1, tail=False))
    assert prices.band == ("flat", "valley", "valley", "valley")
    assert prices.billing_period == (0, 1, 1, 1)


def test_series_of_the_market_replace_the_tariff() -> None:
    grid = grid_for(SITE, local("2026-08-26 00:00"), tail=False)
    market = {IMPORT_PRICE: np.full(96, -0.1), EXPORT_PRICE: np.full(96, 0.2), GRID_CARBON: np.full(96, 0.3)}
    prices = prices_for(SITE, TARIFF, grid, market)
    assert set(prices.import_per_kwh) == {-0.1}
    assert set(prices.export_per_kwh) == {0.2}
    assert set(prices.carbon_kg_per_kwh) == {0.3}
    with pytest.raises(ValueError, match=r"market\.import_price_per_kwh has shape \(3,\)"):
        prices_for(SITE, TARIFF, grid, {IMPORT_PRICE: np.zeros(3)})


def billed(**changes: object) -> Site:
    return SITE.model_copy(update={"tariff": SITE.tariff.model_copy(update=changes)})


@pytest.mark.parametrize("mode", ["capacity", "none"])
def test_a_charge_that_does_not_depend_on_demand_is_not_in_the_plan(mode: str) -> None:
    site = billed(demand_mode=mode)
    assert prices_for(site, TARIFF, grid_for(site, local("2026-08-26 00:00"))).demand == ()


@pytest.mark.parametrize(("contract", "free"), [(1000.0, 1050.0), (500.0, 840.0)])
def test_a_contract_is_free_up_to_its_tolerance_and_dear_above(contract: float, free: float) -> None:
    """105 % of the contract demand, which is at least 40 % of the 2000 kVA; twice the price of 48 above."""
    site = billed(demand_mode="contract", contract_demand_kw=contract)
    (line,) = prices_for(site, TARIFF, grid_for(site, local("2026-08-26 00:00"))).demand
    assert (line.price_per_kw, line.free_kw) == (96.0, free)


def test_the_tail_ends_at_local_multiples_and_at_the_end_of_the_month() -> None:
    start = local("2026-08-26 09:45")
    lengths = tail_hours(SITE, start, start + timedelta(hours=24))
    assert len(lengths) == TAIL_STEPS
    assert lengths[:3] == (0.25, 2.0, 2.0)
    assert sum(lengths) == pytest.approx(4 * 24 + 24 - 9.75)
    grid = grid_for(SITE, start)
    assert grid.end == local("2026-09-01 00:00")
    assert prices_for(SITE, TARIFF, grid).billing_period[96:99] == (0, 0, 0)


def test_once_the_near_horizon_passes_the_month_end_the_next_month_is_planned() -> None:
    """The last plan of a month and the first of the next look at the same days."""
    grid = grid_for(SITE, local("2026-08-31 00:15"))
    assert grid.end == local("2026-10-01 00:00") == grid_for(SITE, local("2026-09-01 00:00")).end
    prices = prices_for(SITE, TARIFF, grid)
    assert prices.billing_period == (0,) * 95 + (1,) * (grid.shape.steps - 95)
    assert prices.next_period_whole
    assert np.all(np.isfinite(prices.import_per_kwh))


def test_a_plan_without_a_tail_or_within_its_month_does_not_know_the_next_peak() -> None:
    within = grid_for(SITE, local("2026-08-31 00:00"))
    short = grid_for(SITE, local("2026-08-31 00:15"), tail=False)
    assert not prices_for(SITE, TARIFF, within).next_period_whole
    assert not prices_for(SITE, TARIFF, short).next_period_whole


def test_a_short_last_bill_is_planned_before_it_begins() -> None:
    closes = local("2026-09-03 00:00")
    grid = grid_for(SITE, local("2026-08-31 00:15"), closes=closes)
    assert grid.end == closes
    assert prices_for(SITE, TARIFF, grid, closes=closes).next_period_whole


@pytest.mark.parametrize("closes", ["2026-08-28 00:00", "2026-08-28 13:00"])
def test_a_bill_that_closes_before_its_month_is_planned_to_its_end(closes: str) -> None:
    start, end = local("2026-08-26 09:45"), local(closes)
    grid = grid_for(SITE, start, closes=end)
    assert (grid.end, grid.shape) == (end, grid_for(SITE, start).shape)
    assert set(prices_for(SITE, TARIFF, grid, closes=end).billing_period[: grid.near]) == {0}


@pytest.mark.parametrize(("closes", "days"), [(None, 5.5), ("2026-08-28 00:00", 1.5), ("2026-10-01 00:00", 5.5)])
def test_a_plan_knows_how_long_its_bill_still_runs_with_a_tail_and_without(closes: str | None, days: float) -> None:
    end = None if closes is None else local(closes)
    for tail in (True, False):
        grid = grid_for(SITE, local("2026-08-26 12:00"), tail=tail, closes=end)
        assert prices_for(SITE, TARIFF, grid, closes=end).bill_days_left == pytest.approx(days)


def test_what_follows_a_closed_bill_is_of_the_next_one() -> None:
    closes = local("2026-08-28 00:00")
    grid = grid_for(SITE, local("2026-08-27 06:00"), closes=closes)
    prices = prices_for(SITE, TARIFF, grid, closes=closes)
    assert prices.billing_period[: grid.near] == (0,) * 72 + (1,) * 24
    assert not prices.next_period_whole
    (line,) = prices.demand
    assert line.next_price_per_kw == line.price_per_kw > 0.0


def test_a_bill_that_closes_after_its_month_ends_with_the_month() -> None:
    start, later = local("2026-08-26 09:45"), local("2026-10-01 00:00")
    grid = grid_for(SITE, start)
    assert grid_for(SITE, start, closes=later) == grid
    assert prices_for(SITE, TARIFF, grid, closes=later).billing_period == prices_for(SITE, TARIFF, grid).billing_period


@settings(deadline=None, max_examples=60)
@given(
    day=st.dates(date(2026, 3, 1), date(2026, 12, 29)),
    quarter=st.integers(0, 95),
    step=st.sampled_from([1.0, 1.5, 2.0, 3.0, 5.0, 24.0]),
    zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin"]),
)
def test_every_cycle_of_a_site_has_the_same_number_of_steps(day: date, quarter: int, step: float, zone: str) -> None:
    site: Site = SITE.model_copy(update={"tail_step_hours": step, "timezone": zone})
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + quarter * timedelta(minutes=15)
    lengths = tail_hours(site, start, start + timedelta(hours=24))
    assert len(lengths) == len(tail_hours(site, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)))
    assert all(0 <= length <= step + 1 for length in lengths)  # the hour that autumn adds
    assert grid_for(site, start).end == billing_month(start + timedelta(hours=24, microseconds=-1), site.zone)[1]


def test_horizon_and_step_can_be_chosen() -> None:
    grid = grid_for(SITE, local("2026-08-26 00:00"), horizon_hours=12, step_minutes=5, tail=False)
    assert (grid.near, grid.step_minutes, grid.tail_hours) == (144, 5, ())
