"""Battery: parameters, model rows and the physical step, side by side.

    e[t+1] = keep[t]·e[t] + (η_c·charge[t] - discharge[t]/η_d)·Δt[t],  keep = (1-loss)^Δt     (1)
    e_min - under[t] ≤ e[t+1] ≤ e_max + over[t]                                              (2)
    charge[t] = 0 or discharge[t] = 0                                                        (3)
    wear = c_w·Σ discharge[t]·Δt[t]      (constant throughput cost; RULES 5, linearisation a) (4)
    charge[t] ≤ P_c·s_c(soc), discharge[t] ≤ P_d·s_d(soc)  at both ends of the step           (5)
    auxiliary[t] = P_aux                                                                     (6)

Limits of the stored energy are soft only for a start outside them: `under` and `over` may be no larger than the
start's own excess and what standing loss makes of it. (3) is not a row: the planner checks it in the answer and
enforces it where it is broken. (1) and (5) are the rows of every store (`storage.py`); where wear is priced by depth,
the rows of `depth_wear.py` stand in the place of (4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyomo.environ as pyo
from pydantic import Field, model_validator

from optimizer.devices.base import (
    Asked,
    Carrier,
    Cost,
    Course,
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
from optimizer.devices.depth_wear import DepthWear
from optimizer.devices.storage import LimitCurve, Store, add_store, limit_lines, step
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
    charge_limit_by_soc: LimitCurve = ()
    """Pairs of state of charge and share of the charging limit [-]: concave, linear between the points, constant
    outside them; it holds at both ends of a step. Empty: the full limit everywhere."""
    discharge_limit_by_soc: LimitCurve = ()
    """The same for discharging [-]."""
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
    depth_wear: DepthWear | None = None
    """Wear priced by the depth of the cycles, in the place of a constant cost per kWh."""
    auxiliary_kw: NotNegative = 0.0
    """Standing power of the container's air conditioning and electronics [kW]; 0.5 to 2 % of the rated power."""

    rule_order: ClassVar[int] = 4
    main_quantity: ClassVar[str | None] = "discharge_kw"
    counter_quantity: ClassVar[str | None] = "charge_kw"

    @model_validator(mode="after")
    def _one_way_to_price_wear(self) -> Self:
        if self.depth_wear is not None and "wear_cost_per_kwh" in self.model_fields_set:
            raise ValueError("wear is priced by depth_wear or by wear_cost_per_kwh: remove one of them")
        return self

    def numbers(self) -> Store:
        """What the arithmetic of every store needs of this one."""
        return Store(
            self.capacity_kwh, self.charge_limit_kw, self.discharge_limit_kw,
            self.charge_efficiency, self.discharge_efficiency, self.standing_loss_per_hour,
            limit_lines(self.charge_limit_by_soc), limit_lines(self.discharge_limit_by_soc),
        )  # fmt: skip

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        ends: dict[str, tuple[Carrier, Direction]] = {"charge_kw": ("power", "out"), "discharge_kw": ("power", "in")}
        return ends | ({"auxiliary_kw": ("power", "out")} if self.auxiliary_kw > 0 else {})

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        add_store(block, shape, self.numbers(), self.initial_soc * self.capacity_kwh)  # (1), (5)
        block.terminal_value_per_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.under_limit_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.over_limit_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.under_kwh = pyo.Var(steps, bounds=(0, block.under_limit_kwh))
        block.over_kwh = pyo.Var(steps, bounds=(0, block.over_limit_kwh))

        @block.Constraint(steps)
        def energy_above_minimum(b: Any, t: int) -> Any:  # (2)
            return b.energy_kwh[t + 1] + b.under_kwh[t] >= self.min_soc * self.capacity_kwh

        @block.Constraint(steps)
        def energy_below_maximum(b: Any, t: int) -> Any:  # (2)
            return b.energy_kwh[t + 1] - b.over_kwh[t] <= self.max_soc * self.capacity_kwh

        price = OUT_OF_BAND_PRICE_PER_KWH
        outside = [Cost("limits", price * (block.under_kwh[t] + block.over_kwh[t]), t) for t in steps]
        left = Cost("terminal", -block.terminal_value_per_kwh * block.energy_kwh[shape.steps])
        flows = {"charge_kw": block.charge_kw, "discharge_kw": block.discharge_kw}
        if self.auxiliary_kw > 0:
            block.auxiliary_kw = pyo.Var(steps, bounds=(self.auxiliary_kw, self.auxiliary_kw))  # (6)
            flows["auxiliary_kw"] = block.auxiliary_kw
        return Ports(
            flows=flows,
            costs=(*self._wear(block, shape), *outside, left),
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
            charge_efficiency=self.charge_efficiency,
            discharge_efficiency=self.discharge_efficiency,
        )

    def _wear(self, block: Any, shape: GridShape) -> list[Cost]:
        if self.depth_wear is not None:
            return self.depth_wear.add_to(block, shape, self.numbers(), self.max_soc)
        price, steps = self.wear_cost_per_kwh, range(shape.steps)
        return [Cost("wear", price * block.hours[t] * block.discharge_kw[t], t) for t in steps]  # (4)

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        start = self.start(situation)["energy_kwh"]
        hours = situation.grid.hours
        depth = self.depth_wear
        deeper = {"deeper_start_kwh": depth.contents_kwh(self.numbers(), self.max_soc, start)[1:]} if depth else {}
        return {
            "hours": hours,
            "keep": self.numbers().keep(hours),
            "start_kwh": start,
            "terminal_value_per_kwh": self._value_per_kwh(situation),
            "under_limit_kwh": max(0.0, self.min_soc * self.capacity_kwh - start * self._kept_over(float(hours.sum()))),
            "over_limit_kwh": max(0.0, start - self.max_soc * self.capacity_kwh),
            **deeper,
        }

    def _value_per_kwh(self, situation: Situation) -> float:
        """Worth of a kWh left at the end of the horizon: what it saves at the lowest price [money/kWh]."""
        return self.discharge_efficiency * float(np.min(situation.prices.import_per_kwh))

    def _kept_over(self, hours: float) -> float:
        return float((1.0 - self.standing_loss_per_hour) ** hours)

    def band(self, state: PhysicalState) -> dict[str, tuple[float, float]]:
        low, high, start = self.min_soc * self.capacity_kwh, self.max_soc * self.capacity_kwh, state["energy_kwh"]
        return {"energy_kwh": (min(low, start) * self._kept_over(24.0 * 31), max(high, start))}

    def start(self, situation: Situation) -> PhysicalState:
        energy = situation.start_of(self.id, "energy_kwh", self.initial_soc * self.capacity_kwh)
        return {"energy_kwh": min(max(energy, 0.0), self.capacity_kwh)}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        wanted, given = asked.get("charge_kw", 0.0), asked.get("discharge_kw", 0.0)
        charge, discharge, energy = step(state["energy_kwh"], wanted, given, hours, *self.numbers())
        flows = {"charge_kw": charge, "discharge_kw": discharge}
        standing = {"auxiliary_kw": self.auxiliary_kw} if self.auxiliary_kw > 0 else {}
        return Response(flows | standing, {"energy_kwh": energy})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Charges in cheap hours as far as the connection allows, serves the site's own demand in dear ones."""
        return self.step(self._wish(view, state["energy_kwh"]), state, conditions, view.hours).flows

    def _wish(self, view: RuleView, energy_kwh: float) -> dict[str, float]:
        """Within the energy band; the physical step holds it to the power limits."""
        surplus = -view.deficit_kw.get("power", 0.0) - self.auxiliary_kw
        import_room = view.import_room_kw - self.auxiliary_kw
        room = max(0.0, self.max_soc * self.capacity_kwh - energy_kwh) / self.charge_efficiency / view.hours
        left = max(0.0, energy_kwh - self.min_soc * self.capacity_kwh) * self.discharge_efficiency / view.hours
        if view.storing and surplus > 0:
            return {"charge_kw": min(surplus, room)}
        if view.storing and view.price == "cheap":
            return {"charge_kw": min(room, import_room, self.charge_limit_kw)}
        wanted = -surplus if view.price == "dear" else -import_room
        return {"discharge_kw": min(wanted, left)} if view.storing else {}

    def cost_of(self, course: Course) -> dict[str, float]:
        energy = course.states["energy_kwh"][1:]
        under = np.maximum(self.min_soc * self.capacity_kwh - energy, 0.0)
        over = np.maximum(energy - self.max_soc * self.capacity_kwh, 0.0)
        return {
            "wear": self._wear_of(course),
            "limits": OUT_OF_BAND_PRICE_PER_KWH * float((under + over).sum()),
            "terminal": -self._value_per_kwh(course.situation) * float(energy[-1]),
        }

    def _wear_of(self, course: Course) -> float:
        if self.depth_wear is None:
            return self.wear_cost_per_kwh * course.energy_kwh("discharge_kw")
        start_kwh = float(course.states["energy_kwh"][0])
        charge, discharge = course.flows["charge_kw"], course.flows["discharge_kw"]
        return self.depth_wear.cost_of(self.numbers(), self.max_soc, start_kwh, charge, discharge, course.hours)

    def carries_kw(self, state: PhysicalState, hours: float) -> float:
        above = max(0.0, state["energy_kwh"] - self.min_soc * self.capacity_kwh)
        return min(self.discharge_limit_kw, above * self.discharge_efficiency / hours)

    def bounds_kw(self) -> tuple[float, float]:
        return (-self.charge_limit_kw, self.discharge_limit_kw)

    def room_kw(self, situation: Situation, conditions: Mapping[str, Array]) -> tuple[float, float] | None:
        """What the energy band and (5) leave for a whole step."""
        state, hours = self.start(situation), situation.grid.step_hours
        free = max(0.0, self.max_soc * self.capacity_kwh - state["energy_kwh"]) / self.charge_efficiency / hours
        charge = self.step({"charge_kw": free}, state, {}, hours).flows["charge_kw"]
        discharge = self.step({"discharge_kw": self.carries_kw(state, hours)}, state, {}, hours).flows["discharge_kw"]
        return (-charge, discharge)
