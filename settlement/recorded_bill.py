"""A utility's own bill as a file, and how far it is from the bill computed from the meters (RULES 6.1).

CSV with the columns `component, band, quantity, price, fee`, optionally `account` (main when absent) and `month`. A
line with another month than the bill's is a correction (退补) of that month: it is listed, but not compared.

    error = Σ |recorded - computed| over the lines / recorded total       <= 0.5 %, each line within 0.01        (1)
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from optimizer.errors import InputError, Problem
from settlement.bill import MAIN, Bill
from settlement.money import CENT

COLUMNS = ("component", "band", "quantity", "price", "fee")
LARGEST_ERROR = Decimal("0.005")

Key = tuple[str, str, str]
"""Account, component, band."""


@dataclass(frozen=True)
class RecordedLine:
    """One line as the utility printed it."""

    account: str
    component: str
    band: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    month: str
    """As YYYY-MM; empty: the month of the bill."""

    @property
    def key(self) -> Key:
        return self.account, self.component, self.band


@dataclass(frozen=True)
class ComparedLine:
    """A line of both bills; None where one has not got it."""

    key: Key
    recorded: Decimal | None
    computed: Decimal | None

    @property
    def difference(self) -> Decimal:
        """Computed less recorded."""
        return (self.computed or Decimal(0)) - (self.recorded or Decimal(0))

    @property
    def agrees(self) -> bool:
        return abs(self.difference) <= CENT


@dataclass(frozen=True)
class Comparison:
    """Both bills side by side."""

    lines: tuple[ComparedLine, ...]
    recorded_total: Decimal
    computed_total: Decimal
    corrections: tuple[RecordedLine, ...]

    @property
    def error_share(self) -> Decimal:
        """By (1); of a recorded total of 0 the difference itself."""
        differences = sum((abs(line.difference) for line in self.lines), Decimal(0))
        return differences / abs(self.recorded_total) if self.recorded_total else differences

    @property
    def agrees(self) -> bool:
        return all(line.agrees for line in self.lines)


def compare(recorded: Iterable[RecordedLine], computed: Bill, month: str) -> Comparison:
    """Line by line; lines of one component and band (as of two versions in a month) are added up first."""
    lines = list(recorded)
    theirs = _sums((line.key, line.fee) for line in lines if line.month in ("", month))
    ours = _sums(((line.account, line.component, line.band), line.fee) for line in computed.lines)
    keys = dict.fromkeys([*theirs, *ours])
    compared = tuple(ComparedLine(key, theirs.get(key), ours.get(key)) for key in keys)
    totals = sum(theirs.values(), Decimal(0)), computed.total
    return Comparison(compared, *totals, tuple(line for line in lines if line.month not in ("", month)))


def read_recorded_bill(file: Path) -> tuple[RecordedLine, ...]:
    """The lines of a recorded bill.

    Raises:
        InputError: the file cannot be read, or lines of it; all problems at once.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError([Problem(str(file), "file", str(error), "cannot be read: give a UTF-8 CSV file")]) from error
    problems = list(_problems(file, rows))
    if problems:
        raise InputError(problems)
    return tuple(_line(row) for row in rows)


def _problems(file: Path, rows: list[dict[str, str]]) -> Iterator[Problem]:
    if not rows:
        yield Problem(str(file), "rows", "none", f"a bill has lines with {', '.join(COLUMNS)}")
        return
    for name in COLUMNS:
        if name not in rows[0]:
            yield Problem(str(file), f"column {name}", ", ".join(rows[0]), "is missing: add it")
    for number, row in enumerate(rows, start=2):
        for name in ("quantity", "price", "fee"):
            if name in row and _number(row[name]) is None:
                yield Problem(str(file), f"line {number}, {name}", str(row[name]), "must be a number such as 1234.56")


def _number(text: str | None) -> Decimal | None:
    try:
        value = Decimal((text or "").strip())
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _line(row: dict[str, str]) -> RecordedLine:
    quantity, price, fee = (Decimal(row[name].strip()) for name in ("quantity", "price", "fee"))
    text = {name: (row.get(name) or "").strip() for name in ("account", "component", "band", "month")}
    return RecordedLine(text["account"] or MAIN, text["component"], text["band"], quantity, price, fee, text["month"])


def _sums(fees: Iterable[tuple[Key, Decimal]]) -> dict[Key, Decimal]:
    sums: dict[Key, Decimal] = {}
    for key, fee in fees:
        sums[key] = sums.get(key, Decimal(0)) + fee
    return sums
