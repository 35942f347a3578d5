"""The savings statement of a month as a document: what contract parties sign (RULES 6.1).

`StatementData` holds everything that was computed and nothing else: no clock, no path, no version of a library. Its
canonical JSON is what the hash is of, so the same inputs give the same bytes on any day. `Statement` puts a revision
around it: other data for the same month become the next revision, which names the one it replaces and shows its lines
in red (红字); the earlier one stays as it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Literal

import pandas as pd

from settlement.balance import LARGEST_RESIDUAL, balance_residual
from settlement.bill import Bill, BillLine
from settlement.carbon_document import CarbonLine
from settlement.carbon_ledger import CarbonLedger, avoided_kg
from settlement.contract import Contract, GuaranteedContract, SharedContract, Stream
from settlement.demand import coarse_demand
from settlement.documents import (
    BillLineDocument,
    ComparisonDocument,
    Document,
    Money,
    Number,
    QualityDocument,
    lines_of,
)
from settlement.energy import MICRO, split_energy
from settlement.flows import flows_of
from settlement.metered_month import MeteredMonth
from settlement.money import quantity
from settlement.payments import Payment, Verified, carried_forward, esco_total, payments, tax_split
from settlement.recorded_bill import LARGEST_ERROR
from settlement.savings import StreamSaving, VerifiedMonth, cost
from settlement.utility_bill import IMPORT
from site_configs.site import Site
from site_configs.tariff import Tariff

CLAIMS = tuple(Decimal(percent) / 100 for percent in (5, 10, 15, 20, 25, 30, 40, 50))
"""Savings that are worth a sentence, where the lower bound is above."""
RATE_STEP = Decimal("0.0001")


class PartyDocument(Document):
    zh: str
    en: str


class ContractYear(Document):
    """One contract year: its dates and the ESCO's share of each stream."""

    year: int
    first: date
    last: date
    esco_share: dict[str, Number]
    current: bool


class ContractDocument(Document):
    """What of the contract a statement repeats."""

    number: str
    kind: str
    owner: PartyDocument
    esco: PartyDocument
    signed: date
    start: date
    end: date
    """The day after the last."""
    counterfactual: str
    attribution: str
    guaranteed_rate: Number | None
    years: tuple[ContractYear, ...]
    transfer_to: str
    transfer_price: Money
    transfer_assets: tuple[str, ...]
    meters: tuple[dict[str, str], ...]
    dispute_days: int
    sha256: str


class ComparedBillLine(Document):
    """A component and band in both bills."""

    id: str
    """Of the actual bill's first line of this kind; empty where it has none."""
    account: str
    component: str
    band: str
    unit: str
    quantity_counterfactual: Number
    quantity_actual: Number
    fee_counterfactual: Money
    fee_actual: Money
    saving: Money


class StreamLine(Document):
    """One row of the statement's minimum data model: a stream's month."""

    id: str
    contract_id: str
    period: str
    stream: str
    kind: str
    name_zh: str
    name_en: str
    counterfactual_id: str
    tariff_version: str
    kwh_cf: Number
    """What the site would have drawn without this stream alone."""
    kwh_act: Number
    cny_cf: Money
    """Actual cost and what this stream saved."""
    cny_act: Money
    saving_cny: Money
    half_width_cny: Money | None
    uncertainty_pct: float | None
    """Half width over the saving, in percent; None where it is not known or nothing was saved."""
    adj_routine_kwh: Number | None
    """Of a regression: what weather and calendar changed against the baseline's mean day."""
    adj_nonroutine: Money
    share_esco: Number | None
    payable_esco: Money
    payable_owner: Money
    data_coverage: float
    determined: bool | None
    """Of a regression: whether the guideline accepts its uncertainty."""
    cv_rmse: float | None
    nmbe: float | None


class PaymentLine(Document):
    """One amount and what each party gets of it."""

    id: str
    kind: str
    item: str
    item_zh: str
    """Empty where the item is a stream or has no name of its own."""
    amount: Money
    esco: Money
    owner: Money
    lessor: Money
    basis: str

    @classmethod
    def of(cls, payment: Payment, number: int, period: str) -> PaymentLine:
        return cls(
            id=f"payment/{number}/{period}", kind=payment.kind, item=payment.item, item_zh=payment.item_zh,
            amount=payment.amount, esco=payment.esco, owner=payment.owner, lessor=payment.lessor, basis=payment.basis,
        )  # fmt: skip


class TotalsDocument(Document):
    """What the cover says."""

    cost_counterfactual: Money
    cost_actual: Money
    adjustments: Money
    saving: Money
    """Counterfactual less actual, adjustments included."""
    saving_lower: Money | None
    saving_upper: Money | None
    confidence: float
    rate: Number
    """Saving over counterfactual cost."""
    rate_lower: Number | None
    kwh_counterfactual: Number
    kwh_actual: Number
    payable_esco: Money
    payable_esco_net: Money
    payable_esco_tax: Money
    tax_rate: Number
    carried_in: Money
    carried_out: Money


class Gate(Document):
    """A condition for a final statement."""

    name: str
    value: float | None
    """None where it is not measured."""
    limit: float | None
    passed: bool | None


class CarbonDocument(Document):
    """Emissions of the month, both methods side by side."""

    lines: tuple[CarbonLine, ...]
    scope_1_kg: Number
    location_kg: Number
    market_kg: Number
    avoided_kg: Number
    """Against the counterfactual, location-based; < 0 where a store's losses were bought."""


class DayLine(Document):
    """A day of the month, for the pictures and as the rows behind the energy lines."""

    day: date
    kwh: dict[str, Number]
    """Bought, by band."""
    kwh_counterfactual: Number


class StatementData(Document):
    """Everything computed of a month: the hash is of this."""

    site: str
    name_zh: str
    name_en: str
    month: str
    start: datetime
    end: datetime
    currency: str
    contract: ContractDocument
    grade: Literal["final", "flagged", "example"]
    """flagged: a gate is not passed, so it is an estimate; example: the meters are simulated."""
    totals: TotalsDocument
    claims: tuple[Number, ...]
    """Rates of saving that the lower bound is above."""
    streams: tuple[StreamLine, ...]
    payments: tuple[PaymentLine, ...]
    comparison: tuple[ComparedBillLine, ...]
    bill: tuple[BillLineDocument, ...]
    export_lines: tuple[BillLineDocument, ...]
    counterfactual_bill: tuple[BillLineDocument, ...]
    counterfactual_export_lines: tuple[BillLineDocument, ...]
    days: tuple[DayLine, ...]
    carbon: CarbonDocument
    quality: QualityDocument
    gates: tuple[Gate, ...]
    recorded_bill: ComparisonDocument | None
    inputs: dict[str, str]
    """SHA-256 by input."""

    def canonical(self) -> bytes:
        """The bytes that are hashed: sorted keys would lose the order of lines, so fields keep theirs."""
        return self.model_dump_json().encode()


class RedLine(Document):
    """A payment of the replaced revision, taken back."""

    kind: str
    item: str
    amount: Money
    esco: Money
    owner: Money
    lessor: Money


class Statement(Document):
    """A revision of a month's statement."""

    revision: int
    supersedes: str | None
    """SHA-256 of the data it replaces."""
    input_sha256: str
    result_sha256: str
    red_lines: tuple[RedLine, ...]
    """The replaced revision's payments with the opposite sign."""
    esco_difference: Money
    """What the ESCO gets more than by the replaced revision."""
    data: StatementData


def revised(data: StatementData, previous: Statement | None) -> Statement:
    """The statement of some data: the previous one where nothing changed, else the next revision."""
    result = hashlib.sha256(data.canonical()).hexdigest()
    if previous is not None and previous.result_sha256 == result:
        return previous
    inputs = hashlib.sha256("\n".join(f"{name} {value}" for name, value in sorted(data.inputs.items())).encode())
    red = () if previous is None else tuple(_red(line) for line in previous.data.payments)
    before = Decimal(0) if previous is None else previous.data.totals.payable_esco
    return Statement(
        revision=1 if previous is None else previous.revision + 1,
        supersedes=None if previous is None else previous.result_sha256,
        input_sha256=inputs.hexdigest(),
        result_sha256=result,
        red_lines=red,
        esco_difference=Decimal(0) if previous is None else data.totals.payable_esco - before,
        data=data,
    )


def statement_data(
    site: Site,
    tariff: Tariff,
    contract: Contract,
    month: MeteredMonth,
    verified: VerifiedMonth,
    carbon: CarbonLedger,
    inputs: Mapping[str, str],
    simulated: str | None = None,
    recorded: ComparisonDocument | None = None,
    carried: Decimal = Decimal(0),
) -> StatementData:
    """Everything a statement says, from verified savings; `carried` as in `payments`."""
    first = month.start.astimezone(site.zone).date()
    as_paid = _as_paid(verified, first)
    paid = payments(contract, as_paid, carried)
    totals = _totals(contract, verified, as_paid, paid, carried)
    quality = QualityDocument.of(month, simulated, coarse_demand(site, tariff, first, month.step_minutes))
    gates = _gates(site, contract, month, verified.actual, recorded, quality)
    period = f"{first:%Y-%m}"
    return StatementData(
        site=site.id,
        name_zh=site.name_zh,
        name_en=site.name_en,
        month=period,
        start=month.start,
        end=month.end,
        currency=site.currency,
        contract=_contract(contract, first, inputs["contract"]),
        grade="example" if simulated else ("flagged" if any(gate.passed is False for gate in gates) else "final"),
        totals=totals,
        claims=_claims(totals),
        streams=_stream_lines(contract, month, verified, paid, period),
        payments=tuple(PaymentLine.of(payment, n, period) for n, payment in enumerate(paid, start=1)),
        comparison=_compared(verified.counterfactual, verified.actual),
        bill=lines_of(verified.actual),
        export_lines=tuple(BillLineDocument.of(line) for line in verified.actual.export_lines),
        counterfactual_bill=lines_of(verified.counterfactual),
        counterfactual_export_lines=tuple(BillLineDocument.of(line) for line in verified.counterfactual.export_lines),
        days=_days(site, tariff, verified),
        carbon=_carbon(site, carbon, as_paid),
        quality=quality,
        gates=gates,
        recorded_bill=recorded,
        inputs=dict(inputs),
    )


def as_csv(data: StatementData, revision: Statement) -> str:
    """The stream lines in the minimum data model, one row each, with revision and hashes."""
    text = io.StringIO()
    names = [*StreamLine.model_fields, "revision", "supersedes", "input_sha256"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for line in data.streams:
        row = line.model_dump(mode="json")
        row |= {
            "revision": revision.revision,
            "supersedes": revision.supersedes,
            "input_sha256": revision.input_sha256,
        }
        writer.writerow({name: "" if row[name] is None else row[name] for name in names})
    return text.getvalue()


def _red(line: PaymentLine) -> RedLine:
    return RedLine(
        kind=line.kind, item=line.item, amount=-line.amount, esco=-line.esco, owner=-line.owner, lessor=-line.lessor
    )


def _as_paid(verified: VerifiedMonth, first: date) -> Verified:
    hours = (verified.flows.index[1] - verified.flows.index[0]) / pd.Timedelta(hours=1)
    adjustments = sum((stream.adjustment for stream in verified.streams), Decimal(0))
    return Verified(
        first,
        {stream.stream: stream.saving for stream in verified.streams},
        quantity(float(verified.counterfactual_flows["import_kw"].sum()) * hours),
        quantity(float(verified.flows["import_kw"].sum()) * hours),
        cost(verified.counterfactual) + adjustments,
        cost(verified.actual),
    )


def _contract(contract: Contract, first: date, sha256: str) -> ContractDocument:
    transfer = contract.transfer
    return ContractDocument(
        number=contract.number,
        kind=contract.kind,
        owner=PartyDocument(zh=contract.owner.name_zh, en=contract.owner.name_en),
        esco=PartyDocument(zh=contract.esco.name_zh, en=contract.esco.name_en),
        signed=contract.signed,
        start=contract.start,
        end=contract.end,
        counterfactual=contract.counterfactual,
        attribution=contract.attribution.method,
        guaranteed_rate=contract.guaranteed_rate if isinstance(contract, GuaranteedContract) else None,
        years=tuple(_contract_year(contract, year, first) for year in range(1, contract.years + 1)),
        transfer_to=transfer.to,
        transfer_price=transfer.price,
        transfer_assets=transfer.assets,
        meters=tuple({name: str(value) for name, value in meter} for meter in contract.meters),
        dispute_days=contract.dispute_days,
        sha256=sha256,
    )


def _contract_year(contract: Contract, year: int, first: date) -> ContractYear:
    begin = contract.start.replace(year=contract.start.year + year - 1)
    after = contract.start.replace(year=contract.start.year + year)
    shares = {
        stream.id: share.esco
        for stream in contract.streams
        for share in stream.shares
        if share.from_year <= year <= share.to_year
    }
    last = date.fromordinal(after.toordinal() - 1)
    return ContractYear(year=year, first=begin, last=last, esco_share=shares, current=begin <= first < after)


def _totals(
    contract: Contract, verified: VerifiedMonth, month: Verified, paid: tuple[Payment, ...], carried: Decimal
) -> TotalsDocument:
    saving, width, esco = verified.saving, verified.half_width, esco_total(paid)
    tax = tax_split(esco, contract.tax)
    lower = None if width is None else saving - width
    return TotalsDocument(
        cost_counterfactual=month.counterfactual_cost,
        cost_actual=month.actual_cost,
        adjustments=sum((stream.adjustment for stream in verified.streams), Decimal(0)),
        saving=saving,
        saving_lower=lower,
        saving_upper=None if width is None else saving + width,
        confidence=contract.confidence,
        rate=_rate(saving, month.counterfactual_cost),
        rate_lower=None if lower is None else _rate(lower, month.counterfactual_cost),
        kwh_counterfactual=month.counterfactual_kwh,
        kwh_actual=month.actual_kwh,
        payable_esco=tax.gross,
        payable_esco_net=tax.net,
        payable_esco_tax=tax.tax,
        tax_rate=contract.tax.rate,
        carried_in=carried,
        carried_out=carried_forward(contract, month, carried),
    )


def _rate(saving: Decimal, base: Decimal) -> Decimal:
    """Rounded down: a rate is never said to be higher than it is."""
    return (saving / base).quantize(RATE_STEP, ROUND_FLOOR) if base > 0 else Decimal(0)


def _claims(totals: TotalsDocument) -> tuple[Decimal, ...]:
    if totals.saving_lower is None or totals.cost_counterfactual <= 0:
        return ()
    surely = totals.saving_lower / totals.cost_counterfactual
    return tuple(claim for claim in CLAIMS if surely > claim)


def _stream_lines(
    contract: Contract, month: MeteredMonth, verified: VerifiedMonth, paid: tuple[Payment, ...], period: str
) -> tuple[StreamLine, ...]:
    streams = {stream.id: stream for stream in contract.streams}
    of_stream = {payment.item: payment for payment in paid if payment.kind == "saving"}
    return tuple(
        _stream_line(contract, streams[found.stream], found, month, verified, of_stream.get(found.stream), period)
        for found in verified.streams
    )


def _stream_line(
    contract: Contract,
    stream: Stream,
    found: StreamSaving,
    month: MeteredMonth,
    verified: VerifiedMonth,
    payment: Payment | None,
    period: str,
) -> StreamLine:
    hours = (verified.flows.index[1] - verified.flows.index[0]) / pd.Timedelta(hours=1)
    actual, fit = cost(verified.actual), None if found.baseline is None else found.baseline.fit
    known = found.half_width is not None and found.saving != 0
    share = None
    if isinstance(contract, SharedContract):
        year = contract.year_of(date.fromisoformat(f"{period}-01"))
        share = next((x.esco for x in stream.shares if x.from_year <= year <= x.to_year), None)
    coverage = [q.coverage for q in month.quality if q.column.split(".")[0] in stream.devices or q.column == IMPORT]
    return StreamLine(
        id=f"stream/{stream.id}/{period}",
        contract_id=contract.number,
        period=period,
        stream=stream.id,
        kind=stream.kind,
        name_zh=stream.name_zh,
        name_en=stream.name_en,
        counterfactual_id=f"{contract.counterfactual}/{contract.attribution.method}",
        tariff_version=", ".join(
            dict.fromkeys(f"{x.document} {x.version}" for x in verified.actual.lines if x.version)
        ),
        kwh_cf=found.kwh_without,
        kwh_act=quantity(float(verified.flows["import_kw"].sum()) * hours),
        cny_cf=actual + found.saving,
        cny_act=actual,
        saving_cny=found.saving,
        half_width_cny=found.half_width,
        uncertainty_pct=round(abs(float(found.half_width or 0) / float(found.saving)) * 100, 4) if known else None,
        adj_routine_kwh=found.routine_kwh,
        adj_nonroutine=found.adjustment,
        share_esco=share,
        payable_esco=Decimal(0) if payment is None else payment.esco,
        payable_owner=Decimal(0) if payment is None else payment.owner,
        data_coverage=round(min(coverage, default=1.0), 6),
        determined=found.determined,
        cv_rmse=None if fit is None else round(fit.cv_rmse, 6),
        nmbe=None if fit is None else round(fit.nmbe, 6),
    )


def _compared(counterfactual: Bill, actual: Bill) -> tuple[ComparedBillLine, ...]:
    """Both bills by account, component and band; what export earned lowers a cost, so its fees are negative here."""
    sides = [
        [*((line, 1) for line in x.lines), *((line, -1) for line in x.export_lines)] for x in (counterfactual, actual)
    ]
    keys = dict.fromkeys((line.account, line.component, line.band) for side in sides for line, _ in side)
    return tuple(
        _compared_line(key, *([pair for pair in side if _key(pair[0]) == key] for side in sides)) for key in keys
    )


def _key(line: BillLine) -> tuple[str, str, str]:
    return line.account, line.component, line.band


def _compared_line(
    key: tuple[str, str, str], before: list[tuple[BillLine, int]], after: list[tuple[BillLine, int]]
) -> ComparedBillLine:
    fees = [sum((sign * line.fee for line, sign in side), Decimal(0)) for side in (before, after)]
    amounts = [sum((line.quantity for line, _ in side), Decimal(0)) for side in (before, after)]
    account, component, band = key
    return ComparedBillLine(
        id=after[0][0].id if after else "",
        account=account,
        component=component,
        band=band,
        unit=(after or before)[0][0].unit,
        quantity_counterfactual=amounts[0],
        quantity_actual=amounts[1],
        fee_counterfactual=fees[0],
        fee_actual=fees[1],
        saving=fees[0] - fees[1],
    )


def _days(site: Site, tariff: Tariff, verified: VerifiedMonth) -> tuple[DayLine, ...]:
    flows, span = verified.flows, (verified.actual.start, verified.actual.end)
    dates = [at.date() for at in pd.DatetimeIndex(flows.index).tz_convert(site.zone)]
    split = split_energy(tariff, flows_of(flows, *span, ["import_kw"]))
    parts = pd.DataFrame(
        {
            "day": [dates[row] for row in split.row],
            "band": [split.segments[segment].price.band for segment in split.segment_of],
            "micro_kwh": split.micro_kwh,
        }
    )
    by_band = parts.groupby(["day", "band"])["micro_kwh"].sum()
    hours = (flows.index[1] - flows.index[0]) / pd.Timedelta(hours=1)
    before = (verified.counterfactual_flows["import_kw"] * hours).groupby(dates).sum()
    return tuple(
        DayLine(
            day=day,
            kwh={str(band): Decimal(int(micro)) / MICRO for band, micro in by_band.loc[day].items()},
            kwh_counterfactual=quantity(float(total)),
        )
        for day, total in before.items()
        if isinstance(day, date)
    )


def _carbon(site: Site, found: CarbonLedger, month: Verified) -> CarbonDocument:
    return CarbonDocument(
        lines=tuple(CarbonLine.of(entry) for entry in found.entries),
        scope_1_kg=quantity(found.scope_1_kg),
        location_kg=quantity(found.location_kg),
        market_kg=quantity(found.market_kg),
        avoided_kg=quantity(avoided_kg(site, month.counterfactual_kwh, month.actual_kwh)),
    )


def _gates(
    site: Site,
    contract: Contract,
    month: MeteredMonth,
    actual: Bill,
    recorded: ComparisonDocument | None,
    quality: QualityDocument,
) -> tuple[Gate, ...]:
    residual = balance_residual(site, month.frame)
    error = None if recorded is None else float(recorded.error_share)
    assumed = sum(line.status == "assumed" for line in actual.lines)
    limit = contract.data.final_coverage
    gates: Iterable[tuple[str, float | None, float | None, bool | None]] = (
        ("coverage", round(month.coverage, 6), limit, month.coverage >= limit),
        ("energy_balance", None if residual is None else round(residual, 6), LARGEST_RESIDUAL,
         None if residual is None else residual <= LARGEST_RESIDUAL),
        ("bill_reproduction", error, float(LARGEST_ERROR), None if recorded is None else _reproduced(recorded)),
        ("tariff_assumed_lines", float(assumed), 0.0, assumed == 0),
        ("coarse_demand_lines", float(len(quality.notes)), 0.0, not quality.notes),
        ("signatures", None, None, None),
    )  # fmt: skip
    return tuple(Gate(name=name, value=value, limit=top, passed=passed) for name, value, top, passed in gates)


def _reproduced(recorded: ComparisonDocument) -> bool:
    return recorded.agrees and recorded.error_share <= LARGEST_ERROR
