"""The tariff as the planner sees it: one price per step of the grid, and the grid itself.

A coarse step gets the time-weighted mean of the prices inside it. Series of the market replace a published tariff where
they are given; a tariff `from_data` adds its own prices to them. Demand lines are those of `demand_rules`; a capacity
charge, a monthly charge, tiers and the load-factor rebate do not depend on single steps and are settlement's alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from optimizer.situation import DemandLine, Prices
from optimizer.time_grid import Array, TimeGrid, require_series
from site_configs.carbon import factor_of
from site_configs.demand import DemandRule, clock_blocks, demand_rules, inside
from site_configs.site import Site
from site_configs.tariff import Tariff, billing_month, local_midnight

IMPORT_PRICE = "market.import_price_per_kwh"
EXPORT_PRICE = "market.export_price_per_kwh"
GRID_CARBON = "grid.carbon_kg_per_kwh"
DAY = timedelta(days=1)
LONGEST_MONTH_DAYS = 31
MEAN_DECIMALS = 9
"""Published prices have six decimals; the rest of a mean over a step of one price is noise of the summation."""
SPARE_TAIL_STEPS = 2
"""One step cut short by the near horizon, one for the hour a clock change can add."""


def prices_for(
    site: Site,
    tariff: Tariff,
    grid: TimeGrid,
    market: Mapping[str, Array] | None = None,
    closes: datetime | None = None,
) -> Prices:
    """Prices on the grid; `market` holds (n,) series that replace the tariff's or the site's own values. No bill runs
    on behind `closes`; steps from there on count as those of a next one.

    Raises:
        InputError: the tariff or the calendar knows no price for a day of the grid.
        ValueError: a market series has the wrong length, is not finite, or is missing though the prices come from it.
    """
    series = {} if market is None else market
    steps = grid.shape.steps
    edges = _edges_s(grid)
    mean, band = _tariff_on(tariff, grid, edges)
    bill_end, next_bill_end = _bill_ends(grid.start, tariff.zone, closes)
    carbon = float(factor_of(site.carbon).kg_per_kwh)
    later = edges[:-1] >= bill_end.timestamp()
    return Prices(
        import_per_kwh=_import_price(tariff, series, mean),
        export_per_kwh=_export_price(site, series, steps),
        band=band,
        demand=_demand_lines(site, tariff, grid, edges, bill_end if later.any() else None),
        billing_period=tuple(later.astype(int).tolist()),
        next_period_whole=bill_end < next_bill_end <= grid.end,
        bill_days_left=(bill_end - grid.start) / DAY,
        carbon_kg_per_kwh=_given(series, GRID_CARBON, np.full(steps, carbon)),
    )


def grid_for(
    site: Site,
    start: datetime,
    horizon_hours: float | None = None,
    step_minutes: int | None = None,
    tail: bool = True,
    closes: datetime | None = None,
) -> TimeGrid:
    """The steps of a plan that starts at `start`: the site's own lengths unless others are given. The coarse steps end
    with the billing month that the near ones end in, or at `closes` where that comes first, as where a replay ends."""
    step = site.step_minutes if step_minutes is None else step_minutes
    hours = site.horizon_hours if horizon_hours is None else horizon_hours
    near = TimeGrid(start, step, round(hours * 60) // step)
    if not tail:
        return near
    return TimeGrid(near.start, step, near.near, tail_hours(site, near.start, near.near_end, closes))


def tail_hours(site: Site, start: datetime, near_end: datetime, closes: datetime | None = None) -> tuple[float, ...]:
    """Lengths of the coarse steps from `near_end` to the end of the bill that runs at `start`, or of the one after it
    where the near horizon reaches that [h].

    Steps end at local whole multiples of `tail_step_hours`, so the first one may be shorter. Zeros fill up to the same
    number of steps in every cycle.
    """
    running_end, next_end = _bill_ends(start, site.zone, closes)
    bill_end = running_end if near_end <= running_end else next_end
    count = LONGEST_MONTH_DAYS * math.ceil(24 / site.tail_step_hours) + SPARE_TAIL_STEPS
    day = near_end.astimezone(site.zone).date()
    lengths: list[float] = []
    edge = near_end
    while edge < bill_end:
        for mark in _day_marks(day.toordinal(), site.tail_step_hours, site.zone):
            until = min(mark, bill_end)
            if edge < until:
                lengths.append((until - edge).total_seconds() / 3600.0)
                edge = until
        day += timedelta(days=1)
    return (*lengths, *[0.0] * (count - len(lengths)))


def _bill_ends(start: datetime, zone: ZoneInfo, closes: datetime | None) -> tuple[datetime, datetime]:
    """When the bill that runs at `start` ends, and the one after it; both at `closes` where there is none after it."""
    month_end = billing_month(start, zone)[1]
    next_month_end = billing_month(month_end, zone)[1]
    return (month_end, next_month_end) if closes is None else (min(month_end, closes), min(next_month_end, closes))


@lru_cache(maxsize=512)
def _day_marks(ordinal: int, step_hours: float, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Local whole multiples of the step within a date, and the next midnight, in UTC."""
    day = datetime.fromordinal(ordinal).date()
    count = math.ceil(24 / step_hours)
    clock = [datetime.combine(day, datetime.min.time()) + timedelta(hours=n * step_hours) for n in range(count)]
    return (
        *(mark.replace(tzinfo=zone).astimezone(UTC) for mark in clock),
        local_midnight(day + timedelta(days=1), zone),
    )


def _edges_s(grid: TimeGrid) -> Array:
    """(n+1,) edges of the steps, seconds since 1970 UTC."""
    seconds = np.concatenate([[0.0], np.cumsum(grid.hours) * 3600.0])
    return np.asarray(np.round(grid.start.timestamp() + seconds), dtype=float)


def _tariff_on(tariff: Tariff, grid: TimeGrid, edges: Array) -> tuple[Array, tuple[str, ...]]:
    """Mean price of each step, and the band at its start."""
    days = tariff.days(grid.start, datetime.fromtimestamp(edges[-1], UTC))
    starts = np.concatenate([day.starts_s for day in days])
    totals = np.concatenate([day.totals for day in days])
    bands = [band for day in days for band in day.bands]
    where = np.clip(np.searchsorted(starts, edges, side="right") - 1, 0, len(starts) - 1)
    lengths = np.diff(starts, append=starts[-1])
    cost_before = np.concatenate([[0.0], np.cumsum(totals * lengths)[:-1]])
    cost = cost_before[where] + totals[where] * (edges - starts[where])
    length = np.diff(edges)
    at_start = totals[where[:-1]]
    mean = np.where(length > 0, np.diff(cost) / np.where(length > 0, length, 1.0), at_start)
    rounded = np.asarray(np.round(mean, MEAN_DECIMALS), dtype=float)
    return rounded, tuple(bands[i] for i in where[:-1])


def _import_price(tariff: Tariff, series: Mapping[str, Array], own: Array) -> Array:
    if tariff.from_data:
        return require_series(series, IMPORT_PRICE, len(own)) + own
    return _given(series, IMPORT_PRICE, own)


def _export_price(site: Site, series: Mapping[str, Array], steps: int) -> Array:
    if site.export.from_data:
        return require_series(series, EXPORT_PRICE, steps)
    return _given(series, EXPORT_PRICE, np.full(steps, site.export.price_per_kwh))


def _demand_lines(
    site: Site, tariff: Tariff, grid: TimeGrid, edges: Array, next_bill: datetime | None
) -> tuple[DemandLine, ...]:
    """`next_bill` is when the next bill begins, None where the grid does not reach it."""
    now = demand_rules(site, tariff, tariff.local_date(grid.start))
    then = now if next_bill is None else demand_rules(site, tariff, tariff.local_date(next_bill))
    return tuple(_demand_line(a, b, tariff, grid, edges) for a, b in zip(now, then, strict=True))


def _demand_line(rule: DemandRule, later: DemandRule, tariff: Tariff, grid: TimeGrid, edges: Array) -> DemandLine:
    """A step that is as long as the measuring interval, or no whole part of it, is a measured demand by itself."""
    meter = rule.meter
    whole, rest = divmod(meter.minutes, grid.step_minutes)
    averaged = whole if whole > 1 and rest == 0 else 1
    in_blocks = averaged > 1 and not meter.sliding
    blocks = clock_blocks(meter, tariff, edges[: grid.near]) if in_blocks else None
    return DemandLine(
        id=meter.id,
        price_per_kw=float(rule.price_per_kw),
        next_price_per_kw=float(later.price_per_kw),
        inside=inside(meter, tariff, edges[:-1], edges[1:]),
        free_kw=float(rule.free_kw),
        averaged_steps=averaged,
        block=None if blocks is None else tuple(int(number) for number in blocks),
    )


def _given(series: Mapping[str, Array], name: str, otherwise: Array) -> Array:
    return require_series(series, name, len(otherwise)) if name in series else otherwise
