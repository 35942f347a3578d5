"""How good the forecasts of PV, prices, carbon and cars to come are on recorded ones, against the simple ways.

PV and carbon: an origin every 7 h. Prices: every day at 13:00 of the market, when the next day's are out (as recorded:
known) and the days after it are not. Cars: every local midnight. A fit every four weeks (cars: every week) on all that
was before; errors over those of the best simple way, best in hindsight for each series and lead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from figures import Figure, run, tracked
from recorded_sources import Fleet, Plant, carbon, fleets, plants, prices

from forecasting.backtest import BackTest, Record, Schedule, backtest, rolling_origins
from forecasting.clear_sky import plant_sky, seen
from forecasting.day_types import DayTable, LocalClock
from forecasting.ev_expected import ExpectedCars
from forecasting.forecast import LEVELS, Array
from forecasting.kinds import FitContext
from forecasting.market import Market
from forecasting.measured import Measured, measured
from forecasting.pv import Pv
from forecasting.sun import clear_irradiance
from streams.site_forecasts import announced_daily

RECORDED = Path(__file__).parents[2] / "shared" / "data"
UTC_ZONE = ZoneInfo("UTC")
DAYS = 120
REFIT = timedelta(days=28)
LEAD_HOURS = {"1step": 0.0, "1h": 1.0, "4h": 4.0, "24h": 24.0}
OUT_AT = time(12, 57)
"""Local time by which tomorrow's prices are out in these markets."""
ASKED_AT = timedelta(hours=13)
PRICE = "market.import_price_per_kwh"
MISSING = 3


def weekdays(local_date: date) -> str:
    return "rest_day" if local_date.weekday() >= 5 else "workday"


@dataclass(frozen=True)
class Scores:
    """Mean errors of one series by group of leads, ours over the best simple way's."""

    name: str
    ratios: Mapping[str, float]
    best: Mapping[str, str]
    """The simple way that was best."""
    error_percent: Mapping[str, float]
    """Our mean absolute error, of the capacity of a plant, else of the series' mean size."""
    covered: Mapping[str, float]
    """Share of values inside the 80 % and 95 % bands."""


def scores(name: str, ours: BackTest, simple: Mapping[str, Array], groups: Mapping[str, slice], size: float) -> Scores:
    """Scores over the values that all can be compared on."""
    known = np.isfinite(ours.actual) & np.all([np.isfinite(path) for path in simple.values()], axis=0)

    def missed(path: Array, leads: slice) -> float:
        return float(np.abs(path - ours.actual)[:, leads][known[:, leads]].mean())

    ways = {g: {way: missed(path, leads) for way, path in simple.items()} for g, leads in groups.items()}
    mine = {g: missed(ours.median, leads) for g, leads in groups.items()}
    best = {g: min(found, key=lambda way: found[way]) for g, found in ways.items()}
    ratios = {g: mine[g] / ways[g][best[g]] for g in groups}
    return Scores(name, ratios, best, {g: 100 * mine[g] / size for g in groups}, covered(ours, known))


def covered(ours: BackTest, known: Array) -> Mapping[str, float]:
    """By nominal share: how many values with a band of any width lie in it."""
    widest = ours.quantiles[LEVELS[-1]] - ours.quantiles[LEVELS[0]]
    judged = known & (widest > 0)
    found = {}
    for low in (level for level in LEVELS if level < 0.5):
        inside = (ours.quantiles[low] <= ours.actual) & (ours.actual <= ours.quantiles[1 - low])
        found[f"coverage{100 * (1 - 2 * low):.0f}"] = float(inside[judged].mean())
    return found


def plant_scores(plant: Plant) -> Scores:
    name = f"{plant.name}.available_kw"
    step = timedelta(minutes=plant.step_minutes)
    first, end = _last_days(plant.power_kw.index, step)
    schedule = Schedule(
        rolling_origins(first, end - timedelta(days=1), timedelta(hours=7), UTC_ZONE), timedelta(days=1), REFIT
    )
    record = Record(plant.power_kw.to_frame(name), plant.step_minutes)
    kind = Pv(plant.capacity_kw, plant.position)
    ours = backtest(record, name, kind, weekdays, UTC_ZONE, schedule, peer=False)
    simple = {
        **ours.yardsticks,
        "last_seven_days": last_days(plant, ours),
        "clear_sky_index": index_persists(plant, ours),
    }
    return scores(plant.name, ours, simple, {**lead_groups(ours.clock), "all": slice(None)}, plant.capacity_kw)


def _last_days(index: pd.Index, step: timedelta) -> tuple[datetime, datetime]:
    """The last half year, or the last two fifths of a shorter record, and its end."""
    begin, end = index[0].to_pydatetime(), index[-1].to_pydatetime() + step
    return max(end - timedelta(days=DAYS), end - 0.4 * (end - begin)).replace(minute=0), end


def lead_groups(clock: LocalClock) -> Mapping[str, slice]:
    steps = {name: max(0, clock.steps_in(hours) - 1) for name, hours in LEAD_HOURS.items()}
    return {name: slice(step, step + 1) for name, step in steps.items()}


def last_days(plant: Plant, ours: BackTest) -> Array:
    """Mean of the slot over the last seven days."""
    truth = _truth(plant, ours)
    day = ours.clock.steps_per_day
    targets = ours.origins[:, None] + np.arange(ours.actual.shape[1])
    return np.nanmean(np.stack([truth.at(targets - k * day) for k in range(1, 8)]), axis=0)


def index_persists(plant: Plant, ours: BackTest) -> Array:
    """The clear-sky index of the last half hour of light stays."""
    truth, clock = _truth(plant, ours), ours.clock
    first, leads = truth.first - clock.steps_per_day, np.arange(ours.actual.shape[1])
    sun = None if plant.position is None else clear_irradiance(plant.position, clock, first, truth.end + len(leads))
    paths = []
    for origin in ours.origins:
        past = truth.between(int(origin) - 45 * clock.steps_per_day, int(origin))
        targets = origin + leads
        light = np.ones(len(leads)) if sun is None else sun.at(targets)
        view = seen(
            plant_sky(past, sun, clock.steps_per_day, plant.capacity_kw), np.full(len(leads), origin), targets, light
        )
        paths.append(np.minimum(view.features[:, 1] * view.clear_kw, plant.capacity_kw))
    return np.stack(paths)


def _truth(plant: Plant, ours: BackTest) -> Measured:
    return measured(plant.power_kw, ours.clock, int(ours.origins[-1]) + ours.actual.shape[1])


def price_scores(job: tuple[str, pd.Series[float], ZoneInfo]) -> Scores:
    """Days from the first that is not out: the second, third and fourth after today."""
    name, values, zone = job
    frame = values.to_frame(PRICE)
    first, end = _last_days(values.index, timedelta(hours=1))
    first = datetime.combine(first.astimezone(zone).date(), time(), zone) + ASKED_AT
    schedule = Schedule(
        rolling_origins(first, end - timedelta(days=4), timedelta(days=1), zone), timedelta(hours=83), REFIT
    )
    record = Record(frame, 60, (), announced_daily(frame, OUT_AT, zone))
    ours = backtest(record, PRICE, Market(PRICE), weekdays, zone, schedule, peer=False)
    out = ours.median[:, :35]
    if np.nanmax(np.abs(out - ours.actual[:, :35])) > 0.01:
        raise RuntimeError(f"{name}: prices that are out are not known")
    simple = _from_what_is_out(values, ours)
    groups = {f"day{k + 2}": slice(35 + 24 * k, 59 + 24 * k) for k in range(2)}
    return scores(name, ours, simple, groups, float(values.abs().mean()))


def _from_what_is_out(values: pd.Series[float], ours: BackTest) -> Mapping[str, Array]:
    """The simple ways, with what is out at 13:00 known to them, too."""
    truth = measured(values, ours.clock, int(ours.origins[-1]) + ours.actual.shape[1])
    leads = np.arange(ours.actual.shape[1])
    targets, unknown = ours.origins[:, None] + leads, np.maximum(leads - 35, 0)
    back = unknown // 24 + 1
    return {
        "same_slot_last_known_day": truth.at(targets - 24 * back),
        "same_slot_last_week": truth.at(targets - 168),
        "last_seven_days": np.nanmean(np.stack([truth.at(targets - 24 * (back + k)) for k in range(7)]), axis=0),
    }


def carbon_scores(job: tuple[str, pd.Series[float], ZoneInfo]) -> Scores:
    name, values, zone = job
    series = "grid.carbon_kg_per_kwh"
    first, end = _last_days(values.index, timedelta(hours=1))
    schedule = Schedule(
        rolling_origins(first, end - timedelta(days=1), timedelta(hours=7), zone), timedelta(days=1), REFIT
    )
    record = Record(values.to_frame(series), 60)
    ours = backtest(record, series, Market(series, lowest=0.0), weekdays, zone, schedule, peer=False)
    return scores(name, ours, ours.yardsticks, {**lead_groups(ours.clock), "all": slice(None)}, float(values.mean()))


def fleet_scores(fleet: Fleet) -> list[Figure]:
    """Energy of the day ahead, its highest hour and its course, asked at midnight, once five weeks are known."""
    clock = LocalClock(fleet.zone, 60)
    first, last = (int(clock.days_and_slots(np.array([clock.closed_steps(at)]))[0][0]) for at in fleet.span)
    days = DayTable.over(weekdays, first - 20, last + 20)
    chargers = tuple(sorted({stay.charger for stay in fleet.stays}))
    actual = daily_need(fleet, clock, first, last)
    kind = ExpectedCars("arriving_kw", chargers)
    rows = []
    for day in range(first + 35, last + 1):
        origin = _midnight(clock, day)
        if (day - first) % 7 == 0:
            fitted = kind.fit(Measured(origin, np.empty(0)), FitContext(clock, days, origin, origin + 200, fleet.stays))
        issued = fitted.issue(Measured(origin, np.empty(0)), origin, origin + 24).quantiles
        before = actual[: day - first]
        alike = before[days.is_off(np.arange(first, day)) == days.is_off(np.array([day]))[0]]
        ways = np.stack([issued[0.5], before[-1], before[-7], alike[-4:].mean(axis=0)])
        rows.append((ways, actual[day - first], issued[0.1].sum(), issued[0.9].sum()))
    return fleet_figures(fleet.name, rows)


def _midnight(clock: LocalClock, day: int) -> int:
    local = datetime(1970, 1, 1, tzinfo=clock.zone) + timedelta(days=day)
    return clock.first_step(local)


def daily_need(fleet: Fleet, clock: LocalClock, first: int, last: int) -> Array:
    """(days, 24) energy need of the cars that came in each hour [kWh]."""
    table = np.zeros((last - first + 1, 24))
    steps = np.array([clock.closed_steps(stay.arrive) for stay in fleet.stays], dtype=np.int64)
    local_days, hours = clock.days_and_slots(steps)
    np.add.at(table, (local_days - first, hours), [stay.energy_kwh for stay in fleet.stays])
    return table


def fleet_figures(name: str, rows: Sequence[tuple[Array, Array, float, float]]) -> list[Figure]:
    ways, actual = np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
    low, high = (np.array([row[k] for row in rows]) for k in (2, 3))
    of_day, of_peak = (np.abs(f(ways) - f(actual)[:, None]).mean(axis=0) for f in (_energy, _highest))
    of_hour = np.abs(ways - actual[:, None]).mean(axis=(0, 2))
    size = {"energy": _energy(actual).mean(), "peak": _highest(actual).mean(), "hour": actual.mean()}
    told = f"{len(rows)} days; best of yesterday, last week, mean of four same-type days"
    figures = []
    for what, missed in (("energy", of_day), ("peak", of_peak), ("hour", of_hour)):
        how = f"{told}; error {100 * missed[0] / size[what]:.0f} % of the mean"
        figures.append(Figure(f"{name} cars {what}_ratio", missed[0] / missed[1:].min(), "ratio", how))
    inside = (low <= _energy(actual)) & (_energy(actual) <= high)
    return [*figures, Figure(f"{name} cars coverage80", inside.mean(), "", "energy of the day")]


def _energy(hours: Array) -> Array:
    return np.asarray(hours.sum(axis=-1))


def _highest(hours: Array) -> Array:
    return np.asarray(hours.max(axis=-1))


Job = tuple[Callable[[object], Scores], object]


def jobs_of(folder: Path) -> list[Job]:
    zones = {
        "nl": "Europe/Amsterdam",
        "gb_agile": "Europe/London",
        "sdge": "America/Los_Angeles",
        "gb": "Europe/London",
    }
    found: list[Job] = [(plant_scores, read()) for read in plants(folder).values()]
    for score, sources in ((price_scores, prices(folder)), (carbon_scores, carbon(folder))):
        found += [(score, (n, read(), ZoneInfo(zones.get(n, "America/Los_Angeles")))) for n, read in sources.items()]
    return found


def run_job(job: Job) -> Scores:
    score, what = job
    return score(what)


def measure(options: argparse.Namespace) -> Sequence[Figure]:
    folder: Path = options.data
    if not (folder / "prices").is_dir():
        print(f"{folder}: no recorded data; give a folder that holds them with --data DIR", file=sys.stderr)
        raise SystemExit(MISSING)
    jobs = jobs_of(folder)
    with ProcessPoolExecutor(2) as pool:
        found = tracked(pool.map(run_job, jobs), len(jobs), "series")
    return [*figures_of(found), *(figure for fleet in fleets(folder) for figure in fleet_scores(fleet))]


def figures_of(found: Iterable[Scores]) -> list[Figure]:
    figures = []
    for one in found:
        for group, ratio in one.ratios.items():
            how = f"over {one.best[group]}; error {one.error_percent[group]:.2f} %"
            figures.append(Figure(f"{one.name} ratio_{group}", ratio, "ratio", how))
        figures += [
            Figure(f"{one.name} {name}", share, "", "values in the band") for name, share in one.covered.items()
        ]
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=RECORDED, help="folder of recorded data")
    run("forecast_sources", parser, measure)
