"""Scenarios on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hil.scenarios.controllers import BAD
from hil.scenarios.documents import HilReport, ScenarioResult
from hil.scenarios.loading import load_setting, shipped_scenarios
from quartet.show import PLAIN


def show_report(report: HilReport, out: Path | None) -> None:
    """A row for each scenario, and under those that failed what did not hold."""
    console = Console()
    table = Table(title=f"scenarios under {report.controller}, {report.wall_s:.0f} s", **PLAIN)
    for heading in ("scenario", "verdict", "criteria", "tightest"):
        table.add_column(heading, no_wrap=heading != "tightest")
    for result in report.scenarios:
        held = sum(finding.passed for finding in result.findings)
        verdict = Text("passed", "green") if result.passed else Text("FAILED", "bold red")
        table.add_row(result.id, verdict, f"{held} of {len(result.findings)}", "\n".join(_tightest(result)))
    console.print(table)
    passed = sum(result.passed for result in report.scenarios)
    console.print(f"{passed} of {len(report.scenarios)} scenarios passed")
    if out is not None:
        console.print(str(out / "report.html"), soft_wrap=True)


def _tightest(result: ScenarioResult) -> list[str]:
    """What failed; of a scenario that passed, the numbers of all criteria."""
    shown = [finding for finding in result.findings if not finding.passed] or list(result.findings)
    return [
        f"{finding.criterion}: {finding.measured:,.1f} {finding.unit}, allowed {finding.allowed:,.1f}"
        + ("" if finding.minute is None or finding.passed else f", minute {finding.minute}")
        for finding in shown
    ]


def show_scenarios() -> None:
    """The shipped scenarios, and what the bad controllers do."""
    console = Console()
    table = Table(title="scenarios", **PLAIN)
    for heading in ("name", "what", "min", "must catch"):
        table.add_column(heading, no_wrap=heading == "name")
    for name in shipped_scenarios():
        scenario = load_setting(name).scenario
        table.add_row(name, scenario.title, str(scenario.minutes), ", ".join(scenario.caught))
    console.print(table)
    faults = Table(title="controllers that are bad on purpose", **PLAIN)
    for heading in ("name", "fault"):
        faults.add_column(heading, no_wrap=heading == "name")
    for name, maker in BAD.items():
        faults.add_row(name, (maker.__doc__ or "").split("\n", 1)[0])
    console.print(faults)
