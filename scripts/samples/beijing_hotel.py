"""The sample of the Beijing hotel: power of a service building, cold of a chiller plant, hot water, a hot summer."""

from __future__ import annotations

import pandas as pd

from scripts.samples.readings import (
    Cooling,
    Filled,
    Span,
    cooling_demand,
    hot_water_series,
    hourly,
    load_on_clock,
    sun_on_clock,
)
from scripts.samples.sample import Files, Sample

SPAN = Span(pd.Timestamp("2026-06-22"), pd.Timestamp("2026-09-14"))
SOURCES = {
    "services": "ucsd_microgrid/load_student_services_15min.csv.gz",
    "pv": "ucsd_microgrid/pv_csc_building_15min.csv.gz",
    "chillers": "hk_chiller_plant/building_x_chillers_15min.csv.gz",
    "heating": "hydronic_heating/building_127_hhw_hourly.csv.gz",
    "weather": "hydronic_heating/building_29_hhw_hourly.csv.gz",
}
UCSD_WEEKS, HK_WEEKS, HEATING_WEEKS, WEATHER_WEEKS = 417, 156, 365, 417
"""Whole weeks between a source's date and the park's, so that weekdays agree."""

SERVICES_SCALE = 6.0
PV_SCALE, PV_LIMIT_KW = 4.0, 200.0
COLD_SCALE = 7.0
HEAT_SCALE = 1.5
COOLER_BY_K = 8.0


def make(files: Files) -> Sample:
    """Power, cold, hot water, sun and outdoor temperature."""
    power = load_on_clock(files["services"], SPAN, UCSD_WEEKS)
    sun = sun_on_clock(files["pv"], SPAN, UCSD_WEEKS)
    cooling = cooling_demand(files["chillers"], SPAN, HK_WEEKS)
    heat = hourly(hot_water_series(files["heating"], "hw", HEATING_WEEKS) / 1000.0, SPAN)
    outdoors = hourly(hot_water_series(files["weather"], "t_out", WEATHER_WEEKS), SPAN)
    local = pd.DataFrame(
        {
            "load.demand_kw": (SERVICES_SCALE * power.values).round(1),
            "pv1.available_kw": (PV_SCALE * sun.values).clip(upper=PV_LIMIT_KW).round(1),
            "cold_load.demand_kw": (COLD_SCALE * cooling.demand).round(1),
            "heat_load.demand_kw": (HEAT_SCALE * heat.values).round(1),
            "weather.temperature_c": (outdoors.values - COOLER_BY_K).round(2),
        },
        index=SPAN.grid,
    )
    return Sample(local, notes=_notes(power, sun, cooling, heat, outdoors))


def _notes(power: Filled, sun: Filled, cooling: Cooling, heat: Filled, outdoors: Filled) -> dict[str, object]:
    return {
        "services": f"{SERVICES_SCALE:g}",
        "bridged_power": power.bridged,
        "pv_scale": f"{PV_SCALE:g}",
        "pv_limit": f"{PV_LIMIT_KW:g}",
        "bridged_sun": sun.bridged,
        "cold": f"{COLD_SCALE:g}",
        "bridged_cold": cooling.bridged,
        "copied": cooling.copied,
        "spans": cooling.copied_spans,
        "heat": f"{HEAT_SCALE:g}",
        "bridged_heat": heat.bridged,
        "cooler": f"{COOLER_BY_K:g}",
        "bridged_outdoors": outdoors.bridged,
    }
