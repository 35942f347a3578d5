"""The chance that what a day adds to the peak is billed."""

from __future__ import annotations

import pytest

from optimizer.services.import_margin import ONE_OF_A_MONTH, RAISED_A_DAY, chance_of_being_billed
from tests.optimizer.services.small_site import situation, with_days_left


@pytest.mark.parametrize(("left", "days_to_come"), [(0.01, 0), (1.0, 0), (1.01, 1), (30.0, 29), (31.04, 31)])
def test_it_is_that_of_a_rise_which_no_later_day_makes_anyhow(left: float, days_to_come: int) -> None:
    found = chance_of_being_billed(with_days_left(situation(), left))
    assert found == pytest.approx(RAISED_A_DAY * (1 - RAISED_A_DAY) ** days_to_come)


def test_the_days_of_a_month_share_one_peak() -> None:
    """Chances sum to that of a month whose peak is raised at all; where nothing is known each day has its part."""
    chances = [chance_of_being_billed(with_days_left(situation(), float(days))) for days in range(1, 31)]
    assert sum(chances) == pytest.approx(1 - (1 - RAISED_A_DAY) ** 30)
    assert chance_of_being_billed(with_days_left(situation(), None)) == ONE_OF_A_MONTH
