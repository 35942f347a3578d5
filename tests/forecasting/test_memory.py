"""How long errors stay alike, found from errors of which it is known."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.scenarios import correlated
from forecasting.spread import SHORTEST_MEMORY_HOURS, memory_hours

STEP_HOURS = 0.25
LEADS = 96


@pytest.mark.parametrize("hours", [1.0, 2.5, 8.0])
def test_it_is_found_whatever_the_errors_size_and_skew(hours: float) -> None:
    z = correlated(LEADS, STEP_HOURS, hours, 600, np.random.default_rng(3))
    growing = np.linspace(1.0, 40.0, LEADS)
    assert memory_hours(z, STEP_HOURS) == pytest.approx(hours, rel=0.12)
    assert memory_hours(np.exp(z) * growing, STEP_HOURS) == pytest.approx(memory_hours(z, STEP_HOURS), rel=1e-9)


def test_errors_that_know_nothing_of_one_another_have_none() -> None:
    noise = np.random.default_rng(4).standard_normal((400, LEADS))
    assert memory_hours(noise, STEP_HOURS) == SHORTEST_MEMORY_HOURS


def test_origins_with_gaps_are_left_out_and_too_few_say_nothing() -> None:
    z = correlated(LEADS, STEP_HOURS, 4.0, 60, np.random.default_rng(5))
    gappy = np.vstack([z, np.full((30, LEADS), np.nan)])
    assert memory_hours(gappy, STEP_HOURS) == memory_hours(z, STEP_HOURS)
    assert memory_hours(z[:10], STEP_HOURS) is None
    assert memory_hours(z[:, :1], STEP_HOURS) is None


def test_hours_as_steps() -> None:
    z = correlated(36, 1.0, 6.0, 600, np.random.default_rng(6))
    assert memory_hours(z, 1.0) == pytest.approx(6.0, rel=0.12)
