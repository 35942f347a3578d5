"""The cost of a day, line by line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from settlement.day_cost import day_cost
from settlement.operation import CostItem
from site_configs.site import Site
from site_configs.tariff import Tariff, load_tariff

Local = Callable[[str], datetime]
FlowsOf = Callable[..., pd.DataFrame]


@pytest.fixture
def day(local: Local) -> tuple[datetime, datetime]:
    return local("2026-08-26 00:00"), local("2026-08-27 00:00")


def test_lines_of_a_day(site: Site, tariff: Tariff, day: tuple[datetime, datetime], constant: FlowsOf) -> None:
    wear = [CostItem("wear", "battery1", 800.0, "kWh", 0.1481), CostItem("wear", "ev01", 10.0, "kWh", 0.35)]
    cost = day_cost(site, tariff, constant(*day, export_kw=100.0), day, 900.0, wear)
    assert cost.as_dict() == {
        "energy_sharp": 4903.36,
        "energy_peak": 3377.04,
        "energy_flat": 4900.0,
        "energy_valley": 3995.2,
        "demand": 4800.0,  # 100 kW of new peak at 48
        "export": -996.72,
        "wear": 121.98,
        "total": 21100.86,
    }
    assert cost.total == sum(line.cost for line in cost.lines) == Decimal("21100.86")
    assert cost.peak_after_kw == 1000.0


def test_a_day_without_a_new_peak_pays_nothing_for_demand(
    site: Site, tariff: Tariff, day: tuple[datetime, datetime], constant: FlowsOf
) -> None:
    cost = day_cost(site, tariff, constant(*day), day, 1200.0)
    assert cost.as_dict()["demand"] == 0.0
    assert cost.peak_after_kw == 1200.0


def test_one_minute_flows_give_the_sliding_peak(
    site: Site, tariff: Tariff, day: tuple[datetime, datetime], constant: FlowsOf
) -> None:
    flows = constant(*day, minutes=1)
    power = np.full(len(flows), 1000.0)
    power[608:623] = 1600.0
    cost = day_cost(site, tariff, flows.assign(import_kw=power), day, 1000.0)
    assert cost.peak_after_kw == 1600.0
    assert cost.as_dict()["demand"] == 28800.0


@pytest.mark.parametrize(("mode", "fee"), [("capacity", 0.0), ("none", 0.0), ("contract", 7200.0)])
def test_demand_follows_the_sites_way_of_billing(
    site: Site, tariff: Tariff, day: tuple[datetime, datetime], constant: FlowsOf, mode: str, fee: float
) -> None:
    changed = site.tariff.model_copy(update={"demand_mode": mode, "contract_demand_kw": 1000.0})
    flows = constant(*day, import_kw=1125.0)  # 75 kW above 105 % of the contract, at twice 48
    cost = day_cost(site.model_copy(update={"tariff": changed}), tariff, flows, day, 500.0)
    assert cost.as_dict()["demand"] == fee


@pytest.mark.parametrize(("hour", "margin"), [(8, 0.2337), (19, 0.9687)])
def test_what_a_battery_earns_with_a_kwh(
    site: Site, day: tuple[datetime, datetime], constant: FlowsOf, hour: int, margin: float
) -> None:
    """TV-21: charged in the valley at 88 % round trip, given in the flat or the sharp band, wear 0.1481."""
    every = ("purchase", "line_loss", "transmission_distribution", "system_operation", "funds")
    park = site.model_copy(update={"tariff": site.tariff.model_copy(update={"floating": every})})
    idle = constant(*day, import_kw=3000.0)
    moved = idle["import_kw"].to_numpy(copy=True)
    moved[8:12] += 1000 / 0.88
    moved[4 * hour : 4 * hour + 4] -= 1000
    tariff = load_tariff(park)
    before = day_cost(park, tariff, idle, day, 9000.0)
    wear = [CostItem("wear", "battery1", 1000.0, "kWh", 0.1481)]
    after = day_cost(park, tariff, idle.assign(import_kw=moved), day, 9000.0, wear)
    assert float(before.total - after.total) / 1000 == pytest.approx(margin, abs=5e-5)
