"""The built site: devices offer flows and rows, balances add them up, once for each grid shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyomo.environ as pyo

from optimizer.balance import BusFlow, FeederLimit, add_balances, add_feeder_limits, add_generation_limits, bus_flows
from optimizer.choices import Choice, Choices, OneOf, WholeNumber, ZeroOrAtLeast
from optimizer.compiled import AffineEntries, AffineVector, CompiledModel, ParameterVector
from optimizer.devices.base import ON_OFF_EXACT_STEPS, PART_LOAD_EXACT_STEPS, Carrier, Cost, Device, Ports
from optimizer.places import Layout, find_places
from optimizer.program import Places
from optimizer.services.base import BuiltSite, Service, ServicePorts
from optimizer.time_grid import Array, GridShape


@dataclass(frozen=True)
class Exactness:
    """In how many steps from now discrete conditions are exact; later they are relaxed, and never executed so."""

    part_load_steps: int = PART_LOAD_EXACT_STEPS
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
    terms: tuple[tuple[str, ...], Places]
    """Names in the cost table, and for each cost its place among them."""
    compiled: CompiledModel
    layout: Layout
    choices: Choices
    """Either-or conditions; least part loads that are parameters at their first values."""
    least: AffineVector
    """Least part loads of those choices that have one, in their order."""
    service_ports: Mapping[str, ServicePorts] = field(default_factory=dict)

    def choices_at(self, parameters: Array) -> Choices:
        """The either-or conditions as they are at these parameter values."""
        if not self.least.matrix.nnz:
            return self.choices
        least = iter(self.least.at(parameters))
        at_these = (replace(c, minimum=float(next(least))) if isinstance(c, ZeroOrAtLeast) else c for c in self.choices)
        return Choices(c for c in at_these if not isinstance(c, ZeroOrAtLeast) or c.minimum > 0.0)


def build(
    devices: Sequence[Device],
    feeders: Sequence[FeederLimit],
    shape: GridShape,
    exactness: Exactness | None = None,
    services: Sequence[Service] = (),
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
    site = BuiltSite({device.id: device for device in devices}, ports, tuple(feeders))
    model.service = pyo.Block([service.id for service in services])
    sold = {service.id: service.add_to(model.service[service.id], site, shape) for service in services}
    costs = tuple(cost for port in ports.values() for cost in port.costs)
    costs += tuple(cost for port in sold.values() for cost in port.costs)
    blocks = {device.id: model.device[device.id] for device in devices}
    parameters = ParameterVector({**blocks, **{service.id: model.service[service.id] for service in services}})
    compiled = CompiledModel(parameters, model, costs)
    least = AffineEntries(parameters)
    own = _device_choices(ports, compiled, shape, exactness or Exactness(), least)
    choices = Choices([*own, *_service_choices(sold, compiled, least)])
    terms = _terms(costs, shape)
    layout = find_places(model, compiled, ports, flows, balances)
    return Model(shape, model, ports, flows, balances, costs, terms, compiled, layout, choices, least.freeze(), sold)


def _terms(costs: Sequence[Cost], shape: GridShape) -> tuple[tuple[str, ...], Places]:
    """The coarse steps' costs stand under one name, `tail`."""
    of_cost = ["tail" if cost.step is not None and cost.step >= shape.near else cost.term for cost in costs]
    names = tuple(dict.fromkeys(of_cost))
    return names, np.asarray([names.index(name) for name in of_cost], dtype=np.intp)


def _device_choices(
    ports: Mapping[str, Ports], compiled: CompiledModel, shape: GridShape, exactness: Exactness, least: AffineEntries
) -> list[Choice]:
    """Either-or conditions: one direction at a time in every near step, least part loads in the first hours."""
    found: list[Choice] = []
    exact = range(min(shape.near, exactness.part_load_steps))
    near_decisions = range(min(shape.near, exactness.on_off_steps))
    for device, port in ports.items():
        for a, b in port.exclusive:
            family = f"{device}.direction"
            found += [OneOf(compiled.column(a[t]), compiled.column(b[t]), family) for t in range(shape.near)]
        for part in port.semicontinuous:
            family = part.family or f"{device}.part_load"
            for t in exact:
                minimum = part.minimum if isinstance(part.minimum, int | float) else part.minimum[t]
                least.add(minimum)
                column = compiled.column(part.variable[t])
                found.append(ZeroOrAtLeast(column, float(pyo.value(minimum)), family, part.may_cycle))
        for decision in port.decisions:
            family = f"{device}.on_off"
            found += [WholeNumber(compiled.column(decision[t]), family) for t in near_decisions]
    return found


def _service_choices(ports: Mapping[str, ServicePorts], compiled: CompiledModel, least: AffineEntries) -> list[Choice]:
    """Of services every either-or condition is exact: they decide whether something is paid at all."""
    found: list[Choice] = []
    for service, port in ports.items():
        for a, b in port.exclusive:
            found += [OneOf(compiled.column(a[i]), compiled.column(b[i]), f"{service}.counted") for i in a]
        for part in port.semicontinuous:
            for i in part.variable:
                least.add(part.minimum)
                column = compiled.column(part.variable[i])
                found.append(ZeroOrAtLeast(column, part.minimum, f"{service}.floor", may_cycle=False))
    return found
