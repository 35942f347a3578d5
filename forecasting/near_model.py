"""The next day: a robust linear model per lead on anomalies from the same-type-day profile.

    ŷ[o+h] = P[o+h] + Σ_b b[o+h]·w[h, b]·x[o, h]                                                (1)
    x = (anomaly now, one step before, mean of 1 h, of 4 h, of 24 h, of 7 days,
         same slot a day before, a week before, the last day of the type, mean of its last eight,
         mean of the same weekday of four weeks, profile's step from the last value's slot to the first target's,
         its change from there, profile;
         where weather forecasts are known, what they say of heating and cooling: `outdoor`)    (2)
    b = (1, cos and sin of the time of day and of twice it, day off, other type than the origin's day)      (3)

P is the profile known on the origin's day, o the first step not yet measured; all of x is a difference from P, or of
days that are over from the profile of their own day. What the last 24 h differ by is told from P, too, across midnight:
the last value before it and the first one after it have one measure, and where the type of day changes the step of P
between them is known. How much of an anomaly stays depends on the hour and on the kind of day, hence (3). Each lead h
has its own weights, fitted directly (no recursion) by ridge with Huber's reweighting, so that odd days do not bend
them. What the ridge draws them towards are not zeros but the weights of other loads (`near_prior`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.day_types import Bools, DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.known import mean_of_known, window_mean
from forecasting.measured import Measured, values_at
from forecasting.near_prior import NearPrior, newness
from forecasting.outdoor import Outdoor
from forecasting.profile import TypeProfiles, anomalies

NEAR_HOURS = 30.0
"""Leads with a model of their own [h]: a day, and the hours over which the tail takes over."""
WINDOW_HOURS = (1.0, 4.0, 24.0)
HELD_HOURS = 1.0
"""How long the last anomaly stands for those that are missing [h]."""
PROFILE_STEP, PROFILE_CHANGE, FEATURES = 11, 12, 14
"""Places of the profile's step and change in (2), and how many features there are without weather forecasts. What
those from the step on say is of each load alone, so there is nothing to expect of them."""
WEEKS = 4
LOOK_BACK_DAYS = 8
"""Days before an origin whose anomalies count; a profile needs more, see `demand.KEPT_DAYS`."""
PRIOR_DAYS = 3.0
"""Penalty: as if so many more days, with the mean square of each feature, had shown the weights of other loads."""
NEW_PRIOR_DAYS, NEW_PRIOR_DAYS_PER_HOUR = 10.0, 10.0 / 3
"""The same for a load that is new, and more for each hour of lead where that is more: what is missed a day ahead is
missed for a day."""
HUBER_SCALES = 0.5
"""Residuals above this many robust standard deviations count linearly."""
REWEIGHTINGS = 2
MIN_ORIGINS = 60


@dataclass(frozen=True)
class NearModel:
    """Weights of (1): `weights[h, b, feature]`."""

    weights: Array

    def anomalies_ahead(self, view: NearView) -> Array:
        """(n, leads) expected anomalies."""
        here = np.matmul(view.basis.swapaxes(0, 1), self.weights).swapaxes(0, 1)
        ahead: Array = np.einsum("nhf,nhf->nh", view.features, here)
        return ahead


@dataclass(frozen=True)
class NearView:
    """What the near model sees from a set of origins."""

    origins: Ints
    profile: Array
    """(n, leads) profile of the targets."""
    features: Array
    """(n, leads, p) x of (2)."""
    basis: Array
    """(n, leads, 7) b of (3)."""
    profiles: TypeProfiles
    """What `profile` is taken from."""

    def products(self, lead: int) -> Array:
        """(n, b·p) b·x of (1) at one lead."""
        return products(self.features[:, lead], self.basis[:, lead])

    @property
    def degrees(self) -> Array:
        """(n, leads, 4 or 0) what weather forecasts say."""
        return self.features[:, :, FEATURES:]

    @property
    def usable(self) -> Bools:
        """(n,) whether an origin has a recent measurement and a whole profile."""
        return np.asarray(np.isfinite(self.features).all(axis=(1, 2)) & np.isfinite(self.profile).all(axis=1))

    def of(self, rows: Bools) -> NearView:
        """The origins that `rows` picks."""
        return NearView(self.origins[rows], self.profile[rows], self.features[rows], self.basis[rows], self.profiles)

    def forecast(self, model: NearModel) -> Array:
        """(n, leads) in the unit of the series; NaN for origins that are not usable."""
        return self.profile + model.anomalies_ahead(self)


def near_leads(clock: LocalClock) -> Ints:
    return np.arange(clock.steps_in(NEAR_HOURS), dtype=np.int64)


def near_view(
    past: Measured, origins: Ints, clock: LocalClock, days: DayTable, outdoor: Outdoor | None = None
) -> NearView:
    """Features of (2) for ascending origins, all from what was measured and foretold before each of them."""
    leads, last_day = near_leads(clock), np.arange(-clock.steps_per_day, 0, dtype=np.int64)
    window = past.between(int(origins[0]) - LOOK_BACK_DAYS * clock.steps_per_day, int(origins[-1]))
    known_days, _ = clock.days_and_slots(np.append(window.steps, origins))
    profiles = TypeProfiles.of(past, clock, days, np.unique(known_days))
    before, profile = (profiles.at_steps(profiles.table, origins, steps, clock, days) for steps in (last_day, leads))
    odd, at = anomalies(window, profiles, clock, days), origins - window.first
    recent = _recent(past.at(origins[:, None] + last_day) - before, clock)
    present = [*recent, window_mean(odd, at, 7 * clock.steps_per_day)]
    alike = [
        profiles.at_steps(profiles.latest, origins, leads, clock, days),
        profiles.at_steps(profiles.longer, origins, leads, clock, days),
        _same_weekday(past, origins[:, None] + leads, clock, days),
    ]
    columns = [
        *(np.broadcast_to(column[:, None], profile.shape) for column in present),
        *_days_back(odd, at, leads, clock),
        *(np.nan_to_num(values - profile) for values in alike),
        np.broadcast_to(profile[:, :1] - before[:, -1:], profile.shape),
        profile - profile[:, :1],
        profile - profile.mean(axis=1, keepdims=True),
    ]
    features = np.stack(columns, axis=2)
    if outdoor:
        features = np.concatenate([features, outdoor.degrees(origins, leads, days)], axis=2)
    return NearView(origins, profile, features, basis(origins, leads, clock, days), profiles)


def fit_near(view: NearView, targets: Array, clock: LocalClock, prior: NearPrior) -> NearModel:
    """Weights from a view and its (n, leads) measured targets, NaN where nothing was measured.

    Raises:
        ValueError: too few origins.
    """
    keep = view.usable
    if keep.sum() < MIN_ORIGINS:
        raise ValueError(f"only {keep.sum()} of {len(keep)} origins have measurements around them")
    kept, odd = view.of(keep), targets[keep] - view.profile[keep]
    expected = prior.at(odd.shape[1], clock, kept.features.shape[2])
    days = (int(view.origins[-1]) - int(view.origins[0]) + 1) / clock.steps_per_day
    hours = (np.arange(odd.shape[1]) + 1) * clock.step_minutes / 60
    new_days = np.maximum(NEW_PRIOR_DAYS, NEW_PRIOR_DAYS_PER_HOUR * hours)
    rows = (PRIOR_DAYS + newness(days) * (new_days - PRIOR_DAYS)) * len(view.origins) / days
    weights, last = [], expected[0]
    for lead in range(odd.shape[1]):
        last = robust_ridge(kept.products(lead), odd[:, lead], last, expected[lead], float(rows[lead]))
        weights.append(last)
    return NearModel(np.stack(weights).reshape(odd.shape[1], kept.basis.shape[2], -1))


def usual_model(prior: NearPrior, clock: LocalClock) -> NearModel:
    """The weights of other loads, for a load too new to have any of its own."""
    leads = len(near_leads(clock))
    return NearModel(prior.at(leads, clock, FEATURES).reshape(leads, -1, FEATURES))


def basis(origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> Array:
    """(n, leads, 7) b of (3)."""
    targets = origins[:, None] + leads
    target_days, slots = clock.days_and_slots(targets.ravel())
    turn = 2 * np.pi * slots.reshape(targets.shape) / clock.steps_per_day
    off = days.is_off(target_days).reshape(targets.shape)
    other = off != days.is_off(clock.days_and_slots(origins)[0])[:, None]
    turns = [turned(times * turn) for times in (1, 2) for turned in (np.cos, np.sin)]
    return np.stack([np.ones(targets.shape), *turns, off, other], axis=2)


def products(features: Array, by: Array) -> Array:
    """(..., b·p) b·x of (1) from (..., p) features and (..., b) basis."""
    products: Array = by[..., :, None] * features[..., None, :]
    return products.reshape(*features.shape[:-1], -1)


def _recent(odd: Array, clock: LocalClock) -> list[Array]:
    """(n,) each, from (n, steps of a day) anomalies of the last 24 h: the present one, the one before, window means."""
    held = clock.steps_in(HELD_HOURS) or 1
    means = [mean_of_known(odd[:, -(clock.steps_in(hours) or 1) :]) for hours in WINDOW_HOURS]
    return [_last_known(odd[:, -held:]), _last_known(odd[:, -held - 1 : -1]), *means]


def _last_known(rows: Array) -> Array:
    """(n,) last finite value of each row; NaN where there is none."""
    last = rows.shape[1] - 1 - np.argmax(np.isfinite(rows[:, ::-1]), axis=1)
    return np.asarray(rows[np.arange(len(rows)), last])


def _days_back(odd: Array, at: Ints, leads: Ints, clock: LocalClock) -> list[Array]:
    """(n, leads) each: the anomaly at the target's slot a day and a week back, 0 where it is missing."""
    targets = at[:, None] + leads
    day = clock.steps_per_day
    daily = np.nan_to_num(values_at(odd, targets - day * (1 + leads // day)))
    weekly = np.nan_to_num(values_at(odd, targets - 7 * day))
    return [daily, weekly]


def _same_weekday(past: Measured, targets: Ints, clock: LocalClock, days: DayTable) -> Array:
    """(n, leads) mean of the same weekday and slot of the last four weeks, as far as they are of the target's type."""
    week = 7 * clock.steps_per_day
    first = max(past.first, int(targets.min()) - WEEKS * week)
    off = days.is_off(clock.days_and_slots(np.arange(first, targets.max() + 1, dtype=np.int64))[0])
    off_at = off[targets - first]
    sums, counts = np.zeros(targets.shape), np.zeros(targets.shape)
    for back in range(1, WEEKS + 1):
        then = targets - back * week
        values = past.at(then)
        alike = np.isfinite(values) & (off[np.maximum(then - first, 0)] == off_at)
        sums += np.where(alike, values, 0.0)
        counts += alike
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def robust_ridge(
    features: Array, target: Array, start: Array, expected: Array, rows: float, reweightings: int = REWEIGHTINGS
) -> Array:
    """Weights that make |target - features·w| small in Huber's sense; rows with an unknown target are left out.

    Args:
        start: weights that are about right, e.g. those of the lead before: then two rounds are enough.
        expected: what the weights are drawn towards, as if so many `rows` more had shown them.
    """
    known = np.isfinite(target)
    x, y = features[known], target[known]
    penalty = rows * np.einsum("nf,nf->f", x, x) / max(1, len(x)) + 1e-9
    weights = start
    for _ in range(reweightings):
        residual = np.abs(y - x @ weights)
        scale = 1.4826 * HUBER_SCALES * float(np.median(residual)) if len(y) else 0.0
        weighted = x * (scale / np.maximum(residual, scale))[:, None] if scale > 0 else x
        gram, moment = weighted.T @ x + np.diag(penalty), weighted.T @ y + penalty * expected
        weights = np.asarray(np.linalg.solve(gram, moment), dtype=float)
    return weights
