"""Whole-facility baseline by regression on weather and calendar (IPMVP option C; RULES 6.2).

    E_day = b0 + b1·working + b2·max(0, T - T_cool) + b3·max(0, T_heat - T)                                (1)

T is the day's mean temperature; the balance points T_cool >= T_heat are searched on a grid of whole degrees. A term
is kept only where it lowers the Bayesian information criterion, so a load that does not heat has no heating term.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from optimizer.time_grid import Array
from settlement.uncertainty import Fit, fit_of
from site_configs.calendar import Calendar
from site_configs.site import Site

COOLING_FROM_C = range(14, 31, 2)
HEATING_BELOW_C = range(6, 21, 2)
LEAST_DAYS = 28


@dataclass(frozen=True)
class Form:
    """Which terms of (1) a model has; None: not that one."""

    cooling_c: float | None
    heating_c: float | None
    working: bool

    def matrix(self, temperature_c: Array, working: Array) -> Array:
        """(days, terms) of (1)."""
        columns = [np.ones(len(temperature_c))]
        if self.working:
            columns.append(working)
        if self.cooling_c is not None:
            columns.append(np.maximum(0.0, temperature_c - self.cooling_c))
        if self.heating_c is not None:
            columns.append(np.maximum(0.0, self.heating_c - temperature_c))
        return np.column_stack(columns)

    @property
    def balance_points(self) -> int:
        return (self.cooling_c is not None) + (self.heating_c is not None)


@dataclass(frozen=True)
class Baseline:
    """A fitted model of a day's energy."""

    form: Form
    coefficients: tuple[float, ...]
    """b0 [kWh], then of the terms the form has: working [kWh], cooling and heating [kWh/K]."""
    mean_kwh: float
    """Of a day of the baseline period."""
    fit: Fit

    def energy_kwh(self, days: pd.DataFrame) -> Array:
        """(days,) what the facility would have drawn, for columns `temperature_c` and `working`."""
        rows = self.form.matrix(days["temperature_c"].to_numpy(dtype=float), days["working"].to_numpy(dtype=float))
        return np.asarray(rows @ np.array(self.coefficients), dtype=float)


def daily(load_kw: pd.Series[float], temperature_c: pd.Series[float], site: Site, calendar: Calendar) -> pd.DataFrame:
    """Whole local days: `energy_kwh`, `temperature_c`, `working` (1 or 0) by local date; days with gaps left out."""
    frame = pd.DataFrame({"kw": load_kw, "temperature_c": temperature_c})
    step_hours = (frame.index[1] - frame.index[0]) / pd.Timedelta(hours=1)
    dates = pd.DatetimeIndex(frame.index).tz_convert(site.zone).date
    grouped = frame.groupby(dates)
    whole = grouped.count().min(axis=1) >= 24 / step_hours
    means, hours = grouped.mean(), grouped.size() * step_hours
    days = pd.DataFrame({"energy_kwh": means["kw"] * hours, "temperature_c": means["temperature_c"]})
    days["working"] = [float(calendar.is_working(day)) for day in days.index]
    kept: pd.DataFrame = days.loc[whole]
    return kept


def fitted(days: pd.DataFrame) -> Baseline:
    """The model of least information criterion for days as of `daily`.

    Raises:
        ValueError: fewer than four weeks of days.
    """
    if len(days) < LEAST_DAYS:
        raise ValueError(f"a baseline needs at least {LEAST_DAYS} whole days, got {len(days)}: choose a longer period")
    energy = days["energy_kwh"].to_numpy(dtype=float)
    scored = {form: _scored(form, days, energy) for form in _forms()}
    best = min(scored, key=lambda form: scored[form][0])
    _, coefficients = scored[best]
    rows = best.matrix(days["temperature_c"].to_numpy(dtype=float), days["working"].to_numpy(dtype=float))
    fit = fit_of(energy, rows @ coefficients, len(coefficients) + best.balance_points, "daily")
    return Baseline(best, tuple(float(value) for value in coefficients), float(energy.mean()), fit)


def _forms() -> Iterator[Form]:
    for cooling, heating, working in product((None, *COOLING_FROM_C), (None, *HEATING_BELOW_C), (False, True)):
        if cooling is None or heating is None or heating <= cooling:
            yield Form(cooling, heating, working)


def _scored(form: Form, days: pd.DataFrame, energy: Array) -> tuple[float, Array]:
    """Information criterion and coefficients; a slope of the wrong sign is no model of heating or cooling."""
    rows = form.matrix(days["temperature_c"].to_numpy(dtype=float), days["working"].to_numpy(dtype=float))
    coefficients = np.asarray(np.linalg.lstsq(rows, energy, rcond=None)[0], dtype=np.float64)
    if form.balance_points and np.any(coefficients[-form.balance_points :] < 0):
        return float("inf"), coefficients
    residuals = energy - rows @ coefficients
    spread = max(float(residuals @ residuals) / len(energy), 1e-12)
    parameters = len(coefficients) + form.balance_points
    return len(energy) * float(np.log(spread)) + parameters * float(np.log(len(energy))), coefficients


def restored_kw(load_kw: pd.Series[float], adjusted_kwh: Mapping[object, float], site: Site) -> pd.Series[float]:
    """What would have been drawn beside the measured load [kW]: each day's adjusted baseline less its energy, spread
    over the day as the load was; < 0 where more was used. Days without an adjusted baseline get none."""
    step_hours = (load_kw.index[1] - load_kw.index[0]) / pd.Timedelta(hours=1)
    dates = pd.Series(pd.DatetimeIndex(load_kw.index).tz_convert(site.zone).date, index=load_kw.index)
    used = load_kw.groupby(dates).transform("sum") * step_hours
    wanted = dates.map(dict(adjusted_kwh)).astype(float)
    restored: pd.Series[float] = (load_kw * (wanted / used.where(used > 0) - 1.0)).fillna(0.0)
    return restored
