"""What a meter shows of a true value. The noise is counted, not drawn: number n of a meter is always the same."""

from __future__ import annotations

import math

import numpy as np

from optimizer.time_grid import Array

WINDOW_MINUTES = 15.0
"""Demand is billed as the highest mean over this time, sliding (RULES 1.3, TV-05)."""
_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def uniform(meter: int, number: int) -> float:
    """Evenly between 0 and 1, both excluded: the finaliser of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA) over a
    counter."""
    z = np.uint64(meter) * _MIX_1 + np.uint64(number) * _GOLDEN + _GOLDEN
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    z = z ^ (z >> _31)
    return (float(z >> _11) + 0.5) / 9007199254740992.0


def noise(meter: int, number: int) -> float:
    """Standard normal: Box and Muller (1958) over two even numbers."""
    even, angle = uniform(meter, 2 * number), uniform(meter, 2 * number + 1)
    return math.sqrt(-2.0 * math.log(even)) * math.cos(2.0 * math.pi * angle)


def reading(value_kw: float, noise_share: float, quantum_kw: float, meter: int, number: int) -> float:
    """What meter `meter` shows as reading `number` [kW]: noise in proportion, rounded to its step, never below 0."""
    shown = max(value_kw * (1.0 + noise_share * noise(meter, number)), 0.0) if noise_share > 0.0 else value_kw
    return math.floor(shown / quantum_kw + 0.5) * quantum_kw if quantum_kw > 0.0 else shown


def sliding_means(kw: Array, count: int) -> Array:
    """(n,) mean of the last `count` values at the end of each step; before the first value there was nothing."""
    sums = np.concatenate([np.zeros(1), np.cumsum(kw)])
    first = np.maximum(np.arange(1, len(kw) + 1) - count, 0)
    means: Array = (sums[1:] - sums[first]) / count
    return means
