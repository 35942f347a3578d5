"""What a controller is worth: its cost between doing nothing and knowing everything, and where the rest was lost.

    value_captured = (none - engine) / (none - perfect)                                                    (1)
    forecast       = engine - engine that knows the record                                                 (2)
    plant          = engine - engine whose site file says what the machines are, without lag and flutter    (3)
    horizon        = engine with both - perfect                                                            (4)
    together       = (engine - perfect) - (2) - (3) - (4)                                                  (5)

(2) and (3) are each a run that removes just that cause; (4) is what remains when both are gone: the horizon with its
coarse tail, terminal values, cars known only as sums, least part loads and whole decisions. (5) is what the causes make
of each other. The cost of fallbacks is nothing where no cycle was answered by one; where some were, it cannot be told
apart from their cause and is left open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hil.replay.case import Terms
from hil.replay.replay import Replayed, ReplayResult

Wanted = tuple[Replayed, Terms]
CAUSES = ("forecast", "plant", "both")
"""What the runs of `causes` are without, in their order."""


@dataclass(frozen=True)
class LossSplit:
    """Money lost against the bound, by cause; None for what could not be told apart."""

    forecast: float
    plant: float
    horizon: float
    fallback: float | None
    together: float

    def as_dict(self) -> dict[str, float | None]:
        """By cause, and their `total`."""
        parts = {"forecast": self.forecast, "plant": self.plant, "horizon": self.horizon, "together": self.together}
        return {**parts, "fallback": self.fallback, "total": round(sum(parts.values()), 2)}


def baselines(terms: Terms) -> list[Wanted]:
    """The runs that a controller is held against."""
    return [("none", terms), ("rules", terms), ("perfect", terms)]


def causes(terms: Terms) -> list[Wanted]:
    """The engine without the error of forecasts, without the plant's own ways, and without both."""
    return [
        ("engine", replace(terms, foresight="known")),
        ("engine", replace(terms, plant="known")),
        ("engine", replace(terms, foresight="known", plant="known")),
    ]


def value_captured(cost: float, none: float, perfect: float) -> float | None:
    """(1); None where nothing is to be won: less than a cent, or a hundredth of a per cent of the cost."""
    possible = none - perfect
    return (none - cost) / possible if possible > max(0.01, 1e-4 * abs(none)) else None


def loss_split(engine: ReplayResult, perfect: ReplayResult, without: Mapping[str, ReplayResult]) -> LossSplit:
    """By (2) to (5); `without` holds the runs without `forecast`, without `plant` and without `both`."""
    total, bound = _total(engine), _total(perfect)
    forecast, plant = (total - _total(without[cause]) for cause in ("forecast", "plant"))
    horizon = _total(without["both"]) - bound
    together = total - bound - forecast - plant - horizon
    return LossSplit(
        forecast=round(forecast, 2),
        plant=round(plant, 2),
        horizon=round(horizon, 2),
        fallback=None if engine.fallbacks else 0.0,
        together=round(together, 2),
    )


def _total(result: ReplayResult) -> float:
    return float(result.account.cost["total"])
