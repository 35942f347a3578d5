"""`ev_sessions.csv`: which car stood at which charger, when, and what it needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from optimizer.situation import Session
from site_configs.recorded.findings import Findings
from site_configs.recorded.table import Table, lacks_columns, numbers, read_table, times

REQUIRED = ("session_id", "charger", "arrive", "depart", "energy_needed_kwh")
OF_THE_CAR = ("energy_on_arrival_kwh", "capacity_kwh")


def read_sessions(path: Path, zone: ZoneInfo | None, found: Findings) -> tuple[Session, ...]:
    """The sessions in order of arrival; problems are noted in `found`, and then nothing is returned."""
    table = read_table(path, found, text_cells=True)
    if table is None or lacks_columns(table, REQUIRED, found):
        return ()
    for name in set(table.rows.columns) - {*REQUIRED, *OF_THE_CAR}:
        found.problem(table.file, "line 1", name, "unknown column; remove it")
    rows = _checked_rows(table, zone, found)
    if found.problems:
        return ()
    return tuple(_session(row) for row in rows.sort_values(["arrive", "charger"]).to_dict("records"))


def write_sessions(path: Path, sessions: tuple[Session, ...]) -> None:
    """The file that `read_sessions` reads."""
    columns = [*REQUIRED, *OF_THE_CAR]
    rows = pd.DataFrame([[getattr(session, name) for name in columns] for session in sessions], columns=columns)
    for name in ("arrive", "depart"):
        rows[name] = [time.isoformat().replace("+00:00", "Z") for time in rows[name]]
    rows.to_csv(path, index=False, lineterminator="\n")


def _checked_rows(table: Table, zone: ZoneInfo | None, found: Findings) -> pd.DataFrame:
    raw = table.rows
    rows = pd.DataFrame({"session_id": raw["session_id"], "charger": raw["charger"]}, index=raw.index)
    for name in ("session_id", "charger"):
        table.complain(found, rows[name].isna(), name, "is empty; fill it in")
    rows["arrive"] = times(table, "arrive", zone, found)
    rows["depart"] = times(table, "depart", zone, found)
    for name in ("energy_needed_kwh", *OF_THE_CAR):
        rows[name] = numbers(table, name, found) if name in raw else float("nan")
        table.complain(found, rows[name] < 0, name, "must not be negative; correct it or remove the session")
    missing = rows["energy_needed_kwh"].isna() & raw["energy_needed_kwh"].isna()
    table.complain(found, missing, "energy_needed_kwh", "is empty; fill it in or remove the session")
    rows = _without_repeats(table, rows, found)
    _refuse_impossible_cars(table, rows, found)
    _refuse_impossible_stays(table, rows, found)
    return _whole_cars(table, rows, found)


def _without_repeats(table: Table, rows: pd.DataFrame, found: Findings) -> pd.DataFrame:
    repeated = rows.duplicated()
    if repeated.any():
        first = rows.loc[repeated, "arrive"].min()
        if not pd.isna(first):
            found.repair("repeated_row", table.file, "session_id", int(repeated.sum()), first.to_pydatetime())
    rows = rows[~repeated]
    again = rows["session_id"].duplicated() & rows["session_id"].notna()
    message = "is given twice with different contents; give each session its own id"
    table.complain(found, _everywhere(table, again), "session_id", message)
    return rows


def _refuse_impossible_cars(table: Table, rows: pd.DataFrame, found: Findings) -> None:
    """A car cannot arrive with more than it holds, nor be given more than fits."""
    room = rows["capacity_kwh"] - rows["energy_on_arrival_kwh"]
    overfull = _everywhere(table, room < 0)
    table.complain(found, overfull, "energy_on_arrival_kwh", "is more than capacity_kwh; correct one of them")
    too_much = _everywhere(table, (room >= 0) & (rows["energy_needed_kwh"] > room + 1e-6))
    table.complain(found, too_much, "energy_needed_kwh", "does not fit into the car (capacity less energy on arrival)")


def _refuse_impossible_stays(table: Table, rows: pd.DataFrame, found: Findings) -> None:
    backwards = _everywhere(table, rows["depart"] <= rows["arrive"])
    table.complain(found, backwards, "depart", "must be after arrive; correct one of them")
    for charger, stays in rows.sort_values("arrive").groupby("charger"):
        before = stays["depart"].cummax().shift()
        for row in stays.index[stays["arrive"] < before]:
            other = stays.index[int(np.argmax(stays["depart"] == before[row]))]
            message = f"charger {charger} is still taken by the session of {table.place(other)}; move or remove one"
            found.problem(table.file, f"{table.place(row)}, arrive", str(table.rows.at[row, "arrive"]), message)


def _whole_cars(table: Table, rows: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Capacity and energy on arrival count only together."""
    half = rows["capacity_kwh"].isna() != rows["energy_on_arrival_kwh"].isna()
    if not half.any():
        return rows
    first = rows.loc[half, "arrive"].min()
    if not pd.isna(first):
        found.repair("incomplete_car", table.file, "capacity_kwh", int(half.sum()), first.to_pydatetime())
    whole = rows.copy()
    whole.loc[half, list(OF_THE_CAR)] = float("nan")
    return whole


def _everywhere(table: Table, some: pd.Series[bool]) -> pd.Series[bool]:
    return some.reindex(table.rows.index, fill_value=False)


def _session(row: dict[Any, Any]) -> Session:
    def known(name: str) -> float | None:
        return None if pd.isna(row[name]) else float(row[name])

    return Session(
        session_id=str(row["session_id"]),
        charger=str(row["charger"]),
        arrive=row["arrive"].to_pydatetime(),
        depart=row["depart"].to_pydatetime(),
        energy_needed_kwh=float(row["energy_needed_kwh"]),
        energy_on_arrival_kwh=known("energy_on_arrival_kwh"),
        capacity_kwh=known("capacity_kwh"),
    )
