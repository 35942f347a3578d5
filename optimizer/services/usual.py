"""What every site with batteries keeps against the month's peak, without being told to."""

from __future__ import annotations

from collections.abc import Iterable

from optimizer.devices.base import Device
from optimizer.services.base import not_able
from optimizer.services.peak_course import PeakCourse
from optimizer.services.peak_reserve import PeakReserve


def able_batteries(devices: Iterable[Device]) -> tuple[str, ...]:
    """The batteries that can promise power."""
    by_id = {device.id: device for device in devices}
    return tuple(name for name in by_id if not not_able((name,), ("battery",), by_id))


def usual_reserves(devices: Iterable[Device]) -> tuple[PeakReserve | PeakCourse, ...]:
    """Those of all batteries that can promise power; none where there are none."""
    able = able_batteries(devices)
    return (PeakReserve(id="peak_reserve", devices=able), PeakCourse(id="peak_course", devices=able)) if able else ()
