"""Dirt as it comes from real meters, put into a recorded series at a known place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.findings import FindingKind

Array = NDArray[np.float64]
DAY = 96


@dataclass(frozen=True)
class Dirt:
    """`spoil(clean, first)` gives the values from place `first` on; `count` of them are wrong."""

    kind: FindingKind
    first: str
    count: int
    spoil: Callable[[Array, int], Array]
    found: tuple[int, int] = (0, 0)
    """How many fewer or more may be found: edges of a shifted stretch look like any other value."""

    def put_into(self, series: pd.Series) -> pd.Series:
        """A copy of the series with the dirt in it."""
        at = int(series.index.get_indexer([pd.Timestamp(self.first)])[0])
        values = series.to_numpy(dtype=float).copy()
        spoilt = self.spoil(values, at)
        values[at : at + len(spoilt)] = spoilt
        return pd.Series(values, index=series.index, name=series.name)


def _times(factor: float, length: int) -> Callable[[Array, int], Array]:
    return lambda clean, at: clean[at : at + length] * factor


def _flat(value: float, length: int) -> Callable[[Array, int], Array]:
    return lambda clean, at: np.full(length, value)


def _moved(steps: int, days: int) -> Callable[[Array, int], Array]:
    return lambda clean, at: clean[at - steps : at - steps + days * DAY]


def _single(factor: float) -> Callable[[Array, int], Array]:
    def spoil(clean: Array, at: int) -> Array:
        values = clean[at : at + 5 * DAY].copy()
        values[[0, 200, 415]] *= factor
        return values

    return spoil


def _stuck(clean: Array, at: int) -> Array:
    return np.full(40, clean[at])


def _copy_of_three_days_before(clean: Array, at: int) -> Array:
    return clean[at - 3 * DAY : at - 2 * DAY]


LOAD_DIRT = {
    "gap": Dirt("gap", "2026-09-20T04:00Z", 30, _flat(np.nan, 30)),
    "not finite": Dirt("not_finite", "2026-09-20T04:00Z", 3, _flat(np.inf, 3)),
    "frozen meter": Dirt("frozen", "2026-09-20T04:00Z", 39, _stuck, (0, 0)),
    "spike": Dirt("spike", "2026-09-20T04:00Z", 3, _single(4.0)),
    "dip": Dirt("dip", "2026-09-20T04:00Z", 3, _single(0.2)),
    "zeros for half a day": Dirt("dropout", "2026-09-20T04:00Z", 50, _flat(0.0, 50)),
    "zeros for five days": Dirt("dropout", "2026-09-10T04:00Z", 500, _flat(0.0, 500)),
    "negative": Dirt("negative", "2026-09-20T04:00Z", 2, _flat(-50.0, 2)),
    "wrong sign": Dirt("sign_flip", "2026-09-20T04:00Z", DAY, _times(-1.0, DAY)),
    "W for kW": Dirt("scale", "2026-09-18T04:00Z", 150, _times(1000.0, 150)),
    "four times": Dirt("scale", "2026-09-16T04:00Z", 192, _times(4.0, 192)),
    "a quarter for three weeks": Dirt("scale", "2026-08-16T04:00Z", 2000, _times(0.25, 2000)),
    "MW for kW": Dirt("dropout", "2026-09-18T04:00Z", 150, _times(0.001, 150)),
    "beyond anything": Dirt("limit", "2026-09-20T04:00Z", 10, _flat(5000.0, 10)),
    "copied day": Dirt("copied", "2026-09-22T16:00Z", DAY, _copy_of_three_days_before),
    "an hour late": Dirt("shifted_hours", "2026-09-16T16:00Z", 960, _moved(4, 10), (DAY, 0)),
    "wrong zone": Dirt("shifted_hours", "2026-09-16T16:00Z", 480, _moved(-32, 5), (DAY, 0)),
    "clock a step off": Dirt("clock_offset", "2026-09-01T16:00Z", 1344, _moved(1, 14), (DAY, DAY)),
}
