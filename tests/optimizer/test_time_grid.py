"""Steps with lengths of their own, and series averaged onto them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.time_grid import GridShape, TimeGrid, require_series

START = datetime(2026, 8, 25, 16, tzinfo=UTC)


def test_near_steps_then_tail_steps_of_their_own_length() -> None:
    grid = TimeGrid(START, 15, 4, (0.5, 2.0, 0.0))
    assert grid.shape == GridShape(4, 3)
    assert list(grid.hours) == [0.25, 0.25, 0.25, 0.25, 0.5, 2.0, 0.0]
    assert grid.times[4:] == (START + timedelta(hours=1), START + timedelta(hours=1.5), START + timedelta(hours=3.5))
    assert grid.near_end == START + timedelta(hours=1)
    assert grid.end == START + timedelta(hours=3.5)


def test_local_start_becomes_utc_and_a_naive_start_is_refused() -> None:
    local = datetime(2026, 8, 26, tzinfo=timezone(timedelta(hours=8)))
    assert TimeGrid(local, 15, 1).start == START
    with pytest.raises(ValueError, match="no zone"):
        TimeGrid(datetime(2026, 8, 26), 15, 1)  # noqa: DTZ001


@given(st.lists(st.floats(-1e3, 1e3), min_size=24, max_size=24), st.sampled_from([5, 15, 30, 60]))
def test_averaging_keeps_the_energy(values: list[float], step_minutes: int) -> None:
    series = pd.Series(values, index=pd.date_range(START, periods=24, freq="15min"), name="x")
    grid = TimeGrid(START, step_minutes, 60 // step_minutes, (2.0, 3.0, 0.0))
    averaged = grid.average(series)
    assert float(averaged @ grid.hours) == pytest.approx(sum(values) * 0.25, abs=1e-6)
    assert averaged[-1] == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.iloc[1:], "covers"),
        (lambda s: s.iloc[:3], "covers"),
        (lambda s: s.iloc[[0, 1, 3, 4, 5, 6, 7]], "not regular"),
        (lambda s: s.tz_localize(None), "UTC DatetimeIndex"),
        (lambda s: s.mask(s.index == s.index[2]), "has nan at 2026-08-25 16:30"),
        (lambda s: s.iloc[:1], "at least two"),
    ],
)
def test_a_series_that_does_not_fit_is_refused_by_name(change, message: str) -> None:  # type: ignore[no-untyped-def]
    series = pd.Series(np.ones(8), index=pd.date_range(START, periods=8, freq="15min"), name="load.demand_kw")
    with pytest.raises(ValueError, match=message) as caught:
        TimeGrid(START, 15, 4).average(change(series))
    assert "load.demand_kw" in str(caught.value)


def test_required_series_are_checked() -> None:
    values = {"a": np.ones(3), "short": np.ones(2), "bad": np.array([1.0, np.inf, 1.0])}
    assert require_series(values, "a", 3).sum() == 3
    for name, message in (("b", "b is missing"), ("short", "shape"), ("bad", "bad has inf at step 1")):
        with pytest.raises(ValueError, match=message):
            require_series(values, name, 3)
