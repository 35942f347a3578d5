"""Reserve capacity: power held back in batteries and cars, so that a call of the grid can be answered.

    up[i,t] ≤ P_dis,i - discharge[i,t] + charge[i,t]                                        (1)
    down[i,t] ≤ P_ch,i - charge[i,t] + discharge[i,t]                                       (1)
    Σ_{k<m} up[i,t-k]·Δt/η_i ≤ e_i[t+1] - e_least,i                                         (2)
    Σ_{k<m} down[i,t-k]·Δt/η_i ≤ e_most,i - e_i[t+1]                                        (3)
    Σ_i up[i,t] = held_up[t] ≤ import[t] (+ X - export[t] where stored energy may be exported)   (4)
    Σ_i down[i,t] = held_down[t] ≤ I - import[t] + export[t]                                (5)
    feeders: net of the members + their up ≤ limit, - net + their down ≤ limit              (6)
    held[t] + short[t] ≥ offered[t],  held[t] ≤ offered[t]                                  (7)
    income = Σ p·held[t]·h[t],  cost of what is not held = Σ c_short·short[t]·h[t]          (8)

m are the steps of the longest call. In a call every device adds what it holds in each step; (2) says that its energy
lasts through any m steps in a row, so a call may begin at any step of the window and last m steps, as long as it ends
with the window. Energy of (2) and (3) is counted at the discharge efficiency in both directions: reducing a discharge
saves as much as it would have taken, so this is on the safe side. A car's least energy is its floor and what its driver
was promised. h are the hours of the window inside step t. What a call costs in energy is not in the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import numpy as np
import pyomo.environ as pyo
from pydantic import Field

from optimizer.balance import FeederLimit, devices_behind
from optimizer.devices.base import Cost, Device, DeviceId, Headroom, NotNegative
from optimizer.events import ReserveOffer, hours_inside, taken_and_left
from optimizer.plan import GivenWay, Plan
from optimizer.services.base import (
    Account,
    BuiltSite,
    Devices,
    Service,
    ServicePorts,
    connection_of,
    gave_way,
    not_able,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

INCOME, SHORTFALL = "reserve", "reserve_shortfall"
"""Names in the cost table."""
WAYS: tuple[Literal["up", "down"], ...] = ("up", "down")
DELIVERED_WITHIN_KW = 1e-4
"""A call counts as answered when this little is missing: rounding of the solver over some devices."""


class ReserveCapacity(Service):
    """Holds reserve for the grid; the offers come in while the site runs."""

    kind: Literal["reserve_capacity"] = "reserve_capacity"
    devices: tuple[DeviceId, ...] = Field(min_length=1)
    """Batteries and V2G chargers that hold it."""
    call_steps: Annotated[int, Field(ge=1, le=48)] = 4
    """Longest call, in control intervals."""
    shortfall_price_per_kw_h: NotNegative = 0.0
    """Price of a kW that was offered and is not held, for each hour [money/kW·h]."""
    max_offers: Annotated[int, Field(ge=1, le=24)] = 12
    """Offers that a plan can hold at a time."""

    def add_to(self, block: Any, site: BuiltSite, shape: GridShape) -> ServicePorts:
        near = range(shape.near)
        headrooms = {name: room for name in self.devices if (room := site.ports[name].headroom) is not None}
        costs: list[Cost] = []
        shares: dict[str, dict[str, Any]] = {}
        for way in WAYS:
            shares[way] = self._add_way(block, way, headrooms, near)
            costs += self._add_money(block, way, near)
        _add_grid_limits(block, site, near)
        for feeder in site.feeders:
            _add_feeder_limits(block, site, feeder, headrooms, near)
        return ServicePorts(tuple(costs), held_up_kw=shares["up"], held_down_kw=shares["down"])

    def _add_way(self, block: Any, way: str, headrooms: Mapping[str, Headroom], near: range) -> dict[str, Any]:
        names = list(headrooms)
        block.add_component(f"offered_{way}_kw", pyo.Param(near, mutable=True, initialize=0.0))
        offered = block.component(f"offered_{way}_kw")
        share = pyo.Var(names, near, bounds=(0, None))
        held = pyo.Var(near, bounds=lambda b, t: (0, offered[t]))  # (7)
        block.add_component(f"{way}_kw", share)
        block.add_component(f"held_{way}_kw", held)

        def within_power(b: Any, i: str, t: int) -> Any:  # (1)
            return share[i, t] <= getattr(headrooms[i], f"{way}_kw")(t)

        def within_energy(b: Any, i: str, t: int, limit: int) -> Any:  # (2), (3)
            rooms = _rooms_kwh(headrooms[i], way, t)
            if limit >= len(rooms):
                return pyo.Constraint.Skip
            taken = sum(share[i, t - k] for k in range(self.call_steps) if k <= t)
            return block.step_hours * taken <= rooms[limit] * headrooms[i].discharge_efficiency

        def held_by_devices(b: Any, t: int) -> Any:
            return sum(share[i, t] for i in names) == held[t]

        if way == WAYS[0]:
            block.step_hours = pyo.Param(mutable=True, initialize=0.25)
        block.add_component(f"{way}_within_power", pyo.Constraint(names, near, rule=within_power))
        block.add_component(f"{way}_within_energy", pyo.Constraint(names, near, range(2), rule=within_energy))
        block.add_component(f"{way}_held_by_devices", pyo.Constraint(near, rule=held_by_devices))
        return {i: {t: share[i, t] for t in near} for i in names}

    def _add_money(self, block: Any, way: str, near: range) -> list[Cost]:
        income = pyo.Param(near, mutable=True, initialize=0.0)
        block.add_component(f"income_{way}_per_kw", income)
        held = block.component(f"held_{way}_kw")
        costs = [Cost(INCOME, -income[t] * held[t], t) for t in near]  # (8)
        if self.shortfall_price_per_kw_h > 0:
            offered = block.component(f"offered_{way}_kw")
            missing = pyo.Param(near, mutable=True, initialize=0.0)
            short = pyo.Var(near, bounds=(0, None))
            block.add_component(f"missing_{way}_per_kw", missing)
            block.add_component(f"short_{way}_kw", short)
            row = pyo.Constraint(near, rule=lambda b, t: held[t] + short[t] >= offered[t])  # (7)
            block.add_component(f"{way}_is_held_or_named", row)
            costs += [Cost(SHORTFALL, missing[t] * short[t], t) for t in near]
        return costs

    def inputs(self, situation: Situation, devices: Devices) -> dict[str, Array | float]:
        offered = self._offered(situation)
        values: dict[str, Array | float] = {"step_hours": situation.grid.step_hours}
        for way in WAYS:
            values[f"offered_{way}_kw"] = offered.kw[way]
            values[f"income_{way}_per_kw"] = offered.price_per_kw_h * offered.hours
            if self.shortfall_price_per_kw_h > 0:
                values[f"missing_{way}_per_kw"] = self.shortfall_price_per_kw_h * offered.hours
        return values

    def _offered(self, situation: Situation) -> _Offered:
        grid = situation.grid
        taken, _ = self._offers(situation)
        up, down, hours, price = (np.zeros(grid.near) for _ in range(4))
        for offer in taken:
            inside = hours_inside(offer.start, offer.end, grid)
            up[inside > 0], down[inside > 0], price[inside > 0] = offer.up_kw, offer.down_kw, offer.price_per_kw_h
            hours += inside
        return _Offered({"up": up, "down": down}, hours, price)

    def _offers(self, situation: Situation) -> tuple[tuple[ReserveOffer, ...], tuple[ReserveOffer, ...]]:
        known = [e for e in situation.events if isinstance(e, ReserveOffer) and e.service == self.id]
        return taken_and_left(known, situation.grid, self.max_offers)

    def account(self, situation: Situation, plan: Plan, devices: Devices) -> Account:
        grid, offered = situation.grid, self._offered(situation)
        cost = {INCOME: 0.0}
        if self.shortfall_price_per_kw_h > 0:
            cost[SHORTFALL] = 0.0
        left = [(max(offer.up_kw, offer.down_kw), offer.start) for offer in self._offers(situation)[1]]
        given_way = [GivenWay(self.id, "event_not_planned", kw, "kW", start) for kw, start in left]
        for way in WAYS:
            held = held_kw(plan, self.id, way)
            short = np.maximum(offered.kw[way] - held, 0.0)
            cost[INCOME] -= float((offered.price_per_kw_h * offered.hours * held).sum())
            if SHORTFALL in cost:
                cost[SHORTFALL] += self.shortfall_price_per_kw_h * float((offered.hours * short).sum())
            given_way += gave_way(np.where(short > 1e-3, short, 0.0), grid.near_times, (self.id, f"{way}_kw", "kW"))
        return Account(cost, tuple(given_way))

    def broken_promises(
        self, situation: Situation, plan: Plan, devices: Devices, feeders: Sequence[FeederLimit]
    ) -> list[tuple[str, int, float]]:
        """Calls every reserve that the plan holds, as long as it may be called, from every step that holds any."""
        found = []
        for way in WAYS:
            held = held_kw(plan, self.id, way)
            for first in np.flatnonzero(held > DELIVERED_WITHIN_KW):
                call = _longest_call(held, int(first), self.call_steps)
                given = answer(devices, feeders, situation, plan, self.id, way, int(first), call)
                missing = float(np.max(call - given))
                if missing > DELIVERED_WITHIN_KW:
                    found.append((f"{way} reserve cannot be delivered", int(first), missing))
        return found[:1]

    def problems(self, devices: Devices) -> list[tuple[str, Any, str]]:
        return not_able(self.devices, ("battery", "v2g_charger"), devices)


@dataclass(frozen=True)
class _Offered:
    """(near,) each: what is offered, and what a kW of it is paid."""

    kw: Mapping[str, Array]
    hours: Array
    price_per_kw_h: Array


@dataclass(frozen=True)
class Delivery:
    """How a call was answered."""

    asked_kw: Array
    """(steps,) what was called."""
    given_kw: Array
    """(steps,) what the devices really added (or took), step by step."""

    @property
    def delivered(self) -> bool:
        """Whether nothing was missing in any step."""
        return bool(np.all(self.given_kw >= self.asked_kw - DELIVERED_WITHIN_KW))


def held_kw(plan: Plan, service: str, way: Literal["up", "down"]) -> Array:
    """(near,) what a plan holds for a service."""
    of_service = [held for held in plan.held if held.service == service and held.way == way]
    return sum((held.kw for held in of_service), np.zeros(plan.grid.near))


def deliver(
    devices: Devices, feeders: Sequence[FeederLimit], situation: Situation, plan: Plan,
    service: str, way: Literal["up", "down"], start: datetime, steps: int, kw: float,
) -> Delivery:  # fmt: skip
    """Executes a call of `kw` for `steps` steps from `start` on the devices' physical steps.

    Every device that holds reserve adds its part of the call to its planned power. A call above what is held asks the
    devices for more than they promised, and is delivered only if they can all the same.

    Raises:
        ValueError: the call does not lie in the plan's near steps.
    """
    first = round((start - situation.grid.start) / timedelta(minutes=situation.grid.step_minutes))
    if first < 0 or first + steps > plan.grid.near:
        raise ValueError(f"a call of {steps} steps at {start} does not lie in the plan from {plan.grid.start}")
    asked = np.full(steps, kw)
    return Delivery(asked, answer(devices, feeders, situation, plan, service, way, first, asked))


def answer(
    devices: Devices, feeders: Sequence[FeederLimit], situation: Situation, plan: Plan,
    service: str, way: Literal["up", "down"], first: int, asked_kw: Array,
) -> Array:  # fmt: skip
    """(steps,) power that a call really brings at the grid connection, by the devices' physical steps."""
    holders = {held.device: held.kw for held in plan.held if held.service == service and held.way == way}
    total = held_kw(plan, service, way)
    state = {name: {q: float(v[first]) for q, v in plan.states.get(name, {}).items()} for name in holders}
    conditions = {name: devices[name].conditions(situation) for name in holders}
    given = np.zeros(len(asked_kw))
    for n, asked in enumerate(asked_kw):
        t = first + n
        change: dict[str, float] = {}
        for name, kw in holders.items():
            part = asked * (kw[t] / total[t] if total[t] > 0 else 1.0 / len(holders))
            here = {quantity: float(values[t]) for quantity, values in conditions[name].items()}
            change[name], state[name] = _called(
                devices[name], plan, t, part if way == "up" else -part, state[name], here
            )
        given[n] = min(
            abs(sum(change.values())), _grid_room_kw(devices, plan, t, way), *_feeder_rooms(feeders, plan, t, change)
        )
    return given


def _called(
    device: Device, plan: Plan, t: int, more_kw: float, state: dict[str, float], here: dict[str, float]
) -> tuple[float, dict[str, float]]:
    """What a device's power really changes by, and its state after the step; nothing where it leaves its band."""
    planned = device.target_kw(plan.asked_at(device.id, t)) or 0.0
    response = device.step(device.asked(planned + more_kw), state, here, plan.grid.step_hours)
    real = device.target_kw(response.flows) or 0.0
    band = device.band({q: float(v[0]) for q, v in plan.states[device.id].items()})
    if any(not low - 1e-3 <= response.state[q] <= high + 1e-3 for q, (low, high) in band.items()):
        return 0.0, response.state
    return real - planned, response.state


def _grid_room_kw(devices: Devices, plan: Plan, t: int, way: str) -> float:
    """What the connection can still change by."""
    grid = connection_of(devices)
    net = float(plan.flow(grid.id, "import_kw")[t] - plan.flow(grid.id, "export_kw")[t])
    if way == "down":
        return grid.bounds_kw()[1] - net
    return net - grid.bounds_kw()[0] if not grid.only_from_generation() else max(0.0, net)


def _feeder_rooms(feeders: Sequence[FeederLimit], plan: Plan, t: int, change: Mapping[str, float]) -> list[float]:
    """What a call can bring at most, so that no feeder is loaded beyond its limit; infinite where none is."""
    rooms = [float("inf")]
    for feeder in feeders:
        behind = devices_behind(feeder, feeders)
        flows = [f for f in plan.flows if f.device in behind and f.carrier == "power"]
        net = sum(float(f.kw[t]) * (1 if f.direction == "in" else -1) for f in flows)
        added = sum(kw for name, kw in change.items() if name in behind)
        over = abs(net + added) - feeder.limit_kw
        if over > DELIVERED_WITHIN_KW:
            rooms.append(abs(sum(change.values())) - over)
    return rooms


def _longest_call(held: Array, first: int, call_steps: int) -> Array:
    """What is held from `first` on, as long as one call may last and something is held."""
    ahead = held[first : first + call_steps]
    gaps = np.flatnonzero(ahead <= DELIVERED_WITHIN_KW)
    return ahead[: gaps[0]] if len(gaps) else ahead


def _rooms_kwh(headroom: Headroom, way: str, t: int) -> tuple[Any, ...]:
    return headroom.above_least_kwh(t) if way == "up" else (headroom.below_most_kwh(t),)


def _add_grid_limits(block: Any, site: BuiltSite, near: range) -> None:
    connection = site.devices[site.connection]
    flows = site.ports[site.connection].flows
    imported, exported = flows["import_kw"], flows["export_kw"]
    least, most = connection.bounds_kw()

    def up(b: Any, t: int) -> Any:  # (4)
        if connection.only_from_generation():
            return b.held_up_kw[t] <= imported[t]
        return b.held_up_kw[t] <= imported[t] - exported[t] - least

    block.up_within_connection = pyo.Constraint(near, rule=up)
    block.down_within_connection = pyo.Constraint(
        near, rule=lambda b, t: b.held_down_kw[t] <= most - imported[t] + exported[t]
    )  # (5)


def _add_feeder_limits(
    block: Any, site: BuiltSite, feeder: FeederLimit, headrooms: Mapping[str, Headroom], near: range
) -> None:
    """(6), for feeders with a member that holds reserve."""
    behind = sorted(devices_behind(feeder, site.feeders))
    holding = [name for name in behind if name in headrooms]
    if not holding:
        return

    def net(t: int) -> Any:
        return sum(
            (1 if direction == "in" else -1) * site.ports[name].flows[quantity][t]
            for name in behind
            for quantity, (carrier, direction) in site.devices[name].buses().items()
            if carrier == "power" and t in site.ports[name].flows[quantity]
        )

    for way, sign in (("up", 1), ("down", -1)):
        share = block.component(f"{way}_kw")
        row = pyo.Constraint(
            near,
            rule=lambda b, t, share=share, sign=sign: (
                sum(share[i, t] for i in holding) + sign * net(t) <= feeder.limit_kw
            ),
        )
        block.add_component(f"{feeder.id}_{way}_limit", row)
