"""Every kind of dirt in a recorded load is named with its count and place, and the forecast is as on clean data."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from forecasting.cleaning import Cleaned, Cleaner, Nature, of_stamps
from forecasting.closures import suggested_closures
from forecasting.day_types import DayTable, LocalClock
from forecasting.demand import Demand
from forecasting.findings import Finding
from forecasting.measured import Measured, measured
from forecasting.site_forecaster import FittedSite, SiteForecaster
from forecasting.yardsticks import same_type_mean
from tests.forecasting.dirt import DAY, LOAD_DIRT, Dirt
from tests.forecasting.park import ZONE

LOAD, COLD = "load.demand_kw", "cold_load.demand_kw"
AT = datetime(2026, 9, 28, 16, tzinfo=UTC)
CLOCK = LocalClock(ZONE, 15)
END = CLOCK.first_step(AT)


def weekdays(local_date: date) -> str:
    return "rest_day" if local_date.weekday() >= 5 else "workday"


DAYS = DayTable.over(weekdays, CLOCK.first_step(AT) // DAY - 200, CLOCK.first_step(AT) // DAY + 40)


def cleaner(nature: Nature = "demand", highest: float = np.inf, lowest: float = 0.0, name: str = LOAD) -> Cleaner:
    return Cleaner(name, nature, (lowest, highest), CLOCK, DAYS)


def cleaned(series: pd.Series, nature: Nature = "demand", highest: float = np.inf, lowest: float = 0.0) -> Cleaned:
    return cleaner(nature, highest, lowest, str(series.name)).history(measured(series, CLOCK, END))


def kinds(found: tuple[Finding, ...]) -> set[str]:
    return {finding.kind for finding in found}


CLEAN: list[tuple[str, Nature, float, float]] = [
    (LOAD, "demand", 0.0, np.inf),
    (COLD, "demand", 0.0, np.inf),
    ("pv1.available_kw", "pv", 0.0, 500.0),
    ("weather.temperature_c", "temperature", -60.0, 60.0),
]


@pytest.mark.parametrize(("name", "nature", "lowest", "highest"), CLEAN)
def test_nothing_is_marked_in_what_is_clean(
    sample: pd.DataFrame, name: str, nature: Nature, lowest: float, highest: float
) -> None:
    assert cleaned(sample[name], nature, highest, lowest).findings == ()


def test_what_the_sample_itself_was_filled_with_is_found(sample: pd.DataFrame) -> None:
    """SOURCES.md: 2026-10-10 11:30 to 24:00 local time comes from the same weekday one week before."""
    past = measured(sample[COLD], CLOCK, CLOCK.first_step(AT + timedelta(days=20)))
    (copied,) = cleaner(name=COLD).history(past).findings
    assert (copied.kind, copied.count) == ("copied", 51)
    assert copied.first_time == datetime(2026, 10, 10, 3, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", LOAD_DIRT)
def test_each_kind_of_dirt_is_named_with_count_and_place(sample: pd.DataFrame, name: str) -> None:
    dirt = LOAD_DIRT[name]
    spoilt = dirt.put_into(sample[LOAD])
    site = SiteForecaster({LOAD: Demand()}, weekdays, ZONE)
    findings = _findings_of_a_fit(site, spoilt)
    (found,) = [finding for finding in findings if finding.kind == dirt.kind]
    fewer, more = dirt.found
    assert dirt.count - fewer <= found.count <= dirt.count + more
    late = timedelta(minutes=15) if dirt.kind == "frozen" else timedelta(days=1) if more or fewer else timedelta(0)
    assert abs(found.first_time - pd.Timestamp(dirt.first)) <= late
    assert kinds(findings) - {dirt.kind} <= ({"gap"} if dirt.kind == "not_finite" else set())


def _findings_of_a_fit(site: SiteForecaster, series: pd.Series) -> tuple[Finding, ...]:
    stamps = of_stamps(series.to_frame(), LOAD, CLOCK, None, END)
    return (*stamps, *cleaned(series).findings)


@pytest.mark.parametrize("name", LOAD_DIRT)
def test_a_forecast_from_cleaned_data_is_as_good_as_from_clean_data(sample: pd.DataFrame, name: str) -> None:
    """The yardstick's: it takes what it gets; the models' robust fits could hide what the cleaning misses."""
    spoilt = LOAD_DIRT[name].put_into(sample[LOAD])
    clean, dirty = measured(sample[LOAD], CLOCK, END), measured(spoilt, CLOCK, END)
    origins = np.arange(END - 14 * DAY, END - DAY, 13, dtype=np.int64)
    leads = np.arange(DAY, dtype=np.int64)
    truth = measured(sample[LOAD], CLOCK, END).at(origins[:, None] + leads)

    def error(past: Measured) -> float:
        return float(np.nanmean(np.abs(same_type_mean(past, origins, leads, CLOCK, DAYS) - truth)))

    after = cleaner().history(dirty).past
    assert np.nanmin(after.values) >= 0
    assert error(after) <= 1.1 * error(clean)
    assert error(after) <= 1.02 * error(dirty)


def test_a_new_level_is_kept_marked_and_learnt_from(sample: pd.DataFrame) -> None:
    cut = int(sample.index.get_indexer([pd.Timestamp("2026-08-15T16:00Z")])[0])
    series = sample[LOAD].copy()
    series.iloc[:cut] *= 0.5
    past = measured(series, CLOCK, CLOCK.first_step(AT + timedelta(days=20)))
    found = cleaner().history(past)
    (level,) = found.findings
    assert (level.kind, level.first_time) == ("level", datetime(2026, 8, 15, 16, tzinfo=UTC))
    assert "learnt from there on" in level.note
    assert found.past.first == CLOCK.first_step(level.first_time)
    early = cleaner().history(measured(series, CLOCK, CLOCK.first_step(level.first_time + timedelta(days=30))))
    assert early.past.first == past.first
    assert "learnt" not in early.findings[0].note


def test_a_load_that_is_often_zero_has_no_dropouts(sample: pd.DataFrame) -> None:
    local = sample.index.tz_convert(ZONE)
    night = (local.hour < 7) | (local.day_of_week >= 5)
    assert cleaned(sample[LOAD].mask(night, 0.0).rename("load.demand_kw")).findings == ()


def test_a_load_made_of_standard_days_is_not_taken_for_copies(sample: pd.DataFrame) -> None:
    week = sample[LOAD].iloc[: 7 * DAY].to_numpy()
    repeated = pd.Series(np.resize(week, len(sample)), index=sample.index, name=LOAD)
    assert "copied" not in kinds(cleaned(repeated).findings)


PV, AIR = "pv1.available_kw", "weather.temperature_c"
OTHERS: list[tuple[str, Nature, float, float, Dirt]] = [
    (PV, "pv", 0.0, 500.0, Dirt("limit", "2026-09-20T04:00Z", 4, lambda clean, at: np.full(4, 800.0))),
    (PV, "pv", 0.0, 500.0, Dirt("frozen", "2026-09-20T01:00Z", 27, lambda clean, at: np.full(28, 123.4))),
    (PV, "pv", 0.0, 500.0, Dirt("sign_flip", "2026-09-20T01:00Z", 20, lambda clean, at: -clean[at : at + 20])),
    (AIR, "temperature", -60.0, 60.0, Dirt("limit", "2026-09-20T01:00Z", 5, lambda clean, at: np.full(5, -99.0))),
    (AIR, "temperature", -60.0, 60.0, Dirt("frozen", "2026-09-20T01:00Z", 79, lambda clean, at: np.full(80, 20.0))),
    (AIR, "temperature", -60.0, 60.0, Dirt("spike", "2026-09-20T01:00Z", 1, lambda clean, at: clean[at : at + 1] + 25)),
]


@pytest.mark.parametrize(("name", "nature", "lowest", "highest", "dirt"), OTHERS)
def test_dirt_in_pv_and_air(
    sample: pd.DataFrame, name: str, nature: Nature, lowest: float, highest: float, dirt: Dirt
) -> None:
    (found,) = cleaned(dirt.put_into(sample[name]), nature, highest, lowest).findings
    assert (found.kind, found.count) == (dirt.kind, dirt.count)


def test_a_price_may_be_negative_and_leap() -> None:
    index = pd.date_range(AT - timedelta(days=30), AT, freq="15min", inclusive="left")
    price = pd.Series(np.where(np.arange(len(index)) % 500 == 0, 9.0, -0.1), index=index, name="market.x")
    assert cleaned(price, "price", np.inf, -np.inf).findings == ()


def test_a_repeated_time_is_named(sample: pd.DataFrame) -> None:
    twice = pd.concat([sample[[LOAD]], sample[[LOAD]].iloc[5000:5004]]).sort_index()
    (found,) = of_stamps(twice, LOAD, CLOCK, None, END)
    assert (found.kind, found.count) == ("repeated_time", 4)
    assert found.first_time == sample.index[5000]


def test_a_finding_survives_its_document() -> None:
    finding = Finding(LOAD, "scale", 150, AT, "1000 times")
    assert Finding.from_document(finding.as_document()) == finding
    with pytest.raises(ValueError, match="unknown kind 'odd'"):
        Finding.from_document({**finding.as_document(), "kind": "odd"})


@pytest.fixture(scope="module")
def site(sample: pd.DataFrame) -> FittedSite:
    return SiteForecaster({LOAD: Demand()}, weekdays, ZONE).fit(sample[[LOAD]], AT, AT + timedelta(days=10))


AFTER_THE_FIT = {
    "gap": (12, np.nan),
    "not_finite": (12, np.inf),
    "dropout": (12, 0.0),
    "limit": (12, 9000.0),
    "negative": (12, -80.0),
    "frozen": (24, 512.0),
    "spike": (1, 3000.0),
    "dip": (1, 60.0),
}


@pytest.mark.parametrize("kind", AFTER_THE_FIT)
@pytest.mark.parametrize("back", [0, 10])
def test_dirt_that_comes_after_the_fit_is_named_in_the_forecast(
    sample: pd.DataFrame, site: FittedSite, kind: str, back: int
) -> None:
    """At the end of what is known, where only the past can say that it is dirt, and further back."""
    count, value = AFTER_THE_FIT[kind]
    at = AT + timedelta(hours=12)
    recent = sample.loc[at - timedelta(days=10) : at - timedelta(minutes=15), [LOAD]].copy()
    until = at + timedelta(days=1)
    clean = site.issue(recent, at, until)[LOAD]
    assert clean.findings == ()
    place = len(recent) - count - back
    recent.iloc[place : place + count] = np.nan
    without = site.issue(recent, at, until)[LOAD]
    recent.iloc[place : place + count] = value
    forecast = site.issue(recent, at, until)[LOAD]
    (found,) = [finding for finding in forecast.findings if finding.kind == kind]
    assert found.count == count - (kind == "frozen")
    assert found.first_time == recent.index[place + (kind == "frozen")]
    truth = sample[LOAD].loc[forecast.index]
    errors = [float((one.median - truth).abs().mean()) for one in (forecast, without)]
    assert errors[0] <= 1.05 * errors[1] + 0.5, "no worse than if nothing had been measured"
    assert forecast.median.between(0, 1500).all()
    assert type(forecast).from_document(forecast.to_document()) == forecast


def test_a_history_full_of_dirt_gives_a_forecast_like_the_clean_one(sample: pd.DataFrame, site: FittedSite) -> None:
    chosen = ("spike", "zeros for five days", "a quarter for three weeks", "W for kW")
    series = sample[LOAD]
    for name in chosen:
        series = LOAD_DIRT[name].put_into(series)
    dirty = SiteForecaster({LOAD: Demand()}, weekdays, ZONE).fit(series.to_frame(), AT, AT + timedelta(days=10))
    assert kinds(dirty.provenance.findings[LOAD]) >= {"spike", "dropout", "scale"}
    errors = []
    for one in (site, dirty):
        forecast = one.issue(sample[[LOAD]].loc[: AT - timedelta(minutes=15)], AT, AT + timedelta(days=3))[LOAD]
        errors.append(float((forecast.median - sample[LOAD].loc[forecast.index]).abs().mean()))
    assert errors[1] < 1.15 * errors[0]


NATURES = st.sampled_from(("demand", "pv", "temperature", "price"))
HOURLY = LocalClock(ZONE, 60)


@given(
    days=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    nature=NATURES,
    shape=st.sampled_from(("noise", "zeros", "constant", "integers", "huge", "negative", "steps")),
    missing=st.floats(0.0, 0.999),
)
@settings(max_examples=150, deadline=None)
def test_whatever_was_measured_is_checked_and_no_value_is_made_up(
    days: int, seed: int, nature: Nature, shape: str, missing: float
) -> None:
    values = _odd_values(shape, days * 24, seed)
    values[np.random.default_rng(seed + 1).random(len(values)) < missing] = np.nan
    past = Measured(HOURLY.first_step(AT) - len(values), values)
    one = Cleaner("x.y_kw", nature, (0.0, np.inf), HOURLY, DAYS)
    found = one.history(past)
    assert "unchecked" not in kinds(found.findings), found.findings
    assert found.past.end == past.end
    assert found.past.known <= past.known
    assert all(finding.count > 0 for finding in found.findings)
    later = one.recent(past, past.first + len(values) // 2, found.usual)
    assert "unchecked" not in kinds(later.findings), later.findings
    np.testing.assert_array_equal(later.past.values[: len(values) // 2], values[: len(values) // 2])
    suggested_closures(found.past, one)


def _odd_values(shape: str, length: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    hour = np.arange(length) % 24
    made: dict[str, NDArray[np.float64]] = {
        "noise": rng.normal(100, 30, length),
        "zeros": np.zeros(length),
        "constant": np.full(length, 42.0),
        "integers": rng.integers(0, 4, length).astype(float),
        "huge": 10.0 ** rng.uniform(-12, 12, length),
        "negative": -rng.random(length),
        "steps": np.where(hour < 8, 0.0, 50.0) * rng.choice([1.0, 4.0, 0.0], length, p=[0.9, 0.05, 0.05]),
    }
    return made[shape]


def test_a_check_that_breaks_costs_no_forecast(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a fault of the house")

    monkeypatch.setattr("forecasting.cleaning.usual_course", broken)
    found = cleaned(sample[LOAD])
    (finding,) = found.findings
    assert (finding.kind, finding.count) == ("unchecked", found.past.known)
    assert finding.note == "RuntimeError: a fault of the house"
