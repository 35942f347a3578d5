"""There is always an answer, and it says which."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer import exact
from optimizer.plan import Plan
from optimizer.planner import NoPlan, Planner
from optimizer.situation import Situation
from optimizer.solver import Solution, Status
from optimizer.verify import verify
from site_configs.site import Site
from streams.control_cycle import control_cycle, fallback_cycle, feeder_limits
from tests.optimizer.park import park, park_situation


class Tampering(Planner):
    """A planner whose plans are broken."""

    def plan(self, situation: Situation, deadline_s: float = 10.0, *, last_plan: Plan | None = None) -> Plan | NoPlan:
        plan = super().plan(situation, deadline_s, last_plan=last_plan)
        assert isinstance(plan, Plan)
        first = replace(plan.flows[0], kw=plan.flows[0].kw + 10.0)
        return replace(plan, flows=(first, *plan.flows[1:]))


class Helpless(Planner):
    """A planner that never finds a plan."""

    def plan(self, situation: Situation, deadline_s: float = 10.0, *, last_plan: Plan | None = None) -> Plan | NoPlan:
        return NoPlan("no answer: time limit reached")


@pytest.fixture
def site() -> Site:
    return Site.model_validate(
        {
            "id": "park", "name_zh": "园区", "name_en": "park", "timezone": "Asia/Shanghai",
            "latitude": 30.8, "longitude": 120.9,
            "tariff": {"area": "zhejiang", "class": "two_part_1_10kv", "transformer_kva": 1000},
            "carbon": {"region": "zhejiang"},
            "devices": [device.model_dump() for device in park()],
            "feeders": [{"id": "car_park", "limit_kw": 30, "members": ["ev01", "ev02"]}],
        }
    )  # fmt: skip


def test_a_good_plan_passes_with_its_times(site: Site) -> None:
    planner = Planner("park", site.devices, feeder_limits(site))
    result = control_cycle(site, planner, park_situation(), None)
    assert result.plan.status == "optimal"
    assert result.attempts == ()
    assert set(result.plan.time_ms) == {"update", "solve", "verify", "total"}


def test_a_plan_that_fails_verification_is_never_the_answer(site: Site) -> None:
    result = control_cycle(site, Tampering("park", site.devices), park_situation(), None)
    assert result.plan.status == "rules"
    assert "plan refused: " in result.plan.note
    assert verify(site.devices, feeder_limits(site), park_situation(), result.plan) == ()


def test_without_a_plan_the_last_one_is_moved_on(site: Site) -> None:
    last = control_cycle(site, Planner("park", site.devices, feeder_limits(site)), park_situation(), None).plan
    later = park_situation(shift=timedelta(minutes=15))
    reached = {d: {"energy_kwh": float(s["energy_kwh"][1])} for d, s in last.states.items()}
    later = replace(later, state={**later.state, **reached})
    result = control_cycle(site, Helpless("park", site.devices), later, last)
    assert result.plan.status == "shifted"
    assert result.plan.grid_limit_kw == last.grid_limit_kw
    assert result.attempts == ("no answer: time limit reached",)


def test_without_a_last_plan_rules_answer(site: Site) -> None:
    result = fallback_cycle(site, park_situation(), None, "worker killed after 5 s")
    assert result.plan.status == "rules"
    assert result.plan.note == "worker killed after 5 s"
    assert all(np.isfinite(s.target_kw) for s in result.plan.setpoints)


def test_a_missing_forecast_is_answered_with_safe_values_and_named(site: Site) -> None:
    situation = park_situation()
    series = {name: values for name, values in situation.series.items() if name != "cold_load.demand_kw"}
    result = control_cycle(site, Planner("park", site.devices), replace(situation, series=series), None)
    assert "cold_load.demand_kw is missing" in result.plan.note
    assert result.attempts == (result.plan.note,)
    told = {s.device: (s.target_kw, s.safe_value_kw) for s in result.plan.setpoints}
    assert set(told) == {"pv1", "battery1", "store", "chiller1", "ev01", "ev02"}
    assert all(target == safe for target, safe in told.values())


def test_a_state_that_is_no_number_is_answered_with_safe_values(site: Site) -> None:
    situation = replace(park_situation(), state={"battery1": {"energy_kwh": float("nan")}})
    result = control_cycle(site, Planner("park", site.devices), situation, None)
    assert "not finite" in result.plan.note
    assert all(np.isfinite(s.target_kw) for s in result.plan.setpoints)


def test_no_time_at_all_is_answered_by_rules_that_say_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Solution(Status.NO_ANSWER, *[np.empty(0)] * 3, np.nan, np.nan, "Time limit reached")
    monkeypatch.setattr(exact.Linear, "solve", lambda program, limit_s: late)
    monkeypatch.setattr(exact, "solve", lambda *program, **limits: late)
    result = control_cycle(site, Planner("park", site.devices, feeder_limits(site)), park_situation(), None)
    assert result.plan.status == "rules"
    assert result.plan.note == "no answer: Time limit reached"


def test_a_fallback_reports_what_it_could_not_serve(site: Site) -> None:
    weak = [d.model_copy(update={"import_limit_kw": 200.0}) if d.id == "grid" else d for d in site.devices]
    site = site.model_copy(update={"devices": tuple(weak)})
    result = fallback_cycle(site, park_situation(), None, "worker killed")
    assert result.plan.note == "worker killed"
    assert ("load", "demand") in {(given.device, given.limit) for given in result.plan.limits_given_way}
    assert verify(site.devices, feeder_limits(site), park_situation(), result.plan) == ()
