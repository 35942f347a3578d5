"""`quartet replay`: the document, its exit codes, and the bill of the flows that it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quartet.documents import ReplayDocument
from site_configs.history import write_history

SITE = """
id: corner_shop
name_zh: 街角店
name_en: corner shop
timezone: Asia/Shanghai
latitude: 30.84
longitude: 120.92
step_minutes: 60
horizon_hours: 12
tail_step_hours: 6
tariff: {area: zhejiang, class: two_part_1_10kv, transformer_kva: 400}
export: {price_per_kwh: 0.4153, source: example}
carbon: {region: zhejiang}
devices:
  - {id: grid, kind: grid_connection, import_limit_kw: 300, export_limit_kw: 100}
  - {id: load, kind: load}
  - {id: pv1, kind: pv, capacity_kw: 80}
  - {id: battery1, kind: battery, capacity_kwh: 100, charge_limit_kw: 50, discharge_limit_kw: 50}
"""
CONTRACT = """
kind: shared
number: EMC-EXAMPLE
site: corner_shop
owner: {name_zh: 店主（示例）, name_en: shop owner (example)}
esco: {name_zh: 示例节能服务公司, name_en: Example energy services company}
signed: 2025-12-20
start: 2026-02-01
years: 5
owner_investment: 0
counterfactual: no_assets
streams:
  - id: pv
    kind: pv
    name_zh: 光伏
    name_en: PV
    devices: [pv1]
    commissioned: 2026-01-15
    shares: [{from_year: 1, to_year: 5, esco: 0.8, owner: 0.2}]
  - id: storage
    kind: storage
    name_zh: 储能
    name_en: storage
    devices: [battery1]
    commissioned: 2026-01-15
    shares: [{from_year: 1, to_year: 5, esco: 0.8, owner: 0.2}]
attribution: {method: shapley}
confidence: 0.90
negative_months: floor
"""
TIMINGS = ("p50_ms", "p99_ms")
COMMAND = Path(sys.executable).with_name("quartet")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a site file and the history of its February, with two days before and one after."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.yaml").write_text(SITE, encoding="utf-8")
    index = pd.date_range(datetime(2026, 1, 29, 16, tzinfo=UTC), periods=31 * 24, freq="1h", name="time")
    hour = np.asarray((index.hour + 8) % 24, dtype=float)
    noise = np.random.default_rng(5).normal(0.0, 5.0, len(index))
    frame = pd.DataFrame(
        {
            "load.demand_kw": 90 + 40 * np.sin((hour - 8) / 24 * 2 * np.pi) + noise,
            "pv1.available_kw": np.maximum(0.0, 70 * np.sin((hour - 6) / 12 * np.pi)),
        },
        index=index,
    )
    write_history(folder / "history", frame)
    return folder


def arguments(shop: Path, *more: str, first: str = "2026-02-01", end: str = "2026-02-03") -> list[str]:
    data = ["--data", str(shop / "history"), "--from", first, "--to", end, "--workers", "1"]
    return ["replay", str(shop / "shop.yaml"), *data, *more]


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    cycles = {name: value for name, value in document["cycles"].items() if name not in TIMINGS}
    return {**document, "cycles": cycles, "wall_s": None}


def test_the_document_adds_up_and_comes_out_again(quartet: Callable[..., Any], shop: Path) -> None:
    ran = quartet(*arguments(shop, "--json"))
    assert ran.code == 0, ran.err
    document = ran.json
    ReplayDocument.model_validate(document)
    cost, others = document["cost"], document["baselines"]
    assert cost["total"] == pytest.approx(sum(value for term, value in cost.items() if term != "total"))
    assert {"energy", "demand", "export", "gas", "wear", "carbon", "total"} <= set(cost)
    captured = (others["none"] - cost["total"]) / (others["none"] - others["perfect"])
    assert document["value_captured"] == pytest.approx(captured)
    assert others["perfect"] <= cost["total"]
    assert (document["from"], document["to"]) == ("2026-01-31T16:00:00Z", "2026-02-02T16:00:00Z")
    assert document["cycles"]["count"] == 48
    assert document["reasons"]["loss_split"]
    assert all("days of history" in lack["reason"] for lack in document["without_model"])
    assert "load.demand_kw" in {lack["series"] for lack in document["without_model"]}
    assert without_times(quartet(*arguments(shop, "--json")).json) == without_times(document)


@pytest.fixture(scope="module")
def february(shop: Path) -> tuple[Path, dict[str, float]]:
    """The flows of a month under the engine, and what the replay says that they cost."""
    folder = shop / "flows"
    more = ("--no-baselines", "--json", "--out", str(folder))
    words = [COMMAND, *arguments(shop, *more, end="2026-03-01")]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["baselines"] == {"none": None, "rules": None, "perfect": None}
    return folder, document["cost"]


def test_the_flows_of_a_month_are_billed_as_the_replay_says(
    quartet: Callable[..., Any], shop: Path, february: tuple[Path, dict[str, float]]
) -> None:
    flows, cost = february
    bill = quartet("bill", str(shop / "shop.yaml"), "--data", str(flows), "--month", "2026-02", "--json").json
    assert bill["quality"]["simulated"] is None
    demand = sum(line["fee"] for line in bill["lines"] if line["component"] == "actual_demand")
    assert cost["demand"] == pytest.approx(demand, abs=0.005)
    assert cost["energy"] == pytest.approx(bill["total"] - demand, abs=0.005)
    assert cost["export"] == pytest.approx(-bill["export_total"], abs=0.005)


def test_a_statement_of_the_month_states_what_the_replay_cost(
    quartet: Callable[..., Any], shop: Path, february: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    flows, cost = february
    (tmp_path / "contract.yaml").write_text(CONTRACT, encoding="utf-8")
    words = ["--data", str(flows), "--contract", str(tmp_path / "contract.yaml"), "--month", "2026-02", "--json"]
    ran = quartet("statement", str(shop / "shop.yaml"), *words)
    assert ran.code == 0, ran.err
    data = ran.json["data"]
    demand = sum(line["fee"] for line in data["bill"] if line["component"] == "actual_demand")
    energy = sum(line["fee"] for line in data["bill"] if line["component"] != "actual_demand")
    exported = sum(line["fee"] for line in data["export_lines"])
    assert (demand, energy, -exported) == pytest.approx((cost["demand"], cost["energy"], cost["export"]), abs=0.005)
    paid = cost["total"] - cost["wear"] - cost["carbon"]
    assert data["totals"]["cost_actual"] == pytest.approx(paid, abs=0.005)
    assert sum(stream["saving_cny"] for stream in data["streams"]) == pytest.approx(data["totals"]["saving"], abs=0.005)


def test_losses_are_split_for_people_too(quartet: Callable[..., Any], shop: Path) -> None:
    ran = quartet(*arguments(shop, "--split"))
    assert ran.code == 0, ran.err
    words = ("none", "rules", "engine", "perfect", "forecast error", "captured of what the bound saves")
    for word in (*words, "no model of load.demand_kw"):
        assert word in ran.out


def test_a_baseline_can_be_replayed_by_itself(quartet: Callable[..., Any], shop: Path) -> None:
    document = quartet(*arguments(shop, "--controller", "none", "--json")).json
    assert document["baselines"]["none"] == document["cost"]["total"]
    assert document["value_captured"] == 0.0
    assert (document["cycles"]["solved"], document["cycles"]["fallback"]) == (0, 0)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--controller", "best"), "--controller"),
        (("--split", "--controller", "rules"), "--split"),
        (("--scheduler", "tcp://127.0.0.1:1"), "--workers"),
        (("--to", "2026-04-01"), "--from, --to: lies outside the history"),
        (("--to", "2020-01-01"), "--to: must be after --from"),
        (("--seed", "-1"), "--seed"),
        (("--from", "soon"), "--from"),
    ],
)
def test_bad_input_is_refused(quartet: Callable[..., Any], shop: Path, more: tuple[str, ...], named: str) -> None:
    ran = quartet(*arguments(shop, *more))
    assert (ran.code, ran.out) == (2, "")
    assert named in ran.err


def test_a_gap_in_what_the_plant_needs_is_named(quartet: Callable[..., Any], shop: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(shop / "history" / "series.csv.gz")
    frame.loc[100:110, "load.demand_kw"] = np.nan
    frame.loc[100:110, "pv1.available_kw"] = np.nan
    frame.to_csv(tmp_path / "series.csv.gz", index=False)
    ran = quartet(*arguments(shop, "--data", str(tmp_path), end="2026-02-08"))
    assert ran.code == 2
    assert "load.demand_kw" in ran.err
    assert "pv1.available_kw" in ran.err


def test_a_cluster_that_does_not_answer_is_a_missing_part(
    quartet: Callable[..., Any], shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.replay.farm.CONNECT_S", 1)
    given = [word for word in arguments(shop, "--scheduler", "tcp://127.0.0.1:1") if word not in ("--workers", "1")]
    ran = quartet(*given)
    assert ran.code == 3
    assert "127.0.0.1:1" in ran.err
