"""Small years for tests: made-up parks with months of a few days."""

from __future__ import annotations

import numpy as np

from sizing.park_year import BatteryTraits, Offer, Offers, ParkYear, PeakBilling, ThermalSide


def small_year(
    seed: int, *, months: int = 3, heat: bool = False, contract: bool = False, demand_price: float = 6.0,
    export: float = 0.25, import_limit_kw: float = np.inf, export_limit_kw: float = np.inf, hours: float = 1.0,
    uncounted: bool = False, days: int = 2,
) -> ParkYear:  # fmt: skip
    """Random load, sun and prices in bands; the same for the same seed."""
    rng = np.random.default_rng(seed)
    steps_of_month = int(24 * days / hours)
    n = months * steps_of_month
    clock = (np.arange(n) * hours) % 24
    load = 60.0 + 40.0 * np.sin((clock - 8.0) / 24.0 * 2.0 * np.pi) + rng.uniform(0.0, 30.0, n)
    sun = np.clip(np.sin((clock - 6.0) / 12.0 * np.pi), 0.0, 1.0) * rng.uniform(0.2, 1.0, n)
    price = np.where(clock < 8, 0.3, np.where((clock >= 16) & (clock < 21), 1.3, 0.7)) + rng.uniform(0.0, 0.05, n)
    month = np.repeat(np.arange(months), steps_of_month)
    counted = (clock >= 8) & (clock < 22) if uncounted else np.ones(n, dtype=bool)
    thermal = None
    if heat:
        demand = np.clip(40.0 + 20.0 * np.cos(clock / 24.0 * 2.0 * np.pi) + rng.uniform(-10.0, 10.0, n), 0.0, None)
        thermal = ThermalSide(demand, np.full(n, 3.0) + rng.uniform(-0.5, 0.5, n), 0.45, 0.01)
    peaks = PeakBilling(np.full(months, demand_price), counted, contract, 20.0 if contract else 0.0)
    return ParkYear(
        hours, load, sun, price, np.full(n, export), month, peaks, BatteryTraits(0.95, 0.9, 0.02), import_limit_kw,
        export_limit_kw, thermal,
    )  # fmt: skip


def small_offers(heat: bool = False, rate: float = np.inf) -> Offers:
    """Costs of a share of a year, so that something is worth building."""
    thermal = (Offer(0.02, 400.0), Offer(1.5, 60.0)) if heat else ()
    return Offers(Offer(3.0, 400.0), Offer(1.0, 100.0), Offer(9.0, 150.0), *thermal, greatest_rate_per_hour=rate)


def fixed(offers: Offers, sizes: tuple[float, ...]) -> Offers:
    """The offers with one size each."""
    return Offers(*(Offer(cost, size, size) for cost, size in zip(offers.cost, sizes, strict=True)))
