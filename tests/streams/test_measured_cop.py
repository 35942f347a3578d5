"""What a machine was measured to take for what it gave, against its data sheet."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.devices import Chiller, GridConnection, HeatPump, Load
from optimizer.devices.cop_machine import COP_SHARE
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.verify import verify
from streams.interval import SignalValue
from streams.ledger import Ledger
from streams.measured_cop import BELIEVED, MEMORY, SHEET_HOURS, MeasuredCop
from streams.site_runtime import SiteRuntime
from tests.optimizer.park import park_situation
from tests.streams.story import EMPTY, STEP, at, light_park
from tests.streams.test_ledger import answer

CHILLER = Chiller(id="chiller1", cooling_limit_kw=400)
PUMP = HeatPump(id="pump1", heat_limit_kw=200)


def park():
    return light_park().model_copy(update={"devices": (*light_park().devices, CHILLER, PUMP)})


def means(cold_kw=300.0, heat_kw=0.0, share=0.9, outdoor_c=30.0) -> dict[str, float]:
    """What the meters show of machines with `share` of their data sheets' COP."""
    return {
        "chiller1.cold_kw": cold_kw,
        "chiller1.power_kw": cold_kw / float(CHILLER.sheet_cop(outdoor_c)) / share,
        "pump1.heat_kw": heat_kw,
        "pump1.power_kw": heat_kw / float(PUMP.sheet_cop(outdoor_c)) / share,
        "weather.temperature_c": outdoor_c,
    }


def measured(*intervals: dict[str, float]) -> MeasuredCop:
    cops = MeasuredCop(park())
    for quarter, one in enumerate(intervals):
        assert cops.add(at(quarter), one) == {}
    return cops


@settings(deadline=None)
@given(share=st.floats(0.6, 1.6), outdoor_c=st.floats(-5.0, 45.0), seed=st.integers(0, 99))
def test_a_share_is_found_whatever_the_load_and_the_weather(share: float, outdoor_c: float, seed: int) -> None:
    loads = np.random.default_rng(seed).uniform(50, 400, 96 * 3)
    found = measured(*(means(load, load / 2, share, outdoor_c) for load in loads)).shares(at(288))
    assert set(found) == {"chiller1", "pump1"}
    assert all(value == pytest.approx(share, rel=0.04) for value in found.values())


def test_few_readings_leave_the_share_close_to_the_data_sheet() -> None:
    (share,) = measured(means(cold_kw=40.0, share=0.6)).shares(at(1)).values()
    assert 0.95 < share < 1.0
    assert SHEET_HOURS == 1.0


def test_a_machine_that_stands_or_is_not_metered_has_none() -> None:
    without_meter = {"chiller1.cold_kw": 300.0, "weather.temperature_c": 30.0}
    without_weather = {name: value for name, value in means().items() if not name.startswith("weather")}
    assert measured(means(cold_kw=0.0), without_meter, without_weather, means(cold_kw=float("nan"))).shares(at(4)) == {}


@pytest.mark.parametrize("share", [0.9 * BELIEVED[0], 1.1 * BELIEVED[1]])
def test_meters_that_disagree_are_told_and_not_learned_from(share: float) -> None:
    cops = measured(*[means()] * 40)
    before = cops.shares(at(41))
    (machine, power), = cops.add(at(40), means(share=share)).items()  # fmt: skip
    assert machine == "chiller1"
    assert power.share == pytest.approx(share)
    assert cops.shares(at(41)) == before


def test_what_is_too_old_is_forgotten() -> None:
    cops = measured(*[means(share=0.7)] * 20)
    later = 20 + MEMORY // STEP
    for quarter in range(20, later):
        cops.add(at(quarter), means(share=1.0))
    assert cops.shares(at(later))["chiller1"] == 1.0
    assert cops.shares(at(later - 1))["chiller1"] < 1.0


def test_a_copy_goes_on_by_itself() -> None:
    cops = measured(means())
    other = cops.copy()
    other.add(at(1), means(share=0.7))
    assert cops.shares(at(2)) == measured(means()).shares(at(2)) != other.shares(at(2))


def test_the_plan_and_its_cost_are_those_of_the_measured_machine() -> None:
    chiller = Chiller(id="chiller1", cooling_limit_kw=400, min_part_load=0.0)
    devices = (GridConnection(id="grid", import_limit_kw=900), Load(id="cold", carrier="cold"), chiller)
    situation = park_situation(near=8, tail_hours=())
    series = {"cold.demand_kw": np.full(8, 200.0), "weather.temperature_c": np.full(8, 30.0)}
    sheet = replace(situation, series=series)
    worse = replace(sheet, state={**sheet.state, "chiller1": {COP_SHARE: 0.8}})
    planner = Planner("park", devices)
    by_sheet, as_measured = (planner.plan(one) for one in (sheet, worse))
    assert isinstance(by_sheet, Plan)
    assert isinstance(as_measured, Plan)
    power_kw = by_sheet.flow("chiller1", "power_kw")
    assert as_measured.flow("chiller1", "power_kw") == pytest.approx(power_kw / 0.8)
    assert verify(devices, (), worse, as_measured) == ()
    assert verify(devices, (), sheet, as_measured) != ()


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.db") as one:
        yield one


def answered(quarter: int, values: dict[str, float]):
    one = answer(quarter)
    signals = {name: SignalValue(value, "good", 1.0) for name, value in values.items()}
    return replace(one, closed=(replace(one.closed[0], signals=signals),))


def test_the_engine_knows_its_machines_also_after_a_restart(ledger):
    runtime = SiteRuntime.restore(park(), ledger, EMPTY)
    for quarter in range(30):
        one = answered(quarter, means(share=0.8, cold_kw=200.0 + quarter))
        runtime.begin(one.interval)
        runtime.absorb(one.closed[0])
        ledger.record(one)
    share = runtime.state_at(at(30)).devices["chiller1"][COP_SHARE]
    assert share == pytest.approx(0.82, abs=0.02)
    assert SiteRuntime.restore(park(), ledger, EMPTY).state_at(at(30)).devices["chiller1"][COP_SHARE] == share


def test_the_engine_says_once_a_day_that_meters_disagree(ledger, caplog):
    runtime = SiteRuntime.restore(park(), ledger, EMPTY)
    with caplog.at_level(logging.WARNING, "streams.site_runtime"):
        for quarter in range(100):
            runtime.absorb(answered(quarter, means(share=0.1)).closed[0])
    said = [record.message for record in caplog.records]
    assert len(said) == 3  # local days: one quarter hour, a whole one, three more
    assert all("chiller1" in one and "check its meters" in one for one in said)
    assert "chiller1" not in runtime.state_at(at(100)).devices
