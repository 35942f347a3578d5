"""The master: a small linear program over sizes, month peaks and energies between the parts of the year (months, or
blocks of days), bounded below by cuts.

    min  Σ a_k·size_k + billed(D) + Σ_j θ_j
    s.t. θ_j ≥ every cut of part j,  0 ≤ e_j ≤ E,  0 ≤ h_j ≤ H,  B ≤ r·E
    billed(D) = Σ p_m·D_m,  or with a contract demand C:  Σ p_m·C + Σ 2·p_m·(D_m - 1.05·C)⁺

Its value is a lower bound of the year's cost with the best sizes (Benders 1962; Birge and
Louveaux 1988 on a cut for each part).
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from optimizer.time_grid import Array
from sizing.cuts import CONSTANT
from sizing.linear import quiet_highs, require_optimal
from sizing.park_year import ENERGY, EXCESS_FACTOR, POWER, SIZES, STORE, TOLERANCE, Counts, Offers, ParkYear

COUNT = len(SIZES)


@dataclass(frozen=True, eq=False)
class Point:
    """What the passes are told: sizes, and what links the months."""

    sizes: Array
    """(5,) by `SIZES`."""
    peaks_kw: Array
    """(months,) import that is paid for in any case."""
    battery_kwh: Array
    """(parts,) energy at the start of each part of the year."""
    store_kwh: Array
    """(parts,)"""

    def towards(self, other: Point, share: float) -> Point:
        """The point so far on the way to another one."""
        mine = (self.sizes, self.peaks_kw, self.battery_kwh, self.store_kwh)
        theirs = (other.sizes, other.peaks_kw, other.battery_kwh, other.store_kwh)
        return Point(*(a + share * (b - a) for a, b in zip(mine, theirs, strict=True)))


class Master:
    """Built once; cuts are added pass by pass, and the solver goes on from its last basis."""

    def __init__(
        self, year: ParkYear, offers: Offers, month_of_part: Counts, greatest_peak_kw: float, least_cost: float
    ) -> None:
        """`least_cost` is below anything a part can cost, so that the first solve is bounded."""
        self._months, self._month_of_part, self._parts = year.months, month_of_part, len(month_of_part)
        lengths = {"peak": year.months, "above": year.months} | dict.fromkeys(("battery", "store", "cost"), self._parts)
        edges = COUNT + np.cumsum([0, *lengths.values()])
        self._columns = {name: np.arange(a, b) for name, a, b in zip(lengths, edges, edges[1:], strict=False)}
        self._contract = int(edges[-1])
        self._highs = quiet_highs(presolve="off")
        self._highs.passModel(self._program(year, offers, greatest_peak_kw, least_cost))
        self._add_links(year, offers)

    def add(self, cuts: Array) -> None:
        """Takes in a cut of every part, (parts, CUT_SIZE)."""
        after = np.roll(np.arange(self._parts), -1)
        own = self._columns
        where = np.column_stack([
            np.tile(np.arange(COUNT), (self._parts, 1)), own["peak"][self._month_of_part], own["battery"],
            own["battery"][after], own["store"], own["store"][after], own["cost"],
        ])  # fmt: skip
        values = np.column_stack([-cuts[:, 1:], np.ones(self._parts)])
        if self._parts == 1:  # it ends as it begins: the two columns are one
            for begin, end in ((-5, -4), (-3, -2)):
                values[:, begin] += values[:, end]
            where, values = np.delete(where, (-4, -2), axis=1), np.delete(values, (-4, -2), axis=1)
        self._add_rows(cuts[:, CONSTANT].copy(), np.full(self._parts, highspy.kHighsInf), where, values)

    def solve(self) -> tuple[float, Point]:
        """The lower bound and where it is reached.

        Raises:
            RuntimeError: the solver gives no optimum.
        """
        self._highs.run()
        require_optimal(self._highs, "the master of the year model")
        x = np.array(self._highs.getSolution().col_value)
        own = self._columns
        point = Point(x[:COUNT], x[own["peak"]], x[own["battery"]], x[own["store"]])
        return float(self._highs.getInfo().objective_function_value), point

    def _program(self, year: ParkYear, offers: Offers, greatest_peak_kw: float, least: float) -> highspy.HighsLp:
        own, billing = self._columns, year.peaks
        lp = highspy.HighsLp()
        lp.num_col_ = columns = self._contract + 1
        cost, lower, upper = np.zeros(columns), np.zeros(columns), np.full(columns, highspy.kHighsInf)
        cost[:COUNT], lower[:COUNT], upper[:COUNT] = offers.cost, offers.least, offers.greatest
        lower[own["peak"]] = min(billing.free_kw, greatest_peak_kw) if billing.billed else greatest_peak_kw
        upper[own["peak"]] = greatest_peak_kw
        cost[own["cost"]], lower[own["cost"]] = 1.0, least
        if billing.contract:
            cost[own["above"]] = EXCESS_FACTOR * billing.price_per_kw
            cost[self._contract], lower[self._contract] = billing.price_per_kw.sum(), billing.contract_floor_kw
        else:
            cost[own["peak"]] = billing.price_per_kw
            lp.offset_ = -float(billing.price_per_kw @ lower[own["peak"]]) if billing.billed else 0.0
            upper[own["above"]] = upper[self._contract] = 0.0
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
        lp.num_row_ = 0
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.zeros(1, dtype=np.int32)
        return lp

    def _add_links(self, year: ParkYear, offers: Offers) -> None:
        """Rows that hold without any cut: energies within stores, the battery's rate, what is above the contract."""
        own = self._columns
        self._add_upper([(own["battery"], 1.0), (np.full(self._parts, ENERGY), -1.0)])
        self._add_upper([(own["store"], 1.0), (np.full(self._parts, STORE), -1.0)])
        if year.peaks.contract:
            declared = np.full(self._months, self._contract)
            self._add_upper([(own["peak"], 1.0), (declared, -TOLERANCE), (own["above"], -1.0)])
        if np.isfinite(offers.greatest_rate_per_hour):
            self._add_upper([(np.array([POWER]), 1.0), (np.array([ENERGY]), -offers.greatest_rate_per_hour)])

    def _add_upper(self, terms: list[tuple[Counts, float]]) -> None:
        """Rows of terms whose sum is at most 0."""
        where = np.column_stack([columns for columns, _ in terms])
        values = np.tile([factor for _, factor in terms], (len(where), 1))
        self._add_rows(np.full(len(where), -highspy.kHighsInf), np.zeros(len(where)), where, values)

    def _add_rows(self, lower: Array, upper: Array, where: Counts, values: Array) -> None:
        """Rows of equal length: columns `where` with `values`."""
        starts = np.arange(0, where.size, where.shape[1], dtype=np.int32)
        columns = where.ravel().astype(np.int32)
        added = self._highs.addRows(len(lower), lower, upper, values.size, starts, columns, values.ravel())
        if added == highspy.HighsStatus.kError:
            raise RuntimeError("the master of the year model refused its cuts")
