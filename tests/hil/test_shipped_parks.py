"""Every shipped park on its own sample: it loads, is planned, runs in closed loop with the plant, and is billed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from hil.closed_loop import Run, recorded_situation, run_closed_loop
from hil.measured import flows, served_cars
from optimizer.plan import Plan
from optimizer.situation import Situation
from optimizer.verify import verify
from settlement.utility_bill import utility_bill
from site_configs.history import History, read_history, sample_folder, sample_root
from site_configs.loader import check_site, load_site, shipped_sites
from site_configs.site import Site
from site_configs.tariff import load_tariff
from streams.control_cycle import control_cycle, feeder_limits, planner_for, services_of
from streams.site_state import SiteState

SEED = 11
DAY_QUARTERS = 96
MOST_BYTES = 5_000_000
"""All samples together."""
DAYS = {
    "jiashan_park": "2026-08-26",
    "baoshan_steel": "2026-05-20",
    "nanjing_hospital": "2026-03-18",
    "beijing_hotel": "2026-07-22",
    "wuxi_depot": "2026-07-22",
}
"""A workday in the middle of each sample."""


@dataclass(frozen=True)
class Park:
    """A shipped park with its sample and its day."""

    site: Site
    history: History
    start: datetime

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=1)


@cache
def park_of(name: str) -> Park:
    site = load_site(name)
    start = datetime.fromisoformat(DAYS[name]).replace(tzinfo=ZoneInfo(site.timezone)).astimezone(UTC)
    return Park(site, read_history(sample_folder(name)), start)


@cache
def a_day(name: str) -> Run:
    park = park_of(name)
    return run_closed_loop(park.site, park.history, park.start, DAY_QUARTERS, "rules", seed=SEED)


@cache
def planned(name: str) -> tuple[Situation, Plan]:
    """The day planned at its midnight, with what was recorded as what is known."""
    park = park_of(name)
    state = SiteState(park.site.id, park.start, {}, {})
    situation = recorded_situation(park.site, load_tariff(park.site), park.history, state, park.end)
    result = control_cycle(park.site, planner_for(park.site), situation, None, deadline_s=60.0)
    assert result.attempts == ()
    return situation, result.plan


@pytest.fixture(params=sorted(DAYS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_these_are_all_the_shipped_parks() -> None:
    assert set(DAYS) == set(shipped_sites())
    assert {folder.name for folder in sample_root().iterdir()} == set(DAYS)


def test_samples_stay_small() -> None:
    assert sum(file.stat().st_size for file in sample_root().rglob("*") if file.is_file()) < MOST_BYTES


def test_every_park_has_a_tariff_of_its_own() -> None:
    tariffs = {park_of(name).site.tariff.model_dump_json() for name in DAYS}
    assert len(tariffs) == len(DAYS)


def test_it_is_valid_and_its_sample_reads_without_repairs(name: str) -> None:
    park = park_of(name)
    assert check_site(name).errors == ()
    assert park.history.repairs == ()
    assert park.history.step_minutes == park.site.step_minutes
    assert not park.history.frame.isna().any().any()
    assert park.history.end - park.history.frame.index[0] >= pd.Timedelta(weeks=8)


def test_its_sources_and_licences_are_stated(name: str) -> None:
    text = (sample_folder(name) / "SOURCES.md").read_text(encoding="utf-8")
    assert "licence" in text.lower()
    for column in park_of(name).history.frame:
        assert f"`{column}`" in text


def test_its_devices_can_carry_what_was_recorded(name: str) -> None:
    park = park_of(name)
    for device in park.site.devices:
        if device.kind == "pv":
            assert park.history.series(f"{device.id}.available_kw").max() <= device.capacity_kw
        if device.kind == "waste_heat":
            assert park.history.series(f"{device.id}.available_kw").max() <= device.heat_limit_kw


def test_every_car_can_be_charged_while_it_stays(name: str) -> None:
    park = park_of(name)
    chargers = {device.id: device for device in park.site.devices if device.kind == "v2g_charger"}
    for car in park.history.sessions:
        charger = chargers[car.charger]
        hours = (car.depart - car.arrive) / timedelta(hours=1)
        assert car.energy_needed_kwh <= charger.charge_limit_kw * charger.charge_efficiency * hours


def test_it_is_planned_and_the_plan_holds(name: str) -> None:
    park = park_of(name)
    situation, plan = planned(name)
    assert plan.status == "optimal"
    assert verify(park.site.devices, feeder_limits(park.site), situation, plan, services_of(park.site)) == ()
    assert plan.limits_given_way == ()


def test_a_day_in_closed_loop_leaves_nobody_without(name: str) -> None:
    run = a_day(name)
    measured = flows(run.plant, run.records)
    for carrier in ("power", "heat", "cold"):
        assert measured[f"unserved_{carrier}_kw"].max() == pytest.approx(0.0, abs=1e-6)
    assert served_cars(run.plant, run.records).missed_kwh == pytest.approx(0.0, abs=1e-6)


def test_the_day_is_billed_under_its_tariff(name: str) -> None:
    park, run = park_of(name), a_day(name)
    measured = flows(run.plant, run.records)
    billed = utility_bill(park.site, measured, (park.start, park.end))
    bought = sum(float(line.quantity) for line in billed.lines if line.component == "purchase")
    assert bought == pytest.approx(float(measured["import_kw"].sum()) / 4, rel=1e-5)
    assert billed.total > 0


def test_samples_are_no_copies_of_one_another() -> None:
    loads = [park_of(name).history.series("load.demand_kw").to_numpy()[:672] for name in sorted(DAYS)]
    apart = np.corrcoef(np.stack(loads)) - np.eye(len(loads))
    assert apart.max() < 0.95


def test_the_depot_has_a_hundred_two_way_chargers() -> None:
    chargers = [device for device in park_of("wuxi_depot").site.devices if device.kind == "v2g_charger"]
    assert sum(charger.discharge_limit_kw > 0 for charger in chargers) >= 100


def test_the_steel_works_peaks_above_their_contract() -> None:
    park = park_of("baoshan_steel")
    load = park.history.series("load.demand_kw")
    assert load.max() > 1.05 * park.site.tariff.contract_demand_kw
    assert load.diff().abs().max() > 1000


def test_the_hospital_keeps_its_island_reserve() -> None:
    situation, plan = planned("nanjing_hospital")
    park = park_of("nanjing_hospital")
    (reserve,) = park.site.services
    battery = next(device for device in park.site.devices if device.id == "battery1")
    diesel = next(device for device in park.site.devices if device.id == "diesel")
    critical = reserve.critical_shares["load"] * situation.series["load.demand_kw"].max()
    needed_kwh = (critical - diesel.power_limit_kw) * reserve.hours / battery.discharge_efficiency
    above = plan.states["battery1"]["energy_kwh"][1:] - battery.min_soc * battery.capacity_kwh
    assert needed_kwh > 500
    assert above.max() >= needed_kwh - 1e-6


def test_the_hotel_fills_its_ice_while_power_is_cheap() -> None:
    situation, plan = planned("beijing_hotel")
    charge, price = plan.flow("ice_store", "charge_kw"), situation.prices.import_per_kwh
    assert charge.sum() / 4 > 4000
    cheap = price[: len(charge)] <= np.median(price)
    assert charge[cheap].sum() > 0.9 * charge.sum()
