"""What the engine is worth: recorded parks replayed against nothing, rules and everything known.

For each shipped park the last `--days` of its sample, or with `--data` of those that `other_parks` puts together, in
closed loop with the plant that differs from the site file; and the loss against the bound by cause, which takes three
more runs of the engine (`--no-split` leaves them out). All costs are billed on measured flows. With `--runs DIR` a
measurement that was stopped goes on. Demand models of the other parks begin with what loads of other places show, and
never with their own. docs/value.md holds the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path

from figures import Figure, run, tracked
from load_prior import Elsewhere
from other_parks import OTHER_PARKS
from recorded_loads import recorded_loads

from forecasting.demand import Demand
from forecasting.load_prior import LoadPrior
from hil.replay.case import Terms
from hil.replay.farm import Farm, farm
from hil.replay.replay import ReplayResult, replays
from hil.replay.value import CAUSES, baselines, causes, loss_split, value_captured
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site, shipped_sites
from site_configs.site import Site
from streams import site_forecasts

DAYS = 60
FIT_DAYS = 21
"""What a demand model learns from before the first interval."""

Recorded = tuple[Site, History]


def shipped(park: str) -> Recorded:
    site = load_site(park)
    return site, read_history(sample_folder(park), zone=site.timezone)


def put_together(park: str, data: Path) -> Recorded:
    return OTHER_PARKS[park].site(), OTHER_PARKS[park].history(data)


def replayed(
    recorded: Recorded, days: int, step_minutes: int | None, split: bool, place: Farm, folder: Path | None
) -> list[ReplayResult]:
    """The engine, none, rules and the bound; with `split` the engine without each cause of loss and without both."""
    site, history = recorded
    if step_minutes is not None:
        site = site.model_copy(update={"step_minutes": step_minutes})
    end = history.end.to_pydatetime().astimezone(UTC)
    first = history.frame.index[0].to_pydatetime().astimezone(UTC)
    start = max(end - timedelta(days=days), first + timedelta(days=FIT_DAYS))
    terms = Terms()
    wanted = [("engine", terms), *baselines(terms), *(causes(terms) if split else [])]
    return replays(site, history, start, end, wanted, farm=place, folder=folder)


def figures_of(park: str, runs: Sequence[ReplayResult]) -> list[Figure]:
    engine, none, rules, perfect, *without = runs
    totals = [result.account.cost["total"] for result in (engine, none, rules, perfect)]
    captured = value_captured(totals[0], totals[1], totals[3])
    case = engine.case
    how = f"{park}, {case.start:%Y-%m-%d} to {case.end:%Y-%m-%d}, step {case.site.step_minutes} min"
    missed = ", ".join(f"{result.controller} {result.account.cars.missed_kwh:.0f}" for result in runs[:3])
    split = loss_split(engine, perfect, dict(zip(CAUSES, without, strict=True))).as_dict() if without else {}
    return [
        *(
            Figure(f"{park}_{result.controller}", cost, case.site.currency, how)
            for result, cost in zip((engine, none, rules, perfect), totals, strict=True)
        ),
        *(
            []
            if captured is None
            else [Figure(f"{park}_captured", captured, "", f"{how}; kWh of cars missed: {missed}")]
        ),
        *(
            Figure(f"{park}_lost_{cause}", cost, case.site.currency, how)
            for cause, cost in split.items()
            if cost is not None
        ),
        Figure(f"{park}_fallbacks", len(engine.fallbacks), "", f"of {len(engine.cycles)} cycles"),
        Figure(f"{park}_violations", len(engine.account.violations), "", "limits broken by the engine"),
    ]


def measure(options: argparse.Namespace) -> Sequence[Figure]:
    known = list(OTHER_PARKS) if options.data else list(shipped_sites())
    parks = options.parks or known
    if unknown := ", ".join(sorted(set(parks) - set(known))):
        raise SystemExit(f"no such park: {unknown}; there are {', '.join(known)}")
    found: list[Figure] = []
    if options.data:
        with ProcessPoolExecutor(options.workers) as pool:
            for figures in tracked(pool.map(partial(measured_unseen, options=options), parks), len(parks), "parks"):
                found += figures
        return found
    with farm(options.workers) as place:
        for park in parks:
            found += measured_park(park, shipped(park), options, place)
    return found


def measured_park(park: str, recorded: Recorded, options: argparse.Namespace, place: Farm) -> list[Figure]:
    return figures_of(park, replayed(recorded, options.days, options.step, options.split, place, options.runs))


def measured_unseen(park: str, options: argparse.Namespace) -> list[Figure]:
    """A park that is put together, in this process, by demand models that have seen no load of its places."""
    loads = recorded_loads(options.data)
    here = {of.name for of in OTHER_PARKS[park].loads.values()}
    prior = Elsewhere(loads).than(*(load.place for load in loads if load.name in here))
    with beginning_with(prior), farm() as place:
        return measured_park(park, put_together(park, options.data), options, place)


@contextmanager
def beginning_with(prior: LoadPrior) -> Iterator[None]:
    """Demand is fitted in this process with another prior than the package's."""
    shipped_kind = site_forecasts.Demand
    site_forecasts.Demand = partial(Demand, prior=prior)  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        site_forecasts.Demand = shipped_kind  # type: ignore[misc]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parks", nargs="+", help="names; all if absent")
    parser.add_argument("--data", type=Path, help="folder of recorded data: the parks of other_parks.py instead")
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--step", type=int, help="control interval [min]; the park's own if absent")
    parser.add_argument("--no-split", dest="split", action="store_false", help="leave out what was lost by cause")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, help="folder for finished blocks")
    run("value", parser, measure)
