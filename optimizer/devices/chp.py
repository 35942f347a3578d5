"""CHP: a gas engine that makes power and heat together, and that may not be switched at will.

    on[t] - on[t-1] = starts[t] - stops[t]                                           (1)
    L·on[t] ≤ power[t] ≤ P·on[t]                                                     (2)
    gas[t] = a·on[t] + b·power[t]                                                    (3)
    heat[t] = η_th·gas[t], or ≤ where a cooler is declared                           (4)   (RULES 4, TV-15)
    Σ starts[i] ≤ on[t]        over the steps i ≤ t begun less than min_up ago       (5)
    Σ stops[i]  ≤ 1 - on[t]    over the steps i ≤ t begun less than min_down ago     (6)
    power[t] - power[t-1] ≤ R·on[t-1] + J·starts[t]                                  (7)
    power[t-1] - power[t] ≤ R·on[t] + J·stops[t]                                     (8)
    start cost = c·Σ starts[t]                                                       (9)

(3) goes through fuel L/η_L at least load L and P/η_P at full load P. (5) and (6) are the turn-on and turn-off
inequalities of Rajan and Takriti (2005, "Minimum up/down polytopes of the unit commitment problem with start-up costs",
IBM Research Report RC23628): with (1) they describe the feasible switchings exactly. What was begun before the first
step binds `on` by its bounds while it stands, and by a price while it runs: an engine whose heat finds no place is
stopped early, which is reported,

    early[t] ≥ (min_up left at t)·stops[t],  dropped[t] ≤ (P - J)·stops[t]           (10)

with `early` the hours of the minimum run time given up, and `dropped` the power from which it is stopped faster than
its ramp, added to the right side of (8). R is the ramp over one step; J = max(L, R) is the largest power in the first
step of a run and in the last one; where no ramp is given, (7) and (8) say no more than (2) and are left out.

`on` is whole in the first steps; there (5) and (6) hold. Later steps are relaxed: `on` is the share of the step in
which the machine runs, (1) to (4) and (9) hold in the mean, (7) and (8) up to the coarse tail, (5) and (6) no more.
Power and hours on and off are no variables: they follow from the flows, and the planner reads them off the physical
step, so that a plan names them and the verifier checks them as it does any state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyomo.environ as pyo
from pydantic import Field, model_validator

from optimizer.devices.base import (
    ON_OFF_EXACT_STEPS,
    Asked,
    Breach,
    Carrier,
    Cost,
    Course,
    Device,
    Direction,
    Efficiency,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Slack,
    whole_steps,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

EARLY_STOP_PRICE = 100.0
"""Price of stopping early, per kW of full power and hour of the minimum run time given up, and per kW dropped faster
than the ramp [money]: far above any tariff, below what a kWh of demand not served is priced at."""
ROUNDING_HOURS = 1e-6
"""Hours on or off within this of the minimum count as the minimum: sums of steps are not exact."""


class Chp(Device):
    """A gas engine with a generator and heat recovery."""

    kind: Literal["chp"] = "chp"
    power_limit_kw: Positive
    """Electric power at full load [kW]."""
    min_load: float = Field(default=0.5, gt=0, lt=1)
    """Least steady power as a share of full load [-]."""
    electric_efficiency: Efficiency = 0.40
    """Power per gas at full load, by the lower heating value [-]."""
    electric_efficiency_at_min_load: Efficiency = 0.36
    """The same at least load [-]."""
    thermal_efficiency: Efficiency = 0.42
    """Usable heat per gas, by the lower heating value [-]."""
    heat_dump: bool = False
    """Whether a cooler takes heat that nobody uses; without one all heat has to be used or stored."""
    min_up_hours: NotNegative = 2.0
    """Least time from a start to the next stop [h]."""
    min_down_hours: NotNegative = 1.0
    """Least time from a stop to the next start [h]."""
    start_cost: NotNegative = 200.0
    """Cost of a start [money]."""
    ramp_kw_per_min: Positive | None = None
    """Largest change of power while running [kW/min]; free when absent."""

    rule_order: ClassVar[int] = 3
    rule_rank: ClassVar[int] = 1
    main_quantity: ClassVar[str | None] = "power_kw"

    @model_validator(mode="after")
    def _gives_less_than_it_burns(self) -> Self:
        best = max(self.electric_efficiency, self.electric_efficiency_at_min_load)
        if best + self.thermal_efficiency > 1:
            raise ValueError("electric and thermal efficiency together must not be above 1")
        if self.gas_per_power <= 0:
            raise ValueError("full load must burn more gas than least load: check the two electric efficiencies")
        return self

    @property
    def least_kw(self) -> float:
        """Least steady power [kW]."""
        return self.min_load * self.power_limit_kw

    @property
    def gas_per_power(self) -> float:
        """b in (3) [-]."""
        at_full = self.power_limit_kw / self.electric_efficiency
        at_least = self.least_kw / self.electric_efficiency_at_min_load
        return (at_full - at_least) / (self.power_limit_kw - self.least_kw)

    @property
    def gas_while_on_kw(self) -> float:
        """a in (3) [kW]."""
        return self.power_limit_kw * (1.0 / self.electric_efficiency - self.gas_per_power)

    def ramp_kw(self, hours: float) -> float:
        """Largest change of power within a step of this length [kW]."""
        if self.ramp_kw_per_min is None:
            return self.power_limit_kw
        return min(self.power_limit_kw, self.ramp_kw_per_min * 60.0 * hours)

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"gas_kw": ("gas", "out"), "power_kw": ("power", "in"), "heat_kw": ("heat", "in")}

    def generated(self) -> frozenset[str]:
        return frozenset({"power_kw"})

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {"whole": whole_steps(situation)}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.steps)
        self._add_flows(block, steps)
        self._add_switching(block, steps, _pairs(shape))
        if self.ramp_kw_per_min is not None:
            self._add_ramps(block, range(shape.near))
        slacks = self._add_early_stops(block, range(shape.near))
        started = [Cost("start", self.start_cost * block.starts[t], t) for t in steps]  # (9)
        early = EARLY_STOP_PRICE * self.power_limit_kw
        stopped = [Cost("limits", early * block.early_hours[t], t) for t in range(shape.near)]
        if self.ramp_kw_per_min is not None:
            stopped += [Cost("limits", EARLY_STOP_PRICE * block.dropped_kw[t], t) for t in range(shape.near)]
        return Ports(
            flows={"gas_kw": block.gas_kw, "power_kw": block.power_kw, "heat_kw": block.heat_kw},
            costs=(*started, *stopped),
            decisions=(block.on,),
            slacks=slacks,
        )

    def _add_flows(self, block: Any, steps: range) -> None:
        block.most_on = pyo.Param(steps, mutable=True, initialize=1.0)
        block.on = pyo.Var(steps, bounds=lambda b, t: (0, b.most_on[t]))
        block.power_kw = pyo.Var(steps, bounds=(0, self.power_limit_kw))
        block.gas_kw = pyo.Var(steps, bounds=(0, None))
        block.heat_kw = pyo.Var(steps, bounds=(0, None))

        @block.Constraint(steps)
        def power_at_least_minimum_while_on(b: Any, t: int) -> Any:  # (2)
            return b.power_kw[t] >= self.least_kw * b.on[t]

        @block.Constraint(steps)
        def power_only_while_on(b: Any, t: int) -> Any:  # (2)
            return b.power_kw[t] <= self.power_limit_kw * b.on[t]

        @block.Constraint(steps)
        def gas_for_power(b: Any, t: int) -> Any:  # (3)
            return b.gas_kw[t] == self.gas_while_on_kw * b.on[t] + self.gas_per_power * b.power_kw[t]

        @block.Constraint(steps)
        def heat_from_gas(b: Any, t: int) -> Any:  # (4)
            unused = self.thermal_efficiency * b.gas_kw[t] - b.heat_kw[t]
            return unused >= 0 if self.heat_dump else unused == 0

    def _add_switching(self, block: Any, steps: range, pairs: list[tuple[int, int]]) -> None:
        whole = range(1 + max(t for t, _ in pairs))
        block.was_on = pyo.Param(mutable=True, initialize=0.0)
        block.must_stay_on = pyo.Param(pairs, mutable=True, initialize=1.0)
        block.must_stay_off = pyo.Param(pairs, mutable=True, initialize=1.0)
        block.starts = pyo.Var(steps, bounds=(0, 1))
        block.stops = pyo.Var(steps, bounds=(0, 1))

        @block.Constraint(steps)
        def starts_and_stops_change_on(b: Any, t: int) -> Any:  # (1)
            return b.on[t] - (b.on[t - 1] if t else b.was_on) == b.starts[t] - b.stops[t]

        @block.Constraint(whole)
        def on_for_its_minimum_up_time(b: Any, t: int) -> Any:  # (5)
            return sum(b.must_stay_on[t, i] * b.starts[i] for i in range(t + 1)) <= b.on[t]

        @block.Constraint(whole)
        def off_for_its_minimum_down_time(b: Any, t: int) -> Any:  # (6)
            return sum(b.must_stay_off[t, i] * b.stops[i] for i in range(t + 1)) + b.on[t] <= 1

    def _add_ramps(self, block: Any, near: range) -> None:
        block.ramp_kw = pyo.Param(mutable=True, initialize=self.power_limit_kw)
        block.jump_kw = pyo.Param(mutable=True, initialize=self.power_limit_kw)
        block.power_before_kw = pyo.Param(mutable=True, initialize=0.0)
        block.power_within_reach_kw = pyo.Param(mutable=True, initialize=self.power_limit_kw)

        @block.Constraint(near)
        def rises_within_ramp(b: Any, t: int) -> Any:  # (7)
            if t == 0:
                return b.power_kw[0] - b.jump_kw * b.starts[0] <= b.power_within_reach_kw
            return b.power_kw[t] - b.power_kw[t - 1] <= b.ramp_kw * b.on[t - 1] + b.jump_kw * b.starts[t]

        block.dropped_kw = pyo.Var(near, bounds=(0, self.power_limit_kw))

        @block.Constraint(near)
        def falls_within_ramp(b: Any, t: int) -> Any:  # (8)
            before = b.power_kw[t - 1] if t else b.power_before_kw
            return b.power_kw[t] + b.ramp_kw * b.on[t] + b.jump_kw * b.stops[t] + b.dropped_kw[t] >= before

    def _add_early_stops(self, block: Any, near: range) -> tuple[Slack, ...]:
        block.left_hours = pyo.Param(near, mutable=True, initialize=0.0)
        block.early_hours = pyo.Var(near, bounds=(0, None))

        @block.Constraint(near)
        def stopped_early(b: Any, t: int) -> Any:  # (10)
            return b.early_hours[t] >= b.left_hours[t] * b.stops[t]

        early = Slack("min_up_time", block.early_hours, "h")
        if self.ramp_kw_per_min is None:
            return (early,)

        @block.Constraint(near)
        def dropped_only_in_a_stop(b: Any, t: int) -> Any:  # (10)
            return b.dropped_kw[t] <= (self.power_limit_kw - b.jump_kw) * b.stops[t]

        return (early, Slack("ramp", block.dropped_kw, "kW"))

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        grid, state = situation.grid, self.start(situation)
        was_on = state["on_hours"] > 0
        passed = np.concatenate([[0.0], np.cumsum(grid.hours)[:-1]]) + ROUNDING_HOURS
        held_off = (not was_on) & (state["off_hours"] + passed < self.min_down_hours)
        steps_since = np.array([t - i for t, i in _pairs(grid.shape)])  # 0: a start keeps its own step on, as (5) says
        since = np.where(steps_since > 0, steps_since * grid.step_hours + ROUNDING_HOURS, -1.0)
        return {
            **self._ramp_inputs(state, grid.step_hours),
            "left_hours": self._left_hours(situation),
            "most_on": np.where(held_off, 0.0, 1.0),
            "was_on": float(was_on),
            "must_stay_on": (since < self.min_up_hours).astype(float),
            "must_stay_off": (since < self.min_down_hours).astype(float),
        }

    def _left_hours(self, situation: Situation) -> Array:
        """(near,) hours of the minimum run time that a run of now still has before it at each step."""
        on_hours, grid = self.start(situation)["on_hours"], situation.grid
        left = self.min_up_hours - on_hours - np.arange(grid.near) * grid.step_hours
        return np.where((left > ROUNDING_HOURS) & (on_hours > 0), left, 0.0)

    def _ramp_inputs(self, state: PhysicalState, hours: float) -> dict[str, float]:
        if self.ramp_kw_per_min is None:
            return {}
        ramp = self.ramp_kw(hours)
        return {
            "ramp_kw": ramp,
            "jump_kw": max(self.least_kw, ramp),
            "power_before_kw": state["power_kw"],
            "power_within_reach_kw": state["power_kw"] + ramp * (state["on_hours"] > 0),
        }

    def start(self, situation: Situation) -> PhysicalState:
        """As reported; running is what gives power. Hours that nobody reports are taken as enough to be switched."""
        power = situation.start_of(self.id, "power_kw", 0.0)
        enough = max(self.min_up_hours, situation.grid.step_hours)
        on = situation.start_of(self.id, "on_hours", enough if power >= 0.5 * self.least_kw else 0.0)
        if on <= 0:
            off = situation.start_of(self.id, "off_hours", self.min_down_hours)
            return {"power_kw": 0.0, "on_hours": 0.0, "off_hours": max(0.0, off)}
        return {"power_kw": min(max(power, self.least_kw), self.power_limit_kw), "on_hours": on, "off_hours": 0.0}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        wanted = asked.get("power_kw", 0.0)
        steady_gas = self.gas_while_on_kw + self.gas_per_power * wanted
        power, gas, heat, on_hours, off_hours = step(
            wanted, asked.get("gas_kw", steady_gas), asked.get("heat_kw", float("inf")), conditions["whole"], hours,
            state["power_kw"], state["on_hours"], state["off_hours"],
            self.least_kw, self.power_limit_kw, self.gas_while_on_kw, self.gas_per_power, self.thermal_efficiency,
            self.heat_dump, self.min_down_hours, self.ramp_kw(hours),
        )  # fmt: skip
        return Response(
            {"gas_kw": gas, "power_kw": power, "heat_kw": heat},
            {"power_kw": power, "on_hours": on_hours, "off_hours": off_hours},
        )

    def breaches(
        self, flows: Asked, before: PhysicalState, after: PhysicalState, conditions: Mapping[str, float], hours: float
    ) -> tuple[Breach, ...]:
        if conditions["whole"] < 0.5 or before["on_hours"] <= 0.0 or after["on_hours"] > 0.0:
            return ()
        left = self.min_up_hours - before["on_hours"]
        beyond = before["power_kw"] - max(self.least_kw, self.ramp_kw(hours))
        found = (Breach("min_up_time", left, "h"), Breach("ramp", beyond, "kW"))
        return tuple(breach for breach in found if breach.amount > ROUNDING_HOURS)

    def _lowest_kw(self, state: PhysicalState, hours: float) -> float:
        """The least power it can go on with without being stopped early; 0 when it may stand still."""
        if state["on_hours"] <= 0.0:
            return 0.0
        ramp = self.ramp_kw(hours)
        may_stop = state["power_kw"] <= max(self.least_kw, ramp) + 1e-6
        if may_stop and state["on_hours"] + ROUNDING_HOURS >= self.min_up_hours:
            return 0.0
        return max(self.least_kw, state["power_kw"] - ramp)

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Follows the heat that is needed, as far as its power can go somewhere; never runs for power alone.

        Runs out its minimum run time, unless what it then makes has no place to go.
        """
        heat = max(0.0, view.deficit_kw.get("heat", 0.0))
        power = (heat / self.thermal_efficiency - self.gas_while_on_kw) / self.gas_per_power
        if not view.export_allowed:
            power = min(power, view.deficit_kw.get("power", 0.0))
        lowest = self._lowest_kw(state, view.hours)
        surplus_heat = self._steady_flows(lowest)["heat_kw"] - heat if not self.heat_dump else 0.0
        surplus_power = 0.0 if view.export_allowed else lowest - view.deficit_kw.get("power", 0.0)
        if lowest > 0.0 and max(surplus_heat, surplus_power) <= 1e-6:
            power = max(power, lowest)
        wanted = {"power_kw": power if power >= self.least_kw else 0.0, "heat_kw": heat}
        return self.step(wanted, state, {**conditions, "whole": 1.0}, view.hours).flows

    def cost_of(self, course: Course) -> dict[str, float]:
        state, flows = self.start(course.situation), course.flows
        power = np.concatenate([[state["power_kw"]], flows["power_kw"]])
        on = np.concatenate([[float(state["on_hours"] > 0)], self._on(flows["power_kw"], flows["gas_kw"])])
        starts, stops = np.maximum(np.diff(on), 0.0), np.maximum(-np.diff(on), 0.0)
        early = self.power_limit_kw * float((self._left_hours(course.situation) * stops).sum())
        dropped = 0.0
        if self.ramp_kw_per_min is not None:
            ramp = self.ramp_kw(course.hours)
            beyond = -np.diff(power) - ramp * on[1:] - max(self.least_kw, ramp) * stops
            dropped = float(np.maximum(beyond, 0.0).sum())
        return {"start": self.start_cost * float(starts.sum()), "limits": EARLY_STOP_PRICE * (early + dropped)}

    def _on(self, power_kw: Array, gas_kw: Array) -> Array:
        """Share of each step in which the machine runs, read off the gas by (3)."""
        if self.gas_while_on_kw == 0.0:
            return np.minimum(power_kw / self.least_kw, 1.0)
        return (gas_kw - self.gas_per_power * power_kw) / self.gas_while_on_kw

    def why_held(self, state: PhysicalState, asked: Asked, hours: float) -> tuple[str, str] | None:
        run, stood = state["on_hours"], state["off_hours"]
        on = asked.get("power_kw", 0.0) >= 0.5 * self.least_kw
        if on and 0.0 < run < self.min_up_hours - ROUNDING_HOURS:
            return (
                f"保持运行：最短运行时间 {self.min_up_hours:.2f} h，已运行 {run:.2f} h",
                f"kept running by its minimum run time: {run:.2f} of {self.min_up_hours:.2f} h have passed",
            )
        if not on and run <= 0.0 and stood < self.min_down_hours - ROUNDING_HOURS:
            return (
                f"保持停机：最短停机时间 {self.min_down_hours:.2f} h，已停 {stood:.2f} h",
                f"kept off by its minimum standing time: {stood:.2f} of {self.min_down_hours:.2f} h have passed",
            )
        return None

    def if_run(self) -> tuple[tuple[dict[str, float], float], ...]:
        return tuple((self._steady_flows(power), 0.0) for power in (self.least_kw, self.power_limit_kw))

    def _steady_flows(self, power_kw: float) -> dict[str, float]:
        gas = self.gas_while_on_kw + self.gas_per_power * power_kw
        return {"gas_kw": gas, "power_kw": power_kw, "heat_kw": self.thermal_efficiency * gas}

    def producible_kw(self, conditions: Mapping[str, float]) -> dict[Carrier, float]:
        heat = self.thermal_efficiency * self.power_limit_kw / self.electric_efficiency
        return {"power": self.power_limit_kw, "heat": heat}

    def bounds_kw(self) -> tuple[float, float]:
        return (0.0, self.power_limit_kw)


def _pairs(shape: GridShape) -> list[tuple[int, int]]:
    """Each whole step with itself and every whole step before it."""
    return [(t, i) for t in range(min(shape.near, ON_OFF_EXACT_STEPS)) for i in range(t + 1)]


def step(
    power_kw: float, gas_kw: float, heat_kw: float, whole: float, hours: float,
    before_kw: float, on_hours: float, off_hours: float,
    least_kw: float, power_limit_kw: float, gas_while_on_kw: float, gas_per_power: float, thermal_efficiency: float,
    heat_dump: bool, min_down_hours: float, ramp_kw: float,
) -> tuple[float, float, float, float, float]:  # fmt: skip
    """One physical step: power, gas and heat [kW], hours on and off after it.

    A wish below half the least power is a wish to stand still, and is followed at once: minimum run time and ramp are
    not physics then. It stays off below its minimum down time and keeps its ramp while it runs. Where the decision is
    not whole the wishes are means of running and standing: the share of running is read off the gas.
    """
    power = min(max(power_kw, 0.0), power_limit_kw)
    if whole >= 0.5:
        jump = max(least_kw, ramp_kw)
        running = power >= 0.5 * least_kw
        if on_hours > 0.0:
            lowest, highest = max(least_kw, before_kw - ramp_kw), before_kw + ramp_kw
        else:
            running = running and off_hours + ROUNDING_HOURS >= min_down_hours
            lowest, highest = least_kw, jump
        share = 1.0 if running else 0.0
        power = min(max(power, lowest), highest, power_limit_kw) * share
    else:
        most = min(1.0, power / least_kw)
        share = (gas_kw - gas_per_power * power) / gas_while_on_kw if gas_while_on_kw != 0.0 else most
        share = min(max(share, power / power_limit_kw), most)
    gas = gas_while_on_kw * share + gas_per_power * power
    heat = thermal_efficiency * gas
    if heat_dump:
        heat = min(max(heat_kw, 0.0), heat)
    if share >= 0.5:
        return power, gas, heat, max(on_hours, 0.0) + hours, 0.0
    return power, gas, heat, 0.0, max(off_hours, 0.0) + hours
