"""Minute drivers: the energy of every recorded interval stays what was recorded."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hil.drivers import Flutter, flutter_around, minute_drivers

START = datetime(2026, 8, 26, tzinfo=UTC)


@given(
    arrays(float, st.integers(1, 8), elements=st.floats(0, 2000)),
    st.sampled_from([5, 15, 60]),
    st.floats(0, 1.5),
    st.integers(0, 2**32),
)
def test_every_recorded_mean_is_kept_and_limits_hold(means, minutes, share, seed):
    values = flutter_around(means, minutes, Flutter(share, ceiling=500.0), np.random.default_rng(seed))
    assert np.allclose(values.reshape(-1, minutes).mean(axis=1), means, atol=1e-9)
    assert values.min() >= -1e-9
    assert np.all(values.reshape(-1, minutes) <= np.maximum(means, 500.0)[:, None] + 1e-9)


def frame(step: str = "15min", rows: int = 8) -> pd.DataFrame:
    index = pd.date_range(START, periods=rows, freq=step)
    return pd.DataFrame({"load.demand_kw": np.arange(100.0, 100 + rows), "weather.temperature_c": 30.0}, index=index)


def test_quarter_means_equal_the_record_and_minutes_move():
    drivers = minute_drivers(frame(), {}, START, 8, {"load.demand_kw": Flutter(0.05)}, np.random.default_rng(1))
    load = drivers.series["load.demand_kw"]
    assert load.reshape(-1, 15).mean(axis=1) == pytest.approx(frame()["load.demand_kw"].to_numpy(), abs=1e-9)
    assert load.std() > 2
    assert set(drivers.series["weather.temperature_c"]) == {30.0}


def test_coarser_and_finer_records_give_the_same_minutes():
    hourly = minute_drivers(frame("1h", 2), {}, START, 8, {}, np.random.default_rng(1))
    assert hourly.series["load.demand_kw"].tolist() == [100.0] * 60 + [101.0] * 60
    half_hour_later = START.replace(minute=30)
    part = minute_drivers(frame("1h", 2), {}, half_hour_later, 4, {}, np.random.default_rng(1))
    assert part.series["load.demand_kw"].tolist() == [100.0] * 30 + [101.0] * 30


def test_a_span_outside_the_record_and_a_gap_are_refused():
    with pytest.raises(ValueError, match="the run needs"):
        minute_drivers(frame(), {}, START, 9, {}, np.random.default_rng(1))
    gap = frame()
    gap.iloc[3, 0] = np.nan
    with pytest.raises(ValueError, match=r"load\.demand_kw has nan"):
        minute_drivers(gap, {}, START, 8, {}, np.random.default_rng(1))


def test_drivers_refuse_rows_outside():
    drivers = minute_drivers(frame(), {}, START, 8, {}, np.random.default_rng(1))
    with pytest.raises(ValueError, match="outside the drivers"):
        drivers.offset(datetime(2026, 8, 25, tzinfo=UTC))
    with pytest.raises(ValueError, match="the drivers hold 120"):
        drivers.get("load.demand_kw", 110, 15)
