"""How good a baseline is, and how uncertain the savings from it are (ASHRAE Guideline 14; RULES 6.2).

    CV(RMSE) = sqrt(Σ(y-ŷ)²/(n-p)) / ȳ,   NMBE = Σ(y-ŷ) / ((n-p)·ȳ)                                       (1)
    ΔE/E = t·a·CV(RMSE)/F · sqrt((n/n')·(1+2/n')/m),   n' = n·(1-ρ)/(1+ρ)                                 (2)
    a = 1.26 hourly;  -0.00024M²+0.03535M+1.00286 daily;  -0.00022M²+0.03306M+0.94054 monthly             (3)

n, m points of baseline and reporting period, p parameters with the intercept, ρ lag-1 autocorrelation of the residuals,
F saved fraction, M months of the reporting period. t is two-sided.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from scipy import stats

from optimizer.time_grid import Array

Interval = Literal["hourly", "daily", "monthly"]
CV_RMSE_LIMIT: dict[Interval, float] = {"hourly": 0.30, "daily": 0.15, "monthly": 0.15}
NMBE_LIMIT: dict[Interval, float] = {"hourly": 0.10, "daily": 0.05, "monthly": 0.05}
"""The guideline has none for days: those of months, the stricter ones, are kept."""
LARGEST_SHARE, AT_CONFIDENCE = 0.50, 0.68
"""Savings count as determined when (2) is at most this, at this confidence."""


@dataclass(frozen=True)
class Fit:
    """Quality of a baseline model by (1)."""

    interval: Interval
    points: int
    parameters: int
    cv_rmse: float
    nmbe: float
    autocorrelation: float

    @property
    def within_limits(self) -> bool:
        """Whether the guideline accepts it."""
        return self.cv_rmse <= CV_RMSE_LIMIT[self.interval] and abs(self.nmbe) <= NMBE_LIMIT[self.interval]


def fit_of(measured: Array, modelled: Array, parameters: int, interval: Interval) -> Fit:
    """Quality of a model; `parameters` counts the intercept and is 1 for a calibrated simulation.

    Raises:
        ValueError: no more points than parameters, or a mean of 0.
    """
    freedom, mean = len(measured) - parameters, float(np.mean(measured))
    if freedom <= 0 or mean == 0:
        raise ValueError(f"{len(measured)} points of mean {mean:g} do not determine {parameters} parameters")
    residuals = measured - modelled
    cv_rmse = sqrt(float(residuals @ residuals) / freedom) / mean
    nmbe = float(residuals.sum()) / (freedom * mean)
    return Fit(interval, len(measured), parameters, cv_rmse, nmbe, lag_1(residuals))


def lag_1(residuals: Array) -> float:
    """Autocorrelation of neighbours; 0 where all residuals are 0."""
    centred = residuals - residuals.mean()
    spread = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / spread if spread > 0 else 0.0


def t_value(confidence: float, freedom: float) -> float:
    """Two-sided Student's t, e.g. 1.8125 for 0.90 and 10."""
    return float(stats.t.ppf(0.5 + confidence / 2, freedom))


def inflation(interval: Interval, months: float) -> float:
    """The coefficient a of (3)."""
    if interval == "hourly":
        return 1.26
    if interval == "daily":
        return -0.00024 * months**2 + 0.03535 * months + 1.00286
    return -0.00022 * months**2 + 0.03306 * months + 0.94054


def independent_points(points: float, autocorrelation: float) -> float:
    """The n' of (2); residuals that alternate do not give more than there are."""
    rho = max(0.0, autocorrelation)
    return points * (1 - rho) / (1 + rho)


def fractional_uncertainty(
    cv_rmse: float, saved_fraction: float, points: float, independent: float, reported: float, t: float, a: float
) -> float:
    """Uncertainty of the savings as a fraction of them (2), half the width of the interval."""
    spread = sqrt((points / independent) * (1 + 2 / independent) / reported)
    return t * a * cv_rmse / abs(saved_fraction) * spread


def uncertainty_of(fit: Fit, saved_fraction: float, reported: int, months: float, confidence: float) -> float:
    """(2) for a fitted model, t by the points left after autocorrelation; monthly residuals count as independent."""
    independent = fit.points if fit.interval == "monthly" else independent_points(fit.points, fit.autocorrelation)
    t = t_value(confidence, max(1.0, independent - fit.parameters))
    a = inflation(fit.interval, months)
    return fractional_uncertainty(fit.cv_rmse, saved_fraction, fit.points, independent, reported, t, a)


def is_determined(fit: Fit, saved_fraction: float, reported: int, months: float) -> bool:
    """Whether the guideline accepts savings with this uncertainty."""
    return uncertainty_of(fit, saved_fraction, reported, months, AT_CONFIDENCE) <= LARGEST_SHARE
