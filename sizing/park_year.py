"""A year of a park as the year model sees it: what is needed and offered in every step, and what may be built.

All flows are at the grid connection's bus. Steps have one length; billing months are runs of steps. The year closes:
each store ends it as full as it began.

    import[t] - export[t] = load[t] - P·sun[t] + cut[t] + charge[t] - discharge[t] + machine[t],  0 ≤ cut[t] ≤ P·sun[t]
    e[t+1] = e[t] + (η_c·charge[t] - discharge[t]/η_d)·Δt              0 ≤ e ≤ E,  charge + discharge ≤ B ≤ r·E
    h[t+1] = keep·h[t] + (cop[t]·machine[t] + backup[t] - demand[t])·Δt    0 ≤ h ≤ H,  machine ≤ Q
    cost   = Σ Δt·(p_i·import - p_e·export + c_w·discharge + c_b·backup) + Σ_m billed(D_m) + annuities of E, B, P, H, Q
    D_m    = max import[t] over the counted steps of month m
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from optimizer.time_grid import Array

Counts = NDArray[np.int64]

SIZES = ("battery_kwh", "battery_kw", "pv_kw", "store_kwh", "machine_kw")
"""What may be built, in the order of every vector of sizes: E, B, P, H, Q above. Q is the power a machine takes."""
ENERGY, POWER, SUN, STORE, MACHINE = range(5)
BREACH_PRICE_PER_KWH = 100.0
"""Price of import above the connection's limit, beyond all else a kWh costs there: sizes that need it are not best."""
EXCESS_FACTOR = 2.0
TOLERANCE = 1.05
"""Contract demand: what is drawn above 1.05 times the contract is paid twice (RULES 1.3, rule A)."""


@dataclass(frozen=True)
class Offer:
    """One kind of thing that may be built."""

    cost_per_unit_year: float
    """Annuity and upkeep of one more kWh or kW [money/a]."""
    greatest: float
    """Largest size offered [kWh or kW]."""
    least: float = 0.0
    """Smallest; equal to `greatest` for what is there already."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.least <= self.greatest < np.inf:
            raise ValueError(f"an offer needs 0 <= least <= greatest, has {self.least} and {self.greatest}")


NOTHING = Offer(0.0, 0.0)


@dataclass(frozen=True)
class Offers:
    """All that may be built; the order is that of `SIZES`."""

    battery_kwh: Offer = NOTHING
    battery_kw: Offer = NOTHING
    pv_kw: Offer = NOTHING
    store_kwh: Offer = NOTHING
    machine_kw: Offer = NOTHING
    greatest_rate_per_hour: float = np.inf
    """Largest ratio of the battery's power to its energy [1/h]."""

    def __iter__(self) -> Iterator[Offer]:
        return iter((self.battery_kwh, self.battery_kw, self.pv_kw, self.store_kwh, self.machine_kw))

    @property
    def cost(self) -> Array:
        """(5,) yearly cost per unit."""
        return np.array([offer.cost_per_unit_year for offer in self])

    @property
    def least(self) -> Array:
        return np.array([offer.least for offer in self])

    @property
    def greatest(self) -> Array:
        return np.array([offer.greatest for offer in self])


@dataclass(frozen=True)
class BatteryTraits:
    """What a battery of any size has in common."""

    charge_efficiency: float = 0.95
    discharge_efficiency: float = 0.95
    wear_per_kwh: float = 0.0
    """Per kWh discharged at the AC terminal [money/kWh]."""


@dataclass(frozen=True, eq=False)
class ThermalSide:
    """Heat, or cold, made by a machine that takes power, held in a store, and helped out by a backup without limit."""

    demand_kw: Array
    """(n,)"""
    cop: Array
    """(n,) heat per power [-]."""
    backup_price_per_kwh: float
    """Heat of a boiler; or what a kWh not served is said to cost [money/kWh thermal]."""
    loss_per_hour: float = 0.0
    """Share of what is stored lost per hour [1/h]."""


@dataclass(frozen=True, eq=False)
class PeakBilling:
    """How the highest import of a billing month is paid."""

    price_per_kw: Array
    """(months,) money/kW and month; zeros where nothing is billed."""
    counted: NDArray[np.bool_]
    """(n,) whether a step's import counts."""
    contract: bool = False
    """A contract demand is chosen for the year: paid at `price_per_kw` every month, twice above 1.05 times of it."""
    contract_floor_kw: float = 0.0
    """Least contract demand, 40 % of what is installed (RULES 1.3)."""
    free_kw: float = 0.0
    """Without a contract to be chosen: what of a month's peak is not paid for at `price_per_kw`."""

    @property
    def per_kw_above(self) -> Array:
        """(months,) the most that one more kW of a month's peak can cost."""
        return self.price_per_kw * (EXCESS_FACTOR if self.contract else 1.0)

    @property
    def billed(self) -> bool:
        return bool(self.price_per_kw.max() > 0.0)

    def best_contract_kw(self, peaks_kw: Array) -> float:
        """The contract demand that costs least with these peaks; a corner of a convex, piecewise linear cost."""
        corners = np.maximum(np.append(peaks_kw / TOLERANCE, self.contract_floor_kw), self.contract_floor_kw)
        return float(min(corners, key=lambda kw: self._contract_cost(float(kw), peaks_kw)))

    def cost(self, peaks_kw: Array) -> float:
        """What the year's peaks cost, under the best contract where one is chosen [money]."""
        if not self.contract:
            return float(self.price_per_kw @ np.maximum(peaks_kw - self.free_kw, 0.0))
        return self._contract_cost(self.best_contract_kw(peaks_kw), peaks_kw)

    def _contract_cost(self, contract_kw: float, peaks_kw: Array) -> float:
        above = np.maximum(peaks_kw - TOLERANCE * contract_kw, 0.0)
        return float(self.price_per_kw.sum() * contract_kw + EXCESS_FACTOR * (self.price_per_kw @ above))


@dataclass(frozen=True, eq=False)
class ParkYear:
    """The inputs of the year model; every series has one value a step."""

    hours: float
    """Length of a step [h]."""
    load_kw: Array
    """(n,) power drawn whatever is built; below 0 where what is there feeds in."""
    sun: Array
    """(n,) power of a kW of new PV [-]."""
    import_price: Array
    """(n,) money/kWh"""
    export_price: Array
    """(n,) money/kWh"""
    month: Counts
    """(n,) number of the billing month of a step: 0 for the first, rising by ones."""
    peaks: PeakBilling
    battery: BatteryTraits = field(default_factory=BatteryTraits)
    import_limit_kw: float = np.inf
    export_limit_kw: float = np.inf
    """0 where nothing may be fed in."""
    thermal: ThermalSide | None = None

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(problem)

    @property
    def steps(self) -> int:
        return len(self.load_kw)

    @property
    def months(self) -> int:
        return int(self.month[-1]) + 1

    @property
    def first_steps(self) -> Counts:
        """(months,) the first step of every month."""
        return np.flatnonzero(np.diff(self.month, prepend=-1))

    @property
    def last_steps(self) -> Counts:
        """(months,) the last step of every month."""
        return np.append(self.first_steps[1:], self.steps) - 1

    def why_not_convex(self) -> tuple[str, ...]:
        """Why costs are not convex in the net draw, so that value functions do not apply; nothing where they do."""
        found = []
        dearer = self.export_price > self.import_price
        if dearer.any():
            found.append(f"export pays more than import costs in {int(dearer.sum())} steps, first in {dearer.argmax()}")
        paid = self.import_price < 0.0
        if paid.any():
            found.append(f"import is paid for in {int(paid.sum())} steps, first in {paid.argmax()}")
        return tuple(found)

    def made_convex(self) -> ParkYear:
        """The year with export paid at no more than import costs, and import never paid for."""
        bought = np.maximum(self.import_price, 0.0)
        return replace(self, import_price=bought, export_price=np.minimum(self.export_price, bought))

    def _problems(self) -> Iterator[str]:
        series = {name: getattr(self, name) for name in ("load_kw", "sun", "import_price", "export_price", "month")}
        series["peaks.counted"] = self.peaks.counted
        if self.thermal is not None:
            series |= {"thermal.demand_kw": self.thermal.demand_kw, "thermal.cop": self.thermal.cop}
        for name, values in series.items():
            if len(values) != self.steps:
                yield f"{name} has {len(values)} values, load_kw has {self.steps}: give one a step"
            elif not np.isfinite(values).all():
                yield f"{name} is not finite in step {int(np.argmin(np.isfinite(values)))}: fill the gap"
        if self.month[0] != 0 or not np.isin(np.diff(self.month), (0, 1)).all():
            yield "month must begin with 0 and rise by ones"
        elif len(self.peaks.price_per_kw) != self.months:
            yield f"peaks.price_per_kw has {len(self.peaks.price_per_kw)} values for {self.months} months"


def annuity(rate: float, years: float) -> float:
    """Yearly payment per money invested [1/a]: r / (1 - (1+r)^-n)."""
    return 1.0 / years if rate == 0.0 else rate / (1.0 - (1.0 + rate) ** -years)
