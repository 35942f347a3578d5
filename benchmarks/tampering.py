"""A plan with what it was made for, and the small changes that mutations are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice
from optimizer.plan import FlowSeries, Plan
from optimizer.pricing import cost_table
from optimizer.situation import Situation
from optimizer.time_grid import Array
from optimizer.verify import PAID_BY_STEP

Rng = np.random.Generator
BIG_KW = 1.0
"""Flows below this are not worth tampering with where a limit is drawn below them."""


@dataclass(frozen=True)
class Case:
    """A plan with what it was made for; a mutation changes the plan, or a limit it was made for."""

    devices: tuple[AnyDevice, ...]
    feeders: tuple[FeederLimit, ...]
    situation: Situation
    plan: Plan

    @property
    def near(self) -> int:
        return self.plan.grid.near

    @property
    def hours(self) -> float:
        return self.plan.grid.step_hours

    @cached_property
    def conditions(self) -> Mapping[str, Mapping[str, Array]]:
        return {device.id: device.conditions(self.situation) for device in self.devices}

    def of_kind(self, kind: str) -> list[Any]:
        return [device for device in self.devices if device.kind == kind]

    def kw(self, device: str, quantity: str) -> Array:
        return self.plan.flow(device, quantity)

    def energy(self, device: str, state: str = "energy_kwh") -> Array:
        return self.plan.states[device][state]

    def with_plan(self, **changes: Any) -> Case:
        return replace(self, plan=replace(self.plan, **changes))

    def with_kw(self, device: str, quantity: str, values: Array) -> Case:
        """Another flow; where it is worth money, the cost table follows."""
        flows = tuple(
            replace(f, kw=values) if (f.device, f.quantity) == (device, quantity) else f for f in self.plan.flows
        )
        if values.shape != (self.near,) or not np.isfinite(values).all():
            return self.with_plan(flows=flows)
        paid = cost_table(self.devices, self.situation, flows, self.plan.states)
        paid = {term: cost for term, cost in paid.items() if term in PAID_BY_STEP}
        return self.with_plan(flows=flows, cost={**self.plan.cost, **paid})

    def set_kw(self, device: str, quantity: str, step: int, kw: float) -> Case:
        values = self.kw(device, quantity).copy()
        values[step] = kw
        return self.with_kw(device, quantity, values)

    def add_kw(self, device: str, quantity: str, step: int, kw: float) -> Case:
        return self.set_kw(device, quantity, step, float(self.kw(device, quantity)[step]) + kw)

    def with_state(self, device: str, state: str, values: Array) -> Case:
        return self.with_plan(states={**self.plan.states, device: {**self.plan.states[device], state: values}})

    def with_energy_from(self, device: str, step: int, kwh: float, state: str = "energy_kwh") -> Case:
        """The stored energy after `step` higher by `kwh` for good."""
        values = self.energy(device, state).copy()
        values[step + 1 :] += kwh
        return self.with_state(device, state, values)

    def with_device(self, device: str, **changes: Any) -> Case:
        """Another device in its place: a limit that is tighter than the one planned for."""
        return replace(self, devices=tuple(d.model_copy(update=changes) if d.id == device else d for d in self.devices))

    def bought(self, step: int, kw: float) -> Case:
        """The power balance closed with `kw` more of import (less, or export, where it is below 0)."""
        taken = float(self.kw("grid", "import_kw")[step]) + kw
        case = self.set_kw("grid", "import_kw", step, max(0.0, taken))
        return case.add_kw("grid", "export_kw", step, max(0.0, -taken))


def one(rng: Rng, found: Any) -> Any:
    """One of these, or None where there is none."""
    return found[int(rng.integers(0, len(found)))] if len(found) else None


def steps(rng: Rng, where: Array) -> int | None:
    found = np.flatnonzero(where)
    return int(one(rng, found)) if len(found) else None


def any_flow(case: Case, rng: Rng) -> tuple[FlowSeries, int]:
    return one(rng, case.plan.flows), int(rng.integers(0, case.near))


def with_any_kw(case: Case, rng: Rng, change: Callable[[float], float]) -> Case:
    flow, step = any_flow(case, rng)
    return case.set_kw(flow.device, flow.quantity, step, change(float(flow.kw[step])))


def any_store(case: Case, rng: Rng) -> tuple[str, str] | None:
    return one(rng, [(device, state) for device, states in case.plan.states.items() for state in states])
