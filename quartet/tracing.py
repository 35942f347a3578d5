"""`quartet trace`: from a line of a bill or statement to its meter rows, and the plans and setpoints of that time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from optimizer.errors import InputError, Problem
from quartet.settling import SettledMonth
from quartet.statements import Order, make_statement, settled_for, verified_for
from settlement.documents import TraceDocument, TracedRow, TracedSetpoint
from settlement.trace import Trace, energy_of, find_line, trace_line, trace_stream
from site_configs.site import Site
from streams.ledger import Ledger

STREAM, PAYMENT = "stream", "payment"


def month_of(line: str, zone: ZoneInfo) -> str:
    """The month that a line's id ends in, as 2026-07.

    Raises:
        InputError: the id is of no line.
    """
    last = line.rpartition("/")[2]
    try:
        if line.startswith((f"{STREAM}/", f"{PAYMENT}/")):
            return f"{datetime.strptime(last, '%Y-%m'):%Y-%m}"  # noqa: DTZ007 a month has no zone
        return f"{datetime.strptime(last, '%Y%m%dT%H%MZ').replace(tzinfo=ZoneInfo('UTC')).astimezone(zone):%Y-%m}"
    except ValueError:
        raise _unknown(line, "ids look like main/purchase/sharp/20260630T1600Z or stream/pv/2026-07") from None


def trace_of_bill(settled: SettledMonth, line: str, ledger: Path | None = None) -> TraceDocument:
    """The trace of a bill's line.

    Raises:
        InputError: the bill has no such line, or the ledger is not there.
    """
    whole = settled.bill()
    found = find_line(whole, line)
    if found is None:
        known = ", ".join(x.id for x in (*whole.lines, *whole.export_lines))
        raise _unknown(line, f"the bill of {settled.month} has {known}")
    return _document(settled, line, trace_line(settled.site, found, settled.flows, settled.period), ledger)


def trace_of_statement(
    order: Order, line: str, ledger: Path | None = None, folder: Path | None = None
) -> TraceDocument:
    """The trace of a stream's saving or of a payment; `folder` is where statements of earlier months lie.

    Raises:
        InputError: the statement has no such line, or the ledger is not there.
    """
    settled = settled_for(order)
    verified = verified_for(order, settled)
    streams = [stream.stream for stream in verified.streams]
    name, basis = line.split("/")[1], ""
    if line.startswith(f"{PAYMENT}/"):
        payments = {payment.id: payment for payment in make_statement(order, folder=folder).data.payments}
        if line not in payments:
            raise _unknown(line, f"the statement has {', '.join(payments)}")
        name, basis = payments[line].item, f"{payments[line].basis}; "
    elif name not in streams:
        raise _unknown(line, f"the statement has {', '.join(f'stream/{stream}/{order.month}' for stream in streams)}")
    if name in streams:
        trace = trace_stream(verified, name, verified.measures.get(name))
    else:
        trace = Trace(line, "of the contract: no meter is behind it", pd.DataFrame(index=settled.flows.index[:0]))
    return _document(settled, line, Trace(line, f"{basis}{trace.formula}", trace.rows), ledger)


def _document(settled: SettledMonth, line: str, trace: Trace, ledger: Path | None) -> TraceDocument:
    rows = tuple(
        TracedRow(time=at.to_pydatetime(), values={str(k): float(v) for k, v in row.items() if math.isfinite(v)})
        for at, row in zip(trace.rows.index, trace.rows.to_dict("records"), strict=True)
    )
    return TraceDocument(
        line=line,
        site=settled.site.id,
        month=settled.month,
        formula=trace.formula,
        energy_kwh=energy_of(trace),
        simulated=settled.simulated,
        rows=rows,
        setpoints=() if ledger is None else tuple(_setpoints(settled.site, ledger, (row.time for row in rows))),
    )


def _setpoints(site: Site, file: Path, times: Iterable[datetime]) -> Iterable[TracedSetpoint]:
    if not file.is_file():
        raise InputError([Problem(str(file), "--ledger", "no such file", "give the ledger of the engine's run")])
    wanted = set(times)
    with Ledger.written(file) as opened:
        for trace in opened.setpoint_trace(site.id):
            if trace.interval in wanted:
                yield TracedSetpoint(
                    interval=trace.interval, device=trace.device, target_kw=trace.target_kw, state=trace.state,
                    readback_kw=trace.readback_kw, plan_id=trace.plan_id, plan_status=trace.plan_status,
                    plan_hash=trace.plan_hash,
                )  # fmt: skip


def _unknown(line: str, message: str) -> InputError:
    return InputError([Problem("command line", "LINE", line, f"is no line: {message}")])
