"""A small whole park for tests: PV, battery, cold with store and chiller, two cars, one grid connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice, Battery, Chiller, GridConnection, Load, Pv, ThermalStore, V2gCharger
from optimizer.situation import DemandLine, Prices, Session, Situation
from optimizer.time_grid import TimeGrid

START = datetime(2026, 8, 25, 16, tzinfo=UTC)
FEEDERS = (FeederLimit("car_park", 30.0, ("ev01", "ev02")),)


def park(**grid: float) -> tuple[AnyDevice, ...]:
    limits = {"import_limit_kw": 900.0, "export_limit_kw": 400.0, **grid}
    return (
        GridConnection(id="grid", **limits),
        Load(id="load", carrier="power"),
        Load(id="cold_load", carrier="cold"),
        Pv(id="pv1", capacity_kw=400),
        Battery(id="battery1", capacity_kwh=600, charge_limit_kw=250, discharge_limit_kw=250),
        ThermalStore(id="store", carrier="cold", capacity_kwh=500, charge_limit_kw=120, discharge_limit_kw=120),
        Chiller(id="chiller1", cooling_limit_kw=300, min_part_load=0.3),
        V2gCharger(id="ev01", charge_limit_kw=20, discharge_limit_kw=20, departure_margin_minutes=0),
        V2gCharger(id="ev02", charge_limit_kw=20, departure_margin_minutes=0),
    )


def demand_line(steps: int, price_per_kw: float = 48.0) -> DemandLine:
    """A charge on every hour's demand, the same price in every month."""
    return DemandLine("demand", price_per_kw, price_per_kw, inside=np.ones(steps))


def park_situation(
    *,
    near: int = 96,
    tail_hours: tuple[float, ...] = (2.0,) * 12 + (0.0,) * 3,
    shift: timedelta = timedelta(0),
    peak_kw: float = 500.0,
    demand_per_kw: float = 48.0,
    battery_kwh: float = 300.0,
    price_of: tuple[float, ...] = (0.28, 0.70, 1.295, 1.435),
    export_per_kwh: float = 0.4153,
    billing_end_step: int | None = None,
    seed: int = 1,
) -> Situation:
    """A summer day in Zhejiang's bands from 2026-07, with noise from `seed`; `price_of` valley, flat, peak, sharp."""
    grid = TimeGrid(START + shift, 15, near, tail_hours)
    hour = np.array([((t + timedelta(hours=8)).hour + t.minute / 60) for t in grid.times])
    valley, flat, peak, sharp = price_of
    is_valley = (hour < 7) | ((hour >= 11) & (hour < 14))
    is_sharp, is_peak = (hour >= 18) & (hour < 22), (hour >= 16) & (hour < 23)
    price = np.select([is_valley, is_sharp, is_peak], [valley, sharp, peak], flat)
    rng = np.random.default_rng(seed)
    there = grid.hours > 0
    wave = np.sin((hour - 9) / 24 * 2 * np.pi)
    series = {
        "load.demand_kw": (350 + 150 * wave + rng.normal(0, 10, len(hour))) * there,
        "cold_load.demand_kw": (150 + 60 * wave) * there,
        "pv1.available_kw": np.clip(350 * np.sin((hour - 6) / 12 * np.pi), 0, None) * there,
        "weather.temperature_c": 29 + 5 * wave,
    }
    steps = len(hour)
    period = np.zeros(steps, dtype=int)
    if billing_end_step is not None:
        period[billing_end_step:] = 1
    come = START + timedelta(hours=9, minutes=7)
    return Situation(
        site="park",
        issued_at=grid.start,
        grid=grid,
        state={"grid": {"peak_kw.demand": peak_kw}, "battery1": {"energy_kwh": battery_kwh}},
        series=series,
        prices=Prices(
            import_per_kwh=price,
            export_per_kwh=np.full(steps, export_per_kwh),
            band=("flat",) * steps,
            demand=(demand_line(steps, demand_per_kw),),
            billing_period=tuple(int(p) for p in period),
            carbon_kg_per_kwh=np.full(steps, 0.4974),
        ),
        sessions={
            "ev01": (Session("a", "ev01", come, come + timedelta(hours=7, minutes=20), 25.0, 25.0, 60.0),),
            "ev02": (Session("b", "ev02", come, come + timedelta(hours=4), 15.0),),
        },
    )
