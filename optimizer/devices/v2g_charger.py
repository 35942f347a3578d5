"""EV charger, one- or two-way: the energy of the car that stands there.

    e[t+1] = stay[t]·e[t] + arrive[t] + (η_c·charge[t] - discharge[t]/η_d)·Δt     (1)
    floor[t] ≤ e[t+1] ≤ full[t]                                                    (2)
    e[t+1] ≥ target[t] - missed[t]  at departure, and already the margin before it    (3)
    charge[t] = 0 or discharge[t] = 0                                              (4)

`stay` is 0 where another car (or none) stands from step t on and `arrive` is what that car brings. A step in which the
car is there for a part has its power limits scaled by that part. A car whose content is not known counts from 0 to what
it needs and is never discharged. A car is never discharged below its floor, nor below what it arrived with if that is
less. (4) is not a row: it is checked in the answer and enforced where it is broken. Only near steps are modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import (
    Asked,
    Breach,
    Carrier,
    Cost,
    Device,
    Direction,
    Efficiency,
    Fraction,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Slack,
)
from optimizer.situation import Session, Situation
from optimizer.time_grid import Array, GridShape, TimeGrid


class V2gCharger(Device):
    """One charging point; with `discharge_limit_kw` above 0 it can feed a car's energy back (V2G)."""

    kind: Literal["v2g_charger"] = "v2g_charger"
    charge_limit_kw: Positive
    """Largest charging power at the AC terminal [kW]."""
    discharge_limit_kw: NotNegative = 0.0
    """Largest power fed back at the AC terminal [kW]; 0 is a one-way charger."""
    charge_efficiency: Efficiency = 0.95
    """Energy in the car per energy taken at the AC terminal [-]."""
    discharge_efficiency: Efficiency = 0.95
    """Energy at the AC terminal per energy taken from the car [-]."""
    v2g_floor_soc: Fraction = 0.4
    """State of charge below which a car is not discharged [-]."""
    wear_cost_per_kwh: NotNegative = 0.35
    """Paid to the driver per kWh fed back [money/kWh] (RULES 2: replacement cost over full cycles)."""
    missed_price_per_kwh: Positive = 500.0
    """Price of a kWh missing at departure [money/kWh]; above the demand price spread over a quarter hour."""
    departure_margin_minutes: NotNegative = 10.0
    """Cars are planned to be ready this long before they leave: for delays and the slow end of charging [min]."""

    rule_order: ClassVar[int] = 1
    main_quantity: ClassVar[str | None] = "discharge_kw"

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"charge_kw": ("power", "out"), "discharge_kw": ("power", "in")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        """(near,) each: `share` of the step with a car, the terms of (1) to (3), `needed_kwh`, `two_way` (0 or 1)."""
        near = situation.grid.near
        names = ("share", "stay", "arrive_kwh", "full_kwh", "floor_kwh", "target_kwh", "needed_kwh", "two_way")
        given = {name: np.zeros(near) for name in names}
        free_from = 0
        for session in situation.sessions.get(self.id, ()):
            free_from = self._place(given, session, situation, free_from)
        return given

    def _place(self, given: dict[str, Array], session: Session, situation: Situation, free_from: int) -> int:
        """Writes one car into the conditions; the step from which the charger is free again."""
        grid, step = situation.grid, timedelta(minutes=situation.grid.step_minutes)
        first = max((session.arrive - grid.start) // step, free_from, 0)
        end = min(-((grid.start - session.depart) // step), grid.near)
        if end <= first:
            return free_from
        present = session.arrive <= grid.start
        energy = self._energy_at_arrival(session, situation, present)
        stand = slice(first, end)
        given["share"][stand] = _shares(session, grid, first, end)
        given["stay"][stand] = 1.0
        if not (present and first == 0):
            given["stay"][first] = 0.0
            given["arrive_kwh"][first] = energy
        known = self._is_known(session)
        full = session.capacity_kwh if known else session.energy_needed_kwh
        given["full_kwh"][stand] = max(full or 0.0, energy)
        given["floor_kwh"][stand] = min(self.v2g_floor_soc * (session.capacity_kwh or 0.0), energy)
        given["two_way"][stand] = float(known and self.discharge_limit_kw > 0)
        given["needed_kwh"][stand] = self._target(session)
        self._place_targets(given["target_kwh"], session, grid, energy, stand)
        return end

    def _place_targets(self, target_kwh: Array, session: Session, grid: TimeGrid, energy: float, stand: slice) -> None:
        """What the car must hold at departure (or the horizon's end) and, where it can, already the margin before."""
        target, gain_kw = self._target(session), self.charge_limit_kw * self.charge_efficiency
        later = max(0.0, (session.depart - grid.near_end) / timedelta(hours=1))
        target_kwh[stand.stop - 1] = max(0.0, target - gain_kw * later)
        ready = session.depart - timedelta(minutes=self.departure_margin_minutes)
        last = (ready - grid.start) // timedelta(minutes=grid.step_minutes) - 1
        if stand.start <= last < stand.stop - 1:
            hours = (last + 1) * grid.step_hours - max(0.0, (session.arrive - grid.start) / timedelta(hours=1))
            target_kwh[last] = max(0.0, min(target, energy + gain_kw * hours))

    @staticmethod
    def _is_known(session: Session) -> bool:
        return session.capacity_kwh is not None and session.energy_on_arrival_kwh is not None

    def _energy_at_arrival(self, session: Session, situation: Situation, present: bool) -> float:
        brought = (session.energy_on_arrival_kwh or 0.0) if self._is_known(session) else 0.0
        return max(0.0, situation.start_of(self.id, "energy_kwh", brought)) if present else brought

    def _target(self, session: Session) -> float:
        if not self._is_known(session):
            return session.energy_needed_kwh
        return min((session.energy_on_arrival_kwh or 0.0) + session.energy_needed_kwh, session.capacity_kwh or 0.0)

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        steps = range(shape.near)
        block.hours = pyo.Param(mutable=True, initialize=0.25)
        block.stay = pyo.Param(steps, mutable=True, initialize=1.0)
        block.start_kwh = pyo.Param(mutable=True, initialize=0.0)
        for name in ("arrive_kwh", "full_kwh", "floor_kwh", "target_kwh", "charge_max_kw", "discharge_max_kw"):
            block.add_component(name, pyo.Param(steps, mutable=True, initialize=0.0))
        block.charge_kw = pyo.Var(steps, bounds=lambda b, t: (0, b.charge_max_kw[t]))
        block.discharge_kw = pyo.Var(steps, bounds=lambda b, t: (0, b.discharge_max_kw[t]))
        block.energy_kwh = pyo.Var(
            range(shape.near + 1),
            bounds=lambda b, t: (b.floor_kwh[t - 1], b.full_kwh[t - 1]) if t > 0 else (0, None),  # (2)
        )
        block.missed_kwh = pyo.Var(steps, bounds=lambda b, t: (0, b.target_kwh[t]))

        @block.Constraint()
        def energy_at_start(b: Any) -> Any:
            return b.energy_kwh[0] == b.start_kwh

        @block.Constraint(steps)
        def energy_balance(b: Any, t: int) -> Any:  # (1)
            gained = self.charge_efficiency * b.charge_kw[t] - b.discharge_kw[t] / self.discharge_efficiency
            return b.energy_kwh[t + 1] == b.stay[t] * b.energy_kwh[t] + b.arrive_kwh[t] + b.hours * gained

        @block.Constraint(steps)
        def ready_at_departure(b: Any, t: int) -> Any:  # (3)
            return b.energy_kwh[t + 1] + b.missed_kwh[t] >= b.target_kwh[t]

        wear = [Cost("wear", self.wear_cost_per_kwh * block.hours * block.discharge_kw[t], t) for t in steps]
        missed = [Cost("unserved", self.missed_price_per_kwh * block.missed_kwh[t], t) for t in steps]
        return Ports(
            flows={"charge_kw": block.charge_kw, "discharge_kw": block.discharge_kw},
            costs=(*wear, *missed),
            states={"energy_kwh": block.energy_kwh},
            exclusive=((block.charge_kw, block.discharge_kw),),
            slacks=(Slack("energy_at_departure", block.missed_kwh, "kWh"),),
            stored_value=block.energy_balance,
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        share = conditions["share"]
        moved = ("stay", "arrive_kwh", "full_kwh", "floor_kwh", "target_kwh")
        return {
            "hours": situation.grid.step_hours,
            "start_kwh": self.start(situation)["energy_kwh"],
            "charge_max_kw": share * self.charge_limit_kw,
            "discharge_max_kw": share * conditions["two_way"] * self.discharge_limit_kw,
            **{name: conditions[name] for name in moved},
        }

    def start(self, situation: Situation) -> PhysicalState:
        for session in situation.sessions.get(self.id, ()):
            if session.arrive <= situation.grid.start < session.depart:
                return {"energy_kwh": self._energy_at_arrival(session, situation, present=True)}
        return {"energy_kwh": 0.0}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        share = conditions["share"]
        charge, discharge, energy = step(
            state["energy_kwh"] * conditions["stay"] + conditions["arrive_kwh"],
            asked.get("charge_kw", 0.0), asked.get("discharge_kw", 0.0), hours,
            conditions["full_kwh"], conditions["floor_kwh"],
            share * self.charge_limit_kw, share * conditions["two_way"] * self.discharge_limit_kw,
            self.charge_efficiency, self.discharge_efficiency,
        )  # fmt: skip
        return Response({"charge_kw": charge, "discharge_kw": discharge}, {"energy_kwh": energy})

    def breaches(
        self, flows: Asked, before: PhysicalState, after: PhysicalState, conditions: Mapping[str, float], hours: float
    ) -> tuple[Breach, ...]:
        missed = conditions["target_kwh"] - after["energy_kwh"]
        return () if missed <= 0.0 else (Breach("energy_at_departure", missed, "kWh"),)

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Charges at once with full power until the car has what it needs."""
        energy = state["energy_kwh"] * conditions["stay"] + conditions["arrive_kwh"]
        wanted = max(0.0, conditions["needed_kwh"] - energy)
        limit = conditions["share"] * self.charge_limit_kw
        return {"charge_kw": min(limit, wanted / self.charge_efficiency / view.hours), "discharge_kw": 0.0}

    def target_kw(self, flows: Asked) -> float | None:
        return flows.get("discharge_kw", 0.0) - flows.get("charge_kw", 0.0)

    def why_idle(self, conditions: Mapping[str, float]) -> tuple[str, str] | None:
        return None if conditions["share"] > 0 else ("无车", "no car plugged in")

    def setpoint_kw(self, flows: Asked, conditions: Mapping[str, float]) -> float | None:
        """The power while the car is there: a plan's step mean over the part of the step with a car."""
        mean = flows.get("discharge_kw", 0.0) - flows.get("charge_kw", 0.0)
        share = conditions["share"]
        return mean / share if share > 0 else 0.0

    def asked(self, target_kw: float) -> dict[str, float]:
        return {"charge_kw": max(0.0, -target_kw), "discharge_kw": max(0.0, target_kw)}

    def bounds_kw(self) -> tuple[float, float]:
        return (-self.charge_limit_kw, self.discharge_limit_kw)


def _shares(session: Session, grid: TimeGrid, first: int, end: int) -> Array:
    """(end - first,) part of each step in which the car is there."""
    starts = np.arange(first, end) * grid.step_hours
    arrive, depart = ((at - grid.start) / timedelta(hours=1) for at in (session.arrive, session.depart))
    there = np.minimum(depart, starts + grid.step_hours) - np.maximum(arrive, starts)
    return np.asarray(np.clip(there / grid.step_hours, 0.0, 1.0))


def step(
    energy_kwh: float, charge_kw: float, discharge_kw: float, hours: float,
    full_kwh: float, floor_kwh: float, charge_limit_kw: float, discharge_limit_kw: float,
    charge_efficiency: float, discharge_efficiency: float,
) -> tuple[float, float, float]:  # fmt: skip
    """One physical step of the car that stands here: charge and discharge delivered [kW], its energy after [kWh]."""
    charge = min(max(charge_kw, 0.0), charge_limit_kw)
    discharge = min(max(discharge_kw, 0.0), discharge_limit_kw)
    if charge >= discharge:
        discharge = 0.0
        charge = min(charge, max(0.0, full_kwh - energy_kwh) / (charge_efficiency * hours))
    else:
        charge = 0.0
        discharge = min(discharge, max(0.0, energy_kwh - floor_kwh) * discharge_efficiency / hours)
    energy = energy_kwh + (charge_efficiency * charge - discharge / discharge_efficiency) * hours
    return charge, discharge, max(energy, 0.0)
