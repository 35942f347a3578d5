"""What the engine knows of one site while it runs: measured past, device states, cars, month's peak, last plan.

All of it is rebuilt from the ledger and the recorded history, so that a process can end at any time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import pandas as pd

from optimizer.plan import Plan
from optimizer.situation import Session
from settlement.carbon import emitted_today_kg
from settlement.demand import peaks_so_far_kw
from site_configs.site import Site
from site_configs.tariff import Tariff, billing_month, load_tariff, local_midnight
from streams.commands import orders_at
from streams.frozen import thaw_plan, thaw_situation
from streams.interval import ClosedInterval, is_state
from streams.ledger import METER_IMPORT
from streams.measured_cop import MeasuredCop
from streams.messages import (
    CarAtCharger,
    DemandResponseCall,
    GridEvent,
    GridLimit,
    Islanding,
    PriceAnnouncement,
    Quality,
    ReserveAward,
    WeatherForecast,
)
from streams.records import LedgerStore, StoredAnswer
from streams.site_news import announced_rows, caps_at, holding, joined, planned_events
from streams.site_state import SiteState

log = logging.getLogger(__name__)

RECENT_DAYS = 10
"""A forecaster looks back a week and a day or two; older rows stay in the ledger."""
STATE_LIFE = timedelta(days=31)
"""A state reported longer ago is not taken up again after a restart."""
EVENTS_KNOWN = timedelta(days=62)
"""A call of the grid is not made longer ahead than this."""
CHARGER = "v2g_charger"


@dataclass
class SiteRuntime:
    """The running knowledge of one site."""

    site: Site
    ledger: LedgerStore
    history: pd.DataFrame
    """Recorded past at the site's step, UTC index; rows from the first answered interval on are never looked at."""
    recorded_sessions: tuple[Session, ...] = ()
    """Recorded stays of cars; those not over at the first answered interval are never looked at."""
    published: pd.DataFrame | None = None
    """What was announced ahead (`published_rows`), by `issued_at`; what is issued later is never looked at."""
    last_plan: Plan | None = None
    _live: dict[datetime, dict[str, float]] = field(default_factory=dict)
    _seen: dict[str, tuple[datetime, float]] = field(default_factory=dict)
    """By signal: interval in which it was measured last, and its value."""
    _cars: dict[str, CarAtCharger | None] = field(default_factory=dict)
    _disbelieved: dict[str, date] = field(default_factory=dict)
    """By machine: local date on which it was last said that its meters disagree."""
    _began: datetime | None = None
    """Start of the first interval ever controlled: from there on the ledger speaks, before it the history."""

    @classmethod
    def restore(
        cls,
        site: Site,
        ledger: LedgerStore,
        history: pd.DataFrame,
        recorded_sessions: tuple[Session, ...] = (),
        published: pd.DataFrame | None = None,
    ) -> SiteRuntime:
        """As it was when the last answer was written."""
        began = ledger.first_answered(site.id)
        runtime = cls(site, ledger, history, recorded_sessions, published, _began=began)
        last = ledger.last_answered(site.id)
        if last is not None:
            runtime._seen = ledger.last_values(site.id, last - STATE_LIFE)
            runtime._cars = ledger.last_cars(site.id, last - STATE_LIFE)
            rows = ledger.recent(site.id, last - timedelta(days=RECENT_DAYS))
            runtime._live = {
                at.to_pydatetime(): {str(name): float(value) for name, value in row.dropna().items()}
                for at, row in zip(rows.index, _rows(rows), strict=True)
            }
            for at, row in runtime._live.items():
                runtime._cops.add(at, row)
            stored = ledger.answer(site.id, last)
            if stored is not None:
                runtime.adopt(stored)
        return runtime

    @property
    def step(self) -> timedelta:
        return timedelta(minutes=self.site.step_minutes)

    @property
    def chargers(self) -> frozenset[str]:
        return frozenset(device.id for device in self.site.devices if device.kind == CHARGER)

    def absorb(self, closed: ClosedInterval) -> None:
        """Takes in what was measured in an interval."""
        self._live[closed.start] = {name: signal.value for name, signal in closed.signals.items()}
        for name, signal in closed.signals.items():
            if name not in self._seen or self._seen[name][0] <= closed.start:
                self._seen[name] = (closed.start, signal.value)
        self._cars.update(closed.cars)
        self._measure_machines(closed.start)
        oldest = closed.start - timedelta(days=RECENT_DAYS)
        self._live = {at: row for at, row in self._live.items() if at >= oldest}

    def _measure_machines(self, start: datetime) -> None:
        """Says once a day of a machine that its meters disagree."""
        today = start.astimezone(self.site.zone).date()
        for machine, power in self._cops.add(start, self._live[start]).items():
            if self._disbelieved.get(machine) != today:
                self._disbelieved[machine] = today
                log.warning(
                    "%s: %s took %.1f kW from %s on for what its data sheet gives with %.1f kW; plans do not learn "
                    "from that: check its meters and its COP in the site file",
                    self.site.id, machine, power.measured, start, power.by_sheet,
                )  # fmt: skip

    def last_ends(self) -> dict[str, datetime]:
        """By signal: end of the interval in which it was measured last."""
        return {name: seen + self.step for name, (seen, _) in self._seen.items()}

    def begin(self, at: datetime) -> None:
        """The first interval ever controlled starts at `at`; later calls change nothing."""
        self._began = self._began or at

    def adopt(self, stored: StoredAnswer) -> None:
        """Makes the plan of a stored answer the last plan."""
        self.last_plan = thaw_plan(stored.plan, thaw_situation(stored.situation).grid)

    def state_at(self, at: datetime) -> SiteState:
        """The site at the start of the interval `at`, from the intervals closed before it."""
        cars = self._plugged(at)
        devices: dict[str, dict[str, float]] = {}
        quality: dict[str, Quality] = {}
        for name, (seen, value) in sorted(self._seen.items()):
            device, quantity = name.split(".", 1)
            if not is_state(name) or (device in self.chargers and not self._of_this_car(cars.get(device), seen)):
                continue
            devices.setdefault(device, {})[quantity] = value
            quality[name] = "good" if seen + self.step >= at else "stale"
        sessions = {charger: (_session(charger, car),) for charger, car in cars.items()}
        for limit in (service for service in self.site.services if service.kind == "carbon_limit"):
            devices[limit.id] = {"today_kg": self._emitted_today_kg(at)}
        calls = self._grid_events(at)
        orders = orders_at(self.site, self.ledger.commands(self.site.id), at, self.last_plan)
        return SiteState(
            self.site.id,
            at,
            self._cops.added_to(devices, at),
            self.peaks_kw(at),
            sessions,
            quality,
            events=planned_events(calls, self._live_imports(), at, self.step),
            orders=(*orders, *caps_at(calls, at, self.step)),
        )

    def recent(self, at: datetime) -> pd.DataFrame:
        """The measured columns of the last days before `at`: regular UTC rows, NaN where nothing is known."""
        since = at - timedelta(days=RECENT_DAYS)
        return self._joined(self._live_frame(), since, at)

    def whole(self, at: datetime) -> pd.DataFrame:
        """As `recent`, from the beginning of the recorded history on; for fitting."""
        since = self.history.index[0].to_pydatetime() if len(self.history) else self._began or at
        return self._joined(self.ledger.recent(self.site.id, since).combine_first(self._live_frame()), since, at)

    def announced(self, at: datetime, since: datetime | None = None) -> pd.DataFrame | None:
        """What was announced before `at`, of it what was issued from `since` on."""
        return joined(self._recorded_announcements(at, since), self._live_announcements(at, since))

    def _recorded_announcements(self, at: datetime, since: datetime | None) -> pd.DataFrame | None:
        if self.published is None:
            return None
        issued = self.published["issued_at"]
        first = 0 if since is None else issued.searchsorted(pd.Timestamp(since))
        return self.published.iloc[first : issued.searchsorted(pd.Timestamp(at))]

    def _live_announcements(self, at: datetime, since: datetime | None) -> pd.DataFrame | None:
        kinds = (WeatherForecast, PriceAnnouncement)
        first = since or datetime.fromtimestamp(0, UTC)
        return announced_rows(
            [one for kind in kinds for one in self.ledger.announcements(self.site.id, kind, first, at)]
        )

    def _grid_events(self, at: datetime) -> list[GridEvent]:
        """What the grid calls for, as known before `at`, and is not over."""
        kinds = (DemandResponseCall, ReserveAward, GridLimit, Islanding)
        first = at - EVENTS_KNOWN
        told = (one for kind in kinds for one in self.ledger.announcements(self.site.id, kind, first, at))
        return holding(sorted(told, key=lambda event: event.issued_at), at)

    def past_sessions(self, at: datetime) -> tuple[Session, ...]:
        """Stays that were over at `at`, recorded or reported while the site was controlled."""
        began = self._began or at
        recorded = tuple(session for session in self.recorded_sessions if session.depart <= min(began, at))
        reported = (_session(*stay) for stay in self.ledger.cars_since(self.site.id, began))
        return (*recorded, *(session for session in reported if session.depart <= at))

    def peaks_kw(self, at: datetime) -> dict[str, float]:
        """By demand line: highest metered demand of the billing month that holds `at`, before `at`."""
        month = billing_month(at, self.site.zone)[0].astimezone(UTC)
        parts = [self._recorded_imports(month), self.ledger.imports_kw(self.site.id, month), self._live_imports()]
        imports = pd.concat([part for part in parts if len(part)]) if any(len(part) for part in parts) else parts[1]
        latest = imports[~imports.index.duplicated(keep="last")].sort_index()
        return peaks_so_far_kw(self.site, self._tariff, latest, at, self.site.step_minutes)

    def _emitted_today_kg(self, at: datetime) -> float:
        midnight = local_midnight(at.astimezone(self.site.zone).date(), self.site.zone)
        recorded = self.history.loc[midnight : self._cut(at)]
        return emitted_today_kg(self.site, self._live_frame().combine_first(recorded), at, self.site.step_minutes)

    @cached_property
    def _cops(self) -> MeasuredCop:
        return MeasuredCop(self.site)

    @cached_property
    def _tariff(self) -> Tariff:
        return load_tariff(self.site)

    def _recorded_imports(self, month: datetime) -> pd.Series[float]:
        if METER_IMPORT not in self.history:
            return pd.Series(dtype=float)
        return self.history.loc[month : self._cut(None), METER_IMPORT].dropna()

    def _live_imports(self) -> pd.Series[float]:
        """Of intervals that are closed, whether or not they are in the ledger yet."""
        values = {at: row[METER_IMPORT] for at, row in self._live.items() if METER_IMPORT in row}
        return pd.Series(list(values.values()), pd.DatetimeIndex(list(values), tz=UTC), dtype=float)

    def _cut(self, at: datetime | None) -> datetime | None:
        """Last moment up to which the recorded history may be looked at."""
        ends = [end - timedelta(seconds=1) for end in (at, self._began) if end is not None]
        return min(ends, default=None)

    def _live_frame(self) -> pd.DataFrame:
        index = pd.DatetimeIndex(list(self._live), tz=UTC, name="time")
        return pd.DataFrame(list(self._live.values()), index=index, dtype=float).sort_index()

    def _joined(self, live: pd.DataFrame, since: datetime, at: datetime) -> pd.DataFrame:
        recorded = self.history.loc[since : self._cut(at)]
        columns = list(self.history.columns) or list(live.columns)
        index = pd.date_range(since, at - self.step, freq=self.step, tz=UTC, name="time", unit="s")
        fresh = live.reindex(index=index, columns=columns)
        return fresh.combine_first(recorded.reindex(index=index))[columns]

    def _of_this_car(self, car: CarAtCharger | None, seen: datetime) -> bool:
        """Whether a value seen in an interval can belong to the car that is plugged in now."""
        return car is not None and seen + self.step > car.arrive

    def _plugged(self, at: datetime) -> dict[str, CarAtCharger]:
        return {charger: car for charger, car in sorted(self._cars.items()) if car is not None and car.depart > at}


def at_step(frame: pd.DataFrame, step_minutes: int) -> pd.DataFrame:
    """A recorded past at the site's step: finer ones are averaged, coarser ones held."""
    step = pd.Timedelta(minutes=step_minutes)
    if len(frame) < 2 or frame.index[1] - frame.index[0] == step:
        return frame
    return frame.resample(step).mean() if frame.index[1] - frame.index[0] < step else frame.resample(step).ffill()


def _session(charger: str, car: CarAtCharger) -> Session:
    return Session(
        session_id=car.session_id,
        charger=charger,
        arrive=car.arrive.astimezone(UTC),
        depart=car.depart.astimezone(UTC),
        energy_needed_kwh=car.energy_needed_kwh,
        energy_on_arrival_kwh=car.energy_on_arrival_kwh,
        capacity_kwh=car.capacity_kwh,
    )


def _rows(frame: pd.DataFrame) -> list[pd.Series[float]]:
    return [frame.iloc[i] for i in range(len(frame))]
