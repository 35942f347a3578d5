"""OCPP 2.1 face: the gateway is the central system that charging stations connect to; setpoints are charging profiles.

Three profiles of the purpose TxDefaultProfile lie on one another at each place; the highest that is valid counts:

    stack level 2   an adjustment by the local loop, valid as long as the setpoint
    stack level 1   the setpoint and the one after it, as far as they are valid: they end in the station by themselves
    stack level 0   the safe value, always valid

OCPP counts charging above 0 (`setpoint` of the operation mode CentralSetpoint, in W), the reverse of the rest of the
house: the sign is turned here and nowhere else. Sequence and validity are kept here as well (`HeldBlocks`), for a
station knows only profiles. Stations take their time from the central system, so the site's clock is the one given.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from ocpp.exceptions import OCPPError
from ocpp.routing import on
from ocpp.v21 import ChargePoint, call, call_result
from ocpp.v21.datatypes import ChargingProfileType, ChargingSchedulePeriodType, ChargingScheduleType
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from optimizer.errors import MissingPartError
from site_configs.control import ChargingPlace
from streams.gateways.decisions import near_enough
from streams.gateways.face import (
    Block,
    Fault,
    Mismatch,
    Readback,
    ReadFault,
    Refused,
    SiteStatus,
    Unreachable,
    WriteFault,
)
from streams.gateways.held_blocks import HeldBlocks
from streams.gateways.registers import RejectReason

SAFE, SETPOINT, ADJUSTMENT = range(3)
"""Stack levels."""
HEARTBEAT_S = 30
"""How often a station is to ask for the time."""
READ_AGAIN_S = 10.0
"""A composite schedule that was read back is asked for again after this, or when another value is due."""
LOOK_AHEAD_S = 60
"""Part of the composite schedule that is asked for."""
STEP_W = 1.0
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Station(ChargePoint):  # type: ignore[misc]  # the library has no types
    """One charging station that has connected, as the central system sees it."""

    def __init__(
        self, name: str, connection: ServerConnection, clock: Callable[[], datetime], timeout_s: float
    ) -> None:
        super().__init__(name, connection, response_timeout=timeout_s)
        self._clock = clock
        self.measured_kw: dict[int, float] = {}
        """By place: power that its meter says, > 0 feeds the bus."""

    @on("BootNotification")
    def on_boot(self, **_: Any) -> call_result.BootNotification:
        return call_result.BootNotification(current_time=_text(self._clock()), interval=HEARTBEAT_S, status="Accepted")

    @on("Heartbeat")
    def on_heartbeat(self, **_: Any) -> call_result.Heartbeat:
        return call_result.Heartbeat(current_time=_text(self._clock()))

    @on("StatusNotification")
    def on_status(self, **_: Any) -> call_result.StatusNotification:
        return call_result.StatusNotification()

    @on("TransactionEvent")
    def on_transaction(self, **given: Any) -> call_result.TransactionEvent:
        evse = given.get("evse") or {}
        self._measure(evse.get("id", 1), given.get("meter_value") or [])
        return call_result.TransactionEvent()

    @on("MeterValues")
    def on_meter_values(self, evse_id: int, meter_value: list[dict[str, Any]], **_: Any) -> call_result.MeterValues:
        self._measure(evse_id, meter_value)
        return call_result.MeterValues()

    def _measure(self, evse: int, values: list[dict[str, Any]]) -> None:
        samples = [sample for value in values for sample in value["sampled_value"]]
        powers = {sample.get("measurand"): _kw(sample) for sample in samples}
        taken, fed = powers.get("Power.Active.Import"), powers.get("Power.Active.Export")
        if taken is not None or fed is not None:
            self.measured_kw[evse] = (fed or 0.0) - (taken or 0.0)


@dataclass(frozen=True)
class _Seen:
    """A composite schedule as it was read back."""

    at: float
    due_kw: float
    read_kw: float


class OcppFace:
    """Listens for the stations of one site; a thread with an event loop of its own serves them."""

    def __init__(
        self,
        host: str,
        port: int,
        places: Mapping[str, ChargingPlace],
        clock: Callable[[], datetime],
        *,
        timeout_s: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`places`: by charger; `clock` is the site's, UTC.

        Raises:
            MissingPartError: the port is taken.
        """
        self._places, self._clock, self._timeout_s, self._monotonic = dict(places), clock, timeout_s, monotonic
        self._stations: dict[str, Station] = {}
        self._held = dict.fromkeys(self._places, HeldBlocks())
        self._safe_kw: dict[str, float] = {}
        self._seen: dict[str, _Seen] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ocpp", daemon=True)
        self._thread.start()
        try:
            self._server: Server = self._wait(self._listen(host, port))
        except OSError as error:
            self._end_thread()
            raise MissingPartError(f"cannot listen for charging stations on {host}:{port}: {error.strerror}") from error
        self.port: int = next(iter(self._server.sockets)).getsockname()[1]

    def read_site(self) -> SiteStatus | Fault:
        return SiteStatus(self._clock(), remote=True, heartbeat=0)

    def beat(self, count: int) -> Fault | None:
        """Stations hear the gateway by their own heartbeat and by the connection's pings."""
        return None

    def write(self, device: str, block: Block) -> WriteFault | None:
        now = self._clock()
        held = self._held[device].at(now)
        wanted = held.with_block(block, now)
        if self._safe_kw.get(device) != block.safe_value_kw:
            fault = self._set(device, always(block.safe_value_kw, self._number(device, SAFE)))
            if fault is not None:
                return fault
            self._safe_kw[device] = block.safe_value_kw
        fault = self._set(device, course_of(wanted, self._number(device, SETPOINT)))
        if fault is None and held.adjusted_kw is not None:
            fault = self._end_adjustment(device, wanted)
        if fault is None:
            self._held[device] = wanted
        return fault

    def _end_adjustment(self, device: str, held: HeldBlocks) -> Fault | None:
        """Lets an adjustment end with the setpoint that it belongs to: now, or when the next one begins."""
        if held.adjusted_kw is None:
            return self._clear(device, ADJUSTMENT)
        return self._set(device, adjustment_of(held, held.adjusted_kw, self._number(device, ADJUSTMENT)))

    def adjust(self, device: str, power_kw: float | None) -> WriteFault | None:
        held = self._held[device].at(self._clock())
        if held.running is None:
            return None
        if power_kw is None:
            fault = self._clear(device, ADJUSTMENT)
        else:
            fault = self._set(device, adjustment_of(held, power_kw, self._number(device, ADJUSTMENT)))
        if fault is None:
            self._held[device] = replace(held, adjusted_kw=power_kw)
        return fault

    def follow(self, now: datetime) -> None:
        """Stations keep the times of their profiles by themselves."""

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback | ReadFault]:
        now = self._clock()
        return {device: self._read(device, now) for device in devices}

    def close(self) -> None:
        self._server.close()
        self._wait(self._server.wait_closed())
        self._end_thread()

    async def _listen(self, host: str, port: int) -> Server:
        return await serve(self._connected, host, port, subprotocols=["ocpp2.1"])  # type: ignore[list-item]

    async def _connected(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        name = connection.request.path.rstrip("/").rsplit("/", 1)[-1]
        if connection.subprotocol is None or name not in {place.station for place in self._places.values()}:
            log.warning("charging station %s is refused: not of this site, or not by OCPP 2.1", name)
            await connection.close(1008, "unknown station or protocol")
            return
        station = self._stations[name] = Station(name, connection, self._clock, self._timeout_s)
        self._forget(name)
        log.info("charging station %s is connected", name)
        try:
            await station.start()
        except ConnectionClosed:
            log.warning("charging station %s is gone", name)
        finally:
            if self._stations.get(name) is station:
                del self._stations[name]

    def _forget(self, station: str) -> None:
        """A station that connects anew may have lost its profiles: they are read back, and the safe value is sent."""
        for device, place in self._places.items():
            if place.station == station:
                self._safe_kw.pop(device, None)
                self._seen.pop(device, None)

    def _wait(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _ask(self, device: str, request: Any) -> Any | Fault:
        """The station's answer, or why there is none."""
        place = self._places[device]
        station = self._stations.get(place.station)
        if station is None:
            return Unreachable(f"charging station {place.station} is not connected")
        try:
            return self._wait(station.call(request, suppress=False))
        except (TimeoutError, ConnectionClosed):
            return Unreachable(f"charging station {place.station} gives no answer in {self._timeout_s:g} s")
        except OCPPError as error:
            return Refused(f"{error.code}: {error.description}")

    def _set(self, device: str, profile: ChargingProfileType) -> Fault | None:
        request = call.SetChargingProfile(evse_id=self._places[device].evse, charging_profile=profile)
        answer = self._ask(device, request)
        self._seen.pop(device, None)
        if isinstance(answer, Refused | Unreachable):
            return answer
        if answer.status == "Accepted":
            return None
        why = (answer.status_info or {}).get("reason_code", "no reason given")
        return Refused(f"charging profile {str(answer.status).lower()}: {why}")

    def _clear(self, device: str, level: int) -> Fault | None:
        answer = self._ask(device, call.ClearChargingProfile(charging_profile_id=self._number(device, level)))
        self._seen.pop(device, None)
        return answer if isinstance(answer, Refused | Unreachable) else None

    def _number(self, device: str, level: int) -> int:
        return 10 * self._places[device].evse + level

    def _read(self, device: str, now: datetime) -> Readback | ReadFault:
        held = self._held[device].at(now)
        due = held.due_kw(now)
        seen = self._composite_kw(device, 0.0 if due is None else due)
        if not isinstance(seen, float):
            return seen
        if due is not None and not near_enough(due, seen):
            return Mismatch("target", due, seen)
        place, running = self._places[device], held.running
        station = self._stations.get(place.station)
        return Readback(
            block=held.following or running,
            applied_seq=0 if running is None else running.seq,
            applied_target_kw=seen if held.adjusted_kw is None or running is None else running.target_kw,
            measured_kw=0.0 if station is None else station.measured_kw.get(place.evse, 0.0),
            state=held.state(now),
            reject_reason=RejectReason.NONE,
        )

    def _composite_kw(self, device: str, due_kw: float) -> float | Fault:
        """What the station says that it follows now."""
        seen = self._seen.get(device) if self._places[device].station in self._stations else None
        if seen is not None and seen.due_kw == due_kw and self._monotonic() - seen.at < READ_AGAIN_S:
            return seen.read_kw
        request = call.GetCompositeSchedule(LOOK_AHEAD_S, self._places[device].evse, charging_rate_unit="W")
        answer = self._ask(device, request)
        if isinstance(answer, Refused | Unreachable):
            return answer
        if answer.status != "Accepted" or answer.schedule is None:
            return Refused("no composite schedule")
        read_kw = _followed_kw(answer.schedule["charging_schedule_period"])
        self._seen[device] = _Seen(self._monotonic(), due_kw, read_kw)
        return read_kw


def always(power_kw: float, number: int) -> ChargingProfileType:
    """The profile that holds where nothing else does; all powers > 0 feed the bus."""
    return _profile(number, SAFE, datetime.fromtimestamp(0, UTC), [(0, power_kw)], None)


def course_of(held: HeldBlocks, number: int) -> ChargingProfileType:
    """One profile for the setpoint in force and the one after it, with the safe value in a gap between them.

    Two profiles of one stack level must not be valid at one time, and setpoints overlap.
    """
    first, then = held.running, held.following
    if first is None or then is None:
        only = first or then
        assert only is not None
        return _profile(number, SETPOINT, only.valid_from, [(0, only.target_kw)], only.valid_until)
    periods = [(0, first.target_kw)]
    if first.valid_until < then.valid_from:
        periods.append((_seconds(first.valid_from, first.valid_until), first.safe_value_kw))
    periods.append((_seconds(first.valid_from, then.valid_from), then.target_kw))
    return _profile(number, SETPOINT, first.valid_from, periods, then.valid_until)


def adjustment_of(held: HeldBlocks, power_kw: float, number: int) -> ChargingProfileType:
    """It holds as long as the setpoint in force does."""
    running, then = held.running, held.following
    assert running is not None
    until = running.valid_until if then is None else min(running.valid_until, then.valid_from)
    return _profile(number, ADJUSTMENT, running.valid_from, [(0, power_kw)], until)


def _profile(
    number: int, level: int, start: datetime, periods: list[tuple[int, float]], end: datetime | None
) -> ChargingProfileType:
    """`periods`: seconds from `start`, and the power from then on [kW]."""
    schedule = ChargingScheduleType(
        id=number,
        charging_rate_unit="W",
        charging_schedule_period=[
            ChargingSchedulePeriodType(
                start_period=seconds,
                setpoint=_watt(-power_kw),  # OCPP: > 0 charges
                operation_mode="CentralSetpoint",
            )
            for seconds, power_kw in periods
        ],
        start_schedule=_text(start),
        duration=None if end is None else _seconds(start, end),
    )
    return ChargingProfileType(
        id=number,
        stack_level=level,
        charging_profile_purpose="TxDefaultProfile",
        charging_profile_kind="Absolute",
        charging_schedule=[schedule],
        valid_from=None if end is None else _text(start),
        valid_to=None if end is None else _text(end),
    )


def _seconds(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds())


def _followed_kw(periods: list[dict[str, Any]]) -> float:
    """Power of the first period: a setpoint, or a limit up to which it charges; > 0 feeds the bus."""
    first = min(periods, key=lambda period: int(period["start_period"]))
    return -float(first.get("setpoint", first.get("limit", 0.0))) / 1000.0 + 0.0


def _watt(kw: float) -> float:
    """In the steps of 0.1 that OCPP has."""
    return round(kw * 1000.0, 1) + 0.0


def _kw(sample: Mapping[str, Any]) -> float:
    unit = sample.get("unit_of_measure") or {}
    watts = 1000.0 if unit.get("unit") == "kW" else 1.0
    return float(sample["value"]) * 10.0 ** int(unit.get("multiplier", 0)) * watts / 1000.0


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
