"""Scenarios are run once in a session, whoever asks for them."""

from functools import cache

import pytest

from hil.scenarios.loading import load_setting
from hil.scenarios.report import run_and_judge


@cache
def _ran(scenario, controller):
    return run_and_judge(load_setting(scenario), controller)


@pytest.fixture(scope="session")
def ran():
    """`ran(scenario, controller)`: its result and its run."""
    return _ran
