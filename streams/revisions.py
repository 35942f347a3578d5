"""Orders that act at once: the setpoints of the running interval, told anew as the orders in force say.

Nothing is planned: a device under an order gets its power within its bounds, the others keep what they have, and the
grid limit falls to the lowest cap. The next plan takes the orders as given (`streams.commands`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from optimizer.plan import Text
from optimizer.situation import FixedPower, ImportCap
from site_configs.site import Site
from streams.messages import SetpointMessage

MOST_REVISIONS = 4
"""Of an interval: their sequence numbers must stay below the next interval's, five minutes on at the least."""


FIRST = "r0"


def is_first(setpoint: SetpointMessage) -> bool:
    """Whether it is the plan's own word, and no revision."""
    return setpoint.cmd_id.endswith(f":{FIRST}")


def revisions(
    site: Site, told: Iterable[SetpointMessage], orders: Sequence[FixedPower | ImportCap], at: datetime
) -> tuple[SetpointMessage, ...]:
    """What changes at `at` against `told`, all setpoints of one interval with their earlier revisions.

    Nothing where the setpoints are not in force at `at`, or have been revised too often.
    """
    by_device: dict[str, list[SetpointMessage]] = {}
    for setpoint in sorted(told, key=lambda one: one.seq):
        by_device.setdefault(setpoint.device, []).append(setpoint)
    fixed = {order.device: order for order in orders if isinstance(order, FixedPower)}
    caps = [order.power_kw for order in orders if isinstance(order, ImportCap)]
    bounds = {device.id: device.bounds_kw() for device in site.devices}
    changed = (
        _revision(series, fixed.get(device), caps, bounds[device], at)
        for device, series in sorted(by_device.items())
        if device in bounds
    )
    return tuple(one for one in changed if one is not None)


def _revision(
    series: Sequence[SetpointMessage],
    order: FixedPower | None,
    caps: Sequence[float],
    bounds: tuple[float, float],
    at: datetime,
) -> SetpointMessage | None:
    first, last = series[0], series[-1]
    if not first.valid_from <= at < first.valid_until or len(series) > MOST_REVISIONS:
        return None
    limit = min([*caps, *([] if first.grid_limit_kw is None else [first.grid_limit_kw])], default=None)
    wanted = first.model_copy(update={"grid_limit_kw": limit})
    if order is not None:
        reason = Text(zh=f"运行人员指令：{order.reason}", en=f"ordered by the operator: {order.reason}")
        target_kw = min(max(order.power_kw, bounds[0]), bounds[1])
        alone = {"room_kw": None, "self_supply_kw": None}
        wanted = wanted.model_copy(update={"target_kw": target_kw, "reason": reason, **alone})
    named = {"seq": last.seq, "cmd_id": last.cmd_id, "issued_at": last.issued_at}
    if wanted.model_copy(update=named) == last:
        return None
    number = len(series)
    return wanted.model_copy(
        update={"seq": first.seq + number, "cmd_id": f"{first.cmd_id.rsplit(':', 1)[0]}:r{number}", "issued_at": at}
    )
