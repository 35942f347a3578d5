"""Judges a run by its scenario's criteria, on what the plant really did and what its cabinet really held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.gateway_loop import sliding_demand_kw
from hil.measured import served_cars
from hil.scenarios.running import ScenarioRun
from hil.scenarios.schema import (
    AnyCriterion,
    CarsServed,
    DemandAtMost,
    EnergyWithin,
    ExportAtMost,
    ImportAtMost,
    InForce,
    LimitAtMost,
    NoneOld,
    PowerWithin,
    Served,
    ShedInOrder,
    Tracks,
)
from optimizer.time_grid import Array
from site_configs.demand import BASIC_MINUTES
from site_configs.shedding import shed_list

Bools = NDArray[np.bool_]
SHED_SHARE = 0.25
"""Part of a load's demand: with more of it missing the load counts as shed, with more of it served as not. A setpoint
speaks of the forecast demand, so that a load that is told to stop keeps what it wants beyond that."""
GONE_KW = 1e-9


@dataclass(frozen=True)
class Finding:
    """What a criterion came to."""

    criterion: str
    """Kind of the criterion, with what it is about."""
    passed: bool
    measured: float
    """The worst value that was found; minutes, kW or kWh, as `unit` says."""
    allowed: float
    unit: str
    minute: int | None
    """Where it was found first, in minutes from the start; None where it is of the whole window."""


def judge(run: ScenarioRun) -> tuple[Finding, ...]:
    """One finding for each criterion of the scenario, in its order."""
    return tuple(
        _JUDGES[type(criterion)](criterion, _View(run, criterion)) for criterion in run.setting.scenario.criteria
    )


class _View:
    """A run's minutes within a criterion's window."""

    def __init__(self, run: ScenarioRun, criterion: AnyCriterion) -> None:
        self.run, self.records = run, run.records
        self.first = criterion.from_minute
        self.last = criterion.to_minute or run.setting.scenario.minutes

    def get(self, name: str) -> Array:
        """(minutes,) of the window."""
        return self.records.get(name)[self.first : self.last]

    def sum(self, names: Iterable[str]) -> Array:
        """(minutes,) of those that are recorded."""
        known = [self.get(name) for name in names if name in self.records.columns]
        return np.sum(known, axis=0) if known else np.zeros(self.last - self.first)

    def power_kw(self, device: str) -> Array:
        """(minutes,) > 0 feeds the bus."""
        given = ("discharge_kw", "used_kw", "cold_kw", "heat_kw")
        return self.sum(f"{device}.{q}" for q in given) - self.sum([f"{device}.charge_kw"])

    def seq(self) -> NDArray[np.int64]:
        return self.run.followed.seq[self.first : self.last]

    def age(self) -> Array:
        return self.run.followed.age_minutes[self.first : self.last]

    def at_most(self, what: str, values: Array, allowed: float, unit: str = "kW", grace: int = 0) -> Finding:
        """Whether values stay within what is allowed, but for runs of up to `grace` minutes."""
        kept = _beyond_grace(values > allowed + 1e-9, grace)
        if not kept.any():
            calm = values[values <= allowed + 1e-9]
            return Finding(what, True, float(np.max(calm, initial=0.0)), allowed, unit, None)
        worst = int(np.argmax(np.where(kept, values, -np.inf)))
        return Finding(what, False, float(values[worst]), allowed, unit, self.first + worst)


def _beyond_grace(flags: Bools, grace: int) -> Bools:
    """(n,) the flags without the first `grace` of every unbroken run of them."""
    kept, length = flags.copy(), 0
    for place, flag in enumerate(flags):
        length = length + 1 if flag else 0
        kept[place] = length > grace
    return kept


def _tracks(criterion: Tracks, view: _View) -> Finding:
    found = [_tracking(criterion, view, device) for device in criterion.devices]
    return max(found, key=lambda one: one.measured - one.allowed)


def _tracking(criterion: Tracks, view: _View, device: str) -> Finding:
    told, real = view.get(f"{device}.target_kw"), view.power_kw(device)
    changed = np.concatenate([[False], np.abs(np.diff(told)) > criterion.kw])
    calm = _minutes_since(changed) >= criterion.settle_minutes
    off = np.where(calm, np.abs(real - told), 0.0)
    allowed = np.maximum(criterion.share * np.abs(told), criterion.kw)
    worst = int(np.argmax(off - allowed))
    passed = bool(off[worst] <= allowed[worst] + 1e-9)
    minute = None if passed else view.first + worst
    return Finding(f"tracks {device}", passed, float(off[worst]), float(allowed[worst]), "kW", minute)


def _minutes_since(changed: Bools) -> Array:
    """(n,) minutes since the last change; many before the first."""
    since, count = np.zeros(len(changed)), 10_000.0
    for place, flag in enumerate(changed):
        count = 0.0 if flag else count + 1.0
        since[place] = count
    return since


def _in_force(criterion: InForce, view: _View) -> Finding:
    missing = view.age() > criterion.age_minutes
    gaps = np.array([_longest(missing[:, n]) for n in range(missing.shape[1])], dtype=float)
    worst = int(np.argmax(gaps))
    device = view.run.followed.devices[worst]
    passed = bool(gaps[worst] <= criterion.gap_minutes)
    return Finding(f"in_force {device}", passed, float(gaps[worst]), float(criterion.gap_minutes), "min", None)


def _longest(flags: Bools) -> int:
    longest = length = 0
    for flag in flags:
        length = length + 1 if flag else 0
        longest = max(longest, length)
    return longest


def _none_old(criterion: NoneOld, view: _View) -> Finding:
    age, seq = view.age(), view.seq()
    highest = np.maximum.accumulate(seq, axis=0)
    back = (seq > 0) & (seq < highest)
    age = np.where(back, view.last, np.where(seq == 0, 0.0, np.minimum(age, view.last)))
    return view.at_most("none_old", age.max(axis=1), float(criterion.age_minutes), "min")


def _demand(criterion: DemandAtMost, view: _View) -> Finding:
    before = max(view.first - BASIC_MINUTES + 1, 0)
    demand = sliding_demand_kw(view.records.get("meter.import_kw")[before : view.last])
    return replace(view.at_most("demand_at_most", demand, criterion.kw), minute=None)


def _import(criterion: ImportAtMost, view: _View) -> Finding:
    return view.at_most("import_at_most", view.get("meter.import_kw"), criterion.kw, grace=criterion.grace_minutes)


def _export(criterion: ExportAtMost, view: _View) -> Finding:
    return view.at_most("export_at_most", view.get("meter.export_kw"), criterion.kw, grace=criterion.grace_minutes)


def _limit(criterion: LimitAtMost, view: _View) -> Finding:
    return view.at_most("limit_at_most", view.get("meter.limit_kw"), criterion.kw)


def _served(criterion: Served, view: _View) -> Finding:
    missing = sum(float(_missing_kw(view, load).sum()) / 60.0 for load in criterion.loads)
    what = f"served {', '.join(criterion.loads)}"
    return Finding(what, missing <= criterion.missing_kwh + 1e-9, missing, criterion.missing_kwh, "kWh", None)


def _missing_kw(view: _View, load: str) -> Array:
    """(minutes,) what a load wanted and did not get."""
    used = view.sum([f"{load}.served_kw", f"{load}.added_kw"]) - view.sum([f"{load}.put_off_kw"])
    return np.maximum(view.get(f"{load}.demand_kw") - used, 0.0)


def _shed_in_order(criterion: ShedInOrder, view: _View) -> Finding:
    """Of a load that stands before one that is without power, the share that is still served."""
    order = shed_list(view.run.setting.site)
    wants = np.maximum([view.get(f"{load}.demand_kw") for load in order], GONE_KW)
    missing = np.array([_missing_kw(view, load) for load in order]) / wants
    served = np.zeros(view.last - view.first)
    for later in range(1, len(order)):
        before = np.max(1.0 - missing[:later], axis=0)
        served = np.maximum(served, np.where(missing[later] > SHED_SHARE, before, 0.0))
    return view.at_most("shed_in_order", 100.0 * served, 100.0 * SHED_SHARE, "%", criterion.grace_minutes)


def _power(criterion: PowerWithin, view: _View) -> Finding:
    kw = view.power_kw(criterion.device)
    beyond = np.maximum(kw - criterion.greatest_kw, criterion.least_kw - kw)
    outside = _beyond_grace(beyond > 1e-6, criterion.grace_minutes)
    worst = int(np.argmax(np.where(outside, beyond, -np.inf)) if outside.any() else np.argmax(np.abs(kw)))
    bound = criterion.greatest_kw if kw[worst] > criterion.least_kw else criterion.least_kw
    minute = view.first + worst if outside.any() else None
    return Finding(f"power_within {criterion.device}", not outside.any(), float(kw[worst]), bound, "kW", minute)


def _energy(criterion: EnergyWithin, view: _View) -> Finding:
    taken = -sum(float(view.power_kw(device).sum()) / 60.0 for device in criterion.devices)
    passed = criterion.least_kwh <= taken <= criterion.greatest_kwh
    bound = criterion.least_kwh if taken < criterion.least_kwh else criterion.greatest_kwh
    return Finding(f"energy_within {', '.join(criterion.devices)}", passed, taken, bound, "kWh", None)


def _cars(criterion: CarsServed, view: _View) -> Finding:
    run = view.run
    start = run.setting.start
    cars = [car for car in served_cars(run.plant, run.records).cars if car.session.session_id not in run.setting.said]
    within = [car for car in cars if car.session.depart <= start + timedelta(minutes=view.last)]
    missed = sum(car.missed_kwh for car in within)
    return Finding(
        f"cars_served ({len(within)} cars)", missed <= criterion.missing_kwh, missed, criterion.missing_kwh, "kWh", None
    )


_JUDGES: Mapping[type, Callable[[Any, _View], Finding]] = {
    Tracks: _tracks,
    InForce: _in_force,
    NoneOld: _none_old,
    DemandAtMost: _demand,
    ImportAtMost: _import,
    ExportAtMost: _export,
    LimitAtMost: _limit,
    Served: _served,
    ShedInOrder: _shed_in_order,
    PowerWithin: _power,
    EnergyWithin: _energy,
    CarsServed: _cars,
}
