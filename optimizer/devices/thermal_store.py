"""Thermal store: hot water, chilled water or ice, as energy above the empty state.

    e[t+1] = (1-l)^Δt·e[t] + (η_c·charge[t] - discharge[t]/η_d)·Δt     (1)   (RULES 4, TV-16)
    0 ≤ e[t+1] ≤ E                                                      (2)
    charge[t] = 0 or discharge[t] = 0                                   (3)
    charge[t] ≤ P_c·s_c(fill), discharge[t] ≤ P_d·s_d(fill)  at both ends of the step     (4)
    power[t] = a·charge[t]                                              (5)
    E = ρ·c_p·V·(T_upper - T_lower)                                     (6)

(3) is not a row: it is checked in the answer and enforced where it is broken. (1) and (4) are the rows of every store
(`storage.py`). Ice is made at a lower evaporating temperature than chilled water, which costs power: (5), taken beside
what the chiller takes for the cold itself. A tank of water may be given by its volume and temperatures, (6), and then
reports its mean temperature instead of its energy: full is T_upper for heat and T_lower for cold.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from typing import Any, ClassVar, Literal, Self

import pyomo.environ as pyo
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from optimizer.devices.base import (
    Asked,
    Carrier,
    Cost,
    Course,
    Device,
    Direction,
    Efficiency,
    Fraction,
    NotNegative,
    PhysicalState,
    Ports,
    Positive,
    Response,
    RuleView,
)
from optimizer.devices.storage import LimitCurve, Store, add_store, limit_lines, step
from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

WATER_KWH_PER_M3_K = 1000.0 * 4.186 / 3600.0
"""Heat that a cubic metre of water takes up per kelvin [kWh/(m³·K)]."""


class WaterTank(BaseModel):
    """A tank of water by its size and the temperatures between which it is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    volume_m3: Positive
    """Usable volume of water [m³]."""
    upper_temperature_c: float
    """Highest mean temperature in use [°C]."""
    lower_temperature_c: float
    """Lowest mean temperature in use [°C]."""

    @model_validator(mode="after")
    def _upper_above_lower(self) -> Self:
        if self.upper_temperature_c <= self.lower_temperature_c:
            raise ValueError("upper_temperature_c must be above lower_temperature_c")
        return self

    @property
    def capacity_kwh(self) -> float:
        """Usable energy [kWh thermal]; equation (6)."""
        return WATER_KWH_PER_M3_K * self.volume_m3 * (self.upper_temperature_c - self.lower_temperature_c)

    def fill(self, carrier: Literal["heat", "cold"], temperature_c: float) -> float:
        """Share of the usable energy that is stored at a mean temperature [-]; 0 to 1."""
        warm = (temperature_c - self.lower_temperature_c) / (self.upper_temperature_c - self.lower_temperature_c)
        return min(max(warm if carrier == "heat" else 1.0 - warm, 0.0), 1.0)


class ThermalStore(Device):
    """A tank that stores heat, or cold as missing heat or as ice."""

    kind: Literal["thermal_store"] = "thermal_store"
    carrier: Literal["heat", "cold"]
    """What is stored."""
    tank: WaterTank | None = None
    """Volume and temperatures of a water tank, from which its capacity follows; its state may then be reported as a
    mean temperature (`temperature_c`)."""
    capacity_kwh: Positive = Field(default=None, validate_default=True)
    """Usable thermal energy between empty and full [kWh thermal]; required without a tank."""
    charge_limit_kw: Positive
    """Largest charging rate [kW thermal]."""
    discharge_limit_kw: Positive
    """Largest discharging rate [kW thermal]."""
    charge_limit_by_fill: LimitCurve = ()
    """Pairs of fill and share of the charging limit [-]: concave, linear between the points, constant outside them; it
    holds at both ends of a step. Empty: the full limit everywhere. Ice grows slower the thicker it is."""
    discharge_limit_by_fill: LimitCurve = ()
    """The same for discharging [-]; ice melts slower the less of it is left."""
    charge_efficiency: Efficiency = 0.97
    """Energy stored per energy taken from the bus [-]."""
    discharge_efficiency: Efficiency = 0.97
    """Energy given to the bus per energy taken from the store [-]."""
    charging_power_per_kw: NotNegative = 0.0
    """Electric power taken per charging power, beyond what the machine takes to serve the bus [kW/kW]; for ice
    1/COP(ice) - 1/COP, e.g. 0.09 for 3.5 in the place of 5.2."""
    loss_per_hour: Fraction = Field(default=0.003, lt=1)
    """Share of the stored energy lost to the room per hour [1/h]."""
    initial_fill: Fraction = 0.5
    """Fill assumed until the site reports one [-]."""
    left_value_per_kwh: NotNegative = 0.05
    """Worth of a kWh left at the end of the horizon [money/kWh thermal]: about the night price over the COP."""

    rule_order: ClassVar[int] = 2
    main_quantity: ClassVar[str | None] = "discharge_kw"
    counter_quantity: ClassVar[str | None] = "charge_kw"

    @field_validator("capacity_kwh", mode="before")
    @classmethod
    def _follows_from_the_tank(cls, given: Any, info: ValidationInfo) -> Any:
        if "tank" not in info.data:  # the tank itself is refused, which is enough to say
            return given or 1.0
        tank = info.data["tank"]
        if given is None:
            if tank is None:
                raise ValueError("give capacity_kwh, or a tank with its volume and temperatures")
            return tank.capacity_kwh
        differs = tank and isinstance(given, int | float) and not isclose(given, tank.capacity_kwh, rel_tol=1e-6)
        if differs:
            raise ValueError(f"the tank's volume and temperatures give {tank.capacity_kwh:.6g} kWh: remove one of them")
        return given

    def numbers(self) -> Store:
        """What the arithmetic of every store needs of this one."""
        return Store(
            self.capacity_kwh, self.charge_limit_kw, self.discharge_limit_kw,
            self.charge_efficiency, self.discharge_efficiency, self.loss_per_hour,
            limit_lines(self.charge_limit_by_fill), limit_lines(self.discharge_limit_by_fill),
        )  # fmt: skip

    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        ends: dict[str, tuple[Carrier, Direction]] = {
            "charge_kw": (self.carrier, "out"),
            "discharge_kw": (self.carrier, "in"),
        }
        return ends | ({"power_kw": ("power", "out")} if self.charging_power_per_kw > 0 else {})

    def conditions(self, situation: Situation) -> dict[str, Array]:
        return {}

    def add_to(self, block: Any, shape: GridShape) -> Ports:
        start_kwh = self.initial_fill * self.capacity_kwh
        add_store(block, shape, self.numbers(), start_kwh, self.capacity_kwh)  # (1), (2), (4)
        flows = {"charge_kw": block.charge_kw, "discharge_kw": block.discharge_kw}
        if self.charging_power_per_kw > 0:
            steps = range(shape.steps)
            block.power_kw = pyo.Var(steps, bounds=(0, None))

            @block.Constraint(steps)
            def power_for_charging(b: Any, t: int) -> Any:  # (5)
                return b.power_kw[t] == self.charging_power_per_kw * b.charge_kw[t]

            flows["power_kw"] = block.power_kw
        return Ports(
            flows=flows,
            costs=(Cost("terminal", -self.left_value_per_kwh * block.energy_kwh[shape.steps]),),
            states={"energy_kwh": block.energy_kwh},
            exclusive=((block.charge_kw, block.discharge_kw),),
            stored_value=block.energy_balance,
        )

    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        hours = situation.grid.hours
        return {
            "hours": hours,
            "keep": self.numbers().keep(hours),
            "start_kwh": self.start(situation)["energy_kwh"],
        }

    def start(self, situation: Situation) -> PhysicalState:
        energy = situation.start_of(self.id, "energy_kwh", self._by_temperature_kwh(situation))
        return {"energy_kwh": min(max(energy, 0.0), self.capacity_kwh)}

    def _by_temperature_kwh(self, situation: Situation) -> float:
        """What a tank holds by its reported temperature, or the assumed fill where none is reported."""
        reported = situation.state.get(self.id, {}).get("temperature_c")
        if self.tank is None or reported is None:
            return self.initial_fill * self.capacity_kwh
        return self.tank.fill(self.carrier, reported) * self.capacity_kwh

    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        wanted, given = asked.get("charge_kw", 0.0), asked.get("discharge_kw", 0.0)
        charge, discharge, energy = step(state["energy_kwh"], wanted, given, hours, *self.numbers())
        flows = {"charge_kw": charge, "discharge_kw": discharge}
        power = {"power_kw": self.charging_power_per_kw * charge} if self.charging_power_per_kw > 0 else {}
        return Response(flows | power, {"energy_kwh": energy})

    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Fills while power is cheap and the machines have room, empties while it is dear or the machines are short."""
        return self.step(self._wish(view, state["energy_kwh"]), state, conditions, view.hours).flows

    def _wish(self, view: RuleView, energy_kwh: float) -> dict[str, float]:
        """No more than there is room for; the physical step holds it to the limits and to what is stored."""
        demand = view.deficit_kw.get(self.carrier, 0.0)
        spare = view.producible_kw.get(self.carrier, 0.0) - demand
        wanted = -spare if spare < 0 else demand if view.storing and view.price == "dear" else 0.0
        if wanted > 0:
            return {"discharge_kw": wanted}
        room = (self.capacity_kwh - energy_kwh) / self.charge_efficiency / view.hours
        return {"charge_kw": min(spare, room)} if view.storing and view.price == "cheap" else {}

    def cost_of(self, course: Course) -> dict[str, float]:
        return {"terminal": 0.0 - self.left_value_per_kwh * float(course.states["energy_kwh"][-1])}

    def bounds_kw(self) -> tuple[float, float]:
        return (-self.charge_limit_kw, self.discharge_limit_kw)
