"""What the gateway promises of a setpoint, whatever the protocol: the same tests over every face (RULES 8)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from optimizer.devices.battery import Battery
from optimizer.plan import Text
from streams.gateways.face import SiteStatus, Unreachable
from streams.gateways.site_setpoints import SiteSetpoints
from streams.messages import Acknowledgement, SetpointMessage
from tests.streams.gateways.device_model import DEVICES, START
from tests.streams.gateways.rigs import followed_kw

BATTERIES = tuple(Battery(id=name, capacity_kwh=1000, charge_limit_kw=500, discharge_limit_kw=500) for name in DEVICES)
CMD = "park:b1:{}"


def setpoint(seq: int, target_kw: float = 100.0, start: datetime = START, **more: Any) -> SetpointMessage:
    given = {
        "safe_value_kw": 0.0,
        "valid_until": start + timedelta(minutes=20),
        "issued_at": start,
        "device": "b1",
    } | more
    return SetpointMessage(
        site="park",
        cmd_id=f"park:{given['device']}:{seq}",
        seq=seq,
        valid_from=start,
        target_kw=target_kw,
        answer="optimal",
        reason=Text(zh="放电", en="discharge"),
        plan_id="p",
        plan_hash="h",
        forecast_id="f",
        **given,
    )


@dataclass
class Bench:
    """A gateway with two batteries behind a rig; seconds pass when told."""

    rig: Any
    acks: list[Acknowledgement] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.gateway = SiteSetpoints("park", BATTERIES, self.rig.face, self.acks.append, lambda: self.seconds)
        self.wait()

    def wait(self, minutes: float = 0.0) -> None:
        """Lets the site's clock go on, and the gateway look."""
        self.rig.model.clock += timedelta(minutes=minutes)
        self.seconds += 1.0
        settle = getattr(self.rig, "settle", None)
        if settle:
            settle()
        self.gateway.turn()

    def until(self, at: datetime) -> None:
        self.wait((at - self.rig.model.clock) / timedelta(minutes=1))

    def tell(self, *setpoints: SetpointMessage) -> None:
        self.gateway.handle(setpoints)
        self.wait()

    def states(self, seq: int) -> list[str]:
        return [ack.state for ack in self.acks if ack.cmd_id == CMD.format(seq)]

    def reason(self, seq: int) -> str:
        return next(ack.reason for ack in reversed(self.acks) if ack.cmd_id == CMD.format(seq))

    @property
    def kw(self) -> float:
        return followed_kw(self.rig, "b1")


@pytest.fixture
def bench(rig: Any) -> Iterator[Bench]:
    return Bench(rig)


def test_a_setpoint_is_written_followed_read_back_and_acknowledged(bench: Bench) -> None:
    bench.tell(setpoint(1, -120.5))
    assert bench.states(1) == ["accepted", "applied"]
    assert bench.acks[-1].readback_kw == pytest.approx(-120.5)
    assert bench.kw == pytest.approx(-120.5)
    assert followed_kw(bench.rig, "b2") == 0.0


def test_it_is_clamped_to_the_devices_own_bounds(bench: Bench) -> None:
    bench.tell(setpoint(1, 900.0))
    assert bench.states(1) == ["accepted", "applied"]
    assert bench.kw == 500.0
    assert "clamped from 900 kW" in bench.acks[0].reason


def test_an_older_sequence_is_refused(bench: Bench) -> None:
    bench.tell(setpoint(5, 50.0))
    bench.tell(setpoint(4, 70.0))
    assert bench.states(4) == ["rejected"]
    assert "sequence 4 is not above" in bench.reason(4)
    assert bench.kw == 50.0


def test_the_same_command_again_changes_nothing(bench: Bench) -> None:
    bench.tell(setpoint(1))
    taken = bench.rig.model.taken
    bench.tell(setpoint(1))
    assert bench.rig.model.taken == taken
    assert bench.states(1) == ["accepted", "applied", "applied"]
    assert bench.reason(1) == "repeated"


def test_it_waits_for_its_time_and_replaces_the_one_before(bench: Bench) -> None:
    bench.tell(setpoint(1, 40.0))
    bench.tell(setpoint(2, 60.0, START + timedelta(minutes=15), issued_at=START))
    assert bench.kw == 40.0
    bench.until(START + timedelta(minutes=15))
    bench.wait()
    assert bench.kw == 60.0
    assert bench.states(1) == ["accepted", "applied", "superseded"]
    assert bench.states(2) == ["accepted", "applied"]


def test_when_validity_ends_the_safe_value_holds(bench: Bench) -> None:
    bench.tell(setpoint(1, 200.0, safe_value_kw=-10.0))
    bench.until(START + timedelta(minutes=19, seconds=59))
    assert bench.kw == 200.0
    bench.until(START + timedelta(minutes=20))
    assert bench.kw == -10.0
    assert bench.states(1) == ["accepted", "applied", "expired"]


def test_the_timeline_of_tv_33(bench: Bench) -> None:
    """TV-33: plan at 10:00 for 10:15 to 10:30, P = +200, valid to 10:35; the engine dies at 10:20."""
    ten = START
    at = {minute: ten + timedelta(minutes=minute) for minute in (15, 35, 40, 60)}
    bench.tell(setpoint(615, 200.0, at[15], issued_at=ten, valid_until=at[35]))
    assert bench.kw == 0.0
    bench.until(at[15])
    bench.wait()
    assert bench.kw == 200.0
    bench.until(at[35] - timedelta(seconds=1))
    assert bench.kw == 200.0
    bench.until(at[35])
    assert bench.kw == 0.0
    assert bench.states(615) == ["accepted", "applied", "expired"]
    bench.until(at[40])
    bench.tell(setpoint(600, 150.0, at[40], valid_until=at[60]))
    assert bench.states(600) == ["rejected"]
    assert bench.kw == 0.0
    bench.tell(setpoint(630, 120.0, at[40], valid_until=at[60]))
    assert bench.states(630) == ["accepted", "applied"]
    assert bench.kw == 120.0


def test_what_is_over_already_is_not_written(bench: Bench) -> None:
    bench.until(START + timedelta(minutes=30))
    bench.tell(setpoint(1))
    assert bench.states(1) == ["rejected"]
    assert "expired at" in bench.reason(1)
    assert bench.rig.model.taken == 0


def test_a_device_that_refuses(bench: Bench) -> None:
    bench.rig.model.refuses = True
    bench.tell(setpoint(1))
    assert bench.states(1) == ["rejected"]
    assert bench.reason(1).startswith(bench.rig.refusal)
    assert bench.kw == 0.0


def test_a_device_that_lies_in_its_read_back(bench: Bench) -> None:
    bench.rig.model.lies = True
    bench.tell(setpoint(1, 100.0))
    assert bench.states(1) == ["accepted", "rejected"]
    assert bench.reason(1) == "read-back differs: target was written as 100.0, the device holds 1.0"


def test_a_device_that_is_gone_and_comes_back(bench: Bench) -> None:
    bench.tell(setpoint(1))
    with bench.rig.gone():
        bench.tell(setpoint(2, 60.0))
        bench.tell(setpoint(3, 70.0))
        assert bench.states(2) == ["rejected"]
        assert bench.states(3) == ["rejected"]
        assert bench.reason(3).startswith("unreachable")
        assert "tried again until" in bench.reason(3)
    bench.wait()
    bench.wait()
    assert bench.states(2) == ["rejected"]
    assert bench.states(3) == ["rejected", "accepted", "applied"]
    assert bench.kw == 70.0


def test_what_waited_too_long_is_not_written(bench: Bench) -> None:
    with bench.rig.gone():
        bench.tell(setpoint(1))
        bench.rig.model.clock = START + timedelta(minutes=20)
    bench.wait()
    bench.wait()
    assert bench.states(1) == ["rejected", "rejected"]
    assert "expired" in bench.reason(1)
    assert bench.kw == 0.0


def test_the_gateways_heartbeat_rises(bench: Bench) -> None:
    if not bench.rig.beats_are_seen:
        pytest.skip("stations by OCPP ask for the time instead: tests/streams/gateways/test_ocpp_stations.py")
    for _ in range(4):
        bench.wait()
    beats, end = bench.rig.model.beats, time.monotonic() + 2.0
    while len(set(beats)) < 4 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(set(beats)) >= 4
    assert beats == sorted(beats)  # one may arrive twice, none goes back


def test_an_adjustment_holds_until_it_is_taken_back_and_ends_with_the_setpoint(bench: Bench) -> None:
    face = bench.rig.face
    bench.tell(setpoint(1, -100.0))
    assert face.adjust("b1", -30.0) is None
    assert_soon(bench, -30.0)
    assert face.adjust("b1", None) is None
    assert_soon(bench, -100.0)
    assert face.adjust("b1", 10.0) is None
    assert_soon(bench, 10.0)
    bench.until(START + timedelta(minutes=20))
    assert bench.kw == 0.0


def test_the_next_setpoint_ends_an_adjustment(bench: Bench) -> None:
    bench.tell(setpoint(1, -100.0))
    assert bench.rig.face.adjust("b1", -30.0) is None
    bench.tell(setpoint(2, -80.0))
    assert bench.states(2) == ["accepted", "applied"]
    assert bench.kw == -80.0


def test_the_site_tells_its_clock_and_who_is_gone_is_a_value(bench: Bench) -> None:
    status = bench.rig.face.read_site()
    assert isinstance(status, SiteStatus)
    assert status.clock == START
    assert status.remote
    with bench.rig.gone():
        assert isinstance(bench.rig.face.read(["b1"])["b1"], Unreachable)


def assert_soon(bench: Bench, kw: float) -> None:
    """MQTT carries an adjustment on its way without an answer."""
    end = time.monotonic() + 2.0
    while bench.kw != pytest.approx(kw) and time.monotonic() < end:
        time.sleep(0.01)
    assert bench.kw == pytest.approx(kw)
