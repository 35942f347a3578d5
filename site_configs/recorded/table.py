"""One file of a history folder as a table: cells, times and numbers, each with its place in the file."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from pandas.api import types as kinds

from site_configs.recorded.findings import Findings

LISTED = 10
"""So many rows are listed for one complaint about one column; the rest are counted."""

TIME = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)? ?(Z|[+-]\d{2}:?\d{2})?"
OFFSET = r"(?:Z|[+-]\d{2}:?\d{2})$"

UNREADABLE = (ValueError, OSError, EOFError, zlib.error)
"""What pandas, gzip and pyarrow raise on a damaged file (their own errors derive from these)."""


@dataclass(frozen=True)
class Table:
    """The rows as they stand in the file; the index counts data rows from 0, blank lines included."""

    file: str
    rows: pd.DataFrame
    textual: bool
    """A text file has lines, with the header on line 1; a parquet file only has rows."""

    def place(self, row: int) -> str:
        return f"line {row + 2}" if self.textual else f"row {row + 1}"

    def complain(self, found: Findings, bad: pd.Series[bool], column: str, message: str) -> None:
        """One problem for each of the first bad rows, the last of them with the number of those not listed."""
        rows = list(self.rows.index[bad.to_numpy()])
        for row in rows[:LISTED]:
            more = len(rows) - LISTED
            rest = f" ({more} more rows like it)" if more > 0 and row == rows[LISTED - 1] else ""
            value = repr(str(self.rows.at[row, column]))
            found.problem(self.file, f"{self.place(row)}, {column}", value, message + rest)


def read_table(path: Path, found: Findings, *, text_cells: bool = False) -> Table | None:
    """The table in a `.csv`, `.csv.gz` or `.parquet` file, or None with the problem noted."""
    try:
        if path.suffix == ".parquet":
            return Table(path.name, _parquet_rows(path), textual=False)
        return _csv_table(path, found, text_cells)
    except UNREADABLE as error:
        found.problem(path.name, "whole file", repr(str(error).strip()), "cannot be read; check or replace the file")
        return None


def _csv_table(path: Path, found: Findings, text_cells: bool) -> Table | None:
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, skipinitialspace=True).iloc[0]
    repeated = sorted(set(header[header.duplicated()].dropna()))
    for name in repeated:
        found.problem(path.name, "line 1", name, "column given more than once; keep one of them")
    if repeated:
        return None
    rows = pd.read_csv(
        path,
        skipinitialspace=True,
        skip_blank_lines=False,
        low_memory=False,
        dtype=str if text_cells else None,
    )
    if not isinstance(rows.index, pd.RangeIndex):  # pandas takes surplus leading cells for row names
        surplus = f"{rows.index.nlevels + len(header)} cells"
        found.problem(path.name, "line 2", surplus, f"has more cells than the header has columns ({len(header)})")
        return None
    return Table(path.name, rows.dropna(how="all"), textual=True)


def _parquet_rows(path: Path) -> pd.DataFrame:
    rows = pd.read_parquet(path)
    return rows.reset_index() if rows.index.name == "time" else rows.reset_index(drop=True)


def lacks_columns(table: Table, names: Sequence[str], found: Findings) -> bool:
    """Notes every column of `names` that the table has not got."""
    missing = [name for name in names if name not in table.rows]
    for name in missing:
        have = ", ".join(map(str, table.rows.columns))
        found.problem(table.file, "line 1" if table.textual else "schema", have, f"column {name} is missing; add it")
    return bool(missing)


def times(table: Table, column: str, zone: ZoneInfo | None, found: Findings) -> pd.Series[Any]:
    """The column as UTC times; NaT where a problem was noted. Times without offset are read in `zone`."""
    raw = table.rows[column]
    if kinds.is_datetime64_any_dtype(raw):
        return _from_stamps(table, raw, zone, found)
    text = raw.astype("str").str.strip()
    shaped = text.str.fullmatch(TIME).fillna(value=False).astype(bool)
    aware = shaped & text.str.contains(OFFSET).fillna(value=False).astype(bool)
    result = pd.Series(pd.NaT, index=raw.index, dtype="datetime64[us, UTC]")
    result[aware] = pd.to_datetime(text[aware], format="ISO8601", utc=True, errors="coerce").dt.as_unit("us")
    local = pd.to_datetime(text[shaped & ~aware], format="ISO8601", errors="coerce").dt.as_unit("us").dropna()
    if len(local):
        result[local.index] = _localise(table, local, zone, found)
    unreadable = result.isna() & ~raw.index.isin(local.index)
    table.complain(found, unreadable, column, "is no time that can be read; write e.g. 2026-08-26T00:00:00+08:00")
    return result


def _from_stamps(table: Table, raw: pd.Series[Any], zone: ZoneInfo | None, found: Findings) -> pd.Series[Any]:
    stamps = raw.dt.as_unit("us")
    result = _localise(table, stamps, zone, found) if stamps.dt.tz is None else stamps.dt.tz_convert("UTC")
    table.complain(found, raw.isna(), str(raw.name), "has no time; fill it in or remove the row")
    return result


def _localise(table: Table, local: pd.Series[Any], zone: ZoneInfo | None, found: Findings) -> pd.Series[Any]:
    """Wall-clock times to UTC: of an hour that occurs twice, the earlier row is summer time."""
    column = str(local.name)
    if zone is None:
        without = _rows(table, local.index)
        table.complain(found, without, column, "has no offset from UTC; write e.g. +08:00 or Z, or give the zone")
        return pd.Series(pd.NaT, index=local.index, dtype="datetime64[us, UTC]")
    falling = bool((local.diff() < pd.Timedelta(0)).mean() > 0.5)
    summer = ~local.duplicated(keep="last" if falling else "first").to_numpy()
    utc: pd.Series[Any] = local.dt.tz_localize(zone, ambiguous=summer, nonexistent="NaT").dt.tz_convert("UTC")
    skipped = _rows(table, local.index[utc.isna() & local.notna()])
    table.complain(
        found,
        skipped,
        column,
        f"does not exist in {zone}: the clock goes forward; give offsets or a zone like Etc/GMT-8",
    )
    _name_clock_changes(table, local, utc, found)
    return utc


def _rows(table: Table, rows: pd.Index[Any]) -> pd.Series[bool]:
    return pd.Series(table.rows.index.isin(rows), index=table.rows.index)


def _name_clock_changes(table: Table, local: pd.Series[Any], utc: pd.Series[Any], found: Findings) -> None:
    twice = local.duplicated(keep=False) & ~utc.duplicated(keep=False) & utc.notna()
    if twice.any():
        found.repair("clock_change", table.file, str(local.name), int(twice.sum()) // 2, utc[twice].min())


def numbers(table: Table, column: str, found: Findings) -> pd.Series[float]:
    """The column as floats; NaN where the cell is empty or a problem was noted."""
    raw = table.rows[column]
    if kinds.is_numeric_dtype(raw) and not kinds.is_bool_dtype(raw):
        values = raw.astype(float)
    else:
        text = raw.astype("str").str.strip()
        text = text.mask(raw.isna() | (text == ""))
        values = pd.to_numeric(text, errors="coerce").astype(float)
        unreadable = values.isna() & text.notna()
        message = "is no number; correct it, or empty the cell where nothing was measured"
        table.complain(found, unreadable, column, message)
    infinite = values.abs() == np.inf
    table.complain(found, infinite, column, "must be finite; empty the cell where nothing was measured")
    return values.mask(infinite)
