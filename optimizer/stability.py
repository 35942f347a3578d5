"""Among answers of the same cost, the one nearest the last plan, so that setpoints do not chatter.

Every optimum of a linear program keeps what the shadow prices of one optimum hold: columns with a reduced cost stay at
their bound, rows with a price stay tight. What remains free is the face of all optima, and on it a second, small linear
program minimises the distance of the stores' flows to those of the last plan: each is w + more - less, so that the last
plan itself is where its solver begins. No tiny weights stand in the first objective: what is optimal is decided by
money alone, and the shadow prices of the first answer are those of the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from optimizer.choices import Choices
from optimizer.compiled import Program
from optimizer.solver import Solution, Status, solve
from optimizer.time_grid import Array

Columns = NDArray[np.intp]

MAX_EXTRA_COST = 0.001
"""What a steadier plan may cost more by rounding [money]; one that costs more is not taken."""
HELD = 1e-7
"""Reduced costs and shadow prices above this hold their column or row [money per unit]."""


def nearest(
    program: Program, choices: Choices, solution: Solution, wanted: Mapping[int, float], time_limit_s: float
) -> Solution:
    """The optimal answer nearest the wanted values of some columns; the given one when there is none in time."""
    if not wanted or not len(solution.col_dual):
        return solution
    decided = choices.decided(program, solution.x, wanted)
    free = np.flatnonzero((np.abs(solution.col_dual) <= HELD) & (decided.upper > decided.lower))
    face = _face(decided, solution, free)
    at, value = _wanted_on(face, free, wanted)
    steady = solve(_towards(face, at, value), time_limit_s=time_limit_s)
    if steady.status is not Status.OPTIMAL:
        return solution
    x = solution.x.copy()
    x[free] = steady.x[: len(free)]
    x[free[at]] += value - steady.x[len(free) :]
    cost = float(program.cost @ x) + program.offset
    return replace(solution, x=x, objective=cost) if cost <= solution.objective + MAX_EXTRA_COST else solution


def _face(program: Program, solution: Solution, free: Columns) -> Program:
    """The optima as a program on the free columns alone, without an objective; the others stay as they are."""
    matrix = sparse.csr_matrix(
        (program.value, program.index, program.start), shape=(len(program.row_lower), len(program.cost))
    )
    activity = np.asarray(matrix @ solution.x)
    part = matrix[:, free]
    left = activity - part @ solution.x[free]
    tight = np.abs(solution.row_dual) > HELD
    rows = np.flatnonzero(np.diff(part.indptr))
    kept = part[rows]
    return Program(
        cost=np.zeros(len(free)),
        offset=0.0,
        lower=program.lower[free],
        upper=program.upper[free],
        row_lower=(np.where(tight, activity, program.row_lower) - left)[rows],
        row_upper=(np.where(tight, activity, program.row_upper) - left)[rows],
        start=kept.indptr.astype(np.int32),
        index=kept.indices.astype(np.int32),
        value=kept.data,
    )


def _wanted_on(face: Program, free: Columns, wanted: Mapping[int, float]) -> tuple[Columns, Array]:
    """Places of the wanted columns among the free ones, and their wanted values within their bounds."""
    columns = np.fromiter(wanted.keys(), dtype=int, count=len(wanted))
    values = np.fromiter(wanted.values(), dtype=float, count=len(wanted))
    among = np.isin(columns, free)
    at = np.searchsorted(free, columns[among])
    return at, np.clip(values[among], face.lower[at], face.upper[at])


def _towards(face: Program, at: Columns, value: Array) -> Program:
    """Each column `at` becomes value + more - less; what is minimised is the sum of more and less."""
    columns = len(face.cost)
    matrix = sparse.csr_matrix((face.value, face.index, face.start), shape=(len(face.row_lower), columns))
    chosen = matrix[:, at]
    moved = chosen @ value
    both = sparse.csr_matrix(sparse.hstack([matrix, -chosen]))
    cost, lower, upper = face.cost.copy(), face.lower.copy(), face.upper.copy()
    cost[at], lower[at], upper[at] = 1.0, 0.0, face.upper[at] - value
    count = len(at)
    return Program(
        cost=np.concatenate([cost, np.ones(count)]),
        offset=0.0,
        lower=np.concatenate([lower, np.zeros(count)]),
        upper=np.concatenate([upper, value - face.lower[at]]),
        row_lower=face.row_lower - moved,
        row_upper=face.row_upper - moved,
        start=both.indptr.astype(np.int32),
        index=both.indices.astype(np.int32),
        value=both.data,
    )
