"""Why a setpoint is what it is: one sentence from the shadow prices, in Chinese and English."""

from __future__ import annotations

from optimizer.plan import Text

SMALL_KW = 0.05
LIMIT_VALUE = 50.0
"""Stored energy worth more than this [money/kWh] is so because of a limit: no tariff comes near."""


def store_reason(target_kw: float, price: float, stored_value: float) -> Text:
    """For devices that store: the worth of power now against the worth of stored energy later [money/kWh]."""
    if target_kw < -SMALL_KW and stored_value > LIMIT_VALUE:
        return Text(
            zh="充入：若不充，离场电量或最低荷电状态将达不到",
            en="charging: without it the energy at departure or the lowest state of charge is not reached",
        )
    if target_kw < -SMALL_KW:
        return Text(
            zh=f"充入：此刻能量边际价 {price:.4f}/kWh，存入后值 {stored_value:.4f}/kWh",
            en=f"charging: energy costs {price:.4f}/kWh now and is worth {stored_value:.4f}/kWh once stored",
        )
    if target_kw > SMALL_KW:
        return Text(
            zh=f"放出：此刻能量边际价 {price:.4f}/kWh，高于留存价值 {stored_value:.4f}/kWh",
            en=f"discharging: energy is worth {price:.4f}/kWh now against {stored_value:.4f}/kWh if kept",
        )
    return Text(
        zh=f"待机：此刻边际价 {price:.4f}/kWh 与存能价值 {stored_value:.4f}/kWh 之差不抵损耗与折旧",
        en=f"idle: {price:.4f}/kWh now against {stored_value:.4f}/kWh stored does not pay for losses and wear",
    )


def flow_reason(target_kw: float, carrier: str, price: float) -> Text:
    """For machines and generation: what a kWh of their carrier is worth now."""
    zh = {"power": "电", "heat": "热", "cold": "冷", "gas": "气"}[carrier]
    if target_kw <= SMALL_KW:
        return Text(
            zh=f"停：此刻{zh}的边际价 {price:.4f}/kWh，其他来源更省",
            en=f"off: {carrier} is worth {price:.4f}/kWh now, other sources are cheaper",
        )
    return Text(
        zh=f"出力：此刻{zh}的边际价 {price:.4f}/kWh",
        en=f"running: {carrier} is worth {price:.4f}/kWh at the margin now",
    )


def curtailed_reason(limit_kw: float) -> Text:
    return Text(
        zh=f"限发至 {limit_kw:.1f} kW：上网与储能均已到限",
        en=f"curtailed to {limit_kw:.1f} kW: export and stores are full",
    )
