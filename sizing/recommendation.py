"""From a site to a recommended size: the year model proposes, replays judge the few best, cash flow decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from settlement.contract import Contract
from sizing.answer import YearAnswer
from sizing.cash_flow import CashFlow, cash_flow
from sizing.judging import Judge, Judged, OnPart, judged_all
from sizing.operation import OperatingYear, operating_years, running
from sizing.options import choices
from sizing.parties import PartyFlow, party_flows
from sizing.sensitivity import Swing, ValueMap, tornado, value_map
from sizing.site_year import BuiltSizes, SizedSite
from sizing.year_model import best_sizes

BESIDE = (0.75, 0.5, 1.25)
"""Batteries judged beside the proposed one, as shares of it: a forecast may not earn what foresight does with it."""


@dataclass(frozen=True, eq=False)
class Assessed:
    """Sizes, what they earn, and what that is worth."""

    built: BuiltSizes
    foreseen_saving: float
    """Of battery and PV in the stretch, with everything known [money]."""
    options_saving: float
    """Of the options in the stretch: by the judge, with everything known where there is none [money]."""
    judged: Judged | None
    captured: float
    """Share of `foreseen_saving` that is earned in closed loop; 1 where nothing was judged."""
    years: tuple[OperatingYear, ...]
    worth: CashFlow


@dataclass(frozen=True, eq=False)
class Proposal:
    """The sizes that the year model finds beside some options."""

    sized: SizedSite
    answer: YearAnswer
    built: BuiltSizes
    foreseen_cost: float | None
    """Paid in the stretch with everything known, with the investment's share [money]; None where nothing else was to be
    compared."""


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The answer of `quartet size`."""

    proposals: tuple[Proposal, ...]
    """By options, the least cost first."""
    assessed: tuple[Assessed, ...]
    """The best proposal first, then others beside it."""
    best: Assessed | None
    """None where nothing is worth building."""
    swings: tuple[Swing, ...]
    map: ValueMap | None
    parties: tuple[PartyFlow, ...]

    @property
    def proposal(self) -> Proposal:
        """The one that is judged first."""
        return self.proposals[0]


def recommend(
    sized: SizedSite,
    judge: Judge | None,
    contract: Contract | None = None,
    beside: int = 2,
    on_size: OnPart | None = None,
    foresee: Judge | None = None,
) -> Recommendation:
    """Proposes, judges the best proposal and `beside` others, and chooses by NPV.

    `foresee` says what a site costs with everything known; it compares options, and is needed where some are offered.

    Raises:
        InputError: the history does not cover the stretch, or the tariff is none the year model takes.
    """
    proposals = _proposals(sized, foresee)
    few = list(_few(proposals, beside))
    assessed = assess(sized, judge, few, on_size, foresee)
    worthy = [found for found in assessed if found.worth.npv > 0.0]
    best = max(worthy, key=lambda found: found.worth.npv) if worthy else None
    if best is None:
        return Recommendation(proposals, assessed, None, (), None, ())
    candidates = sized.candidates
    swings = tuple(tornado(candidates, best.built, best.years))
    of = replace(sized, chosen=best.built.options)
    valued = value_map(of, best.built, best.years, best.captured) if best.built.battery_kwh > 0.0 else None
    parties = tuple(party_flows(contract, candidates, best.built, best.years)) if contract else ()
    return Recommendation(proposals, assessed, best, swings, valued, parties)


def assess(
    sized: SizedSite,
    judge: Judge | None,
    sizes: Sequence[BuiltSizes],
    on_size: OnPart | None = None,
    foresee: Judge | None = None,
) -> tuple[Assessed, ...]:
    """What sizes earn and are worth: by the judge, who also sees the site without them; without one with foresight."""
    if not sizes:
        return ()
    without = list(dict.fromkeys((BuiltSizes(), *(built.options_alone for built in sizes))))
    judged: dict[BuiltSizes, Judged] = {}
    if judge is not None:
        every = list(dict.fromkeys((*without, *sizes)))
        judged = dict(zip(every, judged_all(judge, every, on_size), strict=True))
    elif foresee is not None and len(without) > 1:
        judged = dict(zip(without, judged_all(foresee, without), strict=True))
    return tuple(_assessed(sized, built, judged, judge is not None) for built in sizes)


def _proposals(sized: SizedSite, foresee: Judge | None) -> tuple[Proposal, ...]:
    """The year model's sizes for every choice of options, the least foreseen cost first."""
    found = []
    every = choices(sized.candidates.options)
    for chosen in every:
        of = replace(sized, chosen=tuple(option.id for option in chosen))
        answer = best_sizes(of.year, of.offers)
        built = of.built(answer.sizes, answer.contract_kw)
        cost = foresee.judged(built).paid + sized.invested(built) if foresee and len(every) > 1 else None
        found.append(Proposal(of, answer, built, cost))
    return tuple(sorted(found, key=lambda proposal: proposal.foreseen_cost or 0.0))


def _few(proposals: Sequence[Proposal], beside: int) -> Iterator[BuiltSizes]:
    """What is judged: the best proposal, batteries beside it, and the next best choice of options."""
    best = proposals[0]
    if not best.built.nothing:
        yield best.built
        yield from list(_beside(best.sized, best.built))[:beside]
    if len(proposals) > 1 and not proposals[1].built.nothing:
        yield proposals[1].built


def _beside(sized: SizedSite, proposed: BuiltSizes) -> Iterator[BuiltSizes]:
    """Sizes with another battery, as far as they are offered."""
    battery = sized.candidates.battery
    if battery is None or proposed.battery_kwh == 0.0:
        return
    for share in BESIDE:
        kwh = float(np.clip(share * proposed.battery_kwh, *battery.capacity_kwh))
        kw = float(np.clip(share * proposed.battery_kw, *battery.power_kw))
        if kwh > 0.0 and abs(kwh / proposed.battery_kwh - 1.0) > 0.01:
            yield replace(proposed, battery_kwh=kwh, battery_kw=kw)


def _assessed(sized: SizedSite, built: BuiltSizes, paid: Mapping[BuiltSizes, Judged], in_replay: bool) -> Assessed:
    of = replace(sized, chosen=built.options)
    foreseen = running(of.year, np.zeros(5)).cost - running(of.year, of.usable(built)).cost
    nothing, alone, own = (paid.get(sizes) for sizes in (BuiltSizes(), built.options_alone, built))
    options_saving = nothing.paid - alone.paid if nothing and alone else 0.0
    captured = (alone.paid - own.paid) / foreseen if in_replay and alone and own and foreseen > 0.0 else 1.0
    years = tuple(operating_years(of, built, captured, options_saving))
    worth = cash_flow(sized.candidates, built, years)
    return Assessed(built, foreseen, options_saving, own if in_replay else None, captured, years, worth)
