"""How much each member of a blend counts: weights >= 0 that sum to 1, from recent errors.

    min over w  Σ_i r_i·(Σ_m w_m·e[m, i])² / S + λ·|w - w0|²,   r_i = 1/|blended error of the last round|      (1)

S is the sum as it stands, so that λ is relative to the error reached. The reweighting r turns squares into absolute
errors, so that one odd day does not choose the members. The pull λ towards usual weights w0 is for what four weeks
cannot tell: members that are nearly alike share instead of taking turns.
"""

from __future__ import annotations

import numpy as np

from forecasting.forecast import Array

PULL, PULL_PER_HOUR = 0.05, 0.02
"""λ near by, and more for each hour of lead: errors a day ahead last a day, so four weeks hold few of them."""
ROUNDS = 4
SUM_WEIGHT = 1e3
"""Of the row that makes the weights sum to 1, against rows of size 1."""
EDGES_HOURS = (0.3, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Leads between two edges are weighed together; weights run straight from the middle of one group to the next."""


def weights_by_lead(errors: Array, usual: Array, step_hours: float) -> Array:
    """(members, leads) weights from (members, n, leads) errors, NaN where nothing was measured, and the usual ones."""
    count = errors.shape[2]
    hours = (np.arange(count) + 1) * step_hours
    groups = np.searchsorted(EDGES_HOURS, hours, side="left")
    names = np.unique(groups)
    middles = np.array([np.log(hours[groups == name]).mean() for name in names])
    of_groups = [errors[:, :, groups == name].reshape(len(errors), -1) for name in names]
    pulls = PULL + PULL_PER_HOUR * np.exp(middles)
    usual_of = [usual[:, groups == name].mean(axis=1) for name in names]
    found = zip(of_groups, usual_of, pulls, strict=True)
    weights = np.stack([blend_weights(group, often, float(pull)) for group, often, pull in found], axis=1)
    by_lead = np.stack([np.interp(np.log(hours), middles, of_member) for of_member in weights])
    return np.asarray(by_lead / by_lead.sum(axis=0), dtype=float)


def blend_weights(errors: Array, usual: Array, pull: float) -> Array:
    """(members,) weights of (1) from (members, n) errors; the usual ones where nothing is known."""
    from scipy.optimize import nnls

    members = len(errors)
    known = errors[:, np.isfinite(errors).all(axis=0)]
    smallest = 0.05 * float(np.abs(known).mean()) if known.size else 0.0
    weights = usual
    for _ in range(ROUNDS if smallest > 0 else 0):
        blended = np.maximum(np.abs(weights @ known), smallest)
        gram = (known / blended) @ known.T / float(blended.sum())
        root = np.linalg.cholesky(gram + pull * np.eye(members)).T
        rows = np.vstack([root, np.full((1, members), SUM_WEIGHT)])
        weights = np.asarray(nnls(rows, np.append(np.linalg.solve(root.T, pull * usual), SUM_WEIGHT))[0], dtype=float)
        weights = weights / weights.sum()
    return weights
