"""Maximum demand and the basic charge (RULES 1.3; TV-05 to TV-07)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from settlement.demand import basic_charge, basic_fee, line_demand_kw, sliding_demand
from settlement.flows import Flows
from site_configs.demand import DemandMeter, contract_floor_kw
from site_configs.loader import load_site
from site_configs.site import TariffChoice
from site_configs.tariff import BasicPrices, load_tariff
from site_configs.tariff_table import Rebate

REBATE = Rebate(
    kwh_per_kva=Decimal(260), factor=Decimal("0.90"), document="发改价格〔2023〕526号", status="from_memory"
)
SHANGHAI = BasicPrices(
    Decimal("40.8"), Decimal("25.5"), REBATE, "沪发改价管〔2022〕50号", date(2023, 1, 1), "published"
)


def choice(mode: str, **more: Any) -> TariffChoice:
    given = {"area": "shanghai", "class": "two_part_1_10kv", "demand_mode": mode, "transformer_kva": 5000, **more}
    return TariffChoice.model_validate(given)


def peak_kw(samples: NDArray[np.float64], step_minutes: float) -> float:
    """Highest demand by the rule of a published tariff."""
    start = datetime(2026, 8, 25, 16, tzinfo=UTC)
    flows = Flows(start, start + len(samples) * timedelta(minutes=step_minutes), step_minutes, {"import_kw": samples})
    return line_demand_kw(DemandMeter("demand"), load_tariff(load_site("jiashan_park")), flows)


def test_tv05_the_window_slides() -> None:
    samples = np.full(60, 1000.0)
    samples[8:23] = 1600.0
    assert sliding_demand(samples, 1).max() == 1600.0
    blocks = samples.reshape(4, 15).mean(axis=1)
    assert list(blocks) == [1280.0, 1320.0, 1000.0, 1000.0]
    assert peak_kw(samples, 1) == 1600.0


def test_samples_of_the_windows_own_length_or_longer_are_taken_as_they_are() -> None:
    assert list(sliding_demand([1.0, 3.0, 2.0], 15)) == [1.0, 3.0, 2.0]
    assert peak_kw(np.array([1.0, 3.0, 2.0]), 60) == 3.0


@pytest.mark.parametrize(("count", "step"), [(60, 7), (2, 5)])
def test_a_window_that_does_not_fit_is_refused(count: int, step: int) -> None:
    with pytest.raises(ValueError, match=f"a window of 15 min does not fit {count} samples of {step} min"):
        sliding_demand(np.ones(count), step)


@given(st.lists(st.floats(0, 5000), min_size=15, max_size=90))
def test_a_sliding_peak_is_never_below_the_blocks_nor_above_the_samples(samples: list[float]) -> None:
    values = np.array(samples[: len(samples) // 15 * 15])
    peak = peak_kw(values, 1)
    assert values.reshape(-1, 15).mean(axis=1).max() <= peak + 1e-9
    assert peak <= values.max() + 1e-9


@pytest.mark.parametrize(
    ("contract", "rule", "demand", "fee"),
    [
        (3000, "continuous", 2400, "122400.00"),
        (3000, "continuous", 3150, "122400.00"),
        (3000, "jump", 3150, "122400.00"),
        (3000, "continuous", 3300, "134640.00"),
        (3000, "jump", 3300, "140760.00"),
        (1500, "continuous", 1900, "81600.00"),
        (1500, "continuous", 2200, "89760.00"),
    ],
)
def test_tv06_contract_demand(contract: float, rule: str, demand: float, fee: str) -> None:
    site = choice("contract", contract_demand_kw=contract, contract_rule=rule)
    assert basic_fee(site, SHANGHAI, demand) == Decimal(fee)


def test_tv06_actual_demand_and_capacity() -> None:
    assert basic_fee(choice("actual"), SHANGHAI, 2400) == Decimal("97920.00")
    assert basic_fee(choice("actual"), SHANGHAI, 2400, month_kwh=Decimal(270 * 5000)) == Decimal("88128.00")
    assert basic_fee(choice("actual"), SHANGHAI, 2400, month_kwh=Decimal(260 * 5000)) == Decimal("88128.00")
    assert basic_fee(choice("actual"), SHANGHAI, 2400, month_kwh=Decimal(259 * 5000)) == Decimal("97920.00")
    assert basic_fee(choice("capacity"), SHANGHAI, 2400, month_kwh=Decimal(270 * 5000)) == Decimal("127500.00")
    assert basic_fee(choice("capacity"), SHANGHAI, 0) == basic_fee(choice("actual"), SHANGHAI, 3125)


def test_tv06_shaving_below_the_contract_saves_nothing() -> None:
    site = choice("contract", contract_demand_kw=3000)
    assert basic_fee(site, SHANGHAI, 3000) == basic_fee(site, SHANGHAI, 2400)


def test_tv07_real_bills_of_hubei() -> None:
    hubei = BasicPrices(Decimal("39.0"), Decimal("24.4"), None, "鄂发改价管〔2024〕77号", date(2024, 5, 1), "published")
    september = Decimal("30842.066223") + Decimal("1.933777")
    assert basic_fee(choice("actual"), hubei, september) == Decimal("1202916.00")
    assert basic_fee(choice("actual"), hubei, 28413) == Decimal("1108107.00")


def test_motors_count_in_the_floor_of_the_contract() -> None:
    assert contract_floor_kw(choice("contract", contract_demand_kw=1500, motors_kva=500)) == Decimal(2200)


def test_no_basic_charge_in_mode_none() -> None:
    assert basic_charge(choice("none"), SHANGHAI, 2400) == ()


def test_contract_mode_without_a_contract_is_refused() -> None:
    with pytest.raises(ValueError, match="needs contract_demand_kw"):
        basic_fee(choice("contract"), SHANGHAI, 1000)
