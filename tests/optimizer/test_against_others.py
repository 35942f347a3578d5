"""The optimum found in other ways: all binaries, everything tried, and rows written without Pyomo; and tampered plans.

The parts of `benchmarks/optimality.py` on a few seeds each.
"""

from __future__ import annotations

import brute_force
import linear_first
import mutations
import numpy as np
import plain_highs
import pytest
from random_parks import random_park

from optimizer.devices import DEVICES

COVERING = (10_035, 10_043, 10_005, 10_000)
"""Parks in which, taken together, every kind of mutation applies."""


@pytest.mark.parametrize("seed", range(12))
def test_linear_first_finds_the_optimum_of_the_full_milp(seed: int) -> None:
    comparison = linear_first.compare(seed)
    assert comparison.answered
    assert comparison.relative <= max(1e-6, comparison.proven)


def test_the_random_parks_have_devices_of_all_kinds() -> None:
    kinds = {device.kind for seed in range(40) for device in random_park(seed).devices}
    assert kinds == {kind.model_fields["kind"].default for kind in DEVICES}


def test_a_random_park_is_the_same_for_the_same_seed() -> None:
    first, second = random_park(7), random_park(7)
    assert first.devices == second.devices
    assert all(np.array_equal(first.situation.series[name], values) for name, values in second.situation.series.items())


@pytest.mark.parametrize("way", [brute_force.battery, brute_force.engine, brute_force.chillers])
@pytest.mark.parametrize("seed", range(2))
def test_a_tiny_park_costs_what_trying_everything_finds(way, seed: int) -> None:  # type: ignore[no-untyped-def]
    ours, best = way(np.random.default_rng(seed))
    assert ours == pytest.approx(best, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_storage_and_grid_written_in_plain_highs_costs_the_same(seed: int) -> None:
    assert plain_highs.relative_gap(seed) <= 1e-6


def test_every_kind_of_mutation_is_caught_and_no_valid_plan_refused() -> None:
    left = set(mutations.KINDS)
    assert len(left) >= 30
    for seed in (*COVERING, *range(10_000, 10_060)):
        case = mutations.case_of(seed) if left else None
        if case is None:
            continue
        assert mutations.violations(case) == ()
        for name in sorted(left):
            mutant = mutations.KINDS[name](case, np.random.default_rng(seed))
            if mutant is not None:
                left.discard(name)
                assert mutations.violations(mutant), name
    assert not left
