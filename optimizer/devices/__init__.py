"""Every device the house knows, one line each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger

DEVICES = (Battery, Chiller, ExpectedCars, GridConnection, HeatPump, Load, Pv, ThermalStore, V2gCharger)

AnyDevice = Annotated[
    Battery | Chiller | ExpectedCars | GridConnection | HeatPump | Load | Pv | ThermalStore | V2gCharger,
    Field(discriminator="kind"),
]
