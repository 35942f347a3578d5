"""The day in pictures: self-contained, bilingual, and nothing drawn that was not measured."""

from __future__ import annotations

import base64
import re
from datetime import date
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from matplotlib.figure import Figure

from quartet.comparison import cost_lines, line_name_zh
from quartet.documents import (
    Amounts,
    CycleCounts,
    DemoSummary,
    EvCounts,
    MessageCounts,
    Percentiles,
    SetpointCounts,
    Shares,
    Values,
)
from quartet.figures import BANDS, MeasuredDay, draw_import, draw_power, draw_stored, measured_kw, overview_png
from quartet.report import report_html
from quartet.show import bars
from site_configs.loader import load_site

N = 96
VOID = ("meta", "br", "link")
BAND = ["deep"] * 16 + ["valley"] * 16 + ["flat"] * 24 + ["peak"] * 32 + ["sharp"] * 8


@pytest.fixture(scope="module")
def day() -> MeasuredDay:
    site = load_site("jiashan_park")
    index = pd.date_range("2026-08-25T16:00Z", periods=N, freq="15min", name="time")
    series = pd.DataFrame(
        {
            "load.demand_kw": 600.0,
            "cold_load.demand_kw": 120.0,
            "pv1.used_kw": np.clip(np.sin((np.arange(N) - 24) / 48 * np.pi), 0, None) * 400,
            "meter.import_kw": 500.0,
            "meter.export_kw": 0.0,
            "battery1.charge_kw": np.where(np.arange(N) < 16, 300.0, 0.0),
            "battery1.discharge_kw": np.where(np.arange(N) > 80, 200.0, 0.0),
            "battery1.energy_kwh": np.linspace(100, 900, N),
            "chiller1.cold_kw": 120.0,
            "chiller1.power_kw": 30.0,
        },
        index=index,
    )
    targets = pd.DataFrame({"battery1": 0.0, "chiller1": 118.0}, index=index)
    targets.loc[index[0], "battery1"] = np.nan
    baselines = {"rules": series["meter.import_kw"] + 10, "none": series["meter.import_kw"] + 80}
    return MeasuredDay(site, series, BAND, targets, baselines, peak_before_kw=650.0)


@pytest.fixture(scope="module")
def summary() -> DemoSummary:
    def cost(total: float) -> dict[str, float]:
        return {"energy_peak": total - 100, "demand": 120.0, "export": -20.0, "total": total}

    return DemoSummary(
        site="jiashan_park",
        day=date(2026, 8, 26),
        currency="CNY",
        cycles=CycleCounts(count=96, answered=96, optimal=95, feasible=0, fallback=1),
        setpoints=SetpointCounts(sent=1440, applied=1440, rejected=0, expired=0),
        messages=MessageCounts(taken_in=9000, dead_letters=0),
        cost=Amounts(engine=cost(5000), rules=cost(5300), none=cost(5600.5)),
        carbon_kg=Values(engine=1000, rules=1010, none=1020),
        pv_self_use=Shares(engine=0.99, rules=0.97, none=None),
        reasons={},
        ev=EvCounts(sessions=12, served_kwh=200, missed_kwh=0),
        cycle_ms=Percentiles(p50=150, p99=300, first=20000),
        wall_s=90,
        energy_kwh=Amounts(engine={"import": 14000}, rules={"import": 14100}, none={"import": 14200}),
        stored_kwh=Amounts(engine={"battery1": 480}, rules={"battery1": 90}, none={"battery1": 477}),
        ev_missed_kwh=Values(engine=0, rules=0, none=0),
        peak_kw={"before": 650, "engine": 700, "rules": 710, "none": 800},
    )


@pytest.fixture(scope="module")
def html(summary: DemoSummary, day: MeasuredDay) -> str:
    return report_html(summary, day)


class Page(HTMLParser):
    """Collects what a page would load from elsewhere, its text and its ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.loads += [given[name] for name in ("src", "href", "xlink:href") if name in given]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data):
        self.text += f" {data}"


def test_report_is_whole_offline_and_in_two_languages(html):
    page = Page(html)
    assert page.open == []
    assert all(link.startswith("#") for link in page.loads)
    assert "@import" not in html
    for word in ("嘉善产业园", "电力平衡", "供冷平衡", "指令与实测", "state of charge", "month's peak before the day"):
        assert word in page.text
    assert html.count("<svg") == 5
    assert len(html) < 2_000_000


def test_report_states_savings_and_every_line(html):
    text = " ".join(Page(html).text.split())
    assert "300.00 比规则控制节省" in text
    assert "600.50 比储能不动节省" in text
    assert "高峰电费 energy_peak 4,900.00 5,200.00 5,500.50" in text
    assert "合计 total 5,000.00 5,300.00 5,600.50" in text


def test_pictures_are_the_same_every_time(html, summary, day):
    assert report_html(summary, day) == html
    assert overview_png(day) == overview_png(day)


def test_picture_for_the_readme_is_small(day):
    assert len(overview_png(day)) < 200_000


def test_legend_names_only_what_flows(day):
    names = {legend.en for legend in draw_power(Figure().add_subplot(), day)}
    assert {"PV", "import", "battery discharge", "battery charge", "chillers"} <= names
    assert not names & {"export", "cars charge", "cars discharge"}


def test_legend_names_the_price_bands_of_the_day(day):
    names = [legend.zh for legend in draw_power(Figure().add_subplot(), day)]
    assert [zh for zh in ("尖峰", "高峰", "低谷", "深谷") if zh in names] == ["尖峰", "高峰", "低谷", "深谷"]
    assert set(BAND) <= set(BANDS)


def test_state_of_charge_is_drawn_at_the_end_of_each_interval_in_percent(day):
    axes = Figure().add_subplot()
    assert [legend.en for legend in draw_stored(axes, day)] == ["battery1"]
    hours, percent = axes.lines[0].get_data()
    assert (hours[0], hours[-1]) == (0.25, 24.0)
    assert (percent[0], percent[-1]) == (10.0, 90.0)


def test_import_is_drawn_beside_baselines_and_the_peak_before(day):
    names = [legend.en for legend in draw_import(Figure().add_subplot(), day)]
    assert names == ["engine", "rules", "stores idle", "month's peak before the day"]


def test_measured_power_has_the_sign_of_the_setpoint(day):
    battery = next(device for device in day.site.devices if device.id == "battery1")
    values = measured_kw(day.series, battery)
    assert (values[0], values[40], values[-1]) == (-300.0, 0.0, 200.0)


def test_bars_show_the_mean_under_each_block():
    assert bars([0, 0, 4, 4, 8, 8], width=3) == " ▄█"
    assert bars([0.0, 0.0]) == "  "
    assert bars([1.0], width=48) == "█"


def test_cost_lines_keep_the_order_of_the_bill_with_the_total_last():
    costs = {"engine": {"energy_peak": 1.0, "total": 1.0}, "rules": {"energy_peak": 1.0, "demand": 2.0, "total": 3.0}}
    assert cost_lines(costs) == ["energy_peak", "demand", "total"]


@pytest.mark.parametrize("band", sorted(BANDS))
def test_every_band_has_a_chinese_name(band):
    assert re.fullmatch(r"[一-鿿]+电费", line_name_zh(f"energy_{band}"))


def test_page_brings_a_glyph_for_every_chinese_character_it_has(html):
    encoded = re.search(r"base64,([A-Za-z0-9+/=]+)", html).group(1)
    with TTFont(BytesIO(base64.b64decode(encoded))) as font:
        glyphs = set(font.getBestCmap())
    assert {ord(character) for character in html if character >= "\u2e80"} <= glyphs


def test_a_browser_draws_the_report_without_complaint(complaints_of, html, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    assert complaints_of(file) == []


@pytest.mark.parametrize(
    ("spoilt", "complaint"),
    [
        (("<main>", '<main><img src="https://example.invalid/a.png">'), "asks for"),
        (("<main>", '<main><div style="width:1500px">wide</div>'), "px wide"),
        (("<main>", "<main><script>nothing()</script>"), "error"),
        ((" unicode-range: U+2E80-10FFFF;", " unicode-range: U+30-39;"), "not drawn"),
    ],
)
def test_a_browser_complains_where_something_is_wrong(complaints_of, html, tmp_path, spoilt, complaint):
    file = tmp_path / "report.html"
    file.write_text(html.replace(*spoilt), encoding="utf-8")
    assert any(complaint in line for line in complaints_of(file))
