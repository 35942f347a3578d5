"""Pictures of a day: each `draw_*` function draws on one axes and says what its colours mean.

Labels inside the pictures are numbers and units only. Words stand in the legends, which the report sets as text in
Chinese and English, so that no font has to be shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from itertools import groupby
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optimizer.devices.base import Device
from optimizer.time_grid import Array
from site_configs.site import Site

Mark = Literal["area", "line", "dash", "dots"]


@dataclass(frozen=True)
class Legend:
    """What one colour of a picture stands for."""

    colour: str
    zh: str
    en: str
    mark: Mark = "area"


@dataclass(frozen=True)
class MeasuredDay:
    """A day of a park as measured, in the intervals of its control."""

    site: Site
    series: pd.DataFrame
    """UTC index of interval starts; columns `<device>.<quantity>_<unit>`: mean powers, states at the interval's end."""
    band: Sequence[str]
    """(n,) tariff band of each interval."""
    targets: pd.DataFrame
    """Same index; by device the `target_kw` it was told (NaN where nothing was)."""
    baselines: Mapping[str, pd.Series] = field(default_factory=dict)
    """`meter.import_kw` of the park under other controllers, by controller."""
    peak_before_kw: float = 0.0
    """Highest import of the billing month before this day [kW]."""

    def sum_of(self, kinds: Iterable[str], quantity: str, carrier: str | None = None) -> Array:
        """(n,) kW of all devices of these kinds together (of one carrier when given)."""
        names = [f"{d.id}.{quantity}" for d in self.site.devices if d.kind in kinds and _on(d, carrier)]
        present = [name for name in names if name in self.series]
        return self.series[present].fillna(0.0).sum(axis=1).to_numpy(dtype=float)

    @property
    def hours(self) -> Array:
        """(n + 1,) edges of the intervals in local hours since the local midnight of the first."""
        local = pd.DatetimeIndex(self.series.index).tz_convert(self.site.timezone)
        step = self.site.step_minutes / 60
        first = local[0].hour + local[0].minute / 60
        return first + step * np.arange(len(local) + 1, dtype=float)


def _on(device: Device, carrier: str | None) -> bool:
    return carrier is None or getattr(device, "carrier", "power") == carrier


BANDS = {
    "sharp": Legend("#f6c9bf", "尖峰", "sharp price"),
    "peak": Legend("#fbe3d1", "高峰", "peak price"),
    "flat": Legend("#ffffff", "平段", "flat price"),
    "valley": Legend("#e2effa", "低谷", "valley price"),
    "deep": Legend("#cbe0f5", "深谷", "deep valley price"),
}
GRID, PV, BATTERY, CARS, LOAD, COLD, STORE = (
    "#7d8597", "#f4b942", "#2a9d8f", "#8e6bbf", "#c8553d", "#4895ef", "#72c8d8",
)  # fmt: skip
LIGHT = {BATTERY: "#9fd8d0", CARS: "#cdbbe6", STORE: "#bfe6ee", GRID: "#c3c8d1"}
LINES = ("#2a9d8f", "#e76f51", "#4895ef", "#8e6bbf", "#f4b942")

Drawn = TypeVar("Drawn")
"""What a picture is drawn from."""
Draw = Callable[[Axes, MeasuredDay], list[Legend]]


def draw_power(axes: Axes, day: MeasuredDay) -> list[Legend]:
    """Supply above the line, use below it [kW]."""
    supply = [
        (day.sum_of(["pv"], "used_kw"), Legend(PV, "光伏", "PV")),
        (day.series["meter.import_kw"].to_numpy(), Legend(GRID, "购电", "import")),
        (day.sum_of(["battery"], "discharge_kw"), Legend(BATTERY, "电池放电", "battery discharge")),
        (day.sum_of(["v2g_charger"], "discharge_kw"), Legend(CARS, "车辆放电", "cars discharge")),
    ]
    use = [
        (day.sum_of(["load"], "demand_kw", "power"), Legend(LOAD, "楼宇与车间", "buildings and workshops")),
        (day.sum_of(["chiller", "heat_pump"], "power_kw"), Legend(COLD, "冷机", "chillers")),
        (day.sum_of(["battery"], "charge_kw"), Legend(LIGHT[BATTERY], "电池充电", "battery charge")),
        (day.sum_of(["v2g_charger"], "charge_kw"), Legend(LIGHT[CARS], "车辆充电", "cars charge")),
        (day.series["meter.export_kw"].to_numpy(), Legend(LIGHT[GRID], "上网", "export")),
    ]
    return _shade_bands(axes, day) + _balance(axes, day, supply, use)


def draw_cold(axes: Axes, day: MeasuredDay) -> list[Legend]:
    """Cooling made and taken from the store above the line, demand and filling the store below it [kW]."""
    supply = [
        (day.sum_of(["chiller", "heat_pump"], "cold_kw"), Legend(COLD, "冷机制冷", "chillers")),
        (day.sum_of(["thermal_store"], "discharge_kw", "cold"), Legend(STORE, "蓄冷释冷", "cold store discharge")),
    ]
    use = [
        (day.sum_of(["load"], "demand_kw", "cold"), Legend(LOAD, "冷负荷", "cooling demand")),
        (day.sum_of(["thermal_store"], "charge_kw", "cold"), Legend(LIGHT[STORE], "蓄冷", "cold store charge")),
    ]
    _shade_bands(axes, day)
    return _balance(axes, day, supply, use)


def draw_stored(axes: Axes, day: MeasuredDay) -> list[Legend]:
    """State of charge of every store [%], at the end of each interval."""
    _shade_bands(axes, day)
    stores = [
        d for d in day.site.devices if d.kind in ("battery", "thermal_store") and f"{d.id}.energy_kwh" in day.series
    ]
    legends = []
    for device, colour in zip(stores, LINES, strict=False):
        share = 100 * day.series[f"{device.id}.energy_kwh"].to_numpy(dtype=float) / device.capacity_kwh
        axes.plot(day.hours[1:], share, color=colour, linewidth=2)
        legends.append(Legend(colour, device.name_zh or device.id, device.name_en or device.id, "line"))
    axes.set_ylim(0, 100)
    axes.set_ylabel("%")
    _hours(axes, day)
    return legends


def draw_import(axes: Axes, day: MeasuredDay) -> list[Legend]:
    """Metered import under each controller against the month's peak before the day [kW]."""
    _shade_bands(axes, day)
    names = {"rules": ("规则控制", "rules"), "none": ("储能不动", "stores idle")}
    legends = [Legend("#1d3557", "优化引擎", "engine", "line")]
    for (name, series), colour in zip(day.baselines.items(), ("#e76f51", "#adb5bd"), strict=False):
        axes.stairs(series.to_numpy(dtype=float), day.hours, color=colour, linewidth=1.4, baseline=None)
        legends.append(Legend(colour, *names.get(name, (name, name)), "line"))
    axes.stairs(
        day.series["meter.import_kw"].to_numpy(dtype=float), day.hours, color="#1d3557", linewidth=2.2, baseline=None
    )
    if day.peak_before_kw > 0:
        axes.axhline(day.peak_before_kw, color="#c1121f", linestyle="--", linewidth=1.2)
        legends.append(Legend("#c1121f", "本月此前最大需量", "month's peak before the day", "dash"))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("kW")
    _hours(axes, day)
    return legends


def draw_tracking(axes: Axes, day: MeasuredDay, device: Device) -> list[Legend]:
    """What one device was told and what was measured of it [kW]; > 0 feeds the bus."""
    _shade_bands(axes, day)
    middles = (day.hours[:-1] + day.hours[1:]) / 2
    axes.axhline(0, color="#495057", linewidth=0.6)
    axes.stairs(day.targets[device.id].to_numpy(dtype=float), day.hours, color="#e76f51", linewidth=1.8, baseline=None)
    axes.plot(middles, measured_kw(day.series, device), ".", color="#1d3557", markersize=3.5)
    axes.set_title(device.id, loc="left", fontsize=9)
    axes.set_ylabel("kW")
    _hours(axes, day)
    return [Legend("#e76f51", "指令", "setpoint", "line"), Legend("#1d3557", "实测", "measured", "dots")]


def measured_kw(series: pd.DataFrame, device: Device) -> Array:
    """(n,) what was measured of a device, in the sign of its setpoint."""
    prefix = f"{device.id}."
    own = series.loc[:, [str(name).startswith(prefix) for name in series.columns]]
    own = own.rename(columns=lambda name: str(name).removeprefix(prefix))
    rows = [{str(quantity): float(value) for quantity, value in row.items()} for _, row in own.iterrows()]
    targets = [device.target_kw(row) for row in rows]
    return np.array([np.nan if target is None else target for target in targets])


def _balance(
    axes: Axes, day: MeasuredDay, supply: list[tuple[Array, Legend]], use: list[tuple[Array, Legend]]
) -> list[Legend]:
    for rows, sign in ((supply, 1.0), (use, -1.0)):
        base = np.zeros(len(day.series))
        for values, legend in rows:
            top = base + sign * values
            axes.stairs(top, day.hours, baseline=base, fill=True, color=legend.colour, linewidth=0)
            base = top
    axes.axhline(0, color="#212529", linewidth=0.8)
    axes.set_ylabel("kW")
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    _hours(axes, day)
    return [legend for values, legend in (*supply, *use) if np.any(values > 0.05)]


def _shade_bands(axes: Axes, day: MeasuredDay) -> list[Legend]:
    seen = {}
    for band, run in groupby(range(len(day.band)), key=lambda i: day.band[i]):
        steps = list(run)
        if band not in BANDS:  # a band of the site's own tariff has no colour
            continue
        seen[band] = BANDS[band]
        axes.axvspan(day.hours[steps[0]], day.hours[steps[-1] + 1], color=BANDS[band].colour, linewidth=0, zorder=-10)
    return [legend for band, legend in BANDS.items() if band in seen and band != "flat"]


def _hours(axes: Axes, day: MeasuredDay) -> None:
    first, last = day.hours[0], day.hours[-1]
    axes.set_xlim(first, last)
    every = 3 if last - first > 12 else 1
    ticks = np.arange(np.ceil(first / every) * every, last + 1e-9, every)
    axes.set_xticks(ticks, [f"{int(hour) % 24:02d}:00" if hour < last or last % 24 else "24:00" for hour in ticks])
    axes.grid(axis="y", color="#ced4da", linewidth=0.5)
    axes.set_axisbelow(True)


STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#868e96",
}


def _style(salt: str) -> Any:
    """The style with ids of its own in the SVG."""
    return {**STYLE, "svg.hashsalt": salt}


def svg_of(
    draw: Callable[[Axes, Drawn], list[Legend]], drawn: Drawn, salt: str, height: float = 3.4
) -> tuple[str, list[Legend]]:
    """One picture as an SVG element, with its legend. `salt` keeps the ids of several pictures on a page apart."""
    with mpl.rc_context(_style(salt)):
        figure = Figure(figsize=(11, height), layout="constrained")
        legends = draw(figure.add_subplot(), drawn)
        return _svg(figure), legends


def tracking_svg(devices: Sequence[Device], day: MeasuredDay) -> tuple[str, list[Legend]]:
    """Setpoint against measured for several devices, two in a row."""
    rows = -(-len(devices) // 2)
    legends: list[Legend] = []
    with mpl.rc_context(_style("tracking")):
        figure = Figure(figsize=(11, 2.2 * rows), layout="constrained")
        grid = figure.subplots(rows, 2, squeeze=False)
        for axes, device in zip(grid.flat, devices, strict=False):
            legends = draw_tracking(axes, day, device)
        for axes in grid.flat[len(devices) :]:
            axes.set_visible(False)
        return _svg(figure), legends


def overview_png(day: MeasuredDay) -> bytes:
    """The day on one picture with its legends in English, for pages that show pictures only."""
    rows = (
        (draw_power, "power: supply above, use below", 2.2),
        (draw_stored, "stores", 1.0),
        (draw_import, "import from the grid", 1.2),
    )
    return png_of(rows, day, "overview", height=9, share_x=True)


def png_of(
    rows: Sequence[tuple[Callable[[Axes, Drawn], list[Legend]], str, float]],
    drawn: Drawn,
    salt: str,
    height: float,
    share_x: bool = False,
) -> bytes:
    """Pictures of (function, title, share of the height) below one another, with their legends in English."""
    draws, titles, heights = zip(*rows, strict=True)
    with mpl.rc_context(_style(salt)):
        figure = Figure(figsize=(11, height), layout="constrained")
        column = figure.subplots(len(rows), 1, sharex=share_x, height_ratios=heights)
        for axes, draw, title in zip(column, draws, titles, strict=True):
            _inside_legend(axes, draw(axes, drawn))
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
        return picture.getvalue()


def _inside_legend(axes: Axes, legends: list[Legend]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    lines: dict[Mark, Any] = {"dash": {"linestyle": "--"}, "dots": {"linestyle": "", "marker": "."}}
    handles = [
        Patch(facecolor=one.colour, label=one.en)
        if one.mark == "area"
        else Line2D([], [], color=one.colour, label=one.en, **lines.get(one.mark, {}))
        for one in legends
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)


def _svg(figure: Figure) -> str:
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]
