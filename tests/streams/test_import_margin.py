"""What a site may draw beyond its central forecasts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.forecast import LEVELS, Forecast
from optimizer.devices import Load
from site_configs.prices import grid_for
from streams.site_state import import_margin
from tests.streams.story import START, light_park


def forecast(name: str, by_level: tuple[float, ...]) -> Forecast:
    """The same at all times, by level."""
    index = pd.date_range(START, grid_for(light_park(), START).end, freq="15min", inclusive="left")
    paths = {level: np.full(len(index), kw) for level, kw in zip(LEVELS, by_level, strict=True)}
    return Forecast(name, START, "test", 15, index, paths)


def test_outer_levels_of_power_loads_and_pv_add_up_as_independent_ones() -> None:
    site = light_park()
    heat = Load(id="heat_load", carrier="heat")
    site = site.model_copy(update={"devices": (*site.devices, heat)})
    forecasts = [
        forecast("load.demand_kw", (300.0, 350.0, 400.0, 420.0, 430.0)),
        forecast("pv1.available_kw", (60.0, 80.0, 100.0, 300.0, 500.0)),
        forecast("heat_load.demand_kw", (0.0, 0.0, 0.0, 900.0, 900.0)),
        forecast("weather.temperature_c", (0.0, 5.0, 10.0, 15.0, 20.0)),
    ]
    grid = grid_for(site, START)
    margin = import_margin(site, {one.series: one for one in forecasts}, grid)
    assert list(margin) == ["grid.import_margin_kw"]
    assert margin["grid.import_margin_kw"][: grid.near] == pytest.approx(np.full(grid.near, 50.0))  # 30 kW and 40 kW
    certain = forecast("load.demand_kw", (400.0,) * 5)
    assert import_margin(site, {certain.series: certain}, grid)["grid.import_margin_kw"].max() == 0.0
