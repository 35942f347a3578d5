"""The last look at a plan before anything leaves: it shares no code with the model.

A plan is executed on the devices' physical steps. A valid plan is delivered to the letter: no step clips a flow, the
stores go through the planned states, every bus balances, and nothing is negative, missing or not a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.devices.base import Device
from optimizer.plan import Plan
from optimizer.services.accounts import service_violations
from optimizer.services.base import Service
from optimizer.situation import Situation
from optimizer.time_grid import Array

TOLERANCE_KW = 1e-5
"""How far a flow or an energy may be from its physics; balances are held to a tenth of it."""
BALANCE_TOLERANCE_KW = 1e-6
REPORTED_ABOVE = 1e-3
"""A limit of operation that gives way by more than this must be reported in the plan."""


@dataclass(frozen=True)
class Violation:
    """One thing in a plan that the site could not do."""

    device: str
    what: str
    step: int
    amount: float

    def __str__(self) -> str:
        return f"{self.device}: {self.what} at step {self.step} by {self.amount:.6g}"


def verify(
    devices: Sequence[Device],
    feeders: Sequence[FeederLimit],
    situation: Situation,
    plan: Plan,
    services: Sequence[Service] = (),
) -> tuple[Violation, ...]:
    """Every violation found; empty for a plan that may be sent."""
    wrong_shape = _shape_violations(devices, situation, plan)
    if wrong_shape:
        return wrong_shape
    found = [*_number_violations(plan), *_balance_violations(plan), *_feeder_violations(feeders, plan)]
    found += _generation_violations(devices, plan)
    for device in devices:
        found += _physics_violations(device, situation, plan)
    if not found:
        found = [Violation(*one) for one in service_violations(services, devices, feeders, situation, plan)]
    return tuple(found)


def _shape_violations(devices: Sequence[Device], situation: Situation, plan: Plan) -> tuple[Violation, ...]:
    near = situation.grid.near
    if plan.grid.start != situation.grid.start or plan.grid.near != near:
        return (Violation(plan.site, "the plan is for other steps", 0, 0.0),)
    expected = {(device.id, quantity) for device in devices for quantity in device.buses()}
    given = [(flow.device, flow.quantity) for flow in plan.flows]
    found = [Violation(device, f"flow {quantity} is missing", 0, 0.0) for device, quantity in expected - set(given)]
    found += [Violation(d, f"flow {q} is unknown or repeated", 0, 0.0) for d, q in _surplus(given, expected)]
    found += [
        Violation(f.device, f"{f.quantity} has {f.kw.shape}", 0, 0.0) for f in plan.flows if f.kw.shape != (near,)
    ]
    found += [
        Violation(device, f"state {name} has {values.shape}", 0, 0.0)
        for device, states in plan.states.items()
        for name, values in states.items()
        if values.shape != (near + 1,)
    ]
    ends = {device.id: device.buses() for device in devices}
    found += [
        Violation(f.device, f"{f.quantity} is on the wrong bus", 0, 0.0)
        for f in plan.flows
        if ends.get(f.device, {}).get(f.quantity) != (f.carrier, f.direction)
    ]
    return tuple(found)


def _surplus(given: list[tuple[str, str]], expected: set[tuple[str, str]]) -> list[tuple[str, str]]:
    return [item for item in dict.fromkeys(given) if item not in expected or given.count(item) > 1]


def _number_violations(plan: Plan) -> list[Violation]:
    found = []
    for flow in plan.flows:
        bad = np.flatnonzero(~np.isfinite(flow.kw) | (flow.kw < 0.0))
        found += [Violation(flow.device, f"{flow.quantity} is {flow.kw[t]}", int(t), 0.0) for t in bad[:1]]
    for device, states in plan.states.items():
        for name, values in states.items():
            bad = np.flatnonzero(~np.isfinite(values))
            found += [Violation(device, f"{name} is {values[t]}", int(t), 0.0) for t in bad[:1]]
    return found


def _balance_violations(plan: Plan) -> list[Violation]:
    found = []
    for carrier in dict.fromkeys(flow.carrier for flow in plan.flows):
        net = sum(f.kw if f.direction == "in" else -f.kw for f in plan.flows if f.carrier == carrier)
        found += _beyond(carrier, "does not balance", np.abs(np.asarray(net)), BALANCE_TOLERANCE_KW)
    return found


def _feeder_violations(feeders: Sequence[FeederLimit], plan: Plan) -> list[Violation]:
    found = []
    for feeder in feeders:
        net = np.abs(_net_behind(feeder, feeders, plan))
        found += _beyond(feeder.id, "is over its limit", net - feeder.limit_kw, TOLERANCE_KW)
    return found


def _net_behind(feeder: FeederLimit, feeders: Sequence[FeederLimit], plan: Plan) -> np.ndarray:
    """(near,) net power of a feeder's own devices and of every feeder behind it."""
    flows = [f for f in plan.flows if f.device in feeder.members and f.carrier == "power"]
    own = sum((f.kw if f.direction == "in" else -f.kw for f in flows), np.zeros(plan.grid.near))
    inner = (_net_behind(other, feeders, plan) for other in feeders if other.id in feeder.members)
    return np.asarray(sum(inner, own))


def _generation_violations(devices: Sequence[Device], plan: Plan) -> list[Violation]:
    """Exports beyond the generation of the same step, where only generation may be exported."""
    found = []
    for device in devices:
        for quantity in device.only_from_generation():
            carrier = device.buses()[quantity][0]
            sources = [(d.id, q) for d in devices for q in d.generated() if d.buses()[q][0] == carrier]
            generated = sum((plan.flow(*source) for source in sources), np.zeros(plan.grid.near))
            over = plan.flow(device.id, quantity) - generated
            found += _beyond(device.id, f"{quantity} is more than is generated", over, TOLERANCE_KW)
    return found


def _beyond(name: str, what: str, amount: np.ndarray, tolerance: float) -> list[Violation]:
    worst = int(np.argmax(np.nan_to_num(amount, nan=np.inf)))
    if amount[worst] <= tolerance:
        return []
    return [Violation(name, what, worst, float(amount[worst]))]


def _physics_violations(device: Device, situation: Situation, plan: Plan) -> list[Violation]:
    """Executes the plan step by step; reports the first step that is not delivered as planned."""
    conditions = device.conditions(situation)
    state = device.start(situation)
    states = plan.states.get(device.id, {})
    if set(states) != set(state):
        return [Violation(device.id, f"states are {sorted(states)}, not {sorted(state)}", 0, 0.0)]
    for name, value in state.items():
        if abs(states[name][0] - value) > TOLERANCE_KW:
            return [Violation(device.id, f"{name} does not start at {value:.6g}", 0, abs(states[name][0] - value))]
    for name, (low, high) in device.band(state).items():
        outside = _beyond(
            device.id, f"{name} leaves its band", np.maximum(low - states[name], states[name] - high), TOLERANCE_KW
        )
        if outside:
            return outside
    hours, near = situation.grid.step_hours, plan.grid.near
    flows = {flow.quantity: flow.kw for flow in plan.flows if flow.device == device.id}
    ends = {name: values[1:] for name, values in states.items()}
    passed = None
    reported = {one.limit for one in plan.limits_given_way if one.device == device.id}
    given = (flows, states, conditions, ends)
    for t, values in enumerate(zip(*(_by_step(series, near) for series in given), strict=True)):
        if values == passed:
            continue
        asked, begin, here, end = (dict(zip(*one, strict=True)) for one in zip(given, values, strict=True))
        response = device.step(asked, begin, here, hours)
        if response.flows != asked and (missing := _difference(response.flows, asked)) > TOLERANCE_KW:
            return [Violation(device.id, "asks what the device cannot do", t, missing)]
        if response.state != end and (missing := _difference(response.state, end)) > TOLERANCE_KW:
            return [Violation(device.id, "goes to a state that physics does not reach", t, missing)]
        for breach in device.breaches(asked, begin, end, here, hours):
            if breach.amount > REPORTED_ABOVE and breach.limit not in reported:
                return [Violation(device.id, f"breaks {breach.limit} and does not report it", t, breach.amount)]
        passed = values
    return []


def _by_step(series: Mapping[str, Array], steps: int) -> list[tuple[float, ...]]:
    """The values of each step, in the order of the names."""
    columns = [values[:steps].tolist() for values in series.values()]
    return list(zip(*columns, strict=True)) if columns else [()] * steps


def _difference(real: Mapping[str, float], planned: Mapping[str, float]) -> float:
    worst = 0.0
    for name, value in real.items():
        distance = abs(value - planned.get(name, 0.0))
        if distance > worst:
            worst = distance
        elif math.isnan(distance):
            return math.inf
    return worst
