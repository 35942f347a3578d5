"""Mutations of what leaves with a plan: setpoints, grid limit, prices and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
from tampering import BIG_KW, Case, Rng, one

from optimizer.plan import Setpoint


def _with_setpoint(case: Case, rng: Rng, change: Callable[[Setpoint], tuple[Setpoint, ...]]) -> Case | None:
    chosen = one(rng, case.plan.setpoints)
    if chosen is None:
        return None
    kept = [change(s) if s is chosen else (s,) for s in case.plan.setpoints]
    return case.with_plan(setpoints=tuple(s for group in kept for s in group))


def setpoint_missing(case: Case, rng: Rng) -> Case | None:
    return _with_setpoint(case, rng, lambda s: ())


def setpoint_twice(case: Case, rng: Rng) -> Case | None:
    return _with_setpoint(case, rng, lambda s: (s, s))


def setpoint_for_no_device(case: Case, rng: Rng) -> Case | None:
    return _with_setpoint(case, rng, lambda s: (s, replace(s, device="ghost")))


def setpoint_for_another_device(case: Case, rng: Rng) -> Case | None:
    return _with_setpoint(case, rng, lambda s: (replace(s, device="load"),))


def setpoint_other_than_planned(case: Case, rng: Rng) -> Case | None:
    off = float(rng.choice([-1.0, 1.0])) * 10 ** float(rng.uniform(-3, 2))
    return _with_setpoint(case, rng, lambda s: (replace(s, target_kw=s.target_kw + off),))


def setpoint_of_the_wrong_sign(case: Case, rng: Rng) -> Case | None:
    if not any(abs(s.target_kw) > 0.01 for s in case.plan.setpoints):
        return None
    turned = tuple(replace(s, target_kw=-s.target_kw) for s in case.plan.setpoints)
    return case.with_plan(setpoints=turned)


def setpoint_outside_its_bounds(case: Case, rng: Rng) -> Case | None:
    bounds = {device.id: device.bounds_kw() for device in case.devices}
    return _with_setpoint(case, rng, lambda s: (replace(s, target_kw=bounds[s.device][1] + 10.0),))


def setpoint_not_a_number(case: Case, rng: Rng) -> Case | None:
    return _with_setpoint(case, rng, lambda s: (replace(s, target_kw=float("nan")),))


def setpoint_expired(case: Case, rng: Rng) -> Case | None:
    return _with_setpoint(case, rng, lambda s: (replace(s, valid_until=s.valid_from),))


def setpoint_for_ever(case: Case, rng: Rng) -> Case | None:
    return _with_setpoint(case, rng, lambda s: (replace(s, valid_until=s.valid_until + timedelta(days=1)),))


def setpoint_of_a_later_step(case: Case, rng: Rng) -> Case | None:
    later = timedelta(minutes=15)
    return _with_setpoint(
        case, rng, lambda s: (replace(s, valid_from=s.valid_from + later, valid_until=s.valid_until + later),)
    )


def safe_value_unsafe(case: Case, rng: Rng) -> Case | None:
    off = float(rng.uniform(0.1, 100))
    return _with_setpoint(case, rng, lambda s: (replace(s, safe_value_kw=s.safe_value_kw + off),))


def _with_grid_limit(case: Case, kw: float) -> Case | None:
    return None if case.plan.grid_limit_kw is None else case.with_plan(grid_limit_kw=kw)


def grid_limit_not_a_number(case: Case, rng: Rng) -> Case | None:
    return _with_grid_limit(case, float("nan"))


def grid_limit_below_zero(case: Case, rng: Rng) -> Case | None:
    return _with_grid_limit(case, -1.0)


def grid_limit_below_the_planned_import(case: Case, rng: Rng) -> Case | None:
    planned = float(case.kw("grid", "import_kw")[0])
    return _with_grid_limit(case, 0.9 * planned) if planned > BIG_KW else None


def grid_limit_above_all_that_can_be(case: Case, rng: Rng) -> Case | None:
    grid = case.of_kind("grid_connection")[0]
    lines = case.situation.prices.demand
    known = [line.free_kw for line in lines] + [case.situation.peak_so_far_kw("grid", line.id) for line in lines]
    return _with_grid_limit(case, max(grid.import_limit_kw, *known) + 1.0) if lines else None


def price_other_than_the_tariff(case: Case, rng: Rng) -> Case | None:
    prices = case.plan.import_per_kwh.copy()
    prices[int(rng.integers(0, case.near))] += 0.1
    return case.with_plan(import_per_kwh=prices)


def cost_not_a_number(case: Case, rng: Rng) -> Case | None:
    term = str(one(rng, sorted(case.plan.cost)))
    return case.with_plan(cost={**case.plan.cost, term: float("nan")})


def energy_cost_other_than_bought(case: Case, rng: Rng) -> Case | None:
    return case.with_plan(cost={**case.plan.cost, "energy": case.plan.cost["energy"] - float(rng.uniform(0.1, 100))})


def shadow_price_not_a_number(case: Case, rng: Rng) -> Case | None:
    prices = case.plan.shadow_prices["power"].copy()
    prices[int(rng.integers(0, case.near))] = np.nan
    return case.with_plan(shadow_prices={**case.plan.shadow_prices, "power": prices})


def what_is_paid_left_out(case: Case, rng: Rng) -> Case | None:
    """Starts, gas or fuel that cost nothing."""
    paid = [term for term in ("start", "gas", "fuel") if case.plan.cost.get(term, 0.0) > 0.1]
    term = one(rng, paid)
    return term and case.with_plan(cost={name: cost for name, cost in case.plan.cost.items() if name != term})
