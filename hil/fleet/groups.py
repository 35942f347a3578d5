"""Which kernel steps which kind of device, with what numbers: one line of the table for each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from hil.assembly import cut_share
from hil.fleet import kernels
from optimizer.devices import AnyDevice
from optimizer.devices.absorption_chiller import AbsorptionChiller
from optimizer.devices.backup_generator import BackupGenerator
from optimizer.devices.base import Carrier
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.chp import Chp
from optimizer.devices.flexible_load import FlexibleLoad
from optimizer.devices.gas_boiler import GasBoiler
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.devices.waste_heat import WasteHeat

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Group:
    """Devices that one kernel steps."""

    kind: type[AnyDevice]
    carrier: Carrier = "power"
    """Carrier that is used or stored, where the kind leaves the choice."""
    limited: bool = False
    """Stores whose limits depend on their fill."""


@dataclass(frozen=True)
class Form:
    """How a group is stepped."""

    row: Callable[[int], kernels.Row]
    """By the number of the carrier."""
    numbers: Callable[[Any, float], Numbers]
    """A device's parameters in the kernel's order, for a step of so many hours."""
    idle: Numbers
    """Parameters where a site has no such device: nothing flows, nothing is divided by 0."""
    conditions: tuple[str, ...]
    """Of `Device.conditions`, in the kernel's order."""
    quantities: tuple[str, ...]
    states: tuple[str, ...] = ()


def group_of(device: AnyDevice) -> Group:
    """The group in which a device is stepped."""
    if isinstance(device, Battery | ThermalStore):
        carrier: Carrier = device.carrier if isinstance(device, ThermalStore) else "power"
        return Group(type(device), carrier, limited=sum(map(len, device.numbers()[6:])) > 0)
    if isinstance(device, Load | FlexibleLoad):
        return Group(type(device), device.carrier)
    return Group(type(device))


@cache
def kernel_of(group: Group) -> kernels.Kernel:
    """The group's kernel, compiled at its first call."""
    form, carrier = FORMS[group.kind], kernels.CARRIERS.index(group.carrier)
    if group.limited:
        return kernels.limited_store_kernel(carrier)
    if group.kind is V2gCharger:
        return kernels.charger_kernel()
    sizes = len(form.idle), len(form.conditions), len(form.states), len(form.quantities)
    return kernels.kernel_of(form.row(carrier), *sizes)


def _store(device: Battery | ThermalStore, hours: float) -> Numbers:
    """Share kept over the step, capacity, limits, efficiencies, and the power taken beside: standing, per charge."""
    store = device.numbers()
    keep = (1.0 - store.loss_per_hour) ** hours
    if isinstance(device, Battery):
        return (keep, *store[:5], device.auxiliary_kw, 0.0)
    return (keep, *store[:5], 0.0, device.charging_power_per_kw)


def _charger(device: V2gCharger, hours: float) -> Numbers:
    limits = device.charge_limit_kw, device.discharge_limit_kw
    return (*limits, device.charge_efficiency, device.discharge_efficiency, device.min_charge_kw)


def _flexible(device: FlexibleLoad, hours: float) -> Numbers:
    return (cut_share(device),)


def _chp(device: Chp, hours: float) -> Numbers:
    steady = device.least_kw, device.power_limit_kw, device.gas_while_on_kw, device.gas_per_power
    return (*steady, device.thermal_efficiency, 0.0, device.min_down_hours, device.ramp_kw(hours))


def _always(row: kernels.Row) -> Callable[[int], kernels.Row]:
    return lambda carrier: row


_FLEXIBLE = ("demand_kw", "added_max_kw", "put_off_max_kw", "owed_kwh", "ahead_kwh")
_CAR = ("share", "full_kwh", "floor_kwh", "two_way", "taper_from_kwh", "taper_per_kwh", "stay", "arrive_kwh")
_STORED = (("charge_kw", "discharge_kw", "beside_kw"), ("energy_kwh",))
_NO_STORE = (1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)

FORMS: dict[type[AnyDevice], Form] = {
    Battery: Form(kernels.store_row, _store, _NO_STORE, (), *_STORED),
    ThermalStore: Form(kernels.store_row, _store, _NO_STORE, (), *_STORED),
    V2gCharger: Form(
        _always(kernels.charger_row), _charger, (0.0, 0.0, 1.0, 1.0, 0.0), _CAR, *(_STORED[0][:2], _STORED[1])
    ),
    Load: Form(kernels.demand_row, lambda d, h: (), (), ("demand_kw",), ("served_kw",)),
    FlexibleLoad: Form(
        kernels.flexible_row, _flexible, (0.0,), _FLEXIBLE, ("served_kw", "added_kw", "put_off_kw"), ("shifted_kwh",)
    ),
    Pv: Form(_always(kernels.pv_row), lambda d, h: (d.capacity_kw,), (0.0,), ("available_kw",), ("used_kw",)),
    WasteHeat: Form(_always(kernels.waste_heat_row), lambda d, h: (), (), ("heat_available_kw",), ("heat_kw",)),
    BackupGenerator: Form(
        _always(kernels.backup_row), lambda d, h: (d.least_kw, d.power_limit_kw), (0.0, 0.0),
        ("allowed",), ("power_kw",),
    ),
    Chiller: Form(
        _always(kernels.chiller_row), lambda d, h: (d.cooling_limit_kw,), (0.0,), ("cop",), ("power_kw", "cold_kw")
    ),
    HeatPump: Form(
        _always(kernels.heat_pump_row), lambda d, h: (d.heat_limit_kw,), (0.0,), ("cop",), ("power_kw", "heat_kw")
    ),
    GasBoiler: Form(
        _always(kernels.boiler_row), lambda d, h: (d.heat_limit_kw, d.efficiency), (0.0, 1.0), (), ("gas_kw", "heat_kw")
    ),
    AbsorptionChiller: Form(
        _always(kernels.absorption_row),
        lambda d, h: (d.cop, d.auxiliary_kw_per_kw, d.cooling_limit_kw), (1.0, 0.0, 0.0),
        (), ("heat_kw", "power_kw", "cold_kw"),
    ),
    Chp: Form(
        _always(kernels.chp_row), _chp, (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0),
        (), ("gas_kw", "power_kw", "heat_kw"), ("power_kw", "on_hours", "off_hours"),
    ),
}  # fmt: skip
"""Connections close the balances and have no row; expected cars are of plans only."""
