"""The cabinet in trouble: breaker, relays, lost and derated devices, its clock."""

from datetime import timedelta

import numpy as np
import pytest

from hil.plant import HeldSetpoint, Records
from hil.recorded import lead_in
from hil.scenarios.cabinet import CLOSES_AFTER_MINUTES, Trouble, TroubledCabinet
from hil.scenarios.loading import load_setting
from hil.scenarios.running import plant_of

SETTING = load_setting("steady_tracking")


def cabinet_with(**energy_kwh):
    plant = plant_of(SETTING)
    held = {"battery1": 700.0, "battery2": 250.0, **energy_kwh}
    state, _ = lead_in(plant, {store: {"energy_kwh": kwh} for store, kwh in held.items()})
    return TroubledCabinet(plant, state)


@pytest.fixture
def cabinet():
    return cabinet_with()


def run(cabinet, minutes, trouble):
    cabinet.trouble = trouble
    return Records.joined([cabinet.run(1) for _ in range(minutes)])


def tell(cabinet, device, kw, seq=1, minutes=60):
    at = cabinet.clock
    return cabinet.write(device, HeldSetpoint(seq, kw, 0.0, at, at + timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("stored_kwh", "shed"),
    [(0.0, {"offices"}), (900.0, set())],
    ids=["700 kW of batteries do not carry all of it", "the store takes over from the chillers"],
)
def test_an_island_balances_and_exchanges_nothing(stored_kwh, shed):
    cabinet = cabinet_with(cold_store=stored_kwh)
    records = run(cabinet, 10, Trouble(grid_away=True))
    assert records.get("meter.import_kw").max() == 0.0
    assert records.get("meter.export_kw").max() == 0.0
    assert records.get("load.unserved_kw").max() == 0.0
    assert cabinet.open_relays == shed


def test_batteries_under_a_setpoint_share_by_what_they_hold(cabinet):
    tell(cabinet, "battery1", 0.0)
    tell(cabinet, "battery2", 0.0)
    tell(cabinet, "workshop", 230.0)
    records = run(cabinet, 8, Trouble(grid_away=True))
    given = [float(records.get(f"{name}.discharge_kw")[-1]) for name in ("battery1", "battery2")]
    held = [float(records.get(f"{name}.energy_kwh")[-1]) for name in ("battery1", "battery2")]
    floors = [cabinet.plant.layout.reserve_kwh[cabinet.plant.slots[name]] for name in ("battery1", "battery2")]
    assert given[0] / given[1] == pytest.approx((held[0] - floors[0]) / (held[1] - floors[1]), rel=0.15)


def test_the_breaker_waits_and_relays_close_one_by_one(cabinet):
    run(cabinet, 3, Trouble(grid_away=True))
    cabinet.open_relays = frozenset({"offices", "workshop"})
    back = run(cabinet, CLOSES_AFTER_MINUTES + 4, Trouble())
    exchanged = back.get("meter.import_kw") > 0.0
    assert np.flatnonzero(exchanged).min() == CLOSES_AFTER_MINUTES
    served = [back.get(f"{name}.served_kw") > 0.0 for name in ("workshop", "offices")]
    assert [int(np.argmax(one)) for one in served] == [CLOSES_AFTER_MINUTES + 1, CLOSES_AFTER_MINUTES + 2]


def test_a_derated_battery_gives_what_is_left_and_says_so(cabinet):
    tell(cabinet, "battery1", 400.0)
    records = run(cabinet, 5, Trouble(shares=(("battery1", 0.25),)))
    assert records.get("battery1.discharge_kw")[-1] == pytest.approx(125.0)
    assert cabinet.able_kw()["battery1"] == {"charge_limit_kw": 125.0, "discharge_limit_kw": 125.0}
    assert cabinet.read("battery1").range_kw == pytest.approx((-125.0, 125.0))
    assert run(cabinet, 3, Trouble()).get("battery1.discharge_kw")[-1] == pytest.approx(400.0)


def test_a_clock_that_is_ahead_ends_setpoints_early(cabinet):
    tell(cabinet, "battery1", 100.0, minutes=20)
    assert run(cabinet, 8, Trouble()).get("battery1.discharge_kw")[-1] == pytest.approx(100.0)
    cabinet.set_clock(timedelta(minutes=15))
    assert run(cabinet, 3, Trouble()).get("battery1.discharge_kw")[-1] == pytest.approx(0.0, abs=0.1)


def test_more_than_a_minute_at_once_is_refused(cabinet):
    with pytest.raises(ValueError, match="minute by minute, got 15"):
        cabinet.run(15)
