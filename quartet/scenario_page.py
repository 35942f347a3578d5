"""Scenarios in pictures: power at the grid connection and of the batteries through each, with what was judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hil.scenarios.documents import HilReport, ScenarioResult
from hil.scenarios.running import ScenarioRun
from optimizer.time_grid import Array
from quartet.figures import BATTERY, GRID, LOAD, PV, Legend, svg_of
from quartet.page import rendered

SHED = "#c1121f"


@dataclass(frozen=True)
class ScenarioPicture:
    """One scenario as the page shows it."""

    result: ScenarioResult
    about: str
    svg: str
    legends: Sequence[Legend]


def picture_of(result: ScenarioResult, run: ScenarioRun) -> ScenarioPicture:
    """Draws one run."""
    svg, legends = svg_of(draw_run, run, result.id, 3.2)
    return ScenarioPicture(result, run.setting.scenario.about, svg, legends)


def scenarios_html(report: HilReport, pictures: Sequence[ScenarioPicture]) -> str:
    """The whole page."""
    return rendered("scenarios.html", report=report, pictures=pictures)


def draw_run(axes: Axes, run: ScenarioRun) -> list[Legend]:
    """Net import with its limit, what batteries feed together, sun, and demand that was not served [kW, minutes]."""
    frame = run.records.frame()
    minutes = np.arange(len(frame), dtype=float)
    fed = _sum_of(run, frame, ["battery"], "discharge_kw") - _sum_of(run, frame, ["battery"], "charge_kw")
    sun = _sum_of(run, frame, ["pv"], "used_kw")
    loads = ["load", "flexible_load"]
    missing = (_sum_of(run, frame, loads, "demand_kw") - _sum_of(run, frame, loads, "served_kw")).clip(min=0.0)
    limit = frame["meter.limit_kw"].where(frame["meter.limit_kw"] <= 2 * frame["meter.import_kw"].max() + 1.0)
    axes.axhline(0.0, color="#adb5bd", linewidth=0.8)
    axes.plot(minutes, sun, color=PV, linewidth=1.2)
    axes.plot(minutes, fed, color=BATTERY, linewidth=1.2)
    axes.fill_between(minutes, missing, color=SHED, alpha=0.35, linewidth=0.0)
    axes.plot(minutes, frame["meter.import_kw"] - frame["meter.export_kw"], color=GRID, linewidth=1.6)
    axes.plot(minutes, limit, color=LOAD, linewidth=1.0, linestyle="--")
    axes.set_xlim(0, len(frame))
    axes.set_xlabel("min")
    axes.set_ylabel("kW")
    return [
        Legend(GRID, "净购电", "net import", "line"),
        Legend(LOAD, "购电上限", "limit told", "dash"),
        Legend(BATTERY, "电池放电为正", "batteries, > 0 discharge", "line"),
        Legend(PV, "光伏", "PV", "line"),
        Legend(SHED, "未供负荷", "load not served", "area"),
    ]


def _sum_of(run: ScenarioRun, frame: pd.DataFrame, kinds: Sequence[str], quantity: str) -> Array:
    """(minutes,) of all devices of these kinds on the power bus together [kW]."""
    on_power = [d.id for d in run.setting.site.devices if d.kind in kinds and getattr(d, "carrier", "power") == "power"]
    return frame[[f"{name}.{quantity}" for name in on_power]].sum(axis=1).to_numpy(dtype=float)
