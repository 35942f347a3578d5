"""Is the plan right? Against the full MILP, against other ways to the optimum, against tampering, and in closed loop.

`worst_relative_gap` compares the linear-first scheme with the same model in which every either-or condition is a binary
from the start, on random parks (`linear_first.py`). `brute_force_...` tries everything on tiny parks, `plain_highs_...`
writes storage and grid once more without Pyomo. `mutants` tampers with valid plans (`mutations.py`). `closed_loop_...`
plans every quarter hour of two recorded weeks and executes the first step, against one optimisation of the two weeks
(`closed_loop.py`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import brute_force
import closed_loop
import linear_first
import mutations
import numpy as np
import plain_highs
from figures import Figure, Parts, main, tracked
from recorded_parks import Fortnight

PARKS = 540
"""About one park in forty has no answer in either way and is not counted."""
TAMPERED_PARKS = 60
FIRST_TAMPERED = 10_000
TINY_PARKS = 40
STORAGE_SITES = 200
FORTNIGHTS = tuple(Fortnight(park, week) for week in range(0, 10, 2) for park in ("works", "campus"))
CAR_FORTNIGHTS = tuple(Fortnight("works", week, cars=True) for week in range(4, 14))
"""Five weeks of cars have been seen before the first one; each begins in the middle of the one before."""


def gap_figures(comparisons: Sequence[linear_first.Comparison]) -> list[Figure]:
    answered = [comparison for comparison in comparisons if comparison.answered]
    kinds = sum((comparison.kinds for comparison in answered), Counter[str]())
    named = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))
    how = "linear-first against all binaries, both to 1e-8"
    return [
        Figure("parks", len(answered), "", f"seeded random parks with {named}"),
        Figure("device_kinds", len(kinds), "", "kinds of device in them"),
        Figure("parks_that_needed_binaries", sum(c.enforced > 0 for c in answered), "", "of linear-first"),
        Figure("worst_relative_gap", max(c.relative for c in answered), "relative", how),
        Figure(
            "worst_gap_beyond_proven", max(c.beyond_proven for c in answered), "relative", f"{how}, less their gaps"
        ),
    ]


def mutant_figures(trials: Sequence[mutations.Trial]) -> list[Figure]:
    made = sum((trial.made for trial in trials), Counter[str]())
    caught = sum((trial.caught for trial in trials), Counter[str]())
    missed = ", ".join(f"{made[kind] - caught[kind]} {kind}" for kind in made if made[kind] > caught[kind])
    return [
        Figure("mutants", made.total(), "", "valid plans tampered with, each in one way"),
        Figure("mutants_caught", caught.total(), "", f"refused by the verifier; missed: {missed or 'none'}"),
        Figure("mutant_kinds", len(made), "", f"of {len(mutations.KINDS)} ways to tamper"),
        Figure("valid_plans", sum(trial.plans for trial in trials), "", "of the same parks, as planned"),
        Figure("valid_plans_refused", sum(trial.refused for trial in trials), "", "by the verifier"),
    ]


def loop_figures(name: str, ratios: Sequence[float], how: str) -> list[Figure]:
    return [
        Figure(name, float(np.mean(ratios)), "ratio", f"{how}; mean of {len(ratios)} windows of 14 days"),
        Figure(f"{name}_worst", max(ratios), "ratio", f"{how}; the worst window"),
    ]


def pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(os.cpu_count())


def against_full_milp() -> Sequence[Figure]:
    with pool() as workers:
        compared = workers.map(linear_first.compare, range(PARKS), chunksize=5)
        return gap_figures(tracked(compared, PARKS, "random parks against the full MILP"))


def by_other_ways() -> Sequence[Figure]:
    with pool() as workers:
        tiny = workers.map(brute_force.relative_gap, range(TINY_PARKS))
        storage = workers.map(plain_highs.relative_gap, range(STORAGE_SITES), chunksize=5)
        forced = max(tracked(tiny, TINY_PARKS, "tiny parks by brute force"))
        plain = max(tracked(storage, STORAGE_SITES, "storage sites in plain HiGHS"))
    return [
        Figure("brute_force_worst_gap", forced, "relative", f"{3 * TINY_PARKS} tiny parks, everything tried"),
        Figure("plain_highs_worst_gap", plain, "relative", f"{STORAGE_SITES} storage sites written without Pyomo"),
    ]


def tampered() -> Sequence[Figure]:
    with pool() as workers:
        tried = workers.map(mutations.trial, range(FIRST_TAMPERED, FIRST_TAMPERED + TAMPERED_PARKS))
        return mutant_figures(tracked(tried, TAMPERED_PARKS, "parks with plans tampered with"))


def fortnights() -> Sequence[Figure]:
    with pool() as workers:
        runs = workers.map(partial(closed_loop.run, knowledge=("known", "typical_tail")), FORTNIGHTS)
        loops = tracked(runs, len(FORTNIGHTS), "fortnights all known, and with typical days")
    known, typical = ([loop[what].ratio for loop in loops] for what in ("known", "typical_tail"))
    return [
        *loop_figures("closed_loop_over_whole", known, "two parks, all known"),
        *loop_figures("closed_loop_typical_tail", typical, "two parks, typical days after 24 h"),
    ]


def fortnights_with_cars() -> Sequence[Figure]:
    with pool() as workers:
        runs = workers.map(partial(closed_loop.run, knowledge=("unknown_cars",)), CAR_FORTNIGHTS)
        loops = tracked(runs, len(CAR_FORTNIGHTS), "fortnights with unknown cars")
    ratios = [loop["unknown_cars"].ratio for loop in loops]
    return loop_figures("closed_loop_unknown_cars", ratios, "cars unknown until they arrive")


PARTS: Parts = {
    "full_milp": against_full_milp,
    "other_ways": by_other_ways,
    "mutants": tampered,
    "fortnights": fortnights,
    "fortnights_with_cars": fortnights_with_cars,
}

if __name__ == "__main__":
    main("optimality", __doc__ or "", PARTS)
