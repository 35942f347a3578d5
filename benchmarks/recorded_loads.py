"""Recorded loads of many kinds, read from a folder of public data sets: electric, heat and cold, 15 min and 1 h.

Each set keeps its own clock and its own way of saying "not measured"; here all become kW by UTC interval start, with
NaN for what was not measured. The folder is not part of the product: `--data DIR` says where it is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import pandas as pd

from forecasting.day_types import DayType, LocalClock

RECORDED = Path(__file__).parents[2] / "shared" / "data"
SATURDAY = 5
WATER_KJ_PER_KG_K = 4.186
REPEATED_SHARE = 0.95
"""Of a day's values."""


@dataclass(frozen=True)
class Load:
    """One recorded load."""

    place: str
    """Loads of one place have weather, calendar and habits in common."""
    name: str
    carrier: str
    """`electric`, `heat` or `cold`."""
    clock: LocalClock
    series: pd.Series
    """kW by UTC interval start, regular; NaN where nothing was measured."""
    day_type: DayType
    scored_until: pd.Timestamp
    """End of the back-test, UTC."""


def require_loads(folder: Path) -> None:
    """Ends the program with 3 where the folder of the data sets is not there."""
    if not folder.is_dir():
        print(f"no recorded loads in {folder}: give their folder with --data DIR", file=sys.stderr)
        raise SystemExit(3)


def recorded_loads(folder: Path) -> list[Load]:
    """All loads of the folder.

    Raises:
        FileNotFoundError: a set is not there.
    """
    return [*_ucsd(folder), _steel(folder), _hong_kong(folder), *_cambridge(folder), *_bdg2(folder), *_heating(folder)]


def year_long_loads(folder: Path) -> list[Load]:
    """The three 15-minute loads that are long enough to be scored over a year."""
    return [load for load in _ucsd(folder) if load.name in ("campus", "library", "student services")]


def _ucsd(folder: Path) -> list[Load]:
    """Wall clock of California; the hour that comes twice in autumn is told apart by its order."""
    files = {
        "campus": ("campus_demand", "total_campus_load_kw"),
        "library": ("load_geisel_library", "real_power_kw"),
        "student services": ("load_student_services", "real_power_kw"),
        "university office": ("v2g_hopkins_building", "real_power_kw"),
    }
    clock = LocalClock(ZoneInfo("America/Los_Angeles"), 15)
    loads = []
    for name, (file, column) in files.items():
        frame = pd.read_csv(folder / "ucsd_microgrid" / f"{file}_15min.csv.gz", parse_dates=["timestamp_local"])
        series = _on_wall_clock(frame["timestamp_local"], frame[column], "America/Los_Angeles")
        series = _without_repeated_days(series, clock)
        loads.append(_load("San Diego", name, "electric", clock, series, _university_day))
    return loads


def _without_repeated_days(series: pd.Series, clock: LocalClock) -> pd.Series:
    """Days that repeat the day before to the last digit were filled in by the recorder: nothing was measured. (The
    campus has its 15 January 2020 seventeen times more.)"""
    once = series[~series.index.duplicated()]
    repeated = series == once.shift(freq=pd.Timedelta(days=1)).reindex(series.index)
    local = pd.Series(repeated.to_numpy(), index=series.index.tz_convert(clock.zone).date)
    share = local.groupby(level=0).mean()
    filled = np.isin(local.index, share.index[share >= REPEATED_SHARE])
    return series.mask(filled & (series != 0).to_numpy())


def _steel(folder: Path) -> Load:
    """Energy of a quarter hour in the order of the rows; the stamps mark ends and jump back at midnight."""
    frame = pd.read_csv(folder / "steel_korea" / "steel_industry_15min.csv.gz")
    index = pd.date_range("2018-01-01", periods=len(frame), freq="15min", tz="Asia/Seoul").tz_convert("UTC")
    series = pd.Series(4.0 * frame["Usage_kWh"].to_numpy(), index=index)
    return _load("Korea", "steel plant", "electric", LocalClock(ZoneInfo("Asia/Seoul"), 15), series, public_days("KR"))


def _hong_kong(folder: Path) -> Load:
    """Cold of three chillers from flow [l/s] and temperatures; all temperatures zero means not measured."""
    frame = pd.read_csv(folder / "hk_chiller_plant" / "building_x_chillers_15min.csv.gz")
    times = pd.to_datetime(frame["record_timestamp"], format="%d/%m/%Y %H:%M")
    chillers = [f"CHR-0{k}" for k in (1, 2, 3)]
    warming = [frame[f"{name}-CHWRWT"] - frame[f"{name}-CHWSWT"] for name in chillers]
    cold = sum(WATER_KJ_PER_KG_K * frame[f"{name}-CHWFWR"] * rise for name, rise in zip(chillers, warming, strict=True))
    dead = (frame[[f"{name}-CHWRWT" for name in chillers]] == 0).all(axis=1)
    series = _on_wall_clock(times, pd.Series(cold).mask(dead).clip(lower=0.0), "Asia/Hong_Kong")
    return _load("Hong Kong", "chillers", "cold", LocalClock(ZoneInfo("Asia/Hong_Kong"), 15), series, public_days("HK"))


def _cambridge(folder: Path) -> list[Load]:
    """UTC; a missing reading was recorded as zero. Scored to the end of 2019: in 2020 the estate was closed down."""
    clock, loads = LocalClock(ZoneInfo("Europe/London"), 60), []
    for building, columns in {
        "b105": ("electricity_kwh", "gas_heating"),
        "b35": ("electricity_kwh", "gas_heating"),
    }.items():
        path = folder / "cambridge" / f"building_{building}_hourly.csv.gz"
        frame = pd.read_csv(path, parse_dates=["timestamp_utc"], index_col="timestamp_utc").tz_localize("UTC")
        for column in columns:
            carrier = "heat" if column == "gas_heating" else "electric"
            series = frame[column].where(frame[column] != 0)
            name = f"university {building} {'gas' if carrier == 'heat' else 'electricity'}"
            loads.append(_load("Cambridge", name, carrier, clock, series.loc[:"2019-12-31"], public_days("GB")))
    return loads


def _bdg2(folder: Path) -> list[Load]:
    """The recorded clock has no change of summer time, so it is kept as it is; zero is a dead meter."""
    frame = pd.read_csv(folder / "bdg2" / "electricity_hourly.csv.gz", parse_dates=["timestamp"], index_col="timestamp")
    sites = {
        "Mouse_health_Modesto": ("hospital Modesto", "GB"),
        "Mouse_health_Justin": ("hospital Justin", "GB"),
        "Fox_office_Israel": ("office Israel", "US"),
        "Panther_office_Patti": ("office Patti", "US"),
    }
    clock = LocalClock(ZoneInfo("UTC"), 60)
    zoned = frame.tz_localize("UTC")
    return [
        _load(
            column.split("_")[0], name, "electric", clock, zoned[column].where(zoned[column] > 0), public_days(country)
        )
        for column, (name, country) in sites.items()
    ]


def _heating(folder: Path) -> list[Load]:
    """A hot-water plant [W, UTC], and an office whose stamps mark the end of the hour, Mountain time all year."""
    plant = pd.read_csv(folder / "hydronic_heating" / "building_127_hhw_hourly.csv.gz", parse_dates=["datetime_UTC"])
    heat = pd.Series(plant["hw"].to_numpy() / 1000, index=pd.DatetimeIndex(plant["datetime_UTC"]))
    office = pd.read_csv(folder / "nrel_rsf_2011" / "rsf_measured_hourly.csv.gz")
    index = pd.date_range("2011-01-01", periods=len(office), freq="1h", tz="Etc/GMT+7").tz_convert("UTC")
    electric = sum(office[f"Total {part} (kW)"] for part in ("Mechanical", "Lighting", "Plug Loads", "Data Center"))
    mountain = LocalClock(ZoneInfo("Etc/GMT+7"), 60)
    days = public_days("US")
    return [
        _load("hot water", "hot-water plant", "heat", LocalClock(ZoneInfo("America/Los_Angeles"), 60), heat, days),
        _load(
            "RSF",
            "office RSF heating",
            "heat",
            mountain,
            pd.Series(office["Total Heating (kW)"].to_numpy(), index=index),
            days,
        ),
        _load(
            "RSF", "office RSF electricity", "electric", mountain, pd.Series(np.asarray(electric), index=index), days
        ),
    ]


def _load(place: str, name: str, carrier: str, clock: LocalClock, series: pd.Series, day_type: DayType) -> Load:
    regular = series.astype(float).groupby(level=0).mean().asfreq(timedelta(minutes=clock.step_minutes))
    known = regular.loc[regular.first_valid_index() : regular.last_valid_index()].rename(name)
    return Load(place, name, carrier, clock, known, day_type, known.index[-1] + timedelta(minutes=clock.step_minutes))


def _on_wall_clock(times: pd.Series, values: pd.Series, zone: str) -> pd.Series:
    """Values by UTC start, from wall-clock stamps in ascending order; of a repeated stamp the first is summer time."""
    stamps = pd.DatetimeIndex(times)
    index = stamps.tz_localize(zone, ambiguous=~stamps.duplicated(), nonexistent="NaT").tz_convert("UTC")
    kept = ~index.isna()
    return pd.Series(values.to_numpy()[kept], index=index[kept])


def public_days(country: str) -> DayType:
    """Weekends and public holidays of a country; `none` knows weekends only."""

    def day_type(day: date) -> str:
        if country != "none" and day in _holidays(country, day.year):
            return "holiday"
        return "rest_day" if day.weekday() >= SATURDAY else "workday"

    return day_type


def _university_day(day: date) -> str:
    """Calendar of the University of California, San Diego: its published holidays and winter closure."""
    if day in _university_closures(day.year):
        return "holiday"
    return "rest_day" if day.weekday() >= SATURDAY else "workday"


@cache
def _holidays(country: str, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, years=year, **_SUBDIVISION.get(country, {})))


_SUBDIVISION: dict[str, Any] = {"GB": {"subdiv": "ENG"}}
_NOT_KEPT = ("Columbus Day",)


@cache
def _university_closures(year: int) -> frozenset[date]:
    """Federal holidays but Columbus Day, Cesar Chavez Day (last Friday of March), the day after Thanksgiving, and the
    winter closure from the Saturday before Christmas to New Year's Day."""
    federal = holidays.country_holidays("US", years=year)
    days = {day for day, name in federal.items() if not name.startswith(_NOT_KEPT)}
    march = [date(year, 3, day) for day in range(25, 32)]
    days |= {day for day in march if day.weekday() == 4}
    days |= {day + timedelta(days=1) for day, name in federal.items() if name == "Thanksgiving Day"}
    christmas = date(year, 12, 24)
    closing = christmas - timedelta(days=(christmas.weekday() - SATURDAY) % 7)
    days |= {closing + timedelta(days=n) for n in range((date(year, 12, 31) - closing).days + 1)}
    return frozenset(days)
