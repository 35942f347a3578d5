"""Of equally cheap plans the one nearest the last is taken, and it never costs more than the stated bound."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.devices import AnyDevice
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import Situation
from optimizer.stability import MAX_EXTRA_COST
from optimizer.verify import verify
from tests.optimizer.park import FEEDERS, park, park_situation


def _plan(situation: Situation, last: Plan | None = None, devices: tuple[AnyDevice, ...] = ()) -> Plan:
    feeders = () if devices else FEEDERS
    plan = Planner("park", devices or park(), feeders).plan(situation, last_plan=last)
    assert isinstance(plan, Plan)
    assert verify(devices or park(), feeders, situation, plan) == ()
    return plan


def _later(plan: Plan, steps: int, seed: int) -> Situation:
    """The site that many steps later, just where the plan led it, with forecasts a little changed."""
    later = park_situation(shift=steps * timedelta(minutes=15), seed=seed)
    reached = {device: {"energy_kwh": float(states["energy_kwh"][steps])} for device, states in plan.states.items()}
    return replace(later, state={**later.state, **reached})


def _distance(plan: Plan, last: Plan, steps: int) -> float:
    flows = [f for f in plan.flows if f.quantity in ("charge_kw", "discharge_kw")]
    return sum(float(np.abs(f.kw[:-steps] - last.flow(f.device, f.quantity)[steps:]).sum()) for f in flows)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_it_is_nearer_and_costs_no_more_than_the_bound(seed: int) -> None:
    first = _plan(park_situation())
    later = _later(first, 1, seed)
    free, steady = _plan(later), _plan(later, first)
    assert steady.total_cost <= free.total_cost + MAX_EXTRA_COST + 1e-6
    assert steady.total_cost >= free.total_cost - 1e-6
    assert _distance(steady, first, 1) < _distance(free, first, 1)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_forecast_noise_alone_moves_nothing(seed: int) -> None:
    """A few kW of noise in a load that the battery cannot cover anyway, and no demand charge."""
    devices = tuple(device for device in park() if device.id in ("grid", "load", "battery1"))

    def situation(shift: int, seed: int, battery_kwh: float) -> Situation:
        noisy = park_situation(shift=shift * timedelta(minutes=15), seed=seed, battery_kwh=battery_kwh, demand_per_kw=0)
        load = noisy.series["load.demand_kw"] + 100.0
        return replace(noisy, series={"load.demand_kw": load}, sessions={})

    first = _plan(situation(0, 1, 300.0), devices=devices)
    later = situation(1, seed, float(first.states["battery1"]["energy_kwh"][1]))
    steady = _plan(later, first, devices=devices)
    assert steady.flow("battery1", "charge_kw")[:95] == pytest.approx(first.flow("battery1", "charge_kw")[1:], abs=0.5)


def test_nothing_changes_where_nothing_changed() -> None:
    first = _plan(park_situation())
    again = _plan(park_situation(), first)
    for flow in first.flows:
        assert again.flow(flow.device, flow.quantity) == pytest.approx(flow.kw, abs=1e-5)


def test_money_still_decides() -> None:
    """A last plan that would be dear now is not followed."""
    first = _plan(park_situation())
    dear = park_situation(price_of=(1.435, 0.70, 0.30, 0.28))
    assert _plan(dear, first).total_cost == pytest.approx(_plan(dear).total_cost, abs=MAX_EXTRA_COST + 1e-6)


def test_shadow_prices_stay_those_of_the_cheapest_answer() -> None:
    first = _plan(park_situation())
    later = _later(first, 1, 5)
    assert _plan(later, first).shadow_prices["power"] == pytest.approx(_plan(later).shadow_prices["power"])


def test_a_last_plan_that_does_not_reach_here_is_ignored() -> None:
    first = _plan(park_situation())
    far = park_situation(shift=timedelta(days=2))
    assert _plan(far, first).content_hash == _plan(far).content_hash
