"""The plant with every kind of device: plan = plant, balances, and what machines do where something finds no place."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.assembly import SLOT_ORDER, situation
from hil.direct_face import DirectFace
from hil.drivers import minute_drivers
from hil.plant import Plant, offer, run_minutes, states_of
from hil.site_controller import SiteController
from hil.truth import Truth
from optimizer.devices import DEVICES
from optimizer.devices.base import Device
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.load import Load
from site_configs.site import Site

MORE = (
    {"id": "gas", "kind": "gas_supply", "supply_limit_kw": 600, "price_per_nm3": 3.4},
    {"id": "chp1", "kind": "chp", "power_limit_kw": 100, "ramp_kw_per_min": 5, "min_down_hours": 0.5},
    {"id": "chp2", "kind": "chp", "power_limit_kw": 60, "heat_dump": True},
    {"id": "boiler", "kind": "gas_boiler", "heat_limit_kw": 150},
    {"id": "absorber", "kind": "absorption_chiller", "cooling_limit_kw": 120},
    {"id": "generator1", "kind": "backup_generator", "power_limit_kw": 80, "fuel_cost_per_kwh": 2.0},
    {"id": "furnace", "kind": "waste_heat", "heat_limit_kw": 90},
    {"id": "flexible", "kind": "flexible_load", "power_limit_kw": 90, "shift_hours": 2, "curtailable_share": 0.2},
    {"id": "ev", "kind": "expected_cars", "chargers": ["ev1", "ev2"], "charge_limit_kw": 27},
)
LIMITS = {
    "battery1": (-250, 250), "ev1": (-20, 20), "ev2": (-7, 0), "cold_store": (-100, 100), "hot_store": (-30, 30),
    "chiller1": (0, 200), "pump": (0, 80), "pv1": (0, 400), "chp1": (0, 100), "chp2": (0, 60), "boiler": (0, 150),
    "absorber": (0, 120), "generator1": (0, 80), "furnace": (0, 90), "flexible": (-90, 90),
}  # fmt: skip
targets = st.fixed_dictionaries({}, optional={name: st.floats(*limits) for name, limits in LIMITS.items()})
SETTLED_LOCALLY = ("thermal_store", "chiller", "heat_pump", "gas_boiler", "absorption_chiller", "waste_heat")
"""Kinds whose setpoint the local thermostat may leave: what they gave is what is asked of their own step."""


def site_of(park, *more):
    data = park.PARK.model_dump(mode="json", by_alias=True)
    return Site.model_validate({**data, "devices": [*data["devices"], *more]})


def surroundings(park, truth, **changed):
    """The test day with more heat wanted, a process, a flexible load and a generator allowed from 03:00 to 06:00."""
    frame, hour = park.frame(), np.arange(96) / 4
    more = {
        "heat_load.demand_kw": 110 + 60 * np.cos(hour / 4),
        "furnace.available_kw": np.clip(80 * np.sin(hour), 0, None),
        "flexible.demand_kw": 40 + 20 * np.sin(hour / 3),
        "generator1.allowed": ((hour >= 3) & (hour < 6)).astype(float),
        "ev.arriving_kw": np.zeros(96),
        "ev.leaving_kw": np.zeros(96),
        "ev.occupied_pct": np.zeros(96),
    }
    frame = pd.concat([frame.drop(columns="heat_load.demand_kw"), pd.DataFrame(more, frame.index)], axis=1)
    frame = frame.assign(**changed)
    return minute_drivers(frame, park.sessions(), park.START, 96, truth.flutters, np.random.default_rng(1))


def plant_of(park, *, exact=True, grid=None, devices=None, **changed):
    truth = Truth.exact(site_of(park, *MORE)) if exact else Truth.drawn(site_of(park, *MORE), np.random.default_rng(2))
    changes = {"grid": grid or {}, **(devices or {})}
    truth = replace(truth, devices=tuple(d.model_copy(update=changes.get(d.id, {})) for d in truth.devices))
    return Plant(truth, surroundings(park, truth, **changed))


def run(plant, park, wishes, minutes=600):
    points = {name: park.setpoint(1, kw, minutes=10_000) for name, kw in wishes.items()}
    state, _ = offer(plant, plant.start(), points)
    return state, run_minutes(plant, state, minutes)[1]


def imbalance(plant, records):
    """Largest difference of what feeds and leaves a bus in any minute [kW], by carrier."""
    net = dict.fromkeys(("power", "heat", "cold", "gas"), 0.0)
    for device in plant.truth.devices:
        if not isinstance(device, ExpectedCars):
            for quantity, (bus, direction) in device.buses().items():
                source = "meter" if isinstance(device, GridConnection) else device.id
                net[bus] = net[bus] + records.get(f"{source}.{quantity}") * (1 if direction == "in" else -1)
    return {carrier: float(np.abs(kw).max()) for carrier, kw in net.items()}


def test_no_kind_of_device_is_left_out():
    without_slot = {Load, GridConnection, GasSupply, ExpectedCars}
    assert {kind for group in SLOT_ORDER for kind in group} | without_slot == set(DEVICES)


@given(targets, st.booleans(), st.sampled_from([0.0, 200.0]), st.sampled_from([250.0, 600.0]))
@settings(max_examples=25, deadline=None)
def test_every_bus_balances_whatever_is_asked(park, wishes, exact, export_limit, gas_limit):
    changed = {"gas": {"supply_limit_kw": gas_limit}}
    plant = plant_of(park, exact=exact, grid={"export_limit_kw": export_limit}, devices=changed)
    _, records = run(plant, park, wishes)
    assert max(imbalance(plant, records).values()) < 1e-9
    assert records.get("gas.supply_kw").max() <= gas_limit + 1e-9
    assert records.get("meter.export_kw").max() <= export_limit + 1e-9
    for load in ("load", "heat_load", "cold_load"):
        assert records.get(f"{load}.served_kw").min() >= -1e-9
        assert records.get(f"{load}.unserved_kw").min() >= -1e-9


def asked_of(device: Device, target, flows):
    """What the step was asked for: the setpoint where the device alone decides, else what the site's balance left."""
    if device.kind in (*SETTLED_LOCALLY, "flexible_load", "chp", "backup_generator"):
        return flows
    return device.asked(target)


@given(targets)
@settings(max_examples=8, deadline=None)
def test_plan_is_plant_for_every_kind(park, wishes):
    """Each device's own `step`, in plain Python with the plan's parameters, repeats the plant minute by minute."""
    plant = plant_of(park)
    _, records = run(plant, park, wishes)
    for device in plant.devices:
        own = device.start(situation(plant.truth, plant.drivers, {}))
        for m in range(600):
            here = {name: float(values[m]) for name, values in plant.conditions[device.id].items()}
            here = {**here, "whole": 1.0} if "whole" in here else here
            flows = {quantity: float(records.get(f"{device.id}.{quantity}")[m]) for quantity in device.buses()}
            answer = device.step(asked_of(device, wishes.get(device.id, device.safe_kw()), flows), own, here, 1 / 60)
            assert flows == pytest.approx(answer.flows, abs=1e-6), (device.id, m)
            for name, value in answer.state.items():
                assert records.get(f"{device.id}.{name}")[m] == pytest.approx(value, abs=1e-6), (device.id, m)
            own = answer.state


def test_an_engine_follows_its_setpoint_with_its_ramp_and_rests_its_time(park):
    plant = plant_of(park)
    state, _ = offer(plant, plant.start(), {"chp1": park.setpoint(1, 100.0, minutes=60)})
    state, first = run_minutes(plant, state, 60)
    power = first.get("chp1.power_kw")
    assert power[:5] == pytest.approx([50.0, 55.0, 60.0, 65.0, 70.0])  # starts at least load, then 5 kW a minute
    assert first.get("chp1.on_hours")[-1] == pytest.approx(1.0)
    state, rest = run_minutes(plant, state, 10)  # the setpoint's time is over: the safe value is to stand
    assert rest.get("chp1.power_kw").max() == 0.0
    state, _ = offer(plant, state, {"chp1": park.setpoint(2, 100.0, start_min=70, minutes=100)})
    _, again = run_minutes(plant, state, 40)
    assert np.flatnonzero(again.get("chp1.power_kw"))[0] == 20  # half an hour after the stop


def test_an_engine_whose_heat_finds_no_place_gives_less_and_is_then_tripped(park):
    devices = {"hot_store": {"initial_fill": 1.0}, "absorber": {"cooling_limit_kw": 1e-6}}
    some = plant_of(park, devices=devices, **{"heat_load.demand_kw": 80.0})
    _, records = run(some, park, {"chp1": 100.0}, 60)
    assert records.get("chp1.heat_kw")[30:] == pytest.approx(80.0 + 0.0 * records.get("chp1.heat_kw")[30:], abs=0.5)
    none = plant_of(park, devices=devices, **{"heat_load.demand_kw": 10.0})
    _, records = run(none, park, {"chp1": 100.0}, 60)
    assert records.get("chp1.power_kw").max() == 0.0
    assert max(imbalance(none, records).values()) < 1e-9


def test_a_cooler_takes_what_nobody_uses(park):
    plant = plant_of(park, devices={"hot_store": {"initial_fill": 1.0}}, **{"heat_load.demand_kw": 10.0})
    _, records = run(plant, park, {"chp2": 60.0, "absorber": 0.0}, 60)
    assert records.get("chp2.power_kw").min() == pytest.approx(60.0)
    assert records.get("chp2.heat_kw").max() < 15.0


def test_an_engine_runs_no_faster_than_its_power_finds_a_way(park):
    plant = plant_of(
        park,
        grid={"export_limit_kw": 0.0},
        **{"load.demand_kw": 10.0, "flexible.demand_kw": 0.0, "pv1.available_kw": 0.0},
    )
    _, records = run(plant, park, {"chp1": 100.0, "battery1": 0.0}, 200)
    assert records.get("meter.export_kw").max() == 0.0
    assert records.get("battery1.charge_kw").max() > 0.0  # the guard stores what it can


def test_a_backup_generator_runs_only_where_it_is_allowed(park):
    _, records = run(plant_of(park), park, {"generator1": 80.0}, 400)
    power = records.get("generator1.power_kw")
    assert set(power[:180]) == {0.0}
    assert power[180:360].min() == 80.0
    assert set(power[360:]) == {0.0}


def test_a_flexible_load_gives_way_and_takes_back_what_it_owes(park):
    _, records = run(plant_of(park), park, {"flexible": 90.0}, 600)
    owed = records.get("flexible.shifted_kwh")
    demand = records.get("flexible.demand_kw")
    assert owed.min() < -10.0
    assert np.all(records.get("flexible.served_kw") >= 0.8 * demand - 1e-9)  # a fifth may be given up
    given_up = demand - records.get("flexible.served_kw")
    assert given_up.max() == pytest.approx(0.2 * demand.max(), rel=0.1)


def test_boilers_share_what_gas_is_left(park):
    plant = plant_of(park, devices={"gas": {"supply_limit_kw": 100.0}, "pump": {"heat_limit_kw": 1e-6}})
    _, records = run(plant, park, {"boiler": 150.0}, 300)
    assert records.get("gas.supply_kw").max() == pytest.approx(100.0)
    assert records.get("heat_load.unserved_kw").max() > 1.0


def test_nobody_asks_a_process_for_more_heat_than_it_gives_off(park):
    plant = plant_of(park)
    _, records = run(plant, park, {}, 600)
    heat, given = records.get("furnace.heat_kw"), plant.conditions["furnace"]["heat_available_kw"][:600]
    assert np.all(heat <= given + 1e-9)
    assert heat.sum() > 0.5 * given.sum()  # and the thermostat takes it before the boiler burns gas


def test_every_device_tells_its_state(park):
    plant = plant_of(park)
    told, _ = run(plant, park, {"chp1": 100.0, "flexible": 30.0}, 1)
    state, _ = run_minutes(plant, told, 30)
    known = {device.id: states_of(plant, state, device) for device in plant.devices}
    assert set(known["chp1"]) == {"power_kw", "on_hours", "off_hours"}
    assert known["chp1"]["on_hours"] == pytest.approx(0.5)
    assert known["flexible"]["shifted_kwh"] < 0.0
    assert known["boiler"] == {}


def test_the_gateway_can_read_every_kind_and_learns_what_batteries_chargers_and_pv_can_do(park):
    plant = plant_of(park)
    controller = SiteController(plant, plant.start())
    controller.run(1)
    reads = DirectFace(controller).read(plant.controlled)
    told = {name for name, read in reads.items() if read.range_kw is not None}
    assert told == {"battery1", "ev1", "ev2", "pv1"}
    assert set(reads) == set(plant.controlled)
