"""Where a fit comes from, and whether a stored one can still be trusted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files

from forecasting.findings import Finding

LIBRARIES = ("prophet", "cmdstanpy", "numpy", "pandas", "scikit-learn", "scipy")
"""What a fitted form is made of or made by: another version may read or evaluate it differently."""


@dataclass(frozen=True)
class Provenance:
    """Where a fit comes from."""

    fitted_at: datetime
    """The `issued_at` of the fit: nothing measured from then on was seen."""
    horizon_end: datetime
    data_first: datetime | None
    data_last: datetime | None
    """Start of the first and of the last measured interval."""
    libraries: Mapping[str, str]
    failures: Mapping[str, str]
    """By series: why its model could not be fitted."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """By series: its kind with all that was set."""
    code: str = ""
    """Digest of this room's code, which is the schema of the fitted form."""
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    """By series: what was wrong in the history, and what was done about it."""
    replaced: Mapping[str, str] = field(default_factory=dict)
    """By series: why the yardstick takes the place of a model that could be fitted."""

    def as_json(self) -> str:
        """What is stored beside the fitted form, to be read before it is opened."""
        return json.dumps(asdict(self), default=str)


def library_versions() -> dict[str, str]:
    return {library: version(library) for library in LIBRARIES}


@cache
def code_version() -> str:
    """Digest over the source of this room: any change of it may change the fitted form."""
    digest = hashlib.sha256()
    for source in sorted(files("forecasting").iterdir(), key=lambda entry: entry.name):
        if source.name.endswith(".py"):
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def refusal(stored: str) -> str | None:
    """Why a fitted form with this stored provenance must not be used here; None when it may be."""
    try:
        document = json.loads(stored)
        libraries, code = dict(document["libraries"]), document.get("code", "")
    except (ValueError, KeyError, TypeError):
        return "its provenance cannot be read"
    if code != code_version():
        return f"it was made by other code ({code or 'unknown'}, this is {code_version()})"
    differing = [
        f"{library} {libraries.get(library, 'unknown')}, not {current}"
        for library, current in library_versions().items()
        if libraries.get(library) != current
    ]
    return f"it was made with {'; '.join(differing)}" if differing else None
