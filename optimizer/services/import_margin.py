"""What a site may draw beyond its central forecast, and the one demand line that it matters for."""

from __future__ import annotations

import math

import numpy as np

from optimizer.services.base import Devices, connection_of
from optimizer.situation import DemandLine, Situation
from optimizer.time_grid import Array

MARGIN = "import_margin_kw"
"""Quantity of the grid connection's series with the margin; a situation without it has none."""
RAISED_A_DAY = 0.1
"""Chance that one day raises the month's peak by its margin."""
ONE_OF_A_MONTH = 1 / 30
"""Chance that a day's peak is the one that is billed, where nothing is known of the days to come."""


def applying_line(situation: Situation) -> DemandLine | None:
    """The one line whose peak a reserve is for: the only one that applies now, with demand measured over one step."""
    found = [line for line in situation.prices.demand if line.price_per_kw > 0.0 and line.inside[0] > 0.0]
    return found[0] if len(found) == 1 and found[0].averaged_steps == 1 else None


def chance_of_being_billed(situation: Situation) -> float:
    """That today raises the peak, and that no later day of the bill would have raised it as far anyhow."""
    left = situation.prices.bill_days_left
    if left is None:
        return ONE_OF_A_MONTH
    days_to_come = max(1, math.ceil(left)) - 1
    return RAISED_A_DAY * (1.0 - RAISED_A_DAY) ** days_to_come


def prices_by_line(situation: Situation, chance: float) -> dict[str, float]:
    """Of each line the price that a reserve reckons with [money/kW]: that of the line which it is for, by the chance
    that a kW of it is billed; 0 for others."""
    applying = applying_line(situation)
    return {
        f"price_per_kw_{line.id}": chance * line.price_per_kw if line is applying else 0.0
        for line in situation.prices.demand
    }


def is_margin_known(situation: Situation, devices: Devices) -> bool:
    return _margin(situation, devices) is not None


def margin_kw(situation: Situation, devices: Devices) -> Array:
    """(near,) of the steps in which the line counts for the running bill; in others so low that nothing is asked for.
    0 where no margin is known."""
    near, line, connection = situation.grid.near, applying_line(situation), connection_of(devices)
    margin = _margin(situation, devices)
    if margin is None or line is None:
        return np.zeros(near)
    counted = (line.inside[:near] > 0.0) & (np.asarray(situation.prices.billing_period[:near]) == 0)
    return np.where(counted, margin[:near], -connection.bounds_kw()[1])


def _margin(situation: Situation, devices: Devices) -> Array | None:
    return situation.series.get(f"{connection_of(devices).id}.{MARGIN}")


def window_of(step: int, near: int, ends: tuple[float, ...]) -> int:
    """Number of the window that a step lies in, of those that end at these shares of the near steps."""
    return next(number for number, share in enumerate(ends) if step < max(1.0, share * near))
