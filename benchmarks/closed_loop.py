"""Planning every quarter hour for two weeks, executing the first step, against one optimisation of the two weeks.

The plans are the engine's: its steps to the end of the billing month, its prices, its situation, its planner. What they
know differs: all (`known`), all of the next 24 h and typical days after them (`typical_tail`), or all but the cars,
which are known when they arrive and expected before from the weeks past (`unknown_cars`). The first step runs on the
devices' physical steps. Both ways are paid alike: energy, export, gas, wear, the month's demand, what was not served,
and what is left in the stores at the worth the plans give it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd
from recorded_parks import DAYS, START, Fortnight

from forecasting.ev_expected import ExpectedCars, Quantity
from forecasting.kinds import PastSession
from forecasting.site_forecaster import FittedSite, SiteForecaster
from optimizer.balance import feeders_without
from optimizer.devices import AnyDevice
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import Prices, Session, Situation
from optimizer.time_grid import Array, TimeGrid
from site_configs.prices import grid_for, prices_for
from site_configs.tariff import Tariff, load_tariff
from streams.site_forecasts import day_type_of
from streams.site_state import SiteState

Knowledge = Literal["known", "typical_tail", "unknown_cars"]
STEP = timedelta(minutes=15)
HOURS = 0.25
STEPS = DAYS * 96
DEADLINE_S = 120.0

Flows = dict[tuple[str, str], Array]
"""By device and quantity: (steps,) kW executed."""


@dataclass(frozen=True)
class Outcome:
    """What two weeks cost in closed loop and at best."""

    loop: Mapping[str, float]
    """Money by term."""
    whole: Mapping[str, float]

    @property
    def ratio(self) -> float:
        return sum(self.loop.values()) / sum(self.whole.values())


@dataclass(frozen=True)
class Fixed:
    """One fortnight with what does not change from cycle to cycle."""

    fortnight: Fortnight
    knowledge: Knowledge

    @cached_property
    def tariff(self) -> Tariff:
        return load_tariff(self.fortnight.site)

    @cached_property
    def devices(self) -> tuple[AnyDevice, ...]:
        return tuple(self.fortnight.site.devices)

    @cached_property
    def whole_grid(self) -> TimeGrid:
        return TimeGrid(START, 15, STEPS)

    @cached_property
    def whole_prices(self) -> Prices:
        return prices_for(self.fortnight.site, self.tariff, self.whole_grid)

    @cached_property
    def typical(self) -> pd.DataFrame:
        """Every weekday the mean weekday of the fortnight, every day of a weekend the mean of those."""
        frame = self.fortnight.series
        local = frame.index.tz_convert(self.fortnight.site.zone)
        kind = pd.MultiIndex.from_arrays([local.weekday >= 5, local.hour * 4 + local.minute // 15])
        return frame.iloc[:STEPS].groupby(kind[:STEPS]).mean().loc[kind].set_axis(frame.index)

    @cached_property
    def tail_steps(self) -> int:
        """Coarse steps that the first plan needs; the rest of the engine's have length 0."""
        return sum(hours > 0 for hours in grid_for(self.fortnight.site, START).tail_hours)


@dataclass
class Loop:
    """The site while it runs."""

    fixed: Fixed
    planner: Planner
    states: dict[str, dict[str, float]] = field(default_factory=dict)
    peak_kw: float = 0.0
    executed: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    missed_kwh: float = 0.0
    fitted: FittedSite | None = None

    def run(self) -> None:
        last: Plan | None = None
        for step in range(STEPS):
            situation = self.situation(step)
            plan = self.planner.plan(situation, DEADLINE_S, last_plan=last)
            if not isinstance(plan, Plan):
                raise RuntimeError(f"{self.fixed.fortnight}, step {step}: {plan.reason}")
            self.execute(plan, situation)
            last = plan

    def situation(self, step: int) -> Situation:
        fixed, at = self.fixed, START + step * STEP
        site = fixed.fortnight.site
        grid = grid_for(site, at, closes=fixed.whole_grid.end)
        grid = replace(grid, tail_hours=grid.tail_hours[: fixed.tail_steps])
        series = {name: grid.average(values) for name, values in self.foreseen(grid).items()}
        state = SiteState(site.id, at, self.states, {"demand": self.peak_kw}, self.cars_here(grid))
        return Situation(
            site=site.id,
            issued_at=at,
            grid=grid,
            state=state.with_peaks(site),
            series=series | self.expected(grid),
            prices=prices_for(site, fixed.tariff, grid),
            sessions=state.sessions,
        )

    def foreseen(self, grid: TimeGrid) -> Mapping[str, pd.Series]:
        """What is known of the series from the grid's start on."""
        known = self.fixed.fortnight.series
        if self.fixed.knowledge == "typical_tail":
            known = pd.concat([known.loc[: grid.near_end - STEP], self.fixed.typical.loc[grid.near_end :]])
        return {str(name): known[name] for name in known}

    def cars_here(self, grid: TimeGrid) -> dict[str, tuple[Session, ...]]:
        return by_charger([car for car in self.fixed.fortnight.sessions if car.arrive <= grid.start < car.depart])

    def expected(self, grid: TimeGrid) -> dict[str, Array]:
        """Cars to come, from those of the weeks past; fitted anew every local midnight."""
        group = next((device for device in self.fixed.devices if device.kind == "expected_cars"), None)
        if group is None:
            return {}
        site, nothing = self.fixed.fortnight.site, pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
        if self.fitted is None or grid.start.astimezone(site.zone).hour == 0:
            kinds = {f"{group.id}.{name}": ExpectedCars(name, group.chargers) for name in get_args(Quantity)}
            cars = self.fixed.fortnight.sessions
            past = [PastSession(car.arrive, car.depart, car.energy_needed_kwh, car.charger) for car in cars]
            forecaster = SiteForecaster(kinds, day_type_of(site), site.zone)
            self.fitted = forecaster.fit(nothing, grid.start, START + timedelta(days=DAYS + 2), past)
        issued = self.fitted.issue(nothing, grid.start, grid.end)
        return {name: grid.average(forecast.median) for name, forecast in issued.items()}

    def execute(self, plan: Plan, situation: Situation) -> None:
        """The first step on the physical devices."""
        for device in self.fixed.devices:
            here = {name: float(values[0]) for name, values in device.conditions(situation).items()}
            done = device.step(plan.asked_at(device.id, 0), device.start(situation), here, HOURS)
            for quantity, kw in done.flows.items():
                self.executed.setdefault((device.id, quantity), []).append(kw)
            if done.state and (device.kind != "v2g_charger" or device.id in situation.sessions):
                self.states[device.id] = dict(done.state)
        self.peak_kw = max(self.peak_kw, self.executed["grid", "import_kw"][-1])
        self.let_cars_go(situation)

    def let_cars_go(self, situation: Situation) -> None:
        for charger, cars in situation.sessions.items():
            for car in cars:
                if car.depart <= situation.grid.start + STEP:
                    self.missed_kwh += max(0.0, target_kwh(car) - self.states.pop(charger)["energy_kwh"])


def by_charger(cars: Sequence[Session]) -> dict[str, tuple[Session, ...]]:
    return {charger: tuple(c for c in cars if c.charger == charger) for charger in {car.charger for car in cars}}


def target_kwh(car: Session) -> float:
    """What a car is to hold when it leaves; counted from what it brings where that is known."""
    if car.capacity_kwh is None or car.energy_on_arrival_kwh is None:
        return car.energy_needed_kwh
    return min(car.energy_on_arrival_kwh + car.energy_needed_kwh, car.capacity_kwh)


def run(fortnight: Fortnight, knowledge: Sequence[Knowledge]) -> dict[Knowledge, Outcome]:
    """The closed loop of one fortnight with each kind of knowledge, against its optimum."""
    best = whole(Fixed(fortnight, "known"))
    return {kind: Outcome(closed_loop(Fixed(fortnight, kind)), best) for kind in knowledge}


def closed_loop(fixed: Fixed) -> Mapping[str, float]:
    loop = Loop(fixed, Planner(fixed.fortnight.site.id, fixed.devices, fixed.fortnight.feeders))
    loop.run()
    flows = {name: np.asarray(values) for name, values in loop.executed.items()}
    return money(fixed, flows, loop.states, loop.missed_kwh)


def whole(fixed: Fixed) -> Mapping[str, float]:
    """One optimisation of the fortnight at quarter hours with everything known, cars and all."""
    fortnight, grid = fixed.fortnight, fixed.whole_grid
    devices = tuple(device for device in fixed.devices if device.kind != "expected_cars")
    expected = {device.id for device in fixed.devices if device.kind == "expected_cars"}
    feeders = feeders_without(fortnight.feeders, expected)
    stays = [car for car in fortnight.sessions if car.depart > grid.start and car.arrive < grid.end]
    situation = Situation(
        site=fortnight.site.id,
        issued_at=START,
        grid=grid,
        state={},
        series={str(name): grid.average(fortnight.series[name]) for name in fortnight.series},
        prices=fixed.whole_prices,
        sessions=by_charger(stays),
    )
    plan = Planner(fortnight.site.id, devices, feeders).plan(situation, 1000.0)
    if not isinstance(plan, Plan):
        raise RuntimeError(f"{fortnight}: {plan.reason}")
    flows = {(flow.device, flow.quantity): flow.kw for flow in plan.flows}
    left = {device: {name: float(v[-1]) for name, v in states.items()} for device, states in plan.states.items()}
    missed = missed_in(plan, stays)
    paid = money(fixed, flows, left, missed)
    if not plan.limits_given_way and abs(sum(paid.values()) - plan.total_cost) > 1e-6 * abs(plan.total_cost):
        raise RuntimeError(f"{fortnight}: {paid} is not what the plan minimised, {plan.cost}")
    return paid


def missed_in(plan: Plan, stays: Sequence[Session]) -> float:
    """Energy that cars lack when they leave within the plan [kWh]."""
    left_at = {car: -((plan.grid.start - car.depart) // STEP) for car in stays}
    return sum(
        max(0.0, target_kwh(car) - float(plan.states[car.charger]["energy_kwh"][step]))
        for car, step in left_at.items()
        if step <= plan.grid.near
    )


def money(fixed: Fixed, flows: Flows, left: Mapping[str, Mapping[str, float]], missed_kwh: float) -> dict[str, float]:
    """What was paid for the fortnight, by term."""
    prices, cheapest = fixed.whole_prices, float(fixed.whole_prices.import_per_kwh.min())
    taken = flows["grid", "import_kw"]
    paid = {
        "energy": float(taken @ prices.import_per_kwh) * HOURS,
        "export": -float(flows["grid", "export_kw"] @ prices.export_per_kwh) * HOURS,
        "demand": prices.demand[0].price_per_kw * float(taken.max()),
        "missed": 0.0,
        "wear": 0.0,
        "gas": 0.0,
        "left": 0.0,
    }
    for device in fixed.devices:
        if device.kind in ("battery", "v2g_charger"):
            paid["wear"] += device.wear_cost_per_kwh * float(flows[device.id, "discharge_kw"].sum()) * HOURS
        if device.kind == "battery":
            paid["left"] -= device.discharge_efficiency * cheapest * left[device.id]["energy_kwh"]
        if device.kind == "thermal_store":
            paid["left"] -= device.left_value_per_kwh * left[device.id]["energy_kwh"]
        if device.kind == "gas_supply":
            paid["gas"] += device.price_per_kwh * float(flows[device.id, "supply_kw"].sum()) * HOURS
        if device.kind == "load":
            short = fixed.fortnight.series[f"{device.id}.demand_kw"].to_numpy()[:STEPS] - flows[device.id, "served_kw"]
            paid["missed"] += device.unserved_price_per_kwh * float(short.clip(min=0.0).sum()) * HOURS
    chargers = [device for device in fixed.devices if device.kind == "v2g_charger"]
    paid["missed"] += missed_kwh * (chargers[0].missed_price_per_kwh if chargers else 0.0)
    return paid
