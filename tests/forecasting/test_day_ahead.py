"""The trees of the day ahead: what the two kinds of day cannot tell, and what they do without looks back."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sklearn.ensemble  # noqa: F401  # brings its threads along: only those that are loaded can be limited
from threadpoolctl import threadpool_limits

from forecasting.day_ahead import DayAhead, fit_day_ahead
from forecasting.day_types import DayTable, LocalClock
from forecasting.load_prior import shipped_prior
from forecasting.measured import Measured
from forecasting.near_model import NearView, near_leads, near_view

CLOCK = LocalClock(ZoneInfo("Asia/Shanghai"), 60)
DAY = CLOCK.steps_per_day
FIRST_DAY = 20_600
FIRST = FIRST_DAY * DAY - CLOCK.steps_in(8)
"""Local midnight of the first day."""
LONG = 100
"""Days of the load."""
MONDAY = 0
FURNACE_KW = 90.0


def weekdays(local_date: date) -> str:
    return "rest_day" if local_date.weekday() >= 5 else "workday"


DAYS = DayTable.over(weekdays, FIRST_DAY - 20, FIRST_DAY + LONG + 20)


def is_monday(steps: np.ndarray) -> np.ndarray:
    return (CLOCK.days_and_slots(steps)[0] + 3) % 7 == MONDAY


@pytest.fixture(scope="module")
def load() -> Measured:
    """A plain load of workdays and days off; on Mondays a furnace is heated up from 6 to 12."""
    steps = np.arange(FIRST, FIRST + LONG * DAY)
    local_days, slots = CLOCK.days_and_slots(steps)
    plain = np.where(DAYS.is_off(local_days), 150.0, 300.0) + 20.0 * np.sin(2 * np.pi * slots / DAY)
    furnace = np.where(is_monday(steps) & (slots >= 6) & (slots < 12), FURNACE_KW, 0.0)
    return Measured(FIRST, plain + furnace + np.random.default_rng(3).normal(0.0, 2.0, len(steps)))


def view_at(past: Measured, origins: np.ndarray) -> NearView:
    view = near_view(past, origins.astype(np.int64), CLOCK, DAYS)
    return view.of(view.usable)


@pytest.fixture(scope="module")
def fitted(load: Measured) -> DayAhead:
    past = load.between(load.first, load.end - 21 * DAY)
    view = view_at(past, np.arange(past.first + 15 * DAY, past.end - 30, 5))
    with threadpool_limits(1):
        return fit_day_ahead(
            past, view, past.at(view.origins[:, None] + near_leads(CLOCK)), CLOCK, DAYS, shipped_prior().trees
        )


def test_what_one_weekday_only_brings_is_expected(load: Measured, fitted: DayAhead) -> None:
    view = view_at(load, load.end - 21 * DAY + DAY * np.arange(19))  # local midnights
    targets = view.origins[:, None] + np.arange(6, 12)
    monday = is_monday(targets[:, 0])
    missed = np.abs(fitted.forecast(load, view, CLOCK, DAYS)[0, :, 6:12] - load.at(targets))
    profile = np.abs(view.profile[:, 6:12] - load.at(targets))
    assert missed[monday].mean() < 0.2 * profile[monday].mean()
    assert missed[~monday].mean() < 0.8 * profile[~monday].mean()


def test_weeks_that_were_not_measured_leave_a_forecast(load: Measured, fitted: DayAhead) -> None:
    origin = load.end - 2 * DAY
    gone = (load.steps >= origin - 30 * DAY) & (load.steps < origin - 6)
    view = view_at(Measured(load.first, np.where(gone, np.nan, load.values)), np.array([origin]))
    found = fitted.forecast(load, view, CLOCK, DAYS)
    assert np.abs(found - load.at(origin + near_leads(CLOCK))).max() < FURNACE_KW


def test_trees_of_other_loads_say_that_a_high_day_stays_high_for_a_while(load: Measured, fitted: DayAhead) -> None:
    origin = load.end - 2 * DAY + 9
    above = {}
    for added in (0.0, 8.0):
        high = Measured(load.first, load.values + added * (load.steps >= origin - 12))
        above[added] = fitted.forecast(high, view_at(high, np.array([origin])), CLOCK, DAYS)[1, 0]
    raised = above[8.0] - above[0.0]
    assert raised.min() >= 0.0
    assert raised.max() < 8.0
    assert raised[:2].mean() > 2 * raised[4:12].mean() > 0.0


def test_other_loads_have_nothing_to_say_of_one_that_keeps_to_its_profile(fitted: DayAhead) -> None:
    steady = Measured(FIRST, np.full(LONG * DAY, 120.0))
    view = view_at(steady, np.arange(FIRST + 20 * DAY, steady.end - 30, 7))
    targets = steady.at(view.origins[:, None] + near_leads(CLOCK))
    with threadpool_limits(1):
        ways = fit_day_ahead(steady, view, targets, CLOCK, DAYS, fitted.usual)
    np.testing.assert_allclose(ways.forecast(steady, view, CLOCK, DAYS), 120.0)
