"""The rule-based controller: the baseline, and the answer when there is no plan.

Devices decide one after the other by their rule order, each seeing what the earlier ones left unserved; what they
decide is executed on their physical steps, so the result is always possible. The grid connection closes the balance;
what it cannot close gives way and is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

import numpy as np

from optimizer.balance import FeederLimit, devices_behind
from optimizer.devices.base import Asked, Breach, Carrier, Device, PhysicalState, Response, RuleView
from optimizer.plan import GAVE_WAY_ABOVE, SETPOINT_LIFE_STEPS, FlowSeries, GivenWay, Plan, Setpoint, Text
from optimizer.pricing import cost_table
from optimizer.situation import Situation
from optimizer.time_grid import Array

_CONVERTER_ORDER, _GRID_ORDER, _FUEL_ORDER = 3, 5, 6
_FOLLOWED_ORDERS = (1, 2, 4)
"""Cars, stores and batteries follow a shifted plan; machines and the grid follow what is needed now."""

SMALL_KW = 1e-6
"""Power out of balance by less than this is balanced."""
RULES_WHY = Text(zh="规则控制：谷时储、峰时放", en="rules: store while cheap, serve while dear")
CHEAP, DEAR = 0.8, 1.2
"""Prices below and above these multiples of the horizon's mean count as cheap and dear."""

Here = Mapping[str, float]
"""Conditions of one step, by name."""
Decide = Callable[[Device, RuleView, PhysicalState, Here, int], Mapping[str, float]]
"""Flows asked of a device in a step."""


def rule_plan(
    devices: Sequence[Device], situation: Situation, feeders: Sequence[FeederLimit] = (), *, storing: bool = True
) -> Plan:
    """What simple local control would do; with `storing` False stores and V2G stay idle and cars charge at once."""

    def decide(device: Device, view: RuleView, state: PhysicalState, here: Here, t: int) -> Mapping[str, float]:
        return device.rule(view, state, here)

    plan = roll_out(devices, feeders, situation, decide, storing)
    return with_setpoints(replace(plan, status="rules"), devices, situation, RULES_WHY)


def rule_setpoints(
    devices: Sequence[Device], situation: Situation, feeders: Sequence[FeederLimit] = (), *, storing: bool = True
) -> tuple[Setpoint, ...]:
    """The setpoints of `rule_plan` without the plan: prices and demand are looked at over the whole near horizon, but
    only its first step is executed. Costs a tenth of the time."""

    def decide(device: Device, view: RuleView, state: PhysicalState, here: Here, t: int) -> Mapping[str, float]:
        return device.rule(view, state, here)

    first = _course(devices, feeders, situation, decide, storing, steps=1)
    return _setpoints(devices, situation, first.asked_at_start, RULES_WHY)


def shifted_plan(
    devices: Sequence[Device], situation: Situation, last: Plan | None, feeders: Sequence[FeederLimit] = ()
) -> Plan | None:
    """The last plan moved on to now and executed from the present state; None when it does not reach here."""
    if last is None or last.site != situation.site:
        return None
    offset = last.steps_until(situation.grid)
    if offset is None:
        return None

    def decide(device: Device, view: RuleView, state: PhysicalState, here: Here, t: int) -> Mapping[str, float]:
        followed = device.rule_order in _FOLLOWED_ORDERS and t + offset < last.grid.near
        return last.asked_at(device.id, t + offset) if followed else device.rule(view, state, here)

    plan = roll_out(devices, feeders, situation, decide, storing=True)
    why = Text(zh="沿用上一计划", en="the last plan, moved on")
    return with_setpoints(replace(plan, status="shifted", grid_limit_kw=last.grid_limit_kw), devices, situation, why)


def roll_out(
    devices: Sequence[Device], feeders: Sequence[FeederLimit], situation: Situation, decide: Decide, storing: bool
) -> Plan:
    """Executes decisions step by step over the near horizon; the flows that result, as a plan without setpoints.

    What cannot be balanced gives way in this order and is reported: cars charge less, sun is curtailed, loads are shed.
    """
    course = _course(devices, feeders, situation, decide, storing, situation.grid.near)
    plan = _as_plan(devices, situation, course.flows, course.states)
    return replace(plan, limits_given_way=tuple(course.given_way.values()))


@dataclass(frozen=True)
class _Course:
    """What decisions came to, step by step."""

    flows: Mapping[tuple[str, str], Array]
    """By device and quantity: (steps,) kW."""
    states: Mapping[tuple[str, str], Array]
    """By device and name: (steps + 1,)."""
    given_way: Mapping[tuple[str, str], GivenWay]

    def asked_at_start(self, device: str) -> dict[str, float]:
        """Flows of one device in the first step, by quantity."""
        return {quantity: float(kw[0]) for (owner, quantity), kw in self.flows.items() if owner == device}


def _course(
    devices: Sequence[Device],
    feeders: Sequence[FeederLimit],
    situation: Situation,
    decide: Decide,
    storing: bool,
    steps: int,
) -> _Course:
    near, hours = situation.grid.near, situation.grid.step_hours
    ordered = sorted(devices, key=lambda device: (device.rule_order, device.rule_rank))
    conditions = {device.id: device.conditions(situation) for device in devices}
    state = {device.id: device.start(situation) for device in devices}
    words = _price_words(situation.prices.import_per_kwh[:near])
    limit = _import_limits(devices, situation, conditions)
    export_allowed = _export_limit(devices) > 0
    flows = {(device.id, quantity): np.zeros(steps) for device in devices for quantity in device.buses()}
    states = {(d.id, name): np.full(steps + 1, value) for d in devices for name, value in state[d.id].items()}
    given_way: dict[tuple[str, str], GivenWay] = {}

    members = [(feeder.limit_kw, devices_behind(feeder, feeders)) for feeder in feeders]

    def wish(device: Device, moment: _Moment) -> Asked:
        room = float(limit[moment.t]) - moment.deficit["power"]
        producible = _producible(devices, moment.here)
        view = RuleView(hours, words[moment.t], moment.deficit, producible, room, export_allowed, storing)
        return decide(device, view, moment.state[device.id], moment.here[device.id], moment.t)

    times = situation.grid.near_times
    for t in range(steps):
        here = {d.id: {name: float(values[t]) for name, values in conditions[d.id].items()} for d in devices}
        moment = _Moment(t, ordered, members, state, here, hours, wish)
        moment.settle()
        for device in devices:
            response = moment.responses[device.id]
            for quantity, kw in response.flows.items():
                flows[device.id, quantity][t] = kw
            for name, value in response.state.items():
                states[device.id, name][t + 1] = value
        _note(given_way, moment.breaches(), times[t])
        state = {id_: response.state for id_, response in moment.responses.items()}
    return _Course(flows, states, given_way)


class _Moment:
    """One step of all devices: they decide one after the other, then what does not balance gives way."""

    def __init__(
        self,
        t: int,
        ordered: Sequence[Device],
        feeders: Sequence[tuple[float, frozenset[str]]],
        state: Mapping[str, PhysicalState],
        here: Mapping[str, Here],
        hours: float,
        wish: Callable[[Device, _Moment], Asked],
    ) -> None:
        self._ordered, self._feeders, self._wish, self._hours = ordered, feeders, wish, hours
        self.t, self.state, self.here = t, state, here
        self.responses: dict[str, Response] = {}
        self.deficit: dict[str, float] = {}

    def settle(self) -> None:
        self._pass(cars=1.0)
        charging = sum(max(0.0, -_net_power(d, self.responses[d.id].flows)) for d in self._ordered if d.rule_order == 1)
        if self.deficit["power"] > SMALL_KW and charging > 0.0:
            self._pass(cars=max(0.0, 1.0 - self.deficit["power"] / charging))
        self._cut_surplus()
        self._shed()

    def breaches(self) -> list[tuple[str, Breach]]:
        """Limits that gave way, by device; what stays out of balance belongs to the site."""
        found = [
            (device.id, breach)
            for device in self._ordered
            for breach in device.breaches(
                self.responses[device.id].flows,
                self.state[device.id],
                self.responses[device.id].state,
                self.here[device.id],
                self._hours,
            )
        ]
        open_ends = [(carrier, kw) for carrier, kw in self.deficit.items() if abs(kw) > SMALL_KW]
        return found + [("site", Breach(f"{carrier}_balance", abs(kw), "kW")) for carrier, kw in open_ends]

    def _pass(self, cars: float) -> None:
        rooms = [FeederRoom(limit_kw, behind) for limit_kw, behind in self._feeders]
        self.deficit = dict.fromkeys(get_args(Carrier), 0.0)
        self.responses = {}
        gas_left = sum(device.bounds_kw()[1] for device in self._ordered if device.rule_order == _FUEL_ORDER)
        for device in self._ordered:
            asked = self._wish(device, self)
            if device.rule_order == 1:
                asked = {q: kw * cars if device.buses()[q][1] == "out" else kw for q, kw in asked.items()}
            behind = [room for room in rooms if device.id in room.devices]
            response = self._within_gas(device, _within_feeders(device, asked, behind), gas_left - self.deficit["gas"])
            for room in behind:
                room.net_kw += _net_power(device, response.flows)
            self._book(device, response)

    def _within_gas(self, device: Device, asked: Asked, left_kw: float) -> Response:
        """The response to the wish, or to the largest part of it that the gas left can feed."""
        response = self._step(device, asked)
        burnt = [q for q, end in device.buses().items() if end == ("gas", "out")]
        if sum(response.flows[q] for q in burnt) <= left_kw + SMALL_KW or not burnt:
            return response
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2.0
            trial = self._step(device, {q: kw * middle for q, kw in asked.items()})
            low, high = (middle, high) if sum(trial.flows[q] for q in burnt) <= left_kw else (low, middle)
        return self._step(device, {q: kw * low for q, kw in asked.items()})

    def _step(self, device: Device, asked: Asked) -> Response:
        return device.step(asked, self.state[device.id], self.here[device.id], self._hours)

    def _book(self, device: Device, response: Response) -> None:
        before = self.responses.get(device.id)
        for quantity, (carrier, direction) in device.buses().items():
            kw = response.flows[quantity] - (before.flows[quantity] if before else 0.0)
            self.deficit[carrier] += kw if direction == "out" else -kw
        self.responses[device.id] = response

    def _cut_surplus(self) -> None:
        """Power that finds no place: sun is curtailed, inverters that cannot be curtailed trip last."""
        suns = [d for d in self._ordered if d.rule_order == 0 and d.generated()]
        for device in sorted(suns, key=lambda d: d.main_quantity is None or d.target_kw({}) is None):
            if self.deficit["power"] < -SMALL_KW:
                flows = self.responses[device.id].flows
                less = {q: max(0.0, flows[q] + self.deficit["power"]) for q in device.generated()}
                self._book(device, self._step(device, {**flows, **less}))

    def _shed(self) -> None:
        """Demand that cannot be met, by carrier: every load of it gives up the same share."""
        for carrier in self.deficit:
            loads = [d for d in self._ordered if d.rule_order == 0 and d.buses().get("served_kw") == (carrier, "out")]
            served = sum(self.responses[d.id].flows["served_kw"] for d in loads)
            if self.deficit[carrier] > SMALL_KW and served > 0.0:
                share = max(0.0, 1.0 - self.deficit[carrier] / served)
                for device in loads:
                    flows = self.responses[device.id].flows
                    self._book(device, self._step(device, {q: kw * share for q, kw in flows.items()}))


def _note(given_way: dict[tuple[str, str], GivenWay], breaches: Sequence[tuple[str, Breach]], at: datetime) -> None:
    """The worst of each limit, and when it gave way first."""
    for device, breach in breaches:
        if breach.amount <= GAVE_WAY_ABOVE:
            continue
        known = given_way.get((device, breach.limit))
        if known is None:
            known = GivenWay(device, breach.limit, breach.amount, breach.unit, at)
        given_way[device, breach.limit] = replace(known, amount=max(known.amount, breach.amount))


@dataclass
class FeederRoom:
    """A feeder and the net power of the devices behind it that have decided so far in this step."""

    limit_kw: float
    devices: frozenset[str]
    net_kw: float = 0.0


def _net_power(device: Device, flows: Mapping[str, float]) -> float:
    ends = device.buses()
    power = {quantity: direction for quantity, (carrier, direction) in ends.items() if carrier == "power"}
    return sum(flows.get(q, 0.0) if direction == "in" else -flows.get(q, 0.0) for q, direction in power.items())


def _within_feeders(device: Device, asked: Mapping[str, float], behind: Sequence[FeederRoom]) -> dict[str, float]:
    """The wish cut to what its feeders still carry."""
    cut = dict(asked)
    for room in behind:
        beyond = abs(room.net_kw + _net_power(device, cut)) - room.limit_kw
        against = "in" if room.net_kw + _net_power(device, cut) > 0 else "out"
        for quantity, (carrier, direction) in device.buses().items():
            if beyond > 0 and carrier == "power" and direction == against:
                cut[quantity] = max(0.0, cut.get(quantity, 0.0) - beyond)
    return cut


def _price_words(prices: Array) -> list[Literal["cheap", "normal", "dear"]]:
    mean = float(prices.mean())
    return ["cheap" if p < CHEAP * mean else "dear" if p > DEAR * mean else "normal" for p in prices]


def _producible(devices: Sequence[Device], here: Mapping[str, Here]) -> dict[str, float]:
    total: dict[str, float] = {}
    for device in devices:
        if device.rule_order == _CONVERTER_ORDER:
            for carrier, kw in device.producible_kw(here[device.id]).items():
                total[carrier] = total.get(carrier, 0.0) + kw
    return total


def _export_limit(devices: Sequence[Device]) -> float:
    return sum(-device.bounds_kw()[0] for device in devices if device.rule_order == _GRID_ORDER)


def _import_limits(
    devices: Sequence[Device], situation: Situation, conditions: Mapping[str, Mapping[str, Array]]
) -> Array:
    """(near,) what import may reach without a new peak of any demand line that applies in the step: the line's running
    peak or free demand, or what the fixed flows alone will need inside its window."""
    near = situation.grid.near
    fixed = np.zeros(near)
    for device in devices:
        here = conditions[device.id]
        if "demand_kw" in here and ("power", "out") in device.buses().values():
            fixed = fixed + here["demand_kw"][:near]
        if "available_kw" in here:
            fixed = fixed - here["available_kw"][:near]
    connections = [device for device in devices if device.rule_order == _GRID_ORDER]
    limits = np.full(near, min(device.bounds_kw()[1] for device in connections))
    for line in situation.prices.demand:
        applies = (line.inside[:near] > 0) & (line.price_per_kw > 0)
        running = max(situation.peak_so_far_kw(device.id, line.id) for device in connections)
        needed = float(fixed[applies].max(initial=0.0))
        limits[applies] = np.minimum(limits[applies], max(running, line.free_kw, needed))
    return limits


def _as_plan(
    devices: Sequence[Device],
    situation: Situation,
    flows: Mapping[tuple[str, str], Array],
    states: Mapping[tuple[str, str], Array],
) -> Plan:
    near, prices = situation.grid.near, situation.prices
    series = tuple(
        FlowSeries(device.id, carrier, direction, quantity, flows[device.id, quantity])
        for device in devices
        for quantity, (carrier, direction) in device.buses().items()
    )
    by_device: dict[str, dict[str, Array]] = {}
    for (device_id, name), values in states.items():
        by_device.setdefault(device_id, {})[name] = values
    return Plan(
        site=situation.site,
        issued_at=situation.issued_at,
        grid=replace(situation.grid, tail_hours=()),
        status="rules",
        flows=series,
        states=by_device,
        import_per_kwh=prices.import_per_kwh[:near],
        export_per_kwh=prices.export_per_kwh[:near],
        cost=cost_table(devices, situation, series, by_device),
    )


def with_setpoints(plan: Plan, devices: Sequence[Device], situation: Situation, why: Text) -> Plan:
    """The plan with a setpoint for every controllable device, all for the same reason."""
    return replace(plan, setpoints=_setpoints(devices, situation, lambda device: plan.asked_at(device, 0), why))


def _setpoints(
    devices: Sequence[Device], situation: Situation, asked: Callable[[str], Asked], why: Text
) -> tuple[Setpoint, ...]:
    grid = situation.grid
    until = grid.start + timedelta(minutes=grid.step_minutes * SETPOINT_LIFE_STEPS)
    setpoints = []
    for device in devices:
        here = {name: float(values[0]) for name, values in device.conditions(situation).items()}
        target = device.setpoint_kw(asked(device.id), here)
        if target is not None:
            setpoints.append(Setpoint(device.id, target, device.safe_kw(), grid.start, until, why))
    return tuple(setpoints)
