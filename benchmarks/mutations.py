"""The verifier against plans tampered with, each in one named way that no site could execute or that is not so.

Every mutation makes a wrong plan by construction: where it does not apply to a park (no such device, nothing exported,
no car there) it makes none. A kind is a function of the modules `mutations_of_*`, and its name says what is wrong.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import mutations_of_form
import mutations_of_orders
import mutations_of_physics
import numpy as np
from random_parks import random_park
from tampering import Case, Rng

from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.verify import Violation, verify

Mutation = Callable[[Case, Rng], Case | None]
KINDS: dict[str, Mutation] = {
    name: function
    for module in (mutations_of_form, mutations_of_physics, mutations_of_orders)
    for name, function in vars(module).items()
    if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
}


@dataclass(frozen=True)
class Trial:
    """What became of one park's plan and its mutants."""

    plans: int = 0
    """1 where there is a plan, else 0."""
    refused: int = 0
    """1 where the verifier refused the plan itself."""
    made: Counter[str] = field(default_factory=Counter)
    """Mutants by kind."""
    caught: Counter[str] = field(default_factory=Counter)
    """Those that the verifier refused."""


def case_of(seed: int) -> Case | None:
    """A random park's plan; None where the park has none."""
    park = random_park(seed)
    plan = Planner("random", park.devices, park.feeders).plan(park.situation)
    return Case(park.devices, park.feeders, park.situation, plan) if isinstance(plan, Plan) else None


def mutants(case: Case, rng: Rng) -> Iterator[tuple[str, Case]]:
    """One mutant of every kind that applies, with the kind's name."""
    for name, make in KINDS.items():
        mutant = make(case, rng)
        if mutant is not None:
            yield name, mutant


def violations(case: Case) -> tuple[Violation, ...]:
    return verify(case.devices, case.feeders, case.situation, case.plan)


def trial(seed: int) -> Trial:
    """Plans a park, verifies the plan and one mutant of every kind that applies."""
    case = case_of(seed)
    if case is None:
        return Trial()
    if violations(case):
        return Trial(plans=1, refused=1)
    made, caught = Counter[str](), Counter[str]()
    for name, mutant in mutants(case, np.random.default_rng(seed)):
        made[name] += 1
        caught[name] += bool(violations(mutant))
    return Trial(1, 0, made, caught)
