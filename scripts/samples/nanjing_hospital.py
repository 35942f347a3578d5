"""The sample of the Nanjing hospital: a recorded hospital's power, with heat, cold and sun of other places."""

from __future__ import annotations

import pandas as pd

from scripts.samples.readings import Cooling, Filled, Span, cooling_demand, hot_water_series, hourly, sun_on_clock
from scripts.samples.sample import Files, Sample

SPAN = Span(pd.Timestamp("2026-02-02"), pd.Timestamp("2026-04-27"))
SOURCES = {
    "hospital": "bdg2/electricity_hourly.csv.gz",
    "pv": "ucsd_microgrid/pv_sdsc_15min.csv.gz",
    "heating": "hydronic_heating/building_127_hhw_hourly.csv.gz",
    "chillers": "hk_chiller_plant/building_x_chillers_15min.csv.gz",
}
HOSPITAL_WEEKS, UCSD_WEEKS, HEATING_WEEKS, HK_WEEKS = 469, 418, 365, 157
"""Whole weeks between a source's date and the park's, so that weekdays agree."""

HOSPITAL = "Mouse_health_Justin"
LOWEST_KW = 400.0
"""Hours below this are outages of the meter: the hospital's nights do not fall under it."""
PV_SCALE, PV_LIMIT_KW = 5.0, 300.0
COLD_SCALE = 3.0


def make(files: Files) -> Sample:
    """Power, heat, cold, sun and outdoor temperature."""
    power = hospital_load(files["hospital"])
    sun = sun_on_clock(files["pv"], SPAN, UCSD_WEEKS)
    heat, outdoors = (
        hourly(hot_water_series(files["heating"], column, HEATING_WEEKS), SPAN) for column in ("hw", "t_out")
    )
    cooling = cooling_demand(files["chillers"], SPAN, HK_WEEKS)
    local = pd.DataFrame(
        {
            "load.demand_kw": power.values.round(1),
            "pv1.available_kw": (PV_SCALE * sun.values).clip(upper=PV_LIMIT_KW).round(1),
            "heat_load.demand_kw": (heat.values / 1000.0).round(1),
            "cold_load.demand_kw": (COLD_SCALE * cooling.demand).round(1),
            "weather.temperature_c": outdoors.values.round(2),
        },
        index=SPAN.grid,
    )
    return Sample(local, notes=_notes(power, sun, heat, outdoors, cooling))


def hospital_load(file: pd.DataFrame) -> Filled:
    """Electric load [kW] of the hospital by its local hours; hours of a dead meter are bridged."""
    time = pd.to_datetime(file["timestamp"]) + pd.Timedelta(weeks=HOSPITAL_WEEKS)
    recorded = file[HOSPITAL].set_axis(time)
    return hourly(recorded.mask(recorded < LOWEST_KW), SPAN)


def _notes(power: Filled, sun: Filled, heat: Filled, outdoors: Filled, cooling: Cooling) -> dict[str, object]:
    return {
        "lowest": f"{LOWEST_KW:g}",
        "bridged_power": power.bridged,
        "pv_scale": f"{PV_SCALE:g}",
        "pv_limit": f"{PV_LIMIT_KW:g}",
        "bridged_sun": sun.bridged,
        "bridged_heat": heat.bridged,
        "bridged_outdoors": outdoors.bridged,
        "cold": f"{COLD_SCALE:g}",
        "bridged_cold": cooling.bridged,
        "copied": cooling.copied,
        "spans": cooling.copied_spans,
    }
