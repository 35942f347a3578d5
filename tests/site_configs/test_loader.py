"""Site files: what is read, and that every problem is found and named."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.errors import InputError
from site_configs.loader import check_site, load_site, shipped_sites

PARK = files("site_configs").joinpath("jiashan_park.yaml").read_text(encoding="utf-8")


def changed(*changes: tuple[str, str]) -> str:
    text = PARK
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def findings(tmp_path: Path, text: str) -> list[tuple[str, str, str]]:
    file = tmp_path / "park.yaml"
    file.write_text(text, encoding="utf-8")
    document = check_site(file)
    assert document.ok is (not document.errors)
    assert all(error.file == str(file) for error in document.errors)
    return [(error.path, error.value, error.message) for error in document.errors]


def test_every_shipped_site_is_valid() -> None:
    assert "jiashan_park" in shipped_sites()
    for name in shipped_sites():
        assert load_site(name).id == name
        assert check_site(name).model_dump() == {"site": name, "ok": True, "errors": ()}


def test_a_file_is_read_like_a_shipped_site(tmp_path: Path) -> None:
    file = tmp_path / "park.yaml"
    file.write_text(PARK, encoding="utf-8")
    assert load_site(file) == load_site("jiashan_park")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no such site: shipped are .*jiashan_park"):
        load_site("atlantis")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: whole file: cannot be read \(No such file"):
        load_site(tmp_path / "nowhere.yaml")


def test_a_folder_or_a_binary_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    assert "cannot be read" in check_site(folder).errors[0].message
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"id: \xff\xfe")
    assert check_site(binary).errors[0].message == "is not UTF-8 text: save it as UTF-8"


def test_all_problems_at_once(tmp_path: Path) -> None:
    found = findings(
        tmp_path,
        changed(
            ("capacity_kwh: 1000, charge_limit_kw: 500", "capacity_kwh: -200, charge_limit_kw: .nan"),
            ("timezone: Asia/Shanghai", "timezone: Asia/Jiashan"),
            ("area: zhejiang", "area: atlantis"),
            ("members: [ev01,", "members: [ev99,"),
            ("id: ev02,", "id: ev03,"),
            ("latitude: 30.84\n", ""),
            ("currency: CNY", "currency: CNY\ncolour: blue"),
        ),
    )
    assert ("devices.4.capacity_kwh (battery1)", "-200", "must be greater than 0") in found
    assert ("devices.4.charge_limit_kw (battery1)", "nan", "must be a finite number") in found
    assert ("latitude", "nothing", "is required: add it") in found
    assert ("colour", "blue", "is not a known field: remove it or correct its spelling") in found
    assert ("timezone", "Asia/Jiashan", 'unknown zone: give an IANA name such as "Asia/Shanghai"') in found
    assert (
        "feeders.0.members.0 (car_park)",
        "ev99",
        "is not a device or feeder of this site: correct the id or remove it",
    ) in found
    paths = [path for path, _, _ in found]
    assert "tariff.area" in paths
    assert "devices.11.id" in paths  # the second ev03
    assert len([message for _, _, message in found if message.startswith("is used twice")]) == 1


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("kind: pv,", "kind: wind,", "devices.3 (pv1)", "unknown kind wind: known are 'absorption_chiller'"),
        ("kind: pv, ", "", "devices.3 (pv1)", "has no kind"),
        ("class: two_part_1_10kv", "class: two_part_500kv", "tariff.class", "known are two_part_1_10kv"),
        ("demand_mode: actual", "demand_mode: contract", "tariff.contract_demand_kw", "is required when demand_mode"),
        ("currency: CNY", "currency: EUR", "currency", "prices of zhejiang are in CNY"),
        ("transformer_kva: 2000", "transformer_kva: 2000\n  floating: [luck]", "tariff.floating", "no such component"),
        ("region: zhejiang", "region: atlantis", "carbon", "no such region"),
        ("region: zhejiang", "region: zhejiang\n  data_year: 1999", "carbon", "no factor for this data year"),
        ("export_limit_kw: 1200}", "export_limit_kw: 1200}\n  - {id: grid2, kind: grid_connection, import_limit_kw: 9}",
         "devices.1 (grid2)", "exactly one grid_connection: remove this one"),
        ("members: [ev01, ev02,", "members: [ev02, ev02,", "feeders.0.members.1 (car_park)", "is listed twice"),
        ("    chargers: [ev01,", "    chargers: [ev99,", "devices.19.chargers.0 (ev)", "is not a device of this site"),
        ("members: [ev01,", "members: [cold_store,", "feeders.0.members.0 (car_park)", "has no power flow"),
        ("id: ev01, kind: v2g_charger,", "id: ev01, kind: v2g_charger, min_charge_kw: 22,",
         "devices.9.min_charge_kw (ev01)", "must not be above charge_limit_kw = 20"),
        ("id: pv1,", "id: weather,", "devices.3.id", "is reserved"),
        ("holidays: CN", "holidays: UK", "holidays", "must be 'CN', 'US', 'GB' or 'none'"),
        ("closures: []", "closures: [yesterday]", "closures.0", "valid date"),
        ("wear_cost_per_kwh: 0.1481}", "wear_cost_per_kwh: 0.1, min_soc: 0.95, max_soc: 0.9}", "battery1", "max_soc"),
    ],
)  # fmt: skip
def test_one_problem_each(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    found = findings(tmp_path, changed((old, new)))
    assert any(path in where and message in what for where, _, what in found), found


FEEDERS = PARK[PARK.index("feeders:") : PARK.index("control:")]
"""The park's own feeders as text."""


def feeders_in(tmp_path: Path, *lines: str) -> list[tuple[str, str, str]]:
    return findings(tmp_path, changed((FEEDERS, "".join(["feeders:\n", *(f"  - {line}\n" for line in lines)]))))


def test_feeders_stand_behind_feeders_with_limits_as_power_or_as_rating(tmp_path: Path) -> None:
    lines = (
        "{id: main, limit_kva: 400, power_factor: 0.9, members: [rows, pv1, battery2]}",
        "{id: rows, limit_kw: 100, limit_kva: 100, members: [row1, row2, ev]}",
        "{id: row1, limit_kw: 40, members: [ev01, ev02, ev03]}",
        "{id: row2, limit_kw: 40, members: [ev04]}",
    )
    path = tmp_path / "tree.yaml"
    path.write_text(changed((FEEDERS, "".join(["feeders:\n", *(f"  - {line}\n" for line in lines)]))), encoding="utf-8")
    site = load_site(path)
    assert [feeder.power_limit_kw for feeder in site.feeders] == [360.0, 90.0, 40.0, 40.0]


def test_everything_wrong_with_a_tree_of_feeders_at_once(tmp_path: Path) -> None:
    found = feeders_in(
        tmp_path,
        "{id: main, limit_kw: 400, members: [row1, row2, ghost]}",
        "{id: row1, limit_kw: 40, members: [ev01, ev02]}",
        "{id: row2, limit_kw: 40, members: [ev02, row1, ev03, ev03]}",
        "{id: ring1, limit_kw: 40, members: [ev04, ring2]}",
        "{id: ring2, limit_kw: 40, members: [ring1]}",
        "{id: self, limit_kw: 40, members: [self]}",
        "{id: free, members: [ev05]}",
    )
    two = "stands behind two feeders (first at {}): remove it from one"
    assert found == [
        ("feeders.6 (free)", "{'id': 'free', 'members': ['ev05']}", "has no limit: add limit_kw or limit_kva"),
        ("feeders.0.members.2 (main)", "ghost", "is not a device or feeder of this site: correct the id or remove it"),
        ("feeders.2.members.0 (row2)", "ev02", two.format("feeders.1.members.1 (row1)")),
        ("feeders.2.members.1 (row2)", "row1", two.format("feeders.0.members.0 (main)")),
        ("feeders.2.members.3 (row2)", "ev03", "is listed twice: keep one"),
        ("feeders.4.members.0 (ring2)", "ring1", "stands behind itself (ring1, ring2 go in a circle): remove it here"),
        ("feeders.5.members.0 (self)", "self", "stands behind itself (self go in a circle): remove it here"),
    ]


def test_cold_that_nothing_produces(tmp_path: Path) -> None:
    lines = PARK.splitlines()
    first, last = lines.index("  - id: chiller1"), next(n for n, line in enumerate(lines) if "id: ev01" in line)
    found = findings(tmp_path, "\n".join(lines[:first] + lines[last:]))
    message = "takes cold, but no device produces it: add one that feeds cold"
    assert found == [("devices.2 (cold_load)", "cold", message), ("devices.6 (cold_store)", "cold", message)]


BOILER = "  - {id: boiler1, kind: gas_boiler, heat_limit_kw: 100}\n"
GAS = "  - {id: gas, kind: gas_supply, supply_limit_kw: 500, price_per_nm3: 3.77}\n"
ENGINE = "  - {id: chp1, kind: chp, power_limit_kw: 100}\n"
HEAT_LOAD = "  - {id: heat_load, kind: load, carrier: heat}\n"


def test_gas_that_nothing_supplies_and_heat_that_burners_make(tmp_path: Path) -> None:
    before = "  - id: chiller1\n"
    found = findings(tmp_path, changed((before, BOILER + ENGINE + before)))
    message = "takes gas, but no device produces it: add one that feeds gas"
    assert [(path.split()[-1], value, what) for path, value, what in found] == [
        ("(boiler1)", "gas", message),
        ("(chp1)", "gas", message),
    ]
    for burner in (BOILER, ENGINE):
        assert findings(tmp_path, changed((before, GAS + burner + HEAT_LOAD + before))) == []


def test_no_grid_connection(tmp_path: Path) -> None:
    text = "\n".join(line for line in PARK.splitlines() if "kind: grid_connection" not in line)
    assert ("devices", "19 devices", "a site needs exactly one grid_connection: add it") in findings(tmp_path, text)


def test_syntax_errors_carry_their_line(tmp_path: Path) -> None:
    ((path, value, message),) = findings(tmp_path, "id: park\nname_zh: [one, two\ntimezone: x\n")
    assert path.startswith("line 3, column")
    assert value == "timezone: x"
    assert message.startswith("is not YAML")


def test_every_repeated_key_is_an_error(tmp_path: Path) -> None:
    found = findings(
        tmp_path, changed(("latitude: 30.84", "latitude: 30.84\nlatitude: 31"), ("  area:", "  area: x\n  area:"))
    )
    assert [(value, message) for _, value, message in found] == [
        ("latitude", "key is repeated (first in line 7): keep one of them"),
        ("area", "key is repeated (first in line 18): keep one of them"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b\n",
        "just words\n",
        "a: 2026-13-45\n",
        "a: &x [*x]\n",
        "[" * 3000,
        "{: }: 1\n",
        "a: !!python/object:os.system 1\n",
    ],
)
def test_what_is_no_site_at_all_is_a_problem_not_a_crash(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, text)


def test_sections_of_the_wrong_shape_are_problems(tmp_path: Path) -> None:
    found = findings(tmp_path, "id: park\ndevices: [1, {id: [x], kind: [y]}]\nfeeders: {}\ntariff: 3\ncarbon: []\n")
    assert len(found) >= 8


def leaves(node: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a document, sections and lists included."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path for key, child in items for path in ((*above, key), *leaves(child, (*above, key)))]


STRANGE = st.sampled_from(
    [None, True, -1, 0, 1e300, float("nan"), "", "x", "名", [], [[]], {}, {"id": []}, {1: 2}, "\0"]
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=STRANGE)
def test_a_strange_value_anywhere_is_a_problem_or_allowed_but_never_a_crash(
    tmp_path: Path, data: st.DataObject, value: Any
) -> None:
    park = yaml.safe_load(PARK)
    *above, last = data.draw(st.sampled_from(leaves(park)))
    holder = park
    for step in above:
        holder = holder[step]
    holder[last] = value
    findings(tmp_path, yaml.safe_dump(park, allow_unicode=True))
