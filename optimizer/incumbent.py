"""A feasible answer out of one that still breaks either-or conditions, for when time is over.

Every condition is decided by the answer at hand, in a few ways one after the other, and the rest is a linear program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from optimizer.compiled import Program
from optimizer.solver import ABOVE_ZERO, Choice, Solution, Status, WholeNumber, ZeroOrAtLeast, is_kept, solve
from optimizer.stability import with_decisions
from optimizer.time_grid import Array


def feasible_from(
    program: Program, choices: tuple[Choice, ...], x: Array, bound: float, left_s: Callable[[], float]
) -> Solution | None:
    """The best of the first decisions that work out, labelled feasible with its distance from the bound.

    Args:
        x: an answer that keeps all rows, but not all conditions.
        bound: a cost that no answer can be below.
    """
    for decided in _decisions(choices, x):
        found = solve(with_decisions(program, choices, decided, {}), time_limit_s=left_s())
        if found.status is Status.OPTIMAL and all(is_kept(choice, found.x) for choice in choices):
            gap = max(0.0, found.objective - bound) / max(abs(found.objective), ABOVE_ZERO)
            return replace(found, status=Status.FEASIBLE, gap=gap, detail="decided at the deadline")
    return None


def _decisions(choices: tuple[Choice, ...], x: Array) -> Iterator[Array]:
    """The nearest decisions; all that run at all fully on; only those that run fully; none of the on/off machines."""
    yield _rounded(choices, x, whole=np.round, least_share=0.5)
    yield _rounded(choices, x, whole=lambda value: np.ceil(value - ABOVE_ZERO), least_share=0.0)
    yield _rounded(choices, x, whole=lambda value: np.floor(value + ABOVE_ZERO), least_share=1.0)
    yield _rounded(choices, x, whole=lambda value: 0.0, least_share=1.0)


def _rounded(choices: tuple[Choice, ...], x: Array, whole: Callable[[float], float], least_share: float) -> Array:
    decided = x.copy()
    for choice in choices:
        if isinstance(choice, WholeNumber):
            decided[choice.column] = whole(float(x[choice.column]))
        elif isinstance(choice, ZeroOrAtLeast) and x[choice.column] < least_share * choice.minimum - ABOVE_ZERO:
            decided[choice.column] = 0.0
    return decided
