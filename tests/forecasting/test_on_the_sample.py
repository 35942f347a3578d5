"""On the shipped park's recorded series: better than the simple ways, and honest about the spread.

The sample's load knows weekends but not the Chinese holidays (see its SOURCES.md), hence the day types here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from forecasting.demand import LEARNING_DAYS, Demand
from forecasting.site_forecaster import SiteForecaster
from tests.forecasting.park import ZONE

Array = NDArray[np.float64]
FIRST = datetime(2026, 8, 16, 16, tzinfo=UTC)
ORIGINS = [FIRST + timedelta(hours=7 * k) for k in range(30)]
SERIES = ("load.demand_kw", "cold_load.demand_kw")
DAY = pd.Timedelta(days=1)


def weekdays(local_date: date) -> str:
    return "rest_day" if local_date.weekday() >= 5 else "workday"


@pytest.fixture(scope="module")
def errors(sample: pd.DataFrame) -> dict[str, dict[str, Array]]:
    """By series and way: (origins, 96) errors [kW], and `inside`, whether the 80 % band held."""
    site = SiteForecaster({name: Demand() for name in SERIES}, weekdays, ZONE).fit(
        sample, FIRST, ORIGINS[-1] + timedelta(days=3)
    )
    assert not site.provenance.failures
    rows: dict[str, list[dict[str, Array]]] = {name: [] for name in SERIES}
    for at in ORIGINS:
        forecasts = site.issue(sample.loc[at - timedelta(days=8) : at], at, at + timedelta(days=1))
        for name in SERIES:
            rows[name].append(_errors_of(forecasts[name].quantiles, sample[name], at))
    return {name: {way: np.stack([row[way] for row in found]) for way in found[0]} for name, found in rows.items()}


def _errors_of(quantiles: Mapping[float, Array], truth: pd.Series, at: datetime) -> dict[str, Array]:
    index = pd.date_range(at, periods=96, freq="15min")
    actual = truth.loc[index].to_numpy()
    return {
        "model": quantiles[0.5] - actual,
        "persistence": truth.loc[at - timedelta(minutes=15)] - actual,
        "same slot yesterday": truth.loc[index - DAY].to_numpy() - actual,
        "inside": (quantiles[0.1] <= actual) & (actual <= quantiles[0.9]),
    }


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("hours", [4, 24])
def test_beats_persistence_and_yesterday(errors: dict[str, dict[str, Array]], name: str, hours: int) -> None:
    lead = hours * 4 - 1
    mae = {way: float(np.abs(found[:, lead]).mean()) for way, found in errors[name].items()}
    assert mae["model"] < mae["persistence"]
    assert mae["model"] < mae["same slot yesterday"]


@pytest.mark.parametrize("name", SERIES)
def test_four_fifths_lie_in_the_band_of_four_fifths(errors: dict[str, dict[str, Array]], name: str) -> None:
    assert 0.6 <= errors[name]["inside"].mean() <= 0.95


def test_the_least_history_to_learn_from_is_enough_for_all_members(sample: pd.DataFrame) -> None:
    short = sample.loc[FIRST - LEARNING_DAYS * DAY : FIRST - timedelta(minutes=15)]
    site = SiteForecaster({SERIES[0]: Demand()}, weekdays, ZONE).fit(short, FIRST, FIRST + timedelta(days=3))
    assert not site.provenance.failures
    found = site.issue(short.loc[FIRST - timedelta(days=8) :], FIRST, FIRST + timedelta(days=1))[SERIES[0]]
    assert found.method == "prophet+profile+linear+trees"
