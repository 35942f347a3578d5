"""Orders act at once on the interval that runs: told anew by name and sequence, never twice in two ways."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from optimizer.situation import FixedPower, ImportCap
from streams.commands import CommandDesk
from streams.messages import OperatorCommand, SetpointMessage
from streams.revisions import MOST_REVISIONS, revisions
from streams.topics import SETPOINTS
from tests.streams.story import Story, at, light_park, tick

PARK = light_park()
NOW = at(1) + timedelta(minutes=4)


def setpoint(device: str = "battery1", target_kw: float = 50.0, limit_kw: float | None = 800.0) -> SetpointMessage:
    return SetpointMessage.model_validate(
        {"site": "light_park", "device": device, "cmd_id": f"light_park:{device}:20260825T1615Z:r0", "seq": 1000}
        | {"issued_at": at(1), "valid_from": at(1), "valid_until": at(2), "target_kw": target_kw, "safe_value_kw": 0}
        | {"grid_limit_kw": limit_kw, "room_kw": (-500, 500), "answer": "optimal", "reason": {"zh": "放电", "en": "x"}}
        | {"plan_id": "p", "plan_hash": "h", "forecast_id": "f"}
    )


def fixed(power_kw: float, device: str = "battery1") -> FixedPower:
    return FixedPower(device, power_kw, at(5), "override by Li Wei: test")


def test_a_device_under_an_order_gets_its_power_within_its_bounds_and_is_left_alone_by_the_loop() -> None:
    told = (setpoint(), setpoint("pv1", 500.0))
    (one,) = revisions(PARK, told, (fixed(-900.0),), NOW)
    assert (one.device, one.target_kw, one.room_kw) == ("battery1", -500.0, None)
    assert (one.cmd_id, one.seq, one.issued_at) == ("light_park:battery1:20260825T1615Z:r1", 1001, NOW)
    assert one.valid_until == at(2)
    assert "Li Wei" in one.reason.en


def test_a_cap_lowers_the_grid_limit_of_every_device() -> None:
    told = (setpoint(), setpoint("pv1", 500.0, None))
    assert [(one.device, one.grid_limit_kw, one.target_kw) for one in revisions(PARK, told, (cap(600),), NOW)] == [
        ("battery1", 600.0, 50.0),
        ("pv1", 600.0, 500.0),
    ]
    assert revisions(PARK, (setpoint(),), (cap(900),), NOW) == ()


def cap(power_kw: float) -> ImportCap:
    return ImportCap(power_kw, at(5), "limit")


def test_the_end_of_an_order_brings_the_plans_word_back() -> None:
    told = [setpoint()]
    told += revisions(PARK, told, (fixed(-100.0),), NOW)
    assert revisions(PARK, told, (fixed(-100.0),), NOW) == ()
    (back,) = revisions(PARK, told, (), NOW)
    assert (back.target_kw, back.room_kw, back.seq) == (50.0, (-500.0, 500.0), 1002)


@pytest.mark.parametrize("moment", [at(1) - timedelta(seconds=1), at(2)])
def test_setpoints_that_are_not_in_force_stay_as_they_are(moment) -> None:
    assert revisions(PARK, (setpoint(),), (fixed(1.0),), moment) == ()


def test_sequence_numbers_stay_below_the_next_intervals() -> None:
    told = [setpoint()]
    for power_kw in range(20):
        told += revisions(PARK, told, (fixed(float(power_kw)),), NOW)
    assert [one.seq for one in told] == list(range(1000, 1000 + MOST_REVISIONS + 1))
    assert MOST_REVISIONS < 5  # minutes of the shortest step


def order(kind: str, name: str = "c1", **more: object) -> OperatorCommand:
    return OperatorCommand.model_validate(
        {"site": "light_park", "command_id": name, "kind": kind, "issued_at": NOW, "until": at(5)}
        | {"who": "Li Wei", "why": "test"}
        | more
    )


def test_an_order_is_told_before_it_is_answered_and_again_when_it_is_read_again(tmp_path) -> None:
    async def run() -> None:
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), tick(1))
        await story.settle()
        before = len(story.setpoints)
        command = order("override", device="battery1", power_kw=-120.0)
        for again in range(2):
            desk = CommandDesk({PARK.id: PARK}, story.ledger, story.dead_letters, story._send)
            desk.assign(0)
            desk.ingest(0, again, command.key, command.encode())
            await desk.work_off()
            assert desk.safe_offsets() == {0: again + 1}
        told = story.setpoints[before:]
        assert [one.cmd_id.rsplit(":", 1)[1] for one in told] == ["r1", "r1"]
        assert told[0] == told[1]
        assert told[0].target_kw == -120.0
        assert [topic for topic, _, _ in story.sent[-4:]].index(SETPOINTS.name) == 0
        assert story.ledger.unsent("light_park") == []
        assert story.ledger.changed() == []

    asyncio.run(run())


def test_an_order_of_another_time_waits_for_the_next_plan(tmp_path) -> None:
    async def run() -> None:
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        await story.settle()
        before = len(story.setpoints)
        desk = CommandDesk({PARK.id: PARK}, story.ledger, story.dead_letters, story._send)
        desk.assign(0)
        late = order("disable", device="battery1", issued_at=at(9), until=at(12))
        desk.ingest(0, 0, late.key, late.encode())
        await desk.work_off()
        assert len(story.setpoints) == before

    asyncio.run(run())
