"""From a site to a recommended size: the year model proposes, replays judge the few best, cash flow decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from settlement.contract import Contract
from sizing.answer import YearAnswer
from sizing.cash_flow import CashFlow, cash_flow
from sizing.judging import Judge, Judged, OnPart, judged_all
from sizing.operation import OperatingYear, operating_years, running, usable_sizes
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
    """Of the stretch, with everything known [money]."""
    judged: Judged | None
    captured: float
    """Share of it that is earned in closed loop; 1 where nothing was judged."""
    years: tuple[OperatingYear, ...]
    worth: CashFlow


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The answer of `quartet size`."""

    sized: SizedSite
    proposal: YearAnswer
    assessed: tuple[Assessed, ...]
    """The proposed sizes first, then those beside them."""
    best: Assessed | None
    """None where nothing is worth building."""
    swings: tuple[Swing, ...]
    map: ValueMap | None
    parties: tuple[PartyFlow, ...]


def recommend(
    sized: SizedSite,
    judge: Judge | None,
    contract: Contract | None = None,
    beside: int = 2,
    on_size: OnPart | None = None,
) -> Recommendation:
    """Proposes, judges the proposal and `beside` others, and chooses by NPV.

    Raises:
        InputError: the history does not cover the stretch, or the tariff is none the year model takes.
    """
    proposal = best_sizes(sized.year, sized.offers)
    proposed = sized.built(proposal.sizes, proposal.contract_kw)
    few = [] if proposed.nothing else [proposed, *list(_beside(sized, proposed))[:beside]]
    assessed = assess(sized, judge, few, on_size)
    worthy = [found for found in assessed if found.worth.npv > 0.0]
    best = max(worthy, key=lambda found: found.worth.npv) if worthy else None
    if best is None:
        return Recommendation(sized, proposal, assessed, None, (), None, ())
    candidates = sized.candidates
    swings = tuple(tornado(candidates, best.built, best.years))
    valued = value_map(sized, best.built, best.years, best.captured) if best.built.battery_kwh > 0.0 else None
    parties = tuple(party_flows(contract, candidates, best.built, best.years)) if contract else ()
    return Recommendation(sized, proposal, assessed, best, swings, valued, parties)


def assess(
    sized: SizedSite, judge: Judge | None, sizes: Sequence[BuiltSizes], on_size: OnPart | None = None
) -> tuple[Assessed, ...]:
    """What sizes earn and are worth: by the judge, who also sees the site without them; without one with foresight."""
    judged = judged_all(judge, [BuiltSizes(), *sizes], on_size) if judge and sizes else [None] * (len(sizes) + 1)
    return tuple(_assessed(sized, built, judged[0], own) for built, own in zip(sizes, judged[1:], strict=True))


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


def _assessed(sized: SizedSite, built: BuiltSizes, nothing: Judged | None, own: Judged | None) -> Assessed:
    sizes = usable_sizes(sized, built)
    foreseen = running(sized.year, np.zeros(5)).cost - running(sized.year, sizes).cost
    captured = 1.0
    if nothing is not None and own is not None and foreseen > 0.0:
        captured = (nothing.paid - own.paid) / foreseen
    years = tuple(operating_years(sized, built, captured))
    return Assessed(built, foreseen, own, captured, years, cash_flow(sized.candidates, built, years))
