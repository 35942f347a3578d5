"""The sample of the Jiashan park: what is shifted, scaled, repaired or assumed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from optimizer.situation import Session
from scripts.samples.cars import ASSUMED, session
from scripts.samples.readings import (
    BRIDGED_ROWS,
    RESTART_SHARE,
    STEP,
    SWITCHING_SHARE,
    ZONE,
    Cooling,
    Span,
    clock_series,
    cooling_demand,
    hot_water_series,
    workplace_stays,
)
from scripts.samples.sample import Files, Sample

SPAN = Span(pd.Timestamp("2026-06-15"), pd.Timestamp("2026-10-19"))

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
COOLER_BY_K = 7.0

SHORTEST_STAY, LONGEST_STAY = pd.Timedelta(hours=2.5), pd.Timedelta(hours=12)
SMALLEST_KWH = 3.0
V2G = tuple(f"ev{number:02d}" for number in range(1, 7))
CHARGE_LIMIT_KW = {f"ev{number:02d}": 20.0 if number <= 8 else 7.0 for number in range(1, 11)}


def make(files: Files) -> Sample:
    """The park's series, cars and the figures of its notes."""
    cooling = cooling_demand(files["chillers"], SPAN, HK_WEEKS)
    local = pd.DataFrame(
        {
            "load.demand_kw": site_load(files["library"], files["services"]).round(1),
            "pv1.available_kw": pv_output(files["pv"]).round(1),
            "cold_load.demand_kw": cooling.demand.round(1),
            "weather.temperature_c": temperature(files["weather"]).round(2),
        },
        index=SPAN.grid,
    )
    cars = park_sessions(files["cars"])
    return Sample(local, cars, notes(cooling, cars))


def site_load(library: pd.DataFrame, services: pd.DataFrame) -> pd.Series[float]:
    """Electric load [kW] without cooling and cars."""
    first = clock_series(library, "real_power_kw", SPAN, UCSD_WEEKS)
    second = clock_series(services, "real_power_kw", SPAN, UCSD_WEEKS)
    return LIBRARY_SHARE * first + SERVICES_SHARE * second


def pv_output(file: pd.DataFrame) -> pd.Series[float]:
    """Available PV power [kW]; in Pacific standard time the sun stands highest near 12, as it does in Jiashan."""
    measured = clock_series(file, "real_power_kw", SPAN, UCSD_WEEKS, PACIFIC_SUMMER_TIME)
    return (PV_SCALE * measured).clip(0.0, PV_LIMIT_KW)


def temperature(file: pd.DataFrame) -> pd.Series[float]:
    """Outdoor temperature [°C], hours joined by straight lines."""
    hourly = hot_water_series(file, "t_out", WEATHER_WEEKS)
    hourly = hourly[~hourly.index.duplicated()].dropna()
    fine = hourly.reindex(hourly.index.union(SPAN.grid)).interpolate(method="time")
    return fine.reindex(SPAN.grid) - COOLER_BY_K


def park_sessions(file: pd.DataFrame) -> tuple[Session, ...]:
    """The source's stays on the park's ten chargers, first come first served; who finds none free is left out."""
    free_from = dict.fromkeys(CHARGE_LIMIT_KW, SPAN.first)
    placed: list[Session] = []
    for stay in candidate_stays(file).to_dict("records"):
        charger = next((one for one in order_of_choice(stay) if free_from[one] <= stay["arrive"]), None)
        if charger is None:
            continue
        free_from[charger] = stay["depart"] + STEP
        limit_kw, known = CHARGE_LIMIT_KW[charger], charger in V2G
        placed.append(session(stay, charger, limit_kw, len(placed) + 1, known=known))
    return tuple(placed)


def candidate_stays(file: pd.DataFrame) -> pd.DataFrame:
    stays = workplace_stays(file, pd.Timedelta(weeks=CARS_WEEKS))
    long_enough = (stays["depart"] - stays["arrive"]).between(SHORTEST_STAY, LONGEST_STAY)
    inside = (stays["arrive"] >= SPAN.first) & (stays["depart"] < SPAN.end)
    return stays[long_enough & inside & (stays["kwh"] >= SMALLEST_KWH) & stays["location"].isin(LOCATIONS)]


def order_of_choice(stay: dict[Any, Any]) -> list[str]:
    """Long stays look for a V2G charger first, short ones for one of the others."""
    long_stay = stay["depart"] - stay["arrive"] >= pd.Timedelta(hours=3)
    others = [one for one in CHARGE_LIMIT_KW if one not in V2G]
    return [*V2G, *others] if long_stay else [*others, *V2G]


LOCATIONS = (493904, 868085, 461655, 976902, 481066, 928191, 503205, 144857)
"""The source's eight busiest sites in the span."""


def notes(cooling: Cooling, cars: tuple[Session, ...]) -> dict[str, object]:
    """The constants and counts of this run, for SOURCES.md."""
    arrivals = pd.DatetimeIndex([car.arrive for car in cars]).tz_convert(ZONE)
    workdays = arrivals[arrivals.day_of_week < 5]
    per_workday = pd.Series(1, index=workdays).groupby(workdays.date).sum()
    return {
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
        **ASSUMED,
        "shortest": f"{SHORTEST_STAY / pd.Timedelta(hours=1):g}",
    }
