"""Settings for all tests."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start real processes share one worker, so that they do not fight for cores and ports."""
    for item in items:
        if item.get_closest_marker("e2e") or item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.xdist_group("real processes"))


@pytest.fixture(scope="session")
def real_kafka() -> str:
    """Address of a real Apache Kafka, as scripts/test.sh starts it."""
    address = os.environ.get("QUARTET_KAFKA")
    if address is None:
        pytest.skip("no real Kafka: scripts/test.sh starts one and names it in QUARTET_KAFKA")
    return address
