"""How the value of a project hangs on what is assumed: one assumption at a time, and sizes beside the one proposed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.time_grid import Array
from sizing.candidates import Candidates
from sizing.cash_flow import cash_flow
from sizing.operation import OperatingYear, running
from sizing.site_year import BuiltSizes, SizedSite

MAP_SHARES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Of the battery's capacity and power, for the map."""


@dataclass(frozen=True)
class Swing:
    """The NPV with one assumption lower and higher."""

    name: str
    low: str
    high: str
    """What was assumed."""
    npv_low: float
    npv_high: float

    @property
    def width(self) -> float:
        return abs(self.npv_high - self.npv_low)


@dataclass(frozen=True, eq=False)
class ValueMap:
    """NPV over sizes of the battery."""

    battery_kwh: Array
    """(columns,)"""
    battery_kw: Array
    """(rows,)"""
    npv: Array
    """(rows, columns); NaN where the power is above what the capacity allows."""


def tornado(candidates: Candidates, built: BuiltSizes, years: Sequence[OperatingYear]) -> list[Swing]:
    """The widest first."""

    def npv(changed: Candidates, of: Sequence[OperatingYear] = years) -> float:
        return cash_flow(changed, built, of).npv

    found = []
    for name, low, high, change in _changes(candidates):
        found.append(Swing(name, low, high, npv(change(0)), npv(change(1))))
    for name, shares in {"savings": (0.8, 1.2), "battery savings": (0.8, 1.2)}.items():
        less, more = ([_scaled(year, share, name == "savings") for year in years] for share in shares)
        low, high = (f"{share - 1:+.0%}" for share in shares)
        found.append(Swing(name, low, high, npv(candidates, less), npv(candidates, more)))
    return sorted(found, key=lambda swing: -swing.width)


Change = Callable[[int], Candidates]


def _changes(candidates: Candidates) -> list[tuple[str, str, str, Change]]:
    """Name, labels, and the candidates with the lower (0) or higher (1) value."""
    economics = candidates.economics
    rows: list[tuple[str, str, str, Change]] = []

    def terms(field: str, low: float, high: float, unit: str = "{:.1%}") -> None:
        def changed(at: int) -> Candidates:
            return candidates.model_copy(update={"economics": economics.model_copy(update={field: (low, high)[at]})})

        rows.append((field, unit.format(low), unit.format(high), changed))

    def costs(part: str, fields: tuple[str, ...], label: str) -> None:
        of = getattr(candidates, part)
        if of is None:
            return

        def changed(at: int) -> Candidates:
            update = {field: getattr(of, field) * (0.8, 1.2)[at] for field in fields}
            return candidates.model_copy(update={part: of.model_copy(update=update)})

        rows.append((label, "-20%", "+20%", changed))

    terms("discount_rate", max(economics.discount_rate - 0.02, 0.0), economics.discount_rate + 0.02)
    terms("income_tax_rate", max(economics.income_tax_rate - 0.1, 0.0), economics.income_tax_rate + 0.1)
    costs("battery", ("cost_per_kwh", "cost_per_kw"), "battery purchase")
    costs("battery", ("replacement_cost_per_kwh",), "new cells")
    costs("battery", ("upkeep_share",), "battery upkeep")
    costs("pv", ("cost_per_kw",), "PV purchase")
    if candidates.options:
        rows.append(("options purchase", "-20%", "+20%", lambda at: _options_at(candidates, (0.8, 1.2)[at])))
    return rows


def _options_at(candidates: Candidates, share: float) -> Candidates:
    """The candidates with all options at a share of their price."""
    options = tuple(option.model_copy(update={"cost": option.cost * share}) for option in candidates.options)
    return candidates.model_copy(update={"options": options})


def _scaled(year: OperatingYear, share: float, every: bool) -> OperatingYear:
    others = share if every else 1.0
    return replace(
        year,
        pv_saving=year.pv_saving * others,
        battery_saving=year.battery_saving * share,
        options_saving=year.options_saving * others,
    )


def value_map(sized: SizedSite, built: BuiltSizes, years: Sequence[OperatingYear], captured: float) -> ValueMap:
    """NPV over shares of the battery's capacity and power; a size's first year is dispatched, later ones age alike."""
    kwh, kw = (np.array(MAP_SHARES) * size for size in (built.battery_kwh, built.battery_kw))
    npv = np.array(
        [[_npv(sized, replace(built, battery_kwh=e, battery_kw=b), years, captured) for e in kwh] for b in kw]
    )
    return ValueMap(kwh, kw, npv)


def _npv(sized: SizedSite, built: BuiltSizes, years: Sequence[OperatingYear], captured: float) -> float:
    battery = sized.candidates.battery
    if battery is None or built.battery_kw > battery.greatest_rate_per_hour * built.battery_kwh * (1 + 1e-9):
        return float("nan")
    sizes = sized.usable(built)
    alone = running(sized.year, sizes * [0.0, 0.0, 1.0, 0.0, 0.0]).cost
    first = running(sized.year, sizes)
    saving = (alone - first.cost) * sized.per_year * captured
    share = saving / years[0].battery_saving if years[0].battery_saving else 0.0
    return cash_flow(sized.candidates, built, [_scaled(year, share, every=False) for year in years]).npv
