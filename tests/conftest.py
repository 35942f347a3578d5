"""Settings for all tests."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests that start real processes come first: a file runs in one worker, and a long one that begins last
    is waited for."""
    real = {item.path for item in items if item.get_closest_marker("e2e") or item.get_closest_marker("kafka")}
    items.sort(key=lambda item: item.path not in real)


@pytest.fixture(scope="session")
def real_kafka() -> str:
    """Address of a real Apache Kafka, as scripts/test.sh starts it."""
    address = os.environ.get("QUARTET_KAFKA")
    if address is None:
        pytest.skip("no real Kafka: scripts/test.sh starts one and names it in QUARTET_KAFKA")
    return address
