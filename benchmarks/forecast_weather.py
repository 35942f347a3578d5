"""What weather forecasts are worth to forecasts of demand: five recorded loads with the temperature of their place.

Forecasts of the weather were not recorded, so they are made from the temperature that was: issued every twelve hours,
hourly for a week, missing it by 0.4 K at once, 1.2 K after a day and 3 K after a week (standard deviations), alike over
half a day. The same rolling origins are then scored with and without them: every 7 h over the last ten weeks, a week
ahead.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from figures import Figure, geometric, run
from forecast import NEAR_REFIT, WEEK, WEEKS, Done, Task, coverage, energy_ratio, ratios, run_all, task_of
from load_prior import Elsewhere
from recorded_loads import RECORDED, Load, recorded_loads, require_loads

from forecasting.backtest import joined, rolling_origins
from forecasting.published import ISSUED, TIME
from forecasting.scenarios import correlated
from forecasting.weather import TEMPERATURE

ISSUED_EVERY = pd.Timedelta(hours=12)
AHEAD_HOURS = 7 * 24
MISSED_AT_HOURS, MISSED_K = (0.0, 24.0, 168.0), (0.4, 1.2, 3.0)
MEMORY_HOURS = 12.0
SEED = 1
WAYS = ("without", "with")


def temperatures(folder: Path) -> dict[str, pd.Series[float]]:
    """By place of the loads: hourly air temperature [°C] by UTC."""
    cambridge = pd.read_csv(folder / "cambridge" / "weather_bedford_hourly.csv.gz", parse_dates=["timestamp_utc"])
    plant = pd.read_csv(folder / "hydronic_heating" / "building_127_hhw_hourly.csv.gz", parse_dates=["datetime_UTC"])
    measured = {
        "Cambridge": pd.Series(
            cambridge["air_temperature_c"].to_numpy(), pd.DatetimeIndex(cambridge["timestamp_utc"]).tz_localize("UTC")
        ),
        "hot water": pd.Series(plant["t_out"].to_numpy(), pd.DatetimeIndex(plant["datetime_UTC"])),
    }
    return {place: series.groupby(level=0).mean().asfreq("1h") for place, series in measured.items()}


def foretold(temperature: pd.Series[float]) -> pd.DataFrame:
    """Forecasts that miss the temperature: columns `issued_at`, `time` and the series."""
    rng, leads = np.random.default_rng(SEED), np.arange(AHEAD_HOURS)
    spread = np.interp(leads, MISSED_AT_HOURS, MISSED_K)
    rows = []
    for issued in pd.date_range(temperature.index[0].ceil("12h"), temperature.index[-1], freq=ISSUED_EVERY):
        times = issued + pd.to_timedelta(leads, unit="h")
        missed = spread * correlated(AHEAD_HOURS, 1.0, MEMORY_HOURS, 1, rng)[0]
        values = temperature.reindex(times).to_numpy() + missed
        rows.append(pd.DataFrame({ISSUED: issued, TIME: times, TEMPERATURE: values}).dropna())
    return pd.concat(rows, ignore_index=True)


def tasks_of(folder: Path, refit: timedelta) -> list[Task]:
    """Each load without and with forecasts of the weather, in the order of `WAYS`."""
    loads, known = recorded_loads(folder), temperatures(folder)
    elsewhere = Elsewhere(loads)
    weather = {place: foretold(temperature) for place, temperature in known.items()}
    return [
        _task(load, elsewhere, told, refit)
        for load in loads
        if load.place in weather
        for told in (None, weather[load.place])
    ]


def _task(load: Load, elsewhere: Elsewhere, told: pd.DataFrame | None, refit: timedelta) -> Task:
    end = load.scored_until.to_pydatetime()
    origins = rolling_origins(end - WEEKS * WEEK, end - WEEK, timedelta(hours=7), load.clock.zone)
    return task_of("near", load, elsewhere, origins, WEEK, refit, published=told)


def figures_of(tasks: Sequence[Task], done: dict[tuple[int, int], Done]) -> list[Figure]:
    tests = [joined([done[i, k].result for k in range(len(task.blocks))]) for i, task in enumerate(tasks)]
    found: list[Figure] = []
    scores: dict[str, dict[str, list[float]]] = {way: {} for way in WAYS}
    for i, (task, test) in enumerate(zip(tasks, tests, strict=True)):
        way = WAYS[i % len(WAYS)]
        of_test = {
            **{f"ratio_{lead}": value for lead, value in ratios(test, test.median).items()},
            "days_2_to_7": energy_ratio(test),
            "coverage80": coverage(test, 0.1, 0.9),
            "coverage95": coverage(test, 0.025, 0.975),
        }
        for name, value in of_test.items():
            scores[way].setdefault(name, []).append(value)
            found.append(Figure(f"{task.load.name} {name} {way}", value, "", ""))
        update = [ms for k in range(len(task.blocks)) for ms in done[i, k].result.update_ms]
        found.append(Figure(f"{task.load.name} update_ms {way}", float(np.median(update)), "ms", "a week ahead"))
    how = "MAE over the best simple yardstick (daily energy: over the same-type-day mean), geometric mean over 5 loads"
    means = [
        Figure(f"{name}_{way}", geometric(values), "ratio", how)
        for way, by_name in scores.items()
        for name, values in by_name.items()
    ]
    return [*means, *found]


def measure(options: argparse.Namespace) -> list[Figure]:
    require_loads(options.data)
    tasks = tasks_of(options.data, timedelta(days=options.refit))
    return figures_of(tasks, run_all(tasks))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=RECORDED, help="folder of the recorded loads: recorded_loads.py")
    parser.add_argument("--refit", type=int, default=NEAR_REFIT.days, metavar="DAYS", help="days between fits")
    run("forecast_weather", parser, measure)
