"""Parks that are none of the shipped ones, put together from recorded loads and suns of a folder of data (`--data`).

Each record keeps its own wall clock and is moved by whole weeks to 2026, so that weekdays stay; China's holidays lie
over it as they come. Machines, tariffs and sizes are made up. Gaps are filled in a straight line: bills need every
quarter hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from recorded_loads import Load, recorded_loads
from recorded_sources import plants

from site_configs.history import History
from site_configs.site import Site

ZONE = ZoneInfo("Asia/Shanghai")
QUARTER = pd.Timedelta(minutes=15)
HIGHEST_USUAL = 0.9995
"""Quantile of a recorded sun that stands for nine tenths of the park's capacity: single spikes are no power."""
WEAR_PER_KWH = 0.1481


@dataclass(frozen=True)
class Moved:
    """A record on its own wall clock, and how it comes into the park."""

    name: str
    zone: str
    weeks: int
    """By so many it is moved."""
    mean_kw: float | None = None
    """What it is scaled to over the park's days; as recorded if None."""


@dataclass(frozen=True)
class OtherPark:
    """One park before its records are read."""

    id: str
    first: str
    until: str
    """Local days."""
    tariff: Mapping[str, Any]
    export_per_kwh: float
    devices: Sequence[Mapping[str, Any]]
    loads: Mapping[str, Moved]
    """By device."""
    sun: Moved | None = None
    weather: Moved | None = None

    def site(self) -> Site:
        return Site.model_validate(
            {
                "id": self.id,
                "name_zh": self.id,
                "name_en": self.id,
                "timezone": ZONE.key,
                "latitude": 31.0,
                "longitude": 120.0,
                "tariff": self.tariff,
                "export": {"price_per_kwh": self.export_per_kwh, "source": "made up"},
                "carbon": {"region": self.tariff["area"]},
                "devices": self.devices,
            }
        )

    def history(self, data: Path) -> History:
        """The park's days, put together.

        Raises:
            FileNotFoundError: a record is not in the folder.
        """
        loads = _loads(data)
        columns = {f"{device}.demand_kw": self._load(loads[of.name], of) for device, of in self.loads.items()}
        if self.sun:
            (capacity,) = (device["capacity_kw"] for device in self.devices if device["kind"] == "pv")
            columns["pv1.available_kw"] = self._sun(data, self.sun, capacity)
        if self.weather:
            columns["weather.temperature_c"] = self._within(_moved(_temperature(data, self.weather), self.weather))
        frame = pd.DataFrame(columns).round(3).interpolate().bfill()
        frame.index = frame.index.tz_localize(ZONE).tz_convert("UTC").rename("time")
        return History(f"{self.id}, put together", frame, 15)

    def _load(self, load: Load, of: Moved) -> pd.Series[float]:
        values = self._within(_moved(load.series, of))
        return values if of.mean_kw is None else values * (of.mean_kw / values.mean())

    def _sun(self, data: Path, of: Moved, capacity_kw: float) -> pd.Series[float]:
        power = plants(data)[of.name]().power_kw
        scaled = power * (0.9 * capacity_kw / power.quantile(HIGHEST_USUAL))
        return self._within(_moved(scaled.clip(upper=capacity_kw), of))

    def _within(self, values: pd.Series[float]) -> pd.Series[float]:
        """Every quarter hour of the park's days: of hourly values each four times, NaN where nothing was recorded."""
        step = values.index[1] - values.index[0]
        quarters = pd.date_range(self.first, self.until, freq=QUARTER, inclusive="left")
        return values.reindex(quarters, method="ffill", tolerance=step - QUARTER)


def _moved(values: pd.Series[float], of: Moved) -> pd.Series[float]:
    """By its wall clock, moved; of an hour that comes twice the first."""
    clock = pd.DatetimeIndex(values.index).tz_convert(of.zone).tz_localize(None)
    local = values.set_axis(clock + pd.Timedelta(weeks=of.weeks))
    return local[~local.index.duplicated()]


def _temperature(data: Path, of: Moved) -> pd.Series[float]:
    stamp = "timestamp_utc"
    rows = pd.read_csv(data / "cambridge" / f"{of.name}.csv.gz", parse_dates=[stamp], index_col=stamp)
    return rows["air_temperature_c"].tz_localize("UTC")


@cache
def _loads(data: Path) -> dict[str, Load]:
    return {load.name: load for load in recorded_loads(data)}


def _grid(import_kw: float, export_kw: float) -> dict[str, Any]:
    return {"id": "grid", "kind": "grid_connection", "import_limit_kw": import_kw, "export_limit_kw": export_kw}


def _battery(capacity_kwh: float, power_kw: float) -> dict[str, Any]:
    limits = {"charge_limit_kw": power_kw, "discharge_limit_kw": power_kw}
    return {
        "id": "battery1",
        "kind": "battery",
        "capacity_kwh": capacity_kwh,
        "wear_cost_per_kwh": WEAR_PER_KWH,
        **limits,
    }


def _pv(capacity_kw: float) -> dict[str, Any]:
    return {"id": "pv1", "kind": "pv", "capacity_kw": capacity_kw}


def _tariff(area: str, mode: str, transformer_kva: float, **rest: float) -> dict[str, Any]:
    supply = {"class": "two_part_1_10kv", "demand_mode": mode, "transformer_kva": transformer_kva}
    return {"area": area, **supply, **rest}


def _heating(pump_kw: float, boiler_kw: float, tank_kwh: float, tank_kw: float, gas: float) -> list[dict[str, Any]]:
    return [
        {"id": "heat_load", "kind": "load", "carrier": "heat"},
        {"id": "heat_pump1", "kind": "heat_pump", "heat_limit_kw": pump_kw},
        {"id": "gas", "kind": "gas_supply", "supply_limit_kw": 1500, "price_per_nm3": gas},
        {"id": "boiler1", "kind": "gas_boiler", "heat_limit_kw": boiler_kw},
        {"id": "tank", "kind": "thermal_store", "carrier": "heat", "capacity_kwh": tank_kwh, "charge_limit_kw": tank_kw,
         "discharge_limit_kw": tank_kw, "loss_per_hour": 0.005},
    ]  # fmt: skip


def _chiller(number: int, cop_points: list[list[float]]) -> dict[str, Any]:
    return {"id": f"chiller{number}", "kind": "chiller", "cooling_limit_kw": 700, "cop_points": cop_points}


LOAD = {"id": "load", "kind": "load"}
COOLING: tuple[dict[str, Any], ...] = (
    {"id": "cold_load", "kind": "load", "carrier": "cold"},
    _chiller(1, [[20, 5.9], [30, 5.1], [40, 4.1]]),
    _chiller(2, [[20, 5.7], [30, 4.9], [40, 3.9]]),
    {"id": "tank", "kind": "thermal_store", "carrier": "cold", "capacity_kwh": 4000, "charge_limit_kw": 700,
     "discharge_limit_kw": 800, "loss_per_hour": 0.003},
)  # fmt: skip
CALIFORNIA = "America/Los_Angeles"

CAMPUS = OtherPark(
    "campus", "2026-08-03", "2026-11-02", _tariff("jiangsu", "actual", 3150), 0.4,
    [_grid(3000, 1000), LOAD, _pv(800), _battery(2000, 1000)],
    {"load": Moved("campus", CALIFORNIA, 365, 1470.0)}, Moved("csc_building", CALIFORNIA, 365),
)  # fmt: skip
_PARKS = (
    OtherPark(
        "library", "2026-03-02", "2026-06-01", _tariff("zhejiang", "actual", 2000), 0.4153,
        [_grid(1800, 1200), LOAD, _pv(500), _battery(1000, 500)],
        {"load": Moved("library", CALIFORNIA, 417, 760.0)}, Moved("hopkins_parking", CALIFORNIA, 417),
    ),
    OtherPark(
        "office", "2026-06-15", "2026-09-14", _tariff("shanghai", "contract", 1600, contract_demand_kw=900), 0.0,
        [_grid(1400, 0), LOAD, _battery(800, 400)],
        {"load": Moved("office Patti", "UTC", 469)},
    ),
    OtherPark(
        "winter", "2026-01-05", "2026-04-06", _tariff("jiangsu", "actual", 2500), 0.391,
        [_grid(2500, 500), LOAD, _pv(400), _battery(1500, 600), *_heating(300, 700, 1500, 300, 3.77)],
        {"load": Moved("hospital Modesto", "UTC", 469, 700.0),
         "heat_load": Moved("university b35 gas", "Europe/London", 365, 330.0)},
        Moved("sdsc", CALIFORNIA, 417), Moved("weather_bedford_hourly", "Europe/London", 365),
    ),
    CAMPUS,
    replace(
        CAMPUS, id="campus_spring", first="2026-03-02", until="2026-06-01",
        tariff=_tariff("zhejiang", "actual", 3150), export_per_kwh=0.4153,
    ),
    OtherPark(
        "library_autumn", "2026-08-03", "2026-11-02", _tariff("shanghai", "actual", 2000), 0.4,
        [_grid(1800, 1200), LOAD, _pv(500), _battery(1000, 500)],
        {"load": Moved("library", CALIFORNIA, 365, 760.0)}, Moved("sdsc", CALIFORNIA, 365),
    ),
    OtherPark(
        "students", "2026-03-02", "2026-06-01", _tariff("zhejiang", "actual", 3150), 0.4153,
        [_grid(2500, 1500), LOAD, _pv(600), _battery(1500, 750)],
        {"load": Moved("student services", CALIFORNIA, 365, 900.0)}, Moved("hopkins_parking", CALIFORNIA, 365),
    ),
    OtherPark(
        "institute", "2026-06-08", "2026-09-07", _tariff("zhejiang", "actual", 2000), 0.4153,
        [_grid(1800, 1200), LOAD, _pv(800), _battery(2000, 1000)],
        {"load": Moved("university b35 electricity", "Europe/London", 365, 700.0)},
        Moved("hopkins_parking", CALIFORNIA, 365),
    ),
    OtherPark(
        "works", "2026-03-02", "2026-06-01", _tariff("jiangsu", "contract", 2500, contract_demand_kw=1600), 0.391,
        [_grid(2400, 500), LOAD, _pv(500), _battery(2000, 1000)],
        {"load": Moved("steel plant", "Asia/Seoul", 417, 500.0)}, Moved("csc_building", CALIFORNIA, 365),
    ),
    OtherPark(
        "cooling", "2026-06-08", "2026-09-07", _tariff("shanghai", "actual", 2500), 0.4,
        [_grid(2200, 1500), LOAD, _pv(500), *COOLING],
        {"load": Moved("library", CALIFORNIA, 365, 600.0),
         "cold_load": Moved("chillers", "Asia/Hong_Kong", 157, 650.0)},
        Moved("sdsc", CALIFORNIA, 365), Moved("weather_bedford_hourly", "Europe/London", 365),
    ),
    OtherPark(
        "hot_water", "2026-03-02", "2026-06-01", _tariff("beijing", "actual", 3150), 0.0,
        [_grid(2500, 0), LOAD, _pv(300), _battery(1500, 600), *_heating(350, 800, 2000, 400, 3.6)],
        {"load": Moved("hospital Justin", "UTC", 469, 1000.0),
         "heat_load": Moved("hot-water plant", "UTC", 313, 300.0)},
        Moved("sdsc", CALIFORNIA, 365), Moved("weather_bedford_hourly", "Europe/London", 365),
    ),
)  # fmt: skip
OTHER_PARKS = {park.id: park for park in _PARKS}
"""Libraries, an office and a steel works with contracts for their demand, hospitals with heat, campuses and institutes,
each with a battery; and one with cold and a cold store alone."""
