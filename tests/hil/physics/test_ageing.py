"""Ageing laws against the worked examples TV-17 to TV-19, rainflow against ASTM's own example and its promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.physics import ageing

YEAR_S = 365 * ageing.SECONDS_PER_DAY


def xu_yearly(depth, cycles_per_day, temperature_c):
    warm = ageing.temperature_stress(temperature_c)
    return (365 * cycles_per_day * ageing.depth_stress(depth) + ageing.time_stress(YEAR_S)) * warm


def test_tv17_stress_of_depth():
    found = [ageing.depth_stress(depth) for depth in (1.0, 0.8, 0.5, 0.2)]
    assert found == pytest.approx([5.882353e-5, 2.979765e-5, 1.331076e-5, 5.247863e-6], rel=5e-7)


def test_tv17_capacity_lost_over_years():
    one, ten = (ageing.xu_capacity_lost(years * xu_yearly(0.8, 1, 25.0)) for years in (1, 10))
    twice, warm = (ageing.xu_capacity_lost(10 * xu_yearly(0.8, 2, t)) for t in (25.0, 35.0))
    assert [one, ten, twice, warm] == pytest.approx([0.076611, 0.258099, 0.334556, 0.522791], abs=5e-7)


def test_tv17_from_a_course_of_the_state_of_charge():
    """A year of one 80 % cycle a day around 50 %: what the closed formula says, but for the ends of the course."""
    day = np.concatenate([np.linspace(0.1, 0.9, 13)[:-1], np.linspace(0.9, 0.1, 13)[:-1]])
    lost = ageing.xu_capacity_lost(ageing.xu_damage(np.append(np.tile(day, 365), 0.1), 1.0, 25.0))
    assert lost == pytest.approx(0.076611, abs=1e-5)


def test_tv18_lfp_cycling():
    assert ageing.blast_lite_cycling_rate(0.9, 0.5, 25.0) == pytest.approx(2.19556e-4, rel=5e-6)
    lost = [ageing.blast_lite_cycling_lost(n, 0.9, 0.5, 25.0) for n in (365, 3000, 6000)]
    assert lost == pytest.approx([0.029048, 0.166189, 0.295022], abs=5e-7)


def test_lfp_loses_more_by_standing_warm_and_full():
    """The anode's potential is lower when it is full."""
    cool, warm, full = (ageing.blast_lite_calendar_lost(365, *at) for at in ((0.12, 25), (0.12, 40), (0.08, 25)))
    assert cool < warm
    assert cool < full
    assert 0.005 < cool < 0.1


def test_tv19_calendar():
    at_296_k = 296.0 - ageing.KELVIN
    capacity = [ageing.sam_calendar_capacity(days, 1.0, at_296_k) for days in (365, 3650)]
    assert capacity == pytest.approx([0.969181, 0.859295], abs=5e-7)
    wrong = np.exp(930 * (0.5 / 308.15 - 0.5 / 296.0))
    ours = np.exp(930 * (0.5 / 308.15 - 1 / 296.0))
    assert wrong / ours == pytest.approx(4.8, abs=0.05)


def test_calendar_in_steps_is_the_square_root_of_time():
    lost = 0.0
    for _ in range(3650):
        lost = ageing.sam_calendar_step(lost, 1.0, 0.8, 25.0)
    assert lost == pytest.approx(1.02 - ageing.sam_calendar_capacity(3650, 0.8, 25.0), rel=2e-3)


def test_rainflow_counts_the_example_of_the_standard():
    """ASTM E1049-85, figure 6: -2, 1, -3, 5, -1, 3, -4, 4, -2."""
    course = np.array([-2, 1, -3, 5, -1, 3, -4, 4, -2], dtype=float)
    counted = {}
    for cycle in ageing.rainflow(course):
        counted[cycle.depth] = counted.get(cycle.depth, 0.0) + cycle.count
    assert counted == {3: 0.5, 4: 1.5, 6: 0.5, 8: 1.0, 9: 0.5}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_rainflow_counts_every_way_once(values):
    """Twice the depths of full cycles and once those of half ones are all the way that the course went."""
    course = np.array(values)
    cycles = list(ageing.rainflow(course))
    assert sum(2 * c.count * c.depth for c in cycles) == pytest.approx(np.abs(np.diff(course)).sum(), abs=1e-9)
    assert max((c.depth for c in cycles), default=0.0) == pytest.approx(np.ptp(course), abs=1e-12)
