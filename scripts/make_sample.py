"""Makes the sample history of the Jiashan park from published measurements.

    python scripts/make_sample.py SOURCE_FOLDER [--out FOLDER]

SOURCE_FOLDER holds the source files under the names in `SOURCES` below. The mapping is the code: what is shifted,
scaled, repaired or assumed stands here and, with the counts, in the SOURCES.md that is written beside the series.
Running it again on the same files gives the same bytes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd

from optimizer.situation import Session
from site_configs.history import write_history

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "site_configs" / "sample" / "jiashan_park"
ZONE = "Asia/Shanghai"
STEP = pd.Timedelta(minutes=15)
FIRST, END = pd.Timestamp("2026-06-15"), pd.Timestamp("2026-10-19")
"""Local time of the park."""

SOURCES = {
    "library": "ucsd_microgrid/load_geisel_library_15min.csv.gz",
    "services": "ucsd_microgrid/load_student_services_15min.csv.gz",
    "pv": "ucsd_microgrid/pv_hopkins_parking_15min.csv.gz",
    "chillers": "hk_chiller_plant/building_x_chillers_15min.csv.gz",
    "weather": "hydronic_heating/building_29_hhw_hourly.csv.gz",
    "cars": "ev_sessions/workplace_sessions_2014_2015.csv.gz",
}

UCSD_WEEKS, HK_WEEKS, WEATHER_WEEKS, CARS_WEEKS = 365, 156, 365, 576
"""Whole weeks between a source's date and the park's, so that weekdays agree."""

LIBRARY_SHARE, SERVICES_SHARE = 0.85, 2.0
PV_SCALE, PV_LIMIT_KW = 1.7, 500.0
PACIFIC_SUMMER_TIME = pd.Timedelta(hours=1)
WATER_KJ_PER_KG_K = 4.186
SWITCHING_SHARE = 0.6
"""Chilled-water readings below this share of the median of three days come from a change of chillers, not of demand."""
RESTART_SHARE = 1.2
"""Readings above this share of that median within an hour of a hole are the catching up after it."""
TYPICAL_ROWS = 3 * 96
"""Three days make the median that a reading is compared with."""
BRIDGED_ROWS = 12
"""Longer holes in the cooling demand are filled from the week before."""
COOLER_BY_K = 7.0

EASTERN_SUMMER_TIME = pd.Timedelta(hours=4)
CAR_ENERGY_SCALE = 4.0
SHORTEST_STAY, LONGEST_STAY = pd.Timedelta(hours=2.5), pd.Timedelta(hours=12)
SMALLEST_KWH = 3.0
CAPACITIES_KWH = (45.0, 60.0, 77.0)
FULL_SHARE, EMPTY_SHARE = 0.9, 0.1
USED_POWER_SHARE = 0.9
V2G = tuple(f"ev{number:02d}" for number in range(1, 7))
CHARGE_LIMIT_KW = {f"ev{number:02d}": 20.0 if number <= 8 else 7.0 for number in range(1, 11)}


@dataclass(frozen=True)
class Cooling:
    """Cooling demand with the count of what was filled."""

    demand: pd.Series[float]
    bridged: int
    copied: int
    copied_spans: str


def main() -> None:
    arguments = argparse.ArgumentParser(description="Makes the sample history of the Jiashan park.")
    arguments.add_argument("source_folder", type=Path)
    arguments.add_argument("--out", type=Path, default=OUT)
    chosen = arguments.parse_args()
    make(chosen.source_folder, chosen.out)


def make(source: Path, out: Path) -> None:
    """Reads the sources, writes series, sessions and SOURCES.md."""
    files = {name: pd.read_csv(source / path) for name, path in SOURCES.items()}
    cooling = cooling_demand(files["chillers"])
    local = pd.DataFrame(
        {
            "load.demand_kw": site_load(files["library"], files["services"]).round(1),
            "pv1.available_kw": pv_output(files["pv"]).round(1),
            "cold_load.demand_kw": cooling.demand.round(1),
            "weather.temperature_c": temperature(files["weather"]).round(2),
        },
        index=grid(),
    )
    frame = local.tz_localize(ZONE).tz_convert("UTC").rename_axis("time")
    cars = park_sessions(files["cars"])
    write_history(out, frame, cars)
    (out / "SOURCES.md").write_text(sources_text(local, cooling, cars), encoding="utf-8")


def grid() -> pd.DatetimeIndex:
    return pd.date_range(FIRST, END, freq=STEP, inclusive="left")


def clock_series(file: pd.DataFrame, column: str, weeks: int, offset: pd.Timedelta) -> pd.Series[float]:
    """A column on the park's clock: the source's wall clock less `offset`, moved by whole weeks."""
    time = pd.to_datetime(file["timestamp_local"]) - offset + pd.Timedelta(weeks=weeks)
    values = file[column].set_axis(time)
    return values[~values.index.duplicated()].reindex(grid())


def site_load(library: pd.DataFrame, services: pd.DataFrame) -> pd.Series[float]:
    """Electric load [kW] without cooling and cars."""
    now = pd.Timedelta(0)
    first = clock_series(library, "real_power_kw", UCSD_WEEKS, now)
    second = clock_series(services, "real_power_kw", UCSD_WEEKS, now)
    return LIBRARY_SHARE * first + SERVICES_SHARE * second


def pv_output(file: pd.DataFrame) -> pd.Series[float]:
    """Available PV power [kW]; in Pacific standard time the sun stands highest near 12, as it does in Jiashan."""
    measured = clock_series(file, "real_power_kw", UCSD_WEEKS, PACIFIC_SUMMER_TIME)
    return (PV_SCALE * measured).clip(0.0, PV_LIMIT_KW)


def cooling_demand(file: pd.DataFrame) -> Cooling:
    """Cooling demand [kW thermal] of the three chillers, without the holes that changes of chillers leave."""
    time = pd.to_datetime(file["record_timestamp"], format="%d/%m/%Y %H:%M") + pd.Timedelta(weeks=HK_WEEKS)
    week = pd.Timedelta(weeks=1)
    whole = pd.date_range(FIRST - week, END + pd.Timedelta(days=1), freq=STEP, inclusive="left")
    measured = chilled_water_power(file).set_axis(time).reindex(whole)
    steady = without_switching(measured)
    gaps = gap_lengths(steady)
    copied = (gaps > BRIDGED_ROWS) & steady.isna()
    filled = steady.interpolate(limit_area="inside").where(
        ~copied, steady.interpolate().shift(freq=week).reindex(whole)
    )
    inside = filled.index.isin(grid())
    bridged = steady.isna() & ~copied
    return Cooling(filled[inside], int(bridged[inside].sum()), int(copied[inside].sum()), spans(copied[inside]))


def chilled_water_power(file: pd.DataFrame) -> pd.Series[float]:
    """Sum over chillers of 4.186 x flow [l/s] x (return - supply) [K]; NaN where a reading is missing or all are 0."""
    power = {
        number: WATER_KJ_PER_KG_K
        * file[f"CHR-0{number}-CHWFWR"]
        * (file[f"CHR-0{number}-CHWRWT"] - file[f"CHR-0{number}-CHWSWT"])
        for number in (1, 2, 3)
    }
    dead = (file.filter(regex="SWT|RWT") == 0).all(axis="columns")
    return pd.DataFrame(power).clip(lower=0.0).sum(axis="columns", min_count=3).mask(dead)


def without_switching(power: pd.Series[float]) -> pd.Series[float]:
    typical = power.rolling(TYPICAL_ROWS, center=True, min_periods=TYPICAL_ROWS // 4).median()
    steady = power.mask(power < SWITCHING_SHARE * typical)
    near_hole = steady.isna().rolling(9, center=True, min_periods=1).max().astype(bool)
    return steady.mask(near_hole & (steady > RESTART_SHARE * typical))


def gap_lengths(series: pd.Series[float]) -> pd.Series[int]:
    """For each row the number of rows of the run (of values or of holes) that it belongs to."""
    missing = series.isna()
    run = (missing != missing.shift()).cumsum()
    return run.map(run.value_counts())


def spans(rows: pd.Series[bool]) -> str:
    run = (rows != rows.shift()).cumsum()[rows]
    parts = [(block.index[0], block.index[-1] + STEP) for _, block in run.groupby(run)]
    return "; ".join(f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}" for start, end in parts) or "none"


def temperature(file: pd.DataFrame) -> pd.Series[float]:
    """Outdoor temperature [°C], hours joined by straight lines."""
    time = pd.to_datetime(file["dt"]) + pd.to_timedelta(file["hr"], unit="h") + pd.Timedelta(weeks=WEATHER_WEEKS)
    hourly = file["t_out"].set_axis(time)
    hourly = hourly[~hourly.index.duplicated()].dropna()
    fine = hourly.reindex(hourly.index.union(grid())).interpolate(method="time")
    return fine.reindex(grid()) - COOLER_BY_K


def park_sessions(file: pd.DataFrame) -> tuple[Session, ...]:
    """The source's stays on the park's ten chargers, first come first served; who finds none free is left out."""
    free_from = dict.fromkeys(CHARGE_LIMIT_KW, FIRST)
    placed: list[Session] = []
    for stay in candidate_stays(file).to_dict("records"):
        charger = next((one for one in order_of_choice(stay) if free_from[one] <= stay["arrive"]), None)
        if charger is None:
            continue
        free_from[charger] = stay["depart"] + STEP
        placed.append(session(stay, charger, len(placed) + 1))
    return tuple(placed)


def candidate_stays(file: pd.DataFrame) -> pd.DataFrame:
    move = pd.Timedelta(weeks=CARS_WEEKS) - EASTERN_SUMMER_TIME
    stays = pd.DataFrame(
        {
            "arrive": pd.to_datetime("2" + file["created"].str[1:]) + move,
            "depart": pd.to_datetime("2" + file["ended"].str[1:]) + move,
            "kwh": file["kwhTotal"],
            "user": file["userId"].rank(method="dense").astype(int),
            "location": file["locationId"],
        }
    )
    for name in ("arrive", "depart"):
        stays[name] = stays[name].dt.floor("min")
    long_enough = (stays["depart"] - stays["arrive"]).between(SHORTEST_STAY, LONGEST_STAY)
    inside = (stays["arrive"] >= FIRST) & (stays["depart"] < END)
    chosen = stays[long_enough & inside & (stays["kwh"] >= SMALLEST_KWH) & stays["location"].isin(LOCATIONS)]
    return chosen.sort_values(["arrive", "user"], kind="stable")


def order_of_choice(stay: dict[Any, Any]) -> list[str]:
    """Long stays look for a V2G charger first, short ones for one of the others."""
    long_stay = stay["depart"] - stay["arrive"] >= pd.Timedelta(hours=3)
    others = [one for one in CHARGE_LIMIT_KW if one not in V2G]
    return [*V2G, *others] if long_stay else [*others, *V2G]


def session(stay: dict[Any, Any], charger: str, number: int) -> Session:
    capacity = CAPACITIES_KWH[stay["user"] % len(CAPACITIES_KWH)]
    hours = (stay["depart"] - stay["arrive"]) / pd.Timedelta(hours=1)
    most = min(USED_POWER_SHARE * CHARGE_LIMIT_KW[charger] * hours, (FULL_SHARE - EMPTY_SHARE) * capacity)
    needed = float(np.floor(min(CAR_ENERGY_SCALE * stay["kwh"], most) * 10) / 10)
    return Session(
        session_id=f"s{number:04d}",
        charger=charger,
        arrive=utc(stay["arrive"]),
        depart=utc(stay["depart"]),
        energy_needed_kwh=needed,
        energy_on_arrival_kwh=round(FULL_SHARE * capacity - needed, 1) if charger in V2G else None,
        capacity_kwh=capacity if charger in V2G else None,
    )


def utc(local: pd.Timestamp) -> Any:
    return local.tz_localize(ZONE).tz_convert("UTC").to_pydatetime()


LOCATIONS = (493904, 868085, 461655, 976902, 481066, 928191, 503205, 144857)
"""The source's eight busiest sites in the span."""


def sources_text(local: pd.DataFrame, cooling: Cooling, cars: tuple[Session, ...]) -> str:
    """SOURCES.md with the constants and counts of this run filled in."""
    arrivals = pd.DatetimeIndex([car.arrive for car in cars]).tz_convert(ZONE)
    workdays = arrivals[arrivals.day_of_week < 5]
    per_workday = pd.Series(1, index=workdays).groupby(workdays.date).sum()
    filled = {
        "table": "\n".join(figures(str(name), local[name]) for name in local),
        "library": LIBRARY_SHARE,
        "services": SERVICES_SHARE,
        "pv_scale": PV_SCALE,
        "pv_limit": f"{PV_LIMIT_KW:g}",
        "switching": f"{SWITCHING_SHARE:.0%}",
        "restart": f"{RESTART_SHARE:.0%}",
        "bridged": cooling.bridged,
        "bridged_h": f"{BRIDGED_ROWS / 4:g}",
        "copied": cooling.copied,
        "spans": cooling.copied_spans,
        "cooler": f"{COOLER_BY_K:g}",
        "sessions": len(cars),
        "per_workday": f"{per_workday.median():g}",
        "quartiles": f"{per_workday.quantile(0.1):g} to {per_workday.quantile(0.9):g}",
        "locations": ", ".join(map(str, LOCATIONS)),
        "energy_scale": f"{CAR_ENERGY_SCALE:g}",
        "used_share": f"{USED_POWER_SHARE:.0%}",
        "capacities": ", ".join(f"{capacity:g}" for capacity in CAPACITIES_KWH),
        "full": f"{FULL_SHARE:.0%}",
        "share": f"{FULL_SHARE - EMPTY_SHARE:.0%}",
        "shortest": f"{SHORTEST_STAY / pd.Timedelta(hours=1):g}",
    }
    return Template((HERE / "sample_sources.md.in").read_text(encoding="utf-8")).substitute(filled)


def figures(name: str, column: pd.Series[float]) -> str:
    return f"| `{name}` | {column.mean():.1f} | {column.min():.1f} | {column.max():.1f} |"


if __name__ == "__main__":
    main()
