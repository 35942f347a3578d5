"""The yardstick of another library: LightGBM, direct, as a practised user would set it up.

One model for each group of leads, the lead itself among the features; lags, means and calendar beside it. In the first
hour it learns the change from the last value, further on the distance from the mean of the last days of the same type:
raw values as target lost to persistence near by and to last week a day ahead. The level and the season are not among
the features: trees cannot go beyond those they have seen, and a new term's load a day ahead was three times as wrong.
It knows the same history and day types as the forecaster it is compared with, and shares no code with it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured

GROUP_ENDS_HOURS = (1.0, 4.0, 24.0, 168.0)
"""Last lead of each group [h]; before them stands the first step alone, after them all that is further."""
NEAR_HOURS = 1.0
"""Up to this lead the change from the last value is learned [h]."""
LAG_DAYS = 14
"""Days looked back on at the slot of the target: they hold four days off, as the base needs."""
DAYS_IN_BASE = 4
MOST_ROWS = 30_000
"""Training rows of a group; 40,000 took longer and were hardly better."""
FEWEST_ROWS = 500
STRIDE = 7919
"""From row to row the lead moves on by this prime, so that no lead meets the same hours of the day only."""
PATIENCE_DAYS = 15
"""History before the first training origin [days], so that the lags of two weeks are there."""
SETTINGS: dict[str, Any] = {
    "objective": "regression_l1",
    "n_estimators": 150,
    "learning_rate": 0.08,
    "num_leaves": 31,
    "min_child_samples": 40,
    "colsample_bytree": 0.8,
    "subsample": 0.8,
    "subsample_freq": 1,
    "random_state": 1,
    "deterministic": True,
    "force_row_wise": True,
    "n_jobs": 1,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Peer:
    """A model for each group of leads, with the group's first lead."""

    groups: tuple[tuple[int, Any], ...]
    clock: LocalClock
    days: DayTable

    def forecast(self, past: Measured, origins: Ints, leads: Ints) -> Array:
        """(n, m) forecasts, from what was measured before each origin; NaN where nothing was in the last weeks."""
        own = np.searchsorted([first for first, _ in self.groups], leads, side="right") - 1
        forecast = np.empty((len(origins), len(leads)))
        for place in np.unique(own):
            columns = np.flatnonzero(own == place)
            rows, ahead = np.repeat(origins, len(columns)), np.tile(leads[columns], len(origins))
            features, base = _features(past, rows, ahead, self.clock, self.days)
            values = base + self.groups[place][1].predict(features)
            forecast[:, columns] = values.reshape(len(origins), len(columns))
        return forecast


def why_no_peer() -> str:
    """Why the library cannot be used here; empty when it can."""
    try:
        import lightgbm  # noqa: F401  # only in the extra `dev`: it needs the system's OpenMP
    except (ImportError, OSError) as error:
        return f"lightgbm cannot be loaded ({error}): install quartet-ems[dev] and the system's OpenMP"
    return ""


def fit_peer(past: Measured, most_leads: int, clock: LocalClock, days: DayTable) -> Peer:
    """The models for leads 0 to `most_leads - 1`.

    Raises:
        ValueError: too little history.
    """
    ends = [1, *(clock.steps_in(hours) for hours in GROUP_ENDS_HOURS)]
    edges = np.unique([0, *(end for end in ends if end < most_leads), most_leads])
    groups = [np.arange(first, end, dtype=np.int64) for first, end in pairwise(edges)]
    return Peer(tuple((int(leads[0]), _fit_group(past, leads, clock, days)) for leads in groups), clock, days)


def _fit_group(past: Measured, leads: Ints, clock: LocalClock, days: DayTable) -> Any:
    from lightgbm import LGBMRegressor

    origins, ahead = _training_rows(past, leads, clock)
    features, base = _features(past, origins, ahead, clock, days)
    target = past.at(origins + ahead) - base
    known = np.isfinite(target)
    if known.sum() < FEWEST_ROWS:
        raise ValueError(f"{known.sum()} training rows, {FEWEST_ROWS} needed: give more history")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LGBMRegressor(**SETTINGS).fit(features[known], target[known])


def _training_rows(past: Measured, leads: Ints, clock: LocalClock) -> tuple[Ints, Ints]:
    """Origins and leads of the rows: leads take turns over the origins, so that each is seen at all hours."""
    first, last = past.first + PATIENCE_DAYS * clock.steps_per_day, past.end - int(leads[0])
    origins = np.arange(first, max(first, last), dtype=np.int64)
    origins = origins[:: -(-len(origins) // MOST_ROWS) or 1]
    each = int(np.clip(MOST_ROWS // max(1, len(origins)), 1, len(leads)))
    turns = np.arange(len(origins) * each, dtype=np.int64) * STRIDE % len(leads)
    return np.repeat(origins, each), leads[turns]


def _features(past: Measured, origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> tuple[Array, Array]:
    """(n, p) features and (n,) bases of rows; row i looks from `origins[i]` at `origins[i] + leads[i]`."""
    targets = origins + leads
    recent = [past.at(origins - back) for back in (1, 2, 3)]
    means = [_mean_before(past, origins, clock.steps_in(hours) or 1) for hours in (1, 4, 24, 168)]
    daily, alike = _same_slot(past, targets, leads // clock.steps_per_day, clock, days)
    usual = np.where(np.isfinite(alike), alike, means[2])
    last = np.where(np.isfinite(recent[0]), recent[0], means[0])
    near = (leads < clock.steps_in(NEAR_HOURS)) & np.isfinite(last)
    base = np.where(near, last, usual)
    lags = [column - base for column in (*recent, *means, *daily[:3], daily[6], daily[13], usual)]
    return np.column_stack([leads, *lags, *_calendar(targets, origins, clock, days)]), base


def _same_slot(past: Measured, targets: Ints, ahead: Ints, clock: LocalClock, days: DayTable) -> tuple[Array, Array]:
    """(14, n) values at the slot of the target on the last days known, and (n,) the mean of the last four of its type.

    `ahead` counts the whole days of each lead. Where no day of the type is known the mean is over all of them.
    """
    slots = targets - clock.steps_per_day * (ahead + 1 + np.arange(LAG_DAYS)[:, None])
    values = past.at(slots)
    local_days, _ = clock.days_and_slots(np.vstack([slots, targets]).ravel())
    off = days.is_off(local_days).reshape(LAG_DAYS + 1, -1)
    known = np.isfinite(values)
    alike = known & (off[:-1] == off[-1])
    used = np.where(alike.any(axis=0), alike & (np.cumsum(alike, axis=0) <= DAYS_IN_BASE), known)
    count = used.sum(axis=0)
    mean = np.where(used, np.nan_to_num(values), 0.0).sum(axis=0) / np.maximum(count, 1)
    return values, np.where(count > 0, mean, np.nan)


def _calendar(targets: Ints, origins: Ints, clock: LocalClock, days: DayTable) -> list[Any]:
    local_days, slots = clock.days_and_slots(targets)
    origin_days, _ = clock.days_and_slots(origins)
    off = [days.is_off(local_days + shift) for shift in (-1, 0, 1)]
    return [slots, (local_days + 3) % 7, *off, days.is_off(origin_days), days.is_off(origin_days - 1)]


def _mean_before(past: Measured, ends: Ints, length: int) -> Array:
    """(n,) mean of the known values in the `length` steps before each end; NaN where there is none."""
    finite = np.isfinite(past.values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, past.values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    starts, stops = (np.clip(ends - past.first - back, 0, len(past.values)) for back in (length, 0))
    count = counts[stops] - counts[starts]
    return np.where(count > 0, (sums[stops] - sums[starts]) / np.maximum(count, 1), np.nan)
