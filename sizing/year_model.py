"""The year model: the best sizes for a year known in advance, by the fastest method that is exact for it."""

from __future__ import annotations

from dataclasses import replace

from sizing.answer import Course, YearAnswer
from sizing.blocks import best_by_blocks
from sizing.park_year import Offer, Offers, ParkYear
from sizing.start import most_flows_kw
from sizing.value_function import best_by_value_functions, running_cost

GAP = 1e-4
"""Relative gap of a proven answer."""
DISPATCH_GAP = 1e-5
"""The same for the dispatch of given sizes."""


def best_sizes(year: ParkYear, offers: Offers, gap: float = GAP, prove: bool = False) -> YearAnswer:
    """The best sizes; `YearAnswer.method` says how they were found, `gap` how far they can be from the best.

    With one store, to `gap`. With a battery and a heat store the search stops where it no longer gets on: bounds hold,
    the sizes are right to a few hundredths of a percent, the gap is a few tenths. `prove` closes it by blocks of days,
    which take several times as long.

    Where costs are not convex (`ParkYear.why_not_convex`), the sizes are those of the year with its prices made convex,
    and their cost is that of their course at the real prices; `prove` takes blocks, whose bound is that of a park whose
    meter could run both ways at once.
    """
    if year.why_not_convex():
        return best_by_blocks(year, offers, gap) if prove else _made_convex(year, offers, gap)
    quick = best_by_value_functions(year, offers, gap)
    if quick.gap <= gap or not prove:
        return quick
    slow = best_by_blocks(year, offers, gap)
    return slow if slow.cost < quick.cost else quick


def best_course(year: ParkYear, sizes: tuple[float, ...]) -> tuple[float, Course]:
    """The least that a year costs with given sizes, wear included, investment not; and how it is run.

    Where costs are not convex, the course is that of the year with its prices made convex, paid at the real ones.
    """
    energy, power, sun, store, machine = (Offer(0.0, size, size) for size in sizes)
    fixed = Offers(energy, power, sun, store, machine)
    convex = year.made_convex() if year.why_not_convex() else year
    course = best_by_value_functions(convex, fixed, DISPATCH_GAP).course
    return running_cost(year, course, most_flows_kw(year, fixed))[0], course


def _made_convex(year: ParkYear, offers: Offers, gap: float) -> YearAnswer:
    found = best_by_value_functions(year.made_convex(), offers, gap)
    cost, _ = running_cost(year, found.course, most_flows_kw(year, offers))
    return replace(found, cost=float(offers.cost @ found.sizes) + cost, method="prices made convex")
