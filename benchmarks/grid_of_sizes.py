"""The recommended size against the best of a full grid, all judged by the same closed-loop replay of the engine.

The park is the shipped one with its grid connection, power demand, PV and one battery; a billing month of its sample
stands for a year. The grid covers the battery's offer with every power at every capacity; sizes with a power beyond
the offered ratio are left out. With `--runs DIR` a measurement that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date
from pathlib import Path

from figures import Figure, run

from hil.replay.case import Terms
from hil.replay.farm import farm
from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site
from site_configs.tariff import local_midnight
from sizing.candidates import BatteryCandidate, Candidates
from sizing.judging import Remembering, ReplayJudge
from sizing.recommendation import Assessed, assess, recommend
from sizing.site_year import BuiltSizes, SizedSite

PARK, KEPT = "jiashan_park", ("grid", "load", "pv1", "battery1")
MONTH = date(2026, 8, 1), date(2026, 9, 1)
STEP_MINUTES = 60
BATTERY = BatteryCandidate(
    device="battery1", capacity_kwh=(0, 8000), power_kw=(0, 2000), cost_per_kwh=800, cost_per_kw=200
)
"""At the usual costs (RULES 5)."""
KWH = (1000, 2000, 3000, 4000, 5000, 6000, 8000)
HOURS = (2, 3, 4)
"""Capacity over power of the grid's batteries [h]; 2 is the least that is offered."""


def sized_park() -> SizedSite:
    site = load_site(PARK)
    devices = tuple(device for device in site.devices if device.id in KEPT)
    kept = {"devices": devices, "feeders": (), "step_minutes": STEP_MINUTES}
    history = read_history(sample_folder(PARK), zone=site.timezone)
    start, end = (local_midnight(day, site.zone).astimezone(UTC) for day in MONTH)
    return SizedSite(site.model_copy(update=kept), history, start, end, Candidates(battery=BATTERY))


def grid() -> Iterator[BuiltSizes]:
    for kwh in KWH:
        for hours in HOURS:
            if kwh / hours <= BATTERY.power_kw[1]:
                yield BuiltSizes(battery_kwh=float(kwh), battery_kw=kwh / hours)


def measure(options: argparse.Namespace) -> Sequence[Figure]:
    sized = sized_park()
    with farm(options.workers) as place:
        judge = Remembering(ReplayJudge(sized, "engine", Terms(), place, options.runs))
        found = recommend(sized, judge)
        others = assess(sized, judge, list(grid()))
    if found.best is None:
        raise RuntimeError("nothing is recommended: the case measures nothing")
    best = max(others, key=_npv)
    for other in sorted(others, key=_npv):
        print(f"{_named(other)}: NPV {_npv(other):,.0f}, captured {other.captured:.3f}", file=sys.stderr)
    how = f"{PARK} with one battery, {MONTH[0]:%Y-%m} at {STEP_MINUTES} min, engine as judge"
    return [
        Figure("recommended_over_grid_npv", _npv(found.best) / _npv(best), "ratio",
               f"{how}: {_named(found.best)} over the best of {len(others)}, {_named(best)}"),
        Figure("recommended_npv", _npv(found.best), "CNY", f"the best of {len(found.assessed)} sizes judged"),
        Figure("grid_npv", _npv(best), "CNY", _named(best)),
        Figure("captured", found.best.captured, "", "of the saving with everything known, by the engine"),
    ]  # fmt: skip


def _npv(found: Assessed) -> float:
    return found.worth.npv


def _named(found: Assessed) -> str:
    return f"{found.built.battery_kwh:.0f} kWh, {found.built.battery_kw:.0f} kW"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, help="folder for finished blocks")
    run("size_grid", parser, measure)
