"""The words of a statement in Chinese and English."""

from __future__ import annotations

from typing import Literal

Lang = Literal["zh", "en"]

KINDS = {
    "shared": ("节能效益分享结算单", "Shared savings statement"),
    "guaranteed": ("节能量保证结算单", "Guaranteed savings statement"),
    "custody": ("能源费用托管结算单", "Energy custody statement"),
    "lease": ("融资租赁节能结算单", "Lease savings statement"),
}
COMPONENTS = {
    "purchase": ("代理购电", "purchase"),
    "line_loss": ("上网环节线损", "line loss"),
    "transmission_distribution": ("输配电", "transmission and distribution"),
    "system_operation": ("系统运行费", "system operation"),
    "funds": ("政府性基金及附加", "government funds"),
    "energy": ("电量电费", "energy"),
    "market": ("市场电量电费", "market energy"),
    "actual_demand": ("需量电费（实际最大需量）", "demand, actual maximum"),
    "contract_demand": ("需量电费（合同最大需量）", "demand, contract"),
    "contract_excess": ("超合同需量电费", "demand above contract"),
    "capacity": ("容量电费", "capacity"),
    "power_factor": ("力调电费", "power factor adjustment"),
    "green_power": ("绿电环境价值", "green power"),
    "export": ("余电上网（抵减）", "export (reduces cost)"),
    "export_mechanism": ("上网机制电价差价（抵减）", "mechanism price difference (reduces cost)"),
    "fixed": ("固定费用", "fixed charge"),
    "tier": ("阶梯加价", "tier"),
}
BANDS = {
    "sharp": ("尖", "sharp"), "peak": ("峰", "peak"), "flat": ("平", "flat"), "valley": ("谷", "valley"),
    "deep": ("深谷", "deep valley"), "": ("", ""),
}  # fmt: skip
PAYMENTS = {
    "saving": ("节能效益", "saving"),
    "carried": ("以前月份结转", "carried from earlier months"),
    "side_income": ("专项收入", "side income"),
    "fee": ("服务费", "fee"),
    "margin": ("代付电费", "energy bill paid"),
    "shortfall": ("未达保证量补偿", "shortfall of the guarantee"),
    "excess": ("超额分成", "excess over the guarantee"),
    "rent": ("租金", "rent"),
    "correction": ("以前月份更正", "correction of an earlier month"),
    "service": ("增值服务（免费）", "value-added service, free"),
}
GATES = {
    "coverage": ("表计完整率", "meter coverage"),
    "energy_balance": ("能量平衡残差", "energy balance residual"),
    "bill_reproduction": ("账单复现误差", "bill reproduction error"),
    "tariff_assumed_lines": ("电价为假定值的账单行数", "bill lines with assumed prices"),
    "coarse_demand_lines": ("表计区间长于需量区间的需量数", "demand lines measured too coarsely"),
    "signatures": ("双方签章", "both signatures"),
}
GRADES = {
    "final": ("正式", "final"),
    "flagged": ("估算（未满足全部条件）", "estimate: not every condition is met"),
    "example": ("示例：表计为仿真值，不得用于结算", "example: meters are simulated, not for settlement"),
}
RULES = {
    "interpolated": ("相邻值线性插补", "straight line between neighbours"),
    "like_days": ("同类日同时刻均值", "mean of the same time on like days"),
}
METHODS = {
    "location": ("基于位置", "location-based"),
    "market": ("基于市场", "market-based"),
    "direct": ("直接", "direct"),
}
COUNTERFACTUALS = {
    "no_assets": ("无节能措施的用能", "the site without the measures"),
    "rules": ("同样设备在约定规则控制下的用能", "the same equipment under the agreed simple control"),
}
ATTRIBUTIONS = {"shapley": ("沙普利值", "Shapley value"), "sequential": ("合同约定顺序", "the contract's order")}

METHOD = (
    (
        "节能效益 = 同月、同一电价版本下的反事实账单 − 实际账单（含电量、需量、力调、基金与上网结算的全部明细，"
        "负值照列）。",
        "Saving = counterfactual bill - actual bill of the same month at the same tariff version, over all lines "
        "(energy, demand, power factor, funds, export), negative parts included.",
    ),
    (
        "反事实由实测流量还原（IPMVP 方案 B）：净购电 + 光伏发电 + 放电 − 充电；车辆无论是否放电都要充到同样电量；"
        "无功按表计不变。能效措施用气温与日历的回归基准（方案 C，ASHRAE Guideline 14 限值）。",
        "The counterfactual is restored from metered flows (IPMVP option B): net draw + PV + discharge - charge; cars "
        "need the same energy with or without feeding back; reactive power stays as metered. Efficiency measures use a "
        "regression on weather and calendar (option C, limits of ASHRAE Guideline 14).",
    ),
    (
        "各措施的效益不可直接相加，按合同约定的方法分摊，分摊之和等于总效益。引擎的预测与计划从不进入反事实。",
        "Savings of measures do not add up by themselves; they are divided by the contract's method and add up to the "
        "whole. Forecasts and plans of the engine are never part of the counterfactual.",
    ),
    (
        "金额逐行四舍五入到分后相加。缺测值：1 小时以内线性插补，更长取最近四个同类日同一时刻的均值，并逐段列出。",
        "Money is rounded half up to the cent line by line, then added. Missing values: a straight line up to one "
        "hour, longer ones the mean of the same time on the four nearest like days; each gap is listed.",
    ),
    (
        "不确定度：表计准确度等级按矩形分布传递到金额，并计入缺测替代误差；以合同置信度给出区间。",
        "Uncertainty: the meters' accuracy classes, as rectangular distributions, carried through to money, and the "
        "error of substituted values; the interval is at the contract's confidence.",
    ),
    (
        "碳排放按省级电网平均因子（基于位置）与全国剩余因子（基于市场）并列；绿证不降低基于位置的数值。",
        "Emissions by the region's average factor (location-based) beside the national residual factor (market-based); "
        "certificates do not lower the location-based figure.",
    ),
)


def word(table: dict[str, tuple[str, str]], name: str, lang: Lang) -> str:
    """The word of a table; the name itself where it has none, as of a site's own bands."""
    return table[name][lang == "en"] if name in table else name
