"""How a plan grows: 200 and 500 chargers, each in a process of its own to know its memory; 72 against 24 hours, a cycle
of each in turn, so that both meet the same machine."""

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
PAIRS = 13
GIGABYTES = 1e6
"""Kilobytes in a gigabyte: `ru_maxrss` is in kilobytes."""


class Park:
    """A reference park whose cycles are made one after the other."""

    def __init__(self, chargers: int, hours: int, *, on_off: bool) -> None:
        self._name = f"{chargers} chargers, {hours} h"
        self._hours = hours
        self._record, self._devices = Record.read(chargers), devices(chargers, on_off=on_off)
        self._planner = Planner("reference_park", self._devices)
        self._state: dict[str, dict[str, float]] = {}
        self._last: Plan | None = None
        self._cycle = 0

    def next_cycle_s(self) -> float:
        """Seconds of the next whole cycle; the first one builds the model."""
        at = START + self._cycle * timedelta(minutes=15)
        situation = self._record.situation(at, self._state, hours=self._hours)
        began = time.perf_counter()
        plan = self._planner.plan(situation, 600.0, last_plan=self._last)
        if not isinstance(plan, Plan) or verify(self._devices, (), situation, plan):
            raise RuntimeError(f"{self._name}: no valid plan in cycle {self._cycle}")
        took = time.perf_counter() - began
        self._state, self._last, self._cycle = plan.states_at(1), plan, self._cycle + 1
        return took


def _of_chargers(chargers: int) -> tuple[list[float], float]:
    """Seconds of each cycle, and the peak memory of the process [GB]."""
    park = Park(chargers, 24, on_off=True)
    took = [park.next_cycle_s() for _ in range(CYCLES)]
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIGABYTES


def _three_days_over_one() -> float:
    day, three_days = Park(20, 24, on_off=False), Park(20, 72, on_off=False)
    pairs = [(three_days.next_cycle_s(), day.next_cycle_s()) for _ in range(PAIRS)]
    return median([long / short for long, short in pairs[1:]])


def figures() -> list[Figure]:
    found = []
    for chargers in (200, 500):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            took, gigabytes = pool.submit(_of_chargers, chargers).result()
        how = f"full park with {chargers} chargers, 96 quarter hours"
        found.append(Figure(f"plan_{chargers}_chargers_s", median(took[1:]), "s", f"{how}, whole warm cycle"))
        found.append(Figure(f"plan_{chargers}_chargers_first_s", took[0], "s", f"{how}, with building the model"))
        found.append(Figure(f"plan_{chargers}_chargers_gb", gigabytes, "GB", "peak memory of the process"))
    how = f"warm cycle, park without on/off machines, median of {PAIRS - 1} pairs"
    return [*found, Figure("horizon_72h_over_24h", _three_days_over_one(), "ratio", how)]
