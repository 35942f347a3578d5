"""Cash flow by hand-calculated cases and by what must hold for any."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.contract import contract_of
from site_configs.loader import load_site
from sizing.candidates import BatteryCandidate, Candidates, Economics, PvCandidate
from sizing.cash_flow import CashFlow, cash_flow, internal_rate, payback, present_value
from sizing.operation import OperatingYear
from sizing.parties import party_flows
from sizing.sensitivity import tornado
from sizing.site_year import BuiltSizes

BUILT = BuiltSizes(battery_kwh=1000.0, battery_kw=500.0, pv_kw=200.0)
PLAIN = Economics(
    horizon_years=3, discount_rate=0.1, income_tax_rate=0.0, upkeep_change_per_year=0.0, depreciation_years=3
)


def candidates(economics: Economics = PLAIN, upkeep: float = 0.0) -> Candidates:
    battery = BatteryCandidate(
        device="battery1", capacity_kwh=(0, 2000), power_kw=(0, 1000), cost_per_kwh=800, cost_per_kw=200,
        upkeep_share=upkeep, residual_share=0.0,
    )  # fmt: skip
    pv = PvCandidate(device="pv1", capacity_kw=(0, 500), cost_per_kw=3000, upkeep_share=upkeep, residual_share=0.0)
    return Candidates(battery=battery, pv=pv, economics=economics)


def operating(years: int = 3, pv: float = 200_000.0, battery: float = 400_000.0) -> list[OperatingYear]:
    return [
        OperatingYear(
            year=number, pv_saving=pv, battery_saving=battery, options_saving=0.0, discharged_kwh=5e5, sun_kwh=2e5,
            cost_without=3_000_000.0, import_without_kwh=4e6, import_kwh=3.8e6, health=1.0, replaced=False,
        )
        for number in range(1, years + 1)
    ]  # fmt: skip


def worth(economics: Economics = PLAIN, upkeep: float = 0.0) -> CashFlow:
    return cash_flow(candidates(economics, upkeep), BUILT, operating(economics.horizon_years))


def test_value_rate_and_payback_by_hand() -> None:
    """1 500 000 buys 600 000 a year for three years at 10 %."""
    found = worth()
    assert [flow.net for flow in found.flows] == pytest.approx([-1_500_000, 600_000, 600_000, 600_000])
    assert found.npv == pytest.approx(-1_500_000 + 600_000 * (1 / 1.1 + 1 / 1.21 + 1 / 1.331))
    assert found.irr == pytest.approx(0.0970, abs=1e-4)
    assert found.payback_years == pytest.approx(2.5)
    assert found.discounted_payback_years is None


def test_tax_is_on_what_is_left_after_depreciation() -> None:
    """A quarter of 600 000 - 1 500 000 / 3."""
    found = worth(PLAIN.model_copy(update={"income_tax_rate": 0.25}))
    assert [flow.tax for flow in found.flows] == pytest.approx([0.0, -25_000, -25_000, -25_000])


def test_a_loss_lowers_later_tax_for_five_years() -> None:
    """Depreciation within a year: 600 000 - 1 500 000, then 600 000 and the rest of the loss, then nothing left."""
    found = worth(PLAIN.model_copy(update={"income_tax_rate": 0.25, "depreciation_years": 1}))
    assert [flow.tax for flow in found.flows] == pytest.approx([0.0, 0.0, 0.0, -0.25 * 300_000])


def test_a_loan_moves_payments_and_not_the_worth_of_the_project() -> None:
    lent = PLAIN.model_copy(update={"loan_share": 0.6, "loan_rate": 0.1, "loan_years": 3})
    found = worth(lent)
    assert found.flows[0].loan == pytest.approx(900_000)
    assert found.flows[1].loan == pytest.approx(-900_000 * 0.1 / (1 - 1.1**-3))
    assert found.npv == pytest.approx(worth().npv)
    equity = np.array([flow.net for flow in found.flows])
    assert present_value(equity, 0.1) == pytest.approx(found.npv)  # lent at what money could earn elsewhere


def test_levelised_costs_by_hand() -> None:
    found, years = worth(upkeep=0.02), 1 / 1.1 + 1 / 1.21 + 1 / 1.331
    assert found.lcos_per_kwh == pytest.approx(900_000 * (1 + 0.02 * years) / (500_000 * years))
    assert found.lcoe_per_kwh == pytest.approx(600_000 * (1 + 0.02 * years) / (200_000 * years))


def test_new_cells_subsidy_and_residual_come_in_their_years() -> None:
    economics = PLAIN.model_copy(update={"subsidy_once": 1000.0, "subsidy_per_kwh": 0.1, "subsidy_years": 2})
    offered = candidates(economics)
    assert offered.battery is not None
    offered = offered.model_copy(update={"battery": offered.battery.model_copy(update={"residual_share": 0.1})})
    years = operating()
    years[1] = replace(years[1], replaced=True)
    flows = cash_flow(offered, BUILT, years).flows
    assert [flow.subsidy for flow in flows] == pytest.approx([1000.0, 50_000.0, 50_000.0, 0.0])
    assert [flow.replacement for flow in flows] == pytest.approx([0.0, 0.0, -500_000.0, 0.0])
    assert [flow.residual for flow in flows] == pytest.approx([0.0, 0.0, 0.0, 90_000.0])


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=20), st.floats(1.0, 1e6))
def test_at_the_internal_rate_the_flows_are_worth_nothing(earned: list[float], paid: float) -> None:
    flows = np.array([-paid, *earned])
    rate = internal_rate(flows)
    if rate is not None:
        size = present_value(np.abs(flows), rate)
        assert abs(present_value(flows, rate)) <= 1e-6 * size


def test_there_is_no_rate_where_the_sign_changes_twice_or_never() -> None:
    assert internal_rate(np.array([-1000.0, 5000.0, -6000.0])) is None
    assert internal_rate(np.array([100.0, 100.0])) is None


def test_payback_is_from_when_it_stays_paid_back() -> None:
    assert payback(np.array([-100.0, 120.0, -50.0, 60.0]), 0.0) == pytest.approx(2.5)
    assert payback(np.array([0.0, 1.0]), 0.0) == 0.0
    assert payback(np.array([-100.0, 50.0]), 0.0) is None


def test_tariffs_change_by_rate_or_by_factors() -> None:
    assert Economics(tariff_change_per_year=0.02).tariff_factor(3) == pytest.approx(1.0404)
    given_factors = Economics(tariff_factors=(1.0, 0.9))
    assert [given_factors.tariff_factor(year) for year in (1, 2, 3)] == [1.0, 0.9, 0.9]


def test_tornado_is_sorted_and_moves_the_right_way() -> None:
    swings = tornado(candidates(), BUILT, operating())
    assert [swing.width for swing in swings] == sorted((swing.width for swing in swings), reverse=True)
    by_name = {swing.name: swing for swing in swings}
    assert by_name["savings"].npv_high - by_name["savings"].npv_low == pytest.approx(
        0.4 * 600_000 * (1 / 1.1 + 1 / 1.21 + 1 / 1.331)
    )
    assert by_name["battery purchase"].npv_low > by_name["battery purchase"].npv_high


def contract(kind: str, **fields: object) -> object:
    site = load_site("jiashan_park")
    shares = [{"from_year": 1, "to_year": 2, "esco": 0.8, "owner": 0.2}]
    streams = [
        {"id": name, "kind": kind_of, "name_zh": name, "name_en": name, "devices": [device],
         "commissioned": "2026-07-01", "shares": shares if kind == "shared" else []}
        for name, kind_of, device in (("pv", "pv", "pv1"), ("storage", "storage", "battery1"))
    ]  # fmt: skip
    party = {"name_zh": "甲", "name_en": "A"}
    return contract_of(
        {"kind": kind, "number": "1", "site": site.id, "owner": party, "esco": party, "signed": date(2026, 6, 1),
         "start": date(2026, 7, 1), "years": 2, "streams": streams, **fields}, "contract.yaml", site,
    )  # fmt: skip


def test_shared_savings_by_hand() -> None:
    """The ESCO buys and has 80 % for two years; then all is the owner's."""
    parties = {p.role: p for p in party_flows(contract("shared"), candidates(), BUILT, operating())}  # type: ignore[arg-type]
    assert parties["esco"].flows == pytest.approx((-1_500_000, 480_000, 480_000, 0.0), abs=0.2)
    assert parties["owner"].flows == pytest.approx((0.0, 120_000, 120_000, 600_000), abs=0.2)


def test_guaranteed_savings_by_hand() -> None:
    """20 % of 4 000 000 kWh are guaranteed, 5 % are saved: the ESCO owes 600 000 kWh a year at 0.5."""
    agreed = contract("guaranteed", guaranteed_rate=Decimal("0.2"), price_per_kwh=Decimal("0.5"))
    parties = {p.role: p for p in party_flows(agreed, candidates(), BUILT, operating())}  # type: ignore[arg-type]
    assert parties["esco"].flows == pytest.approx((0.0, -300_000, -300_000, 0.0), abs=1.0)
    assert parties["owner"].flows == pytest.approx((-1_500_000, 900_000, 900_000, 600_000), abs=1.0)


@pytest.mark.parametrize("kind", ["shared", "guaranteed", "custody", "lease"])
def test_what_the_parties_get_is_what_the_project_earns(kind: str) -> None:
    fields: dict[str, dict[str, object]] = {
        "shared": {},
        "guaranteed": {"guaranteed_rate": Decimal("0.3"), "price_per_kwh": Decimal("0.7")},
        "custody": {"fee_per_month": Decimal(240_000), "base_price_per_kwh": Decimal("0.75")},
        "lease": {
            "lessor": {"name_zh": "租", "name_en": "L"}, "rent_per_month": Decimal(30_000),
            "guaranteed_saving_per_month": Decimal(60_000),
        },
    }  # fmt: skip
    offered = candidates(upkeep=0.02)
    parties = party_flows(contract(kind, **fields[kind]), offered, BUILT, operating())  # type: ignore[arg-type]
    together = np.sum([party.flows for party in parties], axis=0)
    project = [flow.before_loan for flow in cash_flow(offered, BUILT, operating()).flows]
    assert together == pytest.approx(project, abs=1.0)
