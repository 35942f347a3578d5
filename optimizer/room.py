"""How far fast local control may move each device between two plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optimizer.devices.base import Device
from optimizer.devices.chiller import Chiller
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.thermal_store import ThermalStore
from optimizer.plan import Plan, Setpoint
from optimizer.services.base import Service
from optimizer.situation import Situation


def with_room(plan: Plan, devices: Sequence[Device], services: Sequence[Service], situation: Situation) -> Plan:
    """The plan with the room of each device beside its setpoint.

    A device that holds energy or power for a service is not to be moved: what it has may be called at any moment.
    Chillers and heat pumps may give less, not below their least part load, where a store has the rest for the whole
    step.
    """
    held = {name for service in services if service.may_be_called for name in getattr(service, "devices", ())}
    free = {device.id: device for device in devices if device.id not in held}
    relieved_kw = _relieved_kw(plan, free, situation)
    setpoints = (_with_room(setpoint, free, situation, relieved_kw) for setpoint in plan.setpoints)
    return replace(plan, setpoints=tuple(setpoints))


def _with_room(
    setpoint: Setpoint, free: Mapping[str, Device], situation: Situation, relieved_kw: Mapping[str, float]
) -> Setpoint:
    device = free.get(setpoint.device)
    room = None if device is None else device.room_kw(situation, device.conditions(situation))
    if setpoint.device in relieved_kw:
        room = (setpoint.target_kw - relieved_kw[setpoint.device], setpoint.target_kw)
    if room is None:
        return replace(setpoint, self_supply_kw=None)
    least, greatest = min(room[0], setpoint.target_kw), max(room[1], setpoint.target_kw)
    own = setpoint.self_supply_kw
    within = None if own is None else (max(own[0], least), min(own[1], greatest))
    return replace(setpoint, room_kw=(least, greatest), self_supply_kw=within)


def _relieved_kw(plan: Plan, free: Mapping[str, Device], situation: Situation) -> dict[str, float]:
    """By machine that a store could relieve: by how much of its output."""
    told = {setpoint.device: setpoint.target_kw for setpoint in plan.setpoints}
    hours, spare_kw, relieved_kw = situation.grid.step_hours, dict[str, float](), dict[str, float]()
    for store in (device for device in free.values() if isinstance(device, ThermalStore)):
        asked = {"discharge_kw": store.discharge_limit_kw}
        most_kw = store.step(asked, store.start(situation), {}, hours).flows["discharge_kw"]
        left_kw = max(0.0, most_kw - told.get(store.id, 0.0))
        spare_kw[store.carrier] = spare_kw.get(store.carrier, 0.0) + left_kw
    for machine in (device for device in free.values() if isinstance(device, Chiller | HeatPump)):
        carrier = "cold" if isinstance(machine, Chiller) else "heat"
        if machine.id in told and carrier in spare_kw:
            above_least_kw = told[machine.id] - machine.min_part_load * machine.bounds_kw()[1]
            relieved_kw[machine.id] = min(max(0.0, above_least_kw), spare_kw[carrier])
            spare_kw[carrier] -= relieved_kw[machine.id]
    return relieved_kw
