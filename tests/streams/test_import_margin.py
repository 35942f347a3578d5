"""How far above its central forecasts a site's demand is planned, and what it may draw beyond that."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.forecast import LEVELS, Forecast
from optimizer.devices import Load
from site_configs.prices import grid_for
from site_configs.tariff import load_tariff
from streams.site_state import import_margin, outlook_of
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
    planned = {one.series: grid.average(one.median) for one in forecasts}
    margin = import_margin(site, {one.series: one for one in forecasts}, grid, planned)
    assert list(margin) == ["grid.import_margin_kw"]
    assert margin["grid.import_margin_kw"][: grid.near] == pytest.approx(np.full(grid.near, 50.0))  # 30 kW and 40 kW
    certain = forecast("load.demand_kw", (400.0,) * 5)
    assert import_margin(site, {certain.series: certain}, grid, planned)["grid.import_margin_kw"].max() == 0.0


def test_demand_is_planned_above_its_median_where_the_highest_draw_is_billed_and_no_battery_holds_it() -> None:
    site = light_park()
    forecasts = {
        "load.demand_kw": forecast("load.demand_kw", (300.0, 350.0, 400.0, 420.0, 430.0)),
        "pv1.available_kw": forecast("pv1.available_kw", (60.0, 80.0, 100.0, 300.0, 500.0)),
    }
    without = site.model_copy(update={"devices": tuple(one for one in site.devices if one.kind != "battery")})
    by_energy = without.model_copy(update={"tariff": site.tariff.model_copy(update={"demand_mode": "none"})})
    grid = grid_for(site, START)
    planned = {
        name: outlook_of(one, load_tariff(one), forecasts, grid).series
        for name, one in {"battery": site, "without": without, "by energy": by_energy}.items()
    }
    assert [series["load.demand_kw"][0] for series in planned.values()] == [400.0, 410.0, 400.0]
    assert all(series["pv1.available_kw"][0] == 100.0 for series in planned.values())
    margins = [series["grid.import_margin_kw"][0] for series in planned.values()]
    assert margins == pytest.approx([50.0, np.hypot(430.0 - 410.0, 100.0 - 60.0), 50.0], abs=1e-3)
