"""Battery: standing power in the balance, power limits in the rules, one hour calculated by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.devices import AnyDevice, Battery, GridConnection, Load
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.rules import rule_plan
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.devices.examples import EXAMPLES, HOURLY, situation_of

GRID, LOAD = GridConnection(id="grid", import_limit_kw=600.0), Load(id="load", carrier="power")
SIZE = {"capacity_kwh": 200, "charge_limit_kw": 100, "discharge_limit_kw": 100}


def planned(situation: Situation, *devices: AnyDevice) -> Plan:
    plan = Planner("tiny", devices).plan(situation)
    assert isinstance(plan, Plan)
    assert verify(devices, (), situation, plan) == ()
    return plan


def at(situation: Situation, soc: float) -> Situation:
    return replace(situation, state={**situation.state, "battery1": {"energy_kwh": 200 * soc}})


def test_the_container_is_supplied_and_paid_for() -> None:
    """1.5 kW for six hours at the mean price of 0.6792: 6.11 more, whatever the battery does."""
    situation = situation_of(EXAMPLES["battery"])
    plain, cooled = Battery(id="battery1", **SIZE), Battery(id="battery1", auxiliary_kw=1.5, **SIZE)
    without, having = planned(situation, plain, GRID, LOAD), planned(situation, cooled, GRID, LOAD)
    assert having.flow("battery1", "auxiliary_kw") == pytest.approx(np.full(24, 1.5))
    mean_price = float(situation.prices.import_per_kwh.mean())
    assert having.total_cost - without.total_cost == pytest.approx(1.5 * 6 * mean_price)
    bought = having.flow("grid", "import_kw").sum() - without.flow("grid", "import_kw").sum()
    assert bought * 0.25 == pytest.approx(9.0, abs=1e-6)
    rules = rule_plan((cooled, GRID, LOAD), situation)
    assert verify((cooled, GRID, LOAD), (), situation, rules) == ()


def test_a_nearly_full_battery_charges_slower() -> None:
    """Between 80 % and full the limit falls from 100 kW to 20 kW: 4 kW less per percent.

    A quarter hour from 90 %: p = 100·(1 - 4·(soc_end - 0.8)) with soc_end = 0.9 + 0.95·p/4/200, so p = 60/1.475.
    """
    curve = ((0.8, 1.0), (1.0, 0.2))
    device = Battery(id="battery1", charge_limit_by_soc=curve, standing_loss_per_hour=0.0, **SIZE)
    response = device.step({"charge_kw": 100.0}, {"energy_kwh": 180.0}, {}, 0.25)
    power = 60 / (1 + 100 * 4 * 0.95 * 0.25 / 200)
    assert response.flows["charge_kw"] == pytest.approx(power)
    assert power == pytest.approx(100 * (1 - 4 * (response.state["energy_kwh"] / 200 - 0.8)))
    assert device.step({"charge_kw": 100.0}, {"energy_kwh": 60.0}, {}, 0.25).flows["charge_kw"] == 100.0


@pytest.mark.parametrize("soc", [0.0, 0.05, 0.12, 0.5, 0.93, 1.0])
@pytest.mark.parametrize("kind", ["battery_limits_by_soc", "battery_wear_by_depth"])
def test_any_start_has_a_plan_and_rules_that_can_be_executed(kind: str, soc: float) -> None:
    """Also outside the normal band of energy, and where the curve allows next to nothing."""
    example = EXAMPLES[kind]
    situation = at(situation_of(example), soc)
    planned(situation, *example.devices)
    assert verify(example.devices, (), situation, rule_plan(example.devices, situation)) == ()


@pytest.mark.parametrize("soc", [0.15, 0.9])
@pytest.mark.parametrize("kind", ["battery_limits_by_soc", "battery_wear_by_depth"])
def test_paid_to_take_power_it_still_goes_one_way_at_a_time(kind: str, soc: float) -> None:
    """At negative prices charging and discharging at once would earn by its losses."""
    example = EXAMPLES[kind]
    situation = at(situation_of(example), soc)
    price = np.repeat([-5.0, 0.3, -8.0, -1.0, 0.6, -5.0], 4)
    situation = replace(situation, prices=replace(situation.prices, import_per_kwh=price))
    plan = planned(situation, *example.devices)
    both = np.minimum(plan.flow("battery1", "charge_kw"), plan.flow("battery1", "discharge_kw"))
    assert both.max() <= 1e-6
    assert plan.solves > 1, "the linear answer did both at once"


@pytest.mark.parametrize(
    ("quantity", "by"), [("auxiliary_kw", -0.5), ("auxiliary_kw", 0.5), ("charge_kw", 5.0), ("discharge_kw", 5.0)]
)
def test_a_plan_that_says_otherwise_is_rejected(quantity: str, by: float) -> None:
    """Standing power is not a choice, and a power at its limit for the state of charge is not exceeded."""
    example = EXAMPLES["battery_limits_by_soc"]
    situation = at(situation_of(example), 0.7 if quantity == "charge_kw" else 0.25)
    plan = planned(situation, *example.devices)
    step = int(np.argmax(plan.flow("battery1", quantity)))
    change = {"battery1": (quantity, by), "grid": ("import_kw", -by if quantity == "discharge_kw" else by)}

    def changed(device: str, name: str, kw: np.ndarray) -> np.ndarray:
        moved = change.get(device, ("", 0.0))
        return kw + moved[1] * (np.arange(len(kw)) == step) * (moved[0] == name)

    flows = tuple(replace(flow, kw=changed(flow.device, flow.quantity, flow.kw)) for flow in plan.flows)
    violations = verify(example.devices, (), situation, replace(plan, flows=flows))
    assert [violation.device for violation in violations] == ["battery1"]


def test_rules_charge_as_fast_as_the_state_of_charge_allows() -> None:
    """The first two hours are cheap: full within the curve, then at rest."""
    example = EXAMPLES["battery_limits_by_soc"]
    plan = rule_plan(example.devices, at(situation_of(example), 0.75))
    charge, energy = plan.flow("battery1", "charge_kw"), plan.states["battery1"]["energy_kwh"] / 200
    assert 0 < charge[0] < 80 * (1 - 2.5 * (0.75 - 0.7)) + 1e-9
    assert charge[0] == pytest.approx(80 * (1 - 2.5 * (energy[1] - 0.7)))
    assert np.all(np.diff(charge[:5]) < 0)
    dear = int(np.argmax(HOURLY["load.demand_kw"])) * 4
    assert plan.flow("battery1", "discharge_kw")[dear] == pytest.approx(100.0)


def test_lossless_trade_with_a_curve_is_the_same_by_hand() -> None:
    """One cheap hour, one dear hour, from empty: what the cheap hour takes in is what the dear one gives.

    Charging is limited to half below, rising to all of 100 kW at 50 %; in one step of an hour the start binds: 50 kW.
    """
    situation = situation_of(EXAMPLES["battery"], step_minutes=60, hours=2)
    prices = replace(situation.prices, import_per_kwh=np.array([0.2, 1.2]))
    situation = at(replace(situation, prices=prices), 0.0)
    lossless = {"charge_efficiency": 1.0, "discharge_efficiency": 1.0, "standing_loss_per_hour": 0.0, "min_soc": 0.0}
    curve = ((0.0, 0.5), (0.5, 1.0))
    device = Battery(id="battery1", charge_limit_by_soc=curve, wear_cost_per_kwh=0.1, **lossless, **SIZE)
    plan = planned(situation, device, GRID, LOAD)
    assert plan.flow("battery1", "charge_kw") == pytest.approx([50.0, 0.0])
    assert plan.flow("battery1", "discharge_kw") == pytest.approx([0.0, 50.0])
    free = 100 * 0.2 + 80 * 1.2
    assert plan.total_cost == pytest.approx(free - 50 * (1.2 - 0.2 - 0.1))
