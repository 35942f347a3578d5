"""The linear model around midnight, where the origin's day and the last value's day are two."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.load_prior import shipped_prior
from forecasting.measured import Measured
from forecasting.near_model import PROFILE_CHANGE, PROFILE_STEP, NearView, fit_near, near_leads, near_view
from forecasting.profile import TypeProfiles
from tests.forecasting.park import ISSUED, ZONE, day_type

CLOCK = LocalClock(ZONE, 60)
TODAY = int(CLOCK.days_and_slots(np.array([CLOCK.first_step(ISSUED)]))[0][0])
DAYS = DayTable.over(day_type, TODAY - 120, TODAY + 30)
DAY = CLOCK.steps_per_day
MORNING = 6
"""Hour at which the load goes over to the day's own level, not at midnight."""


def midnights(first_day: int, end_day: int) -> Ints:
    """First steps of local days."""
    steps = np.arange(CLOCK.first_step(ISSUED) - 130 * DAY, CLOCK.first_step(ISSUED) + 20 * DAY)
    days, slots = CLOCK.days_and_slots(steps)
    return steps[(slots == 0) & (days >= first_day) & (days < end_day)]


@pytest.fixture(scope="module")
def load() -> Measured:
    """300 kW on workdays and 100 kW on days off, each from six in the morning to six in the next; a little restless."""
    first, last = midnights(TODAY - 80, TODAY + 10)[[0, -1]]
    steps = np.arange(first, last)
    off = DAYS.is_off(CLOCK.days_and_slots(steps - MORNING)[0])
    return Measured(int(first), np.where(off, 100.0, 300.0) + np.random.default_rng(3).normal(0.0, 5.0, len(steps)))


def view_at(past: Measured, *origins: int) -> NearView:
    return near_view(past, np.array(origins, dtype=np.int64), CLOCK, DAYS)


def test_the_last_value_before_midnight_is_told_from_the_profile_of_the_new_day(load: Measured) -> None:
    for origin in midnights(TODAY - 20, TODAY - 10):
        view, profiles = view_at(load, origin), TypeProfiles.known_at(load, int(origin), CLOCK, DAYS)
        yesterday_is_off = int(DAYS.is_off(np.array([CLOCK.days_and_slots(np.array([origin - 1]))[0][0]]))[0])
        usual = profiles.table[0, yesterday_is_off, DAY - 1]
        now, step = view.features[0, 0, 0], view.features[0, 0, PROFILE_STEP]
        assert now == pytest.approx(load.at(origin - 1) - usual)
        assert step == pytest.approx(view.profile[0, 0] - usual)
        assert (view.features[0, :, PROFILE_CHANGE] == view.profile[0] - view.profile[0, 0]).all()


def test_an_hour_without_a_value_is_bridged_and_more_is_not(load: Measured) -> None:
    quarters = LocalClock(ZONE, 15)
    fine = Measured(4 * load.first, np.repeat(load.values, 4))
    origin = 4 * int(midnights(TODAY - 12, TODAY - 11)[0])
    for missing, usable in ((3, True), (4, False)):
        holed = Measured(fine.first, np.where(fine.steps >= origin - missing, np.nan, fine.values))
        view = near_view(holed, np.array([origin]), quarters, DAYS)
        assert view.usable[0] == usable


def test_a_load_that_changes_later_than_the_calendar_is_forecast_so(load: Measured) -> None:
    """Between midnight and six the profile of the new type of day is 200 kW off, and the last value says so."""
    trained = np.arange(load.first + 9 * DAY, midnights(TODAY - 7, TODAY - 6)[0] - 30)
    model = fit_near(
        view_at(load, *trained), load.at(trained[:, None] + near_leads(CLOCK)), CLOCK, prior=shipped_prior().weights
    )
    origins = midnights(TODAY - 7, TODAY + 7)
    view = view_at(load, *origins)
    off = DAYS.is_off(CLOCK.days_and_slots(origins)[0])
    changed = off != DAYS.is_off(CLOCK.days_and_slots(origins - 1)[0])
    night = np.arange(MORNING)
    came = load.at(origins[:, None] + near_leads(CLOCK))[:, night]
    by_profile, ours = (np.abs(path[:, night] - came)[changed].mean() for path in (view.profile, view.forecast(model)))
    assert changed.sum() >= 3
    assert by_profile > 100.0
    assert ours < 0.25 * by_profile
