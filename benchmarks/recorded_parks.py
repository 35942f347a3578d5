"""Two parks with recorded demand for the closed loop, and their fortnights.

A fortnight begins on a Saturday and is moved by whole weeks to the last two weeks of July 2026, so that weekdays stay
and the billing month ends with it: what a month's peak costs is then weighed against the days that earn it, and nothing
beyond. `works` is the shipped park of Jiashan on its sample; `campus` is an office building with heating, recorded at
Cambridge (`recorded/SOURCES.md`), with a heat pump, a boiler, a hot-water tank and a battery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import pandas as pd

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice
from optimizer.devices.battery import Battery
from optimizer.devices.gas_boiler import GasBoiler
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.thermal_store import ThermalStore
from optimizer.situation import Session
from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site
from site_configs.site import Site

DAYS = 14
START = datetime(2026, 7, 31, 16, tzinfo=UTC) - timedelta(days=DAYS)
"""Saturday 2026-07-18 at Jiashan; the billing month ends 14 days later."""
CAMBRIDGE = Path(__file__).parent / "recorded" / "cambridge.csv.gz"
FIRST_SATURDAY = {"works": datetime(2026, 6, 19, 16, tzinfo=UTC), "campus": datetime(2019, 1, 5, tzinfo=UTC)}
"""Midnight of the first recorded Saturday, each on its own clock."""

ParkName = Literal["works", "campus"]
CAR_KINDS = ("v2g_charger", "expected_cars")


@dataclass(frozen=True)
class Fortnight:
    """Two recorded weeks of one park."""

    park: ParkName
    week: int
    """0 begins with the first recorded Saturday."""
    cars: bool = False
    """With the chargers and cars of the sample, or without any."""

    @property
    def moved(self) -> timedelta:
        """What is added to recorded times: whole weeks where the years' weekdays agree."""
        return START - FIRST_SATURDAY[self.park] - self.week * timedelta(days=7)

    @cached_property
    def site(self) -> Site:
        site = load_site("jiashan_park")
        if self.park == "campus":
            return site.model_copy(update={"devices": _campus(), "feeders": ()})
        devices = tuple(_without_part_load(d) for d in site.devices if self.cars or d.kind not in CAR_KINDS)
        return site.model_copy(update={"devices": devices, "feeders": site.feeders if self.cars else ()})

    @property
    def feeders(self) -> tuple[FeederLimit, ...]:
        return tuple(FeederLimit(f.id, f.limit_kw, f.members) for f in self.site.feeders)

    @cached_property
    def series(self) -> pd.DataFrame:
        """Recorded quarter hours from the fortnight's start to a day after its end, by the park's series."""
        frame = _sample() if self.park == "works" else _cambridge()
        moved = frame.set_axis(frame.index + self.moved)
        return moved.loc[START : START + timedelta(days=DAYS + 1)].iloc[:-1]

    @cached_property
    def sessions(self) -> tuple[Session, ...]:
        """Every recorded car, those of earlier weeks too, in order of arrival."""
        cars = read_history(sample_folder("jiashan_park")).sessions if self.cars else ()
        return tuple(replace(car, arrive=car.arrive + self.moved, depart=car.depart + self.moved) for car in cars)


def _without_part_load(device: AnyDevice) -> AnyDevice:
    """Least part loads stand only in the first steps of a plan: one plan of two weeks would not see the same ones."""
    return device.model_copy(update={"min_part_load": 0.0}) if device.kind == "chiller" else device


@cache
def _sample() -> pd.DataFrame:
    return read_history(sample_folder("jiashan_park")).frame


@cache
def _cambridge() -> pd.DataFrame:
    """Hours as four equal quarter hours."""
    hourly = pd.read_csv(CAMBRIDGE, index_col="time", parse_dates=["time"])
    names = {
        "load_kw": "load.demand_kw",
        "heat_load_kw": "heat_load.demand_kw",
        "temperature_c": "weather.temperature_c",
    }
    quarters = pd.date_range(hourly.index[0], hourly.index[-1] + timedelta(minutes=45), freq="15min")
    return hourly.rename(columns=names).reindex(quarters, method="ffill")


def _campus() -> Sequence[AnyDevice]:
    return (
        GridConnection(id="grid", import_limit_kw=2500),
        Load(id="load", carrier="power"),
        Load(id="heat_load", carrier="heat"),
        Battery(id="battery1", capacity_kwh=1500, charge_limit_kw=600, discharge_limit_kw=600),
        HeatPump(id="heat_pump1", heat_limit_kw=300, min_part_load=0.0),
        GasSupply(id="gas", supply_limit_kw=1500, price_per_nm3=3.77),
        GasBoiler(id="boiler1", heat_limit_kw=700, min_part_load=0.0),
        ThermalStore(id="tank", carrier="heat", capacity_kwh=1500, charge_limit_kw=300, discharge_limit_kw=300),
    )
