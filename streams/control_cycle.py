"""The control cycle: plan, verify, or go on to the next-best answer. A pure function of its arguments.

It runs live, in the bench and in replay, and cannot tell which: time, state and forecasts are in the situation. There
is always an answer: the plan; the last plan moved on to now; rules, which need no solver; and where the situation
itself is broken (a forecast missing), every device at its safe value.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.orders import ordered_setpoints
from optimizer.plan import SETPOINT_LIFE_STEPS, Plan, Setpoint, Text
from optimizer.planner import NoPlan, Planner
from optimizer.room import with_room
from optimizer.rules import rule_plan, shifted_plan
from optimizer.services.accounts import with_accounts
from optimizer.services.base import Service
from optimizer.services.carbon_price import CarbonPrice
from optimizer.services.usual import usual_reserves
from optimizer.situation import Situation
from optimizer.time_grid import TimeGrid
from optimizer.verify import Violation, verify
from site_configs.site import Site

SAFE_REASON_ZH = "无法制定计划，设备保持安全值"


@dataclass(frozen=True)
class CycleResult:
    """The answer for one interval, and what was tried before it."""

    plan: Plan
    attempts: tuple[str, ...] = ()
    """Why better answers were not taken, in order; empty for a plan that passed at once."""


def feeder_limits(site: Site) -> tuple[FeederLimit, ...]:
    """The site's feeders as the optimizer takes them."""
    return tuple(FeederLimit(feeder.id, feeder.power_limit_kw, feeder.members) for feeder in site.feeders)


def services_of(site: Site) -> tuple[Service, ...]:
    """The site's services, the usual reserves against the month's peak, and the price of carbon where it counts one."""
    price = site.carbon.price_per_kg
    counted = (CarbonPrice(id="carbon_price", price_per_kg=price),) if price > 0 else ()
    own = {service.kind for service in site.services}
    usual = (service for service in usual_reserves(site.devices) if service.kind not in own)
    return (*site.services, *usual, *counted)


def planner_for(site: Site) -> Planner:
    """A planner of the site; keep it between cycles, it holds the built model."""
    return Planner(site.id, site.devices, feeder_limits(site), services_of(site), site.zone)


def control_cycle(
    site: Site, planner: Planner, situation: Situation, last_plan: Plan | None, *, deadline_s: float = 10.0
) -> CycleResult:
    """The best verified answer for the situation; never raises for what the situation holds.

    What persons have ordered is planned around. Where there is no such plan, the rest is planned as if nothing had been
    ordered, and the orders are sent all the same.
    """
    began = time.perf_counter()
    result = _planned(site, planner, situation, last_plan, deadline_s)
    if situation.orders and result.attempts:
        left_s = max(0.05, deadline_s - (time.perf_counter() - began))
        free = _planned(site, planner, replace(situation, orders=()), last_plan, left_s)
        note = f"orders are sent without being planned around: {'; '.join(result.attempts)}"
        result = replace(free, plan=replace(free.plan, note=note))
    return _with_orders(result, site, situation)


def _with_orders(result: CycleResult, site: Site, situation: Situation) -> CycleResult:
    if not situation.orders:
        return result
    return replace(result, plan=ordered_setpoints(result.plan, site.devices, situation))


def _planned(
    site: Site, planner: Planner, situation: Situation, last_plan: Plan | None, deadline_s: float
) -> CycleResult:
    try:
        outcome = planner.plan(situation, deadline_s, last_plan=last_plan)
    except ValueError as error:
        return _fallback(site, situation, last_plan, str(error))
    if isinstance(outcome, NoPlan):
        return _fallback(site, situation, last_plan, outcome.reason)
    began = time.perf_counter()
    violations = verify(site.devices, planner.feeders, situation, outcome, planner.services)
    verify_ms = (time.perf_counter() - began) * 1e3
    if violations:
        return _fallback(site, situation, last_plan, _refusal("plan", violations))
    took = {**outcome.time_ms, "verify": verify_ms}
    timed = replace(outcome, time_ms={**took, "total": sum(took.values())})
    return CycleResult(with_room(timed, site.devices, planner.services, situation))


def fallback_cycle(site: Site, situation: Situation, last_plan: Plan | None, reason: str) -> CycleResult:
    """The next-best answer when there is no plan: the last plan moved on, else rules, else safe values.

    Needs no solver. Orders of persons are sent all the same.
    """
    return _with_orders(_fallback(site, situation, last_plan, reason), site, situation)


def _fallback(site: Site, situation: Situation, last_plan: Plan | None, reason: str) -> CycleResult:
    try:
        return _without_solver(site, situation, last_plan, reason)
    except ValueError as error:  # nothing can be said about the steps to come
        attempts = (reason,) if reason == str(error) else (reason, str(error))
        return CycleResult(safe_plan(site, situation.grid.start, "; ".join(attempts)), attempts)


def _without_solver(site: Site, situation: Situation, last_plan: Plan | None, reason: str) -> CycleResult:
    attempts, services = [reason], services_of(site)
    shifted = shifted_plan(site.devices, situation, last_plan, feeder_limits(site))
    if shifted is not None:
        shifted = with_accounts(services, situation, shifted, site.devices)
        violations = verify(site.devices, feeder_limits(site), situation, shifted, services)
        if not violations:
            free = with_room(replace(shifted, note=reason), site.devices, services, situation)
            return CycleResult(free, tuple(attempts))
        attempts.append(_refusal("shifted plan", violations))
    plan = with_accounts(services, situation, rule_plan(site.devices, situation, feeder_limits(site)), site.devices)
    if not all(np.isfinite(setpoint.target_kw) for setpoint in plan.setpoints):
        raise ValueError("rules give no numbers for this state")
    violations = verify(site.devices, feeder_limits(site), situation, plan, services)
    if violations:
        attempts.append(_refusal("rules", violations))
    free = with_room(replace(plan, note="; ".join(attempts)), site.devices, services, situation)
    return CycleResult(free, tuple(attempts))


def safe_plan(site: Site, at: datetime, reason: str) -> Plan:
    """The last resort, which needs neither forecast nor solver: every device at its safe value for one step."""
    grid = TimeGrid(at, site.step_minutes, 1)
    nothing = np.zeros(1)
    text = Text(zh=SAFE_REASON_ZH, en=f"no plan could be made, devices stay at their safe values: {reason}")
    until = grid.start + SETPOINT_LIFE_STEPS * timedelta(minutes=site.step_minutes)
    return Plan(
        site=site.id,
        issued_at=grid.start,
        grid=grid,
        status="rules",
        flows=(),
        states={},
        import_per_kwh=nothing,
        export_per_kwh=nothing,
        cost={},
        setpoints=tuple(
            Setpoint(device.id, device.safe_kw(), device.safe_kw(), grid.start, until, text)
            for device in site.devices
            if device.main_quantity is not None
        ),
        note=reason,
    )


def _refusal(what: str, violations: Sequence[Violation]) -> str:
    return f"{what} refused: {'; '.join(str(violation) for violation in violations[:3])}"
