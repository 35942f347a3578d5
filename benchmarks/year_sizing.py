"""Sizing a park for a recorded year: the year model against one linear program over the year with the sizes free.

`sizing_cases.py` has the parks, `year_lp.py` the program. Times are CPU times of one core, ours with everything but
compiling, of HiGHS without building the model. Regret: what the year costs at best with the sizes proposed, over the
optimum, less 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, median, run, tracked
from sizing_cases import Case, Recorded
from year_lp import Solved, fastest, solve_year

from optimizer.time_grid import Array
from sizing.answer import YearAnswer
from sizing.blocks import best_by_blocks
from sizing.park_year import Offer, Offers
from sizing.value_function import best_by_value_functions
from sizing.year_model import GAP, best_sizes

RECORDED = Path(__file__).parents[2] / "shared" / "data"
ROUNDS = 3
FINE_GAP = 1e-6
"""Gap to which the cost of given sizes is found."""
ON_QUARTERS, ON_HOURS = ("hipo", "ipx", "simplex"), ("ipx", "simplex", "hipo")
"""The ways of HiGHS, the one likely to be the fastest first."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A case solved by us and by the year LP."""

    case: Case
    truth: Solved
    answer: YearAnswer
    ours_s: float
    blocks: YearAnswer | None
    blocks_s: float

    @property
    def ratio(self) -> float:
        return self.truth.cpu_s / self.ours_s

    @property
    def holds(self) -> bool:
        """Whether the truth lies between our bounds, but for what HiGHS without crossover leaves open."""
        slack = 1e-5 * abs(self.truth.cost)
        return self.answer.bound - slack <= self.truth.cost <= self.answer.cost + slack

    def regret(self, answer: YearAnswer) -> float:
        return _cost_of(self.case, answer.sizes) / self.truth.cost - 1.0

    def line(self) -> str:
        """For standard error, while the cases are solved."""
        by_blocks = f"{self.blocks_s:.2f} s, regret {self.regret(self.blocks):.1e}" if self.blocks else "none"
        return (
            f"{self.case.name}: year LP {self.truth.cpu_s:.1f} s by {self.truth.way}, ours {self.ours_s:.3f} s, ratio "
            f"{self.ratio:.0f}, {self.answer.passes} passes, gap {self.answer.gap:.1e}, regret "
            f"{self.regret(self.answer):.1e}, bounds {'hold' if self.holds else 'DO NOT HOLD'}, blocks {by_blocks}"
        )


def measure(case: Case, quick: bool) -> Measured:
    """Our answer, by blocks too where the steps are quarter hours of one store, and the truth."""
    blocks, blocks_s = None, 0.0
    answer, answer_s = timed(lambda: best_sizes(case.year, case.offers), ROUNDS)
    if case.quarters and case.year.thermal is None:
        blocks, blocks_s = timed(lambda: best_by_blocks(case.year, case.offers, GAP, prove=False), 1)
    ways = ON_QUARTERS if case.quarters else ON_HOURS
    truth = fastest(case.year, case.offers, ways[:1] if quick else ways)
    measured = Measured(case, truth, answer, answer_s, blocks, blocks_s)
    print(measured.line(), file=sys.stderr, flush=True)
    return measured


def timed(work: Callable[[], YearAnswer], rounds: int) -> tuple[YearAnswer, float]:
    """The answer and the median of the CPU seconds it took."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        answer = work()
        took.append(time.process_time() - began)
    return answer, median(took)


def _cost_of(case: Case, sizes: Array) -> float:
    """What the year costs at best with these sizes."""
    if case.year.thermal is None:
        fixed = Offers(*(Offer(cost, size, size) for cost, size in zip(case.offers.cost, sizes, strict=True)))
        return best_by_value_functions(case.year, fixed, FINE_GAP).bound
    return solve_year(case.year, case.offers, "ipx", sizes).cost


def figures(found: Sequence[Measured]) -> list[Figure]:
    one = [m for m in found if m.case.year.thermal is None]
    two = [m for m in found if m.case.year.thermal is not None]
    quarters, hours = ([m for m in one if m.case.quarters is quarter] for quarter in (True, False))
    in_blocks = [(m, m.blocks) for m in found if m.blocks is not None]

    def least_ratio(of: Sequence[Measured]) -> float:
        return min((m.ratio for m in of), default=0.0)

    def worst(values: Iterable[float]) -> float:
        return max(values, default=0.0)

    held = sum(m.holds for m in found)
    general = min((m.truth.cpu_s / m.blocks_s for m, _ in in_blocks), default=0.0)
    how = {
        name: f"the worst of {len(of)} parks" for name, of in (("q", quarters), ("h", hours), ("1", one), ("2", two))
    }
    return [
        Figure("cases", len(found), "1", "parks with a recorded year"),
        Figure("bounds_hold", held, "1", "parks in which lower bound <= truth <= upper bound"),
        Figure("year_lp_over_ours_one_store", least_ratio(quarters), "ratio", f"{how['q']}, quarter hours"),
        Figure("year_lp_over_ours_one_store_hourly", least_ratio(hours), "ratio", f"{how['h']}, hours"),
        Figure("worst_gap_one_store", worst(m.answer.gap for m in one), "1", f"{how['1']}, proven"),
        Figure("worst_regret_one_store", worst(m.answer.cost / m.truth.cost - 1 for m in one), "1", how["1"]),
        Figure("year_lp_over_ours_two_stores", least_ratio(two), "ratio", how["2"]),
        Figure("worst_regret_two_stores", worst(m.regret(m.answer) for m in two), "1", how["2"]),
        Figure("worst_gap_two_stores", worst(m.answer.gap for m in two), "1", f"{how['2']}, proven"),
        Figure("year_lp_over_ours_general", general, "ratio", f"{how['q']}, quarter hours, merged blocks"),
        Figure("worst_regret_general", worst(m.regret(b) for m, b in in_blocks), "1", f"{how['q']}, merged blocks"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=RECORDED, help="folder of public data sets: sizing_cases.py")
    parser.add_argument("--only", default="", metavar="TEXT", help="parks whose name has this text")
    parser.add_argument("--quick", action="store_true", help="try only the way of HiGHS that is usually the fastest")
    run("sizing", parser, _measured)


def _measured(options: argparse.Namespace) -> list[Figure]:
    if not options.data.is_dir():
        print(f"no recorded data in {options.data}: give their folder with --data DIR", file=sys.stderr)
        raise SystemExit(3)
    chosen = [case for case in Recorded(options.data).cases() if options.only in case.name]
    for thermal in (False, True):
        _compile(next((case for case in chosen if (case.year.thermal is not None) is thermal), None))
    return figures(tracked((measure(case, options.quick) for case in chosen), len(chosen), "parks"))


def _compile(case: Case | None) -> None:
    if case is not None:
        best_by_value_functions(case.year, case.offers, GAP, most_passes=1)
