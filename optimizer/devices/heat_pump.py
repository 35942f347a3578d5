"""Air-source heat pump: heat from power by a COP that source and supply temperature decide.

    heat[t] ≤ Q                                                            (1)
    heat[t] = s·COP(T_supply - T_out[t])·power[t]                           (2)
    COP(ΔT) = 6.81 - 0.121·ΔT + 0.000630·ΔT²,  15 ≤ ΔT ≤ 60                (3)   (RULES 4, TV-14)
    heat[t] = 0 or heat[t] ≥ r·Q                                            (4)

Q is `heat_limit_kw`, T_supply `supply_temperature_c`, r `min_part_load`, s the state `cop_share`: the measured COP over
that of (3), 1 where none is reported.

(3) is held constant outside its range. (4) is enforced only where it is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Carrier,
    Direction,
    Fraction,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Semicontinuous,
)
from optimizer.devices.cop_machine import CopMachine
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

LIFT_RANGE_K = (15.0, 60.0)
USUAL_OUTDOOR_C = 10.0
"""At which the COP is estimated where the weather is not known."""


def air_source_cop(lift_k: Array | float) -> Array:
    """COP [-] of an air-source heat pump at a temperature lift [K], clamped to the fit's range; equation (3)."""
    lift = np.clip(lift_k, *LIFT_RANGE_K)
    return np.asarray(6.81 - 0.121 * lift + 0.000630 * lift**2)


class HeatPump(CopMachine):
    """A heat pump that takes its heat from the outdoor air."""

    kind: Literal["heat_pump"] = "heat_pump"
    heat_limit_kw: Positive
    """Largest heating power [kW thermal]."""
    supply_temperature_c: float = 45.0
    """Temperature of the water supplied [°C]."""
    min_part_load: Fraction = 0.3
    """Least steady heating power as a share of the largest [-]."""

    rule_order: ClassVar[int] = 3
    rule_rank: ClassVar[int] = 2
    main_quantity: ClassVar[str | None] = "heat_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"power_kw": ("power", "out"), "heat_kw": ("heat", "in")}

    def sheet_cop(self, outdoor_c: Array | float) -> Array:
        return air_source_cop(self.supply_temperature_c - outdoor_c)

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.power_per_heat = pyo.Param(steps, mutable=True, initialize=0.3)
        block.power_kw = pyo.Var(steps, bounds=(0, None))
        block.heat_kw = pyo.Var(steps, bounds=(0, self.heat_limit_kw))  # (1)

        @block.Constraint(steps)
        def power_for_heat(b: Any, t: int) -> Any:  # (2)
            return b.power_kw[t] == b.power_per_heat[t] * b.heat_kw[t]

        return Ports(
            flows={"power_kw": block.power_kw, "heat_kw": block.heat_kw},
            semicontinuous=(Semicontinuous(block.heat_kw, self.min_part_load * self.heat_limit_kw),),  # (4)
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        return {"power_per_heat": 1.0 / conditions["cop"]}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        heat, power = step(asked.get("heat_kw", 0.0), conditions["cop"], self.heat_limit_kw)
        return Response({"power_kw": power, "heat_kw": heat}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Makes the heat that waste heat and CHP leave to be made."""
        heat = min(max(0.0, view.deficit_kw.get("heat", 0.0)), self.heat_limit_kw)
        return {"heat_kw": heat, "power_kw": heat / conditions["cop"]}

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.heat_limit_kw)

    def fed_per_kw(self) -> float:
        return -1.0 / float(air_source_cop(self.supply_temperature_c - USUAL_OUTDOOR_C))


def step(heat_kw: float, cop: float, heat_limit_kw: float) -> tuple[float, float]:
    """Heat delivered and power taken [kW]; below the least part load the machine cycles, which its mean can follow."""
    heat = min(max(heat_kw, 0.0), heat_limit_kw)
    return heat, heat / cop
