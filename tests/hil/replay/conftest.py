"""A small park over the turn of a month: five days of history, then two to be replayed."""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from hil.replay.replay import ReplayResult, replay
from optimizer.situation import Session
from site_configs.history import History
from site_configs.site import Site

BEGIN = datetime(2026, 8, 25, 16, tzinfo=UTC)  # local midnight in Shanghai
START = BEGIN + timedelta(days=5)
END = START + timedelta(days=2)
MONTH_END = datetime(2026, 8, 31, 16, tzinfo=UTC)
DAYS = 8

PARK = Site.model_validate(
    {
        "id": "smallpark",
        "name_zh": "小园区",
        "name_en": "small park",
        "timezone": "Asia/Shanghai",
        "latitude": 30.84,
        "longitude": 120.92,
        "tariff": {"area": "zhejiang", "class": "two_part_1_10kv", "transformer_kva": 800},
        "export": {"price_per_kwh": 0.4153, "source": "example"},
        "carbon": {"region": "zhejiang"},
        "step_minutes": 60,
        "horizon_hours": 12,
        "tail_step_hours": 6,
        "devices": [
            {"id": "grid", "kind": "grid_connection", "import_limit_kw": 600, "export_limit_kw": 200},
            {"id": "load", "kind": "load"},
            {"id": "pv1", "kind": "pv", "capacity_kw": 150},
            {"id": "battery1", "kind": "battery", "capacity_kwh": 200, "charge_limit_kw": 100,
             "discharge_limit_kw": 100, "wear_cost_per_kwh": 0.05},
            {"id": "ev1", "kind": "v2g_charger", "charge_limit_kw": 20, "discharge_limit_kw": 20},
            {"id": "ev", "kind": "expected_cars", "chargers": ["ev1"], "charge_limit_kw": 20},
        ],
    }
)  # fmt: skip


def frame(step_minutes: int = 15) -> pd.DataFrame:
    """Loads with a noise that no forecast knows."""
    rows = DAYS * 1440 // step_minutes
    hour = np.arange(rows) * step_minutes / 60 % 24
    noise = np.random.default_rng(3).normal(0.0, 12.0, rows)
    return pd.DataFrame(
        {
            "load.demand_kw": 180 + 90 * np.sin((hour - 8) / 24 * 2 * np.pi) + noise,
            "pv1.available_kw": np.maximum(0.0, 140 * np.sin((hour - 6) / 12 * np.pi)),
            "weather.temperature_c": 28 + 4 * np.sin((hour - 9) / 24 * 2 * np.pi),
        },
        index=pd.date_range(BEGIN, periods=rows, freq=f"{step_minutes}min", name="time"),
    )


def sessions() -> tuple[Session, ...]:
    """A car each day from nine to five, and one over the turn of the month."""
    days = [BEGIN + timedelta(days=day) for day in range(DAYS)]
    cars = [
        Session(f"day{n}", "ev1", day + timedelta(hours=9), day + timedelta(hours=17), 25.0, 20.0, 60.0)
        for n, day in enumerate(days)
    ]
    night = MONTH_END - timedelta(hours=3)
    return tuple(sorted([*cars, Session("night", "ev1", night, night + timedelta(hours=8), 30.0)], key=_arrival))


def _arrival(car: Session) -> datetime:
    return car.arrive


def history(step_minutes: int = 15) -> History:
    return History("made up", frame(step_minutes), step_minutes, sessions())


def poisoned(after: datetime) -> History:
    """The same up to `after`; from then on everything is something else."""
    clean = history()
    changed = clean.frame.copy()
    changed.loc[changed.index >= after] *= 3.0
    cars = tuple(car if car.arrive < after else replace(car, energy_needed_kwh=1.0) for car in clean.sessions)
    return replace(clean, frame=changed, sessions=cars)


@pytest.fixture(scope="session")
def park() -> ModuleType:
    """This file: the park and its history."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def engine() -> ReplayResult:
    """The engine over two days, in this process."""
    return replay(PARK, history(), START, END)
