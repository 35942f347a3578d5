"""`quartet plan`: one plan from recorded history, knowing nothing that was measured at or after its moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from forecasting.forecast import Forecast
from forecasting.site_forecaster import FittedSite
from optimizer.devices import AnyDevice
from optimizer.devices.flexible_load import FlexibleLoad
from optimizer.devices.load import Load
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.errors import InputError, Problem
from optimizer.plan import PlanDocument
from optimizer.situation import Session
from quartet.arguments import interval_start, refuse, require_on_step
from settlement.carbon import emitted_today_kg
from settlement.demand import peaks_so_far_kw
from site_configs.history import History, read_site_history
from site_configs.prices import grid_for
from site_configs.site import Site
from site_configs.tariff import load_tariff
from streams.control_cycle import control_cycle, planner_for
from streams.interval import is_state
from streams.site_forecasts import check_history, fit_site, lacking_columns, published_rows
from streams.site_state import SiteState, build_situation

STEPS = (5, 15, 30, 60)
STORES = ("battery", "thermal_store")
METER_IMPORT = "meter.import_kw"


def plan_once(
    site: Site, folder: Path, at: datetime, horizon_hours: float | None = None, step_minutes: int | None = None
) -> PlanDocument:
    """The plan from `at` on, for the history in `folder`. Forecasts are those of the site's interval that holds `at`.

    Raises:
        InputError: the moment is not the start of an interval, or the history does not serve.
    """
    step = site.step_minutes if step_minutes is None else step_minutes
    if step not in STEPS:
        refuse("--step", step, "must be 5, 15, 30 or 60")
    require_on_step(at, step)
    history = read_site_history(site, folder)
    known = known_before(history, at)
    tariff = load_tariff(site)
    state = state_at(site, known, at, tariff.billing_month(at)[0])
    end = grid_for(site, at, horizon_hours, step).end
    published = published_rows(site, history.frame, history.weather_forecast)
    issued = interval_start(at, site.step_minutes)
    forecasts = _fitted(site, known, issued, published).issue(known.frame, issued, end, published=published)
    situation = build_situation(site, tariff, state, forecasts, horizon_hours=horizon_hours, step_minutes=step)
    plan = control_cycle(site, planner_for(site), situation, last_plan=None).plan
    repairs = (
        *(repair.as_text() for repair in history.repairs),
        *assumptions(site, known, state, forecasts),
        *about(site, known, at),
    )
    return plan.document(repairs=repairs)


def about(site: Site, known: History, at: datetime) -> Iterator[str]:
    """What the measured series say about themselves: dirt with what was done about it (the reader of the folder has
    named the gaps), days that may have been off."""
    for name, check in check_history(site, known.frame, at).items():
        yield from (finding.as_text() for finding in check.findings if finding.kind != "gap")
        yield from (f"{name}: {suggestion.as_text()}" for suggestion in check.closures)


def _fitted(site: Site, known: History, at: datetime, published: pd.DataFrame | None) -> FittedSite:
    if lacking := lacking_columns(site, known):
        raise InputError(lacking)
    return fit_site(site, known.frame, at, known.sessions, published=published)


def assumptions(site: Site, known: History, state: SiteState, forecasts: Mapping[str, Forecast]) -> Iterator[str]:
    """What had to be assumed because the history does not say it."""
    if METER_IMPORT not in known.frame and state.peaks_kw:
        yield f"{METER_IMPORT} is not recorded: the month's peak is taken as loads less PV, {state.peak_kw:.1f} kW"
    if known.end < state.at:
        yield f"the history ends at {known.end:%Y-%m-%dT%H:%MZ}, before --at: the forecasts start from there"
    for device in site.devices:
        if device.kind in STORES and not _says_what_it_holds(device, state.devices.get(device.id, {})):
            yield f"{device.id}.energy_kwh is not recorded: the site file's initial state is taken"
    for charger in state.sessions:
        if f"{charger}.energy_kwh" not in known.frame:
            yield f"{charger}.energy_kwh is not recorded: the car is taken as charged at once since it came"
    for name, forecast in forecasts.items():
        if "failed" in forecast.method:
            yield f"forecast of {name}: {forecast.method}"


def _says_what_it_holds(device: AnyDevice, reported: Mapping[str, float]) -> bool:
    by_temperature = isinstance(device, ThermalStore) and device.tank is not None
    return "energy_kwh" in reported or (by_temperature and "temperature_c" in reported)


def known_before(history: History, at: datetime) -> History:
    """The history as it stood at `at`: rows whose interval has ended, cars that have arrived.

    Raises:
        InputError: nothing was measured before `at`.
    """
    step = timedelta(minutes=history.step_minutes)
    frame = history.frame.iloc[: history.frame.index.searchsorted(at - step, side="right")]
    if frame.empty:
        message = f"the history begins at {history.frame.index[0]:%Y-%m-%dT%H:%MZ}: choose a later time"
        raise InputError([Problem(history.source, "--at", f"{at:%Y-%m-%dT%H:%MZ}", message)])
    arrived = tuple(session for session in history.sessions if session.arrive <= at)
    return replace(history, frame=frame, sessions=arrived)


def state_at(site: Site, history: History, at: datetime, month_start: datetime) -> SiteState:
    """The last measured state of every device, the cars that stand at their chargers, the month's peaks so far."""
    present: dict[str, tuple[Session, ...]] = {}
    for session in history.sessions:
        if session.depart > at:
            present[session.charger] = (*present.get(session.charger, ()), session)
    peaks = month_peaks_kw(site, history, month_start, at)
    states = {**_assumed_cars(site, present, at), **last_states(history.frame)}
    for limit in (service for service in site.services if service.kind == "carbon_limit"):
        states[limit.id] = {"today_kg": emitted_today_kg(site, history.frame, at, history.step_minutes)}
    return SiteState(site.id, at, states, peaks, present)


def _assumed_cars(
    site: Site, present: Mapping[str, tuple[Session, ...]], at: datetime
) -> Mapping[str, Mapping[str, float]]:
    """What the cars that stand there would hold, had they been charged at once since they came."""
    chargers = [device for device in site.devices if device.kind == "v2g_charger" and device.id in present]
    return {charger.id: {"energy_kwh": _charged_at_once(charger, present[charger.id][0], at)} for charger in chargers}


def _charged_at_once(charger: V2gCharger, session: Session, at: datetime) -> float:
    known = session.capacity_kwh is not None and session.energy_on_arrival_kwh is not None
    hours = (at - session.arrive) / timedelta(hours=1)
    gained = min(session.energy_needed_kwh, charger.charge_limit_kw * charger.charge_efficiency * hours)
    return gained + (session.energy_on_arrival_kwh or 0.0 if known else 0.0)


def last_states(frame: pd.DataFrame) -> Mapping[str, Mapping[str, float]]:
    """By device: the last value of each state that the history holds."""
    states: dict[str, dict[str, float]] = {}
    for name in frame.columns:
        device, quantity = str(name).split(".", 1)
        values = frame[name].dropna()
        if is_state(quantity) and device != "weather" and len(values):
            states.setdefault(device, {})[quantity] = float(values.iloc[-1])
    return states


def month_peaks_kw(site: Site, history: History, month_start: datetime, at: datetime) -> dict[str, float]:
    """By demand line: the month's highest demand before `at`: metered, or loads less PV where there is no meter."""
    month = history.window(month_start, at)
    imported = month[METER_IMPORT] if METER_IMPORT in month else _loads_less_pv(site, month).clip(lower=0.0)
    return peaks_so_far_kw(site, load_tariff(site), imported, at, history.step_minutes)


def _loads_less_pv(site: Site, month: pd.DataFrame) -> pd.Series:
    loads = [f"{d.id}.demand_kw" for d in site.devices if isinstance(d, Load | FlexibleLoad) and d.carrier == "power"]
    pv = [f"{d.id}.available_kw" for d in site.devices if d.kind == "pv"]
    return _sum(month, loads) - _sum(month, pv)


def _sum(frame: pd.DataFrame, names: list[str]) -> pd.Series:
    return frame[[name for name in names if name in frame]].sum(axis=1)
