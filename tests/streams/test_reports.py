"""What is told beside the setpoints: made from the ledger, the same at every repeat."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import numpy as np

from forecasting.forecast import LEVELS, Forecast, regular_index
from optimizer.plan import GivenWayDocument
from streams.acks import AckIntake
from streams.messages import Acknowledgement
from streams.reports import TOLD_AHEAD, forecast_message, plan_alarms, plan_message, reports_of
from streams.topics import ALARMS, FORECASTS, PLANS
from tests.streams.story import Story, at, tick


def test_forecast_plan_and_alarm_are_told_with_every_answer(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), tick(1))
        await story.settle()
        plans, forecasts, alarms = (story.told(topic) for topic in (PLANS, FORECASTS, ALARMS))
        assert [plan.issued_at for plan in plans] == [forecast.issued_at for forecast in forecasts] == [at(0), at(1)]
        stored = story.ledger.answer("light_park", at(1))
        assert (plans[1].plan_hash, plans[1].ledger_hash) == (stored.plan_hash, stored.ledger_hash)
        assert plans[1].plan.model_dump_json() == stored.plan
        assert [(alarm.code, alarm.severity, alarm.at) for alarm in alarms] == [
            ("no_plan", "critical", at(0)),
            ("no_plan", "critical", at(1)),
        ]
        assert "the story's stub" in alarms[0].text.en
        again = list(reports_of(stored, story.ledger.forecast_document(stored.forecast_id)))
        assert [message for _, message in again] == [forecasts[1], plans[1], alarms[1]]

    asyncio.run(run())


def test_setpoints_leave_before_all_else(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        await story.settle()
        topics = [topic for topic, _, _ in story.sent]
        assert topics.index(FORECASTS.name) == len(story.setpoints)

    asyncio.run(run())


def test_a_refused_setpoint_raises_an_alarm_once_and_holds_its_offset(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        await story.settle()
        one = story.setpoints[0]
        ack = Acknowledgement(
            site="light_park", cmd_id=one.cmd_id, device=one.device, seq=one.seq, state="rejected", at=at(0),
            reason="local: a person on site has taken over",
        )  # fmt: skip
        intake = AckIntake(story.ledger, story.dead_letters, story.outbox)
        intake.assign(0)
        for offset in range(2):
            intake.ingest(0, offset, ack.key, ack.encode())
        intake.flush()
        assert intake.safe_offsets() == {0: 0}
        await story.settle()
        assert intake.safe_offsets() == {0: 2}
        alarms = [alarm for alarm in story.told(ALARMS) if alarm.code == "setpoint_rejected"]
        assert {alarm.alarm_id for alarm in alarms} == {f"{one.cmd_id}:rejected"}
        assert alarms[0].device == one.device
        assert alarms[0].text.en == "setpoint refused: local: a person on site has taken over"

    asyncio.run(run())


def test_a_limit_that_gives_way_now_is_an_alarm_and_one_later_is_not(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        await story.settle()
        plan = story.told(PLANS)[0].plan
        given = [
            GivenWayDocument(device="battery1", limit="least_kwh", amount=3.5, unit="kWh", first=at(0)),
            GivenWayDocument(device="ev01", limit="needed_kwh", amount=9.0, unit="kWh", first=at(4)),
        ]
        plan = plan.model_copy(update={"status": "optimal", "limits_given_way": given})
        (alarm,) = plan_alarms(plan, at(0))
        assert (alarm.code, alarm.device, alarm.text.en) == (
            "limit_gave_way", "battery1", "least_kwh gives way by 3.5 kWh"
        )  # fmt: skip

    asyncio.run(run())


def test_a_forecast_is_told_two_days_ahead(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        await story.settle()
        stored = story.ledger.answer("light_park", at(0))
        index = regular_index(at(0), 15, 4 * 96)
        path = np.full(len(index), 123.456789)
        whole = Forecast("load.demand_kw", at(0), "test", 15, index, dict.fromkeys(LEVELS, path))
        (series,) = forecast_message(stored, [whole.to_document()]).series
        assert len(series.quantiles["0.5"]) == TOLD_AHEAD / timedelta(minutes=15)
        assert series.quantiles["0.5"][0] == 123.457

    asyncio.run(run())


def test_a_plan_too_large_for_a_broker_is_told_without_its_courses(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        await story.settle()
        stored = story.ledger.answer("light_park", at(0))
        plan = story.told(PLANS)[0].plan.model_copy(update={"states": {"battery1": {"energy_kwh": [0.0] * 200_000}}})
        large = plan_message(replace(stored, plan=plan.model_dump_json()), plan)
        assert large.plan.states == {}
        assert large.plan.setpoints == plan.setpoints
        assert len(large.encode()) < 100_000

    asyncio.run(run())
