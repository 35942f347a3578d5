"""What the benchmark of forecasts in money tells each planner: yesterday again, or the truth and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from forecast_value import DEMAND, SERIES, SITE, Knower

from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site

AT = datetime(2026, 8, 26, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def history() -> History:
    return read_history(sample_folder(SITE))


def test_persistence_says_that_every_day_is_like_yesterday(history: History) -> None:
    knower = Knower(load_site(SITE), history, "persistence")
    forecasts = knower.forecasts(AT)
    yesterday = history.window(AT - DAY, AT)
    assert {f"ev.{name}" for name in ("arriving_kw", "leaving_kw", "occupied_pct")} | set(SERIES) == set(forecasts)
    for name in SERIES:
        days = forecasts[name].median.to_numpy()[: 3 * 96].reshape(3, 96)
        assert all(np.array_equal(day, yesterday[name]) for day in days)
    assert forecasts["ev.arriving_kw"].method == "mean of past sessions"


def test_perfect_knowledge_is_the_record_and_the_cars_that_will_come(history: History) -> None:
    found = Knower(load_site(SITE), history, "perfect").forecasts(AT)
    index = found[DEMAND].index
    for name in SERIES:
        assert np.array_equal(found[name].median, history.frame[name].loc[index])
    end = index[-1] + timedelta(minutes=15)
    come = [car.energy_needed_kwh for car in history.sessions if AT < car.arrive < end]
    assert found["ev.arriving_kw"].median.sum() / 4 == pytest.approx(sum(come))
    came, left = (found[f"ev.{name}"].median.cumsum() for name in ("arriving_kw", "leaving_kw"))
    assert np.all(came >= left - 1e-9)
    assert found["ev.occupied_pct"].median.max() <= 100.0
