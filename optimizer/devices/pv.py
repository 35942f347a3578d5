"""PV plant: what the sun offers, less what is curtailed.

    used[t] ≤ available[t] ≤ P        (1)

P is `capacity_kw`. Where the inverters follow no output limit, used = available. PV is generation: it may be exported.
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


class Pv(Device):
    """A PV plant behind its inverters, seen at the AC terminal. Needs the series `<id>.available_kw`."""

    kind: Literal["pv"] = "pv"
    capacity_kw: Positive
    """Largest AC power of the inverters [kW]."""
    curtailable: bool = True
    """Whether the inverters follow an output limit."""

    rule_order: ClassVar[int] = 0
    main_quantity: ClassVar[str | None] = "used_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"used_kw": ("power", "in")}

    def generated(self) -> frozenset[str]:
        return frozenset({"used_kw"})

    def required_series(self) -> tuple[str, ...]:
        return (f"{self.id}.available_kw",)

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {"available_kw": np.clip(situation.need(f"{self.id}.available_kw"), 0.0, self.capacity_kw)}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        block.available_kw = pyo.Param(steps, mutable=True, initialize=self.capacity_kw)
        block.least_kw = pyo.Param(steps, mutable=True, initialize=0.0)
        block.used_kw = pyo.Var(steps, bounds=lambda b, t: (b.least_kw[t], b.available_kw[t]))  # (1)
        return Ports(flows={"used_kw": block.used_kw})

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        available = conditions["available_kw"]
        return {"available_kw": available, "least_kw": np.zeros_like(available) if self.curtailable else available}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        wanted = asked.get("used_kw", 0.0) if self.curtailable else conditions["available_kw"]
        return Response({"used_kw": step(wanted, conditions["available_kw"], self.capacity_kw)}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Feeds in all it has; without export no more than is used in the moment."""
        if view.export_allowed or not self.curtailable:
            return {"used_kw": conditions["available_kw"]}
        return {"used_kw": min(conditions["available_kw"], max(0.0, view.deficit_kw.get("power", 0.0)))}

    def target_kw(self, flows: Asked) -> float | None:
        return flows.get("used_kw", 0.0) if self.curtailable else None

    def setpoint_kw(self, flows: Asked, conditions: Mapping[str, float]) -> float | None:
        """The output limit: the rated power while nothing is curtailed, so that a forecast too low wastes no sun."""
        if not self.curtailable:
            return None
        curtailed = conditions["available_kw"] - flows.get("used_kw", 0.0)
        return flows.get("used_kw", 0.0) if curtailed > 1e-6 else self.capacity_kw

    def why_idle(self, conditions: Mapping[str, float]) -> tuple[str, str] | None:
        return None if conditions["available_kw"] > 0 else ("无光照", "no sun")

    def safe_kw(self) -> float:
        return self.capacity_kw

    def asked(self, target_kw: float) -> dict[str, float]:
        return {"used_kw": max(0.0, target_kw)}

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.capacity_kw)


def step(used_kw: float, available_kw: float, capacity_kw: float) -> float:
    """Power fed in [kW]: at most the limit asked, the sun's offer and the inverters' rating."""
    return min(max(used_kw, 0.0), available_kw, capacity_kw)
