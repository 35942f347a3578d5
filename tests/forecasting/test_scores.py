"""Scores on numbers small enough to check by hand, and the worked example of RULES 9."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting import scores

TV31_ACTUAL = np.array([100.0, 200.0, 300.0, 400.0])
TV31_FORECAST = np.array([120.0, 180.0, 330.0, 380.0])
TV31_CAPACITY = np.full(4, 500.0)
POWERS = arrays(float, 12, elements=st.floats(0.5, 1e4))


def test_tv_31_accuracies_of_the_rules() -> None:
    a, f, c = TV31_ACTUAL, TV31_FORECAST, TV31_CAPACITY
    assert scores.accuracy_by_capacity(a, f, c) == pytest.approx(1 - np.sqrt(525.0) / 500, abs=1e-15)
    assert scores.mae_accuracy_by_capacity(a, f, c) == pytest.approx(0.955, abs=1e-15)
    weighted = 20 * abs(100 / 220 - 0.5) + 20 * (200 / 380 - 0.5) + 30 * abs(300 / 630 - 0.5) + 20 * (400 / 780 - 0.5)
    assert scores.harmonic_accuracy(a, f) == pytest.approx(1 - 2 * weighted / 90, abs=1e-15)
    assert scores.relative_accuracy(a, f) == pytest.approx(0.875, abs=1e-15)
    as_stated = [
        scores.accuracy_by_capacity(a, f, c),
        scores.mae_accuracy_by_capacity(a, f, c),
        scores.harmonic_accuracy(a, f),
        scores.relative_accuracy(a, f),
    ]
    assert [round(100 * share, 3) for share in as_stated] == [95.417, 95.500, 94.653, 87.500]


def test_errors_are_forecast_minus_measured_and_gaps_are_left_out() -> None:
    actual, forecast = np.array([1.0, np.nan, 3.0, 0.0]), np.array([2.0, 9.0, 1.0, 4.0])
    assert scores.mae(actual, forecast) == pytest.approx(7 / 3)
    assert scores.bias(actual, forecast) == pytest.approx(1.0)
    assert scores.rmse(actual, forecast) == pytest.approx(np.sqrt(7.0))
    assert scores.mase(actual, forecast, 7.0) == pytest.approx(1 / 3)
    assert scores.mape(actual, forecast) == (pytest.approx(100 * (1 + 2 / 3) / 2), 2)


def test_nothing_measured_gives_nan_without_a_warning() -> None:
    nothing, zero = np.full(3, np.nan), np.zeros(3)
    assert np.isnan(scores.mae(nothing, zero))
    assert np.isnan(scores.mase(zero, zero, 0.0))
    assert np.isnan(scores.seasonal_mae(zero, 3))
    assert np.isnan(scores.coverage(nothing, zero, zero))
    assert scores.mape(zero, zero)[1] == 0
    assert scores.day_peaks(zero[None, :], zero[None, :], 4)[0].size == 0


@given(POWERS, POWERS)
def test_pinball_of_the_median_is_half_the_error(actual: np.ndarray, forecast: np.ndarray) -> None:
    assert scores.pinball(actual, {0.5: forecast}) == pytest.approx(scores.mae(actual, forecast) / 2)


@given(st.integers(0, 2**32 - 1))
def test_pinball_is_least_at_the_true_quantile(seed: int) -> None:
    actual = np.random.default_rng(seed).normal(size=400)
    best = scores.pinball(actual, {0.9: np.full(400, np.quantile(actual, 0.9))})
    for other in (-0.5, 0.0, 0.8, 2.0, 3.0):
        assert best <= scores.pinball(actual, {0.9: np.full(400, other)}) + 5e-3


@given(POWERS, POWERS, st.floats(0.1, 50.0))
def test_scores_follow_the_unit_and_shares_do_not(actual: np.ndarray, forecast: np.ndarray, unit: float) -> None:
    for score in (scores.mae, scores.rmse, scores.bias):
        assert score(unit * actual, unit * forecast) == pytest.approx(unit * score(actual, forecast), abs=1e-6)
    for share in (scores.harmonic_accuracy, scores.relative_accuracy):
        assert share(unit * actual, unit * forecast) == pytest.approx(share(actual, forecast), abs=1e-6)
    assert scores.rmse(actual, forecast) >= scores.mae(actual, forecast) - 1e-9


def test_band_holds_its_edges() -> None:
    actual = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    assert scores.coverage(actual, np.full(5, 2.0), np.full(5, 3.5)) == 0.5


def test_in_sample_error_of_yesterday() -> None:
    assert scores.seasonal_mae(np.array([1.0, 2.0, 3.0, 1.0, np.nan, 7.0]), 3) == pytest.approx((0 + 4) / 2)


def test_peaks_of_whole_days_that_were_measured() -> None:
    actual = np.array([[1.0, 5.0, 2.0, 2.0, 9.0], [np.nan, 5.0, 7.0, 8.0, 9.0]])
    forecast = np.array([[4.0, 3.0, 1.0, 6.0, 0.0], [0.0, 0.0, 3.0, 1.0, 0.0]])
    peaks = scores.day_peaks(actual, forecast, 2)
    assert [peak.tolist() for peak in peaks] == [[5.0, 2.0, 8.0], [4.0, 6.0, 3.0]]


def test_energy_of_one_band_counts_only_what_was_measured() -> None:
    groups = np.array([[0, 1, 1], [0, 0, 0]])
    actual = np.array([[1.0, 2.0, np.nan], [1.0, 1.0, 1.0]])
    energies = scores.energy_by_group(actual, np.full((2, 3), 4.0), groups, 1, 0.25)
    assert [energy.tolist() for energy in energies] == [[0.5], [1.0]]
