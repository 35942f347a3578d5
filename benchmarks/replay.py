"""How fast history is replayed: 90 days of the shipped park, engine controller, forecasts as issued then.

The replay is run once with two workers and, around the turn of a billing month, with one and with two. `--days` and
`--short-days` make both shorter where no ten minutes are quiet; `replay_90_days_s` is then scaled by the days, and its
`how` says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from figures import Figure, run

from hil.replay.farm import farm
from hil.replay.replay import ReplayResult, replay
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site
from site_configs.site import Site
from site_configs.tariff import local_midnight

SITE = "jiashan_park"
FIRST = date(2026, 7, 17)
"""A month after the sample begins, so that models can be fitted from the start."""
SHORT_MIDDLE = date(2026, 8, 1)
"""The short replay lies around the turn of a month, half before and half after: two windows alike."""
DAYS, SHORT_DAYS = 90, 14


def timed(site: Site, history: History, start: datetime, days: int, workers: int) -> tuple[float, ReplayResult]:
    """Time by the clock, starting the workers included [s]."""
    began = time.perf_counter()
    with farm(workers) as place:
        result = replay(site, history, start, start + timedelta(days=days), farm=place)
    return time.perf_counter() - began, result


def measure(options: argparse.Namespace) -> Sequence[Figure]:
    site = load_site(SITE)
    history = read_history(sample_folder(SITE), zone=site.timezone)
    first = local_midnight(FIRST, site.zone).astimezone(UTC)
    middle = local_midnight(SHORT_MIDDLE, site.zone).astimezone(UTC)
    short_start = middle - timedelta(days=options.short_days // 2)
    took_s, result = timed(site, history, first, options.days, 2)
    one_s, alone = timed(site, history, short_start, options.short_days, 1)
    two_s, together = timed(site, history, short_start, options.short_days, 2)
    if alone.account.cost != together.account.cost:
        raise RuntimeError(f"one worker gives {alone.account.cost}, two give {together.account.cost}")
    how = f"{SITE}, {options.days} days from {FIRST}, two workers, {len(result.cycles)} cycles"
    scaled = "" if options.days == DAYS else f"; {took_s:.0f} s, scaled from {options.days} days"
    around = f"{options.short_days} days around {SHORT_MIDDLE}: {one_s:.0f} s with one worker, {two_s:.0f} s with two"
    return [
        Figure("replay_90_days_s", took_s * DAYS / options.days, "s", how + scaled),
        Figure("cores_2_over_1", one_s / two_s, "ratio", around),
        Figure("decision_p50_ms", result.percentile_ms(0.5), "ms", "state to setpoints, forecasts not included"),
        Figure("decision_p99_ms", result.percentile_ms(0.99), "ms", "the same"),
        Figure("fallbacks", len(result.fallbacks), "", "cycles not answered by a plan of their own"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--short-days", type=int, default=SHORT_DAYS)
    run("replay", parser, measure)
