"""The sample of the Wuxi depot: a year of stays at 105 workplace stations, its weeks laid over one another."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optimizer.situation import Session
from scripts.samples.cars import ASSUMED, session
from scripts.samples.readings import STEP, Filled, Span, load_on_clock, sun_on_clock, workplace_stays
from scripts.samples.sample import Files, Sample

SPAN = Span(pd.Timestamp("2026-06-15"), pd.Timestamp("2026-08-10"))
SOURCES = {
    "building": "ucsd_microgrid/v2g_hopkins_building_15min.csv.gz",
    "pv": "ucsd_microgrid/pv_hopkins_parking_15min.csv.gz",
    "cars": "ev_sessions/workplace_sessions_2014_2015.csv.gz",
}
BUILDING_WEEKS, PV_WEEKS = 365, 417
"""Whole weeks between a source's date and the park's, so that weekdays agree."""
FIRST_MONDAY = pd.Timestamp("2014-11-17")
"""Of the recorded stays."""

BUILDING_SCALE = 2.0
PV_SCALE, PV_LIMIT_KW = 2.0, 600.0
CHARGERS = tuple(f"ev{number:03d}" for number in range(1, 106))
CHARGER_KW = 20.0
SHORTEST_STAY, LONGEST_STAY = pd.Timedelta(hours=1.5), pd.Timedelta(hours=12)
SMALLEST_KWH = 2.0


def make(files: Files) -> Sample:
    """Building, sun and cars."""
    building = load_on_clock(files["building"], SPAN, BUILDING_WEEKS)
    sun = sun_on_clock(files["pv"], SPAN, PV_WEEKS)
    cars = depot_sessions(files["cars"])
    local = pd.DataFrame(
        {
            "load.demand_kw": (BUILDING_SCALE * building.values).clip(lower=0.0).round(1),
            "pv1.available_kw": (PV_SCALE * sun.values).clip(upper=PV_LIMIT_KW).round(1),
        },
        index=SPAN.grid,
    )
    return Sample(local, cars, _notes(building, sun, cars))


def depot_sessions(file: pd.DataFrame) -> tuple[Session, ...]:
    """Every stay at the charger that has been free the longest; who finds none free is left out."""
    free_from = dict.fromkeys(CHARGERS, SPAN.first - STEP)
    placed: list[Session] = []
    for stay in folded_stays(file).to_dict("records"):
        charger = min(free_from, key=lambda one: (free_from[one], one))
        if free_from[charger] > stay["arrive"]:
            continue
        free_from[charger] = stay["depart"] + STEP
        placed.append(session(stay, charger, CHARGER_KW, len(placed) + 1, known=True))
    return tuple(placed)


def folded_stays(file: pd.DataFrame) -> pd.DataFrame:
    """The recorded weeks dealt out to the weeks of the sample in turn; weekday and time of day stay."""
    stays = workplace_stays(file)
    weeks = (SPAN.end - SPAN.first) // pd.Timedelta(weeks=1)
    recorded = (stays["arrive"] - FIRST_MONDAY) // pd.Timedelta(weeks=1)
    move = SPAN.first - FIRST_MONDAY + (recorded % weeks - recorded) * pd.Timedelta(weeks=1)
    moved = stays.assign(arrive=stays["arrive"] + move, depart=stays["depart"] + move)
    long_enough = (moved["depart"] - moved["arrive"]).between(SHORTEST_STAY, LONGEST_STAY)
    inside = (moved["arrive"] >= SPAN.first) & (moved["depart"] < SPAN.end)
    chosen = moved[long_enough & inside & (moved["kwh"] >= SMALLEST_KWH)]
    return chosen.sort_values(["arrive", "user", "depart"], kind="stable")


def _notes(building: Filled, sun: Filled, cars: tuple[Session, ...]) -> dict[str, object]:
    edges = sorted([(car.arrive, 1) for car in cars] + [(car.depart, -1) for car in cars])
    return {
        "building": f"{BUILDING_SCALE:g}",
        "bridged_building": building.bridged,
        "pv_scale": f"{PV_SCALE:g}",
        "pv_limit": f"{PV_LIMIT_KW:g}",
        "bridged_sun": sun.bridged,
        "sessions": len(cars),
        "weeks": (SPAN.end - SPAN.first) // pd.Timedelta(weeks=1),
        "most_cars": int(np.cumsum([change for _, change in edges]).max()),
        "shortest": f"{SHORTEST_STAY / pd.Timedelta(hours=1):g}",
        "smallest": f"{SMALLEST_KWH:g}",
        **ASSUMED,
    }
