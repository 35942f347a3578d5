"""Money in bills: decimals, each line rounded half up to 0.01 (RULES 0)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
QUANTITY_STEP = Decimal("0.000001")


def cents(amount: Decimal) -> Decimal:
    """An amount as it stands on a bill line."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def quantity(value: float | Decimal) -> Decimal:
    """A measured kWh, kW or kvarh as a decimal, to the millionth."""
    return Decimal(str(value)).quantize(QUANTITY_STEP, ROUND_HALF_UP)
