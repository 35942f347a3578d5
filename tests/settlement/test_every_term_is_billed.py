"""Every term of a plan's cost table against settlement on the same flows, over recorded weeks of a whole park.

A plan counts in floating point, settlement rounds each line to 0.01 and each energy to a millionth of a kWh. So the two
may differ by half a cent for each line and item, and by 0.5e-6 kWh times the price for each interval; without that
rounding they are equal to 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import site_configs
from optimizer.devices import (
    AnyDevice,
    BackupGenerator,
    Battery,
    Chiller,
    Chp,
    GasBoiler,
    GasSupply,
    GridConnection,
    Load,
    Pv,
    ThermalStore,
    V2gCharger,
)
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan
from optimizer.situation import Session, Situation
from optimizer.time_grid import TimeGrid
from settlement.day_cost import CostLine, day_cost
from settlement.operation import operating_items
from site_configs.demand import demand_rules
from site_configs.loader import load_site
from site_configs.prices import prices_for
from site_configs.site import Site
from site_configs.tariff import Tariff, load_tariff
from tests.settlement.test_plan_is_billed import local

RECORD = Path(site_configs.__file__).parent / "sample" / "jiashan_park" / "series.csv.gz"
ROUNDED = 0.005
"""Largest rounding of a line or item."""
MICRO_KWH = 0.5e-6
"""Largest rounding of the energy of an interval."""
PRICES_IN_A_BAND = 2
"""Before and after a new tariff version: two lines."""
NOT_BILLED = {"unserved", "limits", "terminal", "curtailment"}
"""Terms that only the plan has: nobody invoices them."""
OPERATION = {"wear", "gas", "fuel", "start", "carbon"}

MACHINES: tuple[AnyDevice, ...] = (
    GridConnection(id="grid", import_limit_kw=1800, export_limit_kw=1200),
    Load(id="load", carrier="power"),
    Load(id="cold_load", carrier="cold"),
    Load(id="heat_load", carrier="heat"),
    Pv(id="pv1", capacity_kw=2000),
    Battery(id="battery1", capacity_kwh=1000, charge_limit_kw=500, discharge_limit_kw=500, wear_cost_per_kwh=0.1481),
    ThermalStore(id="cold_store", carrier="cold", capacity_kwh=1200, charge_limit_kw=200, discharge_limit_kw=200),
    Chiller(id="chiller1", cooling_limit_kw=500, min_part_load=0.0),
    GasSupply(id="gas", supply_limit_kw=2000, price_per_nm3=3.77, carbon_price_per_kg=0.0736),
    GasBoiler(id="boiler1", heat_limit_kw=400, min_part_load=0.0),
    BackupGenerator(id="generator1", power_limit_kw=100, fuel_cost_per_kwh=0.7, carbon_price_per_kg=0.0736),
    V2gCharger(id="ev01", charge_limit_kw=40, discharge_limit_kw=40, departure_margin_minutes=0),
)
CHP = Chp(id="chp1", power_limit_kw=200, start_cost=87.5)


def park(**choice: object) -> Site:
    site = load_site("jiashan_park")
    tariff = site.tariff.model_copy(update={"transformer_kva": 1250.0, **choice})
    export = site.export.model_copy(update={"price_per_kwh": 0.2153})
    return site.model_copy(update={"tariff": tariff, "export": export, "devices": MACHINES, "feeders": ()})


@cache
def recorded() -> pd.DataFrame:
    return pd.read_csv(RECORD, index_col="time", parse_dates=["time"])


def situation_of(site: Site, start: datetime, hours: int, step_minutes: int, peak_kw: float) -> Situation:
    """The park's record with three times its PV, heat by the weather, a car a day, a generator run in the evening."""
    grid = TimeGrid(start, step_minutes, hours * 60 // step_minutes)
    series = {name: grid.average(recorded()[name]) for name in recorded().columns}
    hour = np.array([(t + timedelta(hours=8)).hour for t in grid.times])
    series["pv1.available_kw"] = 3.0 * series["pv1.available_kw"]
    series["heat_load.demand_kw"] = np.maximum(400.0 - 8.0 * series["weather.temperature_c"], 0.0)
    series["generator1.allowed"] = (hour == 19).astype(float)
    return Situation(
        site=site.id,
        issued_at=start,
        grid=grid,
        state={"grid": {"peak_kw.demand": peak_kw}, "battery1": {"energy_kwh": 500.0}},
        series=series,
        prices=prices_for(site, load_tariff(site), grid, series),
        sessions={"ev01": tuple(_car(start + timedelta(days=n)) for n in range(hours // 24))},
    )


def _car(day: datetime) -> Session:
    come, go = day + timedelta(hours=17), day + timedelta(hours=23)
    return Session(f"{day:%m%d}", "ev01", come, go, 10.0, 60.0, 80.0)


@dataclass(frozen=True)
class Settled:
    """What settlement says of a plan's flows."""

    lines: tuple[CostLine, ...]
    items: int

    def of(self, term: str) -> float:
        name = {"energy": "energy_"}.get(term, term)
        return float(sum(line.cost for line in self.lines if line.name == name or line.name.startswith(name)))

    @property
    def total(self) -> float:
        return float(sum(line.cost for line in self.lines))

    @property
    def rounding(self) -> float:
        return ROUNDED * (len(self.lines) + self.items)


def settled(site: Site, tariff: Tariff, situation: Situation, plan: Plan) -> Settled:
    """Month by month; each month's demand over the peak before the plan, as the plan takes it."""
    start, end = situation.grid.start, situation.grid.near_end
    turn = min(tariff.billing_month(start)[1], end)
    columns = {f"{flow.device}.{flow.quantity}": flow.kw for flow in plan.flows}
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(situation.grid.near_times))
    frame = frame.assign(import_kw=columns["grid.import_kw"], export_kw=columns["grid.export_kw"])
    peak = situation.peak_so_far_kw("grid", "demand")
    items = operating_items(site.devices, frame, (start, end))
    months = [(start, turn, items)] + ([(turn, end, ())] if turn < end else [])
    costs = [day_cost(site, tariff, frame, (a, b), peak, operation) for a, b, operation in months]
    return Settled(tuple(line for cost in costs for line in cost.lines), len(items))


def exact(site: Site, tariff: Tariff, situation: Situation, plan: Plan) -> dict[str, float]:
    """Energy, export and demand interval by interval from the tariff's own prices, nothing rounded."""
    imports, hours = plan.flow("grid", "import_kw"), situation.grid.step_hours
    prices = np.array([float(tariff.at(time).total) for time in situation.grid.near_times])
    months = np.array([tariff.local_date(time).month for time in situation.grid.near_times])
    before = situation.peak_so_far_kw("grid", "demand")
    demand = 0.0
    for month in dict.fromkeys(months):
        day = tariff.local_date(situation.grid.near_times[int(np.argmax(months == month))])
        for rule in demand_rules(site, tariff, day):
            least = max(before, float(rule.free_kw))
            demand += float(rule.price_per_kw) * max(0.0, float(imports[months == month].max()) - least)
    return {
        "energy": float((imports * prices).sum()) * hours,
        "export": -float(plan.flow("grid", "export_kw").sum()) * hours * site.export.price_per_kwh,
        "demand": demand,
    }


def assert_every_term_is_billed(site: Site, situation: Situation, plan: Plan) -> None:
    tariff = load_tariff(site)
    found, unrounded = settled(site, tariff, situation, plan), exact(site, tariff, situation, plan)
    billed = {term: cost for term, cost in plan.cost.items() if term not in NOT_BILLED}
    assert set(billed) <= OPERATION | set(unrounded)
    for term, value in unrounded.items():
        assert billed.get(term, 0.0) == pytest.approx(value, abs=1e-6), term
    by_energy = MICRO_KWH * situation.grid.near * float(situation.prices.import_per_kwh.max())
    for term, cost in billed.items():
        assert cost == pytest.approx(found.of(term), abs=found.rounding + by_energy), term
    assert sum(billed.values()) == pytest.approx(found.total, abs=found.rounding + by_energy)
    band, imports = np.array(situation.prices.band), plan.flow("grid", "import_kw")
    for name in set(situation.prices.band):
        planned = float((imports * situation.prices.import_per_kwh)[band == name].sum()) * situation.grid.step_hours
        lines = [float(line.cost) for line in found.lines if line.name == f"energy_{name}"]
        assert sum(lines) == pytest.approx(planned, abs=PRICES_IN_A_BAND * ROUNDED + by_energy), name


CHOICES = {
    "actual": {},
    "contract": {"demand_mode": "contract", "contract_demand_kw": 550.0},
    "contract_far_above": {"demand_mode": "contract", "contract_demand_kw": 3000.0},
    "capacity": {"demand_mode": "capacity"},
}


@pytest.mark.parametrize(
    ("mode", "start"),
    [("actual", None), ("contract", None), ("capacity", None), ("actual", "2026-06-27"), ("contract", "2026-08-29")],
)
def test_a_recorded_week(mode: str, start: str | None) -> None:
    """Random weeks; one over the new tariff version of 2026-07-01 and the month's end, one over another month's end."""
    site, rng = park(**CHOICES[mode]), np.random.default_rng(len(mode))
    day = start or f"2026-0{rng.integers(7, 10)}-{rng.integers(1, 24):02d}"
    situation = situation_of(site, local(site, f"{day} 00:00"), 168, 60, float(rng.uniform(300, 700)))
    plan = Planner(site.id, site.devices).plan(situation)
    assert isinstance(plan, Plan)
    assert plan.cost["unserved"] == pytest.approx(0.0, abs=1e-6)
    assert min(plan.cost[term] for term in ("energy", "wear", "gas", "fuel", "carbon")) > 1.0
    assert plan.cost["export"] < 0.0
    if start:
        assert max(situation.prices.billing_period) == 1
    assert_every_term_is_billed(site, situation, plan)
    assert_every_term_is_billed(site, situation, rule_plan(site.devices, situation))


@pytest.mark.parametrize("mode", sorted(CHOICES))
def test_quarter_hours_with_a_machine_that_starts(mode: str) -> None:
    """Eight hours, the whole of them exact in on and off: the CHP starts once and is billed for it."""
    site = park(**CHOICES[mode])
    site = site.model_copy(update={"devices": (*MACHINES, CHP)})
    situation = situation_of(site, local(site, "2026-08-31 16:00"), 8, 15, 200.0)
    situation = replace(situation, sessions={})
    plan = Planner(site.id, site.devices).plan(situation)
    assert isinstance(plan, Plan)
    assert plan.cost["start"] == pytest.approx(87.5)
    assert_every_term_is_billed(site, situation, plan)
