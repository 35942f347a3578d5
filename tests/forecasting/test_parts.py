"""The parts, each on numbers small enough to check by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from forecasting.day_types import DayTable, LocalClock
from forecasting.demand import _trial_start, hand_over
from forecasting.ev_expected import ExpectedCars, Quantity
from forecasting.kinds import FitContext, PastSession
from forecasting.measured import Measured, measured
from forecasting.profile import TypeProfiles
from forecasting.published import Published
from forecasting.spread import SWING_LIMITS, Swing, around, error_quantiles
from forecasting.weather import Temperature
from forecasting.yardsticks import persistence, same_local_slot
from tests.forecasting.park import ISSUED, ZONE, day_type, past_sessions

HOURLY = LocalClock(ZONE, 60)
QUARTERS = LocalClock(ZONE, 15)
TODAY = int(QUARTERS.days_and_slots(np.array([QUARTERS.first_step(ISSUED)]))[0][0])
DAYS = DayTable.over(day_type, TODAY - 90, TODAY + 30)


def nothing_since(origin: int) -> Measured:
    return Measured(origin, np.empty(0))


def context(clock: LocalClock = QUARTERS, sessions: list[PastSession] | None = None) -> FitContext:
    origin = clock.first_step(ISSUED)
    return FitContext(clock, DAYS, origin, origin + 7 * clock.steps_per_day, sessions or [])


def test_local_days_and_slots_over_a_change_of_clocks() -> None:
    clock = LocalClock(ZoneInfo("America/Los_Angeles"), 60)
    spring = clock.first_step(datetime(2026, 3, 8, 8, tzinfo=UTC))  # local midnight; 02:00 does not exist that day
    days, slots = clock.days_and_slots(np.arange(spring, spring + 24))
    assert slots[:4].tolist() == [0, 1, 3, 4]
    assert np.unique(days[:23]).size == 1
    assert days[23] == days[0] + 1


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Los_Angeles", "Europe/London", "Australia/Lord_Howe"])
def test_local_days_and_slots_are_those_of_the_wall_clock(zone: str) -> None:
    clock = LocalClock(ZoneInfo(zone), 15)
    steps = np.arange(clock.first_step(datetime(1985, 1, 1, tzinfo=UTC)), clock.first_step(ISSUED), 5)
    minutes = clock.local_times(steps).as_unit("s").asi8 // 60
    days, slots = clock.days_and_slots(steps)
    np.testing.assert_array_equal(days, minutes // 1440)
    np.testing.assert_array_equal(slots, minutes % 1440 // 15)


def test_an_interval_that_is_not_over_is_not_closed() -> None:
    at = datetime(2026, 8, 26, 10, 7, tzinfo=UTC)
    assert QUARTERS.start_of(QUARTERS.closed_steps(at)) == datetime(2026, 8, 26, 10, 0, tzinfo=UTC)
    assert QUARTERS.start_of(QUARTERS.first_step(at)) == datetime(2026, 8, 26, 10, 15, tzinfo=UTC)


def test_day_types_outside_the_table_are_an_error() -> None:
    with pytest.raises(ValueError, match="known from 2026-05-28 to 2026-09-25 only"):
        DAYS.is_off(np.array([TODAY + 31]))
    assert (date(2026, 9, 7), "holiday") in DAYS.special_days()


def test_recorded_values_become_step_means_and_the_future_is_dropped() -> None:
    index = pd.DatetimeIndex(["2026-08-26 00:00", "2026-08-26 00:05", "2026-08-26 00:15", "2026-08-26 00:45"], tz="UTC")
    series = pd.Series([1.0, 3.0, np.inf, 99.0], index=index)
    end = QUARTERS.first_step(datetime(2026, 8, 26, 0, 45, tzinfo=UTC))
    np.testing.assert_array_equal(measured(series, QUARTERS, end).values, [2.0, np.nan, np.nan])


def test_only_short_gaps_are_bridged() -> None:
    gaps = Measured(0, np.array([1.0, np.nan, 3.0, np.nan, np.nan, np.nan, 7.0, np.nan]))
    np.testing.assert_array_equal(gaps.bridged(2).values, [1, 2, 3, np.nan, np.nan, np.nan, 7, np.nan])


def test_yardsticks_use_the_last_value_a_whole_number_of_days_before() -> None:
    past = Measured(0, np.arange(48.0))
    origins, leads = np.array([48]), np.array([0, 23, 24, 25])
    assert persistence(past, origins, leads).tolist() == [[47.0] * 4]
    assert same_local_slot(past, origins, leads, HOURLY, 1).tolist() == [[24.0, 47.0, 24.0, 25.0]]


@pytest.mark.parametrize("change", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
@pytest.mark.parametrize("days", [1, 7])
def test_yardsticks_of_a_slot_keep_to_the_local_clock_over_its_changes(change: datetime, days: int) -> None:
    clock = LocalClock(ZoneInfo("Europe/Berlin"), 15)
    origins = np.array([clock.first_step(change + timedelta(hours=hours)) for hours in (-5, 6, 30, 24 * 6)])
    leads = np.arange(48 * 4)
    past = Measured(int(origins[0]) - 2000, np.arange(4000, dtype=float))
    found = same_local_slot(past, origins, leads, clock, days).astype(np.int64) + past.first
    assert (found < origins[:, None]).all()
    local, there = (
        clock.local_times(steps.ravel()).as_unit("s").asi8 // 60 for steps in (origins[:, None] + leads, found)
    )
    back = (local - there).reshape(found.shape)
    skipped = back % (1440 * days) != 0
    assert (back[skipped] % (1440 * days) == 1440 * days - 60).all()
    assert skipped.any() == (change.month == 3)
    assert skipped.sum() <= 4 * len(origins)
    calm = LocalClock(ZoneInfo("Asia/Shanghai"), 15)
    cycle = days * 96
    plain = past.at(origins[:, None] + leads - cycle * (leads // cycle + 1))
    np.testing.assert_array_equal(same_local_slot(past, origins, leads, calm, days), plain)


def test_profile_is_the_mean_of_the_last_four_days_of_the_type() -> None:
    first = HOURLY.first_step(ISSUED) - 14 * 24  # Wednesday; day k has the value k throughout
    past = Measured(first, np.repeat(np.arange(14.0), 24))
    table = TypeProfiles.of(past, HOURLY, DAYS, np.array([TODAY])).table[0]
    assert table[0, 5] == np.mean([13, 12, 9, 8])  # Tuesday, Monday, Friday, Thursday
    assert table[1, 5] == np.mean([11, 10, 4, 3])  # two weekends


def test_hand_over_is_whole_to_24_h_and_falls_without_a_step() -> None:
    cover = hand_over(QUARTERS)
    assert np.all(cover[:97] == 1.0)
    assert np.max(np.abs(np.diff(np.append(cover, 0.0)))) < 0.05


def test_spread_keeps_the_median_and_the_limits() -> None:
    errors = np.linspace(-10, 10, 201)[:, None]
    paths = around(np.array([4.0]), error_quantiles(errors), 0.0, 10.0)
    assert [paths[level][0] for level in (0.1, 0.5, 0.9)] == pytest.approx([0.0, 4.0, 10.0])


def test_few_independent_errors_widen_the_bands() -> None:
    errors = np.linspace(-10, 10, 2001)[:, None]
    many, few = error_quantiles(errors)[:, 0], error_quantiles(errors, independent=50)[:, 0]
    assert many == pytest.approx([-9.5, -8.0, 0.0, 8.0, 9.5])
    assert few == pytest.approx([-9.69, -8.16, 0.0, 8.16, 9.69])


def test_temperature_is_yesterday_moved_by_a_fading_anomaly() -> None:
    origin = HOURLY.first_step(ISSUED)
    values = np.tile(20 + 5 * np.sin(np.arange(24) / 24 * 2 * np.pi), 30)
    values[-1] += 3.0
    fitted = Temperature().fit(Measured(origin - len(values), values), context(HOURLY))
    path = fitted.issue(nothing_since(origin), origin, origin + 24).quantiles[0.5]
    assert path[0] == pytest.approx(20 + 3.0)
    assert path[6] == pytest.approx(25 + 3.0 * np.exp(-1))


@pytest.mark.parametrize(("noise", "believed"), [(0.5, True), (15.0, False)])
def test_a_weather_forecast_is_believed_where_it_was_better(noise: float, believed: bool) -> None:
    """Days differ by more than the forecast misses, or by less."""
    rng = np.random.default_rng(2)
    origin = HOURLY.first_step(ISSUED)
    steps = np.arange(origin - 40 * 24, origin + 48)
    truth = 20 + 5 * np.sin(steps / 24 * 2 * np.pi) + np.repeat(rng.normal(0, 3, 42), 24)
    issues = [HOURLY.start_of(int(step)) for step in steps[::12]]
    rows = [
        pd.DataFrame(
            {"issued_at": at, "time": HOURLY.index(steps[k : k + 49]), "weather.temperature_c": truth[k : k + 49]}
        )
        for at, k in zip(issues, range(0, len(steps), 12), strict=True)
    ]
    foretold = pd.concat(rows, ignore_index=True)
    foretold["weather.temperature_c"] += rng.normal(0, noise, len(foretold))
    published = Published.of(foretold, HOURLY, ISSUED + timedelta(minutes=1))
    asked = replace(context(HOURLY), published=Published.of(foretold, HOURLY, ISSUED))
    fitted = Temperature().fit(Measured(int(steps[0]), truth[:-48]), asked).told(published)
    outcome = fitted.issue(nothing_since(origin), origin, origin + 36)
    assert outcome.method.startswith("weather forecast" if believed else "yesterday")
    assert (np.abs(outcome.quantiles[0.5] - truth[-48:-12]).mean() < 0.8) == believed


GROUP = ("ev01", "ev02")


def cars(quantity: Quantity, sessions: list[PastSession], first: int, end: int) -> np.ndarray:
    """The middle path from slot `first` to slot `end` after ISSUED, fitted at ISSUED."""
    origin = QUARTERS.first_step(ISSUED)
    fitted = ExpectedCars(quantity, GROUP).fit(nothing_since(origin), context(sessions=sessions))
    return fitted.issue(nothing_since(origin + first), origin + first, origin + end).quantiles[0.5]


def test_cars_not_yet_here_count_only_from_now_on() -> None:
    sessions = past_sessions()
    ages = np.array([(ISSUED.astimezone(ZONE).date() - s.arrive.astimezone(ZONE).date()).days for s in sessions])
    weights = 0.5 ** (ages / 10)
    seen = weights.sum() / (weights.sum() + 2 * 0.5 ** (ages.max() / 10))  # two empty days of caution
    came, left, taken = (cars(quantity, sessions, 0, 96) for quantity in get_args(Quantity))
    assert np.flatnonzero(came).tolist() == [32]  # 8:00
    assert np.flatnonzero(left).tolist() == [47]  # ready at 12:00
    assert came.sum() / 4 == left.sum() / 4 == pytest.approx(40.0 * seen)
    assert taken[32:48] == pytest.approx(np.full(16, 50.0 * seen))  # one of two chargers
    assert taken.sum() == pytest.approx(taken[32:48].sum())
    for quantity in get_args(Quantity):
        assert cars(quantity, sessions, 32, 96).any()
        assert not cars(quantity, sessions, 33, 96).any()  # at 8:15 the car is there, or it does not come
        assert not cars(quantity, sessions, 3 * 96, 4 * 96).any()  # Saturday


def test_need_never_leaves_before_it_came() -> None:
    rng = np.random.default_rng(3)
    starts = [ISSUED - timedelta(minutes=int(m)) for m in rng.integers(1500, 30 * 1440, 60)]
    stays = rng.integers(5, 3500, 60)  # up to more than two days
    sessions = [PastSession(s, s + timedelta(minutes=int(m)), 20.0, "ev02") for s, m in zip(starts, stays, strict=True)]
    for first in (0, 37, 95):
        came, left = (cars(quantity, sessions, first, 6 * 96) for quantity in get_args(Quantity)[:2])
        assert np.all(np.cumsum(came) >= np.cumsum(left) - 1e-9)


def test_other_chargers_are_another_group() -> None:
    elsewhere = [session._replace(charger="ev09") for session in past_sessions()]
    assert not cars("arriving_kw", elsewhere, 0, 96).any()


def test_no_sessions_means_no_cars() -> None:
    origin = QUARTERS.first_step(ISSUED)
    kind, nothing = ExpectedCars("leaving_kw", GROUP), nothing_since(origin)
    outcome = kind.fit(nothing, context()).issue(nothing, origin, origin + 200)
    assert outcome.method == "zero (no past sessions)"
    assert all(np.all(path == 0.0) for path in outcome.quantiles.values())


def test_a_stay_over_midnight_reaches_the_next_day() -> None:
    arrive = ISSUED - timedelta(days=1, hours=2)  # 22:00 local, Monday
    sessions = [PastSession(arrive, arrive + timedelta(hours=4), 30.0, "ev01")]
    came, left, taken = (cars(quantity, sessions, 0, 2 * 96) for quantity in get_args(Quantity))
    monday, tuesday = 0.5 ** (2 / 10), 0.5 ** (1 / 10)
    day = 30.0 * monday / (monday + tuesday + 2 * monday)  # two days of caution before the first
    assert came[88] / 4 == pytest.approx(day)
    assert left[103] / 4 == pytest.approx(day)
    assert np.flatnonzero(taken[:120]).tolist() == list(range(88, 104))


def swinging(by_day: list[float]) -> Measured:
    """Hourly values that stand on a level each day."""
    return Measured(0, np.repeat(by_day, 24).astype(float))


def test_bands_widen_with_the_change_from_day_to_day() -> None:
    calm, restless = [0.0, 1.0] * 7, [0.0, 3.0] * 7
    past = swinging(calm + restless)
    usual = Swing.over(past, np.array([9 * 24, 11 * 24]), 24)
    assert usual.usual == pytest.approx(1.0)
    before, after = usual.at(past, np.array([14 * 24, 28 * 24]), 24)
    assert before == pytest.approx(1.0)
    assert 1.5 < after < 3.0  # less than the load itself


def test_bands_of_a_load_that_stands_still_do_not_vanish_and_unknown_weeks_are_as_usual() -> None:
    past = swinging([0.0, 1.0] * 7 + [5.0] * 14)
    usual = Swing(1.0)
    assert 0.5 < usual.at(past, np.array([28 * 24]), 24)[0] < 1.0
    assert usual.at(Measured(0, np.full(28 * 24, np.nan)), np.array([28 * 24]), 24)[0] == 1.0
    assert Swing(0.0).at(past, np.array([28 * 24]), 24)[0] == 1.0
    wild = swinging([0.0, 1e6] * 7)
    assert usual.at(wild, np.array([14 * 24]), 24)[0] < SWING_LIMITS[1]


def test_swing_sees_nothing_from_the_origin_on() -> None:
    past = swinging([0.0, 1.0] * 14)
    origin = 20 * 24
    poisoned = Measured(0, np.where(past.steps < origin, past.values, 1e6))
    assert Swing(1.0).at(poisoned, np.array([origin]), 24)[0] == Swing(1.0).at(past, np.array([origin]), 24)[0]


def test_single_days_of_a_type_come_latest_first_with_their_age() -> None:
    clock = LocalClock(ZoneInfo("UTC"), 60)
    days = DayTable.over(lambda day: "rest_day" if day.weekday() >= 5 else "workday", 0, 40)
    past = Measured(0, np.repeat(np.arange(12.0), 24))  # 1970-01-01 was a Thursday: days off are 2, 3, 9, 10
    profiles = TypeProfiles.of(past, clock, days, np.array([12]))
    at = np.array([12, 12]), np.array([False, True]), np.array([5, 5])
    values, age = profiles.single_days(*at)
    assert values[:3].tolist() == [[11.0, 10.0], [8.0, 9.0], [7.0, 3.0]]
    assert age[:3].tolist() == [[0, 1], [3, 2], [4, 8]]
    assert np.isnan(values[4, 1])
    assert age[4, 1] == 99


@pytest.mark.parametrize(("hole_days", "wanted_days"), [(0, 28), (20, 48), (40, 56)])
def test_a_trial_reaches_back_over_holes(hole_days: int, wanted_days: int) -> None:
    values = np.ones(120 * 24)
    values[len(values) - (5 + hole_days) * 24 : len(values) - 5 * 24] = np.nan
    past = Measured(1000, values)
    assert (past.end - _trial_start(past, 28, HOURLY)) / 24 == pytest.approx(wanted_days, abs=0.05)
