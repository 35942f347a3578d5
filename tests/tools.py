"""Programs of others that tests speak to, installed by scripts/test_tools.sh."""

from __future__ import annotations

import os
import shutil

import pytest


def tool(name: str) -> str:
    """Path of a program of others; without it the test is skipped, with CI=true it fails."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        word = f"no {name}: scripts/test_tools.sh installs it"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(word)
    return path
