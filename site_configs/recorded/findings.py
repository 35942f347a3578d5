"""What reading a folder brings to light: problems that refuse it, and repairs that were made and are named."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import pandas as pd

from optimizer.errors import InputError, Problem

RepairKind = Literal[
    "repeated_row",
    "conflicting_row",
    "out_of_order",
    "clock_change",
    "missing_row",
    "clipped",
    "emptied",
    "interpolated",
    "short_gap",
    "gap",
    "incomplete_car",
    "unknown_charger",
]

SENTENCES: dict[RepairKind, str] = {
    "repeated_row": "rows repeated exactly, dropped",
    "conflicting_row": "rows repeat a time with other values, the first of each was kept",
    "out_of_order": "rows out of order, sorted",
    "clock_change": "local times occur twice when the clock goes back, the earlier row read as summer time",
    "missing_row": "times missing between the first and the last, added as gaps",
    "clipped": "small negative stand-by values set to 0",
    "emptied": "impossible values emptied",
    "interpolated": "missing values interpolated",
    "short_gap": "values missing in gaps up to 1 h, left empty as what comes after a gap may not be known yet",
    "gap": "values missing in gaps longer than 1 h, left empty",
    "incomplete_car": "sessions give only one of capacity and energy on arrival, both ignored: the car is only charged",
    "unknown_charger": "sessions at chargers that the site does not have, left out: correct or add the charger",
}


@dataclass(frozen=True)
class Repair:
    """One kind of dirt in one column: how often, and where it was first met."""

    kind: RepairKind
    file: str
    column: str
    count: int
    first_time: datetime
    """UTC."""
    note: str = ""
    """What else a reader needs, e.g. the spans of gaps."""

    def as_text(self) -> str:
        """One sentence for people."""
        note = f" ({self.note})" if self.note else ""
        head = f"{self.file}: {self.column}: {self.count} {SENTENCES[self.kind]}"
        return f"{head}, first at {stamp(self.first_time)}{note}"

    def as_document(self) -> dict[str, str | int]:
        """The entry under `repairs` in JSON documents."""
        return {
            "kind": self.kind,
            "file": self.file,
            "column": self.column,
            "count": self.count,
            "first_time": stamp(self.first_time),
            "text": self.as_text(),
        }


@dataclass
class Findings:
    """Collects while a folder is read; `refuse_if_any` ends the reading with every problem at once."""

    problems: list[Problem] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    interpolated: dict[str, pd.DatetimeIndex] = field(default_factory=dict)
    """By column: the times whose value was not measured."""

    def problem(self, file: str, path: str, value: object, message: str) -> None:
        self.problems.append(Problem(file, path, str(value), message))

    def repair(
        self, kind: RepairKind, file: str, column: str, count: int, first_time: datetime, note: str = ""
    ) -> None:
        self.repairs.append(Repair(kind, file, column, count, first_time.astimezone(UTC), note))

    def refuse_if_any(self) -> None:
        if self.problems:
            raise InputError(self.problems)


def stamp(time: datetime) -> str:
    """ISO 8601 in UTC with `Z`."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
