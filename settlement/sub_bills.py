"""The utility's bill divided among the tenants of a site, to the cent.

Each line is divided by what caused it:

    energy line of a band    energy of each user in that band and tariff version                          (1)
    funds, market, green     energy of each user over the line's time                                     (2)
    basic charge             power of each user in the interval of the site's highest import              (3)
    power factor             the fees it is taken of, as they were divided                                (4)

What no tenant's meter has (common areas, losses, what is billed apart) is the owner's, user `common`. Power the site
made itself lowers everybody's part of a line alike. Every part is rounded down to the cent; the cents that are left go
one each to the largest remainders, of equal ones to the first in the site file: the parts add up to the line exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

import numpy as np
import pandas as pd

from settlement.bill import MAIN, Bill, BillLine
from settlement.energy import priced_energy
from settlement.flows import Flows, flows_of
from settlement.money import CENT
from site_configs.site import Site
from site_configs.tariff import Tariff, load_tariff

COMMON = "common"
BASIC = ("actual_demand", "contract_demand", "contract_excess", "capacity", "fixed", "tier")


@dataclass(frozen=True)
class SubBill:
    """One user's part of every line."""

    user: str
    parts: tuple[tuple[BillLine, Decimal], ...]

    @property
    def total(self) -> Decimal:
        return sum((fee for _, fee in self.parts), Decimal(0))


def sub_bills(
    site: Site, whole: Bill, flows: pd.DataFrame, tenants: pd.DataFrame, period: tuple[datetime, datetime]
) -> tuple[SubBill, ...]:
    """One for each tenant and for the owner; `tenants` has the columns of their meters [kW], `flows` `import_kw`."""
    users = [tenant.id for tenant in site.metering.tenants]
    used = pd.DataFrame({t.id: tenants[list(t.columns)].sum(axis=1) for t in site.metering.tenants}, index=flows.index)
    used[COMMON] = np.maximum(flows["import_kw"] - used.sum(axis=1), 0.0)
    users.append(COMMON)
    measured = flows_of(used.assign(import_kw=flows["import_kw"]), *period, [*users, "import_kw"])
    causes = _Causes(load_tariff(site), measured, users)
    divided: dict[str, list[Decimal]] = {}
    for line in whole.lines:
        divided[line.id] = split_cents(line.fee, causes.of(line, whole, divided))
    return tuple(
        SubBill(user, tuple((line, divided[line.id][n]) for line in whole.lines)) for n, user in enumerate(users)
    )


def split_cents(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """An amount of whole cents divided by weights >= 0, exactly; the last takes all where every weight is 0."""
    total = sum(weights, Decimal(0))
    if total <= 0:
        return [*[Decimal(0)] * (len(weights) - 1), amount]
    sign = -1 if amount < 0 else 1
    exact = [abs(amount) * weight / total for weight in weights]
    parts = [part.quantize(CENT, ROUND_FLOOR) for part in exact]
    left = int((abs(amount) - sum(parts, Decimal(0))) / CENT)
    order = sorted(range(len(parts)), key=lambda n: (parts[n] - exact[n], n))
    for n in order[:left]:
        parts[n] += CENT
    return [sign * part for part in parts]


class _Causes:
    """What each user contributed to each kind of line."""

    def __init__(self, tariff: Tariff, measured: Flows, users: Sequence[str]) -> None:
        self._tariff, self._measured, self._users = tariff, measured, users
        peak = int(measured.values["import_kw"].argmax())
        self._at_peak = [Decimal(str(float(measured.values[user][peak]))) for user in users]
        self._energies = [priced_energy(tariff, measured, user) for user in users]

    def of(self, line: BillLine, whole: Bill, divided: Mapping[str, list[Decimal]]) -> list[Decimal]:
        if line.account != MAIN:
            return [Decimal(0)] * len(self._users)
        if line.component in BASIC or line.unit == "kW":
            return self._at_peak
        if line.component == "power_factor":
            return self._divided_fees(whole, divided)
        return [self._kwh(user, line) for user in range(len(self._users))]

    def _kwh(self, user: int, line: BillLine) -> Decimal:
        """By (1), or by (2) where the line has no band."""
        return sum(
            (
                energy.kwh
                for energy in self._energies[user]
                if line.band in ("", energy.price.band) and line.start <= energy.start and energy.end <= line.end
            ),
            Decimal(0),
        )

    def _divided_fees(self, whole: Bill, divided: Mapping[str, list[Decimal]]) -> list[Decimal]:
        """By (4)."""
        lines = [line for line in whole.lines if line.id in divided and line.account == MAIN]
        based = [divided[line.id] for line in lines if line.component != "funds"]
        return [sum((fees[n] for fees in based), Decimal(0)) for n in range(len(self._users))]
