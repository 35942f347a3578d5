"""What every store shares: the rows of its energy, power limits that depend on its fill, and the physical step.

    e[t+1] = keep[t]·e[t] + (η_c·charge[t] - discharge[t]/η_d)·Δt[t],  keep = (1-loss)^Δt            (1)
    charge[t]    ≤ P_c·s_c(e[t]/E)    and  charge[t]    ≤ P_c·s_c(e[t+1]/E)                          (2)
    discharge[t] ≤ P_d·s_d(e[t]/E)    and  discharge[t] ≤ P_d·s_d(e[t+1]/E)                          (3)

`s` is a share of the limit against the fill, concave and so the least of a few lines a + b·e/E: each line is a row for
the start of the step and one for its end. Between the two the energy moves in one direction and a concave limit lies
above its chord, so a power that keeps both ends keeps the limit all the way: a plan of long steps can be executed in
short ones. What is lost to it is what a constant power cannot follow. Where the limit falls on the way (charging
towards full, discharging towards empty) that is at most 16 % of the power allowed at the start of the step, however
long the step: with κ the relative fall per step, the worst case is (1 - ln(1+κ)/κ)/(1+κ) ≤ 0.157 at κ = 1.3.

With c = η_c·Δt for charging and -Δt/η_d for discharging, a line at the end of a step says
p ≤ P·(a + b·(keep·e + c·p)/E), which the physical step solves for the power p:

    p·(1 - P·b·c/E) ≤ P·(a + b·keep·e/E)                                                             (4)
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyomo.environ as pyo
from pydantic import AfterValidator

from optimizer.devices.base import Fraction
from optimizer.time_grid import Array, GridShape

BENDS_UP_ABOVE = 1e-9
"""A slope that rises by more than this from one stretch of a curve to the next makes it not concave."""
LINE_DIGITS = 12
"""Lines are rounded to these digits, so that a row shows the number that was meant and stands once."""

Points = tuple[tuple[float, float], ...]


def _concave(points: Points) -> Points:
    fills = [fill for fill, _ in points]
    if fills != sorted(set(fills)):
        raise ValueError("fills must rise from point to point")
    for (_, before), (fill, after) in pairwise(_stretches(points)):
        if after > before + BENDS_UP_ABOVE:
            raise ValueError(
                f"the limit must be concave (constant outside its points), but its slope rises from {before:g} to "
                f"{after:g} at a fill of {fill:g}: lower or leave out the points after it, or begin at a fill of 0"
            )
    return points


def _stretches(points: Points) -> list[tuple[float, float]]:
    """(fill at its start, slope) of each straight stretch of a curve between a fill of 0 and 1."""
    corners = list(points)
    if corners and corners[0][0] > 0:
        corners.insert(0, (0.0, corners[0][1]))
    if corners and corners[-1][0] < 1:
        corners.append((1.0, corners[-1][1]))
    return [(x, (v - y) / (u - x)) for (x, y), (u, v) in pairwise(corners)]


LimitCurve = Annotated[tuple[tuple[Fraction, Fraction], ...], AfterValidator(_concave)]
"""Pairs of fill and share of the limit [-], fills rising, linear between, constant outside; () where the limit always
holds."""


@lru_cache(maxsize=256)
def limit_lines(curve: Points) -> Array:
    """(lines, 2): share at a fill of 0 and slope of every line whose least is the curve; none for the full limit."""
    fills, shares = np.asarray(curve, dtype=float).reshape(-1, 2).T
    stretches = [(float(np.interp(x, fills, shares)) - slope * x, slope) for x, slope in _stretches(curve)]
    lines = dict.fromkeys((round(share, LINE_DIGITS), round(slope, LINE_DIGITS)) for share, slope in stretches)
    return np.array([line for line in lines if line != (1.0, 0.0)], dtype=float).reshape(-1, 2)


class Store(NamedTuple):
    """The numbers of a store, in the order in which `step` takes them."""

    capacity_kwh: float
    charge_limit_kw: float
    discharge_limit_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    loss_per_hour: float
    charge_lines: Array
    discharge_lines: Array

    def keep(self, hours: Array) -> Array:
        """Share of the stored energy that is left after so many hours."""
        return np.power(1.0 - self.loss_per_hour, hours)


def add_store(block: Any, shape: GridShape, store: Store, initial_kwh: float, most_kwh: float | None = None) -> None:
    """Parameters `hours`, `keep` and `start_kwh`, both flows, the energy (at most `most_kwh`) and rows (1) to (3)."""
    steps = range(shape.steps)
    block.hours = pyo.Param(steps, mutable=True, initialize=0.25)
    block.keep = pyo.Param(steps, mutable=True, initialize=1.0)
    block.start_kwh = pyo.Param(mutable=True, initialize=initial_kwh)
    block.charge_kw = pyo.Var(steps, bounds=(0, store.charge_limit_kw))
    block.discharge_kw = pyo.Var(steps, bounds=(0, store.discharge_limit_kw))
    block.energy_kwh = pyo.Var(range(shape.steps + 1), bounds=(0, most_kwh))

    @block.Constraint()
    def energy_at_start(b: Any) -> Any:
        return b.energy_kwh[0] == b.start_kwh

    @block.Constraint(steps)
    def energy_balance(b: Any, t: int) -> Any:  # (1)
        stored = store.charge_efficiency * b.charge_kw[t] - b.discharge_kw[t] / store.discharge_efficiency
        return b.energy_kwh[t + 1] == b.keep[t] * b.energy_kwh[t] + b.hours[t] * stored

    @block.Constraint(range(len(store.charge_lines)), steps, (0, 1))
    def charge_below_limit(b: Any, line: int, t: int, end: int) -> Any:  # (2)
        limit = _limit_kw(store.charge_limit_kw, store.charge_lines[line], b.energy_kwh[t + end] / store.capacity_kwh)
        return b.charge_kw[t] <= limit

    @block.Constraint(range(len(store.discharge_lines)), steps, (0, 1))
    def discharge_below_limit(b: Any, line: int, t: int, end: int) -> Any:  # (3)
        fill = b.energy_kwh[t + end] / store.capacity_kwh
        return b.discharge_kw[t] <= _limit_kw(store.discharge_limit_kw, store.discharge_lines[line], fill)


def _limit_kw(limit_kw: float, line: Array, fill: Any) -> Any:
    return limit_kw * (float(line[0]) + float(line[1]) * fill)


def step(
    energy_kwh: float, charge_kw: float, discharge_kw: float, hours: float,
    capacity_kwh: float, charge_limit_kw: float, discharge_limit_kw: float,
    charge_efficiency: float, discharge_efficiency: float, loss_per_hour: float,
    charge_lines: Array, discharge_lines: Array,
) -> tuple[float, float, float]:  # fmt: skip
    """One physical step: charge and discharge really delivered [kW], energy left [kWh].

    Clips to the power limits and to what fits or is stored; only the larger of two opposite wishes is followed. Plain
    arithmetic, compiled as it is by the plant.
    """
    kept = energy_kwh * (1.0 - loss_per_hour) ** hours
    charge = min(max(charge_kw, 0.0), charge_limit_kw)
    discharge = min(max(discharge_kw, 0.0), discharge_limit_kw)
    if charge >= discharge:
        gain = charge_efficiency * hours / capacity_kwh
        charge = below_lines(
            charge, charge_limit_kw, charge_lines, energy_kwh / capacity_kwh, kept / capacity_kwh, gain
        )
        discharge = 0.0
    else:
        gain = -hours / discharge_efficiency / capacity_kwh
        discharge = below_lines(
            discharge, discharge_limit_kw, discharge_lines, energy_kwh / capacity_kwh, kept / capacity_kwh, gain
        )
        charge = 0.0
    return exchange(
        kept, charge, discharge, hours, capacity_kwh, charge_limit_kw, discharge_limit_kw,
        charge_efficiency, discharge_efficiency,
    )  # fmt: skip


def below_lines(
    power_kw: float, limit_kw: float, lines: Array, fill: float, kept_fill: float, fill_per_kw: float
) -> float:
    """The power [kW] brought under every line at both ends of a step, in which a kW moves the fill by `fill_per_kw`."""
    for line in range(len(lines)):  # (2), (3)
        share, slope = lines[line, 0], lines[line, 1]
        power_kw = min(power_kw, max(0.0, limit_kw * (share + slope * fill)))
        steepness = 1.0 - limit_kw * slope * fill_per_kw
        if steepness > 0.0:  # (4)
            power_kw = min(power_kw, max(0.0, limit_kw * (share + slope * kept_fill)) / steepness)
    return power_kw


def exchange(
    kept_kwh: float, charge_kw: float, discharge_kw: float, hours: float,
    capacity_kwh: float, charge_limit_kw: float, discharge_limit_kw: float,
    charge_efficiency: float, discharge_efficiency: float,
) -> tuple[float, float, float]:  # fmt: skip
    """`step` from what the standing loss left, for a store whose limits hold at every fill."""
    charge = min(max(charge_kw, 0.0), charge_limit_kw)
    discharge = min(max(discharge_kw, 0.0), discharge_limit_kw)
    if charge >= discharge:
        charge, discharge = min(charge, max(0.0, capacity_kwh - kept_kwh) / (charge_efficiency * hours)), 0.0
    else:
        charge, discharge = 0.0, min(discharge, kept_kwh * discharge_efficiency / hours)
    energy = kept_kwh + (charge_efficiency * charge - discharge / discharge_efficiency) * hours
    return charge, discharge, min(max(energy, 0.0), capacity_kwh)
