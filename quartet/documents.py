"""The JSON documents that other programs read, each from one definition; `quartet schema NAME` prints them."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field

from optimizer.plan import PlanDocument
from settlement.carbon_document import CarbonReport
from settlement.certificates import CarbonInventory
from settlement.documents import BillDocument, Document, TraceDocument
from settlement.statement import Statement
from site_configs.loader import CheckDocument
from site_configs.site import Site
from streams.messages import Acknowledgement, DeadLetter, Reading, SetpointMessage, Tick


class CycleCounts(Document):
    """Control cycles of the day, by how they were answered."""

    count: int
    answered: int
    """Cycles in which every device held its new setpoint before the site went on."""
    optimal: int
    feasible: int
    """Answered by the best plan found before the deadline."""
    fallback: int
    """Answered by the last plan moved on, or by rules."""


class SetpointCounts(Document):
    """Setpoints of the day, by what the gateway last said of them."""

    sent: int
    applied: int
    """Written to the site controller and read back."""
    rejected: int
    expired: int
    """Their validity ended before a newer one came."""


class MessageCounts(Document):
    """Messages on the telemetry topic."""

    taken_in: int = Field(alias="in")
    dead_letters: int


class Shares(Document):
    """A share of 0 to 1 by controller; None where it has no meaning (no PV that day)."""

    engine: float | None
    rules: float | None
    none: float | None


class Values(Document):
    """One value by controller."""

    engine: float
    rules: float
    none: float


class EvCounts(Document):
    """Cars of the day under the engine."""

    sessions: int
    served_kwh: float
    missed_kwh: float
    """Energy asked for by cars that left without it."""


class Percentiles(Document):
    """Of the time from the site's tick to the last setpoint written to its controller [ms]; without the first cycle."""

    p50: float
    p99: float
    first: float
    """The first cycle, in which the forecasters are fitted and the model is built."""


class Amounts(Document):
    """By controller, then by name."""

    engine: dict[str, float]
    rules: dict[str, float]
    none: dict[str, float]


class DemoSummary(Document):
    """What `quartet demo --json` prints and `summary.json` holds.

    `engine` is the optimised park, `rules` a simple local controller on the same measured loads and cars, `none` the
    park with its stores left idle. Costs are on measured flows.
    """

    site: str
    day: date
    """Local date."""
    currency: str
    cycles: CycleCounts
    setpoints: SetpointCounts
    messages: MessageCounts
    cost: Amounts
    """The day's bill by controller and line, with its `total`; export and its earnings are negative."""
    carbon_kg: Values
    """Carbon of the imported energy [kg CO2]."""
    pv_self_use: Shares
    """Share of the available PV energy used in the park."""
    ev: EvCounts
    cycle_ms: Percentiles
    wall_s: float
    energy_kwh: Amounts
    """Energy of the day by flow; `machine` is the power of chillers and heat pumps [kWh]."""
    stored_kwh: Amounts
    """Energy left at the end of the day, by store [kWh]; all controllers began with the same."""
    peak_kw: dict[str, float]
    """Highest quarter-hour import of the billing month: `before` the day and after it by controller [kW]."""
    ev_missed_kwh: Values
    """As `ev.missed_kwh`, by controller."""


DOCUMENTS: dict[str, type[BaseModel]] = {
    "plan": PlanDocument,
    "check": CheckDocument,
    "demo-summary": DemoSummary,
    "reading": Reading,
    "bill": BillDocument,
    "statement": Statement,
    "trace": TraceDocument,
    "carbon": CarbonReport,
    "carbon-inventory": CarbonInventory,
    "tick": Tick,
    "setpoint": SetpointMessage,
    "ack": Acknowledgement,
    "dead-letter": DeadLetter,
    "site": Site,
}
"""By the name that `quartet schema` takes."""
