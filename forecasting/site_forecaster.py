"""All series of a site: fitted now and then in a process of its own, forecast every interval in milliseconds.

What was measured is cleaned before it is used, at the fit and at every issue; what was found goes with the forecast. A
model that cannot be fitted, raises, gives a value that is not finite, is too old or has done worse than the
yardstick is replaced by the best yardstick that the measurements allow, and the forecast's `method` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from forecasting.cleaning import Cleaned, Cleaner, of_stamps
from forecasting.closures import ClosureSuggestion, suggested_closures
from forecasting.day_types import DayTable, DayType, LocalClock
from forecasting.findings import Finding
from forecasting.forecast import Array, Forecast, Rival
from forecasting.kinds import FitContext, FittedSeries, Outcome, PastSession, SeriesKind, Told
from forecasting.measured import Measured, measured
from forecasting.provenance import Provenance, code_version, library_versions
from forecasting.published import Published
from forecasting.spread import around, yardstick_errors
from forecasting.standing import SCORED_HOURS, Issued, standing
from forecasting.usual import Usual
from forecasting.yardsticks import stand_in

KEPT_DAYS = 60
SEEN_DAYS = 15
"""Background of the checks at an issue: a day more than the furthest day that may have been copied."""
DECIMALS = 3
"""Forecasts are rounded to this [W, mK]: far below their error, and a third of the bytes in the ledger."""


@dataclass(frozen=True)
class StandIn:
    """Takes the place of a model: the best yardstick, with the spread of day-to-day changes."""

    kept: Measured
    clock: LocalClock
    days: DayTable
    limits: tuple[float, float]
    reason: str
    what: str = "model failed"

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        past = self.kept.overlaid(recent, origin).bridged(self.clock.steps_in(1))
        median, name = stand_in(past, origin, np.arange(end - origin), self.clock, self.days)
        errors = yardstick_errors(past, self.clock.steps_per_day)
        return Outcome(around(median, errors, *self.limits), f"{name} ({self.what}: {self.reason})")

    def course(self, recent: Measured, origin: int, end: int) -> tuple[Array, str]:
        """The yardstick alone, within the limits, and its name."""
        past = self.kept.overlaid(recent, origin).bridged(self.clock.steps_in(1))
        median, name = stand_in(past, origin, np.arange(end - origin), self.clock, self.days)
        return np.clip(median, *self.limits), name


@dataclass(frozen=True)
class Watch:
    """Cleans what comes in after a fit."""

    cleaner: Cleaner
    usual: Usual | None

    def cleaned(self, past: Measured, kept: Measured) -> Cleaned:
        """`past` with all that came after `kept` checked; up to there `kept` is what the fit made of it."""
        if not kept.known or not past.known:
            return Cleaned(past, (), self.usual)
        first = max(kept.first, past.end - SEEN_DAYS * self.cleaner.clock.steps_per_day)
        steps = np.arange(first, past.end, dtype=np.int64)
        seen = Measured(first, np.where(steps < kept.end, kept.at(steps), past.at(steps)))
        return self.cleaner.recent(seen, kept.end, self.usual)


class SeriesCheck(NamedTuple):
    """What the history of one series says about itself."""

    findings: tuple[Finding, ...]
    closures: tuple[ClosureSuggestion, ...]
    """Of demands only."""


@dataclass(frozen=True)
class FittedSite:
    """Fitted models of all series; plain data, picklable."""

    clock: LocalClock
    days: DayTable
    fitted: Mapping[str, FittedSeries]
    stand_ins: Mapping[str, StandIn]
    provenance: Provenance
    watches: Mapping[str, Watch]

    def issue(
        self,
        recent: pd.DataFrame,
        issued_at: datetime,
        until: datetime,
        published: pd.DataFrame | None = None,
        life: timedelta | None = None,
    ) -> dict[str, Forecast]:
        """Forecasts of all series for the intervals from `issued_at` to `until`; the yardstick's, when the fit is older
        than `life`.

        `recent` holds measurements by UTC interval start, best the last eight days or more; intervals not over at
        `issued_at` are dropped, missing columns and NaN are gaps. Up to the fit its own, cleaned, history counts.
        `published` holds what others announced, in columns `issued_at`, `time` and values; rows issued at `issued_at`
        or later are dropped.

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
        old = "" if life is None or issued_at < self.provenance.fitted_at + life else self._too_old(life)
        index = self.clock.index(np.arange(origin, end, dtype=np.int64))
        announced = Published.of(published, self.clock, issued_at)
        forecasts = {}
        for name in self.fitted:
            past, found = self._cleaned(recent, name, closed)
            outcome, rival = self._outcome(name, past, announced, origin, end, old)
            paths = {level: np.round(values, DECIMALS) for level, values in outcome.quantiles.items()}
            forecasts[name] = Forecast(
                name,
                issued_at,
                outcome.method,
                self.clock.step_minutes,
                index,
                paths,
                found,
                rival,
                outcome.memory_hours,
            )
        return forecasts

    def _cleaned(self, recent: pd.DataFrame, name: str, closed: int) -> tuple[Measured, tuple[Finding, ...]]:
        kept = self.stand_ins[name].kept
        past = _column(recent, name, self.clock, closed)
        cleaned = self.watches[name].cleaned(past, kept)
        return cleaned.past, (*of_stamps(recent, name, self.clock, kept.end, closed), *cleaned.findings)

    def _too_old(self, life: timedelta) -> str:
        return f"fitted {self.provenance.fitted_at:%Y-%m-%d}, served for {life.days} days"

    def _outcome(
        self, name: str, past: Measured, announced: Published, origin: int, end: int, old: str
    ) -> tuple[Outcome, Rival | None]:
        """What is used, and beside it the first day of what is not."""
        spare, model = self.stand_ins[name], self.fitted[name]
        day = min(end, origin + self.clock.steps_in(SCORED_HOURS))
        if isinstance(model, StandIn):
            return model.issue(past, origin, end), None
        if old:
            return replace(spare, what="model too old", reason=old).issue(past, origin, end), None
        try:
            told = model.told(announced) if isinstance(model, Told) else model
            outcome = _checked(told.issue(past, origin, end))
        except Exception as error:  # whatever a model may do wrong, the site needs a forecast
            return replace(spare, reason=_reason(error)).issue(past, origin, end), None
        if not spare.kept.known:
            return outcome, None
        if name in self.provenance.replaced:
            median = np.round(outcome.quantiles[0.5][: day - origin], DECIMALS)
            worse = replace(spare, what="model worse", reason=self.provenance.replaced[name])
            return worse.issue(past, origin, end), Rival("model", outcome.method, median)
        median, method = spare.course(past, origin, day)
        return outcome, Rival("yardstick", method, np.round(median, DECIMALS))


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
        issued: Mapping[str, Sequence[Issued]] | None = None,
    ) -> FittedSite:
        """Models of all series from what was measured before `issued_at`.

        `history` has a UTC index of interval starts and a column per measured series. No forecast of this fit may reach
        beyond `horizon_end`: give the end of the last billing period that will be planned before the next fit. `issued`
        holds, by series, what was forecast over the last days: a model that did worse than the yardstick is replaced.

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
        raw = {name: _column(history, name, clock, closed) for name in self.specs}
        days = self._day_table(clock, raw, closed, end)
        context = FitContext(clock, days, closed, end, sessions, Published.of(published, clock, issued_at))
        cleaners = self._cleaners(clock, days)
        cleaned = {name: cleaner.history(raw[name]) for name, cleaner in cleaners.items()}
        stand_ins = {name: self._stand_in(name, found.past, context) for name, found in cleaned.items()}
        fitted = {
            name: _fit_one(kind, cleaned[name].past, context, stand_ins[name]) for name, kind in self.specs.items()
        }
        verdicts = {name: standing(said, raw[name], clock, issued_at) for name, said in (issued or {}).items()}
        pasts = [past for past in raw.values() if past.known]
        provenance = Provenance(
            fitted_at=issued_at,
            horizon_end=horizon_end,
            data_first=clock.start_of(min(past.first for past in pasts)) if pasts else None,
            data_last=clock.start_of(max(_last_known(past) for past in pasts)) if pasts else None,
            libraries=library_versions(),
            failures={name: model.reason for name, model in fitted.items() if isinstance(model, StandIn)},
            parameters={name: repr(kind) for name, kind in self.specs.items()},
            code=code_version(),
            findings={
                name: (*of_stamps(history, name, clock, None, closed), *found.findings)
                for name, found in cleaned.items()
            },
            replaced={name: verdict.reason for name, verdict in verdicts.items() if verdict.use == "yardstick"},
        )
        watches = {name: Watch(cleaner, cleaned[name].usual) for name, cleaner in cleaners.items()}
        return FittedSite(clock, days, fitted, stand_ins, provenance, watches)

    def check(self, history: pd.DataFrame, at: datetime) -> dict[str, SeriesCheck]:
        """By measured series: what is wrong in what was measured before `at`, and which workdays look like days off."""
        clock = LocalClock(self.zone, self.step_minutes)
        closed = clock.closed_steps(at)
        raw = {name: _column(history, name, clock, closed) for name in self.specs}
        checked = {}
        for name, cleaner in self._cleaners(clock, self._day_table(clock, raw, closed, closed)).items():
            cleaned = cleaner.history(raw[name])
            findings = (*of_stamps(history, name, clock, None, closed), *cleaned.findings)
            closures = suggested_closures(cleaned.past, cleaner) if cleaner.nature == "demand" else ()
            checked[name] = SeriesCheck(findings, closures)
        return checked

    def _cleaners(self, clock: LocalClock, days: DayTable) -> dict[str, Cleaner]:
        return {
            name: Cleaner(name, kind.nature, (kind.lowest, kind.highest), clock, days)
            for name, kind in self.specs.items()
        }

    def _day_table(self, clock: LocalClock, raw: Mapping[str, Measured], closed: int, end: int) -> DayTable:
        """Day types from two weeks before the first measurement, where lags point, to the day after the last lead."""
        first = min([closed, *(past.first for past in raw.values())])
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


def _checked(outcome: Outcome) -> Outcome:
    if not all(np.all(np.isfinite(values)) for values in outcome.quantiles.values()):
        raise ValueError("values are not finite")
    return outcome


def _last_known(past: Measured) -> int:
    return past.first + int(np.flatnonzero(np.isfinite(past.values))[-1])
