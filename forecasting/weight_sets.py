"""Linear weights by lead and the errors they leave: learned for the least absolute error, drawn to what is assumed.

    ŷ = w·x,   w between the sets of two leads by a straight line                              (1)

Least absolute errors are found by reweighted least squares. Errors are kept as quantiles by set and by size of the
expectation: how wrong a forecast can be depends on both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from forecasting.day_types import Bools
from forecasting.forecast import LEVELS, Array

PRIOR_ROWS = 50.0
"""Rows that weigh as much as the weights assumed beforehand."""
FEWEST_ROWS = 400
"""With fewer rows than this the errors are assumed, too."""
REWEIGHTINGS = 8
SMALL = 0.02
"""Errors below this count quadratically; the unit is that of the target, of order 1."""


@dataclass(frozen=True)
class WeightSets:
    """Weights and errors by set."""

    weights: Array
    """(sets, features)"""
    at: Array
    """(sets, bins) expectations at which the errors are known, rising."""
    errors: Array
    """(sets, bins, levels) quantiles of the target less its expectation."""

    def expected(self, features: Array, shares: Array) -> Array:
        """(n,) ŷ for (n, features) and (n, sets) shares of the sets."""
        expected: Array = np.einsum("nf,ns,sf->n", features, shares, self.weights, optimize=True)
        return expected

    def errors_at(self, expected: Array, shares: Array) -> Array:
        """(levels, n) error quantiles."""
        errors = np.zeros((self.errors.shape[2], len(expected)))
        for number, (at, known) in enumerate(zip(self.at, self.errors, strict=True)):
            used = shares[:, number] > 0
            errors[:, used] += shares[used, number] * np.stack([np.interp(expected[used], at, q) for q in known.T])
        return errors


@dataclass(frozen=True)
class Rows:
    """What a set is fitted on: targets of order 1."""

    features: Array
    target: Array
    importance: Array
    """(n,) weight of each row's error, of mean 1."""

    def of(self, chosen: Bools) -> Rows:
        return Rows(self.features[chosen], self.target[chosen], self.importance[chosen])


def fit_sets(
    rows: Sequence[Rows], assumed: Sequence[Array], assumed_errors: Array, bins: int, bounded: Callable[[Array], Array]
) -> WeightSets:
    """One set from each of `rows`; `assumed` are the weights and errors ((levels,)) without any.

    `bounded` brings an expectation within physical bounds before its error is taken.
    """
    parts = [_fit_set(part, start, assumed_errors, bins, bounded) for part, start in zip(rows, assumed, strict=True)]
    weights, at, errors = (np.stack(part) for part in zip(*parts, strict=True))
    return WeightSets(weights, at, errors)


def _fit_set(
    rows: Rows, assumed: Array, assumed_errors: Array, bins: int, bounded: Callable[[Array], Array]
) -> tuple[Array, Array, Array]:
    weights = assumed
    if len(rows.target):
        weights = assumed + _least_absolute(rows.features, rows.target - rows.features @ assumed, rows.importance)
    if len(rows.target) < FEWEST_ROWS:
        return weights, np.linspace(0.0, 1.0, bins), np.tile(assumed_errors, (bins, 1))
    expected = bounded(rows.features @ weights)
    parts = np.array_split(np.argsort(expected, kind="stable"), bins)
    at = np.array([np.median(expected[part]) for part in parts])
    errors = np.stack([np.quantile(rows.target[part] - expected[part], LEVELS) for part in parts])
    return weights, at, errors


def _least_absolute(x: Array, y: Array, importance: Array) -> Array:
    """Weights of least absolute error, drawn to zero as by `PRIOR_ROWS` rows."""
    prior = PRIOR_ROWS * np.diag(np.maximum(np.mean(x * x, axis=0), 1e-3))
    now, weights = importance, np.zeros(x.shape[1])
    for _ in range(REWEIGHTINGS):
        weighted = x * now[:, None]
        weights = np.asarray(np.linalg.solve(weighted.T @ x + prior, weighted.T @ y), dtype=float)
        now = importance / np.maximum(np.abs(y - x @ weights), SMALL)
    return weights


def lead_shares(leads: Array, nodes: Sequence[float]) -> Array:
    """(n, nodes) shares of the nodes in leads: a straight line between two, the last one beyond it."""
    place = np.interp(leads, nodes, np.arange(len(nodes)))
    shares: Array = np.maximum(1 - np.abs(place[:, None] - np.arange(len(nodes))), 0.0)
    return shares
