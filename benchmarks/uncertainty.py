"""What planning for several scenarios is worth: recorded days of the shipped park in closed loop, and a plan's time.

Every controller starts each day from the same stores and the same month's peak (that of local control), sees forecasts
issued then from what was recorded before, and steers the simulated plant over the recorded day. What is left in the
batteries and the cold store at the end counts at the valley price, cold with a COP of 4.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from figures import Figure, main, median

from forecasting.site_forecaster import FittedSite
from hil.closed_loop import Decision, Run, decision_of, peak_before, run_closed_loop
from hil.measured import flows, served_cars, stored_kwh, wear
from settlement.day_cost import day_cost
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site
from site_configs.prices import grid_for
from site_configs.site import Site, UncertaintyChoice
from site_configs.tariff import load_tariff, local_midnight
from streams.control_cycle import control_cycle, planner_for
from streams.site_forecasts import fit_site
from streams.site_state import SiteState, build_situation

SITE = "jiashan_park"
DAYS = (date(2026, 8, 3), date(2026, 8, 12), date(2026, 8, 26))
"""The first workday of a billing month, when its peak is still to be made, and two later ones."""
QUARTERS = 96
SEED = 1
DEADLINE_S = 300.0
VALLEY_PRICE = 0.28
COLD_COP = 4.0
UNCERTAINTIES = {
    "certain": None,
    "5 scenarios": UncertaintyChoice(scenarios=5),
    "5 scenarios, risk 0.5": UncertaintyChoice(scenarios=5, risk_weight=0.5),
}
TIMED = (1, 5, 11, 21)


@dataclass
class Controller:
    """The engine's own cycle, in process."""

    site: Site
    history: History
    fitted: FittedSite

    def __post_init__(self) -> None:
        self.planner, self.last, self.plan_ms = planner_for(self.site), None, []

    def __call__(self, state: SiteState) -> Decision:
        known = self.history.frame.loc[: state.at - timedelta(minutes=1)]
        forecasts = self.fitted.issue(known, state.at, grid_for(self.site, state.at).end)
        situation = build_situation(self.site, load_tariff(self.site), state, forecasts)
        plan = control_cycle(self.site, self.planner, situation, self.last, deadline_s=DEADLINE_S).plan
        if plan.note:
            raise RuntimeError(f"{state.at}: {plan.status}: {plan.note}")
        self.last = plan
        self.plan_ms.append(plan.time_ms["total"])
        return decision_of(plan)


@dataclass(frozen=True)
class DayResult:
    """A day under one controller [money, kW, kWh]."""

    cost: float
    peak_kw: float
    left_value: float
    missed_kwh: float
    plan_ms: float


def run_day(site: Site, history: History, fitted: FittedSite, day: date) -> DayResult:
    tariff, start = load_tariff(site), local_midnight(day, site.zone).astimezone(UTC)
    peaks = peak_before(site, history, start)
    controller = Controller(site, history, fitted)
    run = run_closed_loop(site, history, start, QUARTERS, controller, seed=SEED, peaks_kw=peaks)
    by_minute = flows(run.plant, run.records, minutes=1)
    period = (start, start + timedelta(minutes=15 * QUARTERS))
    cost = day_cost(site, tariff, by_minute, period, peaks, wear(run.plant, run.records))
    missed = served_cars(run.plant, run.records).missed_kwh
    return DayResult(float(cost.total), cost.peak_after_kw, _left(run), missed, median(controller.plan_ms))


def _left(run: Run) -> float:
    """Worth of what the stores hold at the end."""
    kwh = stored_kwh(run.plant, run.records)
    return VALLEY_PRICE * sum(kwh[name] / (COLD_COP if name.startswith("cold") else 1.0) for name in kwh)


def fitted_for(site: Site, history: History, day: date) -> FittedSite:
    at = local_midnight(day, site.zone).astimezone(UTC)
    return fit_site(site, history.frame.loc[: at - timedelta(minutes=1)], at, history.sessions)


def with_uncertainty(site: Site, choice: UncertaintyChoice | None) -> Site:
    return site.model_copy(update={"uncertainty": choice})


def plan_seconds(site: Site, history: History, fitted: FittedSite, at: datetime) -> float:
    """A warm plan: the model is built before the clock starts."""
    controller = Controller(site, history, fitted)
    state = SiteState(site.id, at, {}, {"demand": 822.0})
    controller(state)
    controller.last = None
    began = time.perf_counter()
    controller(state)
    return time.perf_counter() - began


def measure() -> Sequence[Figure]:
    site, history = load_site(SITE), read_history(sample_folder(SITE))
    figures = []
    for day in DAYS:
        fitted = fitted_for(site, history, day)
        for name, choice in UNCERTAINTIES.items():
            result = run_day(with_uncertainty(site, choice), history, fitted, day)
            how = f"{day}, {name}; peak {result.peak_kw:.0f} kW, {result.missed_kwh:.0f} kWh of cars missed"
            figures.append(Figure("day_cost", result.cost - result.left_value, site.currency, how))
            figures.append(Figure("plan_ms_p50", result.plan_ms, "ms", f"{day}, {name}"))
    at = local_midnight(DAYS[-1], site.zone).astimezone(UTC) + timedelta(hours=10)
    for count in TIMED:
        choice = UncertaintyChoice(scenarios=count) if count > 1 else None
        seconds = plan_seconds(with_uncertainty(site, choice), history, fitted, at)
        figures.append(Figure(f"plan_s_{count}_scenarios", seconds, "s", "one warm plan, 18:00 local"))
    return figures


if __name__ == "__main__":
    main("uncertainty", __doc__ or "", measure)
