"""The day ahead: trees on the distance from the same-type-day profile, with many looks back.

    ŷ[o+h] = P[o+h] + s·F(x[o, h]/s, values around a week back, single days of the type, calendar, degrees/s)       (1)

P is the profile known on the origin's day, s the median absolute distance from it, x are the features of the linear
model. F also sees the last seven days and the same weekday of four weeks at the slot of the target, each of the last
eight days of its type, and the kinds of the days around. Each split looks at a third of the features only: with so many
that are alike the trees become different from one another, and better together (Breiman, "Random forests", Machine
Learning 45, 2001). The target is not the linear model's residual, so that the two err in different ways.

F is grown on the load's own history; a second one, of the same rows, was grown on loads of other places (`load_prior`).
What an anomaly of this morning says of the evening is much alike everywhere in units of s, and where a load's own days
are few those of others say more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.boosted import YEAR_DAYS, Forest, grown, rows_drawn, scale_of
from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.measured import Measured
from forecasting.near_model import FEATURES, NearView, near_leads
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
    """F and s of (1), of the load itself and of others."""

    own: Forest | None
    """None where the load is too new to have any: those of others speak for it."""
    usual: Forest
    scale: float
    """0 for a load that has kept to its profile: others have nothing to say of it."""
    units: Array
    """(features,) what each feature is divided by."""

    def forecast(self, past: Measured, view: NearView, clock: LocalClock, days: DayTable) -> Array:
        """(2, n, leads) by the load's own trees and by those of others, for a view whose origins are all usable."""
        leads = near_leads(clock)
        places = np.repeat(np.arange(len(view.origins)), len(leads)), np.tile(leads, len(view.origins))
        rows = looks_back(past, view, places, clock, days) / self.units
        others = self.usual.predict(rows)
        own = others if self.own is None else self.own.predict(rows)
        return view.profile + self.scale * np.stack([own, others]).reshape(2, *view.profile.shape)


def fit_day_ahead(
    past: Measured, view: NearView, targets: Array, clock: LocalClock, days: DayTable, usual: Forest
) -> DayAhead:
    """Trees on some of the usable origins and leads with (n, leads) measured targets, beside the `usual` ones."""
    at, leads = np.nonzero(view.usable[:, None] & np.isfinite(targets))
    most = rows_drawn(len(past.values), clock, MOST_ROWS)
    if len(at) > most:
        taken = np.random.default_rng(SEED).choice(len(at), most, replace=False)
        at, leads = at[taken], leads[taken]
    distance = (targets - view.profile)[at, leads]
    scale = scale_of(distance)
    seasonal = bool(view.origins[-1] - view.origins[0] > YEAR_DAYS * clock.steps_per_day)
    units = units_of(scale, seasonal, view.degrees.shape[2])
    rows = looks_back(past, view, (at, leads), clock, days) / units
    own = grown(rows, distance / scale, TREES, depth=DEPTH, share_of_features=SHARE_OF_FEATURES)
    return DayAhead(own, usual, scale if distance.any() else 0.0, units)


def usual_day_ahead(view: NearView, targets: Array, usual: Forest) -> DayAhead:
    """Trees of other loads alone; their unit is how far (n, leads) targets of usable origins lay from the profile."""
    distance = targets - view.profile
    known = distance[np.isfinite(distance)]
    scale = scale_of(known)
    return DayAhead(None, usual, scale if known.any() else 0.0, units_of(scale))


def looks_back(past: Measured, view: NearView, places: tuple[Ints, Ints], clock: LocalClock, days: DayTable) -> Array:
    """(n, features) of (1) for (n,) origins of a view and leads: distances in the unit of the series, 0 where nothing
    was measured, the calendar with times in hours, and degrees where weather is foretold."""
    at, leads = places
    origins, profile = view.origins[at], view.profile[at, leads]
    targets, day = origins + leads, clock.steps_per_day
    local_days, slots = clock.days_and_slots(targets)
    origin_days, origin_slots = clock.days_and_slots(origins)
    back = targets - day * np.array([*DAYS_BACK, *(7 * week for week in WEEKS_BACK)])[:, None]
    lags = np.where(back < origins, past.at(back), np.nan) - profile
    alike, age = view.profiles.single_days(origin_days, days.is_off(local_days), slots)
    distances = np.concatenate([view.features[at, leads, :FEATURES].T, lags, alike - profile])
    step_hours = clock.step_minutes / 60
    calendar = [
        slots * step_hours,
        (local_days + 3) % 7,
        *(days.is_off(local_days + shift) for shift in DAYS_AROUND),
        *(days.is_special(local_days + shift) for shift in (-1, 0)),
        days.is_off(origin_days),
        origin_slots * step_hours,
        (leads + 1) * step_hours,
        *age,
        local_days % YEAR_DAYS,
    ]
    return np.column_stack([*np.nan_to_num(distances), *calendar, *view.degrees[at, leads].T])


def units_of(scale: float, seasonal: bool = False, degrees: int = 0) -> Array:
    """(features,) what `looks_back` is divided by; infinite for the time of the year unless a whole one was seen."""
    distances = FEATURES + len(DAYS_BACK) + len(WEEKS_BACK) + DAYS_HELD
    others = 1 + 1 + len(DAYS_AROUND) + 2 + 1 + 1 + 1 + DAYS_HELD
    year = 1.0 if seasonal else np.inf
    return np.concatenate([np.full(distances, scale), np.ones(others), [year], np.full(degrees, scale)])
