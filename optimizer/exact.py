"""Linear first, exact by checking: either-or conditions are enforced only where an answer breaks them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import count

from optimizer.branching import FAR_GAPS, Found, branched, pays_by_itself, scale_of
from optimizer.choices import Choice, Choices, OneOf, WholeNumber, ZeroOrAtLeast
from optimizer.incumbent import feasible_from
from optimizer.program import Program
from optimizer.solver import MIP_GAP, Linear, Solution, Status, solve

WHOLE_FAMILY_FROM_SOLVE = {ZeroOrAtLeast: 1, WholeNumber: 2, OneOf: 2}
"""After this many solves a device that broke a condition has it enforced in all its steps. Part loads move to the next
step when one is forbidden, so all of them at once."""

LEANING_SOLVES = 4
"""How often conditions may be decided as the linear answer leans, each time with those that then break."""
LEANING_GAPS = 10.0
"""An answer this many gaps from the linear one is taken as it is: where such were searched further, little more than
the bound rose, for two to a thousand times the time of the plan."""
MOST_NODES = 200
"""With an answer at hand that is within `FAR_GAPS` the solver's own search ends after so many nodes, some seconds on a
park of a dozen devices: it can go on for minutes for the last hundred thousandth. Further away what was decided may be
worth nothing: where machines have to run it buys what the penalties of the limits cost."""
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


def solve_exactly(
    program: Program, choices: Choices, deadline_s: float, gap: float = MIP_GAP, *, held: Linear | None = None
) -> Answer:
    """Linear first; either-or conditions that the answer breaks are enforced, until none is broken.

    Where minimum part loads leave no answer at all, they are given up (machines then cycle) before anything else.

    Args:
        held: the same program in the solver, for a caller that gives it a start or looks where it ends.
    """
    until = time.perf_counter() + deadline_s
    answer = _enforce(held or Linear(program), program, choices, until, gap)
    if answer.solution.status is not Status.INFEASIBLE:
        return answer
    strict = choices.never_given_up()
    if len(strict) == len(choices):
        return answer
    loose = _enforce(Linear(program), program, strict, until, gap)
    return replace(loose, solves=answer.solves + loose.solves, cycling=True)


def _enforce(held: Linear, program: Program, choices: Choices, until: float, gap: float) -> Answer:
    """Linear; where that breaks conditions, by deciding few of them; where that proves nothing, by binaries.

    Where every broken condition pays by itself, the linear bound is loose: an answer within `FAR_GAPS` of it that
    branching could not better is taken without proof.
    """
    began = time.perf_counter()
    linear = held.solve(max(0.05, until - began))
    if not (linear.usable and choices.broken(linear.x)):
        return Answer(linear, 1)
    reserve_s = RESERVED_SOLVES * (time.perf_counter() - began)
    decided = _decided(held, program, choices, linear, until - reserve_s, gap)
    if decided is not None and decided.solution.gap <= LEANING_GAPS * gap:
        return Answer(decided.solution, 1 + decided.solves, decided.decided)
    loose = all(pays_by_itself(program, choice) for choice in choices.broken(linear.x))
    if decided is not None and loose and decided.solution.gap <= FAR_GAPS * gap:
        return _unproven(decided, 1, "decided by its prices")
    return _by_binaries(program, choices, linear, decided, (until, reserve_s), gap)


def _by_binaries(
    program: Program,
    choices: Choices,
    linear: Solution,
    decided: Found | None,
    time_left: tuple[float, float],
    gap: float,
) -> Answer:
    """Adds what the last answer broke: broken and tempting steps at first, later whole families, so that it ends.

    Args:
        decided: an answer that keeps all conditions, for the case that the search ends first.
        time_left: see `_rescued`.
    """
    until, reserve_s = time_left
    near = decided is not None and decided.solution.gap <= FAR_GAPS * gap
    at_hand, enforced = linear, set[Choice]()
    missing = set(_with_tempting(program, choices, choices.broken(linear.x)))
    for solves in count(2):
        families = {choice.family for choice in missing if solves > WHOLE_FAMILY_FROM_SOLVE[type(choice)]}
        enforced |= missing | {choice for choice in choices if choice.family in families}
        in_order = tuple(choice for choice in choices if choice in enforced)
        left_s = max(0.05, until - reserve_s - time.perf_counter())
        solution = solve(program, in_order, time_limit_s=left_s, gap=gap, most_nodes=MOST_NODES if near else None)
        broken = choices.broken(solution.x) if solution.usable else ()
        if decided is not None and solution.status is Status.FEASIBLE:
            return _better(Answer(solution, solves, in_order), decided, keeps=not broken)
        if solution.status is Status.INFEASIBLE or (solution.usable and not broken):
            return Answer(solution, solves, in_order)
        at_hand = solution if solution.usable else at_hand
        missing = set(broken) - enforced
        if not missing and decided is not None:
            return _unproven(decided, solves, "decided at the deadline")
        if not missing:
            return _rescued(program, choices, at_hand, linear.objective, time_left, solves)
    raise AssertionError("unreachable: every round adds a condition or returns")


def _decided(
    held: Linear, program: Program, choices: Choices, linear: Solution, until: float, gap: float
) -> Found | None:
    """The conditions decided by few linear programs: as the linear answer leans, and by branching until that is proven
    to be within the gap, or there is no more to be gained that way."""
    leaning = _as_it_leans(held, program, choices, linear, until)
    if leaning is not None and leaning.solution.gap <= LEANING_GAPS * gap:
        return leaning
    return branched(held, program, choices, linear, leaning, until, (gap, LEANING_GAPS * gap))


def _as_it_leans(held: Linear, program: Program, choices: Choices, linear: Solution, until: float) -> Found | None:
    """The linear answer with its broken conditions decided the way they lean, with its distance from the linear one.

    The linear optimum is a bound for every whole answer. Each try starts from the answer before, which `held`
    remembers: a third of the time of a start without it.
    """
    taken: dict[Choice, None] = {}
    answer = linear
    for tried in range(1, LEANING_SOLVES + 1):
        taken |= dict.fromkeys(_with_tempting(program, choices, choices.broken(answer.x)))
        decided = Choices(taken).decided(program, linear.x)
        answer = held.within(decided, max(0.05, until - time.perf_counter()))
        if answer.status is not Status.OPTIMAL:
            return None
        if not choices.broken(answer.x):
            extra = (answer.objective - linear.objective) / scale_of(answer.objective)
            return Found(replace(answer, gap=max(0.0, extra)), tried, tuple(taken))
    return None


def _with_tempting(program: Program, choices: Choices, broken: tuple[Choice, ...]) -> list[Choice]:
    """The broken conditions, and those of their families in whose steps breaking them pays as well: forbidden in one
    step, it would only move to the next."""
    families = {choice.family for choice in broken}
    tempting = [choice for choice in choices if choice.family in families and pays_by_itself(program, choice)]
    return [*broken, *tempting]


def _better(searched: Answer, decided: Found, *, keeps: bool) -> Answer:
    """Of a search that ended early and what was decided before it, the cheaper one, by what the search proved.

    Args:
        keeps: whether the searched answer keeps all conditions; its bound holds in either case.
    """
    found, known = searched.solution, decided.solution
    lowest = max(one.objective - one.gap * scale_of(one.objective) for one in (found, known))
    search_is_better = keeps and found.objective <= known.objective
    best = searched if search_is_better else _unproven(decided, searched.solves, "not bettered by a search")
    cost = best.solution.objective
    return replace(best, solution=replace(best.solution, gap=max(0.0, cost - lowest) / scale_of(cost)))


def _unproven(decided: Found, solves: int, why: str) -> Answer:
    """What was decided by few linear programs, with its distance from the linear answer."""
    solution = replace(decided.solution, status=Status.FEASIBLE, detail=why)
    return Answer(solution, solves + decided.solves, decided.decided)


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
