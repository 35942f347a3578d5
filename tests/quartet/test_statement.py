"""`quartet statement`: what contract parties sign, its revisions and its pages."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from fontTools.ttLib import TTFont
from pylopdf_fonts_zh_cn import sans_path

from optimizer.errors import InputError
from quartet.settling import bill_document, settled_month
from quartet.statement_html import html_of
from quartet.statement_page import Cell, Page, Table, page_of
from quartet.statement_pdf import pdf_of
from quartet.statements import Order, carried_into, latest, make_statement, order_of, write_statement
from settlement.statement import Statement, as_csv, revised
from site_configs.history import read_history, sample_folder, write_history
from site_configs.loader import load_site
from site_configs.site import Site

CONTRACT = sample_folder("jiashan_park") / "contract.yaml"
CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site("jiashan_park")


@pytest.fixture(scope="module")
def order(site: Site, metered: Path) -> Order:
    return order_of(site, metered, CONTRACT, "2026-07", None)


@pytest.fixture(scope="module")
def made(order: Order) -> Statement:
    return make_statement(order)


@pytest.fixture(scope="module")
def pages(made: Statement) -> dict[str, Page]:
    return {"zh": page_of(made, "zh"), "en": page_of(made, "en")}


def changed(tmp_path: Path, **changes: Any) -> Path:
    """The example contract with other terms."""
    terms = {**yaml.safe_load(CONTRACT.read_text("utf-8")), **changes}
    file = tmp_path / "contract.yaml"
    file.write_text(yaml.safe_dump(terms, allow_unicode=True), encoding="utf-8")
    return file


def test_all_sums_agree(made: Statement) -> None:
    data, totals = made.data, made.data.totals
    assert totals.saving == totals.cost_counterfactual - totals.cost_actual == Decimal("89080.07")
    assert sum(line.saving_cny for line in data.streams) == totals.saving
    assert sum(line.saving for line in data.comparison) == totals.saving
    assert sum(line.fee for line in data.bill) - sum(x.fee for x in data.export_lines) == totals.cost_actual
    before = sum(x.fee for x in data.counterfactual_bill) - sum(x.fee for x in data.counterfactual_export_lines)
    assert before == totals.cost_counterfactual
    assert sum(line.esco for line in data.payments) == totals.payable_esco
    assert totals.payable_esco_net + totals.payable_esco_tax == totals.payable_esco
    bought = sum((kwh for day in data.days for kwh in day.kwh.values()), Decimal(0))
    assert abs(bought - totals.kwh_actual) < CENT


def test_the_json_sums_agree_to_a_cent(made: Statement) -> None:
    data = json.loads(made.model_dump_json())["data"]
    assert sum(line["saving_cny"] for line in data["streams"]) == pytest.approx(data["totals"]["saving"], abs=0.005)
    assert sum(line["fee"] for line in data["bill"]) == pytest.approx(data["totals"]["cost_actual"], abs=0.005)


def test_its_bill_is_the_bill(made: Statement, site: Site, metered: Path) -> None:
    document = bill_document(settled_month(site, metered, "2026-07"))
    assert document.lines == made.data.bill
    assert document.total == made.data.totals.cost_actual


def test_streams_do_not_add_up_alone_and_pv_costs_power_factor(made: Statement) -> None:
    saving = {line.component: Decimal(0) for line in made.data.comparison}
    for line in made.data.comparison:
        saving[line.component] += line.saving
    assert saving["power_factor"] < 0
    assert {line.stream: line.saving_cny > 0 for line in made.data.streams} == {
        "pv": True, "storage": True, "v2g": False,
    }  # fmt: skip


def test_computed_again_it_has_the_same_hash(order: Order, made: Statement, tmp_path: Path) -> None:
    """Also from a folder that has grown since, as one day later it has."""
    history = read_history(order.data)
    more = history.frame.iloc[-96:].copy()
    more.index = more.index + timedelta(days=1)
    write_history(tmp_path, pd.concat([history.frame, more]).rename_axis("time"), history.sessions)
    again = make_statement(Order(order.site, tmp_path, order.contract, order.contract_text, order.month))
    assert again.data.canonical() == made.data.canonical()
    assert again.result_sha256 == made.result_sha256
    assert again.input_sha256 == made.input_sha256


def test_a_correction_is_a_new_revision_with_the_old_lines_in_red(
    order: Order, made: Statement, tmp_path: Path
) -> None:
    first = write_statement(tmp_path, made, {})
    kept = first[0].read_bytes()
    assert latest(tmp_path, "jiashan_park", "2026-07") == made
    assert make_statement(order, made) is made  # nothing changed
    history = read_history(order.data)
    frame = history.frame.copy()
    frame["battery1.discharge_kw"] *= 0.99
    write_history(tmp_path / "corrected", frame, history.sessions)
    corrected = Order(order.site, tmp_path / "corrected", order.contract, order.contract_text, order.month)
    second = make_statement(corrected, latest(tmp_path, "jiashan_park", "2026-07"))
    write_statement(tmp_path, second, {})
    assert (second.revision, second.supersedes) == (2, made.result_sha256)
    assert second.input_sha256 != made.input_sha256
    assert [-line.esco for line in second.red_lines] == [line.esco for line in made.data.payments]
    assert second.esco_difference == second.data.totals.payable_esco - made.data.totals.payable_esco < 0
    assert first[0].read_bytes() == kept
    assert latest(tmp_path, "jiashan_park", "2026-07") == second
    red = page_of(second, "zh").sections[0]
    assert red.red
    assert red.title == "红字冲销"


def test_the_csv_has_the_minimum_data_model(made: Statement) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(made.data, made))))
    asked = {
        "contract_id", "period", "stream", "counterfactual_id", "tariff_version", "kwh_cf", "kwh_act", "cny_cf",
        "cny_act", "saving_cny", "uncertainty_pct", "adj_nonroutine", "share_esco", "payable_esco", "payable_owner",
        "data_coverage", "revision", "supersedes", "input_sha256",
    }  # fmt: skip
    assert asked <= set(rows[0])
    assert [row["stream"] for row in rows] == ["pv", "storage", "v2g"]
    for row in rows:
        assert Decimal(row["cny_cf"]) - Decimal(row["cny_act"]) == Decimal(row["saving_cny"])
        assert row["input_sha256"] == made.input_sha256


def test_a_claim_needs_the_lower_bound(order: Order, made: Statement, tmp_path: Path, site: Site) -> None:
    lower = made.data.totals.rate_lower
    assert lower is not None
    assert max(made.data.claims) == Decimal("0.2")
    assert all(claim < lower for claim in made.data.claims)
    streams = yaml.safe_load(CONTRACT.read_text("utf-8"))["streams"]
    coarse = changed(tmp_path, streams=[{**stream, "meter_accuracy_percent": 5} for stream in streams])
    found = make_statement(order_of(site, order.data, coarse, "2026-07", None))
    assert found.data.totals.rate == made.data.totals.rate > Decimal("0.2")
    assert max(found.data.claims) == Decimal("0.15")  # 20.8 % is saved, but the lower bound is below 20 %
    assert page_of(found, "en").claims == ["saves more than 15% (lower bound at 90% confidence)"]


def test_missing_values_make_it_an_estimate_and_widen_the_interval(
    order: Order, made: Statement, tmp_path: Path
) -> None:
    history = read_history(order.data)
    frame = history.frame.copy()
    frame.loc[frame.index[700:780], "pv1.used_kw"] = float("nan")
    write_history(tmp_path, frame, history.sessions)
    found = make_statement(Order(order.site, tmp_path, order.contract, order.contract_text, order.month)).data
    assert (found.quality.grade, found.grade) == ("flagged", "flagged")
    assert [(gap.column, gap.rule, gap.intervals) for gap in found.quality.gaps] == [("pv1.used_kw", "like_days", 80)]
    before, after = (next(x for x in data.streams if x.stream == "pv") for data in (made.data, found))
    assert before.half_width_cny is not None
    assert after.half_width_cny is not None
    assert after.half_width_cny > 1.2 * float(before.half_width_cny)
    sections = page_of(revised(found, None), "en").sections
    table = next(part for section in sections for part in section.parts if is_gaps(part))
    assert [cell.text for cell in table.rows[0]][:2] == ["pv1.used_kw", "mean of the same time on like days"]


def is_gaps(part: object) -> bool:
    return isinstance(part, Table) and "rule" in part.heads


def test_energy_efficiency_is_a_regression_with_its_limits(site: Site, tmp_path: Path) -> None:
    """The load of August against a baseline of seven weeks before; nothing was done, so little is saved."""
    stream = {
        "id": "lighting", "kind": "efficiency", "name_zh": "照明", "name_en": "lighting", "column": "load.demand_kw",
        "baseline_from": date(2026, 6, 15), "baseline_to": date(2026, 7, 31), "commissioned": date(2026, 8, 1),
        "shares": [{"from_year": 1, "to_year": 10, "esco": 0.5, "owner": 0.5}],
    }  # fmt: skip
    file = changed(tmp_path, streams=[stream], negative_months="settle")
    order = order_of(site, sample_folder("jiashan_park"), file, "2026-08", "rules")
    (line,) = make_statement(order).data.streams
    assert line.cv_rmse is not None
    assert line.cv_rmse < 0.15
    assert line.half_width_cny is not None
    assert line.half_width_cny > abs(line.saving_cny) * Decimal("0.2")
    assert line.determined is False
    assert line.adj_routine_kwh is not None


def test_against_rules_the_rules_themselves_save_nothing(site: Site, metered: Path, tmp_path: Path) -> None:
    stream = {
        "id": "dispatch", "kind": "dispatch", "name_zh": "优化调度", "name_en": "dispatch",
        "commissioned": date(2026, 7, 1), "shares": [{"from_year": 1, "to_year": 10, "esco": 0.5, "owner": 0.5}],
    }  # fmt: skip
    file = changed(tmp_path, streams=[stream], counterfactual="rules", negative_months="floor")
    found = make_statement(order_of(site, metered, file, "2026-07", None)).data
    assert found.totals.saving == 0
    assert found.totals.saving_lower is None  # a simulated counterfactual has no known uncertainty
    assert found.claims == ()


def test_the_month_before_is_carried_forward(order: Order, made: Statement, site: Site, tmp_path: Path) -> None:
    file = changed(tmp_path, negative_months="carry_forward")
    august = order_of(site, order.data, file, "2026-08", None)
    assert carried_into(order_of(site, order.data, file, "2026-07", None), None) == 0  # the contract's first month
    assert carried_into(order, None) == 0
    with pytest.raises(InputError, match="make the statement of 2026-07 there first"):
        carried_into(august, tmp_path)
    totals = made.data.totals.model_copy(update={"carried_out": Decimal("-12.50")})
    write_statement(tmp_path, made.model_copy(update={"data": made.data.model_copy(update={"totals": totals})}), {})
    assert carried_into(august, tmp_path) == Decimal("-12.50")


OTHER_KINDS = {
    "guaranteed": {"guaranteed_rate": 0.2, "price_per_kwh": 0.7, "excess_share_esco": 0.3, "fee_per_month": 500},
    "custody": {"fee_per_month": 450_000, "base_price_per_kwh": 0.8},
    "lease": {
        "lessor": {"name_zh": "租赁公司", "name_en": "lessor"}, "rent_per_month": 30_000,
        "guaranteed_saving_per_month": 100_000,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_every_kind_of_contract_has_its_statement(order: Order, site: Site, tmp_path: Path, kind: str) -> None:
    terms = yaml.safe_load(CONTRACT.read_text("utf-8"))
    streams = [{key: value for key, value in stream.items() if key != "shares"} for stream in terms["streams"]]
    for name in ("owner_investment", "negative_months"):
        del terms[name]
    file = tmp_path / "contract.yaml"
    contract = {**terms, "kind": kind, "streams": streams, **OTHER_KINDS[kind]}
    file.write_text(yaml.safe_dump(contract, allow_unicode=True), encoding="utf-8")
    data = make_statement(order_of(site, order.data, file, "2026-07", None)).data
    paid = {line.kind: line for line in data.payments}
    if kind == "guaranteed":  # 17 % of the energy is saved, 20 % is guaranteed
        short = Decimal("0.2") * data.totals.kwh_counterfactual - (
            data.totals.kwh_counterfactual - data.totals.kwh_actual
        )
        assert paid["shortfall"].owner == (short * Decimal("0.7")).quantize(CENT)
    if kind == "custody":
        assert paid["fee"].esco - data.totals.cost_actual == data.totals.payable_esco
    if kind == "lease":
        assert paid["rent"].lessor == 30_000
        assert paid["shortfall"].owner == 100_000 - data.totals.saving
    assert all(section.parts for section in page_of(revised(data, None), "zh").sections)


def test_the_font_has_every_character(pages: dict[str, Page]) -> None:
    with TTFont(sans_path(), lazy=True) as font:
        known = font.getBestCmap()
    for page in pages.values():
        text = "".join(re.findall(r">([^<]*)<", html_of(page).decode()))
        assert {character for character in text if ord(character) not in known} - {"\n"} == set()


def test_a_browser_draws_the_statement_without_complaint(
    complaints_of: Callable[[Path], list[str]], pages: dict[str, Page], tmp_path: Path
) -> None:
    for lang, page in pages.items():
        file = tmp_path / f"{lang}.html"
        file.write_bytes(html_of(page))
        assert complaints_of(file) == []


def test_html_opens_offline_and_every_link_leads_somewhere(pages: dict[str, Page]) -> None:
    for lang, page in pages.items():
        text = html_of(page).decode()
        links = set(re.findall(r'href="#([^"]+)"', text))
        names = set(re.findall(r'id="([^"]+)"', text))
        assert links
        assert links <= names
        assert "http" not in re.sub(r"base64,[^\")]+", "", text)
        assert ("节能效益分享结算单" in text) == (lang == "zh")


def test_chinese_and_english_say_the_same_numbers(pages: dict[str, Page]) -> None:
    figure = re.compile(r"[-\d,.%]+")
    numbers = {lang: [text for text in texts_of(page) if figure.fullmatch(text)] for lang, page in pages.items()}
    assert len(numbers["zh"]) > 400
    assert numbers["zh"] == numbers["en"]
    documents = ("浙发改价格", "水电财字", "公告", "示例")
    chinese = [text for text in texts_of(pages["en"]) if re.search(r"[\u4e00-\u9fff]", text)]
    assert [text for text in chinese if not any(name in text for name in documents)] == []


def texts_of(page: Page) -> list[str]:
    """Every cell of every table."""
    return [cell.text for section in page.sections for part in section.parts for row in rows_of(part) for cell in row]


def test_the_pdf_is_the_same_bytes_with_the_font_inside(made: Statement, pages: dict[str, Page]) -> None:
    short = replace(pages["zh"], sections=[pages["zh"].sections[n] for n in (3, 4, 9)])
    first = pdf_of(short, made.data.end)
    assert first == pdf_of(short, made.data.end)
    assert first.startswith(b"%PDF-")
    assert b"NotoSansSC" in first
    assert b"D:20260731160000Z" in first
    assert set(re.findall(rb"D:(\d{8})", first)) == {b"20260731"}
    assert first.count(b"/Subtype /Link") > 60


def test_red_is_for_what_costs_more(pages: dict[str, Page]) -> None:
    (section,) = [section for section in pages["zh"].sections if section.title == "账单对比"]
    cells = [cell for part in section.parts for row in rows_of(part) for cell in row]
    assert any(cell.red for cell in cells)
    assert all(cell.text.startswith("-") for cell in cells if cell.red)


def rows_of(part: object) -> list[list[Cell]]:
    return [list(row) for row in part.rows] if isinstance(part, Table) else []


def test_the_command_writes_every_file(quartet, metered: Path, tmp_path: Path) -> None:
    arguments = ["statement", "jiashan_park", "--data", str(metered), "--contract", str(CONTRACT), "--month", "2026-07"]
    ran = quartet(*arguments, "--lang", "en", "--out", str(tmp_path), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["revision"] == 1
    stem = "jiashan_park-2026-07-r1"
    assert {path.name for path in tmp_path.iterdir()} == {f"{stem}.{e}" for e in ("json", "csv", "en.pdf", "en.html")}
    assert json.loads((tmp_path / f"{stem}.json").read_text("utf-8")) == ran.json
    assert (tmp_path / f"{stem}.csv").read_bytes().startswith(b"\xef\xbb\xbf")  # spreadsheets then read it as UTF-8


@pytest.mark.parametrize(
    ("changes", "month", "said"),
    [
        ({}, "2026-06", "is outside contract EMC-JS-2026-01: its months are 2026-07 to 2036-06"),
        ({"guaranteed_rate": 0.6, "kind": "guaranteed"}, "2026-07", "guaranteed_rate"),
        ({"owner_investment": 5, "site": "other"}, "2026-07", "give the contract of that site"),
    ],
)
def test_bad_orders_are_refused(quartet, metered, tmp_path, changes, month, said) -> None:
    file = changed(tmp_path, **changes)
    ran = quartet("statement", "jiashan_park", "--data", str(metered), "--contract", str(file), "--month", month)
    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err


def test_a_month_with_too_few_values_is_refused_with_its_gaps(quartet, metered, tmp_path) -> None:
    history = read_history(metered)
    frame = history.frame.copy()
    frame.loc[frame.index[100:300], "battery2.charge_kw"] = float("nan")
    write_history(tmp_path / "gaps", frame, history.sessions)
    ran = quartet(
        "statement", "jiashan_park", "--data", str(tmp_path / "gaps"), "--contract", str(CONTRACT),
        "--month", "2026-07",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert ran.code == 2
    assert "battery2.charge_kw" in ran.err
    assert "2026-07-01T17:00:00Z to 2026-07-03T19:00:00Z" in ran.err
    assert list((tmp_path / "out").iterdir()) == []
