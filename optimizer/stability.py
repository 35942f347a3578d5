"""Among answers of the same cost, the one nearest the last plan, so that setpoints do not chatter.

Every optimum of a linear program keeps what the shadow prices of one optimum hold: columns with a reduced cost stay at
their bound, rows with a price stay tight. What remains free is the face of all optima. On it, the coarse steps left as
they are, a second, small linear program minimises the distance of the stores' flows to those of the last plan: each is
w + more - less, so that the last plan itself is where its solver begins. No tiny weights stand in the first objective:
what is optimal is decided by money alone, and the shadow prices of the first answer are those of the second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from optimizer.choices import Choices
from optimizer.program import Part, Places, Program, without_fixed
from optimizer.solver import Solution, Status, solve
from optimizer.time_grid import Array

MAX_EXTRA_COST = 0.001
"""What a steadier plan may cost more by rounding [money]; one that costs more is not taken."""
HELD = 1e-7
"""Reduced costs and shadow prices above this hold their column or row [money per unit]."""


@dataclass(frozen=True)
class Wish:
    """Values wanted for some columns."""

    columns: Places
    values: Array
    kept: Places
    """Other columns, that stay as they are: those of the coarse steps, which are not carried out."""

    def spread(self, columns: int) -> Array:
        """(columns,) the wanted values, 0 where nothing is wanted."""
        full = np.zeros(columns)
        full[self.columns] = self.values
        return full


def nearest(program: Program, choices: Choices, solution: Solution, wish: Wish, time_limit_s: float) -> Solution:
    """The optimal answer nearest the wish; the given one when there is none in time."""
    if not len(wish.columns) or not len(solution.col_dual):
        return solution
    face = _face(choices.decided(program, solution.x, wish.spread(len(solution.x))), solution, wish.kept)
    at, value = _on_face(wish, face)
    steady = solve(_towards(face.program, at, value), time_limit_s=time_limit_s)
    if steady.status is not Status.OPTIMAL:
        return solution
    here = steady.x[: len(face.columns)]
    here[at] += value - steady.x[len(face.columns) :]
    x = face.whole(here)
    cost = program.cost_of(x)
    return replace(solution, x=x, objective=cost) if cost <= solution.objective + MAX_EXTRA_COST else solution


def _face(program: Program, solution: Solution, kept: Places) -> Part:
    """All optima with the same `kept` columns: the program in which everything that has a price stays as it is."""
    x, held, tight = solution.x, np.abs(solution.col_dual) > HELD, np.abs(solution.row_dual) > HELD
    held[kept] = True
    activity = np.asarray(program.matrix @ x)
    return without_fixed(
        replace(
            program,
            lower=np.where(held, x, program.lower),
            upper=np.where(held, x, program.upper),
            row_lower=np.where(tight, activity, program.row_lower),
            row_upper=np.where(tight, activity, program.row_upper),
        )
    )


def _on_face(wish: Wish, face: Part) -> tuple[Places, Array]:
    """Places of the wish's columns among the free ones, and its values within their bounds."""
    among = np.isin(wish.columns, face.columns)
    at = np.searchsorted(face.columns, wish.columns[among])
    return at, np.clip(wish.values[among], face.program.lower[at], face.program.upper[at])


def _towards(program: Program, at: Places, value: Array) -> Program:
    """Each column `at` becomes value + more - less; what is minimised is the sum of more and less."""
    matrix = program.matrix
    chosen = matrix[:, at]
    moved = np.asarray(chosen @ value)
    cost, lower, upper = np.zeros(len(program.cost)), program.lower.copy(), program.upper.copy()
    cost[at], lower[at], upper[at] = 1.0, 0.0, program.upper[at] - value
    less = np.zeros(len(at)), value - program.lower[at]
    return Program.of(
        np.concatenate([cost, np.ones(len(at))]),
        0.0,
        (np.concatenate([lower, less[0]]), np.concatenate([upper, less[1]])),
        (program.row_lower - moved, program.row_upper - moved),
        sparse.csr_matrix(sparse.hstack([matrix, -chosen])),
    )
