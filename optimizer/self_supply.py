"""Which batteries keep the connection balanced between two plans, and how far.

A setpoint is right for the forecast; within its step the sun and the loads do what they do. What then comes in through
the connection costs the price of the step, and what goes out earns that of export. A battery whose energy costs less
gives it first, one to which energy is worth more keeps it. With the shadow price λ of power in the first step and the
reduced costs r of the battery's columns there, per kWh,

    given = λ + r(discharge)   what a kWh more discharged costs, wear, later use and reserves included    (1)
    kept  = λ - r(charge)      what a kWh more charged is worth

so it discharges more, or charges less, where `given`, or `kept`, is below the import price, and the other way round
where they are above that of export. In a plan that buys in this step λ is the import price, and nothing is to be won.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from optimizer.devices.base import Device
from optimizer.devices.battery import Battery
from optimizer.holding import Holding
from optimizer.plan import Plan, Setpoint
from optimizer.situation import Prices

LEAST_GAIN = 0.02
"""Share of the import price by which it must pay."""


def with_self_supply(plan: Plan, devices: Sequence[Device], holding: Holding, prices: Prices) -> Plan:
    """The plan that says beside the setpoint of each battery how far it is to supply the site itself."""
    batteries = {device.id: device for device in devices if isinstance(device, Battery)}
    if not holding.has_prices:
        return plan
    setpoints = (
        _with_self_supply(setpoint, batteries[setpoint.device], holding, prices)
        if setpoint.device in batteries
        else setpoint
        for setpoint in plan.setpoints
    )
    return replace(plan, setpoints=tuple(setpoints))


def _with_self_supply(setpoint: Setpoint, battery: Battery, holding: Holding, prices: Prices) -> Setpoint:
    power, target_kw = holding.price("power"), setpoint.target_kw
    given = power + holding.reduced_cost(battery.id, "discharge_kw")  # (1)
    kept = power - holding.reduced_cost(battery.id, "charge_kw")
    buying, selling = float(prices.import_per_kwh[0]), float(prices.export_per_kwh[0])
    margin = LEAST_GAIN * abs(buying)
    least_kw, greatest_kw = battery.bounds_kw()
    most_kw = _as_far_as(target_kw, greatest_kw, kept < buying - margin, given < buying - margin)
    fewest_kw = -_as_far_as(-target_kw, -least_kw, given > selling + margin, kept > selling + margin)
    return setpoint if fewest_kw == most_kw else replace(setpoint, self_supply_kw=(fewest_kw, most_kw))


def _as_far_as(target_kw: float, bound_kw: float, to_rest: bool, beyond: bool) -> float:
    """From the target towards a bound above it: to a standstill, and beyond, as far as each pays."""
    if target_kw < 0.0 and not to_rest:
        return target_kw
    return bound_kw if beyond else max(target_kw, 0.0)
