"""The members: what they promise whatever the load looks like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from forecasting import members
from forecasting.boosted import plain_forest
from forecasting.day_types import DayTable, LocalClock
from forecasting.load_prior import shipped_prior
from forecasting.measured import Measured
from forecasting.members import Members, fit_members
from forecasting.near_model import NearView, near_leads, near_view
from tests.forecasting.park import ISSUED, ZONE, day_type, made_up_park

CLOCK = LocalClock(ZONE, 60)
ORIGIN = CLOCK.first_step(ISSUED)
TODAY = int(CLOCK.days_and_slots(np.array([ORIGIN]))[0][0])
DAYS = DayTable.over(day_type, TODAY - 80, TODAY + 30)
END = ORIGIN + 10 * 24


@pytest.fixture(scope="module", autouse=True)
def without_prophet() -> Iterator[None]:
    """Its own fit is tested with the site; here it would take most of the time."""

    def course(past: Measured, first: int, end: int, clock: LocalClock, days: DayTable) -> np.ndarray:
        return np.full(end - first, 350.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "prophet_path", course)
        yield


def hourly_load() -> Measured:
    """Hourly means of the made-up park's load, to three days after ISSUED."""
    values = made_up_park()["load.demand_kw"].to_numpy().reshape(-1, 4).mean(axis=1)
    return Measured(ORIGIN - 45 * 24, values)


@pytest.fixture(scope="module")
def load() -> Measured:
    return hourly_load()


def fitted(load: Measured) -> Members:
    with threadpool_limits(1):  # as in operation: other tests run beside these
        return fit_members(load.between(load.first, ORIGIN), END, CLOCK, DAYS, shipped_prior())


@pytest.fixture(scope="module")
def ways(load: Measured, without_prophet: None) -> Members:
    return fitted(load)


def view_at(past: Measured, *origins: int) -> NearView:
    return near_view(past, np.array(origins, dtype=np.int64), CLOCK, DAYS)


def test_nothing_from_the_origin_on_is_seen_by_any_member(load: Measured, ways: Members) -> None:
    origin = ORIGIN + 17
    poisoned = Measured(load.first, np.where(load.steps < origin, load.values, 1e6))
    steps = np.arange(origin, END)
    clean = load.between(load.first, origin)
    near = [ways.near_paths(past, view_at(past, origin)) for past in (clean, poisoned)]
    tail = [ways.tail_paths(past, origin, steps) for past in (clean, poisoned)]
    assert max(near[0].max(), tail[0].max()) < 2000
    np.testing.assert_array_equal(near[1], near[0])
    np.testing.assert_array_equal(tail[1], tail[0])


def test_many_origins_at_once_give_what_each_gives_alone(load: Measured, ways: Members) -> None:
    origins = [ORIGIN + 3, ORIGIN + 14, ORIGIN + 30]
    together = ways.near_paths(load, view_at(load, *origins))
    for place, origin in enumerate(origins):
        alone = ways.near_paths(load, view_at(load, origin))
        np.testing.assert_allclose(together[:, place], alone[:, 0], rtol=1e-9)


def test_a_load_in_other_units_is_forecast_in_other_units(load: Measured, ways: Members) -> None:
    """kW or W: the same forecast, so that no constant of the method depends on the size of a load."""
    in_w = Measured(load.first, 1000 * load.values)
    paths = ways.near_paths(load, view_at(load, ORIGIN))
    large = fitted(in_w).near_paths(in_w, view_at(in_w, ORIGIN))
    np.testing.assert_allclose(large[:2], 1000 * paths[:2], rtol=1e-4)
    np.testing.assert_allclose(large[4], 1000 * paths[4], rtol=1e-9)
    for forest in (2, 3):  # a tie between two splits may go either way
        assert np.abs(large[forest] / 1000 - paths[forest]).mean() < 0.015 * paths[forest].mean()


def test_a_steady_load_is_forecast_steady() -> None:
    steady = Measured(ORIGIN - 40 * 24, np.full(40 * 24, 120.0))
    paths = fitted(steady).near_paths(steady, view_at(steady, ORIGIN))
    np.testing.assert_allclose(paths[:5], 120.0)


def test_a_load_that_repeats_is_forecast_exactly_by_every_day_of_its_type() -> None:
    """Workdays alike, days off alike, no noise: nothing is left to learn."""
    steps = np.arange(ORIGIN - 45 * 24, ORIGIN + 40)
    local_days, slots = CLOCK.days_and_slots(steps)
    values = np.where(DAYS.is_off(local_days), 100.0, 100.0 + 20.0 * slots)
    load = Measured(int(steps[0]), values)
    paths = fitted(load).near_paths(load, view_at(load, ORIGIN))
    leads = near_leads(CLOCK)
    for path in (paths[0, 0], paths[1, 0], paths[3, 0], paths[4, 0], paths[7, 0]):
        np.testing.assert_allclose(path, load.at(ORIGIN + leads), rtol=1e-6)


def test_prophet_is_moved_to_the_level_of_the_last_weeks(load: Measured, ways: Members) -> None:
    tail = ways.tail_paths(load, ORIGIN, np.arange(ORIGIN, END))
    level = load.between(ORIGIN - 14 * 24, ORIGIN).values.mean()
    np.testing.assert_allclose(tail[2], level)


def test_a_member_without_a_value_speaks_as_the_first(load: Measured, ways: Members) -> None:
    silent = replace(ways, path=Measured(ORIGIN, np.empty(0)), boosted=None, from_last=None, day_ahead=None)
    paths = silent.near_paths(load, view_at(load, ORIGIN))
    for place in (1, 2, 3, 4, 5):
        np.testing.assert_allclose(paths[place], paths[0], rtol=1e-12)


def test_two_weeks_are_enough(load: Measured) -> None:
    short = load.between(ORIGIN - 14 * 24, ORIGIN)  # of three, a third is the trial
    with threadpool_limits(1):
        ways = fit_members(short, END, CLOCK, DAYS, shipped_prior())
    assert ways.boosted
    assert ways.day_ahead
    assert np.isfinite(ways.near_paths(short, view_at(short, ORIGIN))).all()


def test_too_short_a_history_is_said(load: Measured) -> None:
    with pytest.raises(ValueError, match=r"12\.0 days of history are too few for the near model"):
        fit_members(load.between(ORIGIN - 12 * 24, ORIGIN), END, CLOCK, DAYS, shipped_prior())


def test_the_plain_forest_says_what_the_learner_says() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(2000, 5))
    target = rows[:, 0] * (rows[:, 1] > 0) + rng.normal(0, 0.1, 2000)
    learner = HistGradientBoostingRegressor(max_iter=70, max_depth=6, early_stopping=False).fit(rows, target)
    found = plain_forest(learner).predict(rows[:700])
    np.testing.assert_allclose(found, learner.predict(rows[:700]), rtol=1e-9, atol=1e-12)
