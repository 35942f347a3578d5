"""Gas boiler: heat from gas.

    heat[t] ≤ Q                                 (1)
    gas[t] = heat[t]/η                          (2)   (RULES 4: η 0.90 to 0.95 of the LHV)
    heat[t] = 0 or heat[t] ≥ r·Q                (3)

Q is `heat_limit_kw`, η `efficiency`, r `min_part_load`.

(3) is enforced only where it is broken; below it a boiler cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pyomo.environ as pyo
from pydantic import Field

from optimizer.devices.base import (
    Asked,
    Carrier,
    Device,
    Direction,
    Fraction,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Semicontinuous,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class GasBoiler(Device):
    """A hot-water boiler fired with gas."""

    kind: Literal["gas_boiler"] = "gas_boiler"
    heat_limit_kw: Positive
    """Largest heating power [kW thermal]."""
    efficiency: float = Field(default=0.92, gt=0, le=1.1)
    """Heat per gas burnt, by the lower heating value [-]; a condensing boiler may pass 1."""
    min_part_load: Fraction = 0.2
    """Least steady heating power as a share of the largest [-]."""

    rule_order: ClassVar[int] = 3
    rule_rank: ClassVar[int] = 3
    main_quantity: ClassVar[str | None] = "heat_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"gas_kw": ("gas", "out"), "heat_kw": ("heat", "in")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.gas_kw = pyo.Var(steps, bounds=(0, None))
        block.heat_kw = pyo.Var(steps, bounds=(0, self.heat_limit_kw))  # (1)

        @block.Constraint(steps)
        def gas_for_heat(b: Any, t: int) -> Any:  # (2)
            return b.gas_kw[t] == b.heat_kw[t] / self.efficiency

        return Ports(
            flows={"gas_kw": block.gas_kw, "heat_kw": block.heat_kw},
            semicontinuous=(Semicontinuous(block.heat_kw, self.min_part_load * self.heat_limit_kw),),  # (3)
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        return {}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        heat, gas = step(asked.get("heat_kw", 0.0), self.heat_limit_kw, self.efficiency)
        return Response({"gas_kw": gas, "heat_kw": heat}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Makes the heat that the machines before it leave to be made."""
        heat, gas = step(view.deficit_kw.get("heat", 0.0), self.heat_limit_kw, self.efficiency)
        return {"gas_kw": gas, "heat_kw": heat}

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.heat_limit_kw)


def step(heat_kw: float, heat_limit_kw: float, efficiency: float) -> tuple[float, float]:
    """Heat delivered and gas burnt [kW]; below the least part load the boiler cycles, which its mean can follow."""
    heat = min(max(heat_kw, 0.0), heat_limit_kw)
    return heat, heat / efficiency
