"""The JSON documents of carbon: entries of the ledger, quota, exports."""

from __future__ import annotations

from settlement.carbon_exports import ExportRow
from settlement.carbon_ledger import CarbonEntry, QuotaGap
from settlement.documents import Document, Money, Number, QualityDocument
from settlement.money import quantity


class CarbonLine(Document):
    """One meter by one method."""

    meter: str
    scope: int
    method: str
    activity: Number
    unit: str
    factor: Number
    data_year: int
    document: str
    formula: str
    kg: Number
    evidence: str

    @classmethod
    def of(cls, entry: CarbonEntry) -> CarbonLine:
        return cls(
            meter=entry.meter, scope=entry.scope, method=entry.method, activity=entry.activity, unit=entry.unit,
            factor=quantity(entry.factor), data_year=entry.data_year, document=entry.document, formula=entry.formula,
            kg=quantity(entry.kg), evidence=entry.evidence,
        )  # fmt: skip


class QuotaDocument(Document):
    """Allowances against emissions of the year so far known."""

    emitted_t: Number
    quota_t: Number
    ccer_t: Number
    cea_t: Number
    gap_t: Number
    price_per_tonne: Money
    cost: Money
    document: str

    @classmethod
    def of(cls, gap: QuotaGap) -> QuotaDocument:
        return cls(
            emitted_t=quantity(gap.emitted_t), quota_t=gap.quota_t, ccer_t=quantity(gap.ccer_t), cea_t=gap.cea_t,
            gap_t=quantity(gap.gap_t), price_per_tonne=gap.price_per_tonne, cost=gap.cost, document=gap.document,
        )  # fmt: skip


class ExportLine(Document):
    """One figure of an export."""

    item: str
    source: str
    value: Number
    unit: str
    formula: str
    factor: str
    evidence: str

    @classmethod
    def of(cls, row: ExportRow) -> ExportLine:
        return cls(
            item=row.item, source=row.source, value=row.value, unit=row.unit, formula=row.formula, factor=row.factor,
            evidence=row.evidence,
        )  # fmt: skip


class CarbonReport(Document):
    """What `quartet carbon --json` prints."""

    site: str
    month: str
    entries: tuple[CarbonLine, ...]
    scope_1_kg: Number
    location_kg: Number
    market_kg: Number
    quota: QuotaDocument | None
    """This month's emissions (location-based) against a twelfth of the year's quota; None without a quota."""
    exports: dict[str, tuple[ExportLine, ...]]
    """By name: iso14064, iso14067, cbam, esg."""
    quality: QualityDocument
