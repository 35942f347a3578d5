"""What chillers and heat pumps really take: their meters of the last days against their data sheets.

A plan that believes a data sheet is short of power whenever the machine runs; where the month's highest draw is
billed, it defends a peak that cannot be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import fsum
from typing import NamedTuple

from optimizer.devices.cop_machine import COP_SHARE, CopMachine
from site_configs.site import Site

MEMORY = timedelta(days=10)
"""How long an interval counts."""
SHEET_HOURS = 1.0
"""The data sheet counts as much as so many hours at full power [h]: a share from few readings stays close to 1."""
BELIEVED = (0.5, 2.0)
"""Least and greatest share that is taken from an interval; beyond it one of the meters is wrong."""
TEMPERATURE = "weather.temperature_c"
DECIMALS = 4


class Power(NamedTuple):
    """A machine's power in one interval [kW]."""

    by_sheet: float
    """For what it gave, by its data sheet."""
    measured: float

    @property
    def share(self) -> float:
        """Of the data sheet's COP."""
        return self.by_sheet / self.measured


class MeasuredCop:
    """A site's machines as their meters show them, kept up interval by interval."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._machines = [device for device in site.devices if isinstance(device, CopMachine)]
        self._intervals: dict[datetime, dict[str, Power]] = {}

    def copy(self) -> MeasuredCop:
        """The same measurements, to go on from twice."""
        other = MeasuredCop(self._site)
        other._intervals = dict(self._intervals)
        return other

    def add(self, start: datetime, means: Mapping[str, float]) -> dict[str, Power]:
        """Takes in the means of the interval that began at `start`, by `<device>.<quantity>_<unit>`; gives back what it
        does not believe, by device."""
        if not self._machines:
            return {}
        found = {machine.id: power for machine in self._machines if (power := _power(machine, means)) is not None}
        least, greatest = BELIEVED
        believed = {name: power for name, power in found.items() if least <= power.share <= greatest}
        self._intervals = {at: kept for at, kept in self._intervals.items() if at >= start - MEMORY} | {start: believed}
        return {name: power for name, power in found.items() if name not in believed}

    def added_to(self, devices: Mapping[str, Mapping[str, float]], at: datetime) -> dict[str, Mapping[str, float]]:
        """The devices' states at a moment, with the share of each machine that has run."""
        measured = {name: {**devices.get(name, {}), COP_SHARE: share} for name, share in self.shares(at).items()}
        return {**devices, **measured}

    def shares(self, at: datetime) -> dict[str, float]:
        """By machine that has run in the days before `at`: the measured COP over that of its data sheet [-]."""
        found = {}
        sheet_intervals = SHEET_HOURS * 60.0 / self._site.step_minutes
        for machine in self._machines:
            powers = [
                one[machine.id] for start, one in self._intervals.items() if start >= at - MEMORY and machine.id in one
            ]
            if powers:
                sheet_kw = sheet_intervals * machine.bounds_kw()[1] * -machine.fed_per_kw()
                by_sheet = fsum([sheet_kw, *(power.by_sheet for power in powers)])
                found[machine.id] = round(by_sheet / fsum([sheet_kw, *(power.measured for power in powers)]), DECIMALS)
        return found


def _power(machine: CopMachine, means: Mapping[str, float]) -> Power | None:
    """None where the machine stood or is not metered."""
    names = f"{machine.id}.{machine.main_quantity}", f"{machine.id}.power_kw", TEMPERATURE
    if not all(name in means for name in names):
        return None
    given, taken, outdoor = (means[name] for name in names)
    return Power(given / float(machine.sheet_cop(outdoor)), taken) if given > 0.0 and taken > 0.0 else None
