"""Acknowledgements: in the ledger before they are committed."""

from __future__ import annotations

import asyncio
import json

from streams.acks import AckIntake
from streams.messages import Acknowledgement
from tests.streams.story import Story, at, tick


def ack(cmd_id: str, state: str = "applied") -> Acknowledgement:
    return Acknowledgement(
        site="light_park", cmd_id=cmd_id, device="battery1", seq=1, state=state, at=at(0), readback_kw=5
    )  # fmt: skip


async def answered(path) -> tuple[Story, AckIntake, str]:
    """A story with one answer, its intake of acknowledgements, and the command of the battery."""
    story = Story(path)
    story.tell(tick(0))
    await story.settle()
    intake = AckIntake(story.ledger, story.dead_letters, story.outbox)
    intake.assign(2)
    return story, intake, next(s.cmd_id for s in story.setpoints if s.device == "battery1")


def test_it_stands_beside_its_setpoint_after_a_flush(tmp_path):
    async def run():
        story, intake, cmd_id = await answered(tmp_path / "l.db")
        intake.ingest(2, 40, b"light_park", ack(cmd_id).encode())
        assert intake.safe_offsets() == {2: 40}
        assert intake.backlog == 1
        intake.flush()
        assert intake.safe_offsets() == {2: 41}
        trace = next(one for one in story.ledger.setpoint_trace() if one.cmd_id == cmd_id)
        assert (trace.state, trace.readback_kw) == ("applied", 5)

    asyncio.run(run())


def test_what_cannot_be_used_goes_to_dead_letters(tmp_path):
    async def run():
        story, intake, cmd_id = await answered(tmp_path / "l.db")
        for offset, value in enumerate([b"{", ack("unknown").encode(), tick(0).encode(), ack(cmd_id).encode()]):
            intake.ingest(2, offset, b"light_park", value)
        intake.flush()
        assert intake.safe_offsets() == {2: 0}
        await story.settle()
        reasons = [json.loads(value)["reason"] for value in story.buried]
        assert reasons[0].startswith("not JSON")
        assert "a setpoint that the ledger does not hold" in reasons[1]
        assert "Tick on the topic of acknowledgements" in reasons[2]
        assert intake.safe_offsets() == {2: 4}
        assert story.ledger.counts()["acks"] == 1

    asyncio.run(run())


def test_reading_again_adds_nothing(tmp_path):
    async def run():
        story, intake, cmd_id = await answered(tmp_path / "l.db")
        for _ in range(2):
            intake.assign(2)
            intake.ingest(2, 0, b"light_park", ack(cmd_id).encode(), expected=0)
            intake.ingest(2, 0, b"light_park", ack(cmd_id).encode())
            intake.flush()
        assert story.ledger.counts()["acks"] == 1
        intake.revoke(2)
        assert intake.safe_offsets() == {}

    asyncio.run(run())
