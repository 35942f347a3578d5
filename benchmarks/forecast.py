"""How good the forecasts of the shipped park are, against the simple ways, and what they cost in time.

Rolling origins: five fits, two weeks apart, each used for a week with an origin every 7 h. Errors are divided by those
of the best of four yardsticks, chosen in hindsight per series and lead. The sample's load knows weekends but not the
Chinese holidays (SOURCES.md beside it), so the day types here are weekdays and weekends.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from benchmarks.figures import Figure, main, median
from forecasting.day_types import Bools, DayTable, LocalClock
from forecasting.demand import Demand
from forecasting.forecast import Array, Forecast
from forecasting.kinds import SeriesKind
from forecasting.measured import Measured, measured
from forecasting.pv import Pv
from forecasting.site_forecaster import FittedSite, SiteForecaster
from forecasting.weather import Temperature
from forecasting.yardsticks import persistence, same_slot, same_type_mean

SAMPLE = Path(__file__).parents[1] / "site_configs" / "sample" / "jiashan_park" / "series.csv.gz"
CLOCK = LocalClock(ZoneInfo("Asia/Shanghai"), 15)
SPECS: dict[str, SeriesKind] = {
    "load.demand_kw": Demand(),
    "cold_load.demand_kw": Demand(),
    "pv1.available_kw": Pv(500.0),
    "weather.temperature_c": Temperature(),
}
FITS = [datetime(2026, 8, 10, 18, tzinfo=UTC) + timedelta(days=14 * k) for k in range(5)]
ORIGINS_PER_FIT = 24
LEADS = {"1step": 0, "1h": 3, "4h": 15, "24h": 95}
HOW = "MAE over the best simple yardstick, 120 origins"


def weekdays(local_date: date) -> str:
    return "rest_day" if local_date.weekday() >= 5 else "workday"


def yardstick_paths(past: Measured, origin: int, days: DayTable) -> Array:
    """(4, 96) the four simple forecasts from one origin."""
    origins, leads = np.array([origin]), np.arange(96)
    week = 7 * CLOCK.steps_per_day
    return np.stack(
        [
            persistence(past, origins, leads)[0],
            same_slot(past, origins, leads, CLOCK.steps_per_day)[0],
            same_slot(past, origins, leads, week)[0],
            same_type_mean(past, origins, leads, CLOCK, days)[0],
        ]
    )


def scored(forecast: Forecast, truth: Measured, days: DayTable) -> tuple[Array, Bools]:
    """(5, 96) absolute errors of the forecast and the yardsticks, and (96,) whether the 80 % band held."""
    origin = CLOCK.first_step(forecast.issued_at)
    actual = truth.at(origin + np.arange(96))
    paths = np.vstack([forecast.quantiles[0.5], yardstick_paths(truth, origin, days)])
    return np.abs(paths - actual), (forecast.quantiles[0.1] <= actual) & (actual <= forecast.quantiles[0.9])


def issued_over_a_week(
    site: FittedSite, frame: pd.DataFrame, first: datetime
) -> tuple[list[dict[str, Forecast]], float]:
    """Forecasts of one fit, and the mean time of one [ms]."""
    origins = [first + timedelta(hours=7 * k) for k in range(ORIGINS_PER_FIT)]
    recents = [frame.loc[at - timedelta(days=8) : at] for at in origins]
    began = time.perf_counter()
    found = [site.issue(recent, at, at + timedelta(days=1)) for recent, at in zip(recents, origins, strict=True)]
    return found, 1000 * (time.perf_counter() - began) / len(origins)


def measure() -> Sequence[Figure]:
    frame = pd.read_csv(SAMPLE, index_col="time", parse_dates=["time"])
    end = CLOCK.first_step(frame.index[-1].to_pydatetime()) + 1
    truths = {name: measured(frame[name], CLOCK, end) for name in SPECS}
    first_day = int(CLOCK.days_and_slots(truths["load.demand_kw"].steps[:1])[0][0])
    days = DayTable.over(weekdays, first_day - 1, first_day + 150)
    forecaster = SiteForecaster(SPECS, weekdays, CLOCK.zone)
    scores: dict[str, list[tuple[Array, Bools]]] = {name: [] for name in SPECS}
    fit_s, issue_ms = [], []
    for at in FITS:
        began = time.perf_counter()
        site = forecaster.fit(frame, at, at + timedelta(days=31))
        fit_s.append(time.perf_counter() - began)
        forecasts, per_issue = issued_over_a_week(site, frame, at)
        issue_ms.append(per_issue)
        for name, truth in truths.items():
            scores[name] += [scored(found[name], truth, days) for found in forecasts]
    times = [
        Figure("fit_s", median(fit_s), "s", "all four series, trial and whole"),
        Figure("update_ms", median(issue_ms) / len(SPECS), "ms", "per series, a day ahead"),
    ]
    return [*times, *quality_figures(scores)]


def quality_figures(scores: dict[str, list[tuple[Array, Bools]]]) -> list[Figure]:
    """Ratios by lead and the share of values inside the 80 % band, by series."""
    figures = []
    for name, found in scores.items():
        mae = np.mean([error for error, _ in found], axis=0)
        ratio = mae[0] / np.min(mae[1:], axis=0)
        figures += [Figure(f"{name} ratio_{lead}", float(ratio[place]), "ratio", HOW) for lead, place in LEADS.items()]
        inside = float(np.mean([held for _, held in found]))
        figures.append(Figure(f"{name} coverage80", inside, "", "share of values inside the 80 % band, leads to 24 h"))
    return figures


if __name__ == "__main__":
    main("forecast", __doc__ or "", measure)
