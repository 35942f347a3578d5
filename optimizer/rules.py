"""The rule-based controller: the baseline, and the answer when there is no plan.

Devices decide one after the other by their rule order, each seeing what the earlier ones left unserved; what they
decide is executed on their physical steps, so the result is always possible. The grid connection closes the balance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, get_args

import numpy as np

from optimizer.balance import FeederLimit, devices_behind
from optimizer.devices.base import Carrier, Device, PhysicalState, Response, RuleView
from optimizer.plan import SETPOINT_LIFE_STEPS, FlowSeries, Plan, Setpoint, Text
from optimizer.pricing import cost_table
from optimizer.situation import Situation
from optimizer.time_grid import Array

_CONVERTER_ORDER, _GRID_ORDER = 3, 5
_FOLLOWED_ORDERS = (1, 2, 4)
"""Cars, stores and batteries follow a shifted plan; machines and the grid follow what is needed now."""

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
    why = Text(zh="规则控制：谷时储、峰时放", en="rules: store while cheap, serve while dear")
    return with_setpoints(replace(plan, status="rules"), devices, situation, why)


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
    """Executes decisions step by step over the near horizon; the flows that result, as a plan without setpoints."""
    near, hours = situation.grid.near, situation.grid.step_hours
    ordered = sorted(devices, key=lambda device: (device.rule_order, device.rule_rank))
    conditions = {device.id: device.conditions(situation) for device in devices}
    state = {device.id: device.start(situation) for device in devices}
    words = _price_words(situation.prices.import_per_kwh[:near])
    limit = _import_limits(devices, situation, conditions)
    flows = {(device.id, quantity): np.zeros(near) for device in devices for quantity in device.buses()}
    states = {(d.id, name): np.full(near + 1, value) for d in devices for name, value in state[d.id].items()}
    members = [(feeder.limit_kw, devices_behind(feeder, feeders)) for feeder in feeders]
    for t in range(near):
        rooms = [FeederRoom(limit_kw, behind) for limit_kw, behind in members]
        deficit: dict[str, float] = dict.fromkeys(get_args(Carrier), 0.0)
        producible = _producible(devices, conditions, t)
        for device in ordered:
            view = RuleView(
                hours=hours,
                price=words[t],
                deficit_kw=deficit,
                producible_kw=producible,
                import_room_kw=float(limit[t]) - deficit["power"],
                export_allowed=_export_limit(devices) > 0,
                storing=storing,
            )
            here = {name: float(values[t]) for name, values in conditions[device.id].items()}
            asked = decide(device, view, state[device.id], here, t)
            behind = [room for room in rooms if device.id in room.devices]
            allowed = _within_feeders(device, asked, behind)
            response = device.step(allowed, state[device.id], here, hours)
            for room in behind:
                room.net_kw += _net_power(device, response.flows)
            _book(device, response, deficit, flows, states, t)
            state[device.id] = response.state
    return _as_plan(devices, situation, flows, states)


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


def _book(
    device: Device,
    response: Response,
    deficit: dict[str, float],
    flows: dict[tuple[str, str], Array],
    states: dict[tuple[str, str], Array],
    t: int,
) -> None:
    for quantity, (carrier, direction) in device.buses().items():
        kw = response.flows[quantity]
        flows[device.id, quantity][t] = kw
        deficit[carrier] += kw if direction == "out" else -kw
    for name, value in response.state.items():
        states[device.id, name][t + 1] = value


def _price_words(prices: Array) -> list[Literal["cheap", "normal", "dear"]]:
    mean = float(prices.mean())
    return ["cheap" if p < CHEAP * mean else "dear" if p > DEAR * mean else "normal" for p in prices]


def _producible(devices: Sequence[Device], conditions: Mapping[str, Mapping[str, Array]], t: int) -> dict[str, float]:
    total: dict[str, float] = {}
    for device in devices:
        if device.rule_order == _CONVERTER_ORDER:
            here = {name: float(values[t]) for name, values in conditions[device.id].items()}
            for carrier, kw in device.producible_kw(here).items():
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
    grid = situation.grid
    until = grid.start + timedelta(minutes=grid.step_minutes * SETPOINT_LIFE_STEPS)
    setpoints = []
    for device in devices:
        here = {name: float(values[0]) for name, values in device.conditions(situation).items()}
        target = device.setpoint_kw(plan.asked_at(device.id, 0), here)
        if target is not None:
            setpoints.append(Setpoint(device.id, target, device.safe_kw(), grid.start, until, why))
    return replace(plan, setpoints=tuple(setpoints))
