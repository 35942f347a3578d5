"""Charging by constant current, then constant voltage (CC-CV): from which charge on a car draws less, and how much.

With an open-circuit voltage that rises in a line near full, u(s) = 1 - b·(1 - s), and a resistance r, the terminal
reaches the end voltage of a full cell, 1, when u(s) + r·c = 1, c being the charging power over the capacity [1/h]:

    s_cv = 1 - r·c/b                                     (1)
    i(s) = b·(1 - s)/r     from there on                 (2)

The current falls in a line of the charge, which is the law of `optimizer.devices.v2g_charger`; charging ends at the
cut-off current. So a car at a quick charger tapers early, one at a slow charger only just before it is full.
"""

from __future__ import annotations

VOLTAGE_RISE = 0.30
"""b: rise of the open-circuit voltage over the nominal one per charge near full [-], of NMC cells."""
RESISTANCE = 0.03
"""r: voltage over nominal per current of one hour [h]."""
CUT_OFF_PER_HOUR = 0.05
"""Current at which charging ends [1/h]."""


def taper(charge_kw: float, capacity_kwh: float) -> tuple[float, float]:
    """State of charge from which a car draws less [-], and the share of its power that it draws when it is full [-]."""
    c_rate = charge_kw / capacity_kwh
    falls_to = min(1.0, CUT_OFF_PER_HOUR / c_rate)
    return 1.0 - RESISTANCE * c_rate / VOLTAGE_RISE * (1.0 - falls_to), falls_to
