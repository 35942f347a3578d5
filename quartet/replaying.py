"""`quartet replay`: the controller asked for, what it is held against, and what it left, as one document."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from hil.replay.accounts import told
from hil.replay.case import Terms
from hil.replay.farm import farm
from hil.replay.replay import OnPart, Replayed, ReplayResult, replays
from hil.replay.value import CAUSES, baselines, causes, loss_split, value_captured
from quartet.documents import (
    Baselines,
    EvCounts,
    ReplayCycles,
    ReplayDocument,
    ReplaySeam,
    ReplayViolation,
    ReplayWithoutModel,
    StoredEnergy,
)
from quartet.progress import parts_progress
from settlement.utility_bill import billing_columns
from site_configs.history import History, write_history
from site_configs.site import Site

NOT_ASKED = "was not asked for: leave --no-baselines out"


@dataclass(frozen=True)
class Order:
    """A replay as the user asked for it."""

    start: datetime
    end: datetime
    controller: Replayed
    terms: Terms
    compared: bool = True
    """Whether the baselines are run."""
    split: bool = False
    """Whether the losses are split, which takes three more runs of the engine."""


@dataclass(frozen=True, eq=False)
class Replays:
    """All runs of an order."""

    order: Order
    asked: ReplayResult
    held_against: dict[str, ReplayResult]
    """By baseline."""
    without: dict[str, ReplayResult]
    """By cause removed; empty without a split."""


def run_replays(
    site: Site,
    history: History,
    order: Order,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    folder: Path | None = None,
) -> Replays:
    """Runs what the order needs, on all cores of this machine or a cluster; shows on standard error how far it is.

    Raises:
        InputError: the stretch or the history does not serve.
        MissingPartError: the cluster does not answer.
    """
    others = baselines(order.terms) if order.compared else []
    needed = [(name, terms) for name, terms in others if name != order.controller]
    split = causes(order.terms) if order.split else []
    wanted = [(order.controller, order.terms), *needed, *split]
    with farm(workers or os.cpu_count() or 1, scheduler) as place, _progress() as on_part:
        found = replays(site, history, order.start, order.end, wanted, farm=place, folder=folder, on_part=on_part)
    held_against: dict[str, ReplayResult] = {result.controller: result for result in found[1 : 1 + len(needed)]}
    if order.compared and order.controller != "engine":
        held_against[order.controller] = found[0]
    without = dict(zip(CAUSES, found[1 + len(needed) :], strict=True)) if order.split else {}
    return Replays(order, found[0], held_against, without)


def replay_document(runs: Replays, wall_s: float) -> ReplayDocument:
    """The whole document."""
    asked, account = runs.asked, runs.asked.account
    totals = {name: result.account.cost["total"] for name, result in runs.held_against.items()}
    captured = None
    if runs.order.compared:
        captured = value_captured(account.cost["total"], totals["none"], totals["perfect"])
    split = loss_split(asked, runs.held_against["perfect"], runs.without) if runs.without else None
    return ReplayDocument(
        site=asked.case.site.id,
        start=asked.case.start,
        end=asked.case.end,
        step_minutes=asked.case.site.step_minutes,
        controller=asked.controller,
        currency=asked.case.site.currency,
        cost=dict(account.cost),
        carbon_kg=account.carbon_kg,
        energy_kwh=dict(account.energy_kwh),
        ev=EvCounts(**vars(account.cars)),
        cycles=_cycles(asked),
        violations=[ReplayViolation(**vars(violation), text=told(violation)) for violation in account.violations],
        baselines=Baselines(**{name: totals.get(name) for name in ("none", "rules", "perfect")}),
        value_captured=captured,
        loss_split=None if split is None else split.as_dict(),
        reasons=_reasons(runs, captured),
        stored_kwh={name: StoredEnergy(start=first, end=last) for name, (first, last) in account.stored_kwh.items()},
        seams=list(_seams(asked)),
        baseline_cost={name: dict(result.account.cost) for name, result in runs.held_against.items()},
        refit_days=runs.order.terms.refit_days,
        without_model=[ReplayWithoutModel(**vars(lack)) for lack in asked.without_model],
        seed=runs.order.terms.seed,
        repairs=[repair.as_document() for repair in asked.case.history.repairs],
        wall_s=wall_s,
    )


def _cycles(asked: ReplayResult) -> ReplayCycles:
    return ReplayCycles(
        count=len(asked.cycles),
        solved=sum(cycle.status in ("optimal", "feasible") for cycle in asked.cycles),
        fallback=len(asked.fallbacks),
        refused=sum(len(cycle.refused) for cycle in asked.cycles),
        p50_ms=asked.percentile_ms(0.5),
        p99_ms=asked.percentile_ms(0.99),
    )


def _reasons(runs: Replays, captured: float | None) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if not runs.order.compared:
        reasons |= {f"baselines.{name}": NOT_ASKED for name in ("none", "rules", "perfect")}
        reasons["value_captured"] = NOT_ASKED
    elif captured is None:
        reasons["value_captured"] = "there is nothing to be won: doing nothing costs no more than the bound"
    if not runs.without:
        reasons["loss_split"] = "was not asked for: give --split with the engine"
    elif runs.asked.fallbacks:
        first = runs.asked.fallbacks[0]
        when = f"{len(runs.asked.fallbacks)} cycles, the first at {first.at:%Y-%m-%dT%H:%MZ}"
        reasons["loss_split.fallback"] = f"{when}: {'; '.join(first.attempts)}"
    return reasons


def _seams(asked: ReplayResult) -> Iterator[ReplaySeam]:
    """What stores hold at the end of a window and after the first interval of the next."""
    meters = asked.account.meters
    for _, window in pairwise(asked.case.windows):
        at = int(meters.index.searchsorted(window.start))
        for store in asked.account.stored_kwh:
            energy = meters[f"{store}.energy_kwh"]
            before, after = (float(kwh) for kwh in energy.to_numpy()[at - 1 : at + 1])
            yield ReplaySeam(time=window.start.astimezone(UTC), device=store, before_kwh=before, after_kwh=after)


def write_flows(runs: Replays, folder: Path) -> None:
    """The measured flows as a history folder that `quartet bill` and `quartet statement` read."""
    asked = runs.asked
    needed, optional = billing_columns(asked.case.site, asked.case.tariff)
    flows = [f"{device.id}.{quantity}" for device in asked.case.site.devices for quantity in device.buses()]
    recorded = [name for name in asked.account.meters if name in asked.case.history.frame]
    names = [*dict.fromkeys([*needed, *optional, *flows, *recorded])]
    meters = asked.account.meters[[name for name in names if name in asked.account.meters]]
    case = asked.case
    cars = tuple(car for car in case.history.sessions if car.arrive < case.end and car.depart > case.start)
    write_history(folder, meters.rename_axis("time"), cars)


@contextmanager
def _progress() -> Iterator[OnPart]:
    with parts_progress() as progress:
        task = progress.add_task("blocks", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
