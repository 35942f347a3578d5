"""Grid connection: import, export, and the billing period's highest demand.

    import[t] ≤ I,  export[t] ≤ X                                                       (1)
    import[t] = 0 or export[t] = 0                                                      (2)
    m[t]·import[t] ≤ D₀ if step t is in the running billing period, else D₁              (3)
    D₀, D₁ ≥ peak so far                                                                 (4)
    cost = Σ (price_in·import - price_out·export)·Δt + p_d·(D₀ + D₁ - 2·peak so far)     (5)

m is 1 for every step of length > 0. The demand price stands in full over the peak so far (RULES 1.3: fee(D) less fee(D
so far)). What the next billing period's peak will be is unknown inside this one's plan; the running peak is its
estimate, so that the last hours before the month's end neither fear nor waste it. (2) is not a row: it is checked in
the answer. In the coarse tail, where it is not checked, surplus earns at most the import price, so that buying and
selling at once can never pay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Carrier,
    Cost,
    Device,
    Direction,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class GridConnection(Device):
    """The point of common coupling with the public grid."""

    kind: Literal["grid_connection"] = "grid_connection"
    import_limit_kw: Positive
    """Largest power taken from the grid [kW]."""
    export_limit_kw: NotNegative = 0.0
    """Largest power fed to the grid [kW]; 0 is zero export (防逆流)."""

    export_source: Literal["generation", "any"] = "generation"
    """What may be exported: surplus generation only, or also stored energy, where the storage is registered for it."""

    rule_order: ClassVar[int] = 5

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"import_kw": ("power", "in"), "export_kw": ("power", "out")}

    def only_from_generation(self) -> frozenset[str]:
        return frozenset({"export_kw"}) if self.export_source == "generation" else frozenset()

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.import_cost = pyo.Param(steps, mutable=True, initialize=0.25)
        block.export_gain = pyo.Param(steps, mutable=True, initialize=0.0)
        block.metered = pyo.Param(steps, mutable=True, initialize=1.0)
        block.in_running_period = pyo.Param(steps, mutable=True, initialize=1.0)
        block.in_next_period = pyo.Param(steps, mutable=True, initialize=0.0)
        block.peak_so_far_kw = pyo.Param(mutable=True, initialize=0.0)
        block.demand_price = pyo.Param(mutable=True, initialize=0.0)
        block.demand_already_owed = pyo.Param(mutable=True, initialize=0.0)
        block.import_kw = pyo.Var(steps, bounds=(0, self.import_limit_kw))  # (1)
        block.export_kw = pyo.Var(steps, bounds=(0, self.export_limit_kw))
        block.peak_kw = pyo.Var(bounds=(block.peak_so_far_kw, None))  # (4)
        block.next_peak_kw = pyo.Var(bounds=(block.peak_so_far_kw, None))

        @block.Constraint(steps)
        def peak_covers_import(b: Any, t: int) -> Any:  # (3)
            peak = b.in_running_period[t] * b.peak_kw + b.in_next_period[t] * b.next_peak_kw
            return b.metered[t] * b.import_kw[t] <= peak

        bought = [Cost("energy", block.import_cost[t] * block.import_kw[t], t) for t in steps]  # (5)
        sold = [Cost("export", -block.export_gain[t] * block.export_kw[t], t) for t in steps]
        demand = block.demand_price * (block.peak_kw + block.next_peak_kw) - block.demand_already_owed
        return Ports(
            flows={"import_kw": block.import_kw, "export_kw": block.export_kw},
            costs=(*bought, *sold, Cost("demand", demand)),
            scalars={"peak_kw": block.peak_kw},
            exclusive=((block.import_kw, block.export_kw),),
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        prices, hours = situation.prices, situation.grid.hours
        in_tail = np.arange(len(hours)) >= situation.grid.near
        export_price = np.where(
            in_tail, np.minimum(prices.export_per_kwh, prices.import_per_kwh), prices.export_per_kwh
        )
        later = np.asarray(prices.billing_period, dtype=float)
        peak = situation.start_of(self.id, "peak_kw", 0.0)
        return {
            "import_cost": prices.import_per_kwh * hours,
            "export_gain": export_price * hours,
            "metered": (hours > 0).astype(float),
            "in_running_period": 1.0 - later,
            "in_next_period": later,
            "peak_so_far_kw": peak,
            "demand_price": prices.demand_per_kw,
            "demand_already_owed": 2.0 * prices.demand_per_kw * peak,
        }

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        taken, fed = step(
            asked.get("import_kw", 0.0), asked.get("export_kw", 0.0), self.import_limit_kw, self.export_limit_kw
        )
        return Response({"import_kw": taken, "export_kw": fed}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        deficit = view.deficit_kw.get("power", 0.0)
        return {"import_kw": max(0.0, deficit), "export_kw": max(0.0, -deficit)}

    def bounds_kw(self) -> tuple[float, float]:
        return (-self.export_limit_kw, self.import_limit_kw)


def step(import_kw: float, export_kw: float, import_limit_kw: float, export_limit_kw: float) -> tuple[float, float]:
    """Power really exchanged [kW]: the net of both wishes within the connection's limits."""
    net = import_kw - export_kw
    return min(max(net, 0.0), import_limit_kw), min(max(-net, 0.0), export_limit_kw)
