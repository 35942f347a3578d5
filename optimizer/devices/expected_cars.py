"""Expected cars: what cars that have not come yet will need, as load of a charger group that can be moved in time.

    b[t+1] = b[t] + (arriving[t] - η·charge[t])·Δt                          (1)
    0 ≤ b[t+1] ≤ open[t] + missed[t],   missed[t] ≥ missed[t-1] ≥ 0         (2)
    open[t] = max(Σ_{s≤t} (arriving[s] - leaving[s])·Δt[s],  f[t+1])        (3)
    f[t+1] = max(0, f[t] + (arriving[t] - η·P[t])·Δt)                       (4)
    charge[t] ≤ P[t],   P[t] = P_group·occupied[t],   P[0] = 0              (5)

P_group is `charge_limit_kw`, η `charge_efficiency`; the others are series and what follows from them.

b is the energy that cars already come still need, b[0] = 0: a car that stands at a charger now is that charger's own
and not counted here. Need is open until its car leaves (3). f is what stays open even at full power: more than that is
not asked for, so only limits shared with others make cars leave with less; that is paid once per kWh, and the coarse
steps of the tail share one `missed` (2). A car that is not here cannot be charged now (5); the device therefore takes
no setpoint. Needs are means over past days: the plan keeps room for the usual cars, neither for none nor for all at
once. What is open at the end of the horizon is paid at its lowest price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo
from pydantic import Field

from optimizer.devices.base import (
    Asked,
    Carrier,
    Cost,
    Course,
    Device,
    DeviceId,
    Direction,
    Efficiency,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Slack,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape


class ExpectedCars(Device):
    """The cars expected at a group of chargers; a load of the plan, not a machine.

    Needs the series `<id>.arriving_kw` (energy need of cars arriving, per hour), `<id>.leaving_kw` (need of cars
    leaving, per hour) and `<id>.occupied_pct` (chargers taken by them); a series that is not given is 0.
    """

    kind: Literal["expected_cars"] = "expected_cars"
    chargers: tuple[DeviceId, ...] = Field(min_length=1)
    """Ids of the chargers at which the cars will stand."""
    charge_limit_kw: Positive
    """Largest charging power of all these chargers together, every one taken [kW]."""
    charge_efficiency: Efficiency = 0.95
    """Energy in the car per energy taken at the AC terminal [-]."""
    missed_price_per_kwh: Positive = 400.0
    """Price of a kWh missing when its car leaves [money/kWh]; above the demand price spread over a quarter hour, below
    what is paid for a car that is here."""

    rule_order: ClassVar[int] = 1

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"charge_kw": ("power", "out")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        """(n,) each: `arriving_kw`, `charge_max_kw`, and `open_kwh` after the step, by (3)."""
        arriving, leaving = (
            np.maximum(situation.get(f"{self.id}.{name}_kw", 0.0), 0.0) for name in ("arriving", "leaving")
        )
        occupied = np.clip(situation.get(f"{self.id}.occupied_pct", 0.0) / 100.0, 0.0, 1.0)
        charge_max = occupied * self.charge_limit_kw
        charge_max[0] = 0.0
        hours = situation.grid.hours
        waiting = np.cumsum((arriving - leaving) * hours)
        unmet = _unmet_at_full_power((arriving - self.charge_efficiency * charge_max) * hours)
        return {"arriving_kw": arriving, "charge_max_kw": charge_max, "open_kwh": np.maximum(waiting, unmet)}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        for name in ("hours", "arriving_kwh", "charge_max_kw", "open_kwh"):
            block.add_component(name, pyo.Param(steps, mutable=True, initialize=0.25))
        block.terminal_price_per_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.charge_kw = pyo.Var(steps, bounds=lambda b, t: (0, b.charge_max_kw[t]))  # (5)
        block.backlog_kwh = pyo.Var(range(shape.steps + 1), bounds=(0, None))
        missable = range(min(shape.near + 1, shape.steps))
        block.missed_kwh = pyo.Var(missable, bounds=(0, None))

        @block.Constraint()
        def nobody_waits_at_start(b: Any) -> Any:
            return b.backlog_kwh[0] == 0

        @block.Constraint(steps)
        def backlog_balance(b: Any, t: int) -> Any:  # (1)
            charged = self.charge_efficiency * b.hours[t] * b.charge_kw[t]
            return b.backlog_kwh[t + 1] == b.backlog_kwh[t] + b.arriving_kwh[t] - charged

        @block.Constraint(steps)
        def served_before_leaving(b: Any, t: int) -> Any:  # (2)
            return b.backlog_kwh[t + 1] - b.missed_kwh[min(t, shape.near)] <= b.open_kwh[t]

        @block.Constraint(missable[1:])
        def missed_stays_missed(b: Any, t: int) -> Any:  # (2)
            return b.missed_kwh[t] >= b.missed_kwh[t - 1]

        newly = [block.missed_kwh[t] - (block.missed_kwh[t - 1] if t else 0.0) for t in missable]
        missed = [Cost("unserved", self.missed_price_per_kwh * newly[t], t) for t in missable]
        left = Cost("terminal", block.terminal_price_per_kwh * block.backlog_kwh[shape.steps])
        return Ports(
            flows={"charge_kw": block.charge_kw},
            costs=(*missed, left),
            states={"backlog_kwh": block.backlog_kwh},
            slacks=(Slack("energy_at_departure", block.missed_kwh, "kWh"),),
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        hours = situation.grid.hours
        return {
            "hours": hours,
            "arriving_kwh": conditions["arriving_kw"] * hours,
            "charge_max_kw": conditions["charge_max_kw"],
            "open_kwh": conditions["open_kwh"],
            "terminal_price_per_kwh": self._price_left_per_kwh(situation),
        }

    def start(self, situation: Situation) -> PhysicalState:
        return {"backlog_kwh": 0.0}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        charge, backlog = step(
            state["backlog_kwh"], asked.get("charge_kw", 0.0), hours,
            conditions["arriving_kw"], conditions["charge_max_kw"], self.charge_efficiency,
        )  # fmt: skip
        return Response({"charge_kw": charge}, {"backlog_kwh": backlog})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Cars charge as they come."""
        wanted = state["backlog_kwh"] / view.hours + conditions["arriving_kw"]
        return {"charge_kw": min(conditions["charge_max_kw"], wanted / self.charge_efficiency)}

    def cost_of(self, course: Course) -> dict[str, float]:
        backlog = course.states["backlog_kwh"][1:]
        missed = float(np.max(backlog - course.near("open_kwh"), initial=0.0))
        return {
            "unserved": self.missed_price_per_kwh * missed,
            "terminal": self._price_left_per_kwh(course.situation) * float(backlog[-1]),
        }

    def _price_left_per_kwh(self, situation: Situation) -> float:
        """What need left open at the end of the horizon is taken to cost [money/kWh]."""
        return float(np.min(situation.prices.import_per_kwh)) / self.charge_efficiency


def _unmet_at_full_power(surplus_kwh: Array) -> Array:
    """(n,) need left after each step when all is charged as early as it can be; equation (4)."""
    total = np.cumsum(surplus_kwh)
    return np.asarray(total - np.minimum(np.minimum.accumulate(total), 0.0))


def step(
    backlog_kwh: float, charge_kw: float, hours: float, arriving_kw: float, charge_limit_kw: float, efficiency: float
) -> tuple[float, float]:
    """One step: charging power delivered [kW] and need still open after it [kWh]; never more than is needed."""
    waiting = backlog_kwh + arriving_kw * hours
    charge = min(max(charge_kw, 0.0), charge_limit_kw, waiting / (efficiency * hours))
    return charge, max(0.0, waiting - efficiency * charge * hours)
