"""Reading an IEC 104 station while its answers arrive in the library's own thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.gateways.face import Readback, SiteStatus
from tests.streams.gateways.conftest import free_port
from tests.streams.gateways.device_model import DEVICES
from tests.streams.gateways.iec104_rig import Iec104Rig


@pytest.fixture
def station() -> Iterator[Iec104Rig]:
    rig = Iec104Rig(free_port())
    yield rig
    rig.close()


def test_every_round_of_reading_is_answered(station: Iec104Rig) -> None:
    """A value read from the library's point while it is replaced ended the process within some hundred rounds."""
    for _ in range(500):
        assert isinstance(station.face.read_site(), SiteStatus)
        assert all(isinstance(read, Readback) for read in station.face.read(DEVICES).values())
