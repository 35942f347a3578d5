"""EV charger, one- or two-way: the energy of the car that stands there.

    e[t+1] = stay[t]·e[t] + arrive[t] + (η_c·charge[t] - discharge[t]/η_d)·Δt         (1)
    floor[t] ≤ e[t+1] ≤ full[t]                                                        (2)
    e[t+1] ≥ target[t] - missed[t]  at departure, and already the margin before it        (3)
    charge[t] = 0 or discharge[t] = 0                                                  (4)
    charge[t] = 0 or charge[t] ≥ least[t]                                              (5)
    charge[t] ≤ P[t]·(1 - g·(e[t+1] - e_taper)),  g = (1 - end share) / (full - e_taper)    (6)
    e[t+1] ≥ at_once[t] - late[t]                                                      (7)

`stay` is 0 where another car (or none) stands from step t on and `arrive` is what that car brings. A step in which the
car is there for a part has its power limits scaled by that part. A car whose content is not known counts from 0 to what
it needs and is never discharged. A car is never discharged below its floor, nor below what it arrived with if that is
less. (4) and (5) are not rows: they are checked in the answer and enforced where they are broken, (5) in the first
`PART_LOAD_EXACT_STEPS` only. Only near steps are modelled.

(5) A charger signals its car at least 6 A per phase or nothing (IEC 61851-1): a wish below the least power leaves the
car waiting. A car that takes less than that until it is full may be filled: the charger runs at its least power and
the car stops it.

(6) Near full the cells are held at their end voltage and draw less and less (CC-CV). The line counts at the end of the
step, an implicit Euler step of the law in continuous time: coarse steps charge a little later than fine ones, never
sooner, and the car is behind by at most k/(2 + k)·1/g with k = g·η_c·P·Δt (a quarter of a kWh for 7 kW, 60 kWh, 95 %
and five minutes).

(7) A car may leave before its time. What it is to have in any case it gets at once, at full power from its arrival on
(the `minSoc` of evcc and other charge controllers), whatever energy costs; `at_once` is what full power can reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal

import numpy as np
import pyomo.environ as pyo
from pydantic import ValidationInfo, field_validator

from optimizer.devices.base import (
    PART_LOAD_EXACT_STEPS,
    Asked,
    Breach,
    Carrier,
    Cost,
    Course,
    Device,
    Direction,
    Efficiency,
    Fraction,
    Headroom,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
    Semicontinuous,
    Slack,
)
from optimizer.situation import Session, Situation
from optimizer.time_grid import Array, GridShape, TimeGrid

LATE_PRICE_PER_KWH_H = 500.0
"""Price of a kWh that a car is to have at once and does not have, per hour: no price of energy pays for waiting, and a
new demand peak of some 50 per kW for a third of an hour at most."""
UNNOTICED_KW = 1e-5
"""A wish that is short of the least power by less than this is the least power."""


class V2gCharger(Device):
    """One charging point; with `discharge_limit_kw` above 0 it can feed a car's energy back (V2G)."""

    kind: Literal["v2g_charger"] = "v2g_charger"
    charge_limit_kw: Positive
    """Largest charging power at the AC terminal [kW]."""
    discharge_limit_kw: NotNegative = 0.0
    """Largest power fed back at the AC terminal [kW]; 0 is a one-way charger."""
    min_charge_kw: NotNegative = 0.0
    """Least charging power at the AC terminal [kW], below which a car is not charged; 6 A per phase (IEC 61851-1) are
    1.4 on one phase and 4.1 on three."""
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
    taper_from_soc: Fraction = 1.0
    """State of charge from which a car of known content draws less and less [-]; 1 never."""
    taper_end_share: Efficiency = 0.1
    """Share of the largest charging power that such a car still draws just before it is full [-]."""
    at_once_soc: Fraction = 0.0
    """State of charge to which a car is brought at once after its arrival, in case it leaves early [-]; never more than
    it needs. Of a car whose content is not known, the share of its need."""
    departure_margin_minutes: NotNegative = 10.0
    """Cars are planned to be ready this long before they leave: for delays and the slow end of charging [min]."""

    rule_order: ClassVar[int] = 1
    main_quantity: ClassVar[str | None] = "discharge_kw"
    counter_quantity: ClassVar[str | None] = "charge_kw"
    may_leave: ClassVar[bool] = True

    @field_validator("min_charge_kw")
    @classmethod
    def _least_fits(cls, least_kw: float, others: ValidationInfo) -> float:
        limit_kw = others.data.get("charge_limit_kw", math.inf)
        if least_kw > limit_kw:
            raise ValueError(f"must not be above charge_limit_kw = {limit_kw:g}: lower it")
        return least_kw

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        return {"charge_kw": ("power", "out"), "discharge_kw": ("power", "in")}

    def conditions(self, situation: Situation) -> dict[str, Array]:
        """(near,) each: `share` of the step with a car, the terms of (1) to (7), `needed_kwh`, `two_way` (0 or 1)."""
        near = situation.grid.near
        given = {name: np.zeros(near) for name in _CONDITIONS}
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
        self._place_content(given, session, energy, stand)
        reached = self._at_full_power(given, session, grid, energy, stand)
        given["at_once_kwh"][stand] = np.minimum(given["at_once_kwh"][stand], reached)
        self._place_targets(given, session, grid, reached, stand)
        self._place_least(given, energy, grid.step_hours, stand)
        return end

    def _place_content(self, given: dict[str, Array], session: Session, energy: float, stand: slice) -> None:
        """What the car holds at most and at least, what it needs, and from where on it draws less."""
        known, capacity = self._is_known(session), session.capacity_kwh or 0.0
        full = max(capacity if known else session.energy_needed_kwh, energy)
        in_any_case = min(self.at_once_soc * full, self._target(session))
        given["full_kwh"][stand] = full
        given["floor_kwh"][stand] = min(max(self.v2g_floor_soc * capacity, in_any_case), energy)
        given["two_way"][stand] = float(known and self.discharge_limit_kw > 0)
        given["needed_kwh"][stand] = self._target(session)
        given["at_once_kwh"][stand] = in_any_case
        taper_from = self.taper_from_soc * capacity
        if known and self._tapers and taper_from < full:
            given["taper_from_kwh"][stand] = taper_from
            given["taper_per_kwh"][stand] = (1.0 - self.taper_end_share) / (full - taper_from)

    @property
    def _tapers(self) -> bool:
        return self.taper_from_soc < 1.0 and self.taper_end_share < 1.0

    def _at_full_power(
        self, given: Mapping[str, Array], session: Session, grid: TimeGrid, energy: float, stand: slice
    ) -> Array:
        """(steps of the stay,) the car's energy after each of them when it is charged at once and as fast as it can."""
        if self._tapers:
            return self._tapered(given, energy, grid.step_hours, stand)
        arrive, depart = ((at - grid.start) / timedelta(hours=1) for at in (session.arrive, session.depart))
        until = np.minimum(np.arange(stand.start + 1, stand.stop + 1) * grid.step_hours, depart)
        return np.asarray(energy + self.charge_limit_kw * self.charge_efficiency * (until - max(0.0, arrive)))

    def _tapered(self, given: Mapping[str, Array], energy: float, hours: float, stand: slice) -> Array:
        reached = np.empty(stand.stop - stand.start)
        for n, t in enumerate(range(stand.start, stand.stop)):
            charge = self._most_kw(given, t, energy, hours)
            reached[n] = energy = energy + self.charge_efficiency * charge * hours
        return reached

    def _most_kw(self, given: Mapping[str, Array], t: int, energy: float, hours: float) -> float:
        """What a car with this energy can take in step t [kW]."""
        here = {name: float(values[t]) for name, values in given.items()}
        return self._stepped(energy, self.charge_limit_kw, 0.0, hours, here)[0]

    def _place_least(self, given: dict[str, Array], energy: float, hours: float, stand: slice) -> None:
        """Least mean powers (5); less where the car can take no more than that. A car that may be discharged can always
        take more in the end."""
        if self.min_charge_kw == 0.0:
            return
        for t in range(stand.start, min(stand.stop, PART_LOAD_EXACT_STEPS)):
            least = self.min_charge_kw * float(given["share"][t])
            room = math.inf if given["two_way"][t] else self._most_kw(given, t, energy, hours)
            given["least_kw"][t] = min(least, room)

    def _place_targets(
        self, given: dict[str, Array], session: Session, grid: TimeGrid, reached: Array, stand: slice
    ) -> None:
        """What the car must hold at departure (or the horizon's end) and, where it can, already the margin before."""
        target, target_kwh = self._target(session), given["target_kwh"]
        later = max(0.0, (session.depart - grid.near_end) / timedelta(hours=1))
        taper = float(given["taper_from_kwh"][stand.start]), float(given["taper_per_kwh"][stand.start])
        gain_kw = self.charge_limit_kw * self.charge_efficiency
        target_kwh[stand.stop - 1] = max(0.0, _enough_before(target, later, gain_kw, *taper))
        ready = session.depart - timedelta(minutes=self.departure_margin_minutes)
        last = (ready - grid.start) // timedelta(minutes=grid.step_minutes) - 1
        if stand.start <= last < stand.stop - 1:
            target_kwh[last] = max(0.0, min(target, float(reached[last - stand.start])))

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

        late = self._add_at_once(block, steps)
        if self._tapers:
            _add_taper(block, steps)
        least = self._add_least(block, steps)
        wear = [Cost("wear", self.wear_cost_per_kwh * block.hours * block.discharge_kw[t], t) for t in steps]
        missed = [Cost("unserved", self.missed_price_per_kwh * block.missed_kwh[t], t) for t in steps]
        return Ports(
            flows={"charge_kw": block.charge_kw, "discharge_kw": block.discharge_kw},
            costs=(*wear, *missed, *late),
            states={"energy_kwh": block.energy_kwh},
            exclusive=((block.charge_kw, block.discharge_kw),),
            semicontinuous=least,
            slacks=(
                Slack("energy_at_departure", block.missed_kwh, "kWh"),
                *([Slack("energy_at_once", block.late_kwh, "kWh")] if late else []),
            ),
            stored_value=block.energy_balance,
            headroom=self._headroom(block),
        )

    def _headroom(self, block: Any) -> Headroom:
        """What the driver was promised is not held back for others."""
        return Headroom(
            up_kw=lambda t: block.discharge_max_kw[t] - block.discharge_kw[t] + block.charge_kw[t],
            down_kw=lambda t: block.charge_max_kw[t] - block.charge_kw[t] + block.discharge_kw[t],
            above_least_kwh=lambda t: (
                block.energy_kwh[t + 1] - block.floor_kwh[t],
                block.energy_kwh[t + 1] + block.missed_kwh[t] - block.target_kwh[t],
            ),
            below_most_kwh=lambda t: block.full_kwh[t] - block.energy_kwh[t + 1],
            charge_efficiency=self.charge_efficiency,
            discharge_efficiency=self.discharge_efficiency,
        )

    def _add_at_once(self, block: Any, steps: range) -> list[Cost]:
        """(7) where a car is to have something in any case; what being late with it costs."""
        if self.at_once_soc == 0.0:
            return []
        block.at_once_kwh = pyo.Param(steps, mutable=True, initialize=0.0)
        block.late_kwh = pyo.Var(steps, bounds=lambda b, t: (0, b.at_once_kwh[t]))

        @block.Constraint(steps)
        def had_at_once(b: Any, t: int) -> Any:  # (7)
            return b.energy_kwh[t + 1] + b.late_kwh[t] >= b.at_once_kwh[t]

        return [Cost("limits", LATE_PRICE_PER_KWH_H * block.hours * block.late_kwh[t], t) for t in steps]

    def _add_least(self, block: Any, steps: range) -> tuple[Semicontinuous, ...]:
        if self.min_charge_kw == 0.0:
            return ()
        block.least_kw = pyo.Param(steps, mutable=True, initialize=self.min_charge_kw)
        return (Semicontinuous(block.charge_kw, block.least_kw, may_cycle=False, family="least_charging_power"),)  # (5)

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        share = conditions["share"]
        charge_max = share * self.charge_limit_kw
        moved = ["stay", "arrive_kwh", "full_kwh", "floor_kwh", "target_kwh"]
        moved += ["at_once_kwh"] if self.at_once_soc > 0 else []
        moved += ["least_kw"] if self.min_charge_kw > 0 else []
        values: dict[str, Array | float] = {
            "hours": situation.grid.step_hours,
            "start_kwh": self.start(situation)["energy_kwh"],
            "charge_max_kw": charge_max,
            "discharge_max_kw": share * conditions["two_way"] * self.discharge_limit_kw,
            **{name: conditions[name] for name in moved},
        }
        if self._tapers:
            fall = charge_max * conditions["taper_per_kwh"]
            values |= {"fall_kw_per_kwh": fall, "taper_kw": charge_max + fall * conditions["taper_from_kwh"]}
        return values

    def start(self, situation: Situation) -> PhysicalState:
        for session in situation.sessions.get(self.id, ()):
            if session.arrive <= situation.grid.start < session.depart:
                return {"energy_kwh": self._energy_at_arrival(session, situation, present=True)}
        return {"energy_kwh": 0.0}

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        before = state["energy_kwh"] * conditions["stay"] + conditions["arrive_kwh"]
        wish = asked.get("charge_kw", 0.0), asked.get("discharge_kw", 0.0)
        charge, discharge, energy = self._stepped(before, *wish, hours, conditions)
        return Response({"charge_kw": charge, "discharge_kw": discharge}, {"energy_kwh": energy})

    def _stepped(
        self, energy: float, charge_kw: float, discharge_kw: float, hours: float, here: Mapping[str, float]
    ) -> tuple[float, float, float]:
        share = here["share"]
        return step(
            energy, charge_kw, discharge_kw, hours, here["full_kwh"], here["floor_kwh"],
            share * self.charge_limit_kw, share * here["two_way"] * self.discharge_limit_kw,
            here["least_kw"], here["taper_from_kwh"], here["taper_per_kwh"],
            self.charge_efficiency, self.discharge_efficiency,
        )  # fmt: skip

    def breaches(
        self, flows: Asked, before: PhysicalState, after: PhysicalState, conditions: Mapping[str, float], hours: float
    ) -> tuple[Breach, ...]:
        missed = conditions["target_kwh"] - after["energy_kwh"]
        return () if missed <= 0.0 else (Breach("energy_at_departure", missed, "kWh"),)

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Charges at once with full power until the car has what it needs."""
        energy = state["energy_kwh"] * conditions["stay"] + conditions["arrive_kwh"]
        wanted = max(0.0, conditions["needed_kwh"] - energy) / self.charge_efficiency / view.hours
        if wanted == 0.0:
            return {"charge_kw": 0.0, "discharge_kw": 0.0}
        charge, _, _ = self._stepped(energy, max(wanted, conditions["least_kw"]), 0.0, view.hours, conditions)
        return {"charge_kw": charge, "discharge_kw": 0.0}

    def cost_of(self, course: Course) -> dict[str, float]:
        energy = course.states["energy_kwh"][1:]
        missed = np.maximum(course.near("target_kwh") - energy, 0.0)
        costs = {
            "wear": self.wear_cost_per_kwh * course.energy_kwh("discharge_kw"),
            "unserved": self.missed_price_per_kwh * float(missed.sum()),
        }
        if self.at_once_soc > 0.0:
            late = np.maximum(course.near("at_once_kwh") - energy, 0.0)
            costs["limits"] = LATE_PRICE_PER_KWH_H * course.hours * float(late.sum())
        return costs

    def why_idle(self, conditions: Mapping[str, float]) -> tuple[str, str] | None:
        return None if conditions["share"] > 0 else ("无车", "no car plugged in")

    def setpoint_kw(self, flows: Asked, conditions: Mapping[str, float]) -> float | None:
        """The power while the car is there: a plan's step mean over the part of the step with a car.

        A car that is full before the step is over is charged with the least power and stops by itself.
        """
        mean = flows.get("discharge_kw", 0.0) - flows.get("charge_kw", 0.0)
        share = conditions["share"]
        power = mean / share if share > 0 else 0.0
        return -max(-power, self.min_charge_kw) if power < -UNNOTICED_KW else power

    def bounds_kw(self) -> tuple[float, float]:
        return (-self.charge_limit_kw, self.discharge_limit_kw)

    def room_kw(self, situation: Situation, conditions: Mapping[str, Array]) -> tuple[float, float] | None:
        """Power while the car is there; a car that is due must charge, so that its greatest power is below 0."""
        here = {name: float(values[0]) for name, values in conditions.items()}
        hours = situation.grid.step_hours
        if here["share"] <= 0.0:
            return (0.0, 0.0)
        before = self.start(situation)["energy_kwh"] * here["stay"] + here["arrive_kwh"]
        charge = self._stepped(before, self.charge_limit_kw, 0.0, hours, here)[0]
        spare_kwh = before - max(here["floor_kwh"], self._needed_after_first_kwh(conditions, hours))
        if spare_kwh >= 0.0:
            discharge = self._stepped(before, 0.0, spare_kwh * self.discharge_efficiency / hours, hours, here)[1]
            return (-charge / here["share"], discharge / here["share"])
        due = min(max(-spare_kwh / self.charge_efficiency / hours, here["least_kw"]), charge)
        return (-charge / here["share"], -due / here["share"])

    def _needed_after_first_kwh(self, conditions: Mapping[str, Array], hours: float) -> float:
        """Least energy at the end of the first step from which the car is ready in time at full power."""
        target, share, stay = (conditions[name] for name in ("target_kwh", "share", "stay"))
        needed = float(target[-1])
        for t in range(len(target) - 2, -1, -1):
            gain = self.charge_limit_kw * self.charge_efficiency * hours * float(share[t + 1])
            needed = max(float(target[t]), needed - gain if stay[t + 1] > 0 else 0.0)
        return needed


_CONDITIONS = (
    "share", "stay", "arrive_kwh", "full_kwh", "floor_kwh", "target_kwh", "needed_kwh", "two_way",
    "least_kw", "taper_from_kwh", "taper_per_kwh", "at_once_kwh",
)  # fmt: skip


def _shares(session: Session, grid: TimeGrid, first: int, end: int) -> Array:
    """(end - first,) part of each step in which the car is there."""
    starts = np.arange(first, end) * grid.step_hours
    arrive, depart = ((at - grid.start) / timedelta(hours=1) for at in (session.arrive, session.depart))
    there = np.minimum(depart, starts + grid.step_hours) - np.maximum(arrive, starts)
    return np.asarray(np.clip(there / grid.step_hours, 0.0, 1.0))


def _enough_before(target_kwh: float, hours: float, gain_kw: float, taper_from_kwh: float, per_kwh: float) -> float:
    """Energy from which a car at full power has its target after this time, by the law of (6) in continuous time."""
    tapered = target_kwh - taper_from_kwh
    if per_kwh == 0.0 or tapered <= 0.0:
        return target_kwh - gain_kw * hours
    left = 1.0 - per_kwh * tapered
    tapered_hours = -math.log(left) / (per_kwh * gain_kw)
    if hours >= tapered_hours:
        return taper_from_kwh - gain_kw * (hours - tapered_hours)
    return taper_from_kwh + (1.0 - left * math.exp(per_kwh * gain_kw * hours)) / per_kwh


def _add_taper(block: Any, steps: range) -> None:
    block.fall_kw_per_kwh = pyo.Param(steps, mutable=True, initialize=0.0)
    block.taper_kw = pyo.Param(steps, mutable=True, initialize=0.0)

    @block.Constraint(steps)
    def draws_less_near_full(b: Any, t: int) -> Any:  # (6)
        return b.charge_kw[t] + b.fall_kw_per_kwh[t] * b.energy_kwh[t + 1] <= b.taper_kw[t]


def step(
    energy_kwh: float, charge_kw: float, discharge_kw: float, hours: float,
    full_kwh: float, floor_kwh: float, charge_limit_kw: float, discharge_limit_kw: float,
    least_kw: float, taper_from_kwh: float, taper_per_kwh: float,
    charge_efficiency: float, discharge_efficiency: float,
) -> tuple[float, float, float]:  # fmt: skip
    """One physical step of the car that stands here: charge and discharge delivered [kW], its energy after [kWh].

    (6) solved for the charge; a wish below the least power, or below what the car can take if that is less, is none.
    """
    charge = min(max(charge_kw, 0.0), charge_limit_kw)
    discharge = min(max(discharge_kw, 0.0), discharge_limit_kw)
    if charge >= discharge:
        discharge = 0.0
        gain = charge_efficiency * hours
        tapered = charge_limit_kw * (1.0 - taper_per_kwh * (energy_kwh - taper_from_kwh))
        can_take = min(max(0.0, full_kwh - energy_kwh) / gain, tapered / (1.0 + charge_limit_kw * taper_per_kwh * gain))
        charge = min(charge, can_take) if charge >= min(least_kw, can_take) - UNNOTICED_KW else 0.0
    else:
        charge = 0.0
        discharge = min(discharge, max(0.0, energy_kwh - floor_kwh) * discharge_efficiency / hours)
    energy = energy_kwh + (charge_efficiency * charge - discharge / discharge_efficiency) * hours
    return charge, discharge, max(energy, 0.0)
