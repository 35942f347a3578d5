"""What enters the site and emits: grid import by the grid's factor, fuels where they are bought (RULES 7)."""

from __future__ import annotations

import numpy as np

from optimizer.services.base import Devices
from optimizer.situation import Situation
from optimizer.time_grid import Array


def emitting_flows(devices: Devices) -> list[tuple[str, str]]:
    """Device and quantity of every flow that counts."""
    imports = [(name, "import_kw") for name, device in devices.items() if "import_kw" in device.buses()]
    return imports + [(name, quantity) for name, device in devices.items() for quantity in device.emissions()]


def kg_per_kwh(devices: Devices, device: str, quantity: str, situation: Situation) -> Array:
    """(n,) carbon factor of one of them [kg CO2/kWh]."""
    if quantity == "import_kw":
        return situation.prices.carbon_kg_per_kwh
    return np.full(situation.shape.steps, devices[device].emissions()[quantity])
