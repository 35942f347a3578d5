"""Measured values of one series on the regular grid of step numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.day_types import Ints, LocalClock
from forecasting.forecast import Array


@dataclass(frozen=True)
class Measured:
    """`values[i]` is the mean over step `first + i`; NaN where nothing was measured."""

    first: int
    values: Array

    @property
    def end(self) -> int:
        """Number of the step after the last one."""
        return self.first + len(self.values)

    @property
    def steps(self) -> Ints:
        return np.arange(self.first, self.end, dtype=np.int64)

    @property
    def known(self) -> int:
        """How many steps hold a value."""
        return int(np.count_nonzero(np.isfinite(self.values)))

    def at(self, steps: Ints) -> Array:
        """Values of any steps, NaN outside the span."""
        return values_at(self.values, np.asarray(steps) - self.first)

    def between(self, first: int, end: int) -> Measured:
        """The steps `first` to `end - 1`, NaN where they lie outside."""
        return Measured(first, self.at(np.arange(first, max(first, end), dtype=np.int64)))

    def overlaid(self, newer: Measured, end: int) -> Measured:
        """This series continued and, where both have values, replaced by `newer`; up to `end`."""
        first = min(self.first, newer.first) if len(newer.values) else self.first
        steps = np.arange(first, max(end, first), dtype=np.int64)
        fresh = newer.at(steps)
        return Measured(first, np.where(np.isfinite(fresh), fresh, self.at(steps)))

    def bridged(self, longest: int) -> Measured:
        """Gaps of at most `longest` steps between two values filled by a straight line; longer ones stay."""
        finite = np.flatnonzero(np.isfinite(self.values))
        holes = np.flatnonzero(~np.isfinite(self.values))
        if finite.size < 2 or holes.size == 0:
            return self
        after = np.searchsorted(finite, holes)
        inside = (after > 0) & (after < finite.size)
        holes, after = holes[inside], after[inside]
        short = finite[after] - finite[after - 1] - 1 <= longest
        values = self.values.copy()
        values[holes[short]] = np.interp(holes[short], finite, self.values[finite])
        return Measured(self.first, values)


def measured(series: pd.Series, clock: LocalClock, end: int) -> Measured:
    """A recorded series as step means. Everything from step `end` on is dropped: a forecast cannot see it.

    Repeated or finer stamps within a step are averaged; infinite values count as not measured.

    Raises:
        ValueError: the index is not a UTC (or other zoned) DatetimeIndex.
    """
    index = series.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise ValueError(f"series {series.name} needs a DatetimeIndex with a zone (UTC)")
    numbers = clock.step_numbers(index)
    values = np.asarray(series, dtype=float)
    usable = (numbers < end) & np.isfinite(values)
    if not np.any(usable):
        return Measured(end, np.empty(0))
    numbers, values = numbers[usable], values[usable]
    first = int(numbers.min())
    counts = np.bincount(numbers - first, minlength=end - first)
    sums = np.bincount(numbers - first, weights=values, minlength=end - first)
    return Measured(first, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


def values_at(values: Array, places: Ints) -> Array:
    """`values[places]`, NaN where a place lies outside."""
    inside = (places >= 0) & (places < len(values))
    if len(values) == 0:
        return np.full(np.shape(places), np.nan)
    return np.where(inside, values[np.where(inside, places, 0)], np.nan)
