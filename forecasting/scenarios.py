"""Scenarios: courses that uncertain series may take, drawn from the quantiles of their forecasts.

    z[0] = e[0],  z[t] = r·z[t-1] + √(1-r²)·e[t],   r = exp(-Δt/τ),   e ~ N(0, 1)     (1)
    y[t] = Q_t(Φ(z[t]))                                                               (2)

A Gaussian copula whose correlation falls exponentially with the time between (Pinson, Madsen, Nielsen, Papaefthymiou
and Klöckl, "From probabilistic forecasts to statistical scenarios of short-term wind power production", Wind Energy 12,
2009, sections 3 and 4; Δt is a step, τ the `correlation_hours`). Q_t∘Φ is linear in z between the known levels and goes
on with the outermost slope: a normal distribution with a half of its own on each side of the median.

Draws come in pairs z and -z (antithetic variates): where the quantiles are symmetric the mean over any number of pairs
is the median path to the last digit, however few they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import norm

from forecasting.forecast import Array, Forecast


@dataclass(frozen=True)
class Group:
    """Series that are high and low together; groups know nothing of one another."""

    series: tuple[str, ...]
    correlation_hours: float
    """τ of (1) [h]: time after which the correlation has fallen to 1/e; infinite for one z over the whole time."""


def scenarios(
    forecasts: Mapping[str, Forecast], groups: Sequence[Group], pairs: int, rng: np.random.Generator
) -> tuple[dict[str, pd.Series], ...]:
    """`2·pairs` courses of the series named in the groups, by name, on the index of their forecasts.

    Raises:
        KeyError: a group names a series that is not forecast.
    """
    drawn: list[dict[str, pd.Series]] = [{} for _ in range(2 * pairs)]
    for group in groups:
        longest = max(len(forecasts[name].index) for name in group.series)
        step_hours = forecasts[group.series[0]].step_minutes / 60
        half = correlated(longest, step_hours, group.correlation_hours, pairs, rng)
        z = np.concatenate([half, -half])
        for name in group.series:
            for course, path in zip(drawn, courses(forecasts[name], z), strict=True):
                course[name] = pd.Series(path, index=forecasts[name].index, name=name)
    return tuple(drawn)


def correlated(length: int, step_hours: float, correlation_hours: float, count: int, rng: np.random.Generator) -> Array:
    """(count, length) standard normal values, correlated over time by (1)."""
    r = float(np.exp(-step_hours / correlation_hours))
    noise = rng.standard_normal((count, length))
    noise[:, 1:] *= np.sqrt(1 - r * r)
    return np.asarray(lfilter([1.0], [1.0, -r], noise, axis=1))


def courses(forecast: Forecast, z: Array) -> Array:
    """(m, n) values of a series for (m, at least n) standard normal ones, by (2).

    A series whose quantiles are nowhere below zero stays at or above zero.
    """
    at = np.asarray(norm.ppf(list(forecast.quantiles)), dtype=float)
    paths = np.stack(list(forecast.quantiles.values()))
    slopes = np.diff(paths, axis=0) / np.diff(at)[:, None]
    z = z[:, : paths.shape[1]]
    values: Array = paths[0] + slopes[0] * (z - at[0])
    for level, bend in zip(at[1:-1], np.diff(slopes, axis=0), strict=True):
        values = values + bend * np.maximum(z - level, 0.0)
    return np.maximum(values, 0.0) if paths.min() >= 0.0 else values
