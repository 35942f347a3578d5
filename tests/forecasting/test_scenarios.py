"""Scenarios of a forecast: quantiles as the forecast has them, memory as asked, the same seed the same courses."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.forecast import NEEDED, Forecast, regular_index
from forecasting.scenarios import Group, correlated, courses, scenarios

ISSUED = datetime(2026, 8, 25, 16, tzinfo=UTC)


def forecast(low: list[float], median: list[float], high: list[float], series: str = "load.demand_kw") -> Forecast:
    index = regular_index(ISSUED, 15, len(median))
    paths = (np.asarray(path, dtype=float) for path in (low, median, high))
    return Forecast(series, ISSUED, "test", 15, index, dict(zip(NEEDED, paths, strict=True)))


SKEWED = forecast([90, 40, 0, 10], [100, 60, 0, 50], [140, 65, 0, 60])


def test_the_draws_have_the_quantiles_of_the_forecast() -> None:
    drawn = scenarios({"load.demand_kw": SKEWED}, [Group(("load.demand_kw",), 4.0)], 10_000, np.random.default_rng(1))
    values = np.array([course["load.demand_kw"] for course in drawn])
    for level, path in SKEWED.quantiles.items():
        assert np.quantile(values, level, axis=0) == pytest.approx(path, abs=1.0)
    assert values[:, 2] == pytest.approx(0.0)
    assert values.min() >= 0.0


def test_beyond_the_outer_levels_a_course_goes_on_as_a_normal_distribution() -> None:
    z = np.array([[-2.5631, 0.0, 0.0, 0.0], [2.5631, 2.5631, 2.5631, 2.5631]])
    low, high = courses(SKEWED, z)
    assert low == pytest.approx([80, 60, 0, 50], abs=1e-3)
    assert high == pytest.approx([180, 70, 0, 70], abs=1e-3)


@pytest.mark.parametrize("hours", [1.0, 4.0, 12.0])
def test_the_correlation_falls_as_asked(hours: float) -> None:
    z = correlated(96, 0.25, hours, 20_000, np.random.default_rng(2))
    assert z.mean(axis=0) == pytest.approx(0.0, abs=0.04)
    assert z.std(axis=0) == pytest.approx(1.0, abs=0.03)
    for lag in (1, 4, 16, 60):
        together = float((z[:, :-lag] * z[:, lag:]).mean())
        assert together == pytest.approx(math.exp(-lag * 0.25 / hours), abs=0.02)


def test_the_same_physics_at_another_step_length() -> None:
    """An hour later the correlation is the same, whether the hour has one step or twelve."""
    rng = np.random.default_rng(3)
    fine, coarse = correlated(24, 1 / 12, 4.0, 20_000, rng), correlated(2, 1.0, 4.0, 20_000, rng)
    hour_later = [float((z[:, 0] * z[:, last]).mean()) for z, last in ((fine, 12), (coarse, 1))]
    assert hour_later == pytest.approx([math.exp(-0.25)] * 2, abs=0.03)


def test_the_same_seed_gives_the_same_scenarios_and_another_does_not() -> None:
    groups = [Group(("load.demand_kw",), 4.0)]
    once, again, other = (
        scenarios({"load.demand_kw": SKEWED}, groups, 3, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    for a, b, c in zip(once, again, other, strict=True):
        assert a["load.demand_kw"].equals(b["load.demand_kw"])
        assert not a["load.demand_kw"].equals(c["load.demand_kw"])


@given(pairs=st.integers(1, 6), seed=st.integers(0, 1000), spread=st.floats(0.0, 50.0))
@settings(max_examples=40, deadline=None)
def test_however_few_the_pairs_the_mean_is_the_median_of_a_symmetric_forecast(
    pairs: int, seed: int, spread: float
) -> None:
    median = np.array([500.0, 700.0, 600.0])
    even = forecast(list(median - spread), list(median), list(median + spread))
    drawn = scenarios({"a": even}, [Group(("a",), 4.0)], pairs, np.random.default_rng(seed))
    assert len(drawn) == 2 * pairs
    assert np.mean([course["a"] for course in drawn], axis=0) == pytest.approx(median, rel=1e-12)


def test_series_of_a_group_move_together_and_groups_do_not() -> None:
    known = {name: forecast([90] * 96, [100] * 96, [110] * 96, name) for name in ("a", "b", "c")}
    drawn = scenarios(known, [Group(("a", "b"), 2.0), Group(("c",), 2.0)], 2_000, np.random.default_rng(4))
    a, b, c = (np.array([course[name] for course in drawn]) for name in ("a", "b", "c"))
    assert np.array_equal(a, b)
    assert abs(float(np.corrcoef(a[:, 50], c[:, 50])[0, 1])) < 0.05


def test_a_group_without_end_has_one_deviation_for_all_time() -> None:
    known = {"cars": forecast([5, 50, 10], [10, 100, 20], [20, 200, 40])}
    for course in scenarios(known, [Group(("cars",), math.inf)], 4, np.random.default_rng(4)):
        assert course["cars"].to_numpy() / course["cars"].iloc[0] == pytest.approx([1.0, 10.0, 2.0])
