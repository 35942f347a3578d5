"""What a replay came to, by its meters alone: cost as billed, emissions, energies, limits that were broken.

    cost = Σ over billing months of the utility's bill + export + gas, fuel, wear, starts and priced carbon

The bill is that of `quartet bill` on the same flows: written as a history folder, a replay is billed the same. The
month's demand is billed on what was measured within the replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from hil.measured import needed_kwh
from hil.replay.case import Case
from optimizer.balance import devices_behind
from optimizer.devices.base import Device
from optimizer.devices.battery import Battery
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.load import Load
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.time_grid import Array
from settlement.bill import Bill
from settlement.operation import CostItem, operating_items
from settlement.utility_bill import EXPORT, IMPORT, billing_columns, utility_bill
from site_configs.carbon import factor_of
from site_configs.demand import demand_meters
from site_configs.prices import GRID_CARBON
from site_configs.recorded.findings import stamp
from streams.control_cycle import feeder_limits

TERMS = ("energy", "demand", "export", "gas", "wear", "carbon")
"""Terms of the cost that are always there; `fuel` and `start` only where something has them."""
MONTH_COMPONENTS = ("actual_demand", "contract_demand", "contract_excess", "capacity", "fixed", "tier")
"""Components of a bill that are of the month as such, beside the site's own demand lines."""
TOLERANCE = 1e-3
"""A limit is broken when a mean over an interval is beyond it by more than this share of it ..."""
TOLERANCE_KW = 0.5
"""... and by more than this [kW]: machines lag within a quarter hour."""
TOLERANCE_OF_CAPACITY = 0.02
"""A store's content may be beyond its limits by this share of its capacity: what its efficiencies, which nobody knows
better than by a point or two, make of a quarter hour at full power."""


@dataclass(frozen=True)
class Violation:
    """A limit that measured flows broke, over all intervals in which they did."""

    device: str
    limit: str
    worst: float
    """The value furthest beyond the bound."""
    bound: float
    unit: str
    intervals: int
    first: datetime


@dataclass(frozen=True)
class CarsServed:
    """Cars of a replay; a car that stands there at its end is not judged."""

    sessions: int
    served_kwh: float
    missed_kwh: float


@dataclass(frozen=True, eq=False)
class Account:
    """A replay's flows and what they came to."""

    meters: pd.DataFrame
    cost: Mapping[str, float]
    """By term [money]; `total` is their sum."""
    bills: tuple[Bill, ...]
    """By billing month, or the part of one."""
    carbon_kg: float
    energy_kwh: Mapping[str, float]
    """By flow: `import`, `export`, `<device>.<quantity>`."""
    cars: CarsServed
    violations: tuple[Violation, ...]
    stored_kwh: Mapping[str, tuple[float, float]]
    """By store: after the first interval, and in the end."""


def account(case: Case, meters: pd.DataFrame, wear: Iterable[CostItem], served_kwh: Mapping[str, float]) -> Account:
    """The account of meters that cover the case: means by the columns of a history folder, energies at the ends.

    `wear` are the items of batteries and cars, `served_kwh` what each car got.
    """
    complete = meters.join(_billed_columns(case, meters))
    bills = tuple(_bills(case, complete))
    items = [*wear, *_operation(case, complete)]
    kg = emissions_kg(case, complete)
    return Account(
        meters=complete,
        cost=_cost(case, bills, items, kg),
        bills=bills,
        carbon_kg=kg,
        energy_kwh=_energies(case, complete),
        cars=_cars(case, served_kwh),
        violations=tuple(violations(case, complete)),
        stored_kwh={
            store.id: (
                float(complete[f"{store.id}.energy_kwh"].iloc[0]),
                float(complete[f"{store.id}.energy_kwh"].iloc[-1]),
            )
            for store in case.site.devices
            if isinstance(store, Battery | ThermalStore)
        },
    )


def _billed_columns(case: Case, meters: pd.DataFrame) -> pd.DataFrame:
    """Recorded columns that the bill needs and the plant does not have: parts billed apart, prices of the market."""
    needed, _ = billing_columns(case.site, case.tariff)
    wanted = [name for name in needed if name not in meters]
    if case.site.carbon.from_data and GRID_CARBON not in meters:
        wanted.append(GRID_CARBON)
    start, end = meters.index[0], case.end
    recorded = pd.DataFrame({name: case.history.need(name, start, end) for name in wanted})
    return recorded.reindex(meters.index, method="ffill") if wanted else pd.DataFrame(index=meters.index)


def _bills(case: Case, meters: pd.DataFrame) -> Iterator[Bill]:
    flows = meters.rename(columns={IMPORT: "import_kw", EXPORT: "export_kw"})
    for window in case.windows:
        yield utility_bill(case.site, flows, (window.start, window.end))


def _operation(case: Case, meters: pd.DataFrame) -> tuple[CostItem, ...]:
    """Gas, fuel, starts and their priced carbon; wear is counted minute by minute."""
    machines = [device for device in case.site.devices if not isinstance(device, Battery | V2gCharger)]
    return operating_items(machines, meters, (case.start, case.end))


def _cost(case: Case, bills: Sequence[Bill], items: Iterable[CostItem], kg: float) -> dict[str, float]:
    monthly = {*MONTH_COMPONENTS, *(meter.id for meter in demand_meters(case.site, case.tariff))}
    sums = {term: Decimal(0) for term in TERMS}
    for bill in bills:
        sums["demand"] += bill.of(*monthly)
        sums["energy"] += bill.total - bill.of(*monthly)
        sums["export"] -= bill.export_total
    for item in items:
        sums[item.name] = sums.get(item.name, Decimal(0)) + item.cost
    found = {term: float(value) for term, value in sums.items()}
    found["carbon"] += round(case.site.carbon.price_per_kg * kg, 2)
    return {**found, "total": round(sum(found.values()), 2)}


def emissions_kg(case: Case, meters: pd.DataFrame) -> float:
    """Emissions of import, by the series where the site plans by it, else by its factor, and of fuels."""
    hours = _hours(meters)
    factor = meters[GRID_CARBON] if case.site.carbon.from_data else float(factor_of(case.site.carbon).kg_per_kwh)
    kg = float((meters[IMPORT] * factor).sum()) * hours
    for device in case.site.devices:
        for quantity, per_kwh in device.emissions().items():
            kg += per_kwh * float(meters[f"{device.id}.{quantity}"].sum()) * hours
    return kg


def _energies(case: Case, meters: pd.DataFrame) -> dict[str, float]:
    names = {IMPORT: "import", EXPORT: "export"}
    for device in case.site.devices:
        if not isinstance(device, GridConnection):
            names |= {f"{device.id}.{q}": f"{device.id}.{q.removesuffix('_kw')}" for q in device.buses()}
    return {name: float(meters[column].sum()) * _hours(meters) for column, name in names.items() if column in meters}


def _hours(meters: pd.DataFrame) -> float:
    return float((meters.index[1] - meters.index[0]) / pd.Timedelta(hours=1))


def _cars(case: Case, served_kwh: Mapping[str, float]) -> CarsServed:
    there = {car.session_id: car for car in case.history.sessions if car.session_id in served_kwh}
    missed = sum(
        max(0.0, needed_kwh(car) - served_kwh[name])
        for name, car in there.items()
        if case.start <= car.arrive and car.depart <= case.end
    )
    return CarsServed(len(there), sum(served_kwh[name] for name in there), missed)


def violations(case: Case, meters: pd.DataFrame) -> Iterator[Violation]:
    """Limits of the site file that the flows broke: of the connection, feeders, machines and stores; and demand that
    was not served."""
    for device, limit, values, bound, unit, tolerance in _bounded(case, meters):
        beyond = bound - values if limit in LEAST else values - bound
        over = beyond > tolerance
        if over.any():
            worst = int(np.argmax(beyond))
            first = meters.index[int(np.argmax(over))].to_pydatetime().astimezone(UTC)
            yield Violation(device, limit, float(values[worst]), bound, unit, int(over.sum()), first)


Bounded = tuple[str, str, Array, float, str, float]
"""Device, limit, (n,) values, their bound, unit, and by how much they may be beyond it."""
LEAST = ("min_soc",)
"""Limits that values must not fall below; all others must not be passed."""


def _bounded(case: Case, meters: pd.DataFrame) -> Iterator[Bounded]:
    site = case.site
    for grid in (device for device in site.devices if isinstance(device, GridConnection)):
        least, greatest = grid.bounds_kw()
        yield _power(grid.id, "import_limit", _of(meters, IMPORT), greatest)
        yield _power(grid.id, "export_limit", _of(meters, EXPORT), -least)
    for device in site.devices:
        yield from _of_device(device, meters)
    feeders = feeder_limits(site)
    for feeder in feeders:
        behind = devices_behind(feeder, feeders)
        net = sum((_net_kw(device, meters) for device in site.devices if device.id in behind), np.zeros(len(meters)))
        yield _power(feeder.id, "feeder_limit", np.abs(net), feeder.limit_kw)


def _of_device(device: Device, meters: pd.DataFrame) -> Iterator[Bounded]:
    if isinstance(device, Load):
        yield _power(device.id, "unserved", _of(meters, f"{device.id}.unserved_kw"), 0.0)
    if isinstance(device, Battery | V2gCharger | ThermalStore):
        yield _power(device.id, "charge_limit", _of(meters, f"{device.id}.charge_kw"), device.charge_limit_kw)
        yield _power(device.id, "discharge_limit", _of(meters, f"{device.id}.discharge_kw"), device.discharge_limit_kw)
    if isinstance(device, Battery):
        energy, size = _of(meters, f"{device.id}.energy_kwh"), device.capacity_kwh
        tolerance = TOLERANCE_OF_CAPACITY * size
        yield device.id, "max_soc", energy, device.max_soc * size, "kWh", tolerance
        yield device.id, "min_soc", energy, device.min_soc * size, "kWh", tolerance


def _power(device: str, limit: str, values: Array, bound_kw: float) -> Bounded:
    return device, limit, values, bound_kw, "kW", max(TOLERANCE_KW, TOLERANCE * abs(bound_kw))


def _net_kw(device: Device, meters: pd.DataFrame) -> Array:
    power = {q: way for q, (carrier, way) in device.buses().items() if carrier == "power"}
    return sum(
        (_of(meters, f"{device.id}.{q}") * (1.0 if way == "in" else -1.0) for q, way in power.items()),
        np.zeros(len(meters)),
    )


def _of(meters: pd.DataFrame, name: str) -> Array:
    return meters[name].to_numpy(dtype=float) if name in meters else np.zeros(len(meters))


def told(violation: Violation) -> str:
    """The violation as a sentence."""
    return (
        f"{violation.device}: {violation.limit} {violation.bound:g} {violation.unit} broken in {violation.intervals} "
        f"intervals, first at {stamp(violation.first)}, at worst {violation.worst:g} {violation.unit}"
    )
