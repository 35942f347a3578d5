"""How good forecasts were. All scores take arrays of equal shape and look only at places where both hold a value.

An error is forecast minus measured: a positive bias forecasts too much. Where nothing can be said the score is NaN.
Accuracies as Chinese grid rules state them: RULES 9, worked example TV-31.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from forecasting.day_types import Ints
from forecasting.forecast import Array


class Mape(NamedTuple):
    """Mean absolute error relative to the measured value, over values that are not 0."""

    percent: float
    n: int


def mae(actual: Array, forecast: Array) -> float:
    """Mean absolute error [unit of the series]."""
    return _mean(np.abs(forecast - actual))


def rmse(actual: Array, forecast: Array) -> float:
    """Root of the mean squared error [unit of the series]."""
    return float(np.sqrt(_mean((forecast - actual) ** 2)))


def bias(actual: Array, forecast: Array) -> float:
    """Mean error, forecast minus measured [unit of the series]."""
    return _mean(forecast - actual)


def mase(actual: Array, forecast: Array, scale: float) -> float:
    """Mean absolute scaled error [-]; `scale` is the in-sample error of a seasonal naive (Hyndman and Koehler 2006)."""
    return mae(actual, forecast) / scale if scale > 0 else np.nan


def mape(actual: Array, forecast: Array) -> Mape:
    """Mean absolute percentage error, with the number of values it is over."""
    used = np.isfinite(actual) & np.isfinite(forecast) & (actual != 0)
    share = np.abs(forecast[used] - actual[used]) / np.abs(actual[used])
    return Mape(100 * _mean(share), int(used.sum()))


def pinball(actual: Array, quantiles: Mapping[float, Array]) -> float:
    """Mean quantile loss over all levels [unit of the series]; half the MAE for the median alone."""
    losses = [np.maximum(level * (actual - path), (level - 1) * (actual - path)) for level, path in quantiles.items()]
    return _mean(np.stack(losses))


def coverage(actual: Array, low: Array, high: Array) -> float:
    """Share of measured values inside the band, its edges included [-]."""
    known = np.isfinite(actual) & np.isfinite(low) & np.isfinite(high)
    return _mean(((low <= actual) & (actual <= high))[known].astype(float))


def seasonal_mae(values: Array, cycle: int) -> float:
    """In-sample error of "the same slot one cycle before": the scale of MASE; NaN when the history has no cycle."""
    return _mean(np.abs(values[cycle:] - values[:-cycle])) if len(values) > cycle else np.nan


def day_peaks(actual: Array, forecast: Array, steps_per_day: int) -> tuple[Array, Array]:
    """(k,) measured and forecast highest value of each 24 h that (n, m) forecasts cover, where all is measured."""
    count = actual.shape[1] // steps_per_day
    whole = [values[:, : count * steps_per_day].reshape(-1, steps_per_day) for values in (actual, forecast)]
    known = np.isfinite(whole[0]).all(axis=1) & np.isfinite(whole[1]).all(axis=1)
    return (
        np.max(whole[0][known], axis=1, initial=-np.inf),
        np.max(whole[1][known], axis=1, initial=-np.inf),
    )


def energy_by_group(actual: Array, forecast: Array, groups: Ints, group: int, hours: float) -> tuple[Array, Array]:
    """(k,) measured and forecast energy of each of n forecasts in one group of intervals, e.g. a tariff band [kWh].

    `groups` is (n, m) as the (n, m) powers [kW]; intervals without a measured value count in neither. Forecasts
    without any such interval are left out.
    """
    used = (groups == group) & np.isfinite(actual) & np.isfinite(forecast)
    some = used.any(axis=1)
    sums = [np.where(used, values, 0.0).sum(axis=1)[some] * hours for values in (actual, forecast)]
    return sums[0], sums[1]


def accuracy_by_capacity(actual: Array, forecast: Array, capacity: Array) -> float:
    """`1 - sqrt(mean(((a-f)/C)^2))` with C the capacity on line in each interval (RULES 9) [-]."""
    return 1 - float(np.sqrt(_mean(((actual - forecast) / capacity) ** 2)))


def mae_accuracy_by_capacity(actual: Array, forecast: Array, capacity: Array) -> float:
    """`1 - mean(|a-f|/C)` (RULES 9) [-]."""
    return 1 - _mean(np.abs(actual - forecast) / capacity)


def harmonic_accuracy(actual: Array, forecast: Array) -> float:
    """`1 - 2·Σ|a/(a+f) - 0.5|·|a-f| / Σ|a-f|`, as some regions use it (RULES 9) [-]; 1 for a perfect forecast."""
    used = np.isfinite(actual) & np.isfinite(forecast) & (actual + forecast != 0)
    a, f = actual[used], forecast[used]
    missed = float(np.abs(a - f).sum())
    if missed == 0:
        return 1.0 if used.any() else np.nan
    return 1 - 2 * float((np.abs(a / (a + f) - 0.5) * np.abs(a - f)).sum()) / missed


def relative_accuracy(actual: Array, forecast: Array) -> float:
    """`1 - sqrt(mean(((a-f)/a)^2))` over values that are not 0, for loads (RULES 9) [-]."""
    used = actual != 0
    return 1 - float(np.sqrt(_mean(((actual[used] - forecast[used]) / actual[used]) ** 2)))


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan
