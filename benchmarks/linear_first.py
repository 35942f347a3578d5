"""Linear first against the full MILP on random parks: the same model, solved both ways to a gap of 1e-8."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from random_parks import STEPS, random_park

from optimizer.exact import solve_exactly
from optimizer.model import Exactness, build
from optimizer.solver import solve

GAP = 1e-8
TIME_LIMIT_S = 120.0


@dataclass(frozen=True)
class Comparison:
    """Both answers of one park."""

    kinds: Counter[str]
    """Devices by kind."""
    answered: bool
    """False where the park has no answer in either way."""
    relative: float = 0.0
    """Distance of the two objectives, relative to the full MILP's."""
    proven: float = 0.0
    """The larger of the two proven gaps; more than `GAP` only where the time limit came first."""
    enforced: int = 0
    """Either-or conditions that linear-first had to enforce."""

    @property
    def beyond_proven(self) -> float:
        return max(0.0, self.relative - self.proven)


def compare(seed: int) -> Comparison:
    """Solves the park linear-first and with every either-or condition and on/off decision as a binary.

    Raises:
        RuntimeError: only one of the two has an answer.
    """
    park = random_park(seed)
    kinds = Counter(device.kind for device in park.devices)
    model = build(park.devices, park.feeders, park.situation.shape, Exactness(STEPS, STEPS))
    inputs = {d.id: d.inputs(park.situation, d.conditions(park.situation)) for d in park.devices}
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    ours = solve_exactly(program, model.choices, TIME_LIMIT_S, GAP)
    full = solve(program, model.choices, time_limit_s=TIME_LIMIT_S, gap=GAP)
    if not full.usable and (ours.cycling or not ours.solution.usable):
        return Comparison(kinds, answered=False)
    if ours.cycling or ours.solution.usable != full.usable:
        raise RuntimeError(f"park {seed}: {ours.solution.status} against {full.status}")
    relative = abs(ours.solution.objective - full.objective) / max(1.0, abs(full.objective))
    return Comparison(kinds, True, relative, max(ours.solution.gap, full.gap), len(ours.enforced))
