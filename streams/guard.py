"""The fast local loop: keeps import and export within their limits when reality leaves the plan.

Between two plans the plan's grid limit counts, not its battery powers: a battery that follows them blindly lets every
forecast error raise the month's peak. Above the limit curtailed PV is let in, batteries charge less, cars with slack
are put off, heat and cold stores take over from machines, batteries discharge, at last cars do; below it all this is
taken back in the opposite order, as far as the plan. A band between limit and return keeps the loop from swinging.
Plain arithmetic on arrays: the gateway's local loop calls it, and the simulated site's own cabinet compiles it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from optimizer.time_grid import Array

Roles = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

BATTERY, CAR_WITH_SLACK, CAR_DUE, PV, MACHINE = range(5)
"""What a device may be asked for: a car that is due is never put off; of a machine that makes heat or cold as much of
its power as a store can take over."""


def _usable_compiled(function: Function) -> Function:
    """Plain Python, and callable from functions that Numba compiles."""
    usable: Function = register_jitable(function)
    return usable


@_usable_compiled
def allowed_import_kw(limit_kw: float, window_kw: Array) -> float:
    """Import of this minute with which the mean over the meter's window stays within the limit [kW].

    `window_kw` are the full minutes before it in the window. Room left by earlier minutes is not used up: import would
    swing around the limit as the window moves on. Less than nothing need not be imported: where the minutes before were
    far above a limit that is new, their excess cannot be made up for, and nothing is fed to the grid in its name.
    """
    kept_kw = limit_kw - max(window_kw.sum() - limit_kw * len(window_kw), 0.0)
    return float(max(kept_kw, min(limit_kw, 0.0)))


@_usable_compiled
def raise_feeds(feed_kw: Array, roles: Roles, role: int, aim_kw: Array, amount_kw: float) -> float:
    """Raises what devices of one role feed towards `aim_kw`, by `amount_kw` altogether; what is left of it."""
    for i in range(len(feed_kw)):
        if roles[i] == role:
            step_kw = min(max(aim_kw[i] - feed_kw[i], 0.0), amount_kw)
            feed_kw[i] += step_kw
            amount_kw -= step_kw
    return amount_kw


@_usable_compiled
def lower_feeds(feed_kw: Array, roles: Roles, role: int, aim_kw: Array, amount_kw: float) -> float:
    """Lowers what devices of one role feed towards `aim_kw`, by `amount_kw` altogether; what is left of it."""
    for i in range(len(feed_kw)):
        if roles[i] == role:
            step_kw = min(max(feed_kw[i] - aim_kw[i], 0.0), amount_kw)
            feed_kw[i] -= step_kw
            amount_kw -= step_kw
    return amount_kw


@_usable_compiled
def cut_import(feed_kw: Array, roles: Roles, greatest_kw: Array, excess_kw: float) -> float:
    """Takes `excess_kw` off the import; what is left of it."""
    rest = np.minimum(greatest_kw, 0.0)
    excess_kw = raise_feeds(feed_kw, roles, PV, greatest_kw, excess_kw)
    excess_kw = raise_feeds(feed_kw, roles, BATTERY, rest, excess_kw)
    excess_kw = raise_feeds(feed_kw, roles, CAR_WITH_SLACK, rest, excess_kw)
    excess_kw = raise_feeds(feed_kw, roles, CAR_DUE, greatest_kw, excess_kw)
    excess_kw = raise_feeds(feed_kw, roles, MACHINE, greatest_kw, excess_kw)
    excess_kw = raise_feeds(feed_kw, roles, BATTERY, greatest_kw, excess_kw)
    return raise_feeds(feed_kw, roles, CAR_WITH_SLACK, greatest_kw, excess_kw)


@_usable_compiled
def give_import_back(feed_kw: Array, roles: Roles, planned_kw: Array, room_kw: float) -> float:
    """Goes back to the plan by as much import as there is room for; the room that is left."""
    room_kw = lower_feeds(feed_kw, roles, CAR_DUE, planned_kw, room_kw)
    room_kw = lower_feeds(feed_kw, roles, CAR_WITH_SLACK, np.maximum(planned_kw, 0.0), room_kw)
    room_kw = lower_feeds(feed_kw, roles, BATTERY, np.maximum(planned_kw, 0.0), room_kw)
    room_kw = lower_feeds(feed_kw, roles, MACHINE, planned_kw, room_kw)
    room_kw = lower_feeds(feed_kw, roles, CAR_WITH_SLACK, planned_kw, room_kw)
    room_kw = lower_feeds(feed_kw, roles, BATTERY, planned_kw, room_kw)
    return lower_feeds(feed_kw, roles, PV, planned_kw, room_kw)


@_usable_compiled
def cut_export(feed_kw: Array, roles: Roles, least_kw: Array, excess_kw: float) -> float:
    """Takes `excess_kw` off the export: discharge, then room in batteries and cars, then PV; what is left of it."""
    rest = np.maximum(least_kw, 0.0)
    excess_kw = lower_feeds(feed_kw, roles, BATTERY, rest, excess_kw)
    excess_kw = lower_feeds(feed_kw, roles, CAR_WITH_SLACK, rest, excess_kw)
    excess_kw = lower_feeds(feed_kw, roles, CAR_DUE, rest, excess_kw)
    excess_kw = lower_feeds(feed_kw, roles, BATTERY, least_kw, excess_kw)
    excess_kw = lower_feeds(feed_kw, roles, CAR_DUE, least_kw, excess_kw)
    excess_kw = lower_feeds(feed_kw, roles, CAR_WITH_SLACK, least_kw, excess_kw)
    return lower_feeds(feed_kw, roles, PV, least_kw, excess_kw)


@_usable_compiled
def give_export_back(feed_kw: Array, roles: Roles, planned_kw: Array, room_kw: float) -> float:
    """Goes back to the plan by as much export as there is room for; the room that is left."""
    room_kw = raise_feeds(feed_kw, roles, PV, planned_kw, room_kw)
    room_kw = raise_feeds(feed_kw, roles, CAR_WITH_SLACK, np.minimum(planned_kw, 0.0), room_kw)
    room_kw = raise_feeds(feed_kw, roles, CAR_DUE, np.minimum(planned_kw, 0.0), room_kw)
    room_kw = raise_feeds(feed_kw, roles, BATTERY, np.minimum(planned_kw, 0.0), room_kw)
    room_kw = raise_feeds(feed_kw, roles, CAR_DUE, planned_kw, room_kw)
    room_kw = raise_feeds(feed_kw, roles, CAR_WITH_SLACK, planned_kw, room_kw)
    return raise_feeds(feed_kw, roles, BATTERY, planned_kw, room_kw)


def guard(
    import_kw: float,
    import_limit_kw: float,
    export_limit_kw: float,
    band_kw: float,
    roles: Roles,
    planned_kw: Array,
    present_kw: Array,
    least_kw: Array,
    greatest_kw: Array,
) -> Array:
    """(devices,) kW that each device is to feed now (< 0: take); `present_kw` where nothing has to change.

    `import_kw` is the measured net import (< 0: export); a limit may be infinite. Arrays are by device: `planned_kw`
    as its setpoint says, `present_kw` as it runs, `least_kw` and `greatest_kw` as it can with its limits and with the
    energy and room it has now. A measurement of NaN changes nothing.
    """
    feed_kw = present_kw.copy()
    if np.isnan(import_kw):
        return feed_kw
    if import_kw > import_limit_kw:
        cut_import(feed_kw, roles, greatest_kw, import_kw - import_limit_kw)
    elif -import_kw > export_limit_kw:
        cut_export(feed_kw, roles, least_kw, -import_kw - export_limit_kw)
    else:
        give_import_back(feed_kw, roles, planned_kw, max(import_limit_kw - band_kw - import_kw, 0.0))
        give_export_back(feed_kw, roles, planned_kw, max(export_limit_kw - band_kw + import_kw, 0.0))
    return feed_kw
