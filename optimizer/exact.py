"""Linear first, exact by checking: either-or conditions are enforced only where an answer breaks them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import count

from optimizer.choices import Choice, Choices, OneOf, WholeNumber, ZeroOrAtLeast
from optimizer.incumbent import feasible_from
from optimizer.program import Program
from optimizer.solver import MIP_GAP, Linear, Solution, Status, solve

WHOLE_FAMILY_FROM_SOLVE = {ZeroOrAtLeast: 1, WholeNumber: 2, OneOf: 2}
"""After this many solves a device that broke a condition has it enforced in all its steps. Part loads move to the next
step when one is forbidden, so all of them at once."""

LEANING_SOLVES = 3
"""How often conditions may be decided as the linear answer leans, each time with those that then break."""
RESERVED_SOLVES = 2.0
"""Time kept for deciding what is broken at the deadline, in times of the linear solve."""


@dataclass(frozen=True)
class Answer:
    """A solved program with what it took to get there."""

    solution: Solution
    solves: int
    enforced: tuple[Choice, ...] = ()
    """The either-or conditions that had to be enforced."""
    cycling: bool = False
    """True when machines have to run below their least part load, because nothing else is feasible."""


def solve_exactly(program: Program, choices: Choices, deadline_s: float, gap: float = MIP_GAP) -> Answer:
    """Linear first; either-or conditions that the answer breaks are enforced, until none is broken.

    Where minimum part loads leave no answer at all, they are given up (machines then cycle) before anything else.
    """
    until = time.perf_counter() + deadline_s
    answer = _enforce(program, choices, until, gap)
    if answer.solution.status is not Status.INFEASIBLE:
        return answer
    strict = choices.never_given_up()
    if len(strict) == len(choices):
        return answer
    loose = _enforce(program, strict, until, gap)
    return replace(loose, solves=answer.solves + loose.solves, cycling=True)


def _enforce(program: Program, choices: Choices, until: float, gap: float) -> Answer:
    """Adds what the last answer broke: the broken steps alone at first, later whole families, so that it ends soon."""
    enforced: tuple[Choice, ...] = ()
    linear, at_hand, reserve_s = None, None, 0.0
    held = Linear(program)
    for solves in count(1):
        began = time.perf_counter()
        left_s = max(0.05, until - reserve_s - began)
        solution = solve(program, enforced, time_limit_s=left_s, gap=gap) if enforced else held.solve(left_s)
        if solution.status is Status.INFEASIBLE:
            return Answer(solution, solves, enforced)
        broken = choices.broken(solution.x) if solution.usable else ()
        if solution.usable and not broken:
            return Answer(solution, solves, enforced)
        if linear is None and solution.usable:
            linear, reserve_s = solution, RESERVED_SOLVES * (time.perf_counter() - began)
            if (leaning := _as_it_leans(held, program, choices, solution, until, gap)) is not None:
                return leaning
        at_hand = solution if solution.usable else at_hand
        missing = set(broken) - set(enforced)
        if not missing:
            if linear is None or at_hand is None:
                return Answer(solution, solves, enforced)
            return _rescued(program, choices, at_hand, linear.objective, (until, reserve_s), solves)
        families = {choice.family for choice in missing if solves >= WHOLE_FAMILY_FROM_SOLVE[type(choice)]}
        wanted = missing | set(enforced)
        enforced = tuple(choice for choice in choices if choice in wanted or choice.family in families)
    raise AssertionError("unreachable: every round adds a family or returns")


def _as_it_leans(
    held: Linear, program: Program, choices: Choices, linear: Solution, until: float, gap: float
) -> Answer | None:
    """The linear answer with its broken conditions decided the way they lean, where that costs less than the gap.

    The linear optimum is a bound for every whole answer, so nothing is left to be searched for then. Each try starts
    from the answer before, which `held` remembers: a third of the time of a start without it.
    """
    taken: dict[Choice, None] = {}
    answer = linear
    for solves in range(2, 2 + LEANING_SOLVES):
        taken |= dict.fromkeys(choices.broken(answer.x))
        decided = Choices(taken).decided(program, linear.x)
        answer = held.within(decided, max(0.05, until - time.perf_counter()))
        extra = (answer.objective - linear.objective) / max(1.0, abs(linear.objective))
        if answer.status is not Status.OPTIMAL or extra > gap:
            return None
        if not choices.broken(answer.x):
            return Answer(replace(answer, gap=max(0.0, extra)), solves, tuple(taken))
    return None


def _rescued(
    program: Program,
    choices: Choices,
    at_hand: Solution,
    bound: float,
    time_left: tuple[float, float],
    solves: int,
) -> Answer:
    """At the deadline: the last answer with its broken conditions decided, if need be with machines that cycle.

    Args:
        time_left: the deadline, and what a linear program is given even after it [s]: an answer late by a few of them
            is better than none, and the caller's own deadline is the hard one.
    """
    until, least_s = time_left

    def left_s() -> float:
        return max(0.05, least_s, until - time.perf_counter())

    strict = choices.never_given_up()
    found = feasible_from(program, choices, at_hand.x, bound, left_s)
    if found is not None:
        return Answer(found, solves + 1)
    found = feasible_from(program, strict, at_hand.x, bound, left_s)
    if found is not None:
        return Answer(found, solves + 1, tuple(strict), cycling=len(strict) < len(choices))
    return Answer(replace(at_hand, status=Status.NO_ANSWER, detail="conditions broken at the deadline"), solves)
