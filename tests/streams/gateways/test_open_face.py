"""The face that a site file chooses, and several of them behind one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from optimizer.errors import InputError
from site_configs.control import AnyControl, ChargingPlace, Iec104Control, ModbusControl, MqttControl, OcppControl
from site_configs.loader import load_site
from site_configs.site import Site
from streams.gateways.face import Unreachable
from streams.gateways.iec104 import Iec104Face, load_iec104_profile
from streams.gateways.joint import JointFace
from streams.gateways.modbus import ModbusFace
from streams.gateways.mqtt import MqttFace
from streams.gateways.ocpp_stations import OcppFace
from streams.gateways.open_face import open_face

PLACES = {"ev01": ChargingPlace(station="CS1"), "ev02": ChargingPlace(station="CS1", evse=2)}


def site(control: AnyControl) -> Site:
    return load_site("jiashan_park").model_copy(update={"control": control})


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Iterator[Any]:
    face, devices = open_face(site(request.param))
    with closing(face):
        yield face, devices


@pytest.mark.parametrize(
    ("opened", "kind", "count"),
    [
        (ModbusControl(port=1), ModbusFace, 16),
        (MqttControl(gateway="mqtt", port=1), MqttFace, 16),
        (Iec104Control(gateway="iec104", port=1), Iec104Face, 16),
        (OcppControl(port=0, places=PLACES), OcppFace, 2),
        (ModbusControl(port=1, chargers=OcppControl(port=0, places=PLACES)), JointFace, 16),
    ],
    indirect=["opened"],
)
def test_each_protocol_is_chosen_by_the_site_file(opened: Any, kind: type, count: int) -> None:
    face, devices = opened
    assert isinstance(face, kind)
    assert len(devices) == count
    assert "ev01" in devices


@pytest.mark.parametrize(
    "opened", [ModbusControl(port=1, chargers=OcppControl(port=0, places=PLACES))], indirect=["opened"]
)
def test_chargers_by_ocpp_stand_beside_the_controller(opened: Any) -> None:
    face, _ = opened
    reads = face.read(["battery1", "ev01", "ev02", "ev03"])
    assert sorted(reads) == ["battery1", "ev01", "ev02", "ev03"]
    reasons = {device: str(read) for device, read in reads.items() if isinstance(read, Unreachable)}
    assert "charging station CS1 is not connected" in reasons["ev01"]
    assert "127.0.0.1" in reasons["battery1"]
    assert isinstance(face.read_site(), Unreachable)


def test_a_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    control = MqttControl(gateway="mqtt", port=1, username="park", password_variable="PARK_MQTT")
    with pytest.raises(InputError, match="PARK_MQTT"):
        open_face(site(control))
    monkeypatch.setenv("PARK_MQTT", "secret")
    open_face(site(control))[0].close()


def test_a_profile_that_is_not_there_or_wrong_is_named(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="iec104_station, site_controller"):
        load_iec104_profile("nowhere")
    file = tmp_path / "own.yaml"
    file.write_text("name: own\nsite: {remote: 0}\nfirst_device: 1\nstride: 0\ndevice: {setpoint: 0}\nkinds: []\n")
    with pytest.raises(InputError) as error:
        load_iec104_profile(file)
    assert {problem.path for problem in error.value.problems} == {"site.remote", "stride", "device.in_force"}
