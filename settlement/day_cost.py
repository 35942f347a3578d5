"""What a day cost by its measured flows: energy by band, the day's part in the demand charge, export, wear.

    demand = fee(highest demand of the month after the day) - fee(highest demand before it)          (RULES 1.3)

The monthly fee is never spread over the days: a day that sets no new peak pays nothing for demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pandas as pd

from settlement.demand import basic_fee, peak_demand_kw
from settlement.energy import priced_energy
from settlement.flows import Flows, flows_of
from settlement.money import cents, quantity
from site_configs.site import Site
from site_configs.tariff import Tariff


@dataclass(frozen=True)
class Wear:
    """What a store gave in the day and what each kWh of it wears off."""

    device: str
    discharged_kwh: float
    cost_per_kwh: float


@dataclass(frozen=True)
class CostLine:
    """One line of the day's cost; export is negative."""

    name: str
    """`energy_<band>`, demand, export or wear."""
    quantity: Decimal
    unit: str
    """kWh, or kW of new peak."""
    cost: Decimal


@dataclass(frozen=True)
class DayCost:
    """The day's cost by line."""

    site: str
    start: datetime
    end: datetime
    currency: str
    lines: tuple[CostLine, ...]
    peak_after_kw: float
    """Highest demand of the billing month at the end of the day [kW]."""

    @property
    def total(self) -> Decimal:
        return sum((line.cost for line in self.lines), Decimal(0))

    def as_dict(self) -> dict[str, float]:
        """Cost by line and in all, for JSON documents."""
        return {**{line.name: float(line.cost) for line in self.lines}, "total": float(self.total)}


def day_cost(
    site: Site,
    tariff: Tariff,
    flows: pd.DataFrame,
    period: tuple[datetime, datetime],
    month_peak_before_kw: float,
    wear: Iterable[Wear] = (),
) -> DayCost:
    """The cost of a day (or any stretch of one billing month) for flows with columns `import_kw` and `export_kw`.

    Raises:
        ValueError: flows do not cover the period.
    """
    measured = flows_of(flows, *period, ["import_kw", "export_kw"])
    peak = max(month_peak_before_kw, peak_demand_kw(measured.values["import_kw"], measured.step_minutes))
    lines = (
        *_energy_lines(tariff, measured),
        _demand_line(site, tariff, measured.start, month_peak_before_kw, peak),
        _export_line(site, measured),
        _wear_line(wear),
    )
    return DayCost(site.id, *period, site.currency, lines, peak)


def _energy_lines(tariff: Tariff, flows: Flows) -> Iterator[CostLine]:
    kwh: dict[str, Decimal] = {}
    cost: dict[str, Decimal] = {}
    for energy in priced_energy(tariff, flows):
        band = energy.price.band
        kwh[band] = kwh.get(band, Decimal(0)) + energy.kwh
        cost[band] = cost.get(band, Decimal(0)) + cents(energy.kwh * energy.price.total)
    return (CostLine(f"energy_{band}", kwh[band], "kWh", cost[band]) for band in kwh)


def _demand_line(site: Site, tariff: Tariff, start: datetime, before_kw: float, after_kw: float) -> CostLine:
    prices = tariff.demand_price(tariff.local_date(start))
    increase = basic_fee(site.tariff, prices, after_kw) - basic_fee(site.tariff, prices, before_kw)
    return CostLine("demand", quantity(after_kw) - quantity(before_kw), "kW", increase)


def _export_line(site: Site, flows: Flows) -> CostLine:
    kwh = quantity(flows.energy("export_kw"))
    return CostLine("export", kwh, "kWh", -cents(kwh * Decimal(str(site.export.price_per_kwh))))


def _wear_line(wear: Iterable[Wear]) -> CostLine:
    used = list(wear)
    costs = (cents(quantity(w.discharged_kwh) * Decimal(str(w.cost_per_kwh))) for w in used)
    return CostLine("wear", quantity(sum(w.discharged_kwh for w in used)), "kWh", sum(costs, Decimal(0)))
