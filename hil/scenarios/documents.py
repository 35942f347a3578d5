"""What a run of scenarios came to, as a document."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

FROZEN = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class CriterionFinding(BaseModel):
    """What one criterion came to."""

    model_config = FROZEN
    criterion: str
    """Kind of the criterion, with what it is about."""
    passed: bool
    measured: float
    """The worst value found."""
    allowed: float
    unit: str
    """kW, kWh, min or %."""
    minute: int | None
    """Minute of the scenario in which the worst was found; null where it is of the whole window."""


class ScenarioResult(BaseModel):
    """One scenario under one controller."""

    model_config = FROZEN
    id: str
    title: str
    site: str
    start: str
    """Local time with its offset."""
    minutes: int
    seed: int
    passed: bool
    """Whether all criteria hold."""
    findings: tuple[CriterionFinding, ...]
    setpoints: dict[str, int]
    """Acknowledgements of the gateway by state."""
    wall_s: float


class HilReport(BaseModel):
    """What `quartet hil run --json` prints."""

    model_config = FROZEN
    controller: str
    passed: bool
    """Whether all scenarios passed."""
    scenarios: tuple[ScenarioResult, ...]
    wall_s: float
