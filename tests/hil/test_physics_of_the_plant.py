"""The plant with the physics that the plan does not know: each option shows, and no balance breaks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil import kernels
from hil.habits import Habits, as_they_come, with_habits
from hil.physics.car_cells import taper
from hil.plant import Plant, offer, run_minutes
from hil.telemetry import car_at
from hil.truth import Cells, Machines, Physics, Tanks, Truth
from hil.wearing import aged
from optimizer.devices.battery import Battery
from optimizer.devices.thermal_store import ThermalStore

ALL = Physics(Cells(), Tanks(), Machines(), cars_by_cells=True)
BUSES = {
    "power": ("ev1", "ev2", "battery1", "pv1", "grid", "load", "chiller1", "pump"),
    "cold": ("cold_store", "cold_load", "chiller1"),
    "heat": ("hot_store", "heat_load", "pump"),
}


def plant_of(park, physics, **dynamics):
    exact = Truth.exact(park.PARK)
    truth = replace(exact, physics=physics, dynamics=replace(exact.dynamics, **dynamics))
    return Plant(truth, park.drivers(truth))


def run(plant, park, wishes, minutes=600):
    points = {name: park.setpoint(1, kw, minutes=10_000) for name, kw in wishes.items()}
    state, _ = offer(plant, plant.start(), points)
    return run_minutes(plant, state, minutes)


targets = st.fixed_dictionaries(
    {"battery1": st.floats(-250, 250), "ev1": st.floats(-20, 20), "cold_store": st.floats(-100, 100),
     "hot_store": st.floats(-30, 30), "chiller1": st.floats(0, 200), "pump": st.floats(0, 80)}
)  # fmt: skip


@given(targets)
@settings(max_examples=15, deadline=None)
def test_every_bus_balances_with_all_the_physics(park, wishes):
    plant = plant_of(park, ALL, converter_ramp_per_minute=0.2)
    _, records = run(plant, park, wishes)
    for carrier, names in BUSES.items():
        net = 0.0
        for device in plant.truth.devices:
            if device.id in names:
                for quantity, (bus, direction) in device.buses().items():
                    source = "meter" if device.kind == "grid_connection" else device.id
                    sign = 1.0 if direction == "in" else -1.0
                    net = net + sign * records.get(f"{source}.{quantity}") if bus == carrier else net
        assert np.abs(net).max() < 1e-9
    for device in plant.of_type(Battery, ThermalStore):
        energy = records.get(f"{device.id}.energy_kwh")
        assert energy.min() >= 0.0
        assert energy.max() <= device.capacity_kwh + 1e-9


def test_cells_lose_more_at_full_power_and_warm_up(park):
    plant = plant_of(park, Physics(cells=Cells(resistance=0.06)))
    state, records = run(plant, park, {"battery1": -250.0}, 45)
    charge, energy = records.get("battery1.charge_kw"), records.get("battery1.energy_kwh")
    stored = np.diff(energy).mean() * 60
    assert charge[0] == pytest.approx(250.0)
    assert 0.90 < stored / charge[:-1].mean() < 0.98
    assert state.arrays.cell[0, kernels.TEMPERATURE_C] > 27.0
    _, gently = run(plant, park, {"battery1": -50.0}, 45)
    assert np.diff(gently.get("battery1.energy_kwh")).mean() * 60 / 50.0 > stored / 250.0 + 0.01


def test_a_layered_store_ends_before_it_is_empty(park):
    wishes = {"hot_store": 30.0, "pump": 0.0}
    _, mixed = run(plant_of(park, Physics()), park, wishes, 240)
    _, layered = run(plant_of(park, Physics(tanks=Tanks())), park, wishes, 240)
    assert layered.get("hot_store.energy_kwh")[-1] > mixed.get("hot_store.energy_kwh")[-1] + 1.0
    assert layered.get("hot_store.discharge_kw")[:30] == pytest.approx([30.0] * 30)


def test_machines_take_more_at_part_load_and_time_to_start(park):
    machines = Machines(start_minutes=5.0)
    cold = {"cold_store": 0.0}
    for name, kw in (("chiller1", 40.0), ("chiller1", 180.0)):
        plants = (plant_of(park, physics) for physics in (Physics(), Physics(machines=machines)))
        plain, rich = (run(plant, park, {**cold, name: kw}, 60)[1] for plant in plants)
        ratio = rich.get("chiller1.power_kw") / plain.get("chiller1.power_kw")
        load = rich.get("chiller1.cold_kw") / 200.0
        expected = (0.2778889 + 0.2338363 * load + 0.4882748 * load**2) / load
        assert ratio == pytest.approx(expected, rel=1e-9)
    plant = plant_of(park, Physics(machines=machines))
    start = plant.start()
    start.arrays.minutes_on[:] = 0.0
    told = {"pump": park.setpoint(1, 60.0, minutes=10_000), "hot_store": park.setpoint(1, 0.0, minutes=10_000)}
    state, _ = offer(plant, start, told)
    _, records = run_minutes(plant, state, 20)
    assert records.get("pump.heat_kw")[:5].max() == 0.0
    assert records.get("pump.power_kw")[:5].min() > 0.0
    assert records.get("pump.heat_kw")[5:].min() > 0.0


def test_a_converter_keeps_its_ramp(park):
    _, records = run(plant_of(park, Physics(), converter_ramp_per_minute=0.1), park, {"battery1": 250.0}, 20)
    assert records.get("battery1.discharge_kw")[:10] == pytest.approx(25.0 * np.arange(1, 11))


def test_a_quick_charger_tapers_early_and_a_slow_one_late():
    (quick, least), (slow, _) = taper(120.0, 60.0), taper(7.0, 60.0)
    assert 0.75 < quick < 0.85
    assert slow > 0.985
    assert least == pytest.approx(0.05 / 2.0)


def test_cars_taper_by_their_cells(park):
    _, line = run(plant_of(park, Physics(cars_by_cells=True)), park, {"ev1": -20.0}, 600)
    energy, charge = line.get("ev1.energy_kwh"), line.get("ev1.charge_kw")
    from_soc, _ = taper(20.0, 50.0)  # the second car
    tapering = (np.arange(600) > 320) & (energy > (from_soc + 0.01) * 50.0) & (charge > 0)
    assert tapering.any()
    assert charge[tapering].max() < 19.0


def test_a_battery_ages_from_day_to_day_and_holds_less(park):
    plant = plant_of(park, Physics())
    state, records = run(plant, park, {"battery1": -100.0}, 600)
    once, fast = aged(plant, state, records), aged(plant, state, records, quickened=10_000.0)
    assert 0.0 < 1.0 - once.arrays.cell[0, kernels.HEALTH] < 1e-3
    assert fast.arrays.cell[0, kernels.HEALTH] < 0.9
    assert state.arrays.cell[0, kernels.HEALTH] == 1.0
    later, _ = run_minutes(plant, fast, 300)
    assert later.arrays.energy_kwh[0] <= 500.0 * fast.arrays.cell[0, kernels.HEALTH] + 1e-9


def test_drivers_do_what_they_please_and_the_site_is_told_what_they_said(park):
    habits = Habits(no_show=0.0, late=1.0, late_minutes=20.0, early=1.0, early_minutes=30.0)
    exact = Truth.exact(park.PARK)
    said = park.drivers(exact)
    really = with_habits(said, habits, np.random.default_rng(4))
    again = with_habits(said, habits, np.random.default_rng(4))
    assert really.sessions == again.sessions
    (one, *_), (other, *_) = really.sessions["ev1"], said.sessions["ev1"]
    assert one.arrive > other.arrive
    assert one.depart < other.depart
    told = really.as_said(car_at(really.sessions["ev1"], one.arrive))
    assert (told.arrive, told.depart) == (other.arrive, other.depart)


@given(st.integers(0, 1000), st.floats(0, 1))
@settings(max_examples=20)
def test_no_show_is_as_frequent_as_said(park, seed, share):
    cars = {"ev1": tuple(replace(park.sessions()["ev1"][0], session_id=f"{n}") for n in range(400))}
    come = as_they_come(cars, Habits(no_show=share, late=0.0, early=0.0), np.random.default_rng(seed))
    assert 1 - len(come["ev1"]) / 400 == pytest.approx(share, abs=0.11)
