"""History folders: what is read back, what is repaired and named, what is refused."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.errors import InputError
from optimizer.situation import Session
from site_configs.history import History, read_history, write_history

START = datetime(2026, 7, 1, tzinfo=UTC)
HEADER = "time,load.demand_kw"


def at(quarter: int) -> str:
    return (START + timedelta(minutes=15 * quarter)).isoformat().replace("+00:00", "Z")


def rows(count: int = 12) -> list[str]:
    """Quarter-hours with the load 100, 101, 102 ..."""
    return [f"{at(i)},{100 + i}" for i in range(count)]


def folder_with(folder: Path, lines: list[str], name: str = "series.csv", header: str = HEADER) -> Path:
    (folder / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


def kinds(history: History) -> dict[str, int]:
    return {repair.kind: repair.count for repair in history.repairs}


def refusal(folder: Path, **options: str) -> str:
    with pytest.raises(InputError) as caught:
        read_history(folder, **options)
    return str(caught.value)


def load(history: History) -> list[float]:
    return history.frame["load.demand_kw"].tolist()


class TestCleanFolders:
    def test_series_are_floats_on_a_regular_utc_index(self, tmp_path: Path) -> None:
        history = read_history(folder_with(tmp_path, rows()))
        assert history.step_minutes == 15
        assert history.repairs == ()
        assert history.frame.index.name == "time"
        assert history.frame.index.equals(pd.date_range(START, periods=12, freq="15min"))
        assert load(history) == [100.0 + i for i in range(12)]

    def test_offsets_are_converted(self, tmp_path: Path) -> None:
        lines = ["2026-07-01T08:00:00+08:00,1", "2026-07-01T00:15Z,2", "2026-06-30 19:30:00-0500,3"]
        history = read_history(folder_with(tmp_path, lines))
        assert [time.minute for time in history.frame.index] == [0, 15, 30]
        assert history.frame.index[0] == pd.Timestamp(START)

    @pytest.mark.parametrize("name", ["series.csv.gz", "series.parquet"])
    def test_other_file_types_read_alike(self, tmp_path: Path, name: str) -> None:
        plain = read_history(folder_with(tmp_path, rows())).frame
        other = tmp_path / "other"
        other.mkdir()
        if name.endswith("gz"):
            (other / name).write_bytes(gzip.compress((tmp_path / "series.csv").read_bytes()))
        else:
            plain.reset_index().to_parquet(other / name)
        pd.testing.assert_frame_equal(read_history(other).frame, plain, check_freq=False, check_index_type=False)

    def test_a_window_is_closed_left(self, tmp_path: Path) -> None:
        history = read_history(folder_with(tmp_path, rows()))
        window = history.window(START + timedelta(minutes=15), START + timedelta(minutes=45))
        assert window["load.demand_kw"].tolist() == [101.0, 102.0]
        local = timezone(timedelta(hours=8))
        same(history.window(window.index[0].astimezone(local), window.index[1].astimezone(local)), window.iloc[:1])

    def test_a_series_that_is_not_there_is_refused_by_name(self, tmp_path: Path) -> None:
        history = read_history(folder_with(tmp_path, rows()))
        with pytest.raises(InputError, match=r"pv1\.available_kw is needed; add the column, got load\.demand_kw"):
            history.series("pv1.available_kw")

    def test_a_needed_value_in_a_gap_is_refused_with_its_time(self, tmp_path: Path) -> None:
        history = read_history(folder_with(tmp_path, [*rows(3), *rows(12)[8:]]))
        assert len(history.need("load.demand_kw", START, START + timedelta(minutes=45))) == 3
        with pytest.raises(InputError, match="5 values are missing from 2026-07-01T00:45:00Z on"):
            history.need("load.demand_kw", START, history.end)
        with pytest.raises(InputError, match="needed from 2026-07-01T00:00:00Z to 2026-07-01T03:15:00Z"):
            history.need("load.demand_kw", START, history.end + timedelta(minutes=15))


class TestRepairs:
    def test_rows_repeated_exactly_are_dropped(self, tmp_path: Path) -> None:
        lines = rows()
        history = read_history(folder_with(tmp_path, [*lines[:3], lines[2], *lines[3:]]))
        assert kinds(history) == {"repeated_row": 1}
        assert load(history) == [100.0 + i for i in range(12)]

    def test_of_conflicting_rows_the_first_is_kept(self, tmp_path: Path) -> None:
        lines = rows()
        history = read_history(folder_with(tmp_path, [*lines[:3], f"{at(2)},999", *lines[3:]]))
        assert kinds(history) == {"conflicting_row": 1}
        assert load(history)[2] == 102.0
        assert history.repairs[0].first_time == START + timedelta(minutes=30)

    def test_late_rows_are_sorted(self, tmp_path: Path) -> None:
        lines = rows()
        history = read_history(folder_with(tmp_path, [*lines[:3], *lines[4:8], lines[3], *lines[8:]]))
        assert kinds(history) == {"out_of_order": 1}
        assert load(history) == [100.0 + i for i in range(12)]

    def test_a_short_gap_is_interpolated(self, tmp_path: Path) -> None:
        lines = rows()
        history = read_history(folder_with(tmp_path, [*lines[:3], f"{at(3)},", "", *lines[6:]]))
        assert kinds(history) == {"missing_row": 2, "interpolated": 3}
        assert load(history) == [100.0 + i for i in range(12)]

    def test_a_short_gap_may_be_left_as_it_was_when_nobody_knew_its_end(self, tmp_path: Path) -> None:
        lines = rows()
        history = read_history(folder_with(tmp_path, [*lines[:3], *lines[6:]]), bridged=False)
        assert kinds(history) == {"missing_row": 3, "short_gap": 3}
        assert np.isnan(load(history)[3:6]).all()
        assert "2026-07-01T00:45:00Z to 2026-07-01T01:15:00Z (0.75 h)" in history.repairs[-1].as_text()

    def test_a_longer_gap_stays_and_is_named_with_its_span(self, tmp_path: Path) -> None:
        lines = rows()
        history = read_history(folder_with(tmp_path, [*lines[:3], *lines[8:]]))
        assert np.isnan(history.frame["load.demand_kw"]).sum() == 5
        gap = next(repair for repair in history.repairs if repair.kind == "gap")
        assert "2026-07-01T00:45:00Z to 2026-07-01T01:45:00Z (1.25 h)" in gap.as_text()
        assert gap.as_document()["count"] == 5

    def test_a_gap_at_the_edge_is_not_guessed(self, tmp_path: Path) -> None:
        lines = rows()
        history = read_history(folder_with(tmp_path, [*lines[:11], f"{at(11)},NaN"]))
        assert kinds(history) == {"gap": 1}

    def test_prices_and_energies_are_not_interpolated(self, tmp_path: Path) -> None:
        header = "time,market.import_price_per_kwh,battery1.energy_kwh"
        lines = [f"{at(i)},0.5,40" for i in range(8)]
        lines[4] = f"{at(4)},,"
        history = read_history(folder_with(tmp_path, lines, header=header))
        assert [(repair.kind, repair.column) for repair in history.repairs] == [
            ("gap", "market.import_price_per_kwh"),
            ("gap", "battery1.energy_kwh"),
        ]

    def test_stand_by_draw_is_clipped(self, tmp_path: Path) -> None:
        history = read_history(folder_with(tmp_path, [f"{at(0)},-0.4", f"{at(1)},-0.4", f"{at(2)},90"]))
        assert kinds(history) == {"clipped": 2}
        assert load(history) == [0.0, 0.0, 90.0]

    def test_a_single_impossible_value_is_emptied(self, tmp_path: Path) -> None:
        lines = [*rows(200)[:50], f"{at(50)},-80", *rows(200)[51:]]
        history = read_history(folder_with(tmp_path, lines))
        assert kinds(history) == {"emptied": 1, "interpolated": 1}
        assert load(history)[50] == 150.0

    def test_the_hour_that_occurs_twice_is_read_with_the_zone(self, tmp_path: Path) -> None:
        clock = ["00:30", "00:45", *["01:00", "01:15", "01:30", "01:45"] * 2, "02:00"]
        lines = [f"2019-11-03T{time},{i}" for i, time in enumerate(clock)]
        history = read_history(folder_with(tmp_path, lines), zone="America/Los_Angeles")
        assert kinds(history) == {"clock_change": 4}
        assert load(history) == [float(i) for i in range(11)]
        backwards = folder_with(tmp_path, lines[::-1])
        assert load(read_history(backwards, zone="America/Los_Angeles")) == [float(i) for i in range(11)]

    def test_spring_is_no_gap_in_utc(self, tmp_path: Path) -> None:
        lines = [f"2019-03-10T{time},5" for time in ("01:30", "01:45", "03:00", "03:15")]
        history = read_history(folder_with(tmp_path, lines), zone="America/Los_Angeles")
        assert kinds(history) == {}
        assert len(history.frame) == 4


class TestRefusals:
    def test_missing_folder_and_file(self, tmp_path: Path) -> None:
        assert "no such folder" in refusal(tmp_path / "nowhere")
        assert "needs one of series.csv, series.csv.gz, series.parquet" in refusal(tmp_path)

    def test_two_series_files(self, tmp_path: Path) -> None:
        folder_with(tmp_path, rows())
        folder_with(tmp_path, rows(), name="series.parquet")
        assert "only one of these files" in refusal(tmp_path)

    def test_no_time_column(self, tmp_path: Path) -> None:
        message = refusal(folder_with(tmp_path, rows(), header="when,load.demand_kw"))
        assert "series.csv: line 1: column time is missing" in message

    def test_times_without_offset_unless_the_zone_is_given(self, tmp_path: Path) -> None:
        lines = [line.replace("Z", "") for line in rows(40)]
        message = refusal(folder_with(tmp_path, lines))
        assert "series.csv: line 2, time: has no offset from UTC" in message
        assert "(30 more rows like it)" in message
        assert read_history(tmp_path, zone="Asia/Shanghai").frame.index[0] == pd.Timestamp("2026-06-30T16:00Z")
        assert "is no IANA time zone" in refusal(tmp_path, zone="Shanghai")

    def test_a_local_time_that_the_clock_skips(self, tmp_path: Path) -> None:
        lines = [f"2019-03-10T{time},5" for time in ("01:30", "01:45", "02:00", "03:00")]
        message = refusal(folder_with(tmp_path, lines), zone="America/Los_Angeles")
        assert "line 4, time: does not exist in America/Los_Angeles" in message

    @pytest.mark.parametrize("time", ["yesterday", "2026-02-30T00:00:00Z", "", "20260701"])
    def test_unreadable_times(self, tmp_path: Path, time: str) -> None:
        message = refusal(folder_with(tmp_path, [*rows(), f"{time},5"]))
        assert "series.csv: line 14, time: is no time that can be read" in message

    @pytest.mark.parametrize("value", ["1.234,5", "12 kW", "-", "true", '"1,5"'])
    def test_unreadable_numbers(self, tmp_path: Path, value: str) -> None:
        message = refusal(folder_with(tmp_path, [*rows(), f"{at(12)},{value}"]))
        assert "line 14" in message

    @pytest.mark.parametrize("value", ["inf", "-inf", "1e999"])
    def test_infinity(self, tmp_path: Path, value: str) -> None:
        message = refusal(folder_with(tmp_path, [*rows(), f"{at(12)},{value}"]))
        assert "line 14, load.demand_kw: must be finite" in message

    @pytest.mark.parametrize(
        ("column", "hint"),
        [
            ("load.demand_mw", "multiply by 1000 and call it _kw"),
            ("load.demand_w", "divide by 1000 and call it _kw"),
            ("grid.carbon_g_per_kwh", "divide by 1000 and call it _kg_per_kwh"),
            ("market.price_per_mwh", "divide by 1000 and call it _per_kwh"),
            ("weather.temperature_f", "convert (f - 32) / 1.8 and call it _c"),
            ("load.demand_furlong", "ends in no known unit"),
            ("demand_kw", "rename or remove it"),
        ],
    )
    def test_unknown_units_and_names(self, tmp_path: Path, column: str, hint: str) -> None:
        assert hint in refusal(folder_with(tmp_path, rows(), header=f"time,{column}"))

    def test_a_row_off_the_grid(self, tmp_path: Path) -> None:
        message = refusal(folder_with(tmp_path, [*rows(), "2026-07-01T03:07:00Z,5"]))
        assert "line 14, time: is not on the grid of 15 min" in message

    def test_a_step_that_changes(self, tmp_path: Path) -> None:
        hourly = [f"{at(12 + 4 * i)},5" for i in range(9)]
        message = refusal(folder_with(tmp_path, [*rows(), *hourly]))
        assert "line 14, time: the step changes here from 15 min" in message
        assert "got 60 min" in message

    def test_a_wrong_year(self, tmp_path: Path) -> None:
        assert "check the dates" in refusal(folder_with(tmp_path, [*rows(), "2062-07-01T03:00:00Z,5"]))

    def test_a_wrong_sign(self, tmp_path: Path) -> None:
        message = refusal(folder_with(tmp_path, [f"{at(i)},-{i}" for i in range(1, 40)]))
        assert "line 2, load.demand_kw: is outside 0 .. inf; check sign and unit" in message

    def test_a_net_meter_is_not_an_import_meter(self, tmp_path: Path) -> None:
        lines = [f"{at(i)},500" for i in range(500)] + [f"{at(500)},-80"]
        message = refusal(folder_with(tmp_path, lines, header="time,meter.import_kw"))
        assert "line 502, meter.import_kw" in message
        assert "give each direction its own column" in message

    def test_negative_energy(self, tmp_path: Path) -> None:
        lines = [f"{at(i)},5" for i in range(500)] + [f"{at(500)},-0.001"]
        message = refusal(folder_with(tmp_path, lines, header="time,battery1.energy_kwh"))
        assert "line 502, battery1.energy_kwh: is outside 0 .. inf" in message

    def test_an_empty_column_and_a_single_row(self, tmp_path: Path) -> None:
        message = refusal(folder_with(tmp_path, [f"{at(0)},"]))
        assert "the column is empty" in message
        assert "needs at least two rows" in message

    def test_damaged_files(self, tmp_path: Path) -> None:
        (tmp_path / "series.csv.gz").write_bytes(b"not gzip at all")
        assert "series.csv.gz: whole file: cannot be read" in refusal(tmp_path)
        (tmp_path / "series.csv.gz").write_bytes(gzip.compress(b"time,load.demand_kw\n" * 99)[:-9])
        assert "series.csv.gz: whole file: cannot be read" in refusal(tmp_path)
        (tmp_path / "series.csv.gz").unlink()
        for content in (b"", b"\xff\xfe\x00"):
            (tmp_path / "series.csv").write_bytes(content)
            assert "series.csv: whole file: cannot be read" in refusal(tmp_path)
        (tmp_path / "series.csv").unlink()
        (tmp_path / "series.parquet").write_bytes(b"no parquet")
        assert "series.parquet: whole file: cannot be read" in refusal(tmp_path)

    def test_a_column_given_twice(self, tmp_path: Path) -> None:
        lines = [f"{at(i)},1,2" for i in range(4)]
        message = refusal(folder_with(tmp_path, lines, header="time,load.demand_kw,load.demand_kw"))
        assert "column given more than once" in message

    def test_everything_is_said_at_once(self, tmp_path: Path) -> None:
        lines = [*rows(3), "soon,1", f"{at(4)},many"]
        (tmp_path / "ev_sessions.csv").write_text("session_id,charger\ns1,ev01\n", encoding="utf-8")
        message = refusal(folder_with(tmp_path, lines))
        for part in ("line 5, time", "line 6, load.demand_kw", "ev_sessions.csv: line 1: column arrive is missing"):
            assert part in message


CARS = "session_id,charger,arrive,depart,energy_needed_kwh,energy_on_arrival_kwh,capacity_kwh"


class TestSessions:
    def read(self, folder: Path, *lines: str) -> History:
        folder_with(folder, rows())
        return read_history(folder_with(folder, list(lines), name="ev_sessions.csv", header=CARS))

    def refusal(self, folder: Path, *lines: str) -> str:
        with pytest.raises(InputError) as caught:
            self.read(folder, *lines)
        return str(caught.value)

    def test_sessions_come_in_order_of_arrival(self, tmp_path: Path) -> None:
        late = "007,ev02,2026-07-01T10:00:00+08:00,2026-07-01T12:00:00+08:00,9.5,,"
        early = "s1,ev01,2026-07-01T09:00:00+08:00,2026-07-01T12:00:00+08:00,20,30,60"
        history = self.read(tmp_path, late, early)
        assert history.sessions[0] == Session("s1", "ev01", *self.stay(1, 4), 20.0, 30.0, 60.0)
        assert history.sessions[1] == Session("007", "ev02", *self.stay(2, 4), 9.5, None, None)

    def stay(self, first: int, last: int) -> tuple[datetime, datetime]:
        return START + timedelta(hours=first), START + timedelta(hours=last)

    def test_departure_before_arrival(self, tmp_path: Path) -> None:
        message = self.refusal(tmp_path, f"s1,ev01,{at(4)},{at(3)},5,,")
        assert f"ev_sessions.csv: line 2, depart: must be after arrive; correct one of them, got '{at(3)}'" in message

    def test_two_cars_at_one_charger(self, tmp_path: Path) -> None:
        lines = [f"s1,ev01,{at(0)},{at(9)},5,,", f"s2,ev01,{at(1)},{at(2)},5,,", f"s3,ev01,{at(5)},{at(12)},5,,"]
        message = self.refusal(tmp_path, *lines, f"s4,ev01,{at(12)},{at(13)},5,,")
        assert "line 3, arrive: charger ev01 is still taken by the session of line 2" in message
        assert "line 4, arrive: charger ev01 is still taken by the session of line 2" in message
        assert "line 5" not in message

    @pytest.mark.parametrize(
        ("energies", "complaint"),
        [
            ("-5,,", "energy_needed_kwh: must not be negative"),
            (",,", "energy_needed_kwh: is empty"),
            ("lots,,", "energy_needed_kwh: is no number"),
            ("5,70,60", "energy_on_arrival_kwh: is more than capacity_kwh"),
            ("50,20,60", "energy_needed_kwh: does not fit into the car"),
        ],
    )
    def test_impossible_energies(self, tmp_path: Path, energies: str, complaint: str) -> None:
        assert f"line 2, {complaint}" in self.refusal(tmp_path, f"s1,ev01,{at(0)},{at(4)},{energies}")

    def test_ids_are_given_once(self, tmp_path: Path) -> None:
        one, other = f"s1,ev01,{at(0)},{at(4)},5,,", f"s1,ev02,{at(0)},{at(4)},5,,"
        assert kinds(self.read(tmp_path, one, one)) == {"repeated_row": 1}
        assert "line 3, session_id: is given twice" in self.refusal(tmp_path, one, other)

    def test_a_file_without_sessions_has_none(self, tmp_path: Path) -> None:
        assert self.read(tmp_path).sessions == ()

    def test_half_a_car_is_only_charged(self, tmp_path: Path) -> None:
        history = self.read(tmp_path, f"s1,ev01,{at(0)},{at(4)},5,,60")
        assert kinds(history) == {"incomplete_car": 1}
        assert history.sessions[0].capacity_kwh is None


class TestWeatherForecasts:
    def history(self, folder: Path) -> History:
        lines = [f"{at(issue)},{at(issue + lead)},{issue}.{lead}" for issue in (0, 4, 8) for lead in range(0, 12, 4)]
        header = "issued_at,time,weather.temperature_c"
        folder_with(folder, rows())
        return read_history(folder_with(folder, lines, name="weather_forecast.csv", header=header))

    def test_only_what_was_issued_before_is_known(self, tmp_path: Path) -> None:
        history = self.history(tmp_path)
        known = history.weather_known_at(START + timedelta(minutes=15 * 5))
        assert known.index.tolist() == [pd.Timestamp(at(8)), pd.Timestamp(at(12))]
        assert known["weather.temperature_c"].tolist() == [4.4, 4.8]
        assert history.weather_known_at(START).empty
        later = history.weather_known_at(START + timedelta(minutes=15 * 4))
        assert later["weather.temperature_c"].tolist() == [0.4, 0.8]

    def test_a_folder_without_forecasts_knows_nothing(self, tmp_path: Path) -> None:
        assert read_history(folder_with(tmp_path, rows())).weather_known_at(START).empty

    def test_unknown_units_are_refused(self, tmp_path: Path) -> None:
        folder_with(tmp_path, rows())
        header = "issued_at,time,weather.temperature_k"
        folder_with(tmp_path, [f"{at(0)},{at(4)},300"], name="weather_forecast.csv", header=header)
        assert "subtract 273.15" in refusal(tmp_path)


powers = st.floats(0, 1e5, allow_nan=False) | st.integers(0, 3).map(float)
steps = st.sampled_from([5, 15, 30, 60])


@st.composite
def frames(draw: st.DrawFn, smallest: int = 2) -> pd.DataFrame:
    """Clean series without gaps."""
    values = draw(st.lists(st.tuples(powers, powers), min_size=smallest, max_size=60))
    start = START + timedelta(hours=draw(st.integers(0, 9000)))
    index = pd.date_range(start, periods=len(values), freq=f"{draw(steps)}min", name="time")
    return pd.DataFrame(values, index=index, columns=["load.demand_kw", "pv1.available_kw"])


@st.composite
def parked(draw: st.DrawFn) -> tuple[Session, ...]:
    """Sessions of two chargers, one after the other."""
    found, free = [], {"ev01": START, "ev02": START}
    for number in range(draw(st.integers(0, 6))):
        charger = draw(st.sampled_from(sorted(free)))
        arrive = free[charger] + timedelta(minutes=draw(st.integers(0, 600)))
        depart = arrive + timedelta(seconds=draw(st.integers(1, 90_000)))
        arrival, needed = draw(st.floats(0, 40)), draw(st.floats(0, 40))
        car = draw(st.sampled_from([(None, None), (arrival, 80.0)]))
        found.append(Session(f"s{number}", charger, arrive, depart, needed, *car))
        free[charger] = depart
    return tuple(sorted(found, key=lambda session: (session.arrive, session.charger)))


def as_read(frame: pd.DataFrame, sessions: tuple[Session, ...] = ()) -> History:
    with TemporaryDirectory() as folder:
        write_history(folder, frame, sessions)
        return read_history(folder)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_freq=False, check_index_type=False)


@settings(max_examples=40, deadline=None)
@given(frames(), parked())
def test_what_is_written_is_read_back(frame: pd.DataFrame, sessions: tuple[Session, ...]) -> None:
    history = as_read(frame, sessions)
    same(history.frame, frame)
    assert history.sessions == sessions
    assert history.repairs == ()
    assert pd.Timedelta(minutes=history.step_minutes) == frame.index[1] - frame.index[0]


@settings(max_examples=30, deadline=None)
@given(frames(smallest=6), st.data())
def test_order_and_repeats_do_not_change_what_is_read(frame: pd.DataFrame, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(frame))))
    again = data.draw(st.lists(st.sampled_from(range(len(frame))), max_size=5))
    dirty = as_read(frame.iloc[[*order, *again]])
    same(dirty.frame, frame)
    assert kinds(dirty).get("repeated_row", 0) == len(again)
    assert ("out_of_order" in kinds(dirty)) == (sorted([*order, *again]) != [*order, *again])


@settings(max_examples=30, deadline=None)
@given(frames(smallest=8), st.data())
def test_every_missing_value_is_bridged_or_named(frame: pd.DataFrame, data: st.DataObject) -> None:
    missing = data.draw(st.sets(st.integers(1, len(frame) - 1), max_size=len(frame) - 2))
    holed = frame.copy()
    holed.iloc[sorted(missing), 0] = np.nan
    history = as_read(holed)
    counted = kinds(history)
    left = int(history.frame["load.demand_kw"].isna().sum())
    assert counted.get("gap", 0) == left
    assert counted.get("interpolated", 0) == len(missing) - left
    kept = ~holed["load.demand_kw"].isna().to_numpy()
    same(history.frame[kept], frame[kept])
    between = history.frame["load.demand_kw"].dropna()
    assert between.between(frame["load.demand_kw"].min(), frame["load.demand_kw"].max()).all()


@settings(max_examples=30, deadline=None)
@given(frames(smallest=4), st.data(), st.sampled_from(["x", "inf", "1,2,3", "1;5"]))
def test_one_bad_cell_is_refused_at_its_line(frame: pd.DataFrame, data: st.DataObject, cell: str) -> None:
    row = data.draw(st.integers(0, len(frame) - 1))
    times = [time.isoformat() for time in pd.DatetimeIndex(frame.index)]
    lines = [f"{time},{value!r}" for time, value in zip(times, frame["load.demand_kw"], strict=True)]
    lines[row] = f"{times[row]},{cell}"
    with TemporaryDirectory() as folder:
        assert f"line {row + 2}" in refusal(folder_with(Path(folder), lines))
