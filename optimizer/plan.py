"""The answer: a plan as a value, and the document that the outside reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from optimizer.devices.base import Carrier, Direction
from optimizer.time_grid import Array, TimeGrid

PlanStatus = Literal["optimal", "feasible", "shifted", "rules"]
"""How the answer was found: proven within the gap, best found without proof, the last plan moved on, or rules."""


class Text(BaseModel):
    """One sentence in the two languages of the contract parties."""

    model_config = ConfigDict(frozen=True)
    zh: str
    en: str


@dataclass(frozen=True)
class FlowSeries:
    """(near,) kW >= 0 of one flow, seen from the carrier's bus."""

    device: str
    carrier: Carrier
    direction: Direction
    quantity: str
    kw: Array


@dataclass(frozen=True)
class Setpoint:
    """What one device is told for one step: `target_kw` > 0 feeds the bus, < 0 takes from it."""

    device: str
    target_kw: float
    safe_value_kw: float
    valid_from: datetime
    valid_until: datetime
    reason: Text
    room_kw: tuple[float, float] | None = None
    """Least and greatest power to which fast local control may move the device within the step without breaking what
    the plan promises (energy limits, cars that are due); None: it is not to be moved."""
    self_supply_kw: tuple[float, float] | None = None
    """Least and greatest power, the target between them, within which the device is to keep the connection at zero in
    place of its target; None: it keeps to its target."""


@dataclass(frozen=True)
class GivenWay:
    """A soft limit that could not be kept, by how much, and when first."""

    device: str
    limit: str
    amount: float
    unit: str
    first: datetime


@dataclass(frozen=True)
class HeldReserve:
    """(near,) kW >= 0 that one device holds for a service: to add (`up`) or to take (`down`) when it is called."""

    service: str
    device: str
    way: str
    kw: Array


@dataclass(frozen=True)
class ScenarioOutcome:
    """What the scenarios of a plan come to, each as likely as the others."""

    costs: tuple[float, ...]
    """Cost of each scenario over the whole horizon, the central one first [money]."""
    risk_weight: float
    risk_level: float

    @property
    def expected_cost(self) -> float:
        return float(np.mean(self.costs))

    @property
    def cvar(self) -> float:
        """Mean cost of the dearest 1 - risk_level: the least of η + mean((cost - η)⁺) / (1 - risk_level) (Rockafellar
        and Uryasev 2000, theorem 1), which is found at one of the costs."""
        costs = np.asarray(self.costs)
        excess = np.maximum(costs[None, :] - costs[:, None], 0.0).mean(axis=1)
        return float(np.min(costs + excess / (1.0 - self.risk_level)))


@dataclass(frozen=True)
class Plan:
    """A plan for the near steps of `grid`; costs cover the whole horizon, the coarse tail under the term `tail`."""

    site: str
    issued_at: datetime
    grid: TimeGrid
    status: PlanStatus
    flows: tuple[FlowSeries, ...]
    states: Mapping[str, Mapping[str, Array]]
    """By device and state: (near + 1,) values."""
    import_per_kwh: Array
    export_per_kwh: Array
    cost: Mapping[str, float]
    setpoints: tuple[Setpoint, ...] = ()
    shadow_prices: Mapping[str, Array] = field(default_factory=dict)
    """By carrier: (near,) money per kWh."""
    limits_given_way: tuple[GivenWay, ...] = ()
    grid_limit_kw: float | None = None
    """Import the site must stay under in the first step (the month's peak as planned)."""
    gap: float | None = None
    solves: int = 0
    time_ms: Mapping[str, float] = field(default_factory=dict)
    scenarios: ScenarioOutcome | None = None
    """What the scenarios come to, where the plan was made for several; `cost` is that of the central one."""
    note: str = ""
    """Why it is not an optimal plan; empty when it is."""
    held: tuple[HeldReserve, ...] = ()
    """Reserve that is held for services; empty for sites that sell none."""

    def steps_until(self, grid: TimeGrid) -> int | None:
        """Near steps from this plan's start to the start of `grid`; None where its near steps do not reach there."""
        if self.grid.step_minutes != grid.step_minutes:
            return None
        steps = round((grid.start - self.grid.start) / timedelta(minutes=grid.step_minutes))
        return steps if 0 <= steps < self.grid.near else None

    @cached_property
    def by_device(self) -> Mapping[str, Mapping[str, Array]]:
        """(near,) kW of every flow, by device and quantity."""
        found: dict[str, dict[str, Array]] = {}
        for flow in self.flows:
            found.setdefault(flow.device, {})[flow.quantity] = flow.kw
        return found

    def flow(self, device: str, quantity: str) -> Array:
        try:
            return self.by_device[device][quantity]
        except KeyError:
            raise KeyError(f"plan of {self.site} has no flow {quantity} of {device}") from None

    def asked_at(self, device: str, step: int) -> dict[str, float]:
        """Flows of one device in one step, by quantity."""
        return {quantity: float(kw[step]) for quantity, kw in self.by_device.get(device, {}).items()}

    def states_at(self, step: int) -> dict[str, dict[str, float]]:
        """States at the start of a near step, by device and name."""
        return {device: {name: float(v[step]) for name, v in states.items()} for device, states in self.states.items()}

    @property
    def total_cost(self) -> float:
        return float(sum(self.cost.values()))

    @property
    def plan_id(self) -> str:
        """Deterministic: the same site and interval give the same id."""
        return f"{self.site}:{self.grid.start:%Y%m%dT%H%MZ}"

    @property
    def content_hash(self) -> str:
        """SHA-256 of what the plan decides (not of how long it took)."""
        unused = {"time_ms"} if self.scenarios else {"time_ms", "scenarios"}
        document = self.document().model_dump(mode="json", exclude=unused)
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def document(self, repairs: tuple[str, ...] = ()) -> PlanDocument:
        near = self.grid.near_times
        return PlanDocument(
            site=self.site,
            issued_at=self.issued_at,
            step_minutes=self.grid.step_minutes,
            status=self.status,
            gap=self.gap,
            solves=self.solves,
            time_ms=dict(self.time_ms),
            times=list(near),
            horizon_end=self.grid.end,
            flows=[
                FlowDocument(
                    device=f.device, carrier=f.carrier, direction=f.direction, quantity=f.quantity, kw=_list(f.kw)
                )
                for f in self.flows
            ],
            states={device: {name: _list(v) for name, v in states.items()} for device, states in self.states.items()},
            prices={"import_per_kwh": _list(self.import_per_kwh), "export_per_kwh": _list(self.export_per_kwh)},
            shadow_prices={carrier: _list(v) for carrier, v in self.shadow_prices.items()},
            cost={**{k: float(v) for k, v in self.cost.items()}, "total": self.total_cost},
            limits_given_way=[
                GivenWayDocument(device=g.device, limit=g.limit, amount=g.amount, unit=g.unit, first=g.first)
                for g in self.limits_given_way
            ],
            grid_limit_kw=self.grid_limit_kw,
            setpoints=[
                SetpointDocument(
                    device=s.device,
                    target_kw=s.target_kw,
                    safe_value_kw=s.safe_value_kw,
                    valid_from=s.valid_from,
                    valid_until=s.valid_until,
                    reason=s.reason,
                    room_kw=s.room_kw,
                    self_supply_kw=s.self_supply_kw,
                )
                for s in self.setpoints
            ],
            scenarios=None if self.scenarios is None else _scenarios(self.scenarios),
            note=self.note,
            repairs=list(repairs),
            held=[HeldDocument(service=h.service, device=h.device, way=h.way, kw=_list(h.kw)) for h in self.held],
        )


class FlowDocument(BaseModel):
    device: str
    carrier: Carrier
    direction: Direction
    quantity: str
    kw: list[float]


class HeldDocument(BaseModel):
    service: str
    device: str
    way: str
    kw: list[float]


class GivenWayDocument(BaseModel):
    device: str
    limit: str
    amount: float
    unit: str
    first: datetime


class SetpointDocument(BaseModel):
    device: str
    target_kw: float
    safe_value_kw: float
    valid_from: datetime
    valid_until: datetime
    reason: Text
    room_kw: tuple[float, float] | None = None
    """Least and greatest power to which fast local control may move the device; null: it is not to be moved."""
    self_supply_kw: tuple[float, float] | None = None
    """Least and greatest power within which the device keeps the connection at zero; null: it keeps to its target."""


class ScenariosDocument(BaseModel):
    costs: list[float]
    """Of each scenario over the whole horizon, the central one first."""
    expected_cost: float
    cvar: float
    risk_weight: float
    risk_level: float


class PlanDocument(BaseModel):
    """What `quartet plan --json` prints. Flows are seen from the carrier's bus: `in` feeds it, `out` takes from it."""

    model_config = ConfigDict(allow_inf_nan=False)
    site: str
    issued_at: datetime
    step_minutes: int
    status: PlanStatus
    gap: float | None
    solves: int
    time_ms: dict[str, float]
    times: list[datetime]
    horizon_end: datetime
    flows: list[FlowDocument]
    states: dict[str, dict[str, list[float]]]
    prices: dict[str, list[float]]
    shadow_prices: dict[str, list[float]]
    cost: dict[str, float]
    limits_given_way: list[GivenWayDocument]
    grid_limit_kw: float | None
    setpoints: list[SetpointDocument]
    scenarios: ScenariosDocument | None = None
    note: str
    repairs: list[str]
    held: list[HeldDocument] = []


def _scenarios(outcome: ScenarioOutcome) -> ScenariosDocument:
    return ScenariosDocument(
        costs=list(outcome.costs),
        expected_cost=outcome.expected_cost,
        cvar=outcome.cvar,
        risk_weight=outcome.risk_weight,
        risk_level=outcome.risk_level,
    )


def _list(values: Array) -> list[float]:
    return [float(v) for v in np.asarray(values, dtype=float)]


GAVE_WAY_ABOVE = 1e-4
"""A limit that gives way by less than this is kept [its unit]."""
SETPOINT_LIFE_STEPS = 4 / 3
"""Life of a setpoint in control intervals: 20 minutes for a 15-minute cycle (RULES 8)."""
