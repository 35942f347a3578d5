"""What the gateway decides, told as stories on the site's clock; TV-33 of the domain rules among them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.devices.battery import Battery
from optimizer.plan import Text
from streams.gateways.decisions import (
    Accept,
    DeviceMemory,
    Event,
    Reject,
    Repeat,
    accepted,
    decide,
    near_enough,
    observed,
    passed,
    rejected,
)
from streams.gateways.face import Block, Mismatch, Readback
from streams.gateways.registers import DeviceState, RejectReason
from streams.messages import SetpointMessage

BATTERY = Battery(id="battery1", capacity_kwh=1000, charge_limit_kw=500, discharge_limit_kw=400)
SAFE_KW = 0.0


def at(clock: str) -> datetime:
    hours, minutes, seconds = [*map(int, clock.split(":")), 0][:3]
    return datetime(2026, 8, 26, hours, minutes, seconds, tzinfo=UTC)


def setpoint(
    seq: int, target_kw: float, valid_from: datetime, valid_until: datetime, cmd_id: str = "", safe_kw: float = SAFE_KW
) -> SetpointMessage:
    return SetpointMessage(
        site="park",
        cmd_id=cmd_id or f"park:battery1:{seq}",
        device="battery1",
        seq=seq,
        issued_at=valid_from,
        valid_from=valid_from,
        valid_until=valid_until,
        target_kw=target_kw,
        safe_value_kw=safe_kw,
        answer="optimal",
        reason=Text(zh="放电", en="discharge"),
        plan_id="p",
        plan_hash="h",
        forecast_id="f",
    )


def read_back(block: Block, state: DeviceState = DeviceState.ACTIVE, applied_kw: float | None = None) -> Readback:
    applied = block.target_kw if applied_kw is None else applied_kw
    return Readback(block, block.seq, applied, applied, state, RejectReason.NONE)


class Story:
    """A battery and its gateway's memory; each line is something that happens at a time of the site's clock."""

    def __init__(self) -> None:
        self.memory = DeviceMemory()
        self.events: list[Event] = []

    def _go(self, outcome: tuple[DeviceMemory, tuple[Event, ...]]) -> None:
        self.memory, events = outcome
        self.events += events

    def message(self, clock: datetime, message: SetpointMessage) -> Accept | Reject | Repeat:
        self._go(passed(self.memory, clock))
        decision = decide(message, BATTERY, self.memory, clock)
        if isinstance(decision, Accept):
            self._go(accepted(self.memory, message, decision, clock))
        elif isinstance(decision, Reject):
            self._go(rejected(self.memory, message, decision.reason))
        return decision

    def read_back(self, clock: datetime, read: Readback | Mismatch) -> None:
        self._go(observed(self.memory, read, clock))

    def power(self, clock: datetime) -> float:
        self._go(passed(self.memory, clock))
        return self.memory.target_at(clock, SAFE_KW)

    def states(self, seq: int) -> list[str]:
        return [event.state for event in self.events if event.seq == seq]


def test_tv_33_setpoint_with_time_to_live() -> None:
    story = Story()
    first = setpoint(40, 200.0, at("10:15"), at("10:35"))
    assert isinstance(story.message(at("10:00"), first), Accept)
    assert story.power(at("10:14:59")) == 0.0
    assert story.power(at("10:15")) == 200.0
    story.read_back(at("10:15"), read_back(Block(40, 200.0, 0.0, None, at("10:15"), at("10:35"))))
    # 10:20 the engine dies: nothing more comes
    assert story.power(at("10:34:59")) == 200.0
    assert story.states(40) == ["accepted", "applied"]
    assert story.power(at("10:35")) == 0.0
    assert story.states(40) == ["accepted", "applied", "expired"]

    older = setpoint(39, 150.0, at("10:30"), at("10:50"))
    decision = story.message(at("10:40"), older)
    assert decision == Reject("sequence 39 is not above the last accepted, 40")
    assert story.power(at("10:40")) == 0.0
    assert isinstance(story.message(at("10:40"), setpoint(41, 120.0, at("10:40"), at("11:00"))), Accept)
    assert story.power(at("10:40")) == 120.0


MESSAGES = [
    ("new sequence", {"seq": 8}, Accept),
    ("same sequence, other command", {"seq": 7}, Reject),
    ("older sequence", {"seq": 6}, Reject),
    ("ended now", {"seq": 8, "valid_from": at("09:40"), "valid_until": at("10:00")}, Reject),
    ("ends in a second", {"seq": 8, "valid_from": at("09:40"), "valid_until": at("10:00:01")}, Accept),
    ("ends before it starts", {"seq": 8, "valid_from": at("10:30"), "valid_until": at("10:20")}, Reject),
    ("the same command again", {"seq": 7, "cmd_id": "park:battery1:7"}, Repeat),
]


@pytest.mark.parametrize(("changes", "expected"), [case[1:] for case in MESSAGES], ids=[case[0] for case in MESSAGES])
def test_decision_table(changes: dict[str, object], expected: type) -> None:
    story = Story()
    story.message(at("09:45"), setpoint(7, 100.0, at("09:45"), at("10:05")))
    fields = {"target_kw": 50.0, "valid_from": at("10:00"), "valid_until": at("10:20"), "cmd_id": "other", **changes}
    assert isinstance(decide(setpoint(**fields), BATTERY, story.memory, at("10:00")), expected)  # type: ignore[arg-type]


def test_unknown_device_and_local_switch_are_refused() -> None:
    message = setpoint(1, 10.0, at("10:00"), at("10:20"))
    assert decide(message, None, DeviceMemory(), at("10:00")) == Reject("unknown device 'battery1'")
    local = decide(message, BATTERY, DeviceMemory(local=True), at("10:00"))
    assert isinstance(local, Reject)
    assert local.reason.startswith("local")


@pytest.mark.parametrize(("asked", "told"), [(700.0, 400.0), (-700.0, -500.0)])
def test_clamp_is_named(asked: float, told: float) -> None:
    decision = decide(setpoint(1, asked, at("10:00"), at("10:20")), BATTERY, DeviceMemory(), at("10:00"))
    assert isinstance(decision, Accept)
    assert decision.block.target_kw == told
    assert decision.note == f"clamped from {asked:g} kW to the device's bound of {told:g} kW"


def test_the_same_command_again_changes_nothing() -> None:
    story = Story()
    message = setpoint(7, 100.0, at("10:00"), at("10:20"))
    story.message(at("10:00"), message)
    before = story.memory
    assert story.message(at("10:01"), message) == Repeat("accepted")
    assert story.memory == before


def test_a_newer_setpoint_supersedes_the_one_before() -> None:
    story = Story()
    story.message(at("10:00"), setpoint(7, 100.0, at("10:00"), at("10:20")))
    story.message(at("10:15"), setpoint(8, 50.0, at("10:15"), at("10:35")))
    assert story.states(7) == ["accepted", "superseded"]
    assert story.power(at("10:16")) == 50.0


def test_a_setpoint_for_later_waits_while_the_running_one_goes_on() -> None:
    story = Story()
    story.message(at("10:00"), setpoint(7, 100.0, at("10:00"), at("10:20")))
    story.message(at("10:05"), setpoint(8, 50.0, at("10:15"), at("10:35")))
    assert story.power(at("10:14:59")) == 100.0
    assert story.power(at("10:15")) == 50.0
    assert story.states(7) == ["accepted", "superseded"]


def test_a_replaced_setpoint_does_not_come_back_when_its_successor_ends() -> None:
    story = Story()
    story.message(at("10:00"), setpoint(7, 100.0, at("10:00"), at("10:40")))
    story.message(at("10:05"), setpoint(8, 50.0, at("10:15"), at("10:20")))
    assert story.power(at("10:25")) == 0.0


BLOCK = Block(7, 200.0, 0.0, None, at("10:00"), at("10:20"))


@pytest.mark.parametrize(
    ("read", "states", "reason"),
    [
        (read_back(BLOCK), ["accepted", "applied"], ""),
        (read_back(BLOCK, applied_kw=196.0), ["accepted", "applied"], ""),
        (read_back(BLOCK, applied_kw=195.9), ["accepted", "rejected"], "applied target"),
        (Readback(BLOCK, 6, 10.0, 10.0, DeviceState.ACTIVE, RejectReason.NONE), ["accepted"], ""),
        (read_back(BLOCK, DeviceState.LOCAL), ["accepted", "rejected"], "local"),
        (
            Readback(BLOCK, 6, 0.0, 0.0, DeviceState.REJECTED, RejectReason.OUT_OF_RANGE),
            ["accepted", "rejected"],
            "out of",
        ),
        (Mismatch("target", 200.0, 80.0), ["accepted", "rejected"], "the device holds 80.0"),
    ],
    ids=["applied", "within 2 %", "beyond 2 %", "not yet", "local", "refused", "other value held"],
)
def test_read_back(read: Readback | Mismatch, states: list[str], reason: str) -> None:
    story = Story()
    story.message(at("10:00"), setpoint(7, 200.0, at("10:00"), at("10:20")))
    story.read_back(at("10:00:01"), read)
    assert story.states(7) == states
    assert reason in story.events[-1].reason


def test_tolerance_is_two_percent_or_two_kilowatt() -> None:
    assert near_enough(10.0, 12.0)
    assert not near_enough(10.0, 12.1)
    assert near_enough(-500.0, -490.0)
    assert not near_enough(-500.0, -489.0)


def test_a_setpoint_that_is_never_applied_expires_and_says_so() -> None:
    story = Story()
    story.message(at("10:00"), setpoint(7, 200.0, at("10:00"), at("10:20")))
    story.power(at("10:20"))
    assert story.states(7) == ["accepted", "expired"]
    assert story.events[-1].reason == "never applied by the device"


def test_after_a_restart_the_device_tells_the_last_sequence() -> None:
    story = Story()
    story.read_back(at("10:05"), read_back(BLOCK))
    assert story.memory.last_seq == 7
    assert story.power(at("10:06")) == 200.0
    assert isinstance(story.message(at("10:06"), setpoint(6, 90.0, at("10:00"), at("10:20"))), Reject)
    again = story.message(at("10:06"), setpoint(7, 200.0, at("10:00"), at("10:20")))
    assert isinstance(again, Accept)
    assert again.held
    story.read_back(at("10:06"), read_back(BLOCK))
    assert story.states(7) == ["accepted", "applied"]
    other = story.message(at("10:07"), setpoint(7, 90.0, at("10:00"), at("10:20"), cmd_id="another"))
    assert isinstance(other, Reject)


START = at("10:00")
minutes = st.integers(0, 60)
messages = st.builds(
    lambda seq, target, safe, start, length: setpoint(
        seq,
        target,
        START + timedelta(minutes=start),
        START + timedelta(minutes=start + length),
        cmd_id=f"{seq}:{target}:{start}:{length}",
        safe_kw=safe,
    ),
    seq=st.integers(0, 6),
    target=st.floats(-2000, 2000),
    safe=st.floats(-2000, 2000),
    start=minutes,
    length=st.integers(-5, 30),
)


@given(st.lists(st.tuples(st.integers(0, 10), messages), max_size=12))
def test_no_sequence_of_messages_breaks_bounds_order_or_validity(story_of: list[tuple[int, SetpointMessage]]) -> None:
    story, clock = Story(), START
    least, greatest = BATTERY.bounds_kw()
    taken: list[SetpointMessage] = []
    for wait, message in story_of:
        clock += timedelta(minutes=wait)
        if isinstance(story.message(clock, message), Accept):
            assert not taken or message.seq > taken[-1].seq
            assert message.valid_until > clock
            taken.append(message)
        for later in range(0, 100, 5):
            moment = clock + timedelta(minutes=later)
            power = story.memory.target_at(moment, SAFE_KW)
            assert least <= power <= greatest
            if all(moment >= one.valid_until or moment < one.valid_from for one in taken):
                assert power in {SAFE_KW, *(min(max(one.safe_value_kw, least), greatest) for one in taken)}
