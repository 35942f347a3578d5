"""How a battery ages: with time, and with every cycle by its depth.

Three published laws, each as its source has it (RULES 5):

- Xu et al. (2018, IEEE Transactions on Smart Grid 9(2), 1131): stress factors of time, depth, state of charge and
  temperature, for LMO cells; its shape holds for other cells, its absolute life does not.
- BLAST-Lite, LFP-graphite 250 Ah prismatic cell (NREL): fitted between 10 and 45 °C and depths of 0.8 to 1.
- SAM's calendar law (NREL ssc).

Cycles are counted by rainflow (ASTM E1049-85, three points): a range that closes counts 1, what is left at the end 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from optimizer.time_grid import Array

KELVIN = 273.15
SECONDS_PER_DAY = 86_400.0


class Cycle(NamedTuple):
    """A full (1.0) or half (0.5) cycle of the state of charge."""

    depth: float
    mean_soc: float
    count: float


def turning_points(soc: Array) -> Array:
    """The values at which a course turns, with its ends."""
    steps = np.diff(soc)
    moved = np.concatenate([[True], steps != 0.0])
    course = soc[moved]
    if len(course) < 3:
        return course
    turns = np.sign(np.diff(course[:-1])) != np.sign(np.diff(course[1:]))
    return course[np.concatenate([[True], turns, [True]])]


def rainflow(soc: Array) -> Iterator[Cycle]:
    """Cycles of a course of the state of charge [0..1]."""
    stack: list[float] = []
    for point in turning_points(soc):
        stack.append(float(point))
        while len(stack) >= 3 and abs(stack[-2] - stack[-3]) <= abs(stack[-1] - stack[-2]):
            first = len(stack) == 3
            yield _cycle(stack[-3], stack[-2], 0.5 if first else 1.0)
            del stack[-3 if first else slice(-3, -1)]
    for before, after in pairwise(stack):
        yield _cycle(before, after, 0.5)


def _cycle(one: float, other: float, count: float) -> Cycle:
    return Cycle(abs(one - other), (one + other) / 2, count)


def depth_stress(depth: float) -> float:
    """Linear damage of a cycle of this depth at 50 % and 25 °C [-] (Xu)."""
    return 1.0 / (1.40e5 * depth**-0.501 - 1.23e5) if depth > 0.0 else 0.0


def soc_stress(soc: float) -> float:
    """Factor of the mean state of charge [-] (Xu)."""
    return math.exp(1.04 * (soc - 0.50))


def temperature_stress(temperature_c: float) -> float:
    """Factor of the cell temperature [-] (Xu), 1 at 25 °C; some copies of the law have another reference."""
    kelvin = temperature_c + KELVIN
    return math.exp(0.0693 * (kelvin - 298.15) * 298.15 / kelvin)


def time_stress(seconds: float) -> float:
    """Linear damage of standing at 50 % and 25 °C [-] (Xu)."""
    return 4.14e-10 * seconds


def xu_damage(soc: Array, hours: float, temperature_c: float) -> float:
    """Linear damage of a course of the state of charge with a value every `hours` [-]; damages of spans add up."""
    warm = temperature_stress(temperature_c)
    cycled = sum(c.count * depth_stress(c.depth) * soc_stress(c.mean_soc) for c in rainflow(soc))
    stood = time_stress(len(soc) * hours * 3600.0) * soc_stress(float(soc.mean()))
    return (cycled + stood) * warm


def xu_capacity_lost(damage: float) -> float:
    """Share of the capacity that a linear damage has taken [-]: first the film on the anode, then in proportion."""
    film = 0.0575
    return 1.0 - film * math.exp(-121.0 * damage) - (1.0 - film) * math.exp(-damage)


def blast_lite_cycling_lost(full_cycles: float, depth: float, c_rate: float, temperature_c: float) -> float:
    """Share of the capacity that so many equivalent full cycles have taken [-] (BLAST-Lite)."""
    return blast_lite_cycling_rate(depth, c_rate, temperature_c) * full_cycles**0.828


def blast_lite_cycling_rate(depth: float, c_rate: float, temperature_c: float) -> float:
    """k of `blast_lite_cycling_lost` [-]; c_rate in capacities per hour."""
    kelvin = temperature_c + KELVIN
    wear = 4.38e-8 + 1.55e-8 * depth + 1.68e-7 * c_rate
    return wear * (math.exp(2190.0 / kelvin) + math.exp(-1.55e5 / kelvin))


def blast_lite_calendar_lost(days: float, anode_potential_v: float, temperature_c: float) -> float:
    """Share of the capacity that so many days have taken [-] (BLAST-Lite); the anode's potential falls with charge."""
    kelvin = temperature_c + KELVIN
    rate = 8.37e4 * math.exp(-5210.0 / kelvin) * math.exp(-3560.0 * anode_potential_v / kelvin)
    return rate * days**0.526


def sam_calendar_rate(soc: float, temperature_c: float) -> float:
    """k of SAM's calendar law [1/sqrt(day)]: in its exponent stands SOC/T - 1/296, not SOC/T - SOC/296."""
    kelvin = temperature_c + KELVIN
    return 0.00266 * math.exp(-7280.0 * (1.0 / kelvin - 1.0 / 296.0)) * math.exp(930.0 * (soc / kelvin - 1.0 / 296.0))


def sam_calendar_capacity(days: float, soc: float, temperature_c: float) -> float:
    """Relative capacity after so many days of the same state [-] (SAM); 1.02 when new."""
    return 1.02 - sam_calendar_rate(soc, temperature_c) * math.sqrt(days)


def sam_calendar_step(lost: float, days: float, soc: float, temperature_c: float) -> float:
    """Capacity lost after a further span, from what was lost before it [-] (SAM), for states that change."""
    rate = sam_calendar_rate(soc, temperature_c)
    return lost + 0.5 * rate**2 * days / lost if lost > 0.0 else rate * math.sqrt(days)
