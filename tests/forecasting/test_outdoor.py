"""Weather forecasts and demand: what is made of them, and that nobody sees one before it was issued."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.day_types import Ints
from forecasting.demand import Demand, FittedDemand
from forecasting.forecast import Array
from forecasting.kinds import FitContext
from forecasting.measured import Measured
from forecasting.outdoor import COOLING_ABOVE_C, FEWEST_DAYS, HEATING_BELOW_C, Outdoor
from forecasting.published import ISSUED, TIME, Published
from forecasting.weather import TEMPERATURE
from forecasting.weather_response import fit_response
from tests.forecasting.test_members import CLOCK, DAYS, END, ORIGIN

DAY = 24
FIRST = ORIGIN - 45 * DAY
AHEAD = 3 * DAY
"""Steps that one forecast reaches."""


def rows(temperature: Array, first: int, every: int = 12) -> pd.DataFrame:
    """Right forecasts of hourly temperatures from step `first` on, issued an hour before they begin."""
    issues = []
    for start in range(first, first + len(temperature) - AHEAD, every):
        steps = np.arange(start, start + AHEAD, dtype=np.int64)
        told = {ISSUED: CLOCK.start_of(start - 1), TIME: CLOCK.index(steps), TEMPERATURE: temperature[steps - first]}
        issues.append(pd.DataFrame(told))
    return pd.concat(issues, ignore_index=True)


def published(told: pd.DataFrame, before: int) -> Published:
    return Published.of(told, CLOCK, CLOCK.start_of(before))


def outdoor(temperature: Array, before: int = ORIGIN) -> Outdoor:
    return Outdoor.of(published(rows(temperature, FIRST), before), CLOCK, FIRST, before)


def one_cold_day(warm: float = 10.0, cold: float = 4.0) -> Array:
    """As warm as ever up to a day from ORIGIN on."""
    hours = np.arange(FIRST, ORIGIN + 20 * DAY)
    return np.where((hours >= ORIGIN) & (hours < ORIGIN + DAY), cold, warm)


def seen(told: Outdoor, leads: Ints | None = None) -> Array:
    ahead = np.arange(30, dtype=np.int64) if leads is None else leads
    return told.degrees(np.array([ORIGIN], dtype=np.int64), ahead, DAYS)[0]


def test_weather_as_on_the_days_before_says_nothing() -> None:
    assert not seen(outdoor(one_cold_day(10.0, 10.0))).any()


def test_a_cold_day_ahead_is_so_many_degrees_more_to_be_heated() -> None:
    heat, cool, heat_of_the_day, cool_of_the_day = seen(outdoor(one_cold_day())).T
    assert heat.tolist() == [6.0] * DAY + [0.0] * 6
    assert heat_of_the_day == pytest.approx([6.0 * min(h + 1, 47 - h) / DAY for h in range(30)])
    assert not cool.any()
    assert not cool_of_the_day.any()


def test_only_what_lies_beyond_the_balance_point_counts() -> None:
    for warm, cold, heated in (
        (HEATING_BELOW_C + 2, HEATING_BELOW_C - 1, 1.0),
        (HEATING_BELOW_C, COOLING_ABOVE_C, 0.0),
    ):
        heat, cool, *_ = seen(outdoor(one_cold_day(warm, cold))).T
        assert heat[:DAY].tolist() == [heated] * DAY
        assert not cool.any()
    _, cool, *_ = seen(outdoor(one_cold_day(17.0, COOLING_ABOVE_C + 5))).T
    assert cool[:DAY].tolist() == [5.0] * DAY


def test_what_is_not_foretold_or_cannot_be_of_air_counts_as_nothing() -> None:
    told = rows(one_cold_day(), FIRST)
    none = Outdoor.of(Published(), CLOCK, FIRST, ORIGIN)
    assert none.known_days(ORIGIN) == 0.0
    assert not seen(none).any()
    absurd = told.assign(**{TEMPERATURE: np.where(told[TIME] >= CLOCK.start_of(ORIGIN), 999.0, told[TEMPERATURE])})
    assert not seen(Outdoor.of(published(absurd, ORIGIN), CLOCK, FIRST, ORIGIN)).any()
    assert np.isfinite(seen(outdoor(one_cold_day()), np.arange(10 * DAY))).all()


def test_of_an_origin_only_what_was_issued_before_it_is_seen() -> None:
    temperature = one_cold_day()
    told = rows(temperature, FIRST)
    late = told[ISSUED] >= CLOCK.start_of(ORIGIN - 7)
    poisoned = told.assign(**{TEMPERATURE: np.where(late, -40.0, told[TEMPERATURE])})
    origins = np.arange(ORIGIN - 20, ORIGIN - 6, dtype=np.int64)
    clean, dirty = (
        Outdoor.of(published(some, ORIGIN), CLOCK, FIRST, ORIGIN).degrees(origins, np.arange(30), DAYS)
        for some in (told, poisoned)
    )
    np.testing.assert_array_equal(dirty, clean)


def test_many_origins_at_once_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(2)
    told = outdoor(12 + 6 * rng.standard_normal(65 * DAY))
    origins = np.array([ORIGIN - 50, ORIGIN - 11, ORIGIN], dtype=np.int64)
    together = told.degrees(origins, np.arange(30), DAYS)
    for place, origin in enumerate(origins):
        np.testing.assert_allclose(together[place], told.degrees(origin[None], np.arange(30), DAYS)[0], atol=1e-12)


def test_what_is_told_later_continues_what_was_told() -> None:
    told, later = rows(one_cold_day(), FIRST), ORIGIN + 10
    kept = outdoor(one_cold_day(), ORIGIN - 20).kept(30)
    assert kept.past.first == ORIGIN - 20 - 30 * DAY
    last_days = told[told[ISSUED] >= CLOCK.start_of(ORIGIN - 5 * DAY)]
    again = kept.told(published(last_days, later))
    whole = Outdoor.of(published(told, later), CLOCK, FIRST, later)
    origins = np.array([later], dtype=np.int64)
    np.testing.assert_allclose(*(some.degrees(origins, np.arange(30), DAYS) for some in (again, whole)), atol=1e-12)


RNG = np.random.default_rng(5)
COURSE = 9 + 5 * np.repeat(RNG.standard_normal(65), DAY) + 3 * np.sin(np.arange(65 * DAY) * 2 * np.pi / DAY)
"""Warm and cold days in no order: no forecast without a weather forecast can know the next."""
TOLD = rows(COURSE, FIRST)
NOISE = RNG.normal(0, 5, len(COURSE))
HEATING = Measured(FIRST, 100 + 20 * np.maximum(0, HEATING_BELOW_C - COURSE) + NOISE)


def fitted(load: Measured, told: pd.DataFrame | None) -> FittedDemand:
    """Without Prophet's own fit, which is tested with the site."""
    known = Published.of(told, CLOCK, CLOCK.start_of(ORIGIN))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "forecasting.members.prophet_path", lambda past, first, end, clock, days: np.full(end - first, 9.0)
        )
        return Demand().fit(load.between(FIRST, ORIGIN), FitContext(CLOCK, DAYS, ORIGIN, END, published=known))


@pytest.fixture(scope="module")
def knows() -> FittedDemand:
    return fitted(HEATING, TOLD)


def issued(model: FittedDemand, told: pd.DataFrame | None, origin: int) -> tuple[Array, str]:
    known = Published.of(told, CLOCK, CLOCK.start_of(origin))
    outcome = model.told(known).issue(HEATING.between(ORIGIN - 8 * DAY, origin), origin, origin + 5 * DAY)
    return outcome.quantiles[0.5], outcome.method


def test_heating_follows_the_weather_that_is_foretold(knows: FittedDemand) -> None:
    knows_not = fitted(HEATING, None)
    missed: dict[str, list[float]] = {"knows": [], "knows not": []}
    for origin in range(ORIGIN, ORIGIN + 4 * DAY, 7):
        for name, model in (("knows", knows), ("knows not", knows_not)):
            median, _ = issued(model, TOLD, origin)
            actual = HEATING.at(np.arange(origin, origin + AHEAD - DAY))
            missed[name].append(float(np.abs(median[: len(actual)] - actual).mean()))
    assert np.mean(missed["knows"]) < 0.5 * np.mean(missed["knows not"])


def test_the_method_says_whether_a_weather_forecast_was_heard(knows: FittedDemand) -> None:
    assert issued(knows, TOLD, ORIGIN)[1] == "prophet+profile+linear+trees+weather forecast"
    silent, method = issued(knows, None, ORIGIN)
    assert method == "prophet+profile+linear+trees"
    assert np.isfinite(silent).all()


def test_weather_forecasts_of_a_few_days_teach_nothing() -> None:
    few = TOLD[TOLD[ISSUED] >= CLOCK.start_of(ORIGIN - int(FEWEST_DAYS) * DAY)]
    assert fitted(HEATING, few).outdoor is None


def test_a_poisoned_weather_forecast_is_heard_once_it_is_issued(knows: FittedDemand) -> None:
    """What is issued later is hidden from it above, and with all the rest in `test_backtest`."""
    late = TOLD[ISSUED] >= CLOCK.start_of(ORIGIN)
    poisoned = TOLD.assign(**{TEMPERATURE: np.where(late, -50.0, TOLD[TEMPERATURE])})
    before, before_poisoned = (issued(knows, told, ORIGIN)[0] for told in (TOLD, poisoned))
    np.testing.assert_array_equal(before_poisoned, before)
    after, after_poisoned = (issued(knows, told, ORIGIN + 13)[0] for told in (TOLD, poisoned))
    assert after_poisoned.max() > after.max() + 200.0


def test_a_load_that_does_not_feel_the_weather_is_not_moved() -> None:
    told = Outdoor.of(published(TOLD, ORIGIN), CLOCK, FIRST, ORIGIN)
    response = fit_response(Measured(FIRST, 100 + NOISE).between(FIRST, ORIGIN), told, CLOCK, DAYS)
    felt = fit_response(HEATING.between(FIRST, ORIGIN), told, CLOCK, DAYS)
    origins, leads = np.array([ORIGIN], dtype=np.int64), np.arange(2 * DAY)
    assert np.abs(response.ahead(told, origins, leads, CLOCK, DAYS)).max() < 5.0
    assert np.abs(felt.ahead(told, origins, leads, CLOCK, DAYS)).max() > 20.0
