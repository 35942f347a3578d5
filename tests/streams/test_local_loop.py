"""The gateway's local loop: sliding demand, limits kept where they can be, the plan where nothing is in danger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.pv import Pv
from optimizer.devices.v2g_charger import V2gCharger
from site_configs.loader import load_site
from streams.gateways.decisions import Held
from streams.gateways.face import Block, Readback, SiteStatus
from streams.gateways.local_loop import (
    GUARD_LIFE,
    LEAST_MOVE_KW,
    Cable,
    DemandWindow,
    LocalLoop,
    Movable,
    SiteLimits,
    adjustments,
    grid_limit_of,
    limits_of,
    role_of,
)
from streams.gateways.registers import DeviceState, RejectReason
from streams.guard import BATTERY, CAR_DUE, CAR_WITH_SLACK, MACHINE, PV

START = datetime(2026, 8, 26, 2, 0, tzinfo=UTC)
SITE_LIMITS = SiteLimits(import_kw=1800.0, export_kw=0.0)


def minutes(values: Iterable[float]) -> DemandWindow:
    window = DemandWindow()
    for minute, kw in enumerate(values):
        window = window.with_sample(START + timedelta(minutes=minute), kw)
    return window


def test_sliding_demand_of_tv_05() -> None:
    """TV-05: 60 samples at 1000 kW, samples 8..22 at 1600 kW: the clock's blocks see 1320, the sliding window 1600."""
    window, demands = DemandWindow(), []
    for minute in range(60):
        window = window.with_sample(START + timedelta(minutes=minute), 1600.0 if 8 <= minute <= 22 else 1000.0)
        demands.append(window.demand_kw)
    assert demands[:14] == [None] * 14
    assert max(kw for kw in demands if kw is not None) == 1600.0
    assert [demands[end] for end in (14, 29, 44, 59)] == pytest.approx([1280.0, 1320.0, 1000.0, 1000.0])


def test_what_was_too_much_is_made_up_for_before_it_counts() -> None:
    assert minutes([800.0] * 20).allowed_kw(1000.0) == 1000.0
    assert minutes([1000.0] * 12 + [1020.0, 1010.0, 1000.0]).allowed_kw(1000.0) == 970.0
    assert minutes([1000.0] * 3 + [1020.0] + [1000.0] * 15).allowed_kw(1000.0) == 1000.0


def test_samples_of_a_minute_are_averaged_and_gaps_are_bridged() -> None:
    window = DemandWindow()
    for second, kw in ((0, 900.0), (20, 1000.0), (40, 1100.0), (240, 700.0)):
        window = window.with_sample(START + timedelta(seconds=second), kw)
    assert window.minutes == (1000.0,) * 4
    assert window.with_sample(START, 500.0).minutes == ()


def movables(
    present: Iterable[float], planned: Iterable[float] | None = None, adjusted: Iterable[float | None] | None = None
) -> list[Movable]:
    """Two batteries, a car with slack, one that needs 10 kW, PV in the sun."""
    here = list(present)
    rows = zip(here if planned is None else planned, here, adjusted or [None] * 5, strict=True)
    kinds = ((BATTERY, -500.0, 500.0), (BATTERY, -200.0, 200.0), (CAR_WITH_SLACK, -20.0, 20.0))
    kinds += ((CAR_DUE, -20.0, -10.0), (PV, 0.0, 400.0))
    return [
        Movable(name, role, plan, now, least, greatest, asked)
        for name, (role, least, greatest), (plan, now, asked) in zip("abcde", kinds, rows, strict=True)
    ]


def told_kw(devices: Iterable[Movable], asked: Mapping[str, float | None]) -> dict[str, float]:
    return {d.device: d.planned_kw if (kw := asked[d.device]) is None else kw for d in devices}


FEEDS = st.tuples(*(st.floats(*span) for span in ((-500, 500), (-200, 200), (-20, 20), (-20, -10), (0, 400))))
LIMIT = 1000.0


def test_above_the_plans_limit_charging_gives_way_first_then_cars_then_batteries_feed() -> None:
    devices = movables([-100.0, -50.0, -20.0, -20.0, 400.0])
    asked = [adjustments(kw, LIMIT, DemandWindow(), SITE_LIMITS, devices) for kw in (1060.0, 1160.0, 1375.0)]
    assert asked[0] == {"a": -40.0, "b": None, "c": None, "d": None, "e": None}
    assert asked[1] == {"a": 0.0, "b": 0.0, "c": -10.0, "d": None, "e": None}
    assert asked[2] == {"a": 195.0, "b": 0.0, "c": 0.0, "d": -10.0, "e": None}


def self_supplied(feed_kw: float, own: tuple[float, float], adjusted: float | None = None) -> list[Movable]:
    """The first battery keeps the connection at zero within its range; its setpoint is 50 kW."""
    first, *others = movables([feed_kw, 0.0, 0.0, -10.0, 400.0], [50.0, 0.0, 0.0, -10.0, 400.0])
    return [replace(first, self_supply_kw=own, adjusted_kw=adjusted), *others]


@pytest.mark.parametrize(
    ("feed_kw", "net_kw", "asked_kw"),
    [(50.0, 30.0, 80.0), (80.0, -10.0, 70.0), (50.0, 400.0, 200.0), (50.0, -90.0, -20.0), (80.0, -30.0, None)],
    ids=["import", "export", "more than it may", "less than it may", "as the setpoint says"],
)
def test_a_battery_follows_what_the_site_draws(feed_kw: float, net_kw: float, asked_kw: float | None) -> None:
    sells = replace(SITE_LIMITS, export_kw=400.0)
    asked = adjustments(net_kw, LIMIT, DemandWindow(), sells, self_supplied(feed_kw, (-20.0, 200.0), feed_kw))
    assert asked == {"a": asked_kw, "b": None, "c": None, "d": None, "e": None}


def test_limits_come_before_self_supply() -> None:
    """Above the limit it gives more than its range, and goes back to it as others do: by the room below the limit."""
    devices = self_supplied(200.0, (-20.0, 200.0), 200.0)
    assert adjustments(1080.0, LIMIT, DemandWindow(), SITE_LIMITS, devices)["a"] == 280.0
    devices = self_supplied(280.0, (-20.0, 200.0), 280.0)
    assert adjustments(950.0, LIMIT, DemandWindow(), SITE_LIMITS, devices)["a"] == 250.0
    cable = replace(SITE_LIMITS, cables=(Cable(100.0, frozenset("a"), True),))
    devices = self_supplied(50.0, (-20.0, 200.0))
    assert adjustments(120.0, LIMIT, DemandWindow(), cable, devices)["a"] == 100.0


def test_nothing_is_exported_where_nothing_may_be() -> None:
    devices = movables([100.0, 0.0, 0.0, -10.0, 400.0])
    asked = adjustments(-150.0, LIMIT, DemandWindow(), SITE_LIMITS, devices)
    assert asked == {"a": -50.0, "b": None, "c": None, "d": None, "e": None}
    asked = adjustments(-1000.0, LIMIT, DemandWindow(), SITE_LIMITS, devices)
    assert asked == {"a": -500.0, "b": -200.0, "c": -20.0, "d": -20.0, "e": 230.0}


def test_stored_energy_stays_inside_where_only_the_sun_may_be_sold() -> None:
    limits = SiteLimits(1800.0, 500.0, generation_only=True)
    asked = adjustments(-450.0, LIMIT, DemandWindow(), limits, movables([300.0, 0.0, 0.0, -10.0, 400.0]))
    assert asked["a"] == 250.0


def test_the_connections_limit_holds_without_a_limit_of_the_plan() -> None:
    asked = adjustments(1900.0, None, DemandWindow(), SITE_LIMITS, movables([-200.0, 0.0, 0.0, -10.0, 400.0]))
    assert asked["a"] == -100.0


def test_a_moved_device_goes_back_when_there_is_room_and_noise_moves_nothing() -> None:
    devices = movables([-1.0, 0.0, 0.0, -10.0, 0.0], [-100.0, 0.0, 0.0, -10.0, 0.0], [0.0, None, None, None, None])
    assert adjustments(990.0, LIMIT, DemandWindow(), SITE_LIMITS, devices)["a"] == 0.0
    assert adjustments(930.0, LIMIT, DemandWindow(), SITE_LIMITS, devices)["a"] == -50.0
    assert adjustments(700.0, LIMIT, DemandWindow(), SITE_LIMITS, devices)["a"] is None
    assert adjustments(float("nan"), LIMIT, DemandWindow(), SITE_LIMITS, devices)["a"] == 0.0


@given(st.floats(-3000, 3000), FEEDS, FEEDS)
def test_never_above_the_limits_of_devices(
    net_kw: float, planned: tuple[float, ...], present: tuple[float, ...]
) -> None:
    devices = movables(present, planned)
    for device, kw in adjustments(net_kw, LIMIT, DemandWindow(), SITE_LIMITS, devices).items():
        (own,) = [d for d in devices if d.device == device]
        assert kw is None or own.least_kw <= kw <= own.greatest_kw


@given(st.floats(0, 3000), FEEDS)
def test_the_limit_is_kept_where_any_action_keeps_it(net_kw: float, present: tuple[float, ...]) -> None:
    devices = movables(present)
    told = told_kw(devices, adjustments(net_kw, LIMIT, DemandWindow(), SITE_LIMITS, devices))
    after = net_kw - sum(told[d.device] - d.present_kw for d in devices)
    best = net_kw - sum(d.greatest_kw - d.present_kw for d in devices)
    assert after <= max(LIMIT, best) + len(devices) * LEAST_MOVE_KW


@given(st.floats(0, LIMIT), FEEDS, FEEDS)
def test_with_nothing_in_danger_every_device_follows_its_setpoint(
    net_kw: float, planned: tuple[float, ...], present: tuple[float, ...]
) -> None:
    asked = adjustments(net_kw, LIMIT, DemandWindow(), SITE_LIMITS, movables(present, planned))
    assert set(asked.values()) == {None}


@given(st.floats(-3000, 3000), FEEDS, FEEDS, st.floats(50, 700), st.floats(10, 60))
def test_cables_hold_and_others_take_over(
    net_kw: float, planned: tuple[float, ...], present: tuple[float, ...], both: float, cars: float
) -> None:
    cables = (Cable(both, frozenset("ab"), True), Cable(cars, frozenset("cd"), True))
    devices = movables(present, planned, present)
    told = told_kw(devices, adjustments(net_kw, LIMIT, DemandWindow(), SiteLimits(1800.0, 0.0, cables=cables), devices))
    for cable in cables:
        own = [d for d in devices if d.device in cable.members]
        plan, now = (abs(sum(kw)) for kw in ([d.planned_kw for d in own], [told[d.device] for d in own]))
        assert now <= max(cable.limit_kw, plan) + len(own) * LEAST_MOVE_KW


def test_what_a_cable_stops_the_other_battery_does() -> None:
    limits = SiteLimits(1800.0, 0.0, cables=(Cable(100.0, frozenset("a"), True),))
    asked = adjustments(1250.0, LIMIT, DemandWindow(), limits, movables([0.0, 0.0, 0.0, -10.0, 400.0]))
    assert (asked["a"], asked["b"]) == (100.0, 150.0)


def test_behind_a_cable_with_unknown_loads_devices_only_come_to_rest() -> None:
    limits = SiteLimits(1800.0, 0.0, cables=(Cable(100.0, frozenset(("a", "shop")), False),))
    asked = adjustments(1250.0, LIMIT, DemandWindow(), limits, movables([-80.0, 0.0, 0.0, -10.0, 400.0]))
    assert (asked["a"], asked["b"]) == (0.0, 170.0)


def test_limits_of_the_shipped_park() -> None:
    limits = limits_of(load_site("jiashan_park"))
    assert (limits.import_kw, limits.export_kw) == (1800.0, 1200.0)
    (car_park,) = limits.cables
    assert car_park.measured
    assert len(car_park.members) == 10


def block(limit_kw: float | None, start: datetime = START, target_kw: float = -100.0, seq: int = 1) -> Block:
    return Block(seq, target_kw, 0.0, limit_kw, start, start + timedelta(minutes=20))


def test_the_latest_interval_says_the_grid_limit() -> None:
    later = START + timedelta(minutes=15)
    assert grid_limit_of([block(700.0), block(900.0, later), block(850.0, later), block(None, later)]) == 850.0
    assert grid_limit_of([block(700.0), block(None, later)]) is None
    assert grid_limit_of([]) is None


class OneBattery:
    """A face on which a battery does at once what it is told."""

    def __init__(self, load_kw: float) -> None:
        self.load_kw = load_kw
        self.feed_kw = -100.0
        self.writes: list[float | None] = []

    def adjust(self, device: str, power_kw: float | None) -> None:
        self.writes.append(power_kw)
        self.feed_kw = -100.0 if power_kw is None else power_kw

    @property
    def status(self) -> SiteStatus:
        return SiteStatus(START, True, 0, self.load_kw - self.feed_kw)

    def read(self, state: DeviceState = DeviceState.ACTIVE) -> Mapping[str, Readback]:
        held = Readback(block(LIMIT), 1, self.feed_kw, self.feed_kw, state, RejectReason.NONE, (-300.0, 300.0))
        return {"a": held}


def test_the_loop_writes_only_what_changes_and_tells_when_a_device_leaves_its_setpoint_or_comes_back() -> None:
    face, running = OneBattery(950.0), {"a": Held(block(LIMIT), "cmd", "applied", (-500.0, 500.0))}
    loop = LocalLoop(SITE_LIMITS, [Battery(id="a", capacity_kwh=1, charge_limit_kw=500, discharge_limit_kw=500)], face)
    moves = [loop.turn(face.status, running, face.read()).get("a") for _ in range(3)]
    assert [move.asked_kw if move else None for move in moves] == [pytest.approx(-50.0), None, None]
    face.load_kw = 1400.0
    assert loop.turn(face.status, running, face.read()) == {}
    assert face.feed_kw == 300.0  # what the battery says it can, though its setpoint leaves more room
    face.load_kw = 500.0
    back = loop.turn(face.status, running, face.read())["a"]
    assert (back.planned_kw, back.asked_kw) == (-100.0, None)
    assert face.writes == [pytest.approx(-50.0), 300.0, None]


@pytest.mark.parametrize("state", [DeviceState.EXPIRED, DeviceState.LOCAL, DeviceState.REJECTED, DeviceState.IDLE])
def test_only_devices_with_a_setpoint_in_force_are_moved(state: DeviceState) -> None:
    face, running = OneBattery(1500.0), {"a": Held(block(LIMIT), "cmd", "applied", (-500.0, 500.0))}
    loop = LocalLoop(SITE_LIMITS, [Battery(id="a", capacity_kwh=1, charge_limit_kw=500, discharge_limit_kw=500)], face)
    assert loop.turn(face.status, running, face.read(state)) == {}
    without_room = {"a": Held(block(LIMIT), "cmd", "applied", None)}
    assert loop.turn(face.status, without_room, face.read()) == {}
    assert face.writes == []


def test_a_fresh_setpoint_counts_before_it_is_measured() -> None:
    """A battery that stands still is about to charge with 100 kW: what is too much of it is never begun."""
    face, running = OneBattery(950.0), {"a": Held(block(LIMIT), "cmd", "applied", (-500.0, 500.0))}
    face.feed_kw = 0.0
    loop = LocalLoop(SITE_LIMITS, [Battery(id="a", capacity_kwh=1, charge_limit_kw=500, discharge_limit_kw=500)], face)
    move = loop.turn(face.status, running, face.read())["a"]
    assert move.asked_kw == pytest.approx(-50.0)
    later = {"a": Held(block(LIMIT, seq=2), "cmd2", "applied", (-500.0, 500.0))}
    face.feed_kw = -50.0  # the new setpoint ended the adjustment; the device has not moved yet
    assert loop.turn(face.status, later, face.read())["a"].asked_kw == pytest.approx(-50.0)


class TwoBatteries:
    """A face that notes what is written; what the batteries do is told from outside."""

    def __init__(self) -> None:
        self.writes: dict[str, float | None] = {}

    def adjust(self, device: str, power_kw: float | None) -> None:
        self.writes[device] = power_kw


def test_where_a_fresh_plan_is_corrected_all_its_batteries_are_told_directly() -> None:
    """A plan hands 30 kW from one battery to the other while 20 kW are exported: were only the first told at once, the
    second would still feed its 30 kW, and these would flow through the connection, too."""
    devices = [Battery(id=name, capacity_kwh=1, charge_limit_kw=500, discharge_limit_kw=500) for name in "ab"]
    face = TwoBatteries()
    loop = LocalLoop(SITE_LIMITS, devices, face)

    def turn(seq: int, net_kw: float, targets_kw: tuple[float, float], measured_kw: tuple[float, float]) -> set[str]:
        blocks = [block(0.0, target_kw=kw, seq=seq) for kw in targets_kw]
        running = {
            name: Held(of, f"{name}{seq}", "applied", (-500.0, 500.0)) for name, of in zip("ab", blocks, strict=True)
        }
        reads = {
            name: Readback(of, seq, kw, kw, DeviceState.ACTIVE, RejectReason.NONE, (-500.0, 500.0))
            for name, of, kw in zip("ab", blocks, measured_kw, strict=True)
        }
        face.writes.clear()
        return set(loop.turn(SiteStatus(START, True, 0, net_kw), running, reads))

    assert (turn(1, 0.0, (370.0, 200.0), (370.0, 200.0)), face.writes) == (set(), {})
    assert turn(2, -20.0, (400.0, 170.0), (370.0, 200.0)) == {"a"}
    assert face.writes == {"a": pytest.approx(380.0), "b": 170.0}
    assert (turn(2, 0.0, (400.0, 170.0), (380.0, 170.0)), face.writes) == (set(), {"b": None})
    assert loop.adjusted == 1


def test_a_ceiling_of_pv_is_no_promise_of_sun() -> None:
    pv = Pv(id="a", capacity_kw=400)
    cloudy = Readback(block(LIMIT, target_kw=400.0), 1, 400.0, 90.0, DeviceState.ACTIVE, RejectReason.NONE)
    battery = Readback(block(LIMIT, target_kw=-100.0), 1, -100.0, -100.0, DeviceState.ACTIVE, RejectReason.NONE)
    running = {
        "a": Held(block(LIMIT, target_kw=400.0), "cmd", "applied", (0.0, 400.0)),
        "b": Held(block(LIMIT), "cmd", "applied", (-500.0, 500.0)),
    }
    face = OneBattery(0.0)
    store = Battery(id="b", capacity_kwh=1, charge_limit_kw=500, discharge_limit_kw=500)
    loop = LocalLoop(SITE_LIMITS, [pv, store], face)
    moves = loop.turn(SiteStatus(START, True, 0, 1060.0), running, {"a": cloudy, "b": battery})
    assert moves["b"].asked_kw == pytest.approx(-40.0)


def test_devices_that_the_loop_knows() -> None:
    car = V2gCharger(id="c", charge_limit_kw=20, discharge_limit_kw=20)
    assert (role_of(car, 0.0), role_of(car, -5.0)) == (CAR_WITH_SLACK, CAR_DUE)
    assert role_of(Pv(id="p", capacity_kw=5), 5.0) == PV
    assert role_of(HeatPump(id="h", heat_limit_kw=50), 0.0) == MACHINE
    assert HeatPump(id="h", heat_limit_kw=50, supply_temperature_c=45).fed_per_kw() == pytest.approx(-0.3, abs=0.03)


class OneChiller(OneBattery):
    """A chiller of a COP of 4 beside a store that settles the cold; its setpoint is 400 kW of cold."""

    def __init__(self, load_kw: float) -> None:
        super().__init__(load_kw)
        self.cold_kw = 400.0

    def adjust(self, device: str, power_kw: float | None) -> None:
        self.writes.append(power_kw)
        self.cold_kw = 400.0 if power_kw is None else power_kw

    @property
    def status(self) -> SiteStatus:
        return SiteStatus(START, True, 0, self.load_kw + self.cold_kw / 4.0)

    def read(self, state: DeviceState = DeviceState.ACTIVE) -> Mapping[str, Readback]:
        told = block(LIMIT, target_kw=400.0)
        return {"a": Readback(told, 1, 400.0, self.cold_kw, state, RejectReason.NONE)}


def test_a_chiller_gives_way_by_its_power_and_is_told_in_cold() -> None:
    """The loop reckons with a usual COP of 5 where the true one is 4: 40 kW too much are 200 kW of cold to it."""
    chiller = Chiller(id="a", cooling_limit_kw=500, cop_points=((30.0, 6.0),), auxiliary_share=0.2)
    face, running = OneChiller(940.0), {"a": Held(block(LIMIT, target_kw=400.0), "cmd", "applied", (150.0, 400.0))}
    loop = LocalLoop(SITE_LIMITS, [chiller], face)
    first = loop.turn(face.status, running, face.read())["a"]
    assert (first.planned_kw, first.asked_kw) == (pytest.approx(400.0), pytest.approx(200.0))
    assert face.status.net_import_kw == pytest.approx(990.0)
    face.load_kw = 990.0
    loop.turn(face.status, running, face.read())
    assert face.cold_kw == 150.0  # what the store cannot take over stays with the chiller
    face.load_kw = 800.0
    assert loop.turn(face.status, running, face.read())["a"].asked_kw is None
    assert face.cold_kw == 400.0


def ended_battery(seq: int = 1, guards_after: int | None = None) -> dict[str, Held]:
    """A battery whose setpoint, or guarding block, is over."""
    name = "cmd" if guards_after is None else None
    return {"a": Held(block(LIMIT, seq=seq), name, "expired", (-500.0, 500.0), guards_after)}


class EndedBattery(OneBattery):
    """It stands at its safe value until a block and an adjustment take it from there."""

    def __init__(self, load_kw: float) -> None:
        super().__init__(load_kw)
        self.feed_kw = 0.0
        self.blocks: list[Block] = []

    def write(self, device: str, block: Block) -> None:
        self.blocks.append(block)
        self.feed_kw = block.target_kw


def guarding_loop(face: OneBattery) -> LocalLoop:
    return LocalLoop(SITE_LIMITS, [Battery(id="a", capacity_kwh=1, charge_limit_kw=500, discharge_limit_kw=500)], face)


def test_after_the_end_of_a_setpoint_the_limit_is_still_kept() -> None:
    face = EndedBattery(1100.0)
    loop = guarding_loop(face)
    move = loop.turn(face.status, {}, face.read(DeviceState.EXPIRED), ended_battery())["a"]
    (written,) = face.blocks
    assert (written.seq, written.target_kw, written.safe_value_kw) == (2, 0.0, 0.0)
    assert (written.valid_from, written.valid_until) == (START, START + GUARD_LIFE)
    assert (move.planned_kw, move.asked_kw) == (0.0, pytest.approx(100.0))
    assert face.feed_kw == pytest.approx(100.0)
    assert move.guard is not None
    face.load_kw = 1200.0
    loop.turn(face.status, {"a": move.guard}, face.read())
    assert face.feed_kw == pytest.approx(200.0)
    face.load_kw = 600.0
    back = loop.turn(face.status, {"a": move.guard}, face.read())["a"]
    assert back.asked_kw is None
    assert len(face.blocks) == 1


def test_with_nothing_in_danger_a_device_stays_at_its_safe_value() -> None:
    face = EndedBattery(900.0)
    assert guarding_loop(face).turn(face.status, {}, face.read(DeviceState.EXPIRED), ended_battery()) == {}
    assert face.blocks == face.writes == []


def test_a_battery_on_its_way_to_its_safe_value_needs_no_block_while_another_is_corrected() -> None:
    over = Held(block(LIMIT, target_kw=60.0), "b1", "expired", (-500.0, 500.0))
    running = {"a": Held(block(LIMIT, target_kw=0.0), "a1", "applied", (-500.0, 500.0))}
    states = {"a": (0.0, DeviceState.ACTIVE), "b": (30.0, DeviceState.EXPIRED)}
    reads = {
        name: Readback(block(LIMIT), 1, kw, kw, state, RejectReason.NONE, (-50.0, 50.0))
        for name, (kw, state) in states.items()
    }
    face = EndedBattery(0.0)
    devices = [Battery(id=name, capacity_kwh=1, charge_limit_kw=500, discharge_limit_kw=500) for name in "ab"]
    moves = LocalLoop(SITE_LIMITS, devices, face).turn(
        SiteStatus(START, True, 0, LIMIT - 10.0), running, reads, {"b": over}
    )
    assert set(moves) == {"a"}
    assert face.blocks == []


def test_guarding_blocks_leave_the_next_plan_its_sequence_number() -> None:
    """A plan of the next quarter hour has a number 15 above; the fourteenth block is the last one."""
    face = EndedBattery(1100.0)
    last, over = (ended_battery(seq, guards_after=1) for seq in (14, 15))
    assert guarding_loop(face).turn(face.status, {}, face.read(DeviceState.EXPIRED), over) == {}
    assert guarding_loop(face).turn(face.status, {}, face.read(DeviceState.EXPIRED), last) != {}
    assert [one.seq for one in face.blocks] == [15]


@pytest.mark.parametrize("state", [DeviceState.ACTIVE, DeviceState.LOCAL, DeviceState.REJECTED])
def test_only_a_device_that_says_its_setpoint_is_over_is_guarded_with(state: DeviceState) -> None:
    face = EndedBattery(1100.0)
    assert guarding_loop(face).turn(face.status, {}, face.read(state), ended_battery()) == {}


def test_a_car_is_not_guarded_with() -> None:
    face = EndedBattery(1100.0)
    loop = LocalLoop(SITE_LIMITS, [V2gCharger(id="a", charge_limit_kw=20, discharge_limit_kw=20)], face)
    assert loop.turn(face.status, {}, face.read(DeviceState.EXPIRED), ended_battery()) == {}
