"""The engine in the process of the bench: the one that runs live, without Kafka and worker processes around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import TracebackType

import pandas as pd
from prometheus_client import CollectorRegistry

from forecasting.site_forecaster import FittedSite
from hil.scenarios.loading import Setting
from optimizer.situation import Situation
from streams.commands import judge
from streams.control_cycle import control_cycle, planner_for
from streams.dead_letters import DeadLetterDesk
from streams.decision import Decision, decide
from streams.engine import Engine
from streams.ledger import METER_IMPORT, Ledger
from streams.messages import Message, OperatorCommand, SetpointMessage
from streams.observation import CycleTimes
from streams.planning import ANNOUNCED_BEFORE, PlanJob, fall_back, prepare
from streams.site_forecasts import published_rows, series_kinds, yardstick_site
from streams.site_runtime import SiteRuntime, at_step
from streams.site_state import SiteState
from streams.topics import SETPOINTS

DEADLINE_S = 60.0
"""Far more than a plan takes, so that the same scenario gives the same plans on a slow machine: that planning is late
is an event of the scenario."""
LATE = "planning failed: no plan within the deadline"
PARTITION = 0
View = Callable[[SiteState], SiteState]
Doctor = Callable[[Situation, pd.DataFrame], Situation]


class InProcessPlanning:
    """Decides as a planning worker and the desk before it do.

    Forecasts are the yardstick's, which need no long fit: as of the first interval, brought up to date in each one.
    `late` is whether planning overruns its deadline. `view` and `doctor` are for controllers that are bad on purpose:
    what they see of the site's state, and what they make of the situation and the measured past.
    """

    def __init__(self, setting: Setting, view: View | None = None, doctor: Doctor | None = None) -> None:
        self._planner = planner_for(setting.site)
        self._view: View = view or (lambda state: state)
        self._doctor: Doctor = doctor or (lambda situation, recent: situation)
        self.late = False
        self._fitted: FittedSite | None = None

    async def decide(self, runtime: SiteRuntime, at: datetime) -> Decision:
        site, state = runtime.site, self._view(runtime.state_at(at))
        recent = runtime.recent(at).reindex(columns=list(series_kinds(site)))
        ahead = runtime.announced(at, since=at - ANNOUNCED_BEFORE)
        job = PlanJob(site, state, recent, runtime.last_plan, DEADLINE_S, published=ahead)
        if self._fitted is None:
            self._fitted = yardstick_site(site, recent, at, "none is fitted on the bench", ahead)
        prepared = prepare(site, state, recent, self._fitted, ahead)
        prepared = replace(prepared, situation=self._doctor(prepared.situation, recent))
        if self.late:
            return fall_back(job, prepared, LATE)
        result = control_cycle(site, self._planner, prepared.situation, job.last_plan, deadline_s=DEADLINE_S)
        return decide(prepared.situation, prepared.forecasts, result.plan)


class EngineInProcess:
    """Readings and ticks in, setpoints out. Use as a context: it has a ledger in memory and a loop of its own.

    It knows the record before the scenario, and nothing of its span.
    """

    def __init__(self, setting: Setting, planning: InProcessPlanning) -> None:
        self._site, self._planning = setting.site, planning
        self._runner = asyncio.Runner()
        self._ledger = Ledger(":memory:")
        self._sent: list[SetpointMessage] = []
        self._failed: list[BaseException] = []
        self._offset = 0
        self._letters = DeadLetterDesk(self._ledger, self._send)
        restore = {setting.site.id: partial(_runtime, setting, self._ledger)}
        times = CycleTimes(CollectorRegistry())
        self._engine = Engine(restore, self._ledger, planning, self._send, self._letters, self._failed.append, times)
        self._engine.assign(PARTITION)

    def __enter__(self) -> EngineInProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._engine.stop())
        self._runner.close()
        self._ledger.close()

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        """Takes in messages as they come from the site; the setpoints that follow from them."""
        self._sent.clear()
        self._runner.run(self._take(messages))
        if self._failed:
            raise self._failed[0]
        return list(self._sent)

    def order(self, command: OperatorCommand) -> None:
        """Writes an operator's order down, as the command desk does."""
        self._ledger.add_command(command, judge(self._site, command, self._ledger.commands(self._site.id)))

    def be_late(self, late: bool) -> None:
        self._planning.late = late

    async def _take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._engine.ingest(PARTITION, self._offset, message.key, message.encode())
            self._offset += 1
        while self._engine.backlog and not self._failed:
            self._engine.flush()
            while self._letters.waiting:
                await self._letters.work_off()
            await asyncio.sleep(0)

    async def _send(self, topic: str, key: bytes, value: bytes) -> None:
        if topic == SETPOINTS.name:
            self._sent.append(SetpointMessage.model_validate_json(value))


def _runtime(setting: Setting, ledger: Ledger) -> SiteRuntime:
    site, history = setting.site, setting.history
    before = at_step(history.frame, site.step_minutes).loc[: setting.start - pd.Timedelta(seconds=1)].copy()
    before[METER_IMPORT] = _meter_before(setting, before)
    published = published_rows(site, history.frame, history.weather_forecast)
    return SiteRuntime.restore(site, ledger, before, history.sessions, published)


def _meter_before(setting: Setting, before: pd.DataFrame) -> pd.Series[float]:
    """The billing meter as far as it is told: the month's highest demand, in the last interval before the lead-in."""
    told = pd.Series(float("nan"), before.index)
    told.iloc[-2] = setting.scenario.peak_before_kw
    return told
