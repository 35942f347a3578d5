"""Prophet's course over the month ahead."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.day_types import DayTable, LocalClock
from forecasting.measured import Measured
from forecasting.prophet_demand import prophet_path
from tests.forecasting.park import ISSUED, ZONE, day_type

CLOCK = LocalClock(ZONE, 60)
ORIGIN = CLOCK.first_step(ISSUED)
TODAY = int(CLOCK.days_and_slots(np.array([ORIGIN]))[0][0])
DAYS = DayTable.over(day_type, TODAY - 80, TODAY + 40)


def rising(days: int) -> Measured:
    """A load of 400 kW with a daily swing of 100 kW that rises by 2 kW a day."""
    hours = np.arange(24 * days)
    values = 400.0 + 100.0 * np.sin(hours / 24 * 2 * np.pi) + 2.0 * hours / 24
    return Measured(ORIGIN - 24 * days, values)


def test_a_month_of_rising_load_is_no_trend() -> None:
    past = rising(30)
    month = prophet_path(past, ORIGIN, ORIGIN + 28 * 24, CLOCK, DAYS).reshape(4, 7 * 24).mean(axis=1)
    assert month == pytest.approx(np.full(4, month[0]), abs=2.0)  # a straight line would rise by 14 a week
    assert past.values.min() < month[0] < past.values.max()


def test_less_than_two_weeks_are_refused() -> None:
    with pytest.raises(ValueError, match="less than 14 days"):
        prophet_path(rising(13), ORIGIN, ORIGIN + 24, CLOCK, DAYS)
