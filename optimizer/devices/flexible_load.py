"""Flexible load: demand of which a part can be moved in time, and a part be given up for money.

    served[t] + curtailed[t] + cut[t] = demand[t],   curtailed[t] ≤ c·demand[t]          (1)
    used[t] = served[t] + added[t] - put_off[t]                                           (2)
    put_off[t] ≤ s·demand[t],  put_off[t] ≤ served[t],  added[t] ≤ max(0, P - demand[t])  (3)
    x[t+1] = x[t] + (added[t] - put_off[t])·Δt                                            (4)
    E(t - H) - E(t) - outside ≤ x[t] ≤ E(t + H) - E(t) + outside                          (5)

c is `curtailable_share`, s `shiftable_share`, P `power_limit_kw`, H `shift_hours`.

x is the energy used ahead of the demand (> 0) or still owed to it (< 0), E the sum of the shiftable demand up to t.
(5) says that by t at least all is served that was wanted H hours ago, and at most what will be wanted H hours on: no
kWh moves by more than H. Before the first step demand is taken as in it; at the horizon's end x is 0. `outside` is
only for a start outside (5), and no larger than the start's own |x|. `cut` is interruption where that has a price,
else what cannot be served at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Carrier,
    Cost,
    Course,
    Device,
    Direction,
    Fraction,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Slack,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

OUT_OF_WINDOW_PRICE_PER_KWH = 100.0
"""Price of each kWh and step outside the window: far above any tariff, so that the way back comes first."""


class FlexibleLoad(Device):
    """Demand of one carrier that gives way. Needs the series `<id>.demand_kw`: what it would use left alone.

    The site must report `<id>.shifted_kwh`, x of (4), from interval to interval: without it every plan begins with
    nothing owed. The setpoint is relative to the demand: > 0 uses less, < 0 more.
    """

    kind: Literal["flexible_load"] = "flexible_load"
    carrier: Carrier = "power"
    """Carrier that is used."""
    power_limit_kw: Positive
    """Largest power it can use [kW]; demand above it is served all the same."""
    shift_hours: NotNegative = 0.0
    """How far energy can be moved, earlier or later [h]."""
    shiftable_share: Fraction = 1.0
    """Part of the demand that can be moved [-]."""
    curtailable_share: Fraction = 0.0
    """Part of the demand that can be given up for the curtailment price [-]."""
    curtailment_price_per_kwh: NotNegative = 2.0
    """Price of a kWh given up within the curtailable share [money/kWh]."""
    interruption_price_per_kwh: Positive | None = None
    """Price of a kWh of the rest given up [money/kWh]; absent: the load cannot be interrupted."""
    unserved_price_per_kwh: Positive = 1000.0
    """Price of a kWh that cannot be served although it may not be interrupted [money/kWh]."""

    rule_order: ClassVar[int] = 0
    main_quantity: ClassVar[str | None] = "put_off_kw"
    counter_quantity: ClassVar[str | None] = "added_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {
            "served_kw": (self.carrier, "out"),
            "added_kw": (self.carrier, "out"),
            "put_off_kw": (self.carrier, "in"),
        }

    def required_series(self) -> tuple[str, ...]:
        return (f"{self.id}.demand_kw",)

    def conditions(self, situation: Situation) -> dict[str, Array]:
        """(n,) each: `demand_kw`, limits of (3), and the window of (5) at the end of the step."""
        demand = np.maximum(situation.need(f"{self.id}.demand_kw"), 0.0)
        shiftable = self.shiftable_share * demand
        owed, ahead = _window(shiftable, situation.grid.hours, self.shift_hours)
        room = np.maximum(self.power_limit_kw - demand, 0.0)
        return {
            "demand_kw": demand,
            "put_off_max_kw": shiftable,
            "added_max_kw": room,
            "owed_kwh": owed,
            "ahead_kwh": ahead,
        }

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        names = ("hours", "demand_kw", "curtailed_max_kw", "put_off_max_kw", "added_max_kw", "owed_kwh", "ahead_kwh")
        for name in names:
            block.add_component(name, pyo.Param(steps, mutable=True, initialize=0.25))
        block.start_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.outside_limit_kwh = pyo.Param(mutable=True, initialize=0.0)
        block.served_kw = pyo.Var(steps, bounds=(0, None))
        block.curtailed_kw = pyo.Var(steps, bounds=lambda b, t: (0, b.curtailed_max_kw[t]))
        block.cut_kw = pyo.Var(steps, bounds=(0, None))
        block.added_kw = pyo.Var(steps, bounds=lambda b, t: (0, b.added_max_kw[t]))  # (3)
        block.put_off_kw = pyo.Var(steps, bounds=lambda b, t: (0, b.put_off_max_kw[t]))  # (3)
        block.shifted_kwh = pyo.Var(range(shape.steps + 1))
        block.outside_kwh = pyo.Var(steps, bounds=(0, block.outside_limit_kwh))

        @block.Constraint(steps)
        def demand_is_served_or_given_up(b: Any, t: int) -> Any:  # (1)
            return b.served_kw[t] + b.curtailed_kw[t] + b.cut_kw[t] == b.demand_kw[t]

        @block.Constraint(steps)
        def put_off_only_what_is_served(b: Any, t: int) -> Any:  # (3)
            return b.put_off_kw[t] <= b.served_kw[t]

        @block.Constraint()
        def shifted_at_start(b: Any) -> Any:
            return b.shifted_kwh[0] == b.start_kwh

        @block.Constraint(steps)
        def shift_balance(b: Any, t: int) -> Any:  # (4)
            return b.shifted_kwh[t + 1] == b.shifted_kwh[t] + b.hours[t] * (b.added_kw[t] - b.put_off_kw[t])

        @block.Constraint(steps)
        def not_later_than_the_window(b: Any, t: int) -> Any:  # (5)
            return b.shifted_kwh[t + 1] + b.outside_kwh[t] >= -b.owed_kwh[t]

        @block.Constraint(steps)
        def not_earlier_than_the_window(b: Any, t: int) -> Any:  # (5)
            return b.shifted_kwh[t + 1] - b.outside_kwh[t] <= b.ahead_kwh[t]

        slacks = [Slack("shift_window", block.outside_kwh, "kWh")]
        if self.interruption_price_per_kwh is None:
            slacks.append(Slack("demand", block.cut_kw, "kW"))
        return Ports(
            flows={"served_kw": block.served_kw, "added_kw": block.added_kw, "put_off_kw": block.put_off_kw},
            costs=tuple(cost for t in steps for cost in self._costs(block, t)),
            states={"shifted_kwh": block.shifted_kwh},
            slacks=tuple(slacks),
            stored_value=block.shift_balance,
        )

    def _costs(self, block: Any, t: int) -> tuple[Cost, ...]:
        return (
            Cost("curtailment", self.curtailment_price_per_kwh * block.hours[t] * block.curtailed_kw[t], t),
            Cost(self._cut_term, self._cut_price_per_kwh * block.hours[t] * block.cut_kw[t], t),
            Cost("limits", OUT_OF_WINDOW_PRICE_PER_KWH * block.outside_kwh[t], t),
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        start = self.start(situation)["shifted_kwh"]
        return {
            **conditions,
            "hours": situation.grid.hours,
            "curtailed_max_kw": self.curtailable_share * conditions["demand_kw"],
            "start_kwh": start,
            "outside_limit_kwh": abs(start),
        }

    def start(self, situation: Situation) -> PhysicalState:
        return {"shifted_kwh": situation.start_of(self.id, "shifted_kwh", 0.0)}

    def window(self, state: PhysicalState, conditions: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
        outside = abs(state["shifted_kwh"])
        return {"shifted_kwh": (-conditions["owed_kwh"] - outside, conditions["ahead_kwh"] + outside)}  # (5)

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        served, added, put_off, shifted = step(
            state["shifted_kwh"], asked.get("served_kw", 0.0), asked.get("added_kw", 0.0), asked.get("put_off_kw", 0.0),
            hours, conditions["demand_kw"], conditions["added_max_kw"], conditions["put_off_max_kw"],
            conditions["owed_kwh"], conditions["ahead_kwh"],
        )  # fmt: skip
        return Response({"served_kw": served, "added_kw": added, "put_off_kw": put_off}, {"shifted_kwh": shifted})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Runs as it would left alone, and gives back in time what was moved before."""
        overdue = max(0.0, -conditions["owed_kwh"] - state["shifted_kwh"]) / view.hours
        too_early = max(0.0, state["shifted_kwh"] - conditions["ahead_kwh"]) / view.hours
        return {
            "served_kw": conditions["demand_kw"],
            "added_kw": min(overdue, conditions["added_max_kw"]),
            "put_off_kw": min(too_early, conditions["put_off_max_kw"]),
        }

    def cost_of(self, course: Course) -> dict[str, float]:
        demand, shifted = course.near("demand_kw"), course.states["shifted_kwh"][1:]
        given_up = demand - course.flows["served_kw"]
        share = self.curtailable_share if self.curtailment_price_per_kwh <= self._cut_price_per_kwh else 0.0
        curtailed = np.minimum(given_up, share * demand)
        outside = np.maximum(-course.near("owed_kwh") - shifted, shifted - course.near("ahead_kwh"))
        curtailment = self.curtailment_price_per_kwh * float(curtailed.sum()) * course.hours
        cut = self._cut_price_per_kwh * float((given_up - curtailed).sum()) * course.hours
        costs = {"curtailment": curtailment, "limits": OUT_OF_WINDOW_PRICE_PER_KWH * float(outside.clip(0.0).sum())}
        costs[self._cut_term] = costs.get(self._cut_term, 0.0) + cut
        return costs

    @property
    def _cut_term(self) -> str:
        return "unserved" if self.interruption_price_per_kwh is None else "curtailment"

    @property
    def _cut_price_per_kwh(self) -> float:
        return self.interruption_price_per_kwh or self.unserved_price_per_kwh

    def setpoint_kw(self, flows: Asked, conditions: Mapping[str, float]) -> float | None:
        """Power used less than the demand, moved or given up."""
        given_up = conditions["demand_kw"] - flows.get("served_kw", 0.0)
        return given_up + flows.get("put_off_kw", 0.0) - flows.get("added_kw", 0.0)

    def bounds_kw(self) -> tuple[float, float]:
        return (-self.power_limit_kw, self.power_limit_kw)


def _window(shiftable_kw: Array, hours: Array, shift_hours: float) -> tuple[Array, Array]:
    """(n,) each: energy that may be owed and that may be used ahead at the end of each step [kWh]; equation (5)."""
    at = np.concatenate([[0.0], np.cumsum(hours)])
    wanted = np.concatenate([[0.0], np.cumsum(shiftable_kw * hours)])
    edges, total = np.append(-shift_hours, at), np.append(-shift_hours * shiftable_kw[0], wanted)
    owed = wanted[1:] - np.interp(at[1:] - shift_hours, edges, total)
    ahead = np.interp(at[1:] + shift_hours, at, wanted) - wanted[1:]
    return np.where(at[1:] < at[-1], owed, 0.0), ahead


def step(
    shifted_kwh: float, served_kw: float, added_kw: float, put_off_kw: float, hours: float,
    demand_kw: float, added_max_kw: float, put_off_max_kw: float, owed_kwh: float, ahead_kwh: float,
) -> tuple[float, float, float, float]:  # fmt: skip
    """One physical step: served, added, put off [kW], energy used ahead of the demand after it [kWh].

    Nothing is moved further out of the window than it was.
    """
    served = min(max(served_kw, 0.0), demand_kw)
    added = min(max(added_kw, 0.0), added_max_kw)
    put_off = min(max(put_off_kw, 0.0), put_off_max_kw, served)
    shifted = shifted_kwh + (added - put_off) * hours
    too_early = max(0.0, shifted - max(ahead_kwh, shifted_kwh))
    too_late = max(0.0, min(-owed_kwh, shifted_kwh) - shifted)
    added, put_off = max(0.0, added - too_early / hours), max(0.0, put_off - too_late / hours)
    return served, added, put_off, shifted_kwh + (added - put_off) * hours
