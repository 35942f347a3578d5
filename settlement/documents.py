"""The JSON documents of settlement: bills, their division, their comparison, and what is behind a line."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from settlement.bill import Bill, BillLine
from settlement.metered_month import Gap, Grade, MeteredMonth, Rule
from settlement.recorded_bill import ComparedLine, Comparison
from settlement.sub_bills import SubBill


class Document(BaseModel):
    """Base of all documents: frozen, finite numbers only, the docstring under a field describes it."""

    model_config = ConfigDict(
        frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, serialize_by_alias=True, populate_by_name=True
    )


Money = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""Exact inside, a number in JSON: two decimals of a fee come out as they are."""
Number = Money
"""A quantity or price, exact inside."""


class GapDocument(Document):
    """A run of intervals that were not measured."""

    column: str
    start: datetime
    end: datetime
    intervals: int
    rule: Rule
    """`interpolated`: a straight line, up to 60 minutes; `like_days`: mean of the same time on the four nearest days
    of the same kind."""

    @classmethod
    def of(cls, gap: Gap) -> GapDocument:
        if gap.rule is None:
            raise ValueError(f"{gap.column} has no value from {gap.start} on")
        return cls(column=gap.column, start=gap.start, end=gap.end, intervals=gap.intervals, rule=gap.rule)


class ColumnDocument(Document):
    """How complete one meter's month is."""

    column: str
    intervals: int
    substituted: int
    coverage: float
    """Share of the intervals that were measured."""
    energy_kwh: Number | None
    """What the meter counted in the month; None where it is not one of power."""


class QualityDocument(Document):
    """How far the meters can be trusted."""

    grade: Grade
    """final, or flagged: an estimate."""
    coverage: float
    """The lowest of the meters."""
    simulated: str | None
    """The controller under which meters were simulated; None where they were measured."""
    columns: tuple[ColumnDocument, ...]
    gaps: tuple[GapDocument, ...]
    notes: tuple[str, ...] = ()
    """What else makes it an estimate."""

    @classmethod
    def of(cls, month: MeteredMonth, simulated: str | None = None, notes: tuple[str, ...] = ()) -> QualityDocument:
        columns = tuple(
            ColumnDocument(
                column=c.column, intervals=c.intervals, substituted=c.missing, coverage=c.coverage,
                energy_kwh=month.energy_kwh(c.column),
            )
            for c in month.quality
        )  # fmt: skip
        gaps = tuple(GapDocument.of(gap) for gap in month.gaps)
        grade: Grade = "flagged" if notes and month.grade() == "final" else month.grade()
        return cls(
            grade=grade, coverage=month.coverage, simulated=simulated, columns=columns, gaps=gaps, notes=notes,
        )  # fmt: skip


class BillLineDocument(Document):
    """One line of a bill."""

    id: str
    """Within the month; `quartet trace` shows the rows behind it."""
    account: str
    component: str
    band: str
    start: datetime
    end: datetime
    """The stretch of the month it is for."""
    quantity: Number
    unit: str
    price: Number
    fee: Money
    document: str
    """Tariff document."""
    version: date | None
    """First day of the tariff version."""
    status: str | None
    """published, from_memory or assumed: the least certain figure behind the price."""

    @classmethod
    def of(cls, line: BillLine) -> BillLineDocument:
        return cls(
            id=line.id, account=line.account, component=line.component, band=line.band, start=line.start, end=line.end,
            quantity=line.quantity, unit=line.unit, price=line.price, fee=line.fee, document=line.document,
            version=line.version, status=line.status,
        )  # fmt: skip


class SubBillDocument(Document):
    """One user's part of the bill."""

    user: str
    total: Money
    fees: dict[str, Money]
    """By line id."""

    @classmethod
    def of(cls, part: SubBill) -> SubBillDocument:
        return cls(user=part.user, total=part.total, fees={line.id: fee for line, fee in part.parts})


class ComparedLineDocument(Document):
    """A line of the recorded and of the computed bill."""

    account: str
    component: str
    band: str
    recorded: Money | None
    computed: Money | None
    difference: Money
    agrees: bool
    """Within 0.01."""

    @classmethod
    def of(cls, line: ComparedLine) -> ComparedLineDocument:
        account, component, band = line.key
        return cls(
            account=account, component=component, band=band, recorded=line.recorded, computed=line.computed,
            difference=line.difference, agrees=line.agrees,
        )  # fmt: skip


class ComparisonDocument(Document):
    """A utility's own bill against the computed one."""

    agrees: bool
    """Every line within 0.01."""
    error_share: Number
    """Sum of the lines' differences over the recorded total."""
    recorded_total: Money
    computed_total: Money
    lines: tuple[ComparedLineDocument, ...]
    corrections: dict[str, Money]
    """Corrections of earlier months in the recorded bill, by month; in no comparison."""

    @classmethod
    def of(cls, compared: Comparison) -> ComparisonDocument:
        corrections: dict[str, Decimal] = {}
        for line in compared.corrections:
            corrections[line.month] = corrections.get(line.month, Decimal(0)) + line.fee
        return cls(
            agrees=compared.agrees,
            error_share=compared.error_share.quantize(Decimal("0.000001")),
            recorded_total=compared.recorded_total,
            computed_total=compared.computed_total,
            lines=tuple(ComparedLineDocument.of(line) for line in compared.lines),
            corrections=corrections,
        )


class BillDocument(Document):
    """What `quartet bill --json` prints."""

    site: str
    month: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    start: datetime
    end: datetime
    currency: str
    lines: tuple[BillLineDocument, ...]
    total: Money
    """Sum of the fees of `lines`."""
    export_lines: tuple[BillLineDocument, ...]
    export_total: Money
    """What surplus power earned: settled apart, no part of the total."""
    sub_bills: tuple[SubBillDocument, ...]
    """Of tenants and of the owner (`common`); their totals add up to `total`."""
    comparison: ComparisonDocument | None
    quality: QualityDocument
    repairs: tuple[dict[str, str | int], ...]


class TracedRow(Document):
    """One interval that was metered."""

    time: datetime
    values: dict[str, float]
    """By column; `kwh` is what of the interval is in the line."""


class TracedSetpoint(Document):
    """A setpoint that was in force in one of the intervals, with the plan it comes from."""

    interval: datetime
    device: str
    target_kw: float
    state: str
    readback_kw: float | None
    plan_id: str | None
    plan_status: str | None
    plan_hash: str | None


class TraceDocument(Document):
    """What `quartet trace --json` prints."""

    line: str
    site: str
    month: str
    formula: str
    energy_kwh: Number | None
    """Sum of the rows' `kwh`: the quantity of an energy line."""
    simulated: str | None
    rows: tuple[TracedRow, ...]
    setpoints: tuple[TracedSetpoint, ...]


def lines_of(found: Bill) -> tuple[BillLineDocument, ...]:
    """The lines of a bill without those of export."""
    return tuple(BillLineDocument.of(line) for line in found.lines)
