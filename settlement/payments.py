"""Who is paid what under a contract for a month's verified savings (RULES 6.1).

    share:     ESCO gets Σ s_k·S_k of the streams and Σ s_j of side incomes                                (1)
    guarantee: G = rate·baseline;  short: (G - V)·p to the owner;  excess: (V - G)·p·share to the ESCO     (2)
    custody:   fee = F0·(mean price / base price)·(output index);  margin = fee - actual cost              (3)
    lease:     rent to the lessor;  the ESCO pays the owner what a month is short of its guarantee         (4)

Every amount is rounded to the cent by itself; of a shared amount the owner gets what the ESCO does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from settlement.contract import (
    Contract,
    CustodyContract,
    GuaranteedContract,
    LeaseContract,
    Service,
    SharedContract,
    SideIncome,
    Tax,
)
from settlement.money import cents

PaymentKind = Literal[
    "saving", "carried", "side_income", "fee", "margin", "shortfall", "excess", "rent", "correction", "service"
]


@dataclass(frozen=True)
class Payment:
    """One amount and what of it each party gets; of what one party pays the other the signs differ."""

    kind: PaymentKind
    item: str
    """Stream, income, or what it is for."""
    amount: Decimal
    """What is divided or paid [money]."""
    esco: Decimal
    owner: Decimal
    basis: str
    """How it comes about, in figures."""
    lessor: Decimal = Decimal(0)
    item_zh: str = ""
    """The item's Chinese name where it has one of its own."""


@dataclass(frozen=True)
class Verified:
    """A month as the contract needs it."""

    month: date
    """First local day."""
    savings: Mapping[str, Decimal]
    """By stream [money]; they add up to the site's."""
    counterfactual_kwh: Decimal
    actual_kwh: Decimal
    """Drawn from the grid."""
    counterfactual_cost: Decimal
    actual_cost: Decimal
    """The bills less what export earned."""

    @property
    def saving(self) -> Decimal:
        return sum(self.savings.values(), Decimal(0))


@dataclass(frozen=True)
class TaxSplit:
    """What the ESCO is paid, with and without value-added tax."""

    net: Decimal
    tax: Decimal
    gross: Decimal


def payments(contract: Contract, month: Verified, carried: Decimal = Decimal(0)) -> tuple[Payment, ...]:
    """All payments of a month; `carried` is what earlier months saved less than nothing (<= 0)."""
    return (
        *_of_kind(contract, month, carried),
        *_side_incomes(contract, month.month),
        *_corrections(contract, month.month),
        *(_free(service) for service in contract.services),
    )


def _free(service: Service) -> Payment:
    nothing = Decimal(0)
    return Payment("service", service.name_en, nothing, nothing, nothing, "", item_zh=service.name_zh)


def carried_forward(contract: Contract, month: Verified, carried: Decimal = Decimal(0)) -> Decimal:
    """What the next month has to make up for (<= 0); 0 unless the contract carries forward."""
    if not isinstance(contract, SharedContract) or contract.negative_months != "carry_forward":
        return Decimal(0)
    return min(Decimal(0), month.saving + carried)


def tax_split(amount: Decimal, tax: Tax) -> TaxSplit:
    """Value-added tax on what the ESCO gets; its part is rounded, the net amount is the rest."""
    if tax.included:
        net = cents(amount / (1 + tax.rate))
        return TaxSplit(net, amount - net, amount)
    extra = cents(amount * tax.rate)
    return TaxSplit(amount, extra, amount + extra)


def esco_total(found: Iterable[Payment]) -> Decimal:
    """What the ESCO is paid in all."""
    return sum((payment.esco for payment in found), Decimal(0))


def share_of(contract: SharedContract, stream: str, month: date) -> Decimal:
    """The ESCO's share of a stream in the contract year of a month."""
    year = contract.year_of(month)
    shares = next(x.shares for x in contract.streams if x.id == stream)
    return next(share.esco for share in shares if share.from_year <= year <= share.to_year)


def _of_kind(contract: Contract, month: Verified, carried: Decimal) -> Iterator[Payment]:
    if isinstance(contract, SharedContract):
        yield from _shared(contract, month, carried)
    elif isinstance(contract, GuaranteedContract):
        yield from _guaranteed(contract, month)
    elif isinstance(contract, CustodyContract):
        yield from _custody(contract, month)
    else:
        yield from _lease(contract, month)


def _shared(contract: SharedContract, month: Verified, carried: Decimal) -> Iterator[Payment]:
    """By (1). Months below nothing: nobody pays, or the parts are settled as they are."""
    settled = contract.negative_months == "settle" or month.saving + carried > 0
    for stream, saving in month.savings.items():
        share = share_of(contract, stream, month.month)
        esco = cents(saving * share) if settled else Decimal(0)
        owner = saving - esco
        yield Payment("saving", stream, saving, esco, owner, f"{saving} × {share}" if settled else "saved less than 0")
    if carried < 0 and settled:
        mean = _mean_share(contract, month)
        esco = cents(carried * mean)
        yield Payment("carried", "carried", carried, esco, -esco, f"{carried} × {mean:.6f}")


def _mean_share(contract: SharedContract, month: Verified) -> Decimal:
    """The ESCO's part of the month's savings as a whole."""
    paid = sum((s * share_of(contract, name, month.month) for name, s in month.savings.items()), Decimal(0))
    return paid / month.saving


def _guaranteed(contract: GuaranteedContract, month: Verified) -> Iterator[Payment]:
    """By (2)."""
    for stream, saving in month.savings.items():
        yield Payment("saving", stream, saving, Decimal(0), saving, "the owner's")
    if contract.fee_per_month:
        yield Payment("fee", "service fee", contract.fee_per_month, contract.fee_per_month, -contract.fee_per_month, "")
    if contract.measure == "kwh":
        baseline, verified = month.counterfactual_kwh, month.counterfactual_kwh - month.actual_kwh
        price = contract.price_per_kwh or Decimal(0)
    else:
        baseline, verified, price = month.counterfactual_cost, month.saving, Decimal(1)
    yield from _against_guarantee(contract.guaranteed_rate * baseline, verified, price, contract.excess_share_esco)


def _against_guarantee(
    guarantee: Decimal, verified: Decimal, price: Decimal, excess_share: Decimal
) -> Iterator[Payment]:
    short = guarantee - verified
    if short > 0:
        owed = cents(short * price)
        yield Payment("shortfall", "guarantee", owed, -owed, owed, f"({guarantee} - {verified}) × {price}")
    elif short < 0 and excess_share > 0:
        owed = cents(-short * price * excess_share)
        yield Payment(
            "excess", "guarantee", owed, owed, -owed, f"({verified} - {guarantee}) × {price} × {excess_share}"
        )


def _custody(contract: CustodyContract, month: Verified) -> Iterator[Payment]:
    """By (3), at the mean price of the counterfactual: what the ESCO saves does not lower its own fee."""
    if month.counterfactual_kwh == 0:
        raise ValueError(
            f"{contract.number}: nothing would have been bought in {month.month:%Y-%m}, so there is no price"
        )
    mean = month.counterfactual_cost / month.counterfactual_kwh
    index = contract.output_index.get(f"{month.month:%Y-%m}", Decimal(1))
    fee = cents(contract.fee_per_month * mean / contract.base_price_per_kwh * index)
    basis = f"{contract.fee_per_month} × {mean:.6f} / {contract.base_price_per_kwh} × {index}"
    yield Payment("fee", "custody fee", fee, fee, -fee, basis)
    yield Payment("margin", "energy bill", month.actual_cost, -month.actual_cost, Decimal(0), "paid by the ESCO")


def _lease(contract: LeaseContract, month: Verified) -> Iterator[Payment]:
    """By (4)."""
    for stream, saving in month.savings.items():
        yield Payment("saving", stream, saving, Decimal(0), saving, "the owner's")
    rent = contract.rent_per_month
    yield Payment("rent", "rent", rent, Decimal(0), -rent, contract.lessor.name_en, lessor=rent)
    yield from _against_guarantee(contract.guaranteed_saving_per_month, month.saving, Decimal(1), Decimal(0))


def _side_incomes(contract: Contract, month: date) -> Iterator[Payment]:
    for income in contract.side_incomes:
        for receipt in income.received:
            if receipt.month == f"{month:%Y-%m}":
                yield shared_income(income, receipt.amount, receipt.document)


def shared_income(income: SideIncome, amount: Decimal, document: str) -> Payment:
    """A side income divided."""
    esco = cents(amount * income.esco)
    basis = f"{amount} × {income.esco}, {document}"
    return Payment("side_income", income.name_en, amount, esco, amount - esco, basis, item_zh=income.name_zh)


def _corrections(contract: Contract, month: date) -> Iterator[Payment]:
    for correction in contract.corrections:
        if correction.settled_in == f"{month:%Y-%m}":
            basis = f"{correction.of_month}: {correction.reason_en}, {correction.document}"
            yield Payment("correction", correction.of_month, correction.esco, correction.esco, -correction.esco, basis)
