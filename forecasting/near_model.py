"""The next day: a robust linear model per lead on anomalies from the same-type-day profile.

    ŷ[o+h] = P[o+h] + w[h]·x[o, h]                                                              (1)
    x = (anomaly now, one step before, mean of 1 h, of 4 h, of 24 h,
         same slot a day before, a week before, profile change)                                 (2)

P is the profile known on the origin's day, o the first step not yet measured. Each lead h has its own weights w[h],
fitted directly (no recursion) by ridge with Huber's reweighting, so that single odd days do not bend them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.day_types import Bools, DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured, values_at
from forecasting.profile import TypeProfiles, anomalies

NEAR_HOURS = 30.0
"""Leads with a model of their own [h]: a day, and the hours over which the tail takes over."""
WINDOW_HOURS = (1.0, 4.0, 24.0)
ORIGIN_EVERY_HOURS = 0.75
"""Spacing of training origins [h]: at 15 min, 3 steps, so that every slot of the day is an origin in turn."""
RIDGE = 1e-3
"""Penalty relative to the mean square of each feature."""
HUBER_SCALES = 1.0
"""Residuals above this many robust standard deviations count linearly."""
REWEIGHTINGS = 3
MIN_ORIGINS = 100


@dataclass(frozen=True)
class NearModel:
    """Weights of (1): `weights[h, feature]`."""

    weights: Array

    def anomalies_ahead(self, features: Array) -> Array:
        """(n, leads) expected anomalies from (n, leads, features)."""
        ahead: Array = np.einsum("nhf,hf->nh", features, self.weights)
        return ahead


@dataclass(frozen=True)
class NearView:
    """What the near model sees from a set of origins: (n, leads) profile of the targets and (n, leads, p) features."""

    profile: Array
    features: Array

    @property
    def usable(self) -> Bools:
        """(n,) whether an origin has a recent measurement and a whole profile."""
        known = np.concatenate([self.features.reshape(len(self.features), -1), self.profile], axis=1)
        return np.asarray(np.isfinite(known).all(axis=1))

    def forecast(self, model: NearModel) -> Array:
        """(n, leads) in the unit of the series; NaN for origins that are not usable."""
        return self.profile + model.anomalies_ahead(self.features)


def near_leads(clock: LocalClock) -> Ints:
    return np.arange(clock.steps_in(NEAR_HOURS), dtype=np.int64)


def near_view(past: Measured, origins: Ints, clock: LocalClock, days: DayTable) -> NearView:
    """Features of (2) for origins, all from measurements before each of them."""
    leads = near_leads(clock)
    window = past.between(int(origins.min()) - 8 * clock.steps_per_day, int(origins.max()))
    known_days, _ = clock.days_and_slots(np.append(window.steps, origins))
    profiles = TypeProfiles.of(past, clock, days, np.unique(known_days))
    odd = anomalies(window, profiles, clock, days)
    profile = profiles.at_steps(origins, leads, clock, days)
    return NearView(profile, _features(odd, window.first, origins, leads, profile, clock))


def fit_near(past: Measured, clock: LocalClock, days: DayTable) -> NearModel:
    """Weights from all origins in `past` whose features and targets were measured.

    Raises:
        ValueError: too little history.
    """
    leads = near_leads(clock)
    first, last = past.first + 9 * clock.steps_per_day, past.end - len(leads)
    origins = np.arange(first, max(first, last), clock.steps_in(ORIGIN_EVERY_HOURS) or 1, dtype=np.int64)
    if len(origins) < MIN_ORIGINS:
        raise ValueError(f"{past.known / clock.steps_per_day:.1f} days of history are too few for the near model")
    view = near_view(past, origins, clock, days)
    keep = view.usable
    if keep.sum() < MIN_ORIGINS:
        raise ValueError(f"only {keep.sum()} of {len(keep)} origins have measurements around them")
    targets = past.at(origins[keep][:, None] + leads) - view.profile[keep]
    features = view.features[keep]
    return NearModel(np.stack([_robust_ridge(features[:, h], targets[:, h]) for h in leads]))


def _features(odd: Array, first: int, origins: Ints, leads: Ints, profile: Array, clock: LocalClock) -> Array:
    """(n, leads, 8): see (2). A missing anomaly a day or a week back counts as 0, a missing present one stays NaN."""
    at = origins - first
    hour = clock.steps_in(1) or 1
    now = _hold(odd, hour)
    present = [
        values_at(now, at - 1),
        values_at(now, at - 2),
        *(_window_mean(odd, at, clock.steps_in(h) or 1) for h in WINDOW_HOURS),
    ]
    targets = at[:, None] + leads[None, :]
    day = clock.steps_per_day
    daily = np.nan_to_num(values_at(odd, targets - day * (1 + leads // day)))
    weekly = np.nan_to_num(values_at(odd, targets - 7 * day))
    change = profile - profile[:, :1]
    columns = [np.broadcast_to(column[:, None], targets.shape) for column in present]
    return np.stack([*columns, daily, weekly, change], axis=2)


def _hold(values: Array, longest: int) -> Array:
    """Values carried forward over at most `longest - 1` missing steps."""
    places = np.arange(len(values))
    last = np.maximum.accumulate(np.where(np.isfinite(values), places, -1))
    return np.where((last >= 0) & (places - last < longest), values[np.maximum(last, 0)], np.nan)


def _window_mean(values: Array, ends: Ints, length: int) -> Array:
    """(n,) mean of the finite values in the `length` places before each end; NaN where there is none."""
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    starts, ends = np.clip(ends - length, 0, len(values)), np.clip(ends, 0, len(values))
    count = counts[ends] - counts[starts]
    return np.where(count > 0, (sums[ends] - sums[starts]) / np.maximum(count, 1), np.nan)


def _robust_ridge(features: Array, target: Array) -> Array:
    """Weights that make |target - features·w| small in Huber's sense; rows with an unknown target are left out."""
    known = np.isfinite(target)
    x, y = features[known], target[known]
    penalty = np.diag(RIDGE * np.einsum("nf,nf->f", x, x) + 1e-9)
    row_weights = np.ones(len(y))
    weights: Array = np.zeros(x.shape[1])
    for _ in range(REWEIGHTINGS):
        weighted = x * row_weights[:, None]
        weights = np.asarray(np.linalg.solve(weighted.T @ x + penalty, weighted.T @ y), dtype=float)
        residual = np.abs(y - x @ weights)
        scale = 1.4826 * HUBER_SCALES * float(np.median(residual))
        row_weights = scale / np.maximum(residual, scale) if scale > 0 else np.ones(len(y))
    return weights
