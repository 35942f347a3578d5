"""`quartet hil run`: scenarios by name, their report as document and page."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from hil.scenarios.controllers import CONTROLLERS
from hil.scenarios.documents import HilReport, ScenarioResult
from hil.scenarios.loading import Setting, load_setting, shipped_scenarios
from hil.scenarios.report import run_all
from hil.scenarios.running import ScenarioRun
from optimizer.errors import InputError, Problem
from quartet.arguments import output_folder, refuse
from quartet.scenario_page import ScenarioPicture, picture_of, scenarios_html


def run_named(names: Sequence[str], controller: str, out: Path | None) -> HilReport:
    """Runs the scenarios of these names, all shipped ones where there are none; writes the report into `out`.

    Raises:
        InputError: unknown names, every problem of the scenarios' files, or an unknown controller.
    """
    if controller not in CONTROLLERS:
        refuse("--controller", controller, f"must be one of {', '.join(CONTROLLERS)}")
    settings = _settings(names or shipped_scenarios())
    if out is not None:
        output_folder(out)
    pictures: list[ScenarioPicture] = []
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("scenarios", total=len(settings))

        def seen(result: ScenarioResult, run: ScenarioRun) -> None:
            progress.update(task, advance=1, description=result.id)
            if out is not None:
                pictures.append(picture_of(result, run))

        with _only_errors_logged("streams"):  # what gateway and engine warn of is what is being tried
            report = run_all(settings, controller, seen)
    if out is not None:
        (out / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (out / "report.html").write_text(scenarios_html(report, pictures), encoding="utf-8")
    return report


@contextmanager
def _only_errors_logged(room: str) -> Iterator[None]:
    logger = logging.getLogger(room)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _settings(names: Sequence[str]) -> list[Setting]:
    settings, problems = list[Setting](), list[Problem]()
    for name in names:
        try:
            settings.append(load_setting(name))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return settings
