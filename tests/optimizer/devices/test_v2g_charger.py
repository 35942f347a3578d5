"""EV chargers: least charging power, tapering near full, what is had at once, and who may never be discharged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from optimizer.balance import FeederLimit
from optimizer.choices import Choices, ZeroOrAtLeast
from optimizer.devices import AnyDevice, GridConnection, Load, V2gCharger
from optimizer.devices.v2g_charger import step
from optimizer.exact import solve_exactly
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.program import Program
from optimizer.rules import rule_plan, shifted_plan
from optimizer.situation import Session, Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, car, situation_of
from tests.optimizer.park import park_situation

GRID = GridConnection(id="grid", import_limit_kw=600.0, export_limit_kw=300.0, export_source="any")
LOAD = Load(id="load")


def charger(name: str = "ev01", **more: float) -> V2gCharger:
    return V2gCharger(id=name, **{"charge_limit_kw": 20.0, "departure_margin_minutes": 0.0, **more})


def with_cars(*cars: Session, step_minutes: int = 60, state: dict[str, dict[str, float]] | None = None) -> Situation:
    """Six hours at 0.28, 0.28, 0.70, 1.435, 0.70 and 0.28 per kWh with these cars."""
    plain = situation_of(EXAMPLES["load"], step_minutes)
    sessions = {one.charger: tuple(c for c in cars if c.charger == one.charger) for one in cars}
    return replace(plain, sessions=sessions, state={**plain.state, **(state or {})})


def planned(situation: Situation, *devices: AnyDevice, feeders: tuple[FeederLimit, ...] = ()) -> Plan:
    site = (GRID, LOAD, *devices)
    plan = Planner("tiny", site, feeders).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(site, feeders, situation, plan) == ()
    return plan


def charged(plan: Plan, name: str = "ev01") -> list[float]:
    values: list[float] = plan.flow(name, "charge_kw").round(6).tolist()
    return values


# least charging power


def once(asked_kw: float, room_kwh: float = 30.0, least_kw: float = 4.1, hours: float = 0.25) -> tuple[float, float]:
    """What a car with this room takes [kW], and its room after [kWh]; 90 % efficiency."""
    charge, discharge, energy = step(
        60.0 - room_kwh, asked_kw, 0.0, hours, 60.0, 20.0, 20.0, 20.0, least_kw, 0.0, 0.0, 0.9, 0.9
    )
    assert discharge == 0.0
    return charge, 60.0 - energy


def test_a_wish_below_the_least_power_leaves_the_car_waiting() -> None:
    assert once(4.0) == (0.0, 30.0)
    assert once(4.1) == (4.1, pytest.approx(30.0 - 4.1 * 0.9 / 4))
    assert once(4.0, least_kw=0.0)[0] == 4.0


def test_the_last_bit_is_filled_at_the_least_power_until_the_car_stops_it() -> None:
    """0.45 kWh fit, which is a mean of 2 kW over the quarter hour: 4.1 kW for seven minutes, or that mean itself."""
    assert once(4.1, room_kwh=0.45) == (pytest.approx(2.0), pytest.approx(0.0))
    assert once(2.0, room_kwh=0.45) == (pytest.approx(2.0), pytest.approx(0.0))
    assert once(1.9, room_kwh=0.45) == (0.0, pytest.approx(0.45))


def test_a_need_of_ten_is_five_and_five_where_seven_and_three_cannot_be() -> None:
    """10 kWh from the grid in hours at 0.28, 0.70 and 1.435; 7 kW at most."""
    situation = with_cars(car("ev01", 1, 4, 9.5, known=False))
    free = planned(situation, charger(charge_limit_kw=7))
    held = planned(situation, charger(charge_limit_kw=7, min_charge_kw=5))
    assert charged(free) == [0, 7, 3, 0, 0, 0]
    assert charged(held) == [0, 5, 5, 0, 0, 0]
    assert held.total_cost - free.total_cost == pytest.approx(5 * 0.28 + 5 * 0.70 - 7 * 0.28 - 3 * 0.70)


@pytest.mark.parametrize("known", [True, False])
def test_a_small_rest_is_still_filled_and_told_as_the_least_power(known: bool) -> None:
    """0.19 kWh are missing: a mean of 0.8 kW over a quarter hour. The charger is told 4.1 kW, the car stops it."""
    one = replace(car("ev01", -1, 2, 10.0, known=known), energy_needed_kwh=30.0 if known else 10.0)
    state = {"ev01": {"energy_kwh": 59.81 if known else 9.81}}
    plan = planned(with_cars(one, step_minutes=15, state=state), charger(min_charge_kw=4.1))
    assert plan.limits_given_way == ()
    assert sum(charged(plan)) == pytest.approx(0.8)
    first = float(plan.flow("ev01", "charge_kw")[0])
    assert {setpoint.target_kw for setpoint in plan.setpoints} == {-4.1 if first > 0 else 0.0}


def test_a_group_with_room_for_two_takes_turns() -> None:
    """Three cars of at least 7 kW behind 15 kW: never a third, and never a power below 7."""
    names = ("ev01", "ev02", "ev03")
    situation = with_cars(*(car(name, -1, 3, 13.0) for name in names), step_minutes=15)
    site = tuple(charger(name, min_charge_kw=7.0) for name in names)
    plan = planned(situation, *site, feeders=(FeederLimit("row", 15.0, names),))
    near = np.array([charged(plan, name)[:8] for name in names])
    assert np.all((near == 0.0) | (near >= 7.0 - 1e-5))
    assert (near > 0).sum(axis=0).max() <= 2
    assert plan.limits_given_way == ()


def test_a_least_charging_power_is_kept_where_machines_have_to_cycle() -> None:
    """A machine of at least 5 kW has to give 3, and a charger of at least 5 kW has room for 4: only one may give in."""
    rows = ((3.0, 3.0), (0.0, 4.0))
    program = Program(
        cost=np.array([0.0, -1.0]), offset=0.0, lower=np.zeros(2), upper=np.full(2, 10.0),
        row_lower=np.array([low for low, _ in rows]), row_upper=np.array([high for _, high in rows]),
        start=np.array([0, 1, 2], dtype=np.int32), index=np.array([0, 1], dtype=np.int32), value=np.ones(2),
    )  # fmt: skip
    choices = Choices((ZeroOrAtLeast(0, 5.0, "machine"), ZeroOrAtLeast(1, 5.0, "charger", may_cycle=False)))
    answer = solve_exactly(program, choices, 10.0)
    assert answer.cycling
    assert answer.solution.x == pytest.approx([3.0, 0.0])


def test_a_least_power_above_the_largest_is_refused() -> None:
    with pytest.raises(ValidationError, match="must not be above charge_limit_kw = 3"):
        charger(charge_limit_kw=3, min_charge_kw=4.1)


# taper


def tapered(energy: float, hours: float, minutes: float, power: float, start_kwh: float, end_share: float) -> float:
    """Energy of a car of 60 kWh after `hours` at full power in steps of `minutes`."""
    per_kwh = (1.0 - end_share) / (60.0 - start_kwh)
    for _ in range(round(hours * 60 / minutes)):
        h = minutes / 60
        energy = step(energy, power, 0.0, h, 60.0, 0.0, power, 0.0, 0.0, start_kwh, per_kwh, 0.95, 0.95)[2]
    return energy


def test_the_taper_is_the_line_at_the_end_of_the_step() -> None:
    """P = 20, taper from 48 of 60 kWh to 10 %: at the end energy e the power is 20·(1 - 0.075·(e - 48))."""
    for start in (40.0, 47.0, 50.0, 58.0, 59.9):
        charge, _, after = step(start, 99.0, 0.0, 0.25, 60.0, 0.0, 20.0, 0.0, 0.0, 48.0, 0.075, 0.95, 0.95)
        line = 20.0 * (1.0 - 0.075 * (after - 48.0))
        assert charge == pytest.approx(min(20.0, line, (60.0 - start) / 0.95 / 0.25))
        assert after == pytest.approx(start + 0.95 * charge / 4)


@settings(max_examples=60, deadline=None)
@given(
    energy=st.floats(0, 60),
    hours=st.integers(1, 6),
    power=st.floats(2, 120),
    taper_from=st.floats(0.5, 0.98),
    end_share=st.floats(0.05, 0.9),
)
def test_coarse_steps_charge_later_but_within_the_stated_bound(
    energy: float, hours: int, power: float, taper_from: float, end_share: float
) -> None:
    """5, 15 and 60 minutes against a quarter minute; the car is never fuller in coarse steps."""
    fine = tapered(energy, hours, 0.25, power, 60 * taper_from, end_share)
    per_kwh = (1.0 - end_share) / (60.0 - 60.0 * taper_from)
    for minutes in (5, 15, 60):
        coarse = tapered(energy, hours, minutes, power, 60 * taper_from, end_share)
        k = per_kwh * 0.95 * power * minutes / 60
        assert -1e-9 <= fine - coarse <= k / (2.0 + k) / per_kwh


def test_a_tapering_car_is_charged_early_enough() -> None:
    """59 of 60 kWh by hour 3. At full power in time for a car that never tapers, an hour too late for one that does."""
    situation = with_cars(car("ev01", 0, 3, 29.0), step_minutes=15)
    plan = planned(situation, charger(taper_from_soc=0.8))
    energy, power = plan.states["ev01"]["energy_kwh"], plan.flow("ev01", "charge_kw")
    assert plan.limits_given_way == ()
    assert energy[12] == pytest.approx(59.0)
    assert np.all(power <= 20.0 * (1.0 - 0.075 * (energy[1:] - 48.0)) + 1e-6)
    late = planned(with_cars(car("ev01", 0, 2, 29.0), step_minutes=15), charger(taper_from_soc=0.8))
    assert [given.limit for given in late.limits_given_way] == ["energy_at_departure"]


def test_a_car_of_unknown_content_or_above_its_capacity_does_not_stop_the_plan() -> None:
    unknown = planned(with_cars(car("ev01", 0, 2, 19.0, known=False)), charger(taper_from_soc=0.8))
    assert sum(charged(unknown)) == pytest.approx(20.0)
    over = planned(
        with_cars(car("ev01", -1, 2, 10.0), state={"ev01": {"energy_kwh": 61.0}}), charger(taper_from_soc=0.8)
    )
    assert charged(over) == [0.0] * 6


def test_beyond_the_horizon_the_taper_counts_too() -> None:
    """The car leaves an hour after the horizon with 59 kWh: at its end it must hold what an hour of taper needs."""
    tapering = charger(taper_from_soc=0.8)
    situation = with_cars(car("ev01", 0, 7, 29.0), step_minutes=15)
    enough = float(tapering.conditions(situation)["target_kwh"][-1])
    assert tapered(enough, 1.0, 0.02, 20.0, 48.0, 0.1) == pytest.approx(59.0, abs=0.01)
    early = charger().conditions(with_cars(car("ev01", 0, 7, 29.0), step_minutes=15))["target_kwh"][-1]
    assert early == pytest.approx(59.0 - 19.0)
    far = tapering.conditions(with_cars(car("ev01", 0, 9, 29.0), step_minutes=15))["target_kwh"][-1]
    assert tapered(float(far), 3.0, 0.02, 20.0, 48.0, 0.1) == pytest.approx(59.0, abs=0.01)


# early departure


def test_what_a_car_is_to_have_in_any_case_it_has_at_once() -> None:
    """The car comes at 1.435 per kWh and could wait for 0.28: up to 42 of 60 kWh it does not."""
    situation = with_cars(car("ev01", 3, 6, 20.0), step_minutes=15)
    assert planned(situation, charger()).flow("ev01", "charge_kw")[12:16].max() == 0.0
    plan = planned(situation, charger(at_once_soc=0.7))
    energy = plan.states["ev01"]["energy_kwh"]
    full_power = 30.0 + 20.0 * 0.95 * np.arange(1, 13) / 4
    assert np.all(energy[13:] >= np.minimum(42.0, full_power) - 1e-6)
    assert energy[16] == pytest.approx(42.0)  # not more at this price
    assert energy[24] == pytest.approx(50.0)
    assert plan.limits_given_way == ()


def test_no_more_than_the_car_needs_is_had_at_once() -> None:
    plan = planned(with_cars(car("ev01", 3, 6, 5.0), step_minutes=15), charger(at_once_soc=0.9))
    assert plan.states["ev01"]["energy_kwh"][16] == pytest.approx(35.0)
    assert plan.limits_given_way == ()


def test_a_car_of_unknown_content_has_the_share_of_its_need_at_once() -> None:
    plan = planned(with_cars(car("ev01", 3, 6, 9.5, known=False), step_minutes=15), charger(at_once_soc=0.4))
    assert plan.flow("ev01", "charge_kw")[12:16].sum() / 4 == pytest.approx(4.0)
    assert plan.flow("ev01", "charge_kw").sum() / 4 == pytest.approx(10.0)


def test_a_group_limit_makes_it_late_and_is_named() -> None:
    names = ("ev01", "ev02")
    situation = with_cars(*(car(name, 0, 6, 20.0) for name in names), step_minutes=15)
    site = tuple(charger(name, at_once_soc=0.7) for name in names)
    plan = planned(situation, *site, feeders=(FeederLimit("row", 20.0, names),))
    given = {(way.device, way.limit) for way in plan.limits_given_way}
    assert given <= {(name, "energy_at_once") for name in names}
    assert given
    together = plan.flow("ev01", "charge_kw") + plan.flow("ev02", "charge_kw")
    assert together[:5] == pytest.approx([20.0] * 5)  # 24 kWh of the two need 76 minutes


def test_v2g_leaves_what_a_car_is_to_have_in_any_case() -> None:
    two_way = {"discharge_limit_kw": 20.0, "wear_cost_per_kwh": 0.0}
    one = replace(car("ev01", -1, 6, 10.0), energy_on_arrival_kwh=50.0)
    free = planned(with_cars(one), charger(**two_way)).states["ev01"]["energy_kwh"]
    kept = planned(with_cars(one), charger(at_once_soc=0.6, **two_way)).states["ev01"]["energy_kwh"]
    assert free.min() == pytest.approx(60 - 20 / 0.95)  # one hour at 1.435
    assert planned(with_cars(one), charger(at_once_soc=0.9, **two_way)).states["ev01"]["energy_kwh"].min() >= 50.0
    assert kept.min() >= 36.0 - 1e-6


# who is never discharged


@pytest.mark.parametrize(
    ("one_way", "known"), [(True, True), (True, False), (False, False)], ids=["one-way", "neither", "unknown car"]
)
def test_a_car_without_v2g_is_never_discharged(one_way: bool, known: bool) -> None:
    """A kWh fed back would earn 50 times what it costs."""
    ev = charger(discharge_limit_kw=0.0 if one_way else 20.0, wear_cost_per_kwh=0.0, v2g_floor_soc=0.0)
    situation = with_cars(car("ev01", -1, 6, 10.0, known=known), step_minutes=15)
    prices = replace(situation.prices, export_per_kwh=np.full(24, 50.0))
    dear = replace(situation, prices=prices)
    assert planned(dear, ev).flow("ev01", "discharge_kw").max() == 0.0
    here = {name: float(values[0]) for name, values in ev.conditions(dear).items()}
    wished = ev.step({"discharge_kw": 20.0}, {"energy_kwh": 30.0}, here, 0.25)
    assert wished.flows["discharge_kw"] == 0.0
    assert wished.state == {"energy_kwh": 30.0}
    if not one_way:
        known_car = replace(dear, sessions={"ev01": (car("ev01", -1, 6, 10.0),)})
        assert planned(known_car, ev).flow("ev01", "discharge_kw").max() == pytest.approx(20.0)


@pytest.mark.parametrize(("price", "margin"), [(1.435, 0.7748), (0.70, 0.0398), (0.66, 0.0)])
def test_v2g_pays_from_its_break_even_on(price: float, margin: float) -> None:
    """TV-09: 0.28 to charge, 95 % each way, wear 0.35: a kWh fed back has to replace one of 0.6602."""
    one = car("ev01", -1, 6, 1.0)
    situation = with_cars(replace(one, energy_on_arrival_kwh=50.0))
    prices = replace(situation.prices, import_per_kwh=np.array([price, *[0.28] * 5]))
    day = replace(situation, prices=prices)
    two_way = planned(day, charger(discharge_limit_kw=20.0, wear_cost_per_kwh=0.35))
    saved = planned(day, charger()).total_cost - two_way.total_cost
    assert saved == pytest.approx(20.0 * margin, abs=20 * 5e-5)
    assert two_way.flow("ev01", "discharge_kw").sum() == pytest.approx(20.0 if margin else 0.0)


# the answers without a solver


OPTIONS = {"min_charge_kw": 4.1, "taper_from_soc": 0.8, "at_once_soc": 0.5}
SITE = (GRID, LOAD, charger("ev01", discharge_limit_kw=20.0, **OPTIONS), charger("ev02", **OPTIONS))
ROW = (FeederLimit("row", 18.0, ("ev01", "ev02")),)


@cache
def _planner_and_last() -> tuple[Planner, Plan]:
    planner = Planner("park", SITE, ROW)
    last = planner.plan(park_situation(shift=timedelta(hours=8), tail_hours=()))
    assert isinstance(last, Plan)
    return planner, last


@pytest.mark.parametrize("quarters", range(0, 44, 4))
def test_rules_and_shifted_plans_keep_all_of_it(quarters: int) -> None:
    planner, last = _planner_and_last()
    situation = park_situation(shift=timedelta(hours=8, minutes=15 * quarters), tail_hours=())
    reached = {name: {"energy_kwh": float(last.states[name]["energy_kwh"][quarters])} for name in ("ev01", "ev02")}
    situation = replace(situation, state={**situation.state, **reached})
    for plan in (rule_plan(SITE, situation, ROW), shifted_plan(SITE, situation, last, ROW), planner.plan(situation)):
        assert isinstance(plan, Plan)
        assert verify(SITE, ROW, situation, plan) == ()
        for setpoint in plan.setpoints:
            assert setpoint.target_kw >= 0.0 or setpoint.target_kw <= -4.1


def test_the_verifier_refuses_a_power_below_the_least_and_above_the_taper() -> None:
    situation = with_cars(car("ev01", 0, 4, 25.0), step_minutes=15)
    free = planned(situation, charger(min_charge_kw=0.0))
    tight = (GRID, LOAD, charger(taper_from_soc=0.6))
    assert any("cannot do" in str(found) for found in verify(tight, (), situation, free))
    low = planned(situation, charger(charge_limit_kw=8.0))
    assert 0.0 < low.flow("ev01", "charge_kw").max() <= 8.0
    least = (GRID, LOAD, charger(min_charge_kw=12.0))
    assert any("cannot do" in str(found) for found in verify(least, (), situation, low))
