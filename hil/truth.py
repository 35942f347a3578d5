"""What the site really is, as far as it differs from what the plan believes.

A `Truth` holds the site's devices with parameters of their own (the device class stays the schema) and what the plan
does not model at all: lags, delays, tapering cars, meters. `Truth.drawn` draws it from a seeded generator within the
`Deviation` given; `Truth.exact` is the plan's own belief, for tests that plan and plant agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hil.drivers import Flutter
from optimizer.devices import AnyDevice
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.time_grid import Array
from site_configs.site import Site

Span = tuple[float, float]
"""Least and greatest value of an even draw."""


@dataclass(frozen=True)
class Deviation:
    """How far the truth may lie from the site file; a value is drawn evenly from each span, per device."""

    battery_efficiency_lost: Span = (0.005, 0.015)
    """Taken from each of charge and discharge efficiency [-]: 1 to 3 points of the round trip."""
    battery_capacity_lost: Span = (0.02, 0.06)
    """Share of the rated capacity that ageing has taken [-]."""
    charger_efficiency_lost: Span = (0.0, 0.02)
    """Taken from each of a charger's efficiencies [-]."""
    cop_lost: Span = (-0.02, 0.08)
    """Share of the COP that is missing [-]; below 0 the machine is better than its data sheet."""
    supply_raised_k: Span = (0.0, 3.0)
    """Kelvin by which a heat pump's supply is warmer than stated: the COP is that of the higher lift."""
    store_efficiency_lost: Span = (0.0, 0.02)
    """Taken from each of a thermal store's efficiencies [-]."""
    store_loss_factor: Span = (1.0, 1.5)
    """Times the loss to the room that the site file states [-]."""


@dataclass(frozen=True)
class Dynamics:
    """How setpoints become power."""

    delay_minutes: int = 1
    """From the moment a new setpoint holds until the device begins to follow it [min]."""
    converter_lag_minutes: float = 0.2
    """First-order lag of power electronics: batteries, chargers, PV inverters [min]; 0 follows at once."""
    machine_lag_minutes: float = 3.0
    """First-order lag of chillers, heat pumps and the valves of thermal stores [min]; 0 follows at once."""
    taper_from: float = 0.95
    """State of charge from which a car draws less [-], if its content is known and its charger has no `taper_from_soc`
    of its own; 1 never tapers. At a third of the capacity per hour and less, as at an AC charger, the cells reach their
    end voltage late."""
    taper_least: float = 0.1
    """Share of the charger's power that a car still draws when it is all but full [-]."""
    converter_ramp_per_minute: float = float("inf")
    """Largest change of the power of power electronics within a minute, as a share of the largest power [1/min]."""


@dataclass(frozen=True)
class Cells:
    """Batteries with voltage, resistance, heat and temperature (`hil.physics.cells`), per kWh of capacity."""

    resistance: float = 0.03
    """At 25 °C: voltage over nominal per current of one hour [h]."""
    converter_efficiency: float = 0.98
    """Of the converter alone, each way [-]; in the place of the battery's own efficiencies."""
    heat_capacity_kwh_per_k: float = 0.0025
    """Heat that the cells of a kWh take up per kelvin [1/K]."""
    cooling_kw_per_k: float = 0.001
    """Heat that the container takes away from the cells of a kWh per kelvin above its room [1/(K·h)]."""
    room_c: float = 25.0
    """Temperature of the container [°C]."""


@dataclass(frozen=True)
class Tanks:
    """Thermal stores in layers (`hil.physics.layers`)."""

    layers: int = 20
    useful_fill: float = 0.5
    """Fill of the layer at the outlet below which what comes out is of no use [-]."""
    mixing_per_hour: float = 0.02
    """Share of its content that a layer exchanges with the next one [1/h]."""


@dataclass(frozen=True)
class Machines:
    """Chillers and heat pumps away from their rating (`hil.physics.part_load`), and starts that take time."""

    input_by_part_load: tuple[float, float, float] = (0.2778889, 0.2338363, 0.4882748)
    """Power over that of full load: constant, linear, quadratic [-]; a centrifugal chiller's (RULES 4, TV-13), whose
    last coefficient is lowered by 1e-4 so that full load is exactly 1."""
    start_minutes: float = 3.0
    """From a call until a compressor gives anything [min]."""
    absorption_start_minutes: float = 30.0
    """The same of an absorption chiller [min]."""


@dataclass(frozen=True)
class Physics:
    """What the truth knows beyond the plan's own physics; None leaves the plan's."""

    cells: Cells | None = None
    tanks: Tanks | None = None
    machines: Machines | None = None
    cars_by_cells: bool = False
    """Whether cars of known content taper by CC-CV (`hil.physics.car_cells`), each by its charger and capacity."""


@dataclass(frozen=True)
class Meters:
    """How measured values differ from true ones."""

    noise_share: float = 0.005
    """Standard deviation of a sub-meter's reading as a share of the value [-] (class 0.5)."""
    billing_noise_share: float = 0.001
    """The same of the billing meter at the grid connection [-]."""
    quantum_kw: float = 0.1
    """Step of a power reading [kW]; 0 does not round."""
    quantum_kwh: float = 0.1
    """Step of an energy reading [kWh]; 0 does not round."""
    quantum_c: float = 0.1
    """Step of a temperature reading [°C]; 0 does not round."""


@dataclass(frozen=True)
class Truth:
    """The devices as they really are, and what lies between setpoint, power and reading."""

    site: Site
    """As the plan knows it."""
    devices: tuple[AnyDevice, ...]
    """In the order of the site file."""
    dynamics: Dynamics = Dynamics()
    meters: Meters = Meters()
    physics: Physics = Physics()
    flutters: Mapping[str, Flutter] = field(default_factory=dict)
    """How the recorded series move within their intervals, by series name."""
    guards: bool = True
    """Whether the site's own cabinet keeps the grid limit minute by minute; False leaves that to the gateway."""

    @classmethod
    def exact(cls, site: Site) -> Truth:
        """The plan's own parameters, without lag, delay, taper or noise."""
        return cls(
            site,
            site.devices,
            Dynamics(0, 0.0, 0.0, 1.0, 1.0),
            Meters(0.0, 0.0, 0.0, 0.0, 0.0),
        )

    @classmethod
    def drawn(cls, site: Site, rng: np.random.Generator, deviation: Deviation | None = None) -> Truth:
        """A truth within `deviation` of the site file; the same generator state gives the same truth."""
        spans = deviation or Deviation()
        devices = tuple(_aged(device, spans, rng) for device in site.devices)
        return cls(site, devices, flutters=_flutters(site))


LOAD_FLUTTER = 0.03
"""Standard deviation of an electric load's minutes within a quarter hour, share of its mean."""
THERMAL_FLUTTER = 0.02
"""The same of heat and cold demand."""
PV_FLUTTER = 0.10
"""The same of PV under passing clouds."""


def _flutters(site: Site) -> dict[str, Flutter]:
    flutters = {}
    for device in site.devices:
        if device.kind == "load":
            share = LOAD_FLUTTER if device.carrier == "power" else THERMAL_FLUTTER
            flutters[f"{device.id}.demand_kw"] = Flutter(share)
        elif device.kind == "pv":
            flutters[f"{device.id}.available_kw"] = Flutter(PV_FLUTTER, ceiling=device.capacity_kw)
    return flutters


def _aged(device: AnyDevice, spans: Deviation, rng: np.random.Generator) -> AnyDevice:
    if isinstance(device, Battery):
        lost = rng.uniform(*spans.battery_efficiency_lost, size=2)
        fade = rng.uniform(*spans.battery_capacity_lost)
        aged = {**_less_efficient(device, lost), "capacity_kwh": device.capacity_kwh * (1 - fade)}
        return device.model_copy(update=aged)
    if isinstance(device, V2gCharger):
        return device.model_copy(update=_less_efficient(device, rng.uniform(*spans.charger_efficiency_lost, size=2)))
    if isinstance(device, ThermalStore):
        lost = rng.uniform(*spans.store_efficiency_lost, size=2)
        loss = device.loss_per_hour * rng.uniform(*spans.store_loss_factor)
        return device.model_copy(update={**_less_efficient(device, lost), "loss_per_hour": loss})
    if isinstance(device, Chiller):
        share = 1 - rng.uniform(*spans.cop_lost)
        return device.model_copy(update={"cop_points": tuple((t, cop * share) for t, cop in device.cop_points)})
    if isinstance(device, HeatPump):
        raised = rng.uniform(*spans.supply_raised_k)
        return device.model_copy(update={"supply_temperature_c": device.supply_temperature_c + raised})
    return device


def _less_efficient(device: Battery | V2gCharger | ThermalStore, lost: Array) -> dict[str, float]:
    return {
        "charge_efficiency": max(0.01, device.charge_efficiency - float(lost[0])),
        "discharge_efficiency": max(0.01, device.discharge_efficiency - float(lost[1])),
    }
