"""Storage and grid once more, in plain HiGHS: no Pyomo, no device class, a formulation of its own.

Batteries, PV, a load, limits of import and export, and demand lines (every quarter hour, means over several, inside a
window, over a free demand). Here all energy stands as a running sum of what was stored, every direction is a binary
from the start, and every measured demand is a row of its own; the product is asked for the same site and has to find
the same money.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import highspy
import numpy as np

from optimizer.devices import AnyDevice
from optimizer.devices.battery import Battery
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.exact import solve_exactly
from optimizer.model import Exactness, build
from optimizer.situation import DemandLine, Prices, Situation
from optimizer.time_grid import Array, TimeGrid

GAP = 1e-9
HOURS = 0.25
START = datetime(2026, 8, 25, 16, tzinfo=UTC)


@dataclass(frozen=True)
class Store:
    """One battery, in numbers."""

    capacity_kwh: float
    start_kwh: float
    charge_kw: float
    discharge_kw: float
    efficiency: tuple[float, float]
    """Charging and discharging."""
    kept: float
    """Share of the energy left after an hour."""
    wear: float


@dataclass(frozen=True)
class Line:
    """One demand charge; `windows` holds the steps of every mean that is measured."""

    price: float
    paid_kw: float
    """Demand that costs nothing more."""
    windows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class StorageSite:
    """A site of storage and grid in plain numbers; arrays are (steps,)."""

    load_kw: Array
    sun_kw: Array
    buy: Array
    sell: Array
    import_kw: float
    export_kw: float
    stored_may_be_sold: bool
    stores: tuple[Store, ...]
    lines: tuple[Line, ...]


def random_site(seed: int, steps: int = 24) -> StorageSite:
    """One or two batteries; a third of the sites see negative prices, a third an export price above import."""
    rng = np.random.default_rng(seed)
    buy = rng.choice([0.3, 0.7, 1.2], steps) + rng.normal(0, 0.02, steps) - float(rng.choice([0.0, 0.0, 0.6]))
    every = tuple((t,) for t in range(steps))
    evening = range(steps // 2, steps)
    pairs = tuple((t - 1, t) for t in evening if t - 1 in evening)
    lines = (
        Line(float(rng.uniform(5, 48)), float(rng.uniform(0, 400)), every),
        Line(float(rng.uniform(5, 30)), float(rng.uniform(0, 300)), pairs),
    )
    return StorageSite(
        load_kw=np.abs(rng.normal(300, 60, steps)),
        sun_kw=np.abs(rng.normal(150, 120, steps)),
        buy=buy,
        sell=np.full(steps, float(rng.choice([0.0, 0.3, 0.9]))),
        import_kw=float(rng.uniform(350, 1200)),
        export_kw=float(rng.choice([0.0, rng.uniform(50, 500)])),
        stored_may_be_sold=bool(rng.random() < 0.5),
        stores=tuple(_store(rng) for _ in range(int(rng.integers(1, 3)))),
        lines=lines[: int(rng.integers(0, 3))],
    )


def _store(rng: np.random.Generator) -> Store:
    capacity, lossless = float(rng.uniform(50, 800)), bool(rng.random() < 0.25)
    return Store(
        capacity_kwh=capacity,
        start_kwh=capacity * float(rng.uniform(0.2, 0.9)),
        charge_kw=float(rng.uniform(30, 300)),
        discharge_kw=float(rng.uniform(30, 300)),
        efficiency=(1.0, 1.0) if lossless else (float(rng.uniform(0.8, 0.98)), float(rng.uniform(0.8, 0.98))),
        kept=1.0 if lossless else 0.998,
        wear=0.0 if lossless else float(rng.uniform(0, 0.2)),
    )


class QuietHighs(highspy.Highs):
    """HiGHS without the banner that highspy's own constructor writes to standard output."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()
        self.setOptionValue("output_flag", False)


def plain_cost(site: StorageSite) -> float:
    """The least cost by rows written here."""
    highs, steps = QuietHighs(), len(site.load_kw)
    for option, value in (
        ("mip_rel_gap", GAP),
        ("primal_feasibility_tolerance", 1e-9),
        ("mip_feasibility_tolerance", 1e-9),
    ):
        highs.setOptionValue(option, value)
    cost: Any = 0.0
    net = [-float(kw) for kw in site.load_kw]
    sun = [highs.addVariable(0, float(kw)) for kw in site.sun_kw]
    for store in site.stores:
        given, worth = _add_store(highs, store, site)
        net = [a + b for a, b in zip(net, given, strict=True)]
        cost += worth
    bought = [highs.addVariable(0, site.import_kw) for _ in range(steps)]
    for t in range(steps):
        sold, short = highs.addVariable(0, site.export_kw), highs.addVariable(0, float(site.load_kw[t]))
        buys = highs.addVariable(0, 1, type=highspy.HighsVarType.kInteger)
        highs.addConstr(net[t] + sun[t] + short + bought[t] - sold == 0)
        highs.addConstr(bought[t] <= site.import_kw * buys)
        highs.addConstr(sold <= site.export_kw * (1 - buys))
        if not site.stored_may_be_sold:
            highs.addConstr(sold <= sun[t])
        cost += HOURS * (float(site.buy[t]) * bought[t] - float(site.sell[t]) * sold + 1000.0 * short)
    for line in site.lines:
        above = highs.addVariable(0, highspy.kHighsInf)
        for window in line.windows:
            highs.addConstr(sum(bought[t] for t in window) <= len(window) * (line.paid_kw + above))
        cost += line.price * above
    highs.minimize(cost)
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(highs.modelStatusToString(highs.getModelStatus()))
    return float(highs.getObjectiveValue())


def _add_store(highs: highspy.Highs, store: Store, site: StorageSite) -> tuple[list[Any], Any]:
    """By step what the store gives to the site [kW], and what it costs less what it is worth at the end."""
    kept, (into, out) = store.kept**HOURS, store.efficiency
    energy: Any = store.start_kwh
    given, cost = [], 0.0
    for _ in site.load_kw:
        charge, discharge = highs.addVariable(0, store.charge_kw), highs.addVariable(0, store.discharge_kw)
        charges = highs.addVariable(0, 1, type=highspy.HighsVarType.kInteger)
        highs.addConstr(charge <= store.charge_kw * charges)
        highs.addConstr(discharge <= store.discharge_kw * (1 - charges))
        energy = kept * energy + HOURS * into * charge - (HOURS / out) * discharge
        highs.addConstr(0.1 * store.capacity_kwh <= energy)
        highs.addConstr(energy <= 0.95 * store.capacity_kwh)
        given.append(discharge - charge)
        cost += HOURS * store.wear * discharge
    return given, cost - out * float(site.buy.min()) * energy


def product_cost(site: StorageSite) -> float:
    """The least cost that the product finds, to the same gap."""
    devices, situation = _as_park(site)
    model = build(devices, (), situation.shape, Exactness())
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in devices}
    answer = solve_exactly(model.compiled.program(model.compiled.parameters.values(inputs)), model.choices, 60.0, GAP)
    if not answer.solution.usable:
        raise RuntimeError(answer.solution.detail)
    return answer.solution.objective


def relative_gap(seed: int) -> float:
    """Distance of the two costs of a random site, relative."""
    site = random_site(seed)
    plain = plain_cost(site)
    return abs(product_cost(site) - plain) / max(1.0, abs(plain))


def _as_park(site: StorageSite) -> tuple[tuple[AnyDevice, ...], Situation]:
    steps = len(site.load_kw)
    devices: tuple[AnyDevice, ...] = (
        GridConnection(
            id="grid",
            import_limit_kw=site.import_kw,
            export_limit_kw=site.export_kw,
            export_source="any" if site.stored_may_be_sold else "generation",
        ),
        Load(id="load", carrier="power"),
        Pv(id="pv1", capacity_kw=float(site.sun_kw.max())),
        *(_as_battery(store, number) for number, store in enumerate(site.stores)),
    )
    demand = tuple(_as_line(line, number, steps) for number, line in enumerate(site.lines))
    paid = {f"peak_kw.{line.id}": given.paid_kw for line, given in zip(demand, site.lines, strict=True)}
    return devices, Situation(
        site="storage",
        issued_at=START,
        grid=TimeGrid(START, 15, steps),
        state={"grid": paid} | {f"battery{n}": {"energy_kwh": s.start_kwh} for n, s in enumerate(site.stores)},
        series={"load.demand_kw": site.load_kw, "pv1.available_kw": site.sun_kw},
        prices=Prices(site.buy, site.sell, ("flat",) * steps, demand, (0,) * steps, np.zeros(steps)),
    )


def _as_battery(store: Store, number: int) -> Battery:
    return Battery(
        id=f"battery{number}",
        capacity_kwh=store.capacity_kwh,
        charge_limit_kw=store.charge_kw,
        discharge_limit_kw=store.discharge_kw,
        charge_efficiency=store.efficiency[0],
        discharge_efficiency=store.efficiency[1],
        standing_loss_per_hour=1.0 - store.kept,
        min_soc=0.1,
        max_soc=0.95,
        wear_cost_per_kwh=store.wear,
    )


def _as_line(line: Line, number: int, steps: int) -> DemandLine:
    inside = np.zeros(steps)
    inside[sorted({t for window in line.windows for t in window})] = 1.0
    return DemandLine(f"line{number}", line.price, line.price, inside, averaged_steps=len(line.windows[0]))
