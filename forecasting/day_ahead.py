"""The day ahead: trees on the distance from the same-type-day profile, with many looks back.

    ŷ[o+h] = P[o+h] + s·F(x[o, h]/s, values around a week back, single days of the type, calendar)       (1)

P is the profile known on the origin's day, s the median absolute distance from it, x are the features of the linear
model. F also sees the last seven days and the same weekday of four weeks at the slot of the target, each of the last
eight days of its type, and the kinds of the days around. Each split looks at a third of the features only: with so many
that are alike the trees become different from one another, and better together (Breiman, "Random forests", Machine
Learning 45, 2001). The target is not the linear model's residual, so that the two err in different ways.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.boosted import YEAR_DAYS, Forest, grown, rows_drawn, scale_of
from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured
from forecasting.near_model import NearView, near_leads
from forecasting.profile import DAYS_HELD

TREES = 150
DEPTH = 8
SHARE_OF_FEATURES = 0.3
MOST_ROWS = 50_000
DAYS_BACK = (1, 2, 3, 4, 5, 6, 7)
WEEKS_BACK = (2, 3, 4)
DAYS_AROUND = (-3, -2, -1, 0, 1)
"""Around the target, whose kind is seen; later ones a calendar need not know, as targets lie 30 h beyond a fit."""
SEED = 1


@dataclass(frozen=True)
class DayAhead:
    """F and s of (1)."""

    forest: Forest
    scale: float
    units: Array
    """(features,) what each feature is divided by."""

    def forecast(self, past: Measured, view: NearView, clock: LocalClock, days: DayTable) -> Array:
        """(n, leads) for a view whose origins are all usable."""
        leads = near_leads(clock)
        places = np.repeat(np.arange(len(view.origins)), len(leads)), np.tile(leads, len(view.origins))
        rows = _rows(past, view, places, clock, days) / self.units
        return view.profile + self.scale * self.forest.predict(rows).reshape(view.profile.shape)


def fit_day_ahead(past: Measured, view: NearView, targets: Array, clock: LocalClock, days: DayTable) -> DayAhead:
    """Trees on some of the usable origins and leads with (n, leads) measured targets."""
    at, leads = np.nonzero(view.usable[:, None] & np.isfinite(targets))
    most = rows_drawn(len(past.values), clock, MOST_ROWS)
    if len(at) > most:
        taken = np.random.default_rng(SEED).choice(len(at), most, replace=False)
        at, leads = at[taken], leads[taken]
    distance = (targets - view.profile)[at, leads]
    scale = scale_of(distance)
    units = _units(scale, view, clock)
    rows = _rows(past, view, (at, leads), clock, days) / units
    return DayAhead(
        grown(rows, distance / scale, TREES, depth=DEPTH, share_of_features=SHARE_OF_FEATURES), scale, units
    )


def _rows(past: Measured, view: NearView, places: tuple[Ints, Ints], clock: LocalClock, days: DayTable) -> Array:
    """(n, features) of (1): distances in the unit of the series, 0 where nothing was measured, and the calendar."""
    at, leads = places
    origins, profile = view.origins[at], view.profile[at, leads]
    targets, day = origins + leads, clock.steps_per_day
    local_days, slots = clock.days_and_slots(targets)
    origin_days, origin_slots = clock.days_and_slots(origins)
    back = targets - day * np.array([*DAYS_BACK, *(7 * week for week in WEEKS_BACK)])[:, None]
    lags = np.where(back < origins, past.at(back), np.nan) - profile
    alike, age = view.profiles.single_days(origin_days, days.is_off(local_days), slots)
    distances = np.concatenate([view.features[at, leads].T, lags, alike - profile])
    calendar = [
        slots,
        (local_days + 3) % 7,
        *(days.is_off(local_days + shift) for shift in DAYS_AROUND),
        *(days.is_special(local_days + shift) for shift in (-1, 0)),
        days.is_off(origin_days),
        origin_slots,
        leads,
        *age,
        local_days % YEAR_DAYS,
    ]
    return np.column_stack([*np.nan_to_num(distances), *calendar])


def _units(scale: float, view: NearView, clock: LocalClock) -> Array:
    """(features,) what `_rows` is divided by; infinite for the time of the year before a whole one was seen."""
    distances = view.features.shape[2] + len(DAYS_BACK) + len(WEEKS_BACK) + DAYS_HELD
    others = 1 + 1 + len(DAYS_AROUND) + 2 + 1 + 1 + 1 + DAYS_HELD
    seasonal = bool(view.origins[-1] - view.origins[0] > YEAR_DAYS * clock.steps_per_day)
    return np.concatenate([np.full(distances, scale), np.ones(others), [1.0 if seasonal else np.inf]])
