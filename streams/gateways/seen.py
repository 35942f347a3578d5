"""A gateway seen from outside: what it hears from its controller, and what became of the setpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.messages import AckState

SILENT_S = 10.0
"""A controller that has not answered for longer makes the gateway unwell; it is asked every second."""
HANGS_S = 60.0
"""So does a gateway that has not come round for longer."""


@dataclass(frozen=True)
class GatewayFigures:
    """What a gateway knows of itself at one moment."""

    reached: bool
    """Whether the controller answered when it was last asked."""
    remote: bool
    """Whether the site's switch leaves the control to the gateway."""
    silent_s: float
    """Since the controller last answered, or since the start."""
    idle_s: float
    """Since the gateway last came round."""
    devices: int
    """Devices that it serves."""
    newest: Mapping[str, AckState]
    """State of the newest setpoint, by device that has had one."""
    adjusted: int
    """Devices that the local loop holds off their setpoints."""
    unread: int
    """Devices that cannot be read."""
    acknowledged: Mapping[AckState, int]
    """Acknowledgements sent, by state."""


@dataclass(frozen=True)
class GatewayHealth:
    """One word, and what it stands on."""

    status: str
    """ok; local: a person on site has taken over; unreachable: the controller does not answer, or none of the devices;
    hangs: the gateway does not come round."""
    silent_s: float
    unread: int

    @classmethod
    def of(cls, figures: GatewayFigures) -> GatewayHealth:
        if figures.idle_s > HANGS_S:
            status = "hangs"
        elif figures.silent_s > SILENT_S or 0 < figures.devices == figures.unread:
            status = "unreachable"
        else:
            status = "ok" if figures.remote else "local"
        return cls(status, round(figures.silent_s, 3), figures.unread)


class GatewayCollector(Collector):
    """Turns a gateway's figures into metrics."""

    def __init__(self, site: str, figures: Callable[[], GatewayFigures]) -> None:
        self._site = site
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        found = self._figures()
        for name, what, value in (
            ("reached", "1 while the controller answers", found.reached),
            ("remote", "1 while the site leaves the control to the gateway", found.remote),
            ("silent_seconds", "Since the controller last answered", found.silent_s),
            ("adjusted_devices", "Devices that the local loop holds off their setpoints", found.adjusted),
            ("unread_devices", "Devices that cannot be read", found.unread),
        ):
            metric = GaugeMetricFamily(f"quartet_gateway_{name}", what, labels=["site"])
            metric.add_metric([self._site], float(value))
            yield metric
        newest = GaugeMetricFamily(
            "quartet_gateway_devices", "Devices by the state of their newest setpoint", labels=["site", "state"]
        )
        for state, count in sorted(Counter(found.newest.values()).items()):
            newest.add_metric([self._site, state], count)
        yield newest
        sent = CounterMetricFamily(
            "quartet_gateway_acknowledgements", "Acknowledgements sent", labels=["site", "state"]
        )
        for state, count in sorted(found.acknowledged.items()):
            sent.add_metric([self._site, state], count)
        yield sent
