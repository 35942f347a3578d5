"""What a plan promises: balances, money, exactness, soft limits with a report, reasons that are right."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice, Battery, GridConnection, Load, Pv, V2gCharger
from optimizer.exact import solve_exactly
from optimizer.model import build
from optimizer.plan import Plan
from optimizer.planner import NoPlan, Planner
from optimizer.situation import Session, Situation
from optimizer.solver import MIP_GAP, solve
from optimizer.verify import verify
from tests.optimizer.park import FEEDERS, START, park, park_situation


def plan_of(devices: tuple[AnyDevice, ...], situation: Situation, feeders: tuple[FeederLimit, ...] = ()) -> Plan:
    plan = Planner("park", devices, feeders).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(devices, feeders, situation, plan) == ()
    return plan


def test_every_carrier_balances_in_every_step() -> None:
    plan = plan_of(park(), park_situation(), FEEDERS)
    for carrier in ("power", "cold"):
        flows = [f for f in plan.flows if f.carrier == carrier]
        fed = sum(f.kw for f in flows if f.direction == "in")
        taken = sum(f.kw for f in flows if f.direction == "out")
        assert np.abs(fed - taken).max() < 1e-6


def test_the_cost_table_sums_to_what_was_minimised() -> None:
    situation = park_situation()
    model = build(park(), (), situation.shape)
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in park()}
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    answer = solve_exactly(program, model.choices, 60.0)
    plan = plan_of(park(), situation)
    assert plan.solves == answer.solves
    assert plan.total_cost == pytest.approx(answer.solution.objective, rel=1e-9)
    near = situation.grid.near
    energy = float((plan.flow("grid", "import_kw") * situation.prices.import_per_kwh[:near]).sum() * 0.25)
    assert plan.cost["energy"] == pytest.approx(energy)
    assert plan.cost["tail"] > 0


def test_the_same_situation_gives_the_same_plan() -> None:
    planner = Planner("park", park(), FEEDERS)
    first = planner.plan(park_situation())
    planner.plan(park_situation(shift=timedelta(hours=3), seed=9))
    again = planner.plan(park_situation())
    assert isinstance(first, Plan)
    assert isinstance(again, Plan)
    assert first.content_hash == again.content_hash


def test_import_stays_under_the_running_peak_where_that_is_cheaper() -> None:
    dear = plan_of(park(), park_situation(peak_kw=420.0))
    free = plan_of(park(), park_situation(peak_kw=420.0, demand_per_kw=0.0))
    assert dear.flow("grid", "import_kw").max() < free.flow("grid", "import_kw").max()
    assert dear.grid_limit_kw == pytest.approx(max(420.0, dear.flow("grid", "import_kw").max()), abs=1e-6)
    assert dear.cost["demand"] == pytest.approx(48.0 * (dear.grid_limit_kw - 420.0), abs=1e-6)
    assert free.grid_limit_kw is None


def test_a_peak_beyond_the_billing_end_does_not_count_for_this_period() -> None:
    """Demand 700 kW only after the month's end: this month's peak stays, the next month's rises by 200 kW."""
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"))
    situation = park_situation(near=8, tail_hours=(), billing_end_step=4)
    series = {"load.demand_kw": np.array([400.0] * 4 + [700.0] * 4)}
    plan = plan_of(devices, replace(situation, series=series))
    assert plan.grid_limit_kw == pytest.approx(500.0)
    assert plan.cost["demand"] == pytest.approx(48.0 * 200.0)


def test_the_next_period_is_planned_from_nothing_where_the_plan_reaches_its_end() -> None:
    """700 kW from the end of the month on, the running peak, and all of the next period in the plan: its whole peak is
    paid, and the battery is filled for it before the month ends."""
    battery = Battery(id="battery1", capacity_kwh=400, charge_limit_kw=200, discharge_limit_kw=200)
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"), battery)
    situation = park_situation(near=8, tail_hours=(), billing_end_step=4, battery_kwh=60.0, peak_kw=700.0)
    series = {"load.demand_kw": np.array([400.0] * 4 + [700.0] * 4)}
    prices = replace(situation.prices, next_period_whole=True)
    unprepared, prepared = (
        plan_of(devices, replace(situation, series=series, prices=one)) for one in (situation.prices, prices)
    )
    next_peak_kw = prepared.flow("grid", "import_kw")[4:].max()
    assert next_peak_kw < unprepared.flow("grid", "import_kw")[4:].max() - 50.0
    assert prepared.states["battery1"]["energy_kwh"][4] > unprepared.states["battery1"]["energy_kwh"][4] + 50.0
    assert prepared.grid_limit_kw == pytest.approx(700.0)
    assert prepared.cost["demand"] == pytest.approx(48.0 * next_peak_kw)


@pytest.mark.parametrize(
    ("price_of", "export_per_kwh"),
    [((-0.5, 0.1, 0.2, 0.3), 0.0), ((0.28, 0.5, 0.6, 0.7), 0.9), ((0.0, 0.0, 0.0, 0.0), 0.0), ((-0.3,) * 4, 0.4)],
    ids=["negative prices", "export above import", "no price at all", "paid both ways"],
)
def test_no_device_goes_both_ways_at_once_and_the_answer_is_the_full_milp(
    price_of: tuple[float, float, float, float], export_per_kwh: float
) -> None:
    situation = park_situation(near=24, tail_hours=(), price_of=price_of, export_per_kwh=export_per_kwh)
    plan = plan_of(park(), situation)
    for one, other in (("import_kw", "export_kw"), ("charge_kw", "discharge_kw")):
        for device in park():
            if {one, other} <= set(device.buses()):
                both = np.minimum(plan.flow(device.id, one), plan.flow(device.id, other))
                assert both.max() < 1e-6, device.id
    model = build(park(), (), situation.shape)
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in park()}
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    full = solve(program, model.choices, time_limit_s=60.0, gap=1e-9).objective
    assert solve_exactly(program, model.choices, 60.0, gap=1e-9).solution.objective == pytest.approx(full, rel=1e-6)
    assert full - 1e-4 <= plan.total_cost <= full + MIP_GAP * abs(full) + 1e-4


def test_a_lossless_battery_with_flat_prices_does_not_chatter_both_ways() -> None:
    battery = Battery(
        id="battery1", capacity_kwh=100, charge_limit_kw=50, discharge_limit_kw=50, charge_efficiency=1.0,
        discharge_efficiency=1.0, wear_cost_per_kwh=0.0, standing_loss_per_hour=0.0,
    )  # fmt: skip
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"), battery)
    plan = plan_of(devices, park_situation(near=24, tail_hours=(), price_of=(0.5,) * 4))
    assert np.minimum(plan.flow("battery1", "charge_kw"), plan.flow("battery1", "discharge_kw")).max() < 1e-6


def test_zero_export_curtails_what_cannot_be_stored() -> None:
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"), Pv(id="pv1", capacity_kw=400))
    situation = park_situation(shift=timedelta(hours=11), near=16, tail_hours=())
    series = {"load.demand_kw": np.full(16, 100.0), "pv1.available_kw": np.full(16, 250.0)}
    plan = plan_of(devices, replace(situation, series=series))
    assert plan.flow("pv1", "used_kw") == pytest.approx(np.full(16, 100.0))
    (setpoint,) = plan.setpoints
    assert setpoint.target_kw == pytest.approx(100.0)
    assert "curtailed" in setpoint.reason.en


def test_an_uncurtailed_plant_is_not_limited_to_its_forecast() -> None:
    plan = plan_of(park(), park_situation(shift=timedelta(hours=11)))
    assert next(s for s in plan.setpoints if s.device == "pv1").target_kw == 400.0


def test_chillers_keep_off_their_least_part_load_in_the_first_hours() -> None:
    plan = plan_of(park(), park_situation())
    cold = plan.flow("chiller1", "cold_kw")[:8]
    assert all(kw < 1e-6 or kw >= 90.0 - 1e-6 for kw in cold)


def test_machines_cycle_where_nothing_else_is_possible() -> None:
    """A cold demand below the least part load and no store: the limit gives way and is named."""
    devices = tuple(d for d in park() if d.id != "store")
    situation = park_situation(near=8, tail_hours=())
    series = {**situation.series, "cold_load.demand_kw": np.full(8, 20.0)}
    planner = Planner("park", devices)
    plan = planner.plan(replace(situation, series=series))
    assert isinstance(plan, Plan)
    (given,) = plan.limits_given_way
    assert (given.device, given.limit, given.amount) == ("chiller1", "min_part_load", pytest.approx(70.0))


def test_a_store_outside_its_band_recovers_instead_of_failing() -> None:
    plan = plan_of(park(), park_situation(battery_kwh=10.0))
    energy = plan.states["battery1"]["energy_kwh"]
    assert energy[0] == pytest.approx(10.0)
    assert energy[2] >= 60.0 - 1e-6
    assert {(g.device, g.limit) for g in plan.limits_given_way} == set() or plan.limits_given_way[0].limit == "min_soc"
    full = plan_of(park(), park_situation(battery_kwh=600.0))
    assert full.states["battery1"]["energy_kwh"][-1] <= 570.0 + 1e-6


def test_a_car_that_cannot_be_filled_gets_all_it_can_and_the_shortfall_is_named() -> None:
    leaves = START + timedelta(hours=1)
    car = Session("late", "ev01", START - timedelta(hours=1), leaves, 50.0, 5.0, 60.0)
    situation = replace(park_situation(near=16, tail_hours=()), sessions={"ev01": (car,)})
    plan = plan_of(park(), situation)
    (given,) = plan.limits_given_way
    assert (given.device, given.limit, given.unit) == ("ev01", "energy_at_departure", "kWh")
    assert given.amount == pytest.approx(55.0 - (5.0 + 20 * 0.95))
    assert plan.flow("ev01", "charge_kw")[:4] == pytest.approx([20.0] * 4)
    assert plan.flow("ev01", "charge_kw")[4:].max() == 0.0


def test_cars_leave_with_what_they_need_and_are_not_drained_below_their_floor() -> None:
    situation = park_situation(shift=timedelta(hours=9), near=48)
    plan = plan_of(park(), situation)
    energy = plan.states["ev01"]["energy_kwh"]
    departure_step = 29
    assert energy[departure_step + 1] >= 50.0 - 1e-6
    assert energy[1 : departure_step + 2].min() >= min(24.0, 25.0) - 1e-6
    delivered = plan.flow("ev02", "charge_kw").sum() * 0.25 * 0.95
    assert delivered == pytest.approx(15.0, abs=1e-6)


def test_cars_that_cannot_feed_back_never_do() -> None:
    unknown = Session("u", "ev01", START - timedelta(hours=1), START + timedelta(hours=20), 10.0)
    situation = replace(park_situation(), sessions={"ev01": (unknown,)})
    assert plan_of(park(), situation).flow("ev01", "discharge_kw").max() == 0.0


def test_two_cars_one_after_the_other_at_one_charger() -> None:
    first = Session("1", "ev01", START - timedelta(minutes=5), START + timedelta(hours=1, minutes=5), 5.0, 20.0, 60.0)
    second = Session("2", "ev01", START + timedelta(hours=1, minutes=10), START + timedelta(hours=3), 8.0, 40.0, 50.0)
    plan = plan_of(park(), replace(park_situation(near=24, tail_hours=()), sessions={"ev01": (first, second)}))
    energy = plan.states["ev01"]["energy_kwh"]
    assert energy[5] >= 25.0 - 1e-6
    assert energy[12] >= 48.0 - 1e-6
    assert energy[13:] == pytest.approx(np.zeros(12))


def test_cars_are_ready_the_margin_before_they_leave() -> None:
    car = Session("soon", "ev01", START - timedelta(hours=1), START + timedelta(minutes=70), 8.0, 20.0, 60.0)
    charger = V2gCharger(id="ev01", charge_limit_kw=20, departure_margin_minutes=20)
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"), charger)
    plan = plan_of(devices, replace(park_situation(near=8, tail_hours=()), sessions={"ev01": (car,)}))
    assert plan.states["ev01"]["energy_kwh"][3] == pytest.approx(28.0)
    assert plan.limits_given_way == ()


def test_a_partly_present_car_gets_its_power_not_the_mean() -> None:
    """10 minutes of the first quarter hour are left: 3 kWh need 19 kW while the car is there."""
    car = Session("soon", "ev01", START - timedelta(hours=1), START + timedelta(minutes=10), 3.0, 20.0, 60.0)
    charger = V2gCharger(id="ev01", charge_limit_kw=20)
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"), charger)
    plan = plan_of(devices, replace(park_situation(near=8, tail_hours=()), sessions={"ev01": (car,)}))
    assert plan.flow("ev01", "charge_kw") * 0.25 * 0.95 == pytest.approx([3.0, *[0.0] * 7])
    assert plan.setpoints[0].target_kw == pytest.approx(-3.0 / 0.95 / (10 / 60))


def test_a_feeder_limit_holds_for_its_members_together() -> None:
    late = START + timedelta(hours=2)
    cars = {c: (Session(c, c, START - timedelta(hours=1), late, 25.0, 20.0, 60.0),) for c in ("ev01", "ev02")}
    chargers = tuple(V2gCharger(id=c, charge_limit_kw=20, departure_margin_minutes=0) for c in ("ev01", "ev02"))
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"), *chargers)
    situation = replace(park_situation(near=16, tail_hours=()), sessions=cars)
    plan = plan_of(devices, situation, FEEDERS)
    together = plan.flow("ev01", "charge_kw") + plan.flow("ev02", "charge_kw")
    assert together.max() == pytest.approx(30.0)


def test_demand_beyond_the_connection_is_named_not_infeasible() -> None:
    plan = plan_of(park(import_limit_kw=200.0), park_situation())
    assert ("load", "demand") in {(given.device, given.limit) for given in plan.limits_given_way}
    assert plan.flow("grid", "import_kw").max() <= 200.0 + 1e-6


def test_a_missing_or_broken_series_is_refused_by_name() -> None:
    situation = park_situation()
    without = {name: values for name, values in situation.series.items() if name != "load.demand_kw"}
    with pytest.raises(ValueError, match=r"load\.demand_kw is missing"):
        Planner("park", park()).plan(replace(situation, series=without))
    broken = {**situation.series, "load.demand_kw": np.full(situation.grid.shape.steps, np.nan)}
    with pytest.raises(ValueError, match=r"load\.demand_kw has nan"):
        Planner("park", park()).plan(replace(situation, series=broken))


def test_no_time_is_an_outcome_not_an_exception() -> None:
    outcome = Planner("park", park()).plan(park_situation(), deadline_s=-1.0)
    assert isinstance(outcome, Plan | NoPlan)


def test_the_marginal_price_of_power_is_the_import_price_where_nothing_else_moves() -> None:
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"))
    situation = park_situation(near=96, tail_hours=(), peak_kw=899.0)
    plan = plan_of(devices, situation)
    assert plan.shadow_prices["power"] == pytest.approx(situation.prices.import_per_kwh)


def test_a_battery_says_what_its_energy_is_worth() -> None:
    """One cheap hour, then one dear: a stored kWh is worth (dear price - wear) x discharge efficiency."""
    battery = Battery(
        id="battery1", capacity_kwh=100, charge_limit_kw=50, discharge_limit_kw=50, initial_soc=0.1,
        standing_loss_per_hour=0.0, wear_cost_per_kwh=0.1,
    )  # fmt: skip
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="load"), battery)
    situation = park_situation(near=8, tail_hours=(), peak_kw=899.0)
    price = np.array([0.3] * 4 + [1.3] * 4)
    prices = replace(situation.prices, import_per_kwh=price)
    state = {"grid": {"peak_kw.demand": 899.0}, "battery1": {"energy_kwh": 10.0}}
    plan = plan_of(devices, replace(situation, prices=prices, state=state))
    (setpoint,) = plan.setpoints
    assert setpoint.target_kw == pytest.approx(-50.0)
    worth = (1.3 - 0.1) * 0.95
    assert f"costs 0.3000/kWh now (flat) and is worth {worth:.4f}/kWh" in setpoint.reason.en
    assert f"{worth:.4f}" in setpoint.reason.zh


def test_setpoints_live_one_cycle_and_a_third() -> None:
    for setpoint in plan_of(park(), park_situation()).setpoints:
        assert setpoint.valid_from == START
        assert setpoint.valid_until - setpoint.valid_from == timedelta(minutes=20)


def test_the_model_has_the_size_it_should_have() -> None:
    """Rows and columns by hand, so that a silent doubling shows; n near steps, m steps in all."""
    shape = park_situation().shape
    n, m = shape.near, shape.steps
    compiled = build(park(), FEEDERS, shape).compiled
    grid, loads, pv, battery = 2 * m + 2, 2 * 2 * m, m, 4 * m + (m + 1)
    store, chiller, cars = 2 * m + (m + 1), 2 * m, 2 * (3 * n + n + 1)
    assert len(compiled.columns) == grid + loads + pv + battery + store + chiller + cars
    rows = m + 2 * m + (1 + 3 * m) + (1 + m) + m + 2 * (1 + 2 * n)
    balances, export, feeder = 2 * m, m, 2 * n
    assert len(compiled.rows) == rows + balances + export + feeder
