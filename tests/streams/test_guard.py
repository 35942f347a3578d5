"""The fast local loop: what it trims first, how it comes back, and what it never does."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.time_grid import Array
from streams.guard import BATTERY, CAR_DUE, CAR_WITH_SLACK, MACHINE, PV, allowed_import_kw, guard

ROLES = np.array([BATTERY, BATTERY, CAR_WITH_SLACK, CAR_DUE, PV])
LEAST = np.array([-500.0, -200.0, -20.0, -20.0, 0.0])
GREATEST = np.array([500.0, 200.0, 20.0, -10.0, 400.0])
LIMIT, EXPORT_LIMIT, BAND = 1000.0, 300.0, 20.0


def guarded(import_kw: float, planned: list[float] | Array, present: list[float] | Array | None = None) -> Array:
    planned_kw = np.array(planned, dtype=float)
    present_kw = planned_kw if present is None else np.array(present, dtype=float)
    return guard(import_kw, LIMIT, EXPORT_LIMIT, BAND, ROLES, planned_kw, present_kw, LEAST, GREATEST)


CHARGING = [-100.0, -50.0, -20.0, -20.0, 400.0]


@pytest.mark.parametrize(
    ("import_kw", "feeds"),
    [
        (1000.0, [-100.0, -50.0, -20.0, -20.0, 400.0]),
        (1060.0, [-40.0, -50.0, -20.0, -20.0, 400.0]),
        (1120.0, [0.0, -30.0, -20.0, -20.0, 400.0]),
        (1160.0, [0.0, 0.0, -10.0, -20.0, 400.0]),
        (1375.0, [195.0, 0.0, 0.0, -10.0, 400.0]),
        (1780.0, [500.0, 100.0, 0.0, -10.0, 400.0]),
        (1890.0, [500.0, 200.0, 10.0, -10.0, 400.0]),
        (5000.0, [500.0, 200.0, 20.0, -10.0, 400.0]),
    ],
    ids=["at the limit", "battery", "next battery", "slack", "discharge", "both", "car feeds", "all there is"],
)
def test_order_above_the_import_limit(import_kw: float, feeds: list[float]) -> None:
    assert guarded(import_kw, CHARGING) == pytest.approx(feeds)


def test_curtailed_sun_is_let_in_before_anything_else() -> None:
    assert guarded(1050.0, [-100.0, 0.0, 0.0, -10.0, 320.0]) == pytest.approx([-100.0, 0.0, 0.0, -10.0, 370.0])


@pytest.mark.parametrize(
    ("import_kw", "feeds"),
    [
        (1080.0, [-20.0, -90.0]),
        (1140.0, [0.0, -50.0]),
        (1180.0, [20.0, -30.0]),
    ],
    ids=["charging first", "then the store for the machine", "the rest by discharge"],
)
def test_a_store_takes_over_from_a_machine_before_a_battery_is_drawn_on(import_kw: float, feeds: list[float]) -> None:
    planned, greatest = np.array([-100.0, -90.0]), np.array([100.0, -30.0])
    roles, least = np.array([BATTERY, MACHINE]), np.array([-100.0, -90.0])
    told = guard(import_kw, LIMIT, EXPORT_LIMIT, BAND, roles, planned, planned, least, greatest)
    assert told == pytest.approx(feeds)
    back = guard(LIMIT - BAND - 200.0, LIMIT, EXPORT_LIMIT, BAND, roles, planned, told, least, greatest)
    assert back == pytest.approx(planned)


@pytest.mark.parametrize(
    ("import_kw", "feeds"),
    [
        (-300.0, [100.0, 0.0, 10.0, -10.0, 400.0]),
        (-350.0, [50.0, 0.0, 10.0, -10.0, 400.0]),
        (-405.0, [0.0, 0.0, 5.0, -10.0, 400.0]),
        (-510.0, [-100.0, 0.0, 0.0, -10.0, 400.0]),
        (-1135.0, [-500.0, -200.0, -15.0, -20.0, 400.0]),
        (-1240.0, [-500.0, -200.0, -20.0, -20.0, 300.0]),
    ],
    ids=["at the limit", "discharge", "car", "charge", "cars charge", "PV last"],
)
def test_order_above_the_export_limit(import_kw: float, feeds: list[float]) -> None:
    assert guarded(import_kw, [100.0, 0.0, 10.0, -10.0, 400.0]) == pytest.approx(feeds)


def test_return_waits_for_the_band_and_goes_back_in_the_opposite_order() -> None:
    trimmed = [200.0, 0.0, 0.0, -20.0, 400.0]
    assert guarded(985.0, CHARGING, trimmed) == pytest.approx(trimmed)
    assert guarded(880.0, CHARGING, trimmed) == pytest.approx([100.0, 0.0, 0.0, -20.0, 400.0])
    assert guarded(770.0, CHARGING, trimmed) == pytest.approx([0.0, 0.0, -10.0, -20.0, 400.0])
    assert guarded(0.0, CHARGING, trimmed) == pytest.approx(CHARGING)


def test_a_meter_without_value_changes_nothing() -> None:
    assert guarded(float("nan"), CHARGING, [0.0] * 5) == pytest.approx([0.0] * 5)


def test_compiled_it_says_the_same() -> None:
    compiled = numba.njit(guard)
    for import_kw in (-1210.0, -350.0, 500.0, 1160.0, 1770.0):
        planned = np.array(CHARGING)
        arguments = (import_kw, LIMIT, EXPORT_LIMIT, BAND, ROLES, planned, planned * 0.5, LEAST, GREATEST)
        assert compiled(*arguments) == pytest.approx(guard(*arguments))


feeds = st.tuples(*(st.floats(low, high) for low, high in zip(LEAST, GREATEST, strict=True)))


def import_after(import_kw: float, present: Array, told: Array) -> float:
    return import_kw - float(np.sum(told - present))


@given(st.floats(-3000, 3000), feeds, feeds)
def test_it_never_makes_a_broken_limit_worse_nor_breaks_one(
    import_kw: float, planned: tuple[float, ...], present: tuple[float, ...]
) -> None:
    before = np.array(present)
    told = guarded(import_kw, list(planned), before)
    after = import_after(import_kw, before, told)
    assert np.all(told >= np.minimum(LEAST, before))
    assert np.all(told <= np.maximum(GREATEST, before))
    if import_kw > LIMIT:
        assert np.all(told >= before)
        assert LIMIT - 1e-6 <= after <= import_kw
    elif import_kw < -EXPORT_LIMIT:
        assert np.all(told <= before)
        assert import_kw <= after <= -EXPORT_LIMIT + 1e-6
    else:
        assert -EXPORT_LIMIT - 1e-6 <= after <= LIMIT + 1e-6


@given(st.floats(-3000, 3000), feeds, feeds)
def test_a_limit_that_some_action_keeps_is_kept(
    import_kw: float, planned: tuple[float, ...], present: tuple[float, ...]
) -> None:
    before = np.array(present)
    after = import_after(import_kw, before, guarded(import_kw, list(planned), before))
    assert after <= max(LIMIT, import_after(import_kw, before, GREATEST)) + 1e-6
    assert after >= min(-EXPORT_LIMIT, import_after(import_kw, before, LEAST)) - 1e-6


@given(st.floats(-EXPORT_LIMIT, LIMIT), feeds)
def test_within_the_limits_the_plan_stands(import_kw: float, planned: tuple[float, ...]) -> None:
    assert np.array_equal(guarded(import_kw, list(planned)), np.array(planned))


@given(st.floats(-3000, 3000), feeds)
def test_after_one_step_it_rests(import_kw: float, planned: tuple[float, ...]) -> None:
    before = np.array(planned)
    told = guarded(import_kw, before)
    again = guarded(import_after(import_kw, before, told), before, told)
    assert again == pytest.approx(told, abs=1e-6)


@pytest.mark.parametrize(
    ("limit_kw", "before_kw", "allowed_kw"),
    [
        (1000.0, 1000.0, 1000.0),
        (1000.0, 900.0, 1000.0),
        (1000.0, 1010.0, 860.0),
        (600.0, 900.0, 0.0),
        (0.0, 800.0, 0.0),
    ],
    ids=["at the limit", "room is not used up", "made up for", "a new limit", "nothing may be imported"],
)
def test_minutes_above_a_limit_are_made_up_for_but_nothing_is_exported_for_them(
    limit_kw: float, before_kw: float, allowed_kw: float
) -> None:
    """A limit that is new cannot be kept on the mean of minutes before it: a battery that tried would feed the grid."""
    assert allowed_import_kw(limit_kw, np.full(14, before_kw)) == pytest.approx(allowed_kw)
