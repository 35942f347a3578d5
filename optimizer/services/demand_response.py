"""Demand response: less (or more) import than a baseline while the grid calls, paid by the rule of the province.

    Q[u] = G[u] - Σ_t w[u,t]·import[t]                                        (1)
    B[u]·c[u] ≤ Q[u] + below[u]                                               (2)
    c[u] = 0 or below[u] = 0                                                  (3)
    full[u] + beyond[u] ≤ c[u],  full[u] ≤ s_cap                              (4)
    full[u] = 0 or full[u] ≥ s_floor                                          (5)
    s_floor·beyond[u] ≤ c_max[u]·full[u]                                      (5)
    short[u] + c[u] ≥ s_pen                                                   (6)
    lack[u] + c[u] ≥ 1                                                        (7)
    paid    = Σ p·B·H[u]·(full[u] + k_beyond·beyond[u])                       (8)
    penalty = Σ p·B·H[u]·k_pen·short[u]                                       (9)
    commitment broken = Σ c_lack·B·H[u]·lack[u]                               (10)

u is what is measured by itself: an event (commitment `energy`: its mean counts) or a near step (commitment `power`:
every step counts). Q is the response [kW], G the baseline with what was measured before the plan and the part beyond
its near steps, which is taken as delivered to the bid; w are the shares of hours, negative where more import is asked.
c, full, beyond, short and lack are shares of the bid B. A response below 0 counts as none: (3). Below the floor of the
rule nothing is paid, which is not convex: (3) and (5) are no rows, they are checked in the answer and enforced where
they are broken, so that the answer is exact. The rules of the provinces: RULES 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyomo.environ as pyo
from pydantic import BaseModel, ConfigDict, Field, model_validator

from optimizer.devices.base import Cost, Fraction, NotNegative, Semicontinuous
from optimizer.events import DemandResponseEvent, hours_inside, taken_and_left
from optimizer.plan import GivenWay, Plan
from optimizer.services.base import Account, BuiltSite, Devices, Service, ServicePorts, connection_of
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape, TimeGrid

PAID, PENALTY, BROKEN = "demand_response", "demand_response_penalty", "demand_response_shortfall"
"""Names in the cost table."""
OF_UNITS = ("given_kw", "bid_kw", "called", "most_share", "below_limit_kw", "paid_per_share", "lack_per_share")
"""Parameters of what is measured by itself."""
ROUNDING_KW = 5e-7
"""A meter's kW are settled to the millionth: a response this much below the floor rounds up to it."""


class PayRule(BaseModel):
    """How a response is paid; all bounds are shares of the bid."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
    floor: Fraction = 0.0
    """Nothing is paid below this share [-]."""
    cap: Annotated[float, Field(ge=1)] = 1.0
    """Every kW is paid in full up to this share [-]."""
    beyond: Fraction = 0.0
    """Share of the price paid for each kW beyond the cap [-]."""
    penalty_below: Fraction = 0.0
    """What is missing below this share is penalised [-]."""
    penalty_price: NotNegative = 0.0
    """Price of what is missing, as a share of the price [-]."""

    @model_validator(mode="after")
    def _penalty_has_a_price(self) -> Self:
        if self.penalty_below > 0 and self.penalty_price == 0:
            raise ValueError("penalty_below needs a penalty_price: add it, or leave both out")
        return self


PAY_RULES: Mapping[str, PayRule] = {
    "zhejiang": PayRule(floor=0.8, cap=1.2),
    "sichuan": PayRule(cap=1.1, beyond=0.5, penalty_below=0.9, penalty_price=1.1),
    "guangdong": PayRule(penalty_below=0.5, penalty_price=0.5),
}
"""By province (RULES 3). Of Guangdong only the penalty is known: paid up to the bid."""


class DemandResponse(Service):
    """Takes part in demand response; the events come in while the site runs."""

    kind: Literal["demand_response"] = "demand_response"
    rule: Literal["zhejiang", "sichuan", "guangdong"] | PayRule
    """How it is paid: a province, or the figures themselves."""
    commitment: Literal["energy", "power"] = "energy"
    """Whether the mean over the event is measured, or every step by itself."""
    shortfall_price_per_kwh: NotNegative = 0.0
    """Price of a kWh below the bid, beside what the rule takes [money/kWh]: for contracts that must be kept."""
    max_events: Annotated[int, Field(ge=1, le=12)] = 3
    """Events that a plan can hold at a time."""

    @property
    def pay(self) -> PayRule:
        return self.rule if isinstance(self.rule, PayRule) else PAY_RULES[self.rule]

    def add_to(self, block: Any, site: BuiltSite, shape: GridShape) -> ServicePorts:
        pairs = self._pairs(shape.near)
        units = range(self._units(shape.near))
        imported = site.ports[site.connection].flows["import_kw"]
        block.weight = pyo.Param(pairs, mutable=True, initialize=0.0)
        for name in OF_UNITS:
            block.add_component(name, pyo.Param(units, mutable=True, initialize=0.0))
        block.below_kw = pyo.Var(units, bounds=lambda b, u: (0, b.below_limit_kw[u]))
        block.counted = pyo.Var(units, bounds=lambda b, u: (0, b.most_share[u]))
        block.full = pyo.Var(units, bounds=lambda b, u: (0, self.pay.cap * b.called[u]))
        block.beyond = pyo.Var(units, bounds=lambda b, u: (0, b.most_share[u] if self.pay.beyond else 0))

        self._add_response(block, pairs, units, imported)
        paid = [-block.paid_per_share[u] * (block.full[u] + self.pay.beyond * block.beyond[u]) for u in units]  # (8)
        costs = [Cost(PAID, one) for one in paid]
        costs += self._add_penalty(block, units) + self._add_commitment(block, units)
        floor = (Semicontinuous(block.full, self.pay.floor),) if self.pay.floor > 0 else ()
        return ServicePorts(tuple(costs), exclusive=((block.counted, block.below_kw),), semicontinuous=floor)

    def _add_response(self, block: Any, pairs: list[tuple[int, int]], units: range, imported: Any) -> None:
        @block.Constraint(units)
        def counted_is_response(b: Any, u: int) -> Any:  # (1), (2)
            response = b.given_kw[u] - sum(b.weight[v, t] * imported[t] for v, t in _of(pairs, u))
            return b.bid_kw[u] * b.counted[u] - b.below_kw[u] <= response

        @block.Constraint(units)
        def paid_is_counted(b: Any, u: int) -> Any:  # (4)
            return b.full[u] + b.beyond[u] <= b.counted[u]

        if self.pay.floor and self.pay.beyond:

            @block.Constraint(units)
            def nothing_beyond_without_the_floor(b: Any, u: int) -> Any:  # (5)
                return self.pay.floor * b.beyond[u] <= b.most_share[u] * b.full[u]

    def _add_penalty(self, block: Any, units: range) -> list[Cost]:
        if self.pay.penalty_below == 0:
            return []
        block.short = pyo.Var(units, bounds=(0, None))

        @block.Constraint(units)
        def short_of_what_is_asked(b: Any, u: int) -> Any:  # (6)
            return b.short[u] + b.counted[u] >= self.pay.penalty_below * b.called[u]

        return [Cost(PENALTY, self.pay.penalty_price * block.paid_per_share[u] * block.short[u]) for u in units]  # (9)

    def _add_commitment(self, block: Any, units: range) -> list[Cost]:
        if self.shortfall_price_per_kwh == 0:
            return []
        block.lack = pyo.Var(units, bounds=(0, None))

        @block.Constraint(units)
        def bid_is_kept_or_named(b: Any, u: int) -> Any:  # (7)
            return b.lack[u] + b.counted[u] >= b.called[u]

        return [Cost(BROKEN, block.lack_per_share[u] * block.lack[u]) for u in units]  # (10)

    def _units(self, near: int) -> int:
        return self.max_events if self.commitment == "energy" else near

    def _pairs(self, near: int) -> list[tuple[int, int]]:
        """(u, t): which steps are in the response of which unit."""
        if self.commitment == "power":
            return [(t, t) for t in range(near)]
        return [(u, t) for u in range(self.max_events) for t in range(near)]

    def inputs(self, situation: Situation, devices: Devices) -> dict[str, Array | float]:
        near = situation.grid.near
        most_kw = connection_of(devices).bounds_kw()[1]
        measured = self._measured(situation)
        units = self._units(near)
        values = {name: np.zeros(units) for name in OF_UNITS}
        weight = np.zeros((units, near))
        for u, unit in measured.items():
            weight[u] = unit.weight
            values["given_kw"][u] = unit.given_kw
            values["bid_kw"][u] = unit.bid_kw
            values["called"][u] = 1.0
            highest = unit.given_kw - most_kw * float(np.minimum(unit.weight, 0.0).sum())
            values["most_share"][u] = self._most_share(max(0.0, highest) / unit.bid_kw)
            values["below_limit_kw"][u] = max(0.0, most_kw * float(np.maximum(unit.weight, 0.0).sum()) - unit.given_kw)
            values["paid_per_share"][u] = unit.price_per_kwh * unit.bid_kw * unit.hours
            values["lack_per_share"][u] = self.shortfall_price_per_kwh * unit.bid_kw * unit.hours
        return {"weight": np.array([weight[u, t] for u, t in self._pairs(near)]), **values}

    def _most_share(self, reachable: float) -> float:
        """Shares beyond the cap are worth nothing unless the rule pays or asks for them."""
        return reachable if self.pay.beyond else min(reachable, max(self.pay.cap, self.pay.penalty_below))

    def _measured(self, situation: Situation) -> dict[int, _Unit]:
        """What is measured by itself, by its number in the model."""
        taken, _ = self._events(situation)
        if self.commitment == "energy":
            return {u: _of_event(event, situation.grid) for u, event in enumerate(taken)}
        return {t: unit for event in taken for t, unit in _of_steps(event, situation.grid).items()}

    def _events(self, situation: Situation) -> tuple[tuple[DemandResponseEvent, ...], tuple[DemandResponseEvent, ...]]:
        known = [e for e in situation.events if isinstance(e, DemandResponseEvent) and e.service == self.id]
        return taken_and_left([e for e in known if e.bid_kw > 0], situation.grid, self.max_events)

    def account(self, situation: Situation, plan: Plan, devices: Devices) -> Account:
        imported = plan.flow(connection_of(devices).id, "import_kw")
        taken, left = self._events(situation)
        cost = {PAID: 0.0}
        if self.pay.penalty_below > 0:
            cost[PENALTY] = 0.0
        if self.shortfall_price_per_kwh > 0:
            cost[BROKEN] = 0.0
        given_way = [GivenWay(self.id, "event_not_planned", e.bid_kw, "kW", e.start) for e in left]
        for event in taken:
            for response_kw, hours, first in responses(event, imported, situation.grid, self.commitment):
                counted = max(0.0, response_kw)
                paid, penalty = pay_per_hour(self.pay, event.bid_kw, counted, event.price_per_kwh)
                missing = max(0.0, event.bid_kw - counted)
                cost[PAID] -= paid * hours
                if PENALTY in cost:
                    cost[PENALTY] += penalty * hours
                if BROKEN in cost:
                    cost[BROKEN] += self.shortfall_price_per_kwh * missing * hours
                if missing > 1e-3:
                    given_way.append(GivenWay(self.id, f"bid {event.id}", missing, "kW", first))
        return Account(cost, _worst_of_each(given_way))


def pay_per_hour(rule: PayRule, bid_kw: float, response_kw: float, price_per_kwh: float) -> tuple[float, float]:
    """What an hour of a steady response earns and what it is penalised with [money/h]."""
    full_kw = min(response_kw, rule.cap * bid_kw) if response_kw >= rule.floor * bid_kw - ROUNDING_KW else 0.0
    beyond_kw = rule.beyond * max(0.0, response_kw - rule.cap * bid_kw)
    missing_kw = max(0.0, rule.penalty_below * bid_kw - response_kw)
    return (full_kw + beyond_kw) * price_per_kwh, missing_kw * rule.penalty_price * price_per_kwh


def responses(
    event: DemandResponseEvent, imported_kw: Array, grid: TimeGrid, commitment: Literal["energy", "power"]
) -> list[tuple[float, float, Any]]:
    """What is measured of an event under a plan's import: response [kW], hours it counts for, when it begins.

    Of an event that has begun or reaches beyond the near steps, the mean takes what was measured and the bid.
    """
    inside, baseline = hours_inside(event.start, event.end, grid), event.baseline_on(grid)
    by_step = event.sign * (baseline - imported_kw)
    times = grid.near_times
    if commitment == "power":
        return [(float(by_step[t]), float(inside[t]), times[t]) for t in np.flatnonzero(inside > 0)]
    known_kwh = event.responded_kwh + event.bid_kw * _hours_beyond(event, grid)
    mean = (float((inside * by_step).sum()) + known_kwh) / event.hours
    return [(mean, event.hours, max(event.start, grid.start))]


@dataclass(frozen=True)
class _Unit:
    """Something that is measured by itself."""

    weight: Array
    given_kw: float
    bid_kw: float
    hours: float
    price_per_kwh: float


def _of_event(event: DemandResponseEvent, grid: TimeGrid) -> _Unit:
    inside, baseline = hours_inside(event.start, event.end, grid), event.baseline_on(grid)
    known = event.responded_kwh + event.bid_kw * _hours_beyond(event, grid)
    given = (event.sign * float((inside * baseline).sum()) + known) / event.hours
    return _Unit(event.sign * inside / event.hours, given, event.bid_kw, event.hours, event.price_per_kwh)


def _of_steps(event: DemandResponseEvent, grid: TimeGrid) -> dict[int, _Unit]:
    inside, baseline = hours_inside(event.start, event.end, grid), event.baseline_on(grid)
    alone = np.eye(grid.near) * event.sign
    return {
        int(t): _Unit(
            alone[t], event.sign * float(baseline[t]), event.bid_kw, float(inside[t]), event.price_per_kwh
        )
        for t in np.flatnonzero(inside > 0)
    }  # fmt: skip


def _hours_beyond(event: DemandResponseEvent, grid: TimeGrid) -> float:
    return max(0.0, (event.end - max(event.start, grid.near_end)).total_seconds() / 3600.0)


def _of(pairs: list[tuple[int, int]], u: int) -> list[tuple[int, int]]:
    return [pair for pair in pairs if pair[0] == u]


def _worst_of_each(found: list[GivenWay]) -> tuple[GivenWay, ...]:
    """One entry for each limit: its greatest amount, from its first time."""
    worst: dict[str, GivenWay] = {}
    for one in found:
        before = worst.get(one.limit)
        first = one.first if before is None else before.first
        amount = one.amount if before is None else max(one.amount, before.amount)
        worst[one.limit] = GivenWay(one.device, one.limit, amount, one.unit, first)
    return tuple(worst.values())
