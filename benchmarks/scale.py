"""How a plan grows: 200 and 500 chargers, each in a process of its own to know its memory; 72 against 24 hours."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context

from figures import Figure, median
from reference_park import START, Record, devices

from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.verify import verify

CYCLES = 6
GIGABYTES = 1e6
"""Kilobytes in a gigabyte: `ru_maxrss` is in kilobytes."""


def cycles_s(chargers: int, hours: int, on_off: bool) -> tuple[list[float], float]:
    """Seconds of each whole cycle, the first with building the model; the peak memory of the process [GB]."""
    record, park = Record.read(chargers), devices(chargers, on_off=on_off)
    planner = Planner("reference_park", park)
    state: dict[str, dict[str, float]] = {}
    last: Plan | None = None
    took = []
    for cycle in range(CYCLES):
        situation = record.situation(START + cycle * timedelta(minutes=15), state, hours=hours)
        began = time.perf_counter()
        plan = planner.plan(situation, 600.0, last_plan=last)
        if not isinstance(plan, Plan) or verify(park, (), situation, plan):
            raise RuntimeError(f"{chargers} chargers, {hours} h: no valid plan in cycle {cycle}")
        took.append(time.perf_counter() - began)
        state = plan.states_at(1)
        last = plan
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIGABYTES


def _alone(chargers: int, hours: int, on_off: bool) -> tuple[list[float], float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(cycles_s, chargers, hours, on_off).result()


def figures() -> list[Figure]:
    found = []
    for chargers in (200, 500):
        took, gigabytes = _alone(chargers, 24, on_off=True)
        how = f"full park with {chargers} chargers, 96 quarter hours"
        found.append(Figure(f"plan_{chargers}_chargers_s", median(took[1:]), "s", f"{how}, whole warm cycle"))
        found.append(Figure(f"plan_{chargers}_chargers_first_s", took[0], "s", f"{how}, with building the model"))
        found.append(Figure(f"plan_{chargers}_chargers_gb", gigabytes, "GB", "peak memory of the process"))
    day, _ = _alone(20, 24, on_off=False)
    three_days, _ = _alone(20, 72, on_off=False)
    ratio = median(three_days[1:]) / median(day[1:])
    return [*found, Figure("horizon_72h_over_24h", ratio, "ratio", "warm cycle, park without on/off machines")]
