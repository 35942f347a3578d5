"""What sizes earn under the production engine: closed-loop replay with the forecasts it would have had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hil.replay.case import Terms
from hil.replay.farm import Farm
from hil.replay.replay import Replayed, replay
from sizing.site_year import BuiltSizes, SizedSite

NOT_PAID = ("wear", "carbon", "total")
"""Terms of a replay's cost that nobody is paid."""
OnPart = Callable[[int, int], None]


@dataclass(frozen=True)
class Judged:
    """A replay with given sizes."""

    paid: float
    """Bill, less export, with gas and fuel [money in the stretch]."""
    fallbacks: int
    """Decisions without a plan of their own."""
    violations: int


class Judge(Protocol):
    """Says what sizes cost to run."""

    def judged(self, sizes: BuiltSizes) -> Judged:
        """The stretch with these sizes."""


@dataclass(frozen=True, eq=False)
class ReplayJudge:
    """Replays the sized site's stretch; the result does not depend on where its parts run."""

    sized: SizedSite
    controller: Replayed
    terms: Terms
    farm: Farm
    folder: Path | None = None
    """Keeps finished blocks, so that a run that was stopped goes on."""
    on_part: OnPart | None = None

    def judged(self, sizes: BuiltSizes) -> Judged:
        site, history = self.sized.variant(sizes)
        result = replay(
            site, history, self.sized.start, self.sized.end, self.controller,
            terms=self.terms, farm=self.farm, folder=self.folder, on_part=self.on_part,
        )  # fmt: skip
        paid = sum(amount for term, amount in result.account.cost.items() if term not in NOT_PAID)
        return Judged(paid, len(result.fallbacks), len(result.account.violations))


@dataclass(frozen=True, eq=False)
class Remembering:
    """Asks a judge once for each size."""

    judge: Judge
    known: dict[BuiltSizes, Judged] = field(default_factory=dict)

    def judged(self, sizes: BuiltSizes) -> Judged:
        if sizes not in self.known:
            self.known[sizes] = self.judge.judged(sizes)
        return self.known[sizes]


def judged_all(judge: Judge, sizes: Sequence[BuiltSizes], on_size: OnPart | None = None) -> list[Judged]:
    """All sizes in turn."""
    found = []
    for number, size in enumerate(sizes, start=1):
        found.append(judge.judged(size))
        if on_size is not None:
            on_size(number, len(sizes))
    return found
