"""The best sizes by linear programs of a few days each, for years that value functions cannot take.

The year is cut into blocks; within a block all that links it to the rest is a bound: sizes, the month's peak, and the
energies at its ends. A block's optimum and reduced costs give a cut (Benders 1962), the master does the rest. First the
blocks are solved on merged steps, which cost a fraction and land next to the optimum; then, where a proof is asked for,
on the year's own steps from there.

Nothing here needs convex costs. Where import is paid for or export pays more than import costs, a block may use both
directions at once: such steps are counted in the answer, and with any the cost is one that no plant can run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import highspy
import numpy as np
from numpy.typing import NDArray

from optimizer.time_grid import Array
from sizing.answer import Course, Method, YearAnswer
from sizing.cuts import CUT_SIZE
from sizing.linear import LinearProgram, Term, quiet_highs, require_optimal
from sizing.master import Master, Point
from sizing.park_year import BREACH_PRICE_PER_KWH, ENERGY, MACHINE, POWER, STORE, SUN, Counts, Offers, ParkYear
from sizing.passes import EMPTY_KWH
from sizing.start import first_point, least_cost, most_flows_kw

BLOCKS_PER_MONTH = 4
PEAK_DAYS = 3
"""Days of a month, by highest load, whose steps are not merged."""
MERGED_HOURS = 1.0
"""Length of merged steps."""
MERGED_GAP = 6e-4
"""Merging itself is off by as much: nearer is not worth its time."""
STEP_TO_MASTER = 0.6
SHORT_PRICE_PER_KWH = 20.0
"""Price of energy that is missing at the end of a block; it keeps every block solvable."""


@dataclass(frozen=True, eq=False)
class Steps:
    """The series of a year on steps of any length."""

    hours: Array
    load_kw: Array
    sun: Array
    import_price: Array
    export_price: Array
    over_price: Array
    """Import above the month's peak [money/kWh]."""
    counted: NDArray[np.bool_]
    month: Counts
    day: Counts
    demand_kw: Array
    cop: Array

    def part(self, which: slice) -> Steps:
        return Steps(**{name: values[which] for name, values in vars(self).items()})


def own_steps(year: ParkYear) -> Steps:
    """The year's own steps."""
    thermal, nothing = year.thermal, np.zeros(year.steps)
    hours = np.full(year.steps, year.hours)
    over = year.import_price + year.peaks.per_kw_above[year.month] * year.peaks.counted / year.hours
    day = np.floor(np.arange(year.steps) * year.hours / 24.0 + 1e-9).astype(np.int64)
    return Steps(
        hours, year.load_kw, year.sun, year.import_price, year.export_price, over, year.peaks.counted, year.month, day,
        nothing if thermal is None else thermal.demand_kw, nothing + 1.0 if thermal is None else thermal.cop,
    )  # fmt: skip


def merged_steps(year: ParkYear) -> Steps:
    """Neighbouring steps of a day made one by their means, but for each month's days of highest load."""
    fine = own_steps(year)
    together = max(2, round(MERGED_HOURS / year.hours))
    place = np.arange(year.steps)
    starts = (place % together == 0) | np.isin(fine.day, _peak_days(fine))
    starts |= np.diff(fine.day, prepend=-1) != 0
    starts |= np.diff(fine.counted, prepend=fine.counted[:1]) != 0
    starts |= np.diff(fine.month, prepend=-1) != 0
    first = np.flatnonzero(starts)
    count = np.diff(np.append(first, year.steps))

    def mean(values: Array) -> Array:
        return np.asarray(np.add.reduceat(values, first) / count, dtype=float)

    hours = count * year.hours
    price = mean(fine.import_price)
    over = price + year.peaks.per_kw_above[fine.month[first]] * fine.counted[first] / hours
    return Steps(
        hours, mean(fine.load_kw), mean(fine.sun), price, mean(fine.export_price), over, fine.counted[first],
        fine.month[first], fine.day[first], mean(fine.demand_kw), np.maximum.reduceat(fine.cop, first),
    )  # fmt: skip


def _peak_days(fine: Steps) -> Counts:
    """The days of highest load of every month."""
    highest = np.maximum.reduceat(np.where(fine.counted, fine.load_kw, -np.inf), _first(fine.day))
    month = fine.month[_first(fine.day)]
    days = [np.flatnonzero(month == m) for m in range(int(month[-1]) + 1)]
    return np.concatenate([own[np.argsort(highest[own])[-PEAK_DAYS:]] for own in days])


def _first(numbers: Counts) -> Counts:
    return np.flatnonzero(np.diff(numbers, prepend=-1))


@dataclass(frozen=True, eq=False)
class BlockResult:
    """A block at a point."""

    cut: Array
    """(CUT_SIZE,)"""
    cost: float
    """Energy, wear, backup and breaches, without the peak [money]."""
    peak_kw: float
    flows: dict[str, Array]


class Block:
    """The linear program of some days, kept in HiGHS; from point to point only bounds change."""

    def __init__(self, year: ParkYear, steps: Steps, limits: Array) -> None:
        self._year, self._steps, self._limits = year, steps, limits
        n = self._n = len(steps.hours)
        lp, hours = LinearProgram(), steps.hours
        battery = year.battery
        own = self._columns = {
            "import": lp.add_columns(n, hours * steps.import_price),
            "above": lp.add_columns(n, hours * steps.over_price),
            "breach": lp.add_columns(n, hours * (steps.over_price + BREACH_PRICE_PER_KWH)),
            "export": lp.add_columns(n, -hours * steps.export_price, 0.0, limits[0]),
            "sun": lp.add_columns(n),
            "charge": lp.add_columns(n),
            "discharge": lp.add_columns(n, hours * battery.wear_per_kwh),
            "energy": lp.add_columns(n),
            "short": lp.add_columns(1, SHORT_PRICE_PER_KWH),
        }
        gives = ("import", "above", "breach", "sun", "discharge")
        balance = [*((own[name], 1.0) for name in gives), (own["charge"], -1.0), (own["export"], -1.0)]
        if year.thermal is not None:
            self._add_heat(lp, own)
            balance.append((own["machine"], -1.0))
        lp.add_rows(balance, steps.load_kw, steps.load_kw, n)
        gain, loss = hours * battery.charge_efficiency, hours / battery.discharge_efficiency
        kept = self._store_rows(lp, own["energy"], np.ones(n), [(own["charge"], -gain), (own["discharge"], loss)], 0.0)
        end = lp.add_rows([(own["energy"][-1:], 1.0), (own["short"], 1.0)], 0.0, np.inf, 1)
        self._ends = {"energy": (int(kept[0]), int(end[0]), 1.0, 0.0)}
        if year.thermal is not None:
            self._end_heat(lp, own)
        self._highs = quiet_highs()
        self._highs.passModel(lp.for_highs())

    def solve(self, point: Point, start: int, end: int) -> BlockResult:
        """The block with the point's sizes and peak, from its energies at `start` to those at `end`, numbers of blocks.

        Raises:
            RuntimeError: HiGHS finds no optimum.
        """
        peak = float(point.peaks_kw[self._steps.month[0]])
        self._bound(point.sizes, peak)
        self._tie("energy", point.battery_kwh[start], point.battery_kwh[end])
        if self._year.thermal is not None:
            self._tie("heat", point.store_kwh[start], point.store_kwh[end])
        self._highs.run()
        require_optimal(self._highs, "a block of the year model")
        solution = self._highs.getSolution()
        x, reduced, dual = (np.array(v) for v in (solution.col_value, solution.col_dual, solution.row_dual))
        flows = {name: x[columns] for name, columns in self._columns.items()}
        cut = self._cut(point, peak, start, end, reduced, dual)
        return BlockResult(cut, self._cost(flows), self._peak(flows), flows)

    def _add_heat(self, lp: LinearProgram, own: dict[str, Counts]) -> None:
        thermal, n = self._year.thermal, self._n
        assert thermal is not None
        own["machine"] = lp.add_columns(n)
        own["backup"] = lp.add_columns(n, self._steps.hours * thermal.backup_price_per_kwh)
        own["heat"] = lp.add_columns(n)
        own["cold"] = lp.add_columns(1, SHORT_PRICE_PER_KWH)

    def _end_heat(self, lp: LinearProgram, own: dict[str, Counts]) -> None:
        thermal, hours = self._year.thermal, self._steps.hours
        assert thermal is not None
        keep = (1.0 - thermal.loss_per_hour) ** hours
        used = -hours * self._steps.demand_kw
        terms = [(own["machine"], -hours * self._steps.cop), (own["backup"], -hours)]
        kept = self._store_rows(lp, own["heat"], keep, terms, used)
        end = lp.add_rows([(own["heat"][-1:], 1.0), (own["cold"], 1.0)], 0.0, np.inf, 1)
        self._ends["heat"] = int(kept[0]), int(end[0]), float(keep[0]), float(used[0])

    def _store_rows(
        self, lp: LinearProgram, energy: Counts, keep: Array, terms: Sequence[tuple[Counts, Array]], used: Array | float
    ) -> Counts:
        """e[t] - keep·e[t-1] + terms = used; of the first row, what the block begins with is in its right side."""
        right = np.broadcast_to(used, self._n)
        first: list[Term] = [(energy[:1], 1.0), *((columns[:1], values[:1]) for columns, values in terms)]
        later: list[Term] = [
            (energy[1:], 1.0),
            (energy[:-1], -keep[1:]),
            *((columns[1:], values[1:]) for columns, values in terms),
        ]
        begun = lp.add_rows(first, right[:1], right[:1], 1)
        return np.append(begun, lp.add_rows(later, right[1:], right[1:], self._n - 1))

    def _bound(self, sizes: Array, peak_kw: float) -> None:
        free = np.where(self._steps.counted, peak_kw, self._limits[1])
        bounds = {
            "import": np.minimum(free, self._limits[1]), "above": np.maximum(self._limits[1] - free, 0.0),
            "sun": sizes[SUN] * self._steps.sun, "charge": sizes[POWER], "discharge": sizes[POWER],
            "energy": sizes[ENERGY],
        }  # fmt: skip
        if self._year.thermal is not None:
            bounds |= {"machine": sizes[MACHINE], "heat": sizes[STORE]}
        for name, upper in bounds.items():
            columns = self._columns[name].astype(np.int32)
            values = np.broadcast_to(upper, self._n).astype(float)
            self._highs.changeColsBounds(self._n, columns, np.zeros(self._n), values)

    def _tie(self, store: str, start_kwh: float, end_kwh: float) -> None:
        first, last, keep, used = self._ends[store]
        begun = used + keep * start_kwh
        self._highs.changeRowBounds(first, begun, begun)
        self._highs.changeRowBounds(last, end_kwh, highspy.kHighsInf)

    def _cut(self, point: Point, peak: float, start: int, end: int, reduced: Array, dual: Array) -> Array:
        """The optimum as a linear function of what the master chooses: reduced costs of what is at its bound."""
        own = self._columns

        def at_bound(name: str) -> Array:
            return np.minimum(reduced[own[name]], 0.0)

        cut = np.zeros(CUT_SIZE)
        cut[1 + ENERGY] = at_bound("energy").sum()
        cut[1 + POWER] = at_bound("charge").sum() + at_bound("discharge").sum()
        cut[1 + SUN] = at_bound("sun") @ self._steps.sun
        below = peak < self._limits[1]
        cut[6] = ((at_bound("import") - at_bound("above")) @ self._steps.counted) if below else 0.0
        first, last, _, _ = self._ends["energy"]
        cut[7], cut[8] = dual[first], dual[last]
        linked = [point.battery_kwh[start], point.battery_kwh[end], 0.0, 0.0]
        if self._year.thermal is not None:
            cut[1 + MACHINE], cut[1 + STORE] = at_bound("machine").sum(), at_bound("heat").sum()
            first, last, keep, _ = self._ends["heat"]
            cut[9], cut[10] = keep * dual[first], dual[last]
            linked[2:] = [point.store_kwh[start], point.store_kwh[end]]
        value = self._highs.getInfo().objective_function_value
        cut[0] = value - cut[1:] @ np.array([*point.sizes, peak, *linked])
        return cut

    def _cost(self, flows: dict[str, Array]) -> float:
        steps, hours = self._steps, self._steps.hours
        brought = flows["import"] + flows["above"] + flows["breach"]
        cost = hours @ (steps.import_price * brought - steps.export_price * flows["export"])
        cost += (
            BREACH_PRICE_PER_KWH * hours @ flows["breach"]
            + self._year.battery.wear_per_kwh * hours @ flows["discharge"]
        )
        cost += SHORT_PRICE_PER_KWH * flows["short"][0]
        if self._year.thermal is not None:
            cost += self._year.thermal.backup_price_per_kwh * hours @ flows["backup"]
            cost += SHORT_PRICE_PER_KWH * flows["cold"][0]
        return float(cost)

    def _peak(self, flows: dict[str, Array]) -> float:
        brought = flows["import"] + flows["above"] + flows["breach"]
        return float(brought[self._steps.counted].max(initial=0.0))


class BlockYear:
    """All blocks of a year on some steps."""

    def __init__(self, year: ParkYear, offers: Offers, steps: Steps) -> None:
        self._year, self._offers = year, offers
        limits = most_flows_kw(year, offers)
        edges = _block_edges(steps)
        self.month = steps.month[edges[:-1]]
        self.blocks = [Block(year, steps.part(slice(a, b)), limits) for a, b in pairwise(edges)]

    def run(self, point: Point) -> tuple[float, Array, Array, list[dict[str, Array]]]:
        """What the year costs at a point, its month peaks, a cut a block, and the blocks' flows."""
        after = np.roll(np.arange(len(self.blocks)), -1)
        results = [block.solve(point, n, int(after[n])) for n, block in enumerate(self.blocks)]
        peaks = np.zeros(self._year.months)
        np.maximum.at(peaks, self.month, [result.peak_kw for result in results])
        energy = sum(result.cost for result in results)
        cost = float(self._offers.cost @ point.sizes) + energy + self._year.peaks.cost(peaks)
        return cost, peaks, np.array([result.cut for result in results]), [result.flows for result in results]


def _block_edges(steps: Steps) -> list[int]:
    """First steps of the blocks and the end: whole days, so many blocks a month."""
    edges: list[int] = []
    for m in range(int(steps.month[-1]) + 1):
        own = np.flatnonzero(steps.month == m)
        days = own[_first(steps.day[own] - steps.day[own[0]])]
        wanted = np.linspace(0, len(days), min(BLOCKS_PER_MONTH, len(days)), endpoint=False)
        edges += [int(days[round(k)]) for k in wanted]
    return [*edges, len(steps.hours)]


def improvements(
    year: ParkYear, offers: Offers, steps: Steps, method: Method, point: Point | None = None
) -> Iterator[YearAnswer]:
    """The best sizes so far after each round of blocks; bounds are of the year on these steps."""
    work = BlockYear(year, offers, steps)
    master = Master(year, offers, work.month, most_flows_kw(year, offers)[1], least_cost(year, offers))
    point = first_point(year, offers, work.month) if point is None else point
    best: tuple[float, Point] | None = None
    number = 0
    while True:
        number += 1
        cost, peaks, cuts, flows = work.run(point)
        if best is None or cost < best[0]:
            kept = Point(
                point.sizes, peaks if year.peaks.billed else point.peaks_kw, point.battery_kwh, point.store_kwh
            )
            best, course = (cost, kept), flows
        master.add(cuts)
        bound, target = master.solve()
        yield _answer(year, best, bound, method, number, course, best[1])
        point = best[1].towards(target, STEP_TO_MASTER)


def best_by_blocks(year: ParkYear, offers: Offers, gap: float, prove: bool = True, most_rounds: int = 80) -> YearAnswer:
    """The best sizes by merged blocks; with `prove`, then by blocks of the year's own steps to a relative gap.

    Without the proof cost and bound are those of the merged year: estimates (`YearAnswer.proven`).
    """
    for rough in improvements(year, offers, merged_steps(year), "merged blocks"):
        if rough.gap <= MERGED_GAP or rough.passes >= most_rounds:
            break
    if not prove:
        return rough
    for answer in improvements(year, offers, own_steps(year), "blocks", rough.point):
        if answer.gap <= gap or answer.passes >= most_rounds:
            break
    return answer


def _answer(
    year: ParkYear, best: tuple[float, Point], bound: float, method: Method, number: int,
    flows: list[dict[str, Array]], point: Point,
) -> YearAnswer:  # fmt: skip
    contract = year.peaks.best_contract_kw(best[1].peaks_kw) if year.peaks.contract else None
    return YearAnswer(
        best[1].sizes, best[0], bound, best[1].peaks_kw, contract, method, number, _course(year, flows), point,
        _both_ways(flows),
    )  # fmt: skip


def _course(year: ParkYear, flows: list[dict[str, Array]]) -> Course:
    """The year's flows of all blocks, on the steps of these."""
    whole = {name: np.concatenate([block[name] for block in flows]) for name in flows[0]}
    nothing = np.zeros(len(whole["import"]))
    battery = whole["charge"] - whole["discharge"]
    net = whole["import"] + whole["above"] + whole["breach"] - whole["export"]
    energy = np.append(whole["energy"][-1:], whole["energy"])
    return Course(battery, energy, whole.get("machine", nothing), whole.get("backup", nothing), net)


def _both_ways(flows: list[dict[str, Array]]) -> int:
    """Steps in which a store or the grid is used in both directions at once."""
    found = 0
    for block in flows:
        brought = block["import"] + block["above"] + block["breach"]
        stored = np.minimum(block["charge"], block["discharge"]) > 1e3 * EMPTY_KWH
        found += int((stored | (np.minimum(brought, block["export"]) > 1e3 * EMPTY_KWH)).sum())
    return found
