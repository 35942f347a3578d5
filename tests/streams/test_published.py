"""Prices of tomorrow: out at the market's hour, known to the plan from then on, in the engine as in `quartet plan`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from forecasting.market import Market
from forecasting.pv import Pv
from forecasting.sun import Position
from optimizer.devices.pv import Pv as Plant
from site_configs.prices import EXPORT_PRICE, GRID_CARBON, IMPORT_PRICE
from site_configs.site import DayAhead, Site
from site_configs.tariff import load_tariff
from streams.ledger import Ledger
from streams.planning import prepare
from streams.site_forecasts import published_rows, series_kinds
from streams.site_runtime import SiteRuntime
from streams.site_state import SiteState
from tests.site_configs.test_custom_tariff import site_of

NOON = datetime(2022, 3, 26, 12, tzinfo=UTC)
"""13:00 at Amsterdam; at the night's end its clocks go forward."""


def trading_site(published_at: str = "13:00") -> Site:
    return site_of("amsterdam").model_copy(update={"day_ahead": DayAhead(published_at=published_at)})


def recorded(days_after: int = 2) -> pd.DataFrame:
    index = pd.date_range(NOON - timedelta(days=10), NOON + timedelta(days=days_after), freq="15min", inclusive="left")
    price = 0.2 + 0.1 * np.sin(np.arange(len(index)) / 7.3)
    return pd.DataFrame({"load.demand_kw": 150.0, IMPORT_PRICE: price, EXPORT_PRICE: price - 0.1}, index=index)


def test_a_days_prices_are_out_the_day_before_also_when_clocks_change() -> None:
    rows = published_rows(trading_site(), recorded(), None)
    assert rows is not None
    by_time = rows.set_index("time")["issued_at"]
    sunday = pd.Timestamp("2022-03-26 23:00", tz="UTC")
    assert by_time.loc[: sunday - timedelta(minutes=15)].max() == NOON - timedelta(days=1)
    assert set(by_time.loc[sunday : sunday + timedelta(hours=22, minutes=45)]) == {pd.Timestamp(NOON)}
    assert by_time.loc[sunday + timedelta(hours=23)] == NOON + timedelta(hours=23)  # 13:00 is 11:00 UTC now


@pytest.mark.parametrize(("published_at", "known_hours"), [("12:59", 34), ("13:00", 11)])
def test_the_plan_is_made_with_what_is_out(tmp_path: Path, published_at: str, known_hours: int) -> None:
    """At 13:00: before the clock strikes tomorrow's prices count, what is out at 13:00 sharp does not yet."""
    site, frame = trading_site(published_at), recorded()
    rows = published_rows(site, frame, None)
    with Ledger(tmp_path / "ledger.db") as ledger:
        runtime = SiteRuntime.restore(site, ledger, frame, (), rows)
        recent = runtime.recent(NOON).reindex(columns=list(series_kinds(site)))
        state = SiteState(site.id, NOON, {"battery1": {"energy_kwh": 200.0}}, {"month_max": 160.0})
        prepared = prepare(site, state, recent, None, published=runtime.announced(NOON))
    truth = frame[IMPORT_PRICE].loc[NOON:].to_numpy()
    forecast = prepared.forecasts[IMPORT_PRICE]
    steps = 4 * known_hours
    assert forecast.method == "announced, then recent days"
    assert forecast.median.to_numpy()[:steps] == pytest.approx(truth[:steps], abs=1e-3)
    assert np.abs(forecast.median.to_numpy()[steps : steps + 40] - truth[steps : steps + 40]).max() > 0.01
    adder = load_tariff(site) and prepared.situation.prices.import_per_kwh[:90] - forecast.median.to_numpy()[:90]
    assert adder == pytest.approx(adder[0])


def test_forecasts_as_issued_and_the_rule_stand_side_by_side() -> None:
    weather = pd.DataFrame(
        {"issued_at": [pd.Timestamp(NOON)], "time": [pd.Timestamp(NOON)], "weather.ghi_w_per_m2": [500.0]}
    )
    rows = published_rows(trading_site(), recorded(), weather)
    assert rows is not None
    assert rows["issued_at"].is_monotonic_increasing
    assert rows["weather.ghi_w_per_m2"].notna().sum() == 1
    assert published_rows(site_of("amsterdam"), recorded(), None) is None
    assert published_rows(site_of("amsterdam"), recorded(), weather) is not None


def test_a_site_has_a_place_for_its_sun_and_a_model_for_its_prices() -> None:
    site = trading_site()
    carbon = site.carbon.model_copy(update={"from_data": True})
    roof = Plant(id="pv1", capacity_kw=100)
    kinds = series_kinds(site.model_copy(update={"carbon": carbon, "devices": (*site.devices, roof)}))
    assert kinds["pv1.available_kw"] == Pv(100.0, Position(site.latitude, site.longitude))
    assert kinds[IMPORT_PRICE] == Market(IMPORT_PRICE)
    assert kinds[GRID_CARBON] == Market(GRID_CARBON, lowest=0.0)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match='is no time of day: write it as "13:00"'):
        DayAhead(published_at="noon")
