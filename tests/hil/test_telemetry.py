"""Readings: what is measured, by whom, and how far it may be from the truth."""

from datetime import timedelta

import numpy as np
import pytest

from hil.plant import Plant, run_minutes
from hil.telemetry import measured, readings
from hil.truth import Meters, Truth
from streams.messages import decode


@pytest.fixture
def exact_hours(park):
    plant = park.exact_plant(16)
    return plant, run_minutes(plant, plant.start(), 120)[1]


def test_every_device_reports_its_signals_every_five_minutes(park, exact_hours):
    plant, records = exact_hours
    sent = list(readings(plant, records, np.random.default_rng(1)))
    assert len({(r.device, r.time) for r in sent}) == len(sent) == 24 * 13
    first = {r.device: set(r.values) for r in sent if r.time == park.START}
    assert first["battery1"] == {"energy_kwh", "charge_kw", "discharge_kw"}
    assert first["chiller1"] == {"cold_kw", "power_kw"}
    assert first["pv1"] == {"available_kw", "used_kw"}
    assert first["load"] == {"demand_kw"}
    assert first["meter"] == {"import_kw", "export_kw"}
    assert first["weather"] == {"temperature_c"}
    assert all(decode(r.key, r.encode()) == r for r in sent)


def test_exact_meters_give_means_of_powers_and_last_energies(exact_hours):
    plant, records = exact_hours
    sent = [r for r in readings(plant, records, np.random.default_rng(1)) if r.device == "cold_store"]
    store = records.get("cold_store.energy_kwh")
    assert [r.values["energy_kwh"] for r in sent] == pytest.approx(store[4::5])
    discharge = records.get("cold_store.discharge_kw").reshape(-1, 5).mean(axis=1)
    assert [r.values["discharge_kw"] for r in sent] == pytest.approx(discharge)


def test_charger_tells_the_car_that_stands_there_at_the_end(park, exact_hours):
    plant, records = exact_hours
    cars = {r.time: r.car for r in readings(plant, records, np.random.default_rng(1)) if r.device == "ev1"}
    assert cars[park.START + timedelta(minutes=60)] is None  # the car comes at 01:07:12
    car = cars[park.START + timedelta(minutes=65)]
    assert (car.session_id, car.energy_needed_kwh, car.capacity_kwh) == ("a", 25.0, 60.0)


def test_noise_is_small_seeded_and_rounded(park):
    truth = Truth.drawn(park.PARK, np.random.default_rng(1))
    plant = Plant(truth, park.drivers(truth, 16))
    records = run_minutes(plant, plant.start(), 120)[1]
    one, two = (list(readings(plant, records, np.random.default_rng(9))) for _ in range(2))
    assert one == two
    load = np.array([r.values["demand_kw"] for r in one if r.device == "load"])
    true = records.get("load.demand_kw").reshape(-1, 5).mean(axis=1)
    assert 0 < np.abs(load / true - 1).max() < 0.03
    assert load == pytest.approx(np.round(load, 1))


def test_power_readings_are_never_negative_and_zero_stays_zero():
    wild = Meters(noise_share=5.0)
    values = [measured(10.0, "load", "demand_kw", wild, np.random.default_rng(i)) for i in range(50)]
    assert min(values) == 0.0
    assert measured(0.0, "battery1", "charge_kw", wild, np.random.default_rng(1)) == 0.0
