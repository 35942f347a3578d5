"""`quartet bill`: a month of the shipped park from measured or simulated meters."""

from __future__ import annotations

import shutil
from datetime import timedelta
from decimal import Decimal

import pytest

from site_configs.history import read_history, sample_folder, write_history


def test_the_bill_of_measured_meters_and_of_the_same_meters_simulated(quartet, metered):
    measured = quartet("bill", "jiashan_park", "--data", str(metered), "--month", "2026-07", "--json")
    simulated = quartet("bill", "jiashan_park", "--month", "2026-07", "--simulate", "rules", "--json")
    assert (measured.code, simulated.code) == (0, 0)
    ours, theirs = measured.json, simulated.json
    assert ours["lines"] == theirs["lines"]
    assert sum(Decimal(str(line["fee"])) for line in ours["lines"]) == Decimal(str(ours["total"]))
    assert ours["quality"]["simulated"] is None
    assert theirs["quality"]["simulated"] == "rules"
    for line in ours["lines"]:
        assert abs(line["quantity"] * line["price"] - line["fee"]) <= 0.00501


def test_a_recorded_bill_that_differs_ends_with_1(quartet, metered, tmp_path):
    arguments = ["bill", "jiashan_park", "--data", str(metered), "--month", "2026-07", "--json"]
    lines = quartet(*arguments).json["lines"]
    file = tmp_path / "utility.csv"

    def write(change: float) -> None:
        rows = [f"{x['component']},{x['band']},{x['quantity']},{x['price']},{x['fee']}" for x in lines[1:]]
        first = lines[0]
        rows.append(f"{first['component']},{first['band']},0,0,{first['fee'] + change:.2f}")
        file.write_text("\n".join(["component,band,quantity,price,fee", *rows]), encoding="utf-8")

    write(0.01)
    assert quartet(*arguments, "--recorded", str(file)).code == 0
    write(5.0)
    ran = quartet(*arguments, "--recorded", str(file))
    assert ran.code == 1
    assert [x["difference"] for x in ran.json["comparison"]["lines"] if not x["agrees"]] == [-5.0]


def test_the_shipped_sample_has_no_meters_and_says_that_they_are_simulated(quartet):
    ran = quartet("bill", "jiashan_park", "--month", "2026-08", "--json")
    assert ran.code == 0
    assert ran.json["quality"]["simulated"] == "rules"
    assert "they are simulated under rules" in ran.err


def test_demand_from_rows_longer_than_its_interval_is_an_estimate_and_named(quartet, metered, tmp_path):
    frame = read_history(metered).frame
    write_history(tmp_path, frame.resample("1h").mean())
    arguments = ("bill", "jiashan_park", "--month", "2026-07", "--data")
    assert quartet(*arguments, str(metered), "--json").json["quality"]["notes"] == []
    quality = quartet(*arguments, str(tmp_path), "--json").json["quality"]
    assert (quality["grade"], quality["coverage"]) == ("flagged", 1.0)
    (note,) = quality["notes"]
    assert note.startswith("demand line demand: measured over 15 min, the rows are 60 min long")
    assert note in quartet(*arguments, str(tmp_path)).out


def test_gaps_are_named_and_too_many_refused(quartet, metered, tmp_path):
    history = read_history(metered)
    frame = history.frame.copy()
    frame.iloc[300:320] = float("nan")
    write_history(tmp_path / "few", frame)
    document = quartet("bill", "jiashan_park", "--data", str(tmp_path / "few"), "--month", "2026-07", "--json").json
    assert {gap["rule"] for gap in document["quality"]["gaps"]} == {"like_days"}
    assert document["quality"]["grade"] == "final"
    assert any(repair["kind"] == "gap" for repair in document["repairs"])
    write_history(tmp_path / "many", frame.loc[frame.index < frame.index[0] + timedelta(days=29)])
    ran = quartet("bill", "jiashan_park", "--data", str(tmp_path / "many"), "--month", "2026-07", "--json")
    assert ran.code == 2
    assert ran.out == ""
    assert "too little was measured" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--month", "2026-13"), "must be a month"),
        (("--month", "2026-07", "--data", "without_meters"), "add the meter's column, or simulate it"),
        (("--month", "2026-07", "--simulate", "engine"), "must be rules or none"),
        (("--month", "2026-05", "--simulate", "rules"), "2026-05"),
    ],
)
def test_bad_input_is_refused(quartet, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sample_folder("jiashan_park"), "without_meters")
    ran = quartet("bill", "jiashan_park", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_people_read_a_table(quartet, metered):
    ran = quartet("bill", "jiashan_park", "--data", str(metered), "--month", "2026-07")
    assert ran.code == 0
    assert "actual_demand" in ran.out
    assert "total" in ran.out
