"""The closed loop of one block: the engine's own control cycle, or local rules, on the plant's minutes.

What the engine runs live runs here, on the same functions: state and outlook make the situation, `control_cycle` the
answer, the site controller takes the setpoints, the plant lives its minutes. Only the transport is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from hil.closed_loop import Decision, RunningPeaks, baseline, baseline_days, decision_of, setpoints_of, site_state
from hil.measured import means, served_cars, wear
from hil.plant import Plant, PlantState, Records, offer, run_minutes
from hil.recorded import QUARTER, recorded_drivers
from hil.replay.case import Block, Case, Window, real_truth
from hil.replay.foresight import Foreseen
from hil.truth import Truth
from optimizer.plan import Plan, PlanStatus
from optimizer.planner import Planner
from settlement.carbon import emitted_today_kg
from settlement.operation import CostItem
from site_configs.tariff import local_midnight
from streams.control_cycle import control_cycle, planner_for
from streams.gateways.registers import RejectReason
from streams.measured_cop import MeasuredCop
from streams.site_state import Outlook, SiteState

METERED_MINUTES = 15
"""Length of the intervals in which flows are kept: that of the billing meter."""


@dataclass(frozen=True)
class Standing:
    """Where a window stands between two blocks."""

    plant: PlantState
    peaks: RunningPeaks
    cops: MeasuredCop
    last_plan: Plan | None = None


@dataclass(frozen=True)
class Cycle:
    """How one interval was answered."""

    at: datetime
    status: PlanStatus | None
    """None for rules: they are the controller, not a fallback."""
    took_ms: float
    attempts: tuple[str, ...] = ()
    """Why better answers were not taken."""
    refused: tuple[str, ...] = ()
    """Devices whose setpoint the site controller refused."""


@dataclass(frozen=True, order=True)
class WithoutModel:
    """A series that a yardstick stood in for, from one fit of the forecasters to the next, and why."""

    fitted_at: datetime
    series: str
    reason: str


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What a block left behind, its uncounted lead-in cut off."""

    meters: pd.DataFrame
    """Means over `METERED_MINUTES` by UTC start [kW], and the surroundings; energies [kWh] at the end of each."""
    wear: tuple[CostItem, ...]
    served_kwh: Mapping[str, float]
    """By session: charged less fed back, in the car's battery."""
    cycles: tuple[Cycle, ...]
    without_model: tuple[WithoutModel, ...] = ()


Answer = Callable[[SiteState, Plan | None], tuple[Decision, Plan | None, tuple[str, ...]]]
"""Decides from a state and the last plan; gives the plan behind it, and why it is no better one."""


def first_standing(case: Case, window: Window) -> Standing:
    """The plant as the site file has it; the month's peaks as rules would have set them from its start, or that of the
    replay, to the window's begin."""
    before: Mapping[str, float] = {}
    month = max(case.start, case.tariff.billing_month(window.begin)[0].astimezone(UTC))
    if month < window.begin:
        for _, after in baseline_days(case.site, case.history, (month, window.begin), "rules"):
            before = after
    peaks = RunningPeaks(case.site, case.tariff, before, min(METERED_MINUTES, case.site.step_minutes))
    return Standing(plant_of(case, window).start(), peaks, MeasuredCop(case.site))


def run_block(case: Case, block: Block, standing: Standing, ahead: Foreseen | None) -> tuple[Standing, BlockResult]:
    """Runs the block; `ahead` is what lies ahead of its stretch, None for local rules, which do not ask."""
    plant, cycles, parts = plant_of(case, block.window), [], []
    state, peaks, cops, last = standing.plant, standing.peaks.copy(), standing.cops.copy(), standing.last_plan
    emitted = EmittedToday(case)
    for at, answer in _answers(case, block, ahead):
        began = time.perf_counter()
        seen = emitted.added_to(site_state(plant, state, peaks.at(at)))
        seen = replace(seen, devices=cops.added_to(seen.devices, at))
        decision, last, attempts = answer(seen, last)
        took_ms = (time.perf_counter() - began) * 1e3
        state, answers = offer(plant, state, setpoints_of(plant, at, decision))
        refused = tuple(name for name, reason in answers.items() if reason is not RejectReason.NONE)
        state, records = run_minutes(plant, state, case.site.step_minutes)
        _add_imports(peaks, records)
        cops.add(at, dict(zip(records.columns, records.values.mean(axis=0).tolist(), strict=True)))
        emitted.add(records)
        parts.append(records)
        cycles.append(Cycle(at, None if last is None else last.status, took_ms, attempts, refused))
    result = counted_result(plant, block, Records.joined(parts), cycles)
    return Standing(state, peaks, cops, last), replace(result, without_model=_without_model(block, ahead))


def _without_model(block: Block, ahead: Foreseen | None) -> tuple[WithoutModel, ...]:
    failures = {} if ahead is None else ahead.without_model
    return tuple(WithoutModel(block.fit.start, series, reason) for series, reason in failures.items())


def _answers(case: Case, block: Block, ahead: Foreseen | None) -> Iterator[tuple[datetime, Answer]]:
    """By cycle, what decides in it."""
    times = case.cycles(block.start, block.end)
    if ahead is None:
        rules = _rules(case)
        yield from ((at, rules) for at in times)
        return
    planner = planner_of(case).in_a_row()
    for at, outlook in zip(times, ahead.over(block.start, block.end), strict=True):
        yield at, _engine(case, planner, outlook)


def _engine(case: Case, planner: Planner, outlook: Outlook) -> Answer:
    def answer(state: SiteState, last: Plan | None) -> tuple[Decision, Plan, tuple[str, ...]]:
        situation = outlook.seen_from(state, case.site)
        result = control_cycle(case.site, planner, situation, last, deadline_s=case.terms.deadline_s)
        plan = result.plan
        return decision_of(plan), plan, result.attempts

    return answer


def _rules(case: Case) -> Answer:
    assert case.controller != "engine"
    decide = baseline(case.site, case.history, case.controller)
    return lambda state, last: (decide(state), None, ())


def _add_imports(peaks: RunningPeaks, records: Records) -> None:
    """The import of a cycle's minutes by quarter hours, or whole where the cycle is shorter."""
    values = records.get("meter.import_kw")
    for first in range(0, len(values), METERED_MINUTES):
        part = values[first : first + METERED_MINUTES]
        peaks.add(records.start + timedelta(minutes=first), float(part.mean()))


class EmittedToday:
    """What sites with a limit of the day's emissions have emitted since local midnight."""

    def __init__(self, case: Case) -> None:
        self._site = case.site
        self._limits = [service.id for service in case.site.services if service.kind == "carbon_limit"]
        self._rows: list[pd.DataFrame] = []

    def add(self, records: Records) -> None:
        """Takes in the minutes of a cycle."""
        if self._limits:
            self._rows.append(records.frame())

    def added_to(self, state: SiteState) -> SiteState:
        """The state with the emissions so far, where a limit asks for them."""
        if not self._limits:
            return state
        midnight = local_midnight(state.at.astimezone(self._site.zone).date(), self._site.zone)
        self._rows = [rows for rows in self._rows if rows.index[-1] >= midnight]
        measured = pd.concat(self._rows) if self._rows else pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
        kg = emitted_today_kg(self._site, measured, state.at, 1)
        devices = {**state.devices, **{limit: {"today_kg": kg} for limit in self._limits}}
        return SiteState(state.site, state.at, devices, state.peaks_kw, state.sessions)


def counted_result(plant: Plant, block: Block, records: Records, cycles: Sequence[Cycle]) -> BlockResult:
    """What is kept of a block's minutes: the meters from the start of its window on."""
    skipped = max(timedelta(0), block.window.start - block.start) // timedelta(minutes=1)
    counted = Records(records.start + timedelta(minutes=skipped), records.columns, records.values[skipped:])
    served = served_cars(plant, counted)
    return BlockResult(
        meters=metered(counted),
        wear=wear(plant, counted) if len(counted) else (),
        served_kwh={car.session.session_id: car.served_kwh for car in served.cars},
        cycles=tuple(cycle for cycle in cycles if cycle.at >= block.window.start),
    )


def metered(records: Records) -> pd.DataFrame:
    """Means of powers and surroundings, energies at the end of each interval; targets are left out."""
    frame = records.frame()
    kept = frame[[name for name in records.columns if not name.endswith((".target_kw", ".limit_kw"))]]
    found = means(kept, METERED_MINUTES)
    ends = np.arange(METERED_MINUTES - 1, len(kept), METERED_MINUTES)[: len(found)]
    for name in (name for name in records.columns if name.endswith(("_kwh", "_hours"))):
        found[name] = kept[name].to_numpy()[ends]
    return found.rename_axis("time")


@lru_cache(maxsize=4)
def plant_of(case: Case, window: Window) -> Plant:
    """The plant of a window; all windows have the same machines, each its own minutes."""
    minute_seed = [case.terms.seed, int(window.begin.timestamp())]
    truth = real_truth(case.site, case.terms) if case.terms.plant == "real" else Truth.exact(case.site)
    quarters = -(-(window.end - window.begin) // QUARTER)
    rng = np.random.default_rng(minute_seed)
    return Plant(truth, recorded_drivers(truth, case.history, window.begin, quarters, rng))


@lru_cache(maxsize=4)
def planner_of(case: Case) -> Planner:
    """The site's planner with its built model: it holds nothing that could change an answer."""
    return planner_for(case.site)
