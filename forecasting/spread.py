"""How wrong a forecast may be: quantiles of its own recent errors (conformal in style)."""

from __future__ import annotations

import numpy as np

from forecasting.forecast import LEVELS, Array
from forecasting.measured import Measured

FEWEST_ERRORS = 20
"""With fewer errors than this a quantile says nothing."""


def error_quantiles(errors: Array) -> Array:
    """(3, m) quantiles of (n, m) errors (measured minus forecast) down each column; the middle one is 0 by choice.

    The median path is the model's own; only its distance to the outer levels comes from the errors. Columns with too
    few errors take the quantiles of all errors together.
    """
    known = np.isfinite(errors)
    low, _, high = LEVELS
    filled = np.where(known.sum(axis=0) >= FEWEST_ERRORS, errors, _pooled(errors[known], errors.shape))
    outer = np.nanquantile(filled, [low, high], axis=0)
    return np.stack([np.minimum(outer[0], 0.0), np.zeros(errors.shape[1]), np.maximum(outer[1], 0.0)])


def yardstick_errors(past: Measured, steps_per_day: int) -> Array:
    """(3,) quantiles of the change from one day to the next: the spread of a yardstick that stands in."""
    values = past.values
    change = values[steps_per_day:] - values[:-steps_per_day] if len(values) > steps_per_day else np.empty(0)
    change = change[np.isfinite(change)]
    if len(change) < FEWEST_ERRORS:
        known = values[np.isfinite(values)]
        change = known - np.median(known) if len(known) else np.zeros(1)
    return error_quantiles(change[:, None])[:, 0]


def around(median: Array, errors: Array, lowest: float, highest: float) -> dict[float, Array]:
    """By level: the median path plus the error quantiles ((3,) or (3, n)), within physical limits, never crossing."""
    spread = errors[:, None] if errors.ndim == 1 else errors
    paths = np.sort(np.clip(median[None, :] + spread, lowest, highest), axis=0)
    return {level: paths[i] for i, level in enumerate(LEVELS)}


def _pooled(errors: Array, shape: tuple[int, ...]) -> Array:
    """All errors' own quantiles, laid out so that every column of `shape` has them."""
    pool = errors if len(errors) else np.zeros(1)
    return np.broadcast_to(np.quantile(pool, np.linspace(0, 1, shape[0]))[:, None], shape)
