"""The best sizes of battery, PV, heat store and machine for a year, with proof: passes, cuts and the master in turn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from optimizer.time_grid import Array
from sizing import passes
from sizing.answer import Course, Method, YearAnswer
from sizing.cuts import CUT_SIZE, month_cuts
from sizing.master import Master, Point
from sizing.park_year import BREACH_PRICE_PER_KWH, ENERGY, MACHINE, POWER, STORE, SUN, Counts, Offers, ParkYear
from sizing.start import first_point, least_cost, most_flows_kw

STALLED = 3e-4
"""With two stores the search ends when cost and bound have come nearer by less than this share of the cost ..."""
STALLED_PASSES = 4
"""... in so many passes: where the two no longer get on, the sizes have long been right."""
FIRST_STEP = 0.3
STEP_TO_MASTER = 0.65
"""The next point lies this far from the best one towards the master's: nearer zigzags, farther overshoots."""
LEAST_SHARE = 1e-6
"""Sizes are tried at no less than this share of the largest offered: at 0 a pass sees no worth of a first kWh."""
POOL_PER_STEP = 48
"""Pieces of value functions a step that are made room for at first."""


class StorePass:
    """Passes over one store; arrays are kept from pass to pass."""

    def __init__(self, steps: int, pieces_per_step: int) -> None:
        self._starts: Counts = np.zeros(steps + 1, dtype=np.int64)
        self._slope, self._length = np.empty(pieces_per_step * steps), np.empty(pieces_per_step * steps)
        self._lowest = np.empty(steps)
        self._at, self._pieces = np.zeros(steps + 1, dtype=np.int64), np.zeros(steps + 1, dtype=np.int64)
        self._low, self._cut = np.empty(steps + 1), np.empty((steps + 1, 2))
        self._pool_slope, self._pool_length = np.empty(POOL_PER_STEP * steps), np.empty(POOL_PER_STEP * steps)
        self.value, self.moved, self.energy = np.empty(steps), np.empty(steps), np.empty(steps + 1)

    @property
    def lists(self) -> tuple[Counts, Array, Array, Array]:
        """Where the steps' own lists go: starts, slope, length, lowest."""
        return self._starts, self._slope, self._length, self._lowest

    def run(self, drawn: Array, keep: float, capacity: float, first: float) -> None:
        """From the steps' lists to `value`, `moved` and `energy` of the best course from `first` back to it."""
        head = (*self.lists, drawn, keep, capacity, first, self._at, self._pieces, self._low, self._cut)
        while passes.reach(*head, self._pool_slope, self._pool_length) == passes.TOO_SMALL:
            size = 2 * len(self._pool_slope)
            self._pool_slope, self._pool_length = np.empty(size), np.empty(size)
        passes.course(*head, self._pool_slope, self._pool_length, self.value, self.moved, self.energy)


class YearPasses:
    """Exact dispatch and cuts of one year at given points."""

    def __init__(self, year: ParkYear, offers: Offers) -> None:
        self.year, self._offers = year, offers
        self._limits = most_flows_kw(year, offers)
        self._traits = np.array([
            year.battery.charge_efficiency, year.battery.discharge_efficiency, year.battery.wear_per_kwh,
        ])  # fmt: skip
        self._steps = self._price_steps()
        self._battery = StorePass(year.steps, passes.STEP_PIECES)
        self._nothing = np.zeros(year.steps)
        self._no_more = np.empty((year.steps, 0, 2))
        self._heat = np.empty((2, 0))
        self._keep = 1.0
        if year.thermal is not None:
            self._store = StorePass(year.steps, passes.PIECES)
            self._heat = np.array([year.thermal.demand_kw, year.thermal.cop])
            self._keep = (1.0 - year.thermal.loss_per_hour) ** year.hours
            self._heat_worth = np.empty(0)
            self._battery_kw = np.zeros(year.steps)

    def at_least(self, point: Point) -> Point:
        """The point with no size at nothing, and energies within the stores."""
        sizes = np.maximum(point.sizes, np.minimum(LEAST_SHARE * self._offers.greatest, self._offers.greatest))
        peaks = np.minimum(point.peaks_kw, self._limits[1])
        return Point(
            sizes, peaks, np.minimum(point.battery_kwh, sizes[ENERGY]), np.minimum(point.store_kwh, sizes[STORE])
        )

    def run(self, point: Point) -> tuple[Course, Array]:
        """A course of the year at a point, and a cut a month (months, CUT_SIZE)."""
        self._steps[:, 4] = np.where(self.year.peaks.counted, point.peaks_kw[self.year.month], np.inf)
        if self.year.thermal is None:
            return self._one_store(point)
        return self._two_stores(point)

    def cost(self, point: Point, course: Course) -> tuple[float, Array]:
        """What the year costs with the point's sizes and a course, and its month peaks."""
        cost, peaks = running_cost(self.year, course, self._limits)
        return float(self._offers.cost @ point.sizes) + cost, peaks

    def _price_steps(self) -> Array:
        """(n, 5) as `passes.supply` reads them; the peak is filled in before every pass."""
        year = self.year
        over = year.import_price + year.peaks.per_kw_above[year.month] * year.peaks.counted / year.hours
        export = np.maximum(year.export_price, 0.0)
        return np.column_stack([export, year.import_price, over, over + BREACH_PRICE_PER_KWH, np.zeros(year.steps)])

    def _one_store(self, point: Point) -> tuple[Course, Array]:
        base = self.year.load_kw - point.sizes[SUN] * self.year.sun
        self._run_battery(point, base, self._no_more)
        drawn = self._drawn_by_battery()
        course = Course(drawn, self._battery.energy.copy(), self._nothing, self._nothing, base + drawn)
        return course, self._cuts(point, np.array([self._battery.value, self._nothing]))

    def _two_stores(self, point: Point) -> tuple[Course, Array]:
        """Each store in turn: with the other as it runs for a course, with the other at its price for the cuts."""
        base = self.year.load_kw - point.sizes[SUN] * self.year.sun
        course = self._course_in_turn(point, base)
        return course, self._cuts(point, self._worth_in_turn(point, base))

    def _course_in_turn(self, point: Point, base: Array) -> Course:
        thermal = self.year.thermal
        assert thermal is not None
        self._run_store(point, base + self._battery_kw, self._no_more)
        if not len(self._heat_worth):
            self._heat_worth = self._store.value.copy()
        machine, backup = self._machine_and_backup(point, base + self._battery_kw)
        self._run_battery(point, base + machine, self._no_more)
        battery = self._drawn_by_battery()
        return Course(battery, self._battery.energy.copy(), machine, backup, base + machine + battery)

    def _worth_in_turn(self, point: Point, base: Array) -> Array:
        """(2, n) worth of energy in battery and store, each found with the other at the price it had last."""
        thermal = self.year.thermal
        assert thermal is not None
        machine_kw, battery_kw = point.sizes[MACHINE], point.sizes[POWER]
        held = np.minimum(self._heat_worth, thermal.backup_price_per_kwh) * thermal.cop
        self._run_battery(point, base + machine_kw, _pieces(held, machine_kw)[:, None, :])
        self._battery_kw = self._drawn_by_battery()
        value = self._battery.value.copy()
        up, down = value * self._traits[0], value / self._traits[1] + self._traits[2]
        both = np.stack([_pieces(up, battery_kw), _pieces(down, battery_kw)], axis=1)
        self._run_store(point, base + battery_kw, both)
        self._heat_worth = np.minimum(self._store.value, thermal.backup_price_per_kwh)
        return np.array([value, self._heat_worth])

    def _run_battery(self, point: Point, base: Array, more: Array) -> None:
        passes.battery_steps(
            base, self._steps, self._limits, more, self._traits, point.sizes[POWER], self.year.hours,
            *self._battery.lists,
        )  # fmt: skip
        self._battery.run(self._nothing, 1.0, point.sizes[ENERGY], float(point.battery_kwh[0]))

    def _run_store(self, point: Point, base: Array, more: Array) -> None:
        thermal = self.year.thermal
        assert thermal is not None
        passes.machine_steps(
            base, self._steps, self._limits, more, thermal.cop, thermal.backup_price_per_kwh, point.sizes[MACHINE],
            self.year.hours, *self._store.lists,
        )  # fmt: skip
        drawn = thermal.demand_kw * self.year.hours
        self._store.run(drawn, self._keep, point.sizes[STORE], float(point.store_kwh[0]))

    def _drawn_by_battery(self) -> Array:
        moved = self._battery.moved / self.year.hours
        return np.asarray(np.where(moved > 0.0, moved / self._traits[0], moved * self._traits[1]))

    def _machine_and_backup(self, point: Point, base: Array) -> tuple[Array, Array]:
        """Who makes the heat of the last pass of the store: the machine first [kW of power], then the backup [kW]."""
        thermal = self.year.thermal
        assert thermal is not None
        made = self._store.moved / self.year.hours
        starts, _, length, _ = self._store.lists
        used = length[: starts[-1]]
        cheap = np.add.reduceat(np.where(np.isfinite(used), used, 0.0), starts[:-1])
        machine = np.minimum(made, cheap / self.year.hours) / thermal.cop
        return machine, np.maximum(made - machine * thermal.cop, 0.0)

    def _cuts(self, point: Point, worth: Array) -> Array:
        cuts = np.empty((self.year.months, CUT_SIZE))
        year = self.year
        month_cuts(
            year.load_kw, year.sun, self._steps, self._limits, year.month, worth, self._traits, point.sizes,
            self._heat, year.hours, self._keep, cuts,
        )  # fmt: skip
        return cuts


def _pieces(price: Array, kw: float) -> Array:
    """(n, 2) something of `kw` that can be turned down at a price."""
    return np.column_stack([price, np.full(len(price), kw)])


def running_cost(year: ParkYear, course: Course, limits: Array) -> tuple[float, Array]:
    """What a course costs within the limits of export and import, and its month peaks; investment not included."""
    peaks = np.zeros(year.months)
    hourly = passes.paid(
        course.net_kw, course.battery_kw, year.import_price, year.export_price, year.peaks.counted, year.month, limits,
        year.battery.wear_per_kwh, BREACH_PRICE_PER_KWH, peaks,
    )  # fmt: skip
    if year.thermal is not None:
        hourly += year.thermal.backup_price_per_kwh * float(course.backup_kw.sum())
    return hourly * year.hours + year.peaks.cost(peaks), peaks


def improvements(year: ParkYear, offers: Offers) -> Iterator[YearAnswer]:
    """The best sizes so far after each pass, with a bound that rises; goes on until it is left alone."""
    work, months = YearPasses(year, offers), np.arange(year.months)
    master = Master(year, offers, months, most_flows_kw(year, offers)[1], least_cost(year, offers))
    point, best, number = first_point(year, offers, months), None, 0
    while True:
        point, number = work.at_least(point), number + 1
        course, cuts = work.run(point)
        cost, peaks = work.cost(point, course)
        if best is None or cost < best[0]:
            kept = peaks if year.peaks.billed else point.peaks_kw
            best = cost, Point(point.sizes, kept, point.battery_kwh, point.store_kwh), course
        master.add(cuts)
        bound, target = master.solve()
        yield _answer(year, best, bound, number)
        point = best[1].towards(target, STEP_TO_MASTER if number > 1 else FIRST_STEP)


def best_by_value_functions(year: ParkYear, offers: Offers, gap: float, most_passes: int = 100) -> YearAnswer:
    """The best sizes to a relative gap, or as near as so many passes come.

    Raises:
        ValueError: costs are not convex (`ParkYear.why_not_convex`).
    """
    if found := year.why_not_convex():
        raise ValueError("; ".join(found))
    gaps: list[float] = []
    for answer in improvements(year, offers):
        gaps.append(answer.gap)
        if answer.gap <= gap or answer.passes >= most_passes or (year.thermal is not None and _stalled(gaps)):
            break
    return answer


def _stalled(gaps: list[float]) -> bool:
    return len(gaps) > STALLED_PASSES and gaps[-1 - STALLED_PASSES] - gaps[-1] < STALLED


def _answer(year: ParkYear, best: tuple[float, Point, Course], bound: float, number: int) -> YearAnswer:
    cost, point, course = best
    contract = year.peaks.best_contract_kw(point.peaks_kw) if year.peaks.contract else None
    method: Method = "value function" if year.thermal is None else "value functions in turn"
    return YearAnswer(point.sizes, cost, bound, point.peaks_kw, contract, method, number, course, point)
