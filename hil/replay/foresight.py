"""What the engine foresees at each cycle of a stretch: forecasts as they would have been issued then, or the record.

The bill of the last month closes with the replay, for the engine's plans as for what it is held against. Neither
foresight depends on what is controlled, so all cycles of a stretch are foreseen at once, ahead of the control and in
parallel to it. A cycle of `issued` foresight sees the rows whose interval was over, what was announced before, and the
fit made at the start of its stretch; nothing later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from forecasting.forecast import LEVELS, Forecast
from forecasting.site_forecaster import FittedSite
from hil.replay.case import Case, Stretch
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.situation import Session
from optimizer.time_grid import Array
from site_configs.prices import grid_for
from streams.planning import ANNOUNCED_BEFORE, issue_forecasts
from streams.site_forecasts import fit_site, series_kinds
from streams.site_runtime import RECENT_DAYS, at_step
from streams.site_state import Outlook, outlook_of

WEEK = timedelta(days=7)
RECORD_BEYOND_DAYS = 34
"""A plan reaches to the end of the billing month, or up to three days ahead."""


@dataclass(frozen=True)
class Foreseen:
    """The outlooks of a stretch."""

    start: datetime
    step: timedelta
    outlooks: tuple[Outlook, ...]
    """One for each control interval, in order."""
    without_model: Mapping[str, str] = field(default_factory=dict)
    """By series that a yardstick stood in for: why it could not be fitted."""

    def over(self, start: datetime, end: datetime) -> tuple[Outlook, ...]:
        """Those of the intervals from `start` to `end`."""
        return self.outlooks[(start - self.start) // self.step : (end - self.start) // self.step]


def foreseen(case: Case, stretch: Stretch) -> Foreseen:
    """What lies ahead of every interval of a stretch, as the terms of the case know it."""
    return (issued if case.terms.foresight == "issued" else known)(case, stretch)


def issued(case: Case, stretch: Stretch) -> Foreseen:
    """By the models fitted at the start of the stretch on what was measured before."""
    site, history, at = case.site, case.history, stretch.start
    fitted = fit_site(site, case.measured_before(at), at, history.sessions, case.published)
    outlooks = tuple(_issued_at(case, fitted, cycle) for cycle in case.cycles(stretch.start, stretch.end))
    return Foreseen(stretch.start, case.step, outlooks, fitted.provenance.failures)


def _issued_at(case: Case, fitted: FittedSite, at: datetime) -> Outlook:
    recent = case.measured_before(at, since=at - timedelta(days=RECENT_DAYS))
    columns = recent.reindex(columns=list(series_kinds(case.site)))
    forecasts = issue_forecasts(case.site, at, columns, fitted, announced(case, at), "")
    return outlook_of(case.site, case.tariff, forecasts, grid_for(case.site, at, closes=case.end), case.end)


def announced(case: Case, at: datetime) -> pd.DataFrame | None:
    """What was announced before `at`, as far back as an update looks."""
    if case.published is None:
        return None
    when = case.published["issued_at"]
    return case.published.iloc[
        when.searchsorted(pd.Timestamp(at - ANNOUNCED_BEFORE)) : when.searchsorted(pd.Timestamp(at))
    ]


def known(case: Case, stretch: Stretch) -> Foreseen:
    """By the record; cars that have not come yet are known as the sums that `expected_cars` plans with."""
    recorded = recorded_ahead(case, stretch.end + timedelta(days=RECORD_BEYOND_DAYS))
    outlooks = tuple(_known_at(case, recorded, cycle) for cycle in case.cycles(stretch.start, stretch.end))
    return Foreseen(stretch.start, case.step, outlooks)


def _known_at(case: Case, recorded: pd.DataFrame, at: datetime) -> Outlook:
    grid = grid_for(case.site, at, closes=case.end)
    rows = recorded.loc[at : grid.end - case.step]
    series = {str(name): rows[name] for name in rows}
    groups = [device for device in case.site.devices if isinstance(device, ExpectedCars)]
    for group in groups:
        series |= cars_to_come(group, case.history.sessions, pd.DatetimeIndex(rows.index))
    forecasts = {name: certain(name, at, values, case.site.step_minutes) for name, values in series.items()}
    return outlook_of(case.site, case.tariff, forecasts, grid, case.end)


def recorded_ahead(case: Case, end: datetime) -> pd.DataFrame:
    """What the plan's series came to, at the site's step, up to `end`; where nothing was recorded, as a week before."""
    names = [name for name in series_kinds(case.site) if name in case.history.frame]
    frame = case.history.frame[names]
    index = pd.date_range(frame.index[0], max(case.history.end, end), freq=case.step, inclusive="left")
    within = max(1, case.history.step_minutes // case.site.step_minutes)
    stepped = at_step(frame, case.site.step_minutes)
    values = stepped.reindex(index, method="ffill", limit=within - 1) if within > 1 else stepped.reindex(index)
    week = WEEK // case.step
    return pd.DataFrame({name: _as_a_week_ago(values[name].to_numpy(dtype=float), week) for name in values}, index)


def _as_a_week_ago(values: Array, week: int) -> Array:
    """Gaps filled from the same time a week before, as often as it takes; what lies before the first value is 0."""
    filled = values.copy()
    for place in np.flatnonzero(~np.isfinite(filled)):
        filled[place] = filled[place - week] if place >= week else 0.0
    return filled


def cars_to_come(group: ExpectedCars, sessions: Iterable[Session], index: pd.DatetimeIndex) -> dict[str, pd.Series]:
    """The series of `expected_cars` for the cars that will really come after the first time of `index`."""
    at, step = index[0].to_pydatetime(), index[1] - index[0]
    came, left, taken = (np.zeros(len(index)) for _ in range(3))
    per_hour = pd.Timedelta(hours=1) / step
    end = at + len(index) * step
    for car in sessions:
        if at < car.arrive < end and car.charger in group.chargers:
            first, last = (int((moment - at) / step) for moment in (car.arrive, car.depart))
            came[first] += per_hour * car.energy_needed_kwh
            left[min(last, len(index) - 1)] += per_hour * car.energy_needed_kwh
            taken[first : last + 1] += 100.0 / len(group.chargers)
    named = {"arriving_kw": came, "leaving_kw": left, "occupied_pct": np.minimum(taken, 100.0)}
    return {f"{group.id}.{name}": pd.Series(values, index) for name, values in named.items()}


def certain(name: str, at: datetime, values: pd.Series, step_minutes: int) -> Forecast:
    """A forecast without any doubt."""
    index = pd.DatetimeIndex(values.index).as_unit("s")
    return Forecast(name, at, "given", step_minutes, index, dict.fromkeys(LEVELS, values.to_numpy(dtype=float)))
