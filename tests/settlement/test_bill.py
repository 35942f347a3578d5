"""The bill line by line (RULES 1.4b)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.bill import Bill, bill
from site_configs.calendar import Calendar
from site_configs.loader import load_site
from site_configs.site import Site
from site_configs.tariff import PublishedTariff, Tariff, load_tariff, shipped_table

Local = Callable[[str], datetime]
FlowsOf = Callable[..., pd.DataFrame]


def by_line(found: Bill) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    return {(line.component, line.band): (line.quantity, line.fee) for line in found.lines}


def test_a_july_day_of_constant_import(site: Site, tariff: Tariff, local: Local, constant: FlowsOf) -> None:
    period = (local("2026-07-15 00:00"), local("2026-07-16 00:00"))
    found = bill(site, tariff, constant(*period), period, None)
    lines = by_line(found)
    assert lines["purchase", "sharp"] == (Decimal(4000), Decimal("3591.60"))  # 0.4380 · 2.05 · 4000
    assert lines["transmission_distribution", "sharp"] == (Decimal(4000), Decimal("680.00"))  # fixed
    assert lines["system_operation", "valley"] == (Decimal(10000), Decimal("179.20"))  # 0.0448 · 0.4 · 10000
    assert lines["funds", ""] == (Decimal(24000), Decimal("700.80"))
    assert len(lines) == 4 * 4 + 1
    assert {line.document for line in found.lines} == {"浙发改价格〔2026〕112号"}
    assert {line.version for line in found.lines} == {date(2026, 7, 1)}
    energy = 4000 * Decimal("1.22584") + 3000 * Decimal("1.12568") + 7000 * Decimal("0.7") + 10000 * Decimal("0.39952")
    assert abs(found.total - energy) <= Decimal("0.005") * len(lines)


def test_a_bill_is_split_where_the_tariff_changes(site: Site, tariff: Tariff, local: Local, constant: FlowsOf) -> None:
    period = (local("2026-06-30 00:00"), local("2026-07-02 00:00"))
    found = bill(site, tariff, constant(*period, minutes=60), period, None)
    old = [line for line in found.lines if line.document == "浙发改价格〔2024〕21号"]
    new = [line for line in found.lines if line.document == "浙发改价格〔2026〕112号"]
    assert len(old) + len(new) == len(found.lines)
    assert sum(line.quantity for line in old if line.component == "purchase") == 24000
    assert sum(line.quantity for line in new if line.component == "purchase") == 24000
    funds = {line.band: line.quantity for line in old if line.component == "funds"}
    assert funds == {"peak": 7000, "flat": 7000, "valley": 10000}  # the document of 2024 floats the funds too


def test_an_interval_across_a_band_edge_is_split_by_time(local: Local, constant: FlowsOf) -> None:
    park = load_site("jiashan_park")
    jiangsu = PublishedTariff(shipped_table("jiangsu"), "two_part_1_10kv", Calendar("CN"), park.zone)
    period = (local("2026-07-15 19:00"), local("2026-07-15 22:00"))
    lines = by_line(bill(park, jiangsu, constant(*period, minutes=60), period, None))
    assert lines["purchase", "peak"][0] == 1000  # 19:00-19:30 and 21:30-22:00
    assert lines["purchase", "sharp"][0] == 2000


def test_a_whole_month_with_demand_rebate_reactive_energy_and_export(
    site: Site, tariff: Tariff, local: Local, constant: FlowsOf
) -> None:
    period = (local("2026-08-01 00:00"), local("2026-09-01 00:00"))
    flows = constant(*period, import_kw=1000.0, export_kw=10.0, reactive_kvar=620.0)
    found = bill(site, tariff, flows, period, 1200.0)
    lines = {line.component: line for line in found.lines}
    demand = lines["actual_demand"]
    assert (demand.quantity, demand.price, demand.fee) == (1200, Decimal("43.20"), Decimal("51840.00"))  # 372 kWh/kVA
    adjustment = lines["power_factor"]
    base = found.total - adjustment.fee - found.of("funds")
    assert (adjustment.quantity, adjustment.price) == (base, Decimal("0.025"))
    assert adjustment.fee == (base * Decimal("0.025")).quantize(Decimal("0.01"), "ROUND_HALF_UP")
    (export,) = found.export_lines
    assert (export.quantity, export.fee) == (Decimal(7440), Decimal("3089.83"))  # 3089.832
    assert found.export_total == export.fee
    assert "export" not in lines


def test_no_rebate_on_a_part_of_a_month(site: Site, tariff: Tariff, local: Local, constant: FlowsOf) -> None:
    period = (local("2026-08-02 00:00"), local("2026-09-01 00:00"))
    assert bill(site, tariff, constant(*period), period, 1200.0).of("actual_demand") == Decimal("57600.00")


def test_fees_are_rounded_half_up(site: Site, tariff: Tariff, local: Local, constant: FlowsOf) -> None:
    period = (local("2026-08-03 08:00"), local("2026-08-03 09:00"))
    found = bill(site, tariff, constant(*period, import_kw=0.5), period, None)  # 0.17 · 0.5 = 0.085
    assert by_line(found)["transmission_distribution", "flat"][1] == Decimal("0.09")


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_parts_of_a_period_have_the_same_energy_and_lines_sum_to_the_total(data: st.DataObject) -> None:
    park = load_site("jiashan_park")
    tariff = load_tariff(park)
    hours = data.draw(st.integers(2, 72))
    cut = data.draw(st.integers(1, hours - 1))
    powers = data.draw(st.lists(st.floats(0, 3000), min_size=hours, max_size=hours))
    start = pd.Timestamp("2026-06-29T16:00Z") + data.draw(st.integers(0, 1000)) * timedelta(hours=1)
    index = pd.date_range(start, periods=hours, freq="h")
    flows = pd.DataFrame({"import_kw": powers, "export_kw": np.zeros(hours)}, index=index)
    first, middle, last = (start + n * timedelta(hours=1) for n in (0, cut, hours))
    whole = bill(park, tariff, flows, (first, last), None)
    assert whole.total == sum(line.fee for line in whole.lines)
    parts = [bill(park, tariff, flows, period, None) for period in ((first, middle), (middle, last))]
    kwh: dict[tuple[object, ...], Decimal] = {}
    fees: dict[tuple[object, ...], Decimal] = {}
    for line in (line for part in parts for line in part.lines):
        key = (line.component, line.band, line.version, line.price)
        kwh[key] = kwh.get(key, Decimal(0)) + line.quantity
        fees[key] = fees.get(key, Decimal(0)) + line.fee
    for line in whole.lines:
        key = (line.component, line.band, line.version, line.price)
        assert kwh.pop(key) == line.quantity
        assert abs(fees[key] - line.fee) <= Decimal("0.01")
    assert not kwh


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(frame.index[5]), "not regular: the step changes at"),
        (lambda frame: frame.iloc[:-1], "have 95 rows of 15 min .*: needed are 96"),
        (lambda frame: frame.assign(import_kw=-1.0), "import_kw is -1.0 at 2026-07-14 16:00:00.*must be 0 or more"),
        (lambda frame: frame.assign(export_kw=float("nan")), "export_kw is nan"),
        (lambda frame: frame.drop(columns="export_kw"), "lack the column export_kw"),
        (lambda frame: frame.tz_localize(None), "need a UTC DatetimeIndex"),
        (lambda frame: frame.iloc[:1], "have 1 row"),
    ],
)
def test_flows_that_do_not_cover_the_period_are_refused(
    site: Site,
    tariff: Tariff,
    local: Local,
    constant: FlowsOf,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    period = (local("2026-07-15 00:00"), local("2026-07-16 00:00"))
    with pytest.raises(ValueError, match=message):
        bill(site, tariff, change(constant(*period)), period, None)


def test_a_basic_charge_is_of_one_month(site: Site, tariff: Tariff, local: Local, constant: FlowsOf) -> None:
    period = (local("2026-07-15 00:00"), local("2026-08-02 00:00"))
    with pytest.raises(ValueError, match="one billing month"):
        bill(site, tariff, constant(*period), period, 1000.0)
