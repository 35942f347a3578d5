"""The document of `quartet size`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from settlement.documents import Document
from sizing.candidates import Candidates

if TYPE_CHECKING:  # every command knows the documents; the solvers behind this one are for `quartet size` alone
    from sizing.recommendation import Assessed, Recommendation
    from sizing.site_year import BuiltSizes


ONE_CHANGE_OF_SIGN = "the flows do not change their sign just once"
NO_FIGURES = ("device", "sources", "id", "name_zh", "name_en", "devices")
"""Fields of a candidates file that say what a thing is, and not what is assumed of it."""


class Part(Document):
    """Base of the document and its parts: nothing else may stand in them."""

    model_config = ConfigDict(extra="forbid")


class SizesDocument(Part):
    """Sizes as they are bought."""

    battery_kwh: float
    battery_kw: float
    pv_kw: float
    contract_kw: float | None
    """The contract demand to declare; null where none is sought."""
    options: list[str]
    """Ids of the options that are bought."""

    @staticmethod
    def of(built: BuiltSizes) -> SizesDocument:
        return SizesDocument(
            battery_kwh=built.battery_kwh,
            battery_kw=built.battery_kw,
            pv_kw=built.pv_kw,
            contract_kw=built.contract_kw,
            options=list(built.options),
        )


class ProposalDocument(Part):
    """What the year model proposes, with everything known."""

    sizes: SizesDocument
    method: str
    """`value function`, `value functions in turn`, `blocks`, `merged blocks` or `prices made convex`."""
    cost: float
    """Investment by the year, bill and wear over the stretch: an upper bound of the least [money]."""
    lower_bound: float | None
    """No sizes cost less [money]; null where what was found is the bound of a year with other prices."""
    gap: float | None
    """(cost - lower_bound) / cost [-]."""
    proven: bool
    """Whether both are bounds of the stretch as recorded."""
    passes: int


class ChoiceDocument(Part):
    """A choice of options, with the sizes that the year model finds beside it."""

    sizes: SizesDocument
    foreseen_cost: float | None
    """Paid in the stretch with everything known, with the investment's share [money]; null where nothing else was to be
    compared."""


class FlowDocument(Part):
    """The payments of a year [money]; what is paid out is negative."""

    year: int
    purchase: float
    saving: float
    subsidy: float
    upkeep: float
    replacement: float
    residual: float
    tax: float
    loan: float
    net: float
    health: float | None
    """Share of the battery's first capacity at the year's start; null at the start."""


class AssessedDocument(Part):
    """Sizes and what they are worth."""

    sizes: SizesDocument
    foreseen_saving: float
    """Of battery and PV in the stretch, with everything known [money]."""
    options_saving: float
    """Of the options in the stretch, by closed-loop replay; with everything known where nothing was judged [money]."""
    judged_saving: float | None
    """Of the stretch, by closed-loop replay; null where it was not judged."""
    captured: float
    """Share of the foreseen saving that counts [-]; 1 where it was not judged."""
    fallbacks: int | None
    violations: int | None
    npv: float
    irr: float | None
    equity_irr: float | None
    payback_years: float | None
    discounted_payback_years: float | None
    lcos_per_kwh: float | None
    lcoe_per_kwh: float | None
    flows: list[FlowDocument]

    @staticmethod
    def of(found: Assessed) -> AssessedDocument:
        worth, judged = found.worth, found.judged
        health = [None, *(year.health for year in found.years)]
        flows = [
            FlowDocument(**vars(flow), net=flow.net, health=own) for flow, own in zip(worth.flows, health, strict=True)
        ]
        return AssessedDocument(
            sizes=SizesDocument.of(found.built),
            foreseen_saving=found.foreseen_saving,
            options_saving=found.options_saving,
            judged_saving=None if judged is None else found.foreseen_saving * found.captured + found.options_saving,
            captured=found.captured,
            fallbacks=None if judged is None else judged.fallbacks,
            violations=None if judged is None else judged.violations,
            **{**vars(worth), "flows": flows},
        )


class SwingDocument(Part):
    """The NPV with one assumption changed."""

    assumption: str
    low: str
    high: str
    npv_low: float
    npv_high: float


class MapDocument(Part):
    """NPV by capacity (columns) and power (rows); null where the power is above what the capacity allows."""

    battery_kwh: list[float]
    battery_kw: list[float]
    npv: list[list[float | None]]


class PartyDocument(Part):
    """A party of the contract, before income tax."""

    role: str
    flows: list[float]
    """The first at the start [money]."""
    npv: float
    irr: float | None
    payback_years: float | None


class AssumptionDocument(Part):
    """A figure that the answer stands on."""

    name: str
    value: str
    meaning: str
    source: str


class SizeDocument(Part):
    """The answer of `quartet size`."""

    site: str
    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    years_per_year: float
    """Years in a year over years in the stretch: sums over it times this are of a year."""
    currency: str
    judge: str
    """The controller of the replays; `none` where nothing was judged."""
    proposal: ProposalDocument
    choices: list[ChoiceDocument]
    """Of options, the least cost first; one where no options are offered."""
    assessed: list[AssessedDocument]
    recommended: SizesDocument | None
    npv: float | None
    tornado: list[SwingDocument]
    map: MapDocument | None
    parties: list[PartyDocument]
    assumptions: list[AssumptionDocument]
    reasons: dict[str, str]
    """Why a value is null or a part is empty, by its name."""
    repairs: list[dict[str, object]]
    wall_s: float


def size_document(found: Recommendation, judge: str, wall_s: float) -> SizeDocument:
    """The whole document."""
    sized, proposal, best = found.proposal.sized, found.proposal.answer, found.best
    return SizeDocument(
        site=sized.site.id,
        start=sized.start,
        end=sized.end,
        years_per_year=sized.per_year,
        currency=sized.site.currency,
        judge=judge,
        proposal=ProposalDocument(
            sizes=SizesDocument.of(found.proposal.built),
            method=proposal.method,
            cost=proposal.cost,
            lower_bound=proposal.bound if proposal.bounded else None,
            gap=proposal.gap if proposal.bounded else None,
            proven=proposal.proven,
            passes=proposal.passes,
        ),
        choices=[
            ChoiceDocument(sizes=SizesDocument.of(one.built), foreseen_cost=one.foreseen_cost)
            for one in found.proposals
        ],
        assessed=[AssessedDocument.of(one) for one in found.assessed],
        recommended=None if best is None else SizesDocument.of(best.built),
        npv=None if best is None else best.worth.npv,
        tornado=[
            SwingDocument(assumption=s.name, low=s.low, high=s.high, npv_low=s.npv_low, npv_high=s.npv_high)
            for s in found.swings
        ],
        map=_map(found),
        parties=[
            PartyDocument(role=p.role, flows=list(p.flows), npv=p.npv, irr=p.irr, payback_years=p.payback_years)
            for p in found.parties
        ],
        assumptions=list(assumptions(sized.candidates)),
        reasons=dict(_reasons(found)),
        repairs=[repair.as_document() for repair in sized.history.repairs],
        wall_s=wall_s,
    )


def assumptions(candidates: Candidates) -> Iterator[AssumptionDocument]:
    """Every figure of the candidates file, those not given included."""
    sources = candidates.economics.sources
    parts = {"battery": candidates.battery, "pv": candidates.pv, "economics": candidates.economics}
    for part, own in parts.items():
        if own is not None:
            yield from _assumed(part, own, sources)
    for option in candidates.options:
        yield from _assumed(f"options.{option.id}", option, {})


def _assumed(part: str, own: BaseModel, sources: Mapping[str, str]) -> Iterator[AssumptionDocument]:
    for name, field in type(own).model_fields.items():
        if name in NO_FIGURES:
            continue
        said = "given with the candidates" if name in own.model_fields_set else "usual value, see docs/sizing.md"
        yield AssumptionDocument(
            name=f"{part}.{name}",
            value=str(getattr(own, name)),
            meaning=field.description or name,
            source=sources.get(name, said),
        )


def _map(found: Recommendation) -> MapDocument | None:
    if found.map is None:
        return None
    rows = [[None if math.isnan(npv) else float(npv) for npv in row] for row in found.map.npv]
    return MapDocument(battery_kwh=found.map.battery_kwh.tolist(), battery_kw=found.map.battery_kw.tolist(), npv=rows)


def _reasons(found: Recommendation) -> Iterator[tuple[str, str]]:
    if found.best is None:
        yield "recommended", "no size that was looked at is worth its cost"
    if found.proposal.sized.per_year > 1.01:
        days = (found.proposal.sized.end - found.proposal.sized.start).days
        yield (
            "years_per_year",
            f"the stretch is {days} days long and stands for the year: seasons outside it are not seen",
        )
    if not found.parties:
        yield "parties", "no contract was given, or nothing is recommended"
    for reason in found.proposal.sized.year.why_not_convex():
        yield "proposal.method", reason
    if not found.proposal.answer.bounded:
        for name in ("proposal.lower_bound", "proposal.gap"):
            yield name, "prices were made convex for the search: its bound is that of a year with other prices"
    if found.proposal.answer.both_ways_steps:
        yield "proposal.proven", f"a store or the grid runs both ways in {found.proposal.answer.both_ways_steps} steps"
    if found.best is not None and found.best.worth.irr is None:
        yield "irr", ONE_CHANGE_OF_SIGN
    for n, party in enumerate(found.parties):
        if party.irr is None:
            yield f"parties.{n}.irr", ONE_CHANGE_OF_SIGN
        if party.payback_years is None:
            yield f"parties.{n}.payback_years", "nothing is paid at first, or it is not paid back"
