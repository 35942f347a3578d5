"""What is OCPP's own: the sign, profiles that end in the station, meters, and who may connect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from optimizer.devices.battery import Battery
from optimizer.errors import MissingPartError
from site_configs.control import ChargingPlace
from streams.gateways.face import Block, Readback
from streams.gateways.held_blocks import HeldBlocks
from streams.gateways.ocpp_stations import OcppFace, course_of
from streams.gateways.site_setpoints import SiteSetpoints
from streams.messages import Acknowledgement
from tests.streams.gateways.device_model import DEVICES, START
from tests.streams.gateways.rigs import OcppRig
from tests.streams.gateways.test_promises import setpoint


@pytest.fixture
def rig() -> Iterator[OcppRig]:
    made = OcppRig()
    yield made
    made.close()


def block(seq: int, target_kw: float, minutes: float = 0.0, safe_kw: float = -6.0, life: float = 20.0) -> Block:
    start = START + timedelta(minutes=minutes)
    return Block(seq, target_kw, safe_kw, None, start, start + timedelta(minutes=life))


def test_charging_is_above_zero_at_the_station_and_below_it_in_the_house(rig: OcppRig) -> None:
    assert rig.face.write("b1", block(1, -11.0)) is None
    assert rig.stations["b1"].followed_w() == 11_000.0
    assert rig.face.write("b1", block(2, 7.4)) is None
    assert rig.stations["b1"].followed_w() == -7_400.0
    read = rig.face.read(["b1"])["b1"]
    assert isinstance(read, Readback)
    assert read.applied_target_kw == 7.4


def test_the_profile_ends_by_itself_and_the_safe_value_stands_below_it(rig: OcppRig) -> None:
    rig.face.write("b1", block(1, 7.4))
    profiles = {profile["stack_level"]: profile for profile in rig.stations["b1"].profiles.values()}
    assert profiles[1]["valid_to"] == "2026-08-26T02:20:00Z"
    assert profiles[1]["charging_schedule"][0]["duration"] == 1200
    assert profiles[1]["charging_schedule"][0]["charging_schedule_period"][0]["operation_mode"] == "CentralSetpoint"
    assert "valid_to" not in profiles[0]
    rig.model.clock += timedelta(minutes=20)
    assert rig.stations["b1"].followed_w() == 6_000.0


def test_one_profile_holds_the_setpoint_and_the_next_with_the_safe_value_in_a_gap() -> None:
    held = HeldBlocks(block(1, -10.0, life=10.0), block(2, -4.0, minutes=15.0))
    profile = course_of(held, 11)
    periods = profile.charging_schedule[0].charging_schedule_period
    assert [(p.start_period, p.setpoint) for p in periods] == [(0, 10_000.0), (600, 6_000.0), (900, 4_000.0)]
    assert (profile.valid_from, profile.valid_to) == ("2026-08-26T02:00:00Z", "2026-08-26T02:35:00Z")


def test_an_adjustment_ends_where_the_next_setpoint_begins(rig: OcppRig) -> None:
    rig.face.write("b1", block(1, -10.0))
    rig.face.write("b1", block(2, -4.0, minutes=15.0))
    assert rig.face.adjust("b1", -1.0) is None
    assert rig.stations["b1"].followed_w() == 1_000.0
    rig.model.clock += timedelta(minutes=15)
    assert rig.stations["b1"].followed_w() == 4_000.0


def test_an_adjustment_gives_way_to_a_setpoint_that_was_told_after_it(rig: OcppRig) -> None:
    rig.face.write("b1", block(1, -10.0))
    rig.face.adjust("b1", -1.0)
    rig.face.write("b1", block(2, -4.0, minutes=15.0))
    assert rig.stations["b1"].followed_w() == 1_000.0
    rig.model.clock += timedelta(minutes=15)
    assert rig.stations["b1"].followed_w() == 4_000.0


def test_a_station_that_lost_its_profiles_is_noticed_and_gets_its_safe_value_again(rig: OcppRig) -> None:
    rig.face.write("b1", block(1, -10.0))
    with rig.gone():
        rig.stations["b1"].profiles.clear()
    rig.face.write("b1", block(2, -8.0))
    assert sorted(p["stack_level"] for p in rig.stations["b1"].profiles.values()) == [0, 1]


def test_a_station_that_is_gone_leaves_the_others_alone(rig: OcppRig) -> None:
    acks: list[Acknowledgement] = []
    batteries = [Battery(id=name, capacity_kwh=9, charge_limit_kw=9, discharge_limit_kw=9) for name in DEVICES]
    gateway = SiteSetpoints("park", batteries, rig.face, acks.append)
    rig.disconnect("b1")
    gateway.handle([setpoint(1, 5.0), setpoint(1, 6.0, device="b2")])
    gateway.handle([setpoint(2, 7.0, device="b2")])
    states = {name: [ack.state for ack in acks if ack.device == name] for name in DEVICES}
    assert states["b1"] == ["rejected"]
    assert states["b2"] == ["accepted", "applied", "accepted", "superseded", "applied"]
    assert rig.followed_kw("b2") == 7.0


def test_meters_of_both_directions_are_read(rig: OcppRig) -> None:
    rig.measure("b1", "Power.Active.Import", 6900.0)
    rig.measure("b2", "Power.Active.Export", 5000.0)
    reads = rig.face.read(["b1", "b2"])
    assert [read.measured_kw for read in reads.values() if isinstance(read, Readback)] == [-6.9, 5.0]


def test_stations_take_their_time_from_the_gateway(rig: OcppRig) -> None:
    assert {datetime.fromisoformat(time) for time in rig.times} == {START}


@pytest.mark.parametrize(("name", "protocol"), [("CS-strange", "ocpp2.1"), ("CS-b1", "ocpp1.6")])
def test_strangers_are_turned_away(rig: OcppRig, name: str, protocol: str) -> None:
    async def knock() -> None:
        address = f"ws://127.0.0.1:{rig.ocpp.port}/{name}"
        async with connect(address, subprotocols=[protocol]) as connection:  # type: ignore[list-item]
            await connection.recv()

    with pytest.raises((ConnectionClosed, InvalidStatus), match=r"unknown station|HTTP 400"):
        asyncio.run(knock())


def test_a_port_that_is_taken_is_named(rig: OcppRig) -> None:
    with pytest.raises(MissingPartError, match=f"127.0.0.1:{rig.ocpp.port}"):
        OcppFace("127.0.0.1", rig.ocpp.port, {"b1": ChargingPlace(station="x")}, lambda: START)
