"""Setpoints kept by the gateway, for controllers that know a value but no sequence and no times of validity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from streams.gateways.face import Block
from streams.gateways.registers import DeviceState


@dataclass(frozen=True)
class HeldBlocks:
    """One device's setpoint in force, and the one that waits for its `valid_from`."""

    running: Block | None = None
    following: Block | None = None
    adjusted_kw: float | None = None
    """Power in place of the running block's target."""

    def with_block(self, block: Block, now: datetime) -> HeldBlocks:
        """With a newer block; one that is due replaces all before it and ends their adjustment."""
        if block.valid_from <= now:
            return HeldBlocks(running=block)
        return replace(self, following=block)

    def at(self, now: datetime) -> HeldBlocks:
        """As it stands at `now`: what waited may have begun."""
        begins = self.following is not None and self.following.valid_from <= now
        return HeldBlocks(running=self.following) if begins else self

    def due_kw(self, now: datetime) -> float | None:
        """What the device is to have at `now`: target or adjustment while valid, then the safe value; None before."""
        running = self.at(now).running
        if running is None:
            return None
        if now >= running.valid_until:
            return running.safe_value_kw
        adjusted = self.at(now).adjusted_kw
        return running.target_kw if adjusted is None else adjusted

    def state(self, now: datetime) -> DeviceState:
        running = self.at(now).running
        if running is None:
            return DeviceState.IDLE
        return DeviceState.ACTIVE if now < running.valid_until else DeviceState.EXPIRED
