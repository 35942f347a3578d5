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
class PartCosts:
    """What a part of the project costs; upkeep and cells at the first year's prices [money]."""

    purchase: float = 0.0
    upkeep: float = 0.0
    """Of a year."""
    cells: float = 0.0
    """New ones, when the old are worn."""
    residual: float = 0.0


@dataclass(frozen=True)
class ProjectCosts:
    """What the sizes cost, by part [money]."""

    battery: PartCosts
    pv: PartCosts
    options: PartCosts
    rise_per_year: float
    """Of upkeep and cells [-]."""

    @property
    def purchase(self) -> float:
        return self.battery.purchase + self.pv.purchase + self.options.purchase

    @property
    def residual(self) -> float:
        return self.battery.residual + self.pv.residual + self.options.residual

    def upkeep(self, year: int) -> float:
        return (self.battery.upkeep + self.pv.upkeep + self.options.upkeep) * self._risen(year)

    def cells(self, year: int) -> float:
        return self.battery.cells * self._risen(year)

    def _risen(self, year: int) -> float:
        return float((1.0 + self.rise_per_year) ** (year - 1))


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


def costs_of(candidates: Candidates, built: BuiltSizes) -> ProjectCosts:
    """What the sizes cost."""
    battery, pv = PartCosts(), PartCosts()
    if (own := candidates.battery) is not None:
        bought = own.cost_per_kwh * built.battery_kwh + own.cost_per_kw * built.battery_kw
        cells = own.replacement_cost_per_kwh * built.battery_kwh
        battery = PartCosts(bought, own.upkeep_share * bought, cells, own.residual_share * bought)
    if (sun := candidates.pv) is not None:
        bought = sun.cost_per_kw * built.pv_kw
        pv = PartCosts(bought, sun.upkeep_share * bought, residual=sun.residual_share * bought)
    bought_whole = candidates.bought(built.options)
    options = PartCosts(
        sum(option.cost for option in bought_whole),
        sum(option.upkeep_share * option.cost for option in bought_whole),
        residual=sum(option.residual_share * option.cost for option in bought_whole),
    )
    return ProjectCosts(battery, pv, options, candidates.economics.upkeep_change_per_year)


def cash_flow(candidates: Candidates, built: BuiltSizes, years: Sequence[OperatingYear]) -> CashFlow:
    """The payments of a project that keeps all it saves, by (1) to (5)."""
    economics, costs = candidates.economics, costs_of(candidates, built)
    flows = _with_tax(economics, costs.purchase, list(_flows(economics, costs, years)))
    project = np.array([flow.before_loan for flow in flows])
    rate = economics.discount_rate
    return CashFlow(
        flows=tuple(flows),
        npv=present_value(project, rate),
        irr=internal_rate(project),
        equity_irr=internal_rate(np.array([flow.net for flow in flows])),
        payback_years=payback(project, 0.0),
        discounted_payback_years=payback(project, rate),
        lcos_per_kwh=_levelised(costs.battery, [y.discharged_kwh for y in years], rate, years),
        lcoe_per_kwh=_levelised(costs.pv, [y.sun_kwh for y in years], rate, years),
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


def _flows(economics: Economics, costs: ProjectCosts, years: Sequence[OperatingYear]) -> Iterable[YearFlow]:
    """Payments before tax, by (1) and (2)."""
    borrowed = economics.loan_share * costs.purchase
    yield YearFlow(0, purchase=-costs.purchase, subsidy=economics.subsidy_once, loan=borrowed)
    for year in years:
        number = year.year
        yield YearFlow(
            number,
            saving=year.saving,
            subsidy=economics.subsidy_per_kwh * year.discharged_kwh if number <= economics.subsidy_years else 0.0,
            upkeep=-costs.upkeep(number),
            replacement=-costs.cells(number) if year.replaced else 0.0,
            residual=costs.residual if number == len(years) else 0.0,
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


def _levelised(costs: PartCosts, kwh: Sequence[float], rate: float, years: Sequence[OperatingYear]) -> float | None:
    """(5); None where there is no energy. Prices of upkeep and cells are those of the first year."""
    worth = (1.0 + rate) ** -np.arange(1, len(years) + 1)
    energy = float(np.asarray(kwh) @ worth)
    if energy <= 0.0:
        return None
    paid = (
        costs.purchase + costs.upkeep * worth.sum() + costs.cells * float(np.array([y.replaced for y in years]) @ worth)
    )
    return float((paid - costs.residual * worth[-1]) / energy)
