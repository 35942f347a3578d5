"""The control cycle: plan, verify, or go on to the next-best answer. A pure function of its arguments.

It runs live, in the bench and in replay, and cannot tell which: time, state and forecasts are in the situation. There
is always an answer: the plan; the last plan moved on to now; rules, which need no solver.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from optimizer.balance import FeederLimit
from optimizer.plan import Plan
from optimizer.planner import NoPlan, Planner
from optimizer.rules import rule_plan, shifted_plan
from optimizer.situation import Situation
from optimizer.verify import Violation, verify
from site_configs.site import Site


@dataclass(frozen=True)
class CycleResult:
    """The answer for one interval, and what was tried before it."""

    plan: Plan
    attempts: tuple[str, ...] = ()
    """Why better answers were not taken, in order; empty for a plan that passed at once."""


def feeder_limits(site: Site) -> tuple[FeederLimit, ...]:
    """The site's feeders as the optimizer takes them."""
    return tuple(FeederLimit(feeder.id, feeder.limit_kw, feeder.members) for feeder in site.feeders)


def planner_for(site: Site) -> Planner:
    """A planner of the site; keep it between cycles, it holds the built model."""
    return Planner(site.id, site.devices, feeder_limits(site), site.zone)


def control_cycle(
    site: Site, planner: Planner, situation: Situation, last_plan: Plan | None, *, deadline_s: float = 10.0
) -> CycleResult:
    """The best verified answer for the situation.

    Raises:
        ValueError: the situation itself is broken (a series missing or not finite): no controller can answer it.
    """
    outcome = planner.plan(situation, deadline_s, last_plan=last_plan)
    if isinstance(outcome, NoPlan):
        return fallback_cycle(site, situation, last_plan, outcome.reason)
    began = time.perf_counter()
    violations = verify(site.devices, planner.feeders, situation, outcome)
    verify_ms = (time.perf_counter() - began) * 1e3
    if violations:
        return fallback_cycle(site, situation, last_plan, _refusal("plan", violations))
    took = {**outcome.time_ms, "verify": verify_ms}
    return CycleResult(replace(outcome, time_ms={**took, "total": sum(took.values())}))


def fallback_cycle(site: Site, situation: Situation, last_plan: Plan | None, reason: str) -> CycleResult:
    """The next-best answer when there is no plan: the last plan moved on, else rules. Needs no solver."""
    attempts = [reason]
    shifted = shifted_plan(site.devices, situation, last_plan, feeder_limits(site))
    if shifted is not None:
        violations = verify(site.devices, feeder_limits(site), situation, shifted)
        if not violations:
            return CycleResult(replace(shifted, note=reason), tuple(attempts))
        attempts.append(_refusal("shifted plan", violations))
    plan = rule_plan(site.devices, situation, feeder_limits(site))
    return CycleResult(replace(plan, note="; ".join(attempts)), tuple(attempts))


def _refusal(what: str, violations: Sequence[Violation]) -> str:
    return f"{what} refused: {'; '.join(str(violation) for violation in violations[:3])}"
