"""The whole bill of a billing month from its meters, in the order of RULES 1.4b: what is billed apart is carved out of
the import first, then the rest is billed, then green power.

    main = import - Σ carved;   demand counts on import - Σ carved with the basic charge waived

The power factor is of the whole metered import; its money is of the main account's fees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from optimizer.time_grid import Array
from settlement.bill import (
    MAIN,
    METERED,
    REACTIVE,
    Bill,
    BillLine,
    bill,
    energy_lines,
    funds_lines,
    market_columns,
    market_lines,
)
from settlement.demand import demands_kw
from settlement.energy import priced_energy
from settlement.flows import Flows, flows_of
from settlement.metered_month import MeteredMonth
from settlement.money import cents, quantity
from site_configs.site import Carved, Site, TariffChoice
from site_configs.tariff import Tariff, load_tariff

IMPORT, EXPORT, METER_REACTIVE = "meter.import_kw", "meter.export_kw", "meter.reactive_kvar"


def billing_columns(site: Site, tariff: Tariff) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of a history folder that a bill needs, and those it uses where they are there."""
    carved = (part.column for part in site.metering.carved if part.column is not None)
    return (IMPORT, *carved, *market_columns(site, tariff)), (EXPORT, METER_REACTIVE)


def billing_flows(site: Site, month: MeteredMonth) -> pd.DataFrame:
    """The month's meters by the names of `bill`; a site without an export meter exports nothing."""
    frame = month.frame.rename(columns={IMPORT: "import_kw", EXPORT: "export_kw", METER_REACTIVE: REACTIVE})
    return frame if "export_kw" in frame else frame.assign(export_kw=0.0)


def utility_bill(site: Site, flows: pd.DataFrame, period: tuple[datetime, datetime]) -> Bill:
    """The bill of a whole billing month, or of the part of one that `period` is, for flows as of `billing_flows`.

    Raises:
        ValueError: the flows do not cover the period, or it is of more than one billing month.
    """
    tariff = load_tariff(site)
    parts = accounts_kw(site, flows)
    metered = {METERED: flows["import_kw"]} if REACTIVE in flows and len(parts) > 1 else {}
    main = flows.assign(import_kw=parts[MAIN], **metered)
    counted = flows.assign(import_kw=counted_kw(site, flows))
    demand = demands_kw(site, tariff, flows_of(counted, *period, ["import_kw"]))
    found = bill(_without_waived(site), tariff, main, period, demand)
    apart = [line for part in site.metering.carved for line in _apart(site, part, flows, parts[part.id], period)]
    green = _green_lines(site, tariff, flows_of(flows, *period, ["import_kw"]))
    return replace(found, lines=(*found.lines, *apart, *green))


def counted_kw(site: Site, flows: pd.DataFrame) -> Array:
    """(n,) the import that demand counts on."""
    parts = accounts_kw(site, flows)
    waived = [parts[part.id] for part in site.metering.carved if part.basic_charge_waived]
    return np.maximum(flows["import_kw"].to_numpy(dtype=float) - sum(waived, np.zeros(len(flows))), 0.0)


def accounts_kw(site: Site, flows: pd.DataFrame) -> dict[str, Array]:
    """By account: (n,) kW; what is billed apart is never more than the import, the first in the file first."""
    left = flows["import_kw"].to_numpy(dtype=float)
    mean_kw = float(left.mean())
    hours = len(flows) * _step_hours(flows)
    found: dict[str, Array] = {}
    for part in site.metering.carved:
        if part.column is not None:
            wanted: Array = flows[part.column].to_numpy(dtype=float)
        else:
            month = 0.0 if mean_kw == 0 else (part.kwh_per_month or 0.0) / (mean_kw * hours)
            wanted = flows["import_kw"].to_numpy(dtype=float) * (month if part.share is None else part.share)
        found[part.id] = np.minimum(wanted, left)
        left = left - found[part.id]
    return {MAIN: np.maximum(left, 0.0), **found}


def _step_hours(flows: pd.DataFrame) -> float:
    return float((flows.index[1] - flows.index[0]) / pd.Timedelta(hours=1))


def _without_waived(site: Site) -> Site:
    choice = site.tariff
    waived = sum(part.transformer_kva for part in site.metering.carved if part.basic_charge_waived)
    if not isinstance(choice, TariffChoice) or waived == 0:
        return site
    smaller = choice.model_copy(update={"transformer_kva": max(0.0, choice.transformer_kva - waived)})
    return site.model_copy(update={"tariff": smaller})


def _apart(
    site: Site, part: Carved, flows: pd.DataFrame, kw: Array, period: tuple[datetime, datetime]
) -> Iterator[BillLine]:
    tariff = _tariff_of(site, part)
    measured = flows_of(flows.assign(import_kw=kw), *period, ["import_kw"], market_columns(site, tariff))
    energies = priced_energy(tariff, measured)
    yield from energy_lines(energies, part.id)
    yield from market_lines(tariff, measured, part.id)
    yield from funds_lines(energies, part.id)


def tariff_of_account(site: Site, account: str) -> Tariff:
    """The tariff that an account is billed by."""
    part = next((part for part in site.metering.carved if part.id == account), None)
    return load_tariff(site) if part is None else _tariff_of(site, part)


def _tariff_of(site: Site, part: Carved) -> Tariff:
    if part.price_class is None or not isinstance(site.tariff, TariffChoice):
        return load_tariff(site)
    choice = site.tariff.model_copy(update={"price_class": part.price_class})
    return load_tariff(site.model_copy(update={"tariff": choice}))


def _green_lines(site: Site, tariff: Tariff, flows: Flows) -> Iterator[BillLine]:
    month = tariff.local_date(flows.start)
    for bought in site.tariff.green_power if isinstance(site.tariff, TariffChoice) else ():
        if bought.holds(month):
            kwh = quantity(quantity(flows.energy("import_kw")) * Decimal(str(bought.share)))
            price = Decimal(str(bought.premium_per_kwh))
            fee, span = cents(kwh * price), (flows.start, flows.end)
            yield BillLine("green_power", "", kwh, "kWh", price, fee, bought.document, bought.from_month, None, *span)
