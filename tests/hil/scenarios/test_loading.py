"""Scenario files: read strictly, all errors at once, names checked against the site."""

from datetime import UTC, datetime

import pytest
import yaml

from hil.scenarios.loading import load_setting, shipped_scenarios
from optimizer.errors import InputError

GOOD = {
    "id": "mine",
    "title": "Mine",
    "about": "An hour in which nothing happens.",
    "start": "2026-08-26T17:00",
    "minutes": 60,
    "criteria": [{"kind": "in_force"}],
}


def written(tmp_path, **changes):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}), encoding="utf-8")
    return str(path)


def test_all_of_2030_8_and_rules_8_are_there():
    assert len(shipped_scenarios()) == 17
    assert [name for name in shipped_scenarios() if load_setting(name).scenario.id != name] == []


def test_start_is_local_and_the_site_takes_the_changes(tmp_path):
    setting = load_setting(written(tmp_path, devices={"grid": {"export_limit_kw": 0}}))
    assert setting.start == datetime(2026, 8, 26, 9, tzinfo=UTC)
    grid = next(device for device in setting.site.devices if device.id == "grid")
    assert (grid.import_limit_kw, grid.export_limit_kw) == (900, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 10}, "minutes"),
        ({"start": "2026-08-26T17:00+08:00"}, "without an offset"),
        ({"events": [{"kind": "storm"}]}, "unknown kind storm"),
        ({"events": [{"kind": "grid_away", "from_minute": 90}]}, "reaches beyond the scenario's 60 minutes"),
        ({"events": [{"kind": "grid_away", "from_minute": 30, "to_minute": 20}]}, "must be after from_minute"),
        ({"events": [{"kind": "device_lost", "device": "battery9"}]}, "is no device of bench_park"),
        ({"criteria": [{"kind": "served", "loads": ["canteen"]}]}, "is no device of bench_park"),
        ({"energy_kwh": {"battery9": 1.0}}, "is no device of bench_park"),
        ({"devices": {"grid": {"import_limit_kw": -1}}}, "import_limit_kw"),
        ({"site": "nowhere"}, "needs `data`"),
        ({"criteria": []}, "criteria"),
    ],
)
def test_errors_name_the_field(tmp_path, changes, message):
    with pytest.raises(InputError) as refused:
        load_setting(written(tmp_path, **changes))
    assert message in str(refused.value)


def test_all_errors_come_at_once(tmp_path):
    events = [{"kind": "device_lost", "device": "battery9"}, {"kind": "derated", "device": "ev9", "share": 0.5}]
    with pytest.raises(InputError) as refused:
        load_setting(written(tmp_path, events=events))
    assert [problem.value for problem in refused.value.problems] == ["battery9", "ev9"]


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(InputError, match="shipped are bms_derating"):
        load_setting("bms")


def test_a_car_that_leaves_early_keeps_what_it_said(tmp_path):
    car = {
        "charger": "ev01", "arrive_minute": -10, "depart_minute": 50, "leaves_minute": 20, "needed_kwh": 10,
        "on_arrival_kwh": 20, "capacity_kwh": 60,
    }  # fmt: skip
    setting = load_setting(written(tmp_path, cars=[car]))
    (real,) = setting.sessions
    assert real.depart < setting.said[real.session_id].depart
