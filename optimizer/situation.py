"""Everything a plan depends on at one moment: state, forecasts, prices, plugged cars. Data only, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from optimizer.time_grid import Array, TimeGrid, require_series


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
class Prices:
    """The tariff as the model sees it, one value per step of the grid; money in the site's currency."""

    import_per_kwh: Array
    export_per_kwh: Array
    band: tuple[str, ...]
    """(n,) name of the tariff band (sharp, peak, flat, valley, deep) of each step."""
    demand_per_kw: float
    """Price of one kW of the billing period's highest demand; 0 where no demand line is billed."""
    billing_period: tuple[int, ...]
    """(n,) 0 for steps of the running billing period, 1 for those after its end."""
    carbon_kg_per_kwh: Array
    """(n,) grid carbon factor."""


@dataclass(frozen=True)
class Situation:
    """One moment of one site."""

    site: str
    issued_at: datetime
    grid: TimeGrid
    state: Mapping[str, Mapping[str, float]]
    """By device id: `energy_kwh` of stores, `peak_kw` of the grid connection in the running billing period ..."""
    series: Mapping[str, Array]
    """By `<device id>.<quantity>_<unit>`: (n,) forecast (or known) values on the grid."""
    prices: Prices
    sessions: Mapping[str, tuple[Session, ...]] = field(default_factory=dict)
    """By charger id: cars plugged in or announced, in order of arrival."""

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
