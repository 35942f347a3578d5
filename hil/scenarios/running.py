"""Runs a scenario: engine, gateway, cabinet and plant minute by minute, in process and as fast as they can.

Engine, control cycle, gateway decisions and local loop are those that run at a site; only Kafka, worker processes and
the field protocol are left out. The gateway looks once a minute, the plant's finest step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hil.drivers import Drivers
from hil.kernels import ACTIVE, HELD, SEQ
from hil.plant import Plant, Records
from hil.recorded import LEAD_IN_MINUTES, lead_in, recorded_plant
from hil.scenarios.cabinet import Trouble, TroubledCabinet
from hil.scenarios.controllers import Controller
from hil.scenarios.faulty_face import FaultyFace, MeterReading
from hil.scenarios.loading import Setting
from hil.scenarios.schema import (
    GATEWAY_METER,
    ClockJump,
    Derated,
    DeviceLost,
    Disorder,
    EngineAway,
    GridAway,
    LinkCut,
    MeterFault,
    Order,
    PlannerLate,
    SeriesChange,
    Window,
)
from hil.telemetry import READING_MINUTES, readings, tick
from hil.truth import Truth
from optimizer.devices import AnyDevice
from optimizer.devices.grid_connection import GridConnection
from optimizer.errors import InputError, Problem
from optimizer.time_grid import Array
from streams.gateways.local_loop import limits_of
from streams.gateways.site_setpoints import SiteSetpoints
from streams.interval import floor_time
from streams.messages import Acknowledgement, Message, OperatorCommand, Reading, SetpointMessage

Kind = TypeVar("Kind", bound=Window)
MINUTE = timedelta(minutes=1)
CABLE_FACTOR = 3.0
"""The cable carries so many times what the contract allows: that a limit is kept has to be somebody's doing."""
OLD_AFTER_MINUTES = 3
"""How long after a setpoint its predecessor comes again, where messages are in disorder."""


@dataclass(frozen=True)
class Followed:
    """What devices were told, minute by minute."""

    devices: tuple[str, ...]
    seq: NDArray[np.int64]
    """(minutes, devices) of the engine's setpoint in force; 0 without one, as when the gateway guards on by itself."""
    age_minutes: Array
    """(minutes, devices) since the setpoint in force came; infinite without one."""


@dataclass(frozen=True)
class ScenarioRun:
    """What a run left behind."""

    setting: Setting
    plant: Plant
    """As it would be without trouble."""
    records: Records
    followed: Followed
    acks: tuple[Acknowledgement, ...]


def run_scenario(setting: Setting, controller: Controller) -> ScenarioRun:
    """Runs the scenario under a controller; the same scenario and controller give the same run."""
    with controller:
        bench = _Bench(setting, controller)
        parts = [bench.minute(number) for number in range(setting.scenario.minutes)]
    return ScenarioRun(setting, bench.sound, Records.joined(parts), bench.log.done(), tuple(bench.acks))


class _Bench:
    """One run in progress."""

    def __init__(self, setting: Setting, controller: Controller) -> None:
        self._scenario, self._site, self._start = setting.scenario, setting.site, setting.start
        self._controller = controller
        self.sound = plant_of(setting)
        held = {name: {"energy_kwh": kwh} for name, kwh in setting.scenario.energy_kwh.items()}
        state, before = lead_in(self.sound, held)
        self._cabinet = TroubledCabinet(self.sound, state)
        self._face = FaultyFace(self._cabinet)
        self.acks: list[Acknowledgement] = []
        self.log = _Log(self.sound.controlled)
        self._seconds = 0.0
        self._gateway = SiteSetpoints(
            setting.site.id,
            [device for device in setting.site.devices if device.id in self.sound.controlled],
            self._face,
            self.acks.append,
            lambda: self._seconds,
            limits_of(setting.site) if controller.local_loop else None,
        )
        self._meter_rng = np.random.default_rng(setting.scenario.seed).spawn(3)[2]
        self._recent = [before]
        self._meters = _Meters(setting)
        self._inbox: list[Message] = []
        self._ticked = setting.start - timedelta(minutes=15)
        self._outbox: deque[tuple[int, SetpointMessage]] = deque()
        self._last: dict[str, SetpointMessage] = {}

    def minute(self, number: int) -> Records:
        """Everything of one minute; its record."""
        self._strike(number)
        self._orders(number)
        self._inbox += self._telemetry(number)
        if not self._active(EngineAway, number):
            told = self._controller.hear(self._inbox)
            self._inbox = []
            self._outbox.extend(self._on_the_way(number, told))
        arrived = [message for due, message in self._outbox if due <= number]
        self._outbox = deque(one for one in self._outbox if one[0] > number)
        self._gateway.handle(arrived)
        self._gateway.turn()
        records = self._cabinet.run(1)
        self._seconds += 60.0
        self._recent.append(records)
        self.log.look(self._cabinet, number)
        return records

    def _strike(self, number: int) -> None:
        """Brings trouble upon the site, as it is in this minute."""
        shares = {event.device: event.share for event in self._active(Derated, number)}
        shares |= {event.device: 0.0 for event in self._active(DeviceLost, number)}
        self._cabinet.trouble = Trouble(bool(self._active(GridAway, number)), tuple(sorted(shares.items())))
        ahead = timedelta(seconds=sum(event.seconds for event in self._active(ClockJump, number)))
        if ahead != self._cabinet.clock_ahead:
            self._cabinet.set_clock(ahead)
        self._face.cut = bool(self._active(LinkCut, number))
        lies = [event for event in self._active(MeterFault, number) if event.meter == GATEWAY_METER]
        restless = not self._controller.watches_meter
        self._face.meter = MeterReading(lies[0].frozen, lies[0].times, restless) if lies else MeterReading()
        self._controller.be_late(bool(self._active(PlannerLate, number)))

    def _orders(self, number: int) -> None:
        for place, order in enumerate(event for event in self._scenario.events if isinstance(event, Order)):
            if order.from_minute == number:
                at, end = (self._start + n * MINUTE for n in (number, order.to_minute or self._scenario.minutes))
                self._controller.order(
                    OperatorCommand(
                        site=self._site.id, command_id=f"order{place + 1}", kind="limit", power_kw=order.import_kw,
                        issued_at=at, until=end, who="bench", why=self._scenario.title,
                    )
                )  # fmt: skip

    def _telemetry(self, number: int) -> Iterator[Message]:
        """Readings of the last minutes when they are due, and a tick when the site's clock comes to an interval."""
        plant, at = self.sound, self._start + number * MINUTE
        if number % READING_MINUTES == 0:
            last = Records.joined(self._recent)
            self._recent = []
            for reading in self._with_limits(readings(plant, last, self._meter_rng), at):
                yield self._meters.read(reading, number)
        clock = floor_time(at + self._cabinet.clock_ahead, self._site.step_minutes)
        if clock > self._ticked:
            self._ticked = clock
            yield tick(plant, clock)

    def _with_limits(self, told: Iterable[Reading], at: datetime) -> Iterator[Reading]:
        """Readings with what their devices can do now; one of its own for the grid connection, which sends no other."""
        limits, sent = self._cabinet.able_kw(), set[str]()
        for reading in told:
            sent.add(reading.device)
            yield reading.model_copy(update={"values": {**reading.values, **limits.get(reading.device, {})}})
        begin, seconds = at - READING_MINUTES * MINUTE, READING_MINUTES * 60.0
        for device in (name for name in limits if name not in sent):
            yield Reading(site=self._site.id, device=device, time=begin, seconds=seconds, values=limits[device])

    def _on_the_way(self, number: int, told: Iterable[SetpointMessage]) -> Iterator[tuple[int, SetpointMessage]]:
        """By the minute in which it arrives: each setpoint, and what disorder adds to it."""
        disorder = bool(self._active(Disorder, number))
        for message in told:
            self.log.came(message, number)
            yield number, message
            before = self._last.get(message.device)
            if disorder and before is not None:
                twice, again = self._controller.sent_again(message), self._controller.sent_again(before)
                self.log.came_again(message, twice)
                self.log.came_again(before, again)
                yield number, twice
                yield number + OLD_AFTER_MINUTES, again
            self._last[message.device] = message

    def _active(self, kind: type[Kind], number: int) -> list[Kind]:
        return [event for event in self._scenario.events if isinstance(event, kind) and event.holds(number)]


class _Log:
    """Keeps which setpoint each device followed, and when it had come."""

    def __init__(self, devices: tuple[str, ...]) -> None:
        self._devices = devices
        self._came: dict[tuple[str, int], int] = {}
        self._seq: list[list[int]] = []
        self._age: list[list[float]] = []

    def came(self, message: SetpointMessage, number: int) -> None:
        self._came.setdefault((message.device, message.seq), number)

    def came_again(self, first: SetpointMessage, again: SetpointMessage) -> None:
        """What comes a second time is as old as it was, whatever number it bears."""
        self._came.setdefault((again.device, again.seq), self._came[first.device, first.seq])

    def look(self, cabinet: TroubledCabinet, number: int) -> None:
        """After the minute `number` has passed."""
        slots, arrays = [cabinet.plant.slots[device] for device in self._devices], cabinet.state.arrays
        in_force = arrays.status[slots] == ACTIVE
        held = np.where(in_force, arrays.held[slots, HELD, SEQ], 0.0).astype(int).tolist()
        came = [self._came.get(key) for key in zip(self._devices, held, strict=True)]
        self._seq.append([seq if at is not None else 0 for seq, at in zip(held, came, strict=True)])
        self._age.append([np.inf if at is None else float(number - at) for at in came])

    def done(self) -> Followed:
        return Followed(self._devices, np.array(self._seq, dtype=np.int64), np.array(self._age))


class _Meters:
    """The site's telemetry as its meters, which may lie, tell it."""

    def __init__(self, setting: Setting) -> None:
        self._faults = [event for event in setting.scenario.events if isinstance(event, MeterFault)]
        self._before: dict[str, float] = {}

    def read(self, reading: Reading, number: int) -> Reading:
        """The reading that is due in a minute, and speaks of the ones before it."""
        values = {name: self._value(f"{reading.device}.{name}", kw, number) for name, kw in reading.values.items()}
        return reading.model_copy(update={"values": values})

    def _value(self, series: str, value: float, number: int) -> float:
        fault = next((one for one in self._faults if one.meter == series and one.holds(number)), None)
        if fault is None:
            self._before[series] = value
            return value
        return self._before.get(series, value) if fault.frozen else fault.times * value


def plant_of(setting: Setting) -> Plant:
    """The plant as the scenario's seed draws it, with the surroundings as they really become."""
    history = replace(setting.history, sessions=setting.sessions)
    drawn = recorded_plant(setting.site, history, setting.start, setting.quarters, setting.scenario.seed)
    drivers = replace(drawn.drivers, series=_series(setting, drawn.drivers), said=setting.said)
    devices = tuple(_on_its_cable(device) for device in drawn.truth.devices)
    truth: Truth = replace(drawn.truth, devices=devices, guards=False)
    return Plant(truth, drivers)


def _on_its_cable(device: AnyDevice) -> AnyDevice:
    if not isinstance(device, GridConnection):
        return device
    carried = CABLE_FACTOR * device.import_limit_kw
    return device.model_copy(update={"import_limit_kw": carried, "export_limit_kw": carried})


def _series(setting: Setting, drivers: Drivers) -> dict[str, Array]:
    series = dict(drivers.series)
    for change in (event for event in setting.scenario.events if isinstance(event, SeriesChange)):
        if change.series not in series:
            message = f"is no series of the run: known are {', '.join(sorted(series))}"
            raise InputError([Problem(setting.scenario.id, "events.series", change.series, message)])
        part = _part(change, drivers.minutes - LEAD_IN_MINUTES, setting.scenario.minutes)
        part = np.concatenate([np.zeros(LEAD_IN_MINUTES), part])
        changed = change.times * series[change.series] + change.plus
        series[change.series] = np.maximum(series[change.series] + part * (changed - series[change.series]), 0.0)
    return series


def _part(change: SeriesChange, minutes: int, end: int) -> Array:
    """(minutes,) how much of a change has come in each minute, 0 to 1."""
    at = np.arange(minutes, dtype=float) + 1.0
    last = float(change.to_minute or end + minutes)
    if change.ramp_minutes == 0:
        return ((at > change.from_minute) & (at <= last)).astype(float)
    comes = (at - change.from_minute) / change.ramp_minutes
    goes = 1.0 - (at - last) / change.ramp_minutes
    return np.clip(np.minimum(comes, goes), 0.0, 1.0)
