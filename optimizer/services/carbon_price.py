"""Carbon price: an advisory cost of what grid import and fuel emit.

    carbon = Σ p·f[t]·flow[t]·Δt[t]     over import and the fuels where they enter the site

It steers the plan and stands in its cost table; it is in no bill. A site sets it as `carbon.price_per_kg`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import Cost, NotNegative
from optimizer.plan import Plan
from optimizer.services.base import Account, BuiltSite, Devices, Service, ServicePorts
from optimizer.services.emissions import emitting_flows, kg_per_kwh
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

TERM = "carbon"


class CarbonPrice(Service):
    """Counts emissions as a cost."""

    kind: Literal["carbon_price"] = "carbon_price"
    price_per_kg: NotNegative
    """Price of emissions [money/kg CO2]."""

    def add_to(self, block: Any, site: BuiltSite, shape: GridShape) -> ServicePorts:
        steps = range(shape.steps)
        costs = []
        for place, (device, quantity) in enumerate(emitting_flows(site.devices)):
            block.add_component(f"price_{place}", pyo.Param(steps, mutable=True, initialize=0.0))
            price, flow = block.component(f"price_{place}"), site.ports[device].flows[quantity]
            costs += [Cost(TERM, price[t] * flow[t], t) for t in steps]
        return ServicePorts(tuple(costs))

    def inputs(self, situation: Situation, devices: Devices) -> dict[str, Array | float]:
        return {
            f"price_{place}": self.price_per_kg
            * kg_per_kwh(devices, device, quantity, situation)
            * situation.grid.hours
            for place, (device, quantity) in enumerate(emitting_flows(devices))
        }

    def account(self, situation: Situation, plan: Plan, devices: Devices) -> Account:
        near, hours = situation.grid.near, situation.grid.step_hours
        kg = sum(
            float(np.dot(kg_per_kwh(devices, device, quantity, situation)[:near], plan.flow(device, quantity))) * hours
            for device, quantity in emitting_flows(devices)
        )
        return Account({TERM: self.price_per_kg * kg})
