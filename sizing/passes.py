"""Least-cost use of one store over a year, exactly: value functions forward, the course backward. Compiled by Numba.

The least cost V_t(s) of reaching stored energy s after t steps is convex and piecewise linear in s. It is kept as its
lower end and a list of (slope, length), slopes rising. A step's own cost over the energy it moves is such a list, too;
going one step on merges both lists (infimal convolution) and cuts the result to [0, capacity]. Going back from the end,
λ_t, a slope of V at the course, says how far a step's own list is used: all pieces cheaper than λ_t, none dearer.

Within a step the price of one more kW follows the supply curve: what would be curtailed is free, what would be exported
costs the export price, then come import, import above the month's peak, and import above the connection's limit.
Whatever else can be turned down at a price is one more piece of that curve. (Bertsekas, Dynamic Programming and Optimal
Control I, on convex piecewise linear stages; Murota, Discrete Convex Analysis, on the merging.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from optimizer.time_grid import Array
from sizing.park_year import Counts

Function = TypeVar("Function", bound=Callable[..., Any])

PIECES = 8
"""Most pieces of a supply curve: free, export, import, above the peak, above the limit, and three that turn down."""
STEP_PIECES = 2 * PIECES
"""Most pieces of a step's own list: a battery crosses the curve downwards and upwards."""
TIE = 1e-11
"""Slopes this near to each other, relatively, count as one."""
EMPTY_KWH = 1e-12
TOO_SMALL = -1
"""Answer of `reach` when the pool cannot hold the value functions."""


def _compiled(function: Function) -> Function:
    jit: Any = numba.njit
    result: Function = jit(error_model="numpy", nogil=True)(function)
    return result


@_compiled
def supply(steps: Array, t: int, limits: Array, more: Array, row: int, count: int, price: Array, edge: Array) -> None:
    """Fills the supply curve of step t: piece k has `price[k]` up to `edge[k]` [kW], the last one without end.

    steps (n, 5): export price, import price, price above the peak, price above the limit, the month's peak limit;
    limits (export, import) [kW]; more (rows, k, 2): price and kW, by rising price, of what can be turned down, of which
    the first `count` of `row` are there.
    """
    export_limit_kw, import_limit_kw = limits[0], limits[1]
    peak_kw = min(steps[t, 4], import_limit_kw)
    price[0], at = 0.0, -export_limit_kw
    for k in range(count):
        if more[row, k, 0] < 0.0:
            at += more[row, k, 1]
    edge[0] = at
    pieces = 1
    taken = 0
    for level in range(4):
        own = steps[t, level]
        width = export_limit_kw if level == 0 else peak_kw if level == 1 else import_limit_kw - peak_kw
        while taken < count and more[row, taken, 0] <= own:
            if more[row, taken, 0] >= 0.0 and more[row, taken, 1] > 0.0:
                at += more[row, taken, 1]
                price[pieces], edge[pieces] = more[row, taken, 0], at
                pieces += 1
            taken += 1
        if level == 3:
            price[pieces], edge[pieces] = own, np.inf
            return
        if width > 0.0:
            at += width
            price[pieces], edge[pieces] = own, at
            pieces += 1


@_compiled
def battery_steps(
    base_kw: Array,
    steps: Array,
    limits: Array,
    more: Array,
    traits: Array,
    power_kw: float,
    hours: float,
    starts: Counts,
    slope: Array,
    length: Array,
    lowest: Array,
) -> None:
    """The lists of a battery's steps: from full discharge to full charge around `base_kw`.

    steps, limits and more, with a row a step, as in `supply`; traits (η_c, η_d, wear). Step t's pieces are
    [starts[t], starts[t+1]) of slope [money/kWh] and length [kWh]; its list begins at `lowest[t]` [kWh moved].
    """  # fmt: skip
    charging, discharging, wear = traits[0], traits[1], traits[2]
    price, edge = np.empty(PIECES), np.empty(PIECES)
    at = 0
    others = more.shape[1]
    for t in range(len(base_kw)):
        starts[t] = at
        lowest[t] = -power_kw * hours / discharging
        supply(steps, t, limits, more, t, others, price, edge)
        x, end, k = base_kw[t] - power_kw, base_kw[t], 0
        while edge[k] <= x:
            k += 1
        while x < end:
            until = min(edge[k], end)
            slope[at] = discharging * (price[k] - wear)
            length[at] = (until - x) * hours / discharging
            at += 1
            x = until
            if edge[k] <= x:
                k += 1
        end = base_kw[t] + power_kw
        while x < end:
            until = min(edge[k], end)
            slope[at] = price[k] / charging
            length[at] = (until - x) * hours * charging
            at += 1
            x = until
            if edge[k] <= x:
                k += 1
    starts[len(base_kw)] = at


@_compiled
def machine_steps(
    base_kw: Array,
    steps: Array,
    limits: Array,
    more: Array,
    cop: Array,
    backup: float,
    power_kw: float,
    hours: float,
    starts: Counts,
    slope: Array,
    length: Array,
    lowest: Array,
) -> None:
    """The lists of a store that is filled by a machine and a backup without limit; as `battery_steps`."""  # fmt: skip
    price, edge = np.empty(PIECES), np.empty(PIECES)
    at = 0
    others = more.shape[1]
    for t in range(len(base_kw)):
        starts[t] = at
        lowest[t] = 0.0
        supply(steps, t, limits, more, t, others, price, edge)
        x, end, k = base_kw[t], base_kw[t] + power_kw, 0
        while edge[k] <= x:
            k += 1
        while x < end and price[k] / cop[t] < backup:
            until = min(edge[k], end)
            slope[at] = price[k] / cop[t]
            length[at] = (until - x) * hours * cop[t]
            at += 1
            x = until
            if edge[k] <= x:
                k += 1
        slope[at], length[at] = backup, np.inf
        at += 1
    starts[len(base_kw)] = at


@_compiled
def reach(
    starts: Counts,
    slope: Array,
    length: Array,
    lowest: Array,
    drawn: Array,
    keep: float,
    capacity: float,
    first: float,
    at: Counts,
    pieces: Counts,
    low: Array,
    cut: Array,
    pool_slope: Array,
    pool_length: Array,
) -> int:
    """Value functions after every step, into the pool; returns the room used, or `TOO_SMALL`.

    drawn (n,) is taken from the store in each step [kWh]; keep is the share that is left of what was stored. After step
    t the list is pool[at[t] : at[t] + pieces[t]], beginning at low[t] [kWh]; cut (n+1, 2) are the slopes of the pieces
    cut off last at either end, infinite where none was.
    """  # fmt: skip
    steps = len(drawn)
    at[0], pieces[0], low[0] = 0, 0, first
    cut[0, 0], cut[0, 1] = -np.inf, np.inf
    free, grown = 0, 1.0 / keep
    for t in range(steps):
        i, i_end = at[t], at[t] + pieces[t]
        j, j_end = starts[t], starts[t + 1]
        if free + pieces[t] + j_end - j > len(pool_slope):
            return TOO_SMALL
        begin, last = free, free - 1
        while i < i_end or j < j_end:
            kept = pool_slope[i] * grown if i < i_end else np.inf
            if i < i_end and (j >= j_end or kept <= slope[j]):
                s, ell = kept, pool_length[i] * keep
                i += 1
            else:
                s, ell = slope[j], length[j]
                j += 1
            if last >= begin and pool_slope[last] == s:
                pool_length[last] += ell
            else:
                last += 1
                pool_slope[last], pool_length[last] = s, ell
        bottom = low[t] * keep + lowest[t] - drawn[t]
        left, right = -np.inf, np.inf
        while bottom < -EMPTY_KWH and begin <= last:
            left = pool_slope[begin]
            if pool_length[begin] <= EMPTY_KWH - bottom:
                bottom += pool_length[begin]
                begin += 1
            else:
                pool_length[begin] += bottom
                bottom = 0.0
        top, k = bottom, begin
        while k <= last and top + pool_length[k] < capacity - EMPTY_KWH:
            top += pool_length[k]
            k += 1
        if k <= last and top + pool_length[k] > capacity + EMPTY_KWH:
            right = pool_slope[k]
            pool_length[k] = capacity - top
        if k < last:
            right = min(right, pool_slope[k + 1])
            last = k
        if last >= begin and pool_length[last] <= 0.0:
            last -= 1
        at[t + 1], pieces[t + 1], low[t + 1] = begin, last - begin + 1, bottom
        cut[t + 1, 0], cut[t + 1, 1] = left, right
        free = last + 1
    return free


@_compiled
def course(
    starts: Counts,
    slope: Array,
    length: Array,
    lowest: Array,
    drawn: Array,
    keep: float,
    capacity: float,
    end: float,
    at: Counts,
    pieces: Counts,
    low: Array,
    cut: Array,
    pool_slope: Array,
    pool_length: Array,
    value: Array,
    moved: Array,
    energy: Array,
) -> None:
    """The best course that ends at `end`: value (n,) of stored energy after each step [money/kWh], moved (n,) into the
    store (< 0 out of it) [kWh], energy (n+1,) [kWh]. The arguments before are those of `reach`."""  # fmt: skip
    steps = len(drawn)
    near = 1e-7 * max(1.0, capacity)
    x, worth = low[steps], 0.0
    for k in range(at[steps], at[steps] + pieces[steps]):
        worth = pool_slope[k]
        x += pool_length[k]
        if x >= end - 1e-9:
            break
    s = energy[steps] = end
    for t in range(steps - 1, -1, -1):
        value[t] = worth
        tie = TIE * (1.0 + abs(worth))
        own_low, k = lowest[t], starts[t]
        while k < starts[t + 1] and slope[k] < worth - tie:
            own_low += length[k]
            k += 1
        own_high = own_low
        while k < starts[t + 1] and slope[k] <= worth + tie:
            own_high += length[k]
            k += 1
        before = worth * keep
        reached_low, k, k_end = low[t], at[t], at[t] + pieces[t]
        while k < k_end and pool_slope[k] < before - tie:
            reached_low += pool_length[k]
            k += 1
        reached_high = reached_low
        while k < k_end and pool_slope[k] <= before + tie:
            reached_high += pool_length[k]
            k += 1
        was = min(max((s + drawn[t] - own_low) / keep, reached_low), reached_high)
        move = min(max(s + drawn[t] - keep * was, own_low), own_high)
        was = min(max((s + drawn[t] - move) / keep, 0.0), capacity)
        moved[t], energy[t] = move, was
        worth = before
        if t > 0 and was <= near:
            worth = max(worth, cut[t, 0])
        if t > 0 and was >= capacity - near:
            worth = min(worth, cut[t, 1])
        s = was


@_compiled
def paid(
    net_kw: Array,
    battery_kw: Array,
    import_price: Array,
    export_price: Array,
    counted: NDArray[np.bool_],
    month: Counts,
    limits: Array,
    wear: float,
    breach_price: float,
    peaks: Array,
) -> float:
    """Energy, wear and breaches of a course, per hour of a step [money/h]; fills `peaks` (months,), zeros before, with
    the highest counted import [kW]."""
    total = 0.0
    for t in range(len(net_kw)):
        net = max(net_kw[t], -limits[0])
        price = import_price[t] if net > 0.0 else max(export_price[t], 0.0)
        total += price * net + wear * max(-battery_kw[t], 0.0) + breach_price * max(net - limits[1], 0.0)
        if counted[t]:
            peaks[month[t]] = max(peaks[month[t]], net)
    return total
