"""A sizing in pictures: money over the years, what it hangs on, and the value over sizes of the battery."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from quartet.figures import Legend, png_of, svg_of
from quartet.page import rendered
from sizing.documents import AssessedDocument, SizeDocument

PAID, EARNED, TOTAL = "#e76f51", "#2a9d8f", "#212529"
LOW, HIGH = "#a9cdec", "#1d6fb8"
WIDEST_SWINGS = 8
SWINGS_ZH = {
    "savings": "节省",
    "battery savings": "电池节省",
    "battery purchase": "电池投资",
    "PV purchase": "光伏投资",
    "options purchase": "其他设备投资",
    "new cells": "更换电芯",
    "battery upkeep": "电池运维",
    "discount_rate": "折现率",
    "income_tax_rate": "所得税率",
}


def size_html(document: SizeDocument) -> str:
    """The whole page."""
    best = recommended(document)
    pictures = []
    if best is not None:
        pictures.append(_picture("现金流", f"payments by year, {document.currency}", draw_flows, best, "flows", 3.6))
        pictures.append(
            _picture("敏感性", f"NPV by assumption, {document.currency}", draw_tornado, document, "swing", 3.4)
        )
    if document.map is not None:
        pictures.append(
            _picture("净现值", f"NPV over battery sizes, {document.currency}", draw_map, document, "map", 4.2)
        )
    return rendered("size.html", document=document, best=best, pictures=pictures, swings_zh=SWINGS_ZH)


def size_png(document: SizeDocument) -> bytes:
    """The pictures below one another, in English; where nothing is recommended, payments of what was assessed first."""
    best = recommended(document) or (document.assessed[0] if document.assessed else None)
    rows = []
    if best is not None:
        rows.append((lambda axes, _: draw_flows(axes, best), f"payments by year, {document.currency}", 3.0))
    if document.tornado:
        rows.append((draw_tornado, f"NPV with one assumption changed, {document.currency}", 3.0))
    if document.map is not None:
        rows.append((draw_map, f"NPV over capacity [kWh] and power [kW], {document.currency}", 4.0))
    if len(rows) < 2:
        rows = [*rows, *[(_blank, "", 0.5)] * (2 - len(rows))]
    return png_of(rows, document, "size", 1.0 + sum(height for *_, height in rows))


def recommended(document: SizeDocument) -> AssessedDocument | None:
    """The sizes that are recommended, with what they are worth."""
    return next((one for one in document.assessed if one.sizes == document.recommended), None)


def draw_flows(axes: Axes, best: AssessedDocument) -> list[Legend]:
    """Stacked payments and the running total."""
    years = np.array([flow.year for flow in best.flows])
    earned = np.array([flow.saving + flow.subsidy + flow.residual + max(flow.loan, 0.0) for flow in best.flows])
    net = np.array([flow.net for flow in best.flows])
    axes.bar(years, earned, color=EARNED, width=0.7)
    axes.bar(years, net - earned, color=PAID, width=0.7)
    axes.plot(years, np.cumsum(net), color=TOTAL, marker="o", markersize=3)
    axes.axhline(0.0, color=TOTAL, linewidth=0.8)
    axes.set_xticks(years)
    return [
        Legend(EARNED, "收入", "saved and received"),
        Legend(PAID, "支出", "paid: purchase, upkeep, cells, tax, loan"),
        Legend(TOTAL, "累计", "total so far", "line"),
    ]


def draw_tornado(axes: Axes, document: SizeDocument) -> list[Legend]:
    """The widest swings, the widest on top."""
    swings, npv = document.tornado[:WIDEST_SWINGS][::-1], document.npv or 0.0
    for row, swing in enumerate(swings):
        axes.barh(row, swing.npv_low - npv, left=npv, color=LOW, height=0.6)
        axes.barh(row, swing.npv_high - npv, left=npv, color=HIGH, height=0.6)
    axes.axvline(npv, color=TOTAL, linewidth=0.8)
    axes.set_yticks(range(len(swings)), [f"{s.assumption}  {s.low} / {s.high}" for s in swings])
    return [Legend(LOW, "较低", "lower value"), Legend(HIGH, "较高", "higher value")]


def draw_map(axes: Axes, document: SizeDocument) -> list[Legend]:
    """Value over sizes, with the recommended one."""
    valued = document.map
    if valued is None:
        return []
    npv = np.ma.masked_invalid(np.array(valued.npv, dtype=float))
    mesh = axes.pcolormesh(valued.battery_kwh, valued.battery_kw, npv, cmap="viridis", shading="nearest")
    axes.figure.colorbar(mesh, ax=axes)
    if document.recommended is not None:
        axes.plot(document.recommended.battery_kwh, document.recommended.battery_kw, "o", color=PAID, markersize=8)
    axes.set_xlabel("kWh")
    axes.set_ylabel("kW")
    return [Legend(PAID, "推荐", "recommended", "dots")]


def _picture(zh: str, en: str, draw: object, drawn: object, salt: str, height: float) -> dict[str, object]:
    svg, legends = svg_of(draw, drawn, salt, height)  # type: ignore[arg-type]
    return {"zh": zh, "en": en, "svg": svg, "legends": legends}


def _blank(axes: Axes, document: SizeDocument) -> list[Legend]:
    axes.set_visible(False)
    return []
