"""Wear of a battery by the depth of its cycles (Xu et al. 2018, IEEE TPWRS; RULES 5, linearisation b).

    Φ(δ) = k·δ^p                                    share of the battery's life that a cycle of depth δ takes     (1)
    c_j = R·[Φ(δ_j) - Φ(δ_{j-1})]/(η_d·E·(δ_j - δ_{j-1})),  δ_j = j·S/J                                           (2)
    e_j[t+1] = keep[t]·e_j[t] + (η_c·charge_j[t] - discharge_j[t]/η_d)·Δt[t],  0 ≤ e_j ≤ S·E/J,  j = 2..J        (3)
    0 ≤ e - Σ e_j ≤ E - (J-1)·S·E/J,  Σ charge_j ≤ charge,  Σ discharge_j ≤ discharge   (what is left is of j = 1) (4)
    wear = Σ_t [c_1·discharge[t] + Σ_j (c_j - c_1)·discharge_j[t]]·Δt[t]                                          (5)

The energy up to the highest normal state of charge S lies in J segments; the shallowest, j = 1, also takes what is
above S and has no variables of its own. Prices rise with depth, so a least cost charges and discharges the shallowest
segment that can: no binaries. A cycle of depth δ, wherever it lies, then costs R·Φ(δ), linear between the depths δ_j.

**Contents at the start.** Only the stored energy is measured. It is taken to lie in the deepest segments, as if the
battery had come down from S without a stop. The first discharge then goes on from the present depth, at the price
there: a plan made in the middle of a discharge pays what the plan at its beginning said, and a battery that is filled
daily is priced to the letter. Of all histories that end at this energy it is the dearest, so the priced wear is never
below that of the plan's own cycles (counted by rainflow, each full cycle and each falling half once), and equals that
of the cycles together with the discharge from S, less the part of it that lies before the plan. What this costs: a
second, shallower cycle of the day, once begun, is seen at the price of the depth it lies at.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pyomo.environ as pyo
from pydantic import BaseModel, ConfigDict, Field

from optimizer.devices.base import Cost, Positive
from optimizer.devices.storage import Store
from optimizer.time_grid import Array, GridShape


class DepthWear(BaseModel):
    """Wear priced by how deep a battery is cycled: shallow cycles cost less than one deep one of as much energy."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    replacement_cost: Positive
    """What a new battery costs, less what the old one still fetches [money]."""
    segments: Annotated[int, Field(ge=1, le=32)] = 4
    """Number of depth segments: more are nearer to the curve and slower to solve [-]."""
    stress_factor: Positive = 5.24e-4
    """Share of the battery's life taken by a cycle of full depth [-]."""
    stress_exponent: Annotated[float, Field(ge=1)] = 2.03
    """Power of the depth in the share of life taken by a cycle [-]; at least 1, so that deep cycles cost more."""

    def life_taken(self, depth: Array) -> Array:
        """Share of the battery's life that one cycle of each depth takes [-]; equation (1)."""
        return np.asarray(self.stress_factor * np.power(depth, self.stress_exponent))

    def prices_per_kwh(self, store: Store, max_soc: float) -> Array:
        """(segments,) price of a kWh discharged at the AC terminal, shallowest first; equation (2)."""
        depths = np.linspace(0.0, max_soc, self.segments + 1)
        taken = np.diff(self.life_taken(depths)) / np.diff(depths)
        return np.asarray(self.replacement_cost * taken / (store.discharge_efficiency * store.capacity_kwh))

    def sizes_kwh(self, store: Store, max_soc: float) -> Array:
        """(segments,) energy that each segment holds, shallowest first: together the whole capacity."""
        sizes = np.full(self.segments, max_soc * store.capacity_kwh / self.segments)
        sizes[0] += (1.0 - max_soc) * store.capacity_kwh
        return sizes

    def contents_kwh(self, store: Store, max_soc: float, energy_kwh: float) -> Array:
        """(segments,) where the stored energy lies at the start: in the deepest segments."""
        sizes = self.sizes_kwh(store, max_soc)
        deeper = sizes[::-1].cumsum()[::-1] - sizes
        return np.asarray(np.clip(energy_kwh - deeper, 0.0, sizes))

    def add_to(self, block: Any, shape: GridShape, store: Store, max_soc: float) -> list[Cost]:
        """Declares the deeper segments on a block that has the store's rows; parameter `deeper_start_kwh`; the wear."""
        steps, deeper = range(shape.steps), range(1, self.segments)
        sizes, prices = self.sizes_kwh(store, max_soc), self.prices_per_kwh(store, max_soc)
        block.deeper_start_kwh = pyo.Param(deeper, mutable=True, initialize=0.0)
        block.deeper_kwh = pyo.Var(deeper, range(shape.steps + 1), bounds=lambda b, j, t: (0, float(sizes[j])))
        block.deeper_charge_kw = pyo.Var(deeper, steps, bounds=(0, None))
        block.deeper_discharge_kw = pyo.Var(deeper, steps, bounds=(0, None))

        @block.Constraint(deeper)
        def deeper_at_start(b: Any, j: int) -> Any:
            return b.deeper_kwh[j, 0] == b.deeper_start_kwh[j]

        @block.Constraint(deeper, steps)
        def deeper_balance(b: Any, j: int, t: int) -> Any:  # (3)
            charged = store.charge_efficiency * b.deeper_charge_kw[j, t]
            stored = charged - b.deeper_discharge_kw[j, t] / store.discharge_efficiency
            return b.deeper_kwh[j, t + 1] == b.keep[t] * b.deeper_kwh[j, t] + b.hours[t] * stored

        if self.segments > 1:

            @block.Constraint(steps)
            def shallow_energy(b: Any, t: int) -> Any:  # (4)
                return (0, b.energy_kwh[t + 1] - sum(b.deeper_kwh[j, t + 1] for j in deeper), float(sizes[0]))

            @block.Constraint(steps)
            def shallow_charge(b: Any, t: int) -> Any:  # (4)
                return sum(b.deeper_charge_kw[j, t] for j in deeper) <= b.charge_kw[t]

            @block.Constraint(steps)
            def shallow_discharge(b: Any, t: int) -> Any:  # (4)
                return sum(b.deeper_discharge_kw[j, t] for j in deeper) <= b.discharge_kw[t]

        def wear(t: int) -> Any:  # (5)
            more = sum(float(prices[j] - prices[0]) * block.hours[t] * block.deeper_discharge_kw[j, t] for j in deeper)
            return float(prices[0]) * block.hours[t] * block.discharge_kw[t] + more

        return [Cost("wear", wear(t), t) for t in steps]

    def cost_of(
        self, store: Store, max_soc: float, start_kwh: float, charge_kw: Array, discharge_kw: Array, hours: float
    ) -> float:
        """Wear of flows that were really run, (n,) each in steps of `hours`: (3) to (5), the cheapest segment first."""
        sizes, prices = self.sizes_kwh(store, max_soc), self.prices_per_kwh(store, max_soc)
        contents, paid = self.contents_kwh(store, max_soc, start_kwh), 0.0
        for charge, discharge in zip(charge_kw, discharge_kw, strict=True):
            contents = contents * store.keep(np.asarray(hours))
            contents = contents + _in_order(sizes - contents, charge * store.charge_efficiency * hours)
            taken = _in_order(contents, discharge / store.discharge_efficiency * hours)
            contents = contents - taken
            paid += float(taken @ prices) * store.discharge_efficiency
        return paid


def _in_order(room: Array, amount: float) -> Array:
    """(n,) an amount spread over rooms, each filled before the next."""
    before = room.cumsum() - room
    return np.clip(amount - before, 0.0, room)
