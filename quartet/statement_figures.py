"""Pictures of a statement, with Chinese words where the statement is Chinese; the same data give the same bytes."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pylopdf_fonts_zh_cn import sans_path

from quartet.statement_words import BANDS, COMPONENTS, Lang, word
from settlement.statement import StatementData

BEFORE, AFTER, SAVED, LOST = "#7d8597", "#1d3557", "#2a9d8f", "#c1121f"
BAND_COLOURS = {"sharp": "#c8553d", "peak": "#e9a178", "flat": "#f4d58d", "valley": "#8fb8de", "deep": "#5b8bb8"}
OTHER_COLOURS = ("#8e6bbf", "#72c8d8", "#adb5bd")
DPI = 150


@cache
def _family() -> str:
    path = str(sans_path())
    font_manager.fontManager.addfont(path)
    return str(font_manager.FontProperties(fname=path).get_name())


def bridge_png(data: StatementData, lang: Lang) -> bytes:
    """What each stream took off the cost, from the counterfactual to the actual one."""

    def draw(axes: Axes) -> None:
        steps = [(line.name_en if lang == "en" else line.name_zh, line.saving_cny) for line in data.streams]
        names = ["反事实" if lang == "zh" else "counterfactual", *(name for name, _ in steps)]
        names.append("实际" if lang == "zh" else "actual")
        level = float(data.totals.cost_counterfactual)
        axes.bar(0, level, color=BEFORE, width=0.6)
        _label(axes, 0, level, data.totals.cost_counterfactual)
        for n, (_, saving) in enumerate(steps, start=1):
            after = level - float(saving)
            axes.bar(n, abs(float(saving)), bottom=min(level, after), color=SAVED if saving >= 0 else LOST, width=0.6)
            _label(axes, n, max(level, after), -saving)
            level = after
        axes.bar(len(steps) + 1, float(data.totals.cost_actual), color=AFTER, width=0.6)
        _label(axes, len(steps) + 1, float(data.totals.cost_actual), data.totals.cost_actual)
        axes.set_xticks(range(len(names)), names)
        axes.set_ylabel(data.currency)
        axes.margins(y=0.12)

    return _png(draw, 3.0)


def bands_png(data: StatementData, lang: Lang) -> bytes:
    """Energy bought by day and band, with the counterfactual as a line."""

    def draw(axes: Axes) -> None:
        bands = list(dict.fromkeys(band for day in data.days for band in day.kwh))
        places, base = np.arange(1, len(data.days) + 1), np.zeros(len(data.days))
        for n, band in enumerate(bands):
            kwh = np.array([float(day.kwh.get(band, 0)) for day in data.days])
            colour = BAND_COLOURS.get(band, OTHER_COLOURS[n % len(OTHER_COLOURS)])
            axes.bar(places, kwh, bottom=base, color=colour, label=word(BANDS, band, lang))
            base += kwh
        before = [float(day.kwh_counterfactual) for day in data.days]
        axes.plot(places, before, color=BEFORE, marker=".", label="反事实" if lang == "zh" else "counterfactual")
        axes.set_xticks(places[::2])
        axes.set_ylabel("kWh")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)

    return _png(draw, 2.8)


def lines_png(data: StatementData, lang: Lang) -> bytes:
    """Saving by component of the bill; what cost more stands to the left."""

    def draw(axes: Axes) -> None:
        sums: dict[str, Decimal] = {}
        for line in data.comparison:
            sums[line.component] = sums.get(line.component, Decimal(0)) + line.saving
        names, values = list(sums)[::-1], [float(value) for value in list(sums.values())[::-1]]
        axes.barh(range(len(names)), values, color=[SAVED if value >= 0 else LOST for value in values], height=0.6)
        axes.set_yticks(range(len(names)), [word(COMPONENTS, name, lang) for name in names])
        axes.axvline(0, color="#495057", linewidth=0.8)
        axes.set_xlabel(data.currency)
        axes.margins(x=0.14)
        for n, (name, value) in enumerate(zip(names, values, strict=True)):
            axes.annotate(
                f" {sums[name]:,.0f} ", (value, n), va="center", ha="left" if value >= 0 else "right", fontsize=8
            )

    return _png(draw, 2.8)


def _label(axes: Axes, x: float, y: float, value: Decimal) -> None:
    axes.annotate(f"{value:,.0f}", (x, y), ha="center", va="bottom", fontsize=8)


def _png(draw: Any, height: float) -> bytes:
    style: Any = {
        "font.family": _family(), "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
        "axes.unicode_minus": False,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(8.6, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.grid(axis="y", color="#dee2e6", linewidth=0.5)
        axes.set_axisbelow(True)
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
        return picture.getvalue()
