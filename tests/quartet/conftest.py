"""Running the command in this process, through its real entry point."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hil.closed_loop import simulated_meters
from quartet.cli import main
from quartet.documents import DOCUMENTS
from site_configs.history import read_history, sample_folder, write_history
from site_configs.loader import load_site
from site_configs.tariff import billing_month, local_midnight
from tests.quartet.browser import chromium, complaints

PRINTED = {
    "demo": "demo-summary",
    "forecast": "forecast-backtest",
    "hil": "hil-report",
    "operator": "order",
    **{name: name for name in ("bill", "carbon", "check", "ledger", "plan", "replay", "size", "statement", "trace")},
}
"""By command: the name of its document."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str
    document: str | None = None
    """The name under which `quartet schema` has what the command prints."""

    @property
    def json(self) -> Any:
        """Standard output as one strict JSON document that fits its schema."""
        found = json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        if self.document is not None:
            jsonschema.validate(found, DOCUMENTS[self.document].model_json_schema())
        return found


@pytest.fixture
def quartet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`quartet("plan", ...)` runs the command and says how it ended."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["quartet", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Ran(code, out, err, PRINTED.get(arguments[0]) if arguments else None)

    return run


@pytest.fixture(scope="session")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history folder of the shipped park's July: the sample and the meters simulated for it."""
    site = load_site("jiashan_park")
    history = read_history(sample_folder(site.id), zone=site.timezone)
    period = billing_month(local_midnight(date(2026, 7, 1), site.zone), site.zone)
    folder = tmp_path_factory.mktemp("july")
    meters = simulated_meters(site, history, period, "rules")
    write_history(folder, history.window(*period).join(meters), history.sessions)
    return folder


@pytest.fixture(scope="module")
def complaints_of() -> Iterator[Callable[[Path], list[str]]]:
    """What a real browser finds wrong with a page."""
    with ThreadPoolExecutor(1) as thread, ExitStack() as stack:  # its event loop must not run in the tests' own thread
        browser = thread.submit(lambda: stack.enter_context(chromium())).result()
        yield lambda file: thread.submit(lambda: complaints(browser, file)).result()
        thread.submit(stack.close).result()
