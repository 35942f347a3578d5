"""A linear program as arrays, and the smaller one that is left when fixed columns are taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from optimizer.time_grid import Array

INFINITY = float("inf")
EMPTY_ROW_TOLERANCE = 1e-9
"""A row without free columns that is broken by more than this stays, so that the solver says so."""

Places = NDArray[np.intp]
Pair = tuple[Array, Array]


@dataclass(frozen=True)
class Program:
    """Minimise cost·x + offset with row_lower <= A x <= row_upper, lower <= x <= upper."""

    cost: Array
    offset: float
    lower: Array
    upper: Array
    row_lower: Array
    row_upper: Array
    start: NDArray[np.int32]
    """(rows + 1,) row pointers of A."""
    index: NDArray[np.int32]
    value: Array

    @classmethod
    def of(
        cls,
        cost: Array,
        offset: float,
        bounds: tuple[Array, Array],
        rows: tuple[Array, Array],
        matrix: sparse.csr_matrix,
    ) -> Program:
        """The program with this matrix, lower and upper bounds of columns and of rows."""
        start, index = matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32)
        return cls(cost, offset, *bounds, *rows, start, index, matrix.data)

    @property
    def matrix(self) -> sparse.csr_matrix:
        """A."""
        return sparse.csr_matrix(
            (self.value, self.index, self.start), shape=(len(self.row_lower), len(self.cost)), copy=False
        )

    def cost_of(self, x: Array) -> float:
        return float((self.cost * x).sum()) + self.offset


@dataclass(frozen=True)
class Part:
    """What is left of a program: `program` over the places `columns` and `rows` of the whole one."""

    program: Program
    columns: Places
    rows: Places
    fixed: Array
    """(all columns,) values of the columns taken out, 0 for those left."""

    def whole(self, x: Array) -> Array:
        """(all columns,) from the values of those left."""
        full = self.fixed.copy()
        full[self.columns] = x
        return full


def without_fixed(program: Program) -> Part:
    """The program without columns whose bounds are equal, and without the rows that then hold by themselves."""
    free = program.lower != program.upper
    fixed = np.where(free, 0.0, program.lower)
    columns = np.flatnonzero(free)
    matrix = program.matrix
    taken = np.asarray(matrix @ fixed)
    low, high = program.row_lower - taken, program.row_upper - taken
    part = matrix[:, columns]
    broken = (low > EMPTY_ROW_TOLERANCE) | (high < -EMPTY_ROW_TOLERANCE)
    rows = np.flatnonzero((np.diff(part.indptr) > 0) | broken)
    left = Program.of(
        program.cost[columns],
        program.cost_of(fixed),
        (program.lower[columns], program.upper[columns]),
        (low[rows], high[rows]),
        sparse.csr_matrix(part[rows]),
    )
    return Part(left, columns, rows, fixed)
