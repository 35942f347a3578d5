"""Cars that have not come yet: what they will need, when they come, when they leave, how many chargers they take.

Per day type the mean over past days, the newer the more, by slot of arrival. A forecast counts only stays that begin in
the slot of its origin or later. A car that came before stands at its charger and the site reports it with what it still
needs, or it has left, or it did not come: in all three cases nothing of it may be expected again, so nothing needs to
be subtracted and nothing is counted twice. All series of a group are sums over the same stays, so need never leaves
before it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from forecasting.cleaning import Nature
from forecasting.day_types import DayTable, LocalClock
from forecasting.forecast import LEVELS, Array
from forecasting.kinds import FitContext, Outcome, PastSession
from forecasting.measured import Measured

WINDOW_DAYS = 56
HALF_LIFE_DAYS = 10
"""A day so much older counts half: fleets grow, and drivers change their ways (docs/forecasting-sources.md)."""
FEWEST_DAYS = 4
"""Days of a type before a day of it may be judged."""
CAUTION_DAYS = 2
"""Empty days of each type before the first one: an unknown fleet is started low and trusted as its days add up."""

Quantity = Literal["arriving_kw", "leaving_kw", "occupied_pct"]


@dataclass(frozen=True)
class ExpectedCars:
    """One series of the cars not yet here at a group of chargers; fitted on past sessions, not on a measured column."""

    quantity: Quantity
    """`arriving_kw` and `leaving_kw`: energy need that comes and that must be served, per hour [kW]; `occupied_pct`:
    chargers taken [%]."""
    chargers: tuple[str, ...]
    """The group; stays at other chargers are not counted."""
    lowest: float = 0.0
    highest: float = np.inf
    measured: bool = False
    nature: Nature = "cars"

    def fit(self, past: Measured, context: FitContext) -> FittedCars:
        """The series by day type, arrival and slot over the last eight weeks; zero without sessions."""
        clock, days = context.clock, context.days
        sessions = [session for session in _usable(context.sessions, context) if session.charger in self.chargers]
        today = int(clock.days_and_slots(np.array([context.origin]))[0][0])
        stays = _stays(sessions, clock)
        first = min((stay.day for stay in stays), default=today)
        span = np.arange(max(first, today - WINDOW_DAYS, days.first), today)
        values = np.zeros((len(span), clock.steps_per_day, 2 * clock.steps_per_day))
        energy = np.zeros(len(span))
        for stay in stays:
            if span.size and span[0] <= stay.day <= span[-1]:
                self._add(stay, values[stay.day - span[0]], clock)
                energy[stay.day - span[0]] += stay.energy_kwh
        off = days.is_off(span)
        weights = 0.5 ** ((today - span) / HALF_LIFE_DAYS)
        caution = CAUTION_DAYS * 0.5 ** ((today - first) / HALF_LIFE_DAYS)
        tables = np.stack(
            [_from_arrival_on(values[off == kind], weights[off == kind], caution) for kind in (False, True)]
        )
        return FittedCars(clock, days, tables, _energy_range(energy, off, weights, caution), len(sessions))

    def _add(self, stay: Stay, by_arrival: Array, clock: LocalClock) -> None:
        """Adds a stay to row `arrival slot` of (slots, 2 days' slots)."""
        shares = stay.shares(by_arrival.shape[1], clock.step_minutes * 60)
        row = by_arrival[stay.slot]
        if self.quantity == "occupied_pct":
            row += 100.0 * shares / len(self.chargers)
        else:
            place = stay.slot if self.quantity == "arriving_kw" else np.flatnonzero(shares)[-1]
            row[place] += stay.energy_kwh * 60 / clock.step_minutes


class Stay(NamedTuple):
    """A stay on the site's clock."""

    day: int
    """Local day of the arrival, counted from 1970-01-01."""
    slot: int
    midnight_s: float
    """Start of slot 0 of that day [s since 1970]."""
    arrive_s: float
    depart_s: float
    energy_kwh: float

    def shares(self, slots: int, step_s: int) -> Array:
        """(slots,) part of each slot in which the car is there; beyond the last slot it counts as leaving there."""
        edges = self.midnight_s + np.arange(slots + 1) * float(step_s)
        return np.asarray(np.diff(np.clip(edges, self.arrive_s, self.depart_s)) / step_s)


def _stays(sessions: Sequence[PastSession], clock: LocalClock) -> list[Stay]:
    if not sessions:
        return []
    step_s = clock.step_minutes * 60
    arrive, depart = (
        np.array([at.timestamp() for at in times]) for times in zip(*((s[0], s[1]) for s in sessions), strict=True)
    )
    steps = (arrive // step_s).astype(np.int64)
    days, slots = clock.days_and_slots(steps)
    midnights = (steps - slots) * float(step_s)
    energy = [session.energy_kwh for session in sessions]
    return [Stay(*row) for row in zip(days.tolist(), slots.tolist(), midnights, arrive, depart, energy, strict=True)]


@dataclass(frozen=True)
class FittedCars:
    clock: LocalClock
    days: DayTable
    tables: Array
    """`tables[off, a, s]`: the series in slot s, counted over two days, for cars that come in slot a or later."""
    energy_range: Array
    """`energy_range[level, off]`: the day's energy at each level over its mean [-]; the middle one is 1."""
    sessions: int

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        steps = np.arange(origin, end, dtype=np.int64)
        days, slots = self.clock.days_and_slots(steps)
        mean = self._by_day(int(days[0]), int(days[-1]), int(slots[0]))[days - days[0], slots]
        off = self.days.is_off(days).astype(np.int64)
        paths = {level: mean * self.energy_range[i, off] for i, level in enumerate(LEVELS)}
        return Outcome(paths, "mean of past sessions" if self.sessions else "zero (no past sessions)")

    def _by_day(self, first: int, last: int, slot_now: int) -> Array:
        """(days, slots) the series from the origin's day on; on that day only cars that come from now on."""
        span = np.arange(first, last + 1)
        arrivals = np.where(span == first, slot_now, 0)
        from_day = self.tables[self.days.is_off(span).astype(np.int64), arrivals]
        day = self.clock.steps_per_day
        overnight = np.vstack([np.zeros(day), from_day[:-1, day:]])
        return from_day[:, :day] + overnight


def _usable(sessions: Sequence[PastSession], context: FitContext) -> list[PastSession]:
    """Stays that were over when the fit was asked for, with a length and a finite energy."""
    at = context.clock.start_of(context.origin)
    stays = [PastSession(*session) for session in sessions]
    return [s for s in stays if s.arrive < s.depart <= at and np.isfinite(s.energy_kwh) and s.energy_kwh > 0]


def _from_arrival_on(values: Array, weights: Array, caution: float) -> Array:
    """(slots, 2 days' slots) weighted mean over (n days, ...) of cars arriving in each slot or later.

    `caution` is the weight of empty days.
    """
    mean = np.tensordot(weights, values, axes=1) / (weights.sum() + caution)
    return np.flip(np.cumsum(np.flip(mean, axis=0), axis=0), axis=0)


def _energy_range(energy: Array, off: np.ndarray, weights: Array, caution: float) -> Array:
    """(levels, 2) quantiles of a day's energy over what the days before it let expect, by type.

    The middle one is 1: the path is the mean.
    """
    levels = np.asarray(LEVELS)
    columns = []
    for kind in (False, True):
        days, seen = energy[off == kind], weights[off == kind]
        before = (np.cumsum(seen * days) - seen * days)[FEWEST_DAYS:]
        expected = before / (np.cumsum(seen) - seen + caution)[FEWEST_DAYS:]
        known = expected > 0
        ratio = (
            np.quantile(days[FEWEST_DAYS:][known] / expected[known], levels) if known.any() else np.ones(len(levels))
        )
        columns.append(np.where(levels < 0.5, np.minimum(ratio, 1.0), np.maximum(ratio, 1.0)))
        columns[-1][levels == 0.5] = 1.0
    return np.array(columns).T
