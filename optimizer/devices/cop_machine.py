"""Machines whose power follows from what they give by a COP of the weather, corrected by what their meters have shown.

    COP[t] = s·COP_sheet(T_out[t])

s is the state `cop_share`, 1 where none is reported: scale, wear and rounded-up data sheets change the level of a
machine's COP by several percent for months, its course over the weather much less.
"""

from __future__ import annotations

from abc import abstractmethod

from optimizer.devices.base import Device
from optimizer.situation import Situation
from optimizer.time_grid import Array

COP_SHARE = "cop_share"
"""State: the measured COP over that of the data sheet [-]."""


class CopMachine(Device):
    """A machine that makes its main quantity from `power_kw`."""

    @abstractmethod
    def sheet_cop(self, outdoor_c: Array | float) -> Array:
        """What the data sheet says that the machine gives per power taken, auxiliaries included [-]."""

    def required_series(self) -> tuple[str, ...]:
        return ("weather.temperature_c",)

    def conditions(self, situation: Situation) -> dict[str, Array]:
        share = situation.start_of(self.id, COP_SHARE, 1.0)
        return {"cop": share * self.sheet_cop(situation.need("weather.temperature_c"))}
