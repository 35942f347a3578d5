"""Settings for all tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start real processes share one worker, so that they do not fight for cores and ports."""
    for item in items:
        if item.get_closest_marker("e2e") or item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.xdist_group("real processes"))
