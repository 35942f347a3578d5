"""Peak course: batteries stay able to bear a day that draws more than its forecast, hour after hour.

    taken[t] = taken[t-1] + (more[t] - η·back[t])·Δt,   taken[0] = 0                                              (1)
    0 ≤ taken[t] ≤ Σ_i η_d,i·(e_i[t+1] - e_min,i)                                                                 (2)
    0 ≤ more[t] ≤ Σ_i P_i - discharge_i[t] + charge_i[t],   0 ≤ back[t] ≤ Σ_i C_i - charge_i[t] + discharge_i[t]   (3)
    beyond[k] ≥ import[t] + m·margin[t] - D - more[t] + back[t],   beyond ≥ 0                                     (4)
    cost = w·c·p·Σ_k beyond[k]                                                                                    (5)

Beside the plan runs a second course of the same batteries, on a day that draws m margins more in every near step but
the first: more is what they give beyond the plan, back what they are charged beyond it, taken the energy by which the
course is behind the plan, as it could be given out. D is the planned peak of the demand line that applies and p its
price, η the mean efficiency there and back, k the window of t. The first step is decided now and is the same in both.

The peak reserve keeps half an hour of the margin in every step. But what a day draws above its forecast it draws for
hours: a plan that sells most of a battery in the first of seven hours of one price meets such an evening with half an
hour of it. c is the chance that a rise today is billed, and that of a day of the month at least: w is small, so that
the course decides between hours of about equal price, costs little in the month's first days and keeps nothing dear.
The windows are there because one step that cannot be borne in any way would make all others free.

It holds where one demand line applies and demand is measured over one step; elsewhere the plan is as without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyomo.environ as pyo
from pydantic import Field
from scipy.optimize import linprog

from optimizer.devices.base import Cost, DeviceId
from optimizer.devices.battery import Battery
from optimizer.plan import Plan
from optimizer.services.base import Account, BuiltSite, Devices, Service, ServicePorts, connection_of, not_able
from optimizer.services.import_margin import (
    ONE_OF_A_MONTH,
    applying_line,
    chance_of_being_billed,
    margin_kw,
    prices_by_line,
    window_of,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

TERM = "peak_course"
MARGINS = 0.65
"""m of (4): the margin is that of single steps; hours on end lie nearer to the forecast."""
WEIGHT = 1 / 5
"""w of (5)."""
WINDOWS = (1 / 12, 1 / 4, 1 / 2, 1.0)
"""Where the windows of (4) end, as shares of the near steps: of a day, after 2 h, 6 h, 12 h and 24 h."""


class PeakCourse(Service):
    """Keeps what a day above its forecast would take from the batteries."""

    may_be_called: ClassVar[bool] = False

    kind: Literal["peak_course"] = "peak_course"
    devices: tuple[DeviceId, ...] = Field(min_length=1)
    """Batteries that bear it together."""

    def add_to(self, block: Any, site: BuiltSite, shape: GridShape) -> ServicePorts:
        if not shape.demand:
            return ServicePorts()
        connection, steps = site.ports[site.connection], range(1, shape.near)
        rooms = [room for name in self.devices if (room := site.ports[name].headroom) is not None]
        both_ways = sum(room.charge_efficiency * room.discharge_efficiency for room in rooms) / len(rooms)
        block.margin_kw = pyo.Param(range(shape.near), mutable=True, initialize=0.0)
        block.hours = pyo.Param(mutable=True, initialize=0.25)
        block.more_kw = pyo.Var(steps, bounds=(0, None))
        block.back_kw = pyo.Var(steps, bounds=(0, None))
        block.taken_kwh = pyo.Var(steps, bounds=(0, None))

        @block.Constraint(steps)
        def energy_behind_the_plan(b: Any, t: int) -> Any:  # (1)
            before = b.taken_kwh[t - 1] if t > 1 else 0.0
            return b.taken_kwh[t] == before + b.hours * (b.more_kw[t] - both_ways * b.back_kw[t])

        @block.Constraint(steps)
        def day_is_borne_by_what_is_stored(b: Any, t: int) -> Any:  # (2)
            return b.taken_kwh[t] <= sum(room.above_least_kwh(t)[0] * room.discharge_efficiency for room in rooms)

        @block.Constraint(steps)
        def day_is_borne_within_power(b: Any, t: int) -> Any:  # (3)
            return b.more_kw[t] <= sum(room.up_kw(t) for room in rooms)

        @block.Constraint(steps)
        def day_is_made_up_within_power(b: Any, t: int) -> Any:  # (3)
            return b.back_kw[t] <= sum(room.down_kw(t) for room in rooms)

        costs = []
        for line in shape.demand:
            peak = connection.scalars[f"peak_kw.{line.id}"]
            beyond = pyo.Var(range(len(WINDOWS)), bounds=(0, None))
            price = pyo.Param(mutable=True, initialize=0.0)

            def borne(b: Any, t: int, peak: Any = peak, beyond: Any = beyond) -> Any:  # (4)
                drawn = connection.flows["import_kw"][t] + MARGINS * b.margin_kw[t]
                return beyond[window_of(t, shape.near, WINDOWS)] >= drawn - peak - b.more_kw[t] + b.back_kw[t]

            block.add_component(f"beyond_kw_{line.id}", beyond)
            block.add_component(f"price_per_kw_{line.id}", price)
            block.add_component(f"day_is_borne_{line.id}", pyo.Constraint(steps, rule=borne))
            costs += [Cost(TERM, WEIGHT * price * height) for height in beyond.values()]  # (5)
        return ServicePorts(tuple(costs))

    def inputs(self, situation: Situation, devices: Devices) -> dict[str, Array | float]:
        if not situation.prices.demand:
            return {}
        return {
            "margin_kw": margin_kw(situation, devices),
            "hours": situation.grid.step_hours,
            **prices_by_line(situation, _chance(situation)),
        }

    def account(self, situation: Situation, plan: Plan, devices: Devices) -> Account:
        line = applying_line(situation)
        if line is None or plan.grid_limit_kw is None:
            return Account({TERM: 0.0} if situation.prices.demand else {})
        imports = plan.flow(connection_of(devices).id, "import_kw")
        above = imports - plan.grid_limit_kw + MARGINS * margin_kw(situation, devices)
        heights = _Together.of(self.devices, devices, plan).heights_kw(above, plan.grid.step_hours)
        return Account({TERM: WEIGHT * _chance(situation) * line.price_per_kw * heights})

    def problems(self, devices: Devices) -> list[tuple[str, Any, str]]:
        return not_able(self.devices, ("battery",), devices)


def _chance(situation: Situation) -> float:
    """c of (5)."""
    return max(ONE_OF_A_MONTH, chance_of_being_billed(situation))


class _Together(NamedTuple):
    """The batteries of a plan as one: (near,) what they can do beyond it."""

    up_kw: Array
    down_kw: Array
    stored_kwh: Array
    """As it can be given out."""
    both_ways: float

    @classmethod
    def of(cls, names: Sequence[str], devices: Devices, plan: Plan) -> _Together:
        up, down, stored = (np.zeros(plan.grid.near) for _ in range(3))
        both_ways = 0.0
        for battery in (devices[name] for name in names):
            assert isinstance(battery, Battery)
            charge, discharge = (plan.flow(battery.id, name) for name in ("charge_kw", "discharge_kw"))
            least_kw, greatest_kw = battery.bounds_kw()
            up += np.maximum(greatest_kw - discharge + charge, 0.0)
            down += np.maximum(-least_kw - charge + discharge, 0.0)
            above_least = plan.states[battery.id]["energy_kwh"][1:] - battery.min_soc * battery.capacity_kwh
            stored += np.maximum(above_least, 0.0) * battery.discharge_efficiency
            both_ways += battery.charge_efficiency * battery.discharge_efficiency / len(names)
        return cls(up, down, stored, both_ways)

    def heights_kw(self, above_kw: Array, hours: float) -> float:
        """Sum over the windows of the least heights over the planned peak on a day that is `above_kw` over it: the
        linear program of (1) to (4), with the plan's own flows."""
        near = len(above_kw)
        if above_kw[1:].max(initial=0.0) <= 0.0:
            return 0.0
        each, none = np.eye(near - 1), np.zeros((near - 1, near - 1))
        window = np.eye(len(WINDOWS))[[window_of(t, near, WINDOWS) for t in range(1, near)]]
        most = np.concatenate([self.up_kw[1:], self.down_kw[1:], self.stored_kwh[1:], np.full(len(WINDOWS), np.inf)])
        found = linprog(
            np.repeat([0.0, 1.0], [3 * (near - 1), len(WINDOWS)]),
            A_ub=np.hstack([-each, each, none, -window]),
            b_ub=-above_kw[1:],
            A_eq=np.hstack([-hours * each, hours * self.both_ways * each, each - np.eye(near - 1, k=-1), 0.0 * window]),
            b_eq=np.zeros(near - 1),
            bounds=[(0.0, limit) for limit in most.tolist()],
        )
        return np.inf if found.fun is None else found.fun
