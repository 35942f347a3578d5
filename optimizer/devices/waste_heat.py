"""Waste heat: what a process gives off, used as far as it is wanted.

    0 ≤ heat[t] ≤ available[t]     (1)

The process decides what is available; nobody can ask it for more (RULES 4). Above `heat_limit_kw` nothing passes. The
series is the heat behind the exchanger: Q = m·cp·(T_in - T_out)·η with the flue no colder than its acid dew point, some
120 °C. What is left unused goes up the chimney and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Carrier,
    Device,
    Direction,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class WasteHeat(Device):
    """Heat recovered from a process. Needs the series `<id>.available_kw`."""

    kind: Literal["waste_heat"] = "waste_heat"
    heat_limit_kw: Positive
    """Largest heating power that the heat exchanger passes [kW thermal]."""

    rule_order: ClassVar[int] = 3
    main_quantity: ClassVar[str | None] = "heat_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"heat_kw": ("heat", "in")}

    def required_series(self) -> tuple[str, ...]:
        return (f"{self.id}.available_kw",)

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {"heat_available_kw": np.clip(situation.need(f"{self.id}.available_kw"), 0.0, self.heat_limit_kw)}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.heat_available_kw = pyo.Param(steps, mutable=True, initialize=self.heat_limit_kw)
        block.heat_kw = pyo.Var(steps, bounds=lambda b, t: (0, b.heat_available_kw[t]))  # (1)
        return Ports(flows={"heat_kw": block.heat_kw})

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        return {"heat_available_kw": conditions["heat_available_kw"]}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        return Response({"heat_kw": step(asked.get("heat_kw", 0.0), conditions["heat_available_kw"])}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Gives what heat is wanted, before the machines that burn or draw something for it."""
        return {"heat_kw": step(view.deficit_kw.get("heat", 0.0), conditions["heat_available_kw"])}

    def producible_kw(self, conditions: Mapping[str, float]) -> dict[Carrier, float]:
        return {"heat": conditions["heat_available_kw"]}

    def setpoint_kw(self, flows: Asked, conditions: Mapping[str, float]) -> float | None:
        """The output limit: all of it while nothing is left unused, so that a forecast too low wastes no heat."""
        unused = conditions["heat_available_kw"] - flows.get("heat_kw", 0.0)
        return flows.get("heat_kw", 0.0) if unused > 1e-6 else self.heat_limit_kw

    def why_idle(self, conditions: Mapping[str, float]) -> tuple[str, str] | None:
        return None if conditions["heat_available_kw"] > 0 else ("无余热", "no waste heat")

    def safe_kw(self) -> float:
        return self.heat_limit_kw

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.heat_limit_kw)


def step(heat_kw: float, heat_available_kw: float) -> float:
    """Heat recovered [kW]: what is asked, never more than the process gives."""
    return min(max(heat_kw, 0.0), heat_available_kw)
