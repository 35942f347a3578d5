"""Contracts after GB/T 24915-2020: what must add up in them, and who is paid what (RULES 6.1, TV-22 to TV-24)."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.errors import InputError
from settlement.contract import Contract, contract_of
from settlement.payments import Payment, Verified, carried_forward, esco_total, payments, tax_split
from site_configs.site import Site

ALWAYS = [{"from_year": 1, "to_year": 10, "esco": 0.8, "owner": 0.2}]
STREAM = {
    "id": "storage", "kind": "storage", "name_zh": "储能", "name_en": "storage", "devices": ["battery1", "battery2"],
    "commissioned": date(2026, 7, 1), "shares": ALWAYS,
}  # fmt: skip
BASE: dict[str, Any] = {
    "number": "T-1",
    "site": "jiashan_park",
    "owner": {"name_zh": "园区", "name_en": "park"},
    "esco": {"name_zh": "节能公司", "name_en": "ESCO"},
    "signed": date(2026, 6, 1),
    "start": date(2026, 7, 1),
    "streams": [STREAM],
}
MONTH = date(2026, 7, 1)


def without_shares() -> list[dict[str, Any]]:
    return [{key: value for key, value in STREAM.items() if key != "shares"}]


def shared(site: Site, **changes: Any) -> Contract:
    return contract_of(deepcopy({**BASE, "kind": "shared", **changes}), "contract.yaml", site)


def other(site: Site, kind: str, **changes: Any) -> Contract:
    return contract_of(deepcopy({**BASE, "kind": kind, "streams": without_shares(), **changes}), "contract.yaml", site)


def month(saving: str, cf_kwh: str = "0", kwh: str = "0", cf_cost: str = "0", cost: str = "0") -> Verified:
    return Verified(MONTH, {"storage": Decimal(saving)}, *(Decimal(x) for x in (cf_kwh, kwh, cf_cost, cost)))


def of(found: tuple[Payment, ...], kind: str) -> list[tuple[Decimal, Decimal]]:
    return [(payment.esco, payment.owner) for payment in found if payment.kind == kind]


RESPONSE = {
    "id": "response", "name_zh": "需求响应", "name_en": "demand response", "esco": 0.7, "owner": 0.3,
    "received": [{"month": "2026-07", "amount": 18000, "document": "DR 7"}],
}  # fmt: skip


def test_shared_savings_and_demand_response(site: Site) -> None:
    """TV-22."""
    contract = shared(site, side_incomes=[RESPONSE])
    verified = Decimal("1250000.00") - Decimal("1130000.00")
    found = payments(contract, month(str(verified)))
    assert of(found, "saving") == [(Decimal("96000.00"), Decimal("24000.00"))]
    assert of(found, "side_income") == [(Decimal("12600.00"), Decimal("5400.00"))]
    assert esco_total(found) == Decimal("108600.00")
    tax = tax_split(esco_total(found), contract.tax)
    assert (tax.net, tax.tax, tax.gross) == (Decimal("102452.83"), Decimal("6147.17"), Decimal("108600.00"))
    extra = tax_split(Decimal("100.00"), contract.tax.model_copy(update={"included": False}))
    assert (extra.net, extra.tax, extra.gross) == (Decimal("100.00"), Decimal("6.00"), Decimal("106.00"))


@pytest.mark.parametrize(
    ("verified", "kind", "expected"),
    [
        ("1380000", "shortfall", (Decimal("-86400.00"), Decimal("86400.00"))),
        ("1620000", "excess", (Decimal("25920.00"), Decimal("-25920.00"))),
        ("1500000", "none", None),
    ],
)
def test_guaranteed_savings(site: Site, verified: str, kind: str, expected: Any) -> None:
    """TV-23: 25 % of 6 000 000 kWh guaranteed at 0.72, 30 % of the excess to the ESCO."""
    contract = other(site, "guaranteed", guaranteed_rate=0.25, price_per_kwh=0.72, excess_share_esco=0.3)
    actual = Decimal(6_000_000) - Decimal(verified)
    found = payments(contract, month("500000", "6000000", str(actual)))
    assert of(found, "saving") == [(Decimal(0), Decimal(500000))]
    assert of(found, "shortfall") + of(found, "excess") == ([] if expected is None else [expected])
    if expected is not None:
        assert of(found, kind) == [expected]


def test_money_can_be_guaranteed_too(site: Site) -> None:
    contract = other(site, "guaranteed", guaranteed_rate=0.2, measure="money")
    found = payments(contract, month("15000", cf_cost="100000", cost="85000"))
    assert of(found, "shortfall") == [(Decimal("-5000.00"), Decimal("5000.00"))]


def test_custody(site: Site) -> None:
    """TV-24: the fee and the cost both follow the price, 0.70 to 0.735."""
    contract = other(site, "custody", fee_per_month=3_000_000, base_price_per_kwh=0.70)
    cost = Decimal(2_640_000) * Decimal("1.05")
    found = payments(contract, month("0", "4000000", "3500000", "2940000", str(cost)))
    assert of(found, "fee") == [(Decimal("3150000.00"), Decimal("-3150000.00"))]
    assert esco_total(found) == Decimal("378000.00")


def test_the_custody_fee_follows_output(site: Site) -> None:
    index = {"2026-07": 1.1}
    contract = other(site, "custody", fee_per_month=100, base_price_per_kwh=0.70, output_index=index)
    assert of(payments(contract, month("0", "100", "100", "70", "70")), "fee")[0][0] == Decimal("110.00")


def test_lease(site: Site) -> None:
    lessor = {"name_zh": "租赁公司", "name_en": "lessor"}
    contract = other(site, "lease", lessor=lessor, rent_per_month=5000, guaranteed_saving_per_month=8000)
    found = payments(contract, month("6500"))
    assert [(p.lessor, p.owner) for p in found if p.kind == "rent"] == [(Decimal(5000), Decimal(-5000))]
    assert of(found, "shortfall") == [(Decimal("-1500.00"), Decimal("1500.00"))]


def test_shares_change_with_the_contract_year(site: Site) -> None:
    halves = [
        {"from_year": 1, "to_year": 4, "esco": 0.9, "owner": 0.1},
        {"from_year": 5, "to_year": 10, "esco": 0.5, "owner": 0.5},
    ]
    contract = shared(site, streams=[{**STREAM, "shares": halves}])
    paid = []
    for at in (date(2026, 7, 1), date(2030, 6, 1), date(2030, 7, 1), date(2036, 6, 1)):
        verified = Verified(at, {"storage": Decimal(100)}, *[Decimal(0)] * 4)
        paid.append(payments(contract, verified)[0].esco)
    assert paid == [90, 90, 50, 50]
    assert contract.end == date(2036, 7, 1)
    assert not contract.holds(date(2036, 7, 1))


@pytest.mark.parametrize(("rule", "esco", "later"), [("floor", 0, 0), ("settle", -80, 0), ("carry_forward", 0, -100)])
def test_a_month_that_saved_less_than_nothing(site: Site, rule: str, esco: int, later: int) -> None:
    contract = shared(site, negative_months=rule)
    assert esco_total(payments(contract, month("-100"))) == esco
    assert carried_forward(contract, month("-100")) == later


def test_what_is_carried_forward_lowers_the_next_months(site: Site) -> None:
    contract = shared(site, negative_months="carry_forward")
    assert esco_total(payments(contract, month("60"), Decimal(-100))) == 0
    assert carried_forward(contract, month("60"), Decimal(-100)) == -40
    assert esco_total(payments(contract, month("60"), Decimal(-40))) == 16
    assert carried_forward(contract, month("60"), Decimal(-40)) == 0


def test_corrections_are_lines_of_their_own(site: Site) -> None:
    correction = {
        "settled_in": "2026-08", "of_month": "2026-07", "esco": -120.5, "reason_zh": "表计更正",
        "reason_en": "meter corrected", "document": "C-1",
    }  # fmt: skip
    contract = shared(site, corrections=[correction])
    august = Verified(date(2026, 8, 1), {"storage": Decimal(100)}, *[Decimal(0)] * 4)
    assert of(payments(contract, august), "correction") == [(Decimal("-120.5"), Decimal("120.5"))]
    assert of(payments(contract, month("100")), "correction") == []


@given(
    saving=st.decimals(-(10**6), 10**6, places=2),
    carried=st.decimals(-1000, 0, places=2),
    rule=st.sampled_from(["floor", "settle", "carry_forward"]),
)
def test_shared_money_is_divided_without_loss(site: Site, saving: Decimal, carried: Decimal, rule: str) -> None:
    contract = shared(site, negative_months=rule)
    owed = carried if rule == "carry_forward" else Decimal(0)
    for payment in payments(contract, month(str(saving)), owed):
        if payment.kind in ("saving", "side_income"):
            assert payment.esco + payment.owner == payment.amount
        else:
            assert payment.esco + payment.owner + payment.lessor == 0


def test_everything_that_does_not_add_up_is_said_at_once(site: Site) -> None:
    wrong = deepcopy(BASE)
    wrong |= {
        "kind": "shared", "owner_investment": 1000, "signed": date(2026, 8, 1),
        "streams": [
            {**STREAM, "shares": [{"from_year": 1, "to_year": 5, "esco": 0.8, "owner": 0.4}]},
            {**STREAM, "id": "sun", "kind": "pv", "devices": ["battery1", "roof"], "commissioned": date(2040, 1, 1)},
        ],
        "attribution": {"method": "sequential", "order": ["storage", "wind"]},
        "side_incomes": [{**RESPONSE, "received": [{"month": "2026-05", "amount": 1, "document": ""}]}],
        "services": [{"name_zh": "监测", "name_en": "monitoring", "charge": 50}],
        "transfer": {"price": 5, "assets": ["wall"]},
    }  # fmt: skip
    with pytest.raises(InputError) as refused:
        contract_of(wrong, "contract.yaml", site)
    found = {(problem.path, problem.value) for problem in refused.value.problems}
    said = {path for path, _ in found}
    assert {"owner_investment", "services.0.charge"} <= {path.removeprefix("shared.") for path in said}
    assert ("signed", "datetime.date(2026, 8, 1)") in found or "signed" in said
    assert {
        "streams.0.shares.0", "streams.0.shares", "streams.1.devices", "streams.1.commissioned", "attribution.order",
        "side_incomes.0.received.0", "transfer.price", "transfer.assets",
    } <= said  # fmt: skip
    assert len(refused.value.problems) >= 13
    assert all(problem.message for problem in refused.value.problems)


@pytest.mark.parametrize("rate", [0.19, 0.51, 1.2])
def test_a_guarantee_outside_20_to_50_per_cent_is_refused(site: Site, rate: float) -> None:
    with pytest.raises(InputError, match="guaranteed_rate"):
        other(site, "guaranteed", guaranteed_rate=rate, price_per_kwh=0.7)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "barter"}, "unknown kind barter"),
        ({"kind": None}, "kind"),
        ({"site": "elsewhere"}, "give the contract of that site"),
        ({"start": date(2026, 7, 15)}, "first day of a month"),
        ({"years": 11}, "years"),
        ({"streams": []}, "streams"),
        ({"streams": [{**STREAM, "kind": "dispatch"}]}, "needs counterfactual: rules"),
        ({"counterfactual": "rules"}, "exactly one stream, of kind dispatch"),
        ({"streams": [{**STREAM, "kind": "efficiency", "devices": []}]}, "baseline_from"),
        ({"tax": {"rate": 1.5}}, "tax.rate"),
        ({"bonus": 5}, "is not a known field"),
        ({"data": {"least_coverage": 0.5}}, "least_coverage"),
    ],
)
def test_single_faults_are_named(site: Site, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        contract_of(deepcopy({**BASE, "kind": "shared", **changes}), "contract.yaml", site)


def test_a_contract_that_is_no_mapping_is_refused(site: Site) -> None:
    with pytest.raises(InputError, match="must be a mapping"):
        contract_of([1, 2], "contract.yaml", site)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=True), st.text(max_size=3), st.just([]),
    st.just({}), st.just([1]), st.just([{}]), st.just(date(2026, 7, 1)),
)  # fmt: skip
WHOLE = {
    **BASE, "kind": "shared", "side_incomes": [RESPONSE], "attribution": {"method": "sequential", "order": ["storage"]},
    "transfer": {"to": "owner", "assets": ["battery1"]}, "services": [{"name_zh": "", "name_en": ""}],
}  # fmt: skip


@settings(max_examples=150)
@given(data=st.data())
def test_nonsense_is_refused_in_words_and_never_crashes(site: Site, data: st.DataObject) -> None:
    terms = deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        holder: Any = terms
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = data.draw(st.sampled_from(keys))
            inner = holder[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                break
            holder = inner
        holder[key] = deepcopy(data.draw(JUNK))  # a list of it may be drawn into later
    with suppress(InputError):
        contract_of(terms, "contract.yaml", site)
