"""The choice of the protocol in the site file: every error at once, and a default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from site_configs.control import Iec104Control, ModbusControl, MqttControl, OcppControl, ocpp_of
from site_configs.loader import CheckDocument, check_site, load_site

SHIPPED = Path(__file__).parents[2] / "site_configs" / "jiashan_park.yaml"


def checked(folder: Path, control: Any) -> CheckDocument:
    data = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    del data["control"]
    if control is not None:
        data["control"] = control
    (folder / "park.yaml").write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return check_site(folder / "park.yaml")


PLACES = {"ev01": {"station": "CS1"}, "ev02": {"station": "CS1", "evse": 2}}


@pytest.mark.parametrize(
    ("control", "kind"),
    [
        (None, ModbusControl),
        ({"port": 15020}, ModbusControl),
        ({"gateway": "mqtt", "topic": "parks/jiashan"}, MqttControl),
        ({"gateway": "iec104", "common_address": 7}, Iec104Control),
        ({"gateway": "ocpp", "places": PLACES}, OcppControl),
        ({"gateway": "iec104", "chargers": {"places": PLACES}}, Iec104Control),
    ],
)
def test_each_protocol_has_its_own_settings(tmp_path: Path, control: Any, kind: type) -> None:
    assert checked(tmp_path, control).errors == ()
    chosen = load_site(tmp_path / "park.yaml").control
    assert type(chosen) is kind
    named = "places" in str(control)
    assert (ocpp_of(chosen) is not None) == named


def test_all_errors_of_a_section_are_told_at_once(tmp_path: Path) -> None:
    wrong = {
        "gateway": "mqtt", "port": 70000, "topic": "a/#", "profile": "x",
        "chargers": {"places": {"ev01": {"station": "s", "evse": 0}, "battery1": {"station": "a/b"}}},
    }  # fmt: skip
    found = {error.path for error in checked(tmp_path, wrong).errors}
    assert found == {
        "control.port",
        "control.topic",
        "control.profile",
        "control.chargers.places.ev01.evse",
        "control.chargers.places.battery1.station",
        "control.chargers.places.battery1",
    }


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ({"gateway": "opc_ua"}, "known are 'modbus_tcp', 'mqtt', 'iec104', 'ocpp'"),
        ({"gateway": "ocpp"}, "is required: add it"),
        ({"gateway": "ocpp", "places": {}}, "at least 1"),
        ({"gateway": "ocpp", "places": {"ev01": PLACES["ev01"], "ev02": PLACES["ev01"]}}, "ev01 and ev02 are both at"),
        ("modbus", "unknown kind|must be"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(tmp_path: Path, control: Any, message: str) -> None:
    (error,) = checked(tmp_path, control).errors
    assert error.path.startswith("control")
    assert re.search(message, error.message)
