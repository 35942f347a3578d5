"""A plant under its own clear sky: what it would give without clouds, and which part of that it gives.

    E[o, t] = min(ρ[day(o), slot(t)]·G[t], limit)                                             (1)
    r[t]    = P[t] / E[t, t]                                                                  (2)

G is the clear-sky irradiance of the place (`sun.py`), 1 where the place is not known. ρ is a high quantile of P/G per
slot over the two weeks before a day: tilt, direction, haze and clipping are in it without parameters. r is the
clear-sky index of the plant. Days count from solar midnight and slots in UTC: the sun knows no summer time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from forecasting.day_types import Bools, Ints
from forecasting.forecast import Array
from forecasting.known import mean_of_known, quantile_of_known
from forecasting.measured import Measured

CLEAR_DAYS = 14
"""Window of ρ: 28 days lag behind the season, 0.3 to 8 % more error on six recorded plants."""
CLEAR_LEVEL = 0.9
"""Quantile of P/G that counts as a clear sky [-]."""
LOW_SUN = 0.05
"""Share of the strongest irradiance below which P/G is mostly noise: there ρ is that of the nearest slot above."""
LIT_SHARE = 0.02
"""Clear-sky power below this share of the limit says nothing about the sky [-]."""
DEAD_SHARE = 0.03
"""A day that gives less than this share of a clear one lay under snow or was off [-]: thick clouds leave 5 to 10 %."""
MOST_CLEAR = 1.3
"""Edges of clouds focus the light, but not beyond this [-]."""
WEEK_DAYS, MONTH_DAYS = 7, 28


@dataclass(frozen=True)
class PlantSky:
    """Power and irradiance of whole solar days; NaN where nothing was measured."""

    first: int
    """The first step; a solar midnight."""
    power_kw: Array
    """(days, slots)"""
    irradiance: Array
    """(days, slots)"""
    limit_kw: float

    @property
    def slots(self) -> int:
        return int(self.power_kw.shape[1])

    @cached_property
    def dead(self) -> Bools:
        """(days,) under snow or off."""
        rough = quantile_of_known(self._ratio.T, CLEAR_LEVEL)
        given = np.nansum(self.power_kw, axis=1)
        clear = np.nansum(np.where(np.isfinite(self.power_kw), rough * self.irradiance, 0.0), axis=1)
        return np.asarray(given < DEAD_SHARE * clear)

    @cached_property
    def _ratio(self) -> Array:
        high = self.irradiance >= LOW_SUN * self.irradiance.max(initial=0.0)
        return np.where(high, self.power_kw / np.where(high, self.irradiance, 1.0), np.nan)

    @cached_property
    def answer(self) -> Array:
        """(days + 1, slots) ρ as known before each day."""
        usable = np.where(self.dead[:, None], np.nan, self._ratio)
        rho = quantile_of_known(_windows(usable, CLEAR_DAYS), CLEAR_LEVEL)
        return np.stack([_nearest_filled(row) for row in rho])

    def clear_kw(self, days: Ints, steps: Ints, irradiance: Array) -> Array:
        """E of (1) as known before `days` for `steps` with their irradiance; they broadcast."""
        slots = (steps - self.first) % self.slots
        clear: Array = np.minimum(self.answer[days, slots] * irradiance, self.limit_kw)
        return np.where(irradiance > 0, np.nan_to_num(clear), 0.0)

    @cached_property
    def own_clear_kw(self) -> Array:
        """(days · slots,) E[t, t]."""
        steps = self.first + np.arange(self.power_kw.size, dtype=np.int64)
        return self.clear_kw((steps - self.first) // self.slots, steps, self.irradiance.ravel())

    @cached_property
    def lit(self) -> Bools:
        """(days · slots,) measured under a sun that says something."""
        return (self.own_clear_kw > LIT_SHARE * self.limit_kw) & np.isfinite(self.power_kw.ravel())

    @cached_property
    def index(self) -> Array:
        """(days, slots) r of (2), NaN in the dark and on dead days."""
        clear = np.where(self.lit, self.own_clear_kw, 1.0)
        r = np.where(self.lit, np.minimum(self.power_kw.ravel() / clear, MOST_CLEAR), np.nan)
        return np.where(self.dead[:, None], np.nan, r.reshape(self.power_kw.shape))

    def recent_index(self, origin: int, steps: int) -> float:
        """Index over the last lit steps before the origin; NaN where there was no light at all."""
        return float(_Light(self).last(np.array([origin - self.first], dtype=np.int64), steps)[0])

    @cached_property
    def usual(self) -> tuple[Array, Array, Array]:
        """(days + 1, slots) each: mean of the last week, mean and median of the last four, as known before each day."""
        month = _windows(self.index, MONTH_DAYS)
        return mean_of_known(month[..., -WEEK_DAYS:]), mean_of_known(month), quantile_of_known(month, 0.5)


def plant_sky(past: Measured, sun: Measured | None, slots: int, limit_kw: float) -> PlantSky:
    """The past from its first solar midnight on; the last day is filled up with NaN."""
    midnight = solar_midnight(past if sun is None else sun, slots)
    first = past.first + (midnight - past.first) % slots
    days = max(0, -(-(past.end - first) // slots))
    steps = np.arange(first, first + days * slots, dtype=np.int64)
    irradiance = np.ones(len(steps)) if sun is None else np.nan_to_num(sun.at(steps))
    return PlantSky(first, past.at(steps).reshape(-1, slots), irradiance.reshape(-1, slots), limit_kw)


def solar_midnight(bright: Measured, slots: int) -> int:
    """Slot opposite to the middle of the light (its mean on the circle of the day)."""
    angle = 2 * np.pi * (bright.steps % slots) / slots
    noon = float(np.angle(np.nansum(bright.values * np.exp(1j * angle))))
    return round(noon / (2 * np.pi) * slots + slots / 2) % slots


@dataclass(frozen=True)
class Seen:
    """What is known of the sky at origins for targets: see `FEATURES`."""

    features: Array
    """(n, features)"""
    clear_kw: Array
    """(n,) E of the targets."""


FEATURES = (
    "one",
    "last half hour",
    "half hour before it",
    "last three hours",
    "last ten hours",
    "slot on the last day",
    "slot in the last week",
    "slot in the last four weeks",
    "median of the slot in the last four weeks",
    "what is usual now",
)


def seen(sky: PlantSky, origins: Ints, targets: Ints, irradiance: Array) -> Seen:
    """(n,) pairs of an origin and a target step; nothing from an origin on is used for it.

    Hours are hours of light: in the night the last ones are yesterday's.
    """
    hour = max(1, sky.slots // 24)
    at, to = origins - sky.first, targets - sky.first
    days, slots = at // sky.slots, to % sky.slots
    light = _Light(sky)
    week, month, median = (table[days, slots] for table in sky.usual)
    now = light.last(at, max(1, hour // 2))
    columns = [
        np.ones(len(at)),
        now,
        light.last(at, max(1, hour // 2), skipped=max(1, hour // 2)),
        light.last(at, 3 * hour),
        light.last(at, 10 * hour),
        light.around(_days_back(to, at, hour, sky.slots), hour),
        week,
        month,
        median,
        sky.usual[1][days, light.last_slot(at)],
    ]
    usual = np.where(np.isfinite(month), month, now)
    filled = [np.where(np.isfinite(column), column, np.nan_to_num(usual, nan=0.5)) for column in columns]
    return Seen(np.stack(filled, axis=1), sky.clear_kw(days, targets, irradiance))


def _days_back(to: Ints, at: Ints, reach: int, slots: int) -> Ints:
    """The target's slot on the last day on which it and `reach` steps around it were over."""
    return to - slots * -(-(to + reach - at + 1) // slots)


class _Light:
    """Sums over lit steps of a plant's record."""

    def __init__(self, sky: PlantSky) -> None:
        self._sky = sky
        power, clear = sky.power_kw.ravel()[sky.lit], sky.own_clear_kw[sky.lit]
        self._places = np.flatnonzero(sky.lit)
        self._power, self._clear = _sums(power), _sums(clear)
        self._count = _sums(sky.lit.astype(np.float64)).astype(np.int64)
        alive = sky.lit & ~np.repeat(sky.dead, sky.slots)
        self._alive = tuple(_sums(np.where(alive, v, 0.0)) for v in (sky.power_kw.ravel(), sky.own_clear_kw))

    def last(self, at: Ints, steps: int, skipped: int = 0) -> Array:
        """Index over the last lit steps before each place."""
        until = np.maximum(self._count[np.clip(at, 0, len(self._count) - 1)] - skipped, 0)
        since = np.maximum(until - steps, 0)
        return _ratio(self._power[until] - self._power[since], self._clear[until] - self._clear[since])

    def around(self, places: Ints, reach: int) -> Array:
        """Index over the steps around each place; dead days say nothing."""
        size = len(self._alive[0]) - 1
        low, high = np.clip(places - reach, 0, size), np.clip(places + reach + 1, 0, size)
        power, clear = (sums[high] - sums[low] for sums in self._alive)
        return _ratio(power, clear)

    def last_slot(self, at: Ints) -> Ints:
        """Slot of the last lit step before each place; 0 where there is none."""
        number = self._count[np.clip(at, 0, len(self._count) - 1)] - 1
        if not len(self._places):
            return np.zeros(len(at), dtype=np.int64)
        return np.asarray(self._places[np.maximum(number, 0)] % self._sky.slots)


def _sums(values: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])


def _ratio(power: Array, clear: Array) -> Array:
    known = clear > 0
    return np.where(known, np.minimum(power / np.where(known, clear, 1.0), MOST_CLEAR), np.nan)


def _windows(table: Array, days: int) -> Array:
    """(days + 1, slots, `days`) rows before each day and before the day after the last, NaN where there is none."""
    padded = np.vstack([np.full((days, table.shape[1]), np.nan), table])
    return sliding_window_view(padded, days, axis=0)


def _nearest_filled(row: Array) -> Array:
    """Unknown slots between and beyond the known ones by a straight line or the nearest."""
    known = np.flatnonzero(np.isfinite(row))
    return np.interp(np.arange(len(row)), known, row[known]) if len(known) else row
