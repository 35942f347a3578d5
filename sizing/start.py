"""Where a search for sizes begins, and between which limits its flows and costs lie."""

from __future__ import annotations

import numpy as np

from optimizer.time_grid import Array
from sizing.master import Point
from sizing.park_year import ENERGY, MACHINE, POWER, SUN, Counts, Offers, ParkYear

USUAL_HOURS = 4.0
"""Hours for which a battery carries the mean load."""
USUAL_SUN = 1 / 8
"""Mean of the power of a kW of PV: with so much a park makes over the year what it uses."""


def most_flows_kw(year: ParkYear, offers: Offers) -> Array:
    """(2,) the most that can be exported and imported, by the connection or by what may be built [kW]."""
    spare = offers.greatest[POWER] + (offers.greatest[MACHINE] if year.thermal else 0.0)
    fed = max(0.0, float((offers.greatest[SUN] * year.sun - year.load_kw).max())) + offers.greatest[POWER]
    drawn = max(0.0, float(year.load_kw.max())) + spare
    return np.array([min(year.export_limit_kw, fed), min(year.import_limit_kw, drawn)])


def first_point(year: ParkYear, offers: Offers, month_of_part: Counts) -> Point:
    """Sizes of a usual park within the offers, peaks a little below the load's, empty stores between the parts."""
    load = max(float(year.load_kw.mean()), 0.0)
    heat = 0.0 if year.thermal is None else float(year.thermal.demand_kw.mean())
    usual = np.array([USUAL_HOURS * load, load, load / USUAL_SUN, 4.0 * heat, heat / 3.0])
    highest = np.maximum(np.maximum.reduceat(year.load_kw, year.first_steps), 0.0)
    if not year.peaks.billed:
        highest[:] = most_flows_kw(year, offers)[1] / 0.9
    sizes = np.clip(usual, offers.least, offers.greatest)
    if np.isfinite(offers.greatest_rate_per_hour):
        sizes[POWER] = min(sizes[POWER], offers.greatest_rate_per_hour * sizes[ENERGY])
    nothing = np.zeros(len(month_of_part))
    return Point(sizes, 0.9 * highest, nothing, nothing)


def least_cost(year: ParkYear, offers: Offers) -> float:
    """Below what any part of the year can cost [money]: all that may flow, sold or paid for at the dearest price."""
    most_kw = float(most_flows_kw(year, offers).sum())
    dearest = max(float(np.abs(year.import_price).max()), float(np.abs(year.export_price).max()), 1.0)
    return -10.0 * dearest * most_kw * year.hours * year.steps
