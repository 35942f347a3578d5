"""A sizing in the terminal: what was proposed, what was judged, what is recommended."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quartet.show import PLAIN
from sizing.documents import SizeDocument


def show_size(document: SizeDocument) -> None:
    console, proposal = Console(), document.proposal
    span = f"{document.start:%Y-%m-%d %H:%MZ} to {document.end:%Y-%m-%d %H:%MZ}"
    console.print(f"\n[bold]{document.site}[/bold], {span}, judged by [bold]{document.judge}[/bold]")
    proven = "proven" if proposal.proven else "an estimate"
    console.print(
        f"year model: {proposal.method}, {proposal.passes} passes, cost {proposal.cost:,.2f}, lower bound "
        f"{_number(proposal.lower_bound, ',.2f')}, gap {_number(proposal.gap, '.4%')} ({proven})"
    )
    console.print(_assessed_table(document))
    if document.parties:
        console.print(_party_table(document))
    for line in _lines(document):
        console.print(line, soft_wrap=True)


def _assessed_table(document: SizeDocument) -> Table:
    table = Table(title=f"what was looked at, {document.currency}", **PLAIN)
    names = ("kWh", "kW", "PV kW", "foreseen", "replayed", "NPV", "IRR", "payback")
    for name in (*names, *(["options"] if len(document.choices) > 1 else [])):
        table.add_column(name, justify="left" if name == "options" else "right")
    for one in document.assessed:
        table.add_row(
            f"{one.sizes.battery_kwh:,.0f}",
            f"{one.sizes.battery_kw:,.0f}",
            f"{one.sizes.pv_kw:,.0f}",
            f"{one.foreseen_saving + one.options_saving:,.0f}",
            _number(one.judged_saving, ",.0f"),
            f"{one.npv:,.0f}",
            _number(one.irr, ".1%"),
            _number(one.payback_years, ".1f"),
            *([", ".join(one.sizes.options) or "none"] if len(document.choices) > 1 else []),
            style="bold" if one.sizes == document.recommended else None,
        )
    return table


def _party_table(document: SizeDocument) -> Table:
    table = Table(title=f"parties of the contract, before income tax, {document.currency}", **PLAIN)
    for name in ("party", "NPV", "IRR", "payback"):
        table.add_column(name, justify="left" if name == "party" else "right")
    for party in document.parties:
        values = (f"{party.npv:,.0f}", _number(party.irr, ".1%"), _number(party.payback_years, ".1f"))
        table.add_row(party.role, *values)
    return table


def _lines(document: SizeDocument) -> list[str]:
    best, swings = document.recommended, document.tornado[:3]
    said = "nothing is worth building"
    if best is not None:
        contract = "" if best.contract_kw is None else f", contract demand {best.contract_kw:,.0f} kW"
        options = "".join(f", {option}" for option in best.options)
        said = f"{best.battery_kwh:,.0f} kWh, {best.battery_kw:,.0f} kW, PV {best.pv_kw:,.0f} kW{contract}{options}"
    return [
        f"recommended: [bold]{said}[/bold]",
        *(f"NPV with {s.assumption} {s.low} / {s.high}: {s.npv_low:,.0f} / {s.npv_high:,.0f}" for s in swings),
        *(f"[yellow]repaired:[/yellow] {escape(str(repair['text']))}" for repair in document.repairs),
        *(f"[yellow]{name}:[/yellow] {escape(why)}" for name, why in document.reasons.items()),
        f"{document.wall_s:.0f} s in all",
    ]


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
