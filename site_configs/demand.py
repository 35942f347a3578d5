"""How a site's demand is billed: one rule per demand line, and which times lie in its window (RULES 1.3).

    C' = max(C, 0.40·(S_transformer + S_motors))                         floor of the contract demand     (1)
    actual:    p_d on the month's highest demand
    contract:  nothing up to 1.05·C' beyond p_d·C', which is owed anyway; 2·p_d above                     (2)
    capacity:  no line: the charge does not depend on demand

(2) is rule A. The jump of rule B and the load-factor rebate are known to settlement only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, partial

import numpy as np
import pandas as pd

from optimizer.time_grid import Array
from site_configs.custom_tariff import DemandCharge
from site_configs.site import Site, TariffChoice
from site_configs.tariff import PublishedTariff, SiteTariff, Tariff

BASIC_LINE = "demand"
"""Name of the one demand line of a published two-part tariff."""
BASIC_MINUTES = 15
FLOOR_SHARE = Decimal("0.40")
TOLERANCE = Decimal("1.05")
EXCESS_FACTOR = 2

Window = Callable[[date], tuple[tuple[datetime, datetime], ...]]
"""Stretches of a local date in which demand counts, UTC."""


@dataclass(frozen=True)
class DemandMeter:
    """How the demand of one line is measured."""

    id: str
    minutes: int = BASIC_MINUTES
    """Length of the measuring interval."""
    sliding: bool = True
    """Whether the interval slides or is a block of the local clock."""
    window: Window | None = None
    """When demand counts; None: always."""


@dataclass(frozen=True)
class DemandRule:
    """What one demand line costs in one billing month: fee(D) = price · max(0, D - free)."""

    meter: DemandMeter
    price_per_kw: Decimal
    """0 in months in which it is not billed."""
    free_kw: Decimal = Decimal(0)


def demand_meters(site: Site, tariff: Tariff) -> tuple[DemandMeter, ...]:
    """The demand lines of a site, always the same; none where the charge does not depend on demand."""
    if isinstance(tariff, SiteTariff):
        return tuple(_own_meter(charge, tariff) for charge in tariff.terms.demand)
    billed = isinstance(site.tariff, TariffChoice) and site.tariff.demand_mode in ("actual", "contract")
    return (DemandMeter(BASIC_LINE),) if billed else ()


def _own_meter(charge: DemandCharge, tariff: SiteTariff) -> DemandMeter:
    return DemandMeter(charge.id, charge.minutes, charge.sliding, cache(partial(tariff.window, charge)))


def demand_rules(site: Site, tariff: Tariff, month: date) -> tuple[DemandRule, ...]:
    """The price of every line of `demand_meters` in the local billing month that contains `month`.

    Raises:
        InputError: the tariff has no prices for the month.
        ValueError: contract mode without a contract demand, or a tariff that is not the site's.
    """
    meters = demand_meters(site, tariff)
    if isinstance(tariff, SiteTariff):
        charges = tariff.terms.demand
        return tuple(
            DemandRule(meter, charge.price(month.month), charge.free_kw)
            for meter, charge in zip(meters, charges, strict=True)
        )
    return tuple(_basic_rule(meter, site, tariff, month) for meter in meters)


def _basic_rule(meter: DemandMeter, site: Site, tariff: Tariff, month: date) -> DemandRule:
    choice = site.tariff
    if not isinstance(choice, TariffChoice) or not isinstance(tariff, PublishedTariff):
        raise ValueError(f"site {site.id} is not billed by this tariff: use load_tariff(site)")
    price = tariff.demand_price(month).demand_per_kw
    if choice.demand_mode == "actual":
        return DemandRule(meter, price)
    return DemandRule(meter, EXCESS_FACTOR * price, TOLERANCE * contract_floor_kw(choice))  # (2)


def contract_floor_kw(choice: TariffChoice) -> Decimal:
    """The contract demand that is billed at least (1) [kW].

    Raises:
        ValueError: the site has declared no contract demand.
    """
    if choice.contract_demand_kw is None:
        raise ValueError("contract mode needs contract_demand_kw in the site's tariff")
    installed = Decimal(str(choice.transformer_kva)) + Decimal(str(choice.motors_kva))
    return max(Decimal(str(choice.contract_demand_kw)), FLOOR_SHARE * installed)


def inside(meter: DemandMeter, tariff: Tariff, starts_s: Array, ends_s: Array) -> Array:
    """(n,) 1.0 for intervals [start, end) of which any part lies in the line's window, else 0.0; seconds since 1970."""
    if meter.window is None or len(starts_s) == 0:
        return np.ones(len(starts_s))
    first = tariff.local_date(datetime.fromtimestamp(float(starts_s.min()), UTC))
    last = tariff.local_date(datetime.fromtimestamp(float(ends_s.max()), UTC))
    dates = (first + timedelta(days=n) for n in range((last - first).days + 1))
    spans = sorted((a.timestamp(), b.timestamp()) for day in dates for a, b in meter.window(day))
    opened = np.searchsorted(np.array([a for a, _ in spans]), ends_s, side="left")
    closed = np.searchsorted(np.array([b for _, b in spans]), starts_s, side="right")
    return (opened > closed).astype(float)


def clock_blocks(meter: DemandMeter, tariff: Tariff, starts_s: Array) -> Array:
    """(n,) number of the block of the local clock in which each moment lies; equal numbers, equal block."""
    utc = pd.DatetimeIndex(pd.to_datetime(starts_s, unit="s", utc=True))
    local = utc.tz_convert(tariff.zone).tz_localize(None).as_unit("s").asi8
    return np.asarray(local // (meter.minutes * 60), dtype=float)
