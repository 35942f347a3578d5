"""Savings of several measures divided among them: they do not add up by themselves (RULES 6.2).

    Shapley:     φ_i = Σ over orders of (v(before and i) - v(before)) / number of orders                    (1)
    sequential:  φ_i = v(first ... i) - v(first ... before i), in the order the contract fixes              (2)

v(S) is what the measures S save alone: the bill without any less the bill with S. Parts may be negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import combinations
from math import factorial

from settlement.money import cents

Value = Callable[[frozenset[str]], Decimal]
"""Savings of a set of measures together."""


def shapley(measures: Sequence[str], value: Value) -> dict[str, Decimal]:
    """By (1), rounded to the cent; the remainder goes to the largest, so that the parts add up to all savings."""
    exact = {name: _mean_gain(name, measures, value) for name in measures}
    return _whole(exact, value(frozenset(measures)))


def sequential(order: Sequence[str], value: Value) -> dict[str, Decimal]:
    """By (2)."""
    gains = {}
    for n, name in enumerate(order):
        gains[name] = value(frozenset(order[: n + 1])) - value(frozenset(order[:n]))
    return gains


def _mean_gain(name: str, measures: Sequence[str], value: Value) -> Decimal:
    others, count = [other for other in measures if other != name], len(measures)
    total = Decimal(0)
    for size in range(count):
        orders = factorial(size) * factorial(count - size - 1)
        for before in combinations(others, size):
            total += orders * (value(frozenset((*before, name))) - value(frozenset(before)))
    return total / factorial(count)


def _whole(exact: dict[str, Decimal], total: Decimal) -> dict[str, Decimal]:
    rounded = {name: cents(part) for name, part in exact.items()}
    if rounded:
        largest = max(rounded, key=lambda name: abs(rounded[name]))
        rounded[largest] += total - sum(rounded.values(), Decimal(0))
    return rounded
