"""Either-or conditions on columns of a program: which an answer breaks, how they are enforced, how decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optimizer.program import INFINITY, Program
from optimizer.time_grid import Array

ABOVE_ZERO = 1e-6
"""A flow above this [kW] counts as used: ten times below what a meter of 0.01 kW resolution could show."""


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
    may_cycle: bool = True
    """Whether it may be given up where nothing else is feasible."""


@dataclass(frozen=True)
class WholeNumber:
    """A column that takes whole numbers only: an on/off decision."""

    column: int
    family: str
    """The device and condition it belongs to, over all steps."""


Choice = OneOf | ZeroOrAtLeast | WholeNumber


class Choices:
    """Conditions in their order, with their columns as arrays."""

    def __init__(self, choices: Iterable[Choice] = ()) -> None:
        self._all = tuple(choices)
        pairs = [(n, c.first, c.second) for n, c in enumerate(self._all) if isinstance(c, OneOf)]
        least = [(n, c.column) for n, c in enumerate(self._all) if isinstance(c, ZeroOrAtLeast)]
        whole = [(n, c.column) for n, c in enumerate(self._all) if isinstance(c, WholeNumber)]
        self._pairs = np.asarray(pairs, dtype=np.intp).reshape(-1, 3).T
        self._least = np.asarray(least, dtype=np.intp).reshape(-1, 2).T
        self._whole = np.asarray(whole, dtype=np.intp).reshape(-1, 2).T
        self._minimum = np.asarray([c.minimum for c in self._all if isinstance(c, ZeroOrAtLeast)], dtype=float)

    def __iter__(self) -> Iterator[Choice]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def never_given_up(self) -> Choices:
        """Those that hold even where machines have to cycle."""
        return Choices(c for c in self._all if not (isinstance(c, ZeroOrAtLeast) and c.may_cycle))

    def broken(self, x: Array) -> tuple[Choice, ...]:
        """The conditions that an answer does not keep, in order."""
        (pair, a, b), (least, at), (whole, on) = self._pairs, self._least, self._whole
        both = pair[np.minimum(x[a], x[b]) > ABOVE_ZERO]
        below = least[(x[at] > ABOVE_ZERO) & (x[at] < self._minimum - ABOVE_ZERO)]
        between = whole[np.abs(x[on] - np.round(x[on])) > ABOVE_ZERO]
        return tuple(self._all[n] for n in sorted([*both, *below, *between]))

    def decided(self, program: Program, x: Array, wish: Array | None = None) -> Program:
        """The program in which every condition stays as the answer has it; undecided ones follow the (n,) wish."""
        (_, a, b), (_, at), (_, on) = self._pairs, self._least, self._whole
        lower, upper = program.lower.copy(), program.upper.copy()
        by = x if wish is None else wish
        undecided = np.maximum(x[a], x[b]) <= ABOVE_ZERO
        unused = np.where(np.where(undecided, by[a] >= by[b], x[a] >= x[b]), b, a)
        upper[unused] = np.maximum(0.0, lower[unused])
        running = x[at] > self._minimum / 2
        lower[at[running]] = self._minimum[running]
        upper[at[~running]] = 0.0
        lower[on] = upper[on] = np.round(x[on])
        return replace(program, lower=lower, upper=upper)

    def rounded(self, x: Array, whole: Callable[[Array], Array], least_share: float) -> Array:
        """The answer with whole numbers rounded so, and 0 or at least the minimum where it has that share of it."""
        (_, at), (_, on) = self._least, self._whole
        found = x.copy()
        running = (x[at] > ABOVE_ZERO) & (x[at] >= least_share * self._minimum - ABOVE_ZERO)
        found[at] = np.where(running, np.maximum(x[at], self._minimum), 0.0)
        found[on] = whole(x[on])
        return found

    def as_binaries(self, program: Program) -> tuple[Program, NDArray[np.bool_]]:
        """The program with a column and two rows more for each condition but whole numbers; which columns are whole."""
        extended = _with_switches(program, tuple(c for c in self._all if not isinstance(c, WholeNumber)))
        whole = np.zeros(len(extended.cost), dtype=bool)
        whole[len(program.cost) :] = True
        whole[self._whole[1]] = True
        return extended, whole


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
