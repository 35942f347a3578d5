"""The day in pictures: one self-contained HTML page that opens offline, in Chinese and English."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.devices.base import Device
from quartet.comparison import bill_rows, measure_rows, money
from quartet.documents import DemoSummary
from quartet.figures import (
    Draw,
    Legend,
    MeasuredDay,
    draw_cold,
    draw_import,
    draw_power,
    draw_stored,
    svg_of,
    tracking_svg,
)
from quartet.page import rendered

TRACKED_KINDS = ("battery", "thermal_store", "chiller", "heat_pump")


@dataclass(frozen=True)
class Picture:
    zh: str
    en: str
    svg: str
    legends: Sequence[Legend]


@dataclass(frozen=True)
class Fact:
    zh: str
    en: str
    value: str
    good: bool = False


def report_html(summary: DemoSummary, day: MeasuredDay) -> str:
    """The whole page."""
    return rendered(
        "report.html",
        summary=summary,
        site=day.site,
        cards=_cards(summary),
        pictures=_pictures(day),
        bill=bill_rows(summary),
        measures=measure_rows(summary),
        facts=_facts(summary),
        footer={
            "zh": "由 quartet demo 生成：负荷、光伏、气温与车辆为真实记录，园区设备为仿真。",
            "en": "Made by quartet demo: loads, PV, weather and cars are recorded, the equipment is simulated.",
        },
    )


def _cards(summary: DemoSummary) -> list[Fact]:
    cost, currency = summary.cost, summary.currency
    saved = {name: getattr(cost, name)["total"] - cost.engine["total"] for name in ("rules", "none")}
    return [
        Fact(f"当日总费用 ({currency})", f"cost of the day ({currency})", money(cost.engine["total"])),
        Fact("比规则控制节省", "saved against rules", money(saved["rules"]), saved["rules"] > 0),
        Fact("比储能不动节省", "saved against idle stores", money(saved["none"]), saved["none"] > 0),
        Fact("已应答的控制周期", "control cycles answered", f"{summary.cycles.answered} / {summary.cycles.count}"),
    ]


def _pictures(day: MeasuredDay) -> list[Picture]:
    drawn = [
        _picture(day, "电力平衡", "power: supply above the line, use below it [kW]", draw_power, 4.6),
        _picture(day, "从电网购电", "import from the grid [kW]", draw_import, 3.2),
        _picture(day, "储能荷电状态", "state of charge of the stores [%]", draw_stored, 2.8),
    ]
    if any(device.kind == "thermal_store" for device in day.site.devices):
        drawn.append(_picture(day, "供冷平衡", "cooling: made above the line, used below it [kW]", draw_cold, 3.4))
    tracked = [d for d in day.site.devices if d.kind in TRACKED_KINDS and d.id in day.targets]
    if tracked:
        drawn.append(_tracking(day, tracked))
    return drawn


def _picture(day: MeasuredDay, zh: str, en: str, draw: Draw, height: float) -> Picture:
    return Picture(zh, en, *svg_of(draw, day, draw.__name__, height))


def _tracking(day: MeasuredDay, devices: Sequence[Device]) -> Picture:
    return Picture("指令与实测", "setpoint against measured [kW], > 0 feeds the bus", *tracking_svg(devices, day))


def _facts(summary: DemoSummary) -> list[Fact]:
    cycles, setpoints = summary.cycles, summary.setpoints
    return [
        Fact("控制周期", "control cycles", f"{cycles.count}: {cycles.optimal} optimal, {cycles.fallback} fallback"),
        Fact("周期耗时", "time of a cycle", f"p50 {summary.cycle_ms.p50:.0f} ms, p99 {summary.cycle_ms.p99:.0f} ms"),
        Fact("指令", "setpoints", f"{setpoints.sent:,} sent, {setpoints.applied:,} applied, "
             f"{setpoints.rejected} rejected, {setpoints.expired} expired"),
        Fact("消息", "messages", f"{summary.messages.taken_in:,} in, {summary.messages.dead_letters} dead letters"),
        Fact("车辆", "cars", f"{summary.ev.sessions} sessions, {summary.ev.served_kwh:,.0f} kWh served, "
             f"{summary.ev.missed_kwh:,.1f} kWh missed"),
    ]  # fmt: skip
