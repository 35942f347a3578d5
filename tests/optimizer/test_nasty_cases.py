"""Cases in which the linear program alone is wrong: linear first with what it broke enforced is the full MILP.

Negative prices, export above the import price and free curtailment reward using both directions at once, the more so
without losses; minimum powers reward what a charger cannot do. In each case `solve_exactly` has the objective of the
MILP in which every condition is a binary from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice, Battery, Chiller, GridConnection, Load, Pv, V2gCharger
from optimizer.exact import solve_exactly
from optimizer.model import Exactness, build
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import Session, Situation
from optimizer.solver import solve
from optimizer.verify import verify
from tests.optimizer.park import START, park_situation

STEPS = 16
GAP = 1e-9
ALL_STEPS = Exactness(part_load_steps=STEPS, on_off_steps=STEPS)
LOAD = Load(id="load")
GROUPS = (FeederLimit("row", 15.0, ("ev01", "ev02")), FeederLimit("car_park", 25.0, ("row", "ev03")))
"""Two chargers within 15 kW, and with the third within 25 kW, in both directions."""


@dataclass(frozen=True)
class Case:
    """A small site in four hours that tempt the linear program."""

    devices: tuple[AnyDevice, ...]
    situation: Situation
    feeders: tuple[FeederLimit, ...] = ()


def grid(export_limit_kw: float = 400.0) -> GridConnection:
    return GridConnection(id="grid", import_limit_kw=900, export_limit_kw=export_limit_kw, export_source="any")


def battery(efficiency: float = 0.95, start: float = 0.5, wear: float = 0.0) -> Battery:
    return Battery(
        id="battery1", capacity_kwh=100, charge_limit_kw=60, discharge_limit_kw=60, initial_soc=start, min_soc=0.0,
        max_soc=1.0, charge_efficiency=efficiency, discharge_efficiency=efficiency, wear_cost_per_kwh=wear,
    )  # fmt: skip


def chargers(efficiency: float = 0.95, wear: float = 0.0, **more: float) -> tuple[V2gCharger, ...]:
    return tuple(
        V2gCharger(
            id=name, charge_efficiency=efficiency, discharge_efficiency=efficiency, wear_cost_per_kwh=wear,
            **{"charge_limit_kw": 20.0, "discharge_limit_kw": 20.0, **more},
        )
        for name in ("ev01", "ev02", "ev03")
    )  # fmt: skip


def hours(
    import_price: tuple[float, float, float, float],
    export_price: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
    load_kw: float = 40.0,
    pv_kw: float = 0.0,
    needs_kwh: tuple[float, ...] = (12.0, 20.0, 16.0),
) -> Situation:
    """Four hours with these prices; three cars of 60 kWh, half full, stand there all the time or from 07 minutes on."""
    base = park_situation(near=STEPS, tail_hours=(), peak_kw=899.0)
    series = {
        **base.series,
        "load.demand_kw": np.full(STEPS, load_kw),
        "cold_load.demand_kw": np.full(STEPS, 25.0),
        "pv1.available_kw": np.full(STEPS, pv_kw),
    }
    prices = replace(
        base.prices, import_per_kwh=np.repeat(import_price, 4), export_per_kwh=np.repeat(export_price, 4), demand=()
    )
    leave = START + timedelta(hours=4)
    cars = {
        f"ev0{n + 1}": (Session(f"car{n}", f"ev0{n + 1}", START + timedelta(minutes=7 * n), leave, need, 30.0, 60.0),)
        for n, need in enumerate(needs_kwh)
    }
    return replace(base, series=series, prices=prices, sessions=cars)


NEGATIVE = (0.3, -0.5, -0.2, 0.9)
CASES: dict[str, Callable[[], Case]] = {
    "negative_prices": lambda: Case((grid(), LOAD, battery()), hours(NEGATIVE)),
    "negative_prices_without_losses": lambda: Case((grid(), LOAD, battery(1.0)), hours(NEGATIVE)),
    "negative_prices_and_zero_export": lambda: Case((grid(0.0), LOAD, battery(start=1.0)), hours(NEGATIVE)),
    "export_above_import_price": lambda: Case(
        (grid(), LOAD, battery(wear=0.1)), hours((0.3,) * 4, (0.5, 0.2, 0.9, 0.5))
    ),
    "curtailment_with_a_full_battery": lambda: Case(
        (grid(0.0), LOAD, Pv(id="pv1", capacity_kw=200), battery(start=1.0)), hours((0.3,) * 4, pv_kw=150.0)
    ),
    "export_at_a_negative_price_with_a_full_battery": lambda: Case(
        (grid(), LOAD, Pv(id="pv1", capacity_kw=200), battery(start=1.0)),
        hours(NEGATIVE, (-0.1, -0.6, -0.3, 0.1), pv_kw=150.0),
    ),
    "v2g_with_both_group_limits": lambda: Case(
        (grid(), LOAD, *chargers(wear=0.1)), hours((0.3, 0.9, 0.2, 1.4)), GROUPS
    ),
    "lossless_cars_with_both_group_limits": lambda: Case(
        (grid(), LOAD, *chargers(1.0)), hours((0.3, 0.9, 0.3, 1.4), (0.3, 0.9, 0.3, 1.4)), GROUPS
    ),
    "cars_at_negative_prices_with_both_group_limits": lambda: Case(
        (grid(), LOAD, *chargers()), hours(NEGATIVE, (0.1, 0.1, 0.1, 0.1), needs_kwh=(30.0, 28.0, 25.0)), GROUPS
    ),
    "minimum_charging_power_with_both_group_limits": lambda: Case(
        (grid(), LOAD, *chargers(min_charge_kw=14.0, discharge_limit_kw=0.0)),
        hours((0.9, 0.3, 0.5, 1.4), needs_kwh=(9.0, 17.0, 14.0)),
        GROUPS,
    ),
    "minimum_charging_power_at_negative_prices": lambda: Case(
        (grid(0.0), LOAD, *chargers(min_charge_kw=8.0, charge_limit_kw=10.0)[:2]),
        hours(NEGATIVE, needs_kwh=(21.0, 13.0)),
        GROUPS[:1],
    ),
    "tapering_cars_at_negative_prices": lambda: Case(
        (grid(), LOAD, *chargers(taper_from_soc=0.6)), hours(NEGATIVE, needs_kwh=(25.0, 22.0, 20.0)), GROUPS
    ),
    "a_chiller_below_its_part_load_at_negative_prices": lambda: Case(
        (
            grid(),
            LOAD,
            Load(id="cold_load", carrier="cold"),
            Chiller(id="chiller1", cooling_limit_kw=60, min_part_load=0.3),
            Chiller(id="chiller2", cooling_limit_kw=30, min_part_load=0.6, cop_points=((20.0, 5.2),)),
            battery(),
        ),
        hours(NEGATIVE),
    ),
}  # fmt: skip
BROKEN_BY_THE_LINEAR_PROGRAM = (
    "negative_prices",
    "negative_prices_without_losses",
    "negative_prices_and_zero_export",
    "export_above_import_price",
    "export_at_a_negative_price_with_a_full_battery",
    "cars_at_negative_prices_with_both_group_limits",
    "minimum_charging_power_with_both_group_limits",
    "minimum_charging_power_at_negative_prices",
    "tapering_cars_at_negative_prices",
    "a_chiller_below_its_part_load_at_negative_prices",
)
"""Cases in which the linear program alone is cheaper than anything that can be done."""


@pytest.mark.parametrize("name", CASES)
def test_linear_first_has_the_objective_of_the_full_milp(name: str) -> None:
    case = CASES[name]()
    model = build(case.devices, case.feeders, case.situation.shape, ALL_STEPS)
    inputs = {d.id: d.inputs(case.situation, d.conditions(case.situation)) for d in case.devices}
    parameters = model.compiled.parameters.values(inputs)
    program, choices = model.compiled.program(parameters), model.choices_at(parameters)
    ours = solve_exactly(program, choices, 60.0, gap=GAP)
    full = solve(program, choices, time_limit_s=60.0, gap=GAP)
    assert ours.solution.usable
    assert ours.solution.objective == pytest.approx(full.objective, rel=1e-6, abs=1e-6)
    linear = solve(program).objective
    assert (linear < full.objective - 1e-3) == (name in BROKEN_BY_THE_LINEAR_PROGRAM)


@pytest.mark.parametrize("name", CASES)
def test_its_plan_can_be_executed(name: str) -> None:
    case = CASES[name]()
    plan = Planner("nasty", case.devices, case.feeders).plan(case.situation)
    assert isinstance(plan, Plan)
    assert verify(case.devices, case.feeders, case.situation, plan) == ()
