"""What a day cost by its measured flows: energy by band, the day's part in the demand charge, export, and the items of
operation (`settlement/operation.py`).

    demand = Σ over the demand lines: fee(highest demand of the month after the day) - fee(highest before it)

(RULES 1.3.) The monthly fee is never spread over the days: a day that sets no new peak pays nothing for demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pandas as pd

from settlement.bill import market_columns
from settlement.demand import basic_fee, by_line, demands_kw, line_fee
from settlement.energy import priced_energy
from settlement.flows import Flows, flows_of
from settlement.money import cents, quantity
from settlement.operation import CostItem
from site_configs.demand import BASIC_LINE, demand_rules
from site_configs.prices import EXPORT_PRICE, IMPORT_PRICE
from site_configs.site import Site, TariffChoice
from site_configs.tariff import PublishedTariff, Tariff


@dataclass(frozen=True)
class CostLine:
    """One line of the day's cost; export is negative."""

    name: str
    """`energy_<band>`, energy_market, demand (`demand.<line>` of several), export, wear, gas, fuel, start or carbon."""
    quantity: Decimal
    unit: str
    """kWh, kW of new peak, Nm3 or kg; empty for a number."""
    cost: Decimal


@dataclass(frozen=True)
class DayCost:
    """The day's cost by line."""

    site: str
    start: datetime
    end: datetime
    currency: str
    lines: tuple[CostLine, ...]
    peaks_after_kw: Mapping[str, float]
    """By demand line: highest demand of the billing month at the end of the day [kW]."""

    @property
    def peak_after_kw(self) -> float:
        """The highest of them; 0 where no demand is billed."""
        return max(self.peaks_after_kw.values(), default=0.0)

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
    month_peak_before_kw: float | Mapping[str, float],
    operation: Iterable[CostItem] = (),
) -> DayCost:
    """The cost of a day (or any stretch of one billing month) for flows with columns `import_kw` and `export_kw`, and
    the series of the market where prices come from the data.

    `month_peak_before_kw` is one peak, or by demand line. A fixed monthly charge and tiers are no part of a day.

    Raises:
        ValueError: flows do not cover the period.
    """
    measured = flows_of(flows, *period, ["import_kw", "export_kw"], market_columns(site, tariff))
    day = demands_kw(site, tariff, measured)
    before = {line: by_line(month_peak_before_kw, line) for line in day}
    after = {line: max(before[line], peak) for line, peak in day.items()}
    lines = (
        *_energy_lines(tariff, measured),
        *_market_lines(tariff, measured),
        *_demand_lines(site, tariff, measured.start, before, after),
        _export_line(site, measured),
        *_operation_lines(operation),
    )
    return DayCost(site.id, *period, site.currency, lines, after)


def _energy_lines(tariff: Tariff, flows: Flows) -> Iterator[CostLine]:
    kwh: dict[str, Decimal] = {}
    cost: dict[str, Decimal] = {}
    for energy in priced_energy(tariff, flows):
        band = energy.price.band
        kwh[band] = kwh.get(band, Decimal(0)) + energy.kwh
        cost[band] = cost.get(band, Decimal(0)) + cents(energy.kwh * energy.price.total)
    return (CostLine(f"energy_{band}", kwh[band], "kWh", cost[band]) for band in kwh)


def _market_lines(tariff: Tariff, flows: Flows) -> Iterator[CostLine]:
    if tariff.from_data:
        worth = cents(quantity(flows.worth("import_kw", IMPORT_PRICE)))
        yield CostLine("energy_market", quantity(flows.energy("import_kw")), "kWh", worth)


def _demand_lines(
    site: Site, tariff: Tariff, start: datetime, before: Mapping[str, float], after: Mapping[str, float]
) -> Iterator[CostLine]:
    """One line `demand` where there is one demand line or none, else one for each."""
    month = tariff.local_date(start)
    if isinstance(tariff, PublishedTariff) and isinstance(site.tariff, TariffChoice):
        prices = tariff.demand_price(month)
        old, new = (by_line(peaks, BASIC_LINE) for peaks in (before, after))
        fee = basic_fee(site.tariff, prices, new) - basic_fee(site.tariff, prices, old)
        yield CostLine("demand", quantity(new) - quantity(old), "kW", fee)
        return
    rules = demand_rules(site, tariff, month)
    for rule in rules:
        line = rule.meter.id
        name = f"demand.{line}" if len(rules) > 1 else "demand"
        rise = quantity(after[line]) - quantity(before[line])
        yield CostLine(name, rise, "kW", line_fee(rule, after[line]) - line_fee(rule, before[line]))


def _export_line(site: Site, flows: Flows) -> CostLine:
    kwh = quantity(flows.energy("export_kw"))
    if site.export.from_data:
        return CostLine("export", kwh, "kWh", -cents(quantity(flows.worth("export_kw", EXPORT_PRICE))))
    return CostLine("export", kwh, "kWh", -cents(kwh * Decimal(str(site.export.price_per_kwh))))


def _operation_lines(items: Iterable[CostItem]) -> Iterator[CostLine]:
    """One line for each kind of item; wear in any case."""
    sums = {"wear": CostLine("wear", Decimal(0), "kWh", Decimal(0))}
    for item in items:
        before = sums.get(item.name, CostLine(item.name, Decimal(0), item.unit, Decimal(0)))
        amount, cost = before.quantity + quantity(item.amount), before.cost + item.cost
        sums[item.name] = CostLine(item.name, amount, item.unit, cost)
    yield from sums.values()
