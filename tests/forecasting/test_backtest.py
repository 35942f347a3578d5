"""Back-tests: origins, blocks, and that nothing from an origin on is ever seen, by anyone."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from forecasting import scores
from forecasting.backtest import (
    BackTest,
    Block,
    Record,
    Schedule,
    backtest,
    blocks,
    day_table,
    joined,
    rolling_origins,
    run_block,
)
from forecasting.day_types import DayTable, LocalClock
from forecasting.demand import Demand
from forecasting.forecast import LEVELS
from forecasting.kinds import PastSession, SeriesKind
from forecasting.market import Market
from forecasting.measured import Measured
from forecasting.peer import SETTINGS, fit_peer
from forecasting.pv import Pv
from forecasting.sun import Position
from forecasting.weather import Temperature
from tests.forecasting.park import CAPACITY_KW, ISSUED, ZONE, day_type

DAY = timedelta(days=1)
KINDS: dict[str, SeriesKind] = {
    "load.demand_kw": Demand(),
    "pv1.available_kw": Pv(CAPACITY_KW, Position(30.84, 120.92)),
    "market.import_price_per_kwh": Market("market.import_price_per_kwh"),
    "weather.temperature_c": Temperature(),
}
ORIGINS = rolling_origins(ISSUED - DAY, ISSUED - DAY / 4, timedelta(hours=9), ZONE)
SCHEDULE = Schedule(ORIGINS, horizon=timedelta(hours=6))
"""Two origins, one fit."""
POISON = 1e7


@pytest.fixture(scope="module", autouse=True)
def small_peer() -> Iterator[None]:
    """The other library with few rows and trees: the same path in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forecasting.peer.MOST_ROWS", 4000)
        patch.setitem(SETTINGS, "n_estimators", 30)
        yield


@pytest.fixture(scope="module")
def record(park: pd.DataFrame) -> Record:
    """The made-up park by the hour, and forecasts of irradiance and temperature, issued twice a day."""
    park = park.resample("1h").mean()
    sessions = (PastSession(ISSUED - 3 * DAY, ISSUED - 2 * DAY, 20.0, "ev01"),)
    issues = pd.date_range(ISSUED - 40 * DAY, ISSUED + 2 * DAY, freq="12h")
    rows = [_weather_forecast(park, issued) for issued in issues]
    priced = park.assign(**{"market.import_price_per_kwh": 0.3 + park["load.demand_kw"] / 1000})
    return Record(priced, 60, sessions, pd.concat(rows, ignore_index=True))


def _weather_forecast(park: pd.DataFrame, issued: datetime) -> pd.DataFrame:
    times = pd.date_range(issued, issued + 2 * DAY, freq="1h")
    sun = park["pv1.available_kw"].reindex(times).fillna(0.0).to_numpy()
    warm = park["weather.temperature_c"].reindex(times).ffill().fillna(25.0).to_numpy()
    weather = {"weather.ghi_w_per_m2": 2.0 * sun, "weather.temperature_c": warm}
    return pd.DataFrame({"issued_at": issued, "time": times, **weather})


@pytest.fixture(scope="module")
def found(record: Record) -> dict[str, BackTest]:
    return {name: backtest(record, name, kind, day_type, ZONE, SCHEDULE) for name, kind in KINDS.items()}


def poisoned(record: Record, at: datetime) -> Record:
    """The record with everything absurd that could not be known at `at`."""
    frame = record.frame.copy()
    frame.loc[at:] = POISON
    assert record.published is not None
    published = record.published.copy()
    published.loc[published["issued_at"] >= at, "weather.ghi_w_per_m2"] = POISON
    published.loc[published["issued_at"] >= at, "weather.temperature_c"] = -50.0
    later = PastSession(at - timedelta(hours=1), at + timedelta(minutes=1), POISON, "ev01")
    return Record(frame, record.step_minutes, (*record.sessions, later), published)


@pytest.mark.parametrize("name", KINDS)
def test_a_poisoned_future_changes_no_forecast_and_no_yardstick(
    record: Record, found: dict[str, BackTest], name: str
) -> None:
    days = day_table(record, day_type, ZONE, SCHEDULE)
    for place, at in enumerate(SCHEDULE.origins):
        poison = blocks(poisoned(record, at), name, KINDS[name], days, ZONE, SCHEDULE)
        block = next(block for block in poison if at in block.origins)
        upto = replace(block, origins=tuple(origin for origin in block.origins if origin <= at))
        again, row = run_block(upto), len(upto.origins) - 1
        assert "peer" in again.yardsticks
        for paths, before in ((again.quantiles, found[name].quantiles), (again.yardsticks, found[name].yardsticks)):
            assert set(paths) == set(before)
            for key, path in paths.items():
                np.testing.assert_array_equal(path[row], before[key][place], err_msg=f"{key} from {at}")
        assert again.methods[row] == found[name].methods[place]
        assert np.all(again.actual[row] == POISON)


def test_what_was_known_ends_at_the_moment(record: Record) -> None:
    at = ISSUED + timedelta(minutes=7)
    known = record.known_at(at)
    assert known.frame.index[-1] == ISSUED - timedelta(hours=1)
    assert record.known_at(ISSUED).frame.index[-1] == ISSUED - timedelta(hours=1)
    assert _last_issue(known) == ISSUED
    assert _last_issue(record.known_at(ISSUED)) == ISSUED - DAY / 2
    assert known.sessions == record.sessions
    assert record.known_at(ISSUED - 2 * DAY - timedelta(seconds=1)).sessions == ()


def _last_issue(record: Record) -> datetime:
    assert record.published is not None
    last: datetime = record.published["issued_at"].iloc[-1]
    return last


def test_weather_forecasts_are_listened_to(found: dict[str, BackTest]) -> None:
    """Without this, a poisoned weather forecast would prove nothing."""
    assert "clear-sky index+weather forecast" in found["pv1.available_kw"].methods
    assert "weather forecast" in found["load.demand_kw"].methods[0]
    assert "weather forecast+fading anomaly" in found["weather.temperature_c"].methods


def test_actual_values_and_paths_stand_side_by_side(record: Record, found: dict[str, BackTest]) -> None:
    load = found["load.demand_kw"]
    assert load.actual.shape == (len(SCHEDULE.origins), 6)
    assert set(load.quantiles) == set(LEVELS)
    for row, at in enumerate(SCHEDULE.origins):
        wanted = record.frame["load.demand_kw"].loc[at : at + timedelta(hours=6)].iloc[:6]
        np.testing.assert_array_equal(load.actual[row], wanted)
        assert load.yardsticks["persistence"][row, 0] == record.frame["load.demand_kw"].loc[at - timedelta(hours=1)]
        np.testing.assert_array_equal(
            load.yardsticks["same_slot_yesterday"][row],
            record.frame["load.demand_kw"].loc[at - DAY :].iloc[:6],
        )
    assert load.leads_minutes.tolist() == list(range(60, 420, 60))
    assert load.history_rows == 44 * 24
    assert load.absent == {}
    assert not any("failed" in method for method in load.methods)


def test_blocks_in_any_order_and_any_process_give_the_same(record: Record) -> None:
    def backwards(job: object, parts: Iterable[Block]) -> list[BackTest]:
        return [run_block(pickle.loads(pickle.dumps(block))) for block in reversed(list(parts))][::-1]

    name, schedule = "pv1.available_kw", replace(SCHEDULE, refit=timedelta(hours=9))
    forth, back = (backtest(record, name, KINDS[name], day_type, ZONE, schedule, run=run) for run in (map, backwards))
    assert (len(back.fit_ms), len(back.update_ms)) == (2, 2)
    for paths, others in ((forth.quantiles, back.quantiles), (forth.yardsticks, back.yardsticks)):
        assert list(paths) == list(others)
        np.testing.assert_array_equal(list(paths.values()), list(others.values()))
    assert back.scale == forth.scale


def test_a_fit_serves_its_origins_until_the_next_one() -> None:
    every = timedelta(hours=7)
    origins = rolling_origins(ISSUED, ISSUED + 2 * DAY, every, ZONE)
    parts = list(Schedule(origins, DAY, timedelta(hours=14)).blocks())
    assert [len(part) for part in parts] == [2, 2, 2, 1]
    assert tuple(origin for part in parts for origin in part) == origins
    assert list(Schedule((), DAY).blocks()) == []


def test_whole_days_follow_the_local_clock_and_hours_do_not() -> None:
    zone = ZoneInfo("America/Los_Angeles")
    first, end = datetime(2026, 3, 7, 8, tzinfo=UTC), datetime(2026, 3, 10, 7, tzinfo=UTC)  # clocks change on the 8th
    assert [at.hour for at in rolling_origins(first, end, DAY, zone)] == [8, 8, 7]
    assert [at.hour for at in rolling_origins(first, end, timedelta(hours=12), zone)] == [8, 20, 8, 20, 8, 20]


def test_without_origin_there_is_nothing_to_test(record: Record) -> None:
    with pytest.raises(ValueError, match="no origin"):
        backtest(record, "load.demand_kw", Demand(), day_type, ZONE, Schedule((), DAY))


def test_too_little_history_is_told_by_name(record: Record) -> None:
    short = replace(record, frame=record.frame.loc[ISSUED - 9 * DAY :])
    told = backtest(short, "load.demand_kw", Demand(), day_type, ZONE, SCHEDULE)
    assert all("days of history" in method for method in told.methods)
    assert "training rows" in told.absent["peer"]
    assert "peer" not in told.yardsticks


def test_a_peer_that_comes_later_is_nan_before(found: dict[str, BackTest]) -> None:
    load = found["load.demand_kw"]
    without = replace(load, yardsticks={k: v for k, v in load.yardsticks.items() if k != "peer"}, absent={"peer": "x"})
    both = joined([without, load])
    rows = len(load.origins)
    assert np.isnan(both.yardsticks["peer"][:rows]).all()
    np.testing.assert_array_equal(both.yardsticks["peer"][rows:], load.yardsticks["peer"])
    assert both.absent == {"peer": "x"}


def test_peer_is_told_as_absent_where_its_library_is_not(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    told = backtest(record, "weather.temperature_c", Temperature(), day_type, ZONE, SCHEDULE)
    assert "install quartet-ems[dev]" in told.absent["peer"]
    assert "peer" not in told.yardsticks


def test_peer_learns_what_its_library_is_given(record: Record) -> None:
    """On a load that repeats itself but for noise it must come near the noise."""
    clock = LocalClock(ZONE, 60)
    origin = clock.first_step(ISSUED)
    steps = np.arange(origin - 60 * 24, origin + 24)
    rng = np.random.default_rng(2)
    whole = Measured(int(steps[0]), 100 + 50 * np.sin(2 * np.pi * steps / 24) + rng.normal(0, 1, len(steps)))
    past, leads = whole.between(whole.first, origin), np.arange(24)
    days = day_table(record, day_type, ZONE, SCHEDULE)
    path = fit_peer(past, 24, clock, DayTable.over(day_type, days.first - 40, days.last)).forecast(
        past, np.array([origin]), leads
    )
    assert scores.mae(whole.at(origin + leads), path[0]) < 2.0
