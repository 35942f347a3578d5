"""What holds the first step of a device: prices it acts on, and the limits that keep it from doing more or less.

At an optimum each movement dx of a device (its flow, with what that flow needs of its other carriers) satisfies

    Σ c·dx - Σ y·(A dx)  over the rows that are prices   =   Σ y·(A dx) over the rows that are limits  +  Σ r·dx     (1)

with row duals y and reduced costs r: the left side is what one kW more would cost at the present prices, the right side
says which limits make up for it. What neither explains comes from an either-or decision. For a store the worth of its
energy is the price of its balance; e at the end of step t passes it on,

    v[t] = keep[t+1]·v[t+1] + f[t]                                                                                   (2)

where f is the force of a limit on e there: below 0 of an upper one, above 0 of a lower one. Wear by depth, which prices
the depth at which energy lies, is taken out of f.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from optimizer.devices.base import Carrier
from optimizer.model import Model
from optimizer.places import Name, StorePlaces
from optimizer.program import Program
from optimizer.solver import Solution
from optimizer.time_grid import Array

PRICE_TOLERANCE = 1e-5
"""Differences of prices below this [money/kWh] are none."""
TIGHT = 1e-5
"""A value this near its bound [kW or kWh] is at it."""
MOVED_KW = 0.05
"""Flows below this, and changes of a flow below it, are none."""
BY_PRODUCTS = frozenset({"heat_from_gas", "shallow_energy", "shallow_charge", "shallow_discharge"})
"""Inequalities that price a by-product, or wear by depth, instead of limiting the machine."""
MOST_COLUMNS = 12
"""Columns followed from one flow through the equations of its device."""


@dataclass(frozen=True)
class Limit:
    """A bound or row that is reached, and what one unit more of it would be worth [money/kWh]."""

    name: Name
    side: str
    """`low` or `high` for the bound of a column; `row` for a row."""
    worth: float


@dataclass(frozen=True)
class Movement:
    """One kW more of a flow in the first step."""

    kw: float
    """The flow as planned."""
    most_kw: float
    """The largest it can be."""
    gap: float
    """What it would cost at present prices [money/kWh]; below 0: it would pay, and a limit keeps it from it."""
    limits: tuple[Limit, ...]
    """Those that act against `gap`, the strongest first."""


@dataclass(frozen=True)
class StoreView:
    """The worth of a store's energy over its steps [money/kWh], and where the limits of its energy act."""

    value: Array
    force: Array
    """(m,) f of (2)."""
    fills: Array
    draws: Array
    """(m,) flows [kW]."""
    can_draw: bool

    def until(self) -> int:
        """The first step at whose end a lower limit of the stored energy acts; the last one where there is none.

        Energy stored now is used by then: a full store on the way does not end it.
        """
        acts = self.force > PRICE_TOLERANCE
        if not self.can_draw:  # what nobody can take away needs no floor before something was added
            acts = acts & (np.cumsum(self.fills) > MOVED_KW)
        return int(np.argmax(acts)) if acts.any() else len(self.force) - 1


class Holding:
    """Reads a solved program. `executed` is the answer that is carried out: of the same cost and the same prices as the
    cheapest one found first."""

    def __init__(self, model: Model, program: Program, cheapest: Solution, executed: Array, step_hours: float) -> None:
        self._model, self._places = model, model.layout
        self._program, self._solution, self._executed = program, cheapest, executed
        self._hours = step_hours
        self._movements: dict[tuple[str, str], Movement] = {}

    @property
    def has_prices(self) -> bool:
        """False for an answer that was cut off before prices were known."""
        return self._solution.priced

    def price(self, carrier: Carrier, step: int = 0, hours: float | None = None) -> float:
        """Shadow price [money/kWh] of a carrier in a step."""
        dual = float(self._solution.row_dual[self._places.balances[carrier][step]])
        length = self._hours if hours is None else hours
        return dual / length if length > 0 else 0.0

    def reduced_cost(self, device: str, quantity: str) -> float:
        """What a kWh more of a flow in the first step costs beyond what it brings at present prices [money/kWh]."""
        return float(self._solution.col_dual[self._places.first_flows[device, quantity]]) / self._hours

    def flow(self, device: str, quantity: str) -> float:
        """The first step's flow as executed [kW]."""
        return float(self._executed[self._places.first_flows[device, quantity]])

    def moved_kw(self, device: str) -> float:
        """How far the executed first step is from the cheapest one [kW]."""
        columns = self._places.first_columns[device]
        return float(np.abs(self._executed[columns] - self._solution.x[columns]).max(initial=0.0))

    def decided(self, device: str) -> bool | None:
        """Whether a machine with an on/off decision is on in the first step; None for others."""
        port = self._model.ports[device]
        if not port.decisions:
            return None
        return bool(self._executed[self._model.compiled.column(port.decisions[0][0])] > 0.5)

    def movement(self, device: str, quantity: str) -> Movement:
        """Equation (1) for one kW more of a flow in the first step."""
        if (device, quantity) not in self._movements:
            self._movements[device, quantity] = self._movement(device, quantity)
        return self._movements[device, quantity]

    def _movement(self, device: str, quantity: str) -> Movement:
        column = self._places.first_flows[device, quantity]
        direction, equations = self._direction(device, column)
        gap = float(sum(self._program.cost[c] * d for c, d in direction.items()))
        limits = []
        for row, slope in self._slopes(direction, equations).items():
            pull = float(self._solution.row_dual[row]) * slope
            if self._is_price(row):
                gap -= pull
            elif pull and self._row_is_tight(row):
                limits.append(Limit(self._places.rows[row], "row", pull / self._hours))
        for c, d in direction.items():
            pull = float(self._solution.col_dual[c]) * d
            side = self._side(c)
            if side:
                limits.append(Limit(self._places.columns[c], side, pull / self._hours))
        gap /= self._hours
        acting = [limit for limit in limits if limit.worth * gap > 0 and abs(limit.worth) > PRICE_TOLERANCE]
        acting.sort(key=lambda limit: -abs(limit.worth))
        most = float(self._program.upper[column])
        return Movement(float(self._executed[column]), most, gap, tuple(acting))

    def _direction(self, device: str, column: int) -> tuple[dict[int, float], set[int]]:
        """The other flows that one unit more of a column needs by the device's own equations, and these equations."""
        columns, rows = [column], list[int]()
        stored = self._places.stores.get(device)
        balance = set() if stored is None else {int(stored.rows[0])}
        for c in columns:
            for row, _ in self._places.uses.of(c):
                own = self._places.rows[row].owner == device and row in self._places.equal
                if own and row not in rows and row not in balance and len(columns) < MOST_COLUMNS:
                    rows.append(row)
                    columns += [other for other in self._row(row)[0] if other not in columns and self._is_free(other)]
        if not rows:
            return {column: 1.0}, set()
        matrix = np.zeros((len(rows), len(columns)))
        for n, row in enumerate(rows):
            for other, value in zip(*self._row(row), strict=True):
                if other in columns:
                    matrix[n, columns.index(other)] = value
        rest, *_ = np.linalg.lstsq(matrix[:, 1:], -matrix[:, 0], rcond=None)
        if np.abs(matrix[:, 1:] @ rest + matrix[:, 0]).max() > PRICE_TOLERANCE:
            return {column: 1.0}, set()
        return {column: 1.0, **dict(zip(columns[1:], rest.tolist(), strict=True))}, set(rows)

    def _row(self, row: int) -> tuple[list[int], list[float]]:
        here = slice(self._program.start[row], self._program.start[row + 1])
        return self._program.index[here].tolist(), self._program.value[here].tolist()

    def _is_free(self, column: int) -> bool:
        return column not in self._places.decisions and self._program.lower[column] < self._program.upper[column]

    def _slopes(self, direction: Mapping[int, float], equations: set[int]) -> dict[int, float]:
        slopes: dict[int, float] = {}
        for column, change in direction.items():
            for row, entry in self._places.uses.of(column):
                if row not in equations:
                    slopes[row] = slopes.get(row, 0.0) + float(self._program.value[entry]) * change
        return slopes

    def _is_price(self, row: int) -> bool:
        return row in self._places.equal or self._places.rows[row].local in BY_PRODUCTS

    def _row_is_tight(self, row: int) -> bool:
        columns, values = self._row(row)
        activity = float(self._executed[columns] @ np.asarray(values))
        ends = (float(self._program.row_lower[row]), float(self._program.row_upper[row]))
        return min(abs(activity - end) for end in ends) < TIGHT

    def _side(self, column: int) -> str:
        """The bound that holds a column, `low` or `high`; empty where none does."""
        value, pull = self._executed[column], self._solution.col_dual[column]
        if pull > 0 and value - self._program.lower[column] < TIGHT:
            return "low"
        return "high" if pull < 0 and self._program.upper[column] - value < TIGHT else ""

    def running_cost(self, device: str) -> float:
        """What the device's own flows cost in the first step apart from their carriers [money/h], e.g. stored fuel."""
        columns = self._places.first_columns[device]
        return float(self._program.cost[columns] @ self._executed[columns]) / self._hours

    def store_flows(self, device: str) -> tuple[str, str]:
        """Names of the flows that fill a store and draw on it."""
        places = self._places.stores[device]
        return places.fill_quantity, places.draw_quantity

    def store(self, device: str) -> StoreView | None:
        """The store's energy over all its steps; None for devices without a store."""
        places = self._places.stores.get(device)
        if places is None:
            return None
        value = -self._solution.row_dual[places.rows]
        passed_on = -self._program.value[places.keep_entries] * value[1:]
        worn = self._solution.row_dual[places.depth_rows] if len(places.depth_rows) else np.zeros(len(value))
        return StoreView(
            value=value,
            force=np.append(value[:-1] - passed_on - worn[:-1], 0.0),
            fills=self._executed[places.fills],
            draws=self._executed[places.draws],
            can_draw=bool((self._program.upper[places.draws] > TIGHT).any()),
        )

    def energy_limit(self, device: str, step: int) -> Limit | None:
        """The strongest limit on the energy at the end of a step, where it is reached."""
        places: StorePlaces = self._places.stores[device]
        column = int(places.energy[step])
        carried = set(places.rows[step : step + 2].tolist())
        found = [
            Limit(self._places.rows[row], "row", float(self._solution.row_dual[row]))
            for row, _ in self._places.uses.of(column)
            if row not in carried and not self._is_price(row) and self._row_is_tight(row)
        ]
        side = self._side(column)
        if side:
            found.append(Limit(self._places.columns[column], side, float(self._solution.col_dual[column])))
        strongest = max(found, key=lambda limit: abs(limit.worth), default=None)
        return strongest if strongest is not None and abs(strongest.worth) > PRICE_TOLERANCE else None
