"""Power-factor adjustment (力调电费) after 〔83〕水电财字第215号 (RULES 1.4).

pf = round(kWh / sqrt(kWh² + kvarh²), 2);   fee = rate(pf, standard) · (basic charge + energy fees without funds)
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

PERCENT = Decimal("0.01")


@dataclass(frozen=True)
class _Standard:
    """Rates around one standard; all in percent, power factors in hundredths."""

    rebate_step: Decimal
    """Rebate for each hundredth above the standard ..."""
    rebate_steps_to: int
    """... up to this power factor."""
    rebate_above: tuple[tuple[int, Decimal], ...]
    """(power factor, rebate) beyond it; the last one holds from there on."""
    half_to: int
    """Down to here 0.5 % for each hundredth below the standard."""
    one_to: int
    """Down to here 1 % for each further hundredth, 2 % below."""


_STANDARDS = {
    90: _Standard(Decimal("0.15"), 94, ((95, Decimal("0.75")),), 70, 65),
    85: _Standard(
        Decimal("0.10"),
        90,
        ((91, Decimal("0.65")), (92, Decimal("0.80")), (93, Decimal("0.95")), (94, Decimal("1.10"))),
        65,
        60,
    ),
    80: _Standard(Decimal("0.10"), 90, ((91, Decimal("1.15")), (92, Decimal("1.30"))), 60, 55),
}


def power_factor(kwh: Decimal, kvarh: Decimal) -> Decimal | None:
    """The month's mean power factor, two decimals; None when neither register moved."""
    apparent = (kwh * kwh + kvarh * kvarh).sqrt()
    return None if apparent == 0 else (kwh / apparent).quantize(PERCENT, ROUND_HALF_UP)


def power_factor_rate(factor: Decimal, standard_percent: int) -> Decimal:
    """Surcharge (> 0) or rebate (< 0) as a fraction of the fees it is taken of."""
    hundredths = int(factor * 100)
    rules = _STANDARDS[standard_percent]
    if hundredths >= standard_percent:
        return -_rebate_percent(hundredths, standard_percent, rules) * PERCENT
    return _surcharge_percent(hundredths, standard_percent, rules) * PERCENT


def _rebate_percent(hundredths: int, standard: int, rules: _Standard) -> Decimal:
    if hundredths <= rules.rebate_steps_to:
        return rules.rebate_step * (hundredths - standard)
    return next(rebate for reached, rebate in reversed(rules.rebate_above) if hundredths >= reached)


def _surcharge_percent(hundredths: int, standard: int, rules: _Standard) -> Decimal:
    half = standard - max(hundredths, rules.half_to)
    one = max(0, rules.half_to - max(hundredths, rules.one_to))
    two = max(0, rules.one_to - hundredths)
    return Decimal(half) / 2 + one + 2 * two
