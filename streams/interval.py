"""Closing an interval: its readings become one value per signal, with quality and the share of time covered. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streams.messages import CarAtCharger, Quality, Reading

_STATE_UNITS = ("_kwh", "_c", "_hours", "_limit_kw")
_LEAST_COVERAGE = 0.5
"""A mean over less of the interval than this says little about the rest: it is marked suspect."""
_FROM_BEST: tuple[Quality, ...] = ("good", "substituted", "suspect", "stale")


@dataclass(frozen=True)
class SignalValue:
    """A signal in one interval: the mean of a power, the last value of a state."""

    value: float
    quality: Quality
    coverage: float
    """Share of the interval that the readings used cover, 0..1."""


@dataclass(frozen=True)
class ClosedInterval:
    """What was measured in one interval."""

    start: datetime
    minutes: int
    signals: Mapping[str, SignalValue]
    """By `<device>.<quantity>_<unit>`."""
    cars: Mapping[str, CarAtCharger | None]
    """By charger that reported: the car plugged in at the end, None when the place was empty."""

    @property
    def end(self) -> datetime:
        return self.start + timedelta(minutes=self.minutes)


def is_state(signal: str) -> bool:
    """Whether the last value counts (energies, temperatures, hours on and off, limits) and not the mean."""
    return signal.endswith(_STATE_UNITS)


def floor_time(at: datetime, minutes: int) -> datetime:
    """Start of the interval that holds `at`, UTC."""
    seconds = int(at.timestamp()) // (minutes * 60) * (minutes * 60)
    return datetime.fromtimestamp(seconds, UTC)


def close_interval(
    start: datetime, minutes: int, readings: Iterable[Reading], chargers: Container[str] = ()
) -> ClosedInterval:
    """One value per signal from the readings that lie in the interval; of two at the same time the later given counts.

    Good readings are used where there are any; only without them those of the next best quality.
    """
    latest = {(reading.device, reading.time): reading for reading in readings}
    ordered = sorted(latest.values(), key=lambda reading: (reading.time, reading.device))
    by_signal: dict[str, list[Reading]] = defaultdict(list)
    for reading in ordered:
        for quantity in reading.values:
            by_signal[f"{reading.device}.{quantity}"].append(reading)
    end = start + timedelta(minutes=minutes)
    return ClosedInterval(
        start=start,
        minutes=minutes,
        signals={name: _value(name, found, end, minutes) for name, found in sorted(by_signal.items())},
        cars={reading.device: reading.car for reading in ordered if reading.device in chargers},
    )


def _value(signal: str, readings: list[Reading], end: datetime, minutes: int) -> SignalValue:
    quantity = signal.split(".", 1)[1]
    quality = min((reading.quality for reading in readings), key=_FROM_BEST.index)
    used = [reading for reading in readings if reading.quality == quality]
    weights = [min(reading.seconds, (end - reading.time).total_seconds()) for reading in used]
    coverage = min(1.0, sum(weights) / (minutes * 60))
    if is_state(signal):
        return SignalValue(used[-1].values[quantity], quality, coverage)
    mean = sum(w * reading.values[quantity] for w, reading in zip(weights, used, strict=True)) / sum(weights)
    return SignalValue(mean, "suspect" if quality == "good" and coverage < _LEAST_COVERAGE else quality, coverage)
