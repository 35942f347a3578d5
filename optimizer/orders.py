"""What a person has ordered: given powers of devices, and a cap on the import. The plan is made around them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from optimizer.devices.base import Asked, Device, PhysicalState
from optimizer.model import Model
from optimizer.plan import Plan, Setpoint, Text
from optimizer.program import Program
from optimizer.situation import FixedPower, ImportCap, Situation
from optimizer.time_grid import Array, TimeGrid

HALVINGS = 40
"""Of the share of an order that a device can follow, where its store would leave its band."""


def steps_under(order: FixedPower | ImportCap, grid: TimeGrid) -> int:
    """Near steps from the first on in any part of which the order holds."""
    steps = math.ceil((order.until - grid.start) / timedelta(minutes=grid.step_minutes))
    return min(max(steps, 0), grid.near)


def ordered_program(
    program: Program,
    model: Model,
    devices: Sequence[Device],
    conditions: Mapping[str, Mapping[str, Array]],
    situation: Situation,
) -> Program:
    """The program with the flows of ordered devices fixed at what they can follow, and the import capped."""
    if not situation.orders:
        return program
    lower, upper = program.lower.copy(), program.upper.copy()
    by_id = {device.id: device for device in devices}
    for order in situation.orders:
        count = steps_under(order, situation.grid)
        if isinstance(order, ImportCap):
            caps = {"import_kw": order.power_kw, "export_kw": math.inf if order.export_kw is None else order.export_kw}
            for flow in (flow for flow in model.flows if flow.quantity in caps):
                columns = model.compiled.columns_of(flow.variable)[:count]
                upper[columns] = upper[columns].clip(max=caps[flow.quantity])
        elif order.device in by_id:
            course = _course(by_id[order.device], order, conditions[order.device], situation, count)
            for quantity, variable in model.ports[order.device].flows.items():
                columns = model.compiled.columns_of(variable)[:count]
                lower[columns] = upper[columns] = [flows.get(quantity, 0.0) for flows in course]
    return replace(program, lower=lower, upper=upper)


def ordered_setpoints(plan: Plan, devices: Sequence[Device], situation: Situation) -> Plan:
    """The plan whose setpoints say what was ordered, by whom and why; fast control leaves these devices alone."""
    orders = {order.device: order for order in situation.orders if isinstance(order, FixedPower)}
    caps = [order.power_kw for order in situation.orders if isinstance(order, ImportCap)]
    bounds = {device.id: device.bounds_kw() for device in devices}
    limits = [*caps, *([] if plan.grid_limit_kw is None else [plan.grid_limit_kw])]
    setpoints = tuple(
        _ordered(setpoint, orders[setpoint.device], bounds[setpoint.device]) if setpoint.device in orders else setpoint
        for setpoint in plan.setpoints
    )
    return replace(plan, setpoints=setpoints, grid_limit_kw=min(limits, default=None))


def _ordered(setpoint: Setpoint, order: FixedPower, bounds: tuple[float, float]) -> Setpoint:
    target = min(max(order.power_kw, bounds[0]), bounds[1])
    reason = Text(zh=f"运行人员指令：{order.reason}", en=f"ordered by the operator: {order.reason}")
    return replace(setpoint, target_kw=target, reason=reason, room_kw=None, self_supply_kw=None)


def _course(
    device: Device, order: FixedPower, conditions: Mapping[str, Array], situation: Situation, count: int
) -> list[dict[str, float]]:
    """Flows of each step under the order, as the physical step delivers them within the plan's own limits."""
    state, hours, course = device.start(situation), situation.grid.step_hours, []
    band = device.band(state)
    for t in range(count):
        here = {name: float(values[t]) for name, values in conditions.items()}
        asked = _within_band(device, device.asked(order.power_kw), state, here, hours, band)
        response = device.step(asked, state, here, hours)
        state = response.state
        course.append(response.flows)
    return course


def _within_band(
    device: Device,
    asked: Asked,
    state: PhysicalState,
    here: Mapping[str, float],
    hours: float,
    band: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """As much of what is asked as leaves every state in its band."""

    def share(part: float) -> dict[str, float]:
        return {quantity: part * kw for quantity, kw in asked.items()}

    def fits(part: float) -> bool:
        after = device.step(share(part), state, here, hours).state
        return all(low <= after.get(name, low) <= high for name, (low, high) in band.items())

    if fits(1.0):
        return share(1.0)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return share(low)
