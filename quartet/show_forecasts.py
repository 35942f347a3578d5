"""Back-tests in the terminal: a table by lead time for each series."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quartet.documents import ForecastBackTest, Scores, SeriesBackTest, TotalError
from quartet.show import PLAIN

NARROW: Any = {**PLAIN, "padding": (0, 1, 0, 0), "pad_edge": False}
SHOWN_HOURS = (1, 2, 4, 8, 12, 24, 48, 72, 168, 336, 720)
"""Leads that have a row in the table beside the first and the last [h]."""
YARDSTICKS = {
    "persistence": "last value",
    "same_slot_yesterday": "yesterday",
    "same_slot_last_week": "last week",
    "same_type_days": "same type",
    "peer": "LightGBM",
}


def show_backtest(document: ForecastBackTest) -> None:
    console = Console()
    for name, found in document.series.items():
        console.print(_heading(name, found), soft_wrap=True)
        console.print(_errors(found), _comparison(found))
        for line in (*_totals(found), *_remarks(found)):
            console.print(line, soft_wrap=True)
    for note in document.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}", soft_wrap=True)
    console.print(
        f"a fit took {document.fit_ms:,.0f} ms, a forecast {document.update_ms:.1f} ms; {document.wall_s:.0f} s in all"
    )


def shown_rows(found: SeriesBackTest) -> list[Scores]:
    """Rows worth a line for people: the first lead, round ones, the last, and all together."""
    leads = {found.by_lead[0].lead_minutes, found.by_lead[-1].lead_minutes, *(60 * hours for hours in SHOWN_HOURS)}
    return [row for row in found.by_lead if row.lead_minutes in leads]


def lead_name(row: Scores) -> str:
    """E.g. 15 min, 4 h, 2 to 3 d."""
    if row.lead_from_minutes == row.lead_minutes:
        return _length(row.lead_minutes)
    return f"{(row.lead_from_minutes - 1) // 1440} to {-(-row.lead_minutes // 1440)} d"


def number(value: float | None) -> str:
    """Four figures, as kW and prices per kWh both need them."""
    if value is None:
        return "-"
    digits = 3 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{min(4, max(0, digits))}f}"


def _length(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if rest or hours == 0 else f"{hours} h"


def _heading(name: str, found: SeriesBackTest) -> str:
    days = found.history_rows * found.step_minutes / 1440
    return (
        f"\n[bold]{name}[/bold]: {found.origins} origins from {found.first_origin:%Y-%m-%d %H:%MZ} to "
        f"{found.last_origin:%Y-%m-%d %H:%MZ}, {days:,.0f} days of history before them"
    )


def _errors(found: SeriesBackTest) -> Table:
    table = Table(title="by lead: errors of the median, and shares inside the 80 % and 95 % bands", **NARROW)
    table.add_column("lead", no_wrap=True)
    for heading in ("n", "MAE", "RMSE", "bias", "MASE", "MAPE %", "pinball", "80 %", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in shown_rows(found):
        table.add_row(lead_name(row), *_error_cells(row))
    table.add_section()
    table.add_row("all", *_error_cells(found.overall), style="bold")
    return table


def _error_cells(row: Scores) -> list[str]:
    own = [number(value) for value in (row.mae, row.rmse, row.bias, row.mase, row.mape, row.pinball)]
    shares = ["-" if share is None else f"{share:.0%}" for share in (row.coverage80, row.coverage95)]
    return [f"{row.n:,}", *own, *shares]


def _comparison(found: SeriesBackTest) -> Table:
    table = Table(title="by lead: MAE beside other ways; * is the least", **NARROW)
    table.add_column("lead", no_wrap=True)
    for heading in ("forecast", *YARDSTICKS.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in shown_rows(found):
        table.add_row(lead_name(row), *compared(row))
    table.add_section()
    table.add_row("all", *compared(found.overall), style="bold")
    return table


def compared(row: Scores) -> list[str]:
    """MAE of the forecast and of each yardstick, the least of them marked."""
    errors = [row.mae, *(getattr(row.yardsticks, name) for name in YARDSTICKS)]
    least = min((error for error in errors if error is not None), default=None)
    return [number(error) + ("*" if error is not None and error == least else "") for error in errors]


def _totals(found: SeriesBackTest) -> list[str]:
    totals = {"peak of 24 h": found.overall.day_peak}
    totals |= {f"energy in {band}, kWh": total for band, total in (found.overall.energy_kwh_by_band or {}).items()}
    return [f"  {name}: {_total_line(total)}" for name, total in totals.items() if total is not None]


def _total_line(total: TotalError) -> str:
    return f"{total.mae:,.1f} off on the mean of {total.n} (bias {total.bias:+,.1f}), measured {total.mean_actual:,.1f}"


def _remarks(found: SeriesBackTest) -> list[str]:
    made = ", ".join(f"{method} ({count})" for method, count in found.methods.items())
    reasons = found.overall.reasons.items()
    return [
        f"  made by: {escape(made)}",
        *(f"  [yellow]repaired:[/yellow] {escape(str(repair['text']))}" for repair in found.repairs),
        *(f"  [yellow]no {name}:[/yellow] {escape(reason)}" for name, reason in reasons),
    ]
