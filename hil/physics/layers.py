"""A tank in layers: warm water floats on cold, and a store gives less as the border between them nears its outlet.

The profile is of fills, 1 for water as warm (or as cold) as it is charged, 0 for water as it comes back; the first
layer is at the useful end. Charging pushes the profile away from there and takes out what is at the other end;
discharging pushes it back:

    charging   q = ∫ (1 - f) over the volume that leaves at the far end                  (1)
    discharging q = ∫ f      over the volume that leaves at the useful end               (2)

with q the energy over the capacity. The shifted profile is averaged layer by layer, which mixes as a real inlet does;
neighbouring layers exchange heat (3). Nothing of it makes energy. Plug flow after Kleinbach, Beckman and Klein (1993,
Solar Energy 50(2), 155).
"""

from __future__ import annotations

from optimizer.time_grid import Array


def displaced(fills: Array, share: float, discharging: bool, useful_fill: float) -> tuple[float, float]:
    """Volume that leaves and energy that it carries, both over the whole, for at most this energy; (1) or (2).

    Discharging ends where what comes out is less than `useful_fill`.
    """
    n, volume, carried = len(fills), 0.0, 0.0
    for k in range(n):
        worth = fills[k] if discharging else 1.0 - fills[n - 1 - k]
        if worth <= 0.0 or (discharging and worth < useful_fill):
            if discharging:
                break
            volume += 1.0 / n
            continue
        part = min(1.0 / n, (share - carried) / worth)
        volume, carried = volume + part, carried + part * worth
        if carried >= share * (1.0 - 1e-15):
            break
    return volume, carried


def push(fills: Array, volume: float, discharging: bool) -> None:
    """Pushes so much of the volume through the profile, in place: each layer is read before it is overwritten."""
    n = len(fills)
    whole = int(volume * n)
    part = volume * n - whole
    for m in range(n):
        k = m if discharging else n - 1 - m
        near, far = (k + whole, k + whole + 1) if discharging else (k - whole, k - whole - 1)
        fills[k] = (1.0 - part) * _at(fills, near, discharging) + part * _at(fills, far, discharging)


def _at(fills: Array, k: int, discharging: bool) -> float:
    if 0 <= k < len(fills):
        return float(fills[k])
    return 0.0 if discharging else 1.0


def mixed(fills: Array, share: float) -> None:
    """Each layer exchanges this share of its content with the next one (3); at most 0.5."""
    for k in range(len(fills) - 1):
        moved = share * (fills[k] - fills[k + 1])
        fills[k] -= moved
        fills[k + 1] += moved


def step(
    fills: Array, charge_kw: float, discharge_kw: float, hours: float,
    capacity_kwh: float, charge_limit_kw: float, discharge_limit_kw: float,
    charge_efficiency: float, discharge_efficiency: float, loss_per_hour: float,
    useful_fill: float, mixing_per_hour: float, after: Array,
) -> tuple[float, float, float]:  # fmt: skip
    """One step of the store's own step in layers: charge and discharge delivered [kW], energy left [kWh]; the profile
    after it goes into `after`, `fills` stays."""
    keep, n = (1.0 - loss_per_hour) ** hours, len(fills)
    for k in range(n):
        after[k] = fills[k] * keep
    charge = min(max(charge_kw, 0.0), charge_limit_kw)
    discharge = min(max(discharge_kw, 0.0), discharge_limit_kw)
    discharging = discharge > charge
    wish = discharge / discharge_efficiency if discharging else charge * charge_efficiency
    volume, carried = displaced(after, wish * hours / capacity_kwh, discharging, useful_fill)
    power = carried * capacity_kwh / hours
    push(after, volume, discharging)
    mixed(after, min(0.5, mixing_per_hour * hours))
    energy = 0.0
    for k in range(n):
        energy += after[k] * capacity_kwh / n
    if discharging:
        return 0.0, power * discharge_efficiency, energy
    return power / charge_efficiency, 0.0, energy
