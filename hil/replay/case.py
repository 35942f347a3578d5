"""What is to be replayed, and how it is cut: the same windows and blocks however many workers there are.

A window is run by itself. The first begins where the replay does; the others begin at the start of a billing month,
where the running peak begins anew, and have a day before it that is controlled but not counted, so that stores, cars
and the last plan are as they would be. The forecasters are fitted at the start of each stretch; a block is the part of
a window that lies in one stretch, and is run at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from hil.code_digest import code_digest
from hil.truth import Truth
from optimizer.errors import InputError, Problem
from settlement.bill import market_columns
from site_configs.history import History
from site_configs.recorded.findings import stamp
from site_configs.site import Site
from site_configs.tariff import Tariff, load_tariff, local_midnight
from streams.site_forecasts import MODEL_LIFE, published_rows
from streams.site_runtime import at_step

Controller = Literal["engine", "rules", "none"]
Foresight = Literal["issued", "known"]
"""What plans know of the days ahead: forecasts as they would have been issued then, or what was recorded later."""
PlantKind = Literal["real", "known", "as_planned"]
"""A plant that differs from the site file, with lags and flutter (`Truth.drawn`); the same machines, but with the site
file saying what they really are, and no lag and flutter; machines as the site file has them (both `Truth.exact`)."""

LEAD_IN = timedelta(days=1)
LOOKED_BACK = timedelta(days=1)
"""History that the simplest forecast needs; from two weeks on demand has a model."""


@dataclass(frozen=True)
class Terms:
    """How a replay is run, whatever it replays."""

    foresight: Foresight = "issued"
    plant: PlantKind = "real"
    refit_days: int = MODEL_LIFE.days
    """Days from one fit of the forecasters to the next; in operation they are fitted every midnight."""
    seed: int = 1
    """Of the plant's parameters and of its minutes."""
    deadline_s: float = 300.0
    """Limit of one plan. Far above what a plan takes: the answer must not depend on how busy the machine is."""


@dataclass(frozen=True)
class Stretch:
    """From one fit of the forecasters to the next."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Window:
    """Part of a replay that depends on no other part."""

    begin: datetime
    """First controlled interval; what comes before `start` is not counted."""
    start: datetime
    end: datetime

    def blocks(self, stretches: Sequence[Stretch]) -> tuple[Block, ...]:
        """The window cut where the stretches are."""
        inside = (stretch for stretch in stretches if stretch.start < self.end and stretch.end > self.begin)
        return tuple(Block(self, fit, max(fit.start, self.begin), min(fit.end, self.end)) for fit in inside)


@dataclass(frozen=True)
class Block:
    """Part of a window that is run at once."""

    window: Window
    fit: Stretch
    """The stretch it lies in."""
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """Names the block within its replay; in order of time."""
        return f"{self.window.start:%Y%m%dT%H%MZ}-{self.start:%Y%m%dT%H%MZ}"


@dataclass(frozen=True, eq=False)
class Case:
    """One replay: a controller at a site over a stretch of its history. Equal cases give equal results."""

    site: Site
    history: History
    start: datetime
    end: datetime
    controller: Controller
    terms: Terms = field(default_factory=Terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Case) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @cached_property
    def key(self) -> str:
        """Digest of all that the result depends on: inputs, terms and code."""
        digest = hashlib.sha256(repr((self.start, self.end, self.controller, self.terms)).encode())
        digest.update(self.site.model_dump_json().encode())
        digest.update(digest_of(self.history).encode())
        digest.update(code_digest().encode())
        return digest.hexdigest()[:20]

    shared_by_parts: ClassVar[bool] = True

    @cached_property
    def foreseen_key(self) -> str:
        """Digest of what outlooks depend on: the plant and its controller are no part of it."""
        terms = (self.terms.foresight, self.terms.refit_days)
        return hashlib.sha256(repr((self.start, self.end, terms)).encode()).hexdigest()[:20]

    @cached_property
    def tariff(self) -> Tariff:
        return load_tariff(self.site)

    @property
    def step(self) -> timedelta:
        return timedelta(minutes=self.site.step_minutes)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        edges = [self.start, *self._month_starts(), self.end]
        return tuple(
            Window(start if start == self.start else max(self.start, start - LEAD_IN), start, end)
            for start, end in pairwise(edges)
        )

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """The replay by fits: each a number of local days, from the start on."""
        zone, days = self.site.zone, self.terms.refit_days
        first, edges = self.start.astimezone(zone).date(), [self.start]
        while (edge := local_midnight(first + timedelta(days=days * len(edges)), zone).astimezone(UTC)) < self.end:
            edges.append(edge)
        return tuple(Stretch(start, end) for start, end in pairwise([*edges, self.end]))

    @cached_property
    def blocks(self) -> tuple[tuple[Block, ...], ...]:
        """By window, in order of time."""
        return tuple(window.blocks(self.stretches) for window in self.windows)

    def cycles(self, start: datetime, end: datetime) -> tuple[datetime, ...]:
        """Starts of the control intervals from `start` to `end`, UTC."""
        return tuple(start + n * self.step for n in range((end - start) // self.step))

    def _month_starts(self) -> Iterator[datetime]:
        edge = self.tariff.billing_month(self.start)[1].astimezone(UTC)
        while edge < self.end:
            yield edge
            edge = self.tariff.billing_month(edge)[1].astimezone(UTC)

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The recorded means at the site's step, as forecasters see them: a gap is a gap, bridged or not."""
        return at_step(_unbridged(self.history), self.site.step_minutes)

    @cached_property
    def published(self) -> pd.DataFrame | None:
        """What was announced, with the moment it was."""
        return published_rows(self.site, self.history.frame, self.history.weather_forecast)

    def measured_before(self, at: datetime, since: datetime | None = None) -> pd.DataFrame:
        """The measured rows whose recorded interval was over at `at`, from `since` on."""
        recorded = timedelta(minutes=max(self.history.step_minutes, self.site.step_minutes))
        over = pd.Timestamp(at).floor(recorded)
        index = self.measured.index
        return self.measured.iloc[0 if since is None else index.searchsorted(since) : index.searchsorted(over)]


def case_of(
    site: Site, history: History, start: datetime, end: datetime, controller: Controller, terms: Terms | None = None
) -> Case:
    """A checked case.

    Raises:
        InputError: the stretch is empty or lies outside the history, the fits are too far apart, or series that plant
            or bill need have gaps; all problems at once.
    """
    chosen = terms or Terms()
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    problems = list(_problems(history, start, end, controller, chosen))
    if not problems:
        problems = list(_lacking(site, history, start, end))
    if problems:
        raise InputError(problems)
    return Case(_as_told(site, chosen), history, start, end, controller, chosen)


def _as_told(site: Site, terms: Terms) -> Site:
    """The site as the replayed controller knows it: of a `known` plant it has the machines as they really are."""
    if terms.plant != "known":
        return site
    return site.model_copy(update={"devices": real_truth(site, terms).devices})


def real_truth(site: Site, terms: Terms) -> Truth:
    """What the site really is: drawn by the terms' seed, the same in every window."""
    return Truth.drawn(site, np.random.default_rng(terms.seed))


def _lacking(site: Site, history: History, start: datetime, end: datetime) -> Iterator[Problem]:
    """Series that plant or bill need and that were not recorded throughout."""
    devices = {name for device in site.devices for name in device.required_series()}
    step = f"{history.step_minutes}min"
    edges = pd.Timestamp(start).floor(step).to_pydatetime(), pd.Timestamp(end).ceil(step).to_pydatetime()
    for name in sorted({*devices, *market_columns(site, load_tariff(site))}):
        try:
            history.need(name, *edges)
        except InputError as error:
            yield from error.problems


def _problems(
    history: History, start: datetime, end: datetime, controller: Controller, terms: Terms
) -> Iterator[Problem]:
    first, last = history.frame.index[0], history.end
    if end <= start:
        yield Problem("replay", "--to", stamp(end), f"must be after --from, {stamp(start)}")
    if start < first or end > last:
        span = f"{stamp(start)} to {stamp(end)}"
        yield Problem(
            history.source, "--from, --to", span, f"lies outside the history, {stamp(first)} to {stamp(last)}"
        )
    if controller == "engine" and terms.foresight == "issued" and first <= start < first + LOOKED_BACK:
        message = f"forecasts need {LOOKED_BACK.days} days of history before: begin at {stamp(first + LOOKED_BACK)}"
        yield Problem(history.source, "--from", stamp(start), message)
    for name, edge in (("--from", start), ("--to", end)):
        if edge.timestamp() % 3600:
            yield Problem("replay", name, stamp(edge), "must be a whole hour")
    if not 1 <= terms.refit_days <= MODEL_LIFE.days:
        yield Problem(
            "replay", "--refit", str(terms.refit_days), f"must be 1 to {MODEL_LIFE.days}: no model serves longer"
        )


def _unbridged(history: History) -> pd.DataFrame:
    """Without the values that were interpolated over gaps: they know what came afterwards."""
    frame = history.frame.copy()
    for name, times in history.interpolated.items():
        frame.loc[times, name] = np.nan
    return frame


def digest_of(history: History) -> str:
    """Digest of what a history folder says, wherever it lies."""
    digest = hashlib.sha256(repr((tuple(history.frame.columns), history.sessions)).encode())
    digest.update(pd.DatetimeIndex(history.frame.index).as_unit("s").asi8.tobytes())
    digest.update(np.ascontiguousarray(history.frame.to_numpy(dtype="<f8")).tobytes())
    digest.update(repr({name: times.asi8.tolist() for name, times in sorted(history.interpolated.items())}).encode())
    if history.weather_forecast is not None:
        digest.update(history.weather_forecast.to_csv(index=False).encode())
    return digest.hexdigest()
