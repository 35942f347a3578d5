"""Scenarios: one program for several courses of the future that share what is done in the first step.

    min (1-w)·Σ p_s c_s + w·(η + Σ p_s ξ_s / (1-α))         (1)
    ξ_s ≥ c_s - η,  ξ_s ≥ 0,   c_s = cost_s·x_s + offset_s    (2)
    x_s[i] = x_0[i] for every first-step decision i           (3)

Every scenario has a copy of the site's program; (3) is no row: the copies use the same column. The least value of η +
Σ p_s ξ_s / (1-α) is the CVaR, the mean cost of the dearest 1-α (Rockafellar and Uryasev, "Optimization of conditional
value-at-risk", Journal of Risk 2, 2000, theorem 1); with w = 0 the rows (2) are left out. Copy 0 is the central course.

What is shared: in the first step, every flow and on/off decision of the devices that take a setpoint. What they cannot
know of that step, the demand of loads at the power bus, differs between scenarios, and the grid connection takes it up.
Everything else in the first step (heat and cold, weather, sun) is at its central value in all scenarios: no meter
balances heat or cold, and a device that keeps to its setpoint must be able to do so in every scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from optimizer.choices import Choice, Choices, OneOf
from optimizer.devices.base import Device
from optimizer.model import Model
from optimizer.plan import ScenarioOutcome
from optimizer.program import INFINITY, Program
from optimizer.situation import Situation, Uncertainty
from optimizer.solver import Solution
from optimizer.time_grid import Array

Columns = NDArray[np.int32]


def scenario_situations(devices: Sequence[Device], situation: Situation) -> tuple[Situation, ...]:
    """The central situation, then one for each other course; the situation alone where nothing is uncertain."""
    if situation.uncertainty is None:
        return (situation,)
    settled = settled_series(devices)
    central = replace(situation, uncertainty=None)
    others = []
    for path in situation.uncertainty.paths:
        series = {name: np.array(values, dtype=float) for name, values in path.items()}
        for name in settled & set(series):
            series[name][0] = situation.need(name)[0]
        others.append(replace(central, series={**situation.series, **series}))
    return (central, *others)


def settled_series(devices: Sequence[Device]) -> frozenset[str]:
    """Series whose first value is the same in all scenarios: those of devices that take a setpoint or touch a bus that
    no grid connection balances."""
    return frozenset(
        name
        for device in devices
        if device.main_quantity is not None or any(carrier != "power" for carrier, _ in device.buses().values())
        for name in device.required_series()
    )


def first_step_columns(devices: Sequence[Device], model: Model) -> frozenset[int]:
    """Columns of the decisions that are carried out before anything more is known."""
    told = [model.ports[device.id] for device in devices if device.main_quantity is not None]
    variables = [variable for port in told for variable in (*port.flows.values(), *port.decisions)]
    return frozenset(model.compiled.column(variable[0]) for variable in variables)


@dataclass(frozen=True)
class Stack:
    """The copies as one program, and the way back from its answer."""

    program: Program
    choices: Choices
    copies: tuple[Program, ...]
    columns: tuple[Columns, ...]
    """By copy: where its columns stand in `program`."""
    risk: Uncertainty | None

    def central(self, solution: Solution) -> Solution:
        """The answer for the central course; shadow prices are what one more unit costs when all courses need it."""
        if self.risk is None:
            return solution
        rows = len(self.copies[0].row_lower)
        duals = solution.row_dual[: rows * len(self.copies)].reshape(len(self.copies), rows)
        return replace(
            solution,
            x=solution.x[self.columns[0]],
            row_dual=duals.sum(axis=0),
            col_dual=self._reduced(solution.col_dual),
        )

    def _reduced(self, col_dual: Array) -> Array:
        """Reduced costs as the shadow prices: own columns of all copies together, shared ones as they are."""
        if not len(col_dual):
            return col_dual
        own, other = self.columns[0], self.columns[1]
        together = np.sum([col_dual[at] for at in self.columns], axis=0)
        return np.where(own == other, col_dual[own], together)

    def outcome(self, solution: Solution) -> ScenarioOutcome | None:
        if self.risk is None:
            return None
        costs = [copy.cost_of(solution.x[columns]) for copy, columns in zip(self.copies, self.columns, strict=True)]
        return ScenarioOutcome(tuple(costs), self.risk.risk_weight, self.risk.risk_level)


def stack(programs: Sequence[Program], choices: Choices, shared: frozenset[int], risk: Uncertainty | None) -> Stack:
    """One program for all courses; without `risk` the only program as it is."""
    if risk is None:
        (alone,) = programs
        return Stack(alone, choices, (alone,), (np.arange(len(alone.cost), dtype=np.int32),), None)
    columns = _columns(len(programs[0].cost), len(programs), shared)
    joined = _with_risk(_joined(programs, columns), programs, columns, risk)
    copied = [_moved(choice, at, number) for number, at in enumerate(columns) for choice in choices]
    return Stack(joined, Choices(dict.fromkeys(copied)), tuple(programs), columns, risk)


def _columns(count: int, copies: int, shared: frozenset[int]) -> tuple[Columns, ...]:
    """Copy 0 stands first; later copies get columns of their own for all but what is shared with copy 0 (3)."""
    own = np.array([i for i in range(count) if i not in shared], dtype=np.int32)
    found = [np.arange(count, dtype=np.int32)]
    for number in range(1, copies):
        at = found[0].copy()
        at[own] = count + (number - 1) * len(own) + np.arange(len(own), dtype=np.int32)
        found.append(at)
    return tuple(found)


def _joined(programs: Sequence[Program], columns: tuple[Columns, ...]) -> Program:
    """The copies side by side, each scenario as likely as the others; a shared column keeps all copies' bounds."""
    size = int(columns[-1].max()) + 1
    cost, lower, upper = np.zeros(size), np.full(size, -INFINITY), np.full(size, INFINITY)
    for program, at in zip(programs, columns, strict=True):
        cost[at] += program.cost / len(programs)
        lower[at] = np.maximum(lower[at], program.lower)
        upper[at] = np.minimum(upper[at], program.upper)
    ends = np.cumsum([0, *(len(program.value) for program in programs)])
    starts = [program.start[1:] + end for program, end in zip(programs, ends[:-1], strict=True)]
    return Program(
        cost=cost,
        offset=sum(program.offset for program in programs) / len(programs),
        lower=lower,
        upper=upper,
        row_lower=np.concatenate([program.row_lower for program in programs]),
        row_upper=np.concatenate([program.row_upper for program in programs]),
        start=np.concatenate([[0], *starts]).astype(np.int32),
        index=np.concatenate([at[program.index] for program, at in zip(programs, columns, strict=True)]),
        value=np.concatenate([program.value for program in programs]),
    )


def _with_risk(
    joined: Program, programs: Sequence[Program], columns: tuple[Columns, ...], risk: Uncertainty
) -> Program:
    """The objective (1) with the rows (2): η and the ξ_s as new columns."""
    weight, count, size = risk.risk_weight, len(programs), len(joined.cost)
    if weight == 0.0:
        return joined
    row = np.repeat(np.arange(count), len(programs[0].cost))
    paid = np.concatenate([program.cost for program in programs])
    dear = sparse.csr_matrix((paid, (row, np.concatenate(columns))), shape=(count, size))
    blocks: Any = [dear, sparse.csr_matrix(-np.ones((count, 1))), -sparse.identity(count)]
    rows = sparse.csr_matrix(sparse.hstack(blocks))
    rows.eliminate_zeros()
    beyond = weight / (count * (1.0 - risk.risk_level))
    return Program(
        cost=np.concatenate([(1.0 - weight) * joined.cost, [weight], np.full(count, beyond)]),
        offset=(1.0 - weight) * joined.offset,
        lower=np.concatenate([joined.lower, [-INFINITY], np.zeros(count)]),
        upper=np.concatenate([joined.upper, np.full(count + 1, INFINITY)]),
        row_lower=np.concatenate([joined.row_lower, np.full(count, -INFINITY)]),
        row_upper=np.concatenate([joined.row_upper, [-program.offset for program in programs]]),
        start=np.concatenate([joined.start, joined.start[-1] + rows.indptr[1:]]).astype(np.int32),
        index=np.concatenate([joined.index, rows.indices]).astype(np.int32),
        value=np.concatenate([joined.value, rows.data]),
    )


def _moved(choice: Choice, at: Columns, number: int) -> Choice:
    """A condition of one copy; on shared columns it stays copy 0's own, so that it stands once."""
    if isinstance(choice, OneOf):
        first, second = int(at[choice.first]), int(at[choice.second])
        alone = (first, second) == (choice.first, choice.second)
        return choice if alone else OneOf(first, second, f"{choice.family}.{number}")
    column = int(at[choice.column])
    return choice if column == choice.column else replace(choice, column=column, family=f"{choice.family}.{number}")
