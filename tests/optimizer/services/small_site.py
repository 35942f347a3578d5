"""A site so small that its answers can be worked out by hand: a load, a battery, a grid connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice, Battery, GridConnection, Load
from optimizer.events import DemandResponseEvent, Event
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.services.base import Service
from optimizer.situation import DemandLine, Prices, Situation
from optimizer.time_grid import Array, TimeGrid
from optimizer.verify import verify

START = datetime(2026, 8, 26, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def battery(**given: float) -> Battery:
    usual = {
        "capacity_kwh": 200.0, "charge_limit_kw": 100.0, "discharge_limit_kw": 100.0, "charge_efficiency": 1.0,
        "discharge_efficiency": 1.0, "standing_loss_per_hour": 0.0, "wear_cost_per_kwh": 0.1, "min_soc": 0.0,
        "max_soc": 1.0, **given,
    }  # fmt: skip
    return Battery(id="battery1", **usual)


def devices(**given: float) -> tuple[AnyDevice, ...]:
    return (GridConnection(id="grid", import_limit_kw=1000), Load(id="load"), battery(**given))


def situation(
    *,
    steps: int = 8,
    load_kw: float | Array = 300.0,
    price: float | Array = 0.7,
    battery_kwh: float = 100.0,
    events: Sequence[Event] = (),
    step_minutes: int = 15,
) -> Situation:
    grid = TimeGrid(START, step_minutes, steps)
    return Situation(
        site="small",
        issued_at=START,
        grid=grid,
        state={"battery1": {"energy_kwh": battery_kwh}},
        series={"load.demand_kw": np.full(steps, load_kw) if np.isscalar(load_kw) else np.asarray(load_kw)},
        prices=Prices(
            import_per_kwh=np.full(steps, price) if np.isscalar(price) else np.asarray(price, dtype=float),
            export_per_kwh=np.zeros(steps),
            band=("flat",) * steps,
            demand=(),
            billing_period=(0,) * steps,
            carbon_kg_per_kwh=np.full(steps, 0.5),
        ),
        events=tuple(events),
    )


def with_peak(moment: Situation, margin_kw: float, *, so_far_kw: float = 300.0, price: float = 40.0) -> Situation:
    """The moment with one demand line, the peak it has had, and what the site may draw beyond the forecast."""
    steps = moment.shape.steps
    line = DemandLine("demand", price, price, inside=np.ones(steps))
    return replace(
        moment,
        prices=replace(moment.prices, demand=(line,)),
        state={**moment.state, "grid": {"peak_kw": so_far_kw}},
        series={**moment.series, "grid.import_margin_kw": np.full(steps, margin_kw)},
    )


def with_days_left(moment: Situation, days: float | None) -> Situation:
    """The moment with so much time until its bill closes."""
    return replace(moment, prices=replace(moment.prices, bill_days_left=days))


def without(moment: Situation, what: str) -> Situation:
    """The moment without its demand line, without its margin, or with a second line beside its one."""
    prices = moment.prices
    if what == "demand":
        return replace(moment, prices=replace(prices, demand=()))
    if what == "margin":
        return replace(moment, series={"load.demand_kw": moment.series["load.demand_kw"]})
    (line,) = prices.demand
    return replace(moment, prices=replace(prices, demand=(line, replace(line, id="other"))))


def call(bid_kw: float, price: float = 3.0, *, begin: int = 4, end: int = 8, **given: object) -> DemandResponseEvent:
    """An event between two quarter hours, with a baseline of 300 kW."""
    quarter = timedelta(minutes=15)
    usual: dict[str, object] = {"baseline_kw": (300.0,) * (end - begin), **given}
    return DemandResponseEvent(
        "call1", "response", START + begin * quarter, START + end * quarter, bid_kw, price, **usual
    )  # fmt: skip


def planned(
    parts: Sequence[AnyDevice],
    services: Sequence[Service],
    moment: Situation,
    feeders: Sequence[FeederLimit] = (),
) -> Plan:
    """The plan, which the verifier accepts."""
    plan = Planner("small", parts, feeders, services).plan(moment, deadline_s=60.0)
    assert isinstance(plan, Plan)
    assert verify(parts, feeders, moment, plan, services) == ()
    return plan


def without_events(moment: Situation) -> Situation:
    return replace(moment, events=())
