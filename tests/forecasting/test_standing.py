"""The yardstick takes over from a model that does worse, and gives way again: by the record alone, without flicker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.day_types import LocalClock
from forecasting.forecast import Forecast
from forecasting.measured import Measured
from forecasting.site_forecaster import FittedSite, SiteForecaster
from forecasting.standing import FEWEST_ISSUES, Issued, Side, Standing, standing
from tests.forecasting.park import HORIZON, ISSUED, SPECS, ZONE, day_type

CLOCK = LocalClock(ZONE, 15)
LOAD = "load.demand_kw"
ORIGIN = CLOCK.first_step(ISSUED)
ACTUAL = Measured(ORIGIN - 20 * 96, 500 + 10 * np.sin(np.arange(20 * 96)))


def issued(model_off: float, yardstick_off: float, in_use: Side = "model", count: int = 40) -> list[Issued]:
    """Forecasts of the last six days, each off by a fixed amount."""
    found = []
    for number in range(count):
        at = ISSUED - timedelta(days=6) + number * timedelta(hours=3)
        actual = ACTUAL.at(CLOCK.first_step(at) + np.arange(96))
        found.append(Issued(at, at, in_use, actual + model_off, actual - yardstick_off))
    return found


@pytest.mark.parametrize(
    ("model_off", "yardstick_off", "before", "after"),
    [
        (10.0, 20.0, "model", "model"),
        (20.0, 19.0, "model", "model"),
        (20.0, 18.0, "model", "yardstick"),
        (20.0, 18.0, "yardstick", "yardstick"),
        (20.0, 20.5, "yardstick", "yardstick"),
        (20.0, 21.5, "yardstick", "model"),
    ],
)
def test_the_better_is_used_with_a_gap_between_going_and_coming_back(
    model_off: float, yardstick_off: float, before: Side, after: Side
) -> None:
    verdict = standing(issued(model_off, yardstick_off, before), ACTUAL, CLOCK, ISSUED)
    assert verdict.use == after
    assert (verdict.model_mae, verdict.yardstick_mae) == pytest.approx((model_off, yardstick_off))


@given(ratio=st.floats(0.5, 2.0))
def test_whatever_the_scores_a_verdict_stands_when_it_is_asked_for_again(ratio: float) -> None:
    first = standing(issued(20 * ratio, 20.0), ACTUAL, CLOCK, ISSUED)
    again = standing(issued(20 * ratio, 20.0, first.use), ACTUAL, CLOCK, ISSUED)
    assert again.use == first.use


def test_few_or_old_forecasts_change_nothing() -> None:
    few = issued(50.0, 10.0, count=FEWEST_ISSUES - 1)
    assert standing(few, ACTUAL, CLOCK, ISSUED).use == "model"
    old = [replace(one, issued_at=one.issued_at - timedelta(days=8)) for one in issued(50.0, 10.0)]
    assert standing(old, ACTUAL, CLOCK, ISSUED) == Standing()
    assert standing([], ACTUAL, CLOCK, ISSUED) == Standing()


def test_what_was_issued_after_the_verdict_or_not_measured_does_not_count() -> None:
    later = [replace(one, issued_at=ISSUED + timedelta(hours=1)) for one in issued(50.0, 10.0)]
    assert standing(later, ACTUAL, CLOCK, ISSUED) == Standing()
    nothing = Measured(ACTUAL.first, np.full(len(ACTUAL.values), np.nan))
    assert standing(issued(50.0, 10.0), nothing, CLOCK, ISSUED).issues == 0


def test_a_forecast_brings_its_rival_through_the_ledger(fitted: FittedSite, park: pd.DataFrame) -> None:
    forecasts = fitted.issue(park.loc[: ISSUED - timedelta(minutes=15)], ISSUED, ISSUED + timedelta(days=3))
    load = forecasts[LOAD]
    assert load.rival is not None
    assert (load.rival.of, load.rival.method) == ("yardstick", "same-type-day mean")
    one = Issued.from_document(json.loads(json.dumps(load.to_document())))
    assert one is not None
    assert one.in_use == "model"
    np.testing.assert_array_equal(one.model, load.quantiles[0.5][:96])
    np.testing.assert_array_equal(one.yardstick, load.rival.median)
    assert forecasts["ev.arriving_kw"].rival is None
    assert Forecast.from_document({**load.to_document(), "rival": None, "findings": []}).rival is None


def test_a_model_that_did_worse_is_replaced_and_named_and_comes_back(park: pd.DataFrame) -> None:
    forecaster = SiteForecaster({LOAD: SPECS[LOAD]}, day_type, ZONE)
    recent = park.loc[: ISSUED - timedelta(minutes=15)]

    def issue(said: Sequence[Issued]) -> Forecast:
        fitted = forecaster.fit(park[[LOAD]], ISSUED, HORIZON, issued={LOAD: said})
        return fitted.issue(recent, ISSUED, ISSUED + timedelta(days=3))[LOAD]

    worse = issue(_issued_of_park(park, 60.0, 30.0, "model"))
    assert worse.method == ("same-type-day mean (model worse: mean error 60 against 30 in 40 forecasts of 7 days)")
    assert worse.rival is not None
    assert worse.rival.of == "model"
    back = issue(_issued_of_park(park, 20.0, 30.0, "yardstick"))
    assert back.rival is not None
    assert back.rival.of == "yardstick"
    np.testing.assert_array_equal(back.quantiles[0.5][:96], worse.rival.median)


def _issued_of_park(park: pd.DataFrame, model_off: float, yardstick_off: float, in_use: Side) -> list[Issued]:
    found = []
    for number in range(40):
        at = ISSUED - timedelta(days=6) + number * timedelta(hours=3)
        actual = park[LOAD].loc[at : at + timedelta(hours=23, minutes=45)].to_numpy()
        found.append(Issued(at, at, in_use, actual + model_off, actual - yardstick_off))
    return found


def test_a_model_too_old_is_not_used(fitted: FittedSite, park: pd.DataFrame) -> None:
    life = timedelta(days=7)
    last, until = ISSUED + life - timedelta(minutes=15), ISSUED + timedelta(days=15)
    recent = park.loc[: ISSUED - timedelta(minutes=15)]
    assert "prophet" in fitted.issue(recent, last, until, life=life)[LOAD].method
    old = fitted.issue(recent, ISSUED + life, until, life=life)[LOAD]
    assert old.method == "same-type-day mean (model too old: fitted 2026-08-25, served for 7 days)"
    assert old.rival is None


def test_what_the_verdict_says_is_in_the_provenance(park: pd.DataFrame) -> None:
    forecaster = SiteForecaster({LOAD: SPECS[LOAD]}, day_type, ZONE)
    said = {LOAD: _issued_of_park(park, 60.0, 30.0, "model")}
    provenance = forecaster.fit(park[[LOAD]], ISSUED, HORIZON, issued=said).provenance
    assert "60 against 30" in json.loads(provenance.as_json())["replaced"][LOAD]


def test_times_of_issue_are_kept_to_the_second() -> None:
    document = {
        "issued_at": "2026-08-25T16:07:30+00:00",
        "start": "2026-08-25T16:15:00+00:00",
        "quantiles": {"0.5": [1.0, 2.0, 3.0]},
        "rival": {"of": "model", "method": "m", "median": [4.0, 5.0]},
    }
    one = Issued.from_document(document)
    assert one is not None
    assert (one.in_use, one.model.tolist(), one.yardstick.tolist()) == ("yardstick", [4.0, 5.0], [1.0, 2.0])
    assert one.start - one.issued_at == timedelta(minutes=7, seconds=30)
    assert one.issued_at == datetime.fromisoformat("2026-08-25T16:07:30+00:00")
