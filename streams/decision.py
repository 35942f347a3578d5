"""A plan as what leaves the engine: setpoint messages, and the documents that the ledger keeps beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from forecasting.forecast import Forecast
from optimizer.plan import Plan, Setpoint
from optimizer.situation import Prices, Situation
from optimizer.time_grid import TimeGrid
from site_configs.site import Site
from streams.control_cycle import safe_plan
from streams.frozen import freeze_situation
from streams.messages import SetpointMessage
from streams.revisions import FIRST
from streams.site_state import SiteState


@dataclass(frozen=True)
class Decision:
    """One control cycle's outcome, ready to be written down and sent."""

    plan: Plan
    plan_document: str
    plan_hash: str
    situation: str
    forecast_id: str
    forecasts: str
    setpoints: tuple[SetpointMessage, ...]


def decide(situation: Situation, forecasts: Mapping[str, Forecast], plan: Plan) -> Decision:
    """The documents and messages of a plan; the same plan gives the same ones."""
    forecast_id = f"{plan.plan_id}:forecast"
    plan_hash = plan.content_hash
    return Decision(
        plan=plan,
        plan_document=plan.document(repairs=_repairs(forecasts)).model_dump_json(),
        plan_hash=plan_hash,
        situation=freeze_situation(situation),
        forecast_id=forecast_id,
        forecasts=json.dumps([forecast.to_document() for _, forecast in sorted(forecasts.items())], allow_nan=False),
        setpoints=tuple(_message(plan, setpoint, plan_hash, forecast_id) for setpoint in plan.setpoints),
    )


def _repairs(forecasts: Mapping[str, Forecast]) -> tuple[str, ...]:
    return tuple(finding.as_text() for _, forecast in sorted(forecasts.items()) for finding in forecast.findings)


def sequence_of(interval: datetime) -> int:
    """Sequence number of an interval's setpoints: minutes since 1970, so it rises even over a lost ledger."""
    return int(interval.timestamp() // 60)


def safe_decision(site: Site, state: SiteState, reason: str) -> Decision:
    """The last resort, which needs neither forecast nor solver: every device at its safe value."""
    grid = TimeGrid(state.at, site.step_minutes, 1)
    nothing = np.zeros(1)
    situation = Situation(
        site=site.id,
        issued_at=grid.start,
        grid=grid,
        state=state.devices,
        series={},
        prices=Prices(nothing, nothing, ("unknown",), (), (0,), nothing),
        sessions=state.sessions,
    )
    plan = safe_plan(site, state.at, reason)
    return decide(situation, {}, plan)


def _message(plan: Plan, setpoint: Setpoint, plan_hash: str, forecast_id: str) -> SetpointMessage:
    start = plan.grid.start
    return SetpointMessage(
        site=plan.site,
        cmd_id=f"{plan.site}:{setpoint.device}:{start:%Y%m%dT%H%MZ}:{FIRST}",
        device=setpoint.device,
        seq=sequence_of(start),
        issued_at=plan.issued_at,
        valid_from=setpoint.valid_from,
        valid_until=setpoint.valid_until,
        target_kw=setpoint.target_kw,
        safe_value_kw=setpoint.safe_value_kw,
        grid_limit_kw=plan.grid_limit_kw,
        room_kw=setpoint.room_kw,
        self_supply_kw=setpoint.self_supply_kw,
        answer=plan.status,
        reason=setpoint.reason,
        plan_id=plan.plan_id,
        plan_hash=plan_hash,
        forecast_id=forecast_id,
    )
