"""A small park, its messages, and an engine without Kafka and without solver, to tell stories with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from prometheus_client import CollectorRegistry

from site_configs.site import Site
from streams.dead_letters import DeadLetterDesk
from streams.decision import Decision, safe_decision
from streams.engine import Engine
from streams.ledger import Ledger
from streams.messages import CarAtCharger, Message, Reading, SetpointMessage, Tick, decode
from streams.observation import CycleTimes
from streams.outbox import Outbox
from streams.site_runtime import SiteRuntime
from streams.topics import DEAD_LETTERS, SETPOINTS, Topic

START = datetime(2026, 8, 25, 16, 0, tzinfo=UTC)
STEP = timedelta(minutes=15)
EMPTY = pd.DataFrame(index=pd.DatetimeIndex([], tz=UTC, name="time"))


def light_park(name: str = "light_park") -> Site:
    """Grid, load, PV, a battery and a charger."""
    return Site.model_validate(
        {
            "id": name,
            "name_zh": "小园区",
            "name_en": "light park",
            "timezone": "Asia/Shanghai",
            "latitude": 30.84,
            "longitude": 120.92,
            "tariff": {"area": "zhejiang", "class": "two_part_1_10kv", "transformer_kva": 2000},
            "carbon": {"region": "zhejiang"},
            "devices": [
                {"id": "grid", "kind": "grid_connection", "import_limit_kw": 1800, "export_limit_kw": 1200},
                {"id": "load", "kind": "load", "carrier": "power"},
                {"id": "pv1", "kind": "pv", "capacity_kw": 500},
                {
                    "id": "battery1",
                    "kind": "battery",
                    "capacity_kwh": 1000,
                    "charge_limit_kw": 500,
                    "discharge_limit_kw": 500,
                    "wear_cost_per_kwh": 0.15,
                },
                {"id": "ev01", "kind": "v2g_charger", "charge_limit_kw": 20, "discharge_limit_kw": 20},
            ],
        }
    )


def at(quarters: float) -> datetime:
    """The time so many quarter hours after the start of the story."""
    return START + quarters * STEP


def reading(device: str, quarters: float, seconds: float = 300, site: str = "light_park", **values: float) -> Reading:
    return Reading(site=site, device=device, time=at(quarters), seconds=seconds, values=values)


def car(session: str = "s1", arrive: float = -4, depart: float = 20) -> CarAtCharger:
    return CarAtCharger(
        session_id=session, arrive=at(arrive), depart=at(depart), energy_needed_kwh=20, energy_on_arrival_kwh=10,
        capacity_kwh=60,
    )  # fmt: skip


def tick(quarters: float, site: str = "light_park") -> Tick:
    return Tick(site=site, time=at(quarters))


def quarter(number: int, site: str = "light_park") -> Iterator[Message]:
    """Three readings of load and meter, the battery's state, and the tick that ends the quarter."""
    for part in range(3):
        yield reading("load", number + part / 3, site=site, demand_kw=400 + 10 * number + part)
        yield reading("meter", number + part / 3, site=site, import_kw=300 + 10 * number + part, export_kw=0)
        yield reading("battery1", number + part / 3, site=site, energy_kwh=500 + number, charge_kw=0, discharge_kw=0)
    yield tick(number + 1, site=site)


@dataclass
class StubPlanning:
    """Every device at its safe value, at once; remembers what it was asked."""

    asked: list[tuple[str, datetime]] = field(default_factory=list)
    states: list[object] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    async def decide(self, runtime: SiteRuntime, at: datetime) -> Decision:
        self.before()
        self.asked.append((runtime.site.id, at))
        self.states.append(runtime.state_at(at))
        await asyncio.sleep(0)
        return safe_decision(runtime.site, runtime.state_at(at), "the story's stub")


class Story:
    """An engine on partition 0, with what it sent. Use inside a running loop."""

    def __init__(self, path: Path, sites: tuple[Site, ...] = (), planning: StubPlanning | None = None) -> None:
        self.ledger = Ledger(path)
        self.planning = planning or StubPlanning()
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.fatal: list[BaseException] = []
        self.offset = 0
        parks = sites or (light_park(),)
        restore = {park.id: partial(SiteRuntime.restore, park, self.ledger, EMPTY) for park in parks}
        self.dead_letters = DeadLetterDesk(self.ledger, self._send)
        self.outbox = Outbox(self._send)
        self.registry = CollectorRegistry()
        self.times = CycleTimes(self.registry)
        self.engine = Engine(
            restore, self.ledger, self.planning, self._send, self.dead_letters, self.fatal.append, self.times
        )
        self.engine.assign(0)

    async def _send(self, topic: str, key: bytes, value: bytes) -> None:
        await asyncio.sleep(0)
        self.sent.append((topic, key, value))

    def raw(self, key: bytes | None, value: bytes | None) -> None:
        self.engine.ingest(0, self.offset, key, value)
        self.offset += 1

    def tell(self, *messages: Message) -> None:
        for message in messages:
            self.raw(message.key, message.encode())

    async def settle(self) -> None:
        """Until all is answered, flushed and buried; raises what would have ended the process."""
        while any(desk.queue for desk in self.engine._desks.values()) and not self.fatal:
            await asyncio.sleep(0)
        while self.dead_letters.waiting:
            await self.dead_letters.work_off()
        self.engine.flush()
        await self.outbox.work_off()
        for error in self.fatal:
            raise error

    @property
    def setpoints(self) -> list[SetpointMessage]:
        return [SetpointMessage.model_validate_json(value) for topic, _, value in self.sent if topic == SETPOINTS.name]

    def told(self, topic: Topic) -> list[Any]:
        """All messages on a topic."""
        return [decode(key, value) for name, key, value in self.sent if name == topic.name]

    @property
    def buried(self) -> list[bytes]:
        return [value for topic, _, value in self.sent if topic == DEAD_LETTERS.name]

    @property
    def answered(self) -> list[datetime]:
        return self.ledger.answered_intervals("light_park")
