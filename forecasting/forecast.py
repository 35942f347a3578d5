"""What a forecast is: a series' future with its spread, when it was issued and what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.findings import Finding

Array = NDArray[np.float64]

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
"""Quantile levels of the room's own forecasts: the median, and the edges of the 80 % and the 95 % band."""
NEEDED = (0.1, 0.5, 0.9)
"""Levels that every forecast has, those of older records, too."""
MIDDLE = LEVELS.index(0.5)
SCHEMA = "forecast/1"


@dataclass(frozen=True)
class Rival:
    """What the other of model and yardstick said for the first day; the two are judged by it later."""

    of: Literal["model", "yardstick"]
    method: str
    median: Array
    """(n,) from the forecast's first interval on."""

    def to_document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"of": self.of, "method": self.method, "median": self.median.tolist()}


@dataclass(frozen=True, eq=False)
class Forecast:
    """One series from `index[0]` on, as known at `issued_at`.

    Raises:
        ValueError: names the series and what is wrong with it.
    """

    series: str
    """`<device id>.<quantity>_<unit>`, e.g. `load.demand_kw`."""
    issued_at: datetime
    """UTC. Nothing measured at or after it was used."""
    method: str
    """What made it, e.g. `prophet+profile+linear+trees`, or the yardstick that stands in and why."""
    step_minutes: int
    index: pd.DatetimeIndex
    """(n,) starts of the intervals, UTC, regular, the first not before `issued_at`."""
    quantiles: Mapping[float, Array]
    """By level: (n,) mean over each interval, in the unit of the series; never falling from level to level."""
    findings: tuple[Finding, ...] = ()
    """What was wrong in the measurements since the fit, and what was done about it."""
    rival: Rival | None = None
    """The path that is not in use; None where there is only one."""
    memory_hours: float | None = None
    """How long it stays wrong in the same direction [h]: τ of `scenarios`; None where that was not learned."""

    def __post_init__(self) -> None:
        if self.issued_at.tzinfo is None:
            raise ValueError(f"forecast of {self.series}: issued_at {self.issued_at} has no zone, give UTC")
        object.__setattr__(self, "issued_at", self.issued_at.astimezone(UTC))
        _check_index(self)
        ordered = {float(level): _read_only(values) for level, values in sorted(self.quantiles.items())}
        object.__setattr__(self, "quantiles", MappingProxyType(ordered))
        _check_quantiles(self)

    @property
    def median(self) -> pd.Series:
        return self.quantile(0.5)

    def quantile(self, level: float) -> pd.Series:
        """The path of one level as a series on `index`."""
        if level not in self.quantiles:
            raise ValueError(f"forecast of {self.series} has no level {level}, only {list(self.quantiles)}")
        return pd.Series(self.quantiles[level], index=self.index, name=self.series)

    def to_document(self) -> dict[str, Any]:
        """As plain JSON values. The index is regular, so its start and step say it all."""
        return {
            "schema": SCHEMA,
            "series": self.series,
            "issued_at": self.issued_at.isoformat(),
            "method": self.method,
            "step_minutes": self.step_minutes,
            "start": self.index[0].isoformat(),
            "quantiles": {str(level): values.tolist() for level, values in self.quantiles.items()},
            "findings": [finding.as_document() for finding in self.findings],
            "rival": None if self.rival is None else self.rival.to_document(),
            "memory_hours": self.memory_hours,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Forecast:
        """The inverse of `to_document`, exact to the last bit.

        Raises:
            ValueError: not a forecast document, or one whose content is wrong.
        """
        if document.get("schema") != SCHEMA:
            raise ValueError(f"not a forecast: schema is {document.get('schema')!r}, expected {SCHEMA!r}")
        missing = {"series", "issued_at", "method", "step_minutes", "start", "quantiles"} - set(document)
        if missing:
            raise ValueError(f"forecast document lacks {', '.join(sorted(missing))}")
        quantiles = {float(level): np.asarray(values, dtype=float) for level, values in document["quantiles"].items()}
        length = max((len(values) for values in quantiles.values()), default=0)
        rival = document.get("rival")
        return cls(
            series=document["series"],
            issued_at=datetime.fromisoformat(document["issued_at"]),
            method=document["method"],
            step_minutes=document["step_minutes"],
            index=regular_index(datetime.fromisoformat(document["start"]), document["step_minutes"], length),
            quantiles=quantiles,
            findings=tuple(map(Finding.from_document, document.get("findings", ()))),
            rival=None if rival is None else Rival(**{**rival, "median": np.asarray(rival["median"], dtype=float)}),
            memory_hours=document.get("memory_hours"),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Forecast) and self.to_document() == other.to_document()

    def __hash__(self) -> int:
        return hash((self.series, self.issued_at, self.method))

    def __reduce__(self) -> tuple[Any, ...]:
        return Forecast.from_document, (self.to_document(),)


def regular_index(start: datetime, step_minutes: int, length: int) -> pd.DatetimeIndex:
    """(length,) UTC interval starts from `start` on."""
    return pd.date_range(start.astimezone(UTC), periods=length, freq=timedelta(minutes=step_minutes), unit="s")


def _read_only(values: Array) -> Array:
    copy = np.array(values, dtype=float)
    copy.flags.writeable = False
    return copy


def _check_index(forecast: Forecast) -> None:
    index, name = forecast.index, forecast.series
    if len(index) == 0 or index.tz is None or str(index.tz) != "UTC":
        raise ValueError(f"forecast of {name} needs a UTC index with at least one interval")
    if index[0] < forecast.issued_at:
        raise ValueError(f"forecast of {name} issued at {forecast.issued_at} starts before that, at {index[0]}")
    seconds = index.as_unit("s").asi8
    if np.any(np.diff(seconds) != forecast.step_minutes * 60):
        raise ValueError(f"forecast of {name} is not regular: its steps are not all {forecast.step_minutes} min")


def _check_quantiles(forecast: Forecast) -> None:
    name, paths = forecast.series, forecast.quantiles
    missing = [level for level in NEEDED if level not in paths]
    if missing:
        raise ValueError(f"forecast of {name} lacks the levels {missing}")
    for level, values in paths.items():
        if values.shape != (len(forecast.index),):
            raise ValueError(
                f"forecast of {name}, level {level}: {values.shape} values, {len(forecast.index)} intervals"
            )
        if not np.all(np.isfinite(values)):
            where = int(np.argmin(np.isfinite(values)))
            raise ValueError(f"forecast of {name}, level {level}: {values[where]} at {forecast.index[where]}")
    stacked = np.stack(list(paths.values()))
    if np.any(np.diff(stacked, axis=0) < 0):
        raise ValueError(f"forecast of {name}: a higher level lies below a lower one")
