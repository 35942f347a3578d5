"""Market prices and the grid's carbon: what is announced is known; after it the last days, moved by where they stand.

    ŷ[o+h] = m + S·w[h]·x,   m: median of the slot over the last seven days                    (1)
    x = (the slot yesterday, a week ago, over four weeks; the level of the last three hours, day and week plus
         what a day of its type has in that slot: all less m; the last surprise), over S        (2)

o is the first step that is neither measured nor announced: with a day-ahead market that is the end of the last day
that is out, so leads count from there. S is the usual size of surprises over the last four weeks; with it weights
learned in quiet months serve in wild ones. Nothing keeps a price above zero. A spike is bounded in x, and the median
does not see it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import norm

from forecasting.cleaning import Nature
from forecasting.day_types import Bools, DayTable, Ints, LocalClock
from forecasting.forecast import LEVELS, Array
from forecasting.kinds import FitContext, Outcome
from forecasting.known import quantile_of_known
from forecasting.measured import Measured
from forecasting.profile import day_matrix
from forecasting.published import SECONDS_RANGE, Published
from forecasting.weight_sets import Rows, WeightSets, fit_sets, lead_shares

HISTORY_DAYS = 400
KEPT_DAYS = 60
WEEK_DAYS, MONTH_DAYS = 7, 28
NODE_HOURS = (0.0, 1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 168.0)
"""Leads with weights of their own [h]; between them weights are interpolated."""
ORIGIN_EVERY_HOURS = 5.0
LEVEL_HOURS = (3.0, 24.0, 168.0)
MOST = 5.0
"""Deviations beyond so many usual surprises are spikes [-]: they say no more than this."""
FEATURES = 7
LEVEL_OF_LAST_DAY = 4
"""The feature that a forecast is made of where there is too little to learn from."""
ASSUMED_ERRORS = 1.5
"""Standard deviation of (y - m)/S assumed where there is too little to learn from [-]."""
BINS = 3


@dataclass(frozen=True)
class Market:
    """A series of the market or the grid that may be announced ahead under its own name."""

    series: str
    lowest: float = -np.inf
    highest: float = np.inf
    measured: bool = True
    nature: Nature = "price"

    def fit(self, past: Measured, context: FitContext) -> FittedMarket:
        """Weights and errors from the last 400 days.

        Raises:
            ValueError: less than eight days of values.
        """
        clock, day = context.clock, context.clock.steps_per_day
        needed = (WEEK_DAYS + 1) * day
        if past.known < needed:
            raise ValueError(f"{past.known / day:.1f} days of history, {WEEK_DAYS + 1} needed")
        past = past.between(max(past.first, past.end - HISTORY_DAYS * day), past.end)
        every = max(1, clock.steps_in(ORIGIN_EVERY_HOURS))
        origins = np.arange(past.first + needed, past.end, every, dtype=np.int64)
        rows = [_rows(past, origins, clock.steps_in(hours), clock, context.days) for hours in NODE_HOURS]
        assumed = np.eye(FEATURES)[LEVEL_OF_LAST_DAY]
        sets = fit_sets(rows, [assumed] * len(rows), ASSUMED_ERRORS * np.asarray(norm.ppf(LEVELS)), BINS, lambda y: y)
        kept = past.between(max(past.first, past.end - KEPT_DAYS * day), past.end)
        return FittedMarket(self.series, clock, context.days, kept, sets, (self.lowest, self.highest))


def _rows(past: Measured, origins: Ints, lead: int, clock: LocalClock, days: DayTable) -> Rows:
    origins = origins[origins + lead < past.end]
    if not len(origins):
        return Rows(np.empty((0, FEATURES)), np.empty(0), np.empty(0))
    view = market_view(past, origins, np.full(len(origins), lead), clock, days)
    target = (past.at(origins + lead) - view.middle) / view.scale
    rows = Rows(view.features, np.clip(target, -2 * MOST, 2 * MOST), np.ones(len(target)))
    return rows.of(np.isfinite(target))


@dataclass(frozen=True)
class MarketView:
    """What is seen for pairs of origin and target: m, S and x of (1) and (2)."""

    middle: Array
    scale: Array
    features: Array
    """(n, FEATURES)"""


def market_view(past: Measured, origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> MarketView:
    """(n,) pairs of an origin and a lead; nothing from an origin on is used for it."""
    day = clock.steps_per_day
    targets, back = origins + leads, leads // day + 1
    same_slot = past.at(targets[:, None] - day * (back[:, None] + np.arange(MONTH_DAYS)))
    usual = quantile_of_known(past.at(past.steps[:, None] - day * np.arange(1, WEEK_DAYS + 1)), 0.5)
    surprise = Measured(past.first, past.values - usual)
    middle = _known(quantile_of_known(same_slot[:, :WEEK_DAYS], 0.5), past, origins)
    scale = _scale(surprise, origins, clock)
    weekly = past.at(targets - 7 * day * (leads // (7 * day) + 1))
    levels, shape = _levels_and_shape(past, origins, targets, clock, days)
    columns = [
        same_slot[:, 0] - middle,
        weekly - middle,
        quantile_of_known(same_slot, 0.5) - middle,
        *(_recent(levels, origins, clock.steps_in(hours)) + shape - middle for hours in LEVEL_HOURS),
        surprise.at(origins - 1),
    ]
    deviations = np.stack(columns, axis=1) / scale[:, None]
    return MarketView(middle, scale, np.clip(np.nan_to_num(deviations), -MOST, MOST))


def _known(middle: Array, past: Measured, origins: Ints) -> Array:
    """Where a slot has no value for a week, the median of what was known before."""
    if np.isfinite(middle).all():
        return middle
    spare = [quantile_of_known(past.at(np.arange(past.first, o)), 0.5) for o in origins]
    return np.where(np.isfinite(middle), middle, np.nan_to_num(np.asarray(spare)))


def _scale(surprise: Measured, origins: Ints, clock: LocalClock) -> Array:
    """(n,) mean absolute surprise of the four weeks before; never 0."""
    size = Measured(surprise.first, np.abs(surprise.values))
    scale = _recent(size, origins, MONTH_DAYS * clock.steps_per_day)
    least = 1e-6 + 1e-3 * float(np.nanmean(size.values)) if size.known else 1.0
    return np.maximum(np.nan_to_num(scale, nan=least), least)


def _recent(series: Measured, origins: Ints, steps: int) -> Array:
    """(n,) mean of the finite values in the steps before each origin; NaN where there is none."""
    finite = np.isfinite(series.values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, series.values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    ends = np.clip(origins - series.first, 0, len(finite))
    starts = np.maximum(ends - steps, 0)
    count = counts[ends] - counts[starts]
    return np.where(count > 0, (sums[ends] - sums[starts]) / np.maximum(count, 1), np.nan)


def _levels_and_shape(
    past: Measured, origins: Ints, targets: Ints, clock: LocalClock, days: DayTable
) -> tuple[Measured, Array]:
    """The past without what days of its type have in each slot, and (n,) what the targets' days have in theirs.

    Levels can then be compared and carried over from a Friday to a Saturday.
    """
    week = _recent(past, past.steps, WEEK_DAYS * clock.steps_per_day)
    first, table = day_matrix(replace(past, values=past.values - week), clock)
    off = days.is_off(first + np.arange(len(table)))
    shapes = np.stack([_shapes_before(table, off, day) for day in range(len(table) + 1)])
    past_days, past_slots = clock.days_and_slots(past.steps)
    own = shapes[past_days - first, days.is_off(past_days).astype(np.int64), past_slots]
    known_on, _ = clock.days_and_slots(origins)
    target_days, slots = clock.days_and_slots(targets)
    rows = np.clip(known_on - first, 0, len(table))
    return replace(past, values=past.values - own), shapes[rows, days.is_off(target_days).astype(np.int64), slots]


def _shapes_before(table: Array, off: Bools, day: int) -> Array:
    """(2, slots) median of the workdays and days off in the four weeks before a row; of all where one is missing."""
    rows, kinds = table[max(0, day - MONTH_DAYS) : day], off[max(0, day - MONTH_DAYS) : day]
    both = [rows[kinds == kind] if (kinds == kind).any() else rows for kind in (False, True)]
    return np.stack(
        [np.nan_to_num(quantile_of_known(part.T, 0.5)) if len(part) else np.zeros(table.shape[1]) for part in both]
    )


@dataclass(frozen=True)
class FittedMarket:
    series: str
    clock: LocalClock
    days: DayTable
    kept: Measured
    sets: WeightSets
    limits: tuple[float, float]
    published: Published = field(default_factory=Published)

    def told(self, published: Published) -> FittedMarket:
        """Knowing what was announced before the issue time."""
        return replace(self, published=published)

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        steps = np.arange(origin, end, dtype=np.int64)
        announced = self.published.of_series(self.series).at(steps, SECONDS_RANGE - 1)
        out = np.isfinite(announced)
        known = len(out) if out.all() else int(np.argmin(out))
        paths = np.tile(announced, (len(LEVELS), 1))
        if known < len(steps):
            past = self.kept.overlaid(recent, origin)
            past = past.overlaid(Measured(origin, announced[:known]), origin + known)
            paths[:, known:] = np.where(out[known:], announced[known:], self._ahead(past, origin + known, end))
        return Outcome(dict(zip(LEVELS, paths, strict=True)), "announced, then recent days" if known else "recent days")

    def _ahead(self, past: Measured, origin: int, end: int) -> Array:
        """(levels, n) by (1)."""
        leads = np.arange(end - origin, dtype=np.int64)
        past = past.between(max(past.first, past.end - KEPT_DAYS * self.clock.steps_per_day), past.end)
        view = market_view(past, np.full(len(leads), origin), leads, self.clock, self.days)
        shares = lead_shares(leads * self.clock.step_minutes / 60, NODE_HOURS)
        expected = self.sets.expected(view.features, shares)
        paths = view.middle + view.scale * (expected + self.sets.errors_at(expected, shares))
        return np.sort(np.clip(paths, *self.limits), axis=0)
