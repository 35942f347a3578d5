"""What a replay says it cost is what the bill of its meters says."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hil.replay.accounts import account, violations
from hil.replay.case import Terms
from hil.replay.control import plant_of
from hil.replay.replay import ReplayResult, replay
from hil.replay.value import baselines, causes, loss_split, value_captured
from settlement.metered_month import metered_month
from settlement.utility_bill import billing_columns, billing_flows, utility_bill
from site_configs.history import read_history, write_history


def test_the_meters_as_a_history_folder_are_billed_the_same(
    engine: ReplayResult, park: ModuleType, tmp_path: Path
) -> None:
    names = ["meter.import_kw", "meter.export_kw"]
    write_history(tmp_path, engine.account.meters[names])
    again = read_history(tmp_path)
    for window, ours in zip(engine.case.windows, engine.account.bills, strict=True):
        period = (window.start, window.end)
        month = metered_month(again, park.PARK, period, *billing_columns(park.PARK, engine.case.tariff))
        theirs = utility_bill(park.PARK, billing_flows(park.PARK, month), period)
        assert [line.id for line in theirs.lines] == [line.id for line in ours.lines]
        for mine, other in zip((*ours.lines, *ours.export_lines), (*theirs.lines, *theirs.export_lines), strict=True):
            assert abs(mine.fee - other.fee) <= Decimal("0.01")


def test_the_cost_is_the_bill_and_what_machines_cost(engine: ReplayResult) -> None:
    cost, bills = engine.account.cost, engine.account.bills
    demand = sum((bill.of("actual_demand") for bill in bills), Decimal(0))
    assert cost["demand"] == pytest.approx(float(demand))
    assert cost["energy"] == pytest.approx(float(sum((bill.total for bill in bills), Decimal(0)) - demand))
    assert cost["export"] == pytest.approx(-float(sum((bill.export_total for bill in bills), Decimal(0))))
    given, park = engine.account.energy_kwh, {device.id: device for device in engine.case.site.devices}
    worn = sum(park[name].wear_cost_per_kwh * given[f"{name}.discharge"] for name in ("battery1", "ev1"))
    assert worn > 0
    assert cost["wear"] == pytest.approx(worn, abs=0.05)
    assert cost["total"] == pytest.approx(sum(value for name, value in cost.items() if name != "total"))


def test_a_demand_of_each_month_is_billed(engine: ReplayResult) -> None:
    imports = engine.account.meters["meter.import_kw"]
    for window, bill in zip(engine.case.windows, engine.account.bills, strict=True):
        (line,) = [line for line in bill.lines if line.component == "actual_demand"]
        highest = imports.loc[window.start : window.end].iloc[: int((window.end - window.start).total_seconds() / 900)]
        assert float(line.quantity) == pytest.approx(float(highest.max()), abs=1e-5)


def test_a_broken_limit_is_named_with_its_worst(engine: ReplayResult) -> None:
    meters = engine.account.meters.copy()
    meters.iloc[3, meters.columns.get_loc("meter.import_kw")] = 640.0
    meters.iloc[5:7, meters.columns.get_loc("battery1.energy_kwh")] = 3.0
    meters.iloc[8, meters.columns.get_loc("load.unserved_kw")] = 12.0
    before = {violation.limit: violation.intervals for violation in engine.account.violations}
    found = {violation.limit: violation for violation in violations(engine.case, meters)}
    assert set(found) == {"import_limit", "min_soc", "unserved"}
    over, under = found["import_limit"], found["min_soc"]
    assert (over.worst, over.bound, over.intervals, over.first) == (640.0, 600.0, 1, meters.index[3])
    assert (under.worst, under.intervals) == (3.0, 2 + before.get("min_soc", 0))
    assert found["unserved"].worst == 12.0


def test_a_car_that_got_less_is_missed_and_one_that_still_stands_there_is_not(engine: ReplayResult) -> None:
    served = {"day5": 20.0, "night": 30.0, "day6": 25.0}
    cars = account(engine.case, engine.account.meters, (), served).cars
    assert (cars.sessions, cars.served_kwh, cars.missed_kwh) == (3, 75.0, pytest.approx(5.0))


def test_the_bound_knows_the_machines_of_the_real_plant(park: ModuleType, engine: ReplayResult) -> None:
    real = plant_of(engine.case, engine.case.windows[0]).truth.devices
    bound = _run(park, "perfect", Terms())
    assert bound.case.site.devices == real != engine.case.site.devices


def test_the_bound_is_below_all_and_what_is_lost_adds_up(park: ModuleType, engine: ReplayResult) -> None:
    terms = Terms()
    others = {name: _run(park, name, own) for name, own in baselines(terms)}
    without = dict(zip(("forecast", "plant", "both"), (_run(park, *wanted) for wanted in causes(terms)), strict=True))
    totals = {name: result.account.cost["total"] for name, result in others.items()}
    assert totals["perfect"] < min(totals["none"], totals["rules"], engine.account.cost["total"])
    assert totals["perfect"] < min(result.account.cost["total"] for result in without.values())
    split = loss_split(engine, others["perfect"], without)
    lost = engine.account.cost["total"] - totals["perfect"]
    assert split.as_dict()["total"] == pytest.approx(lost, abs=0.03)
    assert split.horizon > 0
    assert split.fallback == 0.0


def test_the_bound_does_not_sell_what_it_buys(park: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    dear = {**park.PARK.export.model_dump(), "price_per_kwh": 0.8}
    site = park.PARK.model_copy(update={"export": park.PARK.export.model_copy(update=dear)})
    bound, none = (replay(site, park.history(), park.START, park.END, name) for name in ("perfect", "none"))
    assert _bought_and_sold_kw(bound) < 1e-3
    monkeypatch.setattr("hil.replay.bound.DIRECTIONS_NODES", 0)
    relaxed = replay(site, park.history(), park.START, park.END, "perfect")
    assert _bought_and_sold_kw(relaxed) > 10.0
    assert relaxed.account.cost["total"] < bound.account.cost["total"] < none.account.cost["total"]


def _bought_and_sold_kw(result: ReplayResult) -> float:
    meters = result.account.meters
    return float(np.minimum(meters["meter.import_kw"], meters["meter.export_kw"]).max())


def _run(park: ModuleType, controller, terms: Terms) -> ReplayResult:  # type: ignore[no-untyped-def]
    return replay(park.PARK, park.history(), park.START, park.END, controller, terms=terms)


def test_the_share_captured_has_no_meaning_where_nothing_is_to_be_won() -> None:
    assert value_captured(150.0, 200.0, 100.0) == pytest.approx(0.5)
    assert value_captured(100.0, 100.0, 100.0) is None


def test_energy_is_conserved_at_the_bus(engine: ReplayResult) -> None:
    meters = engine.account.meters
    into = (
        meters["meter.import_kw"] + meters["pv1.used_kw"] + meters["battery1.discharge_kw"] + meters["ev1.discharge_kw"]
    )
    out = meters["meter.export_kw"] + meters["load.served_kw"] + meters["battery1.charge_kw"] + meters["ev1.charge_kw"]
    assert float(np.abs(into - out).max()) < 1e-6
