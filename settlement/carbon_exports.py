"""The carbon ledger in the forms that others ask for; every row carries formula, factor and evidence.

| export | what | rows |
|---|---|---|
| iso14064 | ISO 14064-1:2018, an organisation's inventory | categories 1 (direct) and 2 (imported), both methods |
| iso14067 | ISO 14067:2018, footprint of a product, gate to gate | a row for each production line and source |
| cbam | EU 2023/956, embedded emissions of goods | direct and indirect, specific to a tonne, for each line |
| esg | key figures of a report | emissions, energy, shares, intensity |

A line's power is the grid's in the share that the grid had in the site's supply, interval by interval:

    grid kWh of a line = Σ line_kW·Δt · import / (import + PV used on the site)                            (1)
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

import pandas as pd

from optimizer.devices.pv import Pv
from settlement.carbon_ledger import TONNE, CarbonEntry, CarbonLedger
from settlement.certificates import CarbonInventory, ProductionLine
from settlement.money import quantity
from settlement.utility_bill import EXPORT, IMPORT
from site_configs.carbon import GridFactor, factor_of
from site_configs.site import Site

Export = Literal["iso14064", "iso14067", "cbam", "esg"]
EXPORTS: tuple[Export, ...] = get_args(Export)
KILO = Decimal("0.001")


@dataclass(frozen=True)
class ExportRow:
    """One figure of an export."""

    item: str
    """Category, production line or key figure."""
    source: str
    """Meter, method or what it is of."""
    value: Decimal
    unit: str
    formula: str
    factor: str
    """Figure, year of the data and document; empty where there is none."""
    evidence: str


def export_rows(
    name: Export, site: Site, found: CarbonLedger, meters: pd.DataFrame, inventory: CarbonInventory, month: str
) -> tuple[ExportRow, ...]:
    """The rows of an export; of a site without production lines, those of products are none."""
    lines = [line for line in inventory.lines if month in line.tonnes]
    if name == "iso14064":
        return tuple(_inventory_rows(found))
    if name == "iso14067":
        return tuple(row for line in lines for row in _footprint_rows(site, line, found, meters, month))
    if name == "cbam":
        return tuple(row for line in lines for row in _cbam_rows(site, line, found, meters, month))
    return tuple(_key_figures(site, found, meters))


def as_csv(rows: Iterable[ExportRow]) -> str:
    """A table for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("item", "source", "value", "unit", "formula", "factor", "evidence"))
    for row in rows:
        writer.writerow((row.item, row.source, row.value, row.unit, row.formula, row.factor, row.evidence))
    return text.getvalue()


def line_energy(site: Site, line: ProductionLine, meters: pd.DataFrame) -> pd.DataFrame:
    """A line's energy by hour of UTC [kWh]: `line_kwh`, and `grid_kwh` by (1). CBAM asks for it to be kept."""
    hours = (meters.index[1] - meters.index[0]) / pd.Timedelta(hours=1)
    kwh = meters[list(line.columns)].sum(axis=1) * hours
    frame = pd.DataFrame({"line_kwh": kwh, "grid_kwh": kwh * _grid_share(site, meters)})
    return frame.resample("1h").sum()


def _grid_share(site: Site, meters: pd.DataFrame) -> pd.Series[float]:
    """By (1); 1 where nothing was supplied."""
    supply = meters[IMPORT] + _own_kw(site, meters)
    share: pd.Series[float] = (meters[IMPORT] / supply.where(supply > 0)).fillna(1.0)
    return share


def _own_kw(site: Site, meters: pd.DataFrame) -> pd.Series[float]:
    """PV used on the site: export counts as PV first."""
    columns = [f"{device.id}.used_kw" for device in site.devices if isinstance(device, Pv)]
    pv = meters[[name for name in columns if name in meters]].sum(axis=1)
    own: pd.Series[float] = (pv - meters.get(EXPORT, 0.0)).clip(lower=0.0)
    return own


def _inventory_rows(found: CarbonLedger) -> Iterator[ExportRow]:
    categories = {1: "category 1: direct emissions", 2: "category 2: imported energy"}
    for entry in found.entries:
        yield ExportRow(
            categories[entry.scope], f"{entry.meter}, {entry.method}", _tonnes(entry.kg), "tCO2", entry.formula,
            factor_text(entry), entry.evidence,
        )  # fmt: skip
    for method, kg in (("location-based", found.location_kg), ("market-based", found.market_kg)):
        yield ExportRow("total", method, _tonnes(kg), "tCO2", "category 1 + category 2", "", "")


def _footprint_rows(
    site: Site, line: ProductionLine, found: CarbonLedger, meters: pd.DataFrame, month: str
) -> Iterator[ExportRow]:
    output, grid = line.tonnes[month], factor_of(site.carbon)
    kwh, fuel = _bought_kwh(site, line, meters), found.scope_1_kg * line.fuel_share
    evidence = ", ".join(line.columns)
    power = kwh * grid.kg_per_kwh / output
    yield ExportRow(
        line.id,
        "electricity",
        quantity(power),
        "kgCO2/t",
        f"{kwh} kWh × {grid.kg_per_kwh} / {output} t",
        _text(grid),
        evidence,
    )
    yield ExportRow(
        line.id, "fuel", quantity(fuel / output), "kgCO2/t", f"{found.scope_1_kg} kg × {line.fuel_share} / {output} t",
        _fuel_factors(found), evidence,
    )  # fmt: skip
    total = quantity(power) + quantity(fuel / output)
    yield ExportRow(line.id, line.product, total, "kgCO2/t", "electricity + fuel, gate to gate", "", evidence)


def _cbam_rows(
    site: Site, line: ProductionLine, found: CarbonLedger, meters: pd.DataFrame, month: str
) -> Iterator[ExportRow]:
    output, grid, evidence = line.tonnes[month], factor_of(site.carbon), ", ".join(line.columns)
    kwh, direct = _bought_kwh(site, line, meters), found.scope_1_kg * line.fuel_share
    item = f"{line.id} ({line.cn_code})" if line.cn_code else line.id
    rows = (
        ("direct", direct, f"{found.scope_1_kg} kg × {line.fuel_share}", _fuel_factors(found)),
        ("indirect", kwh * grid.kg_per_kwh, f"{kwh} kWh × {grid.kg_per_kwh}", _text(grid)),
    )
    for source, kg, formula, factor in rows:
        yield ExportRow(item, f"{source} embedded", _tonnes(kg), "tCO2", formula, factor, evidence)
        specific = quantity(kg / TONNE / output)
        yield ExportRow(item, f"{source} specific", specific, "tCO2/t", f"({formula}) / {output} t", factor, evidence)
    yield ExportRow(item, "electricity consumed", kwh, "kWh", "bought share of the line's meters", "", evidence)


def _key_figures(site: Site, found: CarbonLedger, meters: pd.DataFrame) -> Iterator[ExportRow]:
    hours = (meters.index[1] - meters.index[0]) / pd.Timedelta(hours=1)
    bought = quantity(float(meters[IMPORT].sum()) * hours)
    own = quantity(float(_own_kw(site, meters).sum()) * hours)
    figures: Mapping[str, tuple[Decimal, str, str]] = {
        "scope 1": (_tonnes(found.scope_1_kg), "tCO2", "Σ direct"),
        "scope 2, location-based": (_tonnes(found.location_kg - found.scope_1_kg), "tCO2", "Σ location"),
        "scope 2, market-based": (_tonnes(found.market_kg - found.scope_1_kg), "tCO2", "Σ market"),
        "electricity bought": (bought, "kWh", IMPORT),
        "PV used on the site": (own, "kWh", "PV less export"),
        "own renewable share": (
            quantity(own / (own + bought)) if own + bought else Decimal(0),
            "-",
            "PV / (PV + bought)",
        ),
    }
    for item, (value, unit, formula) in figures.items():
        yield ExportRow(
            item, "site", value, unit, formula, _text(factor_of(site.carbon)) if "scope 2" in item else "", IMPORT
        )


def _bought_kwh(site: Site, line: ProductionLine, meters: pd.DataFrame) -> Decimal:
    return quantity(float(line_energy(site, line, meters)["grid_kwh"].sum()))


def _tonnes(kg: Decimal) -> Decimal:
    return (kg / TONNE).quantize(KILO)


def factor_text(entry: CarbonEntry) -> str:
    """Figure, year of the data and document of an entry's factor."""
    return f"{entry.factor} kgCO2/{entry.unit} ({entry.data_year}, {entry.document})"


def _text(grid: GridFactor) -> str:
    return f"{grid.kg_per_kwh} kgCO2/kWh ({grid.data_year}, {grid.document})"


def _fuel_factors(found: CarbonLedger) -> str:
    return "; ".join(factor_text(entry) for entry in found.entries if entry.scope == 1)
