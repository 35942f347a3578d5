"""Gas supply: gas bought by volume, counted by its lower heating value (LHV).

    supply[t] ≤ S                                                    (1)
    gas cost    = Σ p_gas/H·supply[t]·Δt[t]                          (2)
    carbon cost = Σ p_CO2·f/H·supply[t]·Δt[t]                        (3)

S is `supply_limit_kw`, p_gas `price_per_nm3` and p_CO2 `carbon_price_per_kg`.

H is the lower heating value and f the carbon factor per volume: 38.931 MJ/Nm³ = 10.814 kWh/Nm³ and 2.1622 kg/Nm³ are
the accounting defaults (RULES 4 and 7, TV-30). Invoices in m³ at 20 °C are to be converted before.
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
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class GasSupply(Device):
    """The connection to the public gas grid."""

    kind: Literal["gas_supply"] = "gas_supply"
    supply_limit_kw: Positive
    """Largest gas power taken from the grid [kW LHV]."""
    price_per_nm3: NotNegative
    """Price of gas [money/Nm³]."""
    heating_value_kwh_per_nm3: Positive = 10.814
    """Lower heating value [kWh/Nm³]."""
    carbon_kg_per_nm3: NotNegative = 2.1622
    """Carbon factor of burning it [kg CO2/Nm³]."""
    carbon_price_per_kg: NotNegative = 0.0
    """Price of carbon that the plan counts as a cost [money/kg CO2]."""

    rule_order: ClassVar[int] = 6

    @property
    def price_per_kwh(self) -> float:
        """Price of gas [money/kWh LHV]."""
        return self.price_per_nm3 / self.heating_value_kwh_per_nm3

    @property
    def carbon_kg_per_kwh(self) -> float:
        """Carbon factor [kg CO2/kWh LHV]."""
        return self.carbon_kg_per_nm3 / self.heating_value_kwh_per_nm3

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"supply_kw": ("gas", "in")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.gas_cost = pyo.Param(steps, mutable=True, initialize=0.1)
        block.carbon_cost = pyo.Param(steps, mutable=True, initialize=0.0)
        block.supply_kw = pyo.Var(steps, bounds=(0, self.supply_limit_kw))  # (1)
        bought = [Cost("gas", block.gas_cost[t] * block.supply_kw[t], t) for t in steps]  # (2)
        emitted = [Cost("carbon", block.carbon_cost[t] * block.supply_kw[t], t) for t in steps]  # (3)
        return Ports(flows={"supply_kw": block.supply_kw}, costs=(*bought, *emitted))

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        hours = situation.grid.hours
        return {
            "gas_cost": self.price_per_kwh * hours,
            "carbon_cost": self.carbon_price_per_kg * self.carbon_kg_per_kwh * hours,
        }

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        return Response({"supply_kw": step(asked.get("supply_kw", 0.0), self.supply_limit_kw)}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Gives the gas that the burners draw."""
        return {"supply_kw": min(max(0.0, view.deficit_kw.get("gas", 0.0)), self.supply_limit_kw)}

    def cost_of(self, course: Course) -> dict[str, float]:
        bought = course.energy_kwh("supply_kw")
        return {
            "gas": self.price_per_kwh * bought,
            "carbon": self.carbon_price_per_kg * self.carbon_kg_per_kwh * bought,
        }

    def emissions(self) -> dict[str, float]:
        return {"supply_kw": self.carbon_kg_per_kwh}

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.supply_limit_kw)


def step(supply_kw: float, supply_limit_kw: float) -> float:
    """Gas taken [kW LHV]: what the burners draw, within the connection's limit."""
    return min(max(supply_kw, 0.0), supply_limit_kw)
