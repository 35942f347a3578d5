"""`quartet demo`: a recorded day of the shipped park through the real parts; only the plant is simulated.

The broker, the plant and its Modbus face live in this process; the engine and the gateway are processes of their own.
The engine is given the recorded past up to the day, and of the day itself only what the plant's meters tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hil.bench import QUARTERS_OF_A_DAY, Bench, Cycle, DayRecord, open_bench
from hil.closed_loop import peak_before, run_closed_loop
from optimizer.situation import Session
from quartet.arguments import output_folder, refuse
from quartet.children import Children, children
from quartet.day_result import Day, DayRuns, measured_day, summary_of
from quartet.documents import DemoSummary
from quartet.figures import overview_png
from quartet.planning import METER_IMPORT, known_before
from quartet.report import report_html
from site_configs.history import History, read_history, sample_folder, write_history
from site_configs.loader import load_site
from site_configs.site import Site
from site_configs.tariff import load_tariff, local_midnight
from streams.admin import ensure_topics, wait_for_broker
from streams.broker import EmbeddedBroker
from streams.ledger import Ledger

SITE = "jiashan_park"
SEED = 20260826
"""Draws the true plant and its minutes; the same for the engine and the baselines."""
FIRST_CYCLE_S = 240.0
"""The first cycle waits for the forecasters to be fitted and the model to be built."""
CYCLE_S = 30.0
PAST_NEEDED = timedelta(days=28)
"""Recorded past that the forecasters are to have."""
ACKS_S = 10.0
LEDGER, PAST = "ledger.db", "history"
OWN_FILES = (
    "summary.json",
    "report.html",
    "day.png",
    "engine.log",
    "gateway.log",
    LEDGER,
    f"{LEDGER}-wal",
    f"{LEDGER}-shm",
)

Show = Callable[[str, int], None]
"""Tells a person what is being done, and how many cycles are over."""


def run_demo(out: Path, local_day: date, cycles: int | None = None, broker: str | None = None) -> DemoSummary:
    """Runs the day and leaves its files in `out`.

    Raises:
        InputError: the sample does not cover the day, or `out` cannot be written.
        MissingPartError: one of the processes ended.
    """
    began = time.monotonic()
    site = load_site(SITE)
    history = read_history(sample_folder(SITE), zone=site.timezone)
    day = _day(site, history, local_day, cycles or QUARTERS_OF_A_DAY)
    folder = output_folder(out)
    for name in OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    with _progress(day.quarters) as show:
        runs = _run(day, history, folder, broker, show)
        show("settling the day and drawing it", day.quarters)
        with Ledger(folder / LEDGER) as ledger:
            summary = summary_of(day, runs, ledger, wall_s=lambda: time.monotonic() - began)
            pictures = measured_day(day, runs, ledger)
    (folder / "report.html").write_text(report_html(summary, pictures), encoding="utf-8")
    (folder / "day.png").write_bytes(overview_png(pictures))
    (folder / "summary.json").write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return summary


def _day(site: Site, history: History, local_day: date, quarters: int) -> Day:
    start = local_midnight(local_day, site.zone)
    end = start + timedelta(minutes=15 * quarters)
    first, last = (at.astimezone(site.zone).date() for at in (history.frame.index[0] + PAST_NEEDED, history.end))
    if not first <= local_day < last:
        refuse("--day", local_day, f"the sample has days from {first} to {last - timedelta(days=1)}")
    return Day(site, load_tariff(site), local_day, (start, end), peak_before(site, history, start))


def _run(day: Day, history: History, folder: Path, given: str | None, show: Show) -> DayRuns:
    """The day under the engine and under both baselines."""
    start, quarters = day.period[0], day.quarters
    write_history(folder / PAST, *_past(day, history))
    with (
        _broker(given) as broker,
        open_bench(day.site, history, start, quarters, seed=SEED, port=0) as bench,
        children() as parts,
    ):
        _start(parts, day.site, broker, bench.port, folder)
        show("baselines: rules and idle stores", 0)
        rules = run_closed_loop(day.site, history, start, quarters, "rules", seed=SEED, peaks_kw=day.peaks_before_kw)
        none = run_closed_loop(day.site, history, start, quarters, "none", seed=SEED, peaks_kw=day.peaks_before_kw)
        engine = _control(bench, broker, quarters, show)
        _wait_for_acks(day.site, folder / LEDGER)
    return DayRuns(engine, rules, none)


@contextmanager
def _broker(given: str | None) -> Iterator[str]:
    """Address of the broker given, once it answers and has the topics, or of an embedded one."""
    if given is None:
        with EmbeddedBroker() as address:
            yield address
    else:
        wait_for_broker(given)
        ensure_topics(given)
        yield given


def _past(day: Day, history: History) -> tuple[pd.DataFrame, tuple[Session, ...]]:
    """What the engine may know: rows and cars before the day, and the month's peak as the billing meter holds it.

    The peak stands in the last row but one: the plant measures the last one itself, and the engine believes the plant.
    """
    known = known_before(history, day.period[0])
    frame = known.frame.copy()
    frame.loc[frame.index[-2], METER_IMPORT] = day.peak_before_kw
    return frame, known.sessions


def _start(parts: Children, site: Site, broker: str, port: int, folder: Path) -> None:
    engine = ["run", site.id, "--broker", broker, "--ledger", str(folder / LEDGER), "--data", str(folder / PAST)]
    gateway = ["gateway", site.id, "--broker", broker, "--port", str(port)]
    parts.start("engine", engine, folder / "engine.log")
    parts.start("gateway", gateway, folder / "gateway.log")


def _control(bench: Bench, broker: str, quarters: int, show: Show) -> DayRecord:
    """Lets the day go by; says after each cycle how far it is."""
    answered = 0

    def on_cycle(cycle: Cycle) -> None:
        nonlocal answered
        answered += cycle.answered
        local = cycle.interval.astimezone(bench.controller.plant.truth.site.zone)
        took = f"{cycle.latency_ms:,.0f} ms" if cycle.answered else "no answer in time"
        show(f"{local:%H:%M}  {took}", answered)

    show("fitting the forecasters, building the model", 0)
    return bench.run(broker, quarters, wait_s=CYCLE_S, first_wait_s=FIRST_CYCLE_S, on_cycle=on_cycle)


def _wait_for_acks(site: Site, ledger_file: Path) -> None:
    """Returns when every setpoint in the ledger has been acknowledged, or after `ACKS_S`."""
    end = time.monotonic() + ACKS_S
    with Ledger(ledger_file) as ledger:
        while time.monotonic() < end and not all(trace.acks for trace in ledger.setpoint_trace(site.id)):
            time.sleep(0.2)


@contextmanager
def _progress(cycles: int) -> Iterator[Show]:
    """A bar of the cycles on standard error; give it what is being done and how many cycles are over."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=cycles)
        yield lambda what, over: bar.update(task, description=what, completed=over)
