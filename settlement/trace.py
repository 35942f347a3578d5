"""The meter rows behind a line: of an energy line every interval in its band, of a demand line those of the peak.

The energies of the rows add up to the line's quantity to the millionth of a kWh: they are split as in the bill.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from settlement.bill import REACTIVE, Bill, BillLine, market_columns
from settlement.counterfactual import Removed
from settlement.demand import line_peak
from settlement.energy import MICRO, split_energy
from settlement.flows import Flows, flows_of
from settlement.savings import VerifiedMonth
from settlement.utility_bill import accounts_kw, counted_kw, tariff_of_account
from site_configs.demand import demand_meters
from site_configs.prices import EXPORT_PRICE
from site_configs.site import Site
from site_configs.tariff import load_tariff

OF_CONTRACT = ("capacity", "fixed")
"""Components whose quantity no meter gives."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What a line stands on."""

    line: str
    formula: str
    rows: pd.DataFrame
    """By UTC start of the interval: the columns used, and `kwh` where the line is of energy."""


def find_line(found: Bill, name: str) -> BillLine | None:
    """The line of a bill with an id."""
    return next((line for line in (*found.lines, *found.export_lines) if line.id == name), None)


def trace_line(site: Site, line: BillLine, flows: pd.DataFrame, period: tuple[datetime, datetime]) -> Trace:
    """The rows of a bill's line, for the flows the bill was made of."""
    return Trace(line.id, _formula(line), _rows(site, line, flows, period))


def trace_stream(verified: VerifiedMonth, stream: str, measure: Removed | None) -> Trace:
    """The rows of a stream's saving: the net draw as it was, and what taking the stream away adds to it."""
    flows, before = verified.flows, verified.counterfactual_flows
    columns = {
        "import_kw": flows["import_kw"],
        "export_kw": flows["export_kw"],
        "counterfactual_import_kw": before["import_kw"],
        "counterfactual_export_kw": before["export_kw"],
    }
    if measure is not None:
        columns["stream_kw"] = pd.Series(measure.kw, flows.index)
    (found,) = [part for part in verified.streams if part.stream == stream]
    formula = f"saving {found.saving} = attributed part of {verified.saving} (bill without measures less actual bill)"
    return Trace(f"stream/{stream}", formula, pd.DataFrame(columns))


def _formula(line: BillLine) -> str:
    return f"{line.quantity} {line.unit} × {line.price} = {line.fee}"


def _rows(site: Site, line: BillLine, flows: pd.DataFrame, period: tuple[datetime, datetime]) -> pd.DataFrame:
    if line.component in OF_CONTRACT:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
    if line.component == "power_factor":
        return flows[["import_kw", REACTIVE]].assign(kwh=flows["import_kw"] * _hours(flows))
    if line.unit == "kW":
        return _peak_rows(site, line, flows, period)
    if line.component.startswith("export"):
        kept = [name for name in ("export_kw", EXPORT_PRICE) if name in flows]
        return flows[kept].assign(kwh=flows["export_kw"] * _hours(flows)).loc[flows["export_kw"] > 0]
    if line.component == "green_power":
        return flows[["import_kw"]].assign(kwh=flows["import_kw"] * _hours(flows))
    return _energy_rows(site, line, flows, period)


def _energy_rows(site: Site, line: BillLine, flows: pd.DataFrame, period: tuple[datetime, datetime]) -> pd.DataFrame:
    tariff = tariff_of_account(site, line.account)
    kw = accounts_kw(site, flows)[line.account]
    prices = [name for name in market_columns(site, tariff) if name in flows]
    measured = flows_of(flows.assign(import_kw=kw), *period, ["import_kw"])
    split = split_energy(tariff, measured)
    wanted = {
        n
        for n, segment in enumerate(split.segments)
        if line.start <= segment.start and segment.end <= line.end and line.band in ("", segment.price.band)
    }
    kept = np.isin(split.segment_of, list(wanted))
    micro = np.zeros(len(kw))
    np.add.at(micro, split.row[kept], split.micro_kwh[kept])
    return flows[prices].assign(import_kw=kw, kwh=micro / MICRO).iloc[np.unique(split.row[kept])]


def _peak_rows(site: Site, line: BillLine, flows: pd.DataFrame, period: tuple[datetime, datetime]) -> pd.DataFrame:
    tariff = load_tariff(site)
    measured: Flows = flows_of(flows.assign(import_kw=counted_kw(site, flows)), *period, ["import_kw"])
    meters = {meter.id: meter for meter in demand_meters(site, tariff)}
    meter = meters.get(line.component) or next(iter(meters.values()))
    peak = line_peak(meter, tariff, measured)
    return pd.DataFrame({"import_kw": measured.values["import_kw"][peak.rows]}, index=flows.index[peak.rows])


def _hours(flows: pd.DataFrame) -> float:
    return float((flows.index[1] - flows.index[0]) / pd.Timedelta(hours=1))


def energy_of(trace: Trace) -> Decimal | None:
    """Sum of the rows' energy to the millionth [kWh]; None for lines of no energy."""
    if "kwh" not in trace.rows:
        return None
    micro = int(np.rint(trace.rows["kwh"].to_numpy(dtype=float) * MICRO).sum())
    return Decimal(micro) / MICRO
