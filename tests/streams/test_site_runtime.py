"""The running knowledge of a site: rebuilt from ledger and history, never looking at what is to come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.services import CarbonLimit
from optimizer.situation import Session
from site_configs.carbon import factor_of
from streams.interval import close_interval
from streams.ledger import Ledger
from streams.messages import CarAtCharger
from streams.site_runtime import SiteRuntime, at_step
from tests.streams.story import EMPTY, STEP, at, car, light_park, reading
from tests.streams.test_ledger import answer


def history(first: int, last: int, **columns: float) -> pd.DataFrame:
    index = pd.date_range(at(first), at(last - 1), freq=STEP, name="time", unit="s")
    return pd.DataFrame({name.replace("__", "."): value for name, value in columns.items()}, index=index, dtype=float)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.db") as one:
        yield one


def closed(quarters: int, present: CarAtCharger | None = None, **values: float):
    some = [reading(name.split("__")[0], quarters, 900, **{name.split("__")[1]: v}) for name, v in values.items()]
    some.append(reading("ev01", quarters, 900, energy_kwh=20).model_copy(update={"car": present}))
    return close_interval(at(quarters), 15, some, {"ev01"})


def test_history_is_seen_only_before_the_first_interval_ever_controlled(ledger):
    runtime = SiteRuntime.restore(light_park(), ledger, history(-8, 8, load__demand_kw=1))
    runtime.begin(at(0))
    runtime.absorb(closed(0, load__demand_kw=7))
    runtime.begin(at(1))
    frame = runtime.recent(at(2))
    assert frame.index[-1] == at(1)
    assert frame.loc[at(-8), "load.demand_kw"] == 1
    assert frame.loc[at(0), "load.demand_kw"] == 7
    assert np.isnan(frame.loc[at(1), "load.demand_kw"])
    assert list(frame.columns) == ["load.demand_kw"]


def test_it_is_the_same_after_a_restart(ledger):
    past = history(-8, 8, load__demand_kw=1, meter__import_kw=50)
    runtime = SiteRuntime.restore(light_park(), ledger, past)
    for quarters in (0, 1, 2):
        one = answer(quarters, import_kw=100 + quarters)
        runtime.begin(one.interval)
        runtime.absorb(one.closed[0])
        runtime.adopt(ledger.record(one))
    again = SiteRuntime.restore(light_park(), ledger, past)
    assert again.state_at(at(3)) == runtime.state_at(at(3))
    assert again.recent(at(3)).equals(runtime.recent(at(3)))
    assert again.whole(at(3)).equals(runtime.whole(at(3)))
    assert again.last_plan.content_hash == runtime.last_plan.content_hash


def test_the_car_and_its_energy_leave_together(ledger):
    runtime = SiteRuntime.restore(light_park(), ledger, EMPTY)
    runtime.absorb(closed(0, present=car(depart=3)))
    assert runtime.state_at(at(1)).sessions["ev01"][0].depart == at(3)
    assert runtime.state_at(at(1)).devices["ev01"] == {"energy_kwh": 20}
    assert runtime.state_at(at(3)).sessions == {}
    assert "ev01" not in runtime.state_at(at(3)).devices
    runtime.absorb(closed(1, present=None))
    assert runtime.state_at(at(2)).sessions == {}


def test_stays_are_past_when_they_are_over_recorded_before_the_start_and_reported_after_it(ledger):
    recorded = tuple(
        Session(name, "ev01", at(arrive), at(depart), 12.0)
        for name, arrive, depart in (("before", -8, -4), ("standing at the start", -2, 4), ("never seen", 5, 6))
    )
    runtime = SiteRuntime.restore(light_park(), ledger, EMPTY, recorded)
    assert [session.session_id for session in runtime.past_sessions(at(-4))] == ["before"]
    ledger.record(answer(1))
    runtime.begin(at(0))
    assert [session.session_id for session in runtime.past_sessions(at(20))] == ["before", car().session_id]
    assert [session.session_id for session in runtime.past_sessions(at(19))] == ["before"]


def test_energy_of_an_earlier_car_is_not_taken_for_that_of_the_next(ledger):
    runtime = SiteRuntime.restore(light_park(), ledger, EMPTY)
    runtime.absorb(closed(0, present=car("s1", depart=1)))
    silent = [reading("ev01", 1, 900, charge_kw=0).model_copy(update={"car": car("s2", arrive=1.5, depart=9)})]
    runtime.absorb(close_interval(at(1), 15, silent, {"ev01"}))
    assert runtime.state_at(at(2)).sessions["ev01"][0].session_id == "s2"
    assert "ev01" not in runtime.state_at(at(2)).devices


def test_the_peak_is_of_the_running_month_only(ledger):
    month_end = 4 * (24 * 6)  # 2026-08-31 16:00Z is local midnight of 1 September
    past = history(-8, 0, meter__import_kw=640)
    runtime = SiteRuntime.restore(light_park(), ledger, past)
    runtime.begin(at(0))
    runtime.absorb(closed(0, meter__import_kw=500))
    assert runtime.state_at(at(1)).peak_kw == 640
    runtime.absorb(closed(1, meter__import_kw=700))
    assert runtime.state_at(at(2)).peak_kw == 700
    assert runtime.state_at(at(month_end)).peak_kw == 0


def test_a_coarser_or_finer_history_is_brought_to_the_step():
    fine = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=pd.date_range(at(0), periods=3, freq="5min"))
    assert list(at_step(fine, 15)["a"]) == [2.0]
    coarse = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.date_range(at(0), periods=2, freq="30min"))
    assert list(at_step(coarse, 15)["a"]) == [1.0, 1.0, 2.0]
    assert at_step(fine, 5) is fine


def test_a_carbon_limit_knows_what_was_emitted_since_midnight(ledger):
    """Recorded before the first interval ever controlled, measured after it; the evening before is another day."""
    cap = CarbonLimit(id="cap", kg_per_day=1000)
    site = light_park().model_copy(update={"services": (cap,)})
    runtime = SiteRuntime.restore(site, ledger, history(-2, 8, meter__import_kw=100))
    runtime.begin(at(2))
    runtime.absorb(closed(2, meter__import_kw=200))
    factor = float(factor_of(site.carbon).kg_per_kwh)
    assert runtime.state_at(at(3)).devices["cap"]["today_kg"] == pytest.approx(100 * factor)  # 50 + 50 kWh
