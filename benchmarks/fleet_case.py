"""The fleet that is measured: on each site a battery, a heat store, a heat pump, ten chargers, PV, two loads, a meter.

Loads, sun, weather and cars are those of the shipped record, each site shifted by some hours and scaled; setpoints are
drawn over the devices' ranges, so that limits of power and of energy both bind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from reference_park import START, Record

from hil.fleet.fleet import Fleet, FleetState, Surroundings
from hil.fleet.groups import Group
from optimizer.devices import AnyDevice, Battery, GridConnection, HeatPump, Load, Pv, ThermalStore, V2gCharger
from optimizer.situation import Situation
from optimizer.time_grid import Array, TimeGrid

CHARGERS = 10
DIFFERENT = 25
"""Different surroundings; sites with the same ones differ in their devices and setpoints."""


def devices(rng: np.random.Generator) -> tuple[AnyDevice, ...]:
    size = float(rng.uniform(0.5, 1.5))
    return (
        GridConnection(id="grid", import_limit_kw=2000 * size, export_limit_kw=500 * size),
        Battery(id="battery1", capacity_kwh=1000 * size, charge_limit_kw=500 * size, discharge_limit_kw=500 * size),
        ThermalStore(id="hot", carrier="heat", capacity_kwh=800 * size, charge_limit_kw=200, discharge_limit_kw=200),
        *(
            V2gCharger(id=f"ev{k:03d}", charge_limit_kw=20, discharge_limit_kw=20 * (k % 2), taper_from_soc=0.8)
            for k in range(CHARGERS)
        ),
        Pv(id="pv1", capacity_kw=600 * size),
        HeatPump(id="heat_pump1", heat_limit_kw=300 * size),
        Load(id="load", carrier="power"),
        Load(id="heat_load", carrier="heat"),
    )


def situations(steps: int, step_minutes: int) -> list[Situation]:
    record, made = Record.read(CHARGERS), []
    for n in range(DIFFERENT):
        at = START + timedelta(hours=5 * n)
        quarter_hours = record.situation(at, hours=max(1, -(-steps * step_minutes // 60)))
        series = {name: np.repeat(values, 15 // step_minutes)[:steps] for name, values in quarter_hours.series.items()}
        made.append(replace(quarter_hours, grid=TimeGrid(at, step_minutes, steps), series=series))
    return made


@dataclass(frozen=True)
class Case:
    """A fleet ready to run."""

    fleet: Fleet
    surroundings: Surroundings
    start: FleetState
    targets: dict[Group, Array]

    @property
    def steps(self) -> int:
        return self.surroundings.steps

    @property
    def device_steps(self) -> int:
        """Steps of devices in a run; the meter counts as one."""
        rows = sum(self.fleet.rows.values()) + 1
        return rows * len(self.fleet.sites) * self.steps

    @property
    def bytes(self) -> int:
        """What the steps must read and write once: setpoints, surroundings, states in and out, the sites' records.

        Parameters, flows between device and bus and the buses themselves are not counted.
        """
        read = [*self.targets.values(), *self.surroundings.around.values(), self.surroundings.cars.cars]
        states = self.steps * sum(array.nbytes for array in self.start.states.values())
        written = self.fleet.empty_records(self.steps, of_devices=False).sites.nbytes
        return 2 * states + written + sum(array.nbytes for array in read)


def case(sites: int, steps: int, step_minutes: int, seed: int = 1) -> Case:
    rng = np.random.default_rng(seed)
    fleet = Fleet([devices(rng) for _ in range(sites)], step_minutes)
    around = situations(steps, step_minutes)
    here = [around[n % DIFFERENT] for n in range(sites)]
    targets = fleet.targets([_drawn(members, steps, rng) for members in fleet.sites], steps)
    return Case(fleet, fleet.surroundings(here), fleet.start(here), targets)


def _drawn(members: tuple[AnyDevice, ...], steps: int, rng: np.random.Generator) -> dict[str, Array]:
    controlled = [device for device in members if device.target_kw({}) is not None]
    return {device.id: rng.uniform(*device.bounds_kw(), steps) for device in controlled}
