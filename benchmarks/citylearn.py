"""The homes of the CityLearn Challenge 2022, phase 1, as five sites replayed and scored as the challenge did.

Each home has PV and a battery and is controlled by itself, hour by hour, with forecasts as they would have been issued
then. Scores are ratios to the same homes without storage (`score`): what published controllers are given by, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import yaml
from figures import Figure, run, tracked

from hil.replay.case import Terms
from hil.replay.replay import Replayed, replay
from site_configs.history import History, read_history, write_history
from site_configs.loader import load_site
from site_configs.site import Site
from site_configs.tariff import load_tariff

DATA = Path(__file__).parents[2] / "shared" / "data" / "citylearn_2022" / "phase_1"
ZONE = "Etc/GMT+8"
"""The hours of the files know no daylight saving; hour 24 is the first of the day, as the prices show."""
FIRST = datetime(2016, 8, 1, 8, tzinfo=UTC)
"""The files' month and weekday columns fit this year."""
HOURS = 8760
FROM, DAYS = "2016-11-01", 30
ROUND_TRIP = 0.83
"""The challenge's battery has 0.83 to 0.90 by power; the least is taken."""
CHARGE_CURVE = [[0.8, 1.0], [1.0, 0.2]]
CONTROLLERS: tuple[Replayed, ...] = ("engine", "rules", "perfect")
PUBLISHED = {"no control": 1.0, "best practical": 0.83, "LP, all known": 0.66}
WINTER = {"low": 0.21, "peak": 0.50}
SUMMER = {"low": 0.22, "peak": 0.54, "peak_rest_day": 0.40}
"""The prices of the files [USD/kWh]; the peak is from 16 to 21."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Home:
    """One home as a site with its year."""

    site: Site
    history: History


@dataclass(frozen=True)
class Score:
    """Ratios to the same homes without storage."""

    cost: float
    """Cost of the five homes' net power hour by hour: what one exports, another may use."""
    cost_of_each: float
    """Cost with every home metered by itself."""
    carbon: float
    daily_peak: float
    """Mean over the days of the five homes' highest net hour."""

    @property
    def mean(self) -> float:
        """The challenge's score in phase 1."""
        return (self.cost + self.carbon) / 2


def write_homes(source: Path, out: Path) -> list[str]:
    """Converts the challenge's files: a folder for each home with `site.yaml` and the history; returns their names."""
    buildings = json.loads((source / "schema.json").read_text(encoding="utf-8"))["buildings"]
    prices, carbon = (_column(source / f"{name}.csv.gz") for name in ("pricing", "carbon_intensity"))
    for name, building in buildings.items():
        frame = home_frame(
            pd.read_csv(source / f"{name}.csv.gz"), building["pv"]["attributes"]["nominal_power"], carbon
        )
        write_history(out / name, frame)
        weight = float(prices.mean() / carbon.mean())
        text = yaml.safe_dump(site_file(name.lower(), building, weight), sort_keys=False)
        (out / name / "site.yaml").write_text(text, encoding="utf-8")
        _check_prices(load_site(out / name / "site.yaml"), prices)
    return list(buildings)


def home_frame(file: pd.DataFrame, pv_kw: float, carbon: Array) -> pd.DataFrame:
    """A home's year by the columns of a history folder; the source gives PV in W for each kW of modules."""
    return pd.DataFrame(
        {
            "load.demand_kw": file["non_shiftable_load"].clip(lower=0.0).to_numpy(),
            "pv1.available_kw": pv_kw * file["solar_generation"].clip(lower=0.0).to_numpy() / 1000.0,
            "grid.carbon_kg_per_kwh": carbon,
        },
        index=pd.date_range(FIRST, periods=HOURS, freq="h", name="time"),
    )


def site_file(name: str, building: dict[str, Any], carbon_price: float) -> dict[str, Any]:
    """A home as a site. Carbon has the price at which a kWh's mean carbon weighs as much as its mean cost, because the
    challenge adds both as ratios."""
    battery = building["electrical_storage"]["attributes"]
    one_way = ROUND_TRIP**0.5
    return {
        "id": name,
        "name_zh": name,
        "name_en": name,
        "timezone": ZONE,
        "latitude": 34.09,
        "longitude": -117.44,
        "holidays": "none",
        "currency": "USD",
        "step_minutes": 60,
        "tariff": {"custom": _tariff()},
        "export": {"price_per_kwh": 0.0},
        "carbon": {"region": "CAISO", "kg_per_kwh": 0.157, "from_data": True, "price_per_kg": carbon_price},
        "devices": [
            {"id": "grid", "kind": "grid_connection", "import_limit_kw": 30, "export_limit_kw": 30},
            {"id": "load", "kind": "load"},
            {"id": "pv1", "kind": "pv", "capacity_kw": building["pv"]["attributes"]["nominal_power"]},
            {
                "id": "battery1",
                "kind": "battery",
                "capacity_kwh": battery["capacity"],
                "charge_limit_kw": battery["nominal_power"],
                "discharge_limit_kw": battery["nominal_power"],
                "charge_limit_by_soc": CHARGE_CURVE,
                "charge_efficiency": one_way,
                "discharge_efficiency": one_way,
                "standing_loss_per_hour": 0.0,
                "min_soc": 0.0,
                "max_soc": 1.0,
                "initial_soc": 0.0,
                "wear_cost_per_kwh": 0.0,
            },
        ],
    }


def _tariff() -> dict[str, Any]:
    peak, low = ["16:00-21:00"], ["21:00-16:00"]
    winter = {name: {"hours": hours, "price_per_kwh": WINTER[name]} for name, hours in (("peak", peak), ("low", low))}
    work = {name: {"hours": hours, "price_per_kwh": SUMMER[name]} for name, hours in (("peak", peak), ("low", low))}
    rest = {"peak": {"hours": peak, "price_per_kwh": SUMMER["peak_rest_day"]}, "low": work["low"]}
    summer_days = [{"kinds": ["workday"], "bands": work}, {"kinds": ["rest_day", "holiday"], "bands": rest}]
    return {
        "name": "CityLearn 2022",
        "source": "pricing.csv of phase 1",
        "effective_from": "2016-01-01",
        "seasons": [
            {"name": "summer", "months": [6, 7, 8, 9], "days": summer_days},
            {"name": "winter", "months": [1, 2, 3, 4, 5, 10, 11, 12], "days": [{"bands": winter}]},
        ],
    }


def _check_prices(site: Site, prices: Array) -> None:
    """The tariff written here is the price column of the files, hour by hour."""
    tariff = load_tariff(site)
    ours = [float(tariff.at(FIRST + hour * timedelta(hours=1)).total) for hour in range(HOURS)]
    wrong = np.flatnonzero(~np.isclose(ours, prices))
    if len(wrong):
        raise ValueError(f"pricing.csv: row {wrong[0]} has {prices[wrong[0]]}, the tariff has {ours[wrong[0]]}")


def _column(path: Path) -> Array:
    return pd.read_csv(path).iloc[:, 0].to_numpy(dtype=float)


def read_homes(folder: Path, names: Sequence[str]) -> list[Home]:
    return [Home(load_site(folder / name / "site.yaml"), read_history(folder / name)) for name in names]


def score(net_kw: Array, without_kw: Array, prices: Array, carbon: Array) -> Score:
    """(hours, homes) net power with and without storage [kW] at the hours' prices and carbon factors.

    cost = Σ_t max(0, p_t·Σ_b net_tb), carbon = Σ_t Σ_b c_t·max(0, net_tb), as the challenge's evaluator has them.
    """

    def of_all(net: Array) -> float:
        return float((prices * net.sum(axis=1)).clip(min=0.0).sum())

    def of_each(net: Array, weights: Array) -> float:
        return float((weights[:, None] * net.clip(min=0.0)).sum())

    def daily_peak(net: Array) -> float:
        return float(net.sum(axis=1).reshape(-1, 24).max(axis=1).mean())

    return Score(
        of_all(net_kw) / of_all(without_kw),
        of_each(net_kw, prices) / of_each(without_kw, prices),
        of_each(net_kw, carbon) / of_each(without_kw, carbon),
        daily_peak(net_kw) / daily_peak(without_kw),
    )


def replayed(home: Home, controller: Replayed, start: datetime, end: datetime, folder: Path | None) -> Array:
    """(hours,) net power of a home under a controller [kW]; finished parts stay in `folder`."""
    terms = Terms(plant="as_planned")
    found = replay(home.site, home.history, start, end, controller, terms=terms, folder=folder).account.meters
    hourly = (found["meter.import_kw"] - found["meter.export_kw"]).resample("1h").mean()
    return cast(Array, hourly.to_numpy(dtype=float))


def scores(
    homes: Sequence[Home], controllers: Sequence[Replayed], start: datetime, days: int, folder: Path | None
) -> Iterator[tuple[Replayed, Score]]:
    end = start + timedelta(days=days)
    windows = [home.history.window(start, end) for home in homes]
    tariff = load_tariff(homes[0].site)
    prices = np.array([float(tariff.at(time.to_pydatetime()).total) for time in windows[0].index])
    carbon = windows[0]["grid.carbon_kg_per_kwh"].to_numpy()
    without = np.stack([(w["load.demand_kw"] - w["pv1.available_kw"]).to_numpy() for w in windows], axis=1)
    for controller in controllers:
        runs = (replayed(home, controller, start, end, folder) for home in homes)
        net = np.stack(tracked(runs, len(homes), f"homes under {controller}"), axis=1)
        yield controller, score(net, without, prices, carbon)


def figures(options: argparse.Namespace) -> list[Figure]:
    if not (options.data / "schema.json").exists():
        print(f"no schema.json in {options.data}: give the challenge's phase 1 with --data", file=sys.stderr)
        raise SystemExit(3)
    start = pd.Timestamp(options.start, tz=ZONE).tz_convert("UTC").to_pydatetime()
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        homes = read_homes(out, write_homes(options.data, out))
        found = [
            figure
            for controller, value in scores(homes, options.controllers, start, options.days, options.keep)
            for figure in _figures(controller, value, options.days)
        ]
    return [
        *found,
        *(Figure(f"published, {name}", value, "ratio", "the whole year") for name, value in PUBLISHED.items()),
    ]


def _figures(controller: str, value: Score, days: int) -> Iterator[Figure]:
    how = f"five homes, {days} days, over no storage"
    yield Figure(f"{controller}_score", value.mean, "ratio", f"mean of cost and carbon; {how}")
    yield Figure(f"{controller}_cost", value.cost, "ratio", f"net of the five homes; {how}")
    yield Figure(f"{controller}_cost_of_each", value.cost_of_each, "ratio", f"every home by itself; {how}")
    yield Figure(f"{controller}_carbon", value.carbon, "ratio", how)
    yield Figure(f"{controller}_daily_peak", value.daily_peak, "ratio", f"mean of the days' highest hours; {how}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="the challenge's phase 1")
    parser.add_argument("--from", dest="start", default=FROM, metavar="DATE", help="first day, local")
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--controllers", nargs="+", choices=CONTROLLERS, default=list(CONTROLLERS))
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the converted homes there")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep finished parts there, so that a run goes on")
    return parser


if __name__ == "__main__":
    run("citylearn", _parser(), figures)
