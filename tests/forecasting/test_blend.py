"""Weights of a blend: shares of a whole, for those who were right, the usual ones where nothing is known."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.blend import blend_weights, weights_by_lead
from forecasting.day_types import LocalClock
from forecasting.demand import usual_weights

EVEN = np.full(3, 1 / 3)
ERRORS = arrays(float, (3, 12), elements=st.floats(-1e4, 1e4) | st.just(float("nan")))


@given(ERRORS, st.floats(0.01, 10.0))
@settings(max_examples=60, deadline=None)
def test_weights_are_shares_of_a_whole(errors: np.ndarray, pull: float) -> None:
    weights = blend_weights(errors, EVEN, pull)
    assert np.all(weights >= 0)
    assert weights.sum() == pytest.approx(1.0)


def test_who_was_right_counts_most_and_who_was_wrong_not_at_all() -> None:
    rng = np.random.default_rng(1)
    errors = rng.normal(0, [[1.0], [5.0], [50.0]], (3, 500))
    weights = blend_weights(errors, EVEN, 0.01)
    assert weights[0] > 0.85
    assert weights[2] < 0.01


def test_opposite_errors_are_balanced() -> None:
    """A member twice as wrong the other way is worth a third, though alone it is the worse one."""
    rng = np.random.default_rng(2)
    miss = rng.normal(0, 1, 400)
    weights = blend_weights(np.stack([miss, -2 * miss]), np.full(2, 0.5), 1e-3)
    assert weights == pytest.approx([2 / 3, 1 / 3], abs=0.01)


def test_members_that_are_alike_share() -> None:
    miss = np.random.default_rng(3).normal(0, 1, 400)
    assert blend_weights(np.stack([miss, miss]), np.full(2, 0.5), 0.1) == pytest.approx([0.5, 0.5])


def test_one_odd_day_does_not_choose_the_members() -> None:
    rng = np.random.default_rng(4)
    errors = rng.normal(0, [[1.0], [3.0]], (2, 400))
    errors[0, :8] = 30.0  # its squares outweigh all the rest
    assert blend_weights(errors, np.full(2, 0.5), 0.01)[0] > 0.7


def test_without_a_measurement_the_usual_weights_stay() -> None:
    usual = np.array([0.7, 0.2, 0.1])
    assert blend_weights(np.full((3, 5), np.nan), usual, 0.1) == pytest.approx(usual)
    assert blend_weights(np.zeros((3, 5)), usual, 0.1) == pytest.approx(usual)


def test_each_lead_has_its_own_weights_and_they_change_without_a_jump() -> None:
    rng = np.random.default_rng(5)
    growing = rng.normal(0, 1, (200, 120)) * np.linspace(0.2, 4.0, 120)  # good near by
    steady = rng.normal(0, 1.5, (200, 120))
    weights = weights_by_lead(np.stack([growing, steady]), np.full((2, 120), 0.5), 0.25)
    assert weights.sum(axis=0) == pytest.approx(1.0)
    assert weights[0, 0] > 0.9
    assert weights[0, -1] < 0.4
    assert np.max(np.abs(np.diff(weights[0, 8:]))) < 0.05


@pytest.mark.parametrize("foretold", [False, True])
@pytest.mark.parametrize("known_days", [21.0, 150.0, 1200.0])
def test_usual_weights_lean_on_those_that_know(known_days: float, foretold: bool) -> None:
    """What others know of a new load, a known one's own trees, and those that hear of weather where it is foretold."""
    usual = usual_weights(known_days, LocalClock(ZoneInfo("Asia/Shanghai"), 15), foretold)
    linear, its_trees, from_last, day_ahead, others = usual[:5]
    new = known_days == 21.0
    assert usual.sum(axis=0) == pytest.approx(1.0)
    assert usual[5:].max() == 0.0
    assert (linear[-1] > 0.9) == (new and foretold)
    assert (others[-1] > 0.4) == (new and not foretold)
    assert others[0] == 0.0
    assert (from_last[-1] > its_trees[-1]) == (not foretold)
    assert from_last[0] >= its_trees[0]
    assert from_last[0] >= day_ahead[0]
