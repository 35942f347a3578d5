"""Mutations of numbers, shapes and states: what is wrong whatever the devices are."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
from tampering import Case, Rng, any_flow, any_store, one, with_any_kw

from optimizer.plan import FlowSeries


def flow_below_zero(case: Case, rng: Rng) -> Case | None:
    return with_any_kw(case, rng, lambda kw: -float(rng.uniform(0.001, 50)))


def flow_not_a_number(case: Case, rng: Rng) -> Case | None:
    return with_any_kw(case, rng, lambda kw: float("nan"))


def flow_without_end(case: Case, rng: Rng) -> Case | None:
    return with_any_kw(case, rng, lambda kw: float("inf"))


def balance_open_by_a_little(case: Case, rng: Rng) -> Case | None:
    return with_any_kw(case, rng, lambda kw: kw + 10 ** float(rng.uniform(-5, -1)))


def flow_raised(case: Case, rng: Rng) -> Case | None:
    return with_any_kw(case, rng, lambda kw: kw + float(rng.uniform(0.1, 100)))


def flow_missing(case: Case, rng: Rng) -> Case | None:
    gone, _ = any_flow(case, rng)
    return case.with_plan(flows=tuple(flow for flow in case.plan.flows if flow is not gone))


def flow_twice(case: Case, rng: Rng) -> Case | None:
    flow, _ = any_flow(case, rng)
    return case.with_plan(flows=(*case.plan.flows, replace(flow, kw=np.zeros(case.near))))


def flow_of_no_device(case: Case, rng: Rng) -> Case | None:
    return case.with_plan(flows=(*case.plan.flows, FlowSeries("ghost", "power", "in", "gift_kw", np.zeros(case.near))))


def flow_too_short(case: Case, rng: Rng) -> Case | None:
    flow, _ = any_flow(case, rng)
    return case.with_kw(flow.device, flow.quantity, flow.kw[:-1])


def _with_flow(case: Case, old: FlowSeries, new: FlowSeries) -> Case:
    return case.with_plan(flows=tuple(new if flow is old else flow for flow in case.plan.flows))


def flow_in_the_wrong_direction(case: Case, rng: Rng) -> Case | None:
    flow, _ = any_flow(case, rng)
    return _with_flow(case, flow, replace(flow, direction="in" if flow.direction == "out" else "out"))


def flow_on_the_wrong_bus(case: Case, rng: Rng) -> Case | None:
    flow, _ = any_flow(case, rng)
    return _with_flow(case, flow, replace(flow, carrier="gas" if flow.carrier != "gas" else "cold"))


def steps_of_another_time(case: Case, rng: Rng) -> Case | None:
    return case.with_plan(grid=replace(case.plan.grid, start=case.plan.grid.start + timedelta(minutes=15)))


def steps_of_another_length(case: Case, rng: Rng) -> Case | None:
    return case.with_plan(grid=replace(case.plan.grid, step_minutes=int(rng.choice([5, 30, 60]))))


def plan_of_another_site(case: Case, rng: Rng) -> Case | None:
    return case.with_plan(site="elsewhere")


def plan_of_another_moment(case: Case, rng: Rng) -> Case | None:
    return case.with_plan(issued_at=case.plan.issued_at - timedelta(minutes=15))


def states_missing(case: Case, rng: Rng) -> Case | None:
    store = any_store(case, rng)
    if store is None:
        return None
    return case.with_plan(states={device: states for device, states in case.plan.states.items() if device != store[0]})


def states_of_no_device(case: Case, rng: Rng) -> Case | None:
    return case.with_plan(states={**case.plan.states, "ghost": {"energy_kwh": np.zeros(case.near + 1)}})


def state_too_short(case: Case, rng: Rng) -> Case | None:
    store = any_store(case, rng)
    return None if store is None else case.with_state(*store, case.energy(*store)[:-1])


def state_not_a_number(case: Case, rng: Rng) -> Case | None:
    store = any_store(case, rng)
    if store is None:
        return None
    values = case.energy(*store).copy()
    values[int(rng.integers(0, case.near + 1))] = np.nan
    return case.with_state(*store, values)


def state_raised_in_one_step(case: Case, rng: Rng) -> Case | None:
    store = any_store(case, rng)
    if store is None:
        return None
    values = case.energy(*store).copy()
    values[int(rng.integers(0, case.near + 1))] += float(rng.uniform(0.01, 50))
    return case.with_state(*store, values)


def states_shifted(case: Case, rng: Rng) -> Case | None:
    store = any_store(case, rng)
    return None if store is None else case.with_state(*store, case.energy(*store) + float(rng.uniform(0.01, 50)))


def start_other_than_reported(case: Case, rng: Rng) -> Case | None:
    store = one(rng, [*case.of_kind("battery"), *case.of_kind("thermal_store")])
    if store is None:
        return None
    energy = case.energy(store.id)[0]
    moved = energy + 1.0 if energy < store.capacity_kwh / 2 else energy - 1.0
    state = {**case.situation.state, store.id: {"energy_kwh": float(moved)}}
    return replace(case, situation=replace(case.situation, state=state))
