"""What a plan says it costs is what its flows are billed: energy, demand and export, for every kind of tariff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.balance import FeederLimit
from optimizer.devices import GridConnection, Load
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan
from optimizer.situation import Situation
from optimizer.time_grid import Array
from optimizer.verify import verify
from settlement.bill import bill
from settlement.day_cost import DayCost, day_cost
from settlement.demand import basic_fee, demands_kw, peaks_so_far_kw
from settlement.flows import flows_of
from site_configs.demand import demand_rules
from site_configs.loader import load_site
from site_configs.prices import EXPORT_PRICE, IMPORT_PRICE, grid_for, prices_for
from site_configs.site import Site
from site_configs.tariff import Tariff, load_tariff
from tests.site_configs.test_custom_tariff import LINES, site_of

NO_FEEDERS: tuple[FeederLimit, ...] = ()
ROUNDED = 0.005
"""Largest rounding of one line of a bill or of a day's cost."""


def local(site: Site, text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=site.zone).astimezone(UTC)


def situation_of(
    site: Site,
    start: datetime,
    load_kw: Array,
    *,
    step_minutes: int = 15,
    peaks_kw: Mapping[str, float] | None = None,
    market: Mapping[str, Array] | None = None,
) -> Situation:
    """A load and nothing else outside, over as many near steps as the load has."""
    grid = grid_for(site, start, horizon_hours=len(load_kw) * step_minutes / 60, step_minutes=step_minutes, tail=False)
    series = {"load.demand_kw": load_kw, **(market or {})}
    return Situation(
        site=site.id,
        issued_at=start,
        grid=grid,
        state={
            "grid": {f"peak_kw.{line}": peak for line, peak in (peaks_kw or {}).items()},
            "battery1": {"energy_kwh": 200.0},
        },
        series=series,
        prices=prices_for(site, load_tariff(site), grid, series),
    )


def planned(site: Site, situation: Situation) -> Plan:
    plan = Planner(site.id, site.devices).plan(situation)
    assert isinstance(plan, Plan)
    assert plan.status == "optimal"
    assert verify(site.devices, NO_FEEDERS, situation, plan) == ()
    return plan


def flows_frame(plan: Plan, situation: Situation) -> pd.DataFrame:
    columns = {name: plan.flow("grid", name) for name in ("import_kw", "export_kw")}
    market = {name: values for name, values in situation.series.items() if name.startswith("market.")}
    index = pd.DatetimeIndex(situation.grid.near_times, name="time")
    return pd.DataFrame({**columns, **market}, index=index)


def cost_of(site: Site, situation: Situation, plan: Plan, peaks_kw: Mapping[str, float]) -> DayCost:
    period = (situation.grid.start, situation.grid.near_end)
    return day_cost(site, load_tariff(site), flows_frame(plan, situation), period, peaks_kw)


def assert_equal(plan: Plan, cost: DayCost) -> None:
    """Term by term to half a cent for each rounded line, and to a cent for demand and export."""
    lines = {line.name: float(line.cost) for line in cost.lines}
    energy = [value for name, value in lines.items() if name.startswith("energy")]
    assert plan.cost["energy"] == pytest.approx(sum(energy), abs=ROUNDED * len(energy) + 1e-6)
    for name, value in lines.items():
        if name == "export" or name.startswith("demand"):
            assert plan.cost.get(name, 0.0) == pytest.approx(value, abs=0.01), name


def day_load(steps: int, seed: int = 0, mean: float = 200.0) -> Array:
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(steps) / steps * 2 * np.pi * (steps / 96) - 2)
    return np.asarray(mean + 0.5 * mean * wave + rng.uniform(0, 0.3 * mean, steps))


@pytest.mark.parametrize(
    ("name", "day", "steps"),
    [
        ("pge_a10", "2019-08-14", 96),
        ("pge_a10", "2019-11-03", 100),  # clocks go back
        ("pge_a10", "2020-03-08", 92),  # clocks go forward
        ("sce_tou_ev_8", "2019-08-16", 96),
        ("amsterdam", "2022-06-01", 96),
        ("amsterdam", "2022-03-27", 92),
        ("amsterdam", "2022-10-30", 100),
    ],
)
def test_a_day_of_every_tariff(name: str, day: str, steps: int) -> None:
    site = site_of(name)
    start = local(site, f"{day} 00:00")
    hour = np.arange(steps) / 4
    market = {IMPORT_PRICE: 0.2 + 0.15 * np.sin(hour / 4), EXPORT_PRICE: 0.15 + 0.15 * np.sin(hour / 4)}
    peaks = dict.fromkeys([rule.meter.id for rule in demand_rules(site, load_tariff(site), start.date())], 180.0)
    used = market if name == "amsterdam" else {}
    situation = situation_of(site, start, day_load(steps), peaks_kw=peaks, market=used)
    plan = planned(site, situation)
    assert situation.grid.near_end == local(site, f"{day} 00:00") + timedelta(minutes=15 * steps)
    assert plan.flow("battery1", "discharge_kw").max() > 1.0
    assert_equal(plan, cost_of(site, situation, plan, peaks))


@pytest.mark.parametrize(
    ("name", "month"), [("pge_a10", "2019-08"), ("sce_tou_ev_8", "2019-12"), ("amsterdam", "2022-03")]
)
def test_a_bill_of_a_month(name: str, month: str) -> None:
    """Constant 100 kW: hours by band are counted from the calendar, apart from the code under test."""
    site = site_of(name)
    tariff = load_tariff(site)
    start = local(site, f"{month}-01 00:00")
    period = tariff.billing_month(start)
    index = pd.date_range(*period, freq="15min", inclusive="left")
    flows = pd.DataFrame({"import_kw": 100.0, "export_kw": 0.0, IMPORT_PRICE: 0.3, EXPORT_PRICE: 0.2}, index=index)
    found = bill(site, tariff, flows, period, demands_kw(site, tariff, flows_of(flows, *period, ["import_kw"])))
    expected = {
        # 22 workdays and 9 weekend days; 6 h peak, 7 h part-peak, 11 h off-peak, else 24 h off-peak; 100 kW of demand
        "pge_a10": [22 * 6 * 23.223, 22 * 7 * 17.71, (22 * 11 + 9 * 24) * 14.903, 1999.0],
        # 31 days: 5 h, 11 h, 8 h
        "sce_tou_ev_8": [31 * 5 * 29.7, 31 * 11 * 13.568, 31 * 8 * 7.724],
        # 31 days less an hour: market, two adders, demand, a month
        "amsterdam": [743 * 30.0, 743 * 4.5, 743 * 1.0, 320.0, 35.0],
    }[name]
    assert sorted(float(line.fee) for line in found.lines) == pytest.approx(sorted(expected), abs=0.01)
    assert found.currency == site.currency
    assert float(found.total) == pytest.approx(sum(expected), abs=0.03)
    assert found.export_total == 0


def test_market_prices_are_billed_interval_by_interval() -> None:
    """Two hours at 0.50 and -0.10: the mean price of the line is weighted by energy."""
    site = site_of("amsterdam", demand=[])
    period = (local(site, "2022-06-01 00:00"), local(site, "2022-06-01 02:00"))
    index = pd.date_range(*period, freq="h", inclusive="left")
    flows = pd.DataFrame({"import_kw": [10.0, 30.0], "export_kw": [0.0, 5.0], IMPORT_PRICE: [0.5, -0.1]}, index=index)
    found = bill(site, load_tariff(site), flows.assign(**{EXPORT_PRICE: [0.4, -0.2]}), period, None)
    (market,) = [line for line in found.lines if line.component == "market"]
    assert (market.quantity, market.price, market.fee) == (Decimal(40), Decimal("0.05"), Decimal("2.00"))
    assert found.export_total == Decimal("-1.00")
    with pytest.raises(ValueError, match=r"lack the column market\.export_price_per_kwh"):
        bill(site, load_tariff(site), flows, period, None)


def test_tiers_are_billed_on_a_whole_month_only() -> None:
    site = site_of("pge_a10", tiers=[{"above_kwh": 50_000, "adder_per_kwh": 0.01}])
    tariff = load_tariff(site)
    period = tariff.billing_month(local(site, "2019-08-01 00:00"))
    index = pd.date_range(*period, freq="h", inclusive="left")
    flows = pd.DataFrame({"import_kw": 100.0, "export_kw": 0.0}, index=index)
    assert bill(site, tariff, flows, period, 100.0).of("tier") == Decimal("244.00")  # 74 400 - 50 000 kWh
    part = (period[0], period[0] + timedelta(days=1))
    assert bill(site, tariff, flows, part, 100.0).of("tier") == 0


# Several lines, by hand: 10 on the whole day, 8 on the hour's mean 16:00-21:00, 5 on the half hour's mean above 50 kW
# 12:00-18:00. Quarter hours of 100 kW but 300 kW at 17:00 and 500 kW at 03:00.
SPIKES = np.full(96, 100.0)
SPIKES[68], SPIKES[12] = 300.0, 500.0
BY_HAND = {"whole": 500.0, "evening": (300 + 3 * 100) / 4, "by_band": (300 + 100) / 2}


def three_lines(**changes: Any) -> Site:
    """Without a battery: the flows are given."""
    site = site_of("pge_a10", demand=LINES, **changes)
    return site.model_copy(update={"devices": tuple(d for d in site.devices if d.kind != "battery")})


def test_three_lines_with_windows_and_blocks_by_hand() -> None:
    site = three_lines()
    situation = situation_of(site, local(site, "2019-08-14 00:00"), SPIKES)
    plan = planned(site, situation)
    assert plan.cost["demand.whole"] == pytest.approx(10 * 500)
    assert plan.cost["demand.evening"] == pytest.approx(8 * 150)
    assert plan.cost["demand.by_band"] == pytest.approx(5 * (200 - 50))
    assert plan.grid_limit_kw == pytest.approx(500.0)
    cost = cost_of(site, situation, plan, {})
    assert_equal(plan, cost)
    assert cost.peaks_after_kw == BY_HAND


def test_the_grid_limit_is_the_least_peak_of_the_lines_that_apply_now() -> None:
    site = three_lines()
    situation = situation_of(site, local(site, "2019-08-14 13:00"), np.full(8, 100.0), peaks_kw={"whole": 400.0})
    plan = planned(site, situation)  # the evening's line does not apply at 13:00
    assert plan.grid_limit_kw == pytest.approx(100.0)
    situation = situation_of(site, local(site, "2019-08-14 07:00"), np.full(8, 100.0), peaks_kw={"whole": 400.0})
    assert planned(site, situation).grid_limit_kw == pytest.approx(400.0)


def test_a_peak_without_a_line_stands_for_every_line() -> None:
    site = three_lines()
    situation = situation_of(site, local(site, "2019-08-14 00:00"), SPIKES)
    plan = planned(site, replace(situation, state={"grid": {"peak_kw": 600.0}}))
    assert plan.cost["demand.whole"] + plan.cost["demand.evening"] + plan.cost["demand.by_band"] == pytest.approx(0.0)


def test_rules_heed_the_line_that_applies() -> None:
    """The battery charges at the same cheap price day and night, but slowly while the night's peak is the lower one."""
    lines = [{"id": "whole", "price_per_kw": 10}, {"id": "night", "price_per_kw": 8, "hours": ["00:00-06:00"]}]
    site = site_of("sce_tou_ev_8", demand=lines)
    peaks = {"whole": 400.0, "night": 120.0}
    situation = situation_of(site, local(site, "2019-08-14 00:00"), np.full(96, 100.0), peaks_kw=peaks)
    imports = rule_plan(site.devices, situation).flow("grid", "import_kw")
    assert imports[:24].max() == pytest.approx(120.0)
    assert imports[24:].max() > 200.0


def test_peaks_so_far_are_those_of_the_bill() -> None:
    site = three_lines()
    tariff = load_tariff(site)
    start = local(site, "2019-08-14 00:00")
    imports = pd.Series(SPIKES, pd.date_range(start, periods=96, freq="15min"))
    assert peaks_so_far_kw(site, tariff, imports, start + timedelta(days=1), 15) == BY_HAND
    at = local(site, "2019-08-14 17:30")  # the evening's hour is not over, the half hour is
    assert peaks_so_far_kw(site, tariff, imports, at, 15) == {"whole": 500.0, "evening": 100.0, "by_band": 200.0}
    assert set(peaks_so_far_kw(site, tariff, imports, local(site, "2019-09-01 00:00"), 15).values()) == {0.0}


@settings(deadline=None, max_examples=25)
@given(
    load=st.lists(st.floats(0.0, 700.0), min_size=96, max_size=96),
    peaks=st.tuples(*[st.floats(0.0, 700.0)] * 3),
    day=st.dates(date(2019, 7, 1), date(2020, 6, 30)),
)
def test_random_flows_cost_what_they_are_billed(
    load: list[float], peaks: tuple[float, float, float], day: date
) -> None:
    site = three_lines()
    before = dict(zip(("whole", "evening", "by_band"), peaks, strict=True))
    start = datetime(day.year, day.month, day.day, tzinfo=site.zone).astimezone(UTC)
    situation = situation_of(site, start, np.array(load)[:80], peaks_kw=before)
    plan = planned(site, situation)
    assert_equal(plan, cost_of(site, situation, plan, before))


def jiashan(**changes: Any) -> Site:
    site = load_site("jiashan_park")
    devices = (GridConnection(id="grid", import_limit_kw=6000), Load(id="load", carrier="power"))
    return site.model_copy(update={"tariff": site.tariff.model_copy(update=changes), "devices": devices})


@pytest.mark.parametrize(
    ("contract", "demand", "fee_above_contract"),
    [(3000, 2400, 0.0), (3000, 3150, 0.0), (3000, 3300, 12_240.0), (1500, 1900, 0.0), (1500, 2200, 8_160.0)],
)
def test_tv06_in_the_model(contract: float, demand: float, fee_above_contract: float) -> None:
    """Shanghai, 40.8 per kW, 5000 kVA: the plan pays what comes on top of p_d·C', by rule A."""
    site = jiashan(area="shanghai", demand_mode="contract", contract_demand_kw=float(contract), transformer_kva=5000.0)
    situation = situation_of(site, local(site, "2026-08-26 00:00"), np.full(96, float(demand)))
    plan = planned(site, situation)
    assert plan.cost["demand"] == pytest.approx(fee_above_contract)
    assert_equal(plan, cost_of(site, situation, plan, {}))


def test_tv06_actual_and_capacity_in_the_model() -> None:
    start, load = local(jiashan(), "2026-08-26 00:00"), np.full(96, 2400.0)
    actual = jiashan(area="shanghai", demand_mode="actual", transformer_kva=5000.0)
    assert planned(actual, situation_of(actual, start, load)).cost["demand"] == pytest.approx(97_920.0)
    capacity = jiashan(area="shanghai", demand_mode="capacity", transformer_kva=5000.0)
    plan = planned(capacity, situation_of(capacity, start, load))
    assert "demand" not in plan.cost
    assert plan.grid_limit_kw is None


def test_tv05_in_the_model_the_interval_slides() -> None:
    """60 minutes of 1000 kW, minutes 8 to 22 at 1600: with one-minute steps the model finds 1600, not 1320."""
    site = jiashan()
    load = np.full(60, 1000.0)
    load[8:23] = 1600.0
    situation = situation_of(site, local(site, "2026-08-26 00:00"), load, step_minutes=1)
    (line,) = situation.prices.demand
    assert (line.averaged_steps, line.block) == (15, None)
    assert planned(site, situation).cost["demand"] == pytest.approx(48.0 * 1600.0)


def test_a_month_end_and_a_new_tariff_version_inside_the_horizon() -> None:
    """2026-06-30 12:00 to 07-01 12:00 in Zhejiang: each month is billed by its own bands and has its own peak."""
    site = jiashan()
    tariff: Tariff = load_tariff(site)
    start, load = local(site, "2026-06-30 12:00"), np.r_[np.full(48, 900.0), np.full(48, 1100.0)]
    situation = situation_of(site, start, load, peaks_kw={"demand": 800.0})
    plan = planned(site, situation)
    flows = flows_frame(plan, situation)
    change = local(site, "2026-07-01 00:00")
    june = day_cost(site, tariff, flows, (start, change), {"demand": 800.0})
    july = day_cost(site, tariff, flows, (change, situation.grid.near_end), {"demand": 800.0})
    documents = {segment.price.document for segment in tariff.segments(start, situation.grid.near_end)}
    assert len(documents) == 2
    energy = [float(line.cost) for cost in (june, july) for line in cost.lines if line.name.startswith("energy")]
    assert plan.cost["energy"] == pytest.approx(sum(energy), abs=ROUNDED * len(energy) + 1e-6)
    assert plan.cost["demand"] == pytest.approx(48.0 * 100 + 48.0 * 300)
    demand = [float(line.cost) for cost in (june, july) for line in cost.lines if line.name == "demand"]
    assert plan.cost["demand"] == pytest.approx(sum(demand), abs=0.01)
    # what July's plan took as its start, the running peak, July's bill charges besides
    whole = basic_fee(site.tariff, tariff.demand_price(date(2026, 7, 1)), 1100.0)  # type: ignore[attr-defined,arg-type]
    assert float(whole) == pytest.approx(demand[1] + 48.0 * 800.0)


def test_a_season_of_the_demand_price_changes_with_the_month() -> None:
    site = site_of("pge_a10")
    bare = site.model_copy(update={"devices": tuple(d for d in site.devices if d.kind != "battery")})
    start = local(site, "2019-10-31 12:00")
    situation = situation_of(bare, start, np.r_[np.full(48, 200.0), np.full(48, 300.0)])
    plan = planned(bare, situation)
    assert plan.cost["demand"] == pytest.approx(19.99 * 200 + 11.66 * 300)
