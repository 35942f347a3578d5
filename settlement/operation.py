"""What a site's machines cost beside its power bill: gas, fuel, wear, starts, and carbon where the site prices it.

    gas    = price·V,  V = energy by the lower heating value / H           [Nm³]   (RULES 4, TV-30)
    fuel   = price·E            of a generator's electric energy           [kWh]
    wear   = price·E            of what batteries and cars fed back        [kWh]
    start  = price·N            of a machine's starts                      [-]
    carbon = price·m,  m = factor·V or factor·E                            [kg CO2]

Each is an item of one device, rounded as a line of a bill is. Gas is an invoice of its own; wear, starts and carbon are
costs that nobody invoices, at the prices of the site file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from optimizer.devices.backup_generator import BackupGenerator
from optimizer.devices.base import Device
from optimizer.devices.battery import Battery
from optimizer.devices.chp import Chp
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.time_grid import Array
from settlement.flows import flows_of
from settlement.money import cents, quantity


@dataclass(frozen=True)
class CostItem:
    """A quantity of one device at its price."""

    name: str
    """gas, fuel, wear, start or carbon: the term of a plan's cost table."""
    device: str
    amount: float
    unit: str
    """Nm3, kWh, kg, or empty for a number of starts."""
    price: float
    """Money per unit."""

    @property
    def cost(self) -> Decimal:
        return cents(quantity(self.amount) * Decimal(str(self.price)))


_PRICED_FLOW: dict[type[Device], str] = {
    Battery: "discharge_kw",
    V2gCharger: "discharge_kw",
    GasSupply: "supply_kw",
    BackupGenerator: "power_kw",
    Chp: "power_kw",
}


def operating_items(
    devices: Iterable[Device],
    flows: pd.DataFrame,
    period: tuple[datetime, datetime],
    running_before: Collection[str] = (),
) -> tuple[CostItem, ...]:
    """Items of a period for flows with columns `<device>.<quantity>`; carbon only where the site prices it.

    `running_before` names the machines that ran when the period began: to go on is no start.

    Raises:
        ValueError: flows do not cover the period or lack a column, or a battery's wear is priced by depth: that takes
            its energy at the start besides.
    """
    columns = {
        device: f"{device.id}.{_PRICED_FLOW[type(device)]}" for device in devices if type(device) in _PRICED_FLOW
    }
    for device in columns:
        if isinstance(device, Battery) and device.depth_wear is not None:
            raise ValueError(f"{device.id}: wear by depth does not follow from discharged energy alone")
    measured = flows_of(flows, *period, columns.values())
    return tuple(
        item
        for device, column in columns.items()
        for item in _items(device, measured.energy(column), measured.values[column], device.id in running_before)
    )


def _items(device: Device, kwh: float, kw: Array, was_running: bool) -> Iterator[CostItem]:
    if isinstance(device, Battery | V2gCharger):
        yield CostItem("wear", device.id, kwh, "kWh", device.wear_cost_per_kwh)
    elif isinstance(device, GasSupply):
        volume = kwh / device.heating_value_kwh_per_nm3
        yield CostItem("gas", device.id, volume, "Nm3", device.price_per_nm3)
        yield from _carbon(device, volume * device.carbon_kg_per_nm3)
    elif isinstance(device, BackupGenerator):
        yield CostItem("fuel", device.id, kwh, "kWh", device.fuel_cost_per_kwh)
        yield from _carbon(device, kwh * device.carbon_kg_per_kwh)
    elif isinstance(device, Chp):
        runs = np.concatenate([[was_running], kw >= 0.5 * device.least_kw])
        yield CostItem("start", device.id, float(np.sum(runs[1:] & ~runs[:-1])), "", device.start_cost)


def _carbon(device: GasSupply | BackupGenerator, kg: float) -> Iterator[CostItem]:
    if device.carbon_price_per_kg > 0:
        yield CostItem("carbon", device.id, kg, "kg", device.carbon_price_per_kg)
