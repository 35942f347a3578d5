"""One suite of promises for every service."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyomo.environ as pyo
import pytest

from optimizer.events import ReserveOffer
from optimizer.model import build
from optimizer.planner import Planner
from optimizer.reasons import ROWS
from optimizer.rules import rule_plan
from optimizer.services import (
    AnyService,
    CarbonLimit,
    DemandResponse,
    IslandReserve,
    PeakCourse,
    PeakReserve,
    ReserveCapacity,
)
from optimizer.services.accounts import with_accounts
from optimizer.services.base import Service
from optimizer.services.carbon_price import CarbonPrice
from optimizer.services.demand_response import PayRule
from optimizer.situation import Situation
from optimizer.verify import verify
from tests.optimizer.services.small_site import HOUR, START, call, devices, planned, situation, with_peak

EXPECTED = Path(__file__).parent / "expected"
BOTH = PayRule(floor=0.8, cap=1.1, beyond=0.5, penalty_below=0.9, penalty_price=1.1)
SERVICES: dict[str, Service] = {
    "carbon_limit": CarbonLimit(id="one", kg_per_day=200.0),
    "carbon_price": CarbonPrice(id="one", price_per_kg=0.1),
    "demand_response": DemandResponse(id="response", rule=BOTH, max_events=1, shortfall_price_per_kwh=2.0),
    "demand_response_power": DemandResponse(id="response", rule="guangdong", commitment="power"),
    "island_reserve": IslandReserve(id="one", hours=2.0, critical_kw=30.0, devices=("battery1",)),
    "peak_course": PeakCourse(id="one", devices=("battery1",)),
    "peak_reserve": PeakReserve(id="one", devices=("battery1",)),
    "reserve_capacity": ReserveCapacity(id="one", devices=("battery1",), call_steps=2, shortfall_price_per_kw_h=2.0),
}
NAMES = sorted(SERVICES)
COARSE_DIFFERS = ("island_reserve", "peak_course", "peak_reserve", "reserve_capacity")
FIRST_STEP_DIFFERS = ("peak_course",)


def moment_of(service: Service, step_minutes: int = 15) -> Situation:
    """Two hours with an event of the last one."""
    offer = ReserveOffer("offer1", service.id, START + HOUR, START + 2 * HOUR, 0.5, 40.0, 20.0)
    events = [call(50.0)] if isinstance(service, DemandResponse) else [offer]
    moment = situation(steps=120 // step_minutes, step_minutes=step_minutes, battery_kwh=150.0, events=events)
    return with_peak(moment, margin_kw=160.0) if isinstance(service, PeakCourse | PeakReserve) else moment


def test_every_kind_is_here() -> None:
    union, _ = get_args(AnyService)
    assert {type(service) for service in SERVICES.values()} == {*get_args(union), CarbonPrice}


def test_no_two_kinds_share_the_name_of_a_row() -> None:
    """A setpoint's reason names the row that holds it, and the words belong to one service."""
    owners: dict[str, set[str]] = {}
    for service in SERVICES.values():
        model = build(devices(), (), moment_of(service).shape, services=[service])
        for row in model.pyomo.service[service.id].component_objects(pyo.Constraint):
            owners.setdefault(row.local_name, set()).add(service.kind)
    assert {name: kinds for name, kinds in owners.items() if len(kinds) > 1} == {}
    assert "kept_by_what_is_stored" in owners
    assert "kept_by_what_is_stored" in ROWS


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_have_the_expected_rows(name: str, tmp_path: Path) -> None:
    """Its own rows over the devices' variables, as an LP file. To renew: QUARTET_RENEW_LP=1."""
    service, parts = SERVICES[name], devices()
    moment = moment_of(service, step_minutes=60)
    model = build(parts, (), moment.shape, services=[service])
    inputs = {device.id: device.inputs(moment, device.conditions(moment)) for device in parts}
    inputs[service.id] = service.inputs(moment, {device.id: device for device in parts})
    blocks = {device.id: model.pyomo.device[device.id] for device in parts} | {
        service.id: model.pyomo.service[service.id]
    }
    for owner, values in inputs.items():
        for parameter_name, value in values.items():
            parameter = blocks[owner].component(parameter_name)
            for key, one in zip(parameter.keys(), np.broadcast_to(value, (len(parameter),)), strict=True):
                parameter[key] = float(one)
    for device in parts:
        model.pyomo.device[device.id].deactivate()
    model.pyomo.site.deactivate()
    costs = model.service_ports[service.id].costs
    model.pyomo.cost = pyo.Objective(expr=sum(cost.expression for cost in costs))
    written = tmp_path / f"{name}.lp"
    model.pyomo.write(str(written), io_options={"symbolic_solver_labels": True})
    if os.environ.get("QUARTET_RENEW_LP"):
        EXPECTED.mkdir(exist_ok=True)
        (EXPECTED / f"{name}.lp").write_text(written.read_text())
    assert written.read_text() == (EXPECTED / f"{name}.lp").read_text()


@pytest.mark.parametrize(
    ("name", "step_minutes"),
    [(n, m) for n in NAMES for m in (5, 60) if n not in (COARSE_DIFFERS if m == 60 else FIRST_STEP_DIFFERS)],
)
def test_other_step_lengths_give_the_same_answer(name: str, step_minutes: int) -> None:
    """But for 60 min and what is held at the ends of steps or in windows of them: of hours that is another promise; and
    for a course that begins after the first step."""
    service = SERVICES[name]
    if isinstance(service, ReserveCapacity):
        service = service.model_copy(update={"call_steps": 30 // step_minutes})
    quarter = planned(devices(), [SERVICES[name]], moment_of(service))
    other = planned(devices(), [service], moment_of(service, step_minutes))
    assert other.total_cost == pytest.approx(quarter.total_cost, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_its_terms_are_what_the_account_finds_in_the_flows(name: str) -> None:
    service, moment = SERVICES[name], moment_of(SERVICES[name])
    plan = planned(devices(), [service], moment)
    account = service.account(moment, plan, {device.id: device for device in devices()})
    for term, money in account.cost.items():
        assert plan.cost[term] == pytest.approx(money, abs=1e-5), term
    wrong = {**plan.cost, next(iter(account.cost)): next(iter(account.cost.values())) + 0.2}
    assert verify(devices(), (), moment, replace(plan, cost=wrong), [service])
    assert verify(devices(), (), moment, replace(plan, cost=wrong, status="feasible"), [service]) == ()


@pytest.mark.parametrize("name", NAMES)
def test_rules_carry_its_account_and_pass_the_verifier(name: str) -> None:
    service, moment = SERVICES[name], moment_of(SERVICES[name])
    plan = with_accounts([service], moment, rule_plan(devices(), moment), devices())
    assert verify(devices(), (), moment, plan, [service]) == ()


@pytest.mark.parametrize("name", NAMES)
def test_without_an_event_it_costs_nothing_to_stand_ready(name: str) -> None:
    service = SERVICES[name]
    if not isinstance(service, DemandResponse | ReserveCapacity):
        return
    quiet = replace(moment_of(service), events=())
    ready, plain = Planner("small", devices(), (), [service]).plan(quiet), planned(devices(), [], quiet)
    assert ready.total_cost == pytest.approx(plain.total_cost, abs=1e-9)
