"""Prophet for demand: trend, week, day shapes by day type, and holidays, to the end of the billing period.

It carries the calendar weeks ahead. The next day is the near model's; `forecasting/demand.py` joins the two.
Prophet speaks local wall-clock time, because people do.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured

LONG_DAYS = 500
"""From this much history on all of it is used, with a season of the year [days]; before, one winter is no season."""
RECENT_DAYS = 90
"""History used while it is shorter than that [days]: an older level without its season misleads. Its trend is not
prolonged either: a month of a rising load is a season, and a straight line through it misses the next month's daily
energy by 1.4 times what the mean of same-type days does, a flat level by 1.04 times (docs/forecasting.md)."""
SHORTEST_DAYS = 14
FIT_MINUTES, LONG_FIT_MINUTES = 30, 60
"""Values are averaged to this step for the fit [min]; docs/forecasting.md has the measured cost and gain."""
CHANGEPOINT_PRIOR = 0.001
"""Freedom of the trend: the stiffest of those tried was the best over a month; see docs/forecasting.md."""
MOST_ROWS = 5000
"""Rows of a fit. Neighbouring hours miss alike, so a long history is thinned instead of waited for."""
DAY_ORDER = 12
WEEK_ORDER = 3
YEAR_ORDER = 6
SEED = 1


def prophet_path(past: Measured, first: int, end: int, clock: LocalClock, days: DayTable) -> Array:
    """(end - first,) expected demand, from a model fitted on all of `past`, or on its last 90 days while it is short.

    Raises:
        ValueError: less than two weeks of measurements.
        RuntimeError: the optimiser failed.
    """
    seasonal = len(past.values) > LONG_DAYS * clock.steps_per_day
    used = past if seasonal else past.between(max(past.first, past.end - RECENT_DAYS * clock.steps_per_day), past.end)
    group = max(1, (LONG_FIT_MINUTES if seasonal else FIT_MINUTES) // clock.step_minutes)
    steps, values = _grouped(used, group)
    if len(values) * group * clock.step_minutes < SHORTEST_DAYS * 1440:
        raise ValueError(f"less than {SHORTEST_DAYS} days of measurements")
    taken = steps // group % _spacing(len(values), clock.steps_per_day // group) == 0
    frame = _frame(steps[taken], group, clock, days).assign(y=values[taken])
    with _quiet():
        model = _model(days, seasonal)
        model.fit(frame, seed=SEED)
        ahead = model.predict(_frame(np.arange(first, end, dtype=np.int64), 1, clock, days))
    return np.asarray(ahead["yhat"], dtype=float)


def _model(days: DayTable, seasonal: bool) -> Any:
    from prophet import Prophet  # slow to import, and only the fitting process needs it

    special = pd.DataFrame(days.special_days(), columns=["ds", "holiday"])
    model = Prophet(
        growth="linear" if seasonal else "flat",
        changepoint_prior_scale=CHANGEPOINT_PRIOR,
        daily_seasonality=False,
        weekly_seasonality=False,
        yearly_seasonality=False,
        uncertainty_samples=0,
        holidays=special if len(special) else None,
    )
    model.add_seasonality("week", period=7, fourier_order=WEEK_ORDER)
    model.add_seasonality("workday_shape", period=1, fourier_order=DAY_ORDER, condition_name="works")
    model.add_seasonality("day_off_shape", period=1, fourier_order=DAY_ORDER, condition_name="off")
    if seasonal:
        model.add_seasonality("year", period=365.25, fourier_order=YEAR_ORDER)
    return model


def _frame(steps: Ints, length: int, clock: LocalClock, days: DayTable) -> pd.DataFrame:
    """Prophet's input for means over `length` steps from each of `steps` on, each placed at the middle of its time."""
    off = days.is_off(clock.days_and_slots(steps)[0])
    middle = clock.local_times(steps) + timedelta(minutes=length * clock.step_minutes / 2)
    return pd.DataFrame({"ds": middle, "works": ~off, "off": off})


def _spacing(rows: int, per_day: int) -> int:
    """One row of how many is taken: all slots of the day and all days of the week must come in turn."""
    spacing = max(1, rows // MOST_ROWS)
    while np.gcd(spacing, 7 * per_day) > 1:
        spacing += 1
    return spacing


def _grouped(past: Measured, group: int) -> tuple[Ints, Array]:
    """Means of `group` measured values each, named by the group's first step; groups with a hole are left out."""
    first = -(-past.first // group) * group
    count = max(0, (past.end - first) // group)
    means = past.at(np.arange(first, first + count * group, dtype=np.int64)).reshape(count, group).mean(axis=1)
    known = np.isfinite(means)
    return (first + group * np.arange(count, dtype=np.int64))[known], means[known]


@contextmanager
def _quiet() -> Iterator[None]:
    """Third-party warnings and log lines of a fit stay inside it; failures still come as exceptions."""
    loggers = [logging.getLogger(name) for name in ("cmdstanpy", "prophet", "prophet.plot")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
