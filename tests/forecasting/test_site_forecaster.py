"""The whole site: promises kept whatever the measurements hold."""

from __future__ import annotations

import pickle
import warnings
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.forecast import LEVELS
from forecasting.site_forecaster import FittedSite, SiteForecaster
from tests.forecasting.park import HORIZON, ISSUED, SPECS, ZONE, day_type, made_up_park, past_sessions

UNTIL = ISSUED + timedelta(days=15)


def recent(park: pd.DataFrame, at: datetime = ISSUED) -> pd.DataFrame:
    return park.loc[at - timedelta(days=8) : at - timedelta(minutes=15)]


def test_every_series_is_whole_ordered_and_within_limits(fitted: FittedSite, park: pd.DataFrame) -> None:
    forecasts = fitted.issue(recent(park), ISSUED, UNTIL)
    assert list(forecasts) == list(SPECS)
    for name, forecast in forecasts.items():
        assert forecast.index[0] == ISSUED
        assert forecast.index[-1] == UNTIL - timedelta(minutes=15)
        stacked = np.stack([forecast.quantiles[level] for level in LEVELS])
        assert np.all(np.diff(stacked, axis=0) >= 0), name
        assert stacked.min() >= SPECS[name].lowest
        assert stacked.max() <= SPECS[name].highest
    assert forecasts["load.demand_kw"].method == "prophet+profile+linear+trees"


def test_forecast_is_near_the_made_up_truth(fitted: FittedSite, park: pd.DataFrame) -> None:
    median = fitted.issue(recent(park), ISSUED, ISSUED + timedelta(days=3))["load.demand_kw"].median
    error = (median - park["load.demand_kw"].loc[median.index]).abs()
    assert error.iloc[:4].mean() < 15
    assert error.iloc[:96].mean() < 30
    assert error.mean() < 45  # the level wanders by 40 kW: two days on nobody knows it


def test_holiday_ahead_is_forecast_as_a_day_off(fitted: FittedSite, park: pd.DataFrame) -> None:
    median = fitted.issue(recent(park), ISSUED, UNTIL)["load.demand_kw"].median
    noon = {day: median.loc[f"2026-09-0{day} 05:00+00:00"] for day in (3, 7)}  # Thursday, and the holiday Monday
    assert noon[3] > 500
    assert noon[7] < 400


def test_nothing_from_the_issue_time_on_is_used(forecaster: SiteForecaster, fitted: FittedSite) -> None:
    poisoned = made_up_park()
    poisoned.loc[ISSUED:] = 1e6
    poisoned_fit = forecaster.fit(poisoned, ISSUED, HORIZON, past_sessions())
    clean = fitted.issue(recent(made_up_park()), ISSUED, UNTIL)
    assert poisoned_fit.issue(poisoned, ISSUED, UNTIL) == clean
    assert poisoned_fit.issue(recent(made_up_park()), ISSUED, UNTIL) == clean


def test_two_fits_give_the_same_numbers(forecaster: SiteForecaster, fitted: FittedSite, park: pd.DataFrame) -> None:
    again = forecaster.fit(park, ISSUED, HORIZON, past_sessions())
    assert again.issue(recent(park), ISSUED, UNTIL) == fitted.issue(recent(park), ISSUED, UNTIL)


def test_a_running_interval_is_not_used(fitted: FittedSite, park: pd.DataFrame) -> None:
    at = ISSUED + timedelta(hours=9, minutes=7)
    clean = park.loc[: ISSUED + timedelta(hours=8, minutes=45)]
    poisoned = park.copy()
    poisoned.loc[ISSUED + timedelta(hours=9) :] = 1e6
    assert fitted.issue(poisoned, at, UNTIL) == fitted.issue(clean, at, UNTIL)


def test_fit_survives_pickling_with_its_provenance(fitted: FittedSite, park: pd.DataFrame) -> None:
    copy = pickle.loads(pickle.dumps(fitted))
    assert copy.issue(recent(park), ISSUED, UNTIL) == fitted.issue(recent(park), ISSUED, UNTIL)
    assert copy.provenance == fitted.provenance
    assert fitted.provenance.fitted_at == ISSUED
    assert fitted.provenance.data_first == ISSUED - timedelta(days=45)
    assert fitted.provenance.data_last == ISSUED - timedelta(minutes=15)
    assert set(fitted.provenance.libraries) == {"prophet", "cmdstanpy", "numpy", "pandas", "scikit-learn", "scipy"}
    assert not fitted.provenance.failures


def test_short_gaps_are_tolerated(fitted: FittedSite, park: pd.DataFrame) -> None:
    holed = recent(park).copy()
    whole = fitted.issue(holed, ISSUED, UNTIL)["load.demand_kw"]
    holed.iloc[-2:] = np.nan
    holed.iloc[-60:-57] = np.nan
    forecast = fitted.issue(holed, ISSUED, UNTIL)["load.demand_kw"]
    assert forecast.method == "prophet+profile+linear+trees"
    assert (forecast.median - whole.median).abs().max() < 30


def test_without_recent_measurements_the_method_says_so(fitted: FittedSite, park: pd.DataFrame) -> None:
    at = ISSUED + timedelta(hours=9)
    stale = recent(park, at).iloc[:-6]
    forecasts = fitted.issue(stale, at, UNTIL)
    assert forecasts["load.demand_kw"].method == "prophet+profile (no measurement in the last hour)"


def test_a_missing_column_does_not_stop_the_others(fitted: FittedSite, park: pd.DataFrame) -> None:
    forecasts = fitted.issue(recent(park).drop(columns="pv1.available_kw"), ISSUED, UNTIL)
    assert list(forecasts) == list(SPECS)
    assert forecasts["load.demand_kw"].method == "prophet+profile+linear+trees"


def test_night_is_zero(fitted: FittedSite, park: pd.DataFrame) -> None:
    at = ISSUED + timedelta(hours=14)
    pv = fitted.issue(recent(park, at), at, UNTIL)["pv1.available_kw"]
    hours = pv.index.tz_convert(ZONE).hour
    for level in LEVELS:
        assert np.all(pv.quantiles[level][(hours < 6) | (hours >= 18)] == 0.0)
    assert pv.median.max() > 100


def test_one_day_of_history_gives_a_named_yardstick(forecaster: SiteForecaster, park: pd.DataFrame) -> None:
    day = park.loc[ISSUED - timedelta(days=1) : ISSUED - timedelta(minutes=15)]
    site = forecaster.fit(day, ISSUED, HORIZON)
    forecasts = site.issue(day, ISSUED, UNTIL)
    load = forecasts["load.demand_kw"]
    assert load.method == "same slot yesterday (model failed: 1.0 days of history, 14 needed)"
    np.testing.assert_allclose(load.median[:96], day["load.demand_kw"], atol=0.001)
    assert site.provenance.failures["load.demand_kw"] == "1.0 days of history, 14 needed"
    assert forecasts["ev.arriving_kw"].median.max() == 0.0


def test_two_weeks_of_history_are_forecast_as_loads_usually_are(forecaster: SiteForecaster, park: pd.DataFrame) -> None:
    known = park.loc[ISSUED - timedelta(days=14) : ISSUED - timedelta(minutes=15)]
    site = forecaster.fit(known, ISSUED, HORIZON)
    missed: dict[str, list[np.ndarray]] = {"model": [], "yardstick": [], "inside": []}
    for hours in range(1, 49, 5):
        at = ISSUED + timedelta(hours=hours)
        found = site.issue(recent(park, at), at, UNTIL)["load.demand_kw"]
        assert found.method == "same-type-day mean+linear (14.0 days of history: as loads usually are)"
        came = park["load.demand_kw"].loc[found.index[0] :].to_numpy()[:96]
        day = {name: path[:96] for name, path in (("low", found.quantiles[0.1]), ("high", found.quantiles[0.9]))}
        assert found.rival
        missed["model"].append(np.abs(found.median[:96] - came))
        missed["yardstick"].append(np.abs(found.rival.median[:96] - came))
        missed["inside"].append((day["low"] <= came) & (came <= day["high"]))
    mean = {way: float(np.mean(errors)) for way, errors in missed.items()}
    assert mean["model"] < mean["yardstick"]
    assert mean["inside"] > 0.7


def test_no_history_at_all_still_gives_a_forecast(forecaster: SiteForecaster, park: pd.DataFrame) -> None:
    nothing = park.iloc[:0]
    forecasts = forecaster.fit(nothing, ISSUED, HORIZON).issue(nothing, ISSUED, UNTIL)
    assert forecasts["load.demand_kw"].method.startswith("zero, never measured (model failed: 0.0 days of history")


def test_failing_prophet_is_replaced_and_named(
    forecaster: SiteForecaster, park: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise RuntimeError("child killed by signal 9")

    monkeypatch.setattr("forecasting.members.prophet_path", killed)
    forecast = forecaster.fit(park, ISSUED, HORIZON).issue(recent(park), ISSUED, UNTIL)["load.demand_kw"]
    assert forecast.method == "same-type-day mean+linear+trees (prophet failed: RuntimeError: child killed by signal 9)"


def test_failing_trees_leave_the_others_working(
    forecaster: SiteForecaster, park: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("forecasting.members.fit_boosted", killed)
    forecast = forecaster.fit(park, ISSUED, HORIZON).issue(recent(park), ISSUED, UNTIL)["load.demand_kw"]
    assert forecast.method == "prophet+profile+linear (trees failed: MemoryError: no room)"


def test_a_model_gone_wrong_is_replaced_and_named(
    fitted: FittedSite, park: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = pickle.loads(pickle.dumps(fitted))
    broken.fitted["load.demand_kw"].members.near.weights[:] = np.nan
    forecast = broken.issue(recent(park), ISSUED, UNTIL)["load.demand_kw"]
    assert forecast.method == "same-type-day mean (model failed: values are not finite)"


def test_wrong_requests_are_refused(forecaster: SiteForecaster, fitted: FittedSite, park: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no interval lies between"):
        fitted.issue(recent(park), ISSUED, ISSUED)
    with pytest.raises(ValueError, match=r"the fit reaches to 2026-09-14 16:00:00\+00:00"):
        fitted.issue(recent(park), ISSUED, HORIZON + timedelta(minutes=15))
    with pytest.raises(ValueError, match=r"lacks the columns weather\.temperature_c"):
        forecaster.fit(park.drop(columns="weather.temperature_c"), ISSUED, HORIZON)
    with pytest.raises(ValueError, match="is not after issued_at"):
        forecaster.fit(park, ISSUED, ISSUED)
    with pytest.raises(ValueError, match="has no zone"):
        fitted.issue(recent(park), datetime(2026, 8, 26), UNTIL)  # noqa: DTZ001


def test_no_step_where_prophet_takes_over(fitted: FittedSite, park: pd.DataFrame) -> None:
    at = ISSUED + timedelta(hours=6)  # so that the hand-over lies in the next day's morning rise
    median = fitted.issue(recent(park, at), at, UNTIL)["load.demand_kw"].median.to_numpy()
    steps = np.abs(np.diff(median))
    assert steps[94:124].max() <= 1.25 * steps[:70].max()


def test_fitting_leaks_no_warning_and_prints_nothing(park: pd.DataFrame, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SiteForecaster({"load.demand_kw": SPECS["load.demand_kw"]}, day_type, ZONE).fit(park, ISSUED, HORIZON)
    assert not caught
    assert capfd.readouterr() == ("", "")
