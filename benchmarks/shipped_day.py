"""The recorded day of the shipped park, planned every quarter hour as the running engine does, with its own forecasts.

The stores go where each plan leads. The day is planned again without looking at the last plan: how much more the
stores' setpoints then move, and how often they change direction, is what steadiness is worth.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from figures import Figure, median, percentile
from warm_cycle import ended_with

from forecasting.site_forecaster import FittedSite
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import Situation
from optimizer.solver import solve
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site
from site_configs.site import Site
from site_configs.tariff import Tariff, load_tariff
from streams.control_cycle import control_cycle, planner_for
from streams.site_forecasts import fit_site
from streams.site_state import SiteState, build_situation

SITE = "jiashan_park"
DAY = datetime(2026, 8, 25, 16, tzinfo=UTC)
CYCLES = 96
PEAK_KW = 822.0
STORES = ("battery1", "battery2", "cold_store")


@dataclass(frozen=True)
class Day:
    """The recorded day with all that is needed to plan any moment of it."""

    site: Site
    tariff: Tariff
    history: History
    fitted: FittedSite

    @classmethod
    def recorded(cls) -> Day:
        site, history = load_site(SITE), read_history(sample_folder(SITE))
        past = history.frame.loc[: DAY - timedelta(minutes=1)]
        return cls(site, load_tariff(site), history, fit_site(site, past, DAY, history.sessions))

    def situation(self, cycle: int, stores: Mapping[str, Mapping[str, float]]) -> Situation:
        """Forecasts issued then, cars that are there then, the tail to the month's end."""
        at = DAY + timedelta(minutes=15 * cycle)
        until = max(self.tariff.billing_month(at)[1], at + timedelta(days=1))
        cars = {s.charger: (s,) for s in self.history.sessions if s.arrive <= at < s.depart}
        forecasts = self.fitted.issue(self.history.frame.loc[: at - timedelta(minutes=1)], at, until)
        return build_situation(
            self.site, self.tariff, SiteState(self.site.id, at, stores, {"demand": PEAK_KW}, cars), forecasts
        )


@dataclass(frozen=True)
class Run:
    """A day planned cycle by cycle."""

    first_s: float
    plans: tuple[Plan, ...]
    alone_ms: tuple[float, ...]
    direction_changes: int
    moved_kw: float
    """Sum of all steps from one setpoint of a store to its next."""


def run_day(day: Day, planner: Planner, *, steady: bool) -> Run:
    plans: list[Plan] = []
    alone: list[float] = []
    stores: dict[str, dict[str, float]] = {}
    began = time.perf_counter()
    first_s = 0.0
    for cycle in range(CYCLES):
        situation = day.situation(cycle, stores)
        plan = control_cycle(day.site, planner, situation, plans[-1] if plans and steady else None).plan
        if plan.status != "optimal":
            raise RuntimeError(f"cycle {cycle} is {plan.status}: {plan.note}")
        first_s = first_s or time.perf_counter() - began
        stores = plan.states_at(1)
        plans.append(plan)
        if steady and cycle % 4 == 0:
            alone.append(highs_alone_ms(planner, situation))
    told = [[p.flow(s, "discharge_kw")[0] - p.flow(s, "charge_kw")[0] for p in plans] for s in STORES]
    moved = sum(float(np.abs(np.diff(values)).sum()) for values in told)
    return Run(first_s, tuple(plans), tuple(alone), sum(map(_direction_changes, told)), moved)


def _direction_changes(told_kw: Sequence[float]) -> int:
    """How often a store went from charging to discharging or back."""
    signs = [value > 0 for value in told_kw if abs(value) > 1.0]
    return sum(a != b for a, b in pairwise(signs))


def highs_alone_ms(planner: Planner, situation: Situation) -> float:
    """HiGHS on the program that the plan ended with: cold, with presolve, same conditions, same gap."""
    program, enforced = ended_with(planner, situation)
    began = time.perf_counter()
    solve(program, enforced)
    return (time.perf_counter() - began) * 1e3


def figures() -> list[Figure]:
    day = Day.recorded()
    planner = planner_for(day.site)
    steady, free = run_day(day, planner, steady=True), run_day(day, planner, steady=False)
    shape = planner.model_for(day.situation(0, {}).shape).compiled
    how = f"{CYCLES - 1} plans of {SITE}, 96 quarter hours and the tail to the month's end"
    found = [
        Figure("plan_first_s", steady.first_s, "s", "with building the model"),
        Figure("plan_columns", len(shape.columns), "", "columns of the program"),
        Figure("plan_rows", len(shape.rows), "", "rows of the program"),
        Figure("plan_solves", median([p.solves for p in steady.plans]), "", "until no condition is broken, median"),
    ]
    for part in ("update", "solve", "verify", "total"):
        values = [plan.time_ms[part] for plan in steady.plans[1:]]
        found.append(Figure(f"plan_{part}_ms_p50", median(values), "ms", how))
        found.append(Figure(f"plan_{part}_ms_p99", percentile(values, 0.99), "ms", how))
    ratios = [p.time_ms["total"] / one for p, one in zip(steady.plans[4::4], steady.alone_ms[1:], strict=True)]
    found.append(Figure("park_plan_over_highs_alone", median(ratios), "ratio", "whole cycle over one cold solve"))
    changes = f"of {len(STORES)} stores over the day, first steps only"
    found.append(Figure("direction_changes_steady", steady.direction_changes, "", changes))
    found.append(Figure("direction_changes_free", free.direction_changes, "", changes))
    found.append(Figure("free_over_steady_moved", free.moved_kw / steady.moved_kw, "ratio", "way of the setpoints"))
    return found
