"""A recorded span of a site, turned into a plant: the same seed gives the same truth and the same minutes.

Every run begins one quarter hour early, without setpoints: what is measured in it is the state that the first decision
sees, live and in process alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from hil.drivers import Drivers, minute_drivers
from hil.plant import Plant, PlantState, Records, run_minutes
from hil.truth import Truth
from optimizer.devices import AnyDevice
from optimizer.situation import Session
from site_configs.history import History
from site_configs.site import Site

QUARTER = timedelta(minutes=15)
LEAD_IN_MINUTES = 15
SURROUNDINGS = ("weather.", "market.", "grid.")
"""Prefixes of recorded series that are no device's but are passed on when they are complete."""


def recorded_plant(
    site: Site, history: History, start: datetime, quarters: int, seed: int, truth: Truth | None = None
) -> Plant:
    """The plant of `quarters` quarter hours from `start`, with the lead-in before it.

    `truth` replaces the one that the seed draws.

    Raises:
        InputError: the history does not hold a series that a device needs, or not over the whole span.
    """
    truth_rng, minute_rng = np.random.default_rng(seed).spawn(2)
    real = truth or Truth.drawn(site, truth_rng)
    return Plant(real, recorded_drivers(real, history, start - QUARTER, quarters + 1, minute_rng))


def recorded_drivers(
    truth: Truth, history: History, start: datetime, quarters: int, rng: np.random.Generator
) -> Drivers:
    """Minutes of the recorded series that the site's devices need, and of the surroundings where they are complete."""
    start = start.astimezone(UTC)
    begin = pd.Timestamp(start).floor(f"{history.step_minutes}min").to_pydatetime()
    end = pd.Timestamp(start + quarters * QUARTER).ceil(f"{history.step_minutes}min").to_pydatetime()
    needed = sorted({name for device in truth.devices for name in device.required_series()})
    frame = pd.DataFrame({name: history.need(name, begin, end) for name in needed})
    window = history.window(begin, end)
    passed_on = [name for name in window.columns.astype(str) if name.startswith(SURROUNDINGS) and name not in needed]
    extra = [name for name in passed_on if not window[name].isna().any()]
    sessions = sessions_by_charger(history.sessions, truth.devices, start, start + quarters * QUARTER)
    return minute_drivers(frame.join(window[extra]), sessions, start, quarters, truth.flutters, rng)


def sessions_by_charger(
    sessions: Iterable[Session], devices: Iterable[AnyDevice], start: datetime, end: datetime
) -> Mapping[str, tuple[Session, ...]]:
    """Cars that stand at the site's chargers at some time within [start, end), by charger in order of arrival."""
    chargers = [device.id for device in devices if device.kind == "v2g_charger"]
    there = [session for session in sessions if session.arrive < end and session.depart > start]
    return {
        charger: tuple(sorted((s for s in there if s.charger == charger), key=lambda s: s.arrive))
        for charger in chargers
    }


def lead_in(plant: Plant, states: Mapping[str, Mapping[str, float]] | None = None) -> tuple[PlantState, Records]:
    """Runs the quarter hour before the first decision, without setpoints."""
    return run_minutes(plant, plant.start(states), LEAD_IN_MINUTES)
