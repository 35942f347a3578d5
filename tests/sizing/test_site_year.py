"""From a site and its history to the year model, to variants for the replay, and to a recommendation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from hil.closed_loop import simulated_meters
from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site
from site_configs.site import TariffChoice
from sizing.candidates import BatteryCandidate, Candidates, PvCandidate
from sizing.documents import size_document
from sizing.judging import Judged
from sizing.operation import running
from sizing.parties import PartyFlow
from sizing.recommendation import recommend
from sizing.site_year import BuiltSizes, SizedSite

START, END = datetime(2026, 8, 2, 16, tzinfo=UTC), datetime(2026, 8, 9, 16, tzinfo=UTC)
CANDIDATES = Candidates(
    battery=BatteryCandidate(device="battery1", capacity_kwh=(0, 4000), power_kw=(0, 1500)),
    pv=PvCandidate(device="pv1", capacity_kw=(0, 1000)),
)


@cache
def sized() -> SizedSite:
    return SizedSite(load_site("jiashan_park"), read_history(sample_folder("jiashan_park")), START, END, CANDIDATES)


def test_the_year_is_the_site_without_what_is_sized() -> None:
    found, own = sized().year, sized()
    bare, history = own.variant(BuiltSizes())
    assert {device.id for device in bare.devices} == {d.id for d in own.site.devices} - {"battery1", "pv1"}
    meters = simulated_meters(bare, history, (START, END), "rules")
    assert found.load_kw == pytest.approx((meters["meter.import_kw"] - meters["meter.export_kw"]).to_numpy())
    assert found.steps == 7 * 96
    assert found.months == 1
    assert found.peaks.price_per_kw == pytest.approx([48.0])
    assert found.import_price.min() < 0.45 < 1.0 < found.import_price.max()


def test_bought_sizes_and_usable_energy_fit_together() -> None:
    own, sizes = sized(), BuiltSizes(1000.0, 400.0, 300.0)
    assert own.usable_share == pytest.approx(0.85)
    assert own.usable(sizes)[:3] == pytest.approx([850.0, 400.0, 300.0])
    assert own.built(own.usable(sizes)) == sizes
    assert own.built(np.array([0.2, 0.1, 0.0, 0.0, 0.0])).nothing
    assert own.offers.battery_kwh.greatest == pytest.approx(0.85 * 4000)


def test_a_variant_has_the_sizes_and_the_sun_that_goes_with_them() -> None:
    own = sized()
    site, history = own.variant(BuiltSizes(2000.0, 800.0, 1000.0))
    devices = {device.id: device for device in site.devices}
    assert devices["battery1"].model_dump()["capacity_kwh"] == 2000.0
    assert devices["battery1"].model_dump()["discharge_limit_kw"] == 800.0
    assert devices["pv1"].model_dump()["capacity_kw"] == 1000.0
    before, after = (h.frame["pv1.available_kw"].to_numpy() for h in (own.history, history))
    assert after == pytest.approx(2.0 * before, nan_ok=True)


def test_a_variant_declares_the_contract_demand() -> None:
    site = load_site("jiashan_park")
    assert isinstance(site.tariff, TariffChoice)
    billed = site.tariff.model_copy(update={"demand_mode": "contract", "contract_demand_kw": 1500.0})
    own = SizedSite(
        site.model_copy(update={"tariff": billed}), sized().history, START, END,
        CANDIDATES.model_copy(update={"contract_demand": True}),
    )  # fmt: skip
    assert own.year.peaks.contract
    assert own.year.peaks.price_per_kw == pytest.approx([48.0])
    assert own.year.peaks.contract_floor_kw == pytest.approx(800.0)
    assert own.variant(BuiltSizes(contract_kw=900.0))[0].tariff.model_dump()["contract_demand_kw"] == 900.0


@dataclass
class Halved:
    """A judge by whom half of what is foreseen is earned."""

    sized: SizedSite
    asked: list[BuiltSizes] = field(default_factory=list)

    def judged(self, sizes: BuiltSizes) -> Judged:
        self.asked.append(sizes)
        nothing, own = (running(self.sized.year, self.sized.usable(s)).cost for s in (BuiltSizes(), sizes))
        return Judged(nothing - 0.5 * (nothing - own), 0, 0)


def test_what_is_judged_counts_and_not_what_is_foreseen() -> None:
    judge = Halved(sized())
    found, foreseen = recommend(sized(), judge, beside=1), recommend(sized(), None, beside=0)
    assert judge.asked[0].nothing
    assert judge.asked[1] == foreseen.assessed[0].built
    assert [one.captured for one in found.assessed] == pytest.approx([0.5, 0.5])
    assert found.assessed[0].years[0].saving == pytest.approx(0.5 * foreseen.assessed[0].years[0].saving)
    assert found.best is not None
    assert found.best.worth.npv == max(one.worth.npv for one in found.assessed)


def test_what_is_too_dear_is_not_recommended() -> None:
    battery = BatteryCandidate(device="battery1", capacity_kwh=(500, 4000), power_kw=(100, 1500), cost_per_kwh=20_000)
    found = recommend(replace(sized(), candidates=Candidates(battery=battery)), None)
    document = size_document(found, "none", 0.0)
    assert found.best is None
    assert document.recommended is None
    assert "recommended" in document.reasons


def test_cells_age_and_are_replaced_and_pv_fades() -> None:
    found = recommend(sized(), None, beside=0)
    assert found.best is not None
    years = found.best.years
    assert [year.sun_kwh for year in years] == sorted((year.sun_kwh for year in years), reverse=True)
    for before, after in pairwise(years):
        assert after.replaced == (after.health == 1.0)
        assert after.replaced or after.health < before.health
    assert all(year.health > 0.65 for year in years)


def test_the_document_has_every_assumption_and_no_nan() -> None:
    document = size_document(recommend(sized(), None, beside=1), "none", 1.0)
    text = document.model_dump_json(by_alias=True)
    assert "NaN" not in text
    assert {"battery.cost_per_kwh", "pv.cost_per_kw", "economics.discount_rate"} <= {
        a.name for a in document.assumptions
    }
    assert document.map is not None
    assert len(document.map.npv) == len(document.map.battery_kw)


def test_what_is_bought_begins_empty_but_for_what_the_old_store_held() -> None:
    tank = {"kind": "thermal_store", "carrier": "cold", "charge_limit_kw": 300, "discharge_limit_kw": 300}
    options = [{"id": "more", "cost": 1, "devices": [{"id": "cold_store", **tank, "capacity_kwh": 4000},
                                                     {"id": "new_store", **tank, "capacity_kwh": 1000}]}]  # fmt: skip
    given = {**CANDIDATES.model_dump(), "options": options}
    own = replace(sized(), candidates=Candidates.model_validate(given))
    before = {device.id: device for device in own.site.devices}
    after = {device.id: device for device in own.variant(BuiltSizes(2000.0, 800.0, options=("more",)))[0].devices}
    assert after["battery1"].initial_soc == before["battery1"].min_soc
    held_kwh = before["cold_store"].initial_fill * before["cold_store"].capacity_kwh
    assert after["cold_store"].initial_fill * 4000 == pytest.approx(held_kwh)
    assert after["new_store"].initial_fill == 0.0


def test_a_bound_of_other_prices_is_null_with_a_reason() -> None:
    found = recommend(sized(), None, beside=0)
    first = found.proposal
    convex = replace(first.answer, method="prices made convex", bound=2.0 * first.answer.cost)
    document = size_document(replace(found, proposals=(replace(first, answer=convex),)), "none", 0.0)
    assert document.proposal.method == "prices made convex"
    assert (document.proposal.lower_bound, document.proposal.gap) == (None, None)
    assert "a year with other prices" in document.reasons["proposal.lower_bound"]
    blocks = replace(first, answer=replace(first.answer, method="blocks"))
    document = size_document(replace(found, proposals=(blocks,)), "none", 0.0)
    assert document.proposal.lower_bound == first.answer.bound


def test_what_has_no_figure_of_a_party_is_null_with_a_reason() -> None:
    owner = PartyFlow("owner", (0.0, 120.0), 100.0, None, None)
    esco = PartyFlow("esco", (-100.0, 120.0), 10.0, 0.2, 0.9)
    document = size_document(replace(recommend(sized(), None, beside=0), parties=(esco, owner)), "none", 0.0)
    nulls = {name for name in document.reasons if name.startswith("parties.")}
    assert nulls == {"parties.1.irr", "parties.1.payback_years"}
