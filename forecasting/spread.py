"""How wrong a forecast may be: quantiles of its own recent errors (conformal in style)."""

from __future__ import annotations

import numpy as np

from forecasting.forecast import LEVELS, MIDDLE, Array
from forecasting.measured import Measured

FEWEST_ERRORS = 20
"""With fewer errors than this a quantile says nothing."""


def error_quantiles(errors: Array, independent: float = np.inf) -> Array:
    """(levels, m) quantiles of (n, m) errors (measured minus forecast) down each column; the middle one is 0 by choice.

    The median path is the model's own; only its distance to the outer levels comes from the errors. Columns with too
    few errors take the quantiles of all errors together. Where only so many of the errors are `independent`, the levels
    are moved outwards by 1 in that number, as split conformal prediction asks: (n + 1)/n of the rank (Lei, G'Sell,
    Rinaldo, Tibshirani and Wasserman, "Distribution-free predictive inference for regression", JASA 113, 2018).
    """
    known = np.isfinite(errors)
    filled = np.where(known.sum(axis=0) >= FEWEST_ERRORS, errors, _pooled(errors[known], errors.shape))
    levels = np.clip(0.5 + (np.array(LEVELS) - 0.5) * (1 + 1 / independent), 0.0, 1.0)
    quantiles = np.nanquantile(filled, levels, axis=0)
    quantiles[:MIDDLE] = np.minimum(quantiles[:MIDDLE], 0.0)
    quantiles[MIDDLE] = 0.0
    quantiles[MIDDLE + 1 :] = np.maximum(quantiles[MIDDLE + 1 :], 0.0)
    return np.asarray(quantiles, dtype=float)


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
