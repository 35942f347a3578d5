"""What a site reports that it can do now: a battery that its management system derates, a grid that is away.

The state `<device>.<flow>_limit_kw` caps the flow `<flow>_kw`: `battery1.discharge_limit_kw` what the battery may give,
`grid.import_limit_kw` what the grid gives, 0 in an island. A report below the device's own limit is planned with for
`TAKEN_TO_LAST` from now on; every cycle sees the next report.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from optimizer.model import Model
from optimizer.program import Program
from optimizer.situation import Situation
from optimizer.time_grid import TimeGrid

TAKEN_TO_LAST = timedelta(hours=4)
"""How long a limit is planned with that nobody says the end of: an evening is not planned on a battery that is gone,
and an island saves for some hours; what comes after is planned as usual."""


def reported_kw(situation: Situation, device: str, quantity: str) -> float:
    """The cap that a site reports for a flow now [kW]; infinite where it reports none."""
    return situation.start_of(device, f"{quantity.removesuffix('_kw')}_limit_kw", math.inf)


def steps_reported(grid: TimeGrid) -> int:
    """Near steps for which reported limits are planned with."""
    return min(grid.near, math.ceil(TAKEN_TO_LAST / timedelta(minutes=grid.step_minutes)))


def within_reported(program: Program, model: Model, situation: Situation) -> Program:
    """The program with the flows of the first steps within what the site reports."""
    caps = [(flow, reported_kw(situation, flow.device, flow.quantity)) for flow in model.flows]
    if all(math.isinf(cap_kw) for _, cap_kw in caps):
        return program
    count = steps_reported(situation.grid)
    lower, upper = program.lower.copy(), program.upper.copy()
    for flow, cap_kw in caps:
        columns = model.compiled.columns_of(flow.variable)[:count]
        for bounds in (lower, upper):
            bounds[columns] = bounds[columns].clip(max=max(cap_kw, 0.0))
    return replace(program, lower=lower, upper=upper)
