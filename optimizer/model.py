"""The built site: devices offer flows and rows, balances add them up, once for each grid shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from optimizer.balance import BusFlow, FeederLimit, add_balances, add_feeder_limits, add_generation_limits, bus_flows
from optimizer.compiled import CompiledModel, ParameterVector
from optimizer.devices.base import ON_OFF_EXACT_STEPS, Carrier, Cost, Device, Ports
from optimizer.places import Places, find_places
from optimizer.solver import Choice, OneOf, WholeNumber, ZeroOrAtLeast
from optimizer.time_grid import GridShape


@dataclass(frozen=True)
class Exactness:
    """In how many steps from now discrete conditions are exact; later they are relaxed, and never executed so."""

    part_load_steps: int = 8
    """Least part loads of machines that may cycle."""
    on_off_steps: int = ON_OFF_EXACT_STEPS
    """On/off decisions."""


@dataclass(frozen=True)
class Model:
    """A built site: the Pyomo model, its arrays, and where to find everything in an answer."""

    shape: GridShape
    pyomo: Any
    ports: Mapping[str, Ports]
    flows: tuple[BusFlow, ...]
    balances: Mapping[Carrier, Any]
    costs: tuple[Cost, ...]
    compiled: CompiledModel
    choices: tuple[Choice, ...]
    places: Places


def build(
    devices: Sequence[Device], feeders: Sequence[FeederLimit], shape: GridShape, exactness: Exactness | None = None
) -> Model:
    """The whole site as rows: devices offer flows, balances add them up."""
    model = pyo.ConcreteModel()
    model.device = pyo.Block([device.id for device in devices])
    ports: dict[str, Ports] = {}
    for device in devices:
        ports[device.id] = device.add_to(model.device[device.id], shape)
    flows = bus_flows(devices, ports)
    model.site = pyo.Block(concrete=True)
    balances = add_balances(model.site, flows, shape)
    add_generation_limits(model.site, flows, shape)
    add_feeder_limits(model.site, flows, feeders, shape)
    costs = tuple(cost for port in ports.values() for cost in port.costs)
    parameters = ParameterVector({device.id: model.device[device.id] for device in devices})
    compiled = CompiledModel(parameters, model, costs)
    choices = _choices(ports, compiled, shape, exactness or Exactness())
    places = find_places(model, compiled, ports, flows, balances)
    return Model(shape, model, ports, flows, balances, costs, compiled, choices, places)


def _choices(
    ports: Mapping[str, Ports], compiled: CompiledModel, shape: GridShape, exactness: Exactness
) -> tuple[Choice, ...]:
    """Either-or conditions: one direction at a time in every near step, least part loads in the first hours."""
    found: list[Choice] = []
    exact = range(min(shape.near, exactness.part_load_steps))
    near_decisions = range(min(shape.near, exactness.on_off_steps))
    for device, port in ports.items():
        for a, b in port.exclusive:
            family = f"{device}.direction"
            found += [OneOf(compiled.column(a[t]), compiled.column(b[t]), family) for t in range(shape.near)]
        for part in port.semicontinuous:
            family = f"{device}.part_load"
            found += [ZeroOrAtLeast(compiled.column(part.variable[t]), part.minimum, family) for t in exact]
        for decision in port.decisions:
            family = f"{device}.on_off"
            found += [WholeNumber(compiled.column(decision[t]), family) for t in near_decisions]
    return tuple(found)
