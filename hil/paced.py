"""The plant in real time, or some times faster: behind Kafka and Modbus TCP it is a site that nobody waits for.

Minutes come when they are due on the wall clock, whatever engine and gateway do; readings go out every five of them and
ticks at every interval, setpoints are taken whenever they come. The controller's clock runs on between two minutes, so
that whoever reads it sees the time pass evenly. The gateway polls once a second of real time: up to a speed of 60 it
looks at least once in each minute of the plant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic

import numpy as np

from hil.bench import served
from hil.plant import Plant, PlantState, Records
from hil.recorded import recorded_plant
from hil.site_controller import SiteController
from hil.telemetry import READING_MINUTES, TelemetrySender, readings, tick
from hil.truth import Truth
from site_configs.history import History
from site_configs.site import Site

MINUTE_S = 60.0
LAST_OF_MINUTE_S = 59.0
"""The clock stands here when the next minute is late: it never runs ahead of the plant."""

Wait = Callable[[float], bool]
"""Waits so many seconds at most; True when it is to end at once, as `threading.Event.wait`."""


class PacedController(SiteController):
    """A site controller whose clock runs on, `speed` times as fast as the wall clock, between the plant's minutes."""

    def __init__(self, plant: Plant, state: PlantState, speed: float, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(plant, state)
        self._speed, self._wall = speed, clock
        self._began: float | None = None
        """When the running minute began on the wall clock; None before the first."""

    def start(self) -> None:
        """Time begins to pass."""
        with self._changed:
            self._began = self._wall()

    @property
    def clock(self) -> datetime:
        with self._changed:
            began = self._wall() if self._began is None else self._began
            passed_s = min(max(self._wall() - began, 0.0) * self._speed, LAST_OF_MINUTE_S)
            return self._state.at + timedelta(seconds=int(passed_s))

    def run(self, minutes: int) -> Records:
        with self._changed:
            records = super().run(minutes)
            self._began = self._wall()
            return records


@dataclass(frozen=True)
class PacedRun:
    """What was left when it ended."""

    records: Records
    messages: int
    """Readings and ticks published."""
    most_behind_s: float
    """By how much the latest minute came after it was due, on the wall clock [s]."""


@dataclass(frozen=True)
class PacedBench:
    """A plant that is reachable over Modbus TCP, ready to run."""

    controller: PacedController
    lead_in: Records
    port: int
    """Of the Modbus face on loopback."""
    meter_rng: np.random.Generator
    speed: float

    def run(
        self, broker: str, minutes: int, wait: Wait, *, step_minutes: int = 15, clock: Callable[[], float] = monotonic
    ) -> PacedRun:
        """Runs `minutes` as they are due, or until `wait` says that it is to end; at least one.

        Raises:
            MissingPartError: the broker does not take the telemetry.
        """
        plant, sender = self.controller.plant, TelemetrySender(broker)
        messages = sender.send([*readings(plant, self.lead_in, self.meter_rng), tick(plant, self.controller.clock)])
        self.controller.start()
        began, parts, behind_s = clock(), list[Records](), 0.0
        for minute in range(1, minutes + 1):
            due_s = began + minute * MINUTE_S / self.speed
            if wait(max(due_s - clock(), 0.0)) and parts:
                break
            parts.append(self.controller.run(1))
            behind_s = max(behind_s, clock() - due_s)
            if minute % READING_MINUTES == 0:
                messages += sender.send(readings(plant, Records.joined(parts[-READING_MINUTES:]), self.meter_rng))
            if minute % step_minutes == 0:
                messages += sender.send([tick(plant, self.controller.state.at)])
        return PacedRun(Records.joined(parts), messages, behind_s)


@contextmanager
def open_paced_bench(
    site: Site,
    history: History,
    start: datetime,
    quarters: int,
    speed: float,
    *,
    seed: int,
    port: int | None = None,
    truth: Truth | None = None,
) -> Iterator[PacedBench]:
    """The bench of a recorded span, with its Modbus face listening; `port` 0 takes a free one, None that of the site.

    Raises:
        InputError: the history does not cover the span and the quarter hour before it.
        MissingPartError: the port is taken.
    """
    plant = recorded_plant(site, history, start, quarters, seed, truth)
    with served(plant, partial(PacedController, speed=speed), seed, port) as parts:
        yield PacedBench(*parts, speed)
