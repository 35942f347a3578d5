"""Battery: parameters, model rows and the physical step, side by side.

    e[t+1] = keep[t]·e[t] + (η_c·charge[t] - discharge[t]/η_d)·Δt[t],  keep = (1-loss)^Δt     (1)
    e_min - under[t] ≤ e[t+1] ≤ e_max + over[t]                                              (2)
    charge[t] = 0 or discharge[t] = 0                                                        (3)
    wear = c_w·Σ discharge[t]·Δt[t]      (constant throughput cost; RULES 5, linearisation a) (4)

Limits of the stored energy are soft only for a start outside them: `under` and `over` may be no larger than the
start's own excess and what standing loss makes of it. (3) is not a row: the planner checks it in the answer and
enforces it where it is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo
from pydantic import Field

from optimizer.devices.base import (
    Asked,
    Carrier,
    Cost,
    Device,
    Direction,
    Efficiency,
    Fraction,
    Headroom,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Slack,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

OUT_OF_BAND_PRICE_PER_KWH = 100.0
"""Price of each kWh and step outside the energy band: far above any tariff, so that recovery comes before trading."""


class Battery(Device):
    """A stationary battery behind its converter, seen at the AC terminal."""

    kind: Literal["battery"] = "battery"
    capacity_kwh: Positive
    """Usable energy content at 100 % state of charge [kWh]."""
    charge_limit_kw: Positive
    """Largest charging power at the AC terminal [kW]."""
    discharge_limit_kw: Positive
    """Largest discharging power at the AC terminal [kW]."""
    charge_efficiency: Efficiency = 0.95
    """Energy stored per energy taken at the AC terminal [-]."""
    discharge_efficiency: Efficiency = 0.95
    """Energy given at the AC terminal per energy taken from the store [-]."""
    standing_loss_per_hour: Fraction = Field(default=0.00004, lt=1)
    """Share of the stored energy lost per hour [1/h]; 3 %/month is 0.00004."""
    min_soc: Fraction = 0.1
    """Lowest state of charge in normal operation [-]."""
    max_soc: Fraction = 0.95
    """Highest state of charge in normal operation [-]."""
    initial_soc: Fraction = 0.5
    """State of charge assumed until the site reports one [-]."""
    wear_cost_per_kwh: NotNegative = 0.10
    """Cost of wear per kWh discharged at the AC terminal [money/kWh]; (replacement - residual)/(cycles·depth)."""

    rule_order: ClassVar[int] = 4
    main_quantity: ClassVar[str | None] = "discharge_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"charge_kw": ("power", "out"), "discharge_kw": ("power", "in")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.hours = pyo.Param(steps, mutable=True, initialize=0.25)
        block.keep = pyo.Param(steps, mutable=True, initialize=1.0)
        block.start_kwh = pyo.Param(mutable=True, initialize=self.initial_soc * self.capacity_kwh)
        block.terminal_value_per_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.under_limit_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.over_limit_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.charge_kw = pyo.Var(steps, bounds=(0, self.charge_limit_kw))
        block.discharge_kw = pyo.Var(steps, bounds=(0, self.discharge_limit_kw))
        block.energy_kwh = pyo.Var(range(shape.steps + 1), bounds=(0, None))
        block.under_kwh = pyo.Var(steps, bounds=(0, block.under_limit_kwh))
        block.over_kwh = pyo.Var(steps, bounds=(0, block.over_limit_kwh))

        @block.Constraint()
        def energy_at_start(b: Any) -> Any:
            return b.energy_kwh[0] == b.start_kwh

        @block.Constraint(steps)
        def energy_balance(b: Any, t: int) -> Any:  # (1)
            stored = self.charge_efficiency * b.charge_kw[t] - b.discharge_kw[t] / self.discharge_efficiency
            return b.energy_kwh[t + 1] == b.keep[t] * b.energy_kwh[t] + b.hours[t] * stored

        @block.Constraint(steps)
        def energy_above_minimum(b: Any, t: int) -> Any:  # (2)
            return b.energy_kwh[t + 1] + b.under_kwh[t] >= self.min_soc * self.capacity_kwh

        @block.Constraint(steps)
        def energy_below_maximum(b: Any, t: int) -> Any:  # (2)
            return b.energy_kwh[t + 1] - b.over_kwh[t] <= self.max_soc * self.capacity_kwh

        wear_price = self.wear_cost_per_kwh
        wear = [Cost("wear", wear_price * block.hours[t] * block.discharge_kw[t], t) for t in steps]  # (4)
        price = OUT_OF_BAND_PRICE_PER_KWH
        outside = [Cost("limits", price * (block.under_kwh[t] + block.over_kwh[t]), t) for t in steps]
        left = Cost("terminal", -block.terminal_value_per_kwh * block.energy_kwh[shape.steps])
        return Ports(
            flows={"charge_kw": block.charge_kw, "discharge_kw": block.discharge_kw},
            costs=(*wear, *outside, left),
            states={"energy_kwh": block.energy_kwh},
            exclusive=((block.charge_kw, block.discharge_kw),),
            slacks=(Slack("min_soc", block.under_kwh, "kWh"), Slack("max_soc", block.over_kwh, "kWh")),
            stored_value=block.energy_balance,
            headroom=self._headroom(block),
        )

    def _headroom(self, block: Any) -> Headroom:
        low, high = self.min_soc * self.capacity_kwh, self.max_soc * self.capacity_kwh
        return Headroom(
            up_kw=lambda t: self.discharge_limit_kw - block.discharge_kw[t] + block.charge_kw[t],
            down_kw=lambda t: self.charge_limit_kw - block.charge_kw[t] + block.discharge_kw[t],
            above_least_kwh=lambda t: (block.energy_kwh[t + 1] + block.under_kwh[t] - low,),
            below_most_kwh=lambda t: high + block.over_kwh[t] - block.energy_kwh[t + 1],
            discharge_efficiency=self.discharge_efficiency,
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        start = self.start(situation)["energy_kwh"]
        hours = situation.grid.hours
        return {
            "hours": hours,
            "keep": np.power(1.0 - self.standing_loss_per_hour, hours),
            "start_kwh": start,
            "terminal_value_per_kwh": self.discharge_efficiency * float(np.min(situation.prices.import_per_kwh)),
            "under_limit_kwh": max(0.0, self.min_soc * self.capacity_kwh - start * self._kept_over(float(hours.sum()))),
            "over_limit_kwh": max(0.0, start - self.max_soc * self.capacity_kwh),
        }

    def _kept_over(self, hours: float) -> float:
        return float((1.0 - self.standing_loss_per_hour) ** hours)

    def band(self, state: PhysicalState) -> dict[str, tuple[float, float]]:
        low, high, start = self.min_soc * self.capacity_kwh, self.max_soc * self.capacity_kwh, state["energy_kwh"]
        return {"energy_kwh": (min(low, start) * self._kept_over(24.0 * 31), max(high, start))}

    def start(self, situation: Situation) -> PhysicalState:
        energy = situation.start_of(self.id, "energy_kwh", self.initial_soc * self.capacity_kwh)
        return {"energy_kwh": min(max(energy, 0.0), self.capacity_kwh)}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        charge, discharge, energy = step(
            state["energy_kwh"], asked.get("charge_kw", 0.0), asked.get("discharge_kw", 0.0), hours,
            self.capacity_kwh, self.charge_limit_kw, self.discharge_limit_kw,
            self.charge_efficiency, self.discharge_efficiency, self.standing_loss_per_hour,
        )  # fmt: skip
        return Response({"charge_kw": charge, "discharge_kw": discharge}, {"energy_kwh": energy})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Charges in cheap hours as far as the connection allows, serves the site's own demand in dear ones."""
        surplus = -view.deficit_kw.get("power", 0.0)
        room = max(0.0, self.max_soc * self.capacity_kwh - state["energy_kwh"]) / self.charge_efficiency / view.hours
        left = max(0.0, state["energy_kwh"] - self.min_soc * self.capacity_kwh) * self.discharge_efficiency / view.hours
        if view.storing and surplus > 0:
            return {"charge_kw": min(surplus, self.charge_limit_kw, room), "discharge_kw": 0.0}
        if view.storing and view.price == "cheap":
            return {"charge_kw": max(0.0, min(self.charge_limit_kw, room, view.import_room_kw)), "discharge_kw": 0.0}
        wanted = -surplus if view.price == "dear" else -view.import_room_kw
        if view.storing and wanted > 0:
            return {"charge_kw": 0.0, "discharge_kw": min(wanted, self.discharge_limit_kw, left)}
        return {"charge_kw": 0.0, "discharge_kw": 0.0}

    def carries_kw(self, state: PhysicalState, hours: float) -> float:
        above = max(0.0, state["energy_kwh"] - self.min_soc * self.capacity_kwh)
        return min(self.discharge_limit_kw, above * self.discharge_efficiency / hours)

    def target_kw(self, flows: Asked) -> float:
        return flows.get("discharge_kw", 0.0) - flows.get("charge_kw", 0.0)

    def asked(self, target_kw: float) -> dict[str, float]:
        return {"charge_kw": max(0.0, -target_kw), "discharge_kw": max(0.0, target_kw)}

    def bounds_kw(self) -> tuple[float, float]:
        return (-self.charge_limit_kw, self.discharge_limit_kw)


def step(
    energy_kwh: float, charge_kw: float, discharge_kw: float, hours: float,
    capacity_kwh: float, charge_limit_kw: float, discharge_limit_kw: float,
    charge_efficiency: float, discharge_efficiency: float, standing_loss_per_hour: float,
) -> tuple[float, float, float]:  # fmt: skip
    """One physical step: charge and discharge really delivered [kW], energy left [kWh].

    Clips to the power limits and to what fits or is stored; only the larger of two opposite wishes is followed. Plain
    arithmetic, compiled as it is by the plant.
    """
    kept = energy_kwh * (1.0 - standing_loss_per_hour) ** hours
    charge = min(max(charge_kw, 0.0), charge_limit_kw)
    discharge = min(max(discharge_kw, 0.0), discharge_limit_kw)
    if charge >= discharge:
        discharge = 0.0
        charge = min(charge, max(0.0, capacity_kwh - kept) / (charge_efficiency * hours))
    else:
        charge = 0.0
        discharge = min(discharge, kept * discharge_efficiency / hours)
    energy = kept + (charge_efficiency * charge - discharge / discharge_efficiency) * hours
    return charge, discharge, min(max(energy, 0.0), capacity_kwh)
