"""Balances: per carrier and step, what feeds the bus equals what leaves it. Knows flows, no device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import pyomo.environ as pyo

from optimizer.devices.base import Carrier, Device, Direction, Ports
from optimizer.time_grid import GridShape


@dataclass(frozen=True)
class FeederLimit:
    """Devices behind one cable: their net power stays within the limit in both directions."""

    id: str
    limit_kw: float
    members: tuple[str, ...]
    """Ids of devices and of other feeders; together a tree."""


def feeders_without(feeders: Iterable[FeederLimit], gone: Set[str]) -> tuple[FeederLimit, ...]:
    """The feeders as they are when these devices are not there."""
    return tuple(replace(f, members=tuple(member for member in f.members if member not in gone)) for f in feeders)


def devices_behind(feeder: FeederLimit, feeders: Iterable[FeederLimit]) -> frozenset[str]:
    """Ids of the devices that a feeder carries, those of the feeders behind it too."""
    inner = {other.id: other for other in feeders}
    parts = (devices_behind(inner[m], inner.values()) if m in inner else frozenset({m}) for m in feeder.members)
    return frozenset().union(*parts)


@dataclass(frozen=True)
class BusFlow:
    """One device's flow at one carrier's bus; `variable` is indexed by step (or by the near steps only)."""

    device: str
    quantity: str
    carrier: Carrier
    direction: Direction
    variable: Any
    generated: bool = False
    only_from_generation: bool = False
    may_leave: bool = False


def bus_flows(devices: Sequence[Device], ports: Mapping[str, Ports]) -> tuple[BusFlow, ...]:
    """Every flow of every device with the bus it connects to."""
    return tuple(
        BusFlow(
            device.id,
            quantity,
            carrier,
            direction,
            ports[device.id].flows[quantity],
            generated=quantity in device.generated(),
            only_from_generation=quantity in device.only_from_generation(),
            may_leave=device.may_leave,
        )
        for device in devices
        for quantity, (carrier, direction) in device.buses().items()
    )


def _net(flows: Iterable[BusFlow], step: int) -> Any:
    return sum((1 if f.direction == "in" else -1) * f.variable[step] for f in flows if step in f.variable)


def add_balances(block: Any, flows: Sequence[BusFlow], shape: GridShape) -> dict[Carrier, Any]:
    """One row per carrier and step; the rows by carrier."""
    rows: dict[Carrier, Any] = {}
    for carrier in dict.fromkeys(flow.carrier for flow in flows):
        at_bus = tuple(flow for flow in flows if flow.carrier == carrier)
        row = pyo.Constraint(range(shape.steps), rule=lambda b, t, at_bus=at_bus: _net(at_bus, t) == 0)
        block.add_component(f"{carrier}_balance", row)
        rows[carrier] = row
    return rows


def add_generation_limits(block: Any, flows: Sequence[BusFlow], shape: GridShape) -> None:
    """Storage behind the meter does not feed the grid (RULES 1.5): such flows are at most the generation."""
    for flow in flows:
        if flow.only_from_generation:
            sources = tuple(f for f in flows if f.generated and f.carrier == flow.carrier)
            row = pyo.Constraint(
                range(shape.steps),
                rule=lambda b, t, v=flow.variable, s=sources: v[t] <= sum(f.variable[t] for f in s),
            )
            block.add_component(f"{flow.device}_{flow.quantity}_is_generation", row)


def add_feeder_limits(block: Any, flows: Sequence[BusFlow], feeders: Sequence[FeederLimit], shape: GridShape) -> None:
    """Rows on the net power behind each feeder, where any device there has a flow: two-sided, or one for each direction
    that does not count on what a car has against it."""
    for feeder in feeders:
        behind = devices_behind(feeder, feeders)
        members = tuple(f for f in flows if f.device in behind and f.carrier == "power")
        steps = [t for t in range(shape.steps) if any(t in f.variable for f in members)]
        limit = feeder.limit_kw
        if any(f.may_leave for f in members):
            sure = {way: tuple(f for f in members if f.direction == way or not f.may_leave) for way in ("in", "out")}
            row = pyo.Constraint(
                ("in", "out"),
                steps,
                rule=lambda b, way, t, at=sure, limit=limit: (1 if way == "in" else -1) * _net(at[way], t) <= limit,
            )
        else:
            row = pyo.Constraint(steps, rule=lambda b, t, at=members, limit=limit: (-limit, _net(at, t), limit))
        block.add_component(f"{feeder.id}_limit", row)
