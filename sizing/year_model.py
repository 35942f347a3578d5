"""The year model: the best sizes for a year known in advance, by the fastest method that is exact for it."""

from __future__ import annotations

from sizing.answer import YearAnswer
from sizing.blocks import best_by_blocks
from sizing.park_year import Offers, ParkYear
from sizing.value_function import best_by_value_functions

GAP = 1e-4
"""Relative gap of a proven answer."""


def best_sizes(year: ParkYear, offers: Offers, gap: float = GAP, prove: bool = False) -> YearAnswer:
    """The best sizes; `YearAnswer.method` says how they were found, `gap` how far they can be from the best.

    With one store, to `gap`. With a battery and a heat store the search stops where it no longer gets on: bounds hold,
    the sizes are right to a few hundredths of a percent, the gap is a few tenths. `prove` closes it by blocks of days,
    which take several times as long. Where costs are not convex (`ParkYear.why_not_convex`), blocks are the only way.
    """
    if year.why_not_convex():
        return best_by_blocks(year, offers, gap, prove)
    quick = best_by_value_functions(year, offers, gap)
    if quick.gap <= gap or not prove:
        return quick
    slow = best_by_blocks(year, offers, gap, prove)
    return slow if slow.cost < quick.cost else quick
