"""Everything a plan depends on at one moment: state, forecasts, prices, plugged cars. Data only, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from optimizer.events import Event
from optimizer.time_grid import Array, GridShape, LineShape, TimeGrid, require_series


@dataclass(frozen=True)
class Session:
    """One car at one charger, as known at the moment of planning.

    Energies are of the car's battery. Without `capacity_kwh` only the energy still to be delivered is known: the car is
    then charged, never discharged.
    """

    session_id: str
    charger: str
    arrive: datetime
    depart: datetime
    energy_needed_kwh: float
    """Energy the car is to receive between arrival and departure."""
    energy_on_arrival_kwh: float | None = None
    capacity_kwh: float | None = None


@dataclass(frozen=True)
class DemandLine:
    """One demand charge: a price on the highest demand of a billing period within a window of time.

    fee(D) = price · max(0, D - free_kw)
    """

    id: str
    price_per_kw: float
    """For the running billing period [money/kW]; 0 where nothing is charged in it."""
    next_price_per_kw: float
    """For the period after it."""
    inside: Array
    """(n,) 1 for steps of which any part lies in the line's window, else 0."""
    free_kw: float = 0.0
    """Demand up to which nothing is owed beyond what is paid anyway, e.g. 105 % of a contract demand [kW]."""
    averaged_steps: int = 1
    """Near steps whose mean is one measured demand."""
    block: tuple[int, ...] | None = None
    """(near,) number of the clock block each near step lies in; None: the interval slides, every run of
    `averaged_steps` steps counts."""


@dataclass(frozen=True)
class Prices:
    """The tariff as the model sees it, one value per step of the grid; money in the site's currency."""

    import_per_kwh: Array
    export_per_kwh: Array
    band: tuple[str, ...]
    """(n,) name of the tariff band (sharp, peak, flat, valley, deep ...) of each step."""
    demand: tuple[DemandLine, ...]
    """Demand charges, always the same lines in the same order for one site; empty where none depends on the plan."""
    billing_period: tuple[int, ...]
    """(n,) 0 for steps of the running billing period, 1 for those after its end."""
    carbon_kg_per_kwh: Array
    """(n,) grid carbon factor."""
    next_period_whole: bool = False
    """Whether the grid reaches the end of the next billing period, so that the plan decides all of its peak."""
    bill_days_left: float | None = None
    """Until the running billing period ends [days]; None where that is not known."""


@dataclass(frozen=True)
class FixedPower:
    """A person has given a device its power, from now until then."""

    device: str
    power_kw: float
    """> 0 feeds the bus."""
    until: datetime
    reason: str
    """What was ordered, by whom and why."""


@dataclass(frozen=True)
class ImportCap:
    """A person or the grid has capped the site's import, from now until then; its export too where that is said."""

    power_kw: float
    until: datetime
    reason: str
    export_kw: float | None = None


@dataclass(frozen=True)
class Uncertainty:
    """Other courses that the series may take, each as likely as the central one, and how much the worst of them count.

    Minimised is (1 - risk_weight) · expected cost + risk_weight · CVaR, the mean of the dearest 1 - risk_level.
    """

    paths: tuple[Mapping[str, Array], ...]
    """By scenario: (n,) values of the series that differ from the central course; at least one scenario."""
    risk_weight: float = 0.0
    """0 for the expected cost alone, below 1."""
    risk_level: float = 0.9
    """Share of the scenarios, the cheapest, that the CVaR leaves out [-]; below 1."""

    def __post_init__(self) -> None:
        if not self.paths or not (0.0 <= self.risk_weight < 1.0 and 0.0 <= self.risk_level < 1.0):
            found = f"{len(self.paths)} paths, weight {self.risk_weight}, level {self.risk_level}"
            raise ValueError(f"uncertainty needs a path, a risk weight and a risk level in [0, 1), got {found}")


@dataclass(frozen=True)
class Situation:
    """One moment of one site."""

    site: str
    issued_at: datetime
    grid: TimeGrid
    state: Mapping[str, Mapping[str, float]]
    """By device id: `energy_kwh` of stores; of the grid connection `peak_kw.<line>`, the highest demand of the running
    billing period by demand line. A plain `peak_kw` stands for every line without a value of its own. A state
    `<flow>_limit_kw` is what the site reports that the device can do now (`optimizer.reported`)."""
    series: Mapping[str, Array]
    """By `<device id>.<quantity>_<unit>`: (n,) forecast (or known) values on the grid."""
    prices: Prices
    sessions: Mapping[str, tuple[Session, ...]] = field(default_factory=dict)
    """By charger id: cars plugged in or announced, in order of arrival."""
    events: tuple[Event, ...] = ()
    """Calls of the grid and offers of reserve that are known."""
    local_day: tuple[int, ...] = ()
    """(n,) local date that each step begins in, 0 for that of the first; empty: days of UTC."""
    uncertainty: Uncertainty | None = None
    """Other courses to be planned for; None: the series are taken for certain."""
    orders: tuple[FixedPower | ImportCap, ...] = ()
    """What persons have ordered: given, not decided."""

    @property
    def shape(self) -> GridShape:
        """What the model of this situation is built for."""
        lines = tuple(LineShape(line.id, line.averaged_steps) for line in self.prices.demand)
        return replace(self.grid.shape, demand=lines)

    @property
    def days(self) -> Array:
        """(n,) whole numbers: the day that each step begins in, 0 for the first."""
        if self.local_day:
            return np.asarray(self.local_day, dtype=float)
        dates = [at.date() for at in self.grid.times]
        return np.asarray([(date - dates[0]).days for date in dates], dtype=float)

    def peak_so_far_kw(self, device: str, line: str) -> float:
        """Highest demand of the running billing period in a demand line's window; 0 when nothing is known."""
        return self.start_of(device, f"peak_kw.{line}", self.start_of(device, "peak_kw", 0.0))

    def need(self, name: str) -> Array:
        """The series `name` on the grid; raises ValueError when missing, of wrong length or not finite."""
        return require_series(self.series, name, self.grid.shape.steps)

    def get(self, name: str, default: float) -> Array:
        """As `need`, or `default` everywhere when the series is not given."""
        if name not in self.series:
            return np.full(self.grid.shape.steps, default)
        return self.need(name)

    def start_of(self, device: str, quantity: str, default: float) -> float:
        """The present value of a state, or `default` when the site has not reported it."""
        return float(self.state.get(device, {}).get(quantity, default))
