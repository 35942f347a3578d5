"""Grid connection: import, export, and the highest demand of the billing period for every demand line.

    import[t] ≤ min(I, S·cos φ),  export[t] ≤ min(X, S·cos φ)                           (1)
    import[t] = 0 or export[t] = 0                                                      (2)
    Σₖ w[t,k]·import[t-k] ≤ D₀ if step t is in the running billing period, else D₁        (3)
    D₀ ≥ B₀ = max(peak so far, free demand),  D₁ ≥ B₁                                     (4)
    cost = Σ (price_in·import - price_out·export)·Δt + Σ_lines p₀·(D₀ - B₀) + p₁·(D₁ - B₁)  (5)

I is `import_limit_kw`, X `export_limit_kw`; prices and demand lines are the tariff's.

(3) to (5) stand once for each demand line. w makes the measured demand: 1 in a step inside the line's window where the
measuring interval is one step; 1/n over the n steps of a clock block at the block's last step; 1/n at every step where
the interval slides. Of a block that has begun before the plan, the mean of the rest is held to D. Coarse steps count
with their mean. The price stands in full over the peak so far (RULES 1.3: fee(D) less fee(D so far)). Free demand is
that which costs nothing more: in contract mode 1.05·C', above which the fee rises by 2·p_d, continuously (rule A; the
jump of rule B is not convex and is billed in settlement only). The load-factor rebate is not in the model: it is known
when the month is over.

B₁ is the free demand where the plan reaches the end of the next billing period: that period's peak is then planned as
on its first day. Where the plan ends within it, B₁ = B₀: the running peak is the estimate, so that the last hours
before the month's end neither fear nor waste it. (2) is not a row: it is checked in the answer. In the coarse tail,
where it is not checked, surplus earns at most the import price, so that buying and selling at once can never pay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Carrier,
    Cost,
    Course,
    Device,
    Direction,
    Efficiency,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
)
from optimizer.situation import DemandLine, Situation
from optimizer.time_grid import Array, GridShape, LineShape


class GridConnection(Device):
    """The point of common coupling with the public grid.

    The site reports the month's highest demand so far by demand line, `<id>.peak_kw.<line>`; a plain `<id>.peak_kw`
    stands for every line.
    """

    kind: Literal["grid_connection"] = "grid_connection"
    import_limit_kw: Positive
    """Largest power taken from the grid [kW]."""
    export_limit_kw: NotNegative = 0.0
    """Largest power fed to the grid [kW]; 0 is zero export (防逆流)."""

    transformer_kva: Positive | None = None
    """Rated apparent power of the transformer where it limits import and export [kVA]; none when absent."""
    power_factor: Efficiency = 0.9
    """Power factor at which the transformer is assumed to be loaded [-]; 0.9 is the standard tariffs hold a site to
    (RULES 1.4)."""

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
        least, greatest = self.bounds_kw()
        block.import_kw = pyo.Var(steps, bounds=(0, greatest))  # (1)
        block.export_kw = pyo.Var(steps, bounds=(0, -least))
        if shape.demand:
            block.in_running_period = pyo.Param(steps, mutable=True, initialize=1.0)
            block.in_next_period = pyo.Param(steps, mutable=True, initialize=0.0)
        demand = {line.id: _add_line(block, line, shape) for line in shape.demand}
        bought = [Cost("energy", block.import_cost[t] * block.import_kw[t], t) for t in steps]  # (5)
        sold = [Cost("export", -block.export_gain[t] * block.export_kw[t], t) for t in steps]
        owed = [Cost(self._term(name, len(demand)), fee) for name, (_, fee) in demand.items()]
        return Ports(
            flows={"import_kw": block.import_kw, "export_kw": block.export_kw},
            costs=(*bought, *sold, *owed),
            scalars={f"peak_kw.{name}": peak for name, (peak, _) in demand.items()},
            exclusive=((block.import_kw, block.export_kw),),
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        prices, hours = situation.prices, situation.grid.hours
        in_tail = np.arange(len(hours)) >= situation.grid.near
        export_price = np.where(
            in_tail, np.minimum(prices.export_per_kwh, prices.import_per_kwh), prices.export_per_kwh
        )
        values: dict[str, Array | float] = {
            "import_cost": prices.import_per_kwh * hours,
            "export_gain": export_price * hours,
        }
        if prices.demand:
            later = np.asarray(prices.billing_period, dtype=float)
            values |= {"in_running_period": 1.0 - later, "in_next_period": later}
        for line in prices.demand:
            values |= _line_inputs(line, self._least_peaks_kw(line, situation), situation)
        return values

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        least, greatest = self.bounds_kw()
        taken, fed = step(asked.get("import_kw", 0.0), asked.get("export_kw", 0.0), greatest, -least)
        return Response({"import_kw": taken, "export_kw": fed}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Closes the balance: buys what is missing, sells what is left over."""
        deficit = view.deficit_kw.get("power", 0.0)
        return {"import_kw": max(0.0, deficit), "export_kw": max(0.0, -deficit)}

    def cost_of(self, course: Course) -> dict[str, float]:
        situation, near = course.situation, course.situation.grid.near
        lines = situation.prices.demand
        bought = course.flows["import_kw"] * situation.prices.import_per_kwh[:near]
        sold = course.flows["export_kw"] * situation.prices.export_per_kwh[:near]
        fees = {line.id: self._fee(line, course) for line in lines}
        return {
            "energy": float(bought.sum()) * course.hours,
            "export": 0.0 - float(sold.sum()) * course.hours,
            **{self._term(line, len(lines)): fee for line, fee in fees.items()},
        }

    @staticmethod
    def _term(line: str, lines: int) -> str:
        return f"demand.{line}" if lines > 1 else "demand"

    def _fee(self, line: DemandLine, course: Course) -> float:
        """What the near steps add to one line's demand charge (5)."""
        situation, near = course.situation, course.situation.grid.near
        shares, imports = _shares(line, situation)[:near], course.flows["import_kw"]
        demand = sum((shares[:, k] * np.roll(imports, k) for k in range(line.averaged_steps)), np.zeros(near))
        later = np.asarray(situation.prices.billing_period[:near]) > 0
        least, next_least = self._least_peaks_kw(line, situation)
        rise = float(np.max(demand[~later] - least, initial=0.0))
        next_rise = float(np.max(demand[later] - next_least, initial=0.0))
        return line.price_per_kw * rise + line.next_price_per_kw * next_rise

    def _least_peaks_kw(self, line: DemandLine, situation: Situation) -> tuple[float, float]:
        """B₀ and B₁ of (4)."""
        least = max(situation.peak_so_far_kw(self.id, line.id), line.free_kw)
        return least, line.free_kw if situation.prices.next_period_whole else least

    def bounds_kw(self) -> tuple[float, float]:
        carried = math.inf if self.transformer_kva is None else self.transformer_kva * self.power_factor
        return (-min(self.export_limit_kw, carried), min(self.import_limit_kw, carried))


def step(import_kw: float, export_kw: float, import_limit_kw: float, export_limit_kw: float) -> tuple[float, float]:
    """Power really exchanged [kW]: the net of both wishes within the connection's limits."""
    net = import_kw - export_kw
    return min(max(net, 0.0), import_limit_kw), min(max(-net, 0.0), export_limit_kw)


def _add_line(block: Any, line: LineShape, shape: GridShape) -> tuple[Any, Any]:
    """Rows (3) and (4) of one demand line; the running period's peak, and the fee over what is owed already (5)."""

    def add(name: str, component: Any) -> Any:
        block.add_component(f"{name}_{line.id}", component)
        return component

    share = add("share", pyo.Param(_taps(line.averaged_steps, shape), mutable=True, initialize=1.0))
    least = add("least_peak_kw", pyo.Param(mutable=True, initialize=0.0))
    next_least = add("least_next_peak_kw", pyo.Param(mutable=True, initialize=0.0))
    price = add("demand_price", pyo.Param(mutable=True, initialize=0.0))
    next_price = add("next_demand_price", pyo.Param(mutable=True, initialize=0.0))
    owed = add("demand_already_owed", pyo.Param(mutable=True, initialize=0.0))
    peak = add("peak_kw", pyo.Var(bounds=(least, None)))  # (4)
    next_peak = add("next_peak_kw", pyo.Var(bounds=(next_least, None)))

    def covers(b: Any, t: int) -> Any:  # (3)
        measured = sum(share[at, k] * b.import_kw[at - k] for at, k in _taps_at(t, line.averaged_steps, shape))
        return measured <= b.in_running_period[t] * peak + b.in_next_period[t] * next_peak

    add("peak_covers_demand", pyo.Constraint(range(shape.steps), rule=covers))
    return peak, price * peak + next_price * next_peak - owed


def _taps_at(t: int, averaged_steps: int, shape: GridShape) -> list[tuple[int, int]]:
    """(t, k) of the imports t - k that can belong to the demand measured at the end of step t."""
    return [(t, k) for k in range(averaged_steps if t < shape.near else 1) if k <= t]


def _taps(averaged_steps: int, shape: GridShape) -> list[tuple[int, int]]:
    return [tap for t in range(shape.steps) for tap in _taps_at(t, averaged_steps, shape)]


def _line_inputs(
    line: DemandLine, least_peaks_kw: tuple[float, float], situation: Situation
) -> dict[str, Array | float]:
    least, next_least = least_peaks_kw
    shares = _shares(line, situation)
    return {
        f"share_{line.id}": np.array([shares[t, k] for t, k in _taps(line.averaged_steps, situation.shape)]),
        f"least_peak_kw_{line.id}": least,
        f"least_next_peak_kw_{line.id}": next_least,
        f"demand_price_{line.id}": line.price_per_kw,
        f"next_demand_price_{line.id}": line.next_price_per_kw,
        f"demand_already_owed_{line.id}": line.price_per_kw * least + line.next_price_per_kw * next_least,
    }


def _shares(line: DemandLine, situation: Situation) -> Array:
    """(n, averaged steps) w of (3)."""
    near, count = situation.grid.near, line.averaged_steps
    shares = np.zeros((situation.shape.steps, count))
    shares[:, 0] = line.inside * (situation.grid.hours > 0)
    if count == 1:
        return shares
    shares[:near] = 0.0
    for first, last in _measured_runs(line, near):
        if line.inside[first : last + 1].all():
            shares[last, : last - first + 1] = 1.0 / (last - first + 1)
    return shares


def _measured_runs(line: DemandLine, near: int) -> list[tuple[int, int]]:
    """First and last step of every mean that is measured in the near horizon."""
    if line.block is None:
        count = min(line.averaged_steps, near)
        return [(last - count + 1, last) for last in range(count - 1, near)]
    edges = [t for t in range(1, near) if line.block[t] != line.block[t - 1]]
    return [(first, end - 1) for first, end in pairwise([0, *edges, near])]
