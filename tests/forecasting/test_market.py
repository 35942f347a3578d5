"""Prices and carbon: what is out is known to the last digit, the rest is forecast without seeing what is not out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from forecasting.day_types import DayTable, LocalClock
from forecasting.forecast import LEVELS, Array
from forecasting.kinds import FitContext
from forecasting.market import FittedMarket, Market
from forecasting.measured import Measured
from forecasting.published import Published
from forecasting.site_forecaster import SiteForecaster

PRICE = "market.import_price_per_kwh"
CLOCK = LocalClock(ZoneInfo("Europe/Amsterdam"), 60)
MIDNIGHT = CLOCK.first_step(datetime(2022, 3, 1, 23, tzinfo=UTC))
DAY = CLOCK.steps_per_day


def weekdays(local: date) -> str:
    return "rest_day" if local.weekday() >= 5 else "workday"


TODAY = int(CLOCK.days_and_slots(np.array([MIDNIGHT]))[0][0])
DAYS = DayTable.over(weekdays, TODAY - 150, TODAY + 40)


def course(days: int, end: int = MIDNIGHT, seed: int = 1) -> Measured:
    """Two peaks a day, cheaper weekends, a level that wanders from day to day."""
    steps = np.arange(end - days * DAY, end, dtype=np.int64)
    local_days, slots = CLOCK.days_and_slots(steps)
    rng = np.random.default_rng(seed)
    level = 0.2 + np.cumsum(rng.normal(0, 0.01, days + 2))[local_days - local_days[0]]
    shape = 0.06 * np.exp(-(((slots - 8) / 2.0) ** 2)) + 0.08 * np.exp(-(((slots - 19) / 2.5) ** 2))
    values = level + shape - 0.04 * DAYS.is_off(local_days) + rng.normal(0, 0.004, len(steps))
    return Measured(int(steps[0]), values)


def fit(past: Measured, **limits: float) -> FittedMarket:
    return Market(PRICE, **limits).fit(past, FitContext(CLOCK, DAYS, past.end, past.end + 30 * DAY))


def ahead(fitted: FittedMarket, length: int, published: Published | None = None) -> tuple[dict[float, Array], str]:
    end = fitted.kept.end
    told = fitted.told(published) if published else fitted
    outcome = told.issue(Measured(end, np.empty(0)), end, end + length)
    return outcome.quantiles, outcome.method


def test_better_than_yesterday_and_last_week() -> None:
    whole = course(140)
    missed: dict[str, list[float]] = {"model": [], "yesterday": [], "last week": []}
    for back in range(60, 2, -6):
        past = whole.between(whole.first, MIDNIGHT - back * DAY)
        actual = whole.at(np.arange(past.end, past.end + DAY))
        missed["model"].append(float(np.abs(ahead(fit(past), DAY)[0][0.5] - actual).mean()))
        missed["yesterday"].append(float(np.abs(past.values[-DAY:] - actual).mean()))
        missed["last week"].append(float(np.abs(past.values[-7 * DAY : -6 * DAY] - actual).mean()))
    mean = {name: float(np.mean(found)) for name, found in missed.items()}
    assert mean["model"] < 0.9 * min(mean["yesterday"], mean["last week"])


def test_prices_may_be_negative_and_carbon_may_not() -> None:
    past = replace(course(60), values=course(60).values - 0.35)
    free, bounded = (ahead(fit(past, **limits), 3 * DAY)[0] for limits in ({}, {"lowest": 0.0}))
    assert free[0.5].min() < -0.05
    assert min(path.min() for path in bounded.values()) == 0.0


@pytest.mark.parametrize("spike", [5.0, -5.0])
def test_a_spike_moves_nothing_much(spike: float) -> None:
    past = course(60)
    values = past.values.copy()
    values[-30:-28] = spike
    calm, shaken = ahead(fit(past), 2 * DAY)[0][0.5], ahead(fit(replace(past, values=values)), 2 * DAY)[0][0.5]
    assert np.abs(calm - shaken).max() < 0.12


def test_a_month_ahead_is_whole_and_ordered() -> None:
    found, method = ahead(fit(course(60)), 30 * DAY)
    stacked = np.stack([found[level] for level in LEVELS])
    assert method == "recent days"
    assert np.all(np.isfinite(stacked))
    assert np.all(np.diff(stacked, axis=0) >= 0)
    assert 0.0 < found[0.5].min() < found[0.5].max() < 0.6


def test_gaps_and_short_histories() -> None:
    past = course(60)
    holed = replace(past, values=np.where(np.random.default_rng(1).random(len(past.values)) < 0.3, np.nan, past.values))
    assert ahead(fit(holed), DAY)[0][0.5] == pytest.approx(ahead(fit(past), DAY)[0][0.5], abs=0.05)
    assert np.all(np.isfinite(ahead(fit(course(9)), 30 * DAY)[0][0.5]))
    with pytest.raises(ValueError, match=r"7\.0 days of history, 8 needed"):
        fit(course(7))


FRAME = pd.DataFrame(
    {PRICE: course(70, MIDNIGHT + 3 * DAY).values}, index=CLOCK.index(course(70, MIDNIGHT + 3 * DAY).steps)
)


def rows_published(at_hour: int) -> pd.DataFrame:
    """Each local day's prices, out at a local hour of the day before."""
    local = pd.DatetimeIndex(FRAME.index).tz_convert(CLOCK.zone)
    issued = (local.normalize() - pd.DateOffset(days=1) + pd.DateOffset(hours=at_hour)).tz_convert("UTC")
    return FRAME.assign(issued_at=issued, time=FRAME.index).sort_values("issued_at", kind="stable")


@pytest.mark.parametrize(("minutes", "known"), [(0, 12), (1, 36)])
def test_announced_prices_are_known_from_their_hour_on(minutes: int, known: int) -> None:
    """At noon the rest of the day is known; a minute after 12:00 tomorrow is, too."""
    at = CLOCK.start_of(MIDNIGHT) + timedelta(hours=12)
    moment = at + timedelta(minutes=minutes)
    site = SiteForecaster({PRICE: Market(PRICE)}, weekdays, CLOCK.zone, 60)
    rows = rows_published(12)
    until = at + timedelta(days=3)
    (found,) = site.fit(FRAME, moment, until, published=rows).issue(FRAME, moment, until, published=rows).values()
    truth = FRAME[PRICE].loc[found.index[0] :].to_numpy()
    first_unknown = known - (1 if minutes else 0)  # the interval that runs at the issue is not forecast
    for level in LEVELS:
        assert found.quantiles[level][:first_unknown] == pytest.approx(truth[:first_unknown], abs=0.001)
    assert found.quantiles[LEVELS[0]][first_unknown] < found.quantiles[LEVELS[-1]][first_unknown]
    assert found.method == "announced, then recent days"


def test_nothing_out_later_is_seen() -> None:
    at = CLOCK.start_of(MIDNIGHT) + timedelta(hours=12)
    until = at + timedelta(days=3)
    site, rows = SiteForecaster({PRICE: Market(PRICE)}, weekdays, CLOCK.zone, 60), rows_published(12)
    poisoned = rows.assign(**{PRICE: rows[PRICE].where(rows["issued_at"] < at, 99.0)})
    frame = FRAME.copy()
    frame.loc[at:] = 99.0
    clean = site.fit(FRAME, at, until, published=rows).issue(FRAME, at, until, published=rows)
    assert (rows["issued_at"] >= at).sum() >= 24
    assert site.fit(frame, at, until, published=poisoned).issue(frame, at, until, published=poisoned) == clean
