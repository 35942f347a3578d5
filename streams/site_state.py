"""What is known of a site at one moment, and how it becomes the planner's `Situation`. Pure values and functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from forecasting.forecast import Forecast
from optimizer.events import Event
from optimizer.reported import steps_reported
from optimizer.services.import_margin import MARGIN
from optimizer.services.usual import able_batteries
from optimizer.situation import FixedPower, ImportCap, Prices, Session, Situation, Uncertainty
from optimizer.time_grid import Array, TimeGrid
from site_configs.prices import grid_for, prices_for
from site_configs.site import Site
from site_configs.tariff import Tariff, local_midnight
from streams.messages import Quality
from streams.site_scenarios import scenario_rng, uncertainty_of

LOW, HIGH = 0.025, 0.975
"""Levels of forecasts that the peak reserve looks at."""
MARGIN_DECIMALS = 3
CAUTION, CAUTIOUS_LEVEL = 0.5, 0.9
"""Where the highest draw of a month is billed and no battery keeps a reserve against it, demand is planned this share
of the way from its median to this level: `docs/decisions/036-cautious-demand.md`."""


@dataclass(frozen=True)
class SiteState:
    """The site at the start of the interval that is to be controlled."""

    site: str
    at: datetime
    """Start of the interval to be controlled, UTC."""
    devices: Mapping[str, Mapping[str, float]]
    """Last known state by device id, e.g. `{"battery1": {"energy_kwh": 431.0}}`."""
    peaks_kw: Mapping[str, float]
    """By demand line: highest metered demand of the running billing month so far [kW]."""
    sessions: Mapping[str, tuple[Session, ...]] = field(default_factory=dict)
    """Cars plugged in or announced, by charger."""
    quality: Mapping[str, Quality] = field(default_factory=dict)
    """By `<device>.<state>`: `stale` when the last interval did not report it and an older value stands in."""

    events: tuple[Event, ...] = ()
    """Calls of the grid and offers of reserve that are known."""
    orders: tuple[FixedPower | ImportCap, ...] = ()
    """What persons have ordered and still holds."""

    @property
    def peak_kw(self) -> float:
        """The highest of the running peaks [kW]; 0 where no demand is billed."""
        return max(self.peaks_kw.values(), default=0.0)

    def with_peaks(self, site: Site) -> dict[str, Mapping[str, float]]:
        """The devices' states as a situation holds them, with the running peaks at the grid connection."""
        connection = _connection(site)
        peaks = {f"peak_kw.{line}": peak for line, peak in self.peaks_kw.items()}
        return {**self.devices, connection: {**self.devices.get(connection, {}), **peaks}}


@dataclass(frozen=True)
class Outlook:
    """What lies ahead of a moment, whatever state the site is in then: all of a situation but the state."""

    grid: TimeGrid
    series: Mapping[str, Array]
    """By name: (n,) central course on the grid."""
    prices: Prices
    local_day: tuple[int, ...]
    uncertainty: Uncertainty | None = None

    def seen_from(self, state: SiteState, site: Site) -> Situation:
        """The planner's view from the state that the site is in at the start of the grid."""
        return Situation(
            site=site.id,
            issued_at=state.at,
            grid=self.grid,
            state=state.with_peaks(site),
            series={**self.series, **_allowed_in_outage(site, self.grid, state)},
            prices=self.prices,
            sessions=state.sessions,
            events=state.events,
            orders=state.orders,
            local_day=self.local_day,
            uncertainty=self.uncertainty,
        )


def outlook_of(
    site: Site,
    tariff: Tariff,
    forecasts: Mapping[str, Forecast],
    grid: TimeGrid,
    closes: datetime | None = None,
) -> Outlook:
    """Forecasts averaged onto the grid and prices of the tariff; with scenarios where the site file asks for them.
    `closes` is as of `site_configs.prices.prices_for`.

    Raises:
        ValueError: a forecast does not cover the grid or holds a value that is not finite.
    """
    series = {name: grid.average(forecast.median) for name, forecast in forecasts.items()}
    prices = prices_for(site, tariff, grid, series, closes)
    if any(line.price_per_kw > 0.0 for line in prices.demand) and not able_batteries(site.devices):
        series |= cautious_demand(site, forecasts, grid)
    series |= import_margin(site, forecasts, grid, series)
    return Outlook(
        grid=grid,
        series=series,
        prices=prices,
        local_day=local_days(site, grid),
        uncertainty=uncertainty_of(site, grid, forecasts, scenario_rng(site, grid.start)),
    )


def cautious_demand(site: Site, forecasts: Mapping[str, Forecast], grid: TimeGrid) -> dict[str, Array]:
    """(n,) of every load: its median and `CAUTION` of the way to `CAUTIOUS_LEVEL`."""
    loads = (f"{device.id}.demand_kw" for device in site.devices)
    found = {name: forecasts[name] for name in loads if name in forecasts}
    return {
        name: grid.average((1.0 - CAUTION) * forecast.median + CAUTION * forecast.quantile(CAUTIOUS_LEVEL))
        for name, forecast in found.items()
    }


def import_margin(
    site: Site, forecasts: Mapping[str, Forecast], grid: TimeGrid, planned: Mapping[str, Array]
) -> dict[str, Array]:
    """(n,) what the site may draw beyond what is planned, for the peak reserve: the distances of power loads and PV to
    their outer levels, as independent ones add up."""
    squares = np.zeros(grid.shape.steps)
    for device in site.devices:
        quantity, sign, level = ("available_kw", -1.0, LOW) if device.kind == "pv" else ("demand_kw", 1.0, HIGH)
        name = f"{device.id}.{quantity}"
        if name in forecasts and getattr(device, "carrier", "power") == "power":
            beyond = sign * (grid.average(forecasts[name].quantile(level)) - planned[name])
            squares += np.maximum(beyond, 0.0) ** 2
    connection = _connection(site)
    return {f"{connection}.{MARGIN}": np.asarray(np.round(np.sqrt(squares), MARGIN_DECIMALS), dtype=float)}


def build_situation(
    site: Site,
    tariff: Tariff,
    state: SiteState,
    forecasts: Mapping[str, Forecast],
    *,
    horizon_hours: float | None = None,
    step_minutes: int | None = None,
) -> Situation:
    """The planner's view: what lies ahead by the forecasts (`outlook_of`), from the state with the running peaks.

    Raises:
        ValueError: a forecast does not cover the horizon or holds a value that is not finite.
    """
    grid = grid_for(site, state.at, horizon_hours=horizon_hours, step_minutes=step_minutes)
    return outlook_of(site, tariff, forecasts, grid).seen_from(state, site)


def _connection(site: Site) -> str:
    return next(device.id for device in site.devices if device.kind == "grid_connection")


def _allowed_in_outage(site: Site, grid: TimeGrid, state: SiteState) -> dict[str, Array]:
    """(n,) 1 for backup generators in the steps for which the grid is reported away; nothing while it is there."""
    connection = _connection(site)
    if state.devices.get(connection, {}).get("import_limit_kw", 1.0) > 0.0:
        return {}
    allowed = (np.arange(grid.shape.steps) < steps_reported(grid)).astype(float)
    return {f"{device.id}.allowed": allowed for device in site.devices if device.kind == "backup_generator"}


def local_days(site: Site, grid: TimeGrid) -> tuple[int, ...]:
    """(n,) local date that each step begins in, 0 for that of the first."""
    first = grid.start.astimezone(site.zone).date()
    reached = range(1, (grid.end.astimezone(site.zone).date() - first).days + 1)
    midnights = [local_midnight(first + timedelta(days=day), site.zone).timestamp() for day in reached]
    return tuple(np.searchsorted(midnights, [at.timestamp() for at in grid.times], side="right").tolist())
