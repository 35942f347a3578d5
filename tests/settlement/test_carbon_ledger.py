"""The carbon ledger, its certificates and exports (RULES 7, TV-29 and TV-30)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd
import pytest

from optimizer.errors import InputError
from settlement.carbon_exports import EXPORTS, as_csv, export_rows, line_energy
from settlement.carbon_ledger import Activity, activities_of, avoided_kg, ledger, quota_gap
from settlement.certificates import CarbonInventory, inventory_of
from site_configs.carbon import fuels
from site_configs.site import GreenPower, Site, TariffChoice

FlowsOf = Callable[..., pd.DataFrame]
Local = Callable[[str], datetime]

BLOCK = {
    "kind": "GEC", "prefix": "GEC2026-", "first": 1000, "count": 200, "acquired": date(2026, 7, 3), "price": 4.24,
    "document": "trade 77",
}  # fmt: skip
USED = {
    "kind": "GEC", "prefix": "GEC2026-", "first": 1000, "count": 150, "month": "2026-07", "retired": date(2026, 8, 5),
    "document": "retirement 12",
}  # fmt: skip


def inventory(**changes: Any) -> CarbonInventory:
    return inventory_of(deepcopy({"blocks": [BLOCK], "retired": [USED], **changes}), "carbon.yaml")


def tonnes(kg: Decimal) -> Decimal:
    return (kg / 1000).quantize(Decimal("0.001"), ROUND_HALF_UP)


MONTH = (
    Activity("meter.import_kw", "grid", Decimal(800_000)),
    Activity("gas.supply_kw", "natural_gas", Decimal(40_000)),
)


def test_a_month_with_certificates_and_gas(site: Site) -> None:
    """TV-29; 220 000 kWh of PV used and 30 000 kWh exported change nothing."""
    found = ledger(site, "2026-07", MONTH, inventory())
    assert tonnes(found.scope_1_kg) == Decimal("86.488")
    assert tonnes(found.kg("location")) == Decimal("397.920")
    assert tonnes(found.kg("market")) == Decimal("396.240")
    assert tonnes(found.location_kg) == Decimal("484.408")
    assert tonnes(found.market_kg) == Decimal("482.728")
    bare = ledger(site, "2026-07", MONTH, CarbonInventory())
    assert tonnes(bare.kg("market")) == Decimal("487.680")
    assert bare.kg("location") == found.kg("location")  # certificates do not lower it
    assert "GEC2026-1000 - GEC2026-1149" in next(e.evidence for e in found.entries if e.method == "market")


def test_the_factor_of_natural_gas() -> None:
    """TV-30."""
    gas = fuels()["natural_gas"]
    assert float(gas.factor) * 10 == pytest.approx(21.6219, abs=5e-5)
    assert float(gas.factor) == pytest.approx(2.1622, abs=5e-5)


def test_storage_raises_location_based_emissions_by_its_losses(site: Site) -> None:
    """The 7 000 kWh of TV-27."""
    assert tonnes(avoided_kg(site, Decimal(400_000), Decimal(407_000))) == Decimal("-3.482")


def test_green_power_counts_as_certificates_do_but_never_below_nothing(site: Site) -> None:
    assert isinstance(site.tariff, TariffChoice)
    bought = GreenPower(
        from_month=date(2026, 7, 1), to_month=date(2026, 12, 1), share=0.9, premium_per_kwh=0.02, document="green 7"
    )
    park = site.model_copy(update={"tariff": site.tariff.model_copy(update={"green_power": (bought,)})})
    found = ledger(park, "2026-07", MONTH[:1], inventory())
    assert found.kg("market") == 0  # 720 000 + 150 000 kWh for 800 000
    assert ledger(park, "2027-01", MONTH[:1], CarbonInventory()).kg("market") == 800_000 * Decimal("0.6096")


def test_heat_is_scope_2_by_both_methods(site: Site) -> None:
    found = ledger(site, "2026-07", [Activity("meter.heat_kw", "heat", Decimal(360))], CarbonInventory())
    assert [(e.scope, e.method, e.kg) for e in found.entries] == [(2, "location", 39600), (2, "market", 39600)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"retired": [USED, {**USED, "first": 1149, "count": 10, "month": "2026-08"}]},
            "a certificate is counted once",
        ),
        ({"blocks": [BLOCK, {**BLOCK, "first": 1199}]}, "a certificate is counted once"),
        ({"retired": [{**USED, "count": 201}]}, "only 200 of 201 are in blocks"),
        ({"retired": [{**USED, "retired": date(2026, 7, 1)}]}, "was acquired on 2026-07-03, later"),
        ({"retired": [{**USED, "prefix": "GEC2025-"}]}, "only 0 of 150"),
        ({"quotas": [{"year": 2026, "tonnes": -1, "price_per_tonne": 60, "document": ""}]}, "tonnes"),
    ],
)
def test_certificates_that_do_not_add_up_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        inventory(**changes)


def test_the_quota_gap_counts_offsets_up_to_5_per_cent() -> None:
    quota = inventory(quotas=[{"year": 2026, "tonnes": 900, "price_per_tonne": 54.76, "document": "quota 2026"}]).quota(
        2026
    )
    assert quota is not None
    gap = quota_gap(Decimal(1000), quota, ccer_t=Decimal(80), cea_t=Decimal(20))
    assert (gap.ccer_t, gap.gap_t, gap.cost) == (50, 30, Decimal("1642.80"))
    surplus = quota_gap(Decimal(800), quota, Decimal(0), Decimal(0))
    assert (surplus.gap_t, surplus.cost) == (-100, Decimal("-5476.00"))


LINE = {
    "id": "press", "name_zh": "冲压线", "name_en": "press line", "columns": ["press.demand_kw"], "product": "parts",
    "cn_code": "7326", "fuel_share": 0.5, "tonnes": {"2026-07": 200},
}  # fmt: skip


@pytest.fixture
def july(local: Local, constant: FlowsOf) -> pd.DataFrame:
    """100 kW of a line at a site that buys 300 kW and uses 100 kW of its own sun, 20 kW of it exported."""
    meters = {"meter.import_kw": 300.0, "meter.export_kw": 20.0, "pv1.used_kw": 120.0, "press.demand_kw": 100.0}
    return constant(local("2026-07-01 00:00"), local("2026-08-01 00:00"), **meters)


def test_a_line_carries_the_grids_share_of_its_power(site: Site, july: pd.DataFrame) -> None:
    held = inventory(lines=[LINE])
    found = ledger(site, "2026-07", [*activities_of(site, july), MONTH[1]], held)
    hourly = line_energy(site, held.lines[0], july)
    assert len(hourly) == 744
    assert hourly["grid_kwh"].to_numpy() == pytest.approx(75.0)
    rows = {(row.item, row.source): row for row in export_rows("cbam", site, found, july, held, "2026-07")}
    indirect = rows["press (7326)", "indirect embedded"]
    assert indirect.value == (Decimal(75 * 744) * Decimal("0.4974") / 1000).quantize(Decimal("0.001"))
    assert "0.4974 kgCO2/kWh (2023, 公告2025年第47号)" in indirect.factor
    assert rows["press (7326)", "direct embedded"].value == Decimal("43.244")
    footprint = export_rows("iso14067", site, found, july, held, "2026-07")
    assert footprint[2].value == footprint[0].value + footprint[1].value
    assert float(footprint[2].value) == pytest.approx((75 * 744 * 0.4974 + 43243.8) / 200, rel=1e-5)


@pytest.mark.parametrize("name", EXPORTS)
def test_every_figure_has_formula_and_evidence(site: Site, july: pd.DataFrame, name: Any) -> None:
    held = inventory(lines=[LINE])
    found = ledger(site, "2026-07", [*activities_of(site, july), MONTH[1]], held)
    rows = export_rows(name, site, found, july, held, "2026-07")
    assert rows
    assert all(row.formula for row in rows)
    assert all(row.evidence for row in rows if row.item != "total")
    table = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [Decimal(row["value"]) for row in table] == [row.value for row in rows]


def test_the_inventory_adds_up(site: Site, july: pd.DataFrame) -> None:
    found = ledger(site, "2026-07", [*activities_of(site, july), MONTH[1]], inventory())
    rows = export_rows("iso14064", site, found, july, inventory(), "2026-07")
    parts = [row for row in rows if row.item != "total"]
    location = sum(row.value for row in parts if "market" not in row.source)
    assert abs(location - next(r.value for r in rows if r.source == "location-based")) <= Decimal("0.002")
    shares = {row.item: row.value for row in export_rows("esg", site, found, july, inventory(), "2026-07")}
    assert shares["own renewable share"] == Decimal("0.25")
