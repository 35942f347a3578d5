"""What the year model answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from optimizer.time_grid import Array
from sizing.master import Point

Method = Literal["value function", "value functions in turn", "blocks", "merged blocks", "prices made convex"]
UNPROVEN = ("merged blocks", "prices made convex")
"""Methods whose cost and bound are of a year that differs a little from the one that was given."""


@dataclass(frozen=True, eq=False)
class Course:
    """How a year runs at given sizes [kW, kWh]; a year that can be run so."""

    battery_kw: Array
    """(n,) drawn by charging, < 0 where discharged."""
    battery_kwh: Array
    """(n+1,)"""
    machine_kw: Array
    """(n,)"""
    backup_kw: Array
    """(n,)"""
    net_kw: Array
    """(n,) drawn from the grid, < 0 where fed in or cut."""


@dataclass(frozen=True, eq=False)
class YearAnswer:
    """The best sizes found and how good they are."""

    sizes: Array
    """(5,) by `SIZES`."""
    cost: float
    """What the year costs with them, investment included: an upper bound of the least cost [money/a]."""
    bound: float
    """No sizes cost less [money/a]."""
    peaks_kw: Array
    contract_kw: float | None
    """The contract demand to declare, where one is chosen."""
    method: Method
    passes: int
    course: Course
    point: Point
    """Where the search stands."""
    both_ways_steps: int = 0
    """Steps in which a store or the grid is used in both directions at once, which no plant can: with any, the cost is
    that of a relaxation and no upper bound."""

    @property
    def bounded(self) -> bool:
        """Whether the bound is one of the same prices as the cost."""
        return self.method != "prices made convex"

    @property
    def gap(self) -> float:
        """How far the cost can be from the least one, relatively."""
        return (self.cost - self.bound) / abs(self.cost) if self.cost else 0.0

    @property
    def proven(self) -> bool:
        """Whether cost and bound are bounds of the year as it is given."""
        return self.method not in UNPROVEN and self.both_ways_steps == 0
