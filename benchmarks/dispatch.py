"""The plan of the shipped park as the running engine makes it: time by part, and against HiGHS alone.

One run: the park's recorded day is planned every half hour from its own forecasts with the built model (update, solve,
verify); then HiGHS alone gets the very same programs, each cold with presolve and with the same either-or conditions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from figures import Figure, main, median, percentile

from optimizer.planner import Model, Planner, solve_exactly
from optimizer.situation import Situation
from optimizer.solver import solve
from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site
from site_configs.site import Site
from site_configs.tariff import load_tariff
from streams.control_cycle import control_cycle, planner_for
from streams.site_forecasts import fit_site
from streams.site_state import SiteState, build_situation

SITE = "jiashan_park"
DAY = datetime(2026, 8, 25, 16, tzinfo=UTC)
CYCLES = 48
PEAK_KW = 1000.0


def situations(site: Site) -> Iterator[Situation]:
    """The demo day every half hour: forecasts issued then, cars that are there then, the tail to the month's end."""
    history, tariff = read_history(sample_folder(SITE)), load_tariff(site)
    fitted = fit_site(site, history.frame.loc[: DAY - timedelta(minutes=1)], DAY)
    for number in range(CYCLES):
        at = DAY + timedelta(minutes=30 * number)
        until = tariff.billing_month(at)[1]
        cars = {d.id: () for d in site.devices if d.kind == "v2g_charger"}
        cars |= {s.charger: (s,) for s in history.sessions if s.arrive <= at < s.depart}
        state = SiteState(site.id, at, {}, {"demand": PEAK_KW}, cars)
        forecasts = fitted.issue(history.frame.loc[: at - timedelta(minutes=1)], at, max(until, at + timedelta(days=1)))
        yield build_situation(site, tariff, state, forecasts)


def highs_alone_ms(planner: Planner, model: Model, situation: Situation) -> float:
    """HiGHS on the program that the plan ended with: cold, with presolve, same conditions, same gap."""
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in planner.devices}
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    enforced = solve_exactly(program, model.choices, 60.0).enforced
    began = time.perf_counter()
    solve(program, enforced)
    return (time.perf_counter() - began) * 1e3


def measure() -> Sequence[Figure]:
    site = load_site(SITE)
    planner = planner_for(site)
    parts: dict[str, list[float]] = {"update": [], "solve": [], "verify": [], "total": []}
    alone, solves, first_s = [], [], 0.0
    for number, situation in enumerate(situations(site)):
        began = time.perf_counter()
        plan = control_cycle(site, planner, situation, None).plan
        if plan.status != "optimal":
            raise RuntimeError(f"cycle {number} is {plan.status}: {plan.note}")
        if number == 0:
            first_s = time.perf_counter() - began
            continue
        for part, values in parts.items():
            values.append(plan.time_ms[part])
        solves.append(plan.solves)
        alone.append(highs_alone_ms(planner, planner.model_for(situation.shape), situation))
    how = f"{len(solves)} plans of {SITE}, 96 quarter hours and the tail to the month's end"
    shape = planner.model_for(situation.shape).compiled
    figures = [
        Figure("plan_first_s", first_s, "s", "with building the model"),
        Figure("plan_columns", len(shape.columns), "", "columns of the program"),
        Figure("plan_rows", len(shape.rows), "", "rows of the program"),
        Figure("plan_solves", median(solves), "", "median number of solves until no condition is broken"),
    ]
    for part, values in parts.items():
        figures.append(Figure(f"plan_{part}_ms_p50", median(values), "ms", how))
        figures.append(Figure(f"plan_{part}_ms_p99", percentile(values, 0.99), "ms", how))
    ratios = [total / one for total, one in zip(parts["total"], alone, strict=True)]
    figures.append(Figure("park_plan_over_highs_alone", median(ratios), "ratio", "whole cycle over one cold solve"))
    return figures


if __name__ == "__main__":
    main("dispatch", __doc__ or "", measure)
