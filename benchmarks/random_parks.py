"""Seeded random parks of all device kinds at nasty moments; the same seed gives the same park.

Nasty is what breaks a linear relaxation: prices below zero, export dearer than import, stores without losses or wear,
starts outside their bands, demand lines over the running peak, feeders that bind, machines held on by their least
times, gas cheaper than power.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice
from optimizer.devices.absorption_chiller import AbsorptionChiller
from optimizer.devices.backup_generator import BackupGenerator
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.chp import Chp
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.devices.flexible_load import FlexibleLoad
from optimizer.devices.gas_boiler import GasBoiler
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.devices.waste_heat import WasteHeat
from optimizer.situation import DemandLine, Prices, Session, Situation
from optimizer.time_grid import Array, TimeGrid

STEPS = 24
START = datetime(2026, 8, 25, 16, tzinfo=UTC)


@dataclass(frozen=True)
class Park:
    """A random park at a random moment."""

    devices: tuple[AnyDevice, ...]
    feeders: tuple[FeederLimit, ...]
    situation: Situation


def random_park(seed: int) -> Park:
    """Four to twenty devices of all kinds; sizes, states, series, prices and demand lines drawn."""
    rng = np.random.default_rng(seed)
    chargers = [_charger(rng, number) for number in range(int(rng.integers(0, 4)))]
    devices: tuple[AnyDevice, ...] = (
        GridConnection(
            id="grid",
            import_limit_kw=float(rng.uniform(400, 1500)),
            export_limit_kw=float(rng.choice([0.0, rng.uniform(50, 600)])),
            export_source="generation" if rng.random() < 0.5 else "any",
        ),
        Load(id="load", carrier="power"),
        *_maybe(rng, 0.8, Pv(id="pv1", capacity_kw=float(rng.uniform(50, 500)), curtailable=bool(rng.random() < 0.8))),
        *(_battery(rng, number) for number in range(int(rng.integers(0, 3)))),
        *_maybe(rng, 0.3, _flexible(rng)),
        *_maybe(rng, 0.25, BackupGenerator(id="generator1", power_limit_kw=90, fuel_cost_per_kwh=rng.uniform(0.1, 2))),
        *_heat_and_cold(rng),
        *chargers,
        *(_maybe(rng, 0.6, _expected(rng, [c.id for c in chargers])) if chargers else ()),
    )
    return Park(devices, _feeders(rng, devices), _situation(rng, devices))


def _maybe(rng: np.random.Generator, share: float, *devices: AnyDevice) -> tuple[AnyDevice, ...]:
    return devices if rng.random() < share else ()


def _battery(rng: np.random.Generator, number: int) -> Battery:
    lossless = rng.random() < 0.25
    power = float(rng.uniform(30, 300))
    return Battery(
        id=f"battery{number}",
        capacity_kwh=float(rng.uniform(50, 800)),
        charge_limit_kw=power,
        discharge_limit_kw=power * float(rng.uniform(0.5, 1.0)),
        charge_efficiency=1.0 if lossless else float(rng.uniform(0.8, 0.98)),
        discharge_efficiency=1.0 if lossless else float(rng.uniform(0.8, 0.98)),
        wear_cost_per_kwh=0.0 if lossless else float(rng.uniform(0, 0.2)),
    )


def _flexible(rng: np.random.Generator) -> FlexibleLoad:
    return FlexibleLoad(
        id="flexible",
        carrier="power" if rng.random() < 0.8 else "cold",
        power_limit_kw=float(rng.uniform(60, 150)),
        shift_hours=float(rng.choice([0.5, 1.0, 3.0])),
        shiftable_share=float(rng.uniform(0.2, 1.0)),
        curtailable_share=float(rng.choice([0.0, 0.3])),
        curtailment_price_per_kwh=float(rng.uniform(0.3, 2.0)),
        interruption_price_per_kwh=float(rng.uniform(2, 9)) if rng.random() < 0.5 else None,
    )


def _heat_and_cold(rng: np.random.Generator) -> tuple[AnyDevice, ...]:
    heat = _heat(rng) if rng.random() < 0.6 else ()
    cold = _cold(rng, bool(heat)) if rng.random() < 0.6 else ()
    return (*heat, *cold)


def _heat(rng: np.random.Generator) -> tuple[AnyDevice, ...]:
    burners = (*_maybe(rng, 0.6, _chp(rng)), *_maybe(rng, 0.5, GasBoiler(id="boiler1", heat_limit_kw=150)))
    gas = GasSupply(id="gas", supply_limit_kw=float(rng.uniform(300, 900)), price_per_nm3=float(rng.uniform(0.5, 5)))
    return (
        Load(id="heat_load", carrier="heat"),
        *burners,
        *((gas,) if burners else ()),
        *_maybe(rng, 0.7, HeatPump(id="heat_pump1", heat_limit_kw=250, min_part_load=float(rng.uniform(0, 0.4)))),
        *_maybe(rng, 0.4, WasteHeat(id="furnace", heat_limit_kw=100)),
        *_maybe(rng, 0.6, _store(rng, "tank", "heat")),
    )


def _chp(rng: np.random.Generator) -> Chp:
    return Chp(
        id="chp1",
        power_limit_kw=float(rng.uniform(60, 200)),
        min_load=float(rng.uniform(0.3, 0.6)),
        heat_dump=bool(rng.random() < 0.7),
        min_up_hours=float(rng.choice([0.0, 0.5, 2.0])),
        min_down_hours=float(rng.choice([0.0, 0.5, 1.0])),
        start_cost=float(rng.choice([0.0, 20.0, 200.0])),
        ramp_kw_per_min=float(rng.uniform(1, 5)) if rng.random() < 0.5 else None,
    )


def _cold(rng: np.random.Generator, has_heat: bool) -> tuple[AnyDevice, ...]:
    absorber = AbsorptionChiller(id="absorber", cooling_limit_kw=80, min_part_load=float(rng.uniform(0, 0.4)))
    return (
        Load(id="cold_load", carrier="cold"),
        Chiller(id="chiller1", cooling_limit_kw=300, min_part_load=float(rng.uniform(0, 0.4))),
        *(_maybe(rng, 0.6, absorber) if has_heat else ()),
        *_maybe(rng, 0.7, _store(rng, "store", "cold")),
    )


def _store(rng: np.random.Generator, name: str, carrier: str) -> ThermalStore:
    lossless = rng.random() < 0.25
    return ThermalStore(
        id=name,
        carrier="heat" if carrier == "heat" else "cold",
        capacity_kwh=float(rng.uniform(100, 500)),
        charge_limit_kw=90,
        discharge_limit_kw=90,
        charge_efficiency=1.0 if lossless else 0.97,
        discharge_efficiency=1.0 if lossless else 0.97,
        loss_per_hour=0.0 if lossless else 0.01,
    )


def _charger(rng: np.random.Generator, number: int) -> V2gCharger:
    power = float(rng.choice([7.0, 20.0, 60.0]))
    return V2gCharger(id=f"ev{number}", charge_limit_kw=power, discharge_limit_kw=float(rng.choice([0.0, power])))


def _expected(rng: np.random.Generator, chargers: Sequence[str]) -> ExpectedCars:
    return ExpectedCars(id="ev", chargers=tuple(chargers), charge_limit_kw=float(rng.uniform(20, 80)))


def _feeders(rng: np.random.Generator, devices: Sequence[AnyDevice]) -> tuple[FeederLimit, ...]:
    """A cable for the cars, and one above it that also carries a battery."""
    cars = tuple(d.id for d in devices if d.kind in ("v2g_charger", "expected_cars"))
    stores = tuple(d.id for d in devices if d.kind == "battery")[:1]
    found = (FeederLimit("cars", float(rng.uniform(15, 60)), cars),) if cars else ()
    if stores and rng.random() < 0.5:
        return (*found, FeederLimit("hall", float(rng.uniform(60, 250)), (*cars, *stores)))
    return found


def _situation(rng: np.random.Generator, devices: Sequence[AnyDevice]) -> Situation:
    chargers = [device.id for device in devices if device.kind == "v2g_charger"]
    return Situation(
        site="random",
        issued_at=START,
        grid=TimeGrid(START, 15, STEPS),
        state={"grid": {"peak_kw": float(rng.uniform(0, 400))}, **_states(rng, devices)},
        series=_series(rng),
        prices=_prices(rng),
        sessions={charger: (_car(rng, charger),) for charger in chargers},
    )


def _states(rng: np.random.Generator, devices: Sequence[AnyDevice]) -> dict[str, dict[str, float]]:
    """Where every store and machine stands; a battery may start outside its band, a CHP unit inside its least times."""
    states = {
        device.id: {"energy_kwh": device.capacity_kwh * float(rng.uniform(0.02, 1.0))}
        for device in devices
        if device.kind in ("battery", "thermal_store")
    }
    for device in devices:
        if device.kind == "chp":
            hours = float(rng.choice([0.25, 0.75, 3.0]))
            on = {"power_kw": device.power_limit_kw * float(rng.uniform(0.6, 1.0)), "on_hours": hours, "off_hours": 0.0}
            off = {"power_kw": 0.0, "on_hours": 0.0, "off_hours": hours}
            states[device.id] = on if rng.random() < 0.5 else off
    return states


def _series(rng: np.random.Generator) -> dict[str, Array]:
    """What devices may ask for; those that are not there do not ask."""
    arriving = np.where(np.arange(STEPS) < STEPS // 2, np.abs(rng.normal(15, 8, STEPS)), 0.0)
    return {
        "load.demand_kw": np.abs(rng.normal(250, 40, STEPS)),
        "flexible.demand_kw": np.abs(rng.normal(60, 20, STEPS)),
        "pv1.available_kw": np.abs(rng.normal(150, 120, STEPS)),
        "cold_load.demand_kw": np.abs(rng.normal(120, 30, STEPS)),
        "heat_load.demand_kw": np.abs(rng.normal(110, 25, STEPS)),
        "furnace.available_kw": np.abs(rng.normal(40, 30, STEPS)),
        "weather.temperature_c": rng.normal(20, 6, STEPS),
        "generator1.allowed": (rng.random(STEPS) < 0.5).astype(float),
        "ev.arriving_kw": arriving,
        "ev.leaving_kw": np.concatenate([np.zeros(STEPS // 2), arriving[: STEPS // 2]]),
        "ev.occupied_pct": rng.uniform(20, 100, STEPS),
    }


def _prices(rng: np.random.Generator) -> Prices:
    hour = np.arange(STEPS) / 4
    level = rng.uniform(0.2, 1.2, 3)
    bands = np.select([hour < 2, hour < 4], level[:2], level[2]) + rng.normal(0, 0.02, STEPS)
    return Prices(
        import_per_kwh=bands - float(rng.choice([0.0, 0.0, 0.6])),
        export_per_kwh=np.full(STEPS, float(rng.choice([0.0, 0.3, 0.9]))),
        band=("flat",) * STEPS,
        demand=_demand_lines(rng),
        billing_period=(0,) * STEPS,
        carbon_kg_per_kwh=np.full(STEPS, 0.5),
    )


def _demand_lines(rng: np.random.Generator) -> tuple[DemandLine, ...]:
    """None, one on every quarter hour, or two: one of them on half hours of an evening window over a free demand."""
    whole = DemandLine("demand", 48.0, 48.0, inside=np.ones(STEPS))
    evening = (np.arange(STEPS) >= STEPS // 2).astype(float)
    half_hours = tuple(t // 2 for t in range(STEPS)) if rng.random() < 0.5 else None
    window = DemandLine("evening", 20.0, 20.0, evening, float(rng.uniform(0, 300)), 2, half_hours)
    return ((), (whole,), (whole, window))[int(rng.integers(0, 3))]


def _car(rng: np.random.Generator, charger: str) -> Session:
    arrive = START + timedelta(minutes=float(rng.uniform(-60, 120)))
    depart = arrive + timedelta(minutes=float(rng.uniform(40, 300)))
    capacity = float(rng.choice([45.0, 60.0, 77.0]))
    known = bool(rng.random() < 0.7)
    brought = float(rng.uniform(0.1, 0.6)) * capacity
    return Session(
        f"{charger}-car", charger, arrive, depart, float(rng.uniform(2, 0.35 * capacity)),
        brought if known else None, capacity if known else None,
    )  # fmt: skip
