"""A site's month from a history folder, read once for the commands that settle it: meters, tariff and their hashes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import pandas as pd

from hil.closed_loop import simulated_meters
from quartet.arguments import parse_month, refuse
from settlement.bill import Bill
from settlement.demand import coarse_demand
from settlement.documents import (
    BillDocument,
    BillLineDocument,
    ComparisonDocument,
    QualityDocument,
    SubBillDocument,
    lines_of,
)
from settlement.metered_month import LEAST_COVERAGE, MeteredMonth, metered_month
from settlement.recorded_bill import compare, read_recorded_bill
from settlement.sub_bills import SubBill, sub_bills
from settlement.utility_bill import EXPORT, IMPORT, billing_columns, billing_flows, utility_bill
from site_configs.history import History, read_site_history, sample_root
from site_configs.site import Site, TariffChoice
from site_configs.tariff import Tariff, billing_month, load_tariff, local_midnight, shipped_table

Simulated = Literal["rules", "none"]
"""The local control under which meters are simulated."""


@dataclass(frozen=True, eq=False)
class SettledMonth:
    """One billing month of a site, ready to be settled."""

    site: Site
    tariff: Tariff
    history: History
    month: str
    metered: MeteredMonth
    simulated: Simulated | None

    @property
    def period(self) -> tuple[datetime, datetime]:
        return self.metered.period

    @property
    def flows(self) -> pd.DataFrame:
        """By the names of `settlement.bill`."""
        return billing_flows(self.site, self.metered)

    def bill(self) -> Bill:
        return utility_bill(self.site, self.flows, self.period)

    def sub_bills(self, whole: Bill) -> tuple[SubBill, ...]:
        if not self.site.metering.tenants:
            return ()
        return sub_bills(self.site, whole, self.flows, self.metered.frame, self.period)

    def notes(self) -> tuple[str, ...]:
        """What of the bill is an estimate though all was measured."""
        return coarse_demand(self.site, self.tariff, parse_month(self.month), self.metered.step_minutes)

    def input_hashes(self) -> dict[str, str]:
        """SHA-256 of what the month is computed from: the site, its tariff table, and every meter's rows."""
        hashes = {"site": _sha256(self.site.model_dump_json())}
        if isinstance(self.site.tariff, TariffChoice):
            hashes["tariff"] = _sha256(shipped_table(self.site.tariff.area).model_dump_json())
        for column in self.metered.frame:
            hashes[str(column)] = hashlib.sha256(self._rows(str(column))).hexdigest()
        return hashes

    def _rows(self, column: str) -> bytes:
        """Seconds since 1970 of every interval, then its values: little-endian 64-bit integers and floats."""
        values = self.metered.frame[column]
        times = pd.DatetimeIndex(values.index).as_unit("s").asi8.astype("<i8")
        return times.tobytes() + values.to_numpy(dtype="<f8").tobytes()


def settled_month(
    site: Site,
    data: Path,
    month: str,
    simulate: Simulated | None = None,
    more: Mapping[str, bool] | None = None,
    least_coverage: float = LEAST_COVERAGE,
    spare: Iterable[str] = (),
) -> SettledMonth:
    """Reads a month (as 2026-07) of a history folder; `more` names columns needed (True) or used where they are there,
    `spare` those of checks on which no money stands.

    Raises:
        InputError: no such month, a meter lacks, or too little of it was measured.
    """
    period = billing_month(local_midnight(parse_month(month), site.zone), site.zone)
    history = read_site_history(site, data)
    simulate = meters_of(site, data, simulate)
    if simulate is not None:
        history = _simulated(site, history, period, simulate)
    tariff = load_tariff(site)
    needed, optional = billing_columns(site, tariff)
    tenants = (name for tenant in site.metering.tenants for name in tenant.columns)
    extra = more or {}
    metered = metered_month(
        history,
        site,
        period,
        [*needed, *tenants, *(name for name, must in extra.items() if must)],
        [*optional, *(name for name, must in extra.items() if not must)],
        least_coverage,
        spare,
    )
    return SettledMonth(site, tariff, history, month, metered, simulate)


def meters_of(site: Site, data: Path, asked: Simulated | None) -> Simulated | None:
    """Under which control meters are simulated: as asked; of the shipped sample, which has none, under rules."""
    if asked is None and data.resolve() == (sample_root() / site.id).resolve():
        print(f"the sample of {site.id} has no meters: they are simulated under rules", file=sys.stderr)
        return "rules"
    return asked


def bill_document(settled: SettledMonth, recorded: Path | None = None) -> BillDocument:
    """The month's bill, divided among tenants, and compared with a recorded one where that is given.

    Raises:
        InputError: the recorded bill cannot be read.
    """
    whole = settled.bill()
    compared = None if recorded is None else compare(read_recorded_bill(recorded), whole, settled.month)
    return BillDocument(
        site=settled.site.id,
        month=settled.month,
        start=whole.start,
        end=whole.end,
        currency=whole.currency,
        lines=lines_of(whole),
        total=whole.total,
        export_lines=tuple(BillLineDocument.of(line) for line in whole.export_lines),
        export_total=whole.export_total,
        sub_bills=tuple(SubBillDocument.of(part) for part in settled.sub_bills(whole)),
        comparison=None if compared is None else ComparisonDocument.of(compared),
        quality=QualityDocument.of(settled.metered, settled.simulated, settled.notes()),
        repairs=tuple(repair.as_document() for repair in settled.history.repairs),
    )


def _simulated(site: Site, history: History, period: tuple[datetime, datetime], controller: Simulated) -> History:
    """The history with simulated meters of the period in place of none."""
    if measured := [name for name in (IMPORT, EXPORT) if name in history.frame]:
        refuse("--simulate", controller, f"{history.source} has measured {', '.join(measured)}: leave the option out")
    meters = simulated_meters(site, history, period, controller)
    frame = history.frame.drop(columns=[name for name in meters if name in history.frame]).join(meters)
    return replace(history, frame=frame)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
