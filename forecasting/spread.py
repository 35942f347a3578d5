"""How wrong a forecast may be: quantiles of its own recent errors (conformal in style)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from forecasting.day_types import Ints
from forecasting.forecast import LEVELS, MIDDLE, Array
from forecasting.known import window_mean
from forecasting.measured import Measured

FEWEST_ERRORS = 20
"""With fewer errors than this a quantile says nothing."""

MEMORY_HOURS = (1.0, 2.0, 4.0)
"""Distances at which errors are compared."""
LEAST_ALIKE = 0.05
"""Correlations below this say no more than that there is none."""
SHORTEST_MEMORY_HOURS, LONGEST_MEMORY_HOURS = 0.25, 48.0

SWING_DAYS = 7
SWING_POWER = 0.8
"""Errors grow with how much the load changes, but slower, and a quiet week says less than a restless one."""
SWING_LIMITS = (0.7, 4.0)


@dataclass(frozen=True)
class Swing:
    """How restless a series is just now, against what it was while its errors were collected.

    Errors divided by this are alike over weeks that are not, and their quantiles times this fit the week of the issue:
    a heating season that begins, or a plant that comes to rest (locally weighted conformal prediction, Lei et al. 2018,
    section 5.2).
    """

    usual: float
    """Median over the errors' origins of the mean absolute change from the day before, over a week; 0 when unknown."""

    @classmethod
    def over(cls, past: Measured, origins: Ints, steps_per_day: int) -> Swing:
        """As it was at (n,) ascending origins."""
        changes = _changes(past, origins, steps_per_day)
        known = changes[np.isfinite(changes)]
        return cls(float(np.median(known)) if len(known) else 0.0)

    def at(self, past: Measured, origins: Ints, steps_per_day: int) -> Array:
        """(n,) factors on errors at ascending origins, from what was measured before them; 1 is as usual."""
        if self.usual == 0.0:
            return np.ones(len(origins))
        relative = np.nan_to_num(_changes(past, origins, steps_per_day) / self.usual, nan=1.0)
        factors: Array = np.clip(relative, *SWING_LIMITS) ** SWING_POWER
        return factors


def _changes(past: Measured, origins: Ints, steps_per_day: int) -> Array:
    """(n,) mean absolute change from the day before, over the week before each of ascending origins; NaN: unknown."""
    week = SWING_DAYS * steps_per_day
    window = past.between(int(origins[0]) - week, int(origins[-1]))
    change = np.abs(window.values - past.at(window.steps - steps_per_day))
    return window_mean(change, origins - window.first, week)


def error_quantiles(errors: Array, independent: float = np.inf) -> Array:
    """(levels, m) quantiles of (n, m) errors (measured minus forecast) down each column; the middle one is 0 by choice.

    The median path is the model's own; only its distance to the outer levels comes from the errors. Columns with too
    few errors take the quantiles of all errors together. Where only so many of the errors are `independent`, the levels
    are moved outwards by 1 in that number, as split conformal prediction asks: (n + 1)/n of the rank (Lei, G'Sell,
    Rinaldo, Tibshirani and Wasserman, "Distribution-free predictive inference for regression", JASA 113, 2018).
    """
    known = np.isfinite(errors)
    enough = known.sum(axis=0) >= FEWEST_ERRORS
    filled = errors if enough.all() else np.where(enough, errors, _pooled(errors[known], errors.shape))
    levels = np.clip(0.5 + (np.array(LEVELS) - 0.5) * (1 + 1 / independent), 0.0, 1.0)
    quantiles = np.nanquantile(filled, levels, axis=0)
    quantiles[:MIDDLE] = np.minimum(quantiles[:MIDDLE], 0.0)
    quantiles[MIDDLE] = 0.0
    quantiles[MIDDLE + 1 :] = np.maximum(quantiles[MIDDLE + 1 :], 0.0)
    return np.asarray(quantiles, dtype=float)


def memory_hours(errors: Array, step_hours: float) -> float | None:
    """How long errors (origins, leads) stay alike [h]: τ of exp(-h/τ) through the correlations of the errors' normal
    scores, h apart; None where there are too few errors, or leads, to say.

    The scores are those of each lead by itself, so that errors which grow with the lead are no memory (Pinson et al.
    2009, section 3.2).
    """
    known = errors[np.isfinite(errors).all(axis=1)]
    if len(known) < FEWEST_ERRORS:
        return None
    ranks = np.argsort(np.argsort(known, axis=0, kind="stable"), axis=0, kind="stable")
    scores = norm.ppf((ranks + 0.5) / len(known))
    steps = [k for hours in MEMORY_HOURS if 0 < (k := round(hours / step_hours)) < scores.shape[1]]
    alike = np.array([np.mean(scores[:, :-k] * scores[:, k:]) / np.mean(scores**2) for k in steps])
    telling = alike > LEAST_ALIKE
    if not telling.any():
        return SHORTEST_MEMORY_HOURS if steps else None
    apart = step_hours * np.array(steps)[telling]
    fall = -np.log(np.minimum(alike[telling], 1.0 - 1e-9))
    return float(np.clip(np.sum(apart**2) / np.sum(apart * fall), SHORTEST_MEMORY_HOURS, LONGEST_MEMORY_HOURS))


def yardstick_errors(past: Measured, steps_per_day: int) -> Array:
    """(levels,) quantiles of the change from one day to the next: the spread of a yardstick that stands in."""
    values = past.values
    change = values[steps_per_day:] - values[:-steps_per_day] if len(values) > steps_per_day else np.empty(0)
    change = change[np.isfinite(change)]
    if len(change) < FEWEST_ERRORS:
        known = values[np.isfinite(values)]
        change = known - np.median(known) if len(known) else np.zeros(1)
    return error_quantiles(change[:, None])[:, 0]


def around(median: Array, errors: Array, lowest: float, highest: float) -> dict[float, Array]:
    """By level: the median path plus the error quantiles ((levels,) or (levels, n)), within limits, never crossing."""
    spread = errors[:, None] if errors.ndim == 1 else errors
    paths = np.sort(np.clip(median[None, :] + spread, lowest, highest), axis=0)
    return {level: paths[i] for i, level in enumerate(LEVELS)}


def _pooled(errors: Array, shape: tuple[int, ...]) -> Array:
    """All errors' own quantiles, laid out so that every column of `shape` has them."""
    pool = errors if len(errors) else np.zeros(1)
    return np.broadcast_to(np.quantile(pool, np.linspace(0, 1, shape[0]))[:, None], shape)
