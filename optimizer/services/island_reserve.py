"""Island reserve: at every moment, stores and backup generators could carry the critical load for some hours.

    carried[i,t] ≤ P_i                                            (1)
    carried[i,t] ≤ (e_i[t+1] - e_min,i)·η_i/H                     (2)
    Σ_i carried[i,t] + Σ_g P_g + short[t] ≥ critical[t]           (3)
    cost = Σ c_short·short[t]·Δt[t]                               (4)

H are the hours to be carried. A store gives a steady power for H hours exactly when that is within its power limit (1)
and its energy above the minimum, after discharge losses, lasts (2); so (3) is exact for a steady critical load. Where
the critical load is a share of a forecast, its highest value of the hours ahead is taken as steady. PV, CHP and cars
are not counted on. What the rows hold is the state at the end of each step: that at its beginning is given.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pyomo.environ as pyo
from pydantic import Field

from optimizer.devices.base import Cost, DeviceId, Fraction, NotNegative, Positive
from optimizer.plan import Plan
from optimizer.services.base import Account, BuiltSite, Devices, Service, ServicePorts, gave_way, not_able
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape, TimeGrid

TERM = "island_reserve"
ROUNDING_H = 1e-9


class IslandReserve(Service):
    """Keeps enough stored to go on without the grid."""

    kind: Literal["island_reserve"] = "island_reserve"
    hours: Annotated[float, Field(gt=0, le=72)]
    """How long the critical load is to be carried [h]."""
    critical_kw: NotNegative = 0.0
    """Critical load that is always there [kW]."""
    critical_shares: dict[DeviceId, Fraction] = Field(default_factory=dict)
    """Share of each load that is critical beside it [-]."""
    devices: tuple[DeviceId, ...] = Field(min_length=1)
    """Batteries and backup generators that carry it."""
    shortfall_price_per_kwh: Positive = 20.0
    """Price of a kW that could not be carried, for each hour in which that is so [money/kWh]."""

    def add_to(self, block: Any, site: BuiltSite, shape: GridShape) -> ServicePorts:
        steps = range(shape.steps)
        stores = [name for name in self.devices if site.ports[name].headroom is not None]
        steady = sum(site.devices[name].carries_kw({}, self.hours) for name in self.devices if name not in stores)
        block.hours = pyo.Param(steps, mutable=True, initialize=0.25)
        block.critical_kw = pyo.Param(steps, mutable=True, initialize=0.0)
        block.short_kw = pyo.Var(steps, bounds=(0, None))
        block.carried_kw = pyo.Var(stores, steps, bounds=lambda b, i, t: (None, _discharge_limit_kw(site, i)))  # (1)

        @block.Constraint(stores, steps)
        def carried_by_what_is_stored(b: Any, i: str, t: int) -> Any:  # (2)
            headroom = site.ports[i].headroom
            assert headroom is not None
            (above,) = headroom.above_least_kwh(t)
            return b.carried_kw[i, t] <= above * headroom.discharge_efficiency / self.hours

        @block.Constraint(steps)
        def critical_load_is_carried_or_named(b: Any, t: int) -> Any:  # (3)
            return sum(b.carried_kw[i, t] for i in stores) + steady + b.short_kw[t] >= b.critical_kw[t]

        price = self.shortfall_price_per_kwh
        return ServicePorts(tuple(Cost(TERM, price * block.hours[t] * block.short_kw[t], t) for t in steps))  # (4)

    def inputs(self, situation: Situation, devices: Devices) -> dict[str, Array | float]:
        return {"hours": situation.grid.hours, "critical_kw": self._critical_kw(situation)}

    def _critical_kw(self, situation: Situation) -> Array:
        """(n,) the highest critical load from each step's end through the hours ahead, as far as they are known."""
        shares = self.critical_shares.items()
        own = sum(
            (share * situation.need(f"{load}.demand_kw") for load, share in shares), np.zeros(situation.shape.steps)
        )
        return self.critical_kw + _highest_ahead(np.maximum(own, 0.0), situation.grid, self.hours)

    def account(self, situation: Situation, plan: Plan, devices: Devices) -> Account:
        grid = situation.grid
        carried = np.zeros(grid.near)
        for name in self.devices:
            states = plan.states.get(name, {})
            for t in range(grid.near):
                after = {quantity: float(values[t + 1]) for quantity, values in states.items()}
                carried[t] += devices[name].carries_kw(after, self.hours)
        short = np.maximum(self._critical_kw(situation)[: grid.near] - carried, 0.0)
        cost = float(short.sum()) * grid.step_hours * self.shortfall_price_per_kwh
        return Account({TERM: cost}, gave_way(short, grid.near_times, (self.id, "island_reserve", "kW")))

    def problems(self, devices: Devices) -> list[tuple[str, Any, str]]:
        known = _series_of(devices)
        found = not_able(self.devices, ("battery", "backup_generator"), devices)
        wrong = [load for load in self.critical_shares if f"{load}.demand_kw" not in known]
        message = "is no load of this site: correct the id or remove it"
        return found + [(f"critical_shares.{load}", load, message) for load in wrong]


def _discharge_limit_kw(site: BuiltSite, name: str) -> float:
    return site.devices[name].bounds_kw()[1]


def _series_of(devices: Devices) -> set[str]:
    return {series for device in devices.values() for series in device.required_series()}


def _highest_ahead(values: Array, grid: TimeGrid, hours: float) -> Array:
    """(n,) highest value of the steps that begin within `hours` of each step's end; of its own where none follows."""
    hours_of_steps = grid.hours
    ends = np.cumsum(hours_of_steps)
    starts = ends - hours_of_steps
    within = (starts >= ends[:, None] - ROUNDING_H) & (starts < ends[:, None] + hours - ROUNDING_H)
    ahead = np.where(within & (hours_of_steps > 0), values, -np.inf).max(axis=1)
    return np.where(np.isfinite(ahead), ahead, values)
