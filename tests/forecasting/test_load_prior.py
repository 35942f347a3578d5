"""What comes with the package of other loads: read as it was written, and of the rows that it is asked with."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from forecasting.boosted import plain_forest
from forecasting.day_ahead import looks_back, units_of
from forecasting.day_types import LocalClock
from forecasting.load_prior import forest_read, forest_written, shipped_prior
from forecasting.measured import Measured
from forecasting.near_model import near_view
from tests.forecasting.test_members import CLOCK, DAYS, ORIGIN, hourly_load


def test_a_forest_is_read_as_it_was_written() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(2000, 5))
    learner = HistGradientBoostingRegressor(max_iter=40, max_depth=5, early_stopping=False).fit(rows, rows[:, 0] ** 2)
    forest = plain_forest(learner)
    again = forest_read(forest_written(forest))
    for name in ("roots", "feature", "left", "right"):
        assert (getattr(again, name) == getattr(forest, name)).all()
        assert getattr(again, name).dtype == getattr(forest, name).dtype
    assert (again.depth, again.base) == (forest.depth, forest.base)
    others = rng.normal(size=(2000, 5))  # a threshold may be a value that the forest has seen
    np.testing.assert_allclose(again.predict(others), forest.predict(others), atol=1e-5)


def test_the_shipped_trees_look_at_the_rows_of_the_day_ahead_but_not_at_the_time_of_the_year() -> None:
    trees = shipped_prior().trees
    inner = trees.feature[np.isfinite(trees.threshold)]
    year = len(units_of(1.0)) - 1
    assert 0 == inner.min() < inner.max() < year
    load = hourly_load()
    view = near_view(load, np.array([ORIGIN]), CLOCK, DAYS)
    rows = looks_back(load, view, (np.zeros(30, dtype=np.int64), np.arange(30)), CLOCK, DAYS)
    assert rows.shape == (30, year + 1)


def test_times_are_told_in_hours_whatever_the_step() -> None:
    quarterly, load = LocalClock(ZoneInfo("Asia/Shanghai"), 15), hourly_load()
    fine = Measured(4 * load.first, np.repeat(load.values, 4))
    at = np.zeros(1, dtype=np.int64)
    hourly_row, fine_row = (
        looks_back(past, near_view(past, np.array([origin]), clock, DAYS), (at, np.array([lead])), clock, DAYS)[0]
        for past, origin, clock, lead in ((load, ORIGIN, CLOCK, 7), (fine, 4 * ORIGIN, quarterly, 31))
    )
    calendar = slice(len(units_of(1.0)) - 21, None)
    differ = np.abs(fine_row - hourly_row)[calendar]
    assert 0 < differ.max() <= 0.75  # the last quarter of the hour
