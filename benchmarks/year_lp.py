"""The whole year as one linear program with the sizes free: what sizing does where no better way is known.

Five rows a step with one store: balance, energy, power, capacity, peak; eight with two. HiGHS in the fastest of its
ways.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np

from optimizer.time_grid import Array
from sizing.linear import LinearProgram, quiet_highs, require_optimal
from sizing.park_year import ENERGY, EXCESS_FACTOR, MACHINE, POWER, STORE, SUN, TOLERANCE, Offers, ParkYear

FIRST_LIMIT_S = 1200.0
"""Limit of the first way on the clock."""
WAYS: dict[str, dict[str, str]] = {
    "hipo": {"solver": "hipo", "run_crossover": "off", "hipo_system": "augmented"},
    "ipx": {"solver": "ipx", "run_crossover": "off"},
    "simplex": {"solver": "simplex"},
}


@dataclass(frozen=True, eq=False)
class Solved:
    """The optimum by one way of HiGHS."""

    cost: float
    sizes: Array
    way: str
    cpu_s: float
    wall_s: float
    done: bool
    """False where the time was over first; then there is no cost."""


def year_program(year: ParkYear, offers: Offers, sizes: Array | None = None) -> LinearProgram:
    """The program; with `sizes` given, of the dispatch alone."""
    lp, n, hours = LinearProgram(), year.steps, year.hours
    least, greatest = (offers.least, offers.greatest) if sizes is None else (sizes, sizes)
    size = lp.add_columns(5, offers.cost, least, greatest)
    peaks = year.peaks
    peak = lp.add_columns(year.months, 0.0 if peaks.contract else peaks.price_per_kw, peaks.free_kw)
    brought = lp.add_columns(n, hours * year.import_price, 0.0, year.import_limit_kw)
    charge, discharge = lp.add_columns(n), lp.add_columns(n, hours * year.battery.wear_per_kwh)
    energy = lp.add_columns(n)
    balance = [(brought, 1.0), (discharge, 1.0), (charge, -1.0), (size[SUN], year.sun)]
    if year.export_limit_kw > 0.0:
        fed = lp.add_columns(n, -hours * np.maximum(year.export_price, 0.0), 0.0, year.export_limit_kw)
        balance.append((fed, -1.0))
    if year.thermal is not None:
        machine = _add_heat(lp, year, size)
        balance.append((machine, -1.0))
    lp.add_rows(balance, year.load_kw, np.inf, n)
    gain, loss = hours * year.battery.charge_efficiency, hours / year.battery.discharge_efficiency
    lp.add_rows([(energy, 1.0), (np.roll(energy, 1), -1.0), (charge, -gain), (discharge, loss)], 0.0, 0.0, n)
    lp.add_rows([(charge, 1.0), (discharge, 1.0), (size[POWER], -1.0)], -np.inf, 0.0, n)
    lp.add_rows([(energy, 1.0), (size[ENERGY], -1.0)], -np.inf, 0.0, n)
    if peaks.billed:
        counted = np.flatnonzero(peaks.counted)
        lp.add_rows([(brought[counted], 1.0), (peak[year.month[counted]], -1.0)], -np.inf, 0.0, len(counted))
    if peaks.contract:
        declared = lp.add_columns(1, peaks.price_per_kw.sum(), peaks.contract_floor_kw)
        above = lp.add_columns(year.months, EXCESS_FACTOR * peaks.price_per_kw)
        lp.add_rows([(peak, 1.0), (declared[0], -TOLERANCE), (above, -1.0)], -np.inf, 0.0, year.months)
    if np.isfinite(offers.greatest_rate_per_hour):
        lp.add_rows([(size[POWER], 1.0), (size[ENERGY], -offers.greatest_rate_per_hour)], -np.inf, 0.0, 1)
    return lp


def _add_heat(lp: LinearProgram, year: ParkYear, size: Array) -> Array:
    """The thermal side; returns the columns of the machine's power."""
    thermal, n, hours = year.thermal, year.steps, year.hours
    assert thermal is not None
    machine, backup = lp.add_columns(n), lp.add_columns(n, hours * thermal.backup_price_per_kwh)
    stored = lp.add_columns(n)
    keep = (1.0 - thermal.loss_per_hour) ** hours
    used = hours * thermal.demand_kw
    lp.add_rows(
        [(stored, 1.0), (np.roll(stored, 1), -keep), (machine, -hours * thermal.cop), (backup, -hours)], -used, -used, n
    )
    lp.add_rows([(machine, 1.0), (size[MACHINE], -1.0)], -np.inf, 0.0, n)
    lp.add_rows([(stored, 1.0), (size[STORE], -1.0)], -np.inf, 0.0, n)
    return machine


def solve_year(
    year: ParkYear, offers: Offers, way: str, sizes: Array | None = None, limit_s: float = FIRST_LIMIT_S
) -> Solved:
    """The optimum by one of `WAYS`; its CPU time is of HiGHS alone, as the model is given to it as arrays."""
    program = year_program(year, offers, sizes).for_highs()
    program.offset_ = -float(year.peaks.price_per_kw.sum() * year.peaks.free_kw)
    highs = quiet_highs(**WAYS[way], time_limit=limit_s)
    began, cpu = time.perf_counter(), time.process_time()
    highs.passModel(program)
    highs.run()
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - began
    done = highs.getModelStatus() != highspy.HighsModelStatus.kTimeLimit
    if done:
        require_optimal(highs, f"the year LP by {way}")
    found = np.array(highs.getSolution().col_value[:5])
    return Solved(float(highs.getInfo().objective_function_value), found, way, cpu_s, wall_s, done)


def fastest(year: ParkYear, offers: Offers, ways: Sequence[str]) -> Solved:
    """The optimum by the way that takes the least CPU time; a way is given up once it has had as much as the best.

    Raises:
        RuntimeError: no way is done in time.
    """
    best: Solved | None = None
    for way in ways:
        limit_s = FIRST_LIMIT_S if best is None else best.wall_s
        found = solve_year(year, offers, way, limit_s=limit_s)
        if found.done and (best is None or found.cpu_s < best.cpu_s):
            best = found
    if best is None:
        raise RuntimeError(f"no way of HiGHS solved the year in {FIRST_LIMIT_S:.0f} s: give it more")
    return best
