"""What every kind of series has in common: how it is fitted, and what a fitted one answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from forecasting.cleaning import Nature
from forecasting.day_types import DayTable, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured
from forecasting.published import Published


class PastSession(NamedTuple):
    """One car's stay that is over, UTC."""

    arrive: datetime
    depart: datetime
    energy_kwh: float
    """Energy it needed."""
    charger: str


@dataclass(frozen=True)
class FitContext:
    """What a fit may know besides the series itself."""

    clock: LocalClock
    days: DayTable
    origin: int
    """First step that was not over when the fit was asked for."""
    end: int
    """Step after the last one that may ever be forecast with this fit."""
    sessions: Sequence[PastSession] = ()
    published: Published = field(default_factory=Published)
    """What was announced before the fit was asked for."""


class Outcome(NamedTuple):
    """The answer for the steps `origin` to `end - 1`."""

    quantiles: dict[float, Array]
    method: str
    memory_hours: float | None = None
    """How long the forecast stays wrong in the same direction [h]: τ of `scenarios`; None where it was not learned."""


class FittedSeries(Protocol):
    """A fitted series: plain data, picklable."""

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        """The forecast for steps `origin` to `end - 1`, from what was measured before `origin`."""
        ...


@runtime_checkable
class Told(Protocol):
    """A fitted series that also listens to what others announce."""

    def told(self, published: Published) -> FittedSeries:
        """The same model, knowing what was announced before the issue time."""
        ...


class SeriesKind(Protocol):
    """A kind of series with its physical limits [unit of the series]."""

    @property
    def lowest(self) -> float: ...

    @property
    def highest(self) -> float: ...

    @property
    def nature(self) -> Nature:
        """What the series is by its nature, and so what is dirt in it."""
        ...

    @property
    def measured(self) -> bool:
        """Whether the history must hold a column of this name."""
        ...

    def fit(self, past: Measured, context: FitContext) -> FittedSeries:
        """Raises ValueError or RuntimeError when no model can be made of `past`."""
        ...
