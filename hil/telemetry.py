"""What the site's meters say: readings of five minutes and the tick of each quarter hour, as messages for Kafka.

Meter noise and rounding are applied here: the engine sees measured values, the records keep the true ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import numpy as np
from confluent_kafka import KafkaException, Producer

from hil.plant import Plant, Records
from hil.truth import Meters
from optimizer.errors import MissingPartError
from optimizer.situation import Session
from streams.kafka_access import kafka_access
from streams.messages import CarAtCharger, Message, Reading, Tick
from streams.topics import TELEMETRY

READING_MINUTES = 5
METER = "meter"
SEND_TIMEOUT_S = 10.0


def readings(plant: Plant, records: Records, rng: np.random.Generator) -> Iterator[Reading]:
    """Readings of every device over the records' whole five-minute intervals, in order of time.

    Powers are means; energies are those at the end of the interval; a charger tells the car that stands there then.
    """
    for first in range(0, len(records) - READING_MINUTES + 1, READING_MINUTES):
        begin = records.start + timedelta(minutes=first)
        for source, names in _sources(plant).items():
            values = {
                name: measured(_of_interval(records, f"{source}.{name}", first), source, name, plant.truth.meters, rng)
                for name in names
            }
            yield Reading(
                site=plant.truth.site.id,
                device=source,
                time=begin,
                seconds=READING_MINUTES * 60.0,
                values=values,
                car=_car(plant, source, begin + timedelta(minutes=READING_MINUTES)),
            )


def tick(plant: Plant, at: datetime) -> Tick:
    """The site's clock has reached `at`."""
    return Tick(site=plant.truth.site.id, time=at)


def measured(value: float, source: str, name: str, meters: Meters, rng: np.random.Generator) -> float:
    """A meter's reading of a true value: with noise in proportion, rounded to its resolution; powers never below 0."""
    if name.endswith("_kw"):
        share = meters.billing_noise_share if source == METER else meters.noise_share
        return _rounded(max(0.0, value * (1.0 + share * rng.standard_normal())), meters.quantum_kw)
    if name.endswith("_kwh"):
        return _rounded(value, meters.quantum_kwh)
    return _rounded(value, meters.quantum_c) if name.endswith("_c") else value


class TelemetrySender:
    """Publishes telemetry keyed by site; every call returns when the broker has it."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._producer = Producer({**kafka_access(broker).confluent(), "acks": "all", "linger.ms": 2})
        self._failed: list[str] = []

    def send(self, messages: Iterable[Message]) -> int:
        """Sends in order and waits; tells how many.

        Raises:
            MissingPartError: the broker did not take them in time.
        """
        count = 0
        try:
            for message in messages:
                self._producer.produce(TELEMETRY.name, message.encode(), message.key, on_delivery=self._delivered)
                count += 1
            left = self._producer.flush(SEND_TIMEOUT_S)
        except (KafkaException, BufferError) as error:
            raise self._missing(str(error)) from error
        if left or self._failed:
            raise self._missing(self._failed[0] if self._failed else f"{left} of {count} messages not confirmed")
        return count

    def _delivered(self, error: object, message: object) -> None:
        if error is not None:
            self._failed.append(str(error))

    def _missing(self, detail: str) -> MissingPartError:
        return MissingPartError(f"broker {self._broker} did not take the telemetry: {detail}; is it running?")


_SIGNALS = {
    "load": ("demand_kw",),
    "pv": ("available_kw", "used_kw"),
    "battery": ("energy_kwh", "charge_kw", "discharge_kw"),
    "thermal_store": ("energy_kwh", "charge_kw", "discharge_kw"),
    "v2g_charger": ("energy_kwh", "charge_kw", "discharge_kw"),
    "chiller": ("cold_kw", "power_kw"),
    "heat_pump": ("heat_kw", "power_kw"),
    "waste_heat": ("available_kw", "heat_kw"),
    "gas_boiler": ("heat_kw", "gas_kw"),
    "absorption_chiller": ("cold_kw", "heat_kw", "power_kw"),
    "chp": ("power_kw", "heat_kw", "gas_kw", "on_hours", "off_hours"),
    "backup_generator": ("power_kw",),
    "flexible_load": ("demand_kw", "served_kw", "added_kw", "put_off_kw", "shifted_kwh"),
    "gas_supply": ("supply_kw",),
}


def _sources(plant: Plant) -> dict[str, tuple[str, ...]]:
    """What is metered, by device: the site's devices, its billing meter, and what its surroundings report."""
    sources = {device.id: _SIGNALS[device.kind] for device in plant.truth.devices if device.kind in _SIGNALS}
    for name in plant.drivers.series:
        source, quantity = name.split(".", 1)
        if source not in sources or quantity not in sources[source]:
            sources[source] = (*sources.get(source, ()), quantity)
    sources[METER] = ("import_kw", "export_kw")
    return sources


def _of_interval(records: Records, name: str, first: int) -> float:
    part = records.get(name)[first : first + READING_MINUTES]
    return float(part[-1]) if name.endswith(("_kwh", "_hours")) else float(part.mean())


def _car(plant: Plant, source: str, at: datetime) -> CarAtCharger | None:
    session = car_at(plant.drivers.sessions.get(source, ()), at)
    if session is None:
        return None
    session = plant.drivers.as_said(session)
    return CarAtCharger(
        session_id=session.session_id,
        arrive=session.arrive,
        depart=session.depart,
        energy_needed_kwh=session.energy_needed_kwh,
        energy_on_arrival_kwh=session.energy_on_arrival_kwh,
        capacity_kwh=session.capacity_kwh,
    )


def car_at(sessions: Iterable[Session], at: datetime) -> Session | None:
    """The car that stands at a charger at one moment."""
    return next((session for session in sessions if session.arrive <= at < session.depart), None)


def _rounded(value: float, quantum: float) -> float:
    return round(round(value / quantum) * quantum, 9) if quantum > 0 else value
