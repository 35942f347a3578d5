"""The sample of the Baoshan steel works: a recorded steel plant, made larger; its waste heat follows from its power."""

from __future__ import annotations

import pandas as pd

from scripts.samples.readings import Span, hot_water_series, hourly, quarters_of_steel, sun_on_clock
from scripts.samples.sample import Files, Sample

SPAN = Span(pd.Timestamp("2026-03-09"), pd.Timestamp("2026-06-29"))
SOURCES = {
    "steel": "steel_korea/steel_industry_15min.csv.gz",
    "pv": "ucsd_microgrid/pv_csc_building_15min.csv.gz",
    "heating": "hydronic_heating/building_127_hhw_hourly.csv.gz",
}
STEEL_WEEKS, UCSD_WEEKS, HEATING_WEEKS = 418, 418, 313
"""Whole weeks between a source's date and the park's, so that weekdays agree."""

STEEL_SCALE = 8.0
PV_SCALE, PV_LIMIT_KW = 14.0, 800.0
HEAT_SCALE = 2.0
WASTE_SHARE, HEAT_LIMIT_KW = 0.25, 900.0
"""Heat that a kWh of the furnaces leaves behind the exchanger; what the exchanger passes at most."""
WASTE_ROWS = 4
"""The furnaces' heat is that of their mean power of the last hour."""


def make(files: Files) -> Sample:
    """Power, sun, waste heat and the heat that the works need."""
    power = STEEL_SCALE * quarters_of_steel(files["steel"], SPAN, STEEL_WEEKS)
    sun = sun_on_clock(files["pv"], SPAN, UCSD_WEEKS)
    heat = hourly(hot_water_series(files["heating"], "hw", HEATING_WEEKS) / 1000.0, SPAN)
    local = pd.DataFrame(
        {
            "load.demand_kw": power.round(1),
            "pv1.available_kw": (PV_SCALE * sun.values).clip(upper=PV_LIMIT_KW).round(1),
            "furnaces.available_kw": waste_heat(power).round(1),
            "heat_load.demand_kw": (HEAT_SCALE * heat.values).round(1),
        },
        index=SPAN.grid,
    )
    return Sample(local, notes=_notes(sun.bridged, heat.bridged))


def waste_heat(power: pd.Series[float]) -> pd.Series[float]:
    """Heat behind the exchanger [kW]: a share of the mean power of the last hour."""
    return (WASTE_SHARE * power.rolling(WASTE_ROWS, min_periods=1).mean()).clip(upper=HEAT_LIMIT_KW)


def _notes(bridged_sun: int, bridged_hours: int) -> dict[str, object]:
    return {
        "steel": f"{STEEL_SCALE:g}",
        "pv_scale": f"{PV_SCALE:g}",
        "pv_limit": f"{PV_LIMIT_KW:g}",
        "heat": f"{HEAT_SCALE:g}",
        "waste": f"{WASTE_SHARE:.0%}",
        "heat_limit": f"{HEAT_LIMIT_KW:g}",
        "bridged_sun": bridged_sun,
        "bridged_hours": bridged_hours,
    }
