"""Cars that have not come yet: the charging power to expect from them.

Each past stay is spread evenly between arrival and departure, because the power of cars that may be moved in time is
the planner's own choice. Per day type this gives the mean power by slot; for the running day only stays that began
later in the day than now count: the others are plugged in (or did not come) and the site reports them itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import LEVELS, Array
from forecasting.kinds import FitContext, Outcome, PastSession
from forecasting.measured import Measured

WINDOW_DAYS = 56
CAUTION_DAYS = 2
"""Empty days added to each type's past: an unknown fleet is started low and trusted as its days add up."""


@dataclass(frozen=True)
class ExpectedCars:
    """Mean charging power of cars not yet here [kW]; fitted on past sessions, not on a measured column."""

    lowest: float = 0.0
    highest: float = np.inf
    measured: bool = False

    def fit(self, past: Measured, context: FitContext) -> FittedCars:
        """The power by day type, arrival and slot over the last eight weeks; zero without sessions."""
        clock, days = context.clock, context.days
        sessions = _usable(context.sessions, context)
        today = int(clock.days_and_slots(np.array([context.origin]))[0][0])
        first = min((_local_day(s, clock) for s in sessions), default=today)
        span = np.arange(max(first, today - WINDOW_DAYS, days.first), today)
        powers = np.zeros((len(span), clock.steps_per_day, 2 * clock.steps_per_day))
        for session in sessions:
            if span.size and (row := _local_day(session, clock) - span[0]) >= 0 and row < len(span):
                _spread(session, powers[row], clock)
        off = days.is_off(span)
        tables = np.stack([_mean_from_arrival_on(powers[off == kind]) for kind in (False, True)])
        return FittedCars(clock, days, tables, _energy_range(powers.sum(axis=(1, 2)), off), len(sessions))


@dataclass(frozen=True)
class FittedCars:
    clock: LocalClock
    days: DayTable
    tables: Array
    """`tables[off, a, s]`: power in slot s, counted over two days, of cars that come in slot a or later [kW]."""
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
        """(days, slots) expected power from the origin's day on; on that day only cars that come from now on."""
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


def _step(session: PastSession, clock: LocalClock) -> Ints:
    return np.array([clock.closed_steps(session.arrive)], dtype=np.int64)


def _local_day(session: PastSession, clock: LocalClock) -> int:
    return int(clock.days_and_slots(_step(session, clock))[0][0])


def _spread(session: PastSession, by_arrival: Array, clock: LocalClock) -> None:
    """Adds a stay's even power to row `arrival slot` of (slots, 2 days' slots); what lies beyond them is left out."""
    step = _step(session, clock)
    slot = int(clock.days_and_slots(step)[1][0])
    seconds = clock.step_minutes * 60
    edges = (int(step[0]) - slot + np.arange(by_arrival.shape[1] + 1)) * float(seconds)
    inside = np.clip(edges, session.arrive.timestamp(), session.depart.timestamp())
    hours = (session.depart - session.arrive).total_seconds() / 3600
    by_arrival[slot] += session.energy_kwh / hours * np.diff(inside) / seconds


def _mean_from_arrival_on(powers: Array) -> Array:
    """(slots, 2 days' slots) mean over (n days, ...) of cars arriving in each slot or later."""
    mean = powers.sum(axis=0) / (len(powers) + CAUTION_DAYS)
    return np.flip(np.cumsum(np.flip(mean, axis=0), axis=0), axis=0)


def _energy_range(energy: Array, off: np.ndarray) -> Array:
    """(3, 2) quantiles of a day's energy over its mean, by type; the middle one is 1: the path is the mean itself."""
    columns = []
    for kind in (False, True):
        days = energy[off == kind]
        ratio = days / days.mean() if days.size and days.mean() > 0 else np.ones(1)
        low, high = np.quantile(ratio, [LEVELS[0], LEVELS[-1]])
        columns.append([min(float(low), 1.0), 1.0, max(float(high), 1.0)])
    return np.array(columns).T
