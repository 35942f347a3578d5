"""`quartet hil serve`: the simulated plant as a process of its own."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from hil.paced import open_paced_bench
from quartet.arguments import require_on_step
from quartet.services import log_to_stderr, stop_on_signals
from site_configs.history import read_site_history
from site_configs.site import Site
from streams.admin import wait_for_broker

BROKER_WAIT_S = 30.0

log = logging.getLogger(__name__)


def serve_plant(
    site: Site, folder: Path, start: datetime, broker: str, hours: float, speed: float, port: int | None, seed: int
) -> None:
    """Runs `hours` of the record from `start`, or until it is asked to end; prints where Modbus listens.

    Raises:
        InputError: the start is not that of an interval, or the history does not cover the span.
        MissingPartError: no broker, or the port is taken.
    """
    require_on_step(start, site.step_minutes)
    history = read_site_history(site, folder)
    minutes = round(hours * 60)
    log_to_stderr()
    with (
        stop_on_signals() as stop,
        open_paced_bench(site, history, start, -(-minutes // 15), speed, seed=seed, port=port) as bench,
    ):
        wait_for_broker(broker, BROKER_WAIT_S)
        print(f"127.0.0.1:{bench.port}", flush=True)
        done = bench.run(broker, minutes, stop.wait, step_minutes=site.step_minutes)
    log.info("%d minutes, %d messages, at most %.1f s behind", len(done.records), done.messages, done.most_behind_s)
