"""Scenarios of a site: which series are uncertain, which move together, and how they come onto the plan's grid."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from forecasting.forecast import Forecast
from forecasting.scenarios import Group, scenarios
from optimizer.situation import Uncertainty
from optimizer.time_grid import TimeGrid
from site_configs.site import Site

DECIMALS = 3
"""Courses are rounded to this [W, mK], as forecasts are: a third of the bytes in the ledger."""
CERTAIN = ("market", "grid")
"""First parts of series that are taken as forecast in all scenarios: prices and carbon factors."""


def uncertainty_of(
    site: Site, grid: TimeGrid, forecasts: Mapping[str, Forecast], rng: np.random.Generator
) -> Uncertainty | None:
    """Courses of the site's series on the grid beside the central one; None where the site file asks for none."""
    choice = site.uncertainty
    if choice is None:
        return None
    groups = groups_of(site, forecasts, choice.correlation_hours)
    drawn = scenarios(forecasts, groups, (choice.scenarios - 1) // 2, rng)
    paths = tuple(
        {name: np.round(grid.average(values), DECIMALS) for name, values in course.items()} for course in drawn
    )
    return Uncertainty(paths, choice.risk_weight, choice.risk_level)


def groups_of(site: Site, forecasts: Mapping[str, Forecast], correlation_hours: float) -> tuple[Group, ...]:
    """A device's series move together, for as long as their forecasts were found to stay wrong in the same direction
    (`correlation_hours` where that was not learned); those of expected cars for all time, so that no need leaves
    before it came."""
    by_owner: dict[str, list[str]] = {}
    for name in forecasts:
        by_owner.setdefault(name.split(".")[0], []).append(name)
    cars = {device.id for device in site.devices if device.kind == "expected_cars"}
    return tuple(
        Group(tuple(names), math.inf if owner in cars else _memory_hours(forecasts, names, correlation_hours))
        for owner, names in sorted(by_owner.items())
        if owner not in CERTAIN
    )


def _memory_hours(forecasts: Mapping[str, Forecast], names: Sequence[str], usual: float) -> float:
    """The longest that one of the series has learned."""
    return max((hours for name in names if (hours := forecasts[name].memory_hours) is not None), default=usual)


def scenario_rng(site: Site, at: datetime) -> np.random.Generator:
    """Draws that depend on the site and the moment alone: a cycle can be made again, and no two have the same luck."""
    return np.random.default_rng([zlib.crc32(site.id.encode()), int(at.timestamp())])
