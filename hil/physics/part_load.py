"""Chillers and heat pumps away from their rating: temperature curves, part load, and the time that a start takes.

Electric chiller in EnergyPlus' EIR form (RULES 4, TV-13; EnergyPlus Engineering Reference, "Electric Chiller Model
Based on Condenser Entering Temperature"):

    Q_avail = Q_ref·CAPFT(T_chw, T_cond)                                       (1)
    P = Q_avail·EIRFT(T_chw, T_cond)·EIRFPLR(PLR)/COP_ref                       (2)

CAPFT and EIRFT are biquadratic, EIRFPLR is quadratic; temperatures and PLR are held to the range of the curves, outside
which they mean nothing. Below the least PLR the machine cycles: its power is in proportion to the time that it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

Curve = tuple[float, float, float, float, float, float]
"""Coefficients of 1, x, x², y, y², xy."""
KELVIN = 273.15


@dataclass(frozen=True)
class EirChiller:
    """A chiller's rating and curves; x is the leaving chilled water, y the entering condenser water [°C]."""

    reference_kw: float
    reference_cop: float
    capacity_by_temperature: Curve
    input_by_temperature: Curve
    input_by_part_load: tuple[float, float, float]
    chilled_range_c: tuple[float, float]
    condenser_range_c: tuple[float, float]
    least_part_load: float = 0.1

    def available_kw(self, chilled_c: float, condenser_c: float) -> float:
        """Largest cooling power [kW]; equation (1)."""
        return self.reference_kw * _biquadratic(self.capacity_by_temperature, *self._held(chilled_c, condenser_c))

    def power_kw(self, part_load: float, chilled_c: float, condenser_c: float) -> float:
        """Electric power at a share of the available cooling power [kW]; equation (2)."""
        at_full = self.available_kw(chilled_c, condenser_c) / self.reference_cop
        at_full *= _biquadratic(self.input_by_temperature, *self._held(chilled_c, condenser_c))
        return at_full * input_share(part_load, *self.input_by_part_load, self.least_part_load)

    def _held(self, chilled_c: float, condenser_c: float) -> tuple[float, float]:
        (x_low, x_high), (y_low, y_high) = self.chilled_range_c, self.condenser_range_c
        return min(max(chilled_c, x_low), x_high), min(max(condenser_c, y_low), y_high)


def _biquadratic(c: Curve, x: float, y: float) -> float:
    return c[0] + c[1] * x + c[2] * x * x + c[3] * y + c[4] * y * y + c[5] * x * y


def input_share(part_load: float, c0: float, c1: float, c2: float, least: float) -> float:
    """Power over the power at full load [-]; below the least part load the machine cycles there."""
    held = min(max(part_load, least), 1.0)
    share = c0 + c1 * held + c2 * held * held
    return share * part_load / held if part_load < held else share


def carnot_cop(sink_c: float, source_c: float, quality: float) -> float:
    """COP of a heat pump that reaches this share of an ideal one [-]; RULES 4, TV-14."""
    return quality * (sink_c + KELVIN) / (sink_c - source_c)
