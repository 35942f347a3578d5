"""A battery's cells behind its converter: open-circuit voltage, resistance, heat and temperature.

Everything is relative to the rating: a voltage of 1 is the nominal one, a current of 1 empties the battery in an hour.

    P = E·(u(s)·i + r(T)·i²)                                   power at the cells' terminals                    (1)
    s[t+1] = keep·s[t] + i·Δt                                  what is stored, by charge                        (2)
    u_min ≤ u(s) + r(T)·i ≤ u_max                              the BMS keeps the terminal voltage               (3)
    r(T) = r·exp(a·(1/T - 1/298.15))                           colder cells resist more                         (4)
    C·dT/dt = E·r(T)·i² - G·(T - T_room)                       losses warm the cells, the container cools them  (5)

i > 0 charges. u(s) is that of LFP-graphite, flat between 10 and 95 %, as a line through measured points (Safari and
Delacourt 2011, J. Electrochem. Soc. 158(5), A562, figure 1). Voltage and resistance are those of the step's start.
"""

from __future__ import annotations

import math

OCV = ((0.0, 0.80), (0.02, 0.90), (0.05, 0.95), (0.10, 0.975), (0.40, 0.998), (0.60, 1.004), (0.95, 1.022), (1.0, 1.07))
"""State of charge and open-circuit voltage over the nominal one (3.3 V)."""
LEAST_VOLTAGE, MOST_VOLTAGE = 0.76, 1.106
"""2.5 and 3.65 V over 3.3 V."""
RESISTANCE_SLOPE_K = 2500.0
"""a of (4) [K]: at 0 °C twice the resistance of 25 °C."""
KELVIN = 273.15


def open_circuit_voltage(soc: float) -> float:
    """u(s), over the nominal voltage."""
    for n in range(len(OCV) - 1):
        (low, below), (high, above) = OCV[n], OCV[n + 1]
        if soc <= high:
            return below + (above - below) * (max(soc, low) - low) / (high - low)
    return OCV[-1][1]


def resistance(at_25_c: float, temperature_c: float) -> float:
    """r(T) of (4), voltage over nominal per current of one hour."""
    return at_25_c * math.exp(RESISTANCE_SLOPE_K * (1.0 / (temperature_c + KELVIN) - 1.0 / 298.15))


def current(power: float, voltage: float, ohms: float) -> float:
    """i of (1) for a power over the capacity [1/h]; the most that the cells can give where they cannot give so much."""
    inside = voltage * voltage + 4.0 * ohms * power
    if inside <= 0.0:
        return -0.5 * voltage / ohms
    return 2.0 * power / (voltage + math.sqrt(inside))


def step(
    energy_kwh: float, charge_kw: float, discharge_kw: float, hours: float,
    capacity_kwh: float, charge_limit_kw: float, discharge_limit_kw: float,
    charge_efficiency: float, discharge_efficiency: float, loss_per_hour: float,
    resistance_at_25_c: float, temperature_c: float,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Charge and discharge at the AC terminal [kW], energy left by charge counted [kWh], heat in the cells [kW].

    The efficiencies are the converter's alone. Limits as in the plan's step: power, what fits or is stored, and (3).
    """
    kept = energy_kwh * (1.0 - loss_per_hour) ** hours
    voltage, ohms = open_circuit_voltage(kept / capacity_kwh), resistance(resistance_at_25_c, temperature_c)
    charge = min(max(charge_kw, 0.0), charge_limit_kw)
    discharge = min(max(discharge_kw, 0.0), discharge_limit_kw)
    wish = charge * charge_efficiency if charge >= discharge else -discharge / discharge_efficiency
    i = current(wish / capacity_kwh, voltage, ohms)
    most = min((MOST_VOLTAGE - voltage) / ohms, (1.0 - kept / capacity_kwh) / hours)
    least = max((LEAST_VOLTAGE - voltage) / ohms, -kept / capacity_kwh / hours)
    i = min(max(i, min(least, 0.0)), max(most, 0.0))
    power = capacity_kwh * (voltage * i + ohms * i * i)
    heat = capacity_kwh * ohms * i * i
    energy = min(max(kept + capacity_kwh * i * hours, 0.0), capacity_kwh)
    if power >= 0.0:
        return power / charge_efficiency, 0.0, energy, heat
    return 0.0, 0.0 - power * discharge_efficiency, energy, heat


def warmed(
    temperature_c: float, heat_kw: float, hours: float, room_c: float, kwh_per_k: float, cooling_kw_per_k: float
) -> float:
    """Temperature after a step [°C]: (5) solved for a constant heat."""
    settled = room_c + heat_kw / cooling_kw_per_k
    return settled + (temperature_c - settled) * math.exp(-cooling_kw_per_k * hours / kwh_per_k)
