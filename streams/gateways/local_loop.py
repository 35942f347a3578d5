"""The gateway's fast loop: keeps the plan's grid limit, the connection's limits and the demand between two plans.

Every few seconds it compares the import with what is allowed and moves devices within the room that their setpoints
leave, in the order of `streams.guard`; with nothing in danger every device follows its setpoint. All of it is a
function of its arguments: the sliding demand so far is a value that the caller keeps.

    allowed = limit - max(0, Σ over the last 14 minutes of (import - limit))      (1)

(1) keeps the mean of any 15 minutes that end now, moved on minute by minute (RULES 1.3, TV-05), within the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from optimizer.devices.base import Device
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.pv import Pv
from optimizer.devices.v2g_charger import V2gCharger
from site_configs.site import Site
from streams.gateways.decisions import Held, near_enough
from streams.gateways.face import Block, Face, Readback, ReadFault, SiteStatus
from streams.gateways.meter_watch import MeterWatch
from streams.gateways.registers import DeviceState
from streams.guard import BATTERY, CAR_DUE, CAR_WITH_SLACK, MACHINE, PV, allowed_import_kw, guard

WINDOW_MINUTES = 15
BAND_SHARE = 0.02
"""Devices go back to the plan only as far as the import stays this share below its limit."""
LEAST_MOVE_KW = 0.2
"""Smaller moves are not worth a write: power registers count tenths of a kilowatt."""
MINUTE = timedelta(minutes=1)

Range = tuple[float, float]


@dataclass(frozen=True)
class DemandWindow:
    """The import of the running minute and of the full ones before it in the meter's window."""

    minutes: tuple[float, ...] = ()
    """Means of the last full minutes that were seen [kW], oldest first; at most 14."""
    minute: datetime | None = None
    """Start of the running minute."""
    samples: tuple[float, ...] = ()
    """Of the running minute [kW]."""

    def with_sample(self, at: datetime, import_kw: float) -> DemandWindow:
        """One more measurement, at the site's time. A minute without any takes the mean of the one before it."""
        start = at.replace(second=0, microsecond=0)
        if self.minute is None or start < self.minute:
            return DemandWindow((), start, (import_kw,))
        passed = min((start - self.minute) // MINUTE, WINDOW_MINUTES)
        if passed == 0:
            return replace(self, samples=(*self.samples, import_kw))
        minutes = (*self.minutes, *(self._mean_kw,) * passed)[1 - WINDOW_MINUTES :]
        return DemandWindow(minutes, start, (import_kw,))

    @property
    def demand_kw(self) -> float | None:
        """Mean of the last 15 full minutes and the running one's part of it; None before 15 minutes have been seen."""
        seen = (*self.minutes, self._mean_kw)
        return sum(seen) / WINDOW_MINUTES if len(seen) == WINDOW_MINUTES else None

    def allowed_kw(self, limit_kw: float) -> float:
        """(1); minutes not seen count as at the limit."""
        return allowed_import_kw(limit_kw, np.array(self.minutes, dtype=float))

    @property
    def _mean_kw(self) -> float:
        return sum(self.samples) / len(self.samples)


@dataclass(frozen=True)
class Cable:
    """A feeder: what is fed by the devices behind it stays within the limit both ways."""

    limit_kw: float
    members: frozenset[str]
    measured: bool
    """Whether the power of everything behind it is known; else its devices are only moved towards standing still."""


GUARD_LIFE = timedelta(minutes=20)
"""Validity of a block by which the loop guards on after a setpoint's end: a gateway that dies leaves it no longer."""
GUARDING = (BATTERY, PV)
"""Roles that are guarded with after the end: cars may have gone, and nobody says what they need."""


@dataclass(frozen=True)
class SiteLimits:
    """Limits that hold at every moment, whatever the plan says."""

    import_kw: float
    """Of the grid connection and its transformer."""
    export_kw: float
    """0: nothing may be fed to the grid."""
    generation_only: bool = False
    """Whether stored energy must not reach the grid."""
    cables: tuple[Cable, ...] = ()
    step_minutes: int = 15
    """Of the plans: by so much the sequence number of the next one is higher."""


@dataclass(frozen=True)
class Movable:
    """One device that follows a setpoint and has room around it. All in kW of power, > 0 feeds its bus."""

    device: str
    role: int
    planned_kw: float
    present_kw: float
    """As it runs; a fresh setpoint counts as followed at once, so that its effect is not waited for."""
    least_kw: float
    greatest_kw: float
    adjusted_kw: float | None = None
    """What the loop asked for last; None while it follows its setpoint."""
    self_supply_kw: Range | None = None
    """Within it the device keeps the connection at zero in place of its setpoint."""
    fed_per_kw: float = 1.0
    """Power that it feeds for each kW of its setpoint. The loop looks again every second, so it need not be exact."""

    def setpoint_kw(self, fed_kw: float) -> float:
        """The setpoint by which it feeds so much power."""
        return fed_kw / self.fed_per_kw

    def at(self, kw: float) -> Movable:
        """The device where it cannot be moved from."""
        return replace(self, planned_kw=kw, present_kw=kw, least_kw=kw, greatest_kw=kw)


def limits_of(site: Site) -> SiteLimits:
    """What the site file says."""
    grid = next(device for device in site.devices if isinstance(device, GridConnection))
    least, greatest = grid.bounds_kw()
    below = {feeder.id: feeder.members for feeder in site.feeders}
    known = {device.id for device in site.devices if role_of(device, 0.0) not in (None, MACHINE)}
    unseen = {device.id for device in site.devices if isinstance(device, ExpectedCars)}
    cables = []
    for feeder in site.feeders:
        members = _devices_behind(feeder.id, below) - unseen
        cables.append(Cable(feeder.power_limit_kw, frozenset(members), members <= known))
    return SiteLimits(greatest, -least, grid.export_source == "generation", tuple(cables), site.step_minutes)


def role_of(device: Device, greatest_kw: float) -> int | None:
    """What the loop may ask of a device whose greatest power now is `greatest_kw`; None: it is left alone."""
    if isinstance(device, Battery):
        return BATTERY
    if isinstance(device, Pv):
        return PV
    if isinstance(device, V2gCharger):
        return CAR_WITH_SLACK if greatest_kw >= 0.0 else CAR_DUE
    if isinstance(device, Chiller | HeatPump):
        return MACHINE
    return None


def grid_limit_of(blocks: Iterable[Block]) -> float | None:
    """The plan's grid limit [kW]: that of the latest interval told, the lowest where devices were told several."""
    told = tuple(blocks)
    latest = max((block.valid_from for block in told), default=None)
    limits = [block.grid_limit_kw for block in told if block.valid_from == latest and block.grid_limit_kw is not None]
    return min(limits, default=None)


def adjustments(
    net_import_kw: float,
    grid_limit_kw: float | None,
    window: DemandWindow,
    limits: SiteLimits,
    devices: Iterable[Movable],
) -> dict[str, float | None]:
    """By device: the power it is to have now in place of its setpoint's; None where it is to follow the setpoint.

    `net_import_kw` is measured (< 0: export), `grid_limit_kw` the plan's. A measurement of NaN changes nothing.
    """
    movable = tuple(devices)
    if not movable or not np.isfinite(net_import_kw):
        return {device.device: device.adjusted_kw for device in movable}
    allowed_kw = limits.import_kw if grid_limit_kw is None else min(limits.import_kw, window.allowed_kw(grid_limit_kw))
    export_kw = _allowed_export_kw(limits, movable)
    guided = _self_supplied(net_import_kw, limits.cables, movable)
    if -export_kw <= net_import_kw <= allowed_kw:
        guided = tuple(replace(device, present_kw=_told_kw(device)) for device in guided)
    band_kw = BAND_SHARE * (limits.import_kw if grid_limit_kw is None else grid_limit_kw)
    told = _guarded(net_import_kw, (allowed_kw, export_kw, band_kw), limits.cables, guided)
    return {device.device: _asked(device, kw) for device, kw in zip(movable, told, strict=True)}


def _self_supplied(net_import_kw: float, cables: Iterable[Cable], devices: tuple[Movable, ...]) -> tuple[Movable, ...]:
    """The devices, with what supplies the site itself planned where the connection would be at zero."""
    aims_kw = []
    for device in devices:
        aim_kw = device.present_kw
        if device.self_supply_kw is not None:
            least, greatest = _both(device.self_supply_kw, (device.least_kw, device.greatest_kw))
            aim_kw = _between(least, greatest, device.present_kw + net_import_kw)
        net_import_kw -= aim_kw - device.present_kw
        aims_kw.append(aim_kw)
    for cable in cables:
        aims_kw = _within(cable, devices, aims_kw)
    return tuple(_aimed(device, aim_kw) for device, aim_kw in zip(devices, aims_kw, strict=True))


def _aimed(device: Movable, aim_kw: float) -> Movable:
    """What supplies the site itself, planned at its aim; only what a limit took beyond its range goes back slowly."""
    if device.self_supply_kw is None:
        return device
    least, greatest = device.self_supply_kw
    beyond = device.adjusted_kw is not None and not least <= device.adjusted_kw <= greatest
    return replace(device, planned_kw=aim_kw, adjusted_kw=device.adjusted_kw if beyond else None)


def _guarded(
    net_import_kw: float, limits_kw: tuple[float, float, float], cables: Iterable[Cable], devices: tuple[Movable, ...]
) -> list[float]:
    """(devices,) kW. Where a cable stops its devices, the others take over what is left."""
    rows = [(d.planned_kw, d.present_kw, d.least_kw, d.greatest_kw) for d in devices]
    roles = np.array([device.role for device in devices])
    told: list[float] = guard(net_import_kw, *limits_kw, roles, *np.array(rows, dtype=float).T).tolist()
    for cable in cables:
        kept = _within(cable, devices, told)
        if kept != told:
            behind = [device.device in cable.members for device in devices]
            fixed = tuple(d.at(kw) if stop else d for d, kw, stop in zip(devices, kept, behind, strict=True))
            moved_kw = sum(f.present_kw - d.present_kw for f, d in zip(fixed, devices, strict=True))
            others = [other for other in cables if other is not cable]
            return _guarded(net_import_kw - moved_kw, limits_kw, others, fixed)
    return told


def _within(cable: Cable, devices: tuple[Movable, ...], told: list[float]) -> list[float]:
    """The powers with those behind the cable drawn back towards the plan, which keeps its limit, as far as needed."""
    behind = [device.device in cable.members for device in devices]
    if not cable.measured:
        return [_between(d.planned_kw, 0.0, kw) if b else kw for d, kw, b in zip(devices, told, behind, strict=True)]
    planned_kw = sum(device.planned_kw for device, b in zip(devices, behind, strict=True) if b)
    moved_kw = sum(kw for kw, b in zip(told, behind, strict=True) if b) - planned_kw
    if abs(planned_kw + moved_kw) <= cable.limit_kw:
        return told
    end_kw = cable.limit_kw if moved_kw > 0 else -cable.limit_kw
    share = min(max((end_kw - planned_kw) / moved_kw, 0.0), 1.0) if moved_kw else 0.0
    return [
        device.planned_kw + share * (kw - device.planned_kw) if b else kw
        for device, kw, b in zip(devices, told, behind, strict=True)
    ]


def _between(one: float, other: float, kw: float) -> float:
    return min(max(kw, min(one, other)), max(one, other))


def _told_kw(device: Movable) -> float:
    """With nothing in danger only what was moved goes back: noise of the measurement moves nothing."""
    return device.planned_kw if device.adjusted_kw is None else device.adjusted_kw


def _asked(device: Movable, told_kw: float) -> float | None:
    if abs(told_kw - device.planned_kw) < LEAST_MOVE_KW:
        return None
    if abs(told_kw - device.present_kw) < LEAST_MOVE_KW:
        kept = device.adjusted_kw
        return None if kept is None else _between(device.least_kw, device.greatest_kw, kept)
    return _between(device.least_kw, device.greatest_kw, told_kw)


def _together(
    asked: Mapping[str, float | None], planned: Iterable[Movable], ahead_kw: Mapping[str, float]
) -> dict[str, float | None]:
    """Where a fresh plan is corrected at once, its other batteries are told their part of it as directly: a device that
    takes its time over a setpoint would follow when the correction has counted on it already.

    `planned` are the devices that a plan tells what to do, `ahead_kw` by how much each is about to move by itself.
    """
    if all(kw is None for kw in asked.values()):
        return dict(asked)
    waited_for = {
        device.device: device.planned_kw
        for device in planned
        if device.role == BATTERY and asked[device.device] is None and abs(ahead_kw[device.device]) >= LEAST_MOVE_KW
    }
    return {**asked, **waited_for}


def _allowed_export_kw(limits: SiteLimits, devices: Iterable[Movable]) -> float:
    if not limits.generation_only:
        return limits.export_kw
    return min(limits.export_kw, sum(max(device.present_kw, 0.0) for device in devices if device.role == PV))


def _devices_behind(feeder: str, below: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    for member in below[feeder]:
        found |= _devices_behind(member, below) if member in below else {member}
    return found


class LocalLoop:
    """One site's loop: keeps the demand so far and what was asked, and writes what changes."""

    def __init__(self, limits: SiteLimits, devices: Iterable[Device], face: Face) -> None:
        self._limits = limits
        self._devices = {device.id: device for device in devices}
        self._face = face
        self._window = DemandWindow()
        self._watch = MeterWatch()
        self._asked: dict[str, tuple[int, float]] = {}
        """By device: sequence number of the setpoint that was adjusted, and the power asked for."""
        self._seen: dict[str, int] = {}
        """By device: sequence number of the setpoint that was in force when last looked at."""

    @property
    def adjusted(self) -> int:
        """Devices that are held off their setpoints now."""
        return sum(self._seen.get(device) == seq for device, (seq, _) in tuple(self._asked.items()))

    def turn(
        self,
        status: SiteStatus,
        running: Mapping[str, Held],
        reads: Mapping[str, Readback | ReadFault],
        ended: Mapping[str, Held] | None = None,
    ) -> dict[str, Move]:
        """Looks once and writes what changes; the devices that were moved off their setpoint or back to it.

        `running` are the setpoints in force that their devices have applied. `ended` are the last ones of devices whose
        setpoints are over: they stay at their safe values, and leave them only to keep a limit. While the grid meter
        stands still nothing is known to be in danger: every device follows its setpoint, or its safe value.
        """
        if status.net_import_kw is None:
            return {}
        guarded = self._guarded(ended or {}, status.clock)
        running = {**running, **guarded}
        self._window = self._window.with_sample(status.clock, max(status.net_import_kw, 0.0))
        planned = [held.block for held in running.values() if held.guards_after is None]
        limit_kw = grid_limit_of(planned or [held.block for held in running.values()])
        movable = tuple(self._movable(running, reads))
        ahead_kw = {d.device: d.present_kw - d.fed_per_kw * _measured_kw(reads[d.device]) for d in movable}
        self._watch = self._watch.with_look(status.net_import_kw, sum(map(_measured_kw, reads.values())))
        asked: dict[str, float | None] = dict.fromkeys(device.device for device in movable)
        if not self._watch.stands_still:
            net_kw = status.net_import_kw - sum(ahead_kw.values())
            asked = adjustments(net_kw, limit_kw, self._window, self._limits, movable)
            asked = _together(asked, (d for d in movable if running[d.device].guards_after is None), ahead_kw)
        self._seen = {name: held.block.seq for name, held in running.items()}
        moves = (
            self._guard(device, guarded[device.device], asked[device.device])
            if device.device in guarded
            else self._move(device, running[device.device].block.seq, asked[device.device])
            for device in movable
        )
        return {device.device: move for device, move in zip(movable, moves, strict=True) if move is not None}

    def _movable(self, running: Mapping[str, Held], reads: Mapping[str, Readback | ReadFault]) -> Iterator[Movable]:
        for name, held in running.items():
            read = reads.get(name)
            if held.room_kw is None or not isinstance(read, Readback) or read.state not in _STATES[held.state]:
                continue
            seq, kw = self._asked.get(name, (-1, 0.0))
            adjusted = kw if seq == held.block.seq else None
            able = read.range_kw
            if able is None and isinstance(self._devices[name], Pv):
                able = _range_of_pv(held.block.target_kw if adjusted is None else adjusted, read.measured_kw)
            least, greatest = _both(held.room_kw, able)
            role = role_of(self._devices[name], greatest)
            if role is not None and (held.cmd_id is not None or able is not None):
                target, present = held.block.target_kw, read.measured_kw
                if self._seen.get(name) != held.block.seq:
                    present = _expected_kw(role, _between(least, greatest, target), present)
                per_kw = self._devices[name].fed_per_kw()
                low, high = sorted((per_kw * least, per_kw * greatest))
                own = held.self_supply_kw if role == BATTERY else None
                yield Movable(name, role, per_kw * target, per_kw * present, low, high, adjusted, own, per_kw)

    def _guarded(self, ended: Mapping[str, Held], now: datetime) -> dict[str, Held]:
        """The blocks by which devices would be guarded on, while there are sequence numbers below the next plan's."""
        guarded = {}
        for name, held in ended.items():
            device, block = self._devices[name], held.block
            first = block.seq if held.cmd_id is not None or held.guards_after is None else held.guards_after
            if role_of(device, 0.0) in GUARDING and block.seq + 1 < first + self._limits.step_minutes:
                on = replace(block, seq=block.seq + 1, target_kw=block.safe_value_kw)
                on = replace(on, valid_from=now, valid_until=now + GUARD_LIFE)
                guarded[name] = Held(on, None, "expired", device.bounds_kw(), guards_after=first)
        return guarded

    def _guard(self, device: Movable, held: Held, kw: float | None) -> Move | None:
        """Takes a device from its safe value, by a block of its own."""
        if kw is None or self._face.write(device.device, held.block) is not None:
            return None
        self._face.adjust(device.device, device.setpoint_kw(kw))
        self._asked[device.device] = (held.block.seq, kw)
        return _moved(device, kw, replace(held, state="applied"))

    def _move(self, device: Movable, seq: int, kw: float | None) -> Move | None:
        if kw == device.adjusted_kw:
            return None
        if self._face.adjust(device.device, None if kw is None else device.setpoint_kw(kw)) is not None:
            return None
        if kw is None:
            self._asked.pop(device.device, None)
        else:
            self._asked[device.device] = (seq, kw)
        was_on_plan, is_on_plan = (power in (None, device.planned_kw) for power in (device.adjusted_kw, kw))
        return None if was_on_plan == is_on_plan else _moved(device, None if is_on_plan else kw)


@dataclass(frozen=True)
class Move:
    """A device left its setpoint, or came back to it (`asked_kw` None); both as setpoints."""

    planned_kw: float
    asked_kw: float | None
    guard: Held | None = None
    """The block by which a device is guarded on after the end of its setpoint."""


def _moved(device: Movable, kw: float | None, guard: Held | None = None) -> Move:
    return Move(device.setpoint_kw(device.planned_kw), None if kw is None else device.setpoint_kw(kw), guard)


_STATES: Mapping[str, tuple[DeviceState, ...]] = {
    "applied": (DeviceState.ACTIVE,),
    "expired": (DeviceState.EXPIRED, DeviceState.IDLE),
}
"""What a device must say of itself to be moved, by the state of its setpoint."""


def _range_of_pv(ceiling_kw: float, measured_kw: float) -> Range | None:
    """What PV can do that does not say so: below its ceiling the sun gives no more than is measured."""
    return None if near_enough(ceiling_kw, measured_kw) else (0.0, max(measured_kw, 0.0))


def _expected_kw(role: int, target_kw: float, measured_kw: float) -> float:
    """What a device is about to do under a fresh setpoint; PV's is a ceiling, and the sun decides below it."""
    return min(target_kw, measured_kw) if role == PV else target_kw


def _measured_kw(read: Readback | ReadFault) -> float:
    return read.measured_kw if isinstance(read, Readback) else 0.0


def _both(room: Range, now: Range | None) -> Range:
    """What setpoint and device both allow; where they exclude each other the device's nearest power."""
    if now is None:
        return room
    return min(max(room[0], now[0]), now[1]), min(max(room[1], now[0]), now[1])
