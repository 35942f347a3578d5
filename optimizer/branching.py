"""Branch and bound by bounds alone: a few either-or conditions searched in a linear program that stays in the solver.

Each node is the held program within narrower bounds, solved from the basis of the node before: a few milliseconds,
where a mixed-integer solve of the whole starts from nothing. Meant for answers that break few conditions; with more
nodes than `NODES` the solver's own search is the better one.

Source: E. Beale, J. Tomlin, "Special facilities in a general mathematical programming system for non-convex problems
using ordered sets of variables", 1970 (branching on which of two columns is 0, without a binary for it).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.choices import Choice, Choices, OneOf, WholeNumber, ZeroOrAtLeast
from optimizer.program import Program
from optimizer.solver import Linear, Solution, Status
from optimizer.time_grid import Array

NODES = 30
"""About as many linear programs as half the solver's own search takes time for: what thirty do not find or prove, sixty
seldom do."""
FAR_GAPS = 100.0
"""A known answer further away than this, with more conditions than a whole tree of `NODES` could decide, is taken as it
is: such a bound prunes nothing, and the solver's own search with cuts takes a third of the nodes' time."""


@dataclass(frozen=True)
class Found:
    """The best answer of a search, with its proven distance from the optimum."""

    solution: Solution
    solves: int
    decided: tuple[Choice, ...]


@dataclass(frozen=True)
class _Node:
    """A part of the program still to be searched."""

    program: Program
    decided: tuple[Choice, ...] = ()


def branched(
    held: Linear,
    root: Program,
    choices: Choices,
    linear: Solution,
    known: Found | None,
    until: float,
    gaps: tuple[float, float],
) -> Found | None:
    """The best answer found; its own gap is above the one asked for where `NODES` or time end before the proof.

    Args:
        root: the program without any condition, as `held` was given it, and `linear` its answer.
        known: an answer that keeps all conditions, where one is at hand.
        until: on the clock of `time.perf_counter` [s].
        gaps: the one asked for, and the distance from `linear` that ends the search without more proof.
    """
    gap, enough = gaps
    broken = choices.broken(linear.x)
    if known is not None and known.solution.gap > FAR_GAPS * gap and 2 ** len(broken) > NODES:
        return known
    best, lowest, solves = known, np.inf, 0
    open_nodes = _children(_Node(root), broken, linear.x)
    while open_nodes:
        node, solves = open_nodes.pop(), solves + 1
        left_s = until - time.perf_counter()
        found = held.within(node.program, left_s) if solves <= NODES and left_s > 0 else None
        if found is None or found.status not in (Status.OPTIMAL, Status.INFEASIBLE):
            lowest = linear.objective
            break
        if found.status is Status.INFEASIBLE:
            continue
        if best is not None and found.objective >= best.solution.objective - gap * scale_of(best.solution.objective):
            lowest = min(lowest, found.objective)
        elif broken := choices.broken(found.x):
            open_nodes += _children(node, broken, found.x)
        else:
            best = Found(found, 0, node.decided)
            if found.objective - linear.objective <= enough * scale_of(found.objective):
                lowest = linear.objective
                break
    return None if best is None else _measured(best, lowest, solves)


def pays_by_itself(program: Program, choice: Choice) -> bool:
    """Whether a kW through both columns earns, as buying and selling at once does where export pays more."""
    return isinstance(choice, OneOf) and bool(program.cost[choice.first] + program.cost[choice.second] < 0)


def scale_of(objective: float) -> float:
    """What gaps are relative to: the cost, and at least 1."""
    return max(1.0, abs(objective))


def _measured(best: Found, lowest: float, solves: int) -> Found:
    """The answer with its distance from the lowest cost that a part not searched could have."""
    objective = best.solution.objective
    gap = max(0.0, objective - lowest) / scale_of(objective)
    return Found(replace(best.solution, gap=gap), best.solves + solves, best.decided)


def _children(node: _Node, broken: Sequence[Choice], x: Array) -> list[_Node]:
    """The two ways to decide the condition that is broken most; the one it leans to last, to be searched first."""
    choice = max(broken, key=lambda one: _weight(one, x))
    decided = (*node.decided, choice)
    return [_Node(program, decided) for program in _both_ways(node.program, choice, x)]


def _weight(choice: Choice, x: Array) -> tuple[bool, float]:
    """Decisions on and off before flows, then by how much is broken."""
    if isinstance(choice, WholeNumber):
        return True, abs(x[choice.column] - round(x[choice.column]))
    if isinstance(choice, OneOf):
        return False, min(x[choice.first], x[choice.second])
    return False, min(x[choice.column], choice.minimum - x[choice.column])


def _both_ways(program: Program, choice: Choice, x: Array) -> tuple[Program, Program]:
    if isinstance(choice, OneOf):
        unused = [_below(program, column, 0.0) for column in (choice.first, choice.second)]
        return (unused[0], unused[1]) if x[choice.first] >= x[choice.second] else (unused[1], unused[0])
    column = choice.column
    most, least = np.floor(x[column]), np.ceil(x[column])
    if isinstance(choice, ZeroOrAtLeast):
        most, least = 0.0, choice.minimum
    more, less = _above(program, column, least), _below(program, column, most)
    return (less, more) if x[column] - most >= least - x[column] else (more, less)


def _below(program: Program, column: int, most: float) -> Program:
    upper = program.upper.copy()
    upper[column] = max(most, program.lower[column])
    return replace(program, upper=upper)


def _above(program: Program, column: int, least: float) -> Program:
    lower = program.lower.copy()
    lower[column] = min(least, program.upper[column])
    return replace(program, lower=lower)
