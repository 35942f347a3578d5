"""The layered tank: energy is conserved in every step, and it gives less than a mixed one when it is nearly empty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.physics import layers

profiles = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12).map(np.array)
RATED = (100.0, 80.0, 80.0, 0.97, 0.97)


def stepped(fills, feed_kw, hours=0.25, loss=0.01, useful=0.5, mixing=0.02):
    after = np.empty_like(fills)
    answer = layers.step(fills, max(-feed_kw, 0.0), max(feed_kw, 0.0), hours, *RATED, loss, useful, mixing, after)
    return *answer, after


@given(profiles, st.floats(-120, 120), st.sampled_from([1 / 60, 0.25, 1.0]))
def test_what_goes_in_is_stored_or_lost(fills, feed_kw, hours):
    charge, discharge, energy, after = stepped(fills, feed_kw, hours)
    kept = 100.0 * fills.mean() * 0.99**hours
    assert energy - kept == pytest.approx((0.97 * charge - discharge / 0.97) * hours, abs=1e-9)
    assert energy == pytest.approx(100.0 * after.mean(), abs=1e-9)
    assert after.min() >= -1e-12
    assert after.max() <= 1.0 + 1e-12
    assert charge * discharge == 0.0


@given(profiles, st.floats(-120, 120))
def test_the_plan_can_never_take_more_out_than_a_mixed_tank(fills, feed_kw):
    charge, discharge, *_ = stepped(fills, feed_kw)
    kept = 100.0 * fills.mean() * 0.99**0.25
    assert discharge * 0.25 <= kept * 0.97 + 1e-9
    assert charge * 0.25 * 0.97 <= 100.0 - kept + 1e-9


def test_a_layered_tank_serves_at_full_power_and_then_hardly_at_all():
    """From full at 40 kW: full power while the border is far from the outlet, a blurred end, a rest of no use."""
    fills, given_kw = np.ones(20), []
    for _ in range(200):
        _, discharge, _, fills = stepped(fills, 40.0, 1 / 60, loss=0.0)
        given_kw.append(discharge)
    assert given_kw[:100] == pytest.approx([40.0] * 100)
    assert given_kw[-1] == pytest.approx(0.0, abs=1e-6)
    assert 0.01 < fills.mean() < 0.25


def test_a_full_tank_takes_nothing_and_an_empty_one_gives_nothing():
    assert stepped(np.ones(5), -50.0, loss=0.0)[0] == pytest.approx(0.0, abs=1e-12)
    assert stepped(np.zeros(5), 50.0)[1] == 0.0
