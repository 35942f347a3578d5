"""Recorded PV, prices, carbon and cars of a folder of recorded data (`--data`), each on UTC as its own notes say.

Stamps that come twice or not at all when clocks change are left out. PV below zero is the stand-by draw of inverters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from forecasting.kinds import PastSession
from forecasting.sun import Position


@dataclass(frozen=True)
class Plant:
    """A recorded PV plant [kW]."""

    name: str
    power_kw: pd.Series[float]
    step_minutes: int
    capacity_kw: float
    position: Position | None
    """None where the record does not say where it was made."""


SAN_DIEGO = Position(32.88, -117.235)
GOLDEN = Position(39.74, -105.17)
FONTANA = Position(34.09, -117.44)
HOMES = 5


def plants(folder: Path) -> dict[str, Callable[[], Plant]]:
    """By name: how to read each recorded plant."""
    campus = {
        name: lambda name=name: _campus_plant(folder, name) for name in ("hopkins_parking", "sdsc", "csc_building")
    }
    homes = {f"home_{k}": lambda k=k: _home(folder, k) for k in range(1, HOMES + 1)}
    return {**campus, "china_50mw": lambda: _china(folder), "rsf": lambda: _office(folder), **homes}


def _campus_plant(folder: Path, name: str) -> Plant:
    """Wall clock of San Diego; the capacity is what was ever reached."""
    rows = pd.read_csv(folder / "ucsd_microgrid" / f"pv_{name}_15min.csv.gz")
    power = wall_clock(rows["timestamp_local"], rows["real_power_kw"], "America/Los_Angeles")
    return Plant(name, power.clip(lower=0.0), 15, float(power.max()), SAN_DIEGO)


def _china(folder: Path) -> Plant:
    rows = pd.read_csv(folder / "china_pv" / "solar_site1_50MW_15min.csv.gz")
    power = wall_clock(rows["timestamp_local"], 1000.0 * rows["power_mw"], "Asia/Shanghai")
    return Plant("china_50mw", power, 15, 50_000.0, None)


def _office(folder: Path) -> Plant:
    """Stamps mark the end of the hour on the wall clock (noon moves with it); PV is negative when it generates."""
    rows = pd.read_csv(folder / "nrel_rsf_2011" / "rsf_measured_hourly.csv.gz")
    ends = pd.to_datetime(rows["Date and Time"], format="%m/%d/%Y %H:%M")
    power = wall_clock(ends - pd.Timedelta(hours=1), -rows["PV (kW)"], "America/Denver").clip(lower=0.0)
    return Plant("rsf", power, 60, float(power.max()), GOLDEN)


def _home(folder: Path, number: int) -> Plant:
    """W per kW of PV, from the first hour of August on, without stamps."""
    rows = pd.read_csv(folder / "citylearn_2022" / "phase_1" / f"Building_{number}.csv.gz")
    index = pd.date_range("2021-08-01", periods=len(rows) - 1, freq="1h", tz="Etc/GMT+8").tz_convert("UTC")
    power = pd.Series(rows["solar_generation"].to_numpy(dtype=float)[1:] / 1000.0, index)
    return Plant(f"home_{number}", power, 60, 1.0, FONTANA)


def prices(folder: Path) -> dict[str, Callable[[], pd.Series[float]]]:
    """By market: hourly prices [1/kWh]."""
    return {"nl": lambda: _dutch(folder), "gb_agile": lambda: _agile(folder), "sdge": lambda: _sdge(folder)}


def _dutch(folder: Path) -> pd.Series[float]:
    rows = pd.read_csv(folder / "prices" / "nl_day_ahead_hourly.csv.gz").iloc[:-1]
    index = pd.DatetimeIndex(pd.to_datetime(rows["Datetime (UTC)"], format="mixed")).tz_localize("UTC")
    prices = pd.Series(rows["Price (EUR/MWhe)"].to_numpy(dtype=float) / 1000.0, index)
    return prices[~prices.index.duplicated()]


def _agile(folder: Path) -> pd.Series[float]:
    rows = pd.read_csv(folder / "prices" / "gb_agile_import_east_hourly.csv.gz", index_col=0, parse_dates=True)
    return rows["gbp_per_kwh"].tz_localize("UTC")


def _sdge(folder: Path) -> pd.Series[float]:
    rows = pd.read_csv(folder / "prices" / "sdge_day_ahead_hourly.csv.gz")
    return wall_clock(rows["timestamp_local"], rows["usd_per_mwh"] / 1000.0, "America/Los_Angeles")


def carbon(folder: Path) -> dict[str, Callable[[], pd.Series[float]]]:
    """By grid: hourly carbon factor [kg/kWh]."""
    return {"gb": lambda: _gb_carbon(folder), "caiso": lambda: _caiso(folder)}


def _gb_carbon(folder: Path) -> pd.Series[float]:
    rows = pd.read_csv(folder / "carbon" / "gb_carbon_intensity_hourly.csv.gz", index_col=0, parse_dates=True)
    return rows["kg_co2_per_kwh"].tz_localize("UTC")


def _caiso(folder: Path) -> pd.Series[float]:
    """A year without stamps; which one is not told."""
    values = pd.read_csv(folder / "carbon" / "caiso_co2_hourly.csv.gz").iloc[:, 0].to_numpy(dtype=float)
    return pd.Series(
        values, pd.date_range("2019-01-01", periods=len(values), freq="1h", tz="Etc/GMT+8").tz_convert("UTC")
    )


@dataclass(frozen=True)
class Fleet:
    """The stays at a group of chargers."""

    name: str
    stays: tuple[PastSession, ...]
    zone: ZoneInfo

    @property
    def span(self) -> tuple[datetime, datetime]:
        """First and last arrival."""
        arrivals = [stay.arrive for stay in self.stays]
        return min(arrivals), max(arrivals)


PACIFIC = ZoneInfo("America/Los_Angeles")


def fleets(folder: Path) -> list[Fleet]:
    """Three workplaces. Of the third every year is written 2000 too small; its clock is taken as that of the others."""
    sessions = folder / "ev_sessions"
    jpl = pd.read_csv(sessions / "jpl_sessions_2018_2019.csv.gz")
    caltech = pd.read_csv(sessions / "caltech_sessions_user_inputs_2020_2021.csv.gz")
    third = pd.read_csv(sessions / "workplace_sessions_2014_2015.csv.gz")
    years = third[["created", "ended"]].replace("^00", "20", regex=True)
    return [
        _fleet("jpl", jpl["ConnectionStartDateTime"], jpl["ConnectionEndDateTime"], jpl["Energy"], "UTC"),
        _fleet("caltech", caltech["connectionTime_utc"], caltech["disconnectTime_utc"], caltech["kWhDelivered"], "UTC"),
        _fleet("workplace", years["created"], years["ended"], third["kwhTotal"], PACIFIC.key),
    ]


def _fleet(name: str, arrive: pd.Series, depart: pd.Series, kwh: pd.Series[float], zone: str) -> Fleet:
    """All stays at one place together."""
    times = [pd.to_datetime(column, format="mixed") for column in (arrive, depart)]
    utc = [
        t.dt.tz_convert("UTC") if t.dt.tz else t.dt.tz_localize(zone, ambiguous="NaT").dt.tz_convert("UTC")
        for t in times
    ]
    rows = pd.DataFrame({"arrive": utc[0], "depart": utc[1], "kwh": kwh}).dropna()
    stays = [
        PastSession(a.to_pydatetime(), d.to_pydatetime(), float(e), name) for a, d, e in rows.itertuples(index=False)
    ]
    return Fleet(name, tuple(stay for stay in stays if stay.arrive < stay.depart and stay.energy_kwh > 0), PACIFIC)


def wall_clock(stamps: pd.Series, values: pd.Series[float], zone: str) -> pd.Series[float]:
    """Values on UTC."""
    index = pd.DatetimeIndex(pd.to_datetime(stamps)).tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    known = np.asarray(index.notna())
    series = pd.Series(np.asarray(values, dtype=float)[known], index[known].tz_convert("UTC"))
    return series[~series.index.duplicated()].sort_index()
