"""Measured series on a regular grid: the safe repairs are made and named, the rest is refused."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from site_configs.recorded.columns import limits_of, name_complaint, tolerates_bad_readings, unit_of
from site_configs.recorded.findings import Findings, stamp
from site_configs.recorded.table import Table, lacks_columns, numbers, times

Micros = npt.NDArray[np.int64]
"""Microseconds."""

BRIDGED_MINUTES = 60
"""Gaps up to this length are interpolated where the unit allows it; longer ones stay empty."""
STAND_BY_SHARE = 0.02
"""Negative values up to this share of the column's largest are an inverter's or meter's stand-by, not a flow."""
IMPOSSIBLE_SHARE = 0.01
"""Beyond this share impossible values are no single bad readings, but a wrong sign or unit: refused."""
FOREIGN_STEP_RUN = 8
"""So many equal longer steps one after the other are a second step length; lost single rows made 4 in a real plant."""
SPARSE = 10
"""A span with more than this many times the rows given (and more than a month) has a wrong date in it."""


def regular_series(
    table: Table, zone: ZoneInfo | None, found: Findings, bridged: bool = True
) -> tuple[pd.DataFrame, int]:
    """Float columns on a regular UTC index, and the step in minutes; short gaps interpolated where `bridged`.

    Raises InputError with everything found so far.
    """
    if lacks_columns(table, ["time"], found):
        found.refuse_if_any()
    columns = _sound_names(table, found)
    time = times(table, "time", zone, found)
    values = pd.DataFrame({name: numbers(table, name, found) for name in columns}, index=table.rows.index)
    for name in columns:
        _within_limits(table, values, name, time, found)
    if time.notna().all():
        step = _step_minutes(table, time, found)
    found.refuse_if_any()
    frame = _in_order(table, values.set_index(pd.DatetimeIndex(time, name="time")), found)
    frame = _on_grid(table, frame, step, found)
    return _gaps_named(table, frame, step, bridged, found), step


def _sound_names(table: Table, found: Findings) -> list[str]:
    names = [str(name) for name in table.rows.columns if name != "time"]
    complaints = {name: name_complaint(name) for name in names}
    for name, complaint in complaints.items():
        if complaint:
            found.problem(table.file, f"column {name}", repr(name), complaint)
    if not names:
        found.problem(table.file, "columns", "only time", "there is no series; add a column such as load.demand_kw")
    return [name for name in names if complaints[name] is None]


def _within_limits(table: Table, values: pd.DataFrame, name: str, time: pd.Series[Any], found: Findings) -> None:
    """Clips stand-by values and empties single impossible ones, in place; refuses a column with many of them."""
    column = values[name]
    if len(column) and column.isna().all():
        found.problem(table.file, f"column {name}", "no value", "the column is empty; fill or remove it")
        return
    lowest, highest = limits_of(name)
    below, above = column < lowest, column > highest
    stand_by = below & (column >= -STAND_BY_SHARE * column.max()) & (lowest == 0.0) & (not name.endswith("_kwh"))
    impossible = (below & ~stand_by) | above
    most = max(1.0, IMPOSSIBLE_SHARE * len(column)) if tolerates_bad_readings(name) else 0
    if impossible.sum() > most:
        message = f"is outside {lowest:g} .. {highest:g}; check sign and unit, give each direction its own column"
        table.complain(found, impossible, name, message)
        return
    values.loc[stand_by, name] = 0.0
    values.loc[impossible, name] = np.nan
    _name_changed(table, "clipped", name, stand_by, time, found)
    _name_changed(table, "emptied", name, impossible, time, found)


def _name_changed(
    table: Table, kind: Any, name: str, changed: pd.Series[bool], time: pd.Series[Any], found: Findings
) -> None:
    known = time[changed].dropna()
    if len(known):
        found.repair(kind, table.file, name, int(changed.sum()), known.min().to_pydatetime())


def _step_minutes(table: Table, time: pd.Series[Any], found: Findings) -> int:
    """The step of most rows [min]; 0 with the problem noted when there is none, or more than one."""
    ordered = time.drop_duplicates().sort_values()
    gaps = np.diff(_micros(ordered))
    if not len(gaps):
        found.problem(table.file, "time", f"{len(ordered)} times", "a series needs at least two rows")
        return 0
    lengths, counts = np.unique(gaps, return_counts=True)
    step_us = int(lengths[counts.argmax()])
    minutes, rest = divmod(step_us, 60_000_000)
    if rest or 1440 % minutes:
        found.problem(table.file, "time", f"{step_us / 6e7:g} min", "the step must divide a day into whole minutes")
        return 0
    _refuse_other_steps(table, ordered, gaps, step_us, found)
    return minutes


def _micros(times: Any) -> Micros:
    """UTC times as microseconds since 1970."""
    return pd.DatetimeIndex(times).as_unit("us").asi8


def _refuse_other_steps(table: Table, ordered: pd.Series[Any], gaps: Micros, step_us: int, found: Findings) -> None:
    minutes = step_us // 60_000_000
    phase = _micros(ordered) % step_us
    phases, counts = np.unique(phase, return_counts=True)
    off = pd.Series(phase != phases[counts.argmax()], index=ordered.index).reindex(table.rows.index, fill_value=False)
    table.complain(found, off, "time", f"is not on the grid of {minutes} min that most rows have; correct or remove it")
    changed = _first_run(gaps, step_us)
    if changed is not None:
        message = f"the step changes here from {minutes} min; bring all rows to one step or split the file"
        place = f"{table.place(ordered.index[changed])}, time"
        found.problem(table.file, place, f"{gaps[changed] / 6e7:g} min", message)
    _refuse_wrong_dates(table, ordered, gaps, minutes, found)


def _first_run(gaps: Micros, step_us: int) -> int | None:
    """Where the same longer step first comes FOREIGN_STEP_RUN times in a row."""
    if len(gaps) < FOREIGN_STEP_RUN:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(gaps, FOREIGN_STEP_RUN)
    starts = np.flatnonzero((runs[:, 0] > step_us) & (runs == runs[:, :1]).all(axis=1))
    return int(starts[0]) if len(starts) else None


def _refuse_wrong_dates(table: Table, ordered: pd.Series[Any], gaps: Micros, minutes: int, found: Findings) -> None:
    days = int(gaps.sum()) // 86_400_000_000
    if days > 31 and days * 1440 > SPARSE * minutes * len(ordered):
        row = ordered.index[int(gaps.argmax()) + 1]
        message = f"{len(ordered)} rows over {days} days: check the dates beside the longest gap"
        found.problem(table.file, f"{table.place(row)}, time", table.rows.at[row, "time"], message)


def _in_order(table: Table, frame: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Rows sorted, each time once: exact repeats dropped, of conflicting rows the first kept."""
    index = frame.index
    _name_rows(table, "out_of_order", index[_late(index)], found)
    repeated = index.duplicated()
    if repeated.any():
        exact = frame.reset_index().duplicated().to_numpy()
        _name_rows(table, "repeated_row", index[exact], found)
        _name_rows(table, "conflicting_row", index[repeated & ~exact], found)
    return frame[~repeated].sort_index()


def _late(index: pd.Index[Any]) -> Any:
    """Which rows come after a row of a later time."""
    clock = _micros(index)
    return clock < np.maximum.accumulate(clock)


def _name_rows(table: Table, kind: Any, rows: pd.Index[Any], found: Findings) -> None:
    if len(rows):
        found.repair(kind, table.file, "time", len(rows), rows.min().to_pydatetime())


def _on_grid(table: Table, frame: pd.DataFrame, step: int, found: Findings) -> pd.DataFrame:
    whole = pd.date_range(frame.index[0], frame.index[-1], freq=f"{step}min", name="time")
    _name_rows(table, "missing_row", whole[~whole.isin(frame.index)], found)
    return frame.reindex(whole)


def _gaps_named(table: Table, frame: pd.DataFrame, step: int, bridged: bool, found: Findings) -> pd.DataFrame:
    """Short gaps between two values interpolated where that is wanted and the unit allows it; all others named."""
    longest = BRIDGED_MINUTES // step
    for name in frame.columns[frame.isna().any()]:
        runs = _gap_runs(frame[name])
        short = (runs["rows"] <= longest) & runs["inside"] & unit_of(name).interpolated
        if bridged:
            _interpolate(table, frame, name, runs[short], found)
        else:
            _name_gaps(table, frame, name, runs[short], step, "short_gap", found)
        _name_gaps(table, frame, name, runs[~short], step, "gap", found)
    return frame


def _gap_runs(column: pd.Series[Any]) -> pd.DataFrame:
    """Runs of missing values: position of the first, number of rows, whether a value stands on both sides."""
    missing = np.concatenate(([False], column.isna().to_numpy(), [False])).astype(np.int8)
    edges = np.diff(missing)
    first, after = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return pd.DataFrame({"first": first, "rows": after - first, "inside": (first > 0) & (after < len(column))})


def _interpolate(table: Table, frame: pd.DataFrame, name: str, runs: pd.DataFrame, found: Findings) -> None:
    if runs.empty:
        return
    where = np.concatenate([np.arange(f, f + n) for f, n in zip(runs["first"], runs["rows"], strict=True)])
    column = frame[name].to_numpy(copy=True)
    known = np.flatnonzero(~np.isnan(column))
    column[where] = np.interp(where, known, column[known])
    frame[name] = column
    found.interpolated[name] = pd.DatetimeIndex(frame.index[where])
    found.repair("interpolated", table.file, name, len(where), frame.index[where[0]].to_pydatetime())


def _name_gaps(
    table: Table, frame: pd.DataFrame, name: str, runs: pd.DataFrame, step: int, kind: Any, found: Findings
) -> None:
    if runs.empty:
        return
    index = frame.index
    listed = runs.nlargest(5, "rows").sort_values("first")
    spans = [
        f"{stamp(index[first])} to {stamp(index[first + rows - 1])} ({rows * step / 60:g} h)"
        for first, rows in zip(listed["first"], listed["rows"], strict=True)
    ]
    head = f"{len(runs)} gaps, the longest: " if len(runs) > len(listed) else ""
    first_time = index[runs["first"].iloc[0]].to_pydatetime()
    found.repair(kind, table.file, name, int(runs["rows"].sum()), first_time, head + "; ".join(spans))
