"""A replay in the terminal: cost by term beside the baselines, what was captured, what was lost, what was broken."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quartet.documents import ReplayDocument
from quartet.show import PLAIN

ORDER = ("none", "rules", "engine", "perfect")
CAUSES = {
    "forecast": "forecast error",
    "plant": "control lag and plant mismatch",
    "horizon": "horizon, terminal value, whole decisions",
    "together": "what these make of each other",
    "fallback": "fallback",
    "total": "all",
}


def show_replay(document: ReplayDocument) -> None:
    console = Console()
    span = f"{document.start:%Y-%m-%d %H:%MZ} to {document.end:%Y-%m-%d %H:%MZ}"
    console.print(f"\n[bold]{document.site}[/bold], {span}, controller [bold]{document.controller}[/bold]")
    console.print(_cost_table(document))
    if document.loss_split is not None:
        console.print(_loss_table(document))
    for line in _lines(document):
        console.print(line, soft_wrap=True)


def _cost_table(document: ReplayDocument) -> Table:
    costs = {**document.baseline_cost, document.controller: document.cost}
    shown = [name for name in ORDER if name in costs]
    table = Table(title=f"cost on measured flows, {document.currency}", **PLAIN)
    table.add_column("term")
    for name in shown:
        table.add_column(name, justify="right", style="bold" if name == document.controller else None)
    for term in dict.fromkeys(term for cost in costs.values() for term in cost if term != "total"):
        table.add_row(term, *(f"{costs[name].get(term, 0.0):,.2f}" for name in shown))
    table.add_section()
    table.add_row("total", *(f"{costs[name]['total']:,.2f}" for name in shown), style="bold")
    return table


def _loss_table(document: ReplayDocument) -> Table:
    table = Table(title=f"lost against the bound, {document.currency}", **PLAIN)
    table.add_column("cause")
    table.add_column("cost", justify="right")
    for name, value in (document.loss_split or {}).items():
        table.add_row(CAUSES[name], "-" if value is None else f"{value:,.2f}")
    return table


def _lines(document: ReplayDocument) -> list[str]:
    cycles, ev = document.cycles, document.ev
    captured = document.value_captured
    return [
        *([] if captured is None else [f"captured of what the bound saves over none: [bold]{captured:.1%}[/bold]"]),
        f"{cycles.count} cycles, {cycles.solved} solved, {cycles.fallback} by a fallback; a decision took "
        f"{cycles.p50_ms:.0f} ms (99 %: {cycles.p99_ms:.0f} ms)",
        f"{ev.sessions} cars, {ev.served_kwh:,.1f} kWh served, {ev.missed_kwh:,.1f} kWh missed; "
        f"{document.carbon_kg:,.0f} kg CO2",
        *(f"[yellow]broken:[/yellow] {escape(violation.text)}" for violation in document.violations),
        *(f"[yellow]repaired:[/yellow] {escape(str(repair['text']))}" for repair in document.repairs),
        *(
            f"[yellow]no model of {lack.series}[/yellow] from {lack.fitted_at:%Y-%m-%d %H:%M} UTC to the next fit: "
            f"{escape(lack.reason)}"
            for lack in document.without_model
        ),
        *(f"[yellow]no {name}:[/yellow] {escape(why)}" for name, why in document.reasons.items()),
        f"{document.wall_s:.0f} s in all",
    ]
