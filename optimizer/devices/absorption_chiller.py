"""Absorption chiller: cold from heat.

    cold[t] ≤ Q                                    (1)
    heat[t] = cold[t]/COP                           (2)
    power[t] = a·cold[t]                            (3)
    cold[t] = 0 or cold[t] ≥ r·Q                    (4)

Q is `cooling_limit_kw`, COP `cop`, a `auxiliary_kw_per_kw`, r `min_part_load`.

COP 0.65 to 0.75 with one effect (hot water of 85 to 95 °C), 1.2 to 1.4 with two (steam of 0.6 to 0.8 MPa), least load
20 to 25 % (RULES 4). The COP holds at the machine's own temperatures; the characteristic equation is not followed.
Starting takes half an hour and more: the model starts at once, so the first half hour after a start gives less than
planned. Below the least part load a machine cycles; (4) keeps plans away from there, enforced only where it is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Carrier,
    Device,
    Direction,
    Fraction,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Semicontinuous,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class AbsorptionChiller(Device):
    """A chiller driven by heat, with its pumps and tower."""

    kind: Literal["absorption_chiller"] = "absorption_chiller"
    cooling_limit_kw: Positive
    """Largest cooling power [kW thermal]."""
    cop: Positive = 0.70
    """Cold per heat [-]: 0.70 with a single effect, 1.30 with a double one."""
    auxiliary_kw_per_kw: NotNegative = 0.05
    """Electric power of pumps and tower per cooling power [-]; more heat is rejected than by a compression chiller."""
    min_part_load: Fraction = 0.25
    """Least steady cooling power as a share of the largest [-]."""

    rule_order: ClassVar[int] = 2
    main_quantity: ClassVar[str | None] = "cold_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"heat_kw": ("heat", "out"), "power_kw": ("power", "out"), "cold_kw": ("cold", "in")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.heat_kw = pyo.Var(steps, bounds=(0, None))
        block.power_kw = pyo.Var(steps, bounds=(0, None))
        block.cold_kw = pyo.Var(steps, bounds=(0, self.cooling_limit_kw))  # (1)

        @block.Constraint(steps)
        def heat_for_cold(b: Any, t: int) -> Any:  # (2)
            return self.cop * b.heat_kw[t] == b.cold_kw[t]

        @block.Constraint(steps)
        def power_for_pumps(b: Any, t: int) -> Any:  # (3)
            return b.power_kw[t] == self.auxiliary_kw_per_kw * b.cold_kw[t]

        return Ports(
            flows={"heat_kw": block.heat_kw, "power_kw": block.power_kw, "cold_kw": block.cold_kw},
            semicontinuous=(Semicontinuous(block.cold_kw, self.min_part_load * self.cooling_limit_kw),),  # (4)
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        return {}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        return Response(self._flows(asked.get("cold_kw", 0.0)), {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Makes cold before the machines that need power do, from heat that the site's machines have to spare."""
        spare_heat = max(0.0, view.producible_kw.get("heat", 0.0) - view.deficit_kw.get("heat", 0.0))
        return self._flows(min(view.deficit_kw.get("cold", 0.0), self.cop * spare_heat))

    def _flows(self, cold_kw: float) -> dict[str, float]:
        heat, power, cold = step(cold_kw, self.cop, self.auxiliary_kw_per_kw, self.cooling_limit_kw)
        return {"heat_kw": heat, "power_kw": power, "cold_kw": cold}

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.cooling_limit_kw)


def step(cold_kw: float, cop: float, auxiliary_kw_per_kw: float, cooling_limit_kw: float) -> tuple[float, float, float]:
    """Heat taken, power taken, cold delivered [kW]; below the least part load the machine cycles."""
    cold = min(max(cold_kw, 0.0), cooling_limit_kw)
    return cold / cop, auxiliary_kw_per_kw * cold, cold
