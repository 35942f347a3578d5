"""PV plant: what the sun offers, less what is curtailed.

    used[t] ≤ available[t] ≤ P                                              (1)
    used[t] + cut[t] ≥ available[t]   where the inverters follow no limit   (2)

P is `capacity_kw`. Sun that finds no place trips inverters that cannot be curtailed (reverse-power protection): `cut`
is what is lost so, at a price, and reported. PV is generation: it may be exported.
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

TRIPPED_PRICE_PER_KWH = 100.0
"""Price of sun lost by tripping inverters that cannot be curtailed [money/kWh]: far above any tariff."""


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
        block.used_kw = pyo.Var(steps, bounds=lambda b, t: (0, b.available_kw[t]))  # (1)
        if self.curtailable:
            return Ports(flows={"used_kw": block.used_kw})
        block.hours = pyo.Param(steps, mutable=True, initialize=0.25)
        block.cut_kw = pyo.Var(steps, bounds=(0, None))

        @block.Constraint(steps)
        def used_or_tripped(b: Any, t: int) -> Any:  # (2)
            return b.used_kw[t] + b.cut_kw[t] >= b.available_kw[t]

        return Ports(
            flows={"used_kw": block.used_kw},
            costs=tuple(Cost("limits", TRIPPED_PRICE_PER_KWH * block.hours[t] * block.cut_kw[t], t) for t in steps),
            slacks=(Slack("not_curtailable", block.cut_kw, "kW"),),
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        available: dict[str, Array | float] = {"available_kw": conditions["available_kw"]}
        return available if self.curtailable else {**available, "hours": situation.grid.hours}

    def breaches(
        self, flows: Asked, before: PhysicalState, after: PhysicalState, conditions: Mapping[str, float], hours: float
    ) -> tuple[Breach, ...]:
        lost = conditions["available_kw"] - flows["used_kw"]
        return () if self.curtailable or lost <= 0.0 else (Breach("not_curtailable", lost, "kW"),)

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        wanted = asked.get("used_kw", 0.0 if self.curtailable else conditions["available_kw"])
        return Response({"used_kw": step(wanted, conditions["available_kw"], self.capacity_kw)}, {})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Feeds in all it has; without export no more than is used in the moment."""
        if view.export_allowed or not self.curtailable:
            return {"used_kw": conditions["available_kw"]}
        return {"used_kw": min(conditions["available_kw"], max(0.0, view.deficit_kw.get("power", 0.0)))}

    def target_kw(self, flows: Asked) -> float | None:
        return super().target_kw(flows) if self.curtailable else None

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

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.capacity_kw)

    def room_kw(self, situation: Situation, conditions: Mapping[str, Array]) -> tuple[float, float] | None:
        return self.bounds_kw() if self.curtailable else None

    def cost_of(self, course: Course) -> dict[str, float]:
        if self.curtailable:
            return {}
        cut = course.near("available_kw") - course.flows["used_kw"]
        return {"limits": TRIPPED_PRICE_PER_KWH * float(cut.sum()) * course.hours}


def step(used_kw: float, available_kw: float, capacity_kw: float) -> float:
    """Power fed in [kW]: at most the limit asked, the sun's offer and the inverters' rating."""
    return min(max(used_kw, 0.0), available_kw, capacity_kw)
