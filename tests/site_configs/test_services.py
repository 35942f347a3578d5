"""Services in the site file: what is accepted, what is refused and how, and the example of the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.devices import Battery
from optimizer.services import CarbonLimit, DemandResponse, IslandReserve, ReserveCapacity
from optimizer.services.demand_response import PAY_RULES, PayRule
from site_configs.loader import check_site, load_site
from site_configs.site import Site

PAGE = (Path(__file__).parents[2] / "docs" / "services.md").read_text("utf-8")


def site_file(tmp_path: Path, services: list[dict[str, Any]], **changed: Any) -> Path:
    data = {
        "id": "small", "name_zh": "小园区", "name_en": "small", "timezone": "Asia/Shanghai", "latitude": 30.8,
        "longitude": 120.9, "tariff": {"area": "zhejiang", "class": "two_part_1_10kv", "transformer_kva": 1000},
        "carbon": {"region": "zhejiang"},
        "devices": [
            {"id": "grid", "kind": "grid_connection", "import_limit_kw": 800},
            {"id": "load", "kind": "load"},
            {"id": "battery1", "kind": "battery", "capacity_kwh": 200, "charge_limit_kw": 90, "discharge_limit_kw": 90},
            {"id": "diesel", "kind": "backup_generator", "power_limit_kw": 100, "fuel_cost_per_kwh": 2.5},
        ],
        "services": services, **changed,
    }  # fmt: skip
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return path


def messages(path: Path) -> dict[str, str]:
    return {error.path: error.message for error in check_site(path).errors}


def test_every_kind_of_service_is_read(tmp_path: Path) -> None:
    path = site_file(
        tmp_path,
        [
            {"id": "response", "kind": "demand_response", "rule": "sichuan", "commitment": "power"},
            {"id": "own", "kind": "demand_response", "rule": {"floor": 0.7, "cap": 1.3}},
            {
                "id": "island",
                "kind": "island_reserve",
                "hours": 2,
                "critical_kw": 50,
                "devices": ["battery1", "diesel"],
            },
            {"id": "reserve", "kind": "reserve_capacity", "devices": ["battery1"]},
            {"id": "cap", "kind": "carbon_limit", "kg_per_day": 4000},
        ],
    )
    response, own, island, reserve, cap = load_site(path).services
    assert isinstance(response, DemandResponse)
    assert response.pay == PAY_RULES["sichuan"]
    assert isinstance(own, DemandResponse)
    assert own.pay == PayRule(floor=0.7, cap=1.3)
    assert isinstance(island, IslandReserve)
    assert isinstance(reserve, ReserveCapacity)
    assert isinstance(cap, CarbonLimit)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = messages(
        site_file(
            tmp_path,
            [
                {"id": "load", "kind": "carbon_limit", "kg_per_day": 4000},
                {
                    "id": "island",
                    "kind": "island_reserve",
                    "hours": 2,
                    "devices": ["battery9"],
                    "critical_shares": {"x": 1},
                },
                {"id": "reserve", "kind": "reserve_capacity", "devices": ["diesel"]},
                {"id": "response", "kind": "demand_response", "rule": "mars"},
                {"id": "penalty", "kind": "demand_response", "rule": {"penalty_below": 0.5}},
            ],
        )
    )
    assert "is used twice" in found["services.0.id"]
    assert found["services.1.devices.0 (island)"].startswith("is no battery or backup generator")
    assert found["services.1.critical_shares.x (island)"].startswith("is no load of this site")
    assert found["services.2.devices.0 (reserve)"].startswith("is no battery or v2g charger")
    assert any(path.startswith("services.3") for path in found)
    assert any("penalty_price" in message for message in found.values())


def test_a_refused_device_is_not_held_against_the_service_that_names_it(tmp_path: Path) -> None:
    services = [{"id": "reserve", "kind": "reserve_capacity", "devices": ["battery1"]}]
    path = site_file(tmp_path, services)
    data = yaml.safe_load(path.read_text("utf-8"))
    data["devices"][2]["capacity_kwh"] = -1
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert list(messages(path)) == ["devices.2.capacity_kwh (battery1)"]


def test_a_battery_whose_power_changes_with_its_charge_is_not_promised() -> None:
    class Curved(Battery):
        discharge_limit_by_soc: tuple[tuple[float, float], ...] = ((0.1, 0.3), (0.4, 1.0))

    curved = Curved(id="battery1", capacity_kwh=200, charge_limit_kw=90, discharge_limit_kw=90)
    for service in (
        ReserveCapacity(id="reserve", devices=("battery1",)),
        IslandReserve(id="island", hours=1, devices=("battery1",)),
    ):
        ((field, value, message),) = service.problems({"battery1": curved})
        assert (field, value) == ("devices.0", "battery1")
        assert "cannot be promised" in message


def test_carbon_is_priced_by_the_site_or_by_the_device(tmp_path: Path) -> None:
    path = site_file(tmp_path, [], carbon={"region": "zhejiang", "price_per_kg": 0.07})
    assert load_site(path).carbon.price_per_kg == 0.07
    data = yaml.safe_load(path.read_text("utf-8"))
    data["devices"][3]["carbon_price_per_kg"] = 0.07
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert "remove one of them" in messages(path)["devices.3.carbon_price_per_kg (diesel)"]


def test_the_example_of_the_page_is_a_valid_site(tmp_path: Path) -> None:
    (example,) = re.findall(r"<!-- example: site -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "site.yaml").write_text(example, encoding="utf-8")
    site = load_site(tmp_path / "site.yaml")
    assert {service.kind for service in site.services} == {
        "demand_response", "island_reserve", "reserve_capacity", "carbon_limit",
    }  # fmt: skip


@pytest.mark.parametrize("kind", [DemandResponse, IslandReserve, ReserveCapacity, CarbonLimit, PayRule])
def test_the_page_names_every_field(kind: type) -> None:
    missing = [name for name in kind.model_fields if name not in ("id", "kind") and f"`{name}`" not in PAGE]
    assert missing == []


def test_sites_without_services_stay_as_they_are() -> None:
    site = load_site("jiashan_park")
    assert isinstance(site, Site)
    assert (site.services, site.carbon.price_per_kg) == ((), 0.0)
