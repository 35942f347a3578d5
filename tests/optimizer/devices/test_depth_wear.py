"""Wear by depth of cycle: RULES 5 (TV-20), and the priced wear against a rainflow count of what was planned."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from optimizer.devices import Battery, GridConnection, Load
from optimizer.devices.depth_wear import DepthWear
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, situation_of

WEAR = DepthWear(replacement_cost=160_000, segments=4)
GRID, LOAD = GridConnection(id="grid", import_limit_kw=600.0), Load(id="load", carrier="power")


def battery(wear: DepthWear = WEAR, **more: float) -> Battery:
    numbers = {"capacity_kwh": 200, "charge_limit_kw": 100, "discharge_limit_kw": 100, "standing_loss_per_hour": 0.0}
    return Battery(id="battery1", depth_wear=wear, **{**numbers, **more})


def rainflow(turns: list[float]) -> tuple[list[float], list[float]]:
    """Ranges of the full cycles, and what is left of the course (ASTM E1049, four-point)."""
    left: list[float] = []
    full = []
    for value in turns:
        left.append(value)
        while len(left) >= 4 and abs(left[-3] - left[-2]) <= min(abs(left[-4] - left[-3]), abs(left[-2] - left[-1])):
            full.append(abs(left[-3] - left[-2]))
            del left[-3:-1]
    return full, left


def turns_of(course: np.ndarray) -> list[float]:
    moved = course[np.concatenate([[True], np.abs(np.diff(course)) > 1e-12])]
    rises = np.sign(np.diff(moved))
    inner = moved[1:-1][rises[1:] != rises[:-1]]
    return [float(v) for v in (moved[0], *inner, moved[-1])]


def life_taken(wear: DepthWear, course: np.ndarray, exact: bool = True) -> float:
    """Money for each full cycle and each falling half of a course of SoC, by the curve or by its chords."""
    full, left = rainflow(turns_of(course))
    depths = np.array([*full, *(a - b for a, b in pairwise(left) if a > b)])
    ends = np.linspace(0.0, 1.0, wear.segments + 1)
    taken = wear.life_taken(depths) if exact else np.interp(depths, ends, wear.life_taken(ends))
    return float(wear.replacement_cost * taken.sum())


def priced(soc: float, price: np.ndarray, device: Battery) -> tuple[Plan, Situation]:
    situation = situation_of(EXAMPLES["battery"])
    state = {**situation.state, device.id: {"energy_kwh": soc * device.capacity_kwh}}
    situation = replace(situation, state=state, prices=replace(situation.prices, import_per_kwh=price))
    plan = Planner("tiny", (device, GRID, LOAD)).plan(situation)
    assert isinstance(plan, Plan)
    assert verify((device, GRID, LOAD), (), situation, plan) == ()
    return plan, situation


def test_segments_cost_what_the_worked_example_says() -> None:
    """TV-20."""
    device = Battery(id="b", capacity_kwh=1000, charge_limit_kw=500, discharge_limit_kw=500)
    prices = DepthWear(replacement_cost=800_000, segments=4).prices_per_kwh(device.numbers(), max_soc=1.0)
    assert prices == pytest.approx([0.105822, 0.326360, 0.552128, 0.780742], abs=5e-7)


@given(st.integers(1, 12), st.floats(1.0, 4.0), st.floats(0.5, 1.0))
def test_deeper_energy_is_never_cheaper_and_a_full_cycle_costs_its_life(j: int, power: float, max_soc: float) -> None:
    wear = DepthWear(replacement_cost=160_000, segments=j, stress_exponent=power)
    prices = wear.prices_per_kwh(battery().numbers(), max_soc)
    assert np.all(np.diff(prices) >= -1e-12)
    whole = 200 * 0.95 * max_soc / j * prices.sum()  # AC energy of each segment at its price
    assert whole == pytest.approx(160_000 * float(wear.life_taken(np.array(max_soc))))


@given(st.floats(0, 1), st.floats(0.5, 1))
def test_the_energy_lies_in_the_deepest_segments(soc: float, max_soc: float) -> None:
    numbers = battery().numbers()
    contents, sizes = WEAR.contents_kwh(numbers, max_soc, 200 * soc), WEAR.sizes_kwh(numbers, max_soc)
    assert contents.sum() == pytest.approx(200 * soc)
    assert sizes.sum() == pytest.approx(200)
    assert np.all((contents >= 0) & (contents <= sizes + 1e-9))
    partly = np.flatnonzero(contents < sizes - 1e-9)
    assert np.all(contents[partly[:-1]] == 0), "only one segment is partly full, all shallower ones are empty"


def test_rainflow_counts_the_standards_example() -> None:
    """ASTM E1049-85, figure 6: one full cycle of range 4 (E-F), the rest are halves."""
    full, left = rainflow([-2, 1, -3, 5, -1, 3, -4, 4, -2])
    assert full == [4]
    assert [abs(a - b) for a, b in pairwise(left)] == [3, 4, 8, 9, 8, 6]


prices = st.lists(st.floats(0.1, 3.0), min_size=24, max_size=24).map(np.array)


@given(st.floats(0.1, 1.0), prices, st.sampled_from([1, 3, 8]))
@settings(max_examples=20, deadline=None)
def test_the_priced_wear_is_the_rainflow_count_of_the_course_from_full(soc: float, price: np.ndarray, j: int) -> None:
    """Exactly that of the cycles by the chords of the curve, and so at least that by the curve itself, and at least
    that of the plan's own course without the way down from full."""
    wear = DepthWear(replacement_cost=160_000, segments=j)
    plan, _ = priced(soc, price, battery(wear, max_soc=1.0))
    course = plan.states["battery1"]["energy_kwh"] / 200
    from_full = np.concatenate([[1.0], course])
    already = life_taken(wear, np.array([1.0, course[0]]), exact=False)
    paid = plan.cost["wear"]
    assert paid == pytest.approx(life_taken(wear, from_full, exact=False) - already, abs=1e-3)
    assert paid >= life_taken(wear, course, exact=False) - 1e-3
    assert paid >= life_taken(wear, course) - 1e-3
    bend = wear.stress_factor * 2.03 * 1.03  # at full depth
    chords = wear.replacement_cost * bend / j**2 / 8  # may lie so far above the curve, for each cycle
    full, left = rainflow(turns_of(from_full))
    cycles = len(full) + len(left)
    assert paid <= life_taken(wear, from_full) - life_taken(wear, np.array([1.0, course[0]])) + cycles * chords + 1e-3


@given(st.floats(0.1, 0.95), prices)
@settings(max_examples=10, deadline=None)
def test_what_was_run_costs_what_the_plan_said(soc: float, price: np.ndarray) -> None:
    """The same flows priced step by step, with standing loss and a highest state of charge below 1."""
    device = battery(standing_loss_per_hour=0.00004)
    plan, situation = priced(soc, price, device)
    charge, discharge = plan.flow("battery1", "charge_kw"), plan.flow("battery1", "discharge_kw")
    energy = float(plan.states["battery1"]["energy_kwh"][0])
    run = WEAR.cost_of(device.numbers(), device.max_soc, energy, charge, discharge, situation.grid.step_hours)
    assert run == pytest.approx(plan.cost["wear"], abs=0.01)


def test_a_plan_made_in_the_middle_of_a_discharge_pays_what_the_first_one_said() -> None:
    """From full down to 10 % in two halves, the second one seen afresh: together the price of the whole."""
    device, numbers = battery(max_soc=1.0), battery().numbers()
    draw = np.full(4, 0.45 * 200 * 0.95 / 4 / 0.25)
    whole = WEAR.cost_of(numbers, 1.0, 200.0, np.zeros(8), np.concatenate([draw, draw]), 0.25)
    halves = [WEAR.cost_of(numbers, 1.0, kwh, np.zeros(4), draw, 0.25) for kwh in (200.0, 110.0)]
    assert sum(halves) == pytest.approx(whole)
    assert whole == pytest.approx(life_taken(WEAR, np.array([1.0, 0.1]), exact=False))
    assert device.numbers() == numbers


def test_two_shallow_cycles_are_preferred_to_one_deep_one() -> None:
    """Two dear hours, a cheap one between: energy below one half costs 0.55, which a spread of 0.5 does not pay."""
    price = np.repeat([0.3, 0.3, 0.8, 0.3, 0.8, 0.3], 4)
    plan, _ = priced(1.0, price, battery(max_soc=1.0))
    assert plan.states["battery1"]["energy_kwh"].min() == pytest.approx(100)
    assert plan.flow("battery1", "discharge_kw").sum() * 0.25 == pytest.approx(95 + 95 * 0.95)
    constant = Battery(
        id="battery1", capacity_kwh=200, charge_limit_kw=100, discharge_limit_kw=100, wear_cost_per_kwh=0.2
    )
    plan, _ = priced(0.95, price, constant)
    assert plan.states["battery1"]["energy_kwh"].min() < 200 * 0.4


def test_wear_has_one_price() -> None:
    with pytest.raises(ValidationError, match="depth_wear or by wear_cost_per_kwh: remove one"):
        Battery(
            id="b",
            capacity_kwh=1,
            charge_limit_kw=1,
            discharge_limit_kw=1,
            wear_cost_per_kwh=0.1,
            depth_wear=WEAR,
        )
