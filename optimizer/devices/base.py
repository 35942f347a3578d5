"""What every device promises: parameters, model rows, a physical step, a simple rule and a setpoint.

A device is one frozen pydantic class in one file. Devices never import one another; they meet only in the balances.
Flows are seen from the carrier's bus: `in` feeds it, `out` takes from it; every flow is >= 0.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from optimizer.situation import Situation
from optimizer.time_grid import Array, GridShape

Carrier = Literal["power", "heat", "cold", "gas"]
Direction = Literal["in", "out"]

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Efficiency = Annotated[float, Field(gt=0, le=1)]
DeviceId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]

ON_OFF_EXACT_STEPS = 32
"""Steps in which on/off decisions are whole; later ones are relaxed, for only the first step is ever executed."""
PART_LOAD_EXACT_STEPS = 8
"""Steps in which least part loads are kept; in later ones a plan is a mean over running and standing."""

PhysicalState = dict[str, float]
Asked = Mapping[str, float]
"""Flows asked of a device for one step, by quantity [kW]."""


@dataclass(frozen=True)
class Cost:
    """One summand of the objective under its name in the cost table; `step` is None for costs of the whole horizon."""

    term: str
    expression: Any
    step: int | None = None


@dataclass(frozen=True)
class Semicontinuous:
    """`variable` is 0 or at least `minimum` in every step."""

    variable: Any
    minimum: Any
    """A number, or a parameter indexed by step."""
    may_cycle: bool = True
    """Whether it may run below by switching on and off where nothing else is feasible."""
    family: str = ""
    """Devices of the same family take over from one another what one of them may not do, so their minimums are enforced
    together; the device alone when empty."""


@dataclass(frozen=True)
class Slack:
    """How far a soft limit gave way; `limit` names it, `variable` is indexed by step, `unit` is of the variable."""

    limit: str
    variable: Any
    unit: str


class Breach(NamedTuple):
    """A limit of operation that was not kept in a step."""

    limit: str
    amount: float
    unit: str


@dataclass(frozen=True)
class Headroom:
    """What a store can do beyond its plan, as expressions of a near step; none is below 0 in a valid plan."""

    up_kw: Callable[[int], Any]
    """More power to the bus: what is not discharged yet, and what is being charged."""
    down_kw: Callable[[int], Any]
    """Less power to the bus."""
    above_least_kwh: Callable[[int], tuple[Any, ...]]
    """Stored energy above each of its lower limits at the end of the step."""
    below_most_kwh: Callable[[int], Any]
    """Room above the stored energy at the end of the step."""
    charge_efficiency: float
    discharge_efficiency: float


@dataclass(frozen=True)
class Ports:
    """What a device's block offers to the balances and to the planner."""

    flows: Mapping[str, Any]
    """Variables indexed by step (or by the near steps only), by quantity; `Device.buses` says where they connect."""
    costs: tuple[Cost, ...] = ()
    states: Mapping[str, Any] = field(default_factory=dict)
    """Variables indexed 0..n (one more than the steps), by name of the state. States that follow from the flows alone
    need no variable: the planner reads them off the physical step."""
    scalars: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the whole horizon, e.g. `peak_kw`."""
    exclusive: tuple[tuple[Any, Any], ...] = ()
    """Pairs of step variables of which only one may be above 0 in a step."""
    semicontinuous: tuple[Semicontinuous, ...] = ()
    decisions: tuple[Any, ...] = ()
    """On/off variables indexed by step, between 0 and 1: whole in the first `ON_OFF_EXACT_STEPS`, relaxed later."""
    slacks: tuple[Slack, ...] = ()
    stored_value: Any = None
    """The row whose shadow price is the worth of the device's stored energy, indexed by step; None without a store."""
    headroom: Headroom | None = None
    """What services may hold back; None for devices that have nothing to hold."""


@dataclass(frozen=True)
class Response:
    """What a device really did in a step: flows by quantity [kW] and the state after it."""

    flows: dict[str, float]
    state: PhysicalState


@dataclass(frozen=True)
class Course:
    """What one device does over the near steps of a plan, and what it meets there."""

    flows: Mapping[str, Array]
    """(near,) kW by quantity."""
    states: Mapping[str, Array]
    """(near + 1,) by name."""
    conditions: Mapping[str, Array]
    """As `Device.conditions` gives them; may reach beyond the near steps."""
    situation: Situation

    @property
    def hours(self) -> float:
        """Length of a step [h]."""
        return self.situation.grid.step_hours

    def energy_kwh(self, quantity: str) -> float:
        """Energy of a flow over all the steps."""
        return float(self.flows[quantity].sum()) * self.hours

    def near(self, condition: str) -> Array:
        """(near,) values of a condition."""
        return self.conditions[condition][: self.situation.grid.near]


@dataclass(frozen=True)
class RuleView:
    """What a simple local controller can see in one step."""

    hours: float
    price: Literal["cheap", "normal", "dear"]
    deficit_kw: Mapping[str, float]
    """By carrier: demand not yet served by devices of lower rule order (negative: surplus)."""
    producible_kw: Mapping[str, float]
    """By carrier: what the machines of higher rule order can deliver."""
    import_room_kw: float
    """Import still allowed before the connection limit or the month's peak is exceeded; may be negative."""
    export_allowed: bool
    storing: bool
    """False for the baseline in which stores and V2G are left idle."""


class Device(BaseModel):
    """Base of all devices: the class is the schema, the default, the documentation and the validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    id: DeviceId
    """Name of the device in files, messages and plans; unique in the site."""
    name_zh: str = ""
    """Name shown to Chinese readers; the id when empty."""
    name_en: str = ""
    """Name shown to English readers; the id when empty."""

    rule_order: ClassVar[int]
    """Place in the rule-based controller's pass: fixed flows 0, cars 1, stores 2, converters 3, batteries 4, grid 5,
    fuel supply 6."""
    rule_rank: ClassVar[int] = 0
    """Place among devices of the same order: cold 0, then heat from CHP 1, heat pump 2, boiler 3, last generators 4."""
    main_quantity: ClassVar[str | None] = None
    """Flow that a setpoint above 0 asks for; None for devices that take no setpoint."""
    counter_quantity: ClassVar[str | None] = None
    """Flow that a setpoint below 0 asks for; None for devices that only feed the bus."""
    may_leave: ClassVar[bool] = False
    """Whether it can be gone in the next minute: a cable is not kept by what it feeds, or draws."""

    @abstractmethod
    def buses(self) -> dict[str, tuple[Carrier, Direction]]:
        """Every flow by quantity: the carrier whose bus it connects to, and its direction seen from that bus."""

    def generated(self) -> frozenset[str]:
        """Quantities that count as generation of the site."""
        return frozenset()

    def only_from_generation(self) -> frozenset[str]:
        """Quantities that may not be larger than the generation of the same step."""
        return frozenset()

    def required_series(self) -> tuple[str, ...]:
        """Names of the series without which the device cannot be planned."""
        return ()

    @abstractmethod
    def conditions(self, situation: Situation) -> dict[str, Array]:
        """What the surroundings allow in each step, by name: (n,) arrays, the same for model and physics."""

    @abstractmethod
    def add_to(self, block: Any, shape: GridShape) -> Ports:
        """Declares parameters, variables and rows on a Pyomo block."""

    @abstractmethod
    def inputs(self, situation: Situation, conditions: Mapping[str, Array]) -> dict[str, Array | float]:
        """A value for every mutable parameter that `add_to` declared: (n,) arrays or scalars."""

    def start(self, situation: Situation) -> PhysicalState:
        """The physical state at the start of the first step."""
        return {}

    def band(self, state: PhysicalState) -> dict[str, tuple[float, float]]:
        """Range in which a plan that starts from `state` must keep each state; states without an entry are free."""
        return {}

    def window(self, state: PhysicalState, conditions: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
        """(n,) each: range in which a plan that starts from `state` must keep a state after each step, where the
        physical step alone would let it leave."""
        return {}

    @abstractmethod
    def step(self, asked: Asked, state: PhysicalState, conditions: Mapping[str, float], hours: float) -> Response:
        """One physical step: what is delivered of the flows asked, and the state after it."""

    @abstractmethod
    def rule(self, view: RuleView, state: PhysicalState, conditions: Mapping[str, float]) -> dict[str, float]:
        """Flows a sensible local controller would ask for in this step."""

    def cost_of(self, course: Course) -> dict[str, float]:
        """What a course costs, by term: the costs of `add_to` found from flows and states alone, without the model."""
        return {}

    def target_kw(self, flows: Asked) -> float | None:
        """Setpoint for these flows: > 0 feeds the bus, < 0 takes from it; None when the device takes no setpoint."""
        if self.main_quantity is None:
            return None
        against = 0.0 if self.counter_quantity is None else flows.get(self.counter_quantity, 0.0)
        return flows.get(self.main_quantity, 0.0) - against

    def setpoint_kw(self, flows: Asked, conditions: Mapping[str, float]) -> float | None:
        """The value to be sent for these flows; differs from `target_kw` where a limit is sent, not a power."""
        return self.target_kw(flows)

    def producible_kw(self, conditions: Mapping[str, float]) -> dict[Carrier, float]:
        """What a machine can deliver at most in a step, by carrier; stores look at it when they decide by rules."""
        if self.main_quantity is None:
            return {}
        return {self.buses()[self.main_quantity][0]: self.bounds_kw()[1]}

    def carries_kw(self, state: PhysicalState, hours: float) -> float:
        """Power it can give for so many hours without the grid, from this state."""
        return 0.0

    def emissions(self) -> dict[str, float]:
        """Carbon of the fuels that enter the site here, by quantity [kg CO2/kWh]."""
        return {}

    def why_idle(self, conditions: Mapping[str, float]) -> tuple[str, str] | None:
        """Chinese and English reason for doing nothing that no price explains; None when there is none."""
        return None

    def why_held(self, state: PhysicalState, asked: Asked, hours: float) -> tuple[str, str] | None:
        """Chinese and English reason for a step in which a rule of operation leaves no choice; None elsewhere."""
        return None

    def if_run(self) -> tuple[tuple[dict[str, float], float], ...]:
        """For machines with an on/off decision: flows they could run at, each with what it costs besides [money/h]."""
        return ()

    def breaches(
        self, flows: Asked, before: PhysicalState, after: PhysicalState, conditions: Mapping[str, float], hours: float
    ) -> tuple[Breach, ...]:
        """Limits of operation that a step breaks: physics allows it, a plan must report it."""
        return ()

    def safe_kw(self) -> float:
        """Value of the setpoint when nobody is in charge."""
        return 0.0

    def asked(self, target_kw: float) -> dict[str, float]:
        """Flows asked by a setpoint: the inverse of `target_kw`."""
        if self.main_quantity is None:
            return {}
        against = {} if self.counter_quantity is None else {self.counter_quantity: max(0.0, -target_kw)}
        return {**against, self.main_quantity: max(0.0, target_kw)}

    def bounds_kw(self) -> tuple[float, float]:
        """Least and greatest setpoint the device itself accepts."""
        return (0.0, 0.0)

    def fed_per_kw(self) -> float:
        """Power fed to its bus for each kW of its setpoint; about so much where it changes with the weather."""
        return 1.0

    def room_kw(self, situation: Situation, conditions: Mapping[str, Array]) -> tuple[float, float] | None:
        """Least and greatest power that can be held through the first step without harm to what comes after it; None
        for devices that fast local control leaves alone."""
        return None


def whole_steps(situation: Situation) -> Array:
    """(n,) 1 in steps whose on/off decisions are whole; 0 later, where a plan is a mean over running and standing."""
    return (np.arange(situation.grid.shape.steps) < min(situation.grid.near, ON_OFF_EXACT_STEPS)).astype(float)
