"""`quartet plan`: honest about the past, balanced, complete."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from optimizer.devices import ThermalStore
from optimizer.errors import InputError
from optimizer.plan import PlanDocument
from optimizer.situation import Session
from quartet.planning import assumptions, known_before, last_states, month_peaks_kw, plan_once, state_at
from quartet.show import show_plan
from site_configs.history import History, read_history, sample_folder, write_history
from site_configs.loader import load_site
from streams.site_forecasts import yardstick_site
from streams.site_state import SiteState

AT = datetime(2026, 8, 26, tzinfo=UTC)
SITE = load_site("jiashan_park")


def history(**columns: list[float]) -> History:
    """Four quarter hours before `AT` and two from it on."""
    index = pd.date_range(AT - timedelta(hours=1), periods=6, freq="15min", name="time")
    return History("here", pd.DataFrame(columns, index=index, dtype=float), 15)


@pytest.fixture(scope="module")
def document() -> PlanDocument:
    return plan_once(SITE, sample_folder(SITE.id), AT, horizon_hours=6)


def test_plan_balances_on_every_carrier_and_step(document):
    sums = defaultdict(lambda: np.zeros(len(document.times)))
    for flow in document.flows:
        assert min(flow.kw) >= 0
        sums[flow.carrier] += np.array(flow.kw) * (1 if flow.direction == "in" else -1)
    assert set(sums) == {"power", "cold"}
    assert max(np.abs(total).max() for total in sums.values()) < 1e-6


def test_cost_total_is_the_sum_of_its_terms(document):
    assert document.cost["total"] == pytest.approx(sum(v for k, v in document.cost.items() if k != "total"))


def test_plan_covers_its_horizon_and_every_controlled_device(document):
    assert document.status == "optimal"
    assert (document.times[0], len(document.times)) == (AT, 24)
    assert {s.device for s in document.setpoints} == {d.id for d in SITE.devices if d.main_quantity is not None}
    assert all(s.reason.zh and s.reason.en for s in document.setpoints)
    assert {len(v) for states in document.states.values() for v in states.values()} == {25}


@pytest.mark.parametrize("columns", [200, 80, 60])
def test_the_table_never_cuts_its_numbers(document, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    show_plan(document, SITE)
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert max(len(line) for line in shown.splitlines() if "█" in line) <= columns
    assert f"{max(document.prices['import_per_kwh']):.3f}" in shown


def test_what_is_assumed_is_said(document):
    assert any("meter.import_kw is not recorded" in repair for repair in document.repairs)
    assert any("battery1.energy_kwh is not recorded" in repair for repair in document.repairs)


def test_without_a_demand_line_nothing_is_said_of_a_peak():
    known = known_before(history(**{"load.demand_kw": [5.0] * 6}), AT)
    for peaks, said in (({"demand": 5.0}, True), ({}, False)):
        state = SiteState(SITE.id, AT, {}, peaks, {})
        assert any("peak" in text for text in assumptions(SITE, known, state, {})) is said


def test_a_tank_by_volume_may_report_its_temperature():
    past = history(**{"cold_store.temperature_c": [9.0, 8.5, 8.0, 7.5, 7.0, 6.5]})
    tank = {"volume_m3": 60.0, "upper_temperature_c": 14.0, "lower_temperature_c": 6.0}
    old = next(device for device in SITE.devices if device.kind == "thermal_store")
    store = ThermalStore(id="cold_store", carrier="cold", tank=tank, charge_limit_kw=80, discharge_limit_kw=80)
    site = SITE.model_copy(update={"devices": tuple(store if d is old else d for d in SITE.devices)})
    known = known_before(past, AT)
    state = state_at(site, known, AT, AT)
    assert state.devices["cold_store"] == {"temperature_c": 7.5}
    assert not any("cold_store" in said for said in assumptions(site, known, state, {}))
    plain = store.model_copy(update={"tank": None})
    site = SITE.model_copy(update={"devices": (plain,)})
    assert any("cold_store.energy_kwh is not recorded" in said for said in assumptions(site, known, state, {}))


def test_json_is_the_document_and_nothing_else(quartet):
    arguments = ("plan", "jiashan_park", "--at", "2026-08-26T08:00", "--horizon", "2", "--step", "30", "--json")
    ran = quartet(*arguments)
    assert (ran.code, ran.err) == (0, "")
    plan = PlanDocument.model_validate(ran.json)
    assert (plan.step_minutes, len(plan.times), plan.issued_at) == (30, 4, AT)


@pytest.fixture
def quick(monkeypatch):
    """Yardsticks in the place of fitted models."""

    def fitted(site, frame, at, sessions, published):
        return yardstick_site(site, frame, at, "quick", published)

    monkeypatch.setattr("quartet.planning.fit_site", fitted)


@pytest.mark.parametrize(("site_step", "step", "minute"), [(15, 5, 5), (60, 15, 45), (15, 30, 30)])
def test_a_plan_may_start_inside_an_interval_of_the_site(quick, site_step, step, minute):
    site = SITE.model_copy(update={"step_minutes": site_step})
    at = AT + timedelta(minutes=minute)
    plan = plan_once(site, sample_folder(SITE.id), at, horizon_hours=2, step_minutes=step)
    assert (plan.times[0], len(plan.times), plan.status) == (at, 120 // step, "optimal")


def test_nothing_measured_from_the_moment_on_changes_the_plan(document, tmp_path):
    past = read_history(sample_folder(SITE.id))
    frame = past.frame.copy()
    frame.loc[frame.index >= AT] *= 0.5
    late = tuple(replace(s, energy_needed_kwh=1.0) if s.arrive > AT else s for s in past.sessions)
    write_history(tmp_path, frame, late)
    again = plan_once(SITE, tmp_path, AT, horizon_hours=6)
    assert again.model_dump(exclude={"time_ms"}) == document.model_dump(exclude={"time_ms"})


def test_only_intervals_that_are_over_are_known():
    known = known_before(history(**{"load.demand_kw": [1, 2, 3, 4, 5, 6]}), AT + timedelta(minutes=10))
    assert list(known.frame["load.demand_kw"]) == [1, 2, 3, 4]


def test_a_moment_before_the_history_is_refused():
    with pytest.raises(InputError, match="the history begins at 2026-08-25T23:00Z: choose a later time"):
        known_before(history(**{"load.demand_kw": [1] * 6}), AT - timedelta(hours=1))


def test_states_are_the_last_ones_measured():
    frame = history(**{"battery1.energy_kwh": [1, 2, np.nan, np.nan, 9, 9], "battery1.charge_kw": [5] * 6}).frame.iloc[
        :4
    ]
    assert last_states(frame) == {"battery1": {"energy_kwh": 2.0}}


def test_cars_that_stand_at_a_charger_are_in_the_state():
    def car(name: str, arrive: float, depart: float) -> Session:
        return Session(name, "ev01", AT + timedelta(hours=arrive), AT + timedelta(hours=depart), 10.0)

    past = replace(
        history(**{"load.demand_kw": [1] * 6}), sessions=(car("gone", -3, -1), car("here", -1, 2), car("later", 1, 3))
    )
    state = state_at(SITE, known_before(past, AT), AT, AT - timedelta(days=20))
    assert [session.session_id for session in state.sessions["ev01"]] == ["here"]


def test_a_car_at_a_charger_that_the_site_lacks_is_named(quick, quartet, tmp_path):
    def car(charger):
        return Session(f"at_{charger}", charger, AT - timedelta(hours=1), AT + timedelta(hours=2), 5.0)

    write_history(tmp_path, read_history(sample_folder(SITE.id)).frame, (car("ev01"), car("nowhere")))
    plan = plan_once(SITE, tmp_path, AT, horizon_hours=2)
    (named,) = (said for said in plan.repairs if "nowhere" in said)
    assert "charger: 1 sessions at chargers that the site does not have, left out" in named
    assert not any(said.startswith("nowhere") for said in plan.repairs)
    assert named in quartet("check", SITE.id, "--data", str(tmp_path), "--json").json["data"]["repairs"]


def peaks_of(past):
    return month_peaks_kw(SITE, past, past.frame.index[0].to_pydatetime(), past.end.to_pydatetime())


def test_month_peak_is_the_meters_where_there_is_one():
    past = history(**{"meter.import_kw": [1, 700, 3, 4, 5, 6], "load.demand_kw": [900] * 6})
    assert peaks_of(past) == {"demand": 700.0}


def test_month_peak_without_a_meter_is_loads_less_pv():
    past = history(**{"load.demand_kw": [500, 600, 700, 500, 500, 500], "pv1.available_kw": [0, 0, 300, 0, 0, 0]})
    assert peaks_of(past) == {"demand": 600.0}


def test_month_peak_at_the_start_of_a_month_is_zero():
    past = history(**{"load.demand_kw": [500] * 6})
    assert month_peaks_kw(SITE, past, past.end, past.end) == {"demand": 0.0}


def test_a_history_without_a_needed_series_is_refused(tmp_path):
    write_history(tmp_path, read_history(sample_folder(SITE.id)).frame.drop(columns="cold_load.demand_kw"))
    with pytest.raises(InputError, match=r"cold_load\.demand_kw is needed: add it"):
        plan_once(SITE, tmp_path, AT)


@pytest.mark.parametrize(("minutes", "gained"), [(30, 20 * 0.95 * 0.5), (240, 12.0)])
def test_cars_not_measured_are_taken_as_charged_at_once(minutes, gained):
    site = load_site("jiashan_park")
    at = datetime(2026, 8, 26, 2, tzinfo=UTC)
    came = at - timedelta(minutes=minutes)
    cars = (
        Session("known", "ev01", came, at + timedelta(hours=2), 12.0, 30.0, 60.0),
        Session("unknown", "ev02", came, at + timedelta(hours=2), 12.0),
    )
    frame = pd.DataFrame({"load.demand_kw": [600.0]}, index=pd.DatetimeIndex([at - timedelta(minutes=15)], name="time"))
    history = replace(read_history(sample_folder("jiashan_park")), frame=frame, sessions=cars)
    state = state_at(site, history, at, at - timedelta(days=1))
    assert state.devices["ev01"]["energy_kwh"] == pytest.approx(30.0 + gained)
    assert state.devices["ev02"]["energy_kwh"] == pytest.approx(gained)
    measured = history.frame.assign(**{"ev01.energy_kwh": [33.0]})
    state = state_at(site, replace(history, frame=measured), at, at - timedelta(days=1))
    assert state.devices["ev01"]["energy_kwh"] == 33.0
