"""What forecasts are worth in money: a billing month of the shipped park in closed loop, by what the planner knows.

The plant is the simulated one on the recorded series, steered by the engine's own cycle, planned anew every two hours
(every quarter hour would take eight times as long); in between the plan's next steps are executed, and the site
controller keeps the import under the plan's limit. What is paid is billed: energy by band, the month's demand, export,
wear; less what the stores hold in the end at the valley price. Only what is known ahead differs: `forecast` is the
shipped forecaster, fitted once a week on what was measured before; `persistence` says that every day is like yesterday,
with cars as forecast; `perfect` knows all series and the sums of the cars to come. It plans with the same horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

import numpy as np
import pandas as pd
from figures import Figure, main, tracked

from forecasting.forecast import Forecast
from forecasting.site_forecaster import FittedSite
from hil.closed_loop import Decision, run_closed_loop
from hil.measured import flows, served_cars, stored_kwh, wear
from hil.replay.foresight import cars_to_come, certain
from optimizer.devices import AnyDevice
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.plan import Plan
from optimizer.time_grid import Array
from settlement.day_cost import day_cost
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site
from site_configs.prices import grid_for
from site_configs.site import Site
from site_configs.tariff import load_tariff, local_midnight
from streams.control_cycle import control_cycle, planner_for
from streams.site_forecasts import fit_site
from streams.site_state import SiteState, build_situation

SITE = "jiashan_park"
MONTH = (date(2026, 8, 1), date(2026, 9, 1))
"""The first whole billing month of the sample with a month of history before it."""
PLAN_EVERY = 8
REFIT = timedelta(days=7)
SEED = 1
DEADLINE_S = 300.0
VALLEY_PRICE = 0.28
COLD_COP = 4.0
DAY_STEPS = 96
SERIES = ("load.demand_kw", "cold_load.demand_kw", "pv1.available_kw", "weather.temperature_c")
DEMAND = "load.demand_kw"

Knowledge = Literal["forecast", "persistence", "perfect"]


@dataclass
class Knower:
    """What one kind of knowledge says of the days ahead."""

    site: Site
    history: History
    kind: Knowledge
    fitted: FittedSite | None = None

    def forecasts(self, at: datetime) -> Mapping[str, Forecast]:
        end = grid_for(self.site, at).end
        if self.kind == "perfect":
            return {**_certain(at, end, {name: self._actual(name) for name in SERIES}), **self._cars_to_come(at, end)}
        issued = self._fit(at).issue(self.history.frame.loc[: at - timedelta(minutes=1)], at, end)
        if self.kind == "forecast":
            return issued
        return {**issued, **_certain(at, end, {name: self._as_yesterday(name, at, end) for name in SERIES})}

    def _fit(self, at: datetime) -> FittedSite:
        if self.fitted is None or at >= self.fitted.provenance.fitted_at + REFIT:
            past = self.history.frame.loc[: at - timedelta(minutes=1)]
            served = self.site if self.kind == "forecast" else self._with_cars_alone()
            self.fitted = fit_site(served, past, at, self.history.sessions)
        return self.fitted

    def _with_cars_alone(self) -> Site:
        """A site of which nothing but the cars to come need be forecast."""
        kept = tuple(device for device in self.site.devices if not device.required_series() or _expected(device))
        return self.site.model_copy(update={"devices": kept})

    def _actual(self, name: str) -> pd.Series[float]:
        return self.history.frame[name]

    def _as_yesterday(self, name: str, at: datetime, end: datetime) -> pd.Series[float]:
        index = pd.date_range(at, end, freq="15min", inclusive="left")
        day = self._actual(name).loc[at - timedelta(days=1) : at - timedelta(minutes=1)].to_numpy()
        return pd.Series(np.resize(day, len(index)), index)

    def _cars_to_come(self, at: datetime, end: datetime) -> Mapping[str, Forecast]:
        (group,) = (device for device in self.site.devices if isinstance(device, ExpectedCars))
        index = pd.date_range(at, end, freq="15min", inclusive="left")
        return _certain(at, end, cars_to_come(group, self.history.sessions, index))


def _expected(device: AnyDevice) -> bool:
    return device.kind == "expected_cars"


def _certain(at: datetime, end: datetime, series: Mapping[str, pd.Series[float]]) -> Mapping[str, Forecast]:
    """Forecasts without any doubt."""
    index = pd.date_range(at, end, freq="15min", inclusive="left", unit="s")
    return {name: certain(name, at, values.reindex(index), 15) for name, values in series.items()}


@dataclass
class Controller:
    """The engine's cycle every hour; in between the plan's next steps."""

    knower: Knower
    plan: Plan | None = None
    missed: list[Array] = field(default_factory=list)
    """By plan: (96,) relative error of the demand forecast of the next day."""

    def __post_init__(self) -> None:
        self.planner, self.tariff = planner_for(self.knower.site), load_tariff(self.knower.site)

    def __call__(self, state: SiteState) -> Decision:
        step = 0 if self.plan is None else (state.at - self.plan.issued_at) // timedelta(minutes=15)
        if self.plan is None or step == PLAN_EVERY:
            self.plan, step = self.planned(state), 0
        return Decision(self.targets(self.plan, step), self.plan.grid_limit_kw)

    def planned(self, state: SiteState) -> Plan:
        site, forecasts = self.knower.site, self.knower.forecasts(state.at)
        self.judge(forecasts[DEMAND])
        self.situation = build_situation(site, self.tariff, state, forecasts)
        plan = control_cycle(site, self.planner, self.situation, self.plan, deadline_s=DEADLINE_S).plan
        if plan.note:
            raise RuntimeError(f"{state.at}: {plan.status}: {plan.note}")
        return plan

    def targets(self, plan: Plan, step: int) -> dict[str, float]:
        told = {setpoint.device for setpoint in plan.setpoints}
        targets = {}
        for device in self.knower.site.devices:
            if device.id in told:
                here = {name: float(values[step]) for name, values in device.conditions(self.situation).items()}
                targets[device.id] = device.setpoint_kw(plan.asked_at(device.id, step), here)
        return {name: kw for name, kw in targets.items() if kw is not None}

    def judge(self, forecast: Forecast) -> None:
        day = forecast.median.iloc[:DAY_STEPS]
        actual = self.knower.history.frame[DEMAND].reindex(day.index).to_numpy()
        self.missed.append(np.abs(day.to_numpy() - actual) / actual)


@dataclass(frozen=True)
class MonthResult:
    """A month under one kind of knowledge [money, kW, kWh, %]."""

    kind: Knowledge
    cost: float
    """The bill and wear, less what is left in the stores."""
    lines: Mapping[str, float]
    """What was paid, by line."""
    peak_kw: float
    missed_kwh: float
    mape: float


def run_month(kind: Knowledge) -> MonthResult:
    site, history = load_site(SITE), read_history(sample_folder(SITE))
    start, end = (local_midnight(day, site.zone).astimezone(UTC) for day in MONTH)
    controller = Controller(Knower(site, history, kind))
    run = run_closed_loop(site, history, start, (end - start) // timedelta(minutes=15), controller, seed=SEED)
    measured = flows(run.plant, run.records)
    paid = day_cost(site, load_tariff(site), measured, (start, end), 0.0, wear(run.plant, run.records))
    kwh = stored_kwh(run.plant, run.records)
    left = VALLEY_PRICE * sum(kwh[name] / (COLD_COP if name.startswith("cold") else 1.0) for name in kwh)
    missed = served_cars(run.plant, run.records).missed_kwh
    mape = 100 * float(np.nanmean(controller.missed))
    return MonthResult(kind, float(paid.total) - left, paid.as_dict(), paid.peak_after_kw, missed, mape)


def measure() -> Sequence[Figure]:
    kinds = get_args(Knowledge)
    with ProcessPoolExecutor(len(kinds)) as pool:
        found = dict(zip(kinds, tracked(pool.map(run_month, kinds), len(kinds), "months"), strict=True))
    how = f"{SITE}, {MONTH[0]} to {MONTH[1]}, planned every {15 * PLAN_EVERY} min, a fit each {REFIT.days} days"
    lost = {kind: result.cost - found["perfect"].cost for kind, result in found.items()}
    return [
        Figure("cost_forecast_over_perfect", found["forecast"].cost / found["perfect"].cost, "ratio", how),
        Figure("cost_persistence_over_perfect", found["persistence"].cost / found["perfect"].cost, "ratio", how),
        Figure("gap_closed", 1 - lost["forecast"] / lost["persistence"], "", "share of persistence over perfect"),
        *(Figure(f"mape_{kind}", result.mape, "%", f"{DEMAND}, next 24 h") for kind, result in found.items()),
        *(Figure(f"cost_{kind}", result.cost, "CNY", _told(result)) for kind, result in found.items()),
    ]


def _told(result: MonthResult) -> str:
    lines = ", ".join(f"{name} {value:.0f}" for name, value in result.lines.items())
    return f"peak {result.peak_kw:.0f} kW, {result.missed_kwh:.1f} kWh of cars missed; {lines}"


if __name__ == "__main__":
    main("forecast_value", __doc__ or "", measure)
