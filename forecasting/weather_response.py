"""How a demand answers to the weather that is foretold, for days beyond the next: one set of weights for all leads.

    r[o, t] = Σ_b b[t]·w[b]·x[o, t]                                                             (1)

x are the degrees of `outdoor`, b those of (3) of `near_model`. w is learned from what the same-type-day profile missed
one to five days ahead, by ridge towards nothing with Huber's reweighting: a load that does not feel the weather is not
moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.day_types import DayTable, Ints, LocalClock, spaced_origins
from forecasting.forecast import Array
from forecasting.measured import Measured
from forecasting.near_model import NEW_PRIOR_DAYS, basis, products, robust_ridge
from forecasting.outdoor import Outdoor
from forecasting.profile import TypeProfiles

FIRST_DAY, LAST_DAY = 1, 5
"""Days ahead that teach: degrees are degrees, and those soon to come are foretold best."""
LEAD_EVERY_HOURS = 3.25
MOST_ORIGINS = 400


@dataclass(frozen=True)
class WeatherResponse:
    """w of (1), flat."""

    weights: Array

    def at(self, degrees: Array, by: Array) -> Array:
        """(n, m) by which a demand differs, in its unit, from (n, m, 4) degrees and (n, m, b) basis."""
        moved: Array = products(degrees, by) @ self.weights
        return moved

    def ahead(self, outdoor: Outdoor, origins: Ints, leads: Ints, clock: LocalClock, days: DayTable) -> Array:
        """(n, m) the same at some leads, by what was foretold before each origin."""
        return self.at(outdoor.degrees(origins, leads, days), basis(origins, leads, clock, days))


def fit_response(past: Measured, outdoor: Outdoor, clock: LocalClock, days: DayTable) -> WeatherResponse:
    """From what was measured and foretold.

    Raises:
        ValueError: nothing was foretold of days that are over.
    """
    day = clock.steps_per_day
    first = max(past.first + day, outdoor.first_foretold)
    last = past.end - LAST_DAY * day
    origins = spaced_origins(first, last, max(clock.steps_in(LEAD_EVERY_HOURS), (last - first) // MOST_ORIGINS), clock)
    if not len(origins):
        raise ValueError("nothing was foretold of days that are over")
    leads = np.arange(FIRST_DAY * day, LAST_DAY * day, clock.steps_in(LEAD_EVERY_HOURS) or 1, dtype=np.int64)
    profiles = TypeProfiles.of(past, clock, days, np.unique(clock.days_and_slots(origins)[0]))
    missed = past.at(origins[:, None] + leads) - profiles.at_steps(profiles.table, origins, leads, clock, days)
    degrees = outdoor.degrees(origins, leads, days)
    told = degrees.any(axis=2) & np.isfinite(missed)
    x = products(degrees, basis(origins, leads, clock, days))[told]
    rows = NEW_PRIOR_DAYS * len(x) / max(1.0, (last - first) / day)
    nothing = np.zeros(x.shape[1])
    return WeatherResponse(robust_ridge(x, missed[told], nothing, nothing, rows))
