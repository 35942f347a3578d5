"""How good the forecasts of demand are on recorded loads of many kinds, against the simple ways and another library.

Rolling origins: for each load an origin every 7 h over the last ten weeks of its record, fitted every two weeks. Errors
are divided by those of the best of persistence, same slot yesterday, same slot last week and the mean of the last four
same-type days, best in hindsight per load and lead; figures are geometric means over the loads. Then whole days ahead
over a year, and the days to the end of the month. All forecasts see only what was measured before they are issued;
weather is not used.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from figures import Figure, geometric, run, tracked
from load_prior import Elsewhere
from recorded_loads import RECORDED, Load, public_days, recorded_loads, require_loads, year_long_loads

from forecasting import boosted, day_ahead, from_last_value, members
from forecasting.backtest import (
    PEER,
    BackTest,
    Block,
    Record,
    Schedule,
    blocks,
    day_table,
    joined,
    rolling_origins,
    run_block,
)
from forecasting.day_types import LocalClock
from forecasting.demand import Demand
from forecasting.forecast import Array, Forecast
from forecasting.scenarios import correlated, courses

REPOSITORY = Path(__file__).parents[1]
SAMPLE = REPOSITORY / "site_configs" / "sample" / "jiashan_park" / "series.csv.gz"
DAY, WEEK = timedelta(days=1), timedelta(days=7)
WEEKS = 10
NEAR = DAY
MONTH = timedelta(days=31)
NEAR_REFIT, TAIL_REFIT, YEAR_REFIT = timedelta(days=14), timedelta(days=35), timedelta(days=14)
"""In operation every night; here as often as half an hour on two cores allows."""
PROPHET = (members, "prophet_path")
LEARNERS = ((members, "fit_near"), (boosted, "grown"), (from_last_value, "grown"), (day_ahead, "grown"))
LEAD_HOURS = {"1step": 0.0, "1h": 1.0, "4h": 4.0, "24h": 24.0}
PARTS = ("near", "year", "tail", "sample")
SIMPLE = ("persistence", "same_slot_yesterday", "same_slot_last_week", "same_type_days")
PEAK_PAIRS = 20
PEAK_MEMORY_HOURS = 24.0
"""What is missed days ahead stays alike for a day; with 6 h a month has so many chances that its peak is too high."""


@dataclass(frozen=True)
class Task:
    """One back-test to run."""

    purpose: str
    """`near`, `year`, `tail` or `sample`."""
    load: Load
    blocks: tuple[Block, ...]


def tasks_of(
    folder: Path, parts: Sequence[str], refit: timedelta | None, peer: bool = True, history: timedelta | None = None
) -> list[Task]:
    found: list[Task] = []
    loads = recorded_loads(folder)
    elsewhere = Elsewhere(loads)
    if "year" in parts:
        days = [(load, _midnights(load, 365, DAY)) for load in year_long_loads(folder)]
        found += [task_of("year", load, elsewhere, origins, DAY, refit or YEAR_REFIT) for load, origins in days]
    if "near" in parts:
        found += [_near("near", load, elsewhere, refit or NEAR_REFIT, peer, history) for load in loads]
    if "tail" in parts:
        weeks = [(load, _midnights(load, 70, WEEK)) for load in loads]
        cut = [(_connected(load, origins[0], history), origins) for load, origins in weeks]
        found += [task_of("tail", load, elsewhere, origins, MONTH, refit or TAIL_REFIT) for load, origins in cut]
    if "sample" in parts:
        found += [_near("sample", load, elsewhere, refit or NEAR_REFIT, peer) for load in sample_loads()]
    return found


def sample_loads() -> list[Load]:
    """Two series of the shipped park. Its load knows weekends but not the Chinese holidays (SOURCES.md beside it)."""
    frame = pd.read_csv(SAMPLE, index_col="time", parse_dates=["time"])
    clock = LocalClock(ZoneInfo("Asia/Shanghai"), 15)
    carriers = {"load.demand_kw": ("San Diego", "electric"), "cold_load.demand_kw": ("Hong Kong", "cold")}
    end = frame.index[-1] + timedelta(minutes=15)
    return [
        Load(place, f"sample {name}", of, clock, frame[name], public_days("none"), end)
        for name, (place, of) in carriers.items()
    ]


def _connected(load: Load, first: datetime, history: timedelta | None) -> Load:
    """The load as if its meter had been read for no longer than that before the first origin."""
    return load if history is None else replace(load, series=load.series.loc[first - history :])


def _near(
    purpose: str, load: Load, elsewhere: Elsewhere, refit: timedelta, peer: bool, history: timedelta | None = None
) -> Task:
    end = load.scored_until.to_pydatetime()
    origins = rolling_origins(end - WEEKS * WEEK, end - NEAR, timedelta(hours=7), load.clock.zone)
    return task_of(purpose, _connected(load, origins[0], history), elsewhere, origins, NEAR, refit, peer)


def task_of(
    purpose: str,
    load: Load,
    elsewhere: Elsewhere,
    origins: tuple[datetime, ...],
    horizon: timedelta,
    refit: timedelta,
    peer: bool = False,
    published: pd.DataFrame | None = None,
) -> Task:
    """One load's back-test, by a prior of other places; with `published` it hears weather forecasts."""
    kind = Demand(prior=elsewhere.than(load.place))
    record = Record(load.series.to_frame(load.name), load.clock.step_minutes, published=published)
    schedule = Schedule(origins, horizon, refit)
    days = day_table(record, load.day_type, load.clock.zone, schedule)
    return Task(purpose, load, tuple(blocks(record, load.name, kind, days, load.clock.zone, schedule, peer)))


def _midnights(load: Load, days: int, every: timedelta) -> tuple[datetime, ...]:
    """Local midnights over the last days of the record, each with a day at least to score."""
    last = load.scored_until.tz_convert(load.clock.zone).normalize()
    return rolling_origins(
        (last - pd.Timedelta(days=days)).to_pydatetime(), last.to_pydatetime(), every, load.clock.zone
    )


@dataclass(frozen=True)
class Done:
    """What became of a block, with the parts of its fit that were Prophet's and the other learners' own [s]."""

    place: tuple[int, int]
    result: BackTest
    prophet_s: float
    learners_s: float


def run_timed(place: tuple[int, int], block: Block) -> Done:
    with timed(PROPHET) as prophets, timed(*LEARNERS) as learners:
        result = run_block(block)
    return Done(place, result, sum(prophets), sum(learners))


@contextmanager
def timed(*places: tuple[ModuleType, str]) -> Iterator[list[float]]:
    """Times [s] of all calls of functions, each given by the module that calls it and the name it has there."""
    spent: list[float] = []

    def watched(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            began = time.perf_counter()
            result = function(*arguments, **named)
            spent.append(time.perf_counter() - began)
            return result

        return call

    functions = [getattr(module, name) for module, name in places]
    for (module, name), function in zip(places, functions, strict=True):
        setattr(module, name, watched(function))
    try:
        yield spent
    finally:
        for (module, name), function in zip(places, functions, strict=True):
            setattr(module, name, function)


def warm_up() -> None:
    """Slow imports, so that no fit is charged with them."""
    import lightgbm  # noqa: F401
    import prophet  # noqa: F401
    import sklearn.ensemble  # noqa: F401


def run_all(tasks: Sequence[Task]) -> dict[tuple[int, int], Done]:
    places = [(i, k) for i, task in enumerate(tasks) for k in range(len(task.blocks))]
    with ProcessPoolExecutor(os.cpu_count(), initializer=warm_up) as pool:
        running = [pool.submit(run_timed, place, tasks[place[0]].blocks[place[1]]) for place in places]
        found = tracked((done.result() for done in as_completed(running)), len(running), "fits and their origins")
    return {done.place: done for done in found}


def measure(tasks: Sequence[Task]) -> list[Figure]:
    done = run_all(tasks)
    found: dict[str, dict[str, BackTest]] = {part: {} for part in PARTS}
    for i, task in enumerate(tasks):
        found[task.purpose][task.load.name] = joined([done[i, k].result for k in range(len(task.blocks))])
    return [
        *(near_figures(found["near"]) if found["near"] else []),
        *(band_figures(found["near"]) if found["near"] else []),
        *(year_figures(found["year"]) if found["year"] else []),
        *(tail_figures(found["tail"]) if found["tail"] else []),
        *time_figures(list(done.values())),
        *by_load({**found["near"], **found["sample"]}),
    ]


def ratios(test: BackTest, forecast: Array) -> dict[str, float]:
    """By lead: MAE over that of the best simple yardstick, over origins where all of them had a value."""
    simple = np.stack([test.yardsticks[name] for name in SIMPLE])
    used = np.isfinite(test.actual) & np.isfinite(simple).all(axis=0)
    places = {name: max(0, test.clock.steps_in(hours) - 1) for name, hours in LEAD_HOURS.items()}
    return {name: _over_best(test.actual, forecast, simple, used, place) for name, place in places.items()}


def _over_best(actual: Array, forecast: Array, simple: Array, used: np.ndarray, place: int) -> float:
    rows = used[:, place]
    errors = [np.abs(path[rows, place] - actual[rows, place]).mean() for path in (forecast, *simple)]
    return float(errors[0] / min(errors[1:]))


def near_figures(found: dict[str, BackTest]) -> list[Figure]:
    ours = [ratios(test, test.median) for test in found.values()]
    peers = [ratios(test, test.yardsticks[PEER]) for test in found.values() if PEER in test.yardsticks]
    how = f"MAE over the best simple yardstick, {len(found)} loads, every 7 h over {WEEKS} weeks"
    figures = []
    for lead in LEAD_HOURS:
        values = [ratio[lead] for ratio in ours]
        figures += [
            Figure(f"ratio_{lead}", geometric(values), "ratio", how + ", geometric mean"),
            Figure(f"worst_ratio_{lead}", max(values), "ratio", how + ", worst load"),
        ]
        if peers:
            figures.append(
                Figure(f"peer_ratio_{lead}", geometric([p[lead] for p in peers]), "ratio", "LightGBM, direct")
            )
    return figures


def band_figures(found: dict[str, BackTest]) -> list[Figure]:
    figures = []
    for name, low, high in (("coverage80", 0.1, 0.9), ("coverage95", 0.025, 0.975)):
        shares = [coverage(test, low, high) for test in found.values()]
        figures += [
            Figure(name, float(np.mean(shares)), "", "share of values inside the band, leads to 24 h, mean over loads"),
            Figure(f"worst_{name}", min(shares), "", "load with the smallest share"),
        ]
    return figures


def coverage(test: BackTest, low: float, high: float) -> float:
    inside = (test.quantiles[low] <= test.actual) & (test.actual <= test.quantiles[high])
    return float(inside[np.isfinite(test.actual)].mean())


def year_figures(found: dict[str, BackTest]) -> list[Figure]:
    """Whole days ahead, issued at local midnight, over a year."""
    how = "days ahead issued at local midnight over a year: MAE over that of the mean of the last four same-type days"
    values = {}
    figures = []
    for name, test in found.items():
        simple = test.yardsticks["same_type_days"]
        used = np.isfinite(test.actual) & np.isfinite(simple)
        missed, usual = (np.abs(path - test.actual)[used] for path in (test.median, simple))
        values[name] = float(missed.mean() / usual.mean())
        percent = 100 * float((missed / np.abs(test.actual[used])).mean())
        figures += [
            Figure(f"{name} day_ahead_year_ratio", values[name], "ratio", how),
            Figure(f"{name} day_ahead_year_mape", percent, "%", "mean absolute percentage error of the same forecasts"),
        ]
    worst = Figure("worst_day_ahead_year_ratio", max(values.values()), "ratio", "worst of the loads")
    return [Figure("day_ahead_year_ratio", geometric(list(values.values())), "ratio", how), worst, *figures]


def tail_figures(found: dict[str, BackTest]) -> list[Figure]:
    """From the second day to the end of the local month."""
    energy, peak = {}, {}
    for name, test in found.items():
        energy[name], peak[name] = tail_ratios(test)
    figures = [
        Figure(
            "tail_daily_energy_ratio", geometric(list(energy.values())), "ratio", "2 to 31 days ahead, same-type mean"
        ),
        Figure("tail_month_peak_ratio", geometric(list(peak.values())), "ratio", "highest step to the month's end"),
    ]
    figures += [Figure(f"{name} tail_daily_energy", value, "ratio", "") for name, value in energy.items()]
    return figures + [Figure(f"{name} tail_month_peak", value, "ratio", "") for name, value in peak.items()]


def tail_ratios(test: BackTest) -> tuple[float, float]:
    """MAE of daily energy, and of the highest step to the end of the month, over the same-type-day mean's."""
    missed = np.array([_peaks_missed(test, i) for i in range(len(test.origins))])
    ours, usual = np.nanmean(missed, axis=0)
    return energy_ratio(test), float(ours / usual)


def energy_ratio(test: BackTest) -> float:
    """MAE of daily energy from the second day on over that of the same-type-day mean."""
    day = test.clock.steps_per_day
    paths = (test.actual, test.median, test.yardsticks["same_type_days"])
    days = [path[:, day:].reshape(len(path), -1, day).mean(axis=2) for path in paths]
    return float(np.nanmean(np.abs(days[1] - days[0])) / np.nanmean(np.abs(days[2] - days[0])))


def _peaks_missed(test: BackTest, i: int) -> tuple[float, float]:
    """Errors of the highest value to the month's end: ours (mean over courses), the profile's; NaN near that end."""
    clock = test.clock
    steps = test.origins[i] + np.arange(test.actual.shape[1])
    months = clock.local_times(steps).month
    used = (months == months[0]) & np.isfinite(test.actual[i])
    if used.sum() < 2 * clock.steps_per_day or not np.isfinite(test.yardsticks["same_type_days"][i]).all():
        return np.nan, np.nan
    z = correlated(len(steps), clock.step_minutes / 60, PEAK_MEMORY_HOURS, PEAK_PAIRS, np.random.default_rng(i))
    issued = clock.start_of(int(test.origins[i]))
    paths = {level: path[i] for level, path in test.quantiles.items()}
    forecast = Forecast(test.series, issued, "", clock.step_minutes, clock.index(steps), paths)
    expected = courses(forecast, np.concatenate([z, -z]))[:, used].max(axis=1).mean()
    highest = test.actual[i, used].max()
    return float(abs(expected - highest)), float(abs(test.yardsticks["same_type_days"][i, used].max() - highest))


def time_figures(done: Sequence[Done]) -> list[Figure]:
    fit_s = [part.result.fit_ms[0] / 1000 for part in done]
    own_s = [part.prophet_s + part.learners_s for part in done]
    overheads = [whole / own - 1 for whole, own in zip(fit_s, own_s, strict=True) if own]
    shares = [part.prophet_s / whole for whole, part in zip(fit_s, done, strict=True)]
    update = [ms for part in done for ms in part.result.update_ms]
    ahead = max(part.result.actual.shape[1] * part.result.clock.step_minutes for part in done) // 1440
    return [
        Figure("fit_s", float(np.median(fit_s)), "s", "one series, trial and whole, median"),
        Figure("fit_overhead", float(np.median(overheads)), "ratio", "all beside the learners' own fits over those"),
        Figure("prophet_share", float(np.median(shares)), "", "Prophet's own fits over the whole fit, median"),
        Figure("update_ms", float(np.median(update)), "ms", f"one series, up to {ahead} days ahead, median"),
    ]


def by_load(found: dict[str, BackTest]) -> list[Figure]:
    figures = []
    for name, test in found.items():
        figures += [
            Figure(f"{name} ratio_{lead}", value, "ratio", "") for lead, value in ratios(test, test.median).items()
        ]
        if PEER in test.yardsticks:
            peer = ratios(test, test.yardsticks[PEER])
            figures += [Figure(f"{name} peer_ratio_{lead}", value, "ratio", "") for lead, value in peer.items()]
        figures += [
            Figure(f"{name} coverage80", coverage(test, 0.1, 0.9), "", ""),
            Figure(f"{name} coverage95", coverage(test, 0.025, 0.975), "", ""),
            Figure(f"{name} fit_s", float(np.median(test.fit_ms)) / 1000, "s", ""),
        ]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=RECORDED, help="folder of the recorded loads: recorded_loads.py")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure; all by default")
    parser.add_argument("--refit", type=int, metavar="DAYS", help="days between fits: more is quicker, and a bit worse")
    parser.add_argument("--no-peer", action="store_true", help="leave the other library out: half the time")
    parser.add_argument(
        "--history", type=int, metavar="DAYS", help="of near and tail: as if a site was connected so long before"
    )
    run("forecast", parser, _measured)


def _measured(options: argparse.Namespace) -> list[Figure]:
    require_loads(options.data)
    refit, history = (timedelta(days=days) if days else None for days in (options.refit, options.history))
    return measure(tasks_of(options.data, options.parts, refit, not options.no_peer, history))


if __name__ == "__main__":
    main()
