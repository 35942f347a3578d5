"""What a site would have drawn without some of its measures, from measured flows (IPMVP option B; RULES 6.2).

    net  = import - export                                                                                 (1)
    PV:       net + used                                                                                   (2)
    battery:  net + discharge - charge - auxiliary                                                         (3)
    V2G:      net + discharge - the charge that only replaced what was fed back                            (4)
    cold store: net + (discharge - charge)·(power / cooling of the chillers over the month)                (5)
    efficiency: net + adjusted baseline - measured load (`settlement/regression.py`)                       (6)
    import' = max(net', 0),  export' = max(-net', 0)                                                       (7)

Cars need their energy with or without V2G: of (4) the charge E/(η_c·η_d) that replaces a discharge E is the last of the
same stay. Reactive power stays as it was metered: PV does not take any away, which is why it can cost money.
Never is a forecast or plan of the engine part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.situation import Session
from optimizer.time_grid import Array
from site_configs.site import Site

StreamKind = Literal["pv", "storage", "v2g", "cold_storage", "efficiency", "dispatch"]
DEVICE_KINDS: Mapping[str, str] = {
    "pv": "pv", "storage": "battery", "v2g": "v2g_charger", "cold_storage": "thermal_store",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Removed:
    """What a measure did to the net draw: taking it away adds this [kW], by interval; signed."""

    stream: str
    kw: Array
    metered_kwh: float
    """Energy that its own meters counted, whatever the direction: what their error applies to."""


def columns_of(site: Site, devices: Collection[str]) -> dict[str, bool]:
    """Columns of a history folder that (2) to (5) need (True), or use where they are there, for some devices."""
    wanted: dict[str, bool] = {}
    for device in site.devices:
        if device.id not in devices:
            continue
        if isinstance(device, Pv):
            wanted[f"{device.id}.used_kw"] = True
        elif isinstance(device, Battery | V2gCharger | ThermalStore):
            wanted |= {f"{device.id}.charge_kw": True, f"{device.id}.discharge_kw": True}
        if isinstance(device, Battery):
            wanted[f"{device.id}.auxiliary_kw"] = False
        if isinstance(device, ThermalStore):
            chillers = [chiller.id for chiller in site.devices if isinstance(chiller, Chiller)]
            wanted |= {f"{name}.{quantity}": True for name in chillers for quantity in ("power_kw", "cold_kw")}
    return wanted


def removed(
    site: Site, stream: str, devices: Collection[str], meters: pd.DataFrame, cars: Iterable[Session]
) -> Removed:
    """The measure that some metered devices are, by (2) to (5); columns as of `columns_of`."""
    sessions = tuple(cars)
    parts = [_part(site, device, meters, sessions) for device in site.devices if device.id in devices]
    kw = sum((added for added, _ in parts), np.zeros(len(meters)))
    hours = (meters.index[1] - meters.index[0]) / pd.Timedelta(hours=1)
    return Removed(stream, kw, sum(float(counted.sum()) for _, counted in parts) * hours)


def _part(site: Site, device: object, meters: pd.DataFrame, cars: tuple[Session, ...]) -> tuple[Array, Array]:
    """(added to the net draw, counted by the meters), both (n,) kW."""

    def of(name: str, quantity: str) -> Array:
        column = f"{name}.{quantity}"
        return meters[column].to_numpy(dtype=float) if column in meters else np.zeros(len(meters))

    if isinstance(device, Pv):
        return of(device.id, "used_kw"), of(device.id, "used_kw")
    if isinstance(device, Battery):
        charge, discharge = of(device.id, "charge_kw"), of(device.id, "discharge_kw")
        return discharge - charge - of(device.id, "auxiliary_kw"), discharge + charge
    if isinstance(device, V2gCharger):
        charge, discharge = of(device.id, "charge_kw"), of(device.id, "discharge_kw")
        return discharge - _replacing(device, charge, discharge, meters, cars), discharge + charge
    if isinstance(device, ThermalStore):
        chillers = [chiller.id for chiller in site.devices if isinstance(chiller, Chiller)]
        power, cold = (
            sum(float(of(name, quantity).sum()) for name in chillers) for quantity in ("power_kw", "cold_kw")
        )
        net = of(device.id, "discharge_kw") - of(device.id, "charge_kw")
        counted = of(device.id, "discharge_kw") + of(device.id, "charge_kw")
        share = power / cold if cold > 0 else 0.0
        return net * share, counted * share
    raise ValueError(f"{device} is no measure whose flows are metered")


def _replacing(
    charger: V2gCharger, charge: Array, discharge: Array, meters: pd.DataFrame, cars: tuple[Session, ...]
) -> Array:
    """(n,) the charge that only replaced what was fed back: the last of each stay."""
    found = np.zeros(len(charge))
    for stay in _stays(charger.id, meters, cars):
        owed = float(discharge[stay].sum()) / (charger.charge_efficiency * charger.discharge_efficiency)
        latest_first = charge[stay][::-1]
        before = np.concatenate(([0.0], np.cumsum(latest_first)[:-1]))
        found[stay] = np.clip(owed - before, 0.0, latest_first)[::-1]
    return found


def _stays(charger: str, meters: pd.DataFrame, cars: tuple[Session, ...]) -> Iterator[slice]:
    """The intervals of each car's stay, one after the other."""
    edge = 0
    for car in sorted((car for car in cars if car.charger == charger), key=lambda car: car.arrive):
        first = max(edge, int(meters.index.searchsorted(pd.Timestamp(car.arrive), side="right")) - 1, 0)
        edge = int(meters.index.searchsorted(pd.Timestamp(car.depart)))
        if edge > first:
            yield slice(first, edge)


def without(flows: pd.DataFrame, measures: Iterable[Removed]) -> pd.DataFrame:
    """Flows of a site with some measures taken away (1), (7); all other columns as they were."""
    added = sum((measure.kw for measure in measures), np.zeros(len(flows)))
    if not added.any():
        return flows
    net = flows["import_kw"].to_numpy(dtype=float) - flows["export_kw"].to_numpy(dtype=float) + added
    return flows.assign(import_kw=np.maximum(net, 0.0), export_kw=np.maximum(-net, 0.0))
