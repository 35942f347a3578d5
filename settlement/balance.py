"""Whether the meters of a month agree with one another: what entered the site's bus left it (RULES 6.1).

residual = Σ |Σ in - Σ out|·Δt / gross,   gross = Σ in·Δt            <= 1 %                             (1)
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from optimizer.devices.base import Direction
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.load import Load
from settlement.utility_bill import EXPORT, IMPORT
from site_configs.site import Site

LARGEST_RESIDUAL = 0.01
OPTIONAL = ("auxiliary_kw",)
"""Small flows that many meters include in the charge."""


def balance_columns(site: Site) -> tuple[str, ...]:
    """Columns of a history folder that the balance uses where they are there."""
    return tuple(name for names, _, _ in _ends(site) for name in names)


def balance_residual(site: Site, meters: pd.DataFrame) -> float | None:
    """Share of the gross energy that is not accounted for (1); None where a flow of power is not metered."""
    into, out = np.zeros(len(meters)), np.zeros(len(meters))
    into += meters[IMPORT]
    out += meters.get(EXPORT, 0.0)
    for names, direction, needed in _ends(site):
        metered = [name for name in names if name in meters]
        if not metered and needed:
            return None
        if metered:
            side = into if direction == "in" else out
            side += meters[metered[0]].to_numpy(dtype=float)
    gross = float(into.sum())
    return float(np.abs(into - out).sum()) / gross if gross > 0 else None


def _ends(site: Site) -> list[tuple[tuple[str, ...], Direction, bool]]:
    """(columns of which the first metered one counts, direction seen from the bus, whether it must be there)."""
    ends: list[tuple[tuple[str, ...], Direction, bool]] = []
    for device in site.devices:
        if isinstance(device, GridConnection) or device.kind == "expected_cars":
            continue
        for quantity, (carrier, direction) in device.buses().items():
            names = [f"{device.id}.{quantity}"]
            if isinstance(device, Load):
                names.append(f"{device.id}.demand_kw")
            if carrier == "power":
                ends.append((tuple(names), direction, quantity not in OPTIONAL))
    return ends
