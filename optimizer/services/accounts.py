"""The services of a site as seen from a plan: accounts of every one, and whether the plan says the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.devices.base import Device
from optimizer.plan import HeldReserve, Plan
from optimizer.services.base import Account, Service
from optimizer.situation import Situation

MONEY_TOLERANCE = 0.05
"""How far a term may be from what the flows are worth by rounding [money]."""
AMOUNT_TOLERANCE = 1e-3


def accounts(
    services: Sequence[Service], situation: Situation, plan: Plan, devices: Sequence[Device]
) -> dict[str, Account]:
    """By service: what the plan's flows earn, cost and fail to keep."""
    by_id = {device.id: device for device in devices}
    return {service.id: service.account(situation, plan, by_id) for service in services}


def with_accounts(services: Sequence[Service], situation: Situation, plan: Plan, devices: Sequence[Device]) -> Plan:
    """A plan made without the model, with the money and the limits of the services as its flows have them."""
    cost, given_way = dict(plan.cost), list(plan.limits_given_way)
    for account in accounts(services, situation, plan, devices).values():
        for term, money in account.cost.items():
            cost[term] = cost.get(term, 0.0) + money
        given_way += account.given_way
    return replace(plan, cost=cost, limits_given_way=tuple(given_way))


def service_violations(
    services: Sequence[Service],
    devices: Sequence[Device],
    feeders: Sequence[FeederLimit],
    situation: Situation,
    plan: Plan,
) -> Iterator[tuple[str, str, int, float]]:
    """Service, what, step and amount of everything that a plan claims about its services and its flows do not show.

    An answer that was stopped at the time limit may make less of its flows than they are worth, never more.
    """
    if not services:
        return
    bad = [held for held in plan.held if not _is_promise(held, services, devices, plan.grid.near)]
    if bad:
        yield bad[0].service, f"reserve of {bad[0].device} is not of this site, or no power of every step", 0, 0.0
        return
    found = accounts(services, situation, plan, devices)
    worth: dict[str, float] = {}
    for service, account in found.items():
        for term, money in account.cost.items():
            worth[term] = worth.get(term, 0.0) + money
        yield from _unreported(service, account, plan)
    for term, money in worth.items():
        cheaper = money - plan.cost.get(term, 0.0)
        difference = abs(cheaper) if plan.status == "optimal" else max(0.0, cheaper)
        if not difference <= MONEY_TOLERANCE + 1e-6 * abs(money):
            yield plan.site, f"the cost {term} is not what the flows are worth", 0, difference
    by_id = {device.id: device for device in devices}
    for one in services:
        for what, step, amount in one.broken_promises(situation, plan, by_id, feeders):
            yield one.id, what, step, amount


def _is_promise(held: HeldReserve, services: Sequence[Service], devices: Sequence[Device], near: int) -> bool:
    known = held.service in {one.id for one in services} and held.device in {device.id for device in devices}
    return known and held.kw.shape == (near,) and bool(np.all(np.isfinite(held.kw) & (held.kw >= 0)))


def _unreported(service: str, account: Account, plan: Plan) -> Iterator[tuple[str, str, int, float]]:
    reported = {g.limit: g.amount for g in plan.limits_given_way if g.device == service}
    for given in account.given_way:
        missing = given.amount - reported.get(given.limit, 0.0)
        if missing > AMOUNT_TOLERANCE:
            yield service, f"{given.limit} gives way and the plan does not say so", 0, missing
