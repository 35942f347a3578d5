"""Emission factors: of the grid by region and year of the data, of fuels and heat; each with its document (RULES 7)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from pydantic import BaseModel, ConfigDict, TypeAdapter

from optimizer.errors import InputError, Problem
from site_configs.site import CarbonChoice
from site_configs.tariff_table import Figure, Status
from site_configs.yaml_text import package_text, parse_yaml

FACTOR_FILE = "site_configs/factors/grid_carbon.yaml"
FUEL_FILE = "site_configs/factors/fuels.yaml"
RESIDUAL = "national_residual"
"""Region of the market-based method: the grid without non-fossil power traded on the market."""
KG_CO2_PER_KG_C = Decimal(44) / Decimal(12)


class Announcement(BaseModel):
    """The factors of one data year."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    data_year: int
    """Year the factors describe."""
    document: str
    """Number of the announcement."""
    published: str
    """Year and month of the announcement."""
    kg_per_kwh: dict[str, Figure]
    """By region [kgCO2/kWh]."""


@dataclass(frozen=True)
class GridFactor:
    """Average emissions of one kWh from the grid."""

    region: str
    data_year: int
    kg_per_kwh: Decimal
    document: str
    published: str
    status: Status


class Fuel(BaseModel):
    """What burning one unit of a fuel, or one unit of bought heat, emits."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    unit: str
    """Unit of the quantity, e.g. Nm3."""
    data_year: int
    document: str
    status: Status
    heating_value_gj_per_unit: Decimal | None = None
    """Lower heating value."""
    carbon_t_per_gj: Decimal | None = None
    """Carbon content."""
    oxidised: Decimal | None = None
    """Share of the carbon that burns [-]."""
    kg_per_unit: Decimal | None = None
    """The factor itself where it is given as one."""

    @property
    def factor(self) -> Decimal:
        """kg CO2 of one unit: the figure given, or heating value · carbon · oxidised · 44/12."""
        if self.kg_per_unit is not None:
            return self.kg_per_unit
        parts = (self.heating_value_gj_per_unit, self.carbon_t_per_gj, self.oxidised)
        product = Decimal(1000)
        for part in parts:
            product *= part or 0
        return product * KG_CO2_PER_KG_C


@cache
def fuels() -> dict[str, Fuel]:
    """All fuels by name."""
    rows = parse_yaml(package_text("factors", "fuels.yaml"), FUEL_FILE)
    return TypeAdapter(dict[str, Fuel]).validate_python(rows)


@cache
def announcements() -> tuple[Announcement, ...]:
    """All announcements, oldest first."""
    rows = parse_yaml(package_text("factors", "grid_carbon.yaml"), FACTOR_FILE)
    return tuple(sorted(TypeAdapter(list[Announcement]).validate_python(rows), key=lambda row: row.data_year))


def regions() -> tuple[str, ...]:
    """Regions with a factor in some year, sorted."""
    return tuple(sorted({region for row in announcements() for region in row.kg_per_kwh}))


def factor_of(choice: CarbonChoice) -> GridFactor:
    """The factor a site reports by: its own where it gives one, else the table's.

    Raises:
        InputError: no such region or year in the table.
    """
    if choice.kg_per_kwh is None:
        return factor(choice.region, choice.data_year)
    own = Decimal(str(choice.kg_per_kwh))
    return GridFactor(choice.region, choice.data_year or 0, own, choice.source or "site file", "", "published")


def factor(region: str, data_year: int | None = None) -> GridFactor:
    """The factor of a region for a year of data; the latest known when no year is given.

    Raises:
        InputError: no such region or year; the message lists what there is.
    """
    found = [row for row in announcements() if region in row.kg_per_kwh]
    if not found:
        raise InputError([Problem(FACTOR_FILE, region, region, f"no such region: known are {', '.join(regions())}")])
    years = {row.data_year: row for row in found}
    year = max(years) if data_year is None else data_year
    if year not in years:
        known = ", ".join(map(str, years))
        raise InputError([Problem(FACTOR_FILE, region, str(year), f"no factor for this data year: known are {known}")])
    row = years[year]
    figure = row.kg_per_kwh[region]
    return GridFactor(region, year, figure.value, row.document, row.published, figure.status)
