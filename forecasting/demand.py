"""Demand: members blended by how they did over the last weeks; Prophet carries what lies beyond the next day.

    near[h] = Σ_m u[m, h]·member_m[h]                        leads up to 30 h             (1)
    tail    = Σ_m v[m]·member_m                              to the end of the fit        (2)
    ŷ[h]    = c[h]·near[h] + (1 - c[h])·tail,   c falls from 1 at 24 h to 0 at 30 h       (3)

u and v come from a trial: everything is fitted once without the last four weeks and forecast over them. The trial's
errors also give the spread. Then everything is fitted again on the whole history. In its third week a load is forecast
as loads usually are; that has learned nothing from its days, so they are the trial.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from forecasting.blend import blend_weights, weights_by_lead
from forecasting.cleaning import Nature
from forecasting.day_types import DayTable, LocalClock
from forecasting.forecast import Array
from forecasting.kinds import FitContext, Outcome
from forecasting.load_prior import LoadPrior, shipped_prior
from forecasting.measured import Measured
from forecasting.members import SPACING_HOURS, Members, first_origin, fit_members, usual_members
from forecasting.near_model import NEAR_HOURS, NearView, near_leads, near_view
from forecasting.near_prior import newness
from forecasting.outdoor import FEWEST_DAYS, Outdoor
from forecasting.profile import TypeProfiles, day_matrix
from forecasting.published import Published
from forecasting.special_days import SpecialDays
from forecasting.spread import Swing, around, error_quantiles, memory_hours
from forecasting.weather_response import WeatherResponse

TRIAL_DAYS = 28
"""Measured days of a trial, with three times as many and more; with fewer a third of them."""
LONGEST_TRIAL_DAYS = 56
"""A trial with holes reaches back so far at most: it has to speak for the time of the year."""
SHORTEST_DAYS, LEARNING_DAYS = 14, 21
"""Nine days to look back at and five to see errors; two weeks to fit a trial and one to score it."""
HAND_OVER_FROM_HOURS = 24.0
INDEPENDENT_A_DAY = 2.0
"""How many of a day's errors tell something new: they are alike over half a day."""
BRIDGE_HOURS = 1.0
"""Longest gap that is bridged by a straight line [h]."""
KEPT_DAYS = 60
"""Measurements kept with the fit [days]: four days of either type lie within them, also around the longest holidays."""
LEARNERS = np.array([0.2, 0.2, 0.4, 0.2, 0.0, 0.0, 0.0, 0.0])
HEARING = np.array([0.4, 0.4, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0])
FIRST = np.array([0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
NEW = np.array([0.3, 0.0, 0.2, 0.0, 0.5, 0.0, 0.0, 0.0])
NEW_HEARING = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
"""Weights near by, in the order of `Members.near_paths`, that are usual. After a long history: of all leads; and beyond
some hours where weather is foretold, of which the first two hear. After a short one, when other loads' trees know more
than the load's own and the linear model begins with what is usual: within the first hour; of the leads after it; and
beyond some hours where weather is foretold. The others must show that they help."""
FIRST_HOURS, HEARING_FROM_HOURS = 1.0, 6.0
TAIL_WEIGHTS = np.array([0.25, 0.25, 0.5])
TAIL_PULL = 0.5
"""Usual weights beyond the next day, and how strongly they hold: four weeks are one sample of a month's weather."""
TAIL_WEEKS = 12
"""How far back the profile's errors over weeks ahead are looked at: one month alone knows only its own weather."""


@dataclass(frozen=True)
class Demand:
    """Electric, heating or cooling demand [kW]."""

    lowest: float = 0.0
    highest: float = np.inf
    measured: bool = True
    nature: Nature = "demand"
    prior: LoadPrior = field(default_factory=shipped_prior)
    """What is expected of a load that has not been seen."""

    def fit(self, past: Measured, context: FitContext) -> FittedDemand:
        """Fits the trial and the whole.

        Raises:
            ValueError: less than two weeks of measurements.
        """
        import sklearn.ensemble  # noqa: F401  # brings its threads along: only those that are loaded can be limited
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # fits run side by side in processes of their own: threads only wait for one another
            return self._fit(past, context)

    def _fit(self, past: Measured, context: FitContext) -> FittedDemand:
        clock, days = context.clock, context.days
        past = past.bridged(clock.steps_in(BRIDGE_HOURS))
        known_days = past.known / clock.steps_per_day
        if known_days < SHORTEST_DAYS:
            raise ValueError(f"{known_days:.1f} days of history, {SHORTEST_DAYS} needed")
        special = SpecialDays.of(past, clock, days)
        kept = past.between(max(past.first, past.end - KEPT_DAYS * clock.steps_per_day), past.end)
        past = special.removed_from(past)
        if known_days < LEARNING_DAYS:
            cut, outdoor = first_origin(past, clock), None
            trial = whole = usual_members(past, clock, days, self.prior)
        else:
            cut = _trial_start(past, int(min(TRIAL_DAYS, known_days / 3)), clock)
            foretold = Outdoor.of(context.published, clock, past.first, past.end)
            outdoor = foretold if foretold.known_days(cut) >= FEWEST_DAYS else None
            trial = fit_members(past.between(past.first, cut), past.end, clock, days, self.prior, outdoor)
            whole = fit_members(past, context.end, clock, days, self.prior, outdoor)
        usual = usual_weights(known_days, clock, outdoor is not None)
        near = _judge_near(past, trial, cut, clock, days, outdoor, usual)
        tail_weights, tail_errors = _judge_tail(past, trial, cut, clock, days, outdoor)
        limits = (self.lowest, self.highest)
        heard = outdoor.kept(KEPT_DAYS) if outdoor else None
        return FittedDemand(clock, days, kept, special, whole, near, tail_weights, tail_errors, limits, heard)


@dataclass(frozen=True)
class NearJudged:
    """What a trial said of the members near by."""

    weights: Array
    """(members, near leads) u of (1)."""
    errors: Array
    """(levels, near leads) quantiles of the errors of (1), each over the swing at its origin."""
    swing: Swing
    memory_hours: float | None


@dataclass(frozen=True)
class FittedDemand:
    """A demand series ready to be forecast from any quarter hour."""

    clock: LocalClock
    days: DayTable
    kept: Measured
    special: SpecialDays
    members: Members
    near: NearJudged
    tail_weights: Array
    """(tail members,) v of (2)."""
    tail_errors: Array
    """(levels, slots of a day) error quantiles of (2)."""
    limits: tuple[float, float]
    outdoor: Outdoor | None = None
    """What weather forecasts said; None where too little was foretold before the fit."""

    def told(self, published: Published) -> FittedDemand:
        """Knowing what was announced before the issue time."""
        return replace(self, outdoor=self.outdoor.told(published)) if self.outdoor else self

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        past = self.special.removed_from(self.kept.overlaid(recent, origin).bridged(self.clock.steps_in(BRIDGE_HOURS)))
        steps = np.arange(origin, end, dtype=np.int64)
        median = self.tail_weights @ self.members.tail_paths(past, origin, steps, self.outdoor)
        errors = self.tail_errors[:, self.clock.days_and_slots(steps)[1]]
        view = near_view(past, np.array([origin], dtype=np.int64), self.clock, self.days, self.outdoor)
        if view.usable[0]:
            self._join(*self._near(past, view), median, errors)
        median += self.special.at(steps)
        method = self._method(near=bool(view.usable[0]), foretold=bool(view.degrees.any()))
        return Outcome(around(median, errors, *self.limits), method, self.near.memory_hours)

    def _near(self, past: Measured, view: NearView) -> tuple[Array, Array]:
        """(near leads,) of (1), and (levels, near leads) error quantiles as the series swings now."""
        paths = self.members.near_paths(past, view)[:, 0]
        near: Array = np.einsum("mh,mh->h", self.near.weights, paths)
        return near, self.near.errors * self.near.swing.at(past, view.origins, self.clock.steps_per_day)

    def _join(self, near: Array, near_errors: Array, median: Array, errors: Array) -> None:
        """(3), written over the first leads of `median` and `errors`."""
        count = min(len(near), len(median))
        cover = hand_over(self.clock)[:count]
        median[:count] = cover * near[:count] + (1 - cover) * median[:count]
        errors[:, :count] = cover * near_errors[:, :count] + (1 - cover) * errors[:, :count]

    def _method(self, near: bool, foretold: bool) -> str:
        parts = [*self.members.tail_names, *(self.members.near_names if near else ())]
        parts += ["weather forecast"] if foretold else []
        reasons = [*self.members.failures, *([] if near else ["no measurement in the last hour"])]
        return "+".join(parts) + (f" ({'; '.join(reasons)})" if reasons else "")


def hand_over(clock: LocalClock) -> Array:
    """(near leads,) share of the near forecast: c of (3)."""
    hours = near_leads(clock) * clock.step_minutes / 60
    cover: Array = np.clip((NEAR_HOURS - hours) / (NEAR_HOURS - HAND_OVER_FROM_HOURS), 0.0, 1.0)
    return cover


def _trial_start(past: Measured, measured_days: int, clock: LocalClock) -> int:
    """The step from which so many days' values were measured up to the end, at most `LONGEST_TRIAL_DAYS` before it."""
    known = np.cumsum(np.isfinite(past.values)[::-1])
    length = int(np.searchsorted(known, measured_days * clock.steps_per_day)) + 1
    return past.end - min(length, LONGEST_TRIAL_DAYS * clock.steps_per_day)


def usual_weights(known_days: float, clock: LocalClock, foretold: bool) -> Array:
    """(members, near leads) weights that are usual after so many days of history, with weather foretold or without."""
    hours = (near_leads(clock) + 1) * clock.step_minutes / 60
    new, hearing = newness(known_days), foretold & (hours > HEARING_FROM_HOURS)
    long = np.where(hearing, HEARING[:, None], LEARNERS[:, None])
    short = np.where(hearing, NEW_HEARING[:, None], np.where(hours <= FIRST_HOURS, FIRST[:, None], NEW[:, None]))
    usual: Array = new * short + (1.0 - new) * long
    return usual


def _judge_near(
    past: Measured,
    trial: Members,
    cut: int,
    clock: LocalClock,
    days: DayTable,
    outdoor: Outdoor | None,
    usual: Array,
) -> NearJudged:
    """The weights that did best over the trial; the errors with the weights that did best over the other weeks of it.

    Weights look better on the errors they were chosen by than they will be, so those give no honest spread.
    """
    origins = np.arange(cut, past.end, clock.steps_in(SPACING_HOURS), dtype=np.int64)
    view = near_view(past, origins, clock, days, outdoor)
    view = view.of(view.usable)
    errors = past.at(view.origins[:, None] + near_leads(clock)) - trial.near_paths(past, view)
    swing = Swing.over(past, view.origins, clock.steps_per_day)
    missed = np.full(errors.shape[1:], np.nan)
    odd_weeks = (view.origins - cut) // (7 * clock.steps_per_day) % 2 == 1
    for here in (odd_weeks, ~odd_weeks):
        others = weights_by_lead(errors[:, ~here], usual, clock.step_minutes / 60)
        missed[here] = np.einsum("mh,mnh->nh", others, errors[:, here])
    missed /= swing.at(past, view.origins, clock.steps_per_day)[:, None]
    scored_days = max(1.0, np.isfinite(missed).any(axis=1).sum() * SPACING_HOURS / 24)
    return NearJudged(
        weights=weights_by_lead(errors, usual, clock.step_minutes / 60),
        errors=error_quantiles(missed, INDEPENDENT_A_DAY * scored_days),
        swing=swing,
        memory_hours=memory_hours(missed, clock.step_minutes / 60),
    )


def _judge_tail(
    past: Measured, trial: Members, cut: int, clock: LocalClock, days: DayTable, outdoor: Outdoor | None
) -> tuple[Array, Array]:
    """(members,) weights over the trial's days ahead, and error quantiles by slot (an hour around it)."""
    day = clock.steps_per_day
    origins = range(cut, past.end - day, day)
    ahead = [np.arange(origin + day, past.end, dtype=np.int64) for origin in origins]
    found = [
        past.at(steps) - trial.tail_paths(past, origin, steps, outdoor)
        for origin, steps in zip(origins, ahead, strict=True)
    ]
    weights = blend_weights(np.concatenate(found, axis=1), TAIL_WEIGHTS, TAIL_PULL)
    errors = [Measured(int(steps[0]), weights @ missed) for steps, missed in zip(ahead[::7], found[::7], strict=True)]
    errors += _profile_errors(past, clock, days, trial.response, outdoor)
    by_slot = np.concatenate([day_matrix(missed, clock)[1] for missed in errors])
    reach = clock.steps_in(1)
    around_slot = [np.roll(by_slot, shift, axis=1) for shift in range(-reach, reach + 1)]
    return weights, error_quantiles(np.concatenate(around_slot))


def _profile_errors(
    past: Measured, clock: LocalClock, days: DayTable, response: WeatherResponse | None, outdoor: Outdoor | None
) -> list[Measured]:
    """Errors of the profile, moved by what was foretold, over four weeks ahead, issued each week of the last twelve."""
    week = 7 * clock.steps_per_day
    first = max(past.first + 2 * week, past.end - TAIL_WEEKS * week)
    errors = []
    for origin in range(first, past.end - week, week):
        end = min(past.end, origin + TRIAL_DAYS * clock.steps_per_day)
        steps = np.arange(origin + clock.steps_per_day, end, dtype=np.int64)
        profiles = TypeProfiles.known_at(past, origin, clock, days)
        origins = np.array([origin])
        profile = profiles.at_steps(profiles.table, origins, steps - origin, clock, days)[0]
        if response and outdoor:
            profile += response.ahead(outdoor, origins, steps - origin, clock, days)[0]
        errors.append(Measured(int(steps[0]), past.at(steps) - profile))
    return errors
