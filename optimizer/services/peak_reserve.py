"""Peak reserve: batteries stay able to keep the planned peak when the site draws more than is forecast.

    carried[i,t] ≤ P_i - discharge_i[t] + charge_i[t]                       (1)
    carried[i,t] ≤ (1 - η_c·η_d·s)·charge_i[t] - (1 - s)·discharge_i[t] + η_d·(e_i[t+1] - e_min,i)/H     (2)
    over[m,k] ≥ import[t] + m·margin[t] - D - Σ_i carried[i,t],  over ≥ 0   (3)
    cost = c·p·Σ_m,k w[m,k]·over[m,k] + ρ·Σ_t t·Δt²·(Σ_i charge_i[t] - late[t])   (4)
    0 ≤ late[t] ≤ Σ_i discharge_i[t],   late[t] ≤ κ·import[t]               (5)

margin is what the site may draw beyond the central forecast of a near step; D the planned peak of the demand line that
applies and p its price; H the hours for which a battery must be able to go on, of which a step lasts the share s; k the
window of t: what cannot be held tomorrow must not make it free to fail in the next hour. A month has some three
thousand quarter hours, so that what is exceeded in one of forty comes to pass, and the highest of all is what is
billed: a plan for the central forecast alone empties its batteries into the evening's prices and meets the next spike
with nothing left.

What charges is put off when the load comes, and needs nothing stored for that; what discharges has to go on for H as
well: (2) is charge - discharge + η_d·(e[t] - e_min)/H, written by what is stored after the step, so that charging and
discharging at once gains nothing in it. (4) is in the plan's cost table and in no bill. c is the chance that today
raises the peak and that it stays the month's highest: small in its first days, since a later one is likely to raise it
as far anyhow, and growing to its end (`import_margin.chance_of_being_billed`). With p in full a margin that cannot be
held anyhow would make every rise of D free, as D lowers `over` by as much; and each day has a plan that pays, while the
month's peak is billed once. The second level decides between hours of equal price: what need not be sold before the
last of them is kept for them.

ρ makes a kWh a little dearer for every hour that it is charged later: among hours of one price the first is taken. Put
off, it may find the room below D taken by a load above its forecast, and the dear hours begin with a battery half full.
By ρ a kWh is also worth a little more for every hour that it is given later: among hours of one price the last are
taken, for by then it is known what the evening draws. It is so for a share κ/(1 + κ) of what the site draws and no
more (5): put off to a last hour that draws less than forecast, the rest would stay unsold.

It holds where one demand line applies and demand is measured over one step; elsewhere the plan is as without it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyomo.environ as pyo
from pydantic import Field

from optimizer.devices.base import Cost, Device, DeviceId
from optimizer.devices.battery import Battery
from optimizer.plan import Plan
from optimizer.services.base import Account, BuiltSite, Devices, Service, ServicePorts, connection_of, not_able
from optimizer.services.import_margin import (
    applying_line,
    chance_of_being_billed,
    is_margin_known,
    margin_kw,
    prices_by_line,
    window_of,
)
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

TERM = "peak_reserve"


class Level(NamedTuple):
    """One of the levels that are looked at."""

    margins: float
    """m of (3): how many margins above the central forecast."""
    weights: tuple[float, ...]
    """w of (4), by window."""


WINDOWS = (1 / 12, 1 / 4, 1.0)
"""Where the windows of (3) end, as shares of the near steps: of a day, after 2 h, 6 h and 24 h."""
LEVELS = (Level(1.0, (1.0, 1.0, 1.0)), Level(2.0, (1 / 5, 0.0, 0.0)))
"""What is likely once a day, and what comes on a bad one; for that the hours to come are reason enough to hold back,
while plans to come can still prepare for the later ones."""
LATER_PER_HOUR = 3e-4
"""ρ of (4), as a share of the mean import price [1/h]: more than what a battery loses standing, far less than prices
differ by."""
LATE_OVER_IMPORT = 0.5
"""κ of (5)."""


class PeakReserve(Service):
    """Keeps something in the batteries against the month's peak."""

    may_be_called: ClassVar[bool] = False  # it is there for the local loop

    kind: Literal["peak_reserve"] = "peak_reserve"
    devices: tuple[DeviceId, ...] = Field(min_length=1)
    """Batteries that keep it."""
    hours: Annotated[float, Field(gt=0, le=12)] = 0.5
    """How long they are to go on above the planned peak [h]."""

    def add_to(self, block: Any, site: BuiltSite, shape: GridShape) -> ServicePorts:
        if not shape.demand:
            return ServicePorts()
        near, connection = range(shape.near), site.ports[site.connection]
        imports = connection.flows["import_kw"]
        rooms = {name: room for name in self.devices if (room := site.ports[name].headroom) is not None}
        block.margin_kw = pyo.Param(near, mutable=True, initialize=0.0)
        block.later_price = pyo.Param(near, mutable=True, initialize=0.0)
        block.share_of_hours = pyo.Param(mutable=True, initialize=0.5)
        block.carried_kw = pyo.Var(list(rooms), near)

        @block.Constraint(list(rooms), near)
        def kept_within_power(b: Any, i: str, t: int) -> Any:  # (1)
            return b.carried_kw[i, t] <= rooms[i].up_kw(t)

        @block.Constraint(list(rooms), near)
        def kept_by_what_is_stored(b: Any, i: str, t: int) -> Any:  # (2)
            room, flows = rooms[i], site.ports[i].flows
            (above,) = room.above_least_kwh(t)
            both_ways = room.charge_efficiency * room.discharge_efficiency
            put_off = (1.0 - both_ways * b.share_of_hours) * flows["charge_kw"][t]
            going_on = (1.0 - b.share_of_hours) * flows["discharge_kw"][t]
            return b.carried_kw[i, t] <= put_off - going_on + above * room.discharge_efficiency / self.hours

        block.late_kw = pyo.Var(near, bounds=(0, None))

        @block.Constraint(near)
        def late_is_given(b: Any, t: int) -> Any:  # (5)
            return b.late_kw[t] <= sum(site.ports[i].flows["discharge_kw"][t] for i in rooms)

        @block.Constraint(near)
        def late_leaves_some_to_be_bought(b: Any, t: int) -> Any:  # (5)
            return b.late_kw[t] <= LATE_OVER_IMPORT * imports[t]

        costs = [Cost(TERM, block.later_price[t] * site.ports[i].flows["charge_kw"][t]) for i in rooms for t in near]
        costs += [Cost(TERM, -1.0 * block.later_price[t] * block.late_kw[t]) for t in near]
        for line in shape.demand:
            peak = connection.scalars[f"peak_kw.{line.id}"]
            over = pyo.Var(range(len(LEVELS)), range(len(WINDOWS)), bounds=(0, None))
            price = pyo.Param(mutable=True, initialize=0.0)

            def kept(b: Any, level: int, t: int, peak: Any = peak, over: Any = over) -> Any:  # (3)
                window = window_of(t, shape.near, WINDOWS)
                if not LEVELS[level].weights[window]:
                    return pyo.Constraint.Skip
                drawn = imports[t] + LEVELS[level].margins * b.margin_kw[t]
                return over[level, window] >= drawn - peak - sum(b.carried_kw[i, t] for i in rooms)

            block.add_component(f"over_kw_{line.id}", over)
            block.add_component(f"price_per_kw_{line.id}", price)
            block.add_component(f"peak_is_kept_{line.id}", pyo.Constraint(range(len(LEVELS)), near, rule=kept))
            costs += [
                Cost(TERM, LEVELS[level].weights[window] * price * one) for (level, window), one in over.items()
            ]  # (4)
        return ServicePorts(tuple(costs))

    def inputs(self, situation: Situation, devices: Devices) -> dict[str, Array | float]:
        if not situation.prices.demand:
            return {}
        return {
            "margin_kw": margin_kw(situation, devices),
            "later_price": _later_price(situation, devices),
            "share_of_hours": self._share_of_hours(situation),
            **prices_by_line(situation, chance_of_being_billed(situation)),
        }

    def account(self, situation: Situation, plan: Plan, devices: Devices) -> Account:
        line = applying_line(situation)
        if line is None or plan.grid_limit_kw is None:
            return Account({TERM: 0.0} if situation.prices.demand else {})
        imports = plan.flow(connection_of(devices).id, "import_kw")
        above, given = imports - plan.grid_limit_kw, np.zeros(len(imports))
        later, later_price = 0.0, _later_price(situation, devices)
        for name in self.devices:
            charge, discharge = (plan.flow(name, quantity) for quantity in ("charge_kw", "discharge_kw"))
            later += float(later_price @ charge)
            given += discharge
            left = devices[name].bounds_kw()[1] - discharge + charge
            above = above - np.minimum(left, self._lasting_kw(devices[name], situation, plan))
        later -= float(later_price @ np.minimum(given, LATE_OVER_IMPORT * imports))
        margin, windows = margin_kw(situation, devices), [window_of(t, len(above), WINDOWS) for t in range(len(above))]
        found = 0.0
        for level in LEVELS:
            over = above + level.margins * margin
            highest = [over.max(initial=0.0, where=np.equal(windows, number)) for number in range(len(WINDOWS))]
            found += float(np.dot(level.weights, highest))
        return Account({TERM: chance_of_being_billed(situation) * line.price_per_kw * found + later})

    def _share_of_hours(self, situation: Situation) -> float:
        """The part of H that a step lasts."""
        return min(1.0, situation.grid.step_hours / self.hours)

    def _lasting_kw(self, battery: Device, situation: Situation, plan: Plan) -> Array:
        """(near,) the right side of (2)."""
        assert isinstance(battery, Battery)
        charge, discharge = (plan.flow(battery.id, name) for name in ("charge_kw", "discharge_kw"))
        least_kwh = battery.min_soc * battery.capacity_kwh
        above = np.maximum(plan.states[battery.id]["energy_kwh"][1:] - least_kwh, 0.0)
        share = self._share_of_hours(situation)
        put_off = (1.0 - battery.charge_efficiency * battery.discharge_efficiency * share) * charge
        lasting: Array = put_off - (1.0 - share) * discharge + above * battery.discharge_efficiency / self.hours
        return lasting

    def problems(self, devices: Devices) -> list[tuple[str, Any, str]]:
        return not_able(self.devices, ("battery",), devices)


def _later_price(situation: Situation, devices: Devices) -> Array:
    """(near,) what a kW counts for being charged, or given, so late, by (4) [money/kW]; 0 without a line that the
    reserve is for, or without a margin."""
    grid, prices = situation.grid, situation.prices
    wanted = applying_line(situation) is not None and is_margin_known(situation, devices)
    mean = float(np.mean(prices.import_per_kwh[: grid.near])) if wanted else 0.0
    return np.asarray(LATER_PER_HOUR * max(0.0, mean) * grid.step_hours**2 * np.arange(grid.near), dtype=float)
