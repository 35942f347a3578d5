"""Among answers of nearly the same cost, the one nearest the last plan, so that setpoints do not chatter.

A second linear program: minimise the distance of the stores' flows to those of the last plan, with every row of the
first program, its either-or decisions as they were taken, and its cost bounded by the optimum plus `MAX_EXTRA_COST`. No
tiny weights stand in the first objective: what is optimal is decided by money alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from optimizer.compiled import INFINITY, Program
from optimizer.solver import ABOVE_ZERO, Choice, OneOf, Solution, Status, WholeNumber, solve
from optimizer.time_grid import Array

MAX_EXTRA_COST = 0.02
"""What a steadier plan may cost more [money]: two units a day, if every cycle of 15 minutes used it up."""


def nearest(
    program: Program, choices: tuple[Choice, ...], solution: Solution, wanted: Mapping[int, float], time_limit_s: float
) -> Solution:
    """The answer nearest the wanted values of some columns; the given one when there is none in time.

    Shadow prices stay those of the cheapest answer.
    """
    if not wanted:
        return solution
    decided = with_decisions(program, choices, solution.x, wanted)
    steady = solve(_towards(decided, wanted, solution.objective + MAX_EXTRA_COST), time_limit_s=time_limit_s)
    if steady.status is not Status.OPTIMAL:
        return solution
    x = steady.x[: len(program.cost)]
    return replace(solution, x=x, objective=float(program.cost @ x) + program.offset)


def with_decisions(program: Program, choices: tuple[Choice, ...], x: Array, wanted: Mapping[int, float]) -> Program:
    """The program in which every either-or condition stays as the answer has it; undecided ones follow the wish."""
    lower, upper = program.lower.copy(), program.upper.copy()
    for choice in choices:
        if isinstance(choice, OneOf):
            first, second = (x[c] if max(x[choice.first], x[choice.second]) > ABOVE_ZERO else wanted.get(c, 0.0)
                             for c in (choice.first, choice.second))  # fmt: skip
            unused = choice.second if first >= second else choice.first
            upper[unused] = max(0.0, lower[unused])
        elif isinstance(choice, WholeNumber):
            lower[choice.column] = upper[choice.column] = round(float(x[choice.column]))
        elif x[choice.column] > ABOVE_ZERO:
            lower[choice.column] = choice.minimum
        else:
            upper[choice.column] = 0.0
    return replace(program, lower=lower, upper=upper)


def _towards(program: Program, wanted: Mapping[int, float], greatest_cost: float) -> Program:
    """Distances d >= |x - wanted| as new columns, their sum as the objective, the old objective as a bounded row."""
    columns, count = len(program.cost), len(wanted)
    index = np.fromiter(wanted.keys(), dtype=np.int32, count=count)
    value = np.fromiter(wanted.values(), dtype=float, count=count)
    chosen = sparse.csr_matrix((np.ones(count), (np.arange(count), index)), shape=(count, columns))
    own = sparse.identity(count, format="csr")
    old = sparse.csr_matrix((program.value, program.index, program.start), shape=(len(program.row_lower), columns))
    paid = sparse.csr_matrix(program.cost[None, :])
    blocks: Any = [[old, None], [chosen, -own], [chosen, own], [paid, None]]
    matrix = sparse.csr_matrix(sparse.bmat(blocks))
    free = np.full(count, INFINITY)
    return Program(
        cost=np.concatenate([np.zeros(columns), np.ones(count)]),
        offset=0.0,
        lower=np.concatenate([program.lower, np.zeros(count)]),
        upper=np.concatenate([program.upper, free]),
        row_lower=np.concatenate([program.row_lower, -free, value, [-INFINITY]]),
        row_upper=np.concatenate([program.row_upper, value, free, [greatest_cost - program.offset]]),
        start=matrix.indptr.astype(np.int32),
        index=matrix.indices.astype(np.int32),
        value=matrix.data,
    )
