"""The engine without Kafka: what is answered, what may be committed, what happens to what cannot be used."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from streams.messages import SCHEMA_VERSION, Tick
from streams.offsets import GapError
from tests.streams.story import STEP, Story, StubPlanning, at, car, light_park, quarter, reading, tick


def tell(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())


def test_every_boundary_gets_one_answer_and_its_setpoints(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), *quarter(0), *quarter(1))
        await story.settle()
        assert story.answered == [at(0), at(1), at(2)]
        assert [s.valid_from for s in story.setpoints if s.device == "battery1"] == [at(0), at(1), at(2)]
        assert len({s.cmd_id for s in story.setpoints}) == len(story.setpoints)
        assert all(trace.sent for trace in story.ledger.setpoint_trace())
        frame = story.ledger.recent("light_park", at(0))
        assert list(frame["load.demand_kw"]) == pytest.approx([401, 411])
        assert story.engine.safe_offsets() == {0: story.offset}

    tell(run)


def test_ticks_between_boundaries_and_ticks_again_do_nothing(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), tick(0.4), tick(0.9), tick(0), tick(-3), tick(1.2))
        await story.settle()
        assert story.answered == [at(0), at(1)]

    tell(run)


def test_a_jump_answers_every_missing_interval_in_order(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), reading("load", 1, demand_kw=5), reading("load", 3, demand_kw=7), tick(4))
        await story.settle()
        assert [when for _, when in story.planning.asked] == [at(n) for n in range(5)]
        assert list(story.ledger.recent("light_park", at(0)).index) == [at(1), at(3)]

    tell(run)


def test_after_a_jump_of_days_only_the_last_day_is_answered(tmp_path, caplog):
    async def run():
        story = Story(tmp_path / "l.db")
        with caplog.at_level(logging.WARNING):
            story.tell(tick(0), reading("load", 1, demand_kw=5), tick(300))
        await story.settle()
        assert story.answered == [at(0), *(at(n) for n in range(205, 301))]
        assert "clock jumped" in caplog.text
        assert list(story.ledger.recent("light_park", at(0)).index) == [at(1)]

    tell(run)


def test_what_is_open_or_unanswered_is_not_committed(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        await story.settle()
        story.tell(*quarter(0))
        assert story.engine.safe_offsets() == {0: 1}
        story.tell(reading("load", 1, demand_kw=1))
        await story.settle()
        assert story.engine.safe_offsets() == {0: story.offset - 1}

    tell(run)


def test_duplicates_and_disorder_change_nothing(tmp_path):
    async def run():
        plain, mixed = Story(tmp_path / "a.db"), Story(tmp_path / "b.db")
        *readings, end = quarter(0)
        plain.tell(tick(0), *readings, end)
        mixed.tell(tick(0), *reversed(readings), *readings[2:5], end)
        await plain.settle()
        await mixed.settle()
        one, other = (story.ledger.recent("light_park", at(0)) for story in (plain, mixed))
        assert one.equals(other)

    tell(run)


def test_a_late_reading_is_recorded_and_not_used(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), *quarter(0))
        await story.settle()
        before = story.ledger.recent("light_park", at(0))
        story.tell(reading("load", 0.5, demand_kw=9999))
        assert story.engine.safe_offsets() == {0: story.offset - 1}
        await story.settle()
        assert story.ledger.counts()["late_readings"] == 1
        assert story.ledger.recent("light_park", at(0)).equals(before)
        assert story.engine.safe_offsets() == {0: story.offset}

    tell(run)


def test_reading_everything_again_after_a_crash_changes_nothing(tmp_path):
    async def run():
        messages = [tick(0), *quarter(0), *quarter(1), *quarter(2), reading("load", 0.5, demand_kw=9999)]
        first = Story(tmp_path / "l.db")
        first.tell(*messages)
        await first.settle()
        counts, rows = first.ledger.counts(), first.ledger.recent("light_park", at(0))
        again = Story(tmp_path / "l.db")
        again.tell(*messages)
        await again.settle()
        assert again.planning.asked == []
        assert again.setpoints == []
        assert again.ledger.counts() == counts
        assert again.ledger.recent("light_park", at(0)).equals(rows)
        again.tell(*quarter(3))
        await again.settle()
        assert again.answered == [at(n) for n in range(5)]

    tell(run)


@pytest.mark.parametrize("settled", [True, False])
def test_a_crash_at_any_message_loses_and_doubles_nothing(tmp_path, settled):
    async def run():
        messages = [tick(0), *quarter(0), *quarter(1), *quarter(2)]
        whole = Story(tmp_path / "whole.db")
        whole.tell(*messages)
        await whole.settle()
        for crash in range(1, len(messages)):
            path = tmp_path / f"crash{crash}.db"
            first = Story(path)
            first.tell(*messages[:crash])
            if settled:
                await first.settle()
            safe = first.engine.safe_offsets()[0]
            first.engine.revoke(0)
            second = Story(path)
            second.offset = safe
            second.tell(*messages[safe:])
            await second.settle()
            assert second.ledger.recent("light_park", at(0)).equals(whole.ledger.recent("light_park", at(0)))
            sent = [s.cmd_id for s in first.setpoints + second.setpoints]
            assert sorted(sent) == sorted(s.cmd_id for s in whole.setpoints)

    tell(run)


def test_an_answer_written_but_not_sent_is_sent_again_unchanged(tmp_path):
    async def run():
        first = Story(tmp_path / "l.db")
        first.ledger.mark_sent = lambda plan_id: None  # the process dies between sending and marking
        first.tell(tick(0), *quarter(0))
        await first.settle()
        second = Story(tmp_path / "l.db")
        second.tell(tick(0.5))
        await second.settle()
        assert second.setpoints == first.setpoints
        assert second.planning.asked == []
        assert second.ledger.unsent("light_park") == []

    tell(run)


def test_nothing_is_written_for_a_partition_lost_while_planning(tmp_path):
    async def run():
        planning = StubPlanning()
        story = Story(tmp_path / "l.db", planning=planning)
        planning.before = lambda: story.engine.revoke(0)
        story.tell(tick(0))
        for _ in range(10):
            await asyncio.sleep(0)
        assert planning.asked == [("light_park", at(0))]
        assert story.answered == []
        assert story.setpoints == []
        assert story.engine.safe_offsets() == {}

    tell(run)


def test_what_is_in_hand_when_the_engine_stops_is_not_written(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), tick(1))
        await asyncio.sleep(0)
        await story.engine.stop()
        assert story.planning.asked == [("light_park", at(0))]
        assert story.answered == []
        assert story.engine.safe_offsets() == {0: 0}

    tell(run)


def test_messages_of_a_partition_that_is_not_ours_are_left(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.engine.ingest(5, 0, tick(0).key, tick(0).encode())
        await story.settle()
        assert story.answered == []

    tell(run)


def test_a_gap_is_refused(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        with pytest.raises(GapError, match="offset 7 came where 1 was due"):
            story.engine.ingest(0, 7, tick(1).key, tick(1).encode())
        await story.settle()

    tell(run)


def test_sites_do_not_wait_for_each_other(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db", sites=(light_park("one"), light_park("two")))
        story.tell(tick(0, "one"), tick(0, "two"), tick(1, "one"), tick(1, "two"))
        await story.settle()
        assert sorted(story.planning.asked) == [("one", at(0)), ("one", at(1)), ("two", at(0)), ("two", at(1))]

    tell(run)


def test_planning_that_breaks_ends_the_process(tmp_path):
    async def run():
        def broken():
            raise RuntimeError("a fault of the house")

        story = Story(tmp_path / "l.db", planning=StubPlanning(before=broken))
        story.tell(tick(0))
        with pytest.raises(RuntimeError, match="a fault of the house"):
            await story.settle()
        assert story.engine.safe_offsets() == {0: 0}

    tell(run)


def test_state_is_what_was_measured_last(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        plugged = reading("ev01", 0, energy_kwh=12).model_copy(update={"car": car()})
        story.tell(tick(0), plugged, *quarter(0), reading("meter", 1, import_kw=1), tick(2))
        await story.settle()
        second, third = story.planning.states[1:]
        assert second.devices == {"battery1": {"energy_kwh": 500}, "ev01": {"energy_kwh": 12}}
        assert second.quality == {"battery1.energy_kwh": "good", "ev01.energy_kwh": "good"}
        assert third.quality == {"battery1.energy_kwh": "stale", "ev01.energy_kwh": "stale"}
        assert second.sessions["ev01"][0].session_id == "s1"
        assert (second.peak_kw, third.peak_kw) == pytest.approx((301, 301))

    tell(run)


ODD = json.dumps({"version": "1.0", "site": "light_park", "type": "reading", "device": "load", "time": "noon"}).encode()
POISON = [
    (b"light_park", None, "tombstone"),
    (b"light_park", b"", "not JSON"),
    (b"light_park", b"{half", "not JSON"),
    (b"light_park", b"\xff\xfe\x00", "not UTF-8"),
    (b"light_park", b"[1]", "not an object"),
    (b"light_park", b"[" * 100_000, "not JSON"),
    (b"light_park", tick(1).encode().replace(SCHEMA_VERSION.encode(), b"2.0"), "version 2.0"),
    (b"light_park", tick(1).encode().replace(b'"tick"', b'"tock"'), "unknown type 'tock'"),
    (b"light_park", ODD, "Reading.time"),
    (b"light_park", reading("load", 0, demand_kw=1).encode().replace(b"1.0}", b"NaN}"), "not finite: NaN"),
    (b"light_park", reading("load", 0, demand_kw=1).encode().replace(b"1.0}", b"1e999}"), "finite"),
    (b"light_park", reading("nothing", 0, demand_kw=1).encode(), "unknown device nothing"),
    (b"light_park", reading("load", 900, demand_kw=1).encode(), "ahead of the site's clock"),
    (b"elsewhere", tick(1, "elsewhere").encode(), "unknown site elsewhere"),
    (b"elsewhere", tick(1).encode(), "is not the site"),
    (None, tick(1).encode(), "is not the site"),
    (b"light_park", b'{"version":"1.0","type":"ack","site":"light_park","cmd_id":"x","device":"d","seq":1,'
     b'"state":"applied","at":"2026-08-25T16:00:00Z"}', "Acknowledgement on the topic of telemetry"),
]  # fmt: skip


def test_poison_goes_to_dead_letters_with_its_reason_and_the_stream_goes_on(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(tick(0))
        for key, value, _ in POISON:
            story.raw(key, value)
        assert story.engine.safe_offsets()[0] <= 1
        story.tell(*quarter(0))
        await story.settle()
        letters = [json.loads(value) for value in story.buried]
        assert len(letters) == len(POISON)
        for letter, (_, _, why), offset in zip(letters, POISON, range(1, 100), strict=False):
            assert why in letter["reason"]
            assert letter["offset"] == offset
        assert story.answered == [at(0), at(1)]
        assert story.engine.safe_offsets() == {0: story.offset}
        assert story.ledger.counts()["dead_letters"] == len(POISON)

    tell(run)


def test_a_dead_letter_is_not_sent_twice(tmp_path):
    async def run():
        for count in (1, 0):
            story = Story(tmp_path / "l.db")
            story.raw(b"x", b"{half")
            await story.settle()
            assert len(story.buried) == count

    tell(run)


def test_a_huge_message_is_cut_so_that_the_broker_takes_it(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.raw(b"x", b"x" * 3_000_000)
        await story.settle()
        assert len(story.buried[0]) < 1_000_000
        assert "the first 500000 of 3000000 bytes are kept" in json.loads(story.buried[0])["reason"]

    tell(run)


def test_a_reading_far_ahead_before_the_first_tick_does_not_hold_up_commits(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.tell(reading("load", 1e5, demand_kw=1), tick(0))
        await story.settle()
        assert story.engine.safe_offsets() == {0: 2}
        assert story.ledger.counts()["late_readings"] == 1

    tell(run)


def test_a_site_on_two_partitions_is_refused_on_the_second(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db")
        story.engine.assign(1)
        story.tell(tick(0))
        story.engine.ingest(1, 0, tick(1).key, tick(1).encode())
        await story.settle()
        assert story.answered == [at(0)]
        assert "comes on partition 1 and on 0" in json.loads(story.buried[0])["reason"]

    tell(run)


def test_a_site_with_five_minute_steps_is_answered_every_five_minutes(tmp_path):
    async def run():
        park = light_park().model_copy(update={"step_minutes": 5})
        story = Story(tmp_path / "l.db", sites=(park,))
        story.tell(tick(0), Tick(site="light_park", time=at(0) + timedelta(minutes=11)))
        await story.settle()
        assert story.answered == [at(0), at(0) + STEP / 3, at(0) + 2 * STEP / 3]

    tell(run)
