"""The whole bill of a month: what is billed apart, green power, tenants, and a recorded bill (RULES 1.4b)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.errors import InputError
from settlement.bill import Bill
from settlement.documents import BillLineDocument
from settlement.recorded_bill import compare, read_recorded_bill
from settlement.sub_bills import split_cents, sub_bills
from settlement.utility_bill import utility_bill
from site_configs.site import Carved, GreenPower, Mechanism, Metering, Site, TariffChoice, Tenant

Local = Callable[[str], datetime]
FlowsOf = Callable[..., pd.DataFrame]


def with_parts(site: Site, **parts: Any) -> Site:
    return site.model_copy(update={"metering": Metering(**parts)})


def with_choice(site: Site, **choices: Any) -> Site:
    assert isinstance(site.tariff, TariffChoice)
    return site.model_copy(update={"tariff": site.tariff.model_copy(update=choices)})


def fee(found: Bill, component: str, account: str = "main") -> Decimal:
    return sum((x.fee for x in found.lines if (x.component, x.account) == (component, account)), Decimal(0))


@pytest.fixture(scope="module")
def august(local: Local) -> tuple[datetime, datetime]:
    return local("2026-08-01 00:00"), local("2026-09-01 00:00")


STATION = Carved(id="station", column="station.import_kw", basic_charge_waived=True, transformer_kva=500)


def test_a_station_with_its_own_meter_pays_energy_but_no_demand(site: Site, constant: FlowsOf, august: Any) -> None:
    flows = constant(*august, **{"station.import_kw": 200.0, "reactive_kvar": 620.0})
    whole = utility_bill(site, flows, august)
    apart = utility_bill(with_parts(site, carved=(STATION,)), flows, august)
    assert fee(whole, "actual_demand") == 1000 * 48 * Decimal("0.9")  # 372 kWh/kVA: rebate
    assert fee(apart, "actual_demand") == 800 * 48 * Decimal("0.9")
    assert abs(fee(apart, "purchase") + fee(apart, "purchase", "station") - fee(whole, "purchase")) <= Decimal("0.04")
    assert fee(apart, "power_factor") == round(Decimal("0.025") * (  # the factor of the whole import, 0.85
        sum(x.fee for x in apart.lines if x.account == "main" and x.component not in ("funds", "power_factor"))
    ), 2)  # fmt: skip


def test_a_station_takes_its_transformer_out_of_the_capacity_charge(site: Site, constant: FlowsOf, august: Any) -> None:
    flows = constant(*august, **{"station.import_kw": 200.0})
    found = utility_bill(with_choice(with_parts(site, carved=(STATION,)), demand_mode="capacity"), flows, august)
    assert fee(found, "capacity") == 1500 * 30


def test_fixed_shares_and_fixed_energies_are_carved_out_first(site: Site, constant: FlowsOf, august: Any) -> None:
    parts = (Carved(id="lighting", share=0.1), Carved(id="pump", kwh_per_month=7440))
    found = utility_bill(with_parts(site, carved=parts), constant(*august), august)
    energy = {
        name: sum(x.quantity for x in found.lines if x.account == name and x.component == "purchase")
        for name in ("main", "lighting", "pump")
    }
    assert energy == {"main": Decimal(744000 - 74400 - 7440), "lighting": Decimal(74400), "pump": Decimal(7440)}


def test_green_power_is_paid_beside_the_energy(site: Site, constant: FlowsOf, august: Any) -> None:
    bought = GreenPower(
        from_month=date(2026, 8, 1), to_month=date(2026, 8, 1), share=0.25, premium_per_kwh=0.02, document="绿电合同 7"
    )
    found = utility_bill(with_choice(site, green_power=(bought,)), constant(*august), august)
    assert fee(found, "green_power") == Decimal("3720.00")  # 744 000 · 0.25 · 0.02
    july = (datetime.fromisoformat("2026-06-30T16:00Z"), august[0])
    assert fee(utility_bill(with_choice(site, green_power=(bought,)), constant(*july), july), "green_power") == 0


@pytest.mark.parametrize(
    ("quota", "reference", "fee"), [(5000, 0.30, "577.00"), (9000, 0.30, "858.58"), (5000, 0.45, "-173.00")]
)
def test_a_mechanism_price_is_a_difference_on_its_quota(
    site: Site, constant: FlowsOf, august: Any, quota: float, reference: float, fee: str
) -> None:
    """RULES 1.5: q·p_market + min(quota, q)·(p_mech - p_ref), on 7440 kWh."""
    terms = {
        "price_per_kwh": 0.4154,
        "kwh_per_month": quota,
        "reference_per_kwh": {"2026-08": reference},
        "document": "136",
    }
    export = site.export.model_copy(update={"mechanism": Mechanism.model_validate(terms)})
    found = utility_bill(site.model_copy(update={"export": export}), constant(*august, export_kw=10.0), august)
    assert [(line.component, line.fee) for line in found.export_lines] == [
        ("export", Decimal("3089.83")),
        ("export_mechanism", Decimal(fee)),
    ]
    half = (august[0], august[0] + (august[1] - august[0]) / 2)
    part = utility_bill(site.model_copy(update={"export": export}), constant(*august, export_kw=10.0), half)
    assert [line.component for line in part.export_lines] == ["export"]


def test_every_line_has_a_name_of_its_own(site: Site, constant: FlowsOf, august: Any) -> None:
    flows = constant(*august, **{"station.import_kw": 200.0, "reactive_kvar": 620.0})
    found = utility_bill(with_parts(site, carved=(STATION,)), flows, august)
    ids = [line.id for line in found.lines]
    assert len(set(ids)) == len(ids)
    assert "main/purchase/sharp/20260731T1600Z" in ids
    assert {(line.start, line.end) for line in found.lines} == {august}


TENANTS = tuple(Tenant(id=f"t{n}", name_zh="", name_en="", columns=(f"t{n}.demand_kw",)) for n in (1, 2, 3))


@given(kw=st.lists(st.floats(0, 500), min_size=3, max_size=3), import_kw=st.floats(300, 2000))
def test_tenants_pay_the_bill_to_the_cent(kw: list[float], import_kw: float, site: Site, constant: FlowsOf) -> None:
    start = datetime.fromisoformat("2026-08-10T16:00Z")
    period = (start, start.replace(day=11))
    columns = {f"t{n}.demand_kw": value for n, value in enumerate(kw, start=1)}
    flows = constant(*period, import_kw=import_kw, reactive_kvar=100.0, **columns)
    park = with_parts(site, tenants=TENANTS)
    whole = utility_bill(park, flows, period)
    parts = sub_bills(park, whole, flows, flows, period)
    assert [part.user for part in parts] == ["t1", "t2", "t3", "common"]
    assert sum(part.total for part in parts) == whole.total
    for n, line in enumerate(whole.lines):
        assert sum(part.parts[n][1] for part in parts) == line.fee


def test_a_tenant_pays_by_the_hours_it_used(site: Site, constant: FlowsOf, august: Any) -> None:
    """One works in the valley only, one at the peak only; demand is set at the peak."""
    flows = constant(*august, import_kw=400.0)
    local = pd.DatetimeIndex(flows.index).tz_convert(site.timezone)
    night = np.where(local.hour < 7, 400.0, 0.0)
    flows = flows.assign(**{"t1.demand_kw": night, "t2.demand_kw": 400.0 - night, "t3.demand_kw": 0.0})
    flows.loc[flows.index[80], ["import_kw", "t2.demand_kw"]] = 450.0  # 20:00 of the first day
    park = with_parts(site, tenants=TENANTS)
    whole = utility_bill(park, flows, august)
    t1, t2, t3, common = sub_bills(park, whole, flows, flows, august)
    paid = {part.user: {line.component + line.band: fee for line, fee in part.parts} for part in (t1, t2)}
    assert paid["t1"]["purchasesharp"] == 0
    assert paid["t1"]["actual_demand"] == 0
    assert paid["t2"]["actual_demand"] == fee(whole, "actual_demand")
    assert paid["t1"]["purchasevalley"] > paid["t2"]["purchasevalley"] > 0  # 11:00 to 14:00 is valley too
    assert t3.total == common.total == 0


@given(st.decimals(-1000, 1000, places=2), st.lists(st.decimals(0, 100, places=6), min_size=1, max_size=7))
def test_cents_are_divided_without_loss(amount: Decimal, weights: list[Decimal]) -> None:
    parts = split_cents(amount, weights)
    assert sum(parts) == amount
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        if total > 0:
            assert abs(part - amount * weight / total) < Decimal("0.01")


def test_equal_remainders_go_to_the_first() -> None:
    assert split_cents(Decimal("0.05"), [Decimal(1)] * 3) == [Decimal("0.02"), Decimal("0.02"), Decimal("0.01")]


def recorded(tmp_path: Path, found: Bill, **changes: Decimal) -> Path:
    rows = [BillLineDocument.of(line) for line in found.lines]
    lines = [
        f"{x.component},{x.band},{x.quantity},{x.price},{x.fee + changes.get(x.component + x.band, Decimal(0))},"
        for x in rows
    ]
    file = tmp_path / "utility.csv"
    file.write_text(
        "component,band,quantity,price,fee,month\n" + "\n".join(lines) + "\npurchase,flat,1,1,-12.5,2026-05\n"
    )
    return file


def test_a_recorded_bill_is_compared_line_by_line(site: Site, constant: FlowsOf, august: Any, tmp_path: Path) -> None:
    found = utility_bill(site, constant(*august), august)
    file = recorded(tmp_path, found, purchasesharp=Decimal("0.01"), funds=Decimal("-3.00"))
    compared = compare(read_recorded_bill(file), found, "2026-08")
    off = [line for line in compared.lines if not line.agrees]
    assert [(line.key, line.difference) for line in off] == [(("main", "funds", ""), Decimal("3.00"))]
    assert compared.error_share == Decimal("3.01") / compared.recorded_total
    assert [(line.month, line.fee) for line in compared.corrections] == [("2026-05", Decimal("-12.5"))]


def test_a_recorded_bill_with_bad_lines_is_refused_with_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "utility.csv"
    file.write_text("component,band,quantity,price,fee\npurchase,flat,abc,1,2\nfunds,,1,2,NaN\n")
    with pytest.raises(InputError) as refused:
        read_recorded_bill(file)
    assert [problem.path for problem in refused.value.problems] == ["line 2, quantity", "line 3, fee"]


def test_a_part_billed_apart_has_exactly_one_measure() -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        Carved(id="x", share=0.1, kwh_per_month=5)
    with pytest.raises(ValueError, match="meter of its own"):
        Carved(id="x", share=0.1, basic_charge_waived=True)
