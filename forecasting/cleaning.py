"""Dirty data: what was measured is checked before a fit and before each forecast; what is found is named and counted.

Which checks a series goes through depends on its nature: zeros are dirt in a demand and the night in PV, a negative
value is a fault in either and a price as any other in a market.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from forecasting import checks
from forecasting.checks import Remedy, View
from forecasting.day_types import Bools, DayTable, Ints, LocalClock
from forecasting.findings import Finding, FindingKind
from forecasting.forecast import Array
from forecasting.levels import level_change, units_aligned
from forecasting.measured import Measured
from forecasting.usual import (
    SHORTEST_FROZEN_HOURS,
    Places,
    Traits,
    Usual,
    learn_traits,
    people_places,
    sun_places,
    usual_course,
)

Nature = Literal["demand", "pv", "temperature", "price", "cars"]
"""What a series is by its nature, and so what is dirt in it. `cars` come from sessions, not from a meter."""

Check = Callable[[View], Remedy]

CHECKS: dict[Nature, tuple[tuple[FindingKind, Check], ...]] = {
    "demand": (
        ("copied", checks.copied),
        ("sign_flip", checks.sign_flip),
        ("negative", checks.negative),
        ("frozen", checks.frozen),
        ("dropout", checks.dropout),
        ("scale", checks.scale),
        ("limit", checks.limit),
        ("spike", checks.spike),
        ("dip", checks.dip),
        ("shifted_hours", checks.shifted_hours),
        ("clock_offset", checks.clock_offset),
    ),
    "pv": (
        ("copied", checks.copied),
        ("sign_flip", checks.sign_flip),
        ("negative", checks.negative),
        ("frozen", checks.frozen),
        ("dropout", checks.dark_day),
        ("limit", checks.limit),
        ("shifted_hours", checks.shifted_hours),
    ),
    "temperature": (
        ("limit", checks.limit),
        ("copied", checks.copied),
        ("frozen", checks.frozen_or_zero),
        ("spike", checks.spike),
        ("dip", checks.dip),
    ),
    "price": (("limit", checks.limit),),
    "cars": (),
}
LAST_RESORT: dict[Nature, tuple[tuple[FindingKind, Check], ...]] = {"demand": (("limit", checks.implausible),)}
"""For what no other check has explained."""
NIGHTLY: frozenset[FindingKind] = frozenset({"scale", "shifted_hours", "clock_offset"})
"""Found in whole days only, and so by the fit, which sees all of them again every night."""
FROZEN_HOURS: dict[Nature, float] = {"temperature": 12.0}
"""Air stands still at night for longer than a load does."""
ROUNDS = 3
"""Dirt hides dirt: while something is found, all is learnt and checked again, at most so often."""
FEWEST_DAYS = 7
"""With less history nothing is usual yet: only what needs no usual course is checked."""
UNUSUAL: frozenset[FindingKind] = frozenset({"copied", "frozen", "limit", "negative"})


class Cleaned(NamedTuple):
    """A series to go on with, what was found in it, and what is usual in it (None with too little history)."""

    past: Measured
    findings: tuple[Finding, ...]
    usual: Usual | None


@dataclass(frozen=True)
class Cleaner:
    """Checks one series; plain data."""

    series: str
    nature: Nature
    limits: tuple[float, float]
    """Lowest and highest value that is physically possible."""
    clock: LocalClock
    days: DayTable

    def history(self, past: Measured) -> Cleaned:
        """Everything measured up to a fit; never raises."""
        try:
            return self._history(past)
        except Exception as error:  # dirt that no check was made for must not cost the site its forecast
            return self._unchecked(past, past.first, None, error)

    def recent(self, seen: Measured, fresh: int, usual: Usual | None) -> Cleaned:
        """What came after a fit: steps from number `fresh` on, the clean ones before as their background; never
        raises."""
        try:
            return self._recent(seen, fresh, usual)
        except Exception as error:  # as above
            return self._unchecked(seen, fresh, usual, error)

    def _unchecked(self, past: Measured, fresh: int, usual: Usual | None, error: Exception) -> Cleaned:
        count = past.between(fresh, past.end).known
        note = f"{type(error).__name__}: {error}"
        found = Finding(self.series, "unchecked", count, self.clock.start_of(fresh), note)
        return Cleaned(past, (found,), usual)

    def _history(self, past: Measured) -> Cleaned:
        if self.nature == "cars" or not past.known:
            return Cleaned(past, (), None)
        places = self._places(past.steps)
        if past.known < FEWEST_DAYS * self.clock.steps_per_day:
            return Cleaned(*self._young(past, places), None)
        values, found = past.values, [_gaps(self.series, past, self.clock)]
        if self.nature == "demand":
            aligned = units_aligned(values, places, self.clock)
            values = aligned.values
            found.append(self._finding("scale", aligned, past.first))
        for _ in range(ROUNDS):
            view, more = self._through(self._view(values, places), past.first, CHECKS[self.nature])
            values, found = view.values, [*found, *more]
            if not more:
                break
        view, more = self._through(view, past.first, LAST_RESORT.get(self.nature, ()))
        values, level = self._levelled(Measured(past.first, view.values), places)
        _, last = usual_course(values, places, self.clock.steps_per_day)
        findings = _joined([*found, *more, level])
        return Cleaned(_from_first_known(Measured(past.first, values)), findings, Usual(last, view.traits))

    def _recent(self, seen: Measured, fresh: int, usual: Usual | None) -> Cleaned:
        if usual is None or self.nature == "cars" or seen.end <= fresh or not seen.known:
            return Cleaned(seen, (), usual)
        every = (*CHECKS[self.nature], *LAST_RESORT.get(self.nature, ()))
        chosen = tuple((kind, check) for kind, check in every if kind not in NIGHTLY)
        places = self._places(seen.steps)
        view = View(seen.values, usual.at(places), places, usual.traits, self.clock, *self.limits)
        view, found = self._through(view, seen.first, chosen, max(0, fresh - seen.first))
        gaps = _gaps(self.series, seen.between(fresh, seen.end), self.clock)
        return Cleaned(Measured(seen.first, view.values), _joined([gaps, *found]), usual)

    def _view(self, values: Array, places: Places) -> View:
        course, _ = usual_course(values, places, self.clock.steps_per_day)
        hours = FROZEN_HOURS.get(self.nature, SHORTEST_FROZEN_HOURS)
        traits = learn_traits(values, course, places, self.clock, hours)
        return View(values, course, places, traits, self.clock, *self.limits)

    def _places(self, steps: Ints) -> Places:
        if self.nature in ("pv", "temperature"):
            return sun_places(steps, self.clock)
        return people_places(steps, self.clock, self.days)

    def _through(
        self, view: View, first: int, chosen: tuple[tuple[FindingKind, Check], ...], fresh: int = 0
    ) -> tuple[View, list[Finding | None]]:
        """The view after all checks, its values changed from place `fresh` on only."""
        found: list[Finding | None] = []
        for kind, check in chosen:
            remedy = check(view)
            marked = remedy.marked
            marked[:fresh] = False
            if not marked.any():
                continue
            changed = np.concatenate([view.values[:fresh], remedy.values[fresh:]])
            found.append(self._finding(kind, remedy, first))
            view = replace(view, values=changed)
        return view, found

    def _young(self, past: Measured, places: Places) -> tuple[Measured, tuple[Finding, ...]]:
        known = past.values[np.isfinite(past.values)]
        course = np.full(len(past.values), np.median(known))
        steps = self.clock.steps_in(FROZEN_HOURS.get(self.nature, SHORTEST_FROZEN_HOURS))
        nowhere = np.zeros((2, self.clock.steps_per_day), dtype=bool)
        traits = Traits(np.inf, np.inf, max(12, 2 * steps), nowhere, 0.0, float(np.quantile(known, 0.95)))
        chosen = tuple((kind, check) for kind, check in CHECKS[self.nature] if kind in UNUSUAL)
        view = View(past.values, course, places, traits, self.clock, *self.limits)
        view, found = self._through(view, past.first, chosen)
        return Measured(past.first, view.values), _joined([_gaps(self.series, past, self.clock), *found])

    def _levelled(self, past: Measured, places: Places) -> tuple[Array, Finding | None]:
        """After a lasting change of level the days before it are left out, once there are enough after it."""
        change = level_change(past.values, places, self.clock) if self.nature == "demand" else None
        if change is None:
            return past.values, None
        note = f"{change.factor:.2f} times as much as before"
        values = past.values
        if change.learn_from_here:
            note += "; learnt from there on"
            values = np.where(np.arange(len(values)) < change.place, np.nan, values)
        count = int(np.count_nonzero(np.isfinite(past.values[change.place :])))
        return values, Finding(self.series, "level", count, self.clock.start_of(past.first + change.place), note)

    def _finding(self, kind: FindingKind, remedy: Remedy, first: int) -> Finding | None:
        if not remedy.marked.any():
            return None
        at = self.clock.start_of(first + int(np.argmax(remedy.marked)))
        return Finding(self.series, kind, int(remedy.marked.sum()), at, remedy.note)


def of_stamps(
    frame: pd.DataFrame, series: str, clock: LocalClock, fresh: int | None, closed: int
) -> tuple[Finding, ...]:
    """What the step means do not show any more, in steps `fresh` (None: all) to `closed - 1`: values that are not
    finite, and times given more than once."""
    if series not in frame:
        return ()
    index = pd.DatetimeIndex(frame.index)
    numbers = clock.step_numbers(index)
    inside = (numbers < closed) & (numbers >= (numbers.min(initial=closed) if fresh is None else fresh))
    pairs: tuple[tuple[FindingKind, Bools], ...] = (
        ("not_finite", inside & np.isinf(frame[series].to_numpy(dtype=float))),
        ("repeated_time", inside & index.duplicated()),
    )
    return tuple(
        Finding(series, kind, int(marked.sum()), clock.start_of(int(numbers[marked].min())))
        for kind, marked in pairs
        if marked.any()
    )


def _from_first_known(past: Measured) -> Measured:
    known = np.flatnonzero(np.isfinite(past.values))
    return past.between(past.first + int(known[0]), past.end) if len(known) else past


def _gaps(series: str, past: Measured, clock: LocalClock) -> Finding | None:
    missing = ~np.isfinite(past.values)
    if not missing.any():
        return None
    return Finding(series, "gap", int(missing.sum()), clock.start_of(past.first + int(np.argmax(missing))))


def _joined(found: list[Finding | None]) -> tuple[Finding, ...]:
    """One finding for each kind, in order of first time."""
    by_kind: dict[FindingKind, Finding] = {}
    for finding in (one for one in found if one is not None):
        known = by_kind.get(finding.kind)
        by_kind[finding.kind] = finding if known is None else _both(known, finding)
    return tuple(sorted(by_kind.values(), key=lambda finding: (finding.first_time, finding.kind)))


def _both(one: Finding, other: Finding) -> Finding:
    notes = ", ".join(dict.fromkeys(note for note in (one.note, other.note) if note))
    first = min(one.first_time, other.first_time)
    return replace(one, count=one.count + other.count, first_time=first, note=notes)
