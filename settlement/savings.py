"""The verified savings of a month: bill minus bill, stream by stream, with their uncertainty (RULES 6.2).

    S = cost(counterfactual) - cost(actual),  cost = bill - export settlement                              (1)
    v(A) = cost(all streams taken away) - cost(only A left), divided by the contract's method              (2)
    U² = Σ_streams [t·(class/√3)·∂S/∂class]² + [error of substituted values at the mean price]²            (3)

All bills of a month are at the same tariff version, so a change of tariff reprices both sides and is no saving. Of an
efficiency stream the uncertainty is that of its regression. Against rules, which are simulated, none is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import sqrt

import numpy as np
import pandas as pd

from settlement.attribution import sequential, shapley
from settlement.bill import Bill
from settlement.contract import Contract, Stream
from settlement.counterfactual import Removed, columns_of, removed, without
from settlement.metered_month import MeteredMonth
from settlement.money import cents, quantity
from settlement.regression import Baseline, daily, fitted, restored_kw
from settlement.uncertainty import is_determined, t_value, uncertainty_of
from settlement.utility_bill import IMPORT, billing_flows, utility_bill
from site_configs.history import History
from site_configs.site import Site
from site_configs.tariff import calendar_of, local_midnight

TEMPERATURE = "weather.temperature_c"
LARGE_FREEDOM = 1e6
"""Degrees of freedom of an accuracy class: it is known, not estimated."""


@dataclass(frozen=True)
class StreamSaving:
    """What one stream saved."""

    stream: str
    saving: Decimal
    """Adjustments included [money]."""
    adjustment: Decimal
    """Non-routine, a part of `saving`."""
    kwh_without: Decimal
    """What the site would have drawn without this stream alone."""
    half_width: Decimal | None
    """Of the interval at the contract's confidence [money]; None where it is not known."""
    baseline: Baseline | None = None
    """Of an efficiency stream."""
    routine_kwh: Decimal | None = None
    """Of an efficiency stream: what weather and calendar changed against the baseline's mean day."""
    determined: bool | None = None
    """Of an efficiency stream: whether the guideline accepts its uncertainty."""


@dataclass(frozen=True, eq=False)
class VerifiedMonth:
    """A month's bills and what the streams made of the difference."""

    actual: Bill
    counterfactual: Bill
    flows: pd.DataFrame
    counterfactual_flows: pd.DataFrame
    streams: tuple[StreamSaving, ...]
    measures: Mapping[str, Removed] = field(default_factory=dict)
    """By stream: what taking it away adds; none against rules."""

    @property
    def saving(self) -> Decimal:
        """By (1), adjustments included."""
        return sum((stream.saving for stream in self.streams), Decimal(0))

    @property
    def half_width(self) -> Decimal | None:
        """By (3) over all streams; None where one is not known."""
        widths = [stream.half_width for stream in self.streams]
        if any(width is None for width in widths):
            return None
        return cents(Decimal(str(sqrt(sum(float(width or 0) ** 2 for width in widths)))))


def cost(found: Bill) -> Decimal:
    """What a month costs: the bill less what export earned."""
    return found.total - found.export_total


def active_streams(contract: Contract, end: datetime, site: Site) -> tuple[Stream, ...]:
    """Streams commissioned before the end of a month."""
    return tuple(x for x in contract.streams if local_midnight(x.commissioned, site.zone) < end)


def columns_needed(site: Site, contract: Contract, end: datetime) -> dict[str, bool]:
    """Columns of a history folder beside those of the bill: needed (True), or used where they are there."""
    wanted: dict[str, bool] = {}
    for stream in active_streams(contract, end, site):
        wanted |= columns_of(site, stream.devices)
        if stream.kind == "efficiency" and stream.column is not None:
            wanted |= {stream.column: True, TEMPERATURE: True}
    return wanted


def verified_month(
    site: Site, contract: Contract, month: MeteredMonth, history: History, rules: pd.DataFrame | None = None
) -> VerifiedMonth:
    """The savings of a month whose meters hold `columns_needed`.

    `rules` are the meters of the site under the agreed simple control, where the contract compares with that.

    Raises:
        ValueError: the contract compares with rules and they are not given, or a baseline has too few days.
    """
    flows, period = billing_flows(site, month), month.period
    actual = utility_bill(site, flows, period)
    if contract.counterfactual == "rules":
        if rules is None:
            raise ValueError(f"{contract.number} compares with rules: give the meters under them")
        return _against_rules(site, contract, flows, rules, actual, period)
    measures, baselines = _measures(site, contract, month, history)
    restored = without(flows, measures.values())
    counterfactual = utility_bill(site, restored, period)
    costs: dict[frozenset[str], Decimal] = {frozenset(measures): cost(actual), frozenset(): cost(counterfactual)}

    def value(kept: frozenset[str]) -> Decimal:
        if kept not in costs:
            away = [measure for name, measure in measures.items() if name not in kept]
            costs[kept] = cost(utility_bill(site, without(flows, away), period))
        return costs[frozenset()] - costs[kept]

    ordered = [name for name in contract.attribution.order if name in measures] or list(measures)
    split = sequential(ordered, value) if contract.attribution.method == "sequential" else shapley(ordered, value)
    mean_price = float(cost(counterfactual)) / max(float(flows["import_kw"].sum()) * _hours(flows), 1e-9)
    streams = tuple(
        _stream(site, contract, stream, month, measures, split[stream.id], baselines.get(stream.id), mean_price)
        for stream in contract.streams
        if stream.id in measures
    )
    return VerifiedMonth(actual, counterfactual, flows, restored, streams, measures)


def _against_rules(
    site: Site,
    contract: Contract,
    flows: pd.DataFrame,
    rules: pd.DataFrame,
    actual: Bill,
    period: tuple[datetime, datetime],
) -> VerifiedMonth:
    columns = {"import_kw": rules[IMPORT], "export_kw": rules["meter.export_kw"]}
    restored = flows.assign(**columns)
    counterfactual = utility_bill(site, restored, period)
    (stream,) = contract.streams
    adjustment = _adjustment(contract, stream, period[0].astimezone(site.zone).date())
    saving = cost(counterfactual) - cost(actual) + adjustment
    drawn = quantity(float(rules[IMPORT].sum()) * _hours(flows))
    found = StreamSaving(stream.id, saving, adjustment, drawn, None)
    return VerifiedMonth(actual, counterfactual, flows, restored, (found,))


def _measures(
    site: Site, contract: Contract, month: MeteredMonth, history: History
) -> tuple[dict[str, Removed], dict[str, Baseline]]:
    """By stream: what taking it away adds, from the day on which it was commissioned."""
    measures: dict[str, Removed] = {}
    baselines: dict[str, Baseline] = {}
    for stream in active_streams(contract, month.end, site):
        if stream.kind == "efficiency":
            found, baselines[stream.id] = _efficiency(site, stream, month, history)
        else:
            found = removed(site, stream.id, stream.devices, month.frame, history.sessions)
        begun = month.frame.index >= pd.Timestamp(local_midnight(stream.commissioned, site.zone))
        measures[stream.id] = replace(found, kw=np.where(begun, found.kw, 0.0))
    return measures, baselines


def _efficiency(site: Site, stream: Stream, month: MeteredMonth, history: History) -> tuple[Removed, Baseline]:
    assert stream.column is not None
    assert stream.baseline_from is not None
    assert stream.baseline_to is not None
    calendar = calendar_of(site)
    start = local_midnight(stream.baseline_from, site.zone)
    end = local_midnight(stream.baseline_to + timedelta(days=1), site.zone)
    before = history.window(start, end)
    model = fitted(daily(before[stream.column], before[TEMPERATURE], site, calendar))
    load = month.frame[stream.column]
    days = daily(load, month.frame[TEMPERATURE], site, calendar)
    adjusted: Mapping[object, float] = dict(zip(days.index, model.energy_kwh(days), strict=True))
    kw = np.asarray(restored_kw(load, adjusted, site), dtype=np.float64)
    return Removed(stream.id, kw, float(load.sum()) * _hours(month.frame)), model


def _stream(
    site: Site,
    contract: Contract,
    stream: Stream,
    month: MeteredMonth,
    measures: Mapping[str, Removed],
    saving: Decimal,
    baseline: Baseline | None,
    mean_price: float,
) -> StreamSaving:
    flows, first = billing_flows(site, month), month.start.astimezone(site.zone).date()
    alone = without(flows, [measures[stream.id]])
    drawn = quantity(float(alone["import_kw"].sum()) * _hours(flows))
    adjustment = _adjustment(contract, stream, first)
    total = saving + adjustment
    if baseline is not None:
        width, determined = _regression_width(contract, baseline, measures[stream.id], month, saving)
        routine = _routine_kwh(baseline, measures[stream.id], month)
        return StreamSaving(stream.id, total, adjustment, drawn, width, baseline, routine, determined)
    width = _metered_width(site, contract, stream, month, measures, mean_price)
    return StreamSaving(stream.id, total, adjustment, drawn, width)


def _metered_width(
    site: Site,
    contract: Contract,
    stream: Stream,
    month: MeteredMonth,
    measures: Mapping[str, Removed],
    mean_price: float,
) -> Decimal:
    """By (3): the meters read high by their class, and the substituted values are off by their known error."""
    flows, measure = billing_flows(site, month), measures[stream.id]
    off = stream.meter_accuracy_percent / 100 / sqrt(3)
    higher = {**measures, stream.id: replace(measure, kw=measure.kw * (1 + off))}
    changed = _total(site, flows, higher.values(), month) - _total(site, flows, measures.values(), month)
    substituted = sum(
        column.substitution_rmse_kw * column.missing * _hours(flows) * mean_price
        for column in month.quality
        if column.column.split(".")[0] in stream.devices
    )
    t = t_value(contract.confidence, LARGE_FREEDOM)
    return cents(Decimal(str(t * sqrt(float(changed) ** 2 + substituted**2))))


def _total(site: Site, flows: pd.DataFrame, away: Iterable[Removed], month: MeteredMonth) -> Decimal:
    return cost(utility_bill(site, without(flows, away), month.period))


def _routine_kwh(baseline: Baseline, measure: Removed, month: MeteredMonth) -> Decimal:
    """Adjusted baseline of the month less the baseline's mean day so many times."""
    adjusted = measure.metered_kwh + float(measure.kw.sum()) * _hours(month.frame)
    return quantity(adjusted - baseline.mean_kwh * ((month.end - month.start) / timedelta(days=1)))


def _regression_width(
    contract: Contract, baseline: Baseline, measure: Removed, month: MeteredMonth, saving: Decimal
) -> tuple[Decimal, bool]:
    """Half width in money, and whether the guideline accepts it; savings of nothing are not determined."""
    used = measure.metered_kwh
    saved = float(measure.kw.sum()) * _hours(month.frame)
    fraction = saved / (used + saved) if used + saved else 0.0
    if fraction == 0:
        return Decimal(0), False
    days = round((month.end - month.start) / timedelta(days=1))
    share = uncertainty_of(baseline.fit, fraction, days, 1.0, contract.confidence)
    return cents(Decimal(str(abs(float(saving)) * share))), is_determined(baseline.fit, fraction, days, 1.0)


def _adjustment(contract: Contract, stream: Stream, first: date) -> Decimal:
    month = f"{first:%Y-%m}"
    return sum((x.amount for x in contract.adjustments if (x.month, x.stream) == (month, stream.id)), Decimal(0))


def _hours(frame: pd.DataFrame) -> float:
    return float((frame.index[1] - frame.index[0]) / pd.Timedelta(hours=1))
