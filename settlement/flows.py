"""Measured flows of a period, checked: UTC, regular, complete, finite, never negative."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from optimizer.time_grid import Array


@dataclass(frozen=True)
class Flows:
    """Mean powers over regular intervals that tile a period exactly."""

    start: datetime
    end: datetime
    step_minutes: float
    values: dict[str, Array]
    """By column: (n,) kW or kvar, mean of the interval that starts at start + i steps."""

    @property
    def step_hours(self) -> float:
        return self.step_minutes / 60.0

    @property
    def edges_s(self) -> Array:
        """(n+1,) edges of the intervals, seconds since 1970 UTC."""
        n = len(next(iter(self.values.values())))
        edges: Array = self.start.timestamp() + np.arange(n + 1, dtype=np.float64) * (self.step_minutes * 60.0)
        return edges

    def worth(self, column: str, price: str) -> float:
        """Money for a column's energy at the price of each interval."""
        return float((self.values[column] * self.values[price]).sum()) * self.step_hours

    def energy(self, column: str) -> float:
        """Energy of a column over the period [kWh or kvarh]."""
        return float(self.values[column].sum()) * self.step_hours


def flows_of(
    frame: pd.DataFrame, start: datetime, end: datetime, columns: Iterable[str], prices: Iterable[str] = ()
) -> Flows:
    """The named columns of [start, end); `prices` may be negative.

    Raises:
        ValueError: no UTC index, a changing step, rows missing in the period, a value not finite or a flow negative.
    """
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise ValueError("measured flows need a UTC DatetimeIndex")
    if len(index) < 2:
        raise ValueError(f"measured flows have {len(index)} row(s): at least two are needed to know their step")
    step_s = _step_s(index)
    first, last = (int(index.searchsorted(pd.Timestamp(edge))) for edge in (start, end))
    wanted = (end - start).total_seconds() / step_s
    if last - first != wanted or last == first or index[first] != start:
        found = f"{last - first} rows of {step_s / 60:g} min"
        raise ValueError(
            f"measured flows have {found} in {start} to {end}: needed are {wanted:g}, the first at the start"
        )
    rows = frame.iloc[first:last]
    values = {column: _checked(rows, column, signed=False) for column in columns}
    values |= {column: _checked(rows, column, signed=True) for column in prices}
    return Flows(start, end, step_s / 60.0, values)


def _step_s(index: pd.DatetimeIndex) -> float:
    seconds = index.tz_convert("UTC").as_unit("s").asi8
    steps = np.diff(seconds)
    if steps[0] <= 0 or not np.all(steps == steps[0]):
        where = int(np.argmax(steps != steps[0])) + 1
        raise ValueError(f"measured flows are not regular: the step changes at {index[where]}")
    return float(steps[0])


def _checked(rows: pd.DataFrame, column: str, signed: bool) -> Array:
    if column not in rows:
        raise ValueError(f"measured flows lack the column {column}: they have {', '.join(map(str, rows.columns))}")
    values = rows[column].to_numpy(dtype=float)
    bad = ~np.isfinite(values) | (False if signed else values < 0)
    if bad.any():
        where = int(np.argmax(bad))
        needed = "a finite number" if signed else "0 or more"
        raise ValueError(f"measured flow {column} is {values[where]} at {rows.index[where]}: it must be {needed}")
    return values
