"""The carbon ledger of a month, meter by meter: scopes 1 and 2, location-based and market-based side by side (RULES 7).

    location:  bought kWh · average factor of the region                                                   (1)
    market:    (bought kWh - green power - 1000·GEC) · factor without market-traded non-fossil power       (2)
    fuel:      quantity · heating value · carbon content · oxidised share · 44/12                          (3)
    quota gap: emitted - quota - min(CCER, 5 % of emitted) - CEA bought,  cost = gap · price               (4)

Self-used PV emits nothing, exported PV gives no credit, and a GEC does not lower (1). Hourly or marginal factors are
in no statement. The year of a factor's data is not the year it is used in; both are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import pandas as pd

from optimizer.devices.backup_generator import BackupGenerator
from optimizer.devices.gas_supply import GasSupply
from settlement.certificates import CCER_SHARE, GEC_KWH, CarbonInventory, Quota, serials
from settlement.money import cents, quantity
from settlement.utility_bill import IMPORT
from site_configs.carbon import RESIDUAL, GridFactor, factor, factor_of, fuels
from site_configs.site import Site, TariffChoice

Scope = Literal[1, 2]
Method = Literal["location", "market", "direct"]
TONNE = Decimal(1000)
HEAT = "meter.heat_kw"
"""Bought heat."""
GJ_PER_KWH = Decimal("0.0036")


@dataclass(frozen=True)
class CarbonEntry:
    """What one meter's month emitted by one method."""

    month: str
    meter: str
    scope: Scope
    method: Method
    """direct for scope 1: it is the same in both totals."""
    activity: Decimal
    unit: str
    factor: Decimal
    """kg CO2 per unit."""
    data_year: int
    """Year the factor describes."""
    document: str
    formula: str
    """In figures."""
    evidence: str

    @property
    def kg(self) -> Decimal:
        return self.activity * self.factor


@dataclass(frozen=True)
class CarbonLedger:
    """All entries of a month."""

    entries: tuple[CarbonEntry, ...]

    def kg(self, *methods: Method) -> Decimal:
        return sum((entry.kg for entry in self.entries if entry.method in methods), Decimal(0))

    @property
    def scope_1_kg(self) -> Decimal:
        return self.kg("direct")

    @property
    def location_kg(self) -> Decimal:
        """Both scopes, location-based."""
        return self.kg("direct", "location")

    @property
    def market_kg(self) -> Decimal:
        """Both scopes, market-based."""
        return self.kg("direct", "market")


@dataclass(frozen=True)
class QuotaGap:
    """Allowances short of (> 0) or beyond (< 0) what was emitted (4) [t]."""

    emitted_t: Decimal
    quota_t: Decimal
    ccer_t: Decimal
    """That count: offsets beyond the limit do not."""
    cea_t: Decimal
    price_per_tonne: Decimal
    document: str

    @property
    def gap_t(self) -> Decimal:
        return self.emitted_t - self.quota_t - self.ccer_t - self.cea_t

    @property
    def cost(self) -> Decimal:
        """What the missing allowances cost; < 0: what the surplus is worth."""
        return cents(self.gap_t * self.price_per_tonne)


@dataclass(frozen=True)
class Activity:
    """What a meter counted in a month."""

    meter: str
    what: str
    """grid, a fuel of the factor table, heat, or generator."""
    amount: Decimal
    """In kWh, or in the unit of the factor table."""
    own_factor: Decimal | None = None
    """kg CO2 per kWh of a generator, by the site file."""


def ledger(site: Site, month: str, activities: Iterable[Activity], inventory: CarbonInventory) -> CarbonLedger:
    """Entries for what was counted, by (1) to (3)."""
    return CarbonLedger(tuple(entry for activity in activities for entry in _entries(site, month, activity, inventory)))


def activities_of(site: Site, meters: pd.DataFrame) -> Iterator[Activity]:
    """What the meters of a month counted: bought power and heat, and fuel by device where it enters."""
    hours = float((meters.index[1] - meters.index[0]) / pd.Timedelta(hours=1))

    def kwh(column: str) -> float:
        return float(meters[column].sum()) * hours

    yield Activity(IMPORT, "grid", quantity(kwh(IMPORT)))
    if HEAT in meters:
        yield Activity(HEAT, "heat", quantity(kwh(HEAT)) * GJ_PER_KWH)
    for device in site.devices:
        column = fuel_column(device)
        if column not in meters:
            continue
        if isinstance(device, GasSupply):
            yield Activity(column, "natural_gas", quantity(kwh(column) / device.heating_value_kwh_per_nm3))
        elif isinstance(device, BackupGenerator):
            yield Activity(column, "generator", quantity(kwh(column)), Decimal(str(device.carbon_kg_per_kwh)))


def carbon_columns(site: Site) -> tuple[str, ...]:
    """Columns of a history folder that the ledger uses where they are there."""
    return (HEAT, *(column for device in site.devices if (column := fuel_column(device))))


def fuel_column(device: object) -> str:
    """The meter of what a device burns; empty where it burns nothing that is metered."""
    if isinstance(device, GasSupply):
        return f"{device.id}.supply_kw"
    return f"{device.id}.power_kw" if isinstance(device, BackupGenerator) else ""


def green_kwh(site: Site, month: str, bought: Decimal, inventory: CarbonInventory) -> tuple[Decimal, str]:
    """Green power and retired certificates of a month [kWh], never more than was bought, and their evidence."""
    runs = inventory.used("GEC", month)
    kwh = sum((run.count * GEC_KWH for run in runs), Decimal(0))
    said = [f"GEC {serials(run)}, {run.document}" for run in runs]
    for contract in site.tariff.green_power if isinstance(site.tariff, TariffChoice) else ():
        if f"{contract.from_month:%Y-%m}" <= month <= f"{contract.to_month:%Y-%m}":
            kwh += quantity(bought * Decimal(str(contract.share)))
            said.append(contract.document)
    return min(kwh, bought), "; ".join(said)


def quota_gap(emitted_t: Decimal, quota: Quota, ccer_t: Decimal, cea_t: Decimal) -> QuotaGap:
    """The year's gap (4) for what was emitted and what is held."""
    counted = min(ccer_t, CCER_SHARE * emitted_t)
    return QuotaGap(emitted_t, quota.tonnes, counted, cea_t, quota.price_per_tonne, quota.document)


def avoided_kg(site: Site, counterfactual_kwh: Decimal, actual_kwh: Decimal) -> Decimal:
    """Emissions avoided against the counterfactual, location-based; < 0 where a store's losses were bought."""
    return (counterfactual_kwh - actual_kwh) * factor_of(site.carbon).kg_per_kwh


def _grid(site: Site, month: str, meter: str, bought: Decimal, inventory: CarbonInventory) -> list[CarbonEntry]:
    """By (1) and (2)."""
    location, market = factor_of(site.carbon), _market_factor(site)
    green, evidence = green_kwh(site, month, bought, inventory)
    by_market = f"({bought} - {green}) kWh × {market.kg_per_kwh}"
    return [
        CarbonEntry(
            month, meter, 2, "location", bought, "kWh", location.kg_per_kwh, location.data_year, location.document,
            f"{bought} kWh × {location.kg_per_kwh}", meter,
        ),
        CarbonEntry(
            month, meter, 2, "market", bought - green, "kWh", market.kg_per_kwh, market.data_year, market.document,
            by_market, "; ".join(part for part in (meter, evidence) if part),
        ),
    ]  # fmt: skip


def _market_factor(site: Site) -> GridFactor:
    """No residual factors of provinces exist, only the national one."""
    return factor_of(site.carbon) if site.carbon.kg_per_kwh is not None else factor(RESIDUAL, site.carbon.data_year)


def _fuel(month: str, activity: Activity) -> list[CarbonEntry]:
    """By (3)."""
    fuel, amount = fuels()[activity.what], activity.amount
    figures = (fuel.heating_value_gj_per_unit, fuel.carbon_t_per_gj, fuel.oxidised)
    product = f"{fuel.factor} kg" if fuel.kg_per_unit is not None else " × ".join(map(str, figures)) + " × 44/12 t"
    formula = f"{amount} {fuel.unit} × {product}"

    def entry(scope: Scope, method: Method) -> CarbonEntry:
        meter, of = activity.meter, fuel
        return CarbonEntry(
            month, meter, scope, method, amount, of.unit, of.factor, of.data_year, of.document, formula, meter
        )

    if activity.what == "heat":  # made elsewhere: indirect, by both methods alike
        return [entry(2, "location"), entry(2, "market")]
    return [entry(1, "direct")]


def _generator(month: str, activity: Activity) -> CarbonEntry:
    own, amount, meter = activity.own_factor or Decimal(0), activity.amount, activity.meter
    formula = f"{amount} kWh × {own}"
    return CarbonEntry(month, meter, 1, "direct", amount, "kWh", own, 0, "site file", formula, meter)


def _entries(site: Site, month: str, activity: Activity, inventory: CarbonInventory) -> list[CarbonEntry]:
    if activity.what == "grid":
        return _grid(site, month, activity.meter, activity.amount, inventory)
    if activity.what == "generator":
        return [_generator(month, activity)]
    return _fuel(month, activity)
