"""`quartet forecast ...` as a user meets it: documents, tables, pictures, and errors that say what to do."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import UTC, date, datetime, timedelta
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.peer import SETTINGS
from optimizer.errors import MissingPartError
from optimizer.situation import Session
from quartet.backtesting import _run_all
from quartet.documents import ForecastBackTest
from quartet.forecast_cli import _one_option_each, forecast
from quartet.show_forecasts import number
from site_configs.history import write_history
from tests.forecasting.park import made_up_park

COMMANDS = sorted(str(command.name or command.callback.__name__) for command in forecast.registered_commands)
PLACE = ("--zone", "Asia/Shanghai", "--holidays", "CN")
WINDOW = ("--from", "2026-08-20", "--to", "2026-08-23")
GAP = "2026-08-21 00:00"
SHIPPED = Path(__file__).parents[2] / "site_configs" / "jiashan_park.yaml"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Seven weeks of hours, with a gap of three on the second day that is back-tested."""
    hours = made_up_park().resample("1h").mean()
    hours.loc[pd.Timestamp(GAP, tz="UTC") : pd.Timestamp(GAP, tz="UTC") + timedelta(hours=2), "load.demand_kw"] = np.nan
    return hours


@pytest.fixture(scope="module")
def data(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("history")
    arrivals = pd.date_range("2026-07-20 00:20", "2026-08-27 00:20", freq="D", tz="UTC")
    cars = [Session(f"s{i}", "ev01", at, at + timedelta(hours=4), 30.0) for i, at in enumerate(arrivals)]
    write_history(folder, frame, tuple(cars))
    return str(folder)


@pytest.fixture(autouse=True)
def small_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process, and the other library with few trees: the same path in less time."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setitem(SETTINGS, "n_estimators", 10)


def test_document_without_a_site(quartet, data, frame):
    ran = quartet(
        "forecast", "backtest", "--data", data, "--series", "load.demand_kw", *WINDOW, *PLACE, "--every", "7h", "--json"
    )
    assert ran.code == 0, ran.err
    document = ForecastBackTest.model_validate(ran.json)
    load = document.series["load.demand_kw"]
    assert (load.step_minutes, load.origins) == (60, 11)
    assert load.first_origin == datetime(2026, 8, 19, 16, tzinfo=UTC)
    assert [row.lead_minutes for row in load.by_lead] == list(range(60, 1441, 60))
    assert load.overall.n == sum(row.n for row in load.by_lead)
    assert load.levels[0] < 0.5 < load.levels[-1]
    assert load.overall.pinball < load.overall.mae < load.overall.rmse
    assert load.mase_scale is not None
    assert load.overall.mase == pytest.approx(load.overall.mae / load.mase_scale)
    assert load.overall.reasons["energy_kwh_by_band"] == "only a site has a tariff: give SITE"
    assert [repair["kind"] for repair in load.repairs] == ["gap"]
    assert document.update_ms < document.fit_ms
    assert sum(load.methods.values()) == 11


def test_scores_are_those_of_the_recorded_values(quartet, data, frame):
    """The error of persistence and of yesterday, computed once more by other means."""
    ran = quartet("forecast", "backtest", "--data", data, "--series", "load.demand_kw", *WINDOW, *PLACE, "--json")
    rows = ran.json["series"]["load.demand_kw"]["by_lead"]
    load = frame["load.demand_kw"]
    origins = pd.date_range("2026-08-19 16:00", periods=3, freq="D", tz="UTC")
    for lead in (1, 9, 24):
        at = origins + pd.Timedelta(hours=lead - 1)
        actual = load.reindex(at).to_numpy()
        last = load.reindex(origins - pd.Timedelta(hours=1)).to_numpy()
        yesterday = load.reindex(at - pd.Timedelta(days=1)).to_numpy()
        yardsticks = rows[lead - 1]["yardsticks"]
        assert yardsticks["persistence"] == pytest.approx(np.nanmean(np.abs(last - actual)), abs=1e-9)
        assert yardsticks["same_slot_yesterday"] == pytest.approx(np.nanmean(np.abs(yesterday - actual)), abs=1e-9)
        assert rows[lead - 1]["n"] == np.isfinite(actual).sum()
    gap_lead = 1 + int((pd.Timestamp(GAP, tz="UTC") - origins[1]) / pd.Timedelta(hours=1))
    assert [rows[lead - 1]["n"] for lead in (gap_lead - 1, gap_lead, gap_lead + 3)] == [3, 2, 3]


def test_a_gap_at_the_origin_is_not_bridged_with_what_came_after_it(quartet, frame, tmp_path):
    holed = frame.copy()
    holed.loc[pd.Timestamp("2026-08-19 15:00", tz="UTC"), "pv1.available_kw"] = np.nan
    write_history(tmp_path, holed)
    window = ("--from", "2026-08-20", "--to", "2026-08-21", "--horizon", "2h")
    ran = quartet(
        "forecast", "backtest", "--data", str(tmp_path), "--series", "pv1.available_kw", *window, *PLACE, "--json"
    )
    assert ran.code == 0, ran.err
    pv = ran.json["series"]["pv1.available_kw"]
    assert [repair["kind"] for repair in pv["repairs"]] == ["short_gap"]
    assert pv["by_lead"][0]["yardsticks"]["persistence"] is None
    assert pv["by_lead"][0]["reasons"]["persistence"] == "no forecast meets a measured value"


def test_several_series_in_one_option_or_in_many(quartet, data):
    together = ["--series", "load.demand_kw", "pv1.available_kw", "--data", data]
    assert _one_option_each(["--series", "a.b_kw", "c.d_kw", "my_park", "--json"]) == [
        *("--series", "a.b_kw", "--series", "c.d_kw", "my_park", "--json")
    ]
    assert _one_option_each(["p.yaml", "--series", "a.b_kw", "p.yaml"]) == ["p.yaml", "--series", "a.b_kw", "p.yaml"]
    window = ("--from", "2026-08-20", "--to", "2026-08-21", "--horizon", "3h", *PLACE)
    ran = quartet("forecast", "backtest", *together, "weather.temperature_c", *window, "--json")
    assert ran.code == 2  # a column stands where a site may
    ran = quartet("forecast", "backtest", *together, "--series", "weather.temperature_c", *window, "--json")
    assert ran.code == 0, ran.err
    assert list(ran.json["series"]) == ["load.demand_kw", "pv1.available_kw", "weather.temperature_c"]


def test_days_of_leads_share_a_row_beyond_two_days(quartet, data):
    ran = quartet(
        "forecast", "backtest", "--data", data, "--series", "load.demand_kw",
        *("--from", "2026-08-20T00:00", "--to", "2026-08-21T00:00", "--horizon", "3.5d"), *PLACE, "--json",
    )  # fmt: skip
    load = ForecastBackTest.model_validate(ran.json).series["load.demand_kw"]
    spans = [(row.lead_from_minutes, row.lead_minutes) for row in load.by_lead]
    assert spans[:48] == [(minutes, minutes) for minutes in range(60, 2881, 60)]
    assert spans[48:] == [(2940, 4320), (4380, 5040)]
    assert load.overall.day_peak is not None
    assert load.overall.day_peak.n == 2  # the day with the gap does not count


def test_table_for_people(quartet, data):
    ran = quartet("forecast", "backtest", "--data", data, "--series", "load.demand_kw", *WINDOW, *PLACE)
    assert ran.code == 0, ran.err
    for part in ("load.demand_kw: 3 origins", "LightGBM", "80 %", "peak of 24 h", "made by: ", "repaired:", "24 h"):
        assert part in ran.out
    assert "no energy_kwh_by_band: only a site has a tariff" in " ".join(ran.out.split())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0"), (0.05234, "0.0523"), (13.819, "13.82"), (-105.47, "-105.5"), (12345.6, "12,346")],
)
def test_numbers_have_four_figures(value, shown):
    assert number(value) == shown


def test_site_gives_zone_calendar_tariff_and_kinds(quartet):
    ran = quartet(
        "forecast", "backtest", "jiashan_park", "--series", "pv1.available_kw", "ev.arriving_kw",
        *("--from", "2026-09-01", "--to", "2026-09-03", "--json"),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    document = ForecastBackTest.model_validate(ran.json)
    assert document.zone == "Asia/Shanghai"
    pv, ev = document.series.values()
    assert pv.overall.energy_kwh_by_band is not None
    assert set(pv.overall.energy_kwh_by_band) == {"peak", "flat", "valley"}
    assert pv.overall.day_peak is not None
    assert all(band.n == 2 for band in pv.overall.energy_kwh_by_band.values())
    assert pv.overall.mape is not None
    assert 0 < pv.overall.n_mape < pv.overall.n  # nights are 0
    assert ev.methods == {"mean of past sessions": 2}
    assert ev.overall.n == 2 * 96
    assert ev.history_rows > 70 * 96


def test_options_go_before_the_sites_own_calendar(quartet, tmp_path, monkeypatch):
    seen = {}

    def stop(place, *_):
        seen["types"] = [place.day_type(day) for day in (date(2026, 10, 1), date(2026, 9, 2))]
        raise KeyboardInterrupt

    monkeypatch.setattr("quartet.backtesting.run_backtests", stop)
    closures = tmp_path / "closed.txt"
    closures.write_text("# our own\n2026-09-02  # inventory\n\n", encoding="utf-8")
    asked = ("--series", "load.demand_kw", *WINDOW, "--closures", str(closures))
    assert quartet("forecast", "backtest", "jiashan_park", *asked).code == 130
    assert seen["types"] == ["holiday", "closure"]
    assert quartet("forecast", "backtest", "jiashan_park", *asked, "--holidays", "none").code == 130
    assert seen["types"] == ["workday", "closure"]


def test_processes_change_nothing_but_the_time(quartet, data, monkeypatch):
    asked = (
        "forecast", "backtest", "--data", data, "--series", "weather.temperature_c", "pv1.available_kw",
        *("--from", "2026-08-18", "--to", "2026-08-27", "--horizon", "4h", "--json"), *PLACE,
    )  # fmt: skip
    monkeypatch.setitem(SETTINGS, "n_estimators", 150)  # what the fresh processes have
    alone = quartet(*asked)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    shared = quartet(*asked)
    assert (alone.code, shared.code) == (0, 0)
    assert _timeless(shared.json) == _timeless(alone.json)


def test_a_process_that_dies_is_a_missing_part(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("quartet.backtesting.run_block", signal.raise_signal)
    before = active_children()
    with pytest.raises(MissingPartError, match="ask for fewer series at once"):
        _run_all([signal.SIGKILL, signal.SIGKILL])
    late = time.monotonic() + 5.0  # the pool's own thread may be about to note an end that it has waited for
    while set(active_children()) > set(before) and time.monotonic() < late:
        time.sleep(0.01)
    assert set(active_children()) <= set(before)


def _timeless(document):
    text = json.dumps(document, sort_keys=True)
    kept = json.loads(text, object_hook=lambda row: {k: v for k, v in row.items() if k not in TIMES})
    assert kept != document
    return kept


TIMES = ("wall_s", "fit_ms", "update_ms")


def test_an_end_beyond_the_history_is_noted(quartet, data):
    window = ("--from", "2026-08-28", "--to", "2026-09-30", "--horizon", "3h")
    ran = quartet("forecast", "backtest", "--data", data, "--series", "pv1.available_kw", *window, *PLACE, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["series"]["pv1.available_kw"]["origins"] == 1
    assert ran.json["notes"] == [
        "the history ends at 2026-08-28T16:00Z, before --to 2026-09-30: no origin lies after it"
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--series", "load.demand_kwh"),
            "--series: must be a column of the history: load.demand_kw, pv1.available_kw",
        ),
        (("--from", "2026-07-15"), "load.demand_kw: needs 8 days of measurements before --from: choose a later --from"),
        (("--from", "2026-09-20", "--to", "2026-09-21"), "--from: must lie inside the history, which holds 2026"),
        (("--from", "2025-01-01"), "--from: must lie inside the history"),
        (("--to", "2026-08-20"), "--to: must be after --from 2026-08-20"),
        (("--from", "yesterday"), "--from: must be a time such as"),
        (("--from", "2026-08-20T00:30"), "--from: must be the start of a 60-minute interval"),
        (("--every", "soon"), "--every: must be a length of time such as 15min, 7h or 30d"),
        (("--every", "0h"), "--every: must be a length of time"),
        (("--every", "90min"), "--every: must be a multiple of the history's step of 60 min"),
        (("--horizon", "15min"), "--horizon: must be a multiple of the history's step"),
        (("--horizon", "365d"), "--horizon: must be at most 62 days"),
        (("--zone", "Mars/Olympus"), '--zone: must be an IANA name such as "Asia/Shanghai"'),
        (("--holidays", "XX"), "--holidays: must be one of CN, US, GB, none"),
        (("--closures", "no/where.txt"), "--closures: cannot be read"),
        (("--data", "no/where"), "a history folder holds series.csv"),
        (("no_such_park",), "shipped are baoshan_steel, beijing_hotel, jiashan_park"),
    ],
)
def test_bad_input_ends_with_2_and_says_what_to_do(quartet, data, arguments, says):
    given = {"--data": data, "--series": "load.demand_kw", "--from": "2026-08-20", "--to": "2026-08-21"}
    given |= {"--zone": "Asia/Shanghai", "--holidays": "CN"}
    site = arguments if len(arguments) == 1 else ()
    given |= {} if site else dict(zip(arguments[::2], arguments[1::2], strict=True))
    ran = quartet("forecast", "backtest", *site, *(part for pair in given.items() for part in pair), "--json")
    assert (ran.code, ran.out) == (2, "")
    assert says in " ".join(ran.err.split())


def test_zone_and_holidays_are_both_named_where_there_is_no_site(quartet, data):
    ran = quartet("forecast", "backtest", "--data", data, "--series", "load.demand_kw", *WINDOW)
    assert ran.code == 2
    assert "--zone: is required without SITE" in ran.err
    assert "--holidays: is required without SITE" in ran.err


def test_all_problems_of_all_series_at_once(quartet, data):
    series = ("--series", "load.demand_kw", "--series", "a.demand_kw", "--series", "b.demand_kw")
    ran = quartet("forecast", "backtest", "--data", data, *series, "--from", "2026-07-13", "--to", "2026-07-14", *PLACE)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 3


def test_a_year_without_a_calendar_is_told(quartet, tmp_path):
    index = pd.date_range("2027-02-01", periods=24 * 30, freq="1h", tz="UTC")
    write_history(tmp_path, pd.DataFrame({"load.demand_kw": np.arange(720.0)}, index=index))
    window = ("--from", "2027-02-20", "--to", "2027-02-22")
    ran = quartet("forecast", "backtest", "--data", str(tmp_path), "--series", "load.demand_kw", *window, *PLACE)
    assert ran.code == 2
    assert "years.2027" in ran.err
    assert "add the State Council's list" in ran.err


def test_bad_lines_of_closures_are_all_named(quartet, data, tmp_path):
    closures = tmp_path / "closed.txt"
    closures.write_text("2026-08-20\n20.8.2026\n2026-13-01\n", encoding="utf-8")
    asked = ("--series", "load.demand_kw", *WINDOW, *PLACE, "--closures", str(closures))
    ran = quartet("forecast", "backtest", "--data", data, *asked)
    assert ran.code == 2
    assert [line.split(": ")[2] for line in ran.err.splitlines()] == ["line 2", "line 3"]


def test_cars_that_depend_on_the_moment_are_refused(quartet):
    window = ("--from", "2026-09-01", "--to", "2026-09-03")
    ran = quartet("forecast", "backtest", "jiashan_park", "--series", "ev.leaving_kw", *window)
    assert ran.code == 2
    assert "back-test the arrivals (`arriving_kw`) instead" in ran.err


def test_plot_leaves_a_page_and_a_picture(quartet, data, tmp_path, complaints_of):
    out = tmp_path / "pictures"
    asked = ("--data", data, "--series", "load.demand_kw", *WINDOW, *PLACE, "--every", "7h", "--out", str(out))
    ran = quartet("forecast", "plot", *asked)
    assert ran.code == 0, ran.err
    assert (out / "forecast.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "forecast.html").read_text(encoding="utf-8")
    for part in ("预测中位数", "measured", "80% 区间", "预测发布时刻", "LightGBM", "font/woff", "values missing"):
        assert part in page
    assert re.findall(r"(?:src|href|url)\W+(?:https?:)?//", page) == []  # nothing is fetched
    assert complaints_of(out / "forecast.html") == []


def test_plot_needs_a_folder_it_can_write_to(quartet, data, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("here", encoding="utf-8")
    asked = ("--data", data, "--series", "load.demand_kw", *WINDOW, *PLACE, "--out", str(blocked))
    ran = quartet("forecast", "plot", *asked)
    assert ran.code == 2
    assert "choose another folder" in ran.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_names_the_command(quartet, command):
    ran = quartet("forecast", command, "--help")
    assert ran.code == 0
    assert f"Example: quartet forecast {command}" in ran.out
