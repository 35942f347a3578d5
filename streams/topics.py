"""Every topic in one table: what it carries, who sends and reads it, how long it stays. `make docs` writes it down."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from streams.messages import (
    Acknowledgement,
    Alarm,
    CommandAnswer,
    DeadLetter,
    DemandResponseCall,
    ForecastMessage,
    GridLimit,
    Islanding,
    OperatorCommand,
    PlanMessage,
    PriceAnnouncement,
    Reading,
    ReserveAward,
    SetpointMessage,
    Tick,
    WeatherForecast,
)


@dataclass(frozen=True)
class Topic:
    """One Kafka topic; all have the same number of partitions, so that a site's messages meet on one worker."""

    name: str
    carries: str
    messages: tuple[type[BaseModel], ...]
    sent_by: str
    read_by: str
    retention_days: int
    compacted: bool = False
    """Whether the newest message of each key stays, however old."""
    key: str = "site"


TELEMETRY = Topic(
    "quartet.telemetry.v1", "what the sites measure, and their clocks", (Reading, Tick), "site", "engine", 7
)
WEATHER = Topic(
    "quartet.weather.v1", "weather forecasts as they are issued", (WeatherForecast,), "weather service", "engine", 35
)
TARIFF = Topic("quartet.tariff.v1", "announced prices and carbon factors", (PriceAnnouncement,), "market", "engine", 35)
GRID_EVENTS = Topic(
    "quartet.grid-events.v1",
    "what the grid calls for",
    (DemandResponseCall, ReserveAward, GridLimit, Islanding),
    "grid operator, aggregator",
    "engine",
    90,
)
COMMANDS = Topic("quartet.commands.v1", "what operators order", (OperatorCommand,), "operator", "engine", 90)
COMMAND_ANSWERS = Topic(
    "quartet.command-answers.v1", "what the engine says to each order", (CommandAnswer,), "engine", "operator", 90
)
FORECASTS = Topic(
    "quartet.forecasts.v1", "what each plan expected", (ForecastMessage,), "engine", "screens", 7, compacted=True
)
PLANS = Topic(
    "quartet.plans.v1", "the answer of each interval", (PlanMessage,), "engine", "screens", 35, compacted=True
)
SETPOINTS = Topic("quartet.setpoints.v1", "setpoints for the gateways", (SetpointMessage,), "engine", "gateway", 35)
ACKS = Topic(
    "quartet.acks.v1", "what became of each setpoint, with read-back", (Acknowledgement,), "gateway", "engine", 35
)
ALARMS = Topic("quartet.alarms.v1", "what a person should know", (Alarm,), "engine", "screens", 90)
DEAD_LETTERS = Topic(
    "quartet.dead-letters.v1",
    "messages that could not be used, with the reason",
    (DeadLetter,),
    "engine, gateway",
    "operator",
    90,
    key="topic-partition-offset",
)

TOPICS = (
    TELEMETRY,
    WEATHER,
    TARIFF,
    GRID_EVENTS,
    COMMANDS,
    COMMAND_ANSWERS,
    FORECASTS,
    PLANS,
    SETPOINTS,
    ACKS,
    ALARMS,
    DEAD_LETTERS,
)
