"""What a scenario is: where and when it runs, what happens, and what the plant's records must show.

One definition for the files, their checks and docs/hil.md. Minutes count from the scenario's start; a window is
[from_minute, to_minute), to the scenario's end where `to_minute` is absent.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from optimizer.devices.base import DeviceId, Fraction, NotNegative, Positive
from optimizer.services import AnyService

STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
Minute = Annotated[int, Field(ge=0)]
SeriesName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")]
GATEWAY_METER = "gateway"


class Window(BaseModel):
    """A span of the scenario."""

    model_config = STRICT
    from_minute: Minute = 0
    to_minute: Annotated[int, Field(gt=0)] | None = None
    """Absent: to the end."""

    @model_validator(mode="after")
    def _is_a_span(self) -> Self:
        if self.to_minute is not None and self.to_minute <= self.from_minute:
            raise ValueError(f"to_minute {self.to_minute} must be after from_minute {self.from_minute}")
        return self

    def holds(self, minute: int) -> bool:
        return self.from_minute <= minute and (self.to_minute is None or minute < self.to_minute)


class SeriesChange(Window):
    """The surroundings leave the record: a load jumps, a cloud passes. No forecast knows of it."""

    kind: Literal["series"] = "series"
    series: SeriesName
    """Recorded series, e.g. `pv1.available_kw`."""
    times: NotNegative = 1.0
    """Factor on the recorded values."""
    plus: float = 0.0
    """Added after that."""
    ramp_minutes: NotNegative = 0.0
    """Time that the change takes to come, and to go after the window [min]."""


class GridAway(Window):
    """The breaker at the grid connection is open: the site is an island. It closes again some time after the grid is
    back (`CLOSES_AFTER_MINUTES` of the cabinet)."""

    kind: Literal["grid_away"] = "grid_away"


class DeviceLost(Window):
    """A device trips: it gives nothing, refuses setpoints, and says so."""

    kind: Literal["device_lost"] = "device_lost"
    device: DeviceId


class Derated(Window):
    """A management system lowers what a battery or charger may do, and says so."""

    kind: Literal["derated"] = "derated"
    device: DeviceId
    share: Fraction
    """Of the device's own limits that is left [-]."""


class EngineAway(Window):
    """The engine does not run: readings wait for it, nothing is answered."""

    kind: Literal["engine_away"] = "engine_away"


class LinkCut(Window):
    """The gateway cannot reach the site controller."""

    kind: Literal["link_cut"] = "link_cut"


class MeterFault(Window):
    """A meter lies or stands still; the plant goes on as it is."""

    kind: Literal["meter"] = "meter"
    meter: SeriesName | Literal["gateway"]
    """A telemetry series, or `gateway`: the power at the grid connection that the gateway's local loop reads."""
    frozen: bool = False
    """The value before the window is read all through it."""
    times: float = 1.0
    """Factor on the true value, e.g. 1000 for watts read as kilowatts."""


class ClockJump(Window):
    """The site controller's clock is wrong by so much."""

    kind: Literal["clock_jump"] = "clock_jump"
    seconds: Annotated[int, Field(ge=-7200, le=7200)]
    """> 0: it is ahead."""


class PlannerLate(Window):
    """Planning does not come to an end within its deadline."""

    kind: Literal["planner_late"] = "planner_late"


class Disorder(Window):
    """The way from engine to gateway repeats every setpoint, and brings old ones again after newer ones."""

    kind: Literal["disorder"] = "disorder"


class Order(Window):
    """An operator caps the import from the next interval on."""

    kind: Literal["order"] = "order"
    import_kw: NotNegative


AnyEvent = Annotated[
    SeriesChange
    | GridAway
    | DeviceLost
    | Derated
    | EngineAway
    | LinkCut
    | MeterFault
    | ClockJump
    | PlannerLate
    | Disorder
    | Order,
    Field(discriminator="kind"),
]


class Tracks(Window):
    """Devices follow what they are told: |P - P_set| within max(share, kw), so long after a change (RULES 8)."""

    kind: Literal["tracks"] = "tracks"
    devices: tuple[DeviceId, ...] = Field(min_length=1)
    share: Fraction = 0.02
    kw: NotNegative = 2.0
    settle_minutes: Minute = 3


class InForce(Window):
    """Every controlled device is under a setpoint that came within the last `age_minutes`, but for gaps of at most
    `gap_minutes`."""

    kind: Literal["in_force"] = "in_force"
    age_minutes: Minute = 16
    gap_minutes: Minute = 1


class NoneOld(Window):
    """No device is under a setpoint that came longer ago, and none goes back to an earlier one."""

    kind: Literal["none_old"] = "none_old"
    age_minutes: Minute = 21


class DemandAtMost(Window):
    """The mean import of every 15 minutes stays within a limit (RULES 1.3, the meter's window slides)."""

    kind: Literal["demand_at_most"] = "demand_at_most"
    kw: NotNegative


class ImportAtMost(Window):
    """The import of every minute stays within a limit, but for `grace_minutes` on end."""

    kind: Literal["import_at_most"] = "import_at_most"
    kw: NotNegative
    grace_minutes: Minute = 0


class ExportAtMost(Window):
    """The export of every minute stays within a limit, but for `grace_minutes` on end."""

    kind: Literal["export_at_most"] = "export_at_most"
    kw: NotNegative
    grace_minutes: Minute = 0


class LimitAtMost(Window):
    """The grid limit that devices are told is not above this."""

    kind: Literal["limit_at_most"] = "limit_at_most"
    kw: NotNegative


class Served(Window):
    """Loads get what they need, but for so much."""

    kind: Literal["served"] = "served"
    loads: tuple[DeviceId, ...] = Field(min_length=1)
    missing_kwh: NotNegative = 0.01


class ShedInOrder(Window):
    """While a load is without power, all that stand before it in the shed list are, too, but for `grace_minutes`."""

    kind: Literal["shed_in_order"] = "shed_in_order"
    grace_minutes: Minute = 10
    """Loads that go by a setpoint run down, those that go by a relay do not."""


class PowerWithin(Window):
    """A device's power (> 0 feeds the bus) stays within a band, but for `grace_minutes` on end."""

    kind: Literal["power_within"] = "power_within"
    device: DeviceId
    least_kw: float
    greatest_kw: float
    grace_minutes: Minute = 0


class EnergyWithin(Window):
    """What devices take from the bus less what they feed, over the window."""

    kind: Literal["energy_within"] = "energy_within"
    devices: tuple[DeviceId, ...] = Field(min_length=1)
    least_kwh: float
    greatest_kwh: float


class CarsServed(Window):
    """Cars that stay as long as they said leave with what they need, but for so much altogether."""

    kind: Literal["cars_served"] = "cars_served"
    missing_kwh: NotNegative = 0.5


AnyCriterion = Annotated[
    Tracks
    | InForce
    | NoneOld
    | DemandAtMost
    | ImportAtMost
    | ExportAtMost
    | LimitAtMost
    | Served
    | ShedInOrder
    | PowerWithin
    | EnergyWithin
    | CarsServed,
    Field(discriminator="kind"),
]


class Car(BaseModel):
    """A car at a charger; given cars replace those of the record."""

    model_config = STRICT
    charger: DeviceId
    arrive_minute: int
    """Below 0: it stands there at the start."""
    depart_minute: Minute
    """As it says."""
    leaves_minute: Minute | None = None
    """As it really goes, where that is earlier."""
    needed_kwh: Positive
    on_arrival_kwh: NotNegative
    capacity_kwh: Positive


class Scenario(BaseModel):
    """One scenario."""

    model_config = STRICT
    id: DeviceId
    title: str
    """One line for tables."""
    about: str
    """What happens, and why it matters."""
    site: str = "bench_park"
    """A site of the bench or a shipped park, both with their record, or a site file."""
    data: str | None = None
    """History folder of a site file; relative to the scenario's file."""
    start: datetime
    """Start of the first interval, site's local time, on an interval's boundary."""
    minutes: Annotated[int, Field(ge=15, le=1440)]
    seed: int = 1
    """Draws the true parameters of the plant, its minutes and its meters' noise."""
    peak_before_kw: NotNegative = 0.0
    """Highest demand of the billing month before the start [kW]."""
    energy_kwh: dict[DeviceId, NotNegative] = Field(default_factory=dict)
    """What stores hold at the start; as the site file says where absent."""
    devices: dict[DeviceId, dict[str, Any]] = Field(default_factory=dict)
    """Fields of the site's devices that are different here, for controller and plant."""
    services: tuple[AnyService, ...] = ()
    """Services beside those of the site."""
    cars: tuple[Car, ...] | None = None
    """Cars in place of those of the record."""
    events: tuple[AnyEvent, ...] = ()
    criteria: tuple[AnyCriterion, ...] = Field(min_length=1)
    """All must hold."""
    caught: tuple[str, ...] = ()
    """Bad controllers that must fail here."""

    @model_validator(mode="after")
    def _lies_within_its_minutes(self) -> Self:
        late = [part for part in (*self.events, *self.criteria) if part.from_minute >= self.minutes]
        late += [part for part in (*self.events, *self.criteria) if (part.to_minute or 0) > self.minutes]
        if late:
            raise ValueError(f"{late[0].kind} reaches beyond the scenario's {self.minutes} minutes: shorten its window")
        if self.start.tzinfo is not None or self.start.minute % 5 or self.start.second:
            raise ValueError(f"start {self.start.isoformat()} must be a local time on a boundary, without an offset")
        return self
