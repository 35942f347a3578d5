"""The day under its three controllers, row by row, as text: the same in the terminal and in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from quartet.documents import DemoSummary

CONTROLLERS = ("engine", "rules", "none")
LINES_ZH = {
    "sharp": "尖峰电费", "peak": "高峰电费", "flat": "平段电费", "valley": "低谷电费", "deep": "深谷电费",
    "demand": "需量电费", "export": "上网收入", "wear": "电池损耗", "total": "合计",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row: its name in both languages and a value for each of `CONTROLLERS`."""

    zh: str
    en: str
    values: Sequence[str]


def bill_rows(summary: DemoSummary) -> list[Row]:
    """The lines of the day's cost in the order of the bill, the total last."""
    costs = {name: getattr(summary.cost, name) for name in CONTROLLERS}
    return [
        Row(line_name_zh(line), line, [money(costs[name].get(line)) for name in CONTROLLERS])
        for line in cost_lines(costs)
    ]


def measure_rows(summary: DemoSummary) -> list[Row]:
    """What the day was like beside its cost."""

    def row(zh: str, en: str, value: Callable[[str], str]) -> Row:
        return Row(zh, en, [value(name) for name in CONTROLLERS])

    carbon, used, short = summary.carbon_kg, summary.pv_self_use, summary.ev_missed_kwh
    stored = {name: sum(getattr(summary.stored_kwh, name).values()) for name in CONTROLLERS}
    return [
        row("碳排放 (kg CO2)", "carbon (kg CO2)", lambda name: f"{getattr(carbon, name):,.0f}"),
        row("光伏自用率", "PV used in the park", lambda name: percent(getattr(used, name))),
        row("车辆欠充 (kWh)", "cars left short (kWh)", lambda name: f"{getattr(short, name):,.1f}"),
        row("储能余量 (kWh)", "left in stores (kWh)", lambda name: f"{stored[name]:,.0f}"),
        row("本月最大需量 (kW)", "month's peak (kW)", lambda name: f"{summary.peak_kw[name]:,.1f}"),
    ]


def cost_lines(costs: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Every line that any controller has, in the order of the bill, the total last."""
    lines = list(dict.fromkeys(line for cost in costs.values() for line in cost if line != "total"))
    return [*lines, "total"]


def line_name_zh(line: str) -> str:
    """Chinese name of a line of the bill, e.g. of `energy_peak`."""
    return LINES_ZH.get(line.removeprefix("energy_"), "")


def money(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
