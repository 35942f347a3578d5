"""Every device, and the options that change its rows, in the smallest site in which it can be planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from optimizer.devices import (
    DEVICES,
    AbsorptionChiller,
    AnyDevice,
    BackupGenerator,
    Battery,
    Chiller,
    Chp,
    ExpectedCars,
    FlexibleLoad,
    GasBoiler,
    GasSupply,
    GridConnection,
    HeatPump,
    Load,
    Pv,
    ThermalStore,
    V2gCharger,
    WasteHeat,
)
from optimizer.devices.depth_wear import DepthWear
from optimizer.devices.thermal_store import WaterTank
from optimizer.situation import Prices, Session, Situation
from optimizer.time_grid import Array, TimeGrid
from tests.optimizer.park import demand_line

START = datetime(2026, 8, 25, 16, tzinfo=UTC)
HOURLY_PRICE = (0.28, 0.28, 0.70, 1.435, 0.70, 0.28)
HOURLY = {
    "load.demand_kw": (100.0, 80.0, 120.0, 150.0, 130.0, 90.0),
    "cold_load.demand_kw": (60.0, 50.0, 70.0, 90.0, 80.0, 60.0),
    "heat_load.demand_kw": (50.0, 60.0, 70.0, 60.0, 50.0, 40.0),
    "pv1.available_kw": (0.0, 40.0, 90.0, 120.0, 60.0, 0.0),
    "generator1.allowed": (0.0, 1.0, 1.0, 0.0, 0.0, 0.0),
    "ev.arriving_kw": (0.0, 20.0, 10.0, 10.0, 0.0, 0.0),
    "ev.leaving_kw": (0.0, 0.0, 0.0, 10.0, 10.0, 20.0),
    "ev.occupied_pct": (0.0, 60.0, 80.0, 100.0, 60.0, 40.0),
    "flexible.demand_kw": (40.0, 30.0, 60.0, 50.0, 30.0, 40.0),
    "furnace.available_kw": (20.0, 90.0, 150.0, 120.0, 0.0, 60.0),
    "weather.temperature_c": (26.0, 27.0, 30.0, 33.0, 31.0, 28.0),
}
GRID = GridConnection(id="grid", import_limit_kw=600.0, export_limit_kw=300.0)
LOAD = Load(id="load", carrier="power")
COLD_LOAD = Load(id="cold_load", carrier="cold")
HEAT_LOAD = Load(id="heat_load", carrier="heat")
GAS = GasSupply(id="gas", supply_limit_kw=500.0, price_per_nm3=3.77)
BOILER = GasBoiler(id="boiler1", heat_limit_kw=120.0, min_part_load=0.0)
CHILLER = Chiller(id="chiller1", cooling_limit_kw=160.0, min_part_load=0.0)
FURNACE = WasteHeat(id="furnace", heat_limit_kw=140.0)
HEAT_PUMP = HeatPump(id="heat_pump1", heat_limit_kw=200.0, min_part_load=0.0)


@dataclass(frozen=True)
class Example:
    """A device with the companions it needs, and the cars that come."""

    device: AnyDevice
    others: tuple[AnyDevice, ...]
    sessions: dict[str, tuple[Session, ...]]
    agrees_within: float = 1e-6
    """Relative difference of cost that another step length may make while the surroundings change by the hour."""

    @property
    def devices(self) -> tuple[AnyDevice, ...]:
        return (self.device, *self.others)


def car(charger: str, hour_in: float, hour_out: float, needed: float, known: bool = True) -> Session:
    return Session(
        session_id=f"{charger}-{hour_in}",
        charger=charger,
        arrive=START + timedelta(hours=hour_in),
        depart=START + timedelta(hours=hour_out),
        energy_needed_kwh=needed,
        energy_on_arrival_kwh=30.0 if known else None,
        capacity_kwh=60.0 if known else None,
    )


def _example(
    device: AnyDevice, *others: AnyDevice, cars: tuple[Session, ...] = (), agrees_within: float = 1e-6
) -> Example:
    return Example(device, others, {device.id: cars} if cars else {}, agrees_within)


LOSSY = 1e-3
"""Standing loss compounds inside the hour."""
BENDING = 5e-3
"""A limit that bends with the energy is kept by a constant power only at the step's tighter end."""


EXAMPLES = {
    "backup_generator": _example(
        BackupGenerator(id="generator1", power_limit_kw=60, fuel_cost_per_kwh=0.6, carbon_price_per_kg=0.06), GRID, LOAD
    ),
    "absorption_chiller": _example(
        AbsorptionChiller(id="absorber", cooling_limit_kw=60, min_part_load=0.0),
        GRID,
        LOAD,
        COLD_LOAD,
        CHILLER,
        FURNACE,
    ),
    "battery": _example(
        Battery(id="battery1", capacity_kwh=200, charge_limit_kw=80, discharge_limit_kw=100),
        GRID,
        LOAD,
        agrees_within=LOSSY,
    ),
    "battery_limits_by_soc": _example(
        Battery(
            id="battery1",
            capacity_kwh=200,
            charge_limit_kw=80,
            discharge_limit_kw=100,
            charge_limit_by_soc=((0.0, 0.6), (0.2, 1.0), (0.7, 1.0), (0.9, 0.5), (1.0, 0.1)),
            discharge_limit_by_soc=((0.0, 0.1), (0.3, 1.0)),
            auxiliary_kw=1.5,
        ),
        GRID,
        LOAD,
        agrees_within=BENDING,
    ),
    "battery_wear_by_depth": _example(
        Battery(
            id="battery1",
            capacity_kwh=200,
            charge_limit_kw=80,
            discharge_limit_kw=100,
            depth_wear=DepthWear(replacement_cost=160_000, segments=3),
        ),
        GRID,
        LOAD,
        agrees_within=LOSSY,
    ),
    "chiller": _example(
        Chiller(id="chiller1", cooling_limit_kw=120, min_part_load=0.25),
        GRID,
        LOAD,
        COLD_LOAD,
    ),
    "chp": _example(
        Chp(id="chp1", power_limit_kw=40, min_up_hours=2, min_down_hours=1, start_cost=5, ramp_kw_per_min=10),
        GRID,
        LOAD,
        HEAT_LOAD,
        GAS,
        BOILER,
    ),
    "gas_boiler": _example(GasBoiler(id="boiler1", heat_limit_kw=100), GRID, LOAD, HEAT_LOAD, GAS),
    "gas_supply": _example(
        GasSupply(id="gas", supply_limit_kw=200, price_per_nm3=3.77, carbon_price_per_kg=0.06),
        GRID,
        LOAD,
        HEAT_LOAD,
        BOILER,
    ),
    "expected_cars": _example(ExpectedCars(id="ev", chargers=("ev01", "ev02"), charge_limit_kw=40), GRID, LOAD),
    "flexible_load": _example(
        FlexibleLoad(
            id="flexible",
            power_limit_kw=80,
            shift_hours=1,
            shiftable_share=0.5,
            curtailable_share=0.2,
            curtailment_price_per_kwh=1.0,
        ),
        GRID,
        LOAD,
    ),
    "grid_connection": _example(GRID, LOAD, Pv(id="pv1", capacity_kw=150)),
    "heat_pump": _example(HeatPump(id="heat_pump1", heat_limit_kw=100), GRID, LOAD, HEAT_LOAD),
    "load": _example(LOAD, GRID),
    "pv": _example(Pv(id="pv1", capacity_kw=100), GRID, LOAD),
    "thermal_store": _example(
        ThermalStore(id="store", carrier="cold", capacity_kwh=300, charge_limit_kw=60, discharge_limit_kw=60),
        GRID,
        LOAD,
        COLD_LOAD,
        CHILLER,
        agrees_within=LOSSY,
    ),
    "thermal_store_hot_tank": _example(
        ThermalStore(
            id="store",
            carrier="heat",
            tank=WaterTank(volume_m3=8, upper_temperature_c=65, lower_temperature_c=40),
            charge_limit_kw=60,
            discharge_limit_kw=60,
        ),
        GRID,
        LOAD,
        HEAT_LOAD,
        HEAT_PUMP,
        agrees_within=LOSSY,
    ),
    "thermal_store_ice": _example(
        ThermalStore(
            id="store",
            carrier="cold",
            capacity_kwh=300,
            charge_limit_kw=60,
            discharge_limit_kw=60,
            charge_limit_by_fill=((0.5, 1.0), (1.0, 0.4)),
            discharge_limit_by_fill=((0.0, 0.2), (0.25, 1.0)),
            charging_power_per_kw=0.09,
        ),
        GRID,
        LOAD,
        COLD_LOAD,
        CHILLER,
        agrees_within=BENDING,
    ),
    "v2g_charger": _example(
        V2gCharger(
            id="ev01", charge_limit_kw=20, discharge_limit_kw=20, wear_cost_per_kwh=0.1, departure_margin_minutes=0
        ),
        GRID,
        LOAD,
        cars=(car("ev01", -1, 2, 12), car("ev01", 3, 6, 10)),
    ),
    "v2g_charger_minimum": _example(
        V2gCharger(
            id="ev01",
            charge_limit_kw=20,
            discharge_limit_kw=20,
            min_charge_kw=4.1,
            wear_cost_per_kwh=0.1,
            departure_margin_minutes=0,
        ),
        GRID,
        LOAD,
        cars=(car("ev01", -1, 2, 12), car("ev01", 3, 6, 10)),
    ),
    "v2g_charger_taper": _example(
        V2gCharger(id="ev01", charge_limit_kw=20, taper_from_soc=0.8, at_once_soc=0.7, departure_margin_minutes=0),
        GRID,
        LOAD,
        cars=(car("ev01", -1, 2, 25), car("ev01", 3, 6, 10)),
    ),
    "waste_heat": _example(FURNACE, GRID, LOAD, HEAT_LOAD, HEAT_PUMP),
}
assert {type(example.device) for example in EXAMPLES.values()} == set(DEVICES)


def spread(hourly: tuple[float, ...], step_minutes: int) -> Array:
    return np.repeat(np.asarray(hourly), 60 // step_minutes)


def situation_of(example: Example, step_minutes: int = 15, hours: int = 6, peak_kw: float = 400.0) -> Situation:
    """Hourly constant surroundings, so that every step length can express the same optimum."""
    near = hours * 60 // step_minutes
    grid = TimeGrid(START, step_minutes, near)
    price = spread(HOURLY_PRICE, step_minutes)[:near]
    return Situation(
        site="tiny",
        issued_at=START,
        grid=grid,
        state={"grid": {"peak_kw.demand": peak_kw}},
        series={name: spread(values, step_minutes)[:near] for name, values in HOURLY.items()},
        prices=Prices(
            import_per_kwh=price,
            export_per_kwh=np.full(near, 0.2),
            band=("flat",) * near,
            demand=(demand_line(near),),
            billing_period=(0,) * near,
            carbon_kg_per_kwh=np.full(near, 0.4974),
        ),
        sessions=example.sessions,
    )
