"""Metered energy, sorted by the price it was taken at (RULES 1.4b, steps 1 and 2).

Intervals are split where a band, a day or a tariff version begins, in proportion to time. Energies are summed as whole
millionths of a kWh, so that a period and its two halves give the same lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from settlement.flows import Flows
from site_configs.tariff import BandPrice, Segment, Tariff

MICRO = 1_000_000
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PricedEnergy:
    """Energy taken at one price."""

    price: BandPrice
    kwh: Decimal
    start: datetime
    """Begin of the document and price table within the period, UTC."""
    end: datetime


@dataclass(frozen=True, eq=False)
class SplitEnergy:
    """Intervals split at every change of price."""

    segments: tuple[Segment, ...]
    row: Rows
    """(m,) the interval that each part is of."""
    segment_of: Rows
    """(m,) the segment that it lies in."""
    micro_kwh: Rows
    """(m,) millionths of a kWh."""


def split_energy(tariff: Tariff, flows: Flows, column: str = "import_kw") -> SplitEnergy:
    """Energy of a flow by interval and price."""
    segments = tariff.segments(flows.start, flows.end)
    starts = np.array([segment.start.timestamp() for segment in segments])
    rows = flows.edges_s
    edges = np.union1d(rows, starts)
    row = np.searchsorted(rows, edges[:-1], side="right") - 1
    segment_of = np.searchsorted(starts, edges[:-1], side="right") - 1
    micro_kwh = np.rint(flows.values[column][row] * np.diff(edges) / 3600.0 * MICRO).astype(np.int64)
    return SplitEnergy(segments, row, segment_of, micro_kwh)


def priced_energy(tariff: Tariff, flows: Flows, column: str = "import_kw") -> tuple[PricedEnergy, ...]:
    """Energy of a flow by document, price table and band, in this order."""
    split = split_energy(tariff, flows, column)
    per_segment = np.zeros(len(split.segments), dtype=np.int64)
    np.add.at(per_segment, split.segment_of, split.micro_kwh)
    energies = [(segment, int(energy)) for segment, energy in zip(split.segments, per_segment, strict=True)]
    return _grouped(energies, tariff.band_order)


def _grouped(energies: list[tuple[Segment, int]], band_order: tuple[str, ...]) -> tuple[PricedEnergy, ...]:
    sums: dict[tuple[object, ...], int] = {}
    prices: dict[tuple[object, ...], BandPrice] = {}
    spans: dict[tuple[date, date], list[Segment]] = {}
    for segment, micro_kwh in energies:
        price = segment.price
        prices.setdefault(price.key, price)
        sums[price.key] = sums.get(price.key, 0) + micro_kwh
        spans.setdefault(_table(price), []).append(segment)
    found = (
        PricedEnergy(price, Decimal(sums[key]) / MICRO, spans[_table(price)][0].start, spans[_table(price)][-1].end)
        for key, price in prices.items()
    )
    return tuple(sorted(found, key=lambda e: (*_table(e.price), band_order.index(e.price.band))))


def _table(price: BandPrice) -> tuple[date, date]:
    return price.version, price.price_month
