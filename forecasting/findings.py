"""What is wrong in measured series, as values: named, counted, with its place, and what was done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

FindingKind = Literal[
    "not_finite",
    "repeated_time",
    "gap",
    "limit",
    "sign_flip",
    "negative",
    "scale",
    "copied",
    "frozen",
    "dropout",
    "shifted_hours",
    "clock_offset",
    "spike",
    "dip",
    "level",
    "unit",
    "unchecked",
]

SENTENCES: dict[FindingKind, str] = {
    "not_finite": "values that are not finite, left out",
    "repeated_time": "times given more than once, averaged",
    "gap": "values missing, left open",
    "limit": "values beyond what the series can be, left out",
    "sign_flip": "values with the wrong sign, turned round",
    "negative": "negative values, left out",
    "scale": "values in another unit, converted",
    "copied": "values copied from an earlier day, left out",
    "frozen": "values of a meter that stood still, left out",
    "dropout": "zeros where nothing was measured, left out",
    "shifted_hours": "values shifted by whole hours (daylight saving, zone), put back",
    "clock_offset": "values of a clock that was a step off, put back",
    "spike": "single values far above their neighbours, left out",
    "dip": "single values far below their neighbours, left out",
    "level": "values on a lasting other level (new meter, new user), kept",
    "unit": "values far above what the connection can carry, kept: is the unit right?",
    "unchecked": "values could not be checked, taken as they are",
}


@dataclass(frozen=True)
class Finding:
    """One kind of dirt in one series: in how many intervals, and where it was first met."""

    series: str
    kind: FindingKind
    count: int
    first_time: datetime
    """Start of the first interval, UTC."""
    note: str = ""
    """What else a reader needs, e.g. the factor of a wrong unit."""

    def as_text(self) -> str:
        """One sentence for people."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.series}: {self.count} {SENTENCES[self.kind]}, first at {_stamp(self.first_time)}{note}"

    def as_document(self) -> dict[str, str | int]:
        """As plain JSON values."""
        return {
            "series": self.series,
            "kind": self.kind,
            "count": self.count,
            "first_time": _stamp(self.first_time),
            "note": self.note,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Finding:
        """The inverse of `as_document`.

        Raises:
            ValueError: the kind is unknown.
        """
        if document["kind"] not in get_args(FindingKind):
            raise ValueError(f"finding of {document['series']}: unknown kind {document['kind']!r}")
        first = datetime.fromisoformat(document["first_time"])
        return cls(document["series"], document["kind"], document["count"], first, document.get("note", ""))


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
