"""What the grid has called for or bought: events of demand response and offers of reserve, as known at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

import numpy as np

from optimizer.time_grid import Array, TimeGrid


@dataclass(frozen=True)
class DemandResponseEvent:
    """One accepted call: the import register is to show `bid_kw` less (or more) than the baseline."""

    id: str
    service: str
    """Id of the site's service that it belongs to."""
    start: datetime
    end: datetime
    bid_kw: float
    price_per_kwh: float
    """Clearing price of a kWh of response [money/kWh]."""
    baseline_kw: tuple[float, ...]
    """Import without the event, value by value from `start` on; each holds for `baseline_minutes`."""
    baseline_minutes: int = 15
    direction: Literal["cut", "fill"] = "cut"
    """Less import than the baseline (peak cut), or more (valley fill)."""
    responded_kwh: float = 0.0
    """Response measured so far, when the event has begun."""

    @property
    def sign(self) -> float:
        """1 when less import is response, -1 when more is."""
        return 1.0 if self.direction == "cut" else -1.0

    @property
    def hours(self) -> float:
        return (self.end - self.start) / timedelta(hours=1)

    def baseline_on(self, grid: TimeGrid) -> Array:
        """(near,) mean baseline over the part of each near step that lies in the event; 0 outside it."""
        values = np.zeros(grid.near)
        length = timedelta(minutes=self.baseline_minutes)
        for n, kw in enumerate(self.baseline_kw):
            end = min(self.start + (n + 1) * length, self.end)
            values += kw * hours_inside(self.start + n * length, end, grid)
        inside = hours_inside(self.start, self.end, grid)
        return np.divide(values, inside, out=np.zeros(grid.near), where=inside > 0)


@dataclass(frozen=True)
class ReserveOffer:
    """Reserve sold for a window: power that the site can add (up) or take (down) when it is called within it."""

    id: str
    service: str
    """Id of the site's service that holds it."""
    start: datetime
    end: datetime
    price_per_kw_h: float
    """Paid for each kW held through an hour [money/kW·h]."""
    up_kw: float = 0.0
    """Less import, or more export, when called."""
    down_kw: float = 0.0
    """More import when called."""


Event = DemandResponseEvent | ReserveOffer
AnyEvent = TypeVar("AnyEvent", DemandResponseEvent, ReserveOffer)


def hours_inside(start: datetime, end: datetime, grid: TimeGrid) -> Array:
    """(near,) hours of each near step that lie in [start, end)."""
    begins = np.arange(grid.near) * grid.step_hours
    first, last = ((at - grid.start) / timedelta(hours=1) for at in (start, end))
    shared = np.minimum(last, begins + grid.step_hours) - np.maximum(first, begins)
    return np.asarray(np.clip(shared, 0.0, grid.step_hours), dtype=float)


def taken_and_left(
    events: Sequence[AnyEvent], grid: TimeGrid, most: int
) -> tuple[tuple[AnyEvent, ...], tuple[AnyEvent, ...]]:
    """The events that a plan can follow, by start, and those it has to leave.

    Left are events that overlap an earlier one, and those beyond the `most` slots of the model. Events that do not
    touch the near steps are in neither.
    """
    taken: list[AnyEvent] = []
    left: list[AnyEvent] = []
    for event in sorted(events, key=lambda event: (event.start, event.id)):
        if event.end <= grid.start or event.start >= grid.near_end:
            continue
        fits = len(taken) < most and (not taken or event.start >= taken[-1].end)
        (taken if fits else left).append(event)
    return tuple(taken), tuple(left)
