"""How far fast local control may move each device between two plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from optimizer.devices.base import Device
from optimizer.plan import Plan, Setpoint
from optimizer.services.base import Service
from optimizer.situation import Situation


def with_room(plan: Plan, devices: Sequence[Device], services: Sequence[Service], situation: Situation) -> Plan:
    """The plan with the room of each device beside its setpoint.

    A device that holds energy or power for a service is not to be moved: what it has may be called at any moment.
    """
    held = {name for service in services if service.may_be_called for name in getattr(service, "devices", ())}
    free = {device.id: device for device in devices if device.id not in held}
    return replace(plan, setpoints=tuple(_with_room(setpoint, free, situation) for setpoint in plan.setpoints))


def _with_room(setpoint: Setpoint, free: dict[str, Device], situation: Situation) -> Setpoint:
    device = free.get(setpoint.device)
    room = None if device is None else device.room_kw(situation, device.conditions(situation))
    if room is None:
        return setpoint
    least, greatest = min(room[0], setpoint.target_kw), max(room[1], setpoint.target_kw)
    return replace(setpoint, room_kw=(least, greatest))
