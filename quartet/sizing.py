"""`quartet size`: site, history and candidates read, sizes proposed, judged and written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from hil.replay.case import Terms
from hil.replay.farm import farm
from hil.replay.replay import OnPart, Replayed
from quartet.arguments import refuse
from quartet.files import write_whole
from quartet.progress import parts_progress
from quartet.size_page import size_html, size_png
from settlement.contract import read_contract
from site_configs.history import History, read_site_history
from site_configs.site import Site
from site_configs.tariff import local_midnight
from sizing.candidates import Candidates, read_candidates, usual_candidates
from sizing.documents import SizeDocument, size_document
from sizing.judging import Judge, Remembering, ReplayJudge
from sizing.options import choices
from sizing.recommendation import Recommendation, recommend
from sizing.site_year import SizedSite

LONGEST = timedelta(days=365)
LOOKED_BACK = timedelta(days=1)
"""The engine's simplest forecast needs a day before the first."""
LOAD = "load.demand_kw"


@dataclass(frozen=True)
class SizeOrder:
    """A sizing as the user asked for it."""

    site: Site
    data: Path
    candidates: Path | None
    """None: the usual ones."""
    start: datetime | None
    end: datetime | None
    judge: str
    beside: int
    contract: Path | None


def run_size(
    order: SizeOrder,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    folder: Path | None = None,
    began_s: float,
) -> SizeDocument:
    """The whole answer; how far it is and how long it will take is shown on standard error.

    Raises:
        InputError: site, history, candidates, contract or stretch do not serve.
        MissingPartError: the cluster does not answer.
    """
    sized = sized_site(order)
    contract = None if order.contract is None else read_contract(order.contract, order.site)
    with farm(workers or os.cpu_count() or 1, scheduler) as place, _progress(_replays(order, sized)) as on_part:
        judge: Judge | None = None
        if order.judge != "none":
            judge = ReplayJudge(sized, cast(Replayed, order.judge), Terms(), place, folder, on_part)
        known = Terms(plant="as_planned")  # a plant drawn anew for every set of machines would be compared with itself
        foresee = Remembering(ReplayJudge(sized, "perfect", known, place, folder, on_part))
        found: Recommendation = recommend(sized, judge, contract, order.beside, foresee=foresee)
    return size_document(found, order.judge, time.perf_counter() - began_s)


def sized_site(order: SizeOrder) -> SizedSite:
    """Site, history, stretch and candidates of an order.

    Raises:
        InputError: as `run_size`.
    """
    history = read_site_history(order.site, order.data)
    start, end = _stretch(order, history)
    if order.candidates is not None:
        candidates: Candidates = read_candidates(order.candidates, order.site)
    else:
        load = history.need(LOAD, start, end)
        candidates = usual_candidates(order.site, float(load.mean()), float(load.max()))
    return SizedSite(order.site, history, start, end, candidates)


def write_size(document: SizeDocument, folder: Path) -> None:
    """size.json, size.html and size.png; each appears whole or not at all."""
    files = {
        "size.json": document.model_dump_json(indent=2).encode(),
        "size.html": size_html(document).encode(),
        "size.png": size_png(document),
    }
    for name, content in files.items():
        write_whole(folder / name, content)


def _stretch(order: SizeOrder, history: History) -> tuple[datetime, datetime]:
    """Local midnights between which the history has everything, at most a year."""
    zone = order.site.zone
    first, last = history.frame.index[0].to_pydatetime() + LOOKED_BACK, history.end.to_pydatetime()
    begin = order.start or local_midnight(
        (first + timedelta(days=1) - timedelta(microseconds=1)).astimezone(zone).date(), zone
    )
    if begin < first:
        begin = begin if order.start else local_midnight(begin.astimezone(zone).date() + timedelta(days=1), zone)
    end = order.end or min(begin + LONGEST, local_midnight(last.astimezone(zone).date(), zone))
    if end - begin < timedelta(days=1):
        refuse("--from", f"{begin:%Y-%m-%dT%H:%MZ}", f"leaves less than a day up to {end:%Y-%m-%dT%H:%MZ}")
    return begin.astimezone(UTC), end.astimezone(UTC)


def _replays(order: SizeOrder, sized: SizedSite) -> int:
    """The most that can be replayed: every choice of options with foresight, and then the site with and without."""
    compared = len(choices(sized.candidates.options))
    return order.beside + 2 + (compared + 3 if compared > 1 else 0)


@contextmanager
def _progress(replays: int) -> Iterator[OnPart]:
    """Blocks of the replay that runs; a bar for each size, with what is left of it."""
    with parts_progress() as progress:
        done_replays = 0
        task = progress.add_task("replay 1", total=None)

        def on_part(done: int, total: int) -> None:
            nonlocal done_replays
            progress.update(task, completed=done_replays * total + done, total=replays * total)
            progress.update(task, description=f"replay {done_replays + 1} of up to {replays}")
            done_replays += done == total

        yield on_part
