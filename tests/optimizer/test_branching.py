"""Branch and bound by bounds: the same optimum as with binaries, and an honest gap where it ends early."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

from optimizer import branching, exact
from optimizer.branching import branched
from optimizer.choices import Choice, Choices, OneOf, WholeNumber, ZeroOrAtLeast
from optimizer.program import Program
from optimizer.solver import Linear, Solution, Status, solve

COLUMNS, ROWS = 8, 4
CHOICES: tuple[Choice, ...] = (
    OneOf(0, 1, "pair"),
    OneOf(2, 3, "pair"),
    ZeroOrAtLeast(4, 4.0, "least"),
    ZeroOrAtLeast(5, 6.0, "least"),
    WholeNumber(6, "whole"),
    WholeNumber(7, "whole"),
)
GAP = 1e-7


def program(seed: int) -> Program:
    """Columns within [0, 10], rows that 0 keeps; most costs are gains, so that conditions are worth breaking."""
    draws = np.random.default_rng(seed)
    matrix = sparse.csr_matrix(draws.uniform(-1.0, 3.0, (ROWS, COLUMNS)).round(2))
    return Program.of(
        draws.uniform(-3.0, 0.5, COLUMNS).round(2),
        0.0,
        (np.zeros(COLUMNS), np.full(COLUMNS, 10.0)),
        (np.full(ROWS, -np.inf), draws.uniform(4.0, 30.0, ROWS).round(2)),
        matrix,
    )


def search(asked: Program, enough: float = GAP) -> branching.Found | None:
    held = Linear(asked)
    linear = held.solve(10.0)
    return branched(held, asked, Choices(CHOICES), linear, None, time.perf_counter() + 60.0, (GAP, enough))


@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_the_optimum_with_binaries_lies_within_the_gap_that_is_told(seed: int) -> None:
    asked = program(seed)
    assume(Choices(CHOICES).broken(solve(asked).x))
    whole = solve(asked, CHOICES, gap=0.0)
    found = search(asked)
    assert found is not None
    assert whole.status is Status.OPTIMAL
    assert Choices(CHOICES).broken(found.solution.x) == ()
    within = found.solution.gap * branching.scale_of(found.solution.objective)
    assert -1e-6 <= found.solution.objective - whole.objective <= within + 1e-6


def test_a_search_that_ends_early_tells_how_far_the_optimum_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every number of nodes the optimum lies within the gap that is told; with enough of them the gap closes."""
    asked = program(3)
    best = solve(asked, CHOICES, gap=0.0).objective
    gaps = []
    for nodes in range(1, 40):
        monkeypatch.setattr(branching, "NODES", nodes)
        found = search(asked)
        if found is not None:
            gaps.append(found.solution.gap)
            assert (
                found.solution.objective * (1 - 1e-9) - found.solution.gap * abs(found.solution.objective)
                <= best + 1e-6
            )
    assert gaps[0] > GAP >= gaps[-1]


def test_an_answer_that_is_near_enough_ends_the_search() -> None:
    asked = program(3)
    near, proven = search(asked, enough=1.0), search(asked)
    assert near is not None
    assert proven is not None
    assert near.solves < proven.solves
    within = near.solution.gap * branching.scale_of(near.solution.objective)
    assert near.solution.objective - within <= proven.solution.objective <= near.solution.objective


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 5]))
@settings(max_examples=60)
def test_where_every_search_ends_early_the_optimum_lies_within_what_is_told(seed: int, nodes: int) -> None:
    asked, choices = program(seed), Choices(CHOICES)
    assume(choices.broken(solve(asked).x))
    best = solve(asked, CHOICES, gap=0.0).objective
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branching, "NODES", nodes)
        patch.setattr(exact, "LEANING_GAPS", 0.0)
        patch.setattr(exact, "FAR_GAPS", 1e9)
        patch.setattr(exact, "MOST_NODES", 1)
        answer = exact.solve_exactly(asked, choices, 60.0, GAP).solution
    assert answer.usable
    assert choices.broken(answer.x) == ()
    within = answer.gap * branching.scale_of(answer.objective)
    assert best - 1e-6 <= answer.objective <= best + within + 1e-6


def test_of_a_search_that_ended_early_and_what_was_known_the_cheaper_is_taken() -> None:
    found = replace(solve(program(3), CHOICES), status=Status.FEASIBLE, objective=-100.0, gap=0.05)
    known = branching.Found(replace(found, objective=-99.0, gap=0.2), 3, CHOICES[:1])
    searched = exact.Answer(found, 2, CHOICES)
    kept = exact._better(searched, known, keeps=True)
    assert (kept.solution.objective, kept.solves, kept.enforced) == (-100.0, 2, CHOICES)
    assert kept.solution.gap == pytest.approx(0.05)
    sure = replace(known, solution=replace(known.solution, gap=0.02))
    assert exact._better(searched, sure, keeps=True).solution.gap == pytest.approx(0.98 / 100)
    broken = exact._better(searched, known, keeps=False)
    assert (broken.solution.objective, broken.solves, broken.enforced) == (-99.0, 5, CHOICES[:1])
    assert broken.solution.gap == pytest.approx(6 / 99)  # the search proved that nothing is below -105


@pytest.mark.parametrize(("gap", "limit"), [(GAP, None), (0.02, exact.MOST_NODES)])
def test_a_search_ends_early_only_with_a_near_answer_at_hand(
    gap: float, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further away what was decided may be worth nothing, and whoever asks for little waits for it."""
    limits: list[int | None] = []
    real = exact.solve

    def seen(program: Program, choices: Iterable[Choice] = (), **given: Any) -> Solution:
        limits.append(given["most_nodes"])
        return real(program, choices, **given)

    monkeypatch.setattr(exact, "solve", seen)
    monkeypatch.setattr(branching, "NODES", 1)
    monkeypatch.setattr(exact, "LEANING_GAPS", 0.0)
    exact.solve_exactly(program(6638), Choices(CHOICES), 60.0, gap)
    assert limits[0] == limit
