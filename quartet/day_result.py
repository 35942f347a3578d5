"""What a day came to: counts from the ledger, cost, carbon and cars from the measured flows of each controller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from hil.bench import DayRecord
from hil.closed_loop import Run
from hil.measured import ServedCars, flows, means, served_cars, stored_kwh, wear
from optimizer.time_grid import TimeGrid
from quartet.documents import (
    Amounts,
    CycleCounts,
    DemoSummary,
    EvCounts,
    MessageCounts,
    Percentiles,
    SetpointCounts,
    Shares,
    Values,
)
from quartet.figures import MeasuredDay
from settlement.carbon import carbon, pv_use
from settlement.day_cost import DayCost, day_cost
from site_configs.prices import prices_for
from site_configs.site import Site
from site_configs.tariff import Tariff
from streams.interval import is_state
from streams.ledger import Ledger
from streams.records import SetpointTrace

STEP_MINUTES = 15
FALLBACKS = ("shifted", "rules")
ENERGIES = ("import_kw", "export_kw", "load_kw", "machine_kw", "pv_kw", "battery_charge_kw", "battery_discharge_kw",
            "ev_charge_kw", "ev_discharge_kw")  # fmt: skip


@dataclass(frozen=True)
class Day:
    """Which day, and what it is billed by."""

    site: Site
    tariff: Tariff
    date: date
    period: tuple[datetime, datetime]
    """From the local midnight on, UTC."""
    peaks_before_kw: Mapping[str, float]
    """By demand line: highest demand of the billing month before the day, the same for all controllers."""

    @property
    def peak_before_kw(self) -> float:
        """The highest of them."""
        return max(self.peaks_before_kw.values(), default=0.0)

    @property
    def quarters(self) -> int:
        return (self.period[1] - self.period[0]) // timedelta(minutes=STEP_MINUTES)


@dataclass(frozen=True)
class DayRuns:
    """The same day under three controllers."""

    engine: DayRecord
    rules: Run
    none: Run

    @property
    def by_name(self) -> dict[str, DayRecord | Run]:
        return {"engine": self.engine, "rules": self.rules, "none": self.none}


def summary_of(day: Day, runs: DayRuns, ledger: Ledger, wall_s: Callable[[], float]) -> DemoSummary:
    """The whole summary."""
    measured = {name: flows(run.plant, run.records) for name, run in runs.by_name.items()}
    costs = {name: _cost(day, run) for name, run in runs.by_name.items()}
    cars = {name: served_cars(run.plant, run.records) for name, run in runs.by_name.items()}
    shares = {name: pv_use(f, day.period).self_use for name, f in measured.items()}
    return DemoSummary(
        site=day.site.id,
        day=day.date,
        currency=day.site.currency,
        cycles=_cycles(day, runs.engine, ledger),
        setpoints=_setpoints(ledger.setpoint_trace(day.site.id)),
        messages=MessageCounts(taken_in=runs.engine.messages, dead_letters=ledger.counts()["dead_letters"]),
        cost=Amounts(**{name: cost.as_dict() for name, cost in costs.items()}),
        carbon_kg=Values(**{name: float(carbon(day.site, f, day.period).kg) for name, f in measured.items()}),
        pv_self_use=Shares(**shares),
        reasons={"pv_self_use": "PV had nothing to give in these hours"} if None in shares.values() else {},
        ev=_ev(cars["engine"]),
        cycle_ms=_times(runs.engine),
        wall_s=wall_s(),
        energy_kwh=Amounts(**{name: _energies(f) for name, f in measured.items()}),
        stored_kwh=Amounts(**{name: stored_kwh(run.plant, run.records) for name, run in runs.by_name.items()}),
        ev_missed_kwh=Values(**{name: served.missed_kwh for name, served in cars.items()}),
        peak_kw={"before": day.peak_before_kw, **{name: cost.peak_after_kw for name, cost in costs.items()}},
    )


def _ev(cars: ServedCars) -> EvCounts:
    return EvCounts(sessions=cars.sessions, served_kwh=cars.served_kwh, missed_kwh=cars.missed_kwh)


def _cost(day: Day, run: DayRecord | Run) -> DayCost:
    """On the minutes, because demand is the highest of the sliding quarter hours (RULES 1.3)."""
    by_minute = flows(run.plant, run.records, minutes=1)
    return day_cost(day.site, day.tariff, by_minute, day.period, day.peaks_before_kw, wear(run.plant, run.records))


def _energies(measured: pd.DataFrame) -> dict[str, float]:
    return {name.removesuffix("_kw"): float(measured[name].sum()) * STEP_MINUTES / 60 for name in ENERGIES}


def _cycles(day: Day, record: DayRecord, ledger: Ledger) -> CycleCounts:
    stored = (ledger.answer(day.site.id, cycle.interval) for cycle in record.cycles)
    status = Counter(answer.status for answer in stored if answer is not None)
    return CycleCounts(
        count=len(record.cycles),
        answered=sum(cycle.answered for cycle in record.cycles),
        optimal=status["optimal"],
        feasible=status["feasible"],
        fallback=sum(status[name] for name in FALLBACKS),
    )


def _setpoints(traces: Iterable[SetpointTrace]) -> SetpointCounts:
    counts: Counter[str] = Counter()
    for trace in traces:
        counts.update({"sent"} if trace.sent else ())
        counts.update({ack.state for ack in trace.acks})
    return SetpointCounts(
        sent=counts["sent"], applied=counts["applied"], rejected=counts["rejected"], expired=counts["expired"]
    )


def _times(record: DayRecord) -> Percentiles:
    first, *rest = (cycle.latency_ms for cycle in record.cycles)
    p50, p99 = np.percentile(rest or [first], [50, 99])
    return Percentiles(p50=float(p50), p99=float(p99), first=first)


def measured_day(day: Day, runs: DayRuns, ledger: Ledger) -> MeasuredDay:
    """The engine's day for the pictures: what was measured, and what was told according to the ledger."""
    series = _by_interval(runs.engine)
    traces = ledger.setpoint_trace(day.site.id)
    told = pd.DataFrame(
        [(trace.interval, trace.device, trace.target_kw) for trace in traces], columns=["at", "device", "kw"]
    )
    grid = TimeGrid(day.period[0], STEP_MINUTES, day.quarters)
    return MeasuredDay(
        site=day.site,
        series=series,
        band=prices_for(day.site, day.tariff, grid).band,
        targets=told.pivot(index="at", columns="device", values="kw").reindex(series.index),
        baselines={
            name: _by_interval(run)["meter.import_kw"] for name, run in (("rules", runs.rules), ("none", runs.none))
        },
        peak_before_kw=day.peak_before_kw,
    )


def _by_interval(run: DayRecord | Run) -> pd.DataFrame:
    """Means of powers, last values of states."""
    frame = run.records.frame()
    quarters = means(frame, STEP_MINUTES)
    states = [name for name in frame.columns if is_state(str(name))]
    quarters[states] = frame[states].to_numpy()[STEP_MINUTES - 1 :: STEP_MINUTES][: len(quarters)]
    return quarters
