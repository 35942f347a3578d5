"""What is assumed of the cars of recorded stays: what they hold, bring and need."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optimizer.situation import Session
from scripts.samples.readings import utc

CAR_ENERGY_SCALE = 4.0
CAPACITIES_KWH = (45.0, 60.0, 77.0)
FULL_SHARE, EMPTY_SHARE = 0.9, 0.1
USED_POWER_SHARE = 0.9
ASSUMED: dict[str, object] = {
    "energy_scale": f"{CAR_ENERGY_SCALE:g}",
    "used_share": f"{USED_POWER_SHARE:.0%}",
    "capacities": ", ".join(f"{capacity:g}" for capacity in CAPACITIES_KWH),
    "full": f"{FULL_SHARE:.0%}",
    "share": f"{FULL_SHARE - EMPTY_SHARE:.0%}",
}
"""For SOURCES.md."""


def session(stay: dict[Any, Any], charger: str, limit_kw: float, number: int, *, known: bool) -> Session:
    """A recorded stay at a charger; what the car holds is said where it is `known`."""
    capacity = CAPACITIES_KWH[stay["user"] % len(CAPACITIES_KWH)]
    hours = (stay["depart"] - stay["arrive"]) / pd.Timedelta(hours=1)
    most = min(USED_POWER_SHARE * limit_kw * hours, (FULL_SHARE - EMPTY_SHARE) * capacity)
    needed = float(np.floor(min(CAR_ENERGY_SCALE * stay["kwh"], most) * 10) / 10)
    return Session(
        session_id=f"s{number:04d}",
        charger=charger,
        arrive=utc(stay["arrive"]),
        depart=utc(stay["depart"]),
        energy_needed_kwh=needed,
        energy_on_arrival_kwh=round(FULL_SHARE * capacity - needed, 1) if known else None,
        capacity_kwh=capacity if known else None,
    )
