"""The bill of measured flows under the tariff, line by line, in the order of RULES 1.4b.

1. Meter intervals are split at every change of band, day or version and sorted by price (`settlement/energy.py`).
2. Energy fees by band and component, each line rounded; floating components carry k(band), fixed ones do not.
3. Basic charge by the user's choice (`settlement/demand.py`), or what the site's own tariff charges for the month.
4. Government funds apart: without band where they do not float, and outside the power-factor line.
5. Power-factor adjustment, where reactive energy was metered.
6. Export is a settlement of its own, never netted with the import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd

from settlement.demand import basic_charge, billed_kw, by_line
from settlement.energy import PricedEnergy, priced_energy
from settlement.flows import Flows, flows_of
from settlement.money import cents, quantity
from settlement.power_factor import power_factor, power_factor_rate
from site_configs.demand import BASIC_LINE, demand_rules
from site_configs.prices import EXPORT_PRICE, IMPORT_PRICE
from site_configs.site import Site, TariffChoice
from site_configs.tariff import PublishedTariff, SiteTariff, Tariff
from site_configs.tariff_table import FUNDS, Status

REACTIVE = "reactive_kvar"
"""Optional column: mean reactive power by the registers' absolute values [kvar]."""
METERED = "metered_kw"
"""Optional column: the whole import that reactive power was metered with, where a part of it is billed apart [kW]."""
MAIN = "main"


@dataclass(frozen=True)
class BillLine:
    """One line: what, how much, at which price, by which document."""

    component: str
    """Price component (purchase, line_loss ...), funds, a basic charge, power_factor or export."""
    band: str
    """Tariff band; empty where none applies."""
    quantity: Decimal
    unit: str
    """kWh, kW, kVA, or the currency for the base of the power-factor line."""
    price: Decimal
    """Money per unit; the rate in the power-factor line."""
    fee: Decimal
    """Rounded half up to 0.01."""
    document: str
    version: date | None
    """First day of the tariff version; None where the price is not of a tariff table."""
    status: Status | None
    """The least certain status of the figures behind the price; None where it is the site's own agreement."""
    start: datetime
    end: datetime
    """The stretch of the period it is for: where a document or price table changes, there are lines for each."""
    account: str = MAIN
    """What is billed apart by its id in the site file; the rest is `main`."""

    @property
    def id(self) -> str:
        """Names the line within its month; `quartet trace` takes it."""
        return f"{self.account}/{self.component}/{self.band or '-'}/{self.start.astimezone(UTC):%Y%m%dT%H%MZ}"


@dataclass(frozen=True)
class Bill:
    """All lines of a period. What export earns is settled apart and not part of the total."""

    site: str
    start: datetime
    end: datetime
    currency: str
    lines: tuple[BillLine, ...]
    export_lines: tuple[BillLine, ...]

    @property
    def total(self) -> Decimal:
        """What the site pays for its import."""
        return _sum(self.lines)

    @property
    def export_total(self) -> Decimal:
        """What the site is paid for its export."""
        return _sum(self.export_lines)

    def of(self, *components: str) -> Decimal:
        """Sum of the lines of some components."""
        return _sum(line for line in self.lines if line.component in components)


def bill(
    site: Site,
    tariff: Tariff,
    flows: pd.DataFrame,
    period: tuple[datetime, datetime],
    billed_demand_kw: float | Mapping[str, float] | None,
) -> Bill:
    """The bill of a period for flows with columns `import_kw`, `export_kw` and optionally `reactive_kvar`; where prices
    come from the data also `market.import_price_per_kwh` and `market.export_price_per_kwh`.

    `billed_demand_kw` is the month's billed maximum demand, by demand line where there are several (`demands_kw`); None
    leaves the charges of a month out, as for a part of it. The load-factor rebate and tiers by the month's energy are
    looked at only when the period is a whole billing month.

    Raises:
        ValueError: flows do not cover the period, or a basic charge is asked for more than one billing month.
    """
    start, end = period
    columns = ["import_kw", "export_kw", *(name for name in (REACTIVE, METERED) if name in flows)]
    measured = flows_of(flows, start, end, columns, market_columns(site, tariff))
    energies = priced_energy(tariff, measured)
    energy, funds = [*energy_lines(energies), *market_lines(tariff, measured)], list(funds_lines(energies))
    basic = [] if billed_demand_kw is None else list(_month_lines(site, tariff, measured, energies, billed_demand_kw))
    adjusted = list(_power_factor_lines(site, measured, [*energy, *basic]))
    lines = (*energy, *basic, *funds, *adjusted)
    return Bill(site.id, start, end, site.currency, lines, tuple(_export_lines(site, tariff, measured)))


def energy_lines(energies: Iterable[PricedEnergy], account: str = MAIN) -> Iterator[BillLine]:
    """A line for each band and component but the funds."""
    for energy in energies:
        for component, price in energy.price.components.items():
            if component != FUNDS:
                yield _energy_line(energy, component, energy.price.band, energy.kwh, price, account)


def funds_lines(energies: Iterable[PricedEnergy], account: str = MAIN) -> Iterator[BillLine]:
    """One line for each price of the funds: a single one in a month unless they float or the table changes."""
    sums: dict[tuple[object, ...], tuple[PricedEnergy, str, Decimal]] = {}
    for energy in energies:
        price = energy.price
        if FUNDS not in price.components:
            continue
        band: str = price.band if FUNDS in price.floating else ""
        key = (price.version, price.price_month, band, price.components[FUNDS])
        before = sums[key][2] if key in sums else Decimal(0)
        sums[key] = (energy, band, before + energy.kwh)
    for energy, band, kwh in sums.values():
        yield _energy_line(energy, FUNDS, band, kwh, energy.price.components[FUNDS], account)


def _energy_line(
    energy: PricedEnergy, component: str, band: str, kwh: Decimal, price: Decimal, account: str
) -> BillLine:
    of, fee, span = energy.price, cents(kwh * price), (energy.start, energy.end)
    return BillLine(component, band, kwh, "kWh", price, fee, of.document, of.version, of.status, *span, account)


def market_columns(site: Site, tariff: Tariff) -> tuple[str, ...]:
    """Names of the price series that measured flows must carry for this site."""
    wanted = ((IMPORT_PRICE, tariff.from_data), (EXPORT_PRICE, site.export.from_data))
    return tuple(name for name, from_data in wanted if from_data)


def market_lines(tariff: Tariff, flows: Flows, account: str = MAIN) -> Iterator[BillLine]:
    """All energy at the price of its interval on one line; the price shown is the mean."""
    if not tariff.from_data:
        return
    kwh, worth = quantity(flows.energy("import_kw")), quantity(flows.worth("import_kw", IMPORT_PRICE))
    mean = quantity(worth / kwh) if kwh > 0 else Decimal(0)
    span = (flows.start, flows.end)
    yield BillLine("market", "", kwh, "kWh", mean, cents(worth), IMPORT_PRICE, None, None, *span, account)


def _month_lines(
    site: Site,
    tariff: Tariff,
    flows: Flows,
    energies: Iterable[PricedEnergy],
    demand_kw: float | Mapping[str, float],
) -> Iterator[BillLine]:
    """What is charged for the month as such: demand or capacity, a fixed charge, tiers."""
    month = tariff.billing_month(flows.start)
    if flows.end > month[1]:
        raise ValueError(f"a basic charge is of one billing month: {flows.start} to {flows.end} passes {month[1]}")
    whole = (flows.start, flows.end) == month
    month_kwh = sum((energy.kwh for energy in energies), Decimal(0)) if whole else None
    if isinstance(tariff, SiteTariff):
        yield from _own_month_lines(site, tariff, flows, month_kwh, demand_kw)
    elif isinstance(tariff, PublishedTariff) and isinstance(site.tariff, TariffChoice):
        yield from _basic_lines(site.tariff, tariff, flows, month_kwh, by_line(demand_kw, BASIC_LINE))


def _basic_lines(
    choice: TariffChoice, tariff: PublishedTariff, flows: Flows, month_kwh: Decimal | None, demand_kw: float
) -> Iterator[BillLine]:
    prices = tariff.demand_price(tariff.local_date(flows.start))
    for item in basic_charge(choice, prices, demand_kw, month_kwh):
        yield BillLine(
            item.component,
            "",
            item.quantity,
            item.unit,
            item.price,
            item.fee,
            prices.document,
            prices.version,
            prices.status,
            flows.start,
            flows.end,
        )


def _own_month_lines(
    site: Site, tariff: SiteTariff, flows: Flows, month_kwh: Decimal | None, demand_kw: float | Mapping[str, float]
) -> Iterator[BillLine]:
    terms = tariff.terms

    def line(component: str, amount: Decimal, unit: str, price: Decimal) -> BillLine:
        fee = cents(amount * price)
        since, span = terms.effective_from, (flows.start, flows.end)
        return BillLine(component, "", amount, unit, price, fee, terms.name, since, terms.status, *span)

    for rule in demand_rules(site, tariff, tariff.local_date(flows.start)):
        if rule.price_per_kw > 0:
            billed = billed_kw(rule, by_line(demand_kw, rule.meter.id))
            yield line(rule.meter.id, billed, "kW", rule.price_per_kw)
    if terms.fixed_per_month > 0:
        yield line("fixed", Decimal(1), "month", terms.fixed_per_month)
    for tier in terms.tiers:
        if month_kwh is not None and month_kwh > tier.above_kwh:
            yield line("tier", month_kwh - tier.above_kwh, "kWh", tier.adder_per_kwh)


def _power_factor_lines(site: Site, flows: Flows, base: list[BillLine]) -> Iterator[BillLine]:
    """Only published tariffs have a power-factor adjustment."""
    if REACTIVE not in flows.values or not isinstance(site.tariff, TariffChoice):
        return
    metered = METERED if METERED in flows.values else "import_kw"
    factor = power_factor(quantity(flows.energy(metered)), quantity(flows.energy(REACTIVE)))
    if factor is None:
        return
    rate = power_factor_rate(factor, site.tariff.power_factor_standard_percent)
    amount = _sum(base)
    fee, span = cents(rate * amount), (flows.start, flows.end)
    yield BillLine(
        "power_factor", "", amount, site.currency, rate, fee, "〔83〕水电财字第215号", None, "published", *span
    )


def _export_lines(site: Site, tariff: Tariff, flows: Flows) -> Iterator[BillLine]:
    kwh, price, span = (
        quantity(flows.energy("export_kw")),
        _decimal(site.export.price_per_kwh),
        (flows.start, flows.end),
    )
    if kwh > 0 and site.export.from_data:
        worth = quantity(flows.worth("export_kw", EXPORT_PRICE))
        yield BillLine("export", "", kwh, "kWh", quantity(worth / kwh), cents(worth), EXPORT_PRICE, None, None, *span)
    elif kwh > 0:
        yield BillLine("export", "", kwh, "kWh", price, cents(kwh * price), site.export.source, None, None, *span)
    yield from _mechanism_lines(site, tariff, flows, kwh)


def _mechanism_lines(site: Site, tariff: Tariff, flows: Flows, exported_kwh: Decimal) -> Iterator[BillLine]:
    """The difference on the part of a month's surplus that has a mechanism price; < 0 where the market pays more."""
    mechanism, month = site.export.mechanism, f"{tariff.local_date(flows.start):%Y-%m}"
    whole = (flows.start, flows.end) == tariff.billing_month(flows.start)
    if mechanism is None or not whole or exported_kwh == 0 or month not in mechanism.reference_per_kwh:
        return
    kwh = min(exported_kwh, quantity(mechanism.kwh_per_month))
    difference = _decimal(mechanism.price_per_kwh) - _decimal(mechanism.reference_per_kwh[month])
    fee, span = cents(kwh * difference), (flows.start, flows.end)
    yield BillLine("export_mechanism", "", kwh, "kWh", difference, fee, mechanism.document, None, None, *span)


def _decimal(value: float) -> Decimal:
    return Decimal(str(value))


def _sum(lines: Iterable[BillLine]) -> Decimal:
    return sum((line.fee for line in lines), Decimal(0))
