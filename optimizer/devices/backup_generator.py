"""Backup generator: power from stored fuel, only when it is allowed.

    L·on[t] ≤ power[t] ≤ P·on[t]                                 (1)
    on[t] ≤ allowed[t]                                           (2)
    on[t] ∈ {0,1}                                                (3)
    fuel cost   = Σ c_fuel·power[t]·Δt[t]                        (4)
    carbon cost = Σ p_CO2·f·power[t]·Δt[t]                       (5)

P is `power_limit_kw`, L the share `min_load` of it, c_fuel `fuel_cost_per_kwh`, p_CO2 `carbon_price_per_kg`, f
`carbon_kg_per_kwh`.

(3) is whole in the first steps and relaxed later: a plan's later power may then be the mean of running and standing.
It runs in outages, in islanding and in tests of itself, so the series `<id>.allowed` is 0 unless somebody says
otherwise. Its power is not generation that may be exported. The factor f is of diesel oil, 74.1 kg CO2/GJ (IPCC 2006,
volume 2, table 2.2), at an electric efficiency of 0.35.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Carrier,
    Cost,
    Course,
    Device,
    Direction,
    Fraction,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    whole_steps,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class BackupGenerator(Device):
    """A diesel set or another generator for emergencies. Runs where the series `<id>.allowed` is 1."""

    kind: Literal["backup_generator"] = "backup_generator"
    power_limit_kw: Positive
    """Largest power [kW]."""
    fuel_cost_per_kwh: NotNegative
    """Cost of fuel per kWh of electricity [money/kWh]."""
    min_load: Fraction = 0.3
    """Least steady power as a share of the largest [-]."""
    carbon_kg_per_kwh: NotNegative = 0.762
    """Carbon factor per kWh of electricity [kg CO2/kWh]."""
    carbon_price_per_kg: NotNegative = 0.0
    """Price of carbon that the plan counts as a cost [money/kg CO2]."""

    rule_order: ClassVar[int] = 3
    rule_rank: ClassVar[int] = 4
    main_quantity: ClassVar[str | None] = "power_kw"

    @property
    def least_kw(self) -> float:
        """Least steady power [kW]."""
        return self.min_load * self.power_limit_kw

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"power_kw": ("power", "in")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        allowed = (situation.get(f"{self.id}.allowed", 0.0) >= 0.5).astype(float)
        return {"allowed": allowed, "whole": whole_steps(situation)}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.allowed = pyo.Param(steps, mutable=True, initialize=0.0)
        block.fuel_cost = pyo.Param(steps, mutable=True, initialize=0.5)
        block.carbon_cost = pyo.Param(steps, mutable=True, initialize=0.0)
        block.power_kw = pyo.Var(steps, bounds=(0, self.power_limit_kw))
        block.on = pyo.Var(steps, bounds=lambda b, t: (0, b.allowed[t]))  # (2), (3)

        @block.Constraint(steps)
        def power_at_least_minimum_while_on(b: Any, t: int) -> Any:  # (1)
            return b.power_kw[t] >= self.least_kw * b.on[t]

        @block.Constraint(steps)
        def power_only_while_on(b: Any, t: int) -> Any:  # (1)
            return b.power_kw[t] <= self.power_limit_kw * b.on[t]

        burnt = [Cost("fuel", block.fuel_cost[t] * block.power_kw[t], t) for t in steps]  # (4)
        emitted = [Cost("carbon", block.carbon_cost[t] * block.power_kw[t], t) for t in steps]  # (5)
        return Ports(flows={"power_kw": block.power_kw}, costs=(*burnt, *emitted), decisions=(block.on,))

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        hours = situation.grid.hours
        return {
            "allowed": conditions["allowed"],
            "fuel_cost": self.fuel_cost_per_kwh * hours,
            "carbon_cost": self.carbon_price_per_kg * self.carbon_kg_per_kwh * hours,
        }

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        power = step(
            asked.get("power_kw", 0.0), conditions["allowed"], conditions["whole"], self.least_kw, self.power_limit_kw
        )
        return Response({"power_kw": power}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Serves what is left to be served, where it is allowed."""
        wanted = view.deficit_kw.get("power", 0.0)
        return {"power_kw": step(wanted, conditions["allowed"], 1.0, self.least_kw, self.power_limit_kw)}

    def cost_of(self, course: Course) -> dict[str, float]:
        made = course.energy_kwh("power_kw")
        return {
            "fuel": self.fuel_cost_per_kwh * made,
            "carbon": self.carbon_price_per_kg * self.carbon_kg_per_kwh * made,
        }

    def why_idle(self, conditions: Mapping[str, float]) -> tuple[str, str] | None:
        return None if conditions["allowed"] else ("未允许运行", "not allowed to run")

    def if_run(self) -> tuple[tuple[dict[str, float], float], ...]:
        return tuple(
            ({"power_kw": kw}, self._cost_per_kwh * kw) for kw in {self.least_kw: None, self.power_limit_kw: None}
        )

    @property
    def _cost_per_kwh(self) -> float:
        return self.fuel_cost_per_kwh + self.carbon_price_per_kg * self.carbon_kg_per_kwh

    def carries_kw(self, state: PhysicalState, hours: float) -> float:
        return self.power_limit_kw

    def emissions(self) -> dict[str, float]:
        return {"power_kw": self.carbon_kg_per_kwh}

    def producible_kw(self, conditions: Mapping[str, float]) -> dict[Carrier, float]:
        return {}

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.power_limit_kw)


def step(power_kw: float, allowed: float, whole: float, least_kw: float, power_limit_kw: float) -> float:
    """Power delivered [kW]: nothing while it is not allowed, else the wish within the limits.

    A wish below half the least power is a wish to stand still. Where the decision is not whole the power is a mean of
    running and standing, so that anything up to the limit can be followed.
    """
    power = min(max(power_kw, 0.0), power_limit_kw) * allowed
    if whole < 0.5:
        return power
    return max(power, least_kw * allowed) if power >= 0.5 * least_kw else 0.0
