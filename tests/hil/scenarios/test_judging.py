"""Criteria on hand-made minutes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hil.plant import Records
from hil.scenarios.judging import judge
from hil.scenarios.loading import load_setting
from hil.scenarios.running import Followed
from hil.scenarios.schema import (
    DemandAtMost,
    EnergyWithin,
    ExportAtMost,
    InForce,
    NoneOld,
    PowerWithin,
    Served,
    ShedInOrder,
    Tracks,
)

MINUTES = 30


@pytest.fixture(scope="module")
def setting():
    return load_setting("steady_tracking")


def finding(setting, criterion, followed=None, **series):
    """What one criterion says of a run in which all is zero but what is given."""
    columns = {
        "meter.import_kw": 0.0, "meter.export_kw": 0.0, "battery1.charge_kw": 0.0, "battery1.discharge_kw": 0.0,
        "battery1.target_kw": 0.0, "workshop.demand_kw": 100.0, "workshop.served_kw": 100.0, "offices.demand_kw": 50.0,
        "offices.served_kw": 50.0,
    }  # fmt: skip
    given = {name.replace("__", "."): values for name, values in series.items()}
    values = [np.broadcast_to(np.asarray(v, dtype=float), MINUTES) for v in {**columns, **given}.values()]
    records = Records(setting.start, tuple({**columns, **given}), np.stack(values, axis=1))
    scenario = setting.scenario.model_copy(update={"minutes": MINUTES, "criteria": (criterion,)})
    run = SimpleNamespace(setting=replace(setting, scenario=scenario), records=records, followed=followed)
    (found,) = judge(run)
    return found


def at(minutes, value, rest=0.0):
    series = np.full(MINUTES, rest)
    series[minutes] = value
    return series


def test_demand_is_the_sliding_mean(setting):
    """TV-05: 8 minutes in one clock block and 7 in the next are one measured demand."""
    import_kw = at(slice(8, 23), 1600.0, rest=1000.0)
    assert finding(setting, DemandAtMost(kw=1500), meter__import_kw=import_kw).measured == pytest.approx(1600.0)
    assert not finding(setting, DemandAtMost(kw=1500), meter__import_kw=import_kw).passed
    assert finding(setting, DemandAtMost(kw=1600), meter__import_kw=import_kw).passed


def test_grace_forgives_what_is_short(setting):
    criterion = ExportAtMost(kw=5, grace_minutes=2)
    assert finding(setting, criterion, meter__export_kw=at([3, 4, 9, 10], 80.0)).passed
    failed = finding(setting, criterion, meter__export_kw=at([3, 4, 5], 80.0))
    assert (failed.passed, failed.minute, failed.measured) == (False, 5, 80.0)


def test_a_window_looks_at_nothing_else(setting):
    criterion = ExportAtMost(kw=5, from_minute=10, to_minute=20)
    assert finding(setting, criterion, meter__export_kw=at([9, 20], 80.0)).passed
    assert finding(setting, criterion, meter__export_kw=at([19], 80.0)).minute == 19


def test_tracking_waits_for_the_device_and_knows_its_tolerance(setting):
    told = np.repeat([0.0, 200.0], MINUTES // 2)
    slow = np.concatenate([told[:15], [50.0, 120.0], np.full(13, 197.0)])
    criterion = Tracks(devices=("battery1",), settle_minutes=2)
    assert finding(setting, criterion, battery1__target_kw=told, battery1__discharge_kw=slow).passed
    wrong = np.concatenate([told[:15], [50.0, 120.0], np.full(13, 190.0)])
    failed = finding(setting, criterion, battery1__target_kw=told, battery1__discharge_kw=wrong)
    assert (failed.passed, failed.measured, failed.allowed) == (False, 10.0, 4.0)


def test_a_controller_without_setpoints_is_not_in_force(setting):
    ages = np.full((MINUTES, 1), np.inf)
    ages[:20, 0] = 3.0
    followed = Followed(("battery1",), np.ones((MINUTES, 1), dtype=np.int64), ages)
    failed = finding(setting, InForce(gap_minutes=5), followed)
    assert (failed.passed, failed.measured) == (False, 10.0)
    assert finding(setting, InForce(gap_minutes=10), followed).passed


def test_an_earlier_setpoint_that_comes_back_is_old_whatever_its_age(setting):
    seq = np.full((MINUTES, 1), 2, dtype=np.int64)
    fresh = Followed(("battery1",), seq, np.full((MINUTES, 1), 3.0))
    assert finding(setting, NoneOld(), fresh).passed
    back = seq.copy()
    back[20:, 0] = 1
    assert not finding(setting, NoneOld(), replace(fresh, seq=back)).passed
    none = replace(fresh, seq=np.zeros((MINUTES, 1), dtype=np.int64), age_minutes=np.full((MINUTES, 1), np.inf))
    assert finding(setting, NoneOld(), none).passed


def test_shedding_out_of_order_is_found(setting):
    """Offices go before the workshop."""
    gone = at(slice(5, MINUTES), 0.0, rest=50.0)
    assert finding(setting, ShedInOrder(), offices__served_kw=gone).passed
    workshop_first = at(slice(5, MINUTES), 0.0, rest=100.0)
    failed = finding(setting, ShedInOrder(grace_minutes=3), workshop__served_kw=workshop_first)
    assert (failed.passed, failed.measured, failed.minute) == (False, 100.0, 8)
    assert finding(setting, ShedInOrder(), workshop__served_kw=workshop_first, offices__served_kw=gone).passed


def test_what_is_missing_and_moved_is_counted_in_kwh(setting):
    missing = finding(setting, Served(loads=("workshop",)), workshop__served_kw=at(slice(0, 6), 40.0, rest=100.0))
    assert (missing.passed, missing.measured) == (False, pytest.approx(6.0))
    fed = finding(
        setting, EnergyWithin(devices=("battery1",), least_kwh=-60, greatest_kwh=0), battery1__discharge_kw=100.0
    )
    assert (fed.passed, fed.measured) == (True, pytest.approx(-50.0))


def test_power_outside_its_band_names_the_minute(setting):
    criterion = PowerWithin(device="battery1", least_kw=-2, greatest_kw=2)
    failed = finding(setting, criterion, battery1__charge_kw=at([12], 30.0))
    assert (failed.passed, failed.measured, failed.allowed, failed.minute) == (False, -30.0, -2.0, 12)
