"""A replay from beginning to end: parts laid out, run, kept, and put together.

outlooks of a block ──┐
block before ─────────┴─> block ─> ...        one chain per window, windows side by side
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from hil.replay.accounts import Account, account
from hil.replay.bound import States, bound_of
from hil.replay.case import Block, Case, PlantKind, Stretch, Terms, Window, case_of
from hil.replay.control import BlockResult, Cycle, Standing, WithoutModel, first_standing, run_block
from hil.replay.farm import Farm, Part, ThisProcess
from hil.replay.foresight import Foreseen, foreseen
from hil.replay.store import Store
from site_configs.history import History
from site_configs.site import Site

Replayed = Literal["engine", "rules", "none", "perfect"]
"""Controllers, and the bound that knows everything."""
OnPart = Callable[[int, int], None]
"""Told how many parts are done, and of how many."""


@dataclass(frozen=True, eq=False)
class ReplayResult:
    """What one controller made of a stretch of history."""

    controller: Replayed
    case: Case
    account: Account
    cycles: tuple[Cycle, ...]
    """Of the bound one for each window."""
    without_model: tuple[WithoutModel, ...] = ()
    """Forecasts that were a yardstick's for want of a model, in order of time."""

    @property
    def fallbacks(self) -> tuple[Cycle, ...]:
        """Cycles that were not answered by a plan of their own."""
        return tuple(cycle for cycle in self.cycles if cycle.status in ("shifted", "rules"))

    def percentile_ms(self, share: float) -> float:
        """Time of a decision, forecasts not included [ms]."""
        return float(np.quantile([cycle.took_ms for cycle in self.cycles], share))


def replay(
    site: Site,
    history: History,
    start: datetime,
    end: datetime,
    controller: Replayed = "engine",
    *,
    terms: Terms | None = None,
    farm: Farm | None = None,
    folder: Path | None = None,
    on_part: OnPart | None = None,
) -> ReplayResult:
    """A controller in closed loop from `start` to `end`; `perfect` is the bound with everything known.

    The result depends on the arguments before `farm` alone. `farm` runs the parts (this process if absent), `folder`
    keeps finished ones, so that a replay that was stopped goes on.

    Raises:
        InputError: the stretch or the history does not serve.
    """
    (result,) = replays(site, history, start, end, [(controller, terms)], farm=farm, folder=folder, on_part=on_part)
    return result


def replays(
    site: Site,
    history: History,
    start: datetime,
    end: datetime,
    wanted: Sequence[tuple[Replayed, Terms | None]],
    *,
    farm: Farm | None = None,
    folder: Path | None = None,
    on_part: OnPart | None = None,
) -> list[ReplayResult]:
    """Several replays of the same stretch at once; forecasts that they share are made once.

    Raises:
        InputError: as `replay`.
    """
    lots = [_Lot(controller, _case(site, history, start, end, controller, terms or Terms()), folder)
            for controller, terms in wanted]  # fmt: skip
    board = _Board()
    for lot in lots:
        lot.lay_out(board)
    finished = (farm or ThisProcess()).finished(board.parts, list(board.wanted))
    for done, (part, result) in enumerate(finished, start=1):
        lot, name = board.wanted[part]
        lot.take(name, result)
        if on_part is not None:
            on_part(done, len(board.wanted))
    return [lot.result() for lot in lots]


def _case(site: Site, history: History, start: datetime, end: datetime, controller: Replayed, terms: Terms) -> Case:
    """The bound belongs to a case of no controller, the shortest to lay out, and knows what the machines really are."""
    if controller != "perfect":
        return case_of(site, history, start, end, controller, terms)
    plant: PlantKind = "known" if terms.plant == "real" else terms.plant
    return case_of(site, history, start, end, "none", replace(terms, plant=plant))


@dataclass
class _Board:
    """All parts of several replays, each after those it needs."""

    parts: list[Part] = field(default_factory=list)
    wanted: dict[Part, tuple[_Lot, str]] = field(default_factory=dict)
    foreseen: dict[tuple[str, Stretch], Part] = field(default_factory=dict)
    """By what they depend on and stretch: shared by windows, and by replays that foresee the same."""

    def add(self, part: Part) -> Part:
        self.parts.append(part)
        return part


class _Lot:
    """One replay: its parts, and what they gave."""

    def __init__(self, controller: Replayed, case: Case, folder: Path | None) -> None:
        self.controller, self.case = controller, case
        self._store = Store(folder, f"{controller}-{case.key}")
        self._results: dict[str, BlockResult] = {}

    def lay_out(self, board: _Board) -> None:
        """Puts on the board what is not finished yet; windows in turn, so that all of them go on side by side."""
        if self.controller == "perfect":
            self._lay_out_bound(board)
            return
        chains = [self._chain(board, blocks) for blocks in self.case.blocks]
        while chains:
            chains = [chain for chain in chains if next(chain, None) is not None]

    def _chain(self, board: _Board, blocks: Sequence[Block]) -> Iterator[Part | bool]:
        before: Part | Standing | None = None
        for block in blocks:
            kept = self._store.get(block.name)
            if kept is not None:
                before, self._results[block.name] = kept
                yield True
                continue
            if before is None:
                before = board.add(self._part(first_standing, (self.case, block.window), "standing", block))
            ahead = self._foreseen(board, block) if self.case.controller == "engine" else None
            function = _next_block if isinstance(before, Part) and before.function is not first_standing else run_block
            before = board.add(self._part(function, (self.case, block, before, ahead), "block", block))
            board.wanted[before] = (self, block.name)
            yield before

    def _part(self, function: Callable[..., object], arguments: tuple[object, ...], what: str, block: Block) -> Part:
        urgency = (block.window.end - block.start).total_seconds()
        return Part(function, arguments, f"{what}-{self.controller}-{self.case.key}-{block.name}", urgency)

    def _foreseen(self, board: _Board, block: Block) -> Part:
        key = (self.case.foreseen_key, block.fit)
        if key not in board.foreseen:
            board.foreseen[key] = board.add(self._part(foreseen, (self.case, block.fit), "foreseen", block))
        return board.foreseen[key]

    def _lay_out_bound(self, board: _Board) -> None:
        before: Part | States = {}
        for window in self.case.windows:
            block = Block(window, Stretch(window.start, window.end), window.start, window.end)
            name = block.name
            kept = self._store.get(name)
            if kept is not None:
                before, self._results[name] = kept
                continue
            function = _next_bound if isinstance(before, Part) else bound_of
            before = board.add(self._part(function, (self.case, window, before), "bound", block))
            board.wanted[before] = (self, name)

    def take(self, name: str, result: tuple[object, BlockResult]) -> None:
        """A finished part; the first of the pair is where the next one begins."""
        self._store.put(name, result)
        self._results[name] = result[1]

    def result(self) -> ReplayResult:
        found = [self._results[name] for name in sorted(self._results)]
        served: dict[str, float] = {}
        for result in found:
            for session, kwh in result.served_kwh.items():
                served[session] = served.get(session, 0.0) + kwh
        meters = pd.concat([result.meters for result in found])
        wear = [item for result in found for item in result.wear]
        cycles = tuple(cycle for result in found for cycle in result.cycles)
        lacking = tuple(sorted({lack for result in found for lack in result.without_model}))
        return ReplayResult(self.controller, self.case, account(self.case, meters, wear, served), cycles, lacking)


def _next_block(
    case: Case, block: Block, before: tuple[Standing, BlockResult], ahead: Foreseen | None
) -> tuple[Standing, BlockResult]:
    return run_block(case, block, before[0], ahead)


def _next_bound(case: Case, window: Window, before: tuple[States, BlockResult]) -> tuple[States, BlockResult]:
    return bound_of(case, window, before[0])
