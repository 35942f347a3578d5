"""Demand: near model and Prophet joined, weighed by how they did over the last weeks.

    near[h] = (1 - u[h])·linear[h] + u[h]·prophet            leads up to 30 h             (1)
    tail    = (1 - v)·profile + v·prophet                    to the end of the fit        (2)
    ŷ[h]    = c[h]·near[h] + (1 - c[h])·tail,   c falls from 1 at 24 h to 0 at 30 h       (3)

u and v come from a trial: everything is fitted once without the last four weeks and forecast over them. The trial's
errors also give the spread. Then everything is fitted again on the whole history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.cleaning import Nature
from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.kinds import FitContext, Outcome
from forecasting.measured import Measured
from forecasting.near_model import NEAR_HOURS, NearModel, fit_near, near_leads, near_view
from forecasting.profile import TypeProfiles, day_matrix
from forecasting.prophet_demand import prophet_path
from forecasting.spread import around, error_quantiles

LONGEST_DAYS = 365
"""History used at all [days]; Prophet takes less."""
TRIAL_DAYS = 28
SHORTEST_DAYS = 21
"""Two weeks to fit the trial and one to score it."""
HAND_OVER_FROM_HOURS = 24.0
TRIAL_EVERY_HOURS = 1.75
"""Spacing of the trial's origins [h]: no divisor of a day, so that all hours of the day are origins."""
BRIDGE_HOURS = 1.0
"""Longest gap that is bridged by a straight line [h]."""
KEPT_DAYS = 60
"""Measurements kept with the fit [days]: four days of either type lie within them, also around the longest holidays."""
SHARES = np.linspace(0.0, 1.0, 11)
TAIL_WEEKS = 12
"""How far back the profile's errors over weeks ahead are looked at: one month alone knows only its own weather."""


@dataclass(frozen=True)
class Demand:
    """Electric, heating or cooling demand [kW]."""

    lowest: float = 0.0
    highest: float = np.inf
    measured: bool = True
    nature: Nature = "demand"

    def fit(self, past: Measured, context: FitContext) -> FittedDemand:
        """Fits the trial and the whole.

        Raises:
            ValueError: less than three weeks of measurements.
        """
        clock, days = context.clock, context.days
        past = past.between(max(past.first, past.end - LONGEST_DAYS * clock.steps_per_day), past.end)
        past = past.bridged(clock.steps_in(BRIDGE_HOURS))
        known_days = past.known / clock.steps_per_day
        if known_days < SHORTEST_DAYS:
            raise ValueError(f"{known_days:.1f} days of history, {SHORTEST_DAYS} needed")
        cut = past.end - int(min(TRIAL_DAYS, known_days - 14)) * clock.steps_per_day
        trial = _fit_members(past.between(past.first, cut), past.end, clock, days)
        whole = _fit_members(past, context.end, clock, days)
        if whole.failure or trial.failure:
            trial, whole = trial.without_prophet(), whole.without_prophet()
        near_share, near_errors = _judge_near(past, trial, cut, clock, days)
        tail_share, tail_errors = _judge_tail(past, trial, cut, clock, days)
        kept = past.between(max(past.first, past.end - KEPT_DAYS * clock.steps_per_day), past.end)
        limits = (self.lowest, self.highest)
        return FittedDemand(clock, days, kept, whole, near_share, near_errors, tail_share, tail_errors, limits)


@dataclass(frozen=True)
class Members:
    """What is blended: the near model and Prophet's path, or the reason why there is no path."""

    near: NearModel
    path: Measured
    failure: str = ""

    def without_prophet(self) -> Members:
        return Members(self.near, Measured(self.path.end, np.empty(0)), self.failure)

    def prophet_at(self, steps: Ints, otherwise: Array) -> Array:
        """Prophet's values, or another member's where Prophet has none."""
        path = self.path.at(steps)
        return np.where(np.isfinite(path), path, otherwise)


@dataclass(frozen=True)
class FittedDemand:
    """A demand series ready to be forecast from any quarter hour."""

    clock: LocalClock
    days: DayTable
    kept: Measured
    members: Members
    near_share: Array
    """(near leads,) u of (1)."""
    near_errors: Array
    """(3, near leads) error quantiles of (1)."""
    tail_share: float
    """v of (2)."""
    tail_errors: Array
    """(3, slots of a day) error quantiles of (2)."""
    limits: tuple[float, float]

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        past = self.kept.overlaid(recent, origin).bridged(self.clock.steps_in(BRIDGE_HOURS))
        median, errors = self._tail(past, origin, end)
        origins = np.array([origin], dtype=np.int64)
        view = near_view(past, origins, self.clock, self.days)
        if not view.usable[0]:
            return Outcome(around(median, errors, *self.limits), self._method(near=False))
        steps = origin + near_leads(self.clock)
        linear = view.forecast(self.members.near)[0]
        near = (1 - self.near_share) * linear + self.near_share * self.members.prophet_at(steps, linear)
        count = min(len(near), end - origin)
        cover = hand_over(self.clock)[:count]
        median[:count] = cover * near[:count] + (1 - cover) * median[:count]
        errors[:, :count] = cover * self.near_errors[:, :count] + (1 - cover) * errors[:, :count]
        return Outcome(around(median, errors, *self.limits), self._method(near=True))

    def _tail(self, past: Measured, origin: int, end: int) -> tuple[Array, Array]:
        """(n,) median and (3, n) error quantiles of (2)."""
        steps = np.arange(origin, end, dtype=np.int64)
        profile = _profile(past, origin, steps, self.clock, self.days)
        prophet = self.members.prophet_at(steps, profile)
        _, slots = self.clock.days_and_slots(steps)
        return (1 - self.tail_share) * profile + self.tail_share * prophet, self.tail_errors[:, slots]

    def _method(self, near: bool) -> str:
        parts = ["same-type-day mean" if self.members.failure else "prophet+profile"]
        parts += ["residual"] if near else []
        reasons = [f"prophet failed: {self.members.failure}"] if self.members.failure else []
        reasons += [] if near else ["no measurement in the last hour"]
        return "+".join(parts) + (f" ({'; '.join(reasons)})" if reasons else "")


def hand_over(clock: LocalClock) -> Array:
    """(near leads,) share of the near forecast: c of (3)."""
    hours = near_leads(clock) * clock.step_minutes / 60
    cover: Array = np.clip((NEAR_HOURS - hours) / (NEAR_HOURS - HAND_OVER_FROM_HOURS), 0.0, 1.0)
    return cover


def _fit_members(past: Measured, end: int, clock: LocalClock, days: DayTable) -> Members:
    near = fit_near(past, clock, days)
    try:
        path = prophet_path(past, past.end, end, clock, days)
        if not np.all(np.isfinite(path)):
            raise RuntimeError("values are not finite")
    except Exception as error:  # any failure of the fit or its child process: the others go on without it
        return Members(near, Measured(past.end, np.empty(0)), f"{type(error).__name__}: {error}")
    return Members(near, Measured(past.end, path))


def _judge_near(past: Measured, trial: Members, cut: int, clock: LocalClock, days: DayTable) -> tuple[Array, Array]:
    """Prophet's share per lead that did best over the trial, and the error quantiles with it."""
    origins = np.arange(cut, past.end, clock.steps_in(TRIAL_EVERY_HOURS) or 1, dtype=np.int64)
    steps = origins[:, None] + near_leads(clock)
    actual = past.at(steps)
    linear = near_view(past, origins, clock, days).forecast(trial.near)
    prophet = trial.prophet_at(steps, linear)
    misses = np.stack([_mean_miss(actual - (1 - u) * linear - u * prophet) for u in SHARES])
    share = SHARES[np.argmin(misses, axis=0)]
    return share, error_quantiles(actual - (1 - share) * linear - share * prophet)


def _judge_tail(past: Measured, trial: Members, cut: int, clock: LocalClock, days: DayTable) -> tuple[float, Array]:
    """Prophet's share of the tail that did best over the trial, and the error quantiles by slot (an hour around it)."""
    steps = np.arange(cut + clock.steps_per_day, past.end, dtype=np.int64)
    profile = _profile(past, cut, steps, clock, days)
    prophet = trial.prophet_at(steps, profile)
    actual = past.at(steps)
    misses = [_mean_miss((actual - (1 - v) * profile - v * prophet)[:, None])[0] for v in SHARES]
    share = float(SHARES[int(np.argmin(misses))])
    errors = [Measured(int(steps[0]), actual - (1 - share) * profile - share * prophet)]
    errors += _profile_errors(past, clock, days)
    by_slot = np.concatenate([day_matrix(missed, clock)[1] for missed in errors])
    reach = clock.steps_in(1)
    around_slot = [np.roll(by_slot, shift, axis=1) for shift in range(-reach, reach + 1)]
    return share, error_quantiles(np.concatenate(around_slot))


def _profile_errors(past: Measured, clock: LocalClock, days: DayTable) -> list[Measured]:
    """Errors of the profile over four weeks ahead, issued each week of the last twelve."""
    week = 7 * clock.steps_per_day
    first = max(past.first + 2 * week, past.end - TAIL_WEEKS * week)
    errors = []
    for origin in range(first, past.end - week, week):
        end = min(past.end, origin + TRIAL_DAYS * clock.steps_per_day)
        steps = np.arange(origin + clock.steps_per_day, end, dtype=np.int64)
        errors.append(Measured(int(steps[0]), past.at(steps) - _profile(past, origin, steps, clock, days)))
    return errors


def _profile(past: Measured, origin: int, steps: Ints, clock: LocalClock, days: DayTable) -> Array:
    """(n,) same-type-day profile of `steps`, as known at `origin`."""
    origins = np.array([origin], dtype=np.int64)
    known_on, _ = clock.days_and_slots(origins)
    profiles = TypeProfiles.of(past.between(past.first, origin), clock, days, known_on)
    profile: Array = profiles.at_steps(origins, steps - origin, clock, days)[0]
    return profile


def _mean_miss(errors: Array) -> Array:
    """(m,) mean absolute error per lead; 0 where nothing was measured."""
    known = np.isfinite(errors)
    misses: Array = np.where(known, np.abs(errors), 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return misses
