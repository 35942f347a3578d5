"""What the engine tells beside the setpoints: forecast, plan and alarms of an interval, as the ledger holds them.

The same stored answer gives the same messages, so that a repeat after a crash is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from optimizer.plan import PlanDocument, Text
from streams.messages import Acknowledgement, Alarm, AlarmCode, ForecastMessage, ForecastSeries, Message, PlanMessage
from streams.records import StoredAnswer
from streams.topics import ALARMS, FORECASTS, PLANS

TOLD_AHEAD = timedelta(hours=48)
"""Forecasts are told so far; the ledger has them to the end of the plan's horizon."""
DECIMALS = 3
LARGEST_PLAN = 800_000
"""Bytes; of a plan of very many devices the courses are left to the ledger, so that a broker takes the message."""


def reports_of(stored: StoredAnswer, forecasts: str) -> Iterator[tuple[str, Message]]:
    """Topic and message of everything that is told about an answer; `forecasts` is the ledger's document."""
    plan = PlanDocument.model_validate_json(stored.plan)
    yield FORECASTS.name, forecast_message(stored, json.loads(forecasts))
    yield PLANS.name, plan_message(stored, plan)
    for alarm in plan_alarms(plan, stored.interval):
        yield ALARMS.name, alarm


def forecast_message(stored: StoredAnswer, documents: list[dict[str, Any]]) -> ForecastMessage:
    return ForecastMessage(
        site=stored.site,
        forecast_id=stored.forecast_id,
        plan_id=stored.plan_id,
        issued_at=stored.interval,
        series=tuple(_series(document, stored.interval) for document in documents),
    )


def plan_message(stored: StoredAnswer, plan: PlanDocument) -> PlanMessage:
    whole = len(stored.plan) <= LARGEST_PLAN
    return PlanMessage(
        site=stored.site,
        plan_id=stored.plan_id,
        forecast_id=stored.forecast_id,
        plan_hash=stored.plan_hash,
        issued_at=stored.interval,
        ledger_hash=stored.ledger_hash,
        plan=plan if whole else plan.model_copy(update={"flows": [], "states": {}, "shadow_prices": {}, "held": []}),
    )


def plan_alarms(plan: PlanDocument, interval: datetime) -> Iterator[Alarm]:
    """No fresh plan, and every soft limit that cannot be kept in the interval itself."""
    if plan.status in ("shifted", "rules"):
        what = Text(
            zh=f"本时段无新计划（{plan.status}）：{plan.note}", en=f"no fresh plan ({plan.status}): {plan.note}"
        )
        yield _alarm(plan.site, "no_plan", interval, None, what, critical=plan.status == "rules")
    for given in plan.limits_given_way:
        if given.first == interval:
            size = f"{given.amount:g} {given.unit}"
            what = Text(zh=f"{given.device}：限值 {given.limit} 突破 {size}", en=f"{given.limit} gives way by {size}")
            yield _alarm(plan.site, "limit_gave_way", interval, given.device, what)


def rejection_alarm(ack: Acknowledgement) -> Alarm:
    """A setpoint that its gateway or device refused."""
    what = Text(zh=f"设定值被拒绝：{ack.reason}", en=f"setpoint refused: {ack.reason}")
    alarm = _alarm(ack.site, "setpoint_rejected", ack.at, ack.device, what)
    return alarm.model_copy(update={"alarm_id": f"{ack.cmd_id}:rejected"})


def _alarm(
    site: str, code: AlarmCode, at: datetime, device: str | None, text: Text, *, critical: bool = False
) -> Alarm:
    return Alarm(
        site=site,
        alarm_id=f"{site}:{code}:{device or 'site'}:{at:%Y%m%dT%H%MZ}",
        code=code,
        severity="critical" if critical else "warning",
        at=at,
        device=device,
        text=text,
    )


def _series(document: Mapping[str, Any], at: datetime) -> ForecastSeries:
    start, step = datetime.fromisoformat(document["start"]), timedelta(minutes=document["step_minutes"])
    count = max(0, -((start - at - TOLD_AHEAD) // step))
    return ForecastSeries(
        series=document["series"],
        method=document["method"],
        start=start,
        step_minutes=document["step_minutes"],
        quantiles={
            level: tuple(round(value, DECIMALS) for value in values[:count])
            for level, values in document["quantiles"].items()
        },
    )
