"""`weather_forecast.csv`: forecasts as they were issued, so that a replay sees no later one."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from site_configs.recorded.columns import limits_of, name_complaint
from site_configs.recorded.findings import Findings
from site_configs.recorded.table import Table, lacks_columns, numbers, read_table, times

KEYS = ("issued_at", "time")


def read_forecasts(path: Path, zone: ZoneInfo | None, found: Findings) -> pd.DataFrame | None:
    """Columns `issued_at` and `time` (UTC) and the forecast values, in order of issue; None with the problems noted."""
    table = read_table(path, found)
    if table is None or lacks_columns(table, KEYS, found):
        return None
    rows = pd.DataFrame({key: times(table, key, zone, found) for key in KEYS})
    for name in (str(name) for name in table.rows.columns if name not in KEYS):
        complaint = name_complaint(name)
        if complaint:
            found.problem(table.file, f"column {name}", repr(name), complaint)
        else:
            rows[name] = _values(table, name, found)
    return _each_once(table, rows, found)


def _values(table: Table, name: str, found: Findings) -> pd.Series[float]:
    values = numbers(table, name, found)
    lowest, highest = limits_of(name)
    outside = (values < lowest) | (values > highest)
    table.complain(found, outside, name, f"is outside {lowest:g} .. {highest:g}; check sign and unit, or empty it")
    return values


def _each_once(table: Table, rows: pd.DataFrame, found: Findings) -> pd.DataFrame:
    exact = rows.duplicated()
    conflicting = rows.duplicated(list(KEYS)) & ~exact
    for kind, which in (("repeated_row", exact), ("conflicting_row", conflicting)):
        known = rows.loc[which, "time"].dropna()
        if len(known):
            found.repair(kind, table.file, "time", int(which.sum()), known.min().to_pydatetime())  # type: ignore[arg-type]
    return rows[~(exact | conflicting)].sort_values(list(KEYS), kind="stable", ignore_index=True)
