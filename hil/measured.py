"""What a run came to: flows for settlement, wear, and the cars that were served."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from hil.assembly import MACHINES
from hil.plant import Plant, Records
from optimizer.devices import AnyDevice
from optimizer.devices.backup_generator import BackupGenerator
from optimizer.devices.battery import Battery
from optimizer.devices.chp import Chp
from optimizer.devices.flexible_load import FlexibleLoad
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.situation import Session
from optimizer.time_grid import Array
from settlement.operation import CostItem

QUARTER_MINUTES = 15


@dataclass(frozen=True)
class ServedCar:
    """What one car got of what it needed within a run; energies in its battery."""

    session: Session
    served_kwh: float
    """Charged less fed back, between the later of arrival and run start and the earlier of departure and run end."""
    missed_kwh: float
    """Still missing when it left; 0 for a car that stands there at the end of the run."""


@dataclass(frozen=True)
class ServedCars:
    """All cars of a run."""

    cars: tuple[ServedCar, ...]

    @property
    def sessions(self) -> int:
        return len(self.cars)

    @property
    def served_kwh(self) -> float:
        return sum(car.served_kwh for car in self.cars)

    @property
    def missed_kwh(self) -> float:
        return sum(car.missed_kwh for car in self.cars)


def flows(plant: Plant, records: Records, minutes: int = QUARTER_MINUTES) -> pd.DataFrame:
    """Mean powers by intervals of `minutes` [kW]; a rest shorter than an interval is left out.

    Columns: `import_kw`, `export_kw` (at the billing point), `load_kw`, `pv_kw`, `pv_available_kw`,
    `battery_charge_kw`, `battery_discharge_kw`, `ev_charge_kw`, `ev_discharge_kw`, `machine_kw` (power of what makes
    heat and cold, and what stores take beside what they store), `engine_kw` (power of CHP and backup generators),
    `gas_kw` (bought, by lower heating value) and `unserved_<carrier>_kw`. Flexible loads are in `load_kw` with
    what they really use.
    """
    batteries, cars = plant.of_type(Battery), plant.of_type(V2gCharger)
    columns = {
        "import_kw": records.get("meter.import_kw"),
        "export_kw": records.get("meter.export_kw"),
        "load_kw": _sum(records, _loads(plant, "power"), "served_kw") + _flexible(plant, records),
        "pv_kw": _sum(records, plant.of_type(Pv), "used_kw"),
        "pv_available_kw": _sum(records, plant.of_type(Pv), "available_kw"),
        "battery_charge_kw": _sum(records, batteries, "charge_kw"),
        "battery_discharge_kw": _sum(records, batteries, "discharge_kw"),
        "ev_charge_kw": _sum(records, cars, "charge_kw"),
        "ev_discharge_kw": _sum(records, cars, "discharge_kw"),
        "machine_kw": _sum(records, _drawing(plant), "power_kw") + _beside_storing(plant, records),
        "engine_kw": _sum(records, plant.of_type(Chp, BackupGenerator), "power_kw"),
        "gas_kw": _sum(records, plant.of_type(GasSupply)[:1], "supply_kw"),
        **{f"unserved_{c}_kw": _sum(records, _loads(plant, c), "unserved_kw") for c in ("power", "heat", "cold")},
    }
    return means(pd.DataFrame(columns, index=records.frame().index), minutes)


def _drawing(plant: Plant) -> list[AnyDevice]:
    """Machines that take power to make heat or cold."""
    return [machine for machine in plant.of_type(*MACHINES) if "power_kw" in machine.buses()]


def _flexible(plant: Plant, records: Records) -> Array:
    """(minutes,) power of the flexible loads [kW]."""
    loads = [load for load in plant.of_type(FlexibleLoad) if load.carrier == "power"]
    used = _sum(records, loads, "served_kw") + _sum(records, loads, "added_kw")
    return used - _sum(records, loads, "put_off_kw")


def _beside_storing(plant: Plant, records: Records) -> Array:
    """(minutes,) what stores take for air conditioning, electronics and low temperatures [kW]."""
    stores = plant.of_type(Battery, ThermalStore)
    names = [f"{store.id}.{q}" for store in stores for q in store.buses() if q in ("auxiliary_kw", "power_kw")]
    return sum((records.get(name) for name in names), np.zeros(len(records)))


def meters(plant: Plant, records: Records, minutes: int = QUARTER_MINUTES) -> pd.DataFrame:
    """What the meters of a run counted, by the columns of a history folder: the billing meter and every device's flows
    [kW], means of `minutes`. A folder written of it is billed and stated as a site's own."""
    frame = means(records.frame(), minutes)
    wanted = {"meter.import_kw", "meter.export_kw"}
    wanted |= {f"{device.id}.{quantity}" for device in plant.truth.site.devices for quantity in device.buses()}
    return frame[[name for name in frame if name in wanted]].clip(lower=0.0).rename_axis("time")


def means(frame: pd.DataFrame, minutes: int) -> pd.DataFrame:
    """Means of a minute frame over whole intervals counted from its first row."""
    whole = len(frame) // minutes
    values = frame.to_numpy()[: whole * minutes].reshape(whole, minutes, frame.shape[1]).mean(axis=1)
    return pd.DataFrame(values, index=frame.index[: whole * minutes : minutes], columns=frame.columns)


def wear(plant: Plant, records: Records) -> tuple[CostItem, ...]:
    """What batteries and cars gave, with the wear cost of the site file; by depth it is the mean over the run."""
    worn: list[Battery | V2gCharger] = [*plant.of_type(Battery), *plant.of_type(V2gCharger)]
    given = [float(records.get(f"{device.id}.discharge_kw").sum()) / 60.0 for device in worn]
    return tuple(
        CostItem("wear", device.id, kwh, "kWh", _wear_per_kwh(device, records, kwh))
        for device, kwh in zip(worn, given, strict=True)
    )


def _wear_per_kwh(device: Battery | V2gCharger, records: Records, given_kwh: float) -> float:
    if isinstance(device, V2gCharger) or device.depth_wear is None:
        return device.wear_cost_per_kwh
    energy, charge, discharge = (records.get(f"{device.id}.{q}") for q in ("energy_kwh", "charge_kw", "discharge_kw"))
    gained = (device.charge_efficiency * charge[0] - discharge[0] / device.discharge_efficiency) / 60
    start_kwh = float(energy[0] - gained)
    cost = device.depth_wear.cost_of(device.numbers(), device.max_soc, start_kwh, charge, discharge, 1 / 60)
    return cost / given_kwh if given_kwh > 0 else 0.0


def stored_kwh(plant: Plant, records: Records) -> dict[str, float]:
    """Energy in each battery and thermal store at the end of the run [kWh]."""
    return {d.id: float(records.get(f"{d.id}.energy_kwh")[-1]) for d in plant.of_type(Battery, ThermalStore)}


def served_cars(plant: Plant, records: Records) -> ServedCars:
    """Every car that stood at a charger during the run."""
    cars = [car for charger in plant.of_type(V2gCharger) for car in _served_at(plant, records, charger)]
    return ServedCars(tuple(sorted(cars, key=lambda car: car.session.arrive)))


def _served_at(plant: Plant, records: Records, charger: V2gCharger) -> list[ServedCar]:
    end = records.start + timedelta(minutes=len(records))
    charge, discharge = (records.get(f"{charger.id}.{name}") for name in ("charge_kw", "discharge_kw"))
    gained = (charger.charge_efficiency * charge - discharge / charger.discharge_efficiency) / 60.0
    sessions = plant.drivers.sessions.get(charger.id, ())
    there = [session for session in sessions if session.arrive < end and session.depart > records.start]
    return [_served(session, gained, records.start, end) for session in there]


def _served(session: Session, gained_kwh: Array, start: datetime, end: datetime) -> ServedCar:
    minute = timedelta(minutes=1)
    first, last = max(0, (session.arrive - start) // minute), -((start - min(session.depart, end)) // minute)
    served = float(gained_kwh[first:last].sum())
    missed = max(0.0, needed_kwh(session) - served) if session.depart <= end else 0.0
    return ServedCar(session, served, missed)


def needed_kwh(session: Session) -> float:
    """What the car can take of what it needs: no more than fits."""
    if session.capacity_kwh is None or session.energy_on_arrival_kwh is None:
        return session.energy_needed_kwh
    return min(session.energy_needed_kwh, session.capacity_kwh - session.energy_on_arrival_kwh)


def _loads(plant: Plant, carrier: str) -> list[Load]:
    return [load for load in plant.of_type(Load) if load.carrier == carrier]


def _sum(records: Records, devices: Iterable[AnyDevice], quantity: str) -> Array:
    return sum((records.get(f"{device.id}.{quantity}") for device in devices), np.zeros(len(records)))
