"""Days off that the site's list does not name: workdays on which the load looked like a day off.

They are suggested, with how sure that is, and never applied: a strike, a power cut or a broken machine looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from forecasting.cleaning import Cleaner
from forecasting.day_types import EPOCH
from forecasting.forecast import Array
from forecasting.measured import Measured
from forecasting.usual import Places, people_places, usual_course

APART = 4.0
"""In a slot that says something, workday and day off are so many times further apart than workdays are."""
FEWEST_SLOTS = 0.15
"""Share of the day's slots that must say something."""
SURE = 0.8
"""Share of these slots that must look like a day off."""
FEWEST_DAYS = 21


@dataclass(frozen=True)
class ClosureSuggestion:
    """A workday that looked like a day off."""

    date: date
    """Local date."""
    sure: float
    """Share of the slots in which work shows that were nearer to a day off than to a workday, 0..1."""

    def as_text(self) -> str:
        """One sentence for people."""
        return (
            f"{self.date:%Y-%m-%d} looks like a day off ({self.sure:.0%} of the working hours): "
            "if the site was closed, add it to `closures`"
        )


def suggested_closures(past: Measured, cleaner: Cleaner) -> tuple[ClosureSuggestion, ...]:
    """Days of work, by the calendar, whose load was that of a day off; in order. `past` is best a cleaned series."""
    clock = cleaner.clock
    if past.known < FEWEST_DAYS * clock.steps_per_day:
        return ()
    places = people_places(past.steps, clock, cleaner.days)
    work, free = (_course_of(past.values, places, off, clock.steps_per_day) for off in (False, True))
    spread = np.abs(past.values - work)[~places.off & np.isfinite(past.values)]
    telling = np.isfinite(past.values) & (work - free > APART * float(np.median(spread)))
    looks_free = telling & (past.values < (work + free) / 2)
    first = int(places.days[0])
    day, count = places.days - first, int(places.days[-1]) - first + 1
    slots = np.bincount(day[telling & ~places.off], minlength=count)
    share = np.bincount(day[looks_free & ~places.off], minlength=count) / np.maximum(slots, 1)
    found = np.flatnonzero((slots >= FEWEST_SLOTS * clock.steps_per_day) & (share >= SURE))
    return tuple(
        ClosureSuggestion(EPOCH + timedelta(days=first + number), round(float(share[number]), 3))
        for number in found.tolist()
    )


def _course_of(values: Array, places: Places, off: bool, per_day: int) -> Array:
    """(n,) what days of one type are like around each step, whatever its own day is."""
    of_kind = np.where(places.off == off, values, np.nan)
    return usual_course(of_kind, places._replace(off=np.full(len(values), off)), per_day)[0]
