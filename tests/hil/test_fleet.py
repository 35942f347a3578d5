"""The fleet: every kind of device steps as it does in plain Python, energy is conserved, threads change nothing."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.fleet import kernels
from hil.fleet.fleet import Fleet
from hil.fleet.groups import FORMS, Group, kernel_of
from hil.truth import Meters
from optimizer.devices import DEVICES
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.grid_connection import GridConnection
from tests.optimizer.devices.examples import EXAMPLES, situation_of

CONNECTIONS = (GridConnection, GasSupply, ExpectedCars)
HOURS = 6


def fleet_of_examples(step_minutes=15, copies=1):
    """Every example as a site of its own: sites lack most of one another's devices."""
    examples = list(EXAMPLES.values()) * copies
    situations = [situation_of(example, step_minutes) for example in examples]
    return Fleet([example.devices for example in examples], step_minutes), situations


def drawn_targets(fleet, steps, rng):
    """Setpoints over each device's whole range and somewhat beyond."""
    told = [
        {d.id: rng.uniform(1.2 * d.bounds_kw()[0] - 1.0, 1.2 * d.bounds_kw()[1] + 1.0, steps) for d in devices
         if d.bounds_kw() != (0.0, 0.0) and not isinstance(d, CONNECTIONS)}
        for devices in fleet.sites
    ]  # fmt: skip
    return told, fleet.targets(told, steps)


def run(fleet, situations, targets, threads=1):
    surroundings = fleet.surroundings(situations)
    return fleet.run(fleet.start(situations), targets, surroundings, threads)


def asked_of(device, target, records, site, t, here):
    """What a plan would ask for, where a setpoint alone does not say it."""
    if device.kind == "load":
        return {"served_kw": here["demand_kw"]}
    if device.kind == "flexible_load":
        return {name: float(records.get(site, f"{device.id}.{name}")[t]) for name in FORMS[type(device)].quantities}
    return device.asked(target)


def physical(device, conditions, t):
    """Conditions of one step for a machine that is there: what is relaxed in later steps of a plan holds in all."""
    here = {name: float(values[t]) for name, values in conditions.items()}
    if device.kind == "v2g_charger":
        here["least_kw"] = here["share"] * device.min_charge_kw
    return {**here, "whole": 1.0} if "whole" in here else here


@pytest.mark.parametrize("step_minutes", [1, 15])
def test_every_device_steps_as_in_plain_python(step_minutes):
    """To 1e-6 over the whole run, each from its own states on: nothing is set right on the way."""
    fleet, situations = fleet_of_examples(step_minutes)
    steps = situations[0].grid.near
    told, targets = drawn_targets(fleet, steps, np.random.default_rng(3))
    _, records = run(fleet, situations, targets)
    seen = set()
    for site, devices in enumerate(fleet.sites):
        for device in devices:
            if isinstance(device, CONNECTIONS):
                continue
            conditions, state = device.conditions(situations[site]), device.start(situations[site])
            for t in range(steps):
                here = physical(device, conditions, t)
                target = told[site].get(device.id, np.full(steps, device.safe_kw()))[t]
                answer = device.step(asked_of(device, target, records, site, t, here), state, here, fleet.hours)
                flows = {name: kw for name, kw in answer.flows.items() if name not in ("auxiliary_kw", "power_kw")
                         or device.kind not in ("battery", "thermal_store")}  # fmt: skip
                own = {**flows, **answer.state}
                found = {name: float(records.get(site, f"{device.id}.{name}")[t]) for name in own}
                assert found == pytest.approx(own, abs=1e-6), (device.kind, t)
                state = answer.state
            seen.add(type(device))
    assert seen == set(DEVICES) - set(CONNECTIONS)


def connection_kw(records, place):
    return records.sites[:, place]


@given(st.integers(0, 10_000), st.sampled_from([1, 15, 60]))
@settings(max_examples=12, deadline=None)
def test_every_bus_closes_with_what_the_connections_did_not_serve(seed, step_minutes):
    fleet, situations = fleet_of_examples(step_minutes)
    _, targets = drawn_targets(fleet, situations[0].grid.near, np.random.default_rng(seed))
    _, records = run(fleet, situations, targets)
    for number, carrier in enumerate(kernels.CARRIERS):
        net = np.zeros(records.sites[:, 0].shape)
        for site, devices in enumerate(fleet.sites):
            for device in devices:
                for quantity, (bus, direction) in device.buses().items():
                    if bus == carrier and not isinstance(device, CONNECTIONS):
                        beside = (
                            quantity in ("auxiliary_kw", "power_kw") and "beside_kw" in FORMS[type(device)].quantities
                        )
                        kw = records.get(site, f"{device.id}.{'beside_kw' if beside else quantity}")
                        net[:, site] += kw if direction == "out" else -kw
        served = {
            "power": connection_kw(records, kernels.IMPORT_KW) - connection_kw(records, kernels.EXPORT_KW)
            + connection_kw(records, kernels.UNSERVED_POWER_KW) - connection_kw(records, kernels.SURPLUS_POWER_KW),
            "heat": connection_kw(records, kernels.UNSERVED_HEAT_KW) - connection_kw(records, kernels.SURPLUS_HEAT_KW),
            "cold": connection_kw(records, kernels.UNSERVED_COLD_KW) - connection_kw(records, kernels.SURPLUS_COLD_KW),
            "gas": connection_kw(records, kernels.SUPPLY_KW) + connection_kw(records, kernels.UNSERVED_GAS_KW),
        }[carrier]  # fmt: skip
        assert served == pytest.approx(net, abs=1e-9), number


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_no_kernel_makes_energy(seed):
    """What a device feeds is never more than what it takes and what it had stored less."""
    fleet, situations = fleet_of_examples()
    _, targets = drawn_targets(fleet, situations[0].grid.near, np.random.default_rng(seed))
    began = fleet.start(situations)
    _, records = fleet.run(began, targets, fleet.surroundings(situations))
    for (site, name), (group, row) in fleet.places.items():
        if FORMS[group.kind].states != ("energy_kwh",):
            continue
        charge, discharge, energy = (
            records.get(site, f"{name}.{q}") for q in ("charge_kw", "discharge_kw", "energy_kwh")
        )
        before = np.concatenate([[began.states[group][row, 0, site]], energy[:-1]])
        gained = (charge - discharge) * fleet.hours
        brought = energy - before - gained
        if group.kind.__name__ == "V2gCharger":
            device = next(d for d in fleet.sites[site] if d.id == name)
            arrives = device.conditions(situations[site])["arrive_kwh"]
            brought = brought - arrives
        assert brought.max() <= 1e-9
        assert np.all(charge * discharge == 0.0)


def test_threads_and_chunks_change_nothing():
    fleet, situations = fleet_of_examples(copies=8)
    _, targets = drawn_targets(fleet, situations[0].grid.near, np.random.default_rng(5))
    (one, first), (two, second) = (run(fleet, situations, targets, threads) for threads in (1, 2))
    surroundings, state, parts = fleet.surroundings(situations), fleet.start(situations), []
    for part in (slice(0, 7), slice(7, 24)):
        state, records = fleet.run(state, {g: values[part] for g, values in targets.items()}, surroundings)
        parts.append(records)
    assert np.array_equal(first.sites, second.sites)
    assert np.array_equal(first.sites, np.concatenate([part.sites for part in parts]))
    for group in fleet.rows:
        assert np.array_equal(first.devices[group], second.devices[group])
        assert np.array_equal(one.states[group], two.states[group])
        assert np.array_equal(one.states[group], state.states[group])


def test_what_vectors_read_begins_at_a_line_of_the_cache():
    fleet, situations = fleet_of_examples()
    steps = situations[0].grid.near
    _, targets = drawn_targets(fleet, steps, np.random.default_rng(1))
    ended, records = run(fleet, situations, targets)
    arrays = [ended.standing, ended.window_kw, records.sites, fleet.limits]
    for by_group in (targets, fleet.parameters, ended.states, records.devices):
        arrays += [array for array in by_group.values() if array.size]
    assert all(array.ctypes.data % 64 == 0 and array.flags.c_contiguous for array in arrays)


def test_a_run_beyond_the_surroundings_is_refused():
    fleet, situations = fleet_of_examples(60)
    _, targets = drawn_targets(fleet, 7, np.random.default_rng(0))
    with pytest.raises(ValueError, match="7 steps from step 0 asked, the surroundings hold 6"):
        run(fleet, situations, targets)


def test_demand_slides_by_the_minute():
    """TV-05: 60 minutes of 1000 kW, minutes 8 to 22 at 1600 kW: the sliding maximum is 1600, no block reaches it."""
    kw = np.full((60, 1), 1000.0)
    kw[8:23] = 1600.0
    missing, window = np.zeros((60, 4, 1)), np.zeros((15, 1))
    missing[:, kernels.POWER] = kw
    sites, limits = np.empty((60, kernels.SITE_SIZE, 1)), np.full((3, 1), 1e9)
    kernels.close(missing, limits, window, sites, 0, 0, 1)
    demand = sites[:, kernels.DEMAND_KW, 0]
    assert demand.max() == pytest.approx(1600.0)
    assert demand[14::15] == pytest.approx([1280.0, 1320.0, 1000.0, 1000.0])


def test_meters_show_noise_and_steps_that_a_seed_repeats():
    fleet, situations = fleet_of_examples(1)
    _, targets = drawn_targets(fleet, situations[0].grid.near, np.random.default_rng(1))
    _, records = run(fleet, situations, targets)
    meters, places = Meters(billing_noise_share=0.01, quantum_kw=0.5), (kernels.IMPORT_KW, kernels.EXPORT_KW)
    shown, again, other = (records.shown(places, meters, seed) for seed in (7, 7, 8))
    late = replace(records, sites=records.sites[100:]).shown(places, meters, 7, first_step=100)
    assert np.array_equal(shown, again)
    assert np.array_equal(shown[100:], late)
    assert not np.array_equal(shown, other)
    assert np.allclose(shown / 0.5, np.round(shown / 0.5))
    true = records.sites[:, list(places)]
    big = true > 50.0
    error = (shown[big] - true[big]) / true[big]
    assert abs(error.mean()) < 0.001
    assert error.std() == pytest.approx(0.01, rel=0.1)


def test_every_kind_but_connections_has_a_kernel():
    assert set(FORMS) == set(DEVICES) - set(CONNECTIONS)
    assert all(callable(kernel_of(Group(kind, carrier))) for kind, carrier in product(FORMS, kernels.CARRIERS[:1]))
