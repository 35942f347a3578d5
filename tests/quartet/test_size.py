"""`quartet size` as a user calls it, on a week of the shipped park; the replay judges a day of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from quartet.cli import app
from quartet.documents import SizeDocument

WEEK = ["--from", "2026-08-03", "--to", "2026-08-10"]


def size(*options: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["size", "jiashan_park", "--json", *options])
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout)
    jsonschema.validate(document, SizeDocument.model_json_schema())
    return document


def test_the_document_and_the_files(complaints_of: Callable[[Path], list[str]], tmp_path: Path) -> None:
    document = size("--auto", "--judge", "none", "--beside", "0", "--out", str(tmp_path), *WEEK)
    assert document["from"] == "2026-08-02T16:00:00Z"
    assert document["recommended"] is not None
    assert SizeDocument.model_validate(document).end.isoformat() == "2026-08-09T16:00:00+00:00"
    page = (tmp_path / "size.html").read_text(encoding="utf-8")
    assert "容量配置" in page
    assert page.count("<svg") == 3
    assert complaints_of(tmp_path / "size.html") == []
    assert (tmp_path / "size.png").read_bytes().startswith(b"\x89PNG")


def test_a_replay_judges_and_goes_on_from_what_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "candidates.yaml"
    file.write_text("battery: {device: battery1, capacity_kwh: [500, 2000], power_kw: [200, 800], cost_per_kwh: 100}\n")
    options = ["--candidates", str(file), "--judge", "rules", "--beside", "0", "--workers", "1"]
    options += ["--runs", str(tmp_path / "runs"), "--from", "2026-08-03", "--to", "2026-08-04"]
    first = size(*options)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.pickle")}
    again = size(*options)
    assert kept
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.pickle")}
    assert first["assessed"] == again["assessed"]
    assert first["judge"] == "rules"


def test_options_are_compared_with_foresight(tmp_path: Path) -> None:
    file = tmp_path / "candidates.yaml"
    store = "id: cold_store, kind: thermal_store, carrier: cold, charge_limit_kw: 300, discharge_limit_kw: 300"
    file.write_text(
        "options:\n"
        f"  - {{id: tank, cost: 1000, devices: [{{{store}, capacity_kwh: 3000, loss_per_hour: 0.003}}]}}\n"
        f"  - {{id: gold_tank, cost: 9000000, devices: [{{{store}, capacity_kwh: 3001, loss_per_hour: 0.003}}]}}\n"
    )
    options = ["--candidates", str(file), "--judge", "none", "--from", "2026-08-03", "--to", "2026-08-05"]
    document = size(*options, "--workers", "1", "--out", str(tmp_path / "out"))
    by_options = {tuple(one["sizes"]["options"]): one["foreseen_cost"] for one in document["choices"]}  # type: ignore
    assert set(by_options) == {(), ("tank",), ("gold_tank",)}
    assert by_options[("tank",)] < by_options[()] < by_options[("gold_tank",)]
    assert document["recommended"]["options"] == ["tank"]  # type: ignore
    assert document["assessed"][0]["options_saving"] > 0  # type: ignore
    assert "其他设备" in (tmp_path / "out" / "size.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [([], "either a candidates file or --auto"), (["--auto", "--judge", "oracle"], "must be engine, rules or none")],
)
def test_what_is_refused(options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["size", "jiashan_park", *options])
    assert result.exit_code != 0
    assert said in str(result.exception)
