"""Carbon limit: what import and fuel emit in a local day stays under a limit, or the excess has a price.

    emitted so far[d] + Σ_t in[d,t]·f_grid[t]·import[t]·Δt + Σ_q f_q·in[d,t]·q[t]·Δt ≤ L + over[d]     (1)
    cost = Σ c_over·over[d]                                                                            (2)

d are the local days that the near steps touch; of the last one only the part inside counts, which is a bound that the
whole day must keep as well. f_grid is the grid's factor, f_q that of a fuel where it enters the site: gas at its
supply, so that gas of an engine or a boiler counts once. Export gives no credit (RULES 7).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyomo.environ as pyo

from optimizer.devices.base import Cost, NotNegative, Positive
from optimizer.plan import GivenWay, Plan
from optimizer.services.base import GAVE_WAY_ABOVE, Account, BuiltSite, Devices, Service, ServicePorts
from optimizer.services.emissions import emitting_flows, kg_per_kwh
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

TERM = "carbon_limit"
DAYS = 4
"""Local dates that 72 hours can touch."""


class CarbonLimit(Service):
    """Holds the emissions of each day under a limit."""

    kind: Literal["carbon_limit"] = "carbon_limit"
    kg_per_day: NotNegative
    """What a local day may emit, by grid import and fuel [kg CO2]."""
    price_per_kg: Positive = 1.0
    """Price of a kg above it [money/kg CO2]."""

    def add_to(self, block: Any, site: BuiltSite, shape: GridShape) -> ServicePorts:
        near, days = range(shape.near), range(DAYS)
        flows = emitting_flows(site.devices)
        block.left_kg = pyo.Param(days, mutable=True, initialize=self.kg_per_day)
        block.over_kg = pyo.Var(days, bounds=(0, None))
        for place, _ in enumerate(flows):
            block.add_component(f"weight_{place}", pyo.Param(days, near, mutable=True, initialize=0.0))

        @block.Constraint(days)
        def emissions_stay_under_the_limit(b: Any, d: int) -> Any:  # (1)
            emitted = sum(
                b.component(f"weight_{place}")[d, t] * site.ports[device].flows[quantity][t]
                for place, (device, quantity) in enumerate(flows)
                for t in near
            )
            return emitted - b.over_kg[d] <= b.left_kg[d]

        return ServicePorts(tuple(Cost(TERM, self.price_per_kg * block.over_kg[d]) for d in days))  # (2)

    def inputs(self, situation: Situation, devices: Devices) -> dict[str, Array | float]:
        near = situation.grid.near
        inside = np.array([situation.days[:near] == day for day in range(DAYS)], dtype=float)
        left = np.full(DAYS, self.kg_per_day)
        left[0] -= self._kg_so_far(situation)
        weights = {
            f"weight_{place}": (inside * kg_per_kwh(devices, device, quantity, situation)[:near]).ravel()
            * situation.grid.step_hours
            for place, (device, quantity) in enumerate(emitting_flows(devices))
        }
        return {"left_kg": left, **weights}

    def _kg_so_far(self, situation: Situation) -> float:
        """Emitted since local midnight."""
        return situation.start_of(self.id, "today_kg", 0.0)

    def account(self, situation: Situation, plan: Plan, devices: Devices) -> Account:
        near = situation.grid.near
        kg = np.zeros(near)
        for device, quantity in emitting_flows(devices):
            factor = kg_per_kwh(devices, device, quantity, situation)[:near]
            kg += factor * plan.flow(device, quantity) * situation.grid.step_hours
        over, given_way = 0.0, []
        for day in dict.fromkeys(situation.days[:near]):
            steps = np.flatnonzero(situation.days[:near] == day)
            before = self._kg_so_far(situation) if day == 0 else 0.0
            excess = max(0.0, before + float(kg[steps].sum()) - self.kg_per_day)
            over += excess
            if excess > GAVE_WAY_ABOVE:
                first = situation.grid.near_times[int(steps[0])]
                given_way.append(GivenWay(self.id, f"kg_per_day {int(day)}", excess, "kg", first))
        return Account({TERM: over * self.price_per_kg}, tuple(given_way))
