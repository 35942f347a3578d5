"""All series of a site: fitted now and then in a process of its own, forecast every interval in milliseconds.

A model that cannot be fitted, raises, or gives a value that is not finite is replaced by the best yardstick that the
measurements allow, and the forecast's `method` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from forecasting.day_types import DayTable, DayType, LocalClock
from forecasting.forecast import Forecast
from forecasting.kinds import FitContext, FittedSeries, Outcome, PastSession, SeriesKind, Told
from forecasting.measured import Measured, measured
from forecasting.published import Published
from forecasting.spread import around, yardstick_errors
from forecasting.yardsticks import stand_in

LIBRARIES = ("prophet", "cmdstanpy", "numpy", "pandas")
KEPT_DAYS = 60
DECIMALS = 3
"""Forecasts are rounded to this [W, mK]: far below their error, and a third of the bytes in the ledger."""


@dataclass(frozen=True)
class Provenance:
    """Where a fit comes from."""

    fitted_at: datetime
    """The `issued_at` of the fit: nothing measured from then on was seen."""
    horizon_end: datetime
    data_first: datetime | None
    data_last: datetime | None
    """Start of the first and of the last measured interval."""
    libraries: Mapping[str, str]
    failures: Mapping[str, str]
    """By series: why its model could not be fitted."""


@dataclass(frozen=True)
class StandIn:
    """Takes the place of a model: the best yardstick, with the spread of day-to-day changes."""

    kept: Measured
    clock: LocalClock
    days: DayTable
    limits: tuple[float, float]
    reason: str

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        past = self.kept.overlaid(recent, origin).bridged(self.clock.steps_in(1))
        median, name = stand_in(past, origin, np.arange(end - origin), self.clock, self.days)
        errors = yardstick_errors(past, self.clock.steps_per_day)
        return Outcome(around(median, errors, *self.limits), f"{name} (model failed: {self.reason})")


@dataclass(frozen=True)
class FittedSite:
    """Fitted models of all series; plain data, picklable."""

    clock: LocalClock
    days: DayTable
    fitted: Mapping[str, FittedSeries]
    stand_ins: Mapping[str, StandIn]
    provenance: Provenance

    def issue(
        self, recent: pd.DataFrame, issued_at: datetime, until: datetime, published: pd.DataFrame | None = None
    ) -> dict[str, Forecast]:
        """Forecasts of all series for the intervals from `issued_at` to `until`.

        `recent` holds measurements by UTC interval start, best the last eight days or more; intervals not over at
        `issued_at` are dropped, missing columns and NaN are gaps. `published` holds what others announced, in columns
        `issued_at`, `time` and values; rows issued at `issued_at` or later are dropped.

        Raises:
            ValueError: `until` is not after `issued_at`, or beyond the fit's `horizon_end`.
        """
        origin, end = self.clock.first_step(issued_at), self.clock.first_step(until)
        if end <= origin:
            raise ValueError(f"forecast until {until} asked at {issued_at}: no interval lies between")
        if until > self.provenance.horizon_end:
            raise ValueError(
                f"forecast until {until} asked, the fit reaches to {self.provenance.horizon_end}: fit again"
            )
        closed = self.clock.closed_steps(issued_at)
        index = self.clock.index(np.arange(origin, end, dtype=np.int64))
        announced = Published.of(published, self.clock, issued_at)
        forecasts = {}
        for name in self.fitted:
            past = _column(recent, name, self.clock, closed)
            outcome = self._outcome(name, past, announced, origin, end)
            paths = {level: np.round(values, DECIMALS) for level, values in outcome.quantiles.items()}
            forecasts[name] = Forecast(name, issued_at, outcome.method, self.clock.step_minutes, index, paths)
        return forecasts

    def _outcome(self, name: str, past: Measured, announced: Published, origin: int, end: int) -> Outcome:
        try:
            model = self.fitted[name]
            outcome = (model.told(announced) if isinstance(model, Told) else model).issue(past, origin, end)
            if all(np.all(np.isfinite(values)) for values in outcome.quantiles.values()):
                return outcome
            reason = "values are not finite"
        except Exception as error:  # whatever a model may do wrong, the site needs a forecast
            reason = _reason(error)
        spare = self.stand_ins[name]
        return StandIn(spare.kept, spare.clock, spare.days, spare.limits, reason).issue(past, origin, end)


@dataclass(frozen=True)
class SiteForecaster:
    """What to forecast at a site: series name -> kind, the site's day types and zone."""

    specs: Mapping[str, SeriesKind]
    day_type: DayType
    zone: ZoneInfo
    step_minutes: int = 15

    def fit(
        self,
        history: pd.DataFrame,
        issued_at: datetime,
        horizon_end: datetime,
        sessions: Sequence[PastSession] = (),
        published: pd.DataFrame | None = None,
    ) -> FittedSite:
        """Models of all series from what was measured before `issued_at`.

        `history` has a UTC index of interval starts and a column per measured series. No forecast of this fit may reach
        beyond `horizon_end`: give the end of the last billing period that will be planned before the next fit.

        Raises:
            ValueError: a column is missing, or `horizon_end` is not after `issued_at`. A day that the site's calendar
                does not know (up to two days after `horizon_end`) raises the calendar's own error.
        """
        missing = [name for name, kind in self.specs.items() if kind.measured and name not in history]
        if missing:
            raise ValueError(f"history lacks the columns {', '.join(missing)}; it has {', '.join(map(str, history))}")
        clock = LocalClock(self.zone, self.step_minutes)
        closed, end = clock.closed_steps(issued_at), clock.first_step(horizon_end)
        if end <= closed:
            raise ValueError(f"horizon_end {horizon_end} is not after issued_at {issued_at}")
        pasts = {name: _column(history, name, clock, closed) for name in self.specs}
        days = self._day_table(clock, min([closed, *(past.first for past in pasts.values())]), end)
        context = FitContext(clock, days, closed, end, sessions, Published.of(published, clock, issued_at))
        stand_ins = {name: self._stand_in(name, pasts[name], context) for name in self.specs}
        fitted = {name: _fit_one(kind, pasts[name], context, stand_ins[name]) for name, kind in self.specs.items()}
        provenance = _provenance(pasts, fitted, clock, issued_at, horizon_end)
        return FittedSite(clock, days, fitted, stand_ins, provenance)

    def _day_table(self, clock: LocalClock, first: int, end: int) -> DayTable:
        """Day types from two weeks before the first measurement, where lags point, to the day after the last lead."""
        local_days, _ = clock.days_and_slots(np.array([first, end - 1], dtype=np.int64))
        return DayTable.over(self.day_type, int(local_days[0]) - 14, int(local_days[1]) + 3)

    def _stand_in(self, name: str, past: Measured, context: FitContext) -> StandIn:
        kind = self.specs[name]
        kept = past.between(max(past.first, past.end - KEPT_DAYS * context.clock.steps_per_day), past.end)
        return StandIn(kept, context.clock, context.days, (kind.lowest, kind.highest), "")


def _fit_one(kind: SeriesKind, past: Measured, context: FitContext, spare: StandIn) -> FittedSeries:
    try:
        return kind.fit(past, context)
    except Exception as error:  # one series that cannot be fitted must not take the others with it
        return StandIn(spare.kept, spare.clock, spare.days, spare.limits, _reason(error))


def _column(frame: pd.DataFrame, name: str, clock: LocalClock, closed: int) -> Measured:
    if name not in frame:
        return Measured(closed, np.empty(0))
    return measured(frame[name], clock, closed)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _provenance(
    pasts: Mapping[str, Measured],
    fitted: Mapping[str, FittedSeries],
    clock: LocalClock,
    issued_at: datetime,
    horizon_end: datetime,
) -> Provenance:
    known = [past for past in pasts.values() if past.known]
    return Provenance(
        fitted_at=issued_at,
        horizon_end=horizon_end,
        data_first=clock.start_of(min(past.first for past in known)) if known else None,
        data_last=clock.start_of(max(_last_known(past) for past in known)) if known else None,
        libraries={library: version(library) for library in LIBRARIES},
        failures={name: model.reason for name, model in fitted.items() if isinstance(model, StandIn)},
    )


def _last_known(past: Measured) -> int:
    return past.first + int(np.flatnonzero(np.isfinite(past.values))[-1])
