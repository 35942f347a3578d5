"""What every service promises: parameters, model rows over the devices' flows, and an account that shares no code with
the rows.

A service is one frozen pydantic class in one file. It owns no flow: it reads those of the devices. Its account says,
from the flows of a plan alone, what the service earns or costs by named term, and which of its limits gave way.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from optimizer.balance import FeederLimit
from optimizer.devices.base import Cost, Device, DeviceId, Ports, Semicontinuous
from optimizer.plan import GivenWay, Plan
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

Devices = Mapping[str, Device]
"""The site's devices by id."""

GAVE_WAY_ABOVE = 1e-4
"""Amounts below this are rounding of the solver, not a limit that gave way."""


@dataclass(frozen=True)
class BuiltSite:
    """The devices with the variables of a model that is being built."""

    devices: Devices
    ports: Mapping[str, Ports]
    feeders: tuple[FeederLimit, ...]

    @property
    def connection(self) -> str:
        return connection_of(self.devices).id


@dataclass(frozen=True)
class ServicePorts:
    """What a service's block offers to the planner. Pairs and semicontinuous variables are indexed alike."""

    costs: tuple[Cost, ...] = ()
    exclusive: tuple[tuple[Any, Any], ...] = ()
    semicontinuous: tuple[Semicontinuous, ...] = ()
    held_up_kw: Mapping[str, Any] = field(default_factory=dict)
    """By device: power held back in each near step that can be added when called."""
    held_down_kw: Mapping[str, Any] = field(default_factory=dict)
    """By device: power that can be taken when called."""


@dataclass(frozen=True)
class Account:
    """What a plan's flows mean to one service."""

    cost: Mapping[str, float]
    """Money by term, over the near steps; income is below 0."""
    given_way: tuple[GivenWay, ...] = ()


class Service(BaseModel):
    """Base of all services: the class is the schema, the default, the documentation and the validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    may_be_called: ClassVar[bool] = True
    """Whether what its devices hold may be called at any moment, so that nothing else is to use it."""

    id: DeviceId
    """Name of the service in files, events and plans; unique in the site."""

    @abstractmethod
    def add_to(self, block: Any, site: BuiltSite, shape: GridShape) -> ServicePorts:
        """Declares parameters, variables and rows on a Pyomo block."""

    @abstractmethod
    def inputs(self, situation: Situation, devices: Devices) -> dict[str, Array | float]:
        """A value for every mutable parameter that `add_to` declared."""

    @abstractmethod
    def account(self, situation: Situation, plan: Plan, devices: Devices) -> Account:
        """What the plan's flows earn, cost and fail to keep, worked out without the model."""

    def broken_promises(
        self, situation: Situation, plan: Plan, devices: Devices, feeders: Sequence[FeederLimit]
    ) -> list[tuple[str, int, float]]:
        """What the plan says it holds and the devices could not deliver: what, step, amount."""
        return []

    def problems(self, devices: Devices) -> list[tuple[str, Any, str]]:
        """What does not fit the site, as field, value and what to do."""
        return []


def connection_of(devices: Devices) -> Device:
    """The site's grid connection."""
    return next(device for device in devices.values() if "import_kw" in device.buses())


def not_able(names: Sequence[str], kinds: Sequence[str], devices: Devices) -> list[tuple[str, Any, str]]:
    """Devices that a service names and that cannot hold power back for it: field, value and what to do."""
    found: list[tuple[str, Any, str]] = []
    for place, name in enumerate(names):
        device = devices.get(name)
        if getattr(device, "kind", None) not in kinds:
            what = " or ".join(kind.replace("_", " ") for kind in kinds)
            found.append((f"devices.{place}", name, f"is no {what} of this site: correct the id or remove it"))
        elif getattr(device, "discharge_limit_by_soc", ()) or getattr(device, "charge_limit_by_soc", ()):
            message = "has power limits that change with its charge, which cannot be promised: remove it or the limits"
            found.append((f"devices.{place}", name, message))
    return found


def gave_way(values: Array, times: Sequence[datetime], name: tuple[str, str, str]) -> tuple[GivenWay, ...]:
    """The greatest of (near,) amounts by which a limit gave way, and when it first did; empty when it was kept."""
    worst = float(np.max(values, initial=0.0))
    if worst <= GAVE_WAY_ABOVE:
        return ()
    service, limit, unit = name
    return (GivenWay(service, limit, worst, unit, times[int(np.argmax(values > GAVE_WAY_ABOVE))]),)
