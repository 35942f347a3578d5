"""Services in the control cycle: planned, verified, and kept as well as it goes when there is no plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from optimizer.events import DemandResponseEvent, ReserveOffer
from optimizer.plan import Plan
from optimizer.planner import NoPlan, Planner
from optimizer.situation import Situation
from optimizer.verify import verify
from site_configs.prices import grid_for
from site_configs.site import Site
from streams.control_cycle import control_cycle, fallback_cycle, feeder_limits, planner_for, services_of
from streams.site_state import local_days
from tests.optimizer.park import START, park, park_situation

QUARTER = timedelta(minutes=15)


@pytest.fixture
def site() -> Site:
    return Site.model_validate(
        {
            "id": "park", "name_zh": "园区", "name_en": "park", "timezone": "Asia/Shanghai",
            "latitude": 30.8, "longitude": 120.9,
            "tariff": {"area": "zhejiang", "class": "two_part_1_10kv", "transformer_kva": 1000},
            "carbon": {"region": "zhejiang", "price_per_kg": 0.07},
            "devices": [device.model_dump() for device in park()],
            "feeders": [{"id": "car_park", "limit_kw": 30, "members": ["ev01", "ev02"]}],
            "services": [
                {"id": "response", "kind": "demand_response", "rule": "zhejiang"},
                {"id": "island", "kind": "island_reserve", "hours": 1, "critical_kw": 60, "devices": ["battery1"]},
                {"id": "reserve", "kind": "reserve_capacity", "devices": ["battery1", "ev01"]},
                {"id": "cap", "kind": "carbon_limit", "kg_per_day": 1000},
            ],
        }
    )  # fmt: skip


def called() -> Situation:
    """A call of 150 kW in the peak hours of the evening, and reserve sold at noon."""
    situation = park_situation()
    evening = START + timedelta(hours=18)
    baseline = tuple(float(kw) for kw in situation.series["load.demand_kw"][72:80])
    call = DemandResponseEvent("c", "response", evening, evening + 8 * QUARTER, 150.0, 3.0, baseline)
    noon = START + timedelta(hours=12)
    offer = ReserveOffer("o", "reserve", noon, noon + 8 * QUARTER, 0.5, up_kw=80.0)
    return replace(situation, events=(call, offer))


def test_a_plan_with_all_services_passes_and_names_them_in_its_cost(site: Site) -> None:
    result = control_cycle(site, planner_for(site), called(), None, deadline_s=60.0)
    assert result.attempts == ()
    assert result.plan.status == "optimal"
    assert {"demand_response", "reserve", "island_reserve", "carbon_limit", "carbon"} <= set(result.plan.cost)
    assert result.plan.cost["demand_response"] < -500.0
    assert result.plan.cost["reserve"] == pytest.approx(-80.0 * 2 * 0.5)
    document = result.plan.document()
    assert {held.device for held in document.held} == {"battery1", "ev01"}
    assert document.cost["total"] == pytest.approx(sum(v for k, v in document.cost.items() if k != "total"))


def test_the_next_plan_is_near_the_last_one_and_passes_as_well(site: Site) -> None:
    planner = planner_for(site)
    last = control_cycle(site, planner, called(), None, deadline_s=60.0).plan
    later = replace(park_situation(shift=QUARTER), events=called().events)
    result = control_cycle(site, planner, later, last, deadline_s=60.0)
    assert result.attempts == ()
    assert result.plan.status == "optimal"
    assert planner.rebuilds == ["first plan"]


class Helpless(Planner):
    """A planner that never finds a plan."""

    def plan(self, situation: Situation, deadline_s: float = 10.0, *, last_plan: Plan | None = None) -> Plan | NoPlan:
        return NoPlan("no answer: time limit reached")


def test_rules_answer_and_say_what_the_services_lose(site: Site) -> None:
    helpless = Helpless("park", site.devices, feeder_limits(site), services_of(site))
    result = control_cycle(site, helpless, called(), None)
    assert result.plan.status == "rules"
    assert ("reserve", "up_kw") in {(given.device, given.limit) for given in result.plan.limits_given_way}
    assert result.plan.cost["reserve"] == 0.0
    assert result.plan.cost["carbon"] > 0.0


def test_a_shifted_plan_is_counted_and_passes_the_verifier(site: Site) -> None:
    last = control_cycle(site, planner_for(site), called(), None, deadline_s=60.0).plan
    later = replace(park_situation(shift=QUARTER), events=called().events)
    held = {"battery1": {"energy_kwh": float(last.states["battery1"]["energy_kwh"][1])}}
    later = replace(later, state={**later.state, **held})
    shifted = fallback_cycle(site, later, last, "late").plan
    assert verify(site.devices, feeder_limits(site), later, shifted, services_of(site)) == ()
    assert "reserve" in {given.device for given in shifted.limits_given_way}


def test_local_days_change_at_local_midnight(site: Site) -> None:
    grid = grid_for(site, START + timedelta(hours=20), tail=False)  # 20:00 in Shanghai
    days = local_days(site, grid)
    assert days.index(1) == 16
    assert set(days) == {0, 1}
