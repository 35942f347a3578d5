"""A grid meter that stands still is found out by what the devices do: when they move, the meter has to move.

A value that stays the same while nothing moves is as good as any other. One that stays the same to the last digit while
the devices behind it have changed their power is not measured any more, and a loop that goes on by it winds up: it asks
for more and more, for nothing it does is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MOVED_KW = 10.0
"""Change of the devices' power that every grid meter shows [kW]: a hundred times the step of a power register."""
LOOKS = 3
"""Looks with the same value after which it counts as standing still: one may be read before the device has moved."""


@dataclass(frozen=True)
class MeterWatch:
    """What was seen of the meter since its value last changed."""

    value_kw: float | None = None
    devices_kw: float = 0.0
    """Power of the devices, > 0 feeds the bus, when the value was first seen."""
    moved_looks: int = 0
    """Looks since then at which the devices were away from that."""

    def with_look(self, net_import_kw: float, devices_kw: float) -> MeterWatch:
        """One more look: the meter's value, and what all measured devices feed together [kW]."""
        if net_import_kw != self.value_kw:
            return MeterWatch(net_import_kw, devices_kw)
        if abs(devices_kw - self.devices_kw) < MOVED_KW:
            return self
        return replace(self, moved_looks=self.moved_looks + 1)

    @property
    def stands_still(self) -> bool:
        return self.moved_looks >= LOOKS
