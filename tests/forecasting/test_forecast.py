"""The value: what it refuses, and that a document gives the same forecast back."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.forecast import Forecast, regular_index

AT = datetime(2026, 8, 26, tzinfo=UTC)


def forecast(low: float = 1.0, middle: float = 2.0, high: float = 3.0, start: datetime = AT) -> Forecast:
    paths = {0.9: np.full(4, high), 0.1: np.full(4, low), 0.5: np.full(4, middle)}
    return Forecast("load.demand_kw", AT, "persistence", 15, regular_index(start, 15, 4), paths)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_document_round_trip_is_exact(values: list[float]) -> None:
    path = np.array(values)
    paths = {0.1: path, 0.5: path, 0.9: path}
    before = Forecast("load.demand_kw", AT, "persistence", 15, regular_index(AT, 15, len(values)), paths)
    after = Forecast.from_document(json.loads(json.dumps(before.to_document())))
    assert after == before
    np.testing.assert_array_equal(after.quantiles[0.5], path)
    assert after.index.equals(before.index)


def test_pickle_round_trip() -> None:
    assert pickle.loads(pickle.dumps(forecast())) == forecast()


def test_levels_are_in_order_and_cannot_be_written() -> None:
    value = forecast()
    assert list(value.quantiles) == [0.1, 0.5, 0.9]
    assert value.median.name == "load.demand_kw"
    assert value.median.tolist() == [2.0] * 4
    with pytest.raises(ValueError, match="read-only"):
        value.quantiles[0.5][0] = 9.0


def test_issue_time_becomes_utc() -> None:
    local = AT.astimezone(timezone(timedelta(hours=8)))
    paths = forecast().quantiles
    assert Forecast("a.b_kw", local, "m", 15, regular_index(AT, 15, 4), paths).issued_at.utcoffset() == timedelta(0)


def test_refuses_what_cannot_be_a_forecast() -> None:
    with pytest.raises(ValueError, match=r"load\.demand_kw: a higher level lies below a lower one"):
        forecast(low=2.5)
    with pytest.raises(ValueError, match=r"0\.9: nan at 2026-08-26 00:00:00"):
        forecast(high=float("nan"))
    with pytest.raises(ValueError, match="starts before that, at 2026-08-25 23:45"):
        forecast(start=AT - timedelta(minutes=15))
    with pytest.raises(ValueError, match="has no zone"):
        Forecast("a.b_kw", datetime(2026, 8, 26), "m", 15, forecast().index, forecast().quantiles)  # noqa: DTZ001
    with pytest.raises(ValueError, match=r"lacks the levels \[0\.1, 0\.9\]"):
        Forecast("a.b_kw", AT, "m", 15, forecast().index, {0.5: np.ones(4)})
    with pytest.raises(ValueError, match="not all 30 min"):
        Forecast("a.b_kw", AT, "m", 30, forecast().index, forecast().quantiles)


def test_document_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="schema is 'plan/1'"):
        Forecast.from_document({"schema": "plan/1"})
    with pytest.raises(ValueError, match="lacks issued_at, method, quantiles, start, step_minutes"):
        Forecast.from_document({"schema": "forecast/1", "series": "load.demand_kw"})
