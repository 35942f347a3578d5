"""A Pyomo model compiled once into arrays, and re-evaluated from its parameters alone.

The devices write rows whose coefficients, bounds and costs are affine in mutable parameters. Compiling reads each such
expression once and keeps it as `constant + Σ factor·parameter`; after that a new situation is a vector of parameter
values and a handful of sparse products, without touching Pyomo. An expression that is not affine is refused at
compile time: a device must then offer the product as a parameter of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr.numeric_expr import DivisionExpression, NegationExpression, ProductExpression, SumExpression
from pyomo.core.expr.visitor import identify_mutable_parameters
from pyomo.repn import generate_standard_repn
from scipy import sparse

from optimizer.devices.base import Cost
from optimizer.program import INFINITY, Places, Program
from optimizer.time_grid import Array

NO_STEP = -1


Name = tuple[int, Any]
"""Component and index of a column or row."""


class AffineEntries:
    """Values that are affine in the parameters, collected one by one and evaluated together."""

    def __init__(self, parameters: ParameterVector) -> None:
        self._parameters = parameters
        self._constant: list[float] = []
        self._entry: list[int] = []
        self._parameter: list[int] = []
        self._factor: list[float] = []

    def add(self, expression: Any) -> None:
        """Appends one value: a number, a parameter or an affine expression of parameters."""
        constant, terms = self._parameters.affine(expression)
        for parameter, factor in terms:
            self._entry.append(len(self._constant))
            self._parameter.append(parameter)
            self._factor.append(factor)
        self._constant.append(constant)

    def freeze(self) -> AffineVector:
        shape = (len(self._constant), self._parameters.size)
        matrix = sparse.csr_matrix((self._factor, (self._entry, self._parameter)), shape=shape)
        return AffineVector(np.asarray(self._constant, dtype=float), matrix)


@dataclass(frozen=True)
class AffineVector:
    """`constant + matrix @ parameters`."""

    constant: Array
    matrix: sparse.csr_matrix

    def at(self, parameters: Array) -> Array:
        return np.asarray(self.constant + self.matrix @ parameters)


def _finite(values: Array) -> bool:
    return bool(np.isfinite(values).all())


class ParameterVector:
    """All mutable parameters of a model in one vector, by component name."""

    def __init__(self, blocks: Mapping[str, Any]) -> None:
        self.slices: dict[tuple[str, str], slice] = {}
        self._index: dict[int, int] = {}
        self._data: list[Any] = []
        for device, block in blocks.items():
            for component in block.component_objects(pyo.Param, descend_into=False):
                begin = len(self._data)
                for data in component.values():
                    self._index[id(data)] = len(self._data)
                    self._data.append(data)
                self.slices[device, component.local_name] = slice(begin, len(self._data))

    @property
    def size(self) -> int:
        return len(self._data)

    def values(self, inputs: Mapping[str, Mapping[str, Any]]) -> Array:
        """The vector for these inputs by device and parameter.

        Raises:
            ValueError: a parameter is missing, unknown, of wrong length or not finite (named).
        """
        vector = np.empty(self.size)
        given = {(device, name) for device, values in inputs.items() for name in values}
        if given != set(self.slices):
            missing, unknown = set(self.slices) - given, given - set(self.slices)
            raise ValueError(f"model inputs do not fit: missing {sorted(missing)}, unknown {sorted(unknown)}")
        for (device, name), place in self.slices.items():
            value = np.asarray(inputs[device][name], dtype=float)
            length = place.stop - place.start
            if value.ndim and value.shape != (length,):
                raise ValueError(f"{device}.{name} has shape {value.shape}, the model needs ({length},)")
            vector[place] = value
        if not _finite(vector):
            wrong = [f"{d}.{name}: {vector[at]}" for (d, name), at in self.slices.items() if not _finite(vector[at])]
            raise ValueError(f"not finite: {'; '.join(wrong)}")
        return vector

    def affine(self, expression: Any) -> tuple[float, list[tuple[int, float]]]:
        """`expression` as a constant and (parameter, factor) pairs.

        Raises:
            ValueError: the expression is not affine in the parameters.
        """
        if expression is None:
            return 0.0, []
        factors: dict[int, float] = {}
        constant = self._collect(expression, 1.0, factors)
        return constant, list(factors.items())

    def _collect(self, expression: Any, factor: float, into: dict[int, float]) -> float:
        """Adds `factor` times the expression's parameters; returns the same times its constant part."""
        if isinstance(expression, (int, float)):
            return factor * expression
        place = self._index.get(id(expression))
        if place is not None:
            into[place] = into.get(place, 0.0) + factor
            return 0.0
        if isinstance(expression, NegationExpression):
            return self._collect(expression.arg(0), -factor, into)
        if isinstance(expression, SumExpression):
            return sum(self._collect(part, factor, into) for part in expression.args)
        if isinstance(expression, ProductExpression):
            left, right = expression.args
            if not self._is_constant(left):
                left, right = right, left
            return self._collect(right, factor * self._constant(left, expression), into)
        if isinstance(expression, DivisionExpression):
            return self._collect(expression.arg(0), factor / self._constant(expression.arg(1), expression), into)
        return factor * self._constant(expression, expression)

    def _is_constant(self, expression: Any) -> bool:
        if isinstance(expression, (int, float)):
            return True
        return not any(id(found) in self._index for found in identify_mutable_parameters(expression))

    def _constant(self, expression: Any, within: Any) -> float:
        if not self._is_constant(expression):
            raise ValueError(f"{within} is not affine in its parameters: offer the product as a parameter")
        return float(pyo.value(expression))


class CompiledModel:
    """The arrays of a model as functions of its parameters."""

    def __init__(self, parameters: ParameterVector, model: Any, costs: Iterable[Cost]) -> None:
        self.parameters = parameters
        self.columns: dict[int, int] = {}
        self.rows: dict[int, int] = {}
        self._places: dict[int, Places] = {}
        self._column_names: list[Name] = []
        self._row_names: list[Name] = []
        self._moved_on: tuple[int, Places, Places] | None = None
        self._read_columns(model)
        self._read_rows(model)
        self._read_costs(list(costs))

    def column(self, variable: Any) -> int:
        return self.columns[id(variable)]

    def entry(self, row: int, column: int) -> int:
        """The place of a coefficient among the values of a program."""
        begin, end = self._start[row], self._start[row + 1]
        return int(begin + np.flatnonzero(self._index[begin:end] == column)[0])

    def has(self, row: int, column: int) -> bool:
        return bool((self._index[self._start[row] : self._start[row + 1]] == column).any())

    def by_column(self) -> tuple[Places, Places, Places]:
        """Column pointers, rows, and places among the values of a program, sorted by column."""
        order = np.argsort(self._index, kind="stable")
        rows = np.repeat(np.arange(len(self._start) - 1), np.diff(self._start))
        counts = np.bincount(self._index, minlength=len(self.columns))
        return np.concatenate([[0], np.cumsum(counts)]), rows[order], order

    def columns_of(self, indexed: Any) -> Places:
        """The columns of an indexed variable, in the order of its index."""
        return self._places_of(self.columns, indexed)

    def rows_of(self, indexed: Any) -> Places:
        """The rows of an indexed constraint, in the order of its index."""
        return self._places_of(self.rows, indexed)

    def moved_on(self, near: int) -> tuple[Places, Places]:
        """For each column and each row the place of the same thing one step later; its own where there is none, and in
        the coarse steps from `near` on."""
        if self._moved_on is None or self._moved_on[0] != near:
            self._moved_on = near, _one_step_later(self._column_names, near), _one_step_later(self._row_names, near)
        return self._moved_on[1:]

    def _places_of(self, among: Mapping[int, int], indexed: Any) -> Places:
        if id(indexed) not in self._places:
            self._places[id(indexed)] = np.asarray([among[id(data)] for data in indexed.values()], dtype=np.intp)
        return self._places[id(indexed)]

    def _read_columns(self, model: Any) -> None:
        lower, upper = AffineEntries(self.parameters), AffineEntries(self.parameters)
        low_free, high_free, steps = [], [], []
        for variable in model.component_data_objects(pyo.Var):
            self.columns[id(variable)] = len(self.columns)
            self._column_names.append((id(variable.parent_component()), variable.index()))
            steps.append(variable.index() if isinstance(variable.index(), int) else NO_STEP)
            low, high = variable.lower, variable.upper
            low_free.append(low is None)
            high_free.append(high is None)
            lower.add(low)
            upper.add(high)
        self._lower, self._upper = lower.freeze(), upper.freeze()
        self._low_free, self._high_free = np.asarray(low_free), np.asarray(high_free)
        self.steps: Places = np.asarray(steps, dtype=np.intp)
        """(columns,) the step of each column, `NO_STEP` for those of no step."""

    def _read_rows(self, model: Any) -> None:
        value, lower, upper = (AffineEntries(self.parameters) for _ in range(3))
        start, index, low_free, high_free = [0], [], [], []
        for constraint in model.component_data_objects(pyo.Constraint, active=True):
            self.rows[id(constraint)] = len(self.rows)
            self._row_names.append((id(constraint.parent_component()), constraint.index()))
            repn = generate_standard_repn(constraint.body, compute_values=False)
            if not repn.is_linear():
                raise ValueError(f"row {constraint.name} is not linear")
            for variable, coefficient in zip(repn.linear_vars, repn.linear_coefs, strict=True):
                index.append(self.columns[id(variable)])
                value.add(coefficient)
            start.append(len(index))
            low_free.append(constraint.lower is None)
            high_free.append(constraint.upper is None)
            lower.add(None if constraint.lower is None else constraint.lower - repn.constant)
            upper.add(None if constraint.upper is None else constraint.upper - repn.constant)
        self._value, self._row_lower, self._row_upper = value.freeze(), lower.freeze(), upper.freeze()
        self._start, self._index = np.asarray(start, dtype=np.int32), np.asarray(index, dtype=np.int32)
        self._row_low_free, self._row_high_free = np.asarray(low_free), np.asarray(high_free)

    def _read_costs(self, costs: list[Cost]) -> None:
        factor, constant = AffineEntries(self.parameters), AffineEntries(self.parameters)
        entry, column = [], []
        for number, cost in enumerate(costs):
            repn = generate_standard_repn(cost.expression, compute_values=False)
            if not repn.is_linear():
                raise ValueError(f"cost {cost.term} is not linear")
            for variable, coefficient in zip(repn.linear_vars, repn.linear_coefs, strict=True):
                entry.append(number)
                column.append(self.columns[id(variable)])
                factor.add(coefficient)
            constant.add(repn.constant)
        self._cost_factor, self._cost_constant = factor.freeze(), constant.freeze()
        self._cost_entry, self._cost_column = np.asarray(entry, dtype=int), np.asarray(column, dtype=int)

    def program(self, parameters: Array) -> Program:
        """The arrays at these parameter values."""
        paid = self._cost_factor.at(parameters)
        cost = np.bincount(self._cost_column, weights=paid, minlength=len(self.columns)).astype(float)
        return Program(
            cost=cost,
            offset=float(self._cost_constant.at(parameters).sum()),
            lower=np.where(self._low_free, -INFINITY, self._lower.at(parameters)),
            upper=np.where(self._high_free, INFINITY, self._upper.at(parameters)),
            row_lower=np.where(self._row_low_free, -INFINITY, self._row_lower.at(parameters)),
            row_upper=np.where(self._row_high_free, INFINITY, self._row_upper.at(parameters)),
            start=self._start,
            index=self._index,
            value=self._value.at(parameters),
        )

    def cost_values(self, parameters: Array, x: Array) -> Array:
        """The value of each cost in the order they were given."""
        paid = self._cost_factor.at(parameters) * x[self._cost_column]
        constant = self._cost_constant.at(parameters)
        return np.bincount(self._cost_entry, weights=paid, minlength=len(constant)) + constant


def _one_step_later(names: Sequence[Name], near: int) -> Places:
    """For each name the place of that with the next step; its own where there is none, and from step `near - 1` on."""
    places = {name: place for place, name in enumerate(names)}
    return np.asarray([places.get(_next_step(name, near), place) for name, place in places.items()], dtype=np.intp)


def _next_step(name: Name, near: int) -> Name:
    """The same thing one near step later: a step is an index by itself, or the last of several."""
    component, index = name
    *others, step = index if isinstance(index, tuple) else (index,)
    if not isinstance(step, int) or step >= near - 1:
        return name
    return component, (*others, step + 1) if others else step + 1
