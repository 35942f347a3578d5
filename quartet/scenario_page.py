"""Scenarios in pictures: power at the grid connection and of the batteries through each, with what was judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from hil.scenarios.documents import HilReport, ScenarioResult
from hil.scenarios.running import ScenarioRun
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
    records = run.records
    minutes = np.arange(len(records), dtype=float)
    frame = records.frame()
    named = {device.id: device.kind for device in run.setting.site.devices}
    batteries = [name for name, kind in named.items() if kind == "battery"]
    fed = sum((frame[f"{b}.discharge_kw"] - frame[f"{b}.charge_kw"] for b in batteries), np.zeros(len(frame)))
    sun = sum((frame[f"{name}.used_kw"] for name, kind in named.items() if kind == "pv"), np.zeros(len(frame)))
    wanted = [name for name in named if {f"{name}.demand_kw", f"{name}.served_kw"} <= set(frame.columns)]
    power = [name for name in wanted if getattr(_device(run, name), "carrier", "power") == "power"]
    missing = sum(
        ((frame[f"{n}.demand_kw"] - frame[f"{n}.served_kw"]).clip(lower=0) for n in power), np.zeros(len(frame))
    )
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


def _device(run: ScenarioRun, name: str) -> object:
    return next(device for device in run.setting.site.devices if device.id == name)
