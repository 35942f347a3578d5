"""What the near model expects of a load it has not seen, and how a load's own days speak against it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from forecasting.day_types import LocalClock
from forecasting.load_prior import shipped_prior
from forecasting.near_model import near_leads, near_view, robust_ridge
from forecasting.near_prior import NearPrior
from tests.forecasting.test_members import CLOCK, DAYS, ORIGIN, hourly_load

HALVES = NearPrior("halves", np.array([1.0, 4.0, 16.0]), np.array([0.8, 0.4, 0.2])[:, None, None] * np.ones((3, 2, 3)))


def test_weights_between_two_leads_run_straight_over_the_logarithm() -> None:
    hourly, quarterly = (LocalClock(ZoneInfo("UTC"), minutes) for minutes in (60, 15))
    found = HALVES.at(20, hourly, 3)
    assert found.shape == (20, 6)
    assert found[:, 0].tolist() == pytest.approx([0.8, 0.6, *found[2:15, 0], 0.2, 0.2, 0.2, 0.2, 0.2])
    assert HALVES.at(8, quarterly, 3)[[0, 3, 7], 5] == pytest.approx([0.8, 0.8, 0.6])
    wider = HALVES.at(20, hourly, 5).reshape(20, 2, 5)
    assert wider[:, :, :3].reshape(20, 6).tolist() == found.tolist()
    assert not wider[:, :, 3:].any()


def test_what_is_written_is_read() -> None:
    again = NearPrior.read(HALVES.written(note="made by hand"))
    assert (again.name, again.hours.tolist(), again.weights.tolist()) == (
        HALVES.name,
        HALVES.hours.tolist(),
        HALVES.weights.tolist(),
    )


def test_the_shipped_one_fits_the_model_and_fades_with_the_lead() -> None:
    prior, view = shipped_prior().weights, near_view(hourly_load(), np.array([ORIGIN]), CLOCK, DAYS)
    assert prior.weights.shape[1:] == (view.basis.shape[2], view.features.shape[2])
    expected = prior.at(len(near_leads(CLOCK)), CLOCK, view.features.shape[2])
    stays = expected[:, :6].sum(axis=1)  # of an anomaly that has stood for a week
    assert stays[0] == pytest.approx(1.0, abs=0.1)
    assert stays[0] > stays[5] > stays[23] > 0.2
    assert np.abs(expected).max() < 1.5


def test_a_loads_own_days_speak_against_it() -> None:
    rng = np.random.default_rng(1)
    truth, expected = np.array([0.2, -0.3]), np.array([0.8, 0.5])
    x = rng.normal(size=(4000, 2))
    y = x @ truth + rng.normal(0, 0.1, 4000)
    y[::50] += 5.0  # odd days
    fitted = {n: robust_ridge(x[:n], y[:n], expected, expected, 200.0, 4) for n in (2, 200, 4000)}
    assert fitted[2] == pytest.approx(expected, abs=0.05)
    assert ((truth + 0.1 < fitted[200]) & (fitted[200] < expected - 0.1)).all()
    assert fitted[4000] == pytest.approx(truth, abs=0.15)
