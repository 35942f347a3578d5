"""A cycle can be made again from what the ledger keeps of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np

from optimizer.events import DemandResponseEvent, ReserveOffer
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.room import with_room
from optimizer.services import ReserveCapacity
from streams.decision import decide
from streams.frozen import freeze_situation, thaw_plan, thaw_situation
from tests.optimizer.park import FEEDERS, START, park, park_situation
from tests.optimizer.test_self_supply import DEVICES, moment, planned


def test_a_situation_comes_back_to_the_last_bit():
    situation = park_situation()
    again = thaw_situation(freeze_situation(situation))
    assert freeze_situation(again) == freeze_situation(situation)
    assert again.grid == situation.grid
    assert again.state == situation.state
    assert again.sessions == situation.sessions
    assert all(np.array_equal(again.series[name], values) for name, values in situation.series.items())


def test_the_plan_made_again_from_it_is_the_same():
    situation = park_situation()
    devices = park()
    plan = Planner("park", devices, FEEDERS).plan(situation)
    again = Planner("park", devices, FEEDERS).plan(thaw_situation(freeze_situation(situation)))
    assert isinstance(plan, Plan)
    assert isinstance(again, Plan)
    assert again.content_hash == plan.content_hash
    thawed = thaw_plan(plan.document().model_dump_json(), situation.grid)
    assert thawed.content_hash == plan.content_hash
    assert thawed.document() == plan.document()
    assert replace(thawed, note="x").plan_id == plan.plan_id


def test_events_and_held_reserve_come_back():
    quarter = timedelta(minutes=15)
    call = DemandResponseEvent("c", "response", START, START + 4 * quarter, 80.0, 3.0, (300.0, 310.0), 30, "fill", 2.5)
    offer = ReserveOffer("o", "reserve", START + 8 * quarter, START + 12 * quarter, 0.5, up_kw=50.0)
    situation = replace(park_situation(), events=(call, offer), local_day=(0,) * 96 + (1,) * 15)
    again = thaw_situation(freeze_situation(situation))
    assert again.events == situation.events
    assert again.local_day == situation.local_day
    services = (ReserveCapacity(id="reserve", devices=("battery1", "ev01")),)
    plan = Planner("park", park(), FEEDERS, services).plan(situation)
    assert isinstance(plan, Plan)
    assert plan.held
    assert thaw_plan(plan.document().model_dump_json(), situation.grid).document() == plan.document()


def test_the_range_of_self_supply_is_told_and_kept():
    here = moment(19, 60.0, 560.0)
    plan = with_room(planned(here), DEVICES, (), here)
    ranges = {setpoint.device: setpoint.self_supply_kw for setpoint in plan.setpoints}
    assert ranges["battery1"] is not None
    assert {message.device: message.self_supply_kw for message in decide(here, {}, plan).setpoints} == ranges
    thawed = thaw_plan(plan.document().model_dump_json(), here.grid)
    assert {setpoint.device: setpoint.self_supply_kw for setpoint in thawed.setpoints} == ranges
