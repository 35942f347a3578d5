"""Where the rows and columns of a built model are: by owner and name, and over time for the stores.

Filled once when the model is built, so that reading an answer costs a few array operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyomo.environ as pyo

from optimizer.balance import BusFlow
from optimizer.compiled import CompiledModel
from optimizer.devices.base import Carrier, Ports
from optimizer.program import Places

SITE = ""
"""Owner of rows that belong to no device."""


class Name(NamedTuple):
    """A row or a column: whose it is, and what it is called there."""

    owner: str
    local: str


@dataclass(frozen=True)
class StorePlaces:
    """The rows and columns of a store over its steps."""

    fill_quantity: str
    """Name of the flow that fills it."""
    draw_quantity: str
    """Name of the flow that draws on it."""

    rows: Places
    """(m,) rows that carry the stored energy on, m of the store's steps."""
    energy: Places
    """(m,) columns of the energy at the end of each step."""
    keep_entries: Places
    """(m - 1,) entries of the matrix: what the next row takes of that energy, negated."""
    fills: Places
    """(m,) columns of the flow that fills the store."""
    draws: Places
    """(m,) columns of the flow that draws on it."""
    depth_rows: Places
    """(m,) rows that price the depth at which the energy at the end of each step lies; empty without such a price."""


@dataclass(frozen=True)
class Uses:
    """The matrix by column."""

    start: Places
    rows: Places
    entries: Places
    """Places of the coefficients among the values of a program."""
    _known: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def of(self, column: int) -> list[tuple[int, int]]:
        """(row, entry) of a column."""
        if column not in self._known:
            here = slice(self.start[column], self.start[column + 1])
            self._known[column] = list(zip(self.rows[here].tolist(), self.entries[here].tolist(), strict=True))
        return self._known[column]


@dataclass(frozen=True)
class Layout:
    """Names and places in a built model."""

    rows: tuple[Name, ...]
    columns: tuple[Name, ...]
    balances: Mapping[Carrier, Places]
    """By carrier: (n,) rows of all steps."""
    decisions: frozenset[int]
    """Columns of on/off decisions."""
    equal: frozenset[int]
    """Rows that are equations."""
    uses: Uses
    first_flows: Mapping[tuple[str, str], int]
    """By device and quantity: the column of the first step, where there is one."""
    first_columns: Mapping[str, Places]
    """By device: the same columns."""
    stores: Mapping[str, StorePlaces]


def find_places(
    model: Any,
    compiled: CompiledModel,
    ports: Mapping[str, Ports],
    flows: tuple[BusFlow, ...],
    balances: Mapping[Carrier, Any],
) -> Layout:
    first = {(f.device, f.quantity): compiled.column(f.variable[0]) for f in flows if 0 in f.variable}
    decided = (variable for port in ports.values() for decision in port.decisions for variable in decision.values())
    return Layout(
        rows=_names(model, pyo.Constraint, compiled.rows),
        columns=_names(model, pyo.Var, compiled.columns),
        balances={carrier: compiled.rows_of(rows) for carrier, rows in balances.items()},
        decisions=frozenset(compiled.column(variable) for variable in decided),
        equal=frozenset(
            compiled.rows[id(data)]
            for data in model.component_data_objects(pyo.Constraint, active=True)
            if data.equality
        ),
        uses=Uses(*compiled.by_column()),
        first_flows=first,
        first_columns=_by_device(first),
        stores={
            id_: found
            for id_, port in ports.items()
            if (found := _store(model.device[id_], port, [f for f in flows if f.device == id_], compiled)) is not None
        },
    )


def _by_device(first: Mapping[tuple[str, str], int]) -> dict[str, Places]:
    columns: dict[str, list[int]] = {}
    for (device, _), column in first.items():
        columns.setdefault(device, []).append(column)
    return {device: np.array(found) for device, found in columns.items()}


def _names(model: Any, kind: Any, places: Mapping[int, int]) -> tuple[Name, ...]:
    names = [Name(SITE, "")] * len(places)
    for component in model.component_objects(kind, active=True):
        name = Name(_owner(component.parent_block()), component.local_name)
        for data in component.values():
            names[places[id(data)]] = name
    return tuple(names)


def _owner(block: Any) -> str:
    """The device in whose block (at any depth) a component lies."""
    owner = SITE
    while block is not None:
        if isinstance(block.index(), str):
            owner = block.index()
        block = block.parent_block()
    return owner


def _store(block: Any, port: Ports, flows: list[BusFlow], compiled: CompiledModel) -> StorePlaces | None:
    """None for devices that store nothing, or not by one flow in and one flow out."""
    state = port.states.get("energy_kwh", next(iter(port.states.values()), None))
    if port.stored_value is None or state is None:
        return None
    steps, depth = sorted(port.stored_value.keys()), block.component("shallow_energy")
    rows = compiled.rows_of(port.stored_value)
    energy = np.array([compiled.column(state[t + 1]) for t in steps])
    stored = [flow for flow in flows if compiled.has(int(rows[0]), compiled.column(flow.variable[0]))]
    fills = [flow for flow in stored if flow.direction == "out"]
    draws = [flow for flow in stored if flow.direction == "in"]
    if len(fills) != 1 or len(draws) != 1:
        return None
    return StorePlaces(
        fill_quantity=fills[0].quantity,
        draw_quantity=draws[0].quantity,
        rows=rows,
        energy=energy,
        keep_entries=np.array([compiled.entry(r, c) for r, c in zip(rows[1:], energy[:-1], strict=True)], dtype=int),
        fills=compiled.columns_of(fills[0].variable)[: len(steps)],
        draws=compiled.columns_of(draws[0].variable)[: len(steps)],
        depth_rows=np.empty(0, dtype=np.intp) if depth is None else compiled.rows_of(depth),
    )
