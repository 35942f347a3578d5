"""Closing an interval."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.interval import SignalValue, close_interval, floor_time, is_state
from tests.streams.story import at, car, reading


def test_power_is_averaged_by_time_and_energy_is_the_last_seen():
    closed = close_interval(
        at(0),
        15,
        [
            reading("battery1", 0, seconds=600, charge_kw=30, energy_kwh=500),
            reading("battery1", 2 / 3, seconds=300, charge_kw=90, energy_kwh=520),
        ],
    )
    assert closed.signals["battery1.charge_kw"] == SignalValue(50.0, "good", 1.0)
    assert closed.signals["battery1.energy_kwh"] == SignalValue(520, "good", 1.0)


def test_a_reading_counts_only_inside_its_interval():
    closed = close_interval(
        at(0), 15, [reading("load", 0, 300, demand_kw=10), reading("load", 2 / 3, 3600, demand_kw=40)]
    )
    assert closed.signals["load.demand_kw"] == SignalValue(25.0, "good", pytest.approx(2 / 3))


def test_little_coverage_makes_a_mean_suspect():
    closed = close_interval(at(0), 15, [reading("load", 0, 300, demand_kw=10, energy_kwh=1)])
    assert closed.signals["load.demand_kw"].quality == "suspect"
    assert closed.signals["load.energy_kwh"].quality == "good"


def test_good_readings_go_before_others():
    bad = reading("load", 0, 600, demand_kw=1e6).model_copy(update={"quality": "suspect"})
    closed = close_interval(at(0), 15, [bad, reading("load", 2 / 3, 300, demand_kw=40)])
    assert closed.signals["load.demand_kw"].value == 40
    assert close_interval(at(0), 15, [bad]).signals["load.demand_kw"] == SignalValue(
        1e6, "suspect", pytest.approx(2 / 3)
    )


def test_the_last_car_counts_and_an_empty_place_is_known():
    plugged = reading("ev01", 0, charge_kw=7).model_copy(update={"car": car()})
    assert close_interval(at(0), 15, [plugged], {"ev01"}).cars == {"ev01": car()}
    left = reading("ev01", 1 / 3, charge_kw=0)
    assert close_interval(at(0), 15, [left, plugged], {"ev01"}).cars == {"ev01": None}
    assert close_interval(at(0), 15, [left, plugged], {"ev02"}).cars == {}


EPOCH = datetime.fromisoformat("1970-01-01")

readings = st.lists(
    st.builds(
        reading,
        st.sampled_from(["load", "battery1", "meter"]),
        st.integers(0, 14).map(lambda minute: minute / 15),
        st.sampled_from([30.0, 60.0, 300.0]),
        demand_kw=st.floats(-1e4, 1e4),
        energy_kwh=st.floats(0, 1e4),
    ),
    unique_by=lambda one: (one.device, one.time),
)


@given(readings, st.randoms(use_true_random=False))
def test_order_and_duplicates_do_not_matter(some, random):
    once = close_interval(at(0), 15, some)
    mixed = some + random.sample(some, len(some) // 2)
    random.shuffle(mixed)
    assert close_interval(at(0), 15, mixed) == once
    for signal in once.signals.values():
        assert 0 < signal.coverage <= 1


@given(st.datetimes(min_value=EPOCH, timezones=st.just(UTC)), st.sampled_from([5, 15, 30, 60]))
def test_floor_is_the_interval_that_holds_the_time(time, minutes):
    start = floor_time(time, minutes)
    assert 0 <= (time - start).total_seconds() < minutes * 60
    assert start.timestamp() % (minutes * 60) == 0


def test_states_are_energies_temperatures_and_hours():
    assert [
        is_state(name)
        for name in ("b.energy_kwh", "tank.top_c", "chp.on_hours", "load.demand_kw", "weather.ghi_w_per_m2")
    ] == [
        True,
        True,
        True,
        False,
        False,
    ]
