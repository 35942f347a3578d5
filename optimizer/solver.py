"""HiGHS from arrays: linear programs, and the few either-or decisions that an answer turned out to need.

Rules kept here: a status is looked at before any value; only a finite objective is accepted; no parallel search, so
that the same program gives the same answer. HiGHS' own time limit is a hint, not a promise: the hard deadline is a
process that can be killed (see `streams.workers`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from optimizer.choices import Choice, Choices
from optimizer.program import Part, Program, without_fixed
from optimizer.time_grid import Array

FEASIBILITY = 1e-9
"""Primal tolerance of the solver: three orders below the 1e-6 kW to which balances must close."""
BESIDE_ROWS = 1e-7
"""An answer further from its rows than this is none, whatever the solver says of it."""
MIP_GAP = 1e-5
"""Proven distance from the optimum, relative to a cost that runs to the end of the month."""
NO_SCALING = 0
"""Rows are in kW and kWh with factors near 1 already."""
NO_SUB_PROGRAMS = (
    "mip_heuristic_run_rins",
    "mip_heuristic_run_rens",
    "mip_heuristic_run_root_reduced_cost",
    "mip_heuristic_run_feasibility_jump",
)
"""Heuristics that solve programs of their own. Few decisions are ever whole here and rounding finds them: without these
the same optimum takes a third of the time (`benchmarks/dispatch.py`)."""

FROM_A_START = {"dual_simplex_cost_perturbation_multiplier": 0.0, "simplex_dual_edge_weight_strategy": 1}
"""Near the optimum perturbed costs lead away, and exact steepest edges (not Devex: 1) cost more than they win."""


class Status(Enum):
    """What came of a solve."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    """Keeps all rows, but is not proven: stopped at the limit of time or nodes, or taken without a search."""
    INFEASIBLE = "infeasible"
    NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Solution:
    """The answer of one solve; arrays are empty when there is none."""

    status: Status
    x: Array
    row_dual: Array
    col_dual: Array
    """Reduced costs, empty where not found in time; with `row_dual` they are those of the program in which every whole
    decision stands as taken."""
    objective: float
    gap: float
    detail: str = ""

    @property
    def usable(self) -> bool:
        return self.status in (Status.OPTIMAL, Status.FEASIBLE)

    @property
    def priced(self) -> bool:
        """False where shadow prices could not be found in time."""
        return len(self.col_dual) > 0


def solve(
    program: Program,
    choices: Iterable[Choice] = (),
    *,
    time_limit_s: float = 10.0,
    gap: float = MIP_GAP,
    most_nodes: int | None = None,
) -> Solution:
    """Solves the program with the given either-or conditions; shadow prices are those of the decided program.

    Args:
        most_nodes: after so many nodes a search ends with the best answer it has, as it does at the time limit.
    """
    conditions = choices if isinstance(choices, Choices) else Choices(choices)
    extended, whole = conditions.as_binaries(program)
    found = _run(extended, whole, time_limit_s, gap, most_nodes)
    if not (found.usable and whole.any()):
        return found
    columns, rows = len(program.cost), len(program.row_lower)
    decided = conditions.decided(program, found.x[:columns])
    settled = _run(decided, np.zeros(columns, dtype=bool), time_limit_s, gap)
    if settled.status is Status.OPTIMAL:
        return replace(settled, status=found.status, gap=found.gap, detail=found.detail)
    return replace(found, x=found.x[:columns], row_dual=np.zeros(rows), col_dual=np.empty(0))


class QuietHighs(highspy.Highs):
    """HiGHS without its banner on standard output, which highspy's own constructor writes before any option is read."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()
        self.setOptionValue("output_flag", False)


def _run(
    program: Program, whole: NDArray[np.bool_], time_limit_s: float, gap: float, most_nodes: int | None = None
) -> Solution:
    """Solves what is not fixed; fixed columns get their reduced costs, rows that hold by themselves a price of 0."""
    part = without_fixed(program)
    highs = _configured(gap)
    if most_nodes is not None:
        highs.setOptionValue("mip_max_nodes", most_nodes)
    pass_program(highs, part.program, whole[part.columns])
    return _of_whole(program, part, _timed_run(highs, time_limit_s, is_mip=bool(whole.any())))


@dataclass(frozen=True)
class Basis:
    """What of a program is at which of its bounds, and what between them."""

    columns: NDArray[np.int8]
    """(n,) `highspy.HighsBasisStatus` as numbers, and so are the rows."""
    rows: NDArray[np.int8]


class Linear:
    """A linear program that stays in the solver: the same with narrower bounds starts from its optimal basis.

    Args:
        start: a basis near the optimal one; it need not fit exactly.
    """

    def __init__(self, program: Program, start: Basis | None = None) -> None:
        self._part = without_fixed(program)
        self._highs = _configured(MIP_GAP)
        self._program = program
        self._bounds = (self._part.program.lower, self._part.program.upper)
        """Of the part's columns, as the solver has them."""
        self._left: Solution | None = None
        """Where the last solve ended, of the part."""
        pass_program(self._highs, self._part.program, np.zeros(len(self._part.columns), dtype=bool))
        if start is not None:
            for option, value in FROM_A_START.items():
                self._highs.setOptionValue(option, value)
            self._highs.setBasis(_of_part(start, self._part))

    def solve(self, time_limit_s: float) -> Solution:
        """The program as it was given."""
        return _of_whole(self._program, self._part, self._run(time_limit_s))

    def basis(self) -> Basis | None:
        """Where the last solve ended; None where it left no basis."""
        solver: Any = self._highs  # its stubs leave this out
        status, basic = solver.getBasicVariables()
        if status != highspy.HighsStatus.kOk or self._left is None or not self._left.usable:
            return None
        part, x = self._part.program, self._left.x
        of_part = _at_bound(x, part.lower, part.upper)
        of_rows = _at_bound(part.matrix @ x, part.row_lower, part.row_upper)
        of_part[basic[basic >= 0]] = of_rows[-1 - basic[basic < 0]] = BASIC
        columns = np.full(len(self._program.cost), LOWER, dtype=np.int8)
        rows = np.full(len(self._program.row_lower), BASIC, dtype=np.int8)
        columns[self._part.columns], rows[self._part.rows] = of_part, of_rows
        return Basis(columns, rows)

    def _run(self, time_limit_s: float) -> Solution:
        """From where the solver stands; where that ends beside its own rows or nowhere, as it can from a basis that is
        all but singular, once more from nothing."""
        until = time.perf_counter() + time_limit_s
        found = _timed_run(self._highs, time_limit_s, is_mip=False)
        lost = found.status is Status.NO_ANSWER or (
            found.usable and _beside_rows(self._part.program, found.x) > BESIDE_ROWS
        )
        if lost and (left_s := until - time.perf_counter()) > 0.0:
            self._highs.clearSolver()
            found = _timed_run(self._highs, left_s, is_mip=False)
        self._left = found
        return found

    def within(self, narrower: Program, time_limit_s: float) -> Solution:
        """The same program within narrower bounds of its free columns."""
        lower, upper = (bounds[self._part.columns] for bounds in (narrower.lower, narrower.upper))
        had_lower, had_upper = self._bounds
        moved = np.flatnonzero((lower != had_lower) | (upper != had_upper)).astype(np.int32)
        self._highs.changeColsBounds(len(moved), moved, lower[moved], upper[moved])
        self._bounds = (lower, upper)
        return _of_whole(narrower, self._part, self._run(time_limit_s))


LOWER, BASIC, UPPER = (
    int(status)
    for status in (highspy.HighsBasisStatus.kLower, highspy.HighsBasisStatus.kBasic, highspy.HighsBasisStatus.kUpper)
)
STATUSES = np.array([highspy.HighsBasisStatus(number) for number in range(UPPER + 1)], dtype=object)


def _at_bound(values: Array, lower: Array, upper: Array) -> NDArray[np.int8]:
    """Which bound each value is nearer to."""
    return np.where(np.abs(values - upper) < np.abs(values - lower), UPPER, LOWER).astype(np.int8)


def _of_part(start: Basis, part: Part) -> highspy.HighsBasis:
    basis = highspy.HighsBasis()
    basis.col_status = STATUSES[start.columns[part.columns]].tolist()
    basis.row_status = STATUSES[start.rows[part.rows]].tolist()
    basis.valid = basis.alien = True  # the solver is to repair what does not fit
    return basis


def _beside_rows(program: Program, x: Array) -> float:
    """How far an answer is from the nearest one that keeps all rows, at the worst row."""
    activity = program.matrix @ x
    beyond = np.maximum(program.row_lower - activity, activity - program.row_upper)
    return float(beyond.max(initial=0.0))


def _of_whole(program: Program, part: Part, found: Solution) -> Solution:
    if not found.usable:
        return found
    row_dual = np.zeros(len(program.row_lower))
    row_dual[part.rows] = found.row_dual
    col_dual = program.cost - np.asarray(program.matrix.T @ row_dual)
    return replace(found, x=part.whole(found.x), row_dual=row_dual, col_dual=col_dual)


def pass_program(highs: highspy.Highs, program: Program, whole: NDArray[np.bool_]) -> None:
    """Hands over the arrays; (n,) `whole` says which columns take whole numbers only.

    Raises:
        ValueError: a coefficient or bound is out of the solver's range.
    """
    integrality = np.where(whole, int(highspy.HighsVarType.kInteger), 0).astype(np.int32)
    passed = highs.passModel(
        len(program.cost), len(program.row_lower), len(program.value),
        int(highspy.MatrixFormat.kRowwise), int(highspy.ObjSense.kMinimize), program.offset,
        program.cost, program.lower, program.upper, program.row_lower, program.row_upper,
        program.start, program.index, program.value, integrality,
    )  # fmt: skip
    if passed == highspy.HighsStatus.kError:
        raise ValueError("the solver refused the program: a coefficient or bound is out of its range")


def _configured(gap: float) -> QuietHighs:
    highs = QuietHighs()
    highs.setOptionValue("parallel", "off")
    highs.setOptionValue("primal_feasibility_tolerance", FEASIBILITY)
    highs.setOptionValue("mip_feasibility_tolerance", FEASIBILITY)
    highs.setOptionValue("mip_rel_gap", gap)
    highs.setOptionValue("simplex_scale_strategy", NO_SCALING)
    for heuristic in NO_SUB_PROGRAMS:
        highs.setOptionValue(heuristic, False)
    return highs


def _timed_run(highs: QuietHighs, time_limit_s: float, *, is_mip: bool) -> Solution:
    highs.setOptionValue("time_limit", highs.getRunTime() + time_limit_s)  # the limit counts earlier runs, too
    highs.run()
    return _read(highs, is_mip)


def _read(highs: highspy.Highs, is_mip: bool) -> Solution:
    model_status, info = highs.getModelStatus(), highs.getInfo()
    status = _STATUS.get(model_status, Status.NO_ANSWER)
    has_answer = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    if model_status in ENDED_EARLY and has_answer:
        status = Status.FEASIBLE
    objective = info.objective_function_value
    detail = highs.modelStatusToString(model_status)
    if status in (Status.OPTIMAL, Status.FEASIBLE) and not (has_answer and math.isfinite(objective)):
        status = Status.NO_ANSWER
    if status not in (Status.OPTIMAL, Status.FEASIBLE):
        return _without_answer(status, detail)
    solution = highs.getSolution()
    x = np.asarray(solution.col_value, dtype=float)
    if not np.isfinite(x).all():
        return _without_answer(Status.NO_ANSWER, f"{detail}, not a number")
    return Solution(
        status=status,
        x=x,
        row_dual=np.asarray(solution.row_dual, dtype=float),
        col_dual=np.empty(0),
        objective=objective,
        gap=float(info.mip_gap) if is_mip else 0.0,
        detail=detail,
    )


def _without_answer(status: Status, detail: str) -> Solution:
    return Solution(status, np.empty(0), np.empty(0), np.empty(0), math.nan, math.nan, detail)


ENDED_EARLY = (highspy.HighsModelStatus.kTimeLimit, highspy.HighsModelStatus.kSolutionLimit)

_STATUS = {
    highspy.HighsModelStatus.kOptimal: Status.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: Status.INFEASIBLE,
    highspy.HighsModelStatus.kUnboundedOrInfeasible: Status.INFEASIBLE,
}
