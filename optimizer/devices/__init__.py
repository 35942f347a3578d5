"""Every device the house knows, one line each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optimizer.devices.absorption_chiller import AbsorptionChiller
from optimizer.devices.backup_generator import BackupGenerator
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.chp import Chp
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.devices.flexible_load import FlexibleLoad
from optimizer.devices.gas_boiler import GasBoiler
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.devices.waste_heat import WasteHeat

DEVICES = (
    AbsorptionChiller,
    BackupGenerator,
    Battery,
    Chiller,
    Chp,
    ExpectedCars,
    FlexibleLoad,
    GasBoiler,
    GasSupply,
    GridConnection,
    HeatPump,
    Load,
    Pv,
    ThermalStore,
    V2gCharger,
    WasteHeat,
)

AnyDevice = Annotated[
    AbsorptionChiller
    | BackupGenerator
    | Battery
    | Chiller
    | Chp
    | ExpectedCars
    | FlexibleLoad
    | GasBoiler
    | GasSupply
    | GridConnection
    | HeatPump
    | Load
    | Pv
    | ThermalStore
    | V2gCharger
    | WasteHeat,
    Field(discriminator="kind"),
]
