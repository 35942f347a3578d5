"""What weather forecasts say of a demand: degrees to be heated or cooled, beyond those of the days it is compared with.

    x[o, h] = g(T[o+h]) - mean over the days of the profile of g(T)                             (1)
    g = (max(0, 15 °C - T), max(0, T - 18 °C), and both of the mean T of the last 24 h)         (2)

T ahead of an origin is the forecast that was issued last before it; T of the past the one that was issued last before
each step began. So no thermometer is needed, and one that hangs in the sun misleads nobody. Where nothing was foretold
x is 0: nothing is known that the days before did not have.

Source: ASHRAE Guideline 14-2014, annex D (change-point models of heating and cooling, in degrees beyond a balance
point); the 24 h for what the walls remember.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.known import window_mean
from forecasting.measured import Measured
from forecasting.profile import TypeProfiles
from forecasting.published import Announced, Published
from forecasting.weather import TEMPERATURE

HEATING_BELOW_C, COOLING_ABOVE_C = 15.0, 18.0
COLDEST_C, HOTTEST_C = -60.0, 60.0
"""What lies outside was not said of the air [°C]."""
DEGREES = 4
"""Values of (2)."""
FEWEST_DAYS = 14.0
"""Below so many days with a forecast a model does not listen [days]."""
LONGEST_GAP_HOURS = 6.0
"""Between two forecasts, bridged by a straight line [h]."""


@dataclass(frozen=True)
class Outdoor:
    """Temperatures as they were foretold."""

    clock: LocalClock
    past: Measured
    """The forecast issued last before each step began [°C]."""
    announced: Announced = field(default_factory=Announced.nothing)

    @classmethod
    def of(cls, published: Published, clock: LocalClock, first: int, end: int) -> Outdoor:
        """What was announced for the steps `first` to `end - 1`, and of those to come."""
        nothing = cls(clock, Measured(first, np.empty(0)))
        told = nothing.told(published)
        return replace(told, past=told.past.between(first, end))

    def told(self, published: Published) -> Outdoor:
        """Knowing what was announced since."""
        announced = published.of_series(TEMPERATURE)
        if not len(announced.keys):
            return replace(self, announced=announced)
        steps = np.arange(self.past.end, announced.last_step + 1, dtype=np.int64)
        newer = Measured(self.past.end, _of_air(announced.at(steps, self._starts_s(steps))))
        past = self.past.overlaid(newer.bridged(self.clock.steps_in(LONGEST_GAP_HOURS)), newer.end)
        return replace(self, past=past, announced=announced)

    def kept(self, days: int) -> Outdoor:
        """Only the last days of the past: what an issue needs."""
        first = max(self.past.first, self.past.end - days * self.clock.steps_per_day)
        return Outdoor(self.clock, self.past.between(first, self.past.end))

    @property
    def first_foretold(self) -> int:
        """The first step of which something was foretold; the end where nothing was."""
        known = np.flatnonzero(np.isfinite(self.past.values))
        return self.past.first + int(known[0]) if len(known) else self.past.end

    def known_days(self, end: int) -> float:
        """Days before `end` of which something was foretold."""
        return self.past.between(self.past.first, end).known / self.clock.steps_per_day

    def degrees(self, origins: Ints, leads: Ints, days: DayTable) -> Array:
        """(n, m, 4) (1) for ascending origins, only by what was issued before each of them."""
        clock, day = self.clock, self.clock.steps_per_day
        past = self.past.between(self.past.first, int(origins[-1]))
        ahead = np.arange(int(leads[-1]) + 1, dtype=np.int64)
        foretold = _of_air(self.announced.at(origins[:, None] + ahead, self._starts_s(origins)[:, None]))
        course = np.concatenate([past.at(origins[:, None] + np.arange(-day, 0)), foretold], axis=1)
        of_the_day = window_mean(past.values, np.arange(1, len(past.values) + 1), day)
        compared = [past, Measured(past.first, np.where(np.isfinite(past.values), of_the_day, np.nan))]
        known_on = np.unique(clock.days_and_slots(origins)[0])
        beyond = []
        for to_come, been in zip((course[:, day + leads], _day_means(course, day)[:, leads]), compared, strict=True):
            for sign, balance in ((-1.0, HEATING_BELOW_C), (1.0, COOLING_ABOVE_C)):
                usual = TypeProfiles.of(_over(been, sign, balance), clock, days, known_on)
                by_then = usual.at_steps(usual.table, origins, leads, clock, days)
                beyond.append(np.nan_to_num(np.maximum(0.0, sign * (to_come - balance)) - by_then))
        return np.stack(beyond, axis=2)

    def _starts_s(self, steps: Ints) -> Ints:
        """Seconds since 1970 at which each step begins."""
        return steps * (self.clock.step_minutes * 60)


def _of_air(values: Array) -> Array:
    return np.where((values >= COLDEST_C) & (values <= HOTTEST_C), values, np.nan)


def _over(temperature: Measured, sign: float, balance: float) -> Measured:
    return Measured(temperature.first, np.maximum(0.0, sign * (temperature.values - balance)))


def _day_means(course: Array, day: int) -> Array:
    """(n, m) means of what is known of the day that ends with each step of `course` after its first day; NaN where the
    step itself is not known."""
    known = np.isfinite(course)
    sums, counts = (
        np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1) for values in (np.where(known, course, 0.0), known)
    )
    inside = np.maximum(counts[:, day + 1 :] - counts[:, 1:-day], 1)
    return np.where(known[:, day:], (sums[:, day + 1 :] - sums[:, 1:-day]) / inside, np.nan)
