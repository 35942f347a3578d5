"""Electric chiller: cold from power by a COP that the outdoor temperature decides.

    cold[t] ≤ Q                                                     (1)
    power[t] = cold[t]·(1 + a)/(s·COP(T_out[t]))                     (2)
    cold[t] = 0 or cold[t] ≥ r·Q                                     (3)

Q is `cooling_limit_kw`, a `auxiliary_share`, r `min_part_load`, s the state `cop_share`: the measured COP over that
of the data sheet, 1 where none is reported.

The COP is a parameter of the weather (RULES 4), linear between the given points and constant outside them. Below the
least part load r a machine cycles; (3) keeps plans away from there and is enforced only where it is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo
from pydantic import AfterValidator, Field

from optimizer.devices.base import (
    Asked,
    Carrier,
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
from optimizer.devices.cop_machine import CopMachine
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


def _rising(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    temperatures = [temperature for temperature, _ in points]
    if temperatures != sorted(set(temperatures)):
        raise ValueError("temperatures must rise from point to point")
    if any(cop <= 0 for _, cop in points):
        raise ValueError("every COP must be above 0")
    return points


CopPoints = Annotated[tuple[tuple[float, float], ...], Field(min_length=1), AfterValidator(_rising)]


class Chiller(CopMachine):
    """A compression chiller with its pumps and tower."""

    kind: Literal["chiller"] = "chiller"
    cooling_limit_kw: Positive
    """Largest cooling power [kW thermal]."""
    cop_points: CopPoints = ((20.0, 5.8), (30.0, 5.0), (40.0, 4.0))
    """Pairs of outdoor temperature [°C] and COP [-] of the compressor, temperatures rising."""
    auxiliary_share: NotNegative = 0.2
    """Power of pumps and tower as a share of the compressor's power [-]."""
    min_part_load: Fraction = 0.2
    """Least steady cooling power as a share of the largest [-]."""

    rule_order: ClassVar[int] = 3
    main_quantity: ClassVar[str | None] = "cold_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"power_kw": ("power", "out"), "cold_kw": ("cold", "in")}

    def sheet_cop(self, outdoor_c: Array | float) -> Array:
        points = np.asarray(self.cop_points, dtype=float)
        return np.asarray(np.interp(outdoor_c, points[:, 0], points[:, 1]) / (1.0 + self.auxiliary_share))

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.power_per_cold = pyo.Param(steps, mutable=True, initialize=0.25)
        block.power_kw = pyo.Var(steps, bounds=(0, None))
        block.cold_kw = pyo.Var(steps, bounds=(0, self.cooling_limit_kw))  # (1)

        @block.Constraint(steps)
        def power_for_cold(b: Any, t: int) -> Any:  # (2)
            return b.power_kw[t] == b.power_per_cold[t] * b.cold_kw[t]

        return Ports(
            flows={"power_kw": block.power_kw, "cold_kw": block.cold_kw},
            semicontinuous=(Semicontinuous(block.cold_kw, self.min_part_load * self.cooling_limit_kw),),  # (3)
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        return {"power_per_cold": 1.0 / conditions["cop"]}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        cold, power = step(asked.get("cold_kw", 0.0), conditions["cop"], self.cooling_limit_kw)
        return Response({"power_kw": power, "cold_kw": cold}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Makes the cold that is left to be made."""
        cold = min(max(0.0, view.deficit_kw.get("cold", 0.0)), self.cooling_limit_kw)
        return {"cold_kw": cold, "power_kw": cold / conditions["cop"]}

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.cooling_limit_kw)

    def fed_per_kw(self) -> float:
        return -(1.0 + self.auxiliary_share) * len(self.cop_points) / sum(cop for _, cop in self.cop_points)


def step(cold_kw: float, cop: float, cooling_limit_kw: float) -> tuple[float, float]:
    """Cold delivered and power taken [kW]; below the least part load the machine cycles, which its mean can follow."""
    cold = min(max(cold_kw, 0.0), cooling_limit_kw)
    return cold, cold / cop
