"""The plant: plan = plant, balances in every minute, setpoints as firmware treats them."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil import kernels
from hil.plant import Plant, Records, offer, run_minutes, view
from hil.truth import Truth
from optimizer.devices import chiller, grid_connection, heat_pump, pv, storage, v2g_charger
from optimizer.devices.battery import Battery
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from settlement.demand import sliding_demand
from site_configs.site import Site
from streams.gateways.registers import DeviceState, RejectReason

BUSES = {
    "power": ("ev1", "ev2", "battery1", "pv1", "grid", "load", "chiller1", "pump"),
    "cold": ("cold_store", "cold_load", "chiller1"),
    "heat": ("hot_store", "heat_load", "pump"),
}


def told(plant, state, park, targets, **more):
    """State in which every device has been told its target for the interval that begins now."""
    points = {name: park.setpoint(1, kw, minutes=10_000, **more) for name, kw in targets.items()}
    state, answers = offer(plant, state, points)
    assert set(answers.values()) == {RejectReason.NONE}
    return state


def imbalance(records: Records, plant: Plant) -> float:
    """Largest difference of what feeds and leaves a bus in any minute [kW]."""
    worst = 0.0
    for carrier in BUSES:
        net = np.zeros(len(records))
        for device in plant.truth.devices:
            for quantity, (bus, direction) in device.buses().items():
                if bus == carrier:
                    name = f"{'meter' if device.kind == 'grid_connection' else device.id}.{quantity}"
                    net += records.get(name) * (1 if direction == "in" else -1)
        worst = max(worst, float(np.abs(net).max()))
    return worst


targets = st.fixed_dictionaries(
    {
        "battery1": st.floats(-250, 250),
        "ev1": st.floats(-20, 20),
        "ev2": st.floats(-7, 0),
        "cold_store": st.floats(-100, 100),
        "hot_store": st.floats(-30, 30),
        "chiller1": st.floats(0, 200),
        "pump": st.floats(0, 80),
        "pv1": st.floats(0, 400),
    }
)


@given(targets, st.floats(0, 900) | st.none(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_bus_balances_in_every_minute_and_limits_hold(park, wishes, limit, exact):
    plant = park.exact_plant() if exact else park.drawn_plant()
    state = told(plant, plant.start(), park, wishes, grid_limit_kw=limit)
    state, records = run_minutes(plant, state, 600)
    assert imbalance(records, plant) < 1e-9
    assert records.get("meter.export_kw").max() <= 200 + 1e-9
    assert records.get("load.unserved_kw").max() == pytest.approx(0.0, abs=1e-9)
    for device in plant.of_type(Battery, ThermalStore):
        energy = records.get(f"{device.id}.energy_kwh")
        assert energy.min() >= 0
        assert energy.max() <= device.capacity_kwh
    for device in plant.of_type(Battery, ThermalStore, V2gCharger):
        assert np.all(records.get(f"{device.id}.charge_kw") * records.get(f"{device.id}.discharge_kw") == 0)


@given(targets)
@settings(max_examples=10, deadline=None)
def test_stored_energy_is_what_went_in_less_losses(park, wishes):
    plant = park.drawn_plant()
    state = told(plant, plant.start(), park, wishes)
    before = state.arrays.energy_kwh.copy()
    _, records = run_minutes(plant, state, 600)
    for device in plant.of_type(Battery, ThermalStore):
        loss = device.standing_loss_per_hour if device.kind == "battery" else device.loss_per_hour
        energy = np.concatenate([[before[plant.slots[device.id]]], records.get(f"{device.id}.energy_kwh")])
        charge, discharge = records.get(f"{device.id}.charge_kw"), records.get(f"{device.id}.discharge_kw")
        gained = (device.charge_efficiency * charge - discharge / device.discharge_efficiency) / 60
        assert np.diff(energy) == pytest.approx(energy[:-1] * ((1 - loss) ** (1 / 60) - 1) + gained, abs=1e-9)


@given(targets)
@settings(max_examples=10, deadline=None)
def test_plan_is_plant_with_the_exact_truth(park, wishes):
    """Each device's own `step`, in plain Python with the plan's parameters, repeats the plant minute by minute."""
    plant = park.exact_plant()
    state = told(plant, plant.start(), park, wishes)
    _, records = run_minutes(plant, state, 600)
    for device in plant.devices:
        conditions = plant.conditions[device.id]
        own = {"energy_kwh": float(state.arrays.energy_kwh[plant.slots[device.id]])}
        for m in range(600):
            here = {name: float(values[m]) for name, values in conditions.items()}
            flows = {quantity: float(records.get(f"{device.id}.{quantity}")[m]) for quantity in device.buses()}
            asked = (
                flows if device.kind in ("thermal_store", "chiller", "heat_pump") else device.asked(wishes[device.id])
            )
            answer = device.step(asked, own, here, 1 / 60)
            assert flows == pytest.approx(answer.flows, abs=1e-6)
            own = answer.state
            if own:
                assert records.get(f"{device.id}.energy_kwh")[m] == pytest.approx(own["energy_kwh"], abs=1e-6)


def with_options(site: Site) -> Site:
    """The park with power limits by fill, an air-conditioned container, ice and a tank by volume."""
    options = {
        "battery1": {
            "charge_limit_by_soc": ((0.5, 1.0), (1.0, 0.1)),
            "discharge_limit_by_soc": ((0.0, 0.05), (0.4, 1.0)),
            "auxiliary_kw": 3.0,
        },
        "cold_store": {"charging_power_per_kw": 0.09, "discharge_limit_by_fill": ((0.0, 0.2), (0.3, 1.0))},
        "hot_store": {
            "tank": {"volume_m3": 4.0, "upper_temperature_c": 60.0, "lower_temperature_c": 40.0},
            "capacity_kwh": None,
        },
    }
    data = site.model_dump(mode="json", by_alias=True)
    for device in data["devices"]:
        device.update(options.get(device["id"], {}))
    return Site.model_validate(data)


@given(targets)
@settings(max_examples=10, deadline=None)
def test_options_of_stores_are_simulated_as_they_are_planned(park, wishes):
    """Every minute is the device's own step, and what a store takes beside is in the balance of power."""
    site = with_options(park.PARK)
    plant = Plant(Truth.exact(site), park.drivers(Truth.exact(site)))
    state = told(plant, plant.start(), park, wishes)
    _, records = run_minutes(plant, state, 600)
    assert imbalance(records, plant) < 1e-9
    assert np.all(records.get("battery1.auxiliary_kw") == 3.0)
    assert records.get("cold_store.power_kw") == pytest.approx(0.09 * records.get("cold_store.charge_kw"))
    for device in plant.of_type(Battery, ThermalStore):
        own = {"energy_kwh": float(state.arrays.energy_kwh[plant.slots[device.id]])}
        for m in range(600):
            flows = {quantity: float(records.get(f"{device.id}.{quantity}")[m]) for quantity in device.buses()}
            asked = flows if device.kind == "thermal_store" else device.asked(wishes[device.id])
            answer = device.step(asked, own, {}, 1 / 60)
            assert flows == pytest.approx(answer.flows, abs=1e-6)
            assert records.get(f"{device.id}.energy_kwh")[m] == pytest.approx(answer.state["energy_kwh"], abs=1e-6)
            own = answer.state


STEPS = {
    kernels.store_step: (storage.step, 12),
    kernels.exchange: (storage.exchange, 9),
    kernels.charger_step: (v2g_charger.step, 13),
    kernels.chiller_step: (chiller.step, 3),
    kernels.heat_pump_step: (heat_pump.step, 3),
    kernels.pv_step: (pv.step, 3),
    kernels.grid_step: (grid_connection.step, 4),
}


def test_the_kernels_are_the_devices_own_steps():
    assert all(fast.py_func.__code__ is plain.__code__ for fast, (plain, _) in STEPS.items())


def test_car_is_charged_only_while_it_stands_there(park):
    plant = park.exact_plant()
    _, records = run_minutes(plant, told(plant, plant.start(), park, {"ev1": -20.0, "ev2": -7.0}), 600)
    charge = records.get("ev1.charge_kw")
    assert charge[:67].max() == 0  # arrives at 01:07:12
    assert charge[67] == pytest.approx(20 * 0.8)
    assert charge[68] == pytest.approx(20)
    assert charge[300:306].max() == 0  # gone at 05:00, the next car comes at 05:06
    assert records.get("ev1.energy_kwh")[302] == 0
    assert records.get("ev1.energy_kwh")[306] == pytest.approx(30 + 20 * 0.95 / 60)
    assert records.get("ev2.charge_kw").sum() / 60 * 0.95 == pytest.approx(20.0)  # what it needs, content unknown


def test_car_draws_less_near_full_if_its_content_is_known(park):
    plant = park.drawn_plant()
    _, records = run_minutes(plant, told(plant, plant.start(), park, {"ev1": -20.0, "ev2": -7.0}), 300)
    energy, charge = records.get("ev1.energy_kwh"), records.get("ev1.charge_kw")
    above, below = energy > 0.98 * 60, (energy > 20) & (energy < 0.94 * 60)
    assert charge[below].min() > 19.9
    assert charge[above].max() < 10
    unknown = records.get("ev2.charge_kw")
    assert set(np.round(unknown[2 : np.flatnonzero(unknown)[-1]], 1)) == {7.0}


def with_changed(park, truth, **changes):
    """A plant with the truth's devices changed by id, in the surroundings of the test day."""
    devices = tuple(device.model_copy(update=changes.get(device.id, {})) for device in truth.devices)
    changed = replace(truth, devices=devices)
    return Plant(changed, park.drivers(changed))


@given(targets, st.floats(0, 900) | st.none())
@settings(max_examples=25, deadline=None)
def test_a_charger_is_off_or_at_its_least_power_until_the_car_is_full(park, wishes, limit):
    changes = {"ev1": {"min_charge_kw": 4.1, "taper_from_soc": 0.8}, "ev2": {"min_charge_kw": 1.4}}
    plant = with_changed(park, Truth.exact(park.PARK), **changes)
    state = told(plant, plant.start(), park, wishes, grid_limit_kw=limit)
    _, records = run_minutes(plant, state, 600)
    assert imbalance(records, plant) < 1e-9
    for name, least in (("ev1", 4.1), ("ev2", 1.4)):
        given, energy = plant.conditions[name], records.get(f"{name}.energy_kwh")
        charge = records.get(f"{name}.charge_kw")
        low = (charge > 0) & (charge < least * given["share"][:600] - 1e-5)
        full = energy > given["full_kwh"][:600] - 1e-6
        taper = 20.0 * (1.0 - given["taper_per_kwh"][:600] * (energy - given["taper_from_kwh"][:600]))
        drawn = (given["taper_per_kwh"][:600] > 0) & (charge > taper - 1e-6)
        assert np.all(~low | full | drawn)
        if -wishes[name] < least - 1e-5:
            assert charge.max() == 0.0


def test_plan_is_plant_with_a_least_power_and_a_taper(park):
    """The device's own `step`, minute by minute, repeats the plant: no power below the least, less near full."""
    plant = with_changed(park, Truth.exact(park.PARK), ev1={"min_charge_kw": 4.1, "taper_from_soc": 0.5})
    for wish in (-20.0, -4.1, -4.0):
        _, records = run_minutes(plant, told(plant, plant.start(), park, {"ev1": wish}), 600)
        (charger,) = (device for device in plant.devices if device.id == "ev1")
        own = {"energy_kwh": float(plant.start().arrays.energy_kwh[plant.slots["ev1"]])}
        for m in range(600):
            here = {name: float(values[m]) for name, values in plant.conditions["ev1"].items()}
            here["least_kw"] = 4.1  # in a plan only the first steps are exact
            answer = charger.step(charger.asked(wish), own, here, 1 / 60)
            assert records.get("ev1.charge_kw")[m] == pytest.approx(answer.flows["charge_kw"], abs=1e-6)
            assert records.get("ev1.energy_kwh")[m] == pytest.approx(answer.state["energy_kwh"], abs=1e-6)
            own = answer.state
        assert (records.get("ev1.charge_kw").max() > 0) == (wish < -4.05)


def test_the_lag_may_pass_below_the_least_power(park):
    drawn = Truth.drawn(park.PARK, np.random.default_rng(1))
    drawn = replace(drawn, dynamics=replace(drawn.dynamics, converter_lag_minutes=3.0))
    plant = with_changed(park, drawn, ev2={"min_charge_kw": 6.0})
    _, records = run_minutes(plant, told(plant, plant.start(), park, {"ev2": -6.5}), 30)
    charge = records.get("ev2.charge_kw")
    assert 0.0 < charge[1] < charge[2] < 6.0 < charge[20]


def test_a_transformer_limits_the_meter(park):
    plant = with_changed(park, Truth.exact(park.PARK), grid={"transformer_kva": 400.0, "power_factor": 0.9})
    _, records = run_minutes(plant, told(plant, plant.start(), park, {"battery1": -250.0}), 300)
    assert records.get("meter.import_kw").max() == pytest.approx(360.0)
    assert records.get("meter.limit_kw").max() == pytest.approx(360.0)


def test_new_setpoint_acts_after_the_delay_and_the_lag(park):
    plant = park.drawn_plant()
    state = told(plant, plant.start(), park, {"battery1": 100.0, "chiller1": 150.0})
    _, records = run_minutes(plant, state, 15)
    discharge = records.get("battery1.discharge_kw")
    assert discharge[0] == 0
    assert discharge[1] == pytest.approx(100 * (1 - np.exp(-1 / 0.2)))
    assert discharge[5:] == pytest.approx(100.0, rel=1e-6)
    assert records.get("battery1.target_kw")[0] == 100


def test_setpoint_lives_until_its_validity_ends_and_old_sequences_are_refused(park):
    """TV-33: issued 10:00 for 10:15 to 10:30, +200 kW, valid until 10:35; the engine dies at 10:20."""
    plant = park.exact_plant()
    state, answers = offer(plant, plant.start(), {"battery1": park.setpoint(7, 200.0, start_min=15, minutes=20)})
    assert answers == {"battery1": RejectReason.NONE}
    assert view(plant, state, "battery1").state is DeviceState.IDLE
    assert view(plant, state, "battery1").next_seq == 7
    state, records = run_minutes(plant, state, 40)
    power = records.get("battery1.discharge_kw")
    assert power[14] == 0
    assert power[15:35] == pytest.approx(200.0)
    assert power[35:].max() == 0
    assert view(plant, state, "battery1").state is DeviceState.EXPIRED
    state, answers = offer(plant, state, {"battery1": park.setpoint(6, 200.0, start_min=30, minutes=60)})
    assert answers == {"battery1": RejectReason.OLD_SEQ}
    state, answers = offer(plant, state, {"battery1": park.setpoint(8, 50.0, start_min=30, minutes=60)})
    assert answers == {"battery1": RejectReason.NONE}
    _, records = run_minutes(plant, state, 1)
    assert records.get("battery1.discharge_kw")[0] == 50


def test_what_cannot_be_followed_is_refused(park):
    plant = park.exact_plant()
    state, _ = run_minutes(plant, plant.start(), 30)
    _, answers = offer(plant, state, {"battery1": park.setpoint(1, 100.0), "ev1": park.setpoint(1, 99.0, minutes=60)})
    assert answers == {"battery1": RejectReason.EXPIRED, "ev1": RejectReason.OUT_OF_RANGE}


def demand(records):
    """Highest mean import over 15 minutes, the window sliding minute by minute."""
    return sliding_demand(records.get("meter.import_kw")).max()


def test_demand_stays_within_the_plans_grid_limit(park):
    """The forecast was wrong: the battery charges into a load that leaves no room."""
    plant = park.drawn_plant()
    wishes = {"battery1": -250.0, "chiller1": 100.0, "pump": 30.0}
    free = run_minutes(plant, told(plant, plant.start(), park, wishes), 60)[1]
    kept = run_minutes(plant, told(plant, plant.start(), park, wishes, grid_limit_kw=450.0), 60)[1]
    assert demand(free) > 550
    assert 445 < demand(kept) <= 450 + 1e-9
    assert kept.get("battery1.charge_kw").max() > 0


def test_grid_limit_is_kept_by_discharging_down_to_the_reserve_and_after_the_setpoints_end(park):
    truth = Truth.exact(park.PARK)
    surroundings = park.drivers(truth, 16)
    surroundings.series["load.demand_kw"][:] = 400.0
    plant = Plant(truth, surroundings)
    state, _ = offer(plant, plant.start(), {"battery1": park.setpoint(1, 0.0, minutes=20, grid_limit_kw=300.0)})
    _, records = run_minutes(plant, state, 240)
    energy = records.get("battery1.energy_kwh")
    assert records.get("meter.import_kw")[:60] == pytest.approx(300.0)  # the setpoint ended at 00:20
    assert energy.min() == pytest.approx(50.0, abs=0.1)
    assert records.get("meter.import_kw")[-1] > 400  # nothing left to give


@pytest.mark.parametrize("exact", [True, False])
def test_a_battery_keeps_the_connection_at_zero_as_far_as_its_setpoint_says(park, exact):
    """The sun rises from six o'clock on; the battery's setpoint is 100 kW, and ends after 20 minutes."""
    plant = park.exact_plant() if exact else park.drawn_plant()
    state, _ = run_minutes(plant, plant.start(), 8 * 60)
    own = {"battery1": park.setpoint(1, 100.0, start_min=480, self_supply_kw=(-30.0, 250.0))}
    _, records = run_minutes(plant, offer(plant, state, own)[0], 60)
    fed = records.get("battery1.discharge_kw") - records.get("battery1.charge_kw")
    needed = fed + records.get("meter.import_kw") - records.get("meter.export_kw")
    assert exact or needed[:20].min() < 250.0 < needed[:20].max()
    held = slice(2, 20)
    assert fed[held] == pytest.approx(np.clip(needed[held], -30.0, 250.0), abs=1e-6)
    assert fed[25:] == pytest.approx(0.0, abs=1.0)


def test_a_store_takes_over_from_a_machine_before_the_battery_feeds(park):
    """160 kW of cold, all of the chiller's, and 5 kW too much: the store gives what the chiller gives less."""
    truth = Truth.exact(park.PARK)
    surroundings = park.drivers(truth, 8)
    for name, kw in (("load", 400.0), ("cold_load", 160.0)):
        surroundings.series[f"{name}.demand_kw"][:] = kw
    plant = Plant(truth, surroundings)
    wishes = {"battery1": -50.0, "chiller1": 160.0, "cold_store": 0.0, "pump": 30.0}
    free = run_minutes(plant, told(plant, plant.start(), park, wishes), 15)[1]
    import_kw = free.get("meter.import_kw")[-1]
    kept = run_minutes(plant, told(plant, plant.start(), park, wishes, grid_limit_kw=import_kw - 55.0), 15)[1]
    assert kept.get("meter.import_kw") == pytest.approx(import_kw - 55.0)
    assert kept.get("battery1.charge_kw") == pytest.approx(0.0)
    assert kept.get("battery1.discharge_kw") == pytest.approx(0.0)
    less_kw = free.get("chiller1.cold_kw") - kept.get("chiller1.cold_kw")
    per_cold = free.get("chiller1.power_kw") / free.get("chiller1.cold_kw")
    assert less_kw * per_cold == pytest.approx(5.0)
    assert kept.get("cold_store.discharge_kw") == pytest.approx(less_kw)
    assert kept.get("cold_load.served_kw") == pytest.approx(160.0)


def test_a_machine_is_not_taken_below_its_least_part_load_nor_beyond_what_the_store_has(park):
    truth = Truth.exact(park.PARK)
    surroundings = park.drivers(truth, 8)
    surroundings.series["cold_load.demand_kw"][:] = 120.0
    plant = Plant(truth, surroundings)
    wishes = {"battery1": 0.0, "chiller1": 120.0, "cold_store": 0.0, "pump": 30.0}
    _, kept = run_minutes(plant, told(plant, plant.start(), park, wishes, grid_limit_kw=1.0), 15)
    assert kept.get("chiller1.cold_kw") == pytest.approx(40.0)  # a fifth of 200 kW
    empty = plant.start({"cold_store": {"energy_kwh": 0.0}})
    _, kept = run_minutes(plant, told(plant, empty, park, wishes, grid_limit_kw=1.0), 15)
    assert kept.get("chiller1.cold_kw") == pytest.approx(120.0)
    assert kept.get("cold_load.unserved_kw").max() == pytest.approx(0.0, abs=1e-9)


def test_stored_energy_does_not_reach_the_grid(park):
    truth = Truth.exact(park.PARK)
    surroundings = park.drivers(truth, 48)
    surroundings.series["load.demand_kw"][:] = 100.0
    plant = Plant(truth, surroundings)
    _, records = run_minutes(plant, told(plant, plant.start(), park, {"battery1": 250.0, "pv1": 400.0}), 700)
    export, sun = records.get("meter.export_kw"), records.get("pv1.used_kw")
    assert np.all(export <= np.minimum(sun, 200.0) + 1e-9)
    assert export.max() == pytest.approx(200.0)
    assert records.get("battery1.charge_kw").max() > 0  # takes what the connection does not
    assert records.get("pv1.used_kw").max() == pytest.approx(records.get("pv1.available_kw")[:700].max(), rel=0.2)


def test_cars_with_slack_wait_and_those_without_do_not(park):
    plant = park.exact_plant()
    state = told(plant, plant.start(), park, {"ev1": -20.0, "ev2": -7.0}, grid_limit_kw=10.0)
    _, records = run_minutes(plant, state, 380)
    charge = records.get("ev2.charge_kw")  # needs 20 kWh until 06:18, which takes 180.5 minutes at 7 kW; 10 in reserve
    assert charge[:180].max() == 0
    assert charge[189:360].min() == pytest.approx(7.0)
    assert charge.sum() / 60 * 0.95 == pytest.approx(20.0, abs=0.2)


def test_the_same_setpoint_again_changes_nothing(park):
    plant = park.exact_plant()
    once, _ = offer(plant, plant.start(), {"battery1": park.setpoint(7, 200.0)})
    twice, answers = offer(plant, once, {"battery1": park.setpoint(7, 200.0)})
    assert answers == {"battery1": RejectReason.NONE}
    assert np.array_equal(once.arrays.held, twice.arrays.held, equal_nan=True)
    _, answers = offer(plant, once, {"battery1": park.setpoint(7, 201.0)})
    assert answers == {"battery1": RejectReason.OLD_SEQ}


def test_thermal_demand_is_served_by_the_thermostat_without_setpoints(park):
    plant = park.drawn_plant()
    _, records = run_minutes(plant, plant.start(), 1440)
    for load in ("cold_load", "heat_load"):
        assert records.get(f"{load}.unserved_kw").max() == pytest.approx(0.0, abs=1e-9)
        assert records.get(f"{load}.served_kw") == pytest.approx(records.get(f"{load}.demand_kw"), abs=1e-9)


def test_cold_beyond_machine_and_store_is_counted_as_unserved(park):
    truth = Truth.exact(park.PARK)
    surroundings = park.drivers(truth, 8)
    surroundings.series["cold_load.demand_kw"][:] = 260.0
    plant = Plant(truth, surroundings)
    start = plant.start({"cold_store": {"energy_kwh": 20.0}})
    _, records = run_minutes(plant, start, 60)
    missing = records.get("cold_load.unserved_kw")
    assert missing[0] == pytest.approx(0.0, abs=1e-9)
    assert missing[-1] == pytest.approx(60.0)
    assert records.get("cold_load.served_kw")[-1] == pytest.approx(200.0)


def test_running_in_pieces_and_twice_gives_the_same(park):
    one, two = park.drawn_plant(seed=5), park.drawn_plant(seed=5)
    whole = run_minutes(one, one.start(), 90)[1]
    state, parts = two.start(), []
    for minutes in (1, 14, 75):
        state, records = run_minutes(two, state, minutes)
        parts.append(records)
    assert np.array_equal(Records.joined(parts).values, whole.values)
    assert state.at == park.START + timedelta(minutes=90)
    with pytest.raises(ValueError, match="the drivers end"):
        run_minutes(two, state, 1440)
