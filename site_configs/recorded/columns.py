"""Names and units of the columns of a history: `<device id>.<quantity>_<unit>`."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Unit:
    """What a unit suffix allows."""

    meaning: str
    interpolated: bool = False
    """Whether short gaps may be bridged by a straight line."""
    lowest: float | None = None
    highest: float | None = None


UNITS = {
    "kw": Unit("power, mean over the interval [kW]", interpolated=True),
    "kvar": Unit("reactive power, mean over the interval [kvar]", interpolated=True),
    "kwh": Unit("energy [kWh]", lowest=0.0),
    "c": Unit("temperature [°C]", interpolated=True, lowest=-60.0, highest=200.0),
    "w_per_m2": Unit("irradiance [W/m²]", interpolated=True, lowest=0.0, highest=1600.0),
    "m_per_s": Unit("speed [m/s]", interpolated=True, lowest=0.0, highest=120.0),
    "pct": Unit("share [%]", interpolated=True),
    "per_kwh": Unit("price in the site's currency [1/kWh]"),
    "kg_per_kwh": Unit("carbon factor [kg CO2/kWh]", lowest=0.0),
}

FOREIGN_UNITS = {
    "w": "divide by 1000 and call it _kw",
    "mw": "multiply by 1000 and call it _kw",
    "kva": "give real power as _kw or reactive power as _kvar",
    "wh": "divide by 1000 and call it _kwh",
    "mwh": "multiply by 1000 and call it _kwh",
    "mj": "divide by 3.6 and call it _kwh",
    "gj": "multiply by 277.778 and call it _kwh",
    "f": "convert (f - 32) / 1.8 and call it _c",
    "k": "subtract 273.15 and call it _c",
    "kw_per_m2": "multiply by 1000 and call it _w_per_m2",
    "per_mwh": "divide by 1000 and call it _per_kwh",
    "g_per_kwh": "divide by 1000 and call it _kg_per_kwh",
    "kg_per_mwh": "divide by 1000 and call it _kg_per_kwh",
    "t_per_mwh": "call it _kg_per_kwh, the number stays the same",
}

FLOWS_KW = {"demand", "available", "used", "served", "import", "export", "charge", "discharge", "cold", "heat"}
"""Quantities in kW that have their direction in their name, and so are never negative."""

TWO_WAY_KW = {"import", "export", "charge", "discharge"}
"""Flows whose negative values are the other direction and not bad readings: they belong into a column of their own."""


def name_complaint(name: str) -> str | None:
    """Why `name` cannot be a column of a history, with what to do; None when it can."""
    if not NAME.fullmatch(name):
        return "columns are called <device id>.<quantity>_<unit>, e.g. load.demand_kw; rename or remove it"
    suffix = _suffix(name)
    if suffix is None:
        return f"ends in no known unit ({', '.join('_' + unit for unit in UNITS)}); rename or remove it"
    if suffix in FOREIGN_UNITS:
        return f"_{suffix} is not read: {FOREIGN_UNITS[suffix]}"
    return None


def unit_of(name: str) -> Unit:
    """The unit of a column whose name is sound."""
    return UNITS[_suffix(name) or ""]


def tolerates_bad_readings(name: str) -> bool:
    """Whether single impossible values of `name` may count as missing."""
    return not name.endswith("_kwh") and _quantity_kw(name) not in TWO_WAY_KW


def limits_of(name: str) -> tuple[float, float]:
    """Lowest and highest value that `name` can have; infinite where nothing is impossible."""
    unit = unit_of(name)
    lowest = 0.0 if _quantity_kw(name) in FLOWS_KW else unit.lowest
    return (
        float("-inf") if lowest is None else lowest,
        float("inf") if unit.highest is None else unit.highest,
    )


def _quantity_kw(name: str) -> str:
    return name.split(".")[1].removesuffix("_kw")


def _suffix(name: str) -> str | None:
    """The longest known unit, ours or foreign, that the name ends in."""
    ends = [unit for unit in (*UNITS, *FOREIGN_UNITS) if name.endswith("_" + unit)]
    return max(ends, key=len, default=None)
