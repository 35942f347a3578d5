"""From a site's state to a decision: forecasts, situation, control cycle in a worker process under a deadline.

There is always a decision. When the worker fails or is late, the fallback is made here: from the situation if the
worker got that far, else from yardstick forecasts; when even that fails, every device is told its safe value.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from forecasting.findings import FindingKind
from forecasting.forecast import Forecast
from forecasting.provenance import refusal
from forecasting.site_forecaster import FittedSite
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import Session, Situation
from site_configs.prices import grid_for
from site_configs.site import Site
from site_configs.tariff import load_tariff, local_midnight
from streams.control_cycle import control_cycle, fallback_cycle, planner_for
from streams.decision import Decision, decide, safe_decision
from streams.records import LedgerStore, StoredForecast, StoredModel
from streams.site_forecasts import (
    MODEL_LIFE,
    fit_site,
    issued_by_series,
    scored,
    series_kinds,
    yardstick_forecasts,
)
from streams.site_runtime import SiteRuntime
from streams.site_state import SiteState, build_situation
from streams.workers import Attachment, Emit, WorkerError, WorkerPool

log = logging.getLogger(__name__)

BUILD_ALLOWANCE_S = 60.0
"""Added to the deadline when a worker plans a site for the first time: the model is built then."""
SOLVER_SHARE = 0.7
"""Share of the deadline that the solver may use before it gives the best it has."""
FIT_LIMIT_S = 600.0
FIT_NICENESS = 10
FIT_PROCESSES = max(1, (os.cpu_count() or 1) // 2)
"""Sites fitted at a time: the other half of the machine plans."""
ANNOUNCED_BEFORE = timedelta(days=10)
"""An update looks at nothing announced earlier."""
NOT_FITTED = "no fitted model yet"


@dataclass(frozen=True)
class PlanJob:
    """One control cycle, as a worker needs it."""

    site: Site
    state: SiteState
    recent: pd.DataFrame
    last_plan: Plan | None
    solver_s: float
    unfitted: str = NOT_FITTED
    """Why there is no fitted model, where there is none."""
    published: pd.DataFrame | None = None
    """What was announced of the days ahead."""


@dataclass(frozen=True)
class Prepared:
    """What the worker knows before it plans: enough for a fallback."""

    situation: Situation
    forecasts: Mapping[str, Forecast]


class PlanningHandler:
    """Lives in a planning worker; keeps each site's built model and fitted forecaster."""

    def __init__(self) -> None:
        self._planners: dict[str, Planner] = {}
        self._fitted: dict[str, FittedSite] = {}

    def attach(self, key: str, content: bytes) -> None:
        self._fitted[key] = pickle.loads(content)

    def handle(self, job: PlanJob, emit: Emit) -> Decision:
        site = job.site
        fitted = self._fitted.get(site.id)
        prepared = prepare(site, job.state, job.recent, fitted, job.published, job.unfitted)
        emit(prepared)
        planner = self._planners.setdefault(site.id, planner_for(site))
        result = control_cycle(site, planner, prepared.situation, job.last_plan, deadline_s=job.solver_s)
        return decide(prepared.situation, prepared.forecasts, result.plan)


def prepare(
    site: Site,
    state: SiteState,
    recent: pd.DataFrame,
    fitted: FittedSite | None,
    published: pd.DataFrame | None = None,
    unfitted: str = NOT_FITTED,
) -> Prepared:
    """Forecasts from what is known, and the situation they make."""
    forecasts = issue_forecasts(site, state.at, recent, fitted, published, unfitted)
    return Prepared(build_situation(site, load_tariff(site), state, forecasts), forecasts)


def issue_forecasts(
    site: Site,
    at: datetime,
    recent: pd.DataFrame,
    fitted: FittedSite | None,
    published: pd.DataFrame | None,
    unfitted: str,
) -> Mapping[str, Forecast]:
    """Forecasts for a plan at `at`: the fitted model's, else the best yardsticks with the reason."""
    if fitted is None:
        return yardstick_forecasts(site, recent, at, unfitted, published)
    try:
        return fitted.issue(recent, at, grid_for(site, at).end, published, MODEL_LIFE)
    except ValueError as error:
        return yardstick_forecasts(site, recent, at, str(error), published)


@dataclass(frozen=True)
class FitJob:
    site: Site
    history: pd.DataFrame
    at: datetime
    sessions: tuple[Session, ...]
    published: pd.DataFrame | None = None
    issued: tuple[StoredForecast, ...] = ()
    """What was forecast over the last days."""


class FittingHandler:
    """Lives in a fitting worker."""

    def attach(self, key: str, content: bytes) -> None:
        raise NotImplementedError("fits need no attachment")

    def handle(self, job: FitJob, emit: Emit) -> StoredModel:
        issued = issued_by_series(stored.documents for stored in job.issued)
        fitted = fit_site(job.site, job.history, job.at, job.sessions, job.published, issued)
        return StoredModel(
            model_id=f"{job.site.id}:{job.at:%Y%m%dT%H%MZ}:model",
            site=job.site.id,
            fitted_at=job.at,
            blob=pickle.dumps(fitted),
            provenance=fitted.provenance.as_json(),
        )


class FittedModels:
    """Each site's fitted forecaster: from the ledger, fitted when there is none, again every local midnight.

    Fits run in a pool of processes that lives while there is something to fit: at midnight all sites are due at once.
    """

    def __init__(self, ledger: LedgerStore, wait_s: float, processes: int = FIT_PROCESSES) -> None:
        self._ledger = ledger
        self._wait_s = wait_s
        self._processes = processes
        self._models: dict[str, StoredModel] = {}
        self._refused: dict[str, str] = {}
        self._fits: dict[str, asyncio.Task[None]] = {}
        self._tried: dict[str, date] = {}
        self._pool: WorkerPool | None = None
        self._opening = asyncio.Lock()

    async def model(self, runtime: SiteRuntime, at: datetime) -> StoredModel | None:
        """The newest fitted model; None when the first fit takes longer than it may be waited for."""
        site = runtime.site
        if site.id not in self._models and site.id not in self._refused:
            self._load(site)
        if self._is_due(site, at):
            self._begin(runtime, at)
        if site.id not in self._models and site.id in self._fits:
            await asyncio.wait([self._fits[site.id]], timeout=self._wait_s)
        return self._models.get(site.id)

    def unfitted(self, site: Site) -> str:
        """Why there is no model."""
        refused = self._refused.get(site.id)
        return NOT_FITTED if refused is None else f"the stored model was refused: {refused}"

    def close(self) -> None:
        for fit in self._fits.values():
            fit.cancel()

    def _load(self, site: Site) -> None:
        """The model of an earlier run, unless this one could read something else in it."""
        stored = self._ledger.latest_model(site.id)
        if stored is None:
            return
        refused = refusal(stored.provenance)
        if refused is None:
            self._models[site.id] = stored
        else:
            self._refused[site.id] = refused
            log.warning("%s: the stored model %s is refused and fitted again: %s", site.id, stored.model_id, refused)

    def _is_due(self, site: Site, at: datetime) -> bool:
        today = at.astimezone(site.zone).date()
        model = self._models.get(site.id)
        if site.id in self._fits or self._tried.get(site.id) == today:
            return False
        return model is None or model.fitted_at < local_midnight(today, site.zone)

    def _begin(self, runtime: SiteRuntime, at: datetime) -> None:
        site = runtime.site
        self._tried[site.id] = at.astimezone(site.zone).date()
        history = runtime.whole(at).reindex(columns=list(series_kinds(site)))
        since, counts = scored(site, at)
        issued = tuple(one for one in self._ledger.forecasts_between(site.id, since, at) if counts(one.issued_at))
        job = FitJob(site, history, at, runtime.past_sessions(at), runtime.announced(at), issued)
        self._fits[site.id] = asyncio.get_running_loop().create_task(self._fit(job))

    async def _fit(self, job: FitJob) -> None:
        try:
            pool = await self._opened()
            model: StoredModel = await pool.run(job.site.id, job, lambda served: FIT_LIMIT_S)
            self._ledger.add_model(model)
            self._models[job.site.id] = model
        except WorkerError as error:
            log.warning("%s: forecasters could not be fitted as of %s: %s", job.site.id, job.at, error)
        finally:
            del self._fits[job.site.id]
            self._close_if_idle()

    async def _opened(self) -> WorkerPool:
        async with self._opening:
            if self._pool is None:
                self._pool = await WorkerPool(self._processes, FittingHandler(), FIT_NICENESS).__aenter__()
            return self._pool

    def _close_if_idle(self) -> None:
        if not self._fits and self._pool is not None:
            self._pool.close()
            self._pool = None


class PlanningDesk:
    """Makes every decision of the engine."""

    def __init__(self, pool: WorkerPool, models: FittedModels, deadline_s: float) -> None:
        self._pool = pool
        self._models = models
        self._deadline_s = deadline_s
        self._named: set[tuple[str, str, FindingKind, datetime]] = set()

    async def decide(self, runtime: SiteRuntime, at: datetime) -> Decision:
        """The decision for the interval at `at`; a plan, or the next-best answer with the reason in its note."""
        site = runtime.site
        state = runtime.state_at(at)
        recent = runtime.recent(at).reindex(columns=list(series_kinds(site)))
        ahead = runtime.announced(at, since=at - ANNOUNCED_BEFORE)
        model = await self._models.model(runtime, at)
        solver_s = SOLVER_SHARE * self._deadline_s
        job = PlanJob(site, state, recent, runtime.last_plan, solver_s, self._models.unfitted(site), ahead)
        prepared: list[Prepared] = []
        try:
            decision: Decision = await self._pool.run(site.id, job, self._limit_s, _attachment(model), prepared.append)
            return decision
        except WorkerError as error:
            log.warning("%s: no plan for %s: %s", site.id, at, error)
            known = prepared[0] if prepared else None
            return await asyncio.to_thread(fall_back, job, known, f"planning failed: {error}")
        finally:
            self._name_findings(site, prepared)

    def _name_findings(self, site: Site, prepared: Sequence[Prepared]) -> None:
        """Logs what was found in the readings, each finding once."""
        for forecast in (forecast for ready in prepared for forecast in ready.forecasts.values()):
            for finding in forecast.findings:
                key = (site.id, finding.series, finding.kind, finding.first_time)
                if key not in self._named:
                    self._named.add(key)
                    log.warning("%s: %s", site.id, finding.as_text())

    def _limit_s(self, served: bool) -> float:
        return self._deadline_s if served else self._deadline_s + BUILD_ALLOWANCE_S


def fall_back(job: PlanJob, prepared: Prepared | None, reason: str) -> Decision:
    """The next-best decision, made without a solver; never raises."""
    try:
        ready = prepared or prepare(job.site, job.state, job.recent, None, job.published)
        result = fallback_cycle(job.site, ready.situation, job.last_plan, reason)
        return decide(ready.situation, ready.forecasts, result.plan)
    except Exception as error:  # whatever is wrong, the site must be told something safe
        log.exception("%s: no fallback for %s", job.site.id, job.state.at)
        return safe_decision(job.site, job.state, f"{reason}; fallback failed: {error}")


def _attachment(model: StoredModel | None) -> Attachment | None:
    return None if model is None else Attachment(model.site, model.model_id, model.blob)
