"""Tariff tables against published prices (TV-01..TV-03), a hand-made day (TV-04), and days that must tile."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.errors import InputError
from site_configs.calendar import Calendar
from site_configs.loader import load_site
from site_configs.tariff import PublishedTariff, Tariff, areas, billing_month, load_tariff, read_table, shipped_table
from site_configs.tariff_table import Band, TariffTable
from site_configs.yaml_text import package_text

SHANGHAI = ZoneInfo("Asia/Shanghai")
FLAT_0700 = {"purchase": "0.42", "fixed_components": "0.28"}


def tariff(area: str, price_class: str = "two_part_1_10kv", table: TariffTable | None = None) -> PublishedTariff:
    return PublishedTariff(table or shipped_table(area), price_class, Calendar("CN"), SHANGHAI)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def band_at(of: Tariff, text: str) -> Band:
    return of.at(local(text)).band


def raw_table(area: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(package_text("tariffs", f"{area}.yaml"))
    return data


def zhejiang_with(floating: list[str]) -> TariffTable:
    """The Zhejiang table of 2026 with 0.42 + 0.28 = 0.7000 and another choice of floating components."""
    data = raw_table("zhejiang")
    data["versions"] = data["versions"][1:]
    data["versions"][0]["schedules"][0]["floating"] = floating
    data["versions"][0]["effective_from"] = "2026-04-01"  # so that April of the same document can be priced
    data["prices"][0]["from_month"] = "2026-04-01"
    data["prices"][0]["energy"] = {name: {"value": value, "status": "assumed"} for name, value in FLAT_0700.items()}
    return TariffTable.model_validate(data)


def test_tv01_hubei_january_2026() -> None:
    hubei = tariff("hubei", "two_part_110kv")
    by_band = {segment.price.band: segment.price for segment in hubei.day(date(2026, 1, 14)).segments}
    assert {band: price.total for band, price in by_band.items()} == {
        "flat": Decimal("0.613986"),
        "sharp": Decimal("1.012099"),
        "valley": Decimal("0.395024"),
        "peak": Decimal("0.809061"),
    }
    assert by_band["peak"].note == "the policy says peak 1.5, the published table uses 1.49"
    basic = hubei.demand_price(date(2026, 1, 14))
    assert (basic.demand_per_kw, basic.capacity_per_kva) == (Decimal("39.0"), Decimal("24.4"))


def test_tv02_shanghai_june() -> None:
    shanghai = tariff("shanghai")
    workday = {segment.price.band: segment.price for segment in shanghai.day(date(2025, 6, 11)).segments}
    assert {band: price.total for band, price in workday.items()} == {
        "flat": Decimal("0.662376"),
        "peak": Decimal("1.010784"),
        "valley": Decimal("0.372036"),
    }
    assert workday["peak"].components["purchase"] == Decimal("0.43508") * Decimal("1.6")
    assert workday["peak"].components["funds"] == Decimal("0.029115")
    rest_day = {segment.price.band: segment.price.total for segment in shanghai.day(date(2025, 6, 14)).segments}
    assert rest_day["deep"] == Decimal("0.197832")


def test_tv02_both_readings_of_the_summer_sharp_price() -> None:
    assert tariff("shanghai").at(local("2026-07-15 12:00")).total == Decimal("1.388226")
    data = raw_table("shanghai")
    data["versions"][0]["schedules"][0]["ratios"][0]["k_fixed"] = {"sharp": 1.25}
    other = tariff("shanghai", table=TariffTable.model_validate(data))
    peak = other.at(local("2026-07-15 08:00"))
    sharp = other.at(local("2026-07-15 12:00"))
    assert sharp.total == Decimal("1.408650")
    assert sharp.components["purchase"] == peak.components["purchase"] * Decimal("1.25")


def test_tv03_beijing_july_2024() -> None:
    totals = {segment.price.band: segment.price.total for segment in tariff("beijing").day(date(2024, 7, 10)).segments}
    assert totals == {
        "flat": Decimal("0.681335"),
        "peak": Decimal("0.926841"),
        "valley": Decimal("0.435829"),
        "sharp": Decimal("1.057777"),
    }
    base = tariff("beijing").at(local("2024-07-10 08:00")).components["purchase"]
    assert abs(base - Decimal("0.409177")) <= Decimal("0.000001")


@pytest.mark.parametrize(
    ("floating", "day", "prices", "cost"),
    [
        (["purchase", "fixed_components"], date(2026, 7, 15), "1.435 1.295 0.700 0.280", "17325.00"),
        (["purchase"], date(2026, 7, 15), "1.141 1.057 0.700 0.448", "17115.00"),
        (["purchase", "fixed_components"], date(2026, 4, 15), "- 1.295 0.700 0.280", "16765.00"),
        (["purchase"], date(2026, 4, 15), "- 1.057 0.700 0.448", "16779.00"),
    ],
)
def test_tv04_a_day_of_constant_import_in_zhejiang(floating: list[str], day: date, prices: str, cost: str) -> None:
    segments = tariff("zhejiang", table=zhejiang_with(floating)).day(day).segments
    totals = {segment.price.band: segment.price.total for segment in segments}
    expected = dict(zip(("sharp", "peak", "flat", "valley"), prices.split(), strict=True))
    assert totals == {band: Decimal(price) for band, price in expected.items() if price != "-"}
    paid = sum(1000 * Decimal(str(segment.hours)) * segment.price.total for segment in segments)
    assert paid == Decimal(cost)


def test_tv04_hours_of_a_july_weekday() -> None:
    hours: Counter[str] = Counter()
    for segment in tariff("zhejiang").day(date(2026, 7, 15)).segments:
        hours[segment.price.band] += round(segment.hours)
    assert hours == {"sharp": 4, "peak": 3, "flat": 7, "valley": 10}


DAYS = st.dates(date(2024, 3, 1), date(2026, 12, 31))


@settings(deadline=None)
@given(area=st.sampled_from(areas()), day=st.dates(date(2024, 1, 1), date(2026, 12, 31)))
def test_bands_of_every_day_tile_it_exactly(area: str, day: date) -> None:
    version = shipped_table(area).version(day)
    if version is None:
        return
    for schedule in version.schedules:
        edge = 0
        for start, end, band in schedule.bands(day.month, Calendar("CN").day(day)):
            assert start == edge < end
            assert band in schedule.ratios_of(day.month).k
            edge = end
        assert edge == 24 * 60


@settings(deadline=None)
@given(day=DAYS, minutes=st.integers(1, 3000))
def test_segments_tile_any_interval_with_one_document_each(day: date, minutes: int) -> None:
    zhejiang = tariff("zhejiang")
    start = local(f"{day} 00:00") + timedelta(minutes=minutes % 1440)
    end = min(start + timedelta(minutes=minutes), local("2027-01-01 00:00"))
    segments = zhejiang.segments(start, end)
    assert segments[0].start == start
    assert segments[-1].end == end
    assert all(before.end == after.start for before, after in pairwise(segments))
    for segment in segments:
        newer = segment.start >= local("2026-07-01 00:00")
        assert segment.price.document == ("浙发改价格〔2026〕112号" if newer else "浙发改价格〔2024〕21号")


def test_zhejiang_changes_document_at_local_midnight() -> None:
    before, after = tariff("zhejiang").segments(local("2026-06-30 23:00"), local("2026-07-01 01:00"))
    assert before.end == after.start == datetime(2026, 6, 30, 16, tzinfo=UTC)
    assert (before.price.document, before.price.band) == ("浙发改价格〔2024〕21号", "flat")
    assert (after.price.document, after.price.band) == ("浙发改价格〔2026〕112号", "valley")
    assert after.price.version == date(2026, 7, 1)


@pytest.mark.parametrize(
    ("when", "band"),
    [
        ("2025-10-08 10:30", "deep"),  # the whole holiday block, by the document of 2024
        ("2025-10-08 14:00", "peak"),
        ("2025-10-11 10:30", "peak"),  # a make-up workday is an ordinary day
        ("2025-01-28 10:00", "deep"),  # the holiday rule goes before the season's sharp hours
        ("2025-01-28 09:00", "sharp"),
        ("2026-10-03 09:00", "deep"),  # the first three days only, by the document of 2026
        ("2026-10-03 08:00", "valley"),
        ("2026-10-03 15:00", "flat"),
        ("2026-10-03 16:00", "peak"),
        ("2026-10-04 09:00", "flat"),
        ("2026-08-26 21:59", "sharp"),
        ("2026-08-26 22:00", "peak"),
    ],
)
def test_zhejiang_bands(when: str, band: Band) -> None:
    assert band_at(tariff("zhejiang"), when) == band


@pytest.mark.parametrize(
    ("when", "band"),
    [
        ("2026-07-15 19:29", "peak"),
        ("2026-07-15 19:30", "sharp"),
        ("2026-07-15 21:30", "peak"),
        ("2026-04-15 01:59", "flat"),  # flat from 22 to 2 of the next day
        ("2026-04-15 02:00", "valley"),
        ("2026-04-15 22:00", "flat"),
        ("2026-05-01 10:00", "deep"),
    ],
)
def test_jiangsu_bands(when: str, band: Band) -> None:
    assert band_at(tariff("jiangsu"), when) == band


@pytest.mark.parametrize(
    ("when", "band"),
    [
        ("2026-09-20 23:00", "valley"),  # a Sunday that is worked
        ("2026-09-19 23:00", "deep"),  # an ordinary Saturday in September
        ("2026-08-22 23:00", "valley"),  # an ordinary Saturday in August
        ("2026-01-01 05:00", "deep"),
        ("2026-08-26 12:00", "sharp"),
        ("2026-09-16 12:00", "peak"),
    ],
)
def test_shanghai_bands(when: str, band: Band) -> None:
    assert band_at(tariff("shanghai"), when) == band


def test_assumed_prices_say_so() -> None:
    assert tariff("zhejiang").at(local("2026-08-26 12:00")).status == "assumed"
    assert tariff("shanghai").at(local("2025-06-11 12:00")).status == "published"


def test_zhejiang_flat_is_0700() -> None:
    assert tariff("zhejiang").at(local("2026-08-26 08:00")).total == Decimal("0.700000")


def test_months_without_prices_and_days_without_document_are_errors() -> None:
    with pytest.raises(InputError, match="no prices of class two_part_110kv for this month"):
        tariff("hubei", "two_part_110kv").day(date(2026, 2, 3))
    with pytest.raises(InputError, match="no tariff document is in force"):
        tariff("zhejiang").day(date(2024, 2, 29))


def test_billing_month_is_the_local_month() -> None:
    expected = (datetime(2026, 7, 31, 16, tzinfo=UTC), datetime(2026, 8, 31, 16, tzinfo=UTC))
    assert billing_month(datetime(2026, 7, 31, 16, tzinfo=UTC), SHANGHAI) == expected
    assert billing_month(datetime(2026, 8, 31, 15, 59, tzinfo=UTC), SHANGHAI) == expected


def test_days_of_23_and_25_hours_tile_too() -> None:
    berlin = PublishedTariff(shipped_table("zhejiang"), "two_part_1_10kv", Calendar("CN"), ZoneInfo("Europe/Berlin"))
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25)):
        segments = berlin.day(day).segments
        assert sum(segment.hours for segment in segments) == hours
        assert all(before.end == after.start for before, after in pairwise(segments))


def test_a_site_may_name_its_floating_components() -> None:
    site = load_site("jiashan_park")
    chosen = site.model_copy(update={"tariff": site.tariff.model_copy(update={"floating": ("purchase",)})})
    price = load_tariff(chosen).at(local("2026-08-26 19:00"))
    assert price.total == Decimal("0.700000") + Decimal("0.4380") * Decimal("1.05")


def broken(area: str, old: str, new: str) -> str:
    text = package_text("tariffs", f"{area}.yaml")
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('valley: ["00:00-07:00", "11:00-14:00"]', 'valley: ["00:00-06:30", "11:00-14:00"]', "leave 06:30-07:00 open"),
        ('peak: ["16:00-23:00"]', 'peak: ["15:30-23:00"]', "overlap between 15:30 and 16:00"),
        ("months: [1, 7, 8, 12]", "months: [1, 7, 8]", "every month 1..12 exactly once"),
        ("sharp: 2.05, ", "", "no ratio k in month 1 for band sharp"),
        ("effective_to: 2026-06-30", "effective_to: 2026-07-01", "overlap: give effective_to"),
        ("purchase: {value: 0.4380, status: assumed}", "", "lack the floating"),
        ("status: from_memory}", "status: rumour}", "'published', 'from_memory' or 'assumed'"),
        ('["10:00-14:00"]', '["10:00-25:00"]', "after 24:00"),
    ],
)
def test_a_broken_table_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_table(broken("zhejiang", old, new), "zhejiang.yaml")


def test_components_that_do_not_give_the_printed_price_are_refused() -> None:
    with pytest.raises(InputError, match=r"peak: components give 0\.813043, printed is 0\.809061"):
        read_table(broken("hubei", "peak: 1.49", "peak: 1.5"), "hubei.yaml")
