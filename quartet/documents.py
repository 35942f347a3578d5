"""The JSON documents that other programs read, each from one definition; `quartet schema NAME` prints them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field

from forecasting.findings import FindingKind
from hil.scenarios.documents import HilReport
from hil.scenarios.schema import Scenario
from optimizer.plan import PlanDocument
from quartet.operator import OrderDocument
from settlement.carbon_document import CarbonReport
from settlement.certificates import CarbonInventory
from settlement.documents import BillDocument, Document, TraceDocument
from settlement.statement import Statement
from site_configs.loader import CheckDocument
from site_configs.site import Site
from sizing.candidates import Candidates
from sizing.documents import SizeDocument
from streams.messages import (
    Acknowledgement,
    Alarm,
    CommandAnswer,
    DeadLetter,
    DemandResponseCall,
    ForecastMessage,
    GridLimit,
    Islanding,
    OperatorCommand,
    PlanMessage,
    PriceAnnouncement,
    Reading,
    ReserveAward,
    SetpointMessage,
    Tick,
    WeatherForecast,
)


class ClosureSuggestionDocument(Document):
    """A workday that looked like a day off; it is not applied."""

    series: str
    date: date
    """Local date."""
    sure: float
    """Share of the working hours in which it did, 0 to 1."""
    text: str


class SeriesFindingDocument(Document):
    """One kind of dirt in one series, and what forecasts do about it."""

    series: str
    kind: FindingKind
    count: int
    first_time: str
    text: str


class DataCheck(Document):
    """What a history folder says about itself."""

    repairs: tuple[str, ...]
    """What had to be repaired in the files."""
    findings: tuple[SeriesFindingDocument, ...]
    closure_suggestions: tuple[ClosureSuggestionDocument, ...]


class SiteCheck(CheckDocument):
    """What `quartet check SITE --json` prints."""

    data: DataCheck | None = None
    """With --data only."""


class CycleCounts(Document):
    """Control cycles of the day, by how they were answered."""

    count: int
    answered: int
    """Cycles in which every device held its new setpoint before the site went on."""
    optimal: int
    feasible: int
    """Answered by the best plan found, without proof within the gap."""
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
    reasons: dict[str, str]
    """By field that has a null in it: why."""


class YardstickErrors(Document):
    """Mean absolute error of the simple ways, over the intervals for which each has a forecast [unit of the series]."""

    persistence: float | None
    """The last value stays."""
    same_slot_yesterday: float | None
    """The last day's value at the same time."""
    same_slot_last_week: float | None
    same_type_days: float | None
    """Mean of the last four days of the same type: workday or day off."""
    peer: float | None
    """LightGBM, direct, fitted on the same history as often as the forecaster."""


class Scores(Document):
    """How good the medians and bands of some leads were. Errors are forecast minus measured [unit of the series].

    What could not be computed is null, and `reasons` says why.
    """

    lead_from_minutes: int
    """First lead of the row; a lead reaches from the origin to the end of its interval [min]."""
    lead_minutes: int
    """Last lead of the row: the same, but for days of leads beyond two days, and over all [min]."""
    n: int
    """Forecasts compared with a measured value."""
    mae: float | None
    rmse: float | None
    bias: float | None
    """Mean error; above 0 where too much is forecast."""
    mase: float | None
    """MAE over `mase_scale` [-]."""
    mape: float | None
    """Mean absolute error in percent of measured values that are not 0 [%]."""
    n_mape: int
    """Values it is over."""
    pinball: float | None
    """Mean quantile loss over all `levels`."""
    coverage80: float | None
    """Share of measured values between the levels 0.1 and 0.9 [-]."""
    coverage95: float | None
    """Share of measured values between the levels 0.025 and 0.975 [-]."""
    yardsticks: YardstickErrors
    reasons: dict[str, str]
    """By field that is null: why."""


class TotalError(Document):
    """Errors of single figures of each forecast, such as its energy in one tariff band or the peak of a day."""

    n: int
    """Figures compared."""
    mae: float
    bias: float
    mean_actual: float
    """Mean of the measured figures, to relate the errors to."""


class OverallScores(Scores):
    """All leads together, and the figures that money sees."""

    day_peak: TotalError | None
    """Highest value of each 24 h from the origin on [unit of the series]."""
    energy_kwh_by_band: dict[str, TotalError] | None
    """By tariff band of the site: energy of each forecast [kWh]."""


class SeriesBackTest(Document):
    """The back-test of one series."""

    step_minutes: int
    origins: int
    first_origin: datetime
    last_origin: datetime
    history_rows: int
    """Measured values before the first origin."""
    repairs: list[dict[str, str | int]]
    """What the reader of the history repaired in this column or in its times: kind, file, column, count, first time."""
    levels: list[float]
    """Quantile levels of the forecasts."""
    methods: dict[str, int]
    """By what made the forecast: origins. A model that failed is named here with its reason."""
    mase_scale: float | None
    """MAE of "same slot yesterday" before the first origin."""
    by_lead: list[Scores]
    """Every step up to two days, then a row for each day of leads."""
    overall: OverallScores
    update_ms: float
    """Median time of one forecast [ms]."""
    fit_ms: float
    """Median time of one fit, without the yardsticks [ms]."""


class ForecastBackTest(Document):
    """What `quartet forecast backtest --json` prints."""

    series: dict[str, SeriesBackTest]
    """By column."""
    zone: str
    every_minutes: int
    horizon_minutes: int
    refit_minutes: int
    """Time after which models are fitted again."""
    notes: list[str]
    """What else a reader must know."""
    wall_s: float
    update_ms: float
    """Median time of one forecast of one series [ms]."""
    fit_ms: float
    """Median time of one fit of one series [ms]."""


class ReplayCycles(Document):
    """Control cycles of a replay; of local rules nothing is solved, of the bound a billing month is one."""

    count: int
    solved: int
    """Answered by a plan of their own."""
    fallback: int
    """Answered by the last plan moved on, or by rules."""
    refused: int
    """Setpoints that the site controller refused."""
    p50_ms: float
    """Of a decision, forecasts not included [ms]."""
    p99_ms: float


class ReplayViolation(Document):
    """A limit that measured flows broke."""

    device: str
    limit: str
    worst: float
    """The mean of an interval, or the energy, furthest beyond the bound."""
    bound: float
    unit: str
    intervals: int
    """Intervals of 15 minutes in which it was broken."""
    first: datetime
    text: str


class Baselines(Document):
    """Total cost of others on the same stretch; null where they were not run."""

    none: float | None
    """Stores idle, cars charge when they come."""
    rules: float | None
    """A simple local controller."""
    perfect: float | None
    """The bound: everything known, one linear program over each billing month."""


class StoredEnergy(Document):
    """Energy in a store after the first interval and at the end [kWh]."""

    start: float
    end: float


class ReplaySeam(Document):
    """Where a window of a replay begins anew after a day of lead-in: a store's energy before and after [kWh]."""

    time: datetime
    device: str
    before_kwh: float
    after_kwh: float


class ReplayWithoutModel(Document):
    """A series that could not be fitted, so that a yardstick stood in for its model until the next fit."""

    fitted_at: datetime
    series: str
    reason: str


class ReplayDocument(Document):
    """What `quartet replay --json` prints. Costs are on measured flows, never on plans."""

    site: str
    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    step_minutes: int
    controller: Literal["engine", "rules", "none", "perfect"]
    currency: str
    cost: dict[str, float]
    """By term, with the `total`, which is their sum. `energy` is at the tariff or the prices of the data with all that
    is billed per kWh, `demand` what is billed by the month, on what was measured within the replay."""
    carbon_kg: float
    energy_kwh: dict[str, float]
    """By flow: `import`, `export`, `<device>.<quantity>`."""
    ev: EvCounts
    cycles: ReplayCycles
    violations: list[ReplayViolation]
    baselines: Baselines
    value_captured: float | None
    """(none - this) / (none - perfect) [-]."""
    loss_split: dict[str, float | None] | None
    """By cause, with `--split`: what was lost against the bound."""
    reasons: dict[str, str]
    """By field that is null: why."""
    stored_kwh: dict[str, StoredEnergy]
    seams: list[ReplaySeam]
    """Windows that begin within the replay."""
    baseline_cost: dict[str, dict[str, float]]
    """By baseline that was run: its cost by term."""
    refit_days: int
    """Days from one fit of the forecasters to the next."""
    without_model: list[ReplayWithoutModel]
    """Forecasts of the engine that were a yardstick's."""
    seed: int
    repairs: list[dict[str, str | int]]
    """What was repaired in the history."""
    wall_s: float


class LedgerCheck(Document):
    """What `quartet ledger --json` prints."""

    ledger: str
    ok: bool
    links: int
    """Transactions in the hash chain."""
    head: str
    """Hash of the last one; kept elsewhere, it proves that nothing was cut off later."""
    rows: dict[str, int]
    """By table."""
    changed: tuple[str, ...]
    """What is not as it was written."""


DOCUMENTS: dict[str, type[BaseModel]] = {
    "replay": ReplayDocument,
    "plan": PlanDocument,
    "check": SiteCheck,
    "ledger": LedgerCheck,
    "demo-summary": DemoSummary,
    "forecast-backtest": ForecastBackTest,
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
    "weather": WeatherForecast,
    "prices": PriceAnnouncement,
    "dr-call": DemandResponseCall,
    "reserve": ReserveAward,
    "grid-limit": GridLimit,
    "island": Islanding,
    "forecast-message": ForecastMessage,
    "plan-message": PlanMessage,
    "alarm": Alarm,
    "operator-command": OperatorCommand,
    "command-answer": CommandAnswer,
    "order": OrderDocument,
    "size": SizeDocument,
    "candidates": Candidates,
    "site": Site,
    "hil-report": HilReport,
    "scenario": Scenario,
}
"""By the name that `quartet schema` takes."""
