"""The trees from the last value: what starts at the same minute every day, and what they say where it is missing."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sklearn.ensemble  # noqa: F401  # brings its threads along: only those that are loaded can be limited
from threadpoolctl import threadpool_limits

from forecasting.day_types import DayTable, LocalClock
from forecasting.from_last_value import FromLastValue, fit_from_last_value
from forecasting.measured import Measured
from forecasting.profile import TypeProfiles

CLOCK = LocalClock(ZoneInfo("Asia/Shanghai"), 15)
DAY = CLOCK.steps_per_day
FIRST_DAY = 20_600
FIRST = FIRST_DAY * DAY - CLOCK.steps_in(8)
"""Local midnight of the first day."""
STARTS = 25
"""Slot in which a machine starts, every day; it stops four hours later."""
MACHINE_KW = 120.0


def weekdays(local_date: date) -> str:
    return "rest_day" if local_date.weekday() >= 5 else "workday"


DAYS = DayTable.over(weekdays, FIRST_DAY - 20, FIRST_DAY + 80)


@pytest.fixture(scope="module")
def load() -> Measured:
    """A wandering load, and a machine on top of it that runs from 06:15 to 10:15."""
    rng = np.random.default_rng(5)
    wandering = 400.0 + np.cumsum(rng.normal(0.0, 3.0, 60 * DAY))
    slots = np.arange(60 * DAY) % DAY
    return Measured(FIRST, wandering + np.where((slots >= STARTS) & (slots < STARTS + 16), MACHINE_KW, 0.0))


@pytest.fixture(scope="module")
def fitted(load: Measured) -> FromLastValue:
    with threadpool_limits(1):
        return fit_from_last_value(load.between(load.first, load.end - 10 * DAY), CLOCK, DAYS)


def origins_at(load: Measured, slot: int) -> np.ndarray:
    """That slot on each of the last nine days."""
    return load.end - 9 * DAY + slot + DAY * np.arange(9)


def forecast(fitted: FromLastValue, past: Measured, origins: np.ndarray) -> np.ndarray:
    profiles = TypeProfiles.of(past, CLOCK, DAYS, np.unique(CLOCK.days_and_slots(origins)[0]))
    return fitted.forecast(past, origins, profiles, CLOCK, DAYS)


def test_a_machine_that_starts_every_day_is_expected_to_the_minute(load: Measured, fitted: FromLastValue) -> None:
    origins = origins_at(load, STARTS - 2)
    actual = load.at(origins[:, None] + np.arange(4))
    errors = forecast(fitted, load, origins)[:, :4] - actual
    assert np.abs(errors).mean() < 0.15 * MACHINE_KW
    stays = load.at(origins - 1)[:, None] - actual
    assert np.abs(errors[:, 2:]).mean() < 0.2 * np.abs(stays[:, 2:]).mean()


def test_where_nothing_happens_the_last_value_stays(load: Measured, fitted: FromLastValue) -> None:
    origins = origins_at(load, 70)
    moved = forecast(fitted, load, origins)[:, :4] - load.at(origins - 1)[:, None]
    assert np.abs(moved).mean() < 6.0


def test_without_the_last_value_it_says_nothing(load: Measured, fitted: FromLastValue) -> None:
    origin = load.end - DAY
    silent = Measured(load.first, np.where(load.steps == origin - 1, np.nan, load.values))
    assert np.isnan(forecast(fitted, silent, np.array([origin]))).all()


def test_without_any_change_it_refuses() -> None:
    with pytest.raises(ValueError, match="no change from one value to the next"):
        fit_from_last_value(Measured(FIRST, np.full(30 * DAY, np.nan)), CLOCK, DAYS)
