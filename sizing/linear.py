"""A linear program put together from whole series of columns and rows, and handed to HiGHS as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import highspy
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix

from optimizer.solver import QuietHighs
from optimizer.time_grid import Array

Indices = NDArray[np.int64]
Term = tuple[Indices | int, ArrayLike]
"""Columns and their coefficients, one a row; a single number stands for all rows."""


class LinearProgram:
    """Columns and rows of `min c·x, l ≤ A·x ≤ u`, added in blocks."""

    def __init__(self) -> None:
        self.columns = self.rows = 0
        self._cost: list[Array] = []
        self._lower: list[Array] = []
        self._upper: list[Array] = []
        self._row_lower: list[Array] = []
        self._row_upper: list[Array] = []
        self._at: list[Indices] = []
        self._of: list[Indices] = []
        self._value: list[Array] = []

    def add_columns(
        self, count: int, cost: ArrayLike = 0.0, lower: ArrayLike = 0.0, upper: ArrayLike = np.inf
    ) -> Indices:
        """So many new columns; returns their numbers."""
        for known, given in ((self._cost, cost), (self._lower, lower), (self._upper, upper)):
            known.append(np.broadcast_to(np.asarray(given, dtype=float), count).copy())
        self.columns += count
        return np.arange(self.columns - count, self.columns)

    def add_rows(self, terms: Sequence[Term], lower: ArrayLike, upper: ArrayLike, count: int) -> Indices:
        """So many new rows, each the sum of the terms between its limits; returns their numbers."""
        numbers = np.arange(self.rows, self.rows + count)
        for columns, values in terms:
            self._at.append(numbers)
            self._of.append(np.broadcast_to(np.asarray(columns, dtype=np.int64), count))
            self._value.append(np.broadcast_to(np.asarray(values, dtype=float), count))
        for known, given in ((self._row_lower, lower), (self._row_upper, upper)):
            known.append(np.broadcast_to(np.asarray(given, dtype=float), count).copy())
        self.rows += count
        return numbers

    def for_highs(self) -> highspy.HighsLp:
        """The program as HiGHS takes it."""
        parts = (np.concatenate(self._value), (np.concatenate(self._at), np.concatenate(self._of)))
        matrix = coo_matrix(parts, shape=(self.rows, self.columns)).tocsc()
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.columns, self.rows
        lp.col_cost_ = np.concatenate(self._cost)
        lp.col_lower_, lp.col_upper_ = np.concatenate(self._lower), np.concatenate(self._upper)
        lp.row_lower_, lp.row_upper_ = np.concatenate(self._row_lower), np.concatenate(self._row_upper)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
        lp.a_matrix_.value_ = matrix.data
        return lp


def quiet_highs(**options: str | float) -> highspy.Highs:
    """HiGHS on one core without words.

    Not by its option `threads`: that binds all solvers of a process, and one with another number refuses to run.
    """
    highs = QuietHighs()
    for name, value in {"parallel": "off", **options}.items():
        highs.setOptionValue(name, value)
    return highs


def require_optimal(highs: highspy.Highs, what: str) -> None:
    """Raises RuntimeError unless the last run of `what` ended with an optimum."""
    status = highs.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"{what} ended with {highs.modelStatusToString(status)}")
