"""HiGHS from arrays: linear programs, and the few either-or decisions that an answer turned out to need.

Rules kept here: a status is looked at before any value; only a finite objective is accepted; no parallel search, so
that the same program gives the same answer. HiGHS' own time limit is a hint, not a promise: the hard deadline is a
process that can be killed (see `streams.workers`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum

import highspy
import numpy as np
from numpy.typing import NDArray

from optimizer.compiled import INFINITY, Program
from optimizer.time_grid import Array

FEASIBILITY = 1e-9
"""Primal and dual tolerance of the solver: three orders below the 1e-6 kW to which balances must close."""
MIP_GAP = 1e-5
"""Proven distance from the optimum, relative to a cost that runs to the end of the month."""
ABOVE_ZERO = 1e-6
"""A flow above this [kW] counts as used: ten times below what a meter of 0.01 kW resolution could show."""


class Status(Enum):
    """What came of a solve."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    """Stopped at the time limit with an answer that keeps all rows."""
    INFEASIBLE = "infeasible"
    NO_ANSWER = "no answer"


@dataclass(frozen=True)
class OneOf:
    """Of two columns only one may be above 0."""

    first: int
    second: int
    family: str
    """The device and condition it belongs to, over all steps."""


@dataclass(frozen=True)
class ZeroOrAtLeast:
    """A column that is 0 or at least `minimum`."""

    column: int
    minimum: float
    family: str
    """The device and condition it belongs to, over all steps."""


@dataclass(frozen=True)
class WholeNumber:
    """A column that takes whole numbers only: an on/off decision."""

    column: int
    family: str
    """The device and condition it belongs to, over all steps."""


Choice = OneOf | ZeroOrAtLeast | WholeNumber


@dataclass(frozen=True)
class Solution:
    """The answer of one solve; arrays are empty when there is none."""

    status: Status
    x: Array
    row_dual: Array
    objective: float
    gap: float
    detail: str = ""
    col_dual: Array = field(default_factory=lambda: np.empty(0))
    priced: bool = True
    """False where the duals could not be found in time; they are 0 then."""

    @property
    def usable(self) -> bool:
        return self.status in (Status.OPTIMAL, Status.FEASIBLE)


def is_kept(choice: Choice, x: Array) -> bool:
    """Whether an answer keeps an either-or condition."""
    if isinstance(choice, OneOf):
        return min(float(x[choice.first]), float(x[choice.second])) <= ABOVE_ZERO
    if isinstance(choice, WholeNumber):
        return abs(float(x[choice.column]) - round(float(x[choice.column]))) <= ABOVE_ZERO
    return not ABOVE_ZERO < float(x[choice.column]) < choice.minimum - ABOVE_ZERO


def solve(
    program: Program, choices: tuple[Choice, ...] = (), *, time_limit_s: float = 10.0, gap: float = MIP_GAP
) -> Solution:
    """Solves the program with the given either-or conditions; shadow prices are those of the decided program."""
    columns = len(program.cost)
    switches = tuple(choice for choice in choices if not isinstance(choice, WholeNumber))
    extended = _with_switches(program, switches)
    whole = np.zeros(len(extended.cost), dtype=bool)
    whole[columns:] = True
    whole[[choice.column for choice in choices if isinstance(choice, WholeNumber)]] = True
    decided = _run(extended, whole, time_limit_s, gap)
    if not (decided.usable and whole.any()):
        return decided
    lower, upper = extended.lower.copy(), extended.upper.copy()
    lower[whole] = upper[whole] = np.round(decided.x[whole])
    fixed = _run(replace(extended, lower=lower, upper=upper), np.zeros_like(whole), time_limit_s, gap)
    settled = fixed.status is Status.OPTIMAL
    x = (fixed if settled else decided).x[:columns]
    duals = fixed.row_dual[: len(program.row_lower)] if settled else np.zeros(len(program.row_lower))
    reduced = fixed.col_dual[:columns] if settled else np.zeros(columns)
    objective = fixed.objective if settled else decided.objective
    return replace(decided, x=x, row_dual=duals, col_dual=reduced, objective=objective, priced=settled)


Switched = OneOf | ZeroOrAtLeast


def _with_switches(program: Program, choices: tuple[Switched, ...]) -> Program:
    """The program with one binary column and two rows per choice; big-M is the column's own upper bound."""
    if not choices:
        return program
    columns = len(program.cost)
    rows = [row for n, choice in enumerate(choices) for row in _choice_rows(choice, columns + n, program.upper)]
    count = len(choices)
    return Program(
        cost=np.concatenate([program.cost, np.zeros(count)]),
        offset=program.offset,
        lower=np.concatenate([program.lower, np.zeros(count)]),
        upper=np.concatenate([program.upper, np.ones(count)]),
        row_lower=np.concatenate([program.row_lower, np.full(len(rows), -INFINITY)]),
        row_upper=np.concatenate([program.row_upper, [row.upper for row in rows]]),
        start=np.concatenate([program.start, program.start[-1] + 2 * np.arange(1, len(rows) + 1)]).astype(np.int32),
        index=np.concatenate([program.index, *(row.index for row in rows)]).astype(np.int32),
        value=np.concatenate([program.value, *(row.value for row in rows)]),
    )


@dataclass(frozen=True)
class _Row:
    index: tuple[int, int]
    value: tuple[float, float]
    upper: float


def _choice_rows(choice: Switched, switch: int, upper: Array) -> tuple[_Row, _Row]:
    """With the switch u: `a <= A u` and `b <= B (1 - u)`, or `x <= X u` and `x >= minimum u`."""
    if isinstance(choice, OneOf):
        first, second = choice.first, choice.second
        return (
            _Row((first, switch), (1.0, -upper[first]), 0.0),
            _Row((second, switch), (1.0, upper[second]), upper[second]),
        )
    column = choice.column
    return (
        _Row((column, switch), (1.0, -upper[column]), 0.0),
        _Row((column, switch), (-1.0, choice.minimum), 0.0),
    )


class _QuietHighs(highspy.Highs):
    """HiGHS without its banner on standard output, which highspy's own constructor writes before any option is read."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()
        self.setOptionValue("output_flag", False)


def _run(program: Program, whole: NDArray[np.bool_], time_limit_s: float, gap: float) -> Solution:
    integrality = np.where(whole, int(highspy.HighsVarType.kInteger), 0).astype(np.int32)
    highs = _QuietHighs()
    highs.setOptionValue("parallel", "off")
    highs.setOptionValue("time_limit", time_limit_s)
    highs.setOptionValue("primal_feasibility_tolerance", FEASIBILITY)
    highs.setOptionValue("dual_feasibility_tolerance", FEASIBILITY)
    highs.setOptionValue("mip_feasibility_tolerance", FEASIBILITY)
    highs.setOptionValue("mip_rel_gap", gap)
    passed = highs.passModel(
        len(program.cost), len(program.row_lower), len(program.value),
        int(highspy.MatrixFormat.kRowwise), int(highspy.ObjSense.kMinimize), program.offset,
        program.cost, program.lower, program.upper, program.row_lower, program.row_upper,
        program.start, program.index, program.value, integrality,
    )  # fmt: skip
    if passed == highspy.HighsStatus.kError:
        raise ValueError("the solver refused the program: a coefficient or bound is out of its range")
    highs.run()
    return _read(highs, bool(whole.any()))


def _read(highs: highspy.Highs, is_mip: bool) -> Solution:
    model_status, info = highs.getModelStatus(), highs.getInfo()
    status = _STATUS.get(model_status, Status.NO_ANSWER)
    has_answer = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    if model_status == highspy.HighsModelStatus.kTimeLimit and has_answer:
        status = Status.FEASIBLE
    objective = info.objective_function_value
    detail = highs.modelStatusToString(model_status)
    if status in (Status.OPTIMAL, Status.FEASIBLE) and not (has_answer and math.isfinite(objective)):
        status = Status.NO_ANSWER
    if status not in (Status.OPTIMAL, Status.FEASIBLE):
        return Solution(status, np.empty(0), np.empty(0), math.nan, math.nan, detail)
    solution = highs.getSolution()
    x = np.asarray(solution.col_value, dtype=float)
    if not np.isfinite(x).all():
        return Solution(Status.NO_ANSWER, np.empty(0), np.empty(0), math.nan, math.nan, f"{detail}, not a number")
    return Solution(
        status=status,
        x=x,
        row_dual=np.asarray(solution.row_dual, dtype=float),
        objective=objective,
        gap=float(info.mip_gap) if is_mip else 0.0,
        detail=detail,
        col_dual=np.asarray(solution.col_dual, dtype=float),
    )


_STATUS = {
    highspy.HighsModelStatus.kOptimal: Status.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: Status.INFEASIBLE,
    highspy.HighsModelStatus.kUnboundedOrInfeasible: Status.INFEASIBLE,
}
