"""A recorded day through Kafka and Modbus: the plant publishes what it measures and lives on what it is told.

The plant stands still while the engine decides, and then runs a quarter hour at once; so a day takes as long as its
decisions. An engine that does not answer in time is not waited for: the site goes on with the setpoints it has, and
with its safe values when those have expired, as in reality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import TypeVar

import numpy as np

from hil.modbus_face import ModbusFace
from hil.plant import Plant, PlantState, Records
from hil.recorded import QUARTER, lead_in, recorded_plant
from hil.site_controller import SiteController
from hil.telemetry import TelemetrySender, readings, tick
from hil.truth import Truth
from site_configs.history import History
from site_configs.site import Site

QUARTERS_OF_A_DAY = 96
Controller = TypeVar("Controller", bound=SiteController)
READ_BACK_WAIT_S = 0.5
"""How long the plant stands still for the gateway to read back what it wrote [s]."""


@dataclass(frozen=True)
class Cycle:
    """One quarter hour of the bench."""

    interval: datetime
    told: int
    """Devices that had a setpoint for this interval when the plant went on."""
    answered: bool
    """Whether these were all."""
    latency_ms: float
    """From the tick until the last setpoint was written, or until the bench went on without."""


@dataclass(frozen=True)
class DayRecord:
    """What the bench saw; `records` begin with the first controlled minute."""

    plant: Plant
    records: Records
    cycles: tuple[Cycle, ...]
    messages: int
    """Readings and ticks published."""


@dataclass(frozen=True)
class Bench:
    """A plant that is reachable over Modbus TCP, ready to run."""

    controller: SiteController
    lead_in: Records
    port: int
    """Of the Modbus face on loopback."""
    meter_rng: np.random.Generator

    def run(
        self,
        broker: str,
        quarters: int = QUARTERS_OF_A_DAY,
        *,
        wait_s: float = 10.0,
        first_wait_s: float = 60.0,
        on_cycle: Callable[[Cycle], None] = lambda cycle: None,
        clock: Callable[[], float] = monotonic,
    ) -> DayRecord:
        """Runs `quarters` quarter hours; waits up to `wait_s` for the setpoints of each, `first_wait_s` for the first.

        Raises:
            MissingPartError: the broker does not take the telemetry.
        """
        plant, sender = self.controller.plant, TelemetrySender(broker)
        measured, parts, cycles, messages = self.lead_in, [], [], 0
        for quarter in range(quarters):
            began, interval = clock(), self.controller.clock
            messages += sender.send([*readings(plant, measured, self.meter_rng), tick(plant, interval)])
            answered = self.controller.wait_for_setpoints(interval, wait_s if quarter else first_wait_s)
            latency_ms = (clock() - began) * 1000.0
            self.controller.wait_for_read_back(READ_BACK_WAIT_S)
            cycles.append(Cycle(interval, self.controller.told_from(interval), answered, latency_ms))
            measured = self.controller.run(round(QUARTER / timedelta(minutes=1)))
            parts.append(measured)
            on_cycle(cycles[-1])
        messages += sender.send(readings(plant, measured, self.meter_rng))
        return DayRecord(plant, Records.joined(parts), tuple(cycles), messages)


@contextmanager
def open_bench(
    site: Site,
    history: History,
    start: datetime,
    quarters: int = QUARTERS_OF_A_DAY,
    *,
    seed: int,
    port: int | None = None,
    truth: Truth | None = None,
) -> Iterator[Bench]:
    """The bench of a recorded span, with its Modbus face listening; `port` 0 takes a free one, None that of the site.

    Raises:
        InputError: the history does not cover the span and the quarter hour before it.
        MissingPartError: the port is taken.
    """
    plant = recorded_plant(site, history, start, quarters, seed, truth)
    with served(plant, SiteController, seed, port) as parts:
        yield Bench(*parts)


@contextmanager
def served(
    plant: Plant, controller_of: Callable[[Plant, PlantState], Controller], seed: int, port: int | None
) -> Iterator[tuple[Controller, Records, int, np.random.Generator]]:
    """The plant after its lead-in, with a Modbus face that listens: its controller, the lead-in, the port, and the
    noise of its meters.

    Raises:
        MissingPartError: the port is taken.
    """
    state, before = lead_in(plant)
    controller = controller_of(plant, state)
    site = plant.truth.site
    with ModbusFace(controller, site.control.port if port is None else port) as face:
        yield controller, before, face.port, np.random.default_rng(seed).spawn(3)[2]
