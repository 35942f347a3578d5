"""What the linear model leaves: gradient-boosted trees on its residual, scaled per lead, one forest for all leads.

    ŷ[o+h] = linear[o, h] + s[h]·F(x[o, h]/s, linear, slot, weekday, day types around, lead, time of year)      (1)

s[h] is the median absolute residual of the linear model at lead h, so that every lead counts alike; x are the features
of the linear model in units of the series' own anomalies. Trees see what weights cannot: this hour on this kind of day
after that kind of day. Loss is absolute: the median is wanted, and odd days must not lead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forecasting.day_types import DayTable, Ints, LocalClock
from forecasting.forecast import Array
from forecasting.near_model import PROFILE_CHANGE, PROFILE_STEP, NearModel, NearView, near_leads

TREES, FEW_TREES = 160, 50
"""Grown from more than a year of history, and from less."""
LEARNING_RATE = 0.07
LEAVES = 31
DEPTH = 6
FEWEST_ROWS = 100
"""In a leaf. Rows of neighbouring origins are alike, so it takes many of them to say something."""
MOST_ROWS = 60_000
ROWS_A_DAY = 300
"""Drawn of a short history by forests that draw their rows: more of the same days teach noise, and take time."""
DENSE_HOURS = 1.0
"""Leads that every origin teaches [h]: what the next minutes bring is another question than what the day brings."""
ROWS_AT_ONCE = 256
"""So that the nodes of all trees for these rows stay in the cache."""
YEAR_DAYS = 365.25
SEED = 1


@dataclass(frozen=True)
class Forest:
    """Trees as plain arrays over all their nodes; a leaf points to itself."""

    roots: Ints
    """(trees,) node where each tree starts."""
    feature: Ints
    threshold: Array
    left: Ints
    right: Ints
    value: Array
    depth: int
    base: float

    def predict(self, rows: Array) -> Array:
        """(n,) sum of the trees, for (n, features)."""
        parts = [self._predict(rows[first : first + ROWS_AT_ONCE]) for first in range(0, len(rows), ROWS_AT_ONCE)]
        return np.concatenate(parts)

    def _predict(self, rows: Array) -> Array:
        flat, starts = np.ascontiguousarray(rows).ravel(), (np.arange(len(rows)) * rows.shape[1])[:, None]
        node = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        for _ in range(self.depth):
            goes_left = flat[starts + self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        total: Array = self.base + self.value[node].sum(axis=1)
        return total


@dataclass(frozen=True)
class Boosted:
    """F and its scales of (1)."""

    forest: Forest
    unit: float
    """Median absolute anomaly of the series."""
    scale: Array
    """(leads,) s[h]."""
    seasonal: bool
    """Whether the trees know the time of the year: not before they have seen a whole one."""

    def residual(self, view: NearView, linear: Array, clock: LocalClock, days: DayTable) -> Array:
        """(n, leads) what the trees add to the linear forecast; all origins must be usable."""
        rows = _rows(view, linear, self.unit, self.seasonal, clock, days)
        added: Array = self.scale * self.forest.predict(rows.reshape(-1, rows.shape[2])).reshape(linear.shape)
        return added


def fit_boosted(view: NearView, model: NearModel, targets: Array, clock: LocalClock, days: DayTable) -> Boosted:
    """Trees on the residual of `model` at usable origins with (n, leads) measured targets."""
    keep = view.usable
    view, targets = view.of(keep), targets[keep]
    linear = view.forecast(model)
    residual = targets - linear
    unit = scale_of(targets - view.profile)
    scale = np.array([scale_of(residual[:, h]) for h in range(residual.shape[1])])
    seasonal = bool(view.origins[-1] - view.origins[0] > YEAR_DAYS * clock.steps_per_day)
    rows = _rows(view, linear, unit, seasonal, clock, days)
    taken = _some_leads(residual.shape, clock.steps_in(DENSE_HOURS)) & np.isfinite(residual)
    forest = grown(rows[taken], (residual / scale)[taken], TREES if seasonal else FEW_TREES)
    return Boosted(forest, unit, scale, seasonal)


def grown(
    rows: Array,
    target: Array,
    trees: int,
    learning_rate: float = LEARNING_RATE,
    depth: int = DEPTH,
    share_of_features: float = 1.0,
) -> Forest:
    from sklearn.ensemble import HistGradientBoostingRegressor  # slow to import, only the fitting process needs it

    learner = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=trees,
        learning_rate=learning_rate,
        max_leaf_nodes=LEAVES,
        max_depth=depth,
        max_features=share_of_features,
        min_samples_leaf=FEWEST_ROWS,
        max_bins=127,
        early_stopping=False,
        random_state=SEED,
    )
    return plain_forest(learner.fit(rows, target))


def plain_forest(learner: Any) -> Forest:
    """A fitted learner as arrays: quick for few rows, and readable by a process that never imports scikit-learn."""
    trees = [stage[0].nodes for stage in learner._predictors]
    roots = np.concatenate([[0], np.cumsum([len(tree) for tree in trees])[:-1]]).astype(np.int64)
    nodes = np.concatenate(trees)
    own = np.arange(len(nodes), dtype=np.int64)
    start = np.repeat(roots, [len(tree) for tree in trees])
    leaf = nodes["is_leaf"].astype(bool)
    return Forest(
        roots=roots,
        feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
        threshold=np.where(leaf, np.inf, nodes["num_threshold"]),
        left=np.where(leaf, own, start + nodes["left"]),
        right=np.where(leaf, own, start + nodes["right"]),
        value=nodes["value"].astype(float),
        depth=int(nodes["depth"].max()),
        base=float(learner._baseline_prediction.item()),
    )


def _rows(view: NearView, linear: Array, unit: float, seasonal: bool, clock: LocalClock, days: DayTable) -> Array:
    """(n, leads, features) of (1)."""
    leads = near_leads(clock)
    targets = view.origins[:, None] + leads
    target_days, slots = (part.reshape(targets.shape) for part in clock.days_and_slots(targets.ravel()))
    origin_days, _ = clock.days_and_slots(view.origins)
    calendar = [
        slots,
        (target_days + 3) % 7,
        *(days.is_off(target_days + shift) for shift in (-1, 0, 1)),
        days.is_special(target_days),
        np.broadcast_to(days.is_off(origin_days)[:, None], targets.shape),
        np.broadcast_to(leads, targets.shape),
        target_days % YEAR_DAYS if seasonal else np.zeros(targets.shape),
    ]
    since_then = view.features[:, :, PROFILE_STEP] + view.features[:, :, PROFILE_CHANGE]
    last_value = view.features[:, :, 0] - since_then  # its distance from the target's profile
    known = np.concatenate([view.features, np.stack([linear - view.profile, last_value], axis=2)], axis=2) / unit
    return np.concatenate([known, np.stack(calendar, axis=2)], axis=2)


def _some_leads(shape: tuple[int, ...], dense: int) -> NDArray[np.bool_]:
    """(n, leads) the first leads of each origin, and some of the others by chance: neighbours tell the same twice."""
    share = MOST_ROWS / max(1, shape[0] * shape[1])
    places: NDArray[np.bool_] = (np.arange(shape[1]) < dense) | (np.random.default_rng(SEED).random(shape) < share)
    return places


def rows_drawn(length: int, clock: LocalClock, most: int) -> int:
    """How many rows a forest draws from a history of so many steps."""
    return min(most, int(ROWS_A_DAY * length / clock.steps_per_day))


def scale_of(errors: Array) -> float:
    """Median absolute value of those measured, never zero."""
    known = np.abs(errors[np.isfinite(errors)])
    middle = float(np.median(known)) if known.size else 0.0
    return middle or float(known.mean() if known.size else 0.0) or 1.0
