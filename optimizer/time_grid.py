"""The steps of a plan: equal steps for the time ahead, then coarse ones to the end of the billing period.

Times are UTC; a step is named by its start and is left-closed, right-open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


class LineShape(NamedTuple):
    """A demand line as the model's rows see it."""

    id: str
    averaged_steps: int
    """Near steps whose mean is one measured demand; 1 when a step is as long as the measuring interval or longer."""


@dataclass(frozen=True)
class GridShape:
    """What a built model depends on: how many steps and which demand lines, not when, how long or how dear they are."""

    near: int
    tail: int
    demand: tuple[LineShape, ...] = ()

    @property
    def steps(self) -> int:
        return self.near + self.tail


@dataclass(frozen=True)
class TimeGrid:
    """Steps with lengths of their own.

    `near` steps of `step_minutes` each, then `tail` coarse steps. Tail steps beyond the end of the billing period have
    length 0: the number of steps stays the same from cycle to cycle, so that the model is built only once.
    """

    start: datetime
    step_minutes: int
    near: int
    tail_hours: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError(f"time grid start {self.start} has no zone: give UTC")
        if self.start.utcoffset() != timedelta(0):
            object.__setattr__(self, "start", self.start.astimezone(UTC))
        if self.near < 1 or self.step_minutes < 1:
            raise ValueError(f"time grid needs at least one step of one minute, got {self.near} x {self.step_minutes}")

    @property
    def shape(self) -> GridShape:
        return GridShape(self.near, len(self.tail_hours))

    @property
    def step_hours(self) -> float:
        return self.step_minutes / 60.0

    @cached_property
    def hours(self) -> Array:
        """(n,) length of each step [h]; not to be written to."""
        hours = np.concatenate([np.full(self.near, self.step_hours), np.asarray(self.tail_hours, dtype=float)])
        hours.setflags(write=False)
        return hours

    @cached_property
    def times(self) -> tuple[datetime, ...]:
        """(n,) start of each step, UTC."""
        offsets = np.concatenate([[0.0], np.cumsum(self.hours)[:-1]])
        return tuple(self.start + timedelta(seconds=round(float(h) * 3600)) for h in offsets)

    @property
    def near_times(self) -> tuple[datetime, ...]:
        step = timedelta(minutes=self.step_minutes)
        return tuple(self.start + i * step for i in range(self.near))

    @property
    def near_end(self) -> datetime:
        return self.start + self.near * timedelta(minutes=self.step_minutes)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(seconds=round(float(self.hours.sum()) * 3600))

    def average(self, series: pd.Series) -> Array:
        """(n,) mean of a regular UTC series over each step of the grid.

        Steps may be finer than the series (its value holds within its own step) or coarser. Zero-length steps get 0.

        Raises:
            ValueError: the series does not cover the grid, is not regular, has no UTC index or holds NaN or infinity.
        """
        index = series.index
        if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
            raise ValueError(f"series {series.name} needs a UTC DatetimeIndex")
        if len(index) < 2:
            raise ValueError(
                f"series {series.name} has {len(index)} value(s): at least two are needed to know its step"
            )
        seconds = index.tz_convert("UTC").as_unit("s").asi8.astype(float)
        step = seconds[1] - seconds[0]
        if not np.all(np.diff(seconds) == step):
            raise ValueError(f"series {series.name} is not regular: its step changes")
        values = np.asarray(series, dtype=float)
        edges = self.start.timestamp() + np.concatenate([[0.0], np.cumsum(self.hours) * 3600.0])
        edges = np.round(edges)
        if edges[0] < seconds[0] or edges[-1] > seconds[-1] + step:
            raise ValueError(
                f"series {series.name} covers {index[0]} to {index[-1]}, the plan needs {self.start} to {self.end}"
            )
        first, last = int((edges[0] - seconds[0]) // step), int(-(-(edges[-1] - seconds[0]) // step))
        if not np.all(np.isfinite(values[first:last])):
            where = first + int(np.argmin(np.isfinite(values[first:last])))
            raise ValueError(f"series {series.name} has {values[where]} at {index[where]}")
        integral = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(values), values, 0.0) * step)])
        at = np.interp(edges, np.append(seconds, seconds[-1] + step), integral)
        length = np.diff(edges)
        return np.where(length > 0, np.diff(at) / np.where(length > 0, length, 1.0), 0.0)


def require_series(values: Mapping[str, Array], name: str, steps: int) -> Array:
    """The series called `name`, checked: present, right length, finite.

    Raises:
        ValueError: names the series, and the length or the step and value that is wrong.
    """
    if name not in values:
        raise ValueError(f"series {name} is missing: the plan needs {steps} values of it")
    array = np.asarray(values[name], dtype=float)
    if array.shape != (steps,):
        raise ValueError(f"series {name} has shape {array.shape}, the plan needs ({steps},)")
    if not np.all(np.isfinite(array)):
        where = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"series {name} has {array[where]} at step {where}")
    return array
