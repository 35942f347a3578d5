"""What every store shares: power limits that depend on the fill, and the one physical step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from optimizer.devices.storage import LimitCurve, Store, limit_lines, step
from optimizer.plan import Plan
from optimizer.planner import Planner
from tests.optimizer.devices.examples import EXAMPLES, situation_of

CURVE = TypeAdapter(LimitCurve)
TAPER = ((0.0, 0.5), (0.2, 1.0), (0.7, 1.0), (1.0, 0.1))
NEAR_EMPTY = ((0.0, 0.0), (0.3, 1.0))
BENDING = ("battery_limits_by_soc", "thermal_store_ice")


def store(loss: float = 0.0, charge_curve=TAPER, discharge_curve=NEAR_EMPTY, hours_to_fill: float = 1.0) -> Store:
    kw = 200.0 / hours_to_fill
    return Store(200.0, kw, kw, 0.95, 0.9, loss, limit_lines(charge_curve), limit_lines(discharge_curve))


@st.composite
def concave_curves(draw: st.DrawFn) -> tuple[tuple[float, float], ...]:
    """The least of a few lines that are nowhere below 0, sampled where it may bend."""
    ends = draw(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=3))
    fills = np.linspace(0.0, 1.0, 11)
    shares = np.min([np.ones(11), *(np.linspace(a, b, 11) for a, b in ends)], axis=0)
    return tuple((float(fill), float(share)) for fill, share in zip(fills, shares, strict=True))


def curve_at(curve: tuple[tuple[float, float], ...], fill: float) -> float:
    fills, shares = zip(*curve, strict=True) if curve else ((0.0,), (1.0,))
    return float(np.interp(fill, fills, shares))


@given(concave_curves(), st.floats(0, 1))
def test_lines_are_the_curve(curve: tuple[tuple[float, float], ...], fill: float) -> None:
    lines = limit_lines(CURVE.validate_python(curve))
    least = min([1.0, *(share + slope * fill for share, slope in lines)])
    assert least == pytest.approx(curve_at(curve, fill), abs=1e-9)


def test_a_curve_is_constant_outside_its_points() -> None:
    assert limit_lines(((0.8, 1.0), (1.0, 0.2))) == pytest.approx(np.array([[4.2, -4.0]]))
    assert limit_lines(((0.5, 0.7),)) == pytest.approx(np.array([[0.7, 0.0]]))
    assert limit_lines(()).shape == (0, 2)
    assert limit_lines(((0.0, 1.0), (1.0, 1.0))).shape == (0, 2)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (((0.0, 1.0), (0.5, 0.5), (1.0, 0.4)), "concave .* slope rises from -1 to -0.2 at a fill of 0.5"),
        (((0.2, 0.5), (0.6, 1.0)), "slope rises from 0 to 1.25 at a fill of 0.2: .* begin at a fill of 0"),
        (((0.5, 1.0), (0.5, 0.5)), "fills must rise"),
        (((0.0, 1.2),), "less than or equal to 1"),
    ],
)
def test_a_curve_that_is_no_linear_rows_is_refused(points: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CURVE.validate_python(points)


@given(
    concave_curves(), st.floats(0, 1), st.sampled_from([5 / 60, 0.25, 1.0]), st.floats(0.2, 5), st.booleans(),
    st.sampled_from([0.0, 0.003]),
)  # fmt: skip
def test_the_step_gives_the_most_that_keeps_the_limit_at_both_ends(
    curve: tuple[tuple[float, float], ...], fill: float, hours: float, hours_to_fill: float, charging: bool, loss: float
) -> None:
    """The closed form against bisection on the definition."""
    numbers = store(loss, curve, curve, hours_to_fill)
    energy = 200.0 * fill
    wish = (1e6, 0.0) if charging else (0.0, 1e6)
    charge, discharge, _ = step(energy, *wish, hours, *numbers)
    kept = energy * (1 - loss) ** hours
    kwh_per_kw = 0.95 * hours if charging else -hours / 0.9

    def allowed(power: float) -> bool:
        end = kept + kwh_per_kw * power
        limit = numbers.charge_limit_kw * min(curve_at(curve, fill), curve_at(curve, min(max(end / 200, 0), 1)))
        return -1e-9 <= end <= 200 + 1e-9 and power <= limit + 1e-9

    low, high = 0.0, numbers.charge_limit_kw
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    assert charge + discharge == pytest.approx(low, abs=1e-5)


@given(st.floats(0, 1), st.floats(-400, 400), st.sampled_from([0.0, 0.003]))
def test_what_an_hour_allows_can_be_done_minute_by_minute(fill: float, wish: float, loss: float) -> None:
    """A concave limit that holds at both ends holds on the way."""
    numbers = store(loss)
    charge, discharge, after = step(200 * fill, max(-wish, 0.0), max(wish, 0.0), 1.0, *numbers)
    energy, done = 200 * fill, []
    for _ in range(60):
        now_charge, now_discharge, energy = step(energy, charge, discharge, 1 / 60, *numbers)
        done.append(now_discharge - now_charge)
    spare = 200 * loss  # what stands in the store an hour longer or shorter
    assert done == pytest.approx([discharge - charge] * 60, abs=1e-6 + 60 * spare)
    assert energy == pytest.approx(after, abs=1e-6 + spare)


@pytest.mark.parametrize("hours", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("hours_to_fill", [0.3, 1.0, 3.0])
def test_long_steps_lose_at_most_a_sixth_of_the_power_where_the_limit_falls(hours: float, hours_to_fill: float) -> None:
    """The bound of the module: 16 % of the power at the start of the step, against steps of seconds."""
    numbers = store(hours_to_fill=hours_to_fill)
    lost = []
    for fill in np.linspace(0.25, 1.0, 16):
        coarse, _, _ = step(200 * fill, 1e6, 0.0, hours, *numbers)
        energy, fine = 200 * fill, 0.0
        for _ in range(500):
            charge, _, energy = step(energy, 1e6, 0.0, hours / 500, *numbers)
            fine += charge / 500
        lost.append((fine - coarse) / (numbers.charge_limit_kw * curve_at(TAPER, fill)))
    assert min(lost) > -1e-6
    assert max(lost) < 0.157 + 1e-3


def test_the_bound_is_what_the_formula_says() -> None:
    falls = np.linspace(0.01, 20, 20000)
    worst = (1 - np.log1p(falls) / falls) / (1 + falls)
    assert worst.max() == pytest.approx(0.1562, abs=1e-4)
    assert falls[worst.argmax()] == pytest.approx(1.3, abs=0.05)


@pytest.mark.parametrize("kind", BENDING)
def test_shorter_steps_are_never_dearer(kind: str) -> None:
    """What is planned in long steps can be done in short ones, so these can only be better."""
    plans = [Planner("tiny", EXAMPLES[kind].devices).plan(situation_of(EXAMPLES[kind], m)) for m in (60, 15, 5)]
    hour, quarter, five = (plan.total_cost for plan in plans if isinstance(plan, Plan))
    assert hour > quarter - 0.01
    assert quarter > five - 0.01


@pytest.mark.parametrize("kind", BENDING)
def test_a_plan_keeps_the_limits_by_the_curve_itself(kind: str) -> None:
    example = EXAMPLES[kind]
    plan = Planner("tiny", example.devices).plan(situation_of(example))
    assert isinstance(plan, Plan)
    device = example.device
    charge_curve, discharge_curve = (
        (device.charge_limit_by_soc, device.discharge_limit_by_soc)
        if device.kind == "battery"
        else (device.charge_limit_by_fill, device.discharge_limit_by_fill)
    )
    fill = plan.states[device.id]["energy_kwh"] / device.capacity_kwh
    held = False
    for quantity, curve, limit in (
        ("charge_kw", charge_curve, device.charge_limit_kw),
        ("discharge_kw", discharge_curve, device.discharge_limit_kw),
    ):
        for t, kw in enumerate(plan.flow(device.id, quantity)):
            most = limit * min(curve_at(curve, fill[t]), curve_at(curve, fill[t + 1]))
            assert kw <= most + 1e-6
            held = held or (most < limit and math.isclose(kw, most, abs_tol=1e-6))
    assert held, "the example is to show a limit that binds"
