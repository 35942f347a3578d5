"""The sun over a place: what a clear sky would bring, kept as plain numbers.

Haurwitz' clear-sky irradiance needs the sun's elevation alone (Haurwitz, "Insolation in relation to cloudiness and
cloud density", Journal of Meteorology 2, 1945, 154-166). What a plant makes of it, with its tilt, direction, losses and
the haze of the place, is learned from the plant's own history (`clear_sky.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.day_types import LocalClock
from forecasting.measured import Measured

MOMENT_MINUTES = 15
"""The mean over a step is taken of moments at most this far apart."""


@dataclass(frozen=True)
class Position:
    """A place on earth [°], north and east positive."""

    latitude: float
    longitude: float


def clear_irradiance(position: Position, clock: LocalClock, first: int, end: int) -> Measured:
    """Clear-sky irradiance on the horizontal over the steps `first` to `end - 1` [W/m²]; 0 while the sun is down."""
    from pvlib.clearsky import haurwitz
    from pvlib.solarposition import spa_python

    parts = max(1, clock.step_minutes // MOMENT_MINUTES)
    fine = LocalClock(clock.zone, clock.step_minutes // parts)
    half = np.timedelta64(fine.step_minutes * 30, "s")
    moments = fine.index(np.arange(first * parts, end * parts, dtype=np.int64)) + half
    zenith = spa_python(moments, position.latitude, position.longitude)["apparent_zenith"]
    moment = haurwitz(zenith)["ghi"].to_numpy(dtype=float)
    return Measured(first, moment.reshape(-1, parts).mean(axis=1))
