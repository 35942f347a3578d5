"""A site controller without a protocol, for tests of any: it keeps blocks as a controller should, or misbehaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from streams.gateways.face import Block
from streams.gateways.held_blocks import HeldBlocks
from streams.gateways.registers import DeviceState, RejectReason

START = datetime(2026, 8, 26, 2, 0, tzinfo=UTC)
DEVICES = ("b1", "b2")


@dataclass
class ControllerModel:
    """What a controller does with blocks, at a clock that the test sets."""

    clock: datetime = START
    remote: bool = True
    refuses: bool = False
    lies: bool = False
    """Holds and follows another value than it was told."""
    net_import_kw: float | None = None
    beats: list[int] = field(default_factory=list)
    taken: int = 0
    """Setpoints that were taken."""
    held: dict[str, HeldBlocks] = field(default_factory=lambda: dict.fromkeys(DEVICES, HeldBlocks()))
    reject: dict[str, RejectReason] = field(default_factory=dict)
    answered: dict[str, int] = field(default_factory=dict)

    def take(self, device: str, block: Block) -> bool:
        """Takes a block or refuses it, as RULES 8 asks of the device's side."""
        self.answered[device] = block.seq
        held = self.held[device]
        newest = held.following or held.running
        self.reject[device] = RejectReason.NONE
        if self.refuses:
            self.reject[device] = RejectReason.OUT_OF_RANGE
        elif newest is not None and block.seq < newest.seq:
            self.reject[device] = RejectReason.OLD_SEQ
        else:
            self.taken += 1
            self.held[device] = held.at(self.clock).with_block(block, self.clock)
        return self.reject[device] is RejectReason.NONE

    def adjust(self, device: str, power_kw: float | None) -> None:
        held = self.held[device].at(self.clock)
        self.held[device] = HeldBlocks(held.running, held.following, power_kw)

    def followed_kw(self, device: str) -> float:
        """What the device does now."""
        if self.lies:
            return 1.0
        due = self.held[device].due_kw(self.clock)
        return 0.0 if due is None else due

    def shown_target_kw(self, device: str) -> float:
        """Target that it says it follows: an adjustment does not show in it."""
        held = self.held[device].at(self.clock)
        whole = HeldBlocks(held.running).due_kw(self.clock)
        return 1.0 if self.lies else 0.0 if whole is None else whole

    def block(self, device: str) -> Block | None:
        held = self.held[device].at(self.clock)
        return held.following or held.running

    def applied_seq(self, device: str) -> int:
        running = self.held[device].at(self.clock).running
        return 0 if running is None else running.seq

    def state(self, device: str) -> DeviceState:
        if self.reject.get(device, RejectReason.NONE) is not RejectReason.NONE:
            return DeviceState.REJECTED
        return self.held[device].state(self.clock)
