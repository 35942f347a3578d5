"""A small made-up park with a known shape."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from forecasting.demand import Demand
from forecasting.ev_expected import ExpectedCars
from forecasting.kinds import PastSession, SeriesKind
from forecasting.pv import Pv
from forecasting.weather import Temperature

ZONE = ZoneInfo("Asia/Shanghai")
ISSUED = datetime(2026, 8, 25, 16, tzinfo=UTC)
"""Local midnight of Wednesday, 2026-08-26."""
HORIZON = ISSUED + timedelta(days=20)
HOLIDAYS = frozenset({date(2026, 8, 10), date(2026, 9, 7)})
CAPACITY_KW = 500.0
SPECS: dict[str, SeriesKind] = {
    "load.demand_kw": Demand(),
    "pv1.available_kw": Pv(CAPACITY_KW),
    "weather.temperature_c": Temperature(),
    "ev.arriving_kw": ExpectedCars("arriving_kw", ("ev01", "ev02")),
}


def day_type(local_date: date) -> str:
    if local_date in HOLIDAYS:
        return "holiday"
    return "rest_day" if local_date.weekday() >= 5 else "workday"


def made_up_park(days: int = 45, after: int = 3) -> pd.DataFrame:
    """Quarter hours from `days` before ISSUED to `after` days after it: office-like load, sun with passing clouds."""
    rng = np.random.default_rng(7)
    index = pd.date_range(ISSUED - timedelta(days=days), ISSUED + timedelta(days=after), freq="15min", inclusive="left")
    local = index.tz_convert(ZONE)
    hour = np.asarray(local.hour + local.minute / 60)
    works = np.array([day_type(stamp.date()) == "workday" for stamp in local])
    level = _wander(rng, len(index), 0.995, 4.0)
    load = 300 + 250 * works * np.exp(-(((hour - 13) / 4.5) ** 2)) + level + rng.normal(0, 5, len(index))
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * ((hour > 6) & (hour < 18))
    clouds = np.clip(0.75 + _wander(rng, len(index), 0.98, 0.04), 0.1, 1.0)
    temperature = 28 + 5 * np.sin((hour - 9) / 12 * np.pi) + _wander(rng, len(index), 0.998, 0.15)
    values = {
        "load.demand_kw": load,
        "pv1.available_kw": CAPACITY_KW * sun * clouds,
        "weather.temperature_c": temperature,
    }
    return pd.DataFrame(values, index=index)


def _wander(rng: np.random.Generator, length: int, keep: float, step: float) -> np.ndarray:
    """A value that forgets slowly, as the level of a load or the sky does."""
    steps = rng.normal(0, step, length)
    level = np.zeros(length)
    for i in range(1, length):
        level[i] = keep * level[i - 1] + steps[i]
    return level


def past_sessions(days: int = 20) -> list[PastSession]:
    """Every workday one car from 8:00 to 12:00 local time, 40 kWh."""
    morning = ISSUED + timedelta(hours=8)
    starts = [morning - timedelta(days=k) for k in range(1, days + 1)]
    return [
        PastSession(start, start + timedelta(hours=4), 40.0, "ev01")
        for start in starts
        if day_type(start.astimezone(ZONE).date()) == "workday"
    ]
