"""A feasible answer out of one that still breaks either-or conditions, for when time is over.

Every condition is decided by the answer at hand, in a few ways one after the other, and the rest is a linear program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from optimizer.choices import ABOVE_ZERO, Choices
from optimizer.program import Program
from optimizer.solver import Solution, Status, solve
from optimizer.time_grid import Array


def feasible_from(
    program: Program, choices: Choices, x: Array, bound: float, left_s: Callable[[], float]
) -> Solution | None:
    """The best of the first decisions that work out, labelled feasible with its distance from the bound.

    Args:
        x: an answer that keeps all rows, but not all conditions.
        bound: a cost that no answer can be below.
    """
    for decided in _decisions(choices, x):
        found = solve(choices.decided(program, decided), time_limit_s=left_s())
        if found.status is Status.OPTIMAL and not choices.broken(found.x):
            gap = max(0.0, found.objective - bound) / max(abs(found.objective), ABOVE_ZERO)
            return replace(found, status=Status.FEASIBLE, gap=gap, detail="decided at the deadline")
    return None


def _decisions(choices: Choices, x: Array) -> Iterator[Array]:
    """The nearest decisions; all that run at all fully on; only those that run fully; none of the on/off machines."""
    yield choices.rounded(x, whole=np.round, least_share=0.5)
    yield choices.rounded(x, whole=lambda values: np.ceil(values - ABOVE_ZERO), least_share=0.0)
    yield choices.rounded(x, whole=lambda values: np.floor(values + ABOVE_ZERO), least_share=1.0)
    yield choices.rounded(x, whole=np.zeros_like, least_share=1.0)
