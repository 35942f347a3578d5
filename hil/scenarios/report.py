"""Scenarios run and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from time import perf_counter

from hil.scenarios.controllers import CONTROLLERS
from hil.scenarios.documents import CriterionFinding, HilReport, ScenarioResult
from hil.scenarios.judging import judge
from hil.scenarios.loading import Setting
from hil.scenarios.running import ScenarioRun, run_scenario


def run_all(
    settings: Iterable[Setting],
    controller: str,
    on_run: Callable[[ScenarioResult, ScenarioRun], None] = lambda result, run: None,
) -> HilReport:
    """Runs scenarios one after the other under a controller of `CONTROLLERS`; `on_run` sees each when it is judged."""
    began, results = perf_counter(), []
    for setting in settings:
        result, run = run_and_judge(setting, controller)
        on_run(result, run)
        results.append(result)
    passed = all(result.passed for result in results)
    wall_s = round(perf_counter() - began, 3)
    return HilReport(controller=controller, passed=passed, scenarios=tuple(results), wall_s=wall_s)


def run_and_judge(setting: Setting, controller: str) -> tuple[ScenarioResult, ScenarioRun]:
    """One scenario under one controller."""
    began, scenario = perf_counter(), setting.scenario
    run = run_scenario(setting, CONTROLLERS[controller](setting))
    findings = tuple(CriterionFinding.model_validate(asdict(finding)) for finding in judge(run))
    result = ScenarioResult(
        id=scenario.id,
        title=scenario.title,
        site=setting.site.id,
        start=setting.start.astimezone(setting.site.zone).isoformat(),
        minutes=scenario.minutes,
        seed=scenario.seed,
        passed=all(finding.passed for finding in findings),
        findings=findings,
        setpoints=dict(sorted(Counter(ack.state for ack in run.acks).items())),
        wall_s=round(perf_counter() - began, 3),
    )
    return result, run
