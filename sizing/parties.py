"""What a project is worth to each party of an energy performance contract (GB/T 24915, `settlement/contract.py`).

| kind | invests and keeps up | money within the contract |
|---|---|---|
| shared, custody | ESCO | as `settlement.payments` settles a month |
| guaranteed | owner | the same |
| lease | lessor buys, owner keeps up | the same |

A year's saving is settled as twelve equal months. After the contract the owner has savings and upkeep. All before
income tax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

import numpy as np

from settlement.contract import Contract, CustodyContract, Stream
from settlement.payments import Verified, payments
from sizing.candidates import Candidates
from sizing.cash_flow import (
    costs_of,
    internal_rate,
    payback,
    present_value,
)
from sizing.operation import OperatingYear
from sizing.site_year import BuiltSizes

Role = Literal["owner", "esco", "lessor"]
ROLES: tuple[Role, ...] = ("owner", "esco", "lessor")
MONTHS = 12
INVESTOR: Mapping[str, Role] = {"shared": "esco", "custody": "esco", "guaranteed": "owner", "lease": "lessor"}
KEEPER: Mapping[str, Role] = {"shared": "esco", "custody": "esco", "guaranteed": "owner", "lease": "owner"}


@dataclass(frozen=True)
class PartyFlow:
    """One party's payments over the years, the first at the start [money]."""

    role: Role
    flows: tuple[float, ...]
    npv: float
    irr: float | None
    payback_years: float | None


def party_flows(
    contract: Contract, candidates: Candidates, built: BuiltSizes, years: Sequence[OperatingYear]
) -> list[PartyFlow]:
    """Every party that has any payment."""
    costs = costs_of(candidates, built)
    flows = {role: np.zeros(len(years) + 1) for role in ROLES}
    flows[INVESTOR[contract.kind]][0] -= costs.purchase
    for year in years:
        keeper = KEEPER[contract.kind] if year.year <= contract.years else "owner"
        cells = costs.cells(year.year) if year.replaced else 0.0
        flows[keeper][year.year] -= costs.upkeep(year.year) + cells
        for role, amount in _settled(contract, year).items():
            flows[role][year.year] += amount
    flows["owner"][-1] += costs.residual
    rate = candidates.economics.discount_rate
    return [
        PartyFlow(role, tuple(map(float, own)), present_value(own, rate), internal_rate(own), payback(own, 0.0))
        for role, own in flows.items()
        if own.any()
    ]


def _settled(contract: Contract, year: OperatingYear) -> dict[Role, float]:
    """What the year's savings come to for each; outside the contract's streams and years they are the owner's."""
    if year.year > contract.years:
        return {"owner": year.saving}
    by_stream = {stream.id: _saving_of(stream, year) for stream in contract.streams}
    paid: dict[Role, float] = {"owner": year.saving - sum(by_stream.values()), "esco": 0.0, "lessor": 0.0}
    if isinstance(contract, CustodyContract):
        paid["owner"] = year.cost_without  # the bill that the ESCO pays from now on
    for number in range(MONTHS):
        for payment in payments(contract, _month(contract, year, by_stream, number)):
            for role in ROLES:
                paid[role] += float(getattr(payment, role))
    return paid


def _saving_of(stream: Stream, year: OperatingYear) -> float:
    return {"pv": year.pv_saving, "storage": year.battery_saving, "dispatch": year.saving}.get(stream.kind, 0.0)


def _month(contract: Contract, year: OperatingYear, by_stream: Mapping[str, float], number: int) -> Verified:
    months = contract.start.month - 1 + number
    first = date(contract.start.year + year.year - 1 + months // MONTHS, months % MONTHS + 1, 1)

    def part(amount: float) -> Decimal:
        return Decimal(str(round(amount / MONTHS, 2)))

    return Verified(
        month=first,
        savings={name: part(saving) for name, saving in by_stream.items()},
        counterfactual_kwh=part(year.import_without_kwh),
        actual_kwh=part(year.import_kwh),
        counterfactual_cost=part(year.cost_without),
        actual_cost=part(year.cost_without - year.saving),
    )
