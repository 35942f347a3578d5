"""Chillers and heat pumps against TV-13 and TV-14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.physics.part_load import EirChiller, carnot_cop, input_share
from optimizer.devices.heat_pump import air_source_cop

MCQUAY_WSC = EirChiller(
    reference_kw=471.2,  # the data set of EnergyPlus names it by its rounded rating
    reference_cop=5.89,
    capacity_by_temperature=(0.252113, 0.01324053, -0.008637329, 0.08581056, -0.004261176, 0.008661899),
    input_by_temperature=(0.4475238, -0.0258821, -0.001459053, 0.04342595, -0.001000651, 0.001920106),
    input_by_part_load=(0.2778889, 0.2338363, 0.4883748),
    chilled_range_c=(4.44, 8.89),
    condenser_range_c=(12.78, 26.67),
)


@pytest.mark.parametrize(
    ("at", "power_kw", "cold_kw", "cop"),
    [((8.89, 26.67, 1.0), 80.19, 470.51, 5.867), ((7.22, 26.67, 0.6), 39.14, 232.68, 5.945)],
)
def test_tv13(at, power_kw, cold_kw, cop):
    chilled, condenser, part_load = at
    cold = part_load * MCQUAY_WSC.available_kw(chilled, condenser)
    power = MCQUAY_WSC.power_kw(part_load, chilled, condenser)
    assert cold == pytest.approx(cold_kw, abs=0.005)
    assert power == pytest.approx(power_kw, abs=0.005)
    assert cold / power == pytest.approx(cop, abs=0.0006)


def test_tv13_temperatures_are_held_to_the_curves():
    """Unclamped, the capacity at 32 °C would collapse to 0.281 of the rating."""
    loose = EirChiller(**{**vars(MCQUAY_WSC), "condenser_range_c": (0.0, 50.0)})
    assert loose.available_kw(7.22, 32.0) / 471.2 == pytest.approx(0.281, abs=0.0005)
    assert MCQUAY_WSC.available_kw(7.22, 32.0) == MCQUAY_WSC.available_kw(7.22, 26.67)


def test_tv14():
    assert float(air_source_cop(38.0)) == pytest.approx(3.122, abs=0.0005)
    assert float(air_source_cop(48.0)) == pytest.approx(2.454, abs=0.0005)
    assert carnot_cop(45.0, 7.0, 0.4) == pytest.approx(3.349, abs=0.0005)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from([0.0, 0.1, 0.3]))
def test_power_rises_with_load_and_the_plan_is_the_straight_line(one, other, least):
    curve = MCQUAY_WSC.input_by_part_load
    low, high = sorted((one, other))
    assert input_share(low, *curve, least) <= input_share(high, *curve, least) + 1e-12
    assert input_share(one, 0.0, 1.0, 0.0, least) == pytest.approx(one, abs=1e-12)
