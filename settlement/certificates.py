"""Certificates and allowances with their serials: green certificates (GEC, 绿证), offsets (CCER), allowances (CEA).

One GEC is 1000 kWh of green power, one CCER or CEA one tonne of CO2. Serials are runs of numbers under a prefix; a run
that meets another one of the same kind is refused, and so is a certificate retired twice: nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from optimizer.devices.base import DeviceId
from optimizer.errors import InputError, Problem
from settlement.contract import MonthText
from site_configs.problems import problems_of, shown
from site_configs.site import ColumnName
from site_configs.tariff_table import STRICT
from site_configs.yaml_text import parse_yaml

CertificateKind = Literal["GEC", "CCER", "CEA"]
GEC_KWH = Decimal(1000)
CCER_SHARE = Decimal("0.05")
"""Offsets count up to this share of the emissions that allowances are owed for."""


class Block(BaseModel):
    """A run of certificates bought together."""

    model_config = STRICT
    kind: CertificateKind
    prefix: str
    """Letters before the number, e.g. GEC2026ZJ."""
    first: Annotated[int, Field(ge=0)]
    """Number of the first."""
    count: Annotated[int, Field(ge=1)]
    acquired: date
    price: Annotated[Decimal, Field(ge=0)]
    """Of one [money]."""
    document: str

    @property
    def last(self) -> int:
        return self.first + self.count - 1


class Retirement(BaseModel):
    """A run of certificates used up for a month."""

    model_config = STRICT
    kind: CertificateKind
    prefix: str
    first: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]
    month: MonthText
    """The month it is used for."""
    retired: date
    document: str

    @property
    def last(self) -> int:
        return self.first + self.count - 1


class Quota(BaseModel):
    """Allowances given free for a calendar year, and the price at which missing ones are bought."""

    model_config = STRICT
    year: Annotated[int, Field(ge=2013)]
    tonnes: Annotated[Decimal, Field(ge=0)]
    price_per_tonne: Annotated[Decimal, Field(ge=0)]
    document: str


class ProductionLine(BaseModel):
    """A line whose products carry a footprint."""

    model_config = STRICT
    id: DeviceId
    name_zh: str
    name_en: str
    columns: tuple[ColumnName, ...] = Field(min_length=1)
    """Its electricity meters."""
    product: str
    cn_code: str = ""
    """Combined nomenclature, for CBAM."""
    fuel_share: Annotated[Decimal, Field(ge=0, le=1)] = Decimal(0)
    """Share of the site's fuel that it burns [-]."""
    tonnes: dict[MonthText, Annotated[Decimal, Field(gt=0)]] = {}
    """Output by month."""


class CarbonInventory(BaseModel):
    """What a site's carbon statement needs beside its meters."""

    model_config = STRICT
    blocks: tuple[Block, ...] = ()
    retired: tuple[Retirement, ...] = ()
    quotas: tuple[Quota, ...] = ()
    lines: tuple[ProductionLine, ...] = ()

    def used(self, kind: CertificateKind, month: str) -> tuple[Retirement, ...]:
        """What was retired for a month."""
        return tuple(run for run in self.retired if run.kind == kind and run.month == month)

    def quota(self, year: int) -> Quota | None:
        return next((quota for quota in self.quotas if quota.year == year), None)


def read_inventory(file: Path) -> CarbonInventory:
    """The inventory in a YAML file.

    Raises:
        InputError: it cannot be read, or a certificate is there or used twice; everything at once.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(file), "file", str(error), "cannot be read: give an inventory file")]) from error
    return inventory_of(parse_yaml(text, str(file)), str(file))


def inventory_of(data: Any, file: str) -> CarbonInventory:
    """The inventory in a document; raises InputError with everything that is wrong with it."""
    if not isinstance(data, dict):
        raise InputError([Problem(file, "whole file", shown(data), "must be a mapping of fields such as blocks")])
    try:
        inventory = CarbonInventory.model_validate(data)
    except ValidationError as error:
        raise InputError(problems_of(error, data, file)) from error
    findings = (*_twice("blocks", inventory.blocks), *_twice("retired", inventory.retired), *_owned(inventory))
    if problems := [Problem(file, path, value, message) for path, value, message in findings]:
        raise InputError(problems)
    return inventory


def serials(run: Block | Retirement) -> str:
    """A run as people read it."""
    return f"{run.prefix}{run.first}" if run.count == 1 else f"{run.prefix}{run.first} - {run.prefix}{run.last}"


def _twice(section: str, runs: Iterable[Block | Retirement]) -> Iterator[tuple[str, str, str]]:
    seen: list[Block | Retirement] = []
    for n, run in enumerate(runs):
        for other in seen:
            if _meet(run, other):
                yield f"{section}.{n}", serials(run), f"meets {serials(other)}: a certificate is counted once"
        seen.append(run)


def _meet(a: Block | Retirement, b: Block | Retirement) -> bool:
    return (a.kind, a.prefix) == (b.kind, b.prefix) and a.first <= b.last and b.first <= a.last


def _owned(inventory: CarbonInventory) -> Iterator[tuple[str, str, str]]:
    for n, run in enumerate(inventory.retired):
        held = [block for block in inventory.blocks if _meet(run, block)]
        covered = sum(min(run.last, block.last) - max(run.first, block.first) + 1 for block in held)
        if covered < run.count:
            yield f"retired.{n}", serials(run), f"only {covered} of {run.count} are in blocks: add what was bought"
        for block in held:
            if block.acquired > run.retired:
                yield f"retired.{n}", str(run.retired), f"{serials(block)} was acquired on {block.acquired}, later"
