"""The gateway after the end of its setpoints: safe values, limits kept all the same, and the next plan takes over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

import pytest

from optimizer.devices.battery import Battery
from streams.gateways.face import Block, Readback, SiteStatus
from streams.gateways.local_loop import SiteLimits
from streams.gateways.registers import DeviceState, RejectReason
from streams.gateways.site_setpoints import SiteSetpoints
from streams.messages import Acknowledgement, SetpointMessage
from tests.streams.test_gateway import START, setpoint

MINUTE = timedelta(minutes=1)


class Cabinet:
    """A site controller with one battery that does at once what it is told; it keeps validity by itself."""

    def __init__(self) -> None:
        self.clock, self.load_kw = START, 800.0
        self.block: Block | None = None
        self.adjusted_kw: float | None = None

    @property
    def active(self) -> bool:
        return self.block is not None and self.clock < self.block.valid_until

    @property
    def feed_kw(self) -> float:
        if self.block is None:
            return 0.0
        if not self.active:
            return self.block.safe_value_kw
        return self.block.target_kw if self.adjusted_kw is None else self.adjusted_kw

    def read_site(self) -> SiteStatus:
        return SiteStatus(self.clock, True, 0, self.load_kw - self.feed_kw)

    def beat(self, count: int) -> None:
        return None

    def follow(self, now: object) -> None:
        return None

    def write(self, device: str, block: Block) -> None:
        assert self.block is None or block.seq > self.block.seq, "an old sequence number"
        self.block, self.adjusted_kw = block, None

    def adjust(self, device: str, power_kw: float | None) -> None:
        self.adjusted_kw = power_kw

    def read(self, devices: Iterable[str]) -> Mapping[str, Readback]:
        state = DeviceState.IDLE if self.block is None else DeviceState.ACTIVE if self.active else DeviceState.EXPIRED
        seq, target = (0, 0.0) if self.block is None else (self.block.seq, self.block.target_kw)
        told = Readback(self.block, seq, target, self.feed_kw, state, RejectReason.NONE, (-500.0, 500.0))
        return dict.fromkeys(devices, told)


class Rig:
    """A gateway on a cabinet; real time passes a second with every turn."""

    def __init__(self) -> None:
        self.cabinet, self.acks, self.seconds = Cabinet(), list[Acknowledgement](), 0.0
        battery = Battery(id="b1", capacity_kwh=1000, charge_limit_kw=500, discharge_limit_kw=500)
        self.gateway = SiteSetpoints(
            "park", [battery], self.cabinet, self.acks.append, lambda: self.seconds, SiteLimits(1800.0, 0.0)
        )  # fmt: skip

    def tell(self, seq: int) -> None:
        told: SetpointMessage = setpoint("b1", seq, target_kw=-100.0, start=self.cabinet.clock)
        self.gateway.handle([told.model_copy(update={"room_kw": (-500.0, 500.0)})])

    def turn(self, minutes: float = 0.0) -> float:
        """What the battery feeds after one more turn."""
        self.cabinet.clock += minutes * MINUTE
        self.seconds += 1.1
        self.gateway.turn()
        return self.cabinet.feed_kw


def test_the_limit_is_kept_after_the_end_and_the_next_plan_takes_over() -> None:
    rig = Rig()
    rig.tell(1000)
    assert rig.turn() == -100.0
    assert rig.turn(20) == 0.0
    assert [ack.state for ack in rig.acks] == ["accepted", "applied", "expired"]
    assert rig.turn() == 0.0
    rig.cabinet.load_kw = 1150.0  # the plan's grid limit was 900 kW
    rig.turn()
    assert rig.turn() == pytest.approx(250.0)
    assert rig.cabinet.block is not None
    assert rig.cabinet.block.seq == 1001
    rig.cabinet.load_kw = 600.0
    assert rig.turn() == 0.0
    rig.tell(1015)
    assert rig.turn() == -100.0
    assert [ack.state for ack in rig.acks[3:]] == ["accepted", "applied"]


def test_guarding_goes_on_by_a_new_block_and_ends_before_the_next_plans_number() -> None:
    rig = Rig()
    rig.tell(1000)
    rig.turn()
    rig.turn(20)
    rig.cabinet.load_kw = 1150.0
    seen = []
    for _ in range(16):
        fed = [rig.turn() for _ in range(3)]
        assert rig.cabinet.block is not None
        seen.append((rig.cabinet.block.seq, fed[-1] > 0.0))
        rig.cabinet.clock += 20 * MINUTE
    assert seen == [*((1001 + n, True) for n in range(14)), (1014, False), (1014, False)]


def test_an_old_setpoint_does_not_come_back() -> None:
    rig = Rig()
    rig.tell(1000)
    rig.turn()
    rig.turn(20)
    rig.cabinet.load_kw = 1150.0
    rig.turn()
    rig.tell(1000)
    rig.tell(999)
    assert [ack.state for ack in rig.acks[-2:]] == ["expired", "rejected"]
