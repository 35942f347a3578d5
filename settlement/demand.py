"""The basic charge (容(需)量电费): maximum demand and what it costs (RULES 1.3).

    C' = max(C, 0.40·(S_transformer + S_motors))                         contract mode, floor      (1)
    rule A:  fee = p_d·C' + 2·p_d·max(0, D - 1.05·C')                    continuous at 105 %       (2)
    rule B:  fee = 1.05·p_d·C' + 2·p_d·(D - 1.05·C')  above 105 %        jumps at 105 %            (3)
    actual:  fee = p_d·D          capacity:  fee = p_kva·S                                         (4)
    p_d is multiplied by the rebate's factor when month_kwh / S reaches its threshold              (5)

D is the highest mean over 15 minutes of the month, the window sliding by one sample, not clock-aligned blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from optimizer.time_grid import Array
from settlement.money import cents, quantity
from site_configs.site import TariffChoice
from site_configs.tariff import BasicPrices

WINDOW_MINUTES = 15
FLOOR_SHARE = Decimal("0.40")
TOLERANCE = Decimal("1.05")
EXCESS_FACTOR = 2


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
    samples_kw: Array | Sequence[float], step_minutes: float = 1, window_minutes: float = WINDOW_MINUTES
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


def peak_demand_kw(import_kw: Array, step_minutes: float) -> float:
    """Highest demand of a record [kW]; where a sample is longer than the window, the highest sample."""
    if step_minutes >= WINDOW_MINUTES:
        return float(np.max(import_kw))
    return float(sliding_demand(import_kw, step_minutes).max())


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


def contract_floor_kw(choice: TariffChoice) -> Decimal:
    """The contract demand that is billed at least (1) [kW].

    Raises:
        ValueError: the site has declared no contract demand.
    """
    if choice.contract_demand_kw is None:
        raise ValueError("contract mode needs contract_demand_kw in the site's tariff")
    installed = Decimal(str(choice.transformer_kva)) + Decimal(str(choice.motors_kva))
    return max(quantity(choice.contract_demand_kw), FLOOR_SHARE * installed)
