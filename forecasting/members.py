"""The members of the blend: each a way of its own to say what comes, all from measurements before the origin.

Near by (to 30 h): linear model, trees on its residual, trees from the last value, those of the day ahead, the same of
other loads, Prophet moved to the level of the last weeks, last value (beyond 6 h yesterday's), profile. Beyond:
profile, mean of eight days of the type, Prophet as near by; all three moved by the response to the weather that is
foretold. Near by the linear model, the trees that stand on it, the own trees of the day ahead and Prophet hear of the
weather.

A member that could not be fitted, or has no value at a lead, speaks with the voice of the first of its line; the trees
from the last value, which end after a day, with that of the two before them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from forecasting.boosted import Boosted, fit_boosted
from forecasting.day_ahead import DayAhead, fit_day_ahead, usual_day_ahead
from forecasting.day_types import DayTable, Ints, LocalClock, spaced_origins
from forecasting.forecast import Array
from forecasting.from_last_value import FromLastValue, fit_from_last_value
from forecasting.known import window_mean
from forecasting.load_prior import LoadPrior
from forecasting.measured import Measured
from forecasting.near_model import MIN_ORIGINS, NearModel, NearView, fit_near, near_leads, near_view, usual_model
from forecasting.outdoor import Outdoor
from forecasting.profile import TypeProfiles
from forecasting.prophet_demand import prophet_path
from forecasting.weather_response import WeatherResponse, fit_response
from forecasting.yardsticks import persistence, same_local_slot

T = TypeVar("T")

FIRST_ORIGIN_DAYS = 9
MOST_TARGETS = 400_000
"""Training origins times leads: beyond this the weights no longer change, only the time does."""
SHORTEST_SPACING_HOURS = 0.75
SPACING_HOURS = 3.25
"""Of origins that are only looked at: no divisor of a day, so that all hours of the day are origins."""
LAST_VALUE_HOURS = 6.0
LEVEL_DAYS = 14
"""Prophet is moved by its mean error over the last two weeks: a stiff trend does not follow the weather."""


@dataclass(frozen=True)
class Members:
    """Fitted members of one series."""

    clock: LocalClock
    days: DayTable
    near: NearModel
    boosted: Boosted | None
    from_last: FromLastValue | None
    day_ahead: DayAhead | None
    path: Measured
    """Prophet's course from two weeks before the end of its history on; empty where its fit failed."""
    response: WeatherResponse | None = None
    """None where no weather was foretold."""
    failures: tuple[str, ...] = ()
    """What could not be learned, and why; it stands in the method of each forecast."""

    @property
    def near_names(self) -> tuple[str, ...]:
        return ("linear", "trees") if self.boosted else ("linear",)

    @property
    def tail_names(self) -> tuple[str, ...]:
        return ("prophet", "profile") if len(self.path.values) else ("same-type-day mean",)

    def near_paths(self, past: Measured, view: NearView) -> Array:
        """(8, n, near leads) members in the order above; all origins of the view must be usable."""
        leads = near_leads(self.clock)
        linear = view.forecast(self.near)
        corrected = linear + (self.boosted.residual(view, linear, self.clock, self.days) if self.boosted else 0.0)
        targets = view.origins[:, None] + leads
        others = [
            *self._day_ahead(past, view, linear),
            self.path.at(targets) + self._level(past, view.origins)[:, None] + self._moved(view),
            self._simple(past, view.origins, leads),
            view.profile,
        ]
        return np.stack(
            [
                linear,
                corrected,
                self._from_last(past, view, (linear + corrected) / 2),
                *(np.where(np.isfinite(path), path, linear) for path in others),
            ]
        )

    def _from_last(self, past: Measured, view: NearView, otherwise: Array) -> Array:
        """(n, leads) the trees from the last value, and other values where they say nothing."""
        if self.from_last is None:
            return otherwise
        near = self.from_last.forecast(past, view.origins, view.profiles, self.clock, self.days)
        near = np.where(np.isfinite(near), near, otherwise[:, : near.shape[1]])
        return np.concatenate([near, otherwise[:, near.shape[1] :]], axis=1)

    def _simple(self, past: Measured, origins: Ints, leads: Ints) -> Array:
        """(n, leads) the last value for some hours, then yesterday's: each where it is hard to beat."""
        few = leads < self.clock.steps_in(LAST_VALUE_HOURS)
        yesterday = same_local_slot(past, origins, leads, self.clock, days=1)
        return np.where(few, persistence(past, origins, leads), yesterday)

    def _moved(self, view: NearView) -> Array | float:
        return self.response.at(view.degrees, view.basis) if self.response else 0.0

    def _day_ahead(self, past: Measured, view: NearView, otherwise: Array) -> Array:
        """(2, n, leads)"""
        if self.day_ahead is None:
            return np.stack([otherwise, otherwise])
        return self.day_ahead.forecast(past, view, self.clock, self.days)

    def tail_paths(self, past: Measured, origin: int, steps: Ints, outdoor: Outdoor | None = None) -> Array:
        """(3, n) members for `steps`, as known at `origin`."""
        origins = np.array([origin], dtype=np.int64)
        profiles = TypeProfiles.known_at(past, origin, self.clock, self.days)
        profile, longer = (
            profiles.at_steps(table, origins, steps - origin, self.clock, self.days)[0]
            for table in (profiles.table, profiles.longer)
        )
        prophet = self.path.at(steps) + self._level(past, origins)
        paths = np.stack([profile, longer, np.where(np.isfinite(prophet), prophet, profile)])
        if self.response and outdoor:
            paths += self.response.ahead(outdoor, origins, steps - origin, self.clock, self.days)[0]
        return paths

    def _level(self, past: Measured, origins: Ints) -> Array:
        """(n,) mean of measured minus Prophet over the two weeks before each origin; 0 where nothing was measured."""
        length = LEVEL_DAYS * self.clock.steps_per_day
        window = past.between(int(origins[0]) - length, int(origins[-1]))
        missed = window.values - self.path.at(window.steps)
        return np.nan_to_num(window_mean(missed, origins - window.first, length))


def fit_members(
    past: Measured, end: int, clock: LocalClock, days: DayTable, prior: LoadPrior, outdoor: Outdoor | None = None
) -> Members:
    """All members from `past`, for leads up to `end`, beginning with what is usual of loads.

    Raises:
        ValueError: too little history for the linear model, on which the others stand.
    """
    origins = _training_origins(past, clock)
    if len(origins) < MIN_ORIGINS:
        raise ValueError(f"{past.known / clock.steps_per_day:.1f} days of history are too few for the near model")
    view = near_view(past, origins, clock, days, outdoor)
    targets = past.at(view.origins[:, None] + near_leads(clock))
    near = fit_near(view, targets, clock, prior.weights)
    failures: list[str] = []

    def tried(name: str, fit: Callable[[], T]) -> T | None:
        try:
            return fit()
        except Exception as error:  # any failure of a fit or its child process: the others go on without it
            failures.append(f"{name} failed: {type(error).__name__}: {error}")
            return None

    boosted = tried("trees", lambda: fit_boosted(view, near, targets, clock, days))
    from_last = tried("trees from the last value", lambda: fit_from_last_value(past, clock, days))
    day_ahead = tried("day ahead", lambda: fit_day_ahead(past, view, targets, clock, days, prior.trees))
    path = tried("prophet", lambda: _prophet(past, end, clock, days)) or Measured(past.end, np.empty(0))
    response = tried("weather", lambda: fit_response(past, outdoor, clock, days)) if outdoor else None
    return Members(clock, days, near, boosted, from_last, day_ahead, path, response, tuple(failures))


def usual_members(past: Measured, clock: LocalClock, days: DayTable, prior: LoadPrior) -> Members:
    """Members of a load too new to be learned from: as loads usually are, in its own units.

    Raises:
        ValueError: no origin has measurements around it.
    """
    origins = np.arange(first_origin(past, clock), past.end, clock.steps_in(SPACING_HOURS), dtype=np.int64)
    view = near_view(past, origins, clock, days)
    view = view.of(view.usable)
    if not len(view.origins):
        raise ValueError("nothing was measured around any hour of the last days")
    targets = past.at(view.origins[:, None] + near_leads(clock))
    day_ahead = usual_day_ahead(view, targets, prior.trees)
    near, path = usual_model(prior.weights, clock), Measured(past.end, np.empty(0))
    new = f"{past.known / clock.steps_per_day:.1f} days of history: as loads usually are"
    return Members(clock, days, near, None, None, day_ahead, path, failures=(new,))


def _prophet(past: Measured, end: int, clock: LocalClock, days: DayTable) -> Measured:
    first = past.end - LEVEL_DAYS * clock.steps_per_day
    path = prophet_path(past, first, end, clock, days)
    if not np.all(np.isfinite(path)):
        raise RuntimeError("values are not finite")
    return Measured(first, path)


def first_origin(past: Measured, clock: LocalClock) -> int:
    """The first step from which a series can be forecast: a week of anomalies lies before it, each with a profile."""
    return past.first + FIRST_ORIGIN_DAYS * clock.steps_per_day


def _training_origins(past: Measured, clock: LocalClock) -> Ints:
    """Spaced so that every slot of the day is an origin in turn, and no more of them than teach something new; those of
    a short history lie closer, so that there are enough of them."""
    leads = len(near_leads(clock))
    first, last = first_origin(past, clock), past.end - leads
    usual = min(clock.steps_in(SHORTEST_SPACING_HOURS) or 1, max(1, (last - first) // (2 * MIN_ORIGINS)))
    spacing = max(usual, (last - first) * leads // MOST_TARGETS)
    return spaced_origins(first, last, spacing, clock)
