"""The linear reference park (no on/off machines) in linopy: built anew and solved by HiGHS for every plan."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import linopy
import numpy as np
import pandas as pd
import xarray as xr

from optimizer.devices import (
    AbsorptionChiller,
    AnyDevice,
    Battery,
    Chiller,
    GasBoiler,
    GasSupply,
    GridConnection,
    HeatPump,
    ThermalStore,
    V2gCharger,
)
from optimizer.situation import Situation

D = TypeVar("D")

linopy.options["semantics"] = "v1"


@contextmanager
def _quiet() -> Iterator[None]:
    """HiGHS writes its banner to standard output before it reads any option: it goes to standard error instead."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def solve_linopy(devices: Sequence[AnyDevice], situation: Situation) -> float:
    """Builds and solves; the objective without its constant part."""
    return _Park(devices, situation).solve()


class _Park:
    """Arrays over steps and over the devices of a kind, as linopy likes them."""

    def __init__(self, devices: Sequence[AnyDevice], situation: Situation) -> None:
        self.devices, self.situation = devices, situation
        self.m = linopy.Model()
        self.hours = situation.grid.step_hours
        self.step = pd.RangeIndex(situation.grid.near, name="step")
        self.power: Any = 0
        self.cold: Any = 0
        self.heat: Any = 0
        self.cost: Any = 0
        self._machines()
        self._stores()
        self._cars()
        self._grid()
        self.m.add_constraints(self.cold == self._demand("cold_load"))
        self.m.add_constraints(self.heat == self._demand("heat_load"))
        self.m.add_objective(self.cost)

    def solve(self) -> float:
        with _quiet():
            self.m.solve(solver_name="highs", io_api="direct", output_flag=False, progress=False)
        return float(self.m.objective.value)

    def _of(self, kind: type[D]) -> list[D]:
        return [device for device in self.devices if isinstance(device, kind)]

    def _series(self, values: Any) -> xr.DataArray:
        return xr.DataArray(np.broadcast_to(values, len(self.step)), coords=[self.step])

    def _demand(self, load: str) -> xr.DataArray:
        return self._series(self.situation.need(f"{load}.demand_kw"))

    def _flow(self, name: str, upper: Any) -> Any:
        return self.m.add_variables(lower=0.0, upper=self._series(upper), name=name)

    def _machines(self) -> None:
        (supply,), (boiler,), (pump,) = self._of(GasSupply), self._of(GasBoiler), self._of(HeatPump)
        (absorber,), (chiller,) = self._of(AbsorptionChiller), self._of(Chiller)
        fired, pumped = self._flow("boiler_heat", boiler.heat_limit_kw), self._flow("pump_heat", pump.heat_limit_kw)
        absorbed = self._flow("absorber_cold", absorber.cooling_limit_kw)
        chilled = self._flow("chiller_cold", chiller.cooling_limit_kw)
        self.m.add_constraints(fired / boiler.efficiency <= supply.supply_limit_kw)
        self.cost = self.cost + (fired * (self.hours * supply.price_per_kwh / boiler.efficiency)).sum()
        self.heat = self.heat + fired + pumped - absorbed / absorber.cop
        self.cold = self.cold + absorbed + chilled
        pump_cop, chiller_cop = (self._series(d.conditions(self.situation)["cop"]) for d in (pump, chiller))
        self.power = self.power - pumped / pump_cop - chilled / chiller_cop - absorbed * absorber.auxiliary_kw_per_kw

    def _stores(self) -> None:
        lowest = float(self.situation.prices.import_per_kwh.min())
        for battery in self._of(Battery):
            low, high = battery.min_soc * battery.capacity_kwh, battery.max_soc * battery.capacity_kwh
            charge, discharge, energy = self._store(battery, battery.standing_loss_per_hour, low, high)
            self.power = self.power + discharge - charge
            self.cost = self.cost + (discharge * (self.hours * battery.wear_cost_per_kwh)).sum()
            self.cost = self.cost - energy.isel(step=-1) * (battery.discharge_efficiency * lowest)
        for tank in self._of(ThermalStore):
            charge, discharge, energy = self._store(tank, tank.loss_per_hour, 0.0, tank.capacity_kwh)
            if tank.carrier == "heat":
                self.heat = self.heat + discharge - charge
            else:
                self.cold = self.cold + discharge - charge
            self.cost = self.cost - energy.isel(step=-1) * tank.left_value_per_kwh

    def _store(self, device: Battery | ThermalStore, loss: float, low: float, high: float) -> tuple[Any, Any, Any]:
        charge = self._flow(f"{device.id}_charge", device.charge_limit_kw)
        discharge = self._flow(f"{device.id}_discharge", device.discharge_limit_kw)
        energy = self.m.add_variables(low, high, coords=[self.step], name=f"{device.id}_energy")
        keep = (1.0 - loss) ** self.hours
        gained = charge * (self.hours * device.charge_efficiency) - discharge * (
            self.hours / device.discharge_efficiency
        )
        start = np.zeros(len(self.step))
        start[0] = keep * device.start(self.situation)["energy_kwh"]
        self.m.add_constraints(energy - keep * energy.shift(step=1).fillna(0) - gained == self._series(start))
        return charge, discharge, energy

    def _cars(self) -> None:
        chargers = self._of(V2gCharger)
        given = [charger.conditions(self.situation) for charger in chargers]
        ids = pd.Index([charger.id for charger in chargers], name="charger")

        def table(rows: list[Any]) -> xr.DataArray:
            return xr.DataArray(np.asarray(rows, dtype=float), coords=[ids, self.step])

        def column(name: str) -> xr.DataArray:
            return xr.DataArray([getattr(charger, name) for charger in chargers], coords=[ids])

        share, two_way = table([c["share"] for c in given]), table([c["two_way"] for c in given])
        floor, full, target = (table([c[name] for c in given]) for name in ("floor_kwh", "full_kwh", "target_kwh"))
        charge = self.m.add_variables(0, share * column("charge_limit_kw"), name="car_charge")
        discharge = self.m.add_variables(0, share * two_way * column("discharge_limit_kw"), name="car_discharge")
        energy = self.m.add_variables(floor, full, name="car_energy")
        missed = self.m.add_variables(0, target, name="car_missed")
        brought, stay = table([c["arrive_kwh"] for c in given]), table([c["stay"] for c in given])
        start = np.array([charger.start(self.situation)["energy_kwh"] for charger in chargers])
        brought[:, 0] += stay[:, 0] * start
        into = charge * (self.hours * column("charge_efficiency"))
        out = discharge * (self.hours / column("discharge_efficiency"))
        self.m.add_constraints(energy - stay * energy.shift(step=1).fillna(0) - into + out == brought)
        self.m.add_constraints(energy + missed >= target)
        self.power = self.power + discharge.sum("charger") - charge.sum("charger")
        self.cost = self.cost + (discharge * (self.hours * column("wear_cost_per_kwh"))).sum()
        self.cost = self.cost + (missed * column("missed_price_per_kwh")).sum()

    def _grid(self) -> None:
        (grid,) = self._of(GridConnection)
        prices = self.situation.prices
        pv = self._flow("pv_used", self.situation.need("pv1.available_kw"))
        bought, sold = self._flow("import", grid.import_limit_kw), self._flow("export", grid.export_limit_kw)
        self.m.add_constraints(sold <= pv)
        (line,) = prices.demand
        peak = self.m.add_variables(lower=self.situation.peak_so_far_kw(grid.id, line.id), name="peak")
        self.m.add_constraints(bought <= peak)
        self.m.add_constraints(self.power + bought - sold + pv == self._demand("load"))
        self.cost = self.cost + (bought * (self.hours * self._series(prices.import_per_kwh))).sum()
        self.cost = self.cost - (sold * (self.hours * self._series(prices.export_per_kwh))).sum()
        self.cost = self.cost + peak * line.price_per_kw
