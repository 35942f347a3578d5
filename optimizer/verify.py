"""The last look at a plan before anything leaves: it shares no code with the model.

A plan is executed on the devices' physical steps. A valid plan is delivered to the letter: no step clips a flow, the
stores go through the planned states, every bus balances, and nothing is negative, missing or not a number. What leaves
is that plan: every setpoint says its first step and expires in time, the grid limit leaves room for the planned import,
and what is bought and sold costs what the tariff says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.devices.base import Course, Device
from optimizer.plan import SETPOINT_LIFE_STEPS, Plan, Setpoint
from optimizer.services.accounts import service_violations
from optimizer.services.base import Service
from optimizer.situation import Situation
from optimizer.time_grid import Array

TOLERANCE_KW = 1e-5
"""How far a flow or an energy may be from its physics; balances are held to a tenth of it."""
BALANCE_TOLERANCE_KW = 1e-6
MONEY_TOLERANCE = 0.01
"""How far a term of the cost table may be from its bill [money]."""
PAID_BY_STEP = ("energy", "export", "gas", "fuel", "start")
"""Terms that follow from the flows of the near steps alone."""
REPORTED_ABOVE = 1e-3
"""A limit of operation may give way by so much more than the plan reports."""

PLANNED = ("optimal", "feasible")
"""Plans that were made for the situation; others are what is left of an earlier plan, or rules."""

Conditions = Mapping[str, Array]
"""What the surroundings allow a device in each step, by name."""


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
    wrong_numbers = _number_violations(plan)
    if wrong_numbers:
        return tuple(wrong_numbers)
    found = [*_balance_violations(plan), *_feeder_violations(feeders, plan)]
    found += _generation_violations(devices, plan)
    conditions = {device.id: device.conditions(situation) for device in devices}
    for device in devices:
        found += _physics_violations(device, conditions[device.id], situation, plan)
    found += _setpoint_violations(devices, conditions, plan)
    found += _grid_limit_violations(devices, situation, plan)
    if not found:
        found += _money_violations(devices, conditions, situation, plan)
        found += [Violation(*one) for one in service_violations(services, devices, feeders, situation, plan)]
    return tuple(found)


def _shape_violations(devices: Sequence[Device], situation: Situation, plan: Plan) -> tuple[Violation, ...]:
    near, mine, asked = situation.grid.near, plan.grid, situation.grid
    if (mine.start, mine.step_minutes, mine.near) != (asked.start, asked.step_minutes, asked.near):
        return (Violation(plan.site, "the plan is for other steps", 0, 0.0),)
    if (plan.site, plan.issued_at) != (situation.site, situation.issued_at):
        return (Violation(plan.site, "the plan is of another site or moment", 0, 0.0),)
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
    found += [
        Violation(device, "states of a device that is not there", 0, 0.0)
        for device in plan.states
        if device not in {device.id for device in devices}
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
    named = {"cost": list(plan.cost.values()), "limits that gave way": [g.amount for g in plan.limits_given_way]}
    for name, numbers in {**named, **{f"shadow price of {c}": v for c, v in plan.shadow_prices.items()}}.items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(numbers, dtype=float)))
        found += [Violation(plan.site, f"{name}: not a finite number", int(n), 0.0) for n in bad[:1]]
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


def _physics_violations(device: Device, conditions: Conditions, situation: Situation, plan: Plan) -> list[Violation]:
    """Executes the plan step by step; reports the first step that is not delivered as planned."""
    state = device.start(situation)
    states = plan.states.get(device.id, {})
    if set(states) != set(state):
        return [Violation(device.id, f"states are {sorted(states)}, not {sorted(state)}", 0, 0.0)]
    for name, value in state.items():
        if abs(states[name][0] - value) > TOLERANCE_KW:
            return [Violation(device.id, f"{name} does not start at {value:.6g}", 0, abs(states[name][0] - value))]
    outside = _range_violations(device, state, conditions, plan)
    if outside:
        return outside
    hours, near = situation.grid.step_hours, plan.grid.near
    flows = plan.by_device[device.id]
    ends = {name: values[1:] for name, values in states.items()}
    reported = {one.limit: one.amount for one in plan.limits_given_way if one.device == device.id}
    for t, (asked, begin, here, end) in _unlike_steps((flows, states, conditions, ends), near):
        response = device.step(asked, begin, here, hours)
        if response.flows != asked and (missing := _difference(response.flows, asked)) > TOLERANCE_KW:
            return [Violation(device.id, "asks what the device cannot do", t, missing)]
        if response.state != end and (missing := _difference(response.state, end)) > TOLERANCE_KW:
            return [Violation(device.id, "goes to a state that physics does not reach", t, missing)]
        for breach in device.breaches(asked, begin, end, here, hours):
            beyond = breach.amount - reported.get(breach.limit, 0.0)
            if beyond > REPORTED_ABOVE:
                return [Violation(device.id, f"breaks {breach.limit} and does not report all of it", t, beyond)]
    return []


def _range_violations(
    device: Device, start: Mapping[str, float], conditions: Conditions, plan: Plan
) -> list[Violation]:
    """States outside the device's band; of a plan made for the situation also those outside its window."""
    near, states = plan.grid.near, plan.states[device.id] if start else {}
    found = []
    for name, (low, high) in device.band(dict(start)).items():
        beyond = np.maximum(low - states[name], states[name] - high)
        found += _beyond(device.id, f"{name} leaves its band", beyond, TOLERANCE_KW)
    if plan.status in PLANNED:
        for name, (lowest, highest) in device.window(dict(start), conditions).items():
            after = states[name][1:]
            beyond = np.maximum(lowest[:near] - after, after - highest[:near])
            found += _beyond(device.id, f"{name} leaves its window", beyond, TOLERANCE_KW)
    return found


def _unlike_steps(parts: Sequence[Mapping[str, Array]], near: int) -> Iterator[tuple[int, list[dict[str, float]]]]:
    """The steps that differ from the one before, each with its values of every part by name."""
    table = np.array([values[:near] for part in parts for values in part.values()], dtype=float).reshape(-1, near)
    unlike = np.flatnonzero(np.append(True, (table[:, 1:] != table[:, :-1]).any(axis=0)))
    for t, row in zip(unlike.tolist(), table[:, unlike].T.tolist(), strict=True):
        left = iter(row)
        yield t, [{name: next(left) for name in part} for part in parts]


def _difference(real: Mapping[str, float], planned: Mapping[str, float]) -> float:
    worst = 0.0
    for name, value in real.items():
        distance = abs(value - planned.get(name, 0.0))
        if distance > worst:
            worst = distance
        elif math.isnan(distance):
            return math.inf
    return worst


def _setpoint_violations(
    devices: Sequence[Device], conditions: Mapping[str, Conditions], plan: Plan
) -> list[Violation]:
    """Every device that follows a setpoint has one, which says what the plan's first step says."""
    due = {}
    for device in devices:
        here = {name: float(values[0]) for name, values in conditions[device.id].items()}
        target = device.setpoint_kw(plan.asked_at(device.id, 0), here)
        if target is not None:
            due[device.id] = (target, device.safe_kw())
    given = [setpoint.device for setpoint in plan.setpoints]
    found = [Violation(device, "has no setpoint", 0, 0.0) for device in due if device not in given]
    for setpoint in plan.setpoints:
        if setpoint.device not in due or given.count(setpoint.device) > 1:
            found.append(Violation(setpoint.device, "setpoint is unknown or repeated", 0, 0.0))
        else:
            found += _wrong_in(setpoint, *due[setpoint.device], plan)
    return found


def _wrong_in(setpoint: Setpoint, target_kw: float, safe_kw: float, plan: Plan) -> Iterator[Violation]:
    off = abs(setpoint.target_kw - target_kw)
    if not off <= TOLERANCE_KW:
        yield Violation(setpoint.device, f"setpoint is not the planned {target_kw:.6g} kW", 0, off)
    if not abs(setpoint.safe_value_kw - safe_kw) <= TOLERANCE_KW:
        yield Violation(
            setpoint.device, f"safe value is not {safe_kw:.6g} kW", 0, abs(setpoint.safe_value_kw - safe_kw)
        )
    life = timedelta(minutes=plan.grid.step_minutes * SETPOINT_LIFE_STEPS)
    if (setpoint.valid_from, setpoint.valid_until) != (plan.grid.start, plan.grid.start + life):
        yield Violation(setpoint.device, f"setpoint is not valid for {life} from the first step on", 0, 0.0)


def _grid_limit_violations(devices: Sequence[Device], situation: Situation, plan: Plan) -> Iterator[Violation]:
    """The limit lies between the import that is planned and the highest that can be needed or is paid already."""
    limit = plan.grid_limit_kw
    if limit is None:
        return
    connections = [device for device in devices if "import_kw" in device.buses()]
    planned = sum(float(plan.flow(device.id, "import_kw")[0]) for device in connections)
    least = planned if plan.status in PLANNED else 0.0
    lines = situation.prices.demand
    paid = [situation.peak_so_far_kw(device.id, line.id) for device in connections for line in lines]
    most = max([sum(d.bounds_kw()[1] for d in connections), *paid, *(line.free_kw for line in lines)])
    if not least - TOLERANCE_KW <= limit <= most + TOLERANCE_KW:
        yield Violation(plan.site, f"grid limit is not from {least:.6g} to {most:.6g} kW", 0, limit)


def _money_violations(
    devices: Sequence[Device], conditions: Mapping[str, Conditions], situation: Situation, plan: Plan
) -> Iterator[Violation]:
    """Prices are those of the situation, and what flows that can be cost at them is in the cost table."""
    near, prices = plan.grid.near, situation.prices
    if not np.array_equal(plan.import_per_kwh, prices.import_per_kwh[:near]):
        yield Violation(plan.site, "import prices are not the tariff's", 0, 0.0)
    if not np.array_equal(plan.export_per_kwh, prices.export_per_kwh[:near]):
        yield Violation(plan.site, "export prices are not the tariff's", 0, 0.0)
    owed = dict.fromkeys(PAID_BY_STEP, 0.0)
    for device in devices:
        course = Course(plan.by_device[device.id], plan.states.get(device.id, {}), conditions[device.id], situation)
        for term, cost in device.cost_of(course).items():
            if term in owed:
                owed[term] += cost
    for term, cost in owed.items():
        off = abs(plan.cost.get(term, 0.0) - cost)
        if not off <= MONEY_TOLERANCE:
            yield Violation(plan.site, f"{term} in the cost table is not the {cost:.6g} that the flows cost", 0, off)
