"""What drivers do instead of what they said: they come late, leave early, or do not come at all.

The plant has the cars as they really come; what the site is told stays what was said (`Drivers.said`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from hil.drivers import Drivers
from optimizer.situation import Session

Sessions = Mapping[str, tuple[Session, ...]]
LEAST_STAY = timedelta(minutes=5)


@dataclass(frozen=True)
class Habits:
    """How far drivers keep to what they said."""

    no_show: float = 0.03
    """Share of announced cars that do not come [-]."""
    late: float = 0.3
    """Share of cars that come late [-]."""
    late_minutes: float = 20.0
    """Mean delay of those (exponential) [min]."""
    early: float = 0.15
    """Share of cars that leave early [-]."""
    early_minutes: float = 30.0
    """By how much, on the mean (exponential) [min]."""


def as_they_come(sessions: Sessions, habits: Habits, rng: np.random.Generator) -> dict[str, tuple[Session, ...]]:
    """The cars as they really come, by charger; the same generator state gives the same cars.

    Nobody comes before or leaves after what was said, so cars at one charger still follow one another; a car whose stay
    would be shorter than five minutes does not come.
    """
    return {name: _as_they_come(cars, habits, rng) for name, cars in sessions.items()}


def _as_they_come(cars: tuple[Session, ...], habits: Habits, rng: np.random.Generator) -> tuple[Session, ...]:
    chances = rng.uniform(size=(len(cars), 3))
    minutes = rng.exponential((habits.late_minutes, habits.early_minutes), size=(len(cars), 2))
    came = chances[:, 0] >= habits.no_show
    shift = np.where(chances[:, 1:] < (habits.late, habits.early), minutes, 0.0)
    stays = (
        replace(car, arrive=car.arrive + timedelta(minutes=late), depart=car.depart - timedelta(minutes=early))
        for car, (late, early), comes in zip(cars, shift.tolist(), came, strict=True)
        if comes
    )
    return tuple(car for car in stays if car.depart - car.arrive >= LEAST_STAY)


def with_habits(drivers: Drivers, habits: Habits, rng: np.random.Generator) -> Drivers:
    """The same surroundings with cars as they really come; what was said of them is kept beside."""
    said = {car.session_id: car for cars in drivers.sessions.values() for car in cars}
    return replace(drivers, sessions=as_they_come(drivers.sessions, habits, rng), said={**said, **drivers.said})
