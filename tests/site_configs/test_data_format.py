"""docs/data-format.md: its example is read, its tables name what the code knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pandas as pd

from site_configs.history import read_history
from site_configs.recorded.columns import FLOWS_KW, FOREIGN_UNITS, UNITS
from site_configs.recorded.findings import SENTENCES, RepairKind

PAGE = (Path(__file__).parents[2] / "docs" / "data-format.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```csv\n(.*?)```", re.DOTALL)


def test_the_example_is_read(tmp_path: Path) -> None:
    for name, content in EXAMPLE.findall(PAGE):
        (tmp_path / name).write_text(content, encoding="utf-8")
    history = read_history(tmp_path)
    assert history.step_minutes == 15
    assert [(repair.kind, repair.column) for repair in history.repairs] == [
        ("clipped", "pv1.available_kw"),
        ("interpolated", "pv1.available_kw"),
    ]
    assert [session.capacity_kwh for session in history.sessions] == [60.0, None]
    known = history.weather_known_at(pd.Timestamp("2026-08-26T08:05+08:00").to_pydatetime())
    assert known["weather.temperature_c"].tolist() == [28.8]


def test_every_unit_and_direction_is_in_the_page() -> None:
    assert re.findall(r"^\| `_(\w+)` \|", PAGE, re.MULTILINE) == list(UNITS)
    for unit in FOREIGN_UNITS:
        assert f"`_{unit}`" in PAGE
    for direction in FLOWS_KW:
        assert f"`{direction}`" in PAGE


def test_every_repair_is_in_the_page() -> None:
    assert set(SENTENCES) == set(get_args(RepairKind))
    for kind in SENTENCES:
        assert f"| `{kind}` |" in PAGE
