"""Grid emission factors by region and year of the data, each with its announcement (RULES 7)."""

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
