"""Holidays that are unlike other days off: found, taken out of what models learn, put back into what they forecast."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from forecasting.day_types import DayTable, LocalClock
from forecasting.demand import Demand
from forecasting.forecast import Array
from forecasting.kinds import FitContext
from forecasting.measured import Measured
from forecasting.special_days import SpecialDays

CLOCK = LocalClock(ZoneInfo("Asia/Shanghai"), 60)
START = CLOCK.first_step(datetime(2025, 12, 31, 16, tzinfo=UTC))
"""Local midnight of 2026-01-01."""
DAY = 24
DARK = (date(2026, 2, 16), date(2026, 2, 17), date(2026, 2, 18), date(2026, 4, 6))
TO_COME = date(2026, 5, 1)
WORK_KW, REST_KW, DARK_KW = 500.0, 300.0, 120.0
NO_MEASUREMENTS = Measured(0, np.empty(0))


def day_type(day: date) -> str:
    if day in (*DARK, TO_COME):
        return "holiday"
    return "rest_day" if day.weekday() >= 5 else "workday"


def day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


DAYS = DayTable.over(day_type, day_number(date(2025, 12, 20)), day_number(date(2026, 6, 30)))


def load(until: date) -> Measured:
    """Level loads of workdays, days off and dark holidays from the first of January on."""
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range((until - date(2026, 1, 1)).days)]
    levels = [DARK_KW if d in DARK else REST_KW if day_type(d) == "rest_day" else WORK_KW for d in days]
    return Measured(START, np.repeat(levels, DAY))


def effect_on(special: SpecialDays, day: date) -> Array:
    first = START + (day - date(2026, 1, 1)).days * DAY
    return special.at(np.arange(first, first + DAY))


def test_days_alike_are_believed_the_more_of_them_there_are() -> None:
    special = SpecialDays.of(load(date(2026, 4, 20)), CLOCK, DAYS)
    halves = [0.5 ** ((TO_COME - day).days / 180) * 0.1 for day in DARK]  # all lie at another time of the year
    wanted = (DARK_KW - REST_KW) * sum(halves) / (sum(halves) + 1)
    np.testing.assert_allclose(effect_on(special, TO_COME), wanted)
    within = [0.5 ** (1 / 180), 0.5 ** (1 / 180), 0.1 * 0.5 ** ((DARK[3] - DARK[1]).days / 180)]
    np.testing.assert_allclose(effect_on(special, DARK[1]), (DARK_KW - REST_KW) * sum(within) / (sum(within) + 1))


def test_a_day_says_nothing_of_itself() -> None:
    once = SpecialDays.of(load(date(2026, 2, 17)), CLOCK, DAYS)
    assert not effect_on(once, DARK[0]).any()
    assert effect_on(once, DARK[1]).mean() < -80


def test_ordinary_days_stay_as_they_are() -> None:
    past = load(date(2026, 4, 20))
    special = SpecialDays.of(past, CLOCK, DAYS)
    plain = special.removed_from(past)
    local_days, _ = CLOCK.days_and_slots(past.steps)
    ordinary = ~np.isin(local_days, [day_number(day) for day in DARK])
    np.testing.assert_array_equal(plain.values[ordinary], past.values[ordinary])
    assert (plain.values[~ordinary] > past.values[~ordinary]).all()


def test_without_special_days_nothing_is_moved() -> None:
    table = DayTable.over(lambda day: "rest_day" if day.weekday() >= 5 else "workday", DAYS.first, DAYS.last)
    special = SpecialDays.of(load(date(2026, 4, 20)), CLOCK, table)
    assert not special.at(np.arange(START, START + 150 * DAY)).any()
    assert not SpecialDays.of(NO_MEASUREMENTS, CLOCK, DAYS).at(np.arange(START, START + DAY)).any()


@pytest.mark.parametrize("gap", [slice(0, DAY), slice(5, 9)])
def test_what_was_not_measured_on_a_holiday_says_nothing(gap: slice) -> None:
    past = load(date(2026, 4, 20))
    values = past.values.copy()
    first = (DARK[3] - date(2026, 1, 1)).days * DAY
    values[first + gap.start : first + gap.stop] = np.nan
    special = SpecialDays.of(Measured(past.first, values), CLOCK, DAYS)
    effect = effect_on(special, TO_COME)
    assert np.isfinite(effect).all()
    assert effect.min() >= effect_on(SpecialDays.of(past, CLOCK, DAYS), TO_COME).min() - 1e-9


def test_the_second_holiday_of_a_block_is_forecast_as_the_first_was() -> None:
    issued = START + (DARK[1] - date(2026, 1, 1)).days * DAY
    past = load(DARK[1])
    fitted = Demand().fit(past, FitContext(CLOCK, DAYS, issued, issued + 5 * DAY))
    median = fitted.issue(Measured(issued, np.empty(0)), issued, issued + 5 * DAY).quantiles[0.5].reshape(5, DAY)
    assert median[0].mean() < REST_KW - 60
    assert median[1].mean() < REST_KW - 60
    assert median[2].mean() > WORK_KW - 60  # a Thursday of work
