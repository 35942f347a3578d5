"""The bound: what the replay would have cost with everything known, as one linear program over each billing month.

Nothing is a forecast in it: loads, sun, prices and cars are the recorded ones, the machines are those of the case's
own site, and what makes plans dearer is left out: least part loads, whole decisions, and one direction at a time but
where a kilowatt both ways earns by itself. There, as where export pays more than import costs, the linear program
would buy and sell what no meter lets pass, and one of the two is chosen by branch and bound. Months are linked by
what stores and cars hold: each is solved with a week of the next one and goes on from where the one before ended, so
that what is left at a month's end is worth what the next month makes of it. At the end of the replay stores may be
empty.
A month of quarter hours takes HiGHS's interior point two seconds; building its rows takes five times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import highspy
import numpy as np

from hil.plant import Plant, Records
from hil.recorded import sessions_by_charger
from hil.replay.case import Block, Case, Stretch, Window
from hil.replay.control import BlockResult, Cycle, counted_result, plant_of
from hil.replay.foresight import recorded_ahead
from optimizer.balance import FeederLimit, feeders_without
from optimizer.branching import pays_by_itself
from optimizer.choices import Choices
from optimizer.devices import AnyDevice
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.model import Model, build
from optimizer.program import Program, without_fixed
from optimizer.situation import Situation
from optimizer.solver import QuietHighs, pass_program
from optimizer.time_grid import Array, TimeGrid
from site_configs.prices import prices_for
from streams.control_cycle import feeder_limits
from streams.site_state import local_days

LOOK_AHEAD = timedelta(days=7)
"""Of the next month that a month is solved with."""
METHODS = (("hipo", "off"), ("ipm", "off"), ("simplex", "off"))
"""Ways to solve it and whether they cross over to a corner; the next one where one finds no optimum."""
DIRECTIONS_GAP = 1e-3
"""Proven distance from the optimum with which directions are chosen, relative to the cost."""
DIRECTIONS_NODES = 500
"""A search that proves no such distance by then leaves the linear bound as it is."""

States = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Optimum:
    """The best course of a window's steps."""

    flows: Mapping[tuple[str, str], Array]
    """By device and quantity: (n,) kW."""
    states: Mapping[tuple[str, str], Array]
    """By device and name: (n + 1,)."""

    def at_end(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for (device, name), values in self.states.items():
            found.setdefault(device, {})[name] = float(values[-1])
        return found


def bound_of(case: Case, window: Window, states: States) -> tuple[States, BlockResult]:
    """The bound of one window from the states before it; the states after it, and its flows as if they were measured.

    The plant of the case must be one that its site tells of: `known` or `as_planned`.

    Raises:
        RuntimeError: the program has no optimum.
    """
    found = _optimum(case, window, states)
    plant = plant_of(case, replace(window, begin=window.start))
    records = as_records(plant, found, case.site.step_minutes)
    block = Block(window, Stretch(window.start, window.end), window.start, window.end)
    cycle = Cycle(window.start, "optimal", 0.0)
    return found.at_end(), counted_result(plant, block, records, (cycle,))


def _optimum(case: Case, window: Window, states: States) -> Optimum:
    devices, feeders = _known_devices(case)
    situation = _situation(case, window.start, min(window.end + LOOK_AHEAD, case.end), states)
    model = build(devices, feeders, situation.shape)
    inputs = {device.id: device.inputs(situation, device.conditions(situation)) for device in devices}
    values = model.compiled.parameters.values(inputs)
    x = _minimum(model.compiled.program(values), model.choices_at(values), window)
    return _read(model, devices, x, (window.end - window.start) // case.step)


def _known_devices(case: Case) -> tuple[tuple[AnyDevice, ...], tuple[FeederLimit, ...]]:
    """Without the cars that stand for those to come: all are known."""
    devices = tuple(device for device in case.site.devices if device.kind != "expected_cars")
    expected = {device.id for device in case.site.devices if device.kind == "expected_cars"}
    return devices, feeders_without(feeder_limits(case.site), expected)


def _situation(case: Case, start: datetime, end: datetime, states: States) -> Situation:
    grid = TimeGrid(start, case.site.step_minutes, (end - start) // case.step)
    rows = recorded_ahead(case, end).loc[start : end - case.step]
    series = {str(name): rows[name].to_numpy(dtype=float) for name in rows}
    return Situation(
        site=case.site.id,
        issued_at=start,
        grid=grid,
        state=states,
        series=series,
        prices=prices_for(case.site, case.tariff, grid, series),
        sessions=sessions_by_charger(case.history.sessions, case.site.devices, start, end),
        local_day=local_days(case.site, grid),
    )


def _minimum(program: Program, choices: Choices, window: Window) -> Array:
    relaxed = _linear_minimum(program, window)
    directions = Choices(choice for choice in choices if pays_by_itself(program, choice))
    if not directions.broken(relaxed):
        return relaxed
    directed = _directed_minimum(program, directions)
    return relaxed if directed is None else directed


def _linear_minimum(program: Program, window: Window) -> Array:
    part = without_fixed(program)
    for method, crossover in METHODS:
        highs = _highs()
        highs.setOptionValue("solver", method)
        highs.setOptionValue("run_crossover", crossover)
        pass_program(highs, part.program, np.zeros(len(part.columns), dtype=bool))
        highs.run()
        if highs.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            return part.whole(np.asarray(highs.getSolution().col_value, dtype=float))
    raise RuntimeError(
        f"no optimum from {window.start} to {window.end}: {highs.modelStatusToString(highs.getModelStatus())}"
    )


def _directed_minimum(program: Program, directions: Choices) -> Array | None:
    """One direction at a time, within `DIRECTIONS_GAP`; None where the search does not come so near."""
    extended, whole = directions.as_binaries(program)
    part = without_fixed(extended)
    highs = _highs()
    highs.setOptionValue("mip_rel_gap", DIRECTIONS_GAP)
    highs.setOptionValue("mip_max_nodes", DIRECTIONS_NODES)
    pass_program(highs, part.program, whole[part.columns])
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return part.whole(np.asarray(highs.getSolution().col_value, dtype=float))[: len(program.cost)]


def _highs() -> QuietHighs:
    highs = QuietHighs()
    highs.setOptionValue("parallel", "off")
    return highs


def _read(model: Model, devices: tuple[AnyDevice, ...], x: Array, steps: int) -> Optimum:
    def values(variable: object, count: int) -> Array:
        return x[model.compiled.columns_of(variable)[:count]]

    ports = {device.id: model.ports[device.id] for device in devices}
    return Optimum(
        {(d, q): np.maximum(values(v, steps), 0.0) for d, port in ports.items() for q, v in port.flows.items()},
        {(d, name): values(v, steps + 1) for d, port in ports.items() for name, v in port.states.items()},
    )


def as_records(plant: Plant, found: Optimum, step_minutes: int) -> Records:
    """The optimum as minutes of the plant: powers held within a step, by cars only while they are there."""
    columns = [_minutes_of(plant, found, name, step_minutes) for name in plant.columns]
    return Records(plant.drivers.start, plant.columns, np.stack(columns, axis=1))


def _minutes_of(plant: Plant, found: Optimum, column: str, step_minutes: int) -> Array:
    device, quantity = column.split(".", 1)
    if device == "meter":
        device = next(d.id for d in plant.truth.site.devices if d.kind == "grid_connection")
    held = found.flows.get((device, quantity))
    if held is not None:
        there = _there(plant, device, step_minutes)
        return np.repeat(held, step_minutes) * there
    if (device, quantity) in found.states:
        values = found.states[device, quantity]
        minutes = np.arange(1, (len(values) - 1) * step_minutes + 1) / step_minutes
        return np.interp(minutes, np.arange(len(values)), values)
    if quantity == "unserved_kw":
        demand = plant.conditions[device]["demand_kw"].reshape(-1, step_minutes).mean(axis=1)
        return np.repeat(np.maximum(demand - found.flows[device, "served_kw"], 0.0), step_minutes)
    return plant.drivers.get(column, 0, _minutes(found, step_minutes))


def _minutes(found: Optimum, step_minutes: int) -> int:
    return len(next(iter(found.flows.values()))) * step_minutes


def _there(plant: Plant, device: str, step_minutes: int) -> Array | float:
    """(minutes,) factor that brings a step's energy into the minutes in which a car stands there; 1 of all else."""
    if not isinstance(plant.devices[plant.slots[device]] if device in plant.slots else None, V2gCharger):
        return 1.0
    stands = plant.conditions[device]["share"]
    means = stands.reshape(-1, step_minutes).mean(axis=1)
    spread = np.repeat(np.where(means > 0, means, 1.0), step_minutes)
    return np.where(np.repeat(means > 0, step_minutes), stands / spread, 1.0)
