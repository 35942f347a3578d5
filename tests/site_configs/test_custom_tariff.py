"""A tariff written in the site file: what it costs when, and what is refused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.errors import InputError
from site_configs.demand import clock_blocks, demand_meters, demand_rules, inside
from site_configs.loader import check_site, load_site
from site_configs.prices import EXPORT_PRICE, IMPORT_PRICE, grid_for, prices_for
from site_configs.site import Site
from site_configs.tariff import SiteTariff, load_tariff
from site_configs.yaml_text import parse_yaml

SITES = Path(__file__).parent / "sites"
PAGE = (Path(__file__).parents[2] / "docs" / "tariffs.md").read_text(encoding="utf-8")


def site_of(name: str, **custom: Any) -> Site:
    """A site file of the tests, with other fields in its tariff."""
    data = parse_yaml((SITES / f"{name}.yaml").read_text(encoding="utf-8"), name)
    data["tariff"]["custom"].update(custom)
    return Site.model_validate(data)


def tariff_of(site: Site) -> SiteTariff:
    tariff = load_tariff(site)
    assert isinstance(tariff, SiteTariff)
    return tariff


def local(site: Site, text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=site.zone).astimezone(UTC)


@pytest.mark.parametrize("name", sorted(path.stem for path in SITES.glob("*.yaml")))
def test_the_site_files_are_valid(name: str) -> None:
    assert check_site(SITES / f"{name}.yaml").errors == ()
    assert load_site(SITES / f"{name}.yaml").currency in ("USD", "EUR")


@pytest.mark.parametrize(
    ("name", "when", "band", "price"),
    [
        ("pge_a10", "2019-08-14 08:29", "off_peak", "0.14903"),
        ("pge_a10", "2019-08-14 08:30", "part_peak", "0.1771"),
        ("pge_a10", "2019-08-14 12:00", "peak", "0.23223"),
        ("pge_a10", "2019-08-14 18:00", "part_peak", "0.1771"),
        ("pge_a10", "2019-08-14 21:30", "off_peak", "0.14903"),
        ("pge_a10", "2019-08-17 12:00", "off_peak", "0.14903"),  # Saturday
        ("pge_a10", "2019-10-31 12:00", "peak", "0.23223"),
        ("pge_a10", "2019-11-01 12:00", "part_peak", "0.1477"),
        ("pge_a10", "2020-04-30 23:00", "off_peak", "0.13064"),
        ("sce_tou_ev_8", "2019-08-14 16:00", "on_peak", "0.49619"),
        ("sce_tou_ev_8", "2019-08-17 16:00", "mid_peak", "0.25563"),
        ("sce_tou_ev_8", "2019-08-17 21:00", "off_peak", "0.12597"),
        ("sce_tou_ev_8", "2019-12-14 08:00", "super_off_peak", "0.07724"),
        ("sce_tou_ev_8", "2019-12-14 20:59", "mid_peak", "0.297"),
        ("amsterdam", "2022-03-27 12:00", "all_day", "0.055"),
    ],
)
def test_bands_and_prices(name: str, when: str, band: str, price: str) -> None:
    site = site_of(name)
    found = tariff_of(site).at(local(site, when))
    assert (found.band, found.total) == (band, Decimal(price))


@pytest.mark.parametrize(("day", "hours"), [("2022-03-27", 23), ("2022-10-30", 25), ("2022-06-01", 24)])
def test_days_of_a_clock_change_are_tiled(day: str, hours: int) -> None:
    site = site_of("amsterdam")
    segments = tariff_of(site).day(date.fromisoformat(day)).segments
    assert sum(segment.hours for segment in segments) == hours


def test_a_day_before_the_prices_hold_is_refused() -> None:
    with pytest.raises(InputError, match=r"PG&E A-10 TOU is not in force on this date"):
        load_tariff(site_of("pge_a10")).day(date(2019, 6, 30))


def test_a_date_named_as_a_holiday_is_billed_as_one() -> None:
    site = site_of("pge_a10", holidays=["2019-09-02"])
    assert tariff_of(site).at(local(site, "2019-09-02 13:00")).band == "off_peak"


def test_the_price_of_the_data_carries_the_adders() -> None:
    site = site_of("amsterdam")
    grid = grid_for(site, local(site, "2022-06-01 00:00"), tail=False)
    market = {IMPORT_PRICE: np.linspace(-0.1, 0.3, 96), EXPORT_PRICE: np.full(96, -0.05)}
    prices = prices_for(site, load_tariff(site), grid, market)
    np.testing.assert_allclose(prices.import_per_kwh, market[IMPORT_PRICE] + 0.055, atol=1e-12)
    assert set(prices.export_per_kwh) == {-0.05}
    with pytest.raises(ValueError, match=r"series market\.import_price_per_kwh is missing"):
        prices_for(site, load_tariff(site), grid)


LINES = [
    {"id": "whole", "price_per_kw": 10},
    {"id": "evening", "price_per_kw": 8, "measuring": "block_60", "hours": ["16:00-21:00"], "kinds": ["workday"]},
    {"id": "by_band", "price_per_kw": 5, "measuring": "block_30", "bands": ["peak"], "free_kw": 50},
]


def test_demand_lines_know_their_price_of_the_month() -> None:
    site = site_of("pge_a10")
    prices = [demand_rules(site, load_tariff(site), date(2019, month, 15))[0].price_per_kw for month in (10, 11)]
    assert prices == [Decimal("19.99"), Decimal("11.66")]
    grid = grid_for(site, local(site, "2019-10-31 12:00"))
    (line,) = prices_for(site, load_tariff(site), grid).demand
    assert (line.price_per_kw, line.next_price_per_kw) == (19.99, 11.66)


def test_each_line_has_its_window_and_its_interval() -> None:
    site = site_of("pge_a10", demand=LINES)
    grid = grid_for(site, local(site, "2019-08-14 00:00"), tail=False)
    whole, evening, by_band = prices_for(site, load_tariff(site), grid).demand
    assert set(whole.inside) == {1.0}
    assert list(np.flatnonzero(evening.inside)) == list(range(64, 84))
    assert list(np.flatnonzero(by_band.inside)) == list(range(48, 72))
    assert [line.averaged_steps for line in (whole, evening, by_band)] == [1, 4, 2]
    assert evening.block is not None
    assert len(set(evening.block)) == 24
    assert by_band.free_kw == 50.0


def test_a_window_by_kind_of_day_is_closed_at_the_weekend() -> None:
    site = site_of("pge_a10", demand=LINES)
    prices = prices_for(site, load_tariff(site), grid_for(site, local(site, "2019-08-17 00:00"), tail=False))
    assert [line.inside.any() for line in prices.demand] == [True, False, False]


def test_a_coarse_step_counts_where_any_part_of_it_lies_in_the_window() -> None:
    site = site_of("pge_a10", demand=LINES)
    start = local(site, "2019-08-14 14:00").timestamp()
    starts = start + 3600.0 * np.array([0, 1, 3, 6, 7])
    found = inside(demand_meters(site, load_tariff(site))[1], load_tariff(site), starts, starts + 2 * 3600)
    assert list(found) == [0, 1, 1, 1, 0]  # 14-16, 15-17, 17-19, 20-22, 21-23


def test_blocks_follow_the_local_clock() -> None:
    site = site_of("amsterdam", demand=[{"id": "hour", "price_per_kw": 1, "measuring": "block_60"}])
    kolkata = site.model_copy(update={"timezone": "Asia/Kolkata"})
    for zone, sizes in ((site, [4, 2]), (kolkata, [2, 4])):
        start = datetime(2022, 6, 1, tzinfo=UTC)
        seconds = np.array([(start + timedelta(minutes=15 * n)).timestamp() for n in range(6)])
        meter = demand_meters(zone, load_tariff(zone))[0]
        blocks = clock_blocks(meter, load_tariff(zone), seconds)
        assert list(np.unique(blocks, return_counts=True)[1]) == sizes


def test_all_errors_of_a_tariff_are_named_at_once(tmp_path: Path) -> None:
    text = (SITES / "pge_a10.yaml").read_text(encoding="utf-8")
    broken = text.replace('"12:00-18:00"', '"12:30-18:00"').replace("price_per_kwh: 0.1477", "price_per_kwh: cheap")
    broken = broken.replace("measuring: block_15", "measuring: block_20").replace('"11-01..04-30"', '"11-01..04-31"')
    (tmp_path / "broken.yaml").write_text(broken, encoding="utf-8")
    errors = {error.path: error.message for error in check_site(tmp_path / "broken.yaml").errors}
    assert len(errors) == 4
    assert "bands leave 12:00-12:30 open: each day must tile 24 h exactly" in errors["tariff.custom.seasons.0.days.0"]
    assert '"11-01..04-31" is not a span of dates' in errors["tariff.custom.seasons.1.dates"]
    assert "tariff.custom.seasons.1.days.0.bands.part_peak.price_per_kwh" in errors
    assert any("block_60" in message for message in errors.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seasons": []}, "needs seasons with prices, or from_data: true"),
        ({"demand": [LINES[0], LINES[0]]}, "demand line whole is named 2 times"),
        ({"demand": [{**LINES[2], "bands": ["night"]}]}, "names the band night: known are peak, part_peak, off_peak"),
        ({"demand": [{**LINES[2], "hours": ["00:00-01:00"]}]}, "either by bands or by kinds and hours"),
        ({"demand": [{**LINES[0], "price_per_kw": -1}]}, "greater than or equal to 0"),
        (
            {"demand": [{**LINES[0], "price_per_kw": [{"months": [1, 2], "price_per_kw": 1}] * 2}]},
            "names months [1, 2] twice",
        ),
        ({"adders": {"energy": 0.1}}, "adders may not be called energy or market"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        site_of("pge_a10", **change)


def test_dates_without_a_season_are_named() -> None:
    seasons = parse_yaml((SITES / "sce_tou_ev_8.yaml").read_text("utf-8"), "sce")["tariff"]["custom"]["seasons"]
    seasons[0]["months"] = [6, 7, 8]
    seasons[1]["months"] = [10, 11, 12, 1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match=r"06-01..06-30 lies in 2 seasons.*09-01..09-30 lies in no season"):
        site_of("sce_tou_ev_8", seasons=seasons)


def test_every_kind_of_day_has_its_bands() -> None:
    seasons = parse_yaml((SITES / "sce_tou_ev_8.yaml").read_text("utf-8"), "sce")["tariff"]["custom"]["seasons"]
    seasons[0]["days"][1]["kinds"] = ["rest_day", "workday"]
    with pytest.raises(ValueError, match="got workday 2 times, holiday 0 times"):
        site_of("sce_tou_ev_8", seasons=seasons)


def test_the_example_of_the_page_is_a_valid_site(tmp_path: Path) -> None:
    (example,) = re.findall(r"<!-- example: site -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "site.yaml").write_text(example, encoding="utf-8")
    assert check_site(tmp_path / "site.yaml").errors == ()
    site = load_site(tmp_path / "site.yaml")
    assert [meter.id for meter in demand_meters(site, load_tariff(site))] == ["whole_day", "evening"]


def test_the_page_names_every_field() -> None:
    terms = parse_yaml((SITES / "pge_a10.yaml").read_text("utf-8"), "pge")["tariff"]["custom"]
    known = {*type(tariff_of(site_of("pge_a10")).terms).model_fields, *terms["demand"][0], *terms["seasons"][0]}
    known |= {"hours", "kinds", "bands", "months", "free_kw", "above_kwh", "adder_per_kwh"}
    assert sorted(name for name in known if f"`{name}`" not in PAGE) == []
