"""Thermal store (hot or chilled water): energy above the empty state.

    e[t+1] = (1-l)^Δt·e[t] + (η_c·charge[t] - discharge[t]/η_d)·Δt     (1)   (RULES 4, TV-16)
    0 ≤ e[t+1] ≤ E                                                      (2)
    charge[t] = 0 or discharge[t] = 0                                   (3)

(3) is not a row: it is checked in the answer and enforced where it is broken.
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
    Course,
    Device,
    Direction,
    Efficiency,
    Fraction,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class ThermalStore(Device):
    """A water tank that stores heat, or cold as missing heat."""

    kind: Literal["thermal_store"] = "thermal_store"
    carrier: Literal["heat", "cold"]
    """What is stored."""
    capacity_kwh: Positive
    """Usable thermal energy between empty and full [kWh thermal]."""
    charge_limit_kw: Positive
    """Largest charging rate [kW thermal]."""
    discharge_limit_kw: Positive
    """Largest discharging rate [kW thermal]."""
    charge_efficiency: Efficiency = 0.97
    """Energy stored per energy taken from the bus [-]."""
    discharge_efficiency: Efficiency = 0.97
    """Energy given to the bus per energy taken from the store [-]."""
    loss_per_hour: Fraction = Field(default=0.003, lt=1)
    """Share of the stored energy lost to the room per hour [1/h]."""
    initial_fill: Fraction = 0.5
    """Fill assumed until the site reports one [-]."""
    left_value_per_kwh: NotNegative = 0.05
    """Worth of a kWh left at the end of the horizon [money/kWh thermal]: about the night price over the COP."""

    rule_order: ClassVar[int] = 2
    main_quantity: ClassVar[str | None] = "discharge_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"charge_kw": (self.carrier, "out"), "discharge_kw": (self.carrier, "in")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.hours = pyo.Param(steps, mutable=True, initialize=0.25)
        block.keep = pyo.Param(steps, mutable=True, initialize=1.0)
        block.start_kwh = pyo.Param(mutable=True, initialize=self.initial_fill * self.capacity_kwh)
        block.charge_kw = pyo.Var(steps, bounds=(0, self.charge_limit_kw))
        block.discharge_kw = pyo.Var(steps, bounds=(0, self.discharge_limit_kw))
        block.energy_kwh = pyo.Var(range(shape.steps + 1), bounds=(0, self.capacity_kwh))  # (2)

        @block.Constraint()
        def energy_at_start(b: Any) -> Any:
            return b.energy_kwh[0] == b.start_kwh

        @block.Constraint(steps)
        def energy_balance(b: Any, t: int) -> Any:  # (1)
            stored = self.charge_efficiency * b.charge_kw[t] - b.discharge_kw[t] / self.discharge_efficiency
            return b.energy_kwh[t + 1] == b.keep[t] * b.energy_kwh[t] + b.hours[t] * stored

        return Ports(
            flows={"charge_kw": block.charge_kw, "discharge_kw": block.discharge_kw},
            costs=(Cost("terminal", -self.left_value_per_kwh * block.energy_kwh[shape.steps]),),
            states={"energy_kwh": block.energy_kwh},
            exclusive=((block.charge_kw, block.discharge_kw),),
            stored_value=block.energy_balance,
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        hours = situation.grid.hours
        return {
            "hours": hours,
            "keep": np.power(1.0 - self.loss_per_hour, hours),
            "start_kwh": self.start(situation)["energy_kwh"],
        }

    def start(self, situation: Situation) -> PhysicalState:
        energy = situation.start_of(self.id, "energy_kwh", self.initial_fill * self.capacity_kwh)
        return {"energy_kwh": min(max(energy, 0.0), self.capacity_kwh)}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        charge, discharge, energy = step(
            state["energy_kwh"], asked.get("charge_kw", 0.0), asked.get("discharge_kw", 0.0), hours,
            self.capacity_kwh, self.charge_limit_kw, self.discharge_limit_kw,
            self.charge_efficiency, self.discharge_efficiency, self.loss_per_hour,
        )  # fmt: skip
        return Response({"charge_kw": charge, "discharge_kw": discharge}, {"energy_kwh": energy})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Fills while power is cheap and the machines have room, empties while it is dear or the machines are short."""
        demand = view.deficit_kw.get(self.carrier, 0.0)
        spare = view.producible_kw.get(self.carrier, 0.0) - demand
        wanted = -spare if spare < 0 else demand if view.storing and view.price == "dear" else 0.0
        if wanted > 0:
            left = state["energy_kwh"] * self.discharge_efficiency / view.hours
            return {"charge_kw": 0.0, "discharge_kw": min(wanted, self.discharge_limit_kw, left)}
        if view.storing and view.price == "cheap":
            room = (self.capacity_kwh - state["energy_kwh"]) / self.charge_efficiency / view.hours
            return {"charge_kw": max(0.0, min(self.charge_limit_kw, spare, room)), "discharge_kw": 0.0}
        return {"charge_kw": 0.0, "discharge_kw": 0.0}

    def cost_of(self, course: Course) -> dict[str, float]:
        return {"terminal": 0.0 - self.left_value_per_kwh * float(course.states["energy_kwh"][-1])}

    def target_kw(self, flows: Asked) -> float | None:
        return flows.get("discharge_kw", 0.0) - flows.get("charge_kw", 0.0)

    def asked(self, target_kw: float) -> dict[str, float]:
        return {"charge_kw": max(0.0, -target_kw), "discharge_kw": max(0.0, target_kw)}

    def bounds_kw(self) -> tuple[float, float]:
        return (-self.charge_limit_kw, self.discharge_limit_kw)


def step(
    energy_kwh: float, charge_kw: float, discharge_kw: float, hours: float,
    capacity_kwh: float, charge_limit_kw: float, discharge_limit_kw: float,
    charge_efficiency: float, discharge_efficiency: float, loss_per_hour: float,
) -> tuple[float, float, float]:  # fmt: skip
    """One physical step of a fully mixed tank: charge and discharge really delivered [kW], energy left [kWh]."""
    kept = energy_kwh * (1.0 - loss_per_hour) ** hours
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
