"""PV: what the sun allows, what the plant can, what is seen now; weather forecasts only once they were issued."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from forecasting.clear_sky import plant_sky
from forecasting.day_types import DayTable, LocalClock
from forecasting.forecast import LEVELS, Array
from forecasting.kinds import FitContext
from forecasting.known import quantile_of_known
from forecasting.measured import Measured
from forecasting.published import Published
from forecasting.pv import Pv
from forecasting.site_forecaster import SiteForecaster
from forecasting.sun import Position, clear_irradiance

CLOCK = LocalClock(ZoneInfo("Asia/Shanghai"), 15)
JIASHAN = Position(30.84, 120.92)
MIDNIGHT = CLOCK.first_step(datetime(2026, 8, 25, 16, tzinfo=UTC))
CAPACITY_KW = 400.0
DAY = CLOCK.steps_per_day
DAYS = DayTable.over(lambda day: "workday", 20600, 20700)


def clearness(days: int, seed: int = 1) -> Array:
    """(steps,) a sky that stays for some hours and differs from day to day."""
    rng = np.random.default_rng(seed)
    by_day = np.repeat(rng.uniform(0.3, 1.0, days), DAY)
    wander = np.convolve(rng.normal(0, 0.1, days * DAY + 11), np.ones(12) / 3.5, "valid")
    return np.clip(by_day + wander[: days * DAY], 0.05, 1.0)


def plant(sky: Array, end: int = MIDNIGHT, most_kw: float = CAPACITY_KW) -> Measured:
    """A plant that looks east: strong mornings, 350 kW under the strongest sun."""
    first = end - len(sky)
    sun = clear_irradiance(JIASHAN, CLOCK, first, end)
    morning = 1.2 - 0.4 * ((sun.steps + 32) % DAY) / DAY
    return Measured(first, np.minimum(0.35 * sun.values * morning * sky, most_kw))


def context(end: int = MIDNIGHT, published: Published | None = None) -> FitContext:
    return FitContext(CLOCK, DAYS, end, end + 7 * DAY, published=published or Published())


def paths(past: Measured, length: int = 2 * DAY, position: Position | None = JIASHAN) -> tuple[dict[float, Array], str]:
    kind = Pv(CAPACITY_KW, position)
    outcome = kind.fit(past, context(past.end)).issue(Measured(past.end, np.empty(0)), past.end, past.end + length)
    return outcome.quantiles, outcome.method


@pytest.mark.parametrize("end", [MIDNIGHT, MIDNIGHT + 50])
def test_without_sun_every_level_is_exactly_zero(end: int) -> None:
    found, method = paths(plant(clearness(60), end), 5 * DAY)
    dark = clear_irradiance(JIASHAN, CLOCK, end, end + 5 * DAY).values == 0
    assert method == "clear-sky index"
    assert dark.sum() > 4 * DAY / 3
    assert all(np.all(path[dark] == 0.0) for path in found.values())
    assert all(np.all(path[~dark] >= 0.0) for path in found.values())
    assert found[0.5][~dark].mean() > 50


def test_a_clipping_inverter_bounds_the_forecast() -> None:
    found, _ = paths(plant(np.ones(60 * DAY), most_kw=200.0))
    assert max(path.max() for path in found.values()) == 200.0
    assert np.isclose(found[0.5], 200.0, rtol=0.01).sum() > 20


def test_the_plants_own_shape_is_learned() -> None:
    """Under a sky that is always clear the forecast is the plant itself, though it looks east and nobody said so."""
    whole = plant(np.ones(62 * DAY), MIDNIGHT + 2 * DAY)
    found, _ = paths(whole.between(whole.first, MIDNIGHT))
    assert found[0.5] == pytest.approx(whole.at(np.arange(MIDNIGHT, whole.end)), abs=0.03 * CAPACITY_KW)


def test_clouds_now_stay_and_fade() -> None:
    """On days of one sky each, a thick cover since the morning is expected to stay; tomorrow is hardly concerned."""
    end = MIDNIGHT + 48
    sky = np.append(clearness(60), np.full(48, 0.9))
    clear, cloudy = (
        paths(plant(now, end))[0][0.5] for now in (sky, np.where(np.arange(len(sky)) < len(sky) - 48, sky, 0.2))
    )
    today, tomorrow = slice(0, 20), slice(72, 140)
    assert cloudy[today].sum() < 0.45 * clear[today].sum()
    assert cloudy[tomorrow].sum() > 0.6 * clear[tomorrow].sum()


def test_an_outage_is_believed_until_night_and_named() -> None:
    end = MIDNIGHT + 48
    past = plant(np.append(clearness(60), np.ones(48)), end)
    off = replace(past, values=np.where(past.steps >= MIDNIGHT, 0.0, past.values))
    found, method = paths(off)
    assert method == "clear-sky index (no output in 3 h of light)"
    assert np.all(found[0.5][:40] == 0.0)
    assert found[0.5][40:].max() > 100


def test_days_under_snow_do_not_count_as_weather() -> None:
    past = plant(clearness(60))
    buried = (past.steps >= MIDNIGHT - 9 * DAY) & (past.steps < MIDNIGHT - 4 * DAY)
    snowed = replace(past, values=np.where(buried, 0.0, past.values))
    sky = plant_sky(snowed, clear_irradiance(JIASHAN, CLOCK, past.first - DAY, past.end), DAY, 350.0)
    assert 4 <= sky.dead.sum() <= 6
    assert paths(snowed)[0][0.5].sum() == pytest.approx(paths(past)[0][0.5].sum(), rel=0.25)


def test_without_a_place_the_light_is_read_from_the_record() -> None:
    found, _ = paths(plant(clearness(60)), position=None)
    dark = clear_irradiance(JIASHAN, CLOCK, MIDNIGHT - 4, MIDNIGHT + 2 * DAY + 4).values == 0
    deep = np.convolve(dark, np.ones(9), "valid") == 9
    assert all(np.all(path[deep] == 0.0) for path in found.values())
    assert found[0.5].max() > 100


@pytest.mark.parametrize("days", [1, 2, 5, 20])
def test_a_short_history_gives_a_whole_forecast(days: int) -> None:
    found, method = paths(plant(clearness(days)))
    assert method == "clear-sky index"
    ordered = np.stack([found[level] for level in LEVELS])
    assert np.all(np.isfinite(ordered))
    assert np.all(np.diff(ordered, axis=0) >= 0)
    assert ordered.max() <= CAPACITY_KW
    assert found[0.5].max() > 30


def test_without_measurements_it_is_zero_and_says_so() -> None:
    found, method = paths(Measured(MIDNIGHT, np.empty(0)))
    assert method == "zero (less than a day measured)"
    assert all(np.all(path == 0.0) for path in found.values())


def test_gaps_do_not_stop_it() -> None:
    past = plant(clearness(60))
    holed = replace(past, values=np.where(np.random.default_rng(2).random(len(past.values)) < 0.3, np.nan, past.values))
    assert paths(holed)[0][0.5] == pytest.approx(paths(past)[0][0.5], abs=0.12 * CAPACITY_KW)


FRAME_STEPS = CLOCK.index(np.arange(MIDNIGHT - 80 * DAY, MIDNIGHT + 2 * DAY, dtype=np.int64))


def foretold(truth: Array) -> pd.DataFrame:
    """Hourly irradiance for 36 h, issued every twelve hours; the sky of `truth` over `FRAME_STEPS`."""
    sun = clear_irradiance(JIASHAN, CLOCK, MIDNIGHT - 80 * DAY, MIDNIGHT + 2 * DAY).values
    hourly = pd.Series(sun * truth, FRAME_STEPS).resample("1h").mean()
    issues = pd.date_range(FRAME_STEPS[0], FRAME_STEPS[-1], freq="12h")
    parts = [hourly.loc[at : at + timedelta(hours=36)] for at in issues]
    rows = [
        pd.DataFrame({"issued_at": at, "time": p.index, "weather.ghi_w_per_m2": p.to_numpy()})
        for at, p in zip(issues, parts, strict=True)
    ]
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def weather_case() -> tuple[SiteForecaster, pd.DataFrame, pd.DataFrame, Array]:
    sky = clearness(82, seed=5)
    power = plant(sky, MIDNIGHT + 2 * DAY)
    frame = pd.DataFrame({"pv1.available_kw": power.values}, index=FRAME_STEPS)
    site = SiteForecaster({"pv1.available_kw": Pv(CAPACITY_KW, JIASHAN)}, lambda day: "workday", CLOCK.zone)
    return site, frame, foretold(sky), power.values[-2 * DAY :]


AT = CLOCK.start_of(MIDNIGHT) + timedelta(minutes=1)
END = AT + timedelta(days=7)


def issued(site: SiteForecaster, frame: pd.DataFrame, rows: pd.DataFrame | None) -> tuple[Array, str]:
    (found,) = (
        site.fit(frame, AT, END, published=rows).issue(frame, AT, AT + timedelta(hours=30), published=rows).values()
    )
    return found.median.to_numpy(), found.method


def test_a_weather_forecast_is_used_as_far_as_it_proved_right(
    weather_case: tuple[SiteForecaster, pd.DataFrame, pd.DataFrame, Array],
) -> None:
    site, frame, rows, truth = weather_case
    informed, method = issued(site, frame, rows)
    blind, _ = issued(site, frame, None)
    actual = truth[1 : 1 + len(informed)]
    assert method == "clear-sky index+weather forecast"
    assert np.abs(informed - actual).mean() < 0.4 * np.abs(blind - actual).mean()
    noise = np.random.default_rng(3).permutation(rows["weather.ghi_w_per_m2"])
    guessed, _ = issued(site, frame, rows.assign(**{"weather.ghi_w_per_m2": noise}))
    assert np.abs(guessed - actual).mean() < 1.2 * np.abs(blind - actual).mean()


def test_what_is_issued_later_is_never_seen(
    weather_case: tuple[SiteForecaster, pd.DataFrame, pd.DataFrame, Array],
) -> None:
    site, frame, rows, _ = weather_case
    poisoned, later = frame.copy(), rows["issued_at"] >= AT
    poisoned.loc[AT - timedelta(minutes=1) :] = 1e6
    assert later.sum() > 50
    corrupt = rows.assign(**{"weather.ghi_w_per_m2": rows["weather.ghi_w_per_m2"].where(~later, 1e6)})
    assert np.array_equal(issued(site, frame, rows)[0], issued(site, poisoned, corrupt)[0])


def test_the_last_forecast_before_a_moment_counts() -> None:
    at = pd.Timestamp("2026-08-25 00:00", tz="UTC")
    hours = [at + pd.Timedelta(hours=h) for h in (0, 1)]
    rows = pd.DataFrame(
        {"issued_at": [at, at, at + pd.Timedelta(minutes=30)], "time": [*hours, hours[1]], "a.b_c": [1.0, 2.0, 9.0]}
    )
    found = Published.of(rows, CLOCK, (at + pd.Timedelta(hours=5)).to_pydatetime()).of_series("a.b_c")
    step, seconds = CLOCK.first_step(at.to_pydatetime()), int(at.timestamp())
    for minute, expected in ((0, np.nan), (1, 2.0), (30, 2.0), (31, 9.0)):
        seen = found.at(np.array([step + 4, step + 7]), seconds + 60 * minute)  # all four quarters of the second hour
        np.testing.assert_array_equal(seen, [expected] * 2)
    assert np.isnan(found.at(np.array([step + 8]), seconds + 86400)).all()


def test_quantiles_of_what_is_known() -> None:
    rows = np.random.default_rng(4).random((50, 9))
    rows[rows < 0.2] = np.nan
    rows[0] = np.nan
    np.testing.assert_allclose(quantile_of_known(rows, 0.3)[1:], np.nanquantile(rows[1:], 0.3, axis=1))
    assert np.isnan(quantile_of_known(rows, 0.3)[0])
