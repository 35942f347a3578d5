"""What is bought whole: which choices there are, how the site changes, and what counts as its saving."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml

from optimizer.errors import InputError
from site_configs.loader import load_site
from sizing.candidates import Candidates, read_candidates
from sizing.documents import size_document
from sizing.judging import Judged, Remembering
from sizing.options import Option, choices, with_options
from sizing.recommendation import recommend
from sizing.site_year import BuiltSizes, SizedSite
from tests.sizing.test_site_year import CANDIDATES, sized

SITE = load_site("jiashan_park")


def tank(kwh: float, cost: float = 50_000.0) -> Option:
    store = {"id": "cold_store", "kind": "thermal_store", "carrier": "cold", "capacity_kwh": kwh,
             "charge_limit_kw": 300, "discharge_limit_kw": 300}  # fmt: skip
    return Option.model_validate({"id": f"tank_{kwh:.0f}", "devices": [store], "cost": cost, "life_years": 15})


def chargers() -> Option:
    """One more charger than the site has, which may discharge."""
    charger = {"id": "ev99", "kind": "v2g_charger", "charge_limit_kw": 60, "discharge_limit_kw": 60}
    return Option.model_validate({"id": "v2g", "devices": [charger], "cost": 40_000})


def test_options_of_one_device_exclude_one_another() -> None:
    found = choices([tank(2000), tank(3000), chargers()])
    assert [[option.id for option in chosen] for chosen in found] == [
        [], ["tank_2000"], ["tank_3000"], ["v2g"], ["tank_2000", "v2g"], ["tank_3000", "v2g"],
    ]  # fmt: skip


def test_a_device_makes_way_and_others_are_added() -> None:
    devices = {device.id: device for device in with_options(SITE, [tank(3000), chargers()]).devices}
    assert devices["cold_store"].model_dump()["capacity_kwh"] == 3000
    assert "ev99" in devices
    assert len(devices) == len(SITE.devices) + 1
    assert with_options(SITE, []) is SITE


def read(tmp_path: Path, *options: Option, **more: object) -> Candidates:
    file = tmp_path / "candidates.yaml"
    given = {"options": [option.model_dump(mode="json", exclude_unset=True) for option in options], **more}
    file.write_text(yaml.safe_dump(given), encoding="utf-8")
    return read_candidates(file, SITE)


def test_a_file_may_offer_options_alone(tmp_path: Path) -> None:
    assert [option.id for option in read(tmp_path, tank(2000)).options] == ["tank_2000"]


def test_everything_wrong_with_options_is_said_at_once(tmp_path: Path) -> None:
    battery = {"device": "battery1", "capacity_kwh": [0, 1000], "power_kw": [0, 500]}
    sized_twice = Option.model_validate(
        {"id": "big", "cost": 1, "devices": [
            {"id": "battery1", "kind": "battery", "capacity_kwh": 1, "charge_limit_kw": 1, "discharge_limit_kw": 1},
        ]}
    )  # fmt: skip
    second_grid = Option.model_validate(
        {"id": "grid2", "cost": 1, "devices": [{"id": "line2", "kind": "grid_connection", "import_limit_kw": 1}]}
    )
    with pytest.raises(InputError) as error:
        read(tmp_path, tank(2000), tank(2000), sized_twice, second_grid, battery=battery)
    said = "\n".join(str(problem) for problem in error.value.problems)
    for part in ("occurs twice", "is sized by itself", "options.3 (grid2)"):
        assert part in said


@dataclass
class Told:
    """Says that each option saves an amount in the stretch, and nothing of batteries and PV."""

    saved: dict[str, float]
    asked: list[BuiltSizes] = field(default_factory=list)

    def judged(self, sizes: BuiltSizes) -> Judged:
        self.asked.append(sizes)
        return Judged(100_000.0 - sum(self.saved[option] for option in sizes.options), 0, 0)


def offered(*options: Option) -> SizedSite:
    return replace(sized(), candidates=CANDIDATES.model_copy(update={"battery": None, "pv": None, "options": options}))


def test_the_option_that_saves_most_is_taken_and_paid() -> None:
    judge = Told({"tank_2000": 400.0, "tank_3000": 1500.0})
    of = offered(tank(2000), tank(3000))
    found = recommend(of, judge, foresee=Told(judge.saved))
    best = found.best
    assert best is not None
    assert best.built.options == ("tank_3000",)
    assert best.options_saving == pytest.approx(1500.0)
    assert best.years[0].saving == pytest.approx(1500.0 * of.per_year)
    assert best.worth.flows[0].purchase == -50_000.0
    assert judge.asked == [BuiltSizes(), BuiltSizes(options=("tank_3000",)), BuiltSizes(options=("tank_2000",))]
    document = size_document(found, "engine", 0.0)
    assert [choice.sizes.options for choice in document.choices] == [["tank_3000"], ["tank_2000"], []]
    assert document.assessed[0].judged_saving == pytest.approx(1500.0)
    assert "options.tank_3000.cost" in {assumption.name for assumption in document.assumptions}


def test_what_saves_less_than_it_costs_is_not_taken() -> None:
    told = Told({"tank_2000": 5.0})
    found = recommend(offered(tank(2000, cost=900_000.0)), told, foresee=told)
    assert found.best is None


def test_without_a_judge_options_count_as_foreseen() -> None:
    found = recommend(offered(tank(3000)), None, foresee=Told({"tank_3000": 1500.0}))
    assert found.best is not None
    assert found.best.options_saving == pytest.approx(1500.0)
    assert found.best.judged is None


def test_a_judge_is_asked_once_for_each_size() -> None:
    told = Told({"tank_3000": 1500.0})
    judge = Remembering(told)
    found = recommend(offered(tank(3000)), None, foresee=judge)
    assert found.best is not None
    assert len(told.asked) == len(set(told.asked)) == 2
