"""Reading the recorded loads of the benchmark: clocks and calendars, without the data."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
from recorded_loads import _on_wall_clock, _university_day, public_days

REPOSITORY = Path(__file__).parents[2]


def test_the_hour_that_comes_twice_is_told_apart_by_its_order() -> None:
    stamps = ["2018-11-04 00:30", "2018-11-04 01:30", "2018-11-04 01:30", "2018-11-04 02:30"]
    series = _on_wall_clock(pd.Series(pd.to_datetime(stamps)), pd.Series([1.0, 2.0, 3.0, 4.0]), "America/Los_Angeles")
    assert series.index.strftime("%H:%M").tolist() == ["07:30", "08:30", "09:30", "10:30"]
    assert series.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_the_university_keeps_its_published_days() -> None:
    off = [date(2019, 12, 24), date(2019, 12, 30), date(2019, 11, 29), date(2019, 3, 29), date(2020, 1, 1)]
    assert {_university_day(day) for day in off} == {"holiday"}
    assert _university_day(date(2019, 10, 14)) == "workday"  # Columbus Day is worked
    assert _university_day(date(2019, 12, 20)) == "workday"
    assert _university_day(date(2019, 10, 12)) == "rest_day"


def test_public_days_of_a_country() -> None:
    assert public_days("GB")(date(2019, 12, 26)) == "holiday"
    assert public_days("none")(date(2019, 12, 26)) == "workday"


def test_without_the_folder_the_benchmark_says_how_to_give_it(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/forecast.py", "--data", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 3
    assert "give their folder with --data DIR" in done.stderr
    assert done.stdout == ""
