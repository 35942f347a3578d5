"""Weights and errors of the PV forecast, and the pairs of origin and target that they are learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from forecasting.clear_sky import FEATURES, LIT_SHARE, MOST_CLEAR, PlantSky, plant_sky, seen
from forecasting.day_types import Bools, Ints, LocalClock
from forecasting.forecast import LEVELS, Array
from forecasting.measured import Measured
from forecasting.published import Published
from forecasting.weight_sets import Rows, WeightSets, fit_sets, lead_shares

NODE_HOURS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Leads within the day with weights of their own [h]."""
TOMORROW, LATER = len(NODE_HOURS), len(NODE_HOURS) + 1
SETS = len(NODE_HOURS) + 2
ORIGIN_EVERY_HOURS = 1.25
"""Spacing of training origins [h]: at 15 min, 5 steps, so that every slot of the day is an origin in turn."""
FADE_HOURS = 4.0
ASSUMED_ERRORS = 0.25
"""Standard deviation of r assumed then [-]."""
BINS = 6
LOW_IRRADIANCE = 50.0
"""Below this the quotient of foreseen and clear irradiance is mostly noise [W/m²]."""
IRRADIANCE, CLOUD = "weather.ghi_w_per_m2", "weather.cloud_pct"


@dataclass(frozen=True)
class Plant:
    """A plant, as the fit found it."""

    clock: LocalClock
    sun: Measured | None
    """Clear-sky irradiance over the fit's span; None where the place is not known."""
    most_kw: float
    """The most it ever gave: a clipping inverter's limit."""

    def sky(self, past: Measured) -> PlantSky:
        return plant_sky(past, self.sun, self.clock.steps_per_day, self.most_kw)

    def irradiance(self, steps: Ints) -> Array:
        return np.ones(len(steps)) if self.sun is None else np.nan_to_num(self.sun.at(steps))

    def shares(self, origins: Ints, targets: Ints, midnight: int) -> Array:
        """(n, sets) part that each set of weights has in each pair."""
        day = self.clock.steps_per_day
        nights = (targets - midnight) // day - (origins - midnight) // day
        hours = (targets - origins) * self.clock.step_minutes / 60
        shares = np.zeros((len(origins), SETS))
        shares[:, :TOMORROW] = np.where(nights[:, None] == 0, lead_shares(hours, NODE_HOURS), 0.0)
        shares[:, TOMORROW] = nights == 1
        shares[:, LATER] = nights > 1
        return shares


def bounded(index: Array) -> Array:
    return np.clip(index, 0.0, MOST_CLEAR)


def index_quantiles(sets: WeightSets, features: Array, shares: Array) -> Array:
    """(levels, n) r̂ with its errors."""
    expected = bounded(sets.expected(features, shares))
    return np.sort(bounded(expected + sets.errors_at(expected, shares)), axis=0)


@dataclass(frozen=True)
class Pairs:
    """Origins and targets of the past, where the sky was lit and known."""

    features: Array
    """(n, features)"""
    foreseen: Array
    """(n,) index that a weather forecast issued before the origin says; NaN where none was."""
    shares: Array
    """(n, sets)"""
    index: Array
    """(n,) r of the targets, on E as known at the origin."""
    clear_kw: Array
    """(n,) that E."""

    @property
    def foreseen_count(self) -> int:
        return int(np.isfinite(self.foreseen).sum())

    @property
    def informed_features(self) -> Array:
        return np.column_stack([self.features, self.foreseen])


def training_pairs(past: Measured, plant: Plant, weather: str | None, published: Published) -> Pairs:
    """Pairs of origins all over the past with a target at each node, and some of tomorrow and the days after."""
    clock, day, sky = plant.clock, plant.clock.steps_per_day, plant.sky(past)
    every = max(1, clock.steps_in(ORIGIN_EVERY_HOURS))
    origins = np.arange(sky.first + day, past.end, every, dtype=np.int64)
    near = [(origins, np.full(len(origins), clock.steps_in(hours))) for hours in NODE_HOURS]
    far = [(origins[k::6], np.full(len(origins[k::6]), (k + 1) * day // 3 + k * every)) for k in range(6)]
    starts, leads = (np.concatenate(parts) for parts in zip(*near, *far, strict=True))
    targets = starts + leads
    inside = targets < past.end
    starts, targets = starts[inside], targets[inside]
    view = seen(sky, starts, targets, plant.irradiance(targets))
    actual = past.at(targets)
    alive = ~sky.dead[(targets - sky.first) // day]
    usable = np.isfinite(actual) & alive & (view.clear_kw > LIT_SHARE * plant.most_kw)
    starts, targets, clear = starts[usable], targets[usable], view.clear_kw[usable]
    foreseen = foreseen_index(plant, weather, published, targets, starts * clock.step_minutes * 60)
    index = np.minimum(actual[usable] / clear, MOST_CLEAR)
    return Pairs(view.features[usable], foreseen, plant.shares(starts, targets, sky.first), index, clear)


def foreseen_index(
    plant: Plant, weather: str | None, published: Published, targets: Ints, before_s: Ints | int
) -> Array:
    """(n,) clear-sky index that the weather forecast issued last before some moments says of the targets; else NaN."""
    if weather is None:
        return np.full(len(targets), np.nan)
    announced = published.of_series(weather)
    value = announced.at(targets, before_s)
    if weather == CLOUD:
        return 1 - value / 100
    begin = targets // announced.held * announced.held
    clear = np.mean([plant.irradiance(begin + k) for k in range(announced.held)], axis=0)
    high = clear > LOW_IRRADIANCE
    return np.where(high, np.minimum(value / np.where(high, clear, 1.0), MOST_CLEAR), np.nan)


def fit_pv(features: Array, pairs: Pairs) -> WeightSets:
    """Weights and errors of each set from the pairs whose features are known."""
    known = np.isfinite(features).all(axis=1)
    rows = [_rows(features, pairs, known & (pairs.shares[:, number] == 1.0)) for number in range(SETS)]
    assumed = [_assumed_weights(number, features.shape[1]) for number in range(SETS)]
    return fit_sets(rows, assumed, ASSUMED_ERRORS * np.asarray(norm.ppf(LEVELS)), BINS, bounded)


def _rows(features: Array, pairs: Pairs, chosen: Bools) -> Rows:
    """Errors count as in kW: an index matters as much as there is sun."""
    clear = pairs.clear_kw[chosen]
    return Rows(features[chosen], pairs.index[chosen], clear / clear.mean() if len(clear) else clear)


def _assumed_weights(number: int, count: int) -> Array:
    """Persistence that fades to the mean of the last four weeks."""
    weights = np.zeros(count)
    now = np.exp(-NODE_HOURS[number] / FADE_HOURS) if number < TOMORROW else 0.0
    weights[FEATURES.index("last half hour")] = now
    weights[FEATURES.index("slot in the last four weeks")] = 1 - now
    return weights
