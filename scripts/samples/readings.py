"""Published measurements on a park's clock: what the samples of the shipped parks are made from.

Every reader takes a source file as it was published and gives the park's quarter hours; what it moved, scaled or filled
in, it counts, for the SOURCES.md beside the series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

ZONE = "Asia/Shanghai"
STEP = pd.Timedelta(minutes=15)
HOUR = pd.Timedelta(hours=1)
NONE = pd.Timedelta(0)
PACIFIC, PACIFIC_STANDARD = "US/Pacific", "Etc/GMT+8"

WATER_KJ_PER_KG_K = 4.186
SWITCHING_SHARE = 0.6
"""Chilled-water readings below this share of the median of three days come from a change of chillers, not of demand."""
RESTART_SHARE = 1.2
"""Readings above this share of that median within an hour of a hole are the catching up after it."""
TYPICAL_ROWS = 3 * 96
"""Three days make the median that a reading is compared with."""
BRIDGED_ROWS = 12
"""Longer holes in the cooling demand are filled from the week before."""

EASTERN_SUMMER_TIME = pd.Timedelta(hours=4)


@dataclass(frozen=True)
class Span:
    """A park's recorded span, local midnights."""

    first: pd.Timestamp
    end: pd.Timestamp

    @property
    def grid(self) -> pd.DatetimeIndex:
        """The starts of its quarter hours, local time without a zone."""
        return pd.date_range(self.first, self.end, freq=STEP, inclusive="left")


@dataclass(frozen=True)
class Filled:
    """A series on the park's clock and how many of its values were put in."""

    values: pd.Series[float]
    bridged: int
    """Values, of hourly series hours, interpolated over a gap."""


@dataclass(frozen=True)
class Cooling:
    """Cooling demand with the count of what was filled."""

    demand: pd.Series[float]
    bridged: int
    copied: int
    copied_spans: str


def clock_series(
    file: pd.DataFrame, column: str, span: Span, weeks: int, offset: pd.Timedelta = NONE
) -> pd.Series[float]:
    """A column on the park's clock: the source's wall clock less `offset`, moved by whole weeks; gaps as NaN."""
    time = pd.to_datetime(file["timestamp_local"]) - offset + pd.Timedelta(weeks=weeks)
    values = file[column].set_axis(time)
    return values[~values.index.duplicated()].reindex(span.grid)


def load_on_clock(file: pd.DataFrame, span: Span, weeks: int) -> Filled:
    """Real power [kW] of a load by its wall clock, the hour bridged that its clock skips in spring."""
    return bridged(clock_series(file, "real_power_kw", span, weeks))


def sun_on_clock(file: pd.DataFrame, span: Span, weeks: int) -> Filled:
    """PV output [kW] in Pacific standard time, so that the sun stands highest near 12; stand-by draw set to 0."""
    wall = pd.DatetimeIndex(pd.to_datetime(file["timestamp_local"]))
    standard = wall.tz_localize(PACIFIC, ambiguous="NaT", nonexistent="NaT").tz_convert(PACIFIC_STANDARD)
    values = file["real_power_kw"].set_axis(standard.tz_localize(None) + pd.Timedelta(weeks=weeks))
    known = values[values.index.notna() & ~values.index.duplicated()]
    return bridged(known.reindex(span.grid).clip(lower=0.0))


def quarters_of_steel(file: pd.DataFrame, span: Span, weeks: int) -> pd.Series[float]:
    """Power [kW] of the steel plant: energy of the quarter hour x 4, in the order of its rows (its stamps mark the ends
    and jump back at midnight)."""
    first = pd.Timestamp("2018-01-01") + pd.Timedelta(weeks=weeks)
    time = pd.date_range(first, periods=len(file), freq=STEP)
    return (4.0 * file["Usage_kWh"]).set_axis(time).reindex(span.grid)


def hourly(values: pd.Series[float], span: Span) -> Filled:
    """Hourly means as quarter hours, on straight lines between the middles of the hours; counts the missing hours."""
    known = values[~values.index.duplicated()].dropna()
    hours = pd.date_range(span.first, span.end, freq=HOUR, inclusive="left")
    middles = known.set_axis(known.index + HOUR / 2)
    asked = span.grid + STEP / 2
    fine = middles.reindex(middles.index.union(asked)).interpolate(method="time")
    return Filled(fine.reindex(asked).set_axis(span.grid), int((~hours.isin(known.index)).sum()))


def hot_water_series(file: pd.DataFrame, column: str, weeks: int) -> pd.Series[float]:
    """An hourly column of a hot-water plant by its local time, moved by whole weeks."""
    time = pd.to_datetime(file["dt"]) + pd.to_timedelta(file["hr"], unit="h") + pd.Timedelta(weeks=weeks)
    return file[column].set_axis(time)


def bridged(series: pd.Series[float]) -> Filled:
    return Filled(series.interpolate(limit_direction="both"), int(series.isna().sum()))


def cooling_demand(file: pd.DataFrame, span: Span, weeks: int) -> Cooling:
    """Cooling demand [kW thermal] of the three chillers, without the holes that changes of chillers leave."""
    time = pd.to_datetime(file["record_timestamp"], format="%d/%m/%Y %H:%M") + pd.Timedelta(weeks=weeks)
    week = pd.Timedelta(weeks=1)
    whole = pd.date_range(span.first - week, span.end + pd.Timedelta(days=1), freq=STEP, inclusive="left")
    measured = chilled_water_power(file).set_axis(time).reindex(whole)
    steady = without_switching(measured)
    gaps = gap_lengths(steady)
    copied = (gaps > BRIDGED_ROWS) & steady.isna()
    filled = steady.interpolate(limit_area="inside").where(
        ~copied, steady.interpolate().shift(freq=week).reindex(whole)
    )
    inside = filled.index.isin(span.grid)
    short = steady.isna() & ~copied
    return Cooling(filled[inside], int(short[inside].sum()), int(copied[inside].sum()), spans(copied[inside]))


def chilled_water_power(file: pd.DataFrame) -> pd.Series[float]:
    """Sum over chillers of 4.186 x flow [l/s] x (return - supply) [K]; NaN where a reading is missing or all are 0."""
    power = {
        number: WATER_KJ_PER_KG_K
        * file[f"CHR-0{number}-CHWFWR"]
        * (file[f"CHR-0{number}-CHWRWT"] - file[f"CHR-0{number}-CHWSWT"])
        for number in (1, 2, 3)
    }
    dead = (file.filter(regex="SWT|RWT") == 0).all(axis="columns")
    return pd.DataFrame(power).clip(lower=0.0).sum(axis="columns", min_count=3).mask(dead)


def without_switching(power: pd.Series[float]) -> pd.Series[float]:
    typical = power.rolling(TYPICAL_ROWS, center=True, min_periods=TYPICAL_ROWS // 4).median()
    steady = power.mask(power < SWITCHING_SHARE * typical)
    near_hole = steady.isna().rolling(9, center=True, min_periods=1).max().astype(bool)
    return steady.mask(near_hole & (steady > RESTART_SHARE * typical))


def gap_lengths(series: pd.Series[float]) -> pd.Series[int]:
    """For each row the number of rows of the run (of values or of holes) that it belongs to."""
    missing = series.isna()
    run = (missing != missing.shift()).cumsum()
    return run.map(run.value_counts())


def spans(rows: pd.Series[bool]) -> str:
    run = (rows != rows.shift()).cumsum()[rows]
    parts = [(block.index[0], block.index[-1] + STEP) for _, block in run.groupby(run)]
    return "; ".join(f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}" for start, end in parts) or "none"


def workplace_stays(file: pd.DataFrame, move: pd.Timedelta = NONE) -> pd.DataFrame:
    """Stays at the workplace stations on US Eastern summer time, moved: arrive, depart, kwh, user, location, in order.

    The source writes the years 2014 and 2015 as 0014 and 0015.
    """
    stays = pd.DataFrame(
        {
            "arrive": pd.to_datetime("2" + file["created"].str[1:]) - EASTERN_SUMMER_TIME + move,
            "depart": pd.to_datetime("2" + file["ended"].str[1:]) - EASTERN_SUMMER_TIME + move,
            "kwh": file["kwhTotal"],
            "user": file["userId"].rank(method="dense").astype(int),
            "location": file["locationId"],
        }
    )
    for name in ("arrive", "depart"):
        stays[name] = stays[name].dt.floor("min")
    return stays.sort_values(["arrive", "user"], kind="stable")


def utc(local: pd.Timestamp) -> Any:
    return local.tz_localize(ZONE).tz_convert("UTC").to_pydatetime()
