"""Linear first, exact by checking: either-or conditions are enforced only where an answer breaks them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import count

from optimizer.choices import Choice, Choices, OneOf, WholeNumber, ZeroOrAtLeast
from optimizer.program import Program
from optimizer.solver import MIP_GAP, Solution, Status, solve

WHOLE_FAMILY_FROM_SOLVE = {ZeroOrAtLeast: 1, WholeNumber: 2, OneOf: 2}
"""After this many solves a device that broke a condition has it enforced in all its steps. Part loads move to the next
step when one is forbidden, so all of them at once."""

LEANING_SOLVES = 3
"""How often conditions may be decided as the linear answer leans, each time with those that then break."""


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
    strict = Choices(choice for choice in choices if not (isinstance(choice, ZeroOrAtLeast) and choice.may_cycle))
    if answer.solution.status is not Status.INFEASIBLE or len(strict) == len(choices):
        return answer
    loose = _enforce(program, strict, until, gap)
    return replace(loose, solves=answer.solves + loose.solves, cycling=True)


def _enforce(program: Program, choices: Choices, until: float, gap: float) -> Answer:
    """Adds what the last answer broke: the broken steps alone at first, later whole families, so that it ends soon."""
    enforced: tuple[Choice, ...] = ()
    for solves in count(1):
        solution = solve(program, enforced, time_limit_s=max(0.05, until - time.perf_counter()), gap=gap)
        if not solution.usable:
            return Answer(solution, solves, enforced)
        broken = choices.broken(solution.x)
        if not broken:
            return Answer(solution, solves, enforced)
        if solves == 1 and (leaning := _as_it_leans(program, choices, solution, until, gap)) is not None:
            return leaning
        missing = set(broken) - set(enforced)
        if not missing:
            return Answer(replace(solution, status=Status.NO_ANSWER, detail=f"{len(broken)} conditions broken"), solves)
        families = {choice.family for choice in missing if solves >= WHOLE_FAMILY_FROM_SOLVE[type(choice)]}
        wanted = missing | set(enforced)
        enforced = tuple(choice for choice in choices if choice in wanted or choice.family in families)
    raise AssertionError("unreachable: every round adds a family or returns")


def _as_it_leans(program: Program, choices: Choices, linear: Solution, until: float, gap: float) -> Answer | None:
    """The linear answer with its broken conditions decided the way they lean, where that costs less than the gap.

    The linear optimum is a bound for every whole answer, so nothing is left to be searched for then.
    """
    taken: dict[Choice, None] = {}
    answer = linear
    for solves in range(2, 2 + LEANING_SOLVES):
        taken |= dict.fromkeys(choices.broken(answer.x))
        decided = Choices(taken).decided(program, linear.x)
        answer = solve(decided, time_limit_s=max(0.05, until - time.perf_counter()), gap=gap)
        extra = (answer.objective - linear.objective) / max(1.0, abs(linear.objective))
        if answer.status is not Status.OPTIMAL or extra > gap:
            return None
        if not choices.broken(answer.x):
            return Answer(replace(answer, gap=max(0.0, extra)), solves, tuple(taken))
    return None
