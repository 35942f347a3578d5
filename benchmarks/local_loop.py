"""What the gateway's local loop is worth: a recorded day of the shipped park, planned on a load forecast too low.

The plan is made every quarter hour from what is recorded, with the electric load taken at a share of its true value for
all the day; prices, sun, cold load and cars are known. The plant then lives the true day: once with the gateway's local
loop (a look a minute, the plant's finest step; at a site it looks every second), once following its setpoints blindly.
The plant's own cabinet keeps no limit here. Peaks are means over 15 minutes moved on minute by minute, as billed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
from figures import Figure, main

from hil.closed_loop import peak_before, recorded_situation
from hil.gateway_loop import GatewayRun, run_through_gateway
from hil.measured import flows, served_cars, wear
from hil.truth import Truth
from settlement.day_cost import day_cost
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site
from site_configs.site import Site
from site_configs.tariff import load_tariff, local_midnight
from streams.control_cycle import control_cycle, planner_for
from streams.decision import decide
from streams.messages import SetpointMessage
from streams.site_state import SiteState

SITE = "jiashan_park"
DAY = date(2026, 8, 26)
QUARTERS = 96
SHARES = (1.0, 0.7)
"""Of the true load, in the forecast."""
LOAD = "load.demand_kw"
HORIZON = timedelta(hours=24)
SEED = 7


def controller(site: Site, history: History, share: float) -> Callable[[SiteState], Sequence[SetpointMessage]]:
    """Plans on the recorded day with the load at a share of its value."""
    planner, tariff, last = planner_for(site), load_tariff(site), None

    def tell(state: SiteState) -> Sequence[SetpointMessage]:
        nonlocal last
        end = min(state.at + HORIZON, history.end.to_pydatetime())
        known = recorded_situation(site, tariff, history, state, end)
        series = {name: kw * (share if name == LOAD else 1.0) for name, kw in known.series.items()}
        situation = replace(known, series=series)
        last = control_cycle(site, planner, situation, last).plan
        return decide(situation, {}, last).setpoints

    return tell


def run(site: Site, history: History, start: datetime, share: float, local_loop: bool) -> GatewayRun:
    truth = replace(Truth.drawn(site, np.random.default_rng(SEED).spawn(2)[0]), guards=False)
    return run_through_gateway(
        site,
        history,
        start,
        QUARTERS,
        controller(site, history, share),
        seed=SEED,
        truth=truth,
        peaks_kw=peak_before(site, history, start),
        local_loop=local_loop,
    )


def measure() -> Sequence[Figure]:
    site, history = load_site(SITE), read_history(sample_folder(SITE))
    start = local_midnight(DAY, site.zone).astimezone(UTC)
    before, tariff = peak_before(site, history, start), load_tariff(site)
    figures = [Figure("peak_before_kw", max(before.values()), "kW", f"of the month, before {DAY}")]
    for share in SHARES:
        for local_loop in (True, False):
            done = run(site, history, start, share, local_loop)
            records, plant = done.run.records, done.run.plant
            period = (start, start + timedelta(days=1))
            cost = day_cost(site, tariff, flows(plant, records), period, before, wear(plant, records))
            missed = served_cars(plant, records).missed_kwh
            how = f"load forecast at {share:.0%}, {'local loop' if local_loop else 'blind'}; {missed:.1f} kWh missed"
            name = "loop" if local_loop else "blind"
            figures.append(Figure(f"peak_{name}_kw", done.peak_kw, "kW", how))
            figures.append(Figure(f"day_cost_{name}", cost.total, site.currency, how))
    return figures


if __name__ == "__main__":
    main("local_loop", __doc__ or "", measure)
