"""The basic charge (容(需)量电费): maximum demand and what it costs (RULES 1.3).

    C' = contract_floor_kw of the site                                   contract mode             (1)
    rule A:  fee = p_d·C' + 2·p_d·max(0, D - 1.05·C')                    continuous at 105 %       (2)
    rule B:  fee = 1.05·p_d·C' + 2·p_d·(D - 1.05·C')  above 105 %        jumps at 105 %            (3)
    actual:  fee = p_d·D          capacity:  fee = p_kva·S                                         (4)
    p_d is multiplied by the rebate's factor when month_kwh / S reaches its threshold              (5)

D is the highest mean over 15 minutes of the month, the window sliding by one sample, not clock-aligned blocks. A tariff
of the site's own says for each of its lines how long the interval is, whether it slides, and when demand counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from optimizer.time_grid import Array
from settlement.flows import Flows
from settlement.money import cents, quantity
from site_configs.demand import (
    BASIC_MINUTES,
    EXCESS_FACTOR,
    TOLERANCE,
    DemandMeter,
    DemandRule,
    clock_blocks,
    contract_floor_kw,
    demand_meters,
    demand_rules,
    inside,
)
from site_configs.site import Site, TariffChoice
from site_configs.tariff import BasicPrices, Tariff


@dataclass(frozen=True)
class BasicItem:
    """One line of the basic charge."""

    component: str
    """actual_demand, contract_demand, contract_excess or capacity."""
    quantity: Decimal
    unit: str
    """kW or kVA."""
    price: Decimal
    """Money per unit and month."""

    @property
    def fee(self) -> Decimal:
        return cents(self.quantity * self.price)


def sliding_demand(
    samples_kw: Array | Sequence[float], step_minutes: float = 1, window_minutes: float = BASIC_MINUTES
) -> Array:
    """(n - w + 1,) mean power of every window of w samples [kW]; its maximum is the billed demand.

    Raises:
        ValueError: the window is not a whole number of samples, or longer than the record.
    """
    samples = np.asarray(samples_kw, dtype=float)
    count = window_minutes / step_minutes
    if count != int(count) or not 1 <= count <= len(samples):
        raise ValueError(f"a window of {window_minutes} min does not fit {len(samples)} samples of {step_minutes} min")
    windows: Array = np.lib.stride_tricks.sliding_window_view(samples, int(count))
    return np.asarray(windows.mean(axis=1), dtype=float)


@dataclass(frozen=True)
class Peak:
    """The highest demand of a record and the samples it is the mean of."""

    kw: float
    rows: slice
    """Empty when no interval counts."""


def line_peak(meter: DemandMeter, tariff: Tariff, flows: Flows) -> Peak:
    """Highest demand of one line in a record with the column `import_kw`; the first of equal ones.

    Where a sample is as long as the measuring interval or longer, samples are taken as they are. An interval counts
    when all of it lies in the line's window.
    """
    starts, kw = flows.edges_s[:-1], flows.values["import_kw"]
    counts = inside(meter, tariff, starts, starts + flows.step_minutes * 60)
    if flows.step_minutes >= meter.minutes:
        means, whole, first, size = kw, counts, np.arange(len(kw)), np.ones(len(kw), dtype=np.int64)
    elif meter.sliding:
        means = sliding_demand(kw, flows.step_minutes, meter.minutes)
        samples = len(kw) - len(means) + 1
        whole = np.lib.stride_tricks.sliding_window_view(counts, samples).min(axis=1)
        first, size = np.arange(len(means)), np.full(len(means), samples)
    else:
        _, first, block, size = np.unique(
            clock_blocks(meter, tariff, starts), return_index=True, return_inverse=True, return_counts=True
        )
        means = np.bincount(block, weights=kw) / size
        whole = (np.bincount(block, weights=counts) / size >= 1.0).astype(float)
    if not (whole > 0).any():
        return Peak(0.0, slice(0, 0))
    at = int(np.where(whole > 0, means, -1.0).argmax())
    return Peak(float(means[at]), slice(int(first[at]), int(first[at] + size[at])))


def line_demand_kw(meter: DemandMeter, tariff: Tariff, flows: Flows) -> float:
    """Highest demand of one line in a record with the column `import_kw` [kW]; 0 when none counts."""
    return line_peak(meter, tariff, flows).kw


def demands_kw(site: Site, tariff: Tariff, flows: Flows) -> dict[str, float]:
    """The highest demand of a record by demand line [kW]; empty where the charge does not depend on demand."""
    return {meter.id: line_demand_kw(meter, tariff, flows) for meter in demand_meters(site, tariff)}


def coarse_demand(site: Site, tariff: Tariff, month: date, step_minutes: float) -> tuple[str, ...]:
    """A sentence for each demand line billed in a local month that rows of this length are too long to measure."""
    rules = demand_rules(site, tariff, month)
    coarse = (rule.meter for rule in rules if rule.price_per_kw > 0 and step_minutes > rule.meter.minutes)
    return tuple(
        f"demand line {meter.id}: measured over {meter.minutes} min, the rows are {step_minutes:g} min long: the "
        f"highest row is billed, which the meter's own demand can exceed; bring rows of {meter.minutes} min or less"
        for meter in coarse
    )


def peaks_so_far_kw(
    site: Site, tariff: Tariff, imports: pd.Series[float], at: datetime, step_minutes: float
) -> dict[str, float]:
    """By demand line: the highest demand of the billing month that holds `at`, before `at` [kW].

    `imports` is the metered import by start of the interval, UTC; rows may be missing. What is measured while the month
    runs is good enough for control, not for a bill: a sliding interval is taken by blocks of its length, and a block
    counts once it is over.
    """
    month = tariff.billing_month(at)[0]
    rows = imports.loc[(imports.index >= month) & (imports.index < at)].dropna()
    if rows.empty:
        return {meter.id: 0.0 for meter in demand_meters(site, tariff)}
    starts = pd.DatetimeIndex(rows.index).as_unit("s").asi8.astype(float)
    kw: Array = np.asarray(rows.to_numpy(), dtype=np.float64)
    return {
        meter.id: _peak_so_far_kw(meter, tariff, starts, kw, at, step_minutes) for meter in demand_meters(site, tariff)
    }


def _peak_so_far_kw(
    meter: DemandMeter, tariff: Tariff, starts: Array, kw: Array, at: datetime, step_minutes: float
) -> float:
    counts = inside(meter, tariff, starts, starts + step_minutes * 60) > 0
    starts, kw = starts[counts], kw[counts]
    if step_minutes < meter.minutes:
        running = clock_blocks(meter, tariff, np.array([at.timestamp()]))[0]
        numbers = clock_blocks(meter, tariff, starts)
        over = numbers < running
        _, block = np.unique(numbers[over], return_inverse=True)
        kw = np.bincount(block, weights=kw[over]) / np.bincount(block)
    return float(kw.max(initial=0.0))


def line_fee(rule: DemandRule, demand_kw: float) -> Decimal:
    """What a month's demand of one line costs."""
    return cents(billed_kw(rule, demand_kw) * rule.price_per_kw)


def billed_kw(rule: DemandRule, demand_kw: float) -> Decimal:
    """The demand that is charged [kW]."""
    return max(Decimal(0), quantity(demand_kw) - rule.free_kw)


def by_line(demand_kw: float | Mapping[str, float], line: str) -> float:
    """The demand of one line where it is given by line, or one for all."""
    return demand_kw.get(line, 0.0) if isinstance(demand_kw, Mapping) else demand_kw


def demand_price_of(choice: TariffChoice, prices: BasicPrices, month_kwh: Decimal | None) -> Decimal:
    """Price of a kW of demand, with the load-factor rebate (5) where the month's energy is known and reaches it."""
    rebate = prices.rebate
    if rebate is None or month_kwh is None:
        return prices.demand_per_kw
    reached = month_kwh / Decimal(str(choice.transformer_kva)) >= rebate.kwh_per_kva
    return prices.demand_per_kw * rebate.factor if reached else prices.demand_per_kw


def basic_charge(
    choice: TariffChoice, prices: BasicPrices, demand_kw: float | Decimal, month_kwh: Decimal | None = None
) -> tuple[BasicItem, ...]:
    """The lines of one month's basic charge for a billed demand; empty in mode `none`."""
    if choice.demand_mode == "none":
        return ()
    if choice.demand_mode == "capacity":
        return (BasicItem("capacity", quantity(choice.transformer_kva), "kVA", prices.capacity_per_kva),)
    price, demand = demand_price_of(choice, prices, month_kwh), quantity(demand_kw)
    if choice.demand_mode == "actual":
        return (BasicItem("actual_demand", demand, "kW", price),)
    return _contract_items(choice, price, demand)


def basic_fee(
    choice: TariffChoice, prices: BasicPrices, demand_kw: float | Decimal, month_kwh: Decimal | None = None
) -> Decimal:
    """The whole basic charge of a month."""
    return sum((item.fee for item in basic_charge(choice, prices, demand_kw, month_kwh)), Decimal(0))


def _contract_items(choice: TariffChoice, price: Decimal, demand: Decimal) -> tuple[BasicItem, ...]:
    contract = contract_floor_kw(choice)
    excess = demand - TOLERANCE * contract
    if excess <= 0:
        return (BasicItem("contract_demand", contract, "kW", price),)
    base = TOLERANCE * contract if choice.contract_rule == "jump" else contract  # (3), (2)
    return (
        BasicItem("contract_demand", base, "kW", price),
        BasicItem("contract_excess", excess, "kW", EXCESS_FACTOR * price),
    )
