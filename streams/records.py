"""What the ledger keeps, as values, and what every ledger store must offer."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

import pandas as pd

from streams.interval import ClosedInterval
from streams.messages import (
    Acknowledgement,
    CarAtCharger,
    CommandAnswer,
    DeadLetter,
    News,
    OperatorCommand,
    Reading,
    SetpointMessage,
)


@dataclass(frozen=True)
class Answer:
    """All that belongs to the answer of one interval of one site; it is written whole or not at all."""

    site: str
    interval: datetime
    """Start of the interval that is controlled, UTC."""
    closed: tuple[ClosedInterval, ...]
    """Intervals before it whose readings it was decided on."""
    forecast_id: str
    forecasts: str
    """JSON: the forecast documents."""
    plan_id: str
    status: str
    plan_hash: str
    plan: str
    """JSON: the plan document."""
    situation: str
    """JSON: the frozen inputs, from which the plan can be made again."""
    setpoints: tuple[SetpointMessage, ...]
    partition: int
    tick_offset: int
    """Offset of the tick that closed the intervals: readings of theirs with a higher offset came late."""


@dataclass(frozen=True)
class StoredAnswer:
    """An answer as the ledger holds it: what is sent is read from here."""

    plan_id: str
    site: str
    interval: datetime
    status: str
    plan_hash: str
    plan: str
    situation: str
    forecast_id: str
    ledger_hash: str
    """Of the link of the ledger's chain that holds the answer."""
    setpoints: tuple[str, ...]
    """Encoded setpoint messages, by device."""
    sent: bool


@dataclass(frozen=True)
class LateReading:
    """A reading that came after its interval was answered."""

    reading: Reading
    interval: datetime
    reason: str


@dataclass(frozen=True)
class StoredModel:
    """A fitted forecaster with where it comes from."""

    model_id: str
    site: str
    fitted_at: datetime
    """Moment of the site's clock that it was fitted as of."""
    blob: bytes
    provenance: str


@dataclass(frozen=True)
class StoredForecast:
    """The forecasts of one cycle as the ledger holds them."""

    forecast_id: str
    issued_at: datetime
    packed: bytes

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The forecast documents of all series."""
        documents: list[dict[str, Any]] = json.loads(zlib.decompress(self.packed))
        return documents


@dataclass(frozen=True)
class AckRow:
    state: str
    at: datetime
    readback_kw: float | None
    reason: str


@dataclass(frozen=True)
class SetpointTrace:
    """One setpoint with the plan and forecast it comes from and what became of it."""

    cmd_id: str
    site: str
    device: str
    interval: datetime
    seq: int
    target_kw: float
    sent: bool
    plan_id: str | None
    plan_status: str | None
    plan_hash: str | None
    forecast_id: str | None
    forecast_issued_at: datetime | None
    acks: tuple[AckRow, ...]

    @property
    def readback_kw(self) -> float | None:
        """The last value read back from the device; None when none came."""
        return next((ack.readback_kw for ack in reversed(self.acks) if ack.readback_kw is not None), None)

    @property
    def state(self) -> str:
        """What is known last: an acknowledgement's state, `sent`, or `created`."""
        return self.acks[-1].state if self.acks else ("sent" if self.sent else "created")


Told = TypeVar("Told", bound=News)


class LedgerStore(Protocol):
    """What the engine needs of a ledger. All of it is append-only but for the `sent` marks."""

    def answer(self, site: str, interval: datetime) -> StoredAnswer | None: ...
    def record(self, answer: Answer) -> StoredAnswer: ...
    def add_setpoints(self, setpoints: Sequence[SetpointMessage]) -> None: ...
    def mark_setpoints_sent(self, names: Iterable[str]) -> None: ...
    def mark_sent(self, plan_id: str) -> None: ...
    def unsent(self, site: str) -> list[StoredAnswer]: ...
    def last_answered(self, site: str) -> datetime | None: ...
    def first_answered(self, site: str) -> datetime | None: ...
    def closing_offset(self, site: str, end: datetime) -> int | None: ...
    def recent(self, site: str, since: datetime) -> pd.DataFrame: ...
    def last_values(self, site: str, since: datetime) -> dict[str, tuple[datetime, float]]: ...
    def last_cars(self, site: str, since: datetime) -> dict[str, CarAtCharger | None]: ...
    def cars_since(self, site: str, since: datetime) -> list[tuple[str, CarAtCharger]]: ...
    def imports_kw(self, site: str, since: datetime) -> pd.Series[float]: ...
    def add_late(self, late: Iterable[LateReading]) -> None: ...
    def add_dead_letters(self, letters: Iterable[DeadLetter]) -> None: ...
    def dead_letter_sent(self, letter: DeadLetter) -> bool: ...
    def mark_dead_letters_sent(self, letters: Iterable[DeadLetter]) -> None: ...
    def knows_setpoint(self, cmd_id: str) -> bool: ...
    def add_acks(self, acks: Sequence[Acknowledgement]) -> None: ...
    def add_command(self, command: OperatorCommand, answer: CommandAnswer) -> CommandAnswer: ...
    def commands(self, site: str) -> list[tuple[OperatorCommand, CommandAnswer]]: ...
    def add_announcements(self, announced: Iterable[News]) -> None: ...
    def announcements(self, site: str, kind: type[Told], since: datetime, until: datetime) -> list[Told]: ...
    def forecast_document(self, forecast_id: str) -> str | None: ...
    def add_model(self, model: StoredModel) -> None: ...
    def latest_model(self, site: str) -> StoredModel | None: ...
    def forecasts_between(self, site: str, since: datetime, until: datetime) -> list[StoredForecast]: ...
