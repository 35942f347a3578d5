"""What the near model expects before it has seen a load: weights learned over many other loads.

    min over w  Σ_n ρ(y[n] - x[n]·w) + d·n/days·Σ_f mean(x_f²)·(w_f - w0_f)²                    (1)

How much of an anomaly is left after some hours differs little between an office and a steel works, since anomalies are
differences from the load's own profile: the weights w0 have no unit. A load's own days have to speak against them, d of
them as loud as the prior; days and not rows, because what a day's rows miss a day ahead they miss together.

The weights in `near_prior.json` were learned by `benchmarks/load_prior.py` on recorded loads that are named there.

Source: ridge towards a prior mean, i.e. the posterior mean of a normal prior; A. Gelman et al., "Bayesian Data
Analysis", 3rd ed., ch. 14.8.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from forecasting.day_types import LocalClock
from forecasting.forecast import Array

HALF_NEW_DAYS = 150.0


def newness(days: float) -> float:
    """How far a load with so many days of history is still new: 1 without any, one half after 150 days, an eighth after
    400."""
    return 1.0 / (1.0 + (days / HALF_NEW_DAYS) ** 2)


@dataclass(frozen=True, eq=False)
class NearPrior:
    """w0 of (1) at some leads; between them weights run straight over the logarithm of the lead."""

    name: str
    hours: Array = field(repr=False)
    """(k,) from the origin to the end of the interval forecast, ascending."""
    weights: Array = field(repr=False)
    """(k, b, p) weights as those of `NearModel`."""

    def at(self, leads: int, clock: LocalClock, features: int) -> Array:
        """(leads, b·features) weights for the first leads of a load; before the first and after the last as there.
        Features after those that other loads have shown are expected to say nothing."""
        hours = np.log((np.arange(leads) + 1) * clock.step_minutes / 60)
        more = features - self.weights.shape[2]
        flat = np.pad(self.weights, ((0, 0), (0, 0), (0, more))).reshape(len(self.hours), -1)
        return np.stack([np.interp(hours, np.log(self.hours), column) for column in flat.T], axis=1)

    def written(self, **more: object) -> str:
        """As the text of a file."""
        rounded = np.round(self.weights, 4).tolist()
        return json.dumps({"name": self.name, **more, "hours": self.hours.tolist(), "weights": rounded}) + "\n"

    @classmethod
    def read(cls, text: str) -> Self:
        found = json.loads(text)
        return cls(found["name"], np.array(found["hours"], dtype=float), np.array(found["weights"], dtype=float))
