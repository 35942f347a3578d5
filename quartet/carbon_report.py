"""`quartet carbon`: the ledger of a month and its exports from a history folder."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pandas as pd

from quartet.settling import SettledMonth, Simulated, settled_month
from settlement.carbon_document import CarbonLine, CarbonReport, ExportLine, QuotaDocument
from settlement.carbon_exports import EXPORTS, Export, ExportRow, as_csv, export_rows, line_energy
from settlement.carbon_ledger import TONNE, CarbonLedger, activities_of, carbon_columns, ledger, quota_gap
from settlement.certificates import CarbonInventory
from settlement.documents import QualityDocument
from settlement.money import quantity
from site_configs.site import Site


def carbon_month(
    site: Site, data: Path, month: str, simulate: Simulated | None, inventory: CarbonInventory
) -> SettledMonth:
    """The month with the meters that the ledger and the exports use."""
    lines = {column: True for line in inventory.lines for column in line.columns}
    pv = {f"{device.id}.used_kw": False for device in site.devices if device.kind == "pv"}
    return settled_month(site, data, month, simulate, dict.fromkeys(carbon_columns(site), False) | pv | lines)


def carbon_report(settled: SettledMonth, inventory: CarbonInventory) -> CarbonReport:
    """The ledger and every export of a month."""
    site, meters, month = settled.site, settled.metered.frame, settled.month
    found = ledger(site, month, activities_of(site, meters), inventory)
    exports = {name: export_rows(name, site, found, meters, inventory, month) for name in EXPORTS}
    return CarbonReport(
        site=site.id,
        month=month,
        entries=tuple(CarbonLine.of(entry) for entry in found.entries),
        scope_1_kg=quantity(found.scope_1_kg),
        location_kg=quantity(found.location_kg),
        market_kg=quantity(found.market_kg),
        quota=_quota(found, inventory, month),
        exports={name: tuple(ExportLine.of(row) for row in rows) for name, rows in exports.items()},
        quality=QualityDocument.of(settled.metered, settled.simulated),
    )


def write_exports(folder: Path, settled: SettledMonth, report: CarbonReport, inventory: CarbonInventory) -> None:
    """A CSV for each export that has rows, the JSON, and each line's energy by hour, which CBAM asks to keep."""
    stem = f"{settled.site.id}-{settled.month}"
    (folder / f"{stem}-carbon.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for name in EXPORTS:
        if report.exports[name]:
            (folder / f"{stem}-{name}.csv").write_bytes(as_csv(_rows(report, name)).encode("utf-8-sig"))
    for line in inventory.lines:
        hourly: pd.DataFrame = line_energy(settled.site, line, settled.metered.frame)
        hourly.to_csv(folder / f"{stem}-{line.id}-hourly.csv", date_format="%Y-%m-%dT%H:%M:%SZ", lineterminator="\n")


def _rows(report: CarbonReport, name: Export) -> list[ExportRow]:
    return [ExportRow(**line.model_dump()) for line in report.exports[name]]


def _quota(found: CarbonLedger, inventory: CarbonInventory, month: str) -> QuotaDocument | None:
    quota = inventory.quota(int(month[:4]))
    if quota is None:
        return None
    held = {kind: Decimal(sum(run.count for run in inventory.used(kind, month))) for kind in ("CCER", "CEA")}
    of_month = quota.model_copy(update={"tonnes": quota.tonnes / 12})
    return QuotaDocument.of(quota_gap(found.location_kg / TONNE, of_month, held["CCER"], held["CEA"]))
