"""What a plan's flows cost, term by term, without a model: the cost table of plans that no solver made.

Each device prices its own course. On the near steps of an optimal plan the terms are the same as its own cost table's;
what no flow or state shows, such as a missing kWh, is what is left of the demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from optimizer.devices.base import Course, Device
from optimizer.plan import FlowSeries
from optimizer.situation import Situation
from optimizer.time_grid import Array


def cost_table(
    devices: Sequence[Device],
    situation: Situation,
    flows: Iterable[FlowSeries],
    states: Mapping[str, Mapping[str, Array]],
) -> dict[str, float]:
    """Cost by term of flows over the near steps; stored energy counts as it does at the end of a horizon."""
    by_device: dict[str, dict[str, Array]] = {device.id: {} for device in devices}
    for flow in flows:
        by_device[flow.device][flow.quantity] = flow.kw
    table: dict[str, float] = {}
    for device in devices:
        course = Course(by_device[device.id], states.get(device.id, {}), device.conditions(situation), situation)
        for term, cost in device.cost_of(course).items():
            table[term] = table.get(term, 0.0) + cost
    return table
