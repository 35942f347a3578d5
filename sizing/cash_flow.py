"""What sizes are worth over their life: yearly payments, NPV, IRR, payback, cost of energy.

    flow_0 = -purchase + subsidy + loan                                                                    (1)
    flow_y = saving + subsidy - upkeep - replacement - tax - loan payment  (+ residual in the last year)   (2)
    tax    = rate · max(0, saving + subsidy - upkeep - replacement - depreciation - interest - losses)     (3)
    NPV    = Σ flow_y / (1 + r)^y;   IRR: the r at which NPV is 0                                          (4)
    LCOS   = Σ (purchase, upkeep, replacement, -residual of the battery) / (1+r)^y over Σ discharged / (1+r)^y   (5)

Losses lower the profit of the five years after them (企业所得税法, article 18). LCOS is without the energy charged;
LCOE is (5) for PV and what it could make.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from optimizer.time_grid import Array
from sizing.candidates import Candidates, Economics
from sizing.operation import OperatingYear
from sizing.site_year import BuiltSizes

LOSS_YEARS = 5
LOWEST_RATE, HIGHEST_RATE = -0.99, 10.0


@dataclass(frozen=True)
class Purchase:
    """What is paid at the start, by part [money]."""

    battery: float
    pv: float

    @property
    def total(self) -> float:
        return self.battery + self.pv


@dataclass(frozen=True)
class YearFlow:
    """The payments of one year [money]; what is paid out is negative."""

    year: int
    """0 is the start."""
    purchase: float = 0.0
    saving: float = 0.0
    subsidy: float = 0.0
    upkeep: float = 0.0
    replacement: float = 0.0
    residual: float = 0.0
    tax: float = 0.0
    loan: float = 0.0
    """Drawn at the start, paid back with interest after."""

    @property
    def before_loan(self) -> float:
        parts = (self.purchase, self.saving, self.subsidy, self.upkeep, self.replacement, self.residual, self.tax)
        return sum(parts)

    @property
    def net(self) -> float:
        return self.before_loan + self.loan


@dataclass(frozen=True)
class CashFlow:
    """A project's payments and what they come to."""

    flows: tuple[YearFlow, ...]
    npv: float
    irr: float | None
    """None where no rate, or more than one, makes the value 0."""
    equity_irr: float | None
    """Of what is left to pay with the loan."""
    payback_years: float | None
    """None where it is not paid back within the horizon."""
    discounted_payback_years: float | None
    lcos_per_kwh: float | None
    lcoe_per_kwh: float | None


def purchase_of(candidates: Candidates, built: BuiltSizes) -> Purchase:
    """What the sizes cost to buy."""
    battery, pv = candidates.battery, candidates.pv
    stored = battery.cost_per_kwh * built.battery_kwh + battery.cost_per_kw * built.battery_kw if battery else 0.0
    return Purchase(stored, pv.cost_per_kw * built.pv_kw if pv else 0.0)


def cash_flow(candidates: Candidates, built: BuiltSizes, years: Sequence[OperatingYear]) -> CashFlow:
    """The payments of a project that keeps all it saves, by (1) to (5)."""
    economics, bought = candidates.economics, purchase_of(candidates, built)
    flows = _with_tax(economics, bought.total, list(_flows(candidates, built, bought, years)))
    project = np.array([flow.before_loan for flow in flows])
    rate = economics.discount_rate
    return CashFlow(
        flows=tuple(flows),
        npv=present_value(project, rate),
        irr=internal_rate(project),
        equity_irr=internal_rate(np.array([flow.net for flow in flows])),
        payback_years=payback(project, 0.0),
        discounted_payback_years=payback(project, rate),
        lcos_per_kwh=_levelised(
            _battery_costs(candidates, built, bought), [y.discharged_kwh for y in years], rate, years
        ),
        lcoe_per_kwh=_levelised(_pv_costs(candidates, bought), [y.sun_kwh for y in years], rate, years),
    )


def present_value(flows: Array, rate: float) -> float:
    """Value at the start of yearly flows, the first of which is now [money]."""
    return float(flows @ (1.0 + rate) ** -np.arange(len(flows)))


def internal_rate(flows: Array) -> float | None:
    """The rate at which the flows are worth nothing; None where their sign does not change just once."""
    signs = np.sign(flows[flows != 0.0])
    if np.count_nonzero(np.diff(signs)) != 1:
        return None
    ends = [present_value(flows, rate) for rate in (LOWEST_RATE, HIGHEST_RATE)]
    if ends[0] * ends[1] > 0.0:
        return None
    return float(brentq(lambda rate: present_value(flows, rate), LOWEST_RATE, HIGHEST_RATE, xtol=1e-12))


def payback(flows: Array, rate: float) -> float | None:
    """Years until the sum of the (discounted) flows is no longer negative, evenly within a year."""
    worth = flows * (1.0 + rate) ** -np.arange(len(flows))
    total = np.cumsum(worth)
    open_years = np.flatnonzero(total < 0.0)
    if not len(open_years):
        return 0.0
    last = int(open_years[-1])
    return None if last + 1 == len(flows) else last - float(total[last] / worth[last + 1])


def loan_payment(amount: float, economics: Economics) -> float:
    """Equal yearly payment of a loan [money/a]."""
    rate, years = economics.loan_rate, economics.loan_years
    return amount / years if rate == 0.0 else amount * rate / (1.0 - (1.0 + rate) ** -years)


def upkeep_of(candidates: Candidates, bought: Purchase, year: int) -> float:
    battery, pv = candidates.battery, candidates.pv
    first = (battery.upkeep_share * bought.battery if battery else 0.0) + (pv.upkeep_share * bought.pv if pv else 0.0)
    return first * _risen(candidates.economics, year)


def replacement_of(candidates: Candidates, built: BuiltSizes, year: int) -> float:
    battery = candidates.battery
    cells = battery.replacement_cost_per_kwh * built.battery_kwh if battery else 0.0
    return cells * _risen(candidates.economics, year)


def residual_of(candidates: Candidates, bought: Purchase) -> float:
    battery, pv = candidates.battery, candidates.pv
    return (battery.residual_share * bought.battery if battery else 0.0) + (
        pv.residual_share * bought.pv if pv else 0.0
    )


def _risen(economics: Economics, year: int) -> float:
    return float((1.0 + economics.upkeep_change_per_year) ** (year - 1))


def _flows(
    candidates: Candidates, built: BuiltSizes, bought: Purchase, years: Sequence[OperatingYear]
) -> Iterable[YearFlow]:
    """Payments before tax, by (1) and (2)."""
    economics = candidates.economics
    borrowed = economics.loan_share * bought.total
    yield YearFlow(0, purchase=-bought.total, subsidy=economics.subsidy_once, loan=borrowed)
    for year in years:
        number = year.year
        yield YearFlow(
            number,
            saving=year.saving,
            subsidy=economics.subsidy_per_kwh * year.discharged_kwh if number <= economics.subsidy_years else 0.0,
            upkeep=-upkeep_of(candidates, bought, number),
            replacement=-replacement_of(candidates, built, number) if year.replaced else 0.0,
            residual=residual_of(candidates, bought) if number == len(years) else 0.0,
            loan=-loan_payment(borrowed, economics) if number <= economics.loan_years else 0.0,
        )


def _with_tax(economics: Economics, purchase: float, flows: list[YearFlow]) -> list[YearFlow]:
    """The flows with the tax of (3)."""
    left, owed, taxed = purchase, economics.loan_share * purchase, [flows[0]]
    losses: list[tuple[int, float]] = []
    for flow in flows[1:]:
        interest = economics.loan_rate * owed
        owed = max(owed + interest + flow.loan, 0.0) if flow.loan else owed
        written_off = min(left, purchase / economics.depreciation_years)
        left -= written_off
        earned = flow.before_loan - written_off - (interest if flow.loan else 0.0)
        profit, losses = _after_losses(earned, losses, flow.year)
        taxed.append(YearFlow(**{**vars(flow), "tax": -economics.income_tax_rate * profit}))
    return taxed


def _after_losses(earned: float, losses: list[tuple[int, float]], year: int) -> tuple[float, list[tuple[int, float]]]:
    """The profit that is taxed, and the losses (year, amount) that are left; the oldest are used first."""
    if earned < 0.0:
        return 0.0, [*losses, (year, -earned)]
    kept = []
    for of_year, amount in losses:
        if year - of_year > LOSS_YEARS:
            continue
        used = min(amount, earned)
        earned -= used
        if amount > used:
            kept.append((of_year, amount - used))
    return earned, kept


def _battery_costs(candidates: Candidates, built: BuiltSizes, bought: Purchase) -> tuple[float, float, float, float]:
    """Purchase, first year's upkeep, cells, residual of the battery."""
    battery = candidates.battery
    if battery is None:
        return 0.0, 0.0, 0.0, 0.0
    cells = battery.replacement_cost_per_kwh * built.battery_kwh
    return bought.battery, battery.upkeep_share * bought.battery, cells, battery.residual_share * bought.battery


def _pv_costs(candidates: Candidates, bought: Purchase) -> tuple[float, float, float, float]:
    pv = candidates.pv
    return (
        (0.0, 0.0, 0.0, 0.0)
        if pv is None
        else (bought.pv, pv.upkeep_share * bought.pv, 0.0, pv.residual_share * bought.pv)
    )


def _levelised(
    costs: tuple[float, float, float, float], kwh: Sequence[float], rate: float, years: Sequence[OperatingYear]
) -> float | None:
    """(5); None where there is no energy. Prices of upkeep and cells are those of the first year."""
    purchase, upkeep, cells, residual = costs
    worth = (1.0 + rate) ** -np.arange(1, len(years) + 1)
    energy = float(np.asarray(kwh) @ worth)
    if energy <= 0.0:
        return None
    paid = purchase + upkeep * worth.sum() + cells * float(np.array([y.replaced for y in years]) @ worth)
    return float((paid - residual * worth[-1]) / energy)
