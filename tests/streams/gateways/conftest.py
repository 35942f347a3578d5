"""Rigs by protocol; what starts slowly is shared by the tests of a module."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.streams.gateways import iec104_rig, rigs


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def mqtt_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with rigs.mosquitto(tmp_path_factory.mktemp("mosquitto"), free_port()) as port:
        end = time.monotonic() + 10
        while not listens(port):
            assert time.monotonic() < end, "mosquitto does not listen"
            time.sleep(0.02)
        yield port


@pytest.fixture(params=["modbus", "mqtt", "iec104", "ocpp"])
def rig(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each protocol's face with its controller."""
    made: Any
    if request.param == "modbus":
        made = rigs.ModbusRig()
    elif request.param == "mqtt":
        made = rigs.MqttRig(request.getfixturevalue("mqtt_broker"))
    elif request.param == "iec104":
        made = iec104_rig.Iec104Rig(free_port())
    else:
        made = rigs.OcppRig()
    yield made
    made.close()
