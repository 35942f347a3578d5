"""What the gateway decides, as pure functions: take a setpoint or not, and what became of it.

    sent -> accepted | rejected;  accepted -> applied | rejected;  accepted, applied -> expired | superseded

`now` is always the site's own clock, so an accelerated run decides as a real one does. A device follows at most two
setpoints: the one that runs, and one that waits for its `valid_from`. A setpoint whose validity has ended, or that
another has replaced, never runs again (RULES 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from optimizer.devices.base import Device
from streams.gateways.face import Block, Mismatch, Readback
from streams.gateways.registers import DeviceState
from streams.messages import AckState, SetpointMessage

REMEMBERED_COMMANDS = 64
"""Commands of a device that are known again when they come twice; about 16 hours of quarter-hour setpoints."""
TOLERANCE_SHARE = 0.02
TOLERANCE_KW = 2.0
"""Read-back within max(2 %, 2 kW) counts as applied (RULES 8)."""
REGISTER_STEP_KW = 0.05
"""Half of the resolution of a power register: equal values may differ by it after a round trip."""


@dataclass(frozen=True)
class Accept:
    """Write it: `block` holds the values within the device's bounds."""

    block: Block
    note: str = ""
    """What was changed, e.g. the clamp."""
    held: bool = False
    """The device has it already (sent before a restart or a lost answer): only the read-back is missing."""
    room_kw: tuple[float, float] | None = None
    """Within the device's bounds, and so is the other one."""
    self_supply_kw: tuple[float, float] | None = None


@dataclass(frozen=True)
class Reject:
    """Don't write it."""

    reason: str


@dataclass(frozen=True)
class Repeat:
    """Known already: say again what became of it, and do nothing."""

    state: AckState


Decision = Accept | Reject | Repeat


@dataclass(frozen=True)
class Held:
    """A setpoint that the device has; `cmd_id` is None when it was found in the device after a restart."""

    block: Block
    cmd_id: str | None
    state: AckState = "accepted"
    room_kw: tuple[float, float] | None = None
    """Within the device's bounds; None where the local loop is to leave the device alone."""
    guards_after: int | None = None
    """Of a block by which the local loop guards on: sequence number of the setpoint that is over."""
    self_supply_kw: tuple[float, float] | None = None
    """Within it the device keeps the connection at zero; None: it keeps to its target."""

    @property
    def is_open(self) -> bool:
        """Still to be applied."""
        return self.state == "accepted"


@dataclass(frozen=True)
class Event:
    """A change of state that is acknowledged."""

    cmd_id: str
    seq: int
    state: AckState
    readback_kw: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class DeviceMemory:
    """What the gateway knows about one device."""

    last_seq: int | None = None
    """Highest sequence number accepted so far."""
    local: bool = False
    """A person on site has taken over."""
    running: Held | None = None
    following: Held | None = None
    """Accepted, and waiting for its `valid_from`."""
    known: Mapping[str, AckState] = field(default_factory=dict)
    """State of the last commands by id, oldest first."""

    @property
    def newest(self) -> Held | None:
        return self.following or self.running

    def target_at(self, now: datetime, safe_kw: float) -> float:
        """Value the device follows: the setpoint in force, else its safe value (`safe_kw` before the first one)."""
        started = [held for held in (self.running, self.following) if held and held.block.valid_from <= now]
        if not started:
            return safe_kw
        last = started[-1]
        in_force = last.state != "rejected" and now < last.block.valid_until
        return last.block.target_kw if in_force else last.block.safe_value_kw


Outcome = tuple[DeviceMemory, tuple[Event, ...]]


def decide(setpoint: SetpointMessage, device: Device | None, memory: DeviceMemory, now: datetime) -> Decision:
    """Whether `device` is to follow `setpoint`; None stands for a device that the site does not control."""
    if device is None:
        return Reject(f"unknown device {setpoint.device!r}")
    if setpoint.cmd_id in memory.known:
        return Repeat(memory.known[setpoint.cmd_id])
    accept = _within_bounds(setpoint, device.bounds_kw())
    reason = _objection(accept.block, memory, now)
    if reason:
        return Reject(reason)
    if memory.last_seq is None or setpoint.seq > memory.last_seq:
        return accept
    if _is_held_without_name(accept.block, memory):
        return replace(accept, held=True)
    return Reject(f"sequence {setpoint.seq} is not above the last accepted, {memory.last_seq}")


def accepted(memory: DeviceMemory, setpoint: SetpointMessage, accept: Accept, now: datetime) -> Outcome:
    """After the block has been written: what it replaces is superseded."""
    new = Held(accept.block, setpoint.cmd_id, room_kw=accept.room_kw, self_supply_kw=accept.self_supply_kw)
    event = Event(setpoint.cmd_id, setpoint.seq, "accepted", reason=accept.note)
    replaced: tuple[Held | None, ...] = ()
    if accept.held:
        memory = _with_newest(memory, new)
    elif accept.block.valid_from <= now:
        memory, replaced = replace(memory, running=new, following=None), (memory.running, memory.following)
    else:
        memory, replaced = replace(memory, following=new), (memory.following,)
    memory = replace(memory, last_seq=setpoint.seq)
    return _record(memory, (event, *_superseded(replaced, setpoint.seq)))


def rejected(memory: DeviceMemory, setpoint: SetpointMessage, reason: str) -> Outcome:
    """Remembers a final refusal, so that the same command gets the same answer."""
    event = Event(setpoint.cmd_id, setpoint.seq, "rejected", reason=reason)
    return (memory, (event,)) if setpoint.cmd_id in memory.known else _record(memory, (event,))


def observed(memory: DeviceMemory, read: Readback | Mismatch, now: datetime) -> Outcome:
    """After a read-back: the newest setpoint is applied, refused by the device, or still on its way."""
    memory, events = passed(memory, now)
    memory = memory if isinstance(read, Mismatch) else _adopt(memory, read)
    newest = memory.newest
    if newest is None or not newest.is_open or newest.cmd_id is None:
        return memory, events
    state, readback_kw, reason = _verdict(newest.block, read)
    if state is None:
        return memory, events
    event = Event(newest.cmd_id, newest.block.seq, state, readback_kw, reason)
    memory, found = _record(_with_newest(memory, replace(newest, state=state)), (event,))
    return memory, (*events, *found)


def passed(memory: DeviceMemory, now: datetime) -> Outcome:
    """After time has passed: the following setpoint starts, the running one ends."""
    events: tuple[Event, ...] = ()
    if memory.following is not None and memory.following.block.valid_from <= now:
        events = _superseded((memory.running,), memory.following.block.seq)
        memory = replace(memory, running=memory.following, following=None)
    running = memory.running
    if running is not None and running.state in ("accepted", "applied") and running.block.valid_until <= now:
        if running.cmd_id is not None:
            reason = "never applied by the device" if running.is_open else ""
            events += (Event(running.cmd_id, running.block.seq, "expired", reason=reason),)
        memory = replace(memory, running=replace(running, state="expired"))
    return _record(memory, events)


def near_enough(asked_kw: float, read_kw: float) -> bool:
    """Whether a target read back counts as the one asked for."""
    return abs(read_kw - asked_kw) <= max(TOLERANCE_SHARE * abs(asked_kw), TOLERANCE_KW)


def _objection(block: Block, memory: DeviceMemory, now: datetime) -> str:
    if memory.local:
        return "local: a person on site has taken over"
    if block.valid_until <= block.valid_from:
        return f"valid_until {block.valid_until.isoformat()} is not after valid_from"
    if block.valid_until <= now:
        return f"expired at {block.valid_until.isoformat()}, the site's clock says {now.isoformat()}"
    return ""


def _within_bounds(setpoint: SetpointMessage, bounds: tuple[float, float]) -> Accept:
    target = _clamp(setpoint.target_kw, bounds)
    block = Block(
        seq=setpoint.seq,
        target_kw=target,
        safe_value_kw=_clamp(setpoint.safe_value_kw, bounds),
        grid_limit_kw=setpoint.grid_limit_kw,
        valid_from=setpoint.valid_from.replace(microsecond=0),
        valid_until=setpoint.valid_until.replace(microsecond=0),
    )
    clamped = target != setpoint.target_kw
    note = f"clamped from {setpoint.target_kw:g} kW to the device's bound of {target:g} kW" if clamped else ""
    room, own = _clamp_both(setpoint.room_kw, bounds), _clamp_both(setpoint.self_supply_kw, bounds)
    return Accept(block, note, room_kw=room, self_supply_kw=own)


def _clamp_both(span: tuple[float, float] | None, bounds: tuple[float, float]) -> tuple[float, float] | None:
    return None if span is None else (_clamp(span[0], bounds), _clamp(span[1], bounds))


def _clamp(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _is_held_without_name(block: Block, memory: DeviceMemory) -> bool:
    newest = memory.newest
    if newest is None or newest.cmd_id is not None:
        return False
    return (
        newest.block.seq == block.seq
        and newest.block.valid_until == block.valid_until
        and abs(newest.block.target_kw - block.target_kw) <= REGISTER_STEP_KW
    )


def _verdict(block: Block, read: Readback | Mismatch) -> tuple[AckState | None, float | None, str]:
    """State that a read-back proves, the target read, and why; no state while nothing is proven."""
    if isinstance(read, Mismatch):
        return "rejected", read.read if read.point == "target" else None, str(read)
    if read.state is DeviceState.LOCAL:
        return "rejected", None, "local: a person on site has taken over the device"
    if read.state is DeviceState.REJECTED:
        return "rejected", None, f"refused by the device: {read.reject_reason.name.lower().replace('_', ' ')}"
    if read.applied_seq != block.seq:
        return None, None, ""
    if near_enough(block.target_kw, read.applied_target_kw):
        return "applied", read.applied_target_kw, ""
    reason = str(Mismatch("applied target", block.target_kw, read.applied_target_kw))
    return "rejected", read.applied_target_kw, reason


def _adopt(memory: DeviceMemory, read: Readback) -> DeviceMemory:
    """Takes over what the device remembers and the gateway does not: after a restart or a lost answer."""
    memory = replace(memory, local=read.state is DeviceState.LOCAL)
    if read.block is None or (memory.last_seq is not None and read.block.seq <= memory.last_seq):
        return memory
    if memory.running is not None and memory.running.guards_after is not None:
        return memory
    return replace(memory, last_seq=read.block.seq, running=Held(read.block, cmd_id=None), following=None)


def _with_newest(memory: DeviceMemory, held: Held) -> DeviceMemory:
    if memory.following is not None:
        return replace(memory, following=held)
    return replace(memory, running=held)


def _superseded(replaced: tuple[Held | None, ...], by_seq: int) -> tuple[Event, ...]:
    return tuple(
        Event(held.cmd_id, held.block.seq, "superseded", reason=f"by sequence {by_seq}")
        for held in replaced
        if held is not None and held.cmd_id is not None and held.state in ("accepted", "applied")
    )


def _record(memory: DeviceMemory, events: tuple[Event, ...]) -> Outcome:
    if not events:
        return memory, events
    known = {**memory.known, **{event.cmd_id: event.state for event in events}}
    kept = dict(list(known.items())[-REMEMBERED_COMMANDS:])
    return replace(memory, known=kept), events
