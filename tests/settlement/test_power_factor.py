"""Power-factor adjustment (RULES 1.4, TV-08)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from settlement.money import cents
from settlement.power_factor import power_factor, power_factor_rate


@pytest.mark.parametrize(
    ("kwh", "kvarh", "base", "factor", "fee"),
    [(1_000_000, 620_000, 600_000, "0.85", "15000.00"), (700_000, 620_000, 460_000, "0.75", "34500.00")],
)
def test_tv08_pv_lowers_the_power_factor(kwh: int, kvarh: int, base: int, factor: str, fee: str) -> None:
    found = power_factor(Decimal(kwh), Decimal(kvarh))
    assert found == Decimal(factor)
    assert cents(power_factor_rate(found, 90) * base) == Decimal(fee)


def test_tv08_a_real_bill() -> None:
    assert cents(power_factor_rate(Decimal("0.91"), 90) * Decimal("6137186.5")) == Decimal("-9205.78")


@pytest.mark.parametrize(
    ("standard", "factor", "percent"),
    [
        (90, "1.00", "-0.75"), (90, "0.95", "-0.75"), (90, "0.94", "-0.60"), (90, "0.90", "0"), (90, "0.89", "0.5"),
        (90, "0.70", "10"), (90, "0.69", "11"), (90, "0.65", "15"), (90, "0.64", "17"), (90, "0.60", "25"),
        (85, "0.99", "-1.10"), (85, "0.94", "-1.10"), (85, "0.93", "-0.95"), (85, "0.92", "-0.80"),
        (85, "0.91", "-0.65"), (85, "0.90", "-0.5"), (85, "0.85", "0"), (85, "0.84", "0.5"), (85, "0.65", "10"),
        (85, "0.64", "11"), (85, "0.60", "15"), (85, "0.59", "17"),
        (80, "0.92", "-1.30"), (80, "1.00", "-1.30"), (80, "0.91", "-1.15"), (80, "0.90", "-1.0"), (80, "0.79", "0.5"),
        (80, "0.60", "10"), (80, "0.55", "15"), (80, "0.54", "17"),
    ],
)  # fmt: skip
def test_rates_of_the_three_standards(standard: int, factor: str, percent: str) -> None:
    assert power_factor_rate(Decimal(factor), standard) * 100 == Decimal(percent)


def test_registers_that_did_not_move_have_no_power_factor() -> None:
    assert power_factor(Decimal(0), Decimal(0)) is None
    assert power_factor(Decimal(0), Decimal(5)) == 0
