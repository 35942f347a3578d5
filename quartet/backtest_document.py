"""Back-tests as the document that other programs read: scores by lead, over all leads, and what money sees."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

import numpy as np

from forecasting import scores
from forecasting.backtest import BackTest
from forecasting.day_types import Ints, LocalClock
from forecasting.forecast import Array
from optimizer.errors import InputError
from quartet.backtesting import BackTests
from quartet.documents import (
    ForecastBackTest,
    OverallScores,
    Scores,
    SeriesBackTest,
    TotalError,
    YardstickErrors,
)
from site_configs.history import History
from site_configs.tariff import Tariff, load_tariff

STEPWISE_HOURS = 48.0
"""Up to here each step has a row [h]; beyond, a day of leads shares one, as single steps would only show chance."""
BAND_OF_COVERAGE = {"coverage80": (0.1, 0.9), "coverage95": (0.025, 0.975)}
NO_VALUE = "no forecast meets a measured value"


def backtest_document(tests: BackTests, wall_s: float) -> ForecastBackTest:
    """The whole document."""
    series = {name: _series(tests, test) for name, test in tests.found.items()}
    found = tests.found.values()
    return ForecastBackTest(
        series=series,
        zone=tests.place.zone.key,
        every_minutes=_minutes(tests.every),
        horizon_minutes=_minutes(tests.schedule.horizon),
        refit_minutes=_minutes(tests.schedule.refit),
        notes=list(tests.notes),
        wall_s=wall_s,
        update_ms=statistics.median(ms for test in found for ms in test.update_ms),
        fit_ms=statistics.median(ms for test in found for ms in test.fit_ms),
    )


def lead_spans(count: int, clock: LocalClock) -> Iterator[slice]:
    """Which leads share a row of the table, in order."""
    stepwise = min(count, clock.steps_in(STEPWISE_HOURS))
    yield from (slice(lead, lead + 1) for lead in range(stepwise))
    day = clock.steps_per_day
    yield from (slice(lead, min(count, lead + day)) for lead in range(stepwise, count, day))


def _series(tests: BackTests, test: BackTest) -> SeriesBackTest:
    count = test.actual.shape[1]
    return SeriesBackTest(
        step_minutes=test.clock.step_minutes,
        origins=len(test.origins),
        first_origin=test.clock.start_of(int(test.origins[0])),
        last_origin=test.clock.start_of(int(test.origins[-1])),
        history_rows=test.history_rows,
        repairs=_repairs(tests.history, test),
        levels=sorted(test.quantiles),
        methods=dict(Counter(test.methods)),
        mase_scale=_number(test.scale),
        by_lead=[_scores(test, span) for span in lead_spans(count, test.clock)],
        overall=_overall(tests, test),
        update_ms=statistics.median(test.update_ms),
        fit_ms=statistics.median(test.fit_ms),
    )


def _repairs(history: History, test: BackTest) -> list[dict[str, str | int]]:
    """What was repaired in the file, in this column or in all times, and what was wrong in the values but for gaps,
    which the reader of the file has named."""
    concerned = [repair for repair in history.repairs if repair.column in (test.series, "time")]
    return [
        *(repair.as_document() for repair in concerned),
        *({**finding.as_document(), "text": finding.as_text()} for finding in test.findings if finding.kind != "gap"),
    ]


def _scores(test: BackTest, leads: slice) -> Scores:
    actual, median = test.actual[:, leads], test.median[:, leads]
    paths = {level: path[:, leads] for level, path in test.quantiles.items()}
    relative = scores.mape(actual, median)
    values = {
        "mae": scores.mae(actual, median),
        "rmse": scores.rmse(actual, median),
        "bias": scores.bias(actual, median),
        "mase": scores.mase(actual, median, test.scale),
        "mape": relative.percent,
        "pinball": scores.pinball(actual, paths),
        **{name: _coverage(actual, paths, band) for name, band in BAND_OF_COVERAGE.items()},
    }
    errors = {
        name: scores.mae(actual, test.yardsticks[name][:, leads]) if name in test.yardsticks else math.nan
        for name in YardstickErrors.model_fields
    }
    n = int(np.isfinite(actual).sum())
    return Scores(
        lead_from_minutes=int(test.leads_minutes[leads][0]),
        lead_minutes=int(test.leads_minutes[leads][-1]),
        n=n,
        n_mape=relative.n,
        **{name: _number(value) for name, value in values.items()},
        yardsticks=YardstickErrors(**{name: _number(value) for name, value in errors.items()}),
        reasons=_reasons(test, n, {**values, **errors}),
    )


def _coverage(actual: Array, paths: Mapping[float, Array], band: tuple[float, float]) -> float:
    low, high = band
    return scores.coverage(actual, paths[low], paths[high]) if low in paths and high in paths else math.nan


def _reasons(test: BackTest, n: int, values: Mapping[str, float]) -> dict[str, str]:
    """Why fields have no number."""
    own = {
        "mase": "the history holds no two days in a row, or they were all alike",
        "mape": "every measured value is 0",
        **{name: f"forecasts have no levels {low} and {high}" for name, (low, high) in BAND_OF_COVERAGE.items()},
    }
    unsaid = [name for name, value in values.items() if not math.isfinite(value)]
    return {name: test.absent.get(name) or (own.get(name, NO_VALUE) if n else NO_VALUE) for name in unsaid}


def _overall(tests: BackTests, test: BackTest) -> OverallScores:
    row = _scores(test, slice(0, test.actual.shape[1]))
    peak = _total(*scores.day_peaks(test.actual, test.median, test.clock.steps_per_day))
    energies, why = _energies(tests, test)
    reasons = dict(row.reasons)
    if peak is None:
        reasons["day_peak"] = "no forecast covers 24 h that were measured without a gap: ask for a longer --horizon"
    if energies is None:
        reasons["energy_kwh_by_band"] = why
    return OverallScores(**{**dict(row), "reasons": reasons}, day_peak=peak, energy_kwh_by_band=energies)


def _energies(tests: BackTests, test: BackTest) -> tuple[dict[str, TotalError] | None, str]:
    """Error of the energy of each forecast by tariff band, or why there is no such thing."""
    site = tests.place.site
    if site is None:
        return None, "only a site has a tariff: give SITE"
    if not test.series.endswith("_kw"):
        return None, "the series is no power"
    try:
        names, bands = _bands(load_tariff(site), test)
    except InputError as error:
        return None, str(error)
    hours = test.clock.step_minutes / 60
    found = {
        name: _total(*scores.energy_by_group(test.actual, test.median, bands, number, hours))
        for number, name in enumerate(names)
    }
    return {name: total for name, total in found.items() if total is not None}, ""


def _bands(tariff: Tariff, test: BackTest) -> tuple[tuple[str, ...], Ints]:
    """Names of the tariff's bands and (n, m) the number of the one in force at the start of each interval."""
    steps = test.origins[:, None] + np.arange(test.actual.shape[1])
    start, end = (test.clock.start_of(int(step)) for step in (steps.min(), steps.max() + 1))
    days = tariff.days(start, end)
    starts_s = np.concatenate([day.starts_s for day in days])
    numbers = {name: number for number, name in enumerate(tariff.band_order)}
    by_segment = np.array([numbers[band] for day in days for band in day.bands])
    seconds = steps * test.clock.step_minutes * 60
    return tuple(numbers), by_segment[np.searchsorted(starts_s, seconds, side="right") - 1]


def _total(actual: Array, forecast: Array) -> TotalError | None:
    if not len(actual):
        return None
    return TotalError(
        n=len(actual),
        mae=scores.mae(actual, forecast),
        bias=scores.bias(actual, forecast),
        mean_actual=float(np.mean(actual)),
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _minutes(length: timedelta) -> int:
    return round(length / timedelta(minutes=1))
