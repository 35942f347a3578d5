"""Load: demand that is served; what cannot be served is priced, so that there is always an answer.

    served[t] + unserved[t] = demand[t]     (1)

The price of unserved demand is far above any tariff: a plan leaves demand unserved only where no other way is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Breach,
    Carrier,
    Cost,
    Course,
    Device,
    Direction,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Slack,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class Load(Device):
    """Demand of one carrier; not controllable. Needs the series `<id>.demand_kw`."""

    kind: Literal["load"] = "load"
    carrier: Carrier = "power"
    """Carrier that is used."""
    unserved_price_per_kwh: Positive = 1000.0
    """Price of a kWh not served [money/kWh]; above the demand price spread over a quarter hour, so that nobody is cut
    off to save a peak."""

    rule_order: ClassVar[int] = 0

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"served_kw": (self.carrier, "out")}

    def required_series(self) -> tuple[str, ...]:
        return (f"{self.id}.demand_kw",)

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {"demand_kw": np.maximum(situation.need(f"{self.id}.demand_kw"), 0.0)}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.hours = pyo.Param(steps, mutable=True, initialize=0.25)
        block.demand_kw = pyo.Param(steps, mutable=True, initialize=1.0)
        block.served_kw = pyo.Var(steps, bounds=(0, None))
        block.unserved_kw = pyo.Var(steps, bounds=(0, None))

        @block.Constraint(steps)
        def demand_is_served_or_named(b: Any, t: int) -> Any:  # (1)
            return b.served_kw[t] + b.unserved_kw[t] == b.demand_kw[t]

        price = self.unserved_price_per_kwh
        return Ports(
            flows={"served_kw": block.served_kw},
            costs=tuple(Cost("unserved", price * block.hours[t] * block.unserved_kw[t], t) for t in steps),
            slacks=(Slack("demand", block.unserved_kw, "kW"),),
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        return {"hours": situation.grid.hours, "demand_kw": conditions["demand_kw"]}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        return Response({"served_kw": step(asked.get("served_kw", 0.0), conditions["demand_kw"])}, {})

    def breaches(
        self, flows: Asked, before: PhysicalState, after: PhysicalState, conditions: Mapping[str, float], hours: float
    ) -> tuple[Breach, ...]:
        unserved = conditions["demand_kw"] - flows["served_kw"]
        return () if unserved <= 0.0 else (Breach("demand", unserved, "kW"),)

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """All of it is served."""
        return {"served_kw": conditions["demand_kw"]}

    def cost_of(self, course: Course) -> dict[str, float]:
        unserved = course.near("demand_kw") - course.flows["served_kw"]
        return {"unserved": self.unserved_price_per_kwh * float(unserved.sum()) * course.hours}


def step(served_kw: float, demand_kw: float) -> float:
    """Power used [kW]: what is served, never more than the demand."""
    return min(max(served_kw, 0.0), demand_kw)
