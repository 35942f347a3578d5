"""One site's setpoints between messages and site controller: decided, written, read back, tried again, ended."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from optimizer.devices.base import Device
from streams.gateways.decisions import (
    Accept,
    DeviceMemory,
    Event,
    Outcome,
    Repeat,
    accepted,
    decide,
    observed,
    passed,
    rejected,
)
from streams.gateways.face import Face, Fault, Mismatch, Readback, ReadFault, Refused, SiteStatus, Unreachable
from streams.gateways.local_loop import LocalLoop, Move, SiteLimits
from streams.gateways.seen import GatewayFigures
from streams.messages import Acknowledgement, AckState, SetpointMessage

BEAT_S = 1.0
"""Time between heartbeats (RULES 8: 1 to 5 s)."""
POLL_S = 1.0
"""Time between looks at all devices, and between attempts to reach a controller that is gone."""
SETTLE_S = 2.0
"""How long a fresh setpoint is read back at every turn; after that with every poll."""

log = logging.getLogger(__name__)


class SiteSetpoints:
    """What the gateway knows of its site; knows neither Kafka nor the protocol.

    `publish` takes every acknowledgement; `monotonic` gives seconds of real time that only rise. With `limits` the
    local loop keeps them between two setpoints.
    """

    def __init__(
        self,
        site: str,
        devices: Iterable[Device],
        face: Face,
        publish: Callable[[Acknowledgement], None],
        monotonic: Callable[[], float] = time.monotonic,
        limits: SiteLimits | None = None,
    ) -> None:
        self._site = site
        self._devices = {device.id: device for device in devices}
        self._memories = dict.fromkeys(self._devices, DeviceMemory())
        self._waiting: dict[str, SetpointMessage] = {}
        self._face = face
        self._loop = None if limits is None else LocalLoop(limits, self._devices.values(), face)
        self._publish = publish
        self._monotonic = monotonic
        self._clock = datetime.fromtimestamp(0, UTC)
        self._remote = True
        self._status: SiteStatus | None = None
        self._fault: Fault | None = Unreachable("not connected yet")
        self._unread: dict[str, str] = {}
        """By device: why it cannot be read."""
        self._acknowledged: Counter[AckState] = Counter()
        self._beats = 0
        now = monotonic()
        self._next_beat = self._next_poll = self._settled_at = self._heard_at = self._turned_at = now

    @property
    def settling(self) -> bool:
        """Whether a setpoint was just written and its read-back is still awaited."""
        return self._monotonic() < self._settled_at and bool(self._open())

    def figures(self) -> GatewayFigures:
        """As it is now; may be asked for by another thread."""
        now = self._monotonic()
        newest = {device: held.state for device, memory in self._memories.items() if (held := memory.newest)}
        return GatewayFigures(
            reached=self._fault is None,
            remote=self._remote,
            silent_s=now - self._heard_at,
            idle_s=now - self._turned_at,
            devices=len(self._devices),
            newest=newest,
            adjusted=0 if self._loop is None else self._loop.adjusted,
            unread=sum(map(bool, tuple(self._unread.values()))),
            acknowledged=dict(self._acknowledged),
        )

    def handle(self, setpoints: Iterable[SetpointMessage]) -> None:
        """Decides on every setpoint, writes those accepted back to back, and reads them back."""
        setpoints = tuple(setpoints)
        if not setpoints:
            return
        self._look()
        for setpoint in setpoints:
            self._take(setpoint)
        self._read_back(self._open())

    def turn(self) -> None:
        """What is due between messages: heartbeat, read-back, new attempts, ends of validity."""
        now = self._turned_at = self._monotonic()
        if now >= self._next_beat:
            self._next_beat = now + BEAT_S
            self._beat()
        if now >= self._next_poll:
            self._next_poll = now + POLL_S
            self._poll()
        elif self.settling and self._look():
            self._read_back(self._open())

    def _beat(self) -> None:
        self._beats += 1
        if self._fault is None:
            self._note(self._face.beat(self._beats))

    def _poll(self) -> None:
        if not self._look():
            return
        for setpoint in tuple(self._waiting.values()):
            self._take(setpoint)
        self._hold_limits(self._read_back(self._devices))

    def _hold_limits(self, reads: Mapping[str, Readback | ReadFault]) -> None:
        if self._loop is None or not self._remote or self._status is None:
            return
        applied = {
            device: held
            for device, memory in self._memories.items()
            if (held := memory.running) is not None and held.state == "applied" and not memory.local
        }
        ended = {
            device: held
            for device, memory in self._memories.items()
            if (held := memory.running) is not None and held.state == "expired" and not memory.local
        }
        for device, move in self._loop.turn(self._status, applied, reads, ended).items():
            if move.guard is not None:
                self._guard_on(device, move)
                continue
            held, asked = applied[device], move.asked_kw
            reason = "local loop: back at the setpoint"
            if asked is not None:
                reason = f"local loop: {asked:g} kW in place of {move.planned_kw:g} kW, to keep the limits"
            if held.cmd_id is not None:
                kw = move.planned_kw if asked is None else asked
                self._say(device, Event(held.cmd_id, held.block.seq, "applied", kw, reason))

    def _guard_on(self, device: str, move: Move) -> None:
        self._memories[device] = replace(self._memories[device], running=move.guard)
        log.warning(
            "site %s: %s: no setpoint is in force; %g kW in place of the safe value %g kW, to keep the limits",
            self._site,
            device,
            move.asked_kw,
            move.planned_kw,
        )

    def _look(self) -> bool:
        """Reads the site's clock and switch; after a loss of contact also every device. True when it answered."""
        status = self._face.read_site()
        if not isinstance(status, SiteStatus):
            self._note(status)
            return False
        self._status, self._heard_at = status, self._monotonic()
        self._clock, self._remote = status.clock, status.remote
        self._face.follow(self._clock)
        for device, memory in self._memories.items():
            self._keep(device, passed(memory, self._clock))
        if self._fault is not None:
            self._note(None)
            self._read_back(self._devices)
        return True

    def _note(self, fault: Fault | None) -> None:
        if str(fault) != str(self._fault):
            log.warning("site %s: %s", self._site, fault or "controller reached")
        self._fault = fault

    def _take(self, setpoint: SetpointMessage) -> None:
        if self._fault is not None:  # the clock cannot be read, but it is not earlier than this
            self._clock = max(self._clock, setpoint.issued_at)
        device = self._devices.get(setpoint.device)
        decision = decide(setpoint, device, self._memory(setpoint.device), self._clock)
        if isinstance(decision, Accept):
            self._write(setpoint, decision)
        elif isinstance(decision, Repeat):
            self._say(setpoint.device, Event(setpoint.cmd_id, setpoint.seq, decision.state, reason="repeated"))
        else:
            self._reject(setpoint, decision.reason)

    def _memory(self, device: str) -> DeviceMemory:
        memory = self._memories.get(device, DeviceMemory())
        return memory if self._remote else replace(memory, local=True)

    def _write(self, setpoint: SetpointMessage, accept: Accept) -> None:
        fault = self._fault or (None if accept.held else self._face.write(setpoint.device, accept.block))
        if fault is None:
            self._waiting.pop(setpoint.device, None)
            self._settled_at = self._monotonic() + SETTLE_S
            self._keep(setpoint.device, accepted(self._memories[setpoint.device], setpoint, accept, self._clock))
        elif isinstance(fault, Unreachable):
            self._wait(setpoint, fault)
        else:
            self._reject(setpoint, str(fault))

    def _wait(self, setpoint: SetpointMessage, fault: Unreachable) -> None:
        """Keeps the newest setpoint of a device that cannot be written now, to try it again while it is valid."""
        before = self._waiting.get(setpoint.device)
        if before is not None and before.seq > setpoint.seq:
            self._reject(setpoint, f"sequence {setpoint.seq} is below the one that waits, {before.seq}")
            return
        if before is None or before.cmd_id != setpoint.cmd_id:
            self._waiting[setpoint.device] = setpoint
            reason = f"{fault}; tried again until {setpoint.valid_until.isoformat()}"
            self._say(setpoint.device, Event(setpoint.cmd_id, setpoint.seq, "rejected", reason=reason))
        if self._fault is None:
            self._look()

    def _reject(self, setpoint: SetpointMessage, reason: str) -> None:
        waiting = self._waiting.get(setpoint.device)
        if waiting is not None and waiting.cmd_id == setpoint.cmd_id:
            del self._waiting[setpoint.device]
        memory = self._memories.get(setpoint.device, DeviceMemory())
        self._keep(setpoint.device, rejected(memory, setpoint, reason))

    def _open(self) -> list[str]:
        """Devices whose newest setpoint has been written and is not yet known to be applied."""
        newest = {device: memory.newest for device, memory in self._memories.items()}
        return [device for device, held in newest.items() if held is not None and held.is_open and held.cmd_id]

    def _read_back(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        reads = self._face.read(devices)
        for device, read in reads.items():
            if isinstance(read, Readback | Mismatch):
                self._keep(device, observed(self._memories[device], read, self._clock))
            self._note_device(device, read)
        return reads

    def _note_device(self, device: str, read: Readback | ReadFault) -> None:
        """One device that cannot be read leaves the others alone: whether the site is there, its status says."""
        fault = str(read) if isinstance(read, Unreachable | Refused) else ""
        if fault != self._unread.get(device, ""):
            log.warning("site %s: %s: %s", self._site, device, fault or "can be read again")
        self._unread[device] = fault

    def _keep(self, device: str, outcome: Outcome) -> None:
        memory, events = outcome
        if device in self._memories:
            self._memories[device] = memory
        for event in events:
            self._say(device, event)

    def _say(self, device: str, event: Event) -> None:
        self._acknowledged[event.state] += 1
        self._publish(
            Acknowledgement(
                site=self._site,
                cmd_id=event.cmd_id,
                device=device,
                seq=event.seq,
                state=event.state,
                at=self._clock,
                readback_kw=event.readback_kw,
                reason=event.reason,
            )
        )
