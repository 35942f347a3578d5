"""A site with a tariff of its own in the running engine: prices from the data, several demand lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer.plan import Plan
from site_configs.prices import EXPORT_PRICE, IMPORT_PRICE
from site_configs.tariff import load_tariff
from streams.control_cycle import control_cycle, planner_for
from streams.frozen import freeze_situation, thaw_situation
from streams.ledger import METER_IMPORT, Ledger
from streams.site_forecasts import series_kinds, yardstick_forecasts
from streams.site_runtime import SiteRuntime
from streams.site_state import SiteState, build_situation
from tests.site_configs.test_custom_tariff import LINES, site_of

AT = datetime(2022, 3, 26, 12, tzinfo=UTC)
"""Half a day before the clocks of Amsterdam go forward."""


def past(at: datetime, days: float, **columns: float) -> pd.DataFrame:
    index = pd.date_range(at - timedelta(days=days), at, freq="15min", inclusive="left", name="time")
    return pd.DataFrame({name.replace("__", "."): np.full(len(index), kw) for name, kw in columns.items()}, index=index)


def test_prices_of_the_data_are_forecast_and_carry_the_adders() -> None:
    site = site_of("amsterdam")
    assert series_kinds(site).keys() == {IMPORT_PRICE, EXPORT_PRICE, "load.demand_kw"}
    recent = past(AT, 10, load__demand_kw=150.0).assign(**{IMPORT_PRICE: 0.25, EXPORT_PRICE: -0.02})
    forecasts = yardstick_forecasts(site, recent, AT, "not fitted")
    state = SiteState(site.id, AT, {"battery1": {"energy_kwh": 200.0}}, {"month_max": 160.0})
    situation = build_situation(site, load_tariff(site), state, forecasts)
    in_time = situation.grid.hours > 0
    assert situation.prices.import_per_kwh[in_time] == pytest.approx(0.305)
    assert situation.prices.export_per_kwh[in_time] == pytest.approx(-0.02)
    plan = control_cycle(site, planner_for(site), situation, None).plan
    assert isinstance(plan, Plan)
    assert (plan.status, plan.grid_limit_kw) == ("optimal", pytest.approx(160.0))
    assert plan.flow("grid", "export_kw").max() == 0.0


def test_a_situation_with_several_lines_comes_back_to_the_last_bit() -> None:
    site = site_of("pge_a10", demand=LINES)
    recent = past(AT, 10, load__demand_kw=150.0)
    forecasts = yardstick_forecasts(site, recent, AT, "not fitted")
    state = SiteState(site.id, AT, {}, {"whole": 160.0, "evening": 120.0, "by_band": 0.0})
    situation = build_situation(site, load_tariff(site), state, forecasts)
    assert situation.state["grid"] == {"peak_kw.whole": 160.0, "peak_kw.evening": 120.0, "peak_kw.by_band": 0.0}
    again = thaw_situation(freeze_situation(situation))
    assert freeze_situation(again) == freeze_situation(situation)
    assert again.shape == situation.shape
    assert [line.block for line in again.prices.demand] == [line.block for line in situation.prices.demand]


def test_the_running_peaks_are_kept_by_line(tmp_path: Path) -> None:
    """On a Wednesday 300 kW until 15:00, 200 kW until 17:00, then 900 kW: at 17:30 the evening's second hour runs."""
    site = site_of("pge_a10", demand=LINES)
    at = datetime(2019, 8, 14, 17, 30, tzinfo=site.zone).astimezone(UTC)
    history = past(at, 17.5 / 24, meter__import_kw=300.0)
    history.loc[at - timedelta(hours=2.5) :, METER_IMPORT] = 200.0
    history.loc[at - timedelta(hours=0.5) :, METER_IMPORT] = 900.0
    with Ledger(tmp_path / "ledger.db") as ledger:
        runtime = SiteRuntime.restore(site, ledger, history)
        assert runtime.state_at(at).peaks_kw == {"whole": 900.0, "evening": 200.0, "by_band": 900.0}
        assert runtime.state_at(at).peak_kw == 900.0
        month = datetime(2019, 9, 1, tzinfo=site.zone).astimezone(UTC)
        assert set(runtime.state_at(month).peaks_kw.values()) == {0.0}
