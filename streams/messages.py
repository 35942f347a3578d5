"""Typed, versioned messages: one definition for every topic. Newer minor versions are read, other majors refused."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from optimizer.plan import PlanDocument, PlanStatus, Text
from site_configs.prices import EXPORT_PRICE, GRID_CARBON, IMPORT_PRICE

SCHEMA_MAJOR = 1
SCHEMA_VERSION = "1.2"


class BadMessageError(Exception):
    """A message that cannot be read; `reason` goes to the dead-letter topic with it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("time without offset: write it with Z or +hh:mm")
    return value


Time = Annotated[datetime, AfterValidator(_aware)]
SiteId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Quality = Literal["good", "stale", "suspect", "substituted"]
LONGEST_ANNOUNCEMENT = timedelta(days=62)
"""A forecast or price list reaches no further than this."""


class Message(BaseModel):
    """Fields common to all messages. The key of every message is its site."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True)
    version: str = SCHEMA_VERSION
    site: SiteId

    @property
    def key(self) -> bytes:
        return self.site.encode()

    @classmethod
    def type_name(cls) -> str:
        """What `type` says in messages of this class."""
        return str(cls.model_fields["type"].default)

    def encode(self) -> bytes:
        return self.model_dump_json().encode()


class CarAtCharger(BaseModel):
    """The car plugged in at a charger, as the charger reports it."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    session_id: str
    arrive: Time
    depart: Time
    energy_needed_kwh: Annotated[float, Field(ge=0)]
    energy_on_arrival_kwh: Annotated[float, Field(ge=0)] | None = None
    capacity_kwh: Annotated[float, Field(gt=0)] | None = None


class Reading(Message):
    """Measured values of one device at one time; powers are means over the `seconds` that start at `time`."""

    type: Literal["reading"] = "reading"
    device: str
    """A device of the site file, or `weather`, `meter`, `market`."""
    time: Time
    """Start of the time that the values are of; of two readings of a device with one time the later sent counts."""
    seconds: Annotated[float, Field(gt=0, le=3600)]
    """Length of that time."""
    values: dict[str, float]
    """By quantity with unit, e.g. `charge_kw`, `energy_kwh`: the series name is `<device>.<quantity>`."""
    quality: Quality = "good"
    car: CarAtCharger | None = None
    """Only of chargers: the car plugged in at the end of the reading."""


class Tick(Message):
    """The site's clock has reached `time`: everything measured before it has been sent."""

    type: Literal["tick"] = "tick"
    time: Time


class SetpointMessage(Message):
    """What one device is told for one interval. `target_kw` > 0 feeds the bus, < 0 takes from it."""

    type: Literal["setpoint"] = "setpoint"
    cmd_id: str
    """Deterministic: site, device, interval and revision."""
    device: str
    seq: Annotated[int, Field(ge=0)]
    """Rises with every interval of a device; lower ones than the last accepted are refused."""
    issued_at: Time
    valid_from: Time
    valid_until: Time
    target_kw: float
    safe_value_kw: float
    grid_limit_kw: float | None = None
    """Import that the site must stay under while this setpoint holds."""
    room_kw: tuple[float, float] | None = None
    """Least and greatest power to which the gateway's local loop may move the device; None: it is not to be moved."""
    self_supply_kw: tuple[float, float] | None = None
    """Least and greatest power within which the device keeps the connection at zero; None: it keeps to its target."""
    answer: PlanStatus
    reason: Text
    plan_id: str
    plan_hash: str
    forecast_id: str


AckState = Literal["accepted", "applied", "rejected", "expired", "superseded"]


class Acknowledgement(Message):
    """What became of a setpoint."""

    type: Literal["ack"] = "ack"
    cmd_id: str
    device: str
    seq: int
    state: AckState
    at: Time
    """Time of the site's clock."""
    readback_kw: float | None = None
    """Target as read back from the device, or what the local loop asks of it in its place; None when nothing was
    written."""
    reason: str = ""


CommandKind = Literal["hold", "override", "disable", "limit", "release"]


class OperatorCommand(Message):
    """A person orders: taken as given by every plan from the next interval on, until it ends or a newer one comes."""

    type: Literal["command"] = "command"
    command_id: Annotated[str, Field(min_length=1, max_length=80)]
    """Chosen by the sender; the same one again changes nothing."""
    kind: CommandKind
    """hold: devices keep their last setpoints; override: a device gets a power; disable: a device stands still; limit:
    the site's import stays under a power; release: ends what was ordered."""
    device: str | None = None
    """None: hold and release mean the whole site."""
    power_kw: float | None = None
    """Of override, > 0 feeds the bus; of limit, the import."""
    issued_at: Time
    until: Time | None = None
    """End of the order; None only for release."""
    who: Annotated[str, Field(min_length=1, max_length=80)]
    why: Annotated[str, Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.kind in ("override", "limit") and self.power_kw is None:
            raise ValueError(f"{self.kind} needs power_kw")
        if self.kind in ("override", "disable") and self.device is None:
            raise ValueError(f"{self.kind} needs a device")
        if self.kind == "limit" and (self.power_kw or 0.0) < 0.0:
            raise ValueError(f"limit must not be below 0, got {self.power_kw}")
        if self.kind != "release" and self.until is None:
            raise ValueError(f"{self.kind} needs until: an order ends by itself")
        if self.until is not None and self.until <= self.issued_at:
            raise ValueError(f"until {self.until.isoformat()} is not after issued_at")
        return self


class CommandAnswer(Message):
    """What the engine says to a command."""

    type: Literal["command_answer"] = "command_answer"
    command_id: str
    state: Literal["taken", "refused"]
    replaces: tuple[str, ...] = ()
    """Commands that held and end by this one: the newer wins."""
    reason: str = ""


class News(Message):
    """What others say about the time ahead; kept in the ledger, and looked at by cycles that begin after it."""

    issued_at: Time
    """When it became known."""


class Announcement(News):
    """Values of the time ahead as they were known at `issued_at`; each holds for `step_minutes`."""

    source: Annotated[str, Field(min_length=1, max_length=80)]
    """Who says so, e.g. the weather service or the exchange."""
    start: Time
    """Of the first value."""
    step_minutes: Annotated[int, Field(ge=5, le=1440)]
    values: dict[str, tuple[float, ...]]
    """By series, from `start` on."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        lengths = {name: len(values) for name, values in self.values.items()}
        if not lengths or len(set(lengths.values())) > 1 or not min(lengths.values()):
            raise ValueError(f"values must be equally many of each series, and at least one: got {lengths or 'none'}")
        if min(lengths.values()) * timedelta(minutes=self.step_minutes) > LONGEST_ANNOUNCEMENT:
            raise ValueError(f"values reach further than {LONGEST_ANNOUNCEMENT.days} days")
        unknown = sorted(name for name in self.values if not self._may_say(name))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} cannot be said by a message of this type")
        return self

    @staticmethod
    def _may_say(series: str) -> bool:
        raise NotImplementedError


class WeatherForecast(Announcement):
    """What a weather service expects: series `weather.<quantity>_<unit>`."""

    type: Literal["weather"] = "weather"

    @staticmethod
    def _may_say(series: str) -> bool:
        return series.startswith("weather.")


class PriceAnnouncement(Announcement):
    """Prices, or the carbon factor of grid power, of the time ahead: `market.import_price_per_kwh`,
    `market.export_price_per_kwh`, `grid.carbon_kg_per_kwh`."""

    type: Literal["prices"] = "prices"

    @staticmethod
    def _may_say(series: str) -> bool:
        return series in (IMPORT_PRICE, EXPORT_PRICE, GRID_CARBON)


class GridEvent(News):
    """What the grid calls for from `start` to `end`. Of two with one `event_id` the one issued later holds."""

    event_id: Annotated[str, Field(min_length=1, max_length=80)]
    """Chosen by the sender."""
    start: Time
    end: Time
    withdrawn: bool = False
    """The event does not take place, or ends now."""

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end {self.end.isoformat()} is not after start")
        return self


class DemandResponseCall(GridEvent):
    """An accepted call of demand response."""

    type: Literal["dr_call"] = "dr_call"
    service: str
    """Id of the site's service of kind demand_response."""
    bid_kw: Annotated[float, Field(gt=0)]
    """Response that was promised."""
    price_per_kwh: Annotated[float, Field(ge=0)]
    """Clearing price of a kWh of response."""
    baseline_kw: Annotated[tuple[float, ...], Field(min_length=1)]
    """Import without the event, from `start` on."""
    baseline_minutes: Annotated[int, Field(ge=5, le=60)] = 15
    """For how long each value of the baseline holds."""
    direction: Literal["cut", "fill"] = "cut"
    """Less import than the baseline, or more."""


class ReserveAward(GridEvent):
    """Reserve sold for a window of time."""

    type: Literal["reserve"] = "reserve"
    service: str
    """Id of the site's service of kind reserve_capacity."""
    price_per_kw_h: Annotated[float, Field(ge=0)]
    """Paid for each kW held through an hour."""
    up_kw: Annotated[float, Field(ge=0)] = 0.0
    """Less import when called."""
    down_kw: Annotated[float, Field(ge=0)] = 0.0
    """More import when called."""


class GridLimit(GridEvent):
    """The grid lets the site take no more than this, and feed no more than that where it is said."""

    type: Literal["grid_limit"] = "grid_limit"
    import_kw: Annotated[float, Field(ge=0)]
    export_kw: Annotated[float, Field(ge=0)] | None = None
    why: Annotated[str, Field(min_length=1, max_length=200)]


class Islanding(GridEvent):
    """The site is to be cut from the grid: plans exchange nothing with it."""

    type: Literal["island"] = "island"
    why: Annotated[str, Field(min_length=1, max_length=200)]


class ForecastSeries(BaseModel):
    """One series of a forecast over the plan's near steps."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    series: str
    method: str
    start: Time
    step_minutes: int
    quantiles: dict[str, tuple[float, ...]]
    """By level, e.g. `0.5`: mean over each interval in the unit of the series, to a thousandth."""


class ForecastMessage(Message):
    """What was expected when a plan was made; the ledger holds it in full."""

    type: Literal["forecast"] = "forecast"
    forecast_id: str
    plan_id: str
    issued_at: Time
    series: tuple[ForecastSeries, ...]


class PlanMessage(Message):
    """The answer of one interval, with everything behind its setpoints."""

    type: Literal["plan"] = "plan"
    plan_id: str
    forecast_id: str
    plan_hash: str
    issued_at: Time
    ledger_hash: str
    """Of the ledger's link that holds the plan: whoever keeps it can prove that no later part was cut off."""
    plan: PlanDocument
    """Without flows, states and shadow prices where the plan is too large for a message."""


AlarmCode = Literal["no_plan", "limit_gave_way", "setpoint_rejected"]


class Alarm(Message):
    """Something that a person should know. Said once: the same `alarm_id` again is the same alarm."""

    type: Literal["alarm"] = "alarm"
    alarm_id: str
    code: AlarmCode
    """no_plan: an interval was answered without a fresh plan; limit_gave_way: a soft limit cannot be kept;
    setpoint_rejected: a device or the gateway refused."""
    severity: Literal["warning", "critical"]
    at: Time
    """Start of the interval, or time of the site's clock."""
    device: str | None = None
    text: Text


class DeadLetter(BaseModel):
    """A message that could not be used, whole, with the reason."""

    version: str = SCHEMA_VERSION
    type: Literal["dead_letter"] = "dead_letter"
    topic: str
    partition: int
    offset: int
    reason: str
    raw_base64: str

    @property
    def key(self) -> bytes:
        return f"{self.topic}-{self.partition}-{self.offset}".encode()

    def encode(self) -> bytes:
        return self.model_dump_json().encode()


TelemetryMessage = Reading | Tick
_KINDS: tuple[type[Message], ...] = (
    Reading,
    Tick,
    WeatherForecast,
    PriceAnnouncement,
    DemandResponseCall,
    ReserveAward,
    GridLimit,
    Islanding,
    OperatorCommand,
    CommandAnswer,
    ForecastMessage,
    PlanMessage,
    SetpointMessage,
    Acknowledgement,
    Alarm,
)
_TYPES: dict[str, type[Message]] = {kind.type_name(): kind for kind in _KINDS}


def _refuse_constant(name: str) -> float:
    raise BadMessageError(f"not finite: {name}")


def decode(key: bytes | None, raw: bytes | None) -> Message:
    """The message in `raw`.

    Raises:
        BadMessageError: not UTF-8, not JSON, NaN or infinity, unknown type, other major version, a field that does not
            fit, or a key that is not the site.
    """
    if raw is None:
        raise BadMessageError("no value (tombstone)")
    try:
        document: Any = json.loads(raw, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadMessageError(f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadMessageError(f"not an object but {type(document).__name__}")
    version = str(document.get("version", ""))
    if version.split(".")[0] != str(SCHEMA_MAJOR):
        raise BadMessageError(f"version {version or 'missing'}: only {SCHEMA_MAJOR}.x is understood")
    kind = _TYPES.get(str(document.get("type", "")))
    if kind is None:
        raise BadMessageError(f"unknown type {document.get('type')!r}")
    try:
        message = kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        field = f"{kind.__name__}.{where}" if where else kind.__name__
        raise BadMessageError(f"{field}: {first['msg']}") from error
    if key != message.key:
        raise BadMessageError(f"key {key!r} is not the site {message.site!r}")
    return message
