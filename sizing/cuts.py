"""Lower bounds of each month's cost, linear in what the master chooses, from the worth of stored energy alone.

For any worth λ_t of energy in the battery, μ_t of heat, and price p_t of power, weak duality gives for every month

    cost ≥ Σ_t [ p·load - (p - p_i - b)⁺·G - (p_e - p)⁺·X + μ·demand ]·Δt                                constant
           - Σ_t min((p - p_i)⁺, b)·Δt · D  - Σ_t p·sun·Δt · P                                           peak, PV
           - Σ_t max(λ·η_c - p, p - c_w - λ/η_d, 0)·Δt · B  - Σ_t (μ·cop - p)⁺·Δt · Q                    powers
           - Σ_t (λ_t - λ_{t-1})⁺ · E  - Σ_t (keep·μ_t - μ_{t-1})⁺ · H                                   stores
           + λ_end·e_end - λ_first·e_first + μ_end·h_end - keep·μ_first·h_first                          month's ends

with b the price of a kWh above the peak. The best p is the supply curve's price where all that could be turned down is.
"""

from __future__ import annotations

import numpy as np

from optimizer.time_grid import Array
from sizing.park_year import Counts
from sizing.passes import PIECES, _compiled, supply

CONSTANT = 0
CUT_SIZE = 11
"""Places in a cut: the constant, then coefficients of the five sizes in their order, of the month's peak, and of the
energies in battery and store at the start and end: e_first, e_end, h_first, h_end."""


@_compiled
def month_cuts(
    load: Array,
    sun: Array,
    steps: Array,
    limits: Array,
    month: Counts,
    worth: Array,
    traits: Array,
    sizes: Array,
    heat: Array,
    hours: float,
    keep: float,
    cuts: Array,
) -> None:
    """Fills cuts (months, CUT_SIZE), best at `sizes` and the peaks in `steps`.

    steps, limits and traits as in `passes`; worth (2, n) are λ and μ [money/kWh]; heat (2, n) are demand and cop, or
    (2, 0) where there is none.
    """  # fmt: skip
    charging, discharging, wear = traits[0], traits[1], traits[2]
    battery_kw, sun_kw, machine_kw = sizes[1], sizes[2], sizes[4]
    price, edge, more = np.empty(PIECES), np.empty(PIECES), np.empty((1, 3, 2))
    thermal = heat.shape[1] > 0
    cuts[:, :] = 0.0
    n = len(load)
    for t in range(n):
        m = month[t]
        up, down = worth[0, t] * charging, worth[0, t] / discharging + wear
        count = 2
        more[0, 0, 0], more[0, 0, 1], more[0, 1, 0], more[0, 1, 1] = up, battery_kw, down, battery_kw
        x = load[t] - sun_kw * sun[t] + battery_kw
        if thermal:
            held = worth[1, t] * heat[1, t]
            x += machine_kw
            count = 3
            if held >= down:
                more[0, 2, 0], more[0, 2, 1] = held, machine_kw
            elif held >= up:
                more[0, 2, 0], more[0, 2, 1] = down, battery_kw
                more[0, 1, 0], more[0, 1, 1] = held, machine_kw
            else:
                more[0, 2, 0], more[0, 2, 1], more[0, 1, 0], more[0, 1, 1] = down, battery_kw, up, battery_kw
                more[0, 0, 0], more[0, 0, 1] = held, machine_kw
        supply(steps, t, limits, more, 0, count, price, edge)
        k = 0
        while edge[k] < x:
            k += 1
        p = price[k]
        own, over = steps[t, 1], steps[t, 2] - steps[t, 1]
        above = max(p - own - over, 0.0)
        cuts[m, 0] += (p * load[t] - above * limits[1] - max(steps[t, 0] - p, 0.0) * limits[0]) * hours
        cuts[m, 6] -= min(max(p - own, 0.0), over) * hours
        cuts[m, 2] -= max(up - p, p - down, 0.0) * hours
        cuts[m, 3] -= p * sun[t] * hours
        begins = t == 0 or month[t - 1] != m
        if begins:
            cuts[m, 7] -= worth[0, t]
        else:
            cuts[m, 1] -= max(worth[0, t] - worth[0, t - 1], 0.0)
        ends = t == n - 1 or month[t + 1] != m
        if ends:
            cuts[m, 8] += worth[0, t]
        if thermal:
            cuts[m, 0] += worth[1, t] * heat[0, t] * hours
            cuts[m, 5] -= max(held - p, 0.0) * hours
            if begins:
                cuts[m, 9] -= keep * worth[1, t]
            else:
                cuts[m, 4] -= max(keep * worth[1, t] - worth[1, t - 1], 0.0)
            if ends:
                cuts[m, 10] += worth[1, t]
