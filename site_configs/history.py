"""A site's recorded past: the one reader of history folders, and their writer. The format: docs/data-format.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from optimizer.errors import InputError, Problem
from optimizer.situation import Session
from site_configs.recorded.findings import Findings, Repair, stamp
from site_configs.recorded.forecasts import KEYS, read_forecasts
from site_configs.recorded.series import regular_series
from site_configs.recorded.sessions import read_sessions, write_sessions
from site_configs.recorded.table import read_table
from site_configs.site import Site

SERIES_FILES = ("series.csv", "series.csv.gz", "series.parquet")
FORECAST_FILES = ("weather_forecast.csv", "weather_forecast.csv.gz")
SESSION_FILE = "ev_sessions.csv"


@dataclass(frozen=True, eq=False)
class History:
    """What was measured at a site, regular and clean; where nothing is known stands NaN."""

    source: str
    """The folder it was read from, for messages."""
    frame: pd.DataFrame
    """Float columns `<device id>.<quantity>_<unit>`, means of the interval that starts at the UTC index `time`."""
    step_minutes: int
    sessions: tuple[Session, ...] = ()
    """In order of arrival."""
    weather_forecast: pd.DataFrame | None = None
    """Columns `issued_at`, `time` (UTC) and values, in order of issue."""
    repairs: tuple[Repair, ...] = ()
    interpolated: Mapping[str, pd.DatetimeIndex] = field(default_factory=dict)
    """By column: the times whose value is not measured but interpolated."""

    @property
    def end(self) -> pd.Timestamp:
        """The end of the last interval, UTC."""
        last: pd.Timestamp = self.frame.index[-1]
        return last + pd.Timedelta(minutes=self.step_minutes)

    def window(self, start: datetime, end: datetime) -> pd.DataFrame:
        """The rows from `start` up to, not including, `end`; fewer where the history does not reach."""
        index = self.frame.index
        return self.frame.iloc[index.searchsorted(start) : index.searchsorted(end)]

    def series(self, name: str) -> pd.Series[float]:
        """One column, gaps as NaN; raises InputError when the history has not got it."""
        if name not in self.frame:
            raise _refusal(self.source, "columns", ", ".join(self.frame.columns), f"{name} is needed; add the column")
        return self.frame[name]

    def need(self, name: str, start: datetime, end: datetime) -> pd.Series[float]:
        """One column from `start` up to `end` without gaps; raises InputError naming where a value is missing."""
        first, last = self.frame.index[0], self.end
        if start < first or end > last:
            span = f"{stamp(first)} to {stamp(last)}"
            raise _refusal(self.source, name, span, f"values are needed from {stamp(start)} to {stamp(end)}")
        values = self.series(name).loc[self.window(start, end).index]
        missing = values.index[values.isna()]
        if len(missing):
            message = f"{len(missing)} values are missing from {stamp(missing[0])} on; choose another time or fill them"
            raise _refusal(self.source, name, "empty", message)
        return values

    def weather_known_at(self, issued_at: datetime) -> pd.DataFrame:
        """The latest forecast issued before `issued_at` of every time from then on, indexed by `time`.

        Without forecasts the frame is empty.
        """
        rows = self.weather_forecast
        if rows is None:
            return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
        known = rows.iloc[: rows["issued_at"].searchsorted(pd.Timestamp(issued_at))]
        ahead = known[known["time"] >= issued_at].drop_duplicates("time", keep="last")
        return ahead.drop(columns="issued_at").set_index("time").sort_index()


def read_history(folder: Path | str, *, zone: str | None = None, bridged: bool = True) -> History:
    """The history in `folder`; times without an offset are read in the IANA `zone`, where it is given.

    `bridged` false leaves short gaps empty, too: a value interpolated over one knows what came after it.

    Safe repairs are made and named in `History.repairs`. Raises InputError with every problem of every file at once.
    """
    root, found = Path(folder), Findings()
    known_zone = _zone(zone, found)
    if not root.is_dir():
        raise _refusal(str(root), "folder", "no such folder", f"a history folder holds {SERIES_FILES[0]} at least")
    series = _the_one_of(root, SERIES_FILES, found)
    if series is None and not found.problems:
        found.problem(str(root), "folder", "none of them", f"needs one of {', '.join(SERIES_FILES)}")
    forecasts = _the_one_of(root, FORECAST_FILES, found)
    sessions = root / SESSION_FILE
    cars = read_sessions(sessions, known_zone, found) if sessions.exists() else ()
    weather = read_forecasts(forecasts, known_zone, found) if forecasts else None
    table = read_table(series, found) if series else None
    if table is None:
        raise InputError(found.problems)
    frame, step = regular_series(table, known_zone, found, bridged)
    return History(str(root), frame, step, cars, weather, tuple(found.repairs), found.interpolated)


def read_site_history(site: Site, folder: Path | str) -> History:
    """The history of a site, with times without an offset read in its zone; sessions at chargers that it does not have
    are left out and named in `History.repairs`.

    Raises:
        InputError: as `read_history`.
    """
    history = read_history(folder, zone=site.timezone)
    chargers = {device.id for device in site.devices if device.kind == "v2g_charger"}
    strangers = [session for session in history.sessions if session.charger not in chargers]
    if not strangers:
        return history
    names = ", ".join(sorted({session.charger for session in strangers}))
    repair = Repair("unknown_charger", SESSION_FILE, "charger", len(strangers), strangers[0].arrive, names)
    kept = tuple(session for session in history.sessions if session.charger in chargers)
    return replace(history, sessions=kept, repairs=(*history.repairs, repair))


def write_history(
    folder: Path | str,
    frame: pd.DataFrame,
    sessions: tuple[Session, ...] = (),
    weather_forecast: pd.DataFrame | None = None,
) -> None:
    """Writes what `read_history` reads back unchanged; each file appears whole or not at all.

    `frame` as in `History.frame`. Makes the folder if missing; sessions and forecasts written there earlier go.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for name in (SESSION_FILE, *FORECAST_FILES):
        (root / name).unlink(missing_ok=True)
    _write_csv(root / "series.csv.gz", frame.rename_axis("time").reset_index(), ("time",))
    if sessions:
        part = root / (SESSION_FILE + ".part")
        write_sessions(part, sessions)
        part.replace(root / SESSION_FILE)
    if weather_forecast is not None:
        _write_csv(root / "weather_forecast.csv.gz", weather_forecast, KEYS)


def sample_folder(site_id: str) -> Path:
    """The recorded history that is shipped for a park; raises InputError when there is none."""
    folder = sample_root() / site_id
    if not folder.is_dir():
        have = sorted(path.name for path in folder.parent.iterdir() if path.is_dir())
        raise _refusal("site_configs/sample", "site", repr(site_id), f"no sample is shipped but for {', '.join(have)}")
    return folder


def sample_root() -> Path:
    """Where the shipped histories lie, by park."""
    return Path(str(resources.files("site_configs"))) / "sample"


def _write_csv(path: Path, table: pd.DataFrame, times: tuple[str, ...]) -> None:
    texts = {name: table[name].dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in times}
    part = path.with_name(path.name + ".part")
    packing: dict[str, Any] = {"method": "gzip", "mtime": 0}
    table.assign(**texts).to_csv(part, index=False, lineterminator="\n", compression=packing)
    part.replace(path)


def _zone(name: str | None, found: Findings) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        found.problem("zone", "name", repr(name), "is no IANA time zone; write e.g. Asia/Shanghai")
        return None


def _the_one_of(root: Path, names: tuple[str, ...], found: Findings) -> Path | None:
    there = [root / name for name in names if (root / name).exists()]
    if len(there) > 1:
        both = ", ".join(path.name for path in there)
        found.problem(str(root), "folder", both, "only one of these files may be there; remove the others")
    return there[0] if len(there) == 1 else None


def _refusal(file: str, path: str, value: str, message: str) -> InputError:
    return InputError([Problem(file, path, value, message)])
