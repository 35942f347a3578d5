"""A Modbus client of others (mbpoll, on libmodbus) reads what the gateway has written."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from streams.gateways.face import Block
from streams.gateways.registers import load_profile, map_registers
from tests.streams.gateways.device_model import START
from tests.streams.gateways.rigs import CHARGERS, ModbusRig
from tests.tools import tool

UNTIL = START.replace(minute=20)


@pytest.fixture
def rig() -> Iterator[ModbusRig]:
    made = ModbusRig()
    yield made
    made.close()


def polled(rig: ModbusRig, address: int, kind: str) -> int:
    """One value at a register, as the other client understands it."""
    command = [tool("mbpoll"), "-m", "tcp", "-p", str(rig.port), "-a", "1", "-0", "-r", str(address), "-c", "1", "-1"]
    answer = subprocess.run([*command, "-t", kind, "-B", "127.0.0.1"], capture_output=True, text=True, timeout=20)
    assert answer.returncode == 0, answer.stderr
    found = re.search(rf"^\[{address}\]:\s+(-?\d+)", answer.stdout, re.MULTILINE)
    assert found is not None, answer.stdout
    return int(found.group(1))


def test_the_setpoint_stands_in_the_registers_as_documented(rig: ModbusRig) -> None:
    places = map_registers(load_profile("site_controller"), CHARGERS).devices["b2"]
    assert rig.face.write("b2", Block(29_789_880, -120.5, 3.0, 900.0, START, UNTIL)) is None
    assert rig.face.adjust("b2", -40.2) is None
    read = {name: polled(rig, places.address + offset, "4:int") for name, offset in DOCUMENTED.items()}
    assert read == {
        "seq": 29_789_880,
        "target": -1205,
        "safe_value": 30,
        "grid_limit": 9000,
        "valid_from": int(START.timestamp()),
        "valid_until": int(UNTIL.timestamp()),
        "applied_seq": 29_789_880,
        "applied_target": -1205,
        "measured": -402,
    }


DOCUMENTED = {
    "seq": 0,
    "target": 2,
    "safe_value": 4,
    "grid_limit": 6,
    "valid_from": 8,
    "valid_until": 10,
    "applied_seq": 12,
    "applied_target": 14,
    "measured": 16,
}
"""Offsets of docs/gateway.md, in a device's block."""
