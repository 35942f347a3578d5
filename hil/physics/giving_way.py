"""What a flexible load does when it is told to use less or more."""

from __future__ import annotations

from optimizer.devices.flexible_load import step


def give_way(
    shifted_kwh: float, target_kw: float, hours: float,
    demand_kw: float, added_max_kw: float, put_off_max_kw: float, owed_kwh: float, ahead_kwh: float, cut_share: float,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Served, added, put off [kW], energy used ahead of the demand after it [kWh], for a target > 0 to use less.

    As much as the window allows is put off; of the rest no more than the load can give up is given up.
    """
    wish = max(0.0 - target_kw, 0.0), max(target_kw, 0.0)
    _, added, put_off, shifted = step(
        shifted_kwh, demand_kw, *wish, hours, demand_kw, added_max_kw, put_off_max_kw, owed_kwh, ahead_kwh
    )
    cut = min(max(target_kw - put_off, 0.0), cut_share * demand_kw, demand_kw - put_off)
    return demand_kw - cut, added, put_off, shifted
