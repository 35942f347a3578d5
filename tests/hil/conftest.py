"""A small park with every kind of device, and a made-up day for it."""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from hil.drivers import Drivers, minute_drivers
from hil.plant import HeldSetpoint, Plant
from hil.truth import Truth
from optimizer.situation import Session
from site_configs.site import Site

START = datetime(2026, 8, 25, 16, tzinfo=UTC)  # local midnight in Shanghai

PARK = Site.model_validate(
    {
        "id": "testpark",
        "name_zh": "测试园区",
        "name_en": "test park",
        "timezone": "Asia/Shanghai",
        "latitude": 30.84,
        "longitude": 120.92,
        "tariff": {"area": "zhejiang", "class": "two_part_1_10kv", "transformer_kva": 2000},
        "carbon": {"region": "zhejiang"},
        "devices": [
            {"id": "grid", "kind": "grid_connection", "import_limit_kw": 900, "export_limit_kw": 200},
            {"id": "load", "kind": "load"},
            {"id": "pv1", "kind": "pv", "capacity_kw": 400},
            {"id": "ev1", "kind": "v2g_charger", "charge_limit_kw": 20, "discharge_limit_kw": 20},
            {"id": "ev2", "kind": "v2g_charger", "charge_limit_kw": 7},
            {"id": "cold_load", "kind": "load", "carrier": "cold"},
            {"id": "cold_store", "kind": "thermal_store", "carrier": "cold", "capacity_kwh": 400,
             "charge_limit_kw": 100, "discharge_limit_kw": 100},
            {"id": "chiller1", "kind": "chiller", "cooling_limit_kw": 200},
            {"id": "heat_load", "kind": "load", "carrier": "heat"},
            {"id": "hot_store", "kind": "thermal_store", "carrier": "heat", "capacity_kwh": 100,
             "charge_limit_kw": 30, "discharge_limit_kw": 30},
            {"id": "pump", "kind": "heat_pump", "heat_limit_kw": 80},
            {"id": "battery1", "kind": "battery", "capacity_kwh": 500, "charge_limit_kw": 250,
             "discharge_limit_kw": 250},
        ],
    }
)  # fmt: skip


def frame(quarters: int = 96, start: datetime = START) -> pd.DataFrame:
    hour = np.arange(quarters) / 4
    return pd.DataFrame(
        {
            "load.demand_kw": 300 + 150 * np.sin(hour / 24 * 2 * np.pi),
            "cold_load.demand_kw": 120 + 60 * np.sin(hour / 12 * np.pi),
            "heat_load.demand_kw": np.full(quarters, 30.0),
            "pv1.available_kw": np.maximum(0.0, 400 * np.sin((hour - 6) / 12 * np.pi)),
            "weather.temperature_c": np.full(quarters, 28.0),
        },
        index=pd.date_range(start, periods=quarters, freq="15min", name="time"),
    )


def sessions() -> dict[str, tuple[Session, ...]]:
    def car(name: str, charger: str, arrive_h: float, depart_h: float, needed: float, *known: float) -> Session:
        begin, end = START + timedelta(hours=arrive_h), START + timedelta(hours=depart_h)
        return Session(name, charger, begin, end, needed, *known)

    return {
        "ev1": (car("a", "ev1", 1.12, 5.0, 25.0, 15.0, 60.0), car("b", "ev1", 5.1, 9.9, 10.0, 30.0, 50.0)),
        "ev2": (car("c", "ev2", -1.0, 6.3, 20.0),),
    }


def drivers(truth: Truth, quarters: int = 96, seed: int = 1) -> Drivers:
    return minute_drivers(frame(quarters), sessions(), START, quarters, truth.flutters, np.random.default_rng(seed))


def exact_plant(quarters: int = 96, guards: bool = True) -> Plant:
    truth = replace(Truth.exact(PARK), guards=guards)
    return Plant(truth, drivers(truth, quarters))


def drawn_plant(quarters: int = 96, seed: int = 1) -> Plant:
    truth = Truth.drawn(PARK, np.random.default_rng(seed))
    return Plant(truth, drivers(truth, quarters, seed))


def setpoint(seq: int, target_kw: float, start_min: float = 0, minutes: float = 20, **more: float) -> HeldSetpoint:
    begin = START + timedelta(minutes=start_min)
    return HeldSetpoint(seq, target_kw, more.pop("safe", 0.0), begin, begin + timedelta(minutes=minutes), **more)


@pytest.fixture(scope="session")
def park() -> ModuleType:
    """This file: the park and what makes plants of it."""
    return sys.modules[__name__]
