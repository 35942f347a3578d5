"""What a person sees in the terminal: tables and small bars with rich."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from optimizer.plan import PlanDocument, ScenariosDocument
from quartet.comparison import bill_rows, measure_rows, money
from quartet.documents import DataCheck, DemoSummary, LedgerCheck, SiteCheck
from quartet.operator import OrderDocument
from settlement.bill import MAIN
from settlement.carbon_document import CarbonReport
from settlement.documents import BillDocument, ComparisonDocument, QualityDocument, TraceDocument
from settlement.statement import Statement
from site_configs.loader import CheckDocument
from site_configs.site import Site

BARS = " ▁▂▃▄▅▆▇█"
BARS_WIDTH = 36
PLAIN: Any = {"box": box.SIMPLE_HEAD, "title_justify": "left", "title_style": "bold"}
STATUS_STYLE = {"optimal": "green", "feasible": "yellow", "shifted": "yellow", "rules": "red"}


def bars(values: Sequence[float], width: int = 48) -> str:
    """A row of blocks whose height is the mean of the values under it, full height at the greatest."""
    width = min(width, len(values))
    top = max(max(values), 1e-9)
    edges = [i * len(values) // width for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    return "".join(BARS[round(max(0.0, mean) / top * (len(BARS) - 1))] for mean in means)


@dataclass(frozen=True)
class Bars:
    """Bars of values, narrower where the numbers beside them need the room."""

    values: Sequence[float]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, min(BARS_WIDTH, len(self.values)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(bars(self.values, min(BARS_WIDTH, options.max_width)), no_wrap=True)


def show_plan(document: PlanDocument, site: Site) -> None:
    console = Console()
    console.print(
        _plan_heading(document, site),
        _setpoints(document, site),
        _flows(document, site),
        _plan_cost(document, site.currency),
    )
    for limit in document.limits_given_way:
        console.print(
            f"[yellow]limit given way:[/yellow] {limit.device} {limit.limit} by {limit.amount:.2f} {limit.unit} "
            f"from {limit.first.astimezone(site.zone):%H:%M}"
        )
    for repair in document.repairs:
        console.print(f"[yellow]note:[/yellow] {repair}")


def _plan_heading(document: PlanDocument, site: Site) -> Panel:
    local = document.issued_at.astimezone(site.zone)
    style = STATUS_STYLE[document.status]
    lines = [
        Text(f"{site.name_zh}  {site.name_en}", style="bold"),
        Text(
            f"from {local:%Y-%m-%d %H:%M %Z}: {len(document.times)} steps of {document.step_minutes} min, "
            f"then coarse ones to {document.horizon_end.astimezone(site.zone):%Y-%m-%d %H:%M}"
        ),
        Text.assemble(
            (document.status, style), f" in {document.time_ms.get('total', 0.0):.0f} ms, {document.solves} solve(s)"
        ),
    ]
    if document.grid_limit_kw is not None:
        lines.append(Text(f"import to stay under {document.grid_limit_kw:,.0f} kW"))
    if document.scenarios is not None:
        lines.append(Text(_scenarios_line(document.scenarios, site.currency)))
    if document.note:
        lines.append(Text(document.note, style="yellow"))
    return Panel(Group(*lines), expand=False)


def _scenarios_line(told: ScenariosDocument, currency: str) -> str:
    dearest = f"the dearest {1 - told.risk_level:.0%} {money(told.cvar)}"
    return f"over {len(told.costs)} scenarios: expected {money(told.expected_cost)} {currency}, {dearest}"


def _setpoints(document: PlanDocument, site: Site) -> Table:
    """Devices that are told the same for the same reason share a row."""
    table = Table(title="setpoints of the first step (> 0 feeds the bus, < 0 takes from it)", **PLAIN)
    table.add_column("device", max_width=20)
    for heading in ("kW", "safe"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("until")
    table.add_column("reason", overflow="fold")
    rows: dict[tuple[str, ...], list[str]] = {}
    for setpoint in document.setpoints:
        told = (f"{setpoint.target_kw:,.1f}", f"{setpoint.safe_value_kw:,.1f}")
        until = f"{setpoint.valid_until.astimezone(site.zone):%H:%M}"
        rows.setdefault((*told, until, f"{setpoint.reason.zh}\n[dim]{setpoint.reason.en}[/dim]"), []).append(
            setpoint.device
        )
    for row, devices in rows.items():
        table.add_row(" ".join(devices), *row)
    return table


def _flows(document: PlanDocument, site: Site) -> Table:
    """A row for each flow of each kind of device, chargers and the like together."""
    table = Table(title=f"the next {len(document.times) * document.step_minutes / 60:g} h", **PLAIN)
    table.add_column("flow")
    table.add_column("peak", justify="right", no_wrap=True)
    table.add_column("kWh", justify="right", no_wrap=True)
    table.add_column("each row relative to its own peak")
    prices = document.prices["import_per_kwh"]
    table.add_row("import price", f"{max(prices):.3f}", "", Bars(prices))
    for (carrier, direction, name), kw in _by_kind(document, site).items():
        if max(kw) > 0.05:
            label = f"{carrier} {'from' if direction == 'in' else 'to'} {name}"
            energy = sum(kw) * document.step_minutes / 60
            table.add_row(label, f"{max(kw):,.0f}", f"{energy:,.0f}", Bars(kw))
    return table


def _by_kind(document: PlanDocument, site: Site) -> dict[tuple[str, str, str], list[float]]:
    """Flows summed over devices of one kind: by carrier, direction and kind."""
    kinds = {device.id: device.kind.replace("_", " ") for device in site.devices}
    sums: dict[tuple[str, str, str], list[float]] = {}
    for flow in sorted(document.flows, key=lambda flow: (flow.carrier != "power", flow.carrier, flow.direction)):
        key = (flow.carrier, flow.direction, kinds[flow.device])
        sums[key] = [a + b for a, b in zip(sums.get(key, [0.0] * len(flow.kw)), flow.kw, strict=True)]
    return sums


def _plan_cost(document: PlanDocument, currency: str) -> Table:
    table = Table(title="cost over the horizon", **PLAIN)
    table.add_column("term")
    table.add_column(currency, justify="right")
    for term, value in document.cost.items():
        table.add_row(term, money(value), style="bold" if term == "total" else None)
    return table


def show_bill(document: BillDocument) -> None:
    console = Console()
    table = Table(title=f"bill of {document.site}, {document.month} ({document.currency})", **PLAIN)
    for heading in ("line", "band", "document"):
        table.add_column(heading, no_wrap=heading != "document")
    for heading in ("quantity", "price", "fee"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in (*document.lines, *document.export_lines):
        quantity = f"{line.quantity:,.2f} {line.unit}"
        name = line.component if line.account == MAIN else f"{line.account} {line.component}"
        table.add_row(name, line.band, line.document, quantity, f"{line.price:f}", f"{line.fee:,.2f}")
    table.add_section()
    table.add_row("total", "", "", "", "", f"{document.total:,.2f}", style="bold")
    console.print(table)
    for part in document.sub_bills:
        console.print(f"{part.user}: {part.total:,.2f}")
    _show_quality(console, document.quality)
    if document.comparison is not None:
        _show_comparison(console, document.comparison)


def _show_quality(console: Console, quality: QualityDocument) -> None:
    if quality.simulated:
        console.print(f"[yellow]meters are simulated under {quality.simulated}: an example, not a bill[/yellow]")
    console.print(f"measured: {quality.coverage:.2%} of the intervals ({quality.grade})")
    for note in quality.notes:
        console.print(f"[yellow]{note}[/yellow]", soft_wrap=True)
    for gap in quality.gaps:
        console.print(f"[yellow]{gap.column}: {gap.intervals} intervals from {gap.start} by {gap.rule}[/yellow]")


def _show_comparison(console: Console, comparison: ComparisonDocument) -> None:
    for line in comparison.lines:
        if not line.agrees:
            name = f"{line.account} {line.component} {line.band}".strip()
            console.print(f"[red]{name}: recorded {line.recorded}, computed {line.computed}[/red]")
    console.print(f"recorded {comparison.recorded_total:,.2f}, error {comparison.error_share:.4%}")


def show_statement(statement: Statement, files: Sequence[Path]) -> None:
    console, data = Console(), statement.data
    totals = data.totals
    console.print(f"[bold]{data.contract.number}[/bold] {data.site}, {data.month}, revision {statement.revision}")
    table = Table(title=f"savings by stream ({data.currency})", **PLAIN)
    table.add_column("stream")
    for heading in ("saving", "±", "ESCO", "owner"):
        table.add_column(heading, justify="right")
    for line in data.streams:
        half = "-" if line.half_width_cny is None else f"{line.half_width_cny:,.2f}"
        esco, owner = f"{line.payable_esco:,.2f}", f"{line.payable_owner:,.2f}"
        table.add_row(line.name_en, f"{line.saving_cny:,.2f}", half, esco, owner)
    console.print(table)
    console.print(
        f"cost {totals.cost_counterfactual:,.2f} without the measures, {totals.cost_actual:,.2f} with them; "
        f"payable to the ESCO {totals.payable_esco:,.2f}"
    )
    for gate in data.gates:
        if gate.passed is False:
            console.print(f"[yellow]not final: {gate.name} is {gate.value}, limit {gate.limit}[/yellow]")
    _show_quality(console, data.quality)
    for file in files:
        console.print(str(file), soft_wrap=True)


def show_trace(document: TraceDocument, site: Site) -> None:
    console = Console()
    console.print(f"[bold]{document.line}[/bold]: {document.formula}", soft_wrap=True)
    columns = list(dict.fromkeys(name for row in document.rows for name in row.values))
    table = Table(title=f"{len(document.rows)} meter rows, {site.timezone}", **PLAIN)
    for heading in ("time", *columns):
        table.add_column(heading, justify="right")
    for row in document.rows:
        values = (f"{row.values[name]:,.4f}" if name in row.values else "" for name in columns)
        table.add_row(f"{row.time.astimezone(site.zone):%Y-%m-%d %H:%M}", *values)
    console.print(table)
    for setpoint in document.setpoints:
        told = f"{setpoint.device} {setpoint.target_kw:,.1f} kW, {setpoint.state}, plan {setpoint.plan_id}"
        console.print(f"{setpoint.interval.astimezone(site.zone):%Y-%m-%d %H:%M} {told}")
    if document.energy_kwh is not None:
        console.print(f"rows add up to {document.energy_kwh:,f} kWh")


def show_carbon(report: CarbonReport) -> None:
    console = Console()
    table = Table(title=f"emissions of {report.site}, {report.month}", **PLAIN)
    for heading in ("meter", "scope", "method", "formula", "factor of", "kg CO2"):
        table.add_column(heading, justify="right" if heading == "kg CO2" else "left")
    for line in report.entries:
        document = f"{line.document} ({line.data_year})"
        table.add_row(line.meter, str(line.scope), line.method, line.formula, document, f"{line.kg:,.1f}")
    console.print(table)
    console.print(f"location-based {report.location_kg:,.1f} kg, market-based {report.market_kg:,.1f} kg")
    if report.quota is not None:
        console.print(f"quota gap of the month {report.quota.gap_t:,.3f} t, {money(float(report.quota.cost))}")
    _show_quality(console, report.quality)


def show_check(document: CheckDocument) -> None:
    console = Console(soft_wrap=True)
    if document.ok:
        console.print(f"[green]{document.site}: no errors[/green]")
    for error in document.errors:
        console.print(f"[red]{error.file}[/red]: [bold]{error.path}[/bold]: {error.message}, got {error.value}")
    if not document.ok:
        console.print(f"{len(document.errors)} error(s): mend them and run the check again")
    if isinstance(document, SiteCheck) and document.data is not None:
        _show_data(console, document.data)


def show_ledger(document: LedgerCheck) -> None:
    console = Console(soft_wrap=True)
    console.print(f"{document.ledger}: {document.links} links, last {document.head or 'none'}")
    console.print(", ".join(f"{count} {table}" for table, count in document.rows.items() if count))
    for line in document.changed:
        console.print(f"[red]{line}[/red]")
    console.print("[green]all is as it was written[/green]" if document.ok else f"{len(document.changed)} change(s)")


def _show_data(console: Console, data: DataCheck) -> None:
    odd = [*data.repairs, *(finding.text for finding in data.findings)]
    odd += [f"{day.series}: {day.text}" for day in data.closure_suggestions]
    for text in odd:
        console.print(f"[yellow]{text}[/yellow]")
    if not odd:
        console.print("[green]nothing odd in the history[/green]")


def show_order(document: OrderDocument, site: Site) -> None:
    console, command, answer = Console(soft_wrap=True), document.command, document.answer
    what = " ".join([command.kind, *([command.device] if command.device else [])])
    power = "" if command.power_kw is None else f" {command.power_kw:g} kW"
    until = "" if command.until is None else f" until {command.until.astimezone(site.zone):%Y-%m-%d %H:%M}"
    console.print(f"[bold]{what}{power}[/bold]{until}, by {command.who}: {command.why}")
    if answer is None:
        console.print("[yellow]no engine has answered: the order stands, and is taken when one runs[/yellow]")
    elif answer.state == "refused":
        console.print(f"[red]refused: {answer.reason}[/red]")
    else:
        console.print(f"[green]taken, in force from the next interval on[/green] {answer.reason}".rstrip())


def show_sites(sites: Sequence[Site]) -> None:
    table = Table(**PLAIN)
    for heading in ("site", "name", "zone", "devices"):
        table.add_column(heading)
    for site in sites:
        kinds = sorted({device.kind for device in site.devices})
        counts = (f"{sum(device.kind == kind for device in site.devices)} {kind}" for kind in kinds)
        table.add_row(site.id, f"{site.name_zh}\n{site.name_en}", site.timezone, ", ".join(counts))
    Console().print(table)


def show_summary(summary: DemoSummary, out: Path) -> None:
    console = Console()
    cycles, setpoints = summary.cycles, summary.setpoints
    console.print(
        f"[bold]{summary.site}[/bold] on {summary.day}: {cycles.answered} of {cycles.count} control cycles answered, "
        f"{cycles.optimal} optimal, {cycles.fallback} by fallback"
    )
    console.print(
        f"{summary.messages.taken_in:,} messages in, {summary.messages.dead_letters} dead letters; setpoints: "
        f"{setpoints.sent:,} sent, {setpoints.applied:,} applied and read back, {setpoints.rejected} rejected, "
        f"{setpoints.expired} expired"
    )
    console.print(
        f"cycle p50 {summary.cycle_ms.p50:.0f} ms, p99 {summary.cycle_ms.p99:.0f} ms; {summary.wall_s:.0f} s in all"
    )
    console.print(_comparison(summary))
    console.print(
        f"{summary.ev.sessions} cars, {summary.ev.served_kwh:,.0f} kWh served; "
        f"month's peak before the day {summary.peak_kw['before']:,.1f} kW"
    )
    console.print(f"[bold]{out / 'report.html'}[/bold] shows the day in pictures; open it in a browser")


def _comparison(summary: DemoSummary) -> Table:
    table = Table(title=f"cost of the day by line ({summary.currency})", **PLAIN)
    table.add_column("line")
    for heading in ("engine", "rules", "stores idle"):
        table.add_column(heading, justify="right")
    for row in bill_rows(summary):
        table.add_row(row.en, *row.values, style="bold" if row.en == "total" else None)
    table.add_section()
    for row in measure_rows(summary):
        table.add_row(row.en, *row.values)
    return table
