"""The cells: nothing is made of nothing, voltage limits hold, and without resistance they are the plan's battery."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.physics import cells
from optimizer.devices import storage

RATED = (100.0, 60.0, 60.0, 0.98, 0.98, 0.0)
socs, powers, ohms = st.floats(0.0, 1.0), st.floats(-80.0, 80.0), st.floats(0.005, 0.2)


def stepped(soc, feed_kw, hours=1 / 60, resistance=0.03, temperature_c=25.0):
    return cells.step(100.0 * soc, max(-feed_kw, 0.0), max(feed_kw, 0.0), hours, *RATED, resistance, temperature_c)


@given(socs, powers, ohms, st.floats(-10, 50), st.sampled_from([1 / 60, 0.25]))
def test_what_goes_in_is_stored_or_heat(soc, feed_kw, resistance, temperature_c, hours):
    """At the cells: power = voltage·current stored + heat; both ways of the converter lose 2 %."""
    charge, discharge, energy, heat = stepped(soc, feed_kw, hours, resistance, temperature_c)
    voltage = cells.open_circuit_voltage(soc)
    stored_kw = voltage * (energy - 100.0 * soc) / hours
    assert charge * 0.98 - discharge / 0.98 == pytest.approx(stored_kw + heat, abs=1e-6)
    assert heat >= 0.0
    assert 0.0 <= energy <= 100.0
    assert charge * discharge == 0.0
    assert charge <= 60.0 + 1e-9
    assert discharge <= 60.0 + 1e-9


@given(socs, powers, ohms)
def test_the_terminal_voltage_keeps_its_limits(soc, feed_kw, resistance):
    *_, energy, _ = stepped(soc, feed_kw, 1 / 60, resistance)
    current = (energy - 100.0 * soc) * 60 / 100.0
    terminal = cells.open_circuit_voltage(soc) + resistance * current
    if current != 0.0:
        assert cells.LEAST_VOLTAGE - 1e-9 <= terminal <= cells.MOST_VOLTAGE + 1e-9


@given(st.floats(0.2, 0.8), powers)
def test_without_resistance_at_nominal_voltage_they_are_the_plans_battery(soc, feed_kw):
    charge, discharge, energy, _ = stepped(soc, feed_kw, 1 / 60, 1e-9)
    none = np.zeros((0, 2))
    wish = max(-feed_kw, 0.0), max(feed_kw, 0.0)
    planned = storage.step(100.0 * soc, *wish, 1 / 60, *RATED, none, none)
    assert (charge, discharge) == pytest.approx(planned[:2], abs=1e-6)
    assert energy == pytest.approx(planned[2], abs=0.02)  # the open-circuit voltage is within 2 % of nominal here


def test_a_round_trip_loses_more_the_faster_it_is():
    def efficiency(kw):
        energy, taken, given_back = 20.0, 0.0, 0.0
        while energy < 80.0:
            charge, _, energy, _ = stepped(energy / 100, -kw)
            taken += charge
        while energy > 20.0:
            _, discharge, energy, _ = stepped(energy / 100, kw)
            given_back += discharge
        return given_back / taken

    slow, fast = efficiency(10.0), efficiency(60.0)
    assert slow > fast + 0.02
    assert 0.85 < fast < slow < 0.98**2


def test_cold_cells_resist_more_and_warm_themselves():
    assert cells.resistance(0.03, 0.0) / 0.03 == pytest.approx(2.15, abs=0.02)
    temperature = 10.0
    for _ in range(600):
        temperature = cells.warmed(temperature, 2.0, 1 / 60, 20.0, 0.5, 0.1)
    assert temperature == pytest.approx(20.0 + 2.0 / 0.1 - (20.0 + 20.0 - 10.0) * math.exp(-0.1 * 10 / 0.5), rel=1e-9)
