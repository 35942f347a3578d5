"""A controller in closed loop with the plant, in process: the baselines of the demo, and any controller as a function.

The plant, its surroundings and the way of a setpoint are those of the bench; only Kafka and Modbus are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import pandas as pd

from hil.plant import HeldSetpoint, Plant, PlantState, Records, offer, run_minutes, states_of
from hil.recorded import lead_in, recorded_plant, sessions_by_charger
from hil.telemetry import car_at
from hil.truth import Truth
from optimizer.plan import SETPOINT_LIFE_STEPS, Plan
from optimizer.rules import rule_plan, rule_setpoints
from optimizer.situation import Situation
from optimizer.time_grid import Array, TimeGrid
from settlement.bill import market_columns
from settlement.demand import peaks_so_far_kw
from site_configs.demand import demand_meters
from site_configs.history import History
from site_configs.prices import prices_for
from site_configs.site import Site
from site_configs.tariff import Tariff, billing_month, load_tariff
from streams.site_state import SiteState

BASELINE_HORIZON = timedelta(hours=24)
"""How far ahead a baseline looks at prices, and at recorded demand for the peak that cannot be avoided."""


@dataclass(frozen=True)
class Decision:
    """What a controller wants for the next quarter hour."""

    targets: Mapping[str, float]
    """By device [kW], > 0 feeds the bus; a device that is not named keeps to its last setpoint, then its safe value."""
    grid_limit_kw: float | None = None
    """Import that the site must stay under."""
    self_supply_kw: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By device that is to keep the connection at zero: least and greatest power within which it does."""


def decision_of(plan: Plan) -> Decision:
    """What the plan tells the devices for its first step."""
    return Decision(
        {setpoint.device: setpoint.target_kw for setpoint in plan.setpoints},
        plan.grid_limit_kw,
        {s.device: s.self_supply_kw for s in plan.setpoints if s.self_supply_kw is not None},
    )


Controller = Callable[[SiteState], Decision]
"""Decides from what is known at `state.at`; whatever else it needs it was built with."""
Baseline = Literal["rules", "none"]


@dataclass(frozen=True)
class Run:
    """What a run left behind; `records` begin with the first controlled minute."""

    plant: Plant
    records: Records
    peaks_kw: Mapping[str, float]
    """By demand line: highest demand of the month at the end, the peaks before the run included [kW]."""


def run_closed_loop(
    site: Site,
    history: History,
    start: datetime,
    quarters: int,
    controller: Baseline | Controller,
    *,
    seed: int,
    peaks_kw: Mapping[str, float] | None = None,
    truth: Truth | None = None,
) -> Run:
    """Runs `quarters` quarter hours from `start` with a decision before each.

    `peaks_kw` are the month's peaks before `start` by demand line; `seed` draws truth and minutes as the bench does.

    Raises:
        InputError: the history does not cover the run.
    """
    plant = recorded_plant(site, history, start, quarters, seed, truth)
    decide = baseline(site, history, controller) if isinstance(controller, str) else controller
    state, _ = lead_in(plant)
    parts = []
    peaks = RunningPeaks(site, load_tariff(site), peaks_kw or {})
    for _ in range(quarters):
        decision = decide(site_state(plant, state, peaks.at(state.at)))
        state, _ = offer(plant, state, setpoints_of(plant, state.at, decision))
        began = state.at
        state, records = run_minutes(plant, state, 15)
        peaks.add(began, float(records.get("meter.import_kw").mean()))
        parts.append(records)
    return Run(plant, Records.joined(parts), peaks.at(state.at))


class RunningPeaks:
    """The billing month's highest demand by line, kept up interval by interval."""

    LONGEST_BLOCK = timedelta(minutes=60)

    def __init__(self, site: Site, tariff: Tariff, before: Mapping[str, float], minutes: int = 15) -> None:
        self._site, self._tariff, self._minutes = site, tariff, minutes
        self._peaks = {meter.id: before.get(meter.id, 0.0) for meter in demand_meters(site, tariff)}
        self._month: datetime | None = None
        self._recent: dict[datetime, float] = {}

    def copy(self) -> RunningPeaks:
        """The same peaks, to go on from twice."""
        other = RunningPeaks(self._site, self._tariff, self._peaks, self._minutes)
        other._month, other._recent = self._month, dict(self._recent)
        return other

    def add(self, start: datetime, import_kw: float) -> None:
        """Takes in the mean import of the quarter hour (or the `minutes`) that began at `start`."""
        self._recent = {at: kw for at, kw in self._recent.items() if at >= start - self.LONGEST_BLOCK}
        self._recent[start] = import_kw

    def at(self, moment: datetime) -> dict[str, float]:
        """The peaks so far of the month that holds `moment`."""
        month = self._tariff.billing_month(moment)[0]
        if self._month not in (None, month):
            self._peaks = dict.fromkeys(self._peaks, 0.0)
        self._month = month
        imports = pd.Series(list(self._recent.values()), pd.DatetimeIndex(list(self._recent), tz=UTC), dtype=float)
        latest = peaks_so_far_kw(self._site, self._tariff, imports, moment, self._minutes)
        self._peaks = {line: max(peak, latest[line]) for line, peak in self._peaks.items()}
        return dict(self._peaks)


def setpoints_of(plant: Plant, at: datetime, decision: Decision) -> dict[str, HeldSetpoint]:
    """The decision as the site controller takes it, valid from `at`; sequence numbers are minutes since 1970."""
    until = at + plant.truth.site.step_minutes * timedelta(minutes=1) * SETPOINT_LIFE_STEPS
    safe = {device.id: device.safe_kw() for device in plant.devices}
    seq = int(at.timestamp()) // 60
    return {
        name: HeldSetpoint(
            seq, target, safe[name], at, until, decision.grid_limit_kw, decision.self_supply_kw.get(name)
        )
        for name, target in decision.targets.items()
    }


def site_state(plant: Plant, state: PlantState, peaks_kw: Mapping[str, float]) -> SiteState:
    """What the site reports at a moment, without meter error: its devices' states, and the cars that stand there."""
    at = state.at
    known = {device.id: states_of(plant, state, device) for device in plant.devices}
    cars = {charger: car_at(sessions, at) for charger, sessions in plant.drivers.sessions.items()}
    standing = {charger: (plant.drivers.as_said(car),) for charger, car in cars.items() if car is not None}
    return SiteState(plant.truth.site.id, at, {name: own for name, own in known.items() if own}, peaks_kw, standing)


def baseline(site: Site, history: History, name: Baseline) -> Controller:
    """Local control by simple rules; `none` leaves stores and V2G idle and lets cars charge at once.

    It acts on the quarter hour as it is (a local controller measures, it does not forecast), so it is told the recorded
    means; a car that comes within the quarter hour is served from then on.
    """
    tariff = load_tariff(site)

    def decide(state: SiteState) -> Decision:
        end = min(state.at + BASELINE_HORIZON, history.end.to_pydatetime())
        situation = recorded_situation(site, tariff, history, state, end)
        setpoints = rule_setpoints(site.devices, situation, storing=name == "rules")
        return Decision({setpoint.device: setpoint.target_kw for setpoint in setpoints})

    return decide


def recorded_situation(site: Site, tariff: Tariff, history: History, state: SiteState, end: datetime) -> Situation:
    """A situation in which what was recorded stands for what is known, from `state.at` to `end`."""
    grid = TimeGrid(state.at, site.step_minutes, int((end - state.at) / timedelta(minutes=site.step_minutes)))
    needed = {name for device in site.devices for name in device.required_series()}
    series: dict[str, Array] = {name: _on(grid, history, name) for name in needed}
    market = {name: _on(grid, history, name) for name in market_columns(site, tariff)}
    return Situation(
        site=site.id,
        issued_at=state.at,
        grid=grid,
        state=state.with_peaks(site),
        series=series,
        prices=prices_for(site, tariff, grid, market),
        sessions=sessions_by_charger(history.sessions, site.devices, state.at, end),
    )


def peak_before(site: Site, history: History, day: datetime, controller: Baseline = "rules") -> dict[str, float]:
    """By demand line: highest demand of the billing month before `day` under a baseline [kW]; 0 on its first day.

    Days before the record begins are left out.
    """
    tariff = load_tariff(site)
    first = max(billing_month(day, site.zone)[0].astimezone(UTC), history.frame.index[0].to_pydatetime())
    peaks = {meter.id: 0.0 for meter in demand_meters(site, tariff)}
    for _, after in baseline_days(site, history, (first, day), controller):
        peaks = after
    return peaks


def baseline_days(
    site: Site, history: History, period: tuple[datetime, datetime], controller: Baseline
) -> Iterator[tuple[Plan, dict[str, float]]]:
    """A baseline rolled out day by day: what each day came to, and the month's peaks by demand line after it [kW].

    Runs the site file's own devices on recorded quarter hours: quick, and the same start for every controller that is
    compared.

    Raises:
        InputError: the history does not cover the period.
    """
    tariff = load_tariff(site)
    state = SiteState(site.id, period[0], {}, {meter.id: 0.0 for meter in demand_meters(site, tariff)})
    while state.at < period[1]:
        end = min(state.at + BASELINE_HORIZON, period[1].astimezone(UTC))
        situation = recorded_situation(site, tariff, history, state, end)
        plan = rule_plan(site.devices, situation, storing=controller == "rules")
        left = {name: {key: float(v[-1]) for key, v in values.items()} for name, values in plan.states.items()}
        (kw,) = [flow.kw for flow in plan.flows if flow.quantity == "import_kw"]
        imports = pd.Series(kw, pd.DatetimeIndex(situation.grid.near_times))
        rose = peaks_so_far_kw(site, tariff, imports, end, site.step_minutes)
        peaks = {line: max(peak, rose[line]) for line, peak in state.peaks_kw.items()}
        state = replace(state, at=end, devices=left, peaks_kw=peaks)
        yield plan, peaks


def simulated_meters(
    site: Site, history: History, period: tuple[datetime, datetime], controller: Baseline, power_factor: float = 0.92
) -> pd.DataFrame:
    """What the meters of a site would have shown under a baseline, by the columns of a history folder [kW, kvar].

    `meter.import_kw`, `meter.export_kw`, `<device>.<quantity>` of every flow of any carrier, and `meter.reactive_kvar`
    of loads and machines at `power_factor`, generators and stores at 1.

    Raises:
        InputError: the history does not cover the period.
    """
    days = [plan for plan, _ in baseline_days(site, history, period, controller)]
    frame = pd.concat([_flows(plan) for plan in days]).rename_axis("time")
    inductive = [device for device in site.devices if device.kind in ("load", "chiller", "heat_pump")]
    drawn = [f"{d.id}.{q}" for d in inductive for q, end in d.buses().items() if end == ("power", "out")]
    active = frame[drawn].sum(axis=1)
    return frame.assign(**{"meter.reactive_kvar": active * math.tan(math.acos(power_factor))})


def _flows(plan: Plan) -> pd.DataFrame:
    index = pd.DatetimeIndex(plan.grid.near_times)
    flows = {(flow.device, flow.quantity): flow.kw for flow in plan.flows}
    names = {key: "meter" if key[1] in ("import_kw", "export_kw") else key[0] for key in flows}
    return pd.DataFrame({f"{names[key]}.{key[1]}": np.round(kw, 6) for key, kw in flows.items()}, index=index)


def _on(grid: TimeGrid, history: History, name: str) -> Array:
    """A recorded series on the grid, whose ends may lie within recorded intervals."""
    step = f"{history.step_minutes}min"
    first, end = pd.Timestamp(grid.start).floor(step), pd.Timestamp(grid.near_end).ceil(step)
    values = history.need(name, first.to_pydatetime(), end.to_pydatetime())
    return np.full(grid.near, float(values.iloc[0])) if len(values) == 1 else grid.average(values)
